"""How fields that are unset are filled: from the variant, the size, the task, and the defaults, in this order."""

from __future__ import annotations

import csv
import dataclasses
import fnmatch
import functools
import logging
from importlib import resources

from rvdt_jax.algorithms.variants import get_variant
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import LOW_DATA, Task, get_task

log = logging.getLogger(__name__)
CONTEXT_LENGTH = 20  # without a task: QT's for most of its tasks


def fill_in(leaves: dict[str, object]) -> None:
    """Fills what is unset (None) in the values of every field, by dotted name, in place.

    Raises:
        UserError: there is no such task, variant or regime, or a share of the data is given twice.
    """
    task = get_task(leaves["task"]) if leaves["task"] else None
    variant = dataclasses.asdict(get_variant(leaves["variant"]))
    _fill(leaves, {name: variant[switch] for name, switch in _SWITCHES.items()})
    _ignore_unused(leaves)
    if not leaves["loss.q_guidance"]:
        _fill(leaves, {"loss.eta": 0.0})
    if leaves["size"] == "small":
        _fill(leaves, small_settings(task))
    if task is not None:
        _fill(leaves, {name: getattr(task, fact) for name, fact in _FACTS.items()})
    _fill_fraction(leaves)
    _fill(leaves, {name: field.default for name, field in FIELDS.items()})
    _fill(leaves, {name: leaves[field.same_as] for name, field in FIELDS.items() if field.same_as})


# Field -> what of the variant, or of the task, fills it.
_SWITCHES = {
    "loss.rebalancing": "rebalancing",
    "loss.q_guidance": "q_guidance",
    "policy.head": "head",
    "policy.condition_on_return": "condition_on_return",
    "expert.only": "expert_only",
    "expert.by": "expert_by",
}
_FACTS = {
    "train.steps": "train_steps",
    "train.lr_decay_steps": "lr_decay_steps",
    "train.grad_clip_norm": "grad_clip_norm",
    "model.context_length": "context_length",
    "loss.eta": "eta",
    "loss.reward_scale": "reward_scale",
    "loss.reward_shift": "reward_shift",
    "policy.return_scale": "return_scale",
    "eval.targets": "targets",
}


def _fill(leaves: dict, defaults: dict) -> None:
    leaves.update({name: value for name, value in defaults.items() if leaves[name] is None})


@functools.cache
def small_rows() -> tuple[dict[str, str], ...]:
    """The table of the small size, ``reference/small_settings.csv``."""
    text = (resources.files("rvdt_jax") / "reference" / "small_settings.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def small_settings(task: Task | None) -> dict[str, object]:
    """What the small size fills on a task, by field; of several rows that fit, the last counts."""
    name = task.name if task else ""
    texts = {row["field"]: row["value"] for row in small_rows() if fnmatch.fnmatchcase(name, row["tasks"])}
    return {field: _parse(field, text, task) for field, text in texts.items()}


def _parse(field: str, text: str, task: Task | None):
    if field == "eval.targets":  # a fact of the task, in six digits, so that it reads well
        return (float(f"{getattr(task, text):g}"),)
    kind = FIELDS[field].kind
    return tuple(int(word) for word in text.split()) if kind is tuple else kind(text)


def _ignore_unused(leaves: dict) -> None:
    """Takes back settings that the variant does not use, so that one file serves several variants; the log says so."""
    selection, unused = leaves["eval.action_selection"], []
    if not leaves["loss.q_guidance"]:
        reason = "without Q-guidance there is no critic"
        if leaves["loss.eta"]:
            unused.append(("loss.eta", reason))
        if selection in ("critic", "best_of"):
            unused.append(("eval.action_selection", reason))
    if leaves["policy.head"] == "deterministic":
        reason = "a deterministic policy has no std"
        if leaves["policy.learn_std"]:
            unused.append(("policy.learn_std", reason))
        if selection == "sample":
            unused.append(("eval.action_selection", reason))
    for name, reason in unused:
        log.info("config.%s=%s is ignored: %s (variant %s)", name, leaves[name], reason, leaves["variant"])
        leaves[name] = None


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
