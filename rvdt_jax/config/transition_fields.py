"""Settings that the algorithms on single transitions alone read: sections of ``fields.Config``."""

from __future__ import annotations

import dataclasses

from rvdt_jax.config.declaration import POSITIVE, setting

# fmt: off


@dataclasses.dataclass(frozen=True)
class TD3Config:
    """TD3+BC (Fujimoto and Gu 2021) and ReBRAC (Tarasov et al. 2023)."""

    policy_noise: float = setting(0.2, "Std of the noise on the action of a TD target (TD3).", low=0, older=0.2)
    noise_clip: float = setting(0.5, "Largest such noise (TD3).", low=0, older=0.5)
    policy_every: int = setting(2, "Updates of the critics between two of policy and targets (TD3).", low=1, older=2)
    critic_penalty: float = setting(0.0, "Weight of |a~ - a'|^2 in a TD target (ReBRAC).", low=0, sized=True, older=0.0)


@dataclasses.dataclass(frozen=True)
class IQLConfig:
    """IQL (Kostrikov et al. 2021), and one-step RL (Brandfonbrener et al. 2021)."""

    expectile: float = setting(0.7, "tau of the values' expectile regression, eq. (5).", low=POSITIVE, high=1,
        sized=True, older=0.7)
    temperature: float = setting(3.0, "Inverse temperature beta of the policy's weights, eq. (7).", low=0, sized=True,
        older=3.0)
    dropout: float = setting(0.0, "Dropout of the policy's hidden layers.", low=0, high=0.99, sized=True, older=0.0)


@dataclasses.dataclass(frozen=True)
class BackupConfig:
    """TD targets with the best of several drawn actions: CQL, BCQ, BEAR, D-QL."""

    actions: int = setting(1, "Next actions that are drawn, of which a TD target takes the best.", low=1, sized=True,
        older=1)
    smaller_weight: float = setting(1.0, "Weight of the smaller critic in it; the larger one has the rest.", low=0,
        high=1, sized=True, older=1.0)


@dataclasses.dataclass(frozen=True)
class CQLConfig:
    """CQL (Kumar et al. 2020)."""

    alpha: float = setting(10.0, "Weight of the conservative term, eq. (4).", low=0, sized=True, older=10.0)
    actions: int = setting(10, "Actions of each kind (uniform, of s, of s') that sample its logsumexp.", low=1,
        older=10)
    lagrange: bool = setting(False, "Learn a factor of alpha that holds the term at cql.threshold (appendix F).",
        sized=True, older=False)
    threshold: float = setting(5.0, "tau: how far the logsumexp may be above the data's values.",
        sized=True, older=5.0)


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """The model of the data's actions (Fujimoto et al. 2019): BCQ, BEAR."""

    width: int = setting(750, "Width of its two hidden layers.", low=1, sized=True, older=750)
    kl_weight: float = setting(0.5, "Weight of the KL beside the squared error.", low=0, older=0.5)
    largest_latent: float = setting(0.5, "Bound of the latents that actions are made of.", low=POSITIVE, older=0.5)


@dataclasses.dataclass(frozen=True)
class BCQConfig:
    """BCQ (Fujimoto et al. 2019)."""

    perturbation: float = setting(0.05, "Phi: the largest change of an action of the VAE.", low=0, older=0.05)


@dataclasses.dataclass(frozen=True)
class BEARConfig:
    """BEAR (Kumar et al. 2019)."""

    kernel: str = setting("laplacian", "Kernel of the MMD.", choices=("laplacian", "gaussian"), older="laplacian")
    sigma: float = setting(20.0, "Its bandwidth.", low=POSITIVE, sized=True, older=20.0)
    samples: int = setting(10, "Actions of policy and data's model that the MMD compares.", low=1, older=10)
    threshold: float = setting(0.05, "epsilon: the MMD that a learned multiplier holds.", low=0, older=0.05)
    start: int = setting(100_000, "Updates in which the policy follows no value.", low=0, sized=True, older=100_000)


@dataclasses.dataclass(frozen=True)
class DQLConfig:
    """D-QL (Wang et al. 2023)."""

    steps: int = setting(5, "T: denoising steps of an action.", low=1, older=5)
