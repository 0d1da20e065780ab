"""The table of variants: each row names an algorithm and the settings with which it runs. Loads no JAX."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping

from rvdt_jax.errors import UserError, did_you_mean

REBALANCINGS = ("none", "dup", "kl", "kl_explicit")
HEADS = ("deterministic", "gaussian")
# What is read whatever the algorithm: by the driver, the store, the expert set, and acting.
_READ_BY_ALL = (
    *("task", "variant", "size", "seeds", "workdir", "env", "data", "expert", "eval", "parallel"),
    *("train.steps", "train.log_every", "train.checkpoint_every", "train.keep_checkpoints", "train.on_divergence"),
    *("model.context_length", "loss.reward_scale", "loss.reward_shift", "policy.return_scale", "policy.std"),
    *("loss.return_span", "train.init_from"),
)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table. An algorithm of your own is a row too; see ``get_variant``.

    The switches fill the settings of the same name where those are unset. ``rebalancing`` is ``none``; ``dup`` (expert
    trajectories are sampled more often); ``kl`` (the NLL of expert trajectories weighs 1 + alpha, eq. (2)); or
    ``kl_explicit`` (the KL of eq. (1) to a cloned expert).
    """

    rebalancing: str = "none"
    q_guidance: bool = False  # whether a critic is learned and guides the policy, eq. (3)
    head: str = "deterministic"  # or ``gaussian``
    condition_on_return: bool = True  # whether the policy sees the return-to-go
    expert_only: bool = False  # whether training sees the expert trajectories alone (%BC)
    expert_by: str = "start"  # how trajectories are ranked; %BC's are those of highest return, as in its sources
    chooses: bool = False  # whether its policy is the best of ``eval.candidates`` actions, whatever the selection
    algorithm: str = "rvdt_jax.algorithms.sequence:SEQUENCE"  # ``module:NAME`` of an ``Algorithm``, imported when used
    # Further settings that it fills where they are unset, by dotted name: ``{"model.context_length": 1}``.
    fills: Mapping[str, object] = dataclasses.field(default_factory=dict, hash=False)
    # Settings, or whole sections, that this algorithm reads besides what every run reads; any other that is set is
    # ignored, with a line in the log.
    reads: tuple[str, ...] = ("train", "model", "loss", "ema", "policy")

    def does_read(self, name: str) -> bool:
        """Whether a run of this row depends on the setting of that dotted name."""
        return any(name == known or name.startswith(f"{known}.") for known in (*_READ_BY_ALL, *self.reads))


# What the algorithms on single transitions read; their settings are in ``reference/algorithm_settings.csv``.
_CRITICS = (
    *("train.batch_size", "train.learning_rate", "train.critic_learning_rate", "train.grad_clip_norm"),
    *("model.critic_width", "model.critic_layers", "model.critic_norm", "model.dtype", "loss.gamma"),
    *("model.critic_fourier_features", "model.fourier_scale", "loss.target_rate"),
)
_TRANSITIONS = (*_CRITICS, "model.policy_fourier_features")
_TD3 = (*_TRANSITIONS, "loss.eta", "td3")
_IQL = (*_TRANSITIONS, "train.lr_decay_steps", "iql")
_CQL = (*_TRANSITIONS, "backup", "cql")
_BCQ = (*_CRITICS, "backup", "vae", "bcq")
_BEAR = (*_TRANSITIONS, "backup", "vae", "bear")
_D_QL = (*_CRITICS, "train.lr_decay_steps", "loss.eta", "ema", "backup", "dql")


def _on_transitions(algorithm: str, head: str, reads: tuple[str, ...], chooses: bool = False) -> Variant:
    names = {"algorithm": f"rvdt_jax.algorithms.{algorithm}", "reads": reads}
    return Variant("none", True, head, False, chooses=chooses, **names)


VARIANTS = {
    "BC": Variant("none", False, "deterministic", condition_on_return=False),
    "%BC": Variant("none", False, "deterministic", condition_on_return=False, expert_only=True, expert_by="return"),
    "DT": Variant("none", False, "deterministic"),
    "QDT": Variant("none", False, "deterministic", fills={"data.relabel": "value"}),
    "DT-Dup": Variant("dup", False, "gaussian"),
    "RDT": Variant("kl", False, "gaussian"),
    "QT": Variant("none", True, "deterministic"),
    "VDT": Variant("none", True, "gaussian"),
    "RVDT-Dup": Variant("dup", True, "gaussian"),
    "RVDT-Determ": Variant("kl", True, "deterministic"),
    "RVDT": Variant("kl", True, "gaussian"),
    "TD3+BC": _on_transitions("td3_bc:TD3_BC", "deterministic", _TD3),
    "ReBRAC": _on_transitions("td3_bc:TD3_BC", "deterministic", _TD3),
    "IQL": _on_transitions("iql:IQL", "gaussian", _IQL),
    "O-RL": _on_transitions("iql:ONE_STEP", "gaussian", _IQL),
    "CQL": _on_transitions("cql:CQL", "deterministic", _CQL),
    "BCQ": _on_transitions("bcq:BCQ", "deterministic", _BCQ, chooses=True),
    "BEAR": _on_transitions("bear:BEAR", "deterministic", _BEAR, chooses=True),
    "D-QL": _on_transitions("diffusion_ql:D_QL", "deterministic", _D_QL, chooses=True),
}


def get_variant(name: str) -> Variant:
    """The row called ``name``: one of ``VARIANTS``, or ``package.module:NAME`` of a ``Variant`` of your own.

    Raises:
        UserError: there is no such variant, and the message names the nearest one and lists them all; or your own
            cannot be imported.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if ":" in name:
        return load_named(name, Variant, f"config.variant={name}")
    hint = did_you_mean(name, VARIANTS)
    raise UserError(
        f"config.variant: there is no variant {name!r}.{hint} Known variants: {', '.join(VARIANTS)}. Name one "
        "of your own package.module:NAME."
    )


def load_named(name: str, kind: type, what: str):
    """The object of that ``kind`` which ``package.module:NAME`` names; ``what`` begins a message.

    Raises:
        UserError: the module cannot be imported, or holds no such object.
    """
    module_name, _, attribute = name.partition(":")
    if module_name.startswith("."):
        raise UserError(f"{what}: {module_name!r} is a relative name; give the module's full one.")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:  # ValueError: the name is empty
        raise UserError(
            f"{what}: the module {module_name!r} cannot be imported ({error}). Install it, or put its folder on "
            "PYTHONPATH."
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        known = [each for each, value in vars(module).items() if isinstance(value, kind)]
        there = f"It has {', '.join(known)}." if known else "It has none."
        raise UserError(f"{what}: {module_name} has no {kind.__name__} named {attribute!r}. {there}")
    return found


def folder_name(variant: str) -> str:
    """A variant's name as the name of a folder."""
    return variant.replace("%", "percent-").replace(":", "-")
