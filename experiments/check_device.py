"""Checks one update on this machine's device against the CPU, number by number; exits 1 where a bound is exceeded.

    python experiments/check_device.py [--variants=DT,QT,RVDT] [--width=256]

Both begin with the same parameters, data and random keys. In float32 matrix products use the highest precision. In
bfloat16 the device is compared with float32 on the CPU: the bounds are about three times what rounding costs there.
"""

import dataclasses

import numpy as np
from absl import app, flags

from launcher import parse_flags, report_errors

# dtype -> (of a loss, relative; of a learner's gradients, norm of the difference over the norm)
BOUNDS = {"float32": (1e-5, 1e-4), "bfloat16": (3e-2, 1e-1)}

_VARIANTS = flags.DEFINE_list("variants", ["DT", "QT", "RVDT"], "Variants to check.")
_WIDTH = flags.DEFINE_integer("width", 256, "Width of transformer and critics.", lower_bound=8)


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison: what of which update, how far apart, and how far it may be."""

    variant: str
    dtype: str
    what: str
    deviation: float
    bound: float

    @property
    def holds(self) -> bool:
        return self.deviation <= self.bound  # False for NaN


def main(argv: list[str]) -> int:
    """Prints the table."""
    import jax

    from rvdt_jax.report.provenance import device_name

    device, cpu = jax.devices()[0], jax.devices("cpu")[0]
    print(f"one update on {device_name(device.device_kind)} against float32 on the CPU")
    rows = [row for variant in _VARIANTS.value for row in compare(variant, device, cpu)]
    print(f"{'variant':<8} {'dtype':<9} {'what':<26} {'deviation':>10} {'bound':>8}")
    for row in rows:
        mark = "" if row.holds else "  exceeds the bound"
        print(f"{row.variant:<8} {row.dtype:<9} {row.what:<26} {row.deviation:>10.1e} {row.bound:>8.0e}{mark}")
    failed = sum(not row.holds for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} hold")
    return 1 if failed else 0


def compare(variant: str, device, cpu) -> list[Row]:
    """Every loss and gradient of a variant's update, in both dtypes."""
    expected_losses, expected_gradients = one_update(settings_of(variant, "float32"), cpu)
    rows = []
    for dtype, (loss_bound, gradient_bound) in BOUNDS.items():
        losses, gradients = one_update(settings_of(variant, dtype), device)
        for name, value in expected_losses.items():
            if "loss" in name or name == "policy/nll":
                deviation = abs(losses[name] - value) / max(abs(value), 1e-6)
                rows.append(Row(variant, dtype, name, deviation, loss_bound))
        for name, expected in expected_gradients.items():
            deviation = np.linalg.norm(gradients[name] - expected) / np.linalg.norm(expected)
            rows.append(Row(variant, dtype, f"gradients of {name}", float(deviation), gradient_bound))
    return rows


def settings_of(variant: str, dtype: str):
    """The reference size of maze2d in small batches; without dropout, so that little depends on single draws."""
    import rvdt_jax
    from rvdt_jax.algorithms.variants import get_variant

    settings = rvdt_jax.default_config()
    settings.task, settings.variant, settings.model.dtype = "maze2d-umaze-v1", variant, dtype
    settings.model.critic_width, settings.train.batch_size, settings.train.grad_clip_norm = _WIDTH.value, 32, 1e6
    reads = get_variant(variant).does_read
    if reads("model.width"):
        settings.model.width, settings.model.dropout = _WIDTH.value, 0.0
    if reads("td3.policy_every"):
        settings.td3.policy_every = 1  # else the first update has no gradient of the policy
    return rvdt_jax.resolve(settings)


def one_update(config, device) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The losses of the first update on a device, and each learner's gradients (ten times Adam's first moment)."""
    import jax
    import jax.numpy as jnp
    import optax
    from benchmark.data import LONGEST, make_episodes

    from rvdt_jax.algorithms.base import get_algorithm
    from rvdt_jax.data.rebalance import select_experts
    from rvdt_jax.data.store import make_normalizer, make_store
    from rvdt_jax.train.driver import init_states, train_chunk

    algorithm, episodes = get_algorithm(config.variant), make_episodes(20_000)
    with jax.default_device(jax.devices("cpu")[0]):
        spec, coefficients = algorithm.make_spec(config, 4, 2, LONGEST), algorithm.make_coefficients(config)
        states = init_states(jnp.zeros(1, jnp.int32), algorithm, spec)
        experts = select_experts(episodes.returns, episodes.lengths)
        store = make_store(episodes, experts, make_normalizer(episodes), return_scale=100.0)
    states, store, coefficients = jax.device_put((states, store, coefficients), device)
    with jax.default_matmul_precision("highest"):
        static = {"algorithm": algorithm, "spec": spec, "updates": 1, "map_seeds": "loop"}
        states, metrics = train_chunk(states, store, coefficients, **static)
    gradients = {}
    for name, learner in states.learners.items():
        moments = jax.tree.leaves(optax.tree_utils.tree_get(learner.optimizer, "mu"))
        gradients[name] = 10.0 * np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in moments])
    return {name: float(value[0]) for name, value in metrics.items()}, gradients


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
