"""How a setting is declared: once, with its default, one sentence, and what it may be."""

from __future__ import annotations

import dataclasses
import typing

POSITIVE = 1e-12  # the least value of what must be positive
REQUIRED = object()


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the package knows of a field."""

    default: object  # the value if nothing else gives one; None: there is none
    sentence: str  # what it does, with its unit and the origin of its default; shown in the settings reference
    unset: str | None = None  # what fills it if the user does not; None: it begins as its default
    choices: tuple[str, ...] = ()  # of a string, the permitted values
    low: float | None = None  # the range of a number, ends included; None: no limit. Every number must be finite
    high: float | None = None
    sized: bool = False  # a table in ``reference`` may fill it: of the small size, or of the variant's paper
    from_data: bool = False  # it may stay open until the data have been read
    of_task: str | None = None  # the attribute of the ``Task`` that fills it
    of_variant: str | None = None  # the attribute of the ``Variant`` that fills it
    same_as: str | None = None  # the field whose value it takes if nothing else gives one
    # When a run is resumed: ``same`` (the same value is required), ``kept`` (it may change, and that is recorded; left
    # unset it keeps the run's value), or ``free`` (it does not matter).
    resume: str = "same"
    older: object = REQUIRED  # reproduces what was done before the field existed; REQUIRED: every file has it
    name: str = ""  # dotted, from the dataclass, as are the next two
    kind: type = object
    optional: bool = False  # whether it may be None

    @property
    def begins_unset(self) -> bool:
        """Whether ``default_config`` leaves it open, so that ``resolve`` can tell what the user gave."""
        return self.unset is not None or self.sized


def setting(default, sentence: str, **details):
    """A dataclass field that declares a ``Setting``."""
    return dataclasses.field(metadata={"setting": Setting(default, sentence, **details)})


def settings_of(record: type, prefix: str = "") -> tuple[Setting, ...]:
    """Every setting that a dataclass declares, nested ones included, by dotted name and in order."""
    found, types = [], typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        name, kind = prefix + field.name, types[field.name]
        if dataclasses.is_dataclass(kind):
            found += settings_of(kind, f"{name}.")
            continue
        optional = type(None) in typing.get_args(kind)
        kind = typing.get_args(kind)[0] if optional else kind
        kind = typing.get_origin(kind) or kind
        found.append(dataclasses.replace(field.metadata["setting"], name=name, kind=kind, optional=optional))
    return tuple(found)


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    """The leaves of nested dicts by dotted name."""
    leaves = {}
    for name, value in values.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


def nested(leaves: dict[str, object]) -> dict:
    """The inverse of ``flat``."""
    values: dict = {}
    for name, value in leaves.items():
        section, _, field = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[field] = value
    return values
