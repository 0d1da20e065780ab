"""How fields that are unset are filled: from the variant, the size, the task, and the defaults, in this order."""

from __future__ import annotations

import csv
import fnmatch
import functools
import logging
from importlib import resources

from rvdt_jax.algorithms.variants import VARIANTS, Variant, get_variant
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.errors import UserError, nearest
from rvdt_jax.tasks import LOW_DATA, Task, get_task

log = logging.getLogger(__name__)


def fill_in(leaves: dict[str, object]) -> None:
    """Fills what is unset (None) in the values of every field, by dotted name, in place.

    Raises:
        UserError: there is no such task, variant or regime, or a share of the data or a reward scale is given twice.
    """
    variant, task = get_variant(leaves["variant"]), get_task(leaves["task"]) if leaves["task"] else None
    _ignore_unread(leaves, variant)
    _fill(leaves, dict(variant.fills))
    _fill(leaves, _one_scale(leaves, algorithm_settings(leaves["variant"], leaves["size"], task)))
    _fill(leaves, _facts(variant, "of_variant"))
    _ignore_unused(leaves)
    if not leaves["loss.q_guidance"]:
        _fill(leaves, {"loss.eta": 0.0})
    if leaves["size"] == "small":
        _fill(leaves, small_settings(task))
    if task is not None:
        facts = _facts(task, "of_task")
        if leaves["loss.return_span"] is not None:
            del facts["loss.reward_scale"]  # the data decide
        _fill(leaves, facts)
    _fill_fraction(leaves)
    _fill(leaves, {name: field.default for name, field in FIELDS.items()})
    _fill(leaves, {name: leaves[field.same_as] for name, field in FIELDS.items() if field.same_as})


def _fill(leaves: dict, defaults: dict) -> None:
    leaves.update({name: value for name, value in defaults.items() if leaves[name] is None})


def _facts(record: Task | Variant, declared: str) -> dict[str, object]:
    """What a task or a variant says of the fields that name one of its attributes."""
    named = {name: getattr(field, declared) for name, field in FIELDS.items()}
    return {name: getattr(record, attribute) for name, attribute in named.items() if attribute}


@functools.cache
def read_rows(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a table of settings in ``reference``."""
    text = (resources.files("rvdt_jax") / "reference" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def small_settings(task: Task | None) -> dict[str, object]:
    """What the small size fills on a task, by field."""
    return _settings_of(read_rows("small_settings"), task)


def algorithm_settings(variant: str, size: str, task: Task | None) -> dict[str, object]:
    """What the papers of the algorithms other than the RVDT family fill, by field."""
    rows = [row for row in read_rows("algorithm_settings") if variant in row["variants"].split()]
    return _settings_of([row for row in rows if row["size"] in ("*", size)], task)


def _settings_of(rows, task: Task | None) -> dict[str, object]:
    """The settings of the rows one of whose patterns of tasks fits; of several rows of a field, the last counts."""
    name = task.name if task else ""
    fitting = (row for row in rows if any(fnmatch.fnmatchcase(name, pattern) for pattern in row["tasks"].split()))
    texts = {row["field"]: row["value"] for row in fitting}
    return {field: _parse(field, text, task) for field, text in texts.items()}


def _parse(field: str, text: str, task: Task | None):
    if field == "eval.targets":  # a fact of the task, in six digits, so that it reads well
        return (float(f"{getattr(task, text):g}"),)
    kind = FIELDS[field].kind
    return tuple(int(word) for word in text.split()) if kind is tuple else kind(text)


def _ignore_unread(leaves: dict, variant: Variant) -> None:
    """Takes back settings that the variant's algorithm does not read; the log says so."""
    read = [name for name in FIELDS if variant.does_read(name)]
    for name in FIELDS:
        if leaves[name] != _untouched(name) and name not in read:
            similar = nearest(name, read, cutoff=0.7)
            hint = f"; the nearest that it reads is config.{similar}" if similar else ""
            log.info("config.%s=%s is ignored: %s does not read it%s", name, leaves[name], leaves["variant"], hint)
            leaves[name] = _untouched(name)


def _untouched(name: str):
    return None if FIELDS[name].begins_unset else FIELDS[name].default


_NO_CRITIC, _NO_STD = "without Q-guidance there is no critic", "a deterministic policy has no std"
_OF_CRITICS = ("loss.eta_warmup", "loss.guidance_return", "loss.n_step")
_OF_CRITICS += ("ema.decay", "ema.every", "ema.start")  # the EMA policy acts in TD targets alone


def unused(leaves: dict) -> dict[str, str]:
    """The settings on which a run with these leaves does not depend, and why, by dotted name.

    Of the variants of this package that model sequences alone: what others read, their rows say. Where there is no
    critic, its size, its learning rates and the discount count nevertheless, for fitted Q evaluation and relabelling.
    """
    variant = VARIANTS.get(leaves["variant"])
    if variant is None or variant.algorithm != Variant.algorithm:
        return {}
    found = {} if leaves.get("loss.q_guidance", True) else dict.fromkeys(_OF_CRITICS, _NO_CRITIC)
    return found | ({"loss.alpha": "nothing is rebalanced"} if leaves.get("loss.rebalancing") == "none" else {})


def _ignore_unused(leaves: dict) -> None:
    """Takes back settings that the variant does not use, so that one file serves several variants; the log says so."""
    selection = leaves["eval.action_selection"]
    no_critic, no_std = not leaves["loss.q_guidance"], leaves["policy.head"] == "deterministic"
    reasons = unused(leaves)
    if no_critic and leaves["loss.eta"]:
        reasons["loss.eta"] = _NO_CRITIC
    if no_std and leaves["policy.learn_std"]:
        reasons["policy.learn_std"] = _NO_STD
    if (no_critic and selection in ("critic", "best_of")) or (no_std and selection == "sample"):
        reasons["eval.action_selection"] = _NO_STD if selection == "sample" else _NO_CRITIC
    for name, reason in reasons.items():
        if leaves[name] != _untouched(name):
            log.info("config.%s=%s is ignored: %s (variant %s)", name, leaves[name], reason, leaves["variant"])
            leaves[name] = _untouched(name)


def _one_scale(leaves: dict, rows: dict[str, object]) -> dict[str, object]:
    """The ``rows`` without the one that a given reward scale, or a given span of returns, takes the place of."""
    scale, span = leaves["loss.reward_scale"], leaves["loss.return_span"]
    if scale is not None and span is not None:
        raise UserError(
            f"config.loss.reward_scale={scale:g} and config.loss.return_span={span:g} both say how rewards are scaled. "
            "Set one of the two."
        )
    names = "loss.reward_scale", "loss.return_span"
    given, other = names if span is None else reversed(names)
    if leaves[given] is None or other not in rows:
        return rows
    log.info("config.%s=%g takes the place of the variant's config.%s=%g", given, leaves[given], other, rows[other])
    return {name: value for name, value in rows.items() if name != other}


def _fill_fraction(leaves: dict) -> None:
    regime, fraction = leaves["data.regime"], leaves["data.fraction"]
    if regime not in LOW_DATA:  # checked with all choices
        return
    if fraction not in (None, LOW_DATA[regime]):
        raise UserError(
            f"config.data.regime={regime} keeps {LOW_DATA[regime]:g} of the trajectories, but config.data.fraction is "
            f"{fraction}. Set one of the two."
        )
    leaves["data.fraction"] = LOW_DATA[regime]
