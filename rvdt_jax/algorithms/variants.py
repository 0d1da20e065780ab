"""The table of algorithm variants: each is a row of switches over one training step, never a code path."""

from __future__ import annotations

import dataclasses

from rvdt_jax.errors import UserError, did_you_mean

REBALANCINGS = ("none", "dup", "kl", "kl_explicit")
HEADS = ("deterministic", "gaussian")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        rebalancing: ``none``; ``dup`` (expert trajectories are sampled more often); ``kl`` (the NLL of expert
            trajectories weighs 1 + alpha, eq. (2)); ``kl_explicit`` (the KL of eq. (1) to a cloned expert).
        q_guidance: whether a critic is learned and guides the policy, eq. (3).
        head: ``deterministic`` or ``gaussian``.
        condition_on_return: whether the policy sees return-to-go tokens.
        expert_only: whether training sees the expert trajectories alone (%BC).
        expert_by: how trajectories are ranked, ``expert.by``; %BC's are those of highest return, as in its sources.
    """

    rebalancing: str
    q_guidance: bool
    head: str
    condition_on_return: bool = True
    expert_only: bool = False
    expert_by: str = "start"


VARIANTS = {
    "BC": Variant("none", False, "deterministic", condition_on_return=False),
    "%BC": Variant("none", False, "deterministic", condition_on_return=False, expert_only=True, expert_by="return"),
    "DT": Variant("none", False, "deterministic"),
    "DT-Dup": Variant("dup", False, "gaussian"),
    "RDT": Variant("kl", False, "gaussian"),
    "QT": Variant("none", True, "deterministic"),
    "VDT": Variant("none", True, "gaussian"),
    "RVDT-Dup": Variant("dup", True, "gaussian"),
    "RVDT-Determ": Variant("kl", True, "deterministic"),
    "RVDT": Variant("kl", True, "gaussian"),
}


def get_variant(name: str) -> Variant:
    """The row called ``name``.

    Raises:
        UserError: no such variant; the message names the nearest one and lists them all.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    hint = did_you_mean(name, VARIANTS)
    raise UserError(f"config.variant: there is no variant {name!r}.{hint} Known variants: {', '.join(VARIANTS)}.")
