"""The settings that a configuration file begins with, and the reference page of them all."""

from __future__ import annotations

from ml_collections import ConfigDict, config_dict

from rvdt_jax.config.declaration import POSITIVE, Setting, nested
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.config.filling import read_rows


def default_config() -> ConfigDict:
    """Every field with its default, or unset where ``resolve`` fills it; locked against misspelt names."""
    leaves = {
        name: config_dict.placeholder(field.kind) if field.begins_unset else field.default
        for name, field in FIELDS.items()
    }
    return ConfigDict(nested(leaves)).lock()


def settings_page() -> str:
    """The reference of all settings, as Markdown."""
    lines = [_INTRODUCTION, "| field | default | what it does |", "|---|---|---|"]
    lines += [f"| `{name}` | {_default(field)} | {_what(field)} |" for name, field in FIELDS.items()]
    lines += ["", _SMALL, "| tasks | field | value | why |", "|---|---|---|---|"]
    lines += [
        f"| `{row['tasks']}` | `{row['field']}` | {row['value']} | {row['why']} |"
        for row in read_rows("small_settings")
    ]
    lines += ["", _ALGORITHMS, "| variants | size | tasks | field | value | source |", "|---|---|---|---|---|---|"]
    for row in read_rows("algorithm_settings"):
        cells = row["variants"], row["size"], f"`{row['tasks']}`", f"`{row['field']}`", row["value"], row["source"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _default(field: Setting) -> str:
    return f"unset: {field.unset}".replace("|", "\\|") if field.unset else f"`{field.default}`"


def _what(field: Setting) -> str:
    words = field.sentence.replace("|", "\\|")
    if field.choices:
        words += f" One of {', '.join(f'`{choice}`' for choice in field.choices)}."
    if field.low is not None:
        words += " Above 0" if field.low == POSITIVE else f" At least {field.low:g}"
        words += "." if field.high is None else f", at most {field.high:g}."
    return words


_INTRODUCTION = """# Settings

Made by `python experiments/run.py --settings` from `rvdt_jax/config/fields.py`. A file in this folder begins with
`default_config()`, and on the command line every field is a flag, e.g. `--config.loss.eta=3`. The second column has the
default, or what fills the field if it is left unset; a value that is given always wins. Fields that the small size
changes read `None` until `resolve` has filled them. A setting that the variant's algorithm does not read is
ignored, with a line in the log.
"""
_SMALL = """## The small size

`--config=configs/antmaze.py:small`, or `config.size = "small"`, fills unset fields with these values instead, for every
task and variant. If several rows of a field fit the task, the last one counts. `horizon` and `ref_max_return` are the
task's own numbers.
"""
_ALGORITHMS = """## Other algorithms

For these variants the settings of their papers come before those of the small size and of the task. If several rows of
a field fit, the last one counts.
"""
