"""How fields left unset are filled from the variant and the task, and which ones the variant does not use."""

from __future__ import annotations

import logging

from rvdt_jax.algorithms.variants import Variant, get_variant
from rvdt_jax.config.defaults import default_config
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import LOW_DATA, Task, get_task

log = logging.getLogger(__name__)
SELECTION = "mean"  # with a critic too: the safest on the tuning tasks, see experiments/results/tuning/exploration.md
# Where there is neither a task nor data to say better: QT's context length and gradient clip for most of its tasks.
CONTEXT_LENGTH = 20
_WITHOUT_TASK = {"steps": 100_000, "grad_clip_norm": 9.0}
_ETA = 1.0


def fill_in(values: dict) -> None:
    """Fills, in place, what is left unset in the values of a configuration that has every field.

    Raises:
        UserError: there is no such task, variant or regime, or a share of the data is given twice.
    """
    variant = get_variant(values["variant"])
    _take_back_unread(values, variant)
    _fill_from_variant(values, variant)
    _fill_from_task(values, get_task(values["task"]) if values["task"] else None)
    _take_back_unused(values)
    guided, task = values["loss"]["q_guidance"], values["task"]
    published = get_task(task).eta if task else _ETA
    _fill(values["loss"], eta=published if guided else 0.0)
    _fill_fraction(values["data"])
    _fill(values["parallel"], devices=0)
    _fill(values["eval"], processes=0, action_selection=SELECTION)
    train = values["train"]
    _fill(train, lr_decay_steps=train["steps"], checkpoint_every=values["eval"]["every"])
    _fill(train, critic_learning_rate=train["learning_rate"])


def split_names(names: tuple | None) -> tuple | None:
    """The names, also where several came as one, as a flag with commas gives them."""
    if names is None or not all(isinstance(name, str) for name in names):
        return names
    return tuple(part.strip() for name in names for part in name.split(","))


def _fill(section: dict, **defaults) -> None:
    for name, value in defaults.items():
        if section[name] is None:
            section[name] = value


def _fill_from_variant(values: dict, variant: Variant) -> None:
    for name, value in variant.fills.items():
        section, _, field = name.partition(".")
        _fill(values[section], **{field: value})
    _fill(values["loss"], rebalancing=variant.rebalancing, q_guidance=variant.q_guidance)
    _fill(values["policy"], head=variant.head, condition_on_return=variant.condition_on_return)
    _fill(values["expert"], only=variant.expert_only, by=variant.expert_by)


def _take_back_unread(values: dict, variant: Variant) -> None:
    """Takes back settings that the variant's algorithm does not read; the log says so."""
    for section, defaults in default_config().to_dict().items():
        for field, default in defaults.items() if isinstance(defaults, dict) else ():
            name, value = f"{section}.{field}", values[section][field]
            if value != default and not variant.does_read(name):
                log.info("config.%s=%s is ignored: %s does not read it", name, value, values["variant"])
                values[section][field] = default


def _take_back_unused(values: dict) -> None:
    """Takes back settings that the variant does not use, so that one file serves several variants; the log says so."""
    loss, policy, scoring = values["loss"], values["policy"], values["eval"]
    unused = []
    if not loss["q_guidance"]:
        reason = "without Q-guidance there is no critic"
        if loss["eta"] is not None and loss["eta"] > 0:
            unused.append((loss, "loss.eta", None, reason))
        if scoring["action_selection"] in ("critic", "best_of"):
            unused.append((scoring, "eval.action_selection", None, reason))
    if policy["head"] == "deterministic":
        reason = "a deterministic policy has no std"
        if policy["learn_std"]:
            unused.append((policy, "policy.learn_std", False, reason))
        if scoring["action_selection"] == "sample":
            unused.append((scoring, "eval.action_selection", None, reason))
    for section, name, instead, reason in unused:
        field = name.rpartition(".")[2]
        log.info("config.%s=%s is ignored: %s (variant %s)", name, section[field], reason, values["variant"])
        section[field] = instead


def _fill_fraction(data: dict) -> None:
    regime = data["regime"]
    if regime is None:
        _fill(data, fraction=1.0)
        return
    if regime not in LOW_DATA:
        raise UserError(f"config.data.regime is {regime!r}; choose one of {', '.join(LOW_DATA)}, or leave it unset.")
    if data["fraction"] not in (None, LOW_DATA[regime]):
        raise UserError(
            f"config.data.regime={regime} keeps {LOW_DATA[regime]:g} of the trajectories, but config.data.fraction is "
            f"{data['fraction']}. Set one of the two."
        )
    data["fraction"] = LOW_DATA[regime]


def _fill_from_task(values: dict, task: Task | None) -> None:
    if task is None:
        _fill(values["train"], **_WITHOUT_TASK)
        _fill(values["loss"], reward_scale=1.0, reward_shift=0.0)
        return
    _fill(
        values["train"],
        steps=task.train_steps,
        lr_decay_steps=task.lr_decay_steps,
        grad_clip_norm=task.grad_clip_norm,
    )
    _fill(values["model"], context_length=task.context_length)
    _fill(values["loss"], reward_scale=task.reward_scale, reward_shift=task.reward_shift)
    _fill(values["policy"], return_scale=task.return_scale)
    _fill(values["eval"], targets=task.targets)
