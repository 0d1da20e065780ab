"""Fitted Q evaluation on a corridor whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.algorithms.base import Coefficients
from rvdt_jax.models.critic import TwinCritic
from rvdt_jax.train.fqe import Transitions, fit_q, polyak_rate

GAMMA, UPDATES = 0.9, 1000


def corridor(ends: bool, direction: float) -> Transitions:
    """Random walks between places 0 and 4, cut off after 20 steps; a step that arrives at 4 earns 1, and may end it."""
    rng, rows, steps = np.random.default_rng(0), [], []
    for _ in range(200):
        place = rng.integers(0, 4)
        for time in range(20):
            action = rng.choice([-1, 1])
            after = int(np.clip(place + action, 0, 4))
            terminal = ends and after == 4
            if terminal or time < 19:
                steps.append(len(rows))
            rows.append((place, action, float(after == 4), terminal))
            place = after
            if terminal:
                break
    places, actions, rewards, terminals = map(np.array, zip(*rows, strict=True))
    return Transitions(
        states=jnp.eye(5)[places],
        actions=jnp.asarray(actions[:, None], jnp.float32),
        policy_actions=jnp.full((len(rows), 1), direction),
        rewards=jnp.asarray(rewards, jnp.float32),
        terminals=jnp.asarray(terminals),
        steps=jnp.asarray(steps, jnp.int32),
    )


# Where it does not end, the goal pays at every step, and no time-out ends it.
@pytest.mark.parametrize(("ends", "direction", "pay"), [(True, 1.0, 1.0), (False, 1.0, 10.0), (False, -1.0, 0.0)])
def test_the_value_of_a_policy_that_the_data_did_not_follow(ends, direction, pay):
    rates = jnp.float32(GAMMA), jnp.float32(polyak_rate(GAMMA, UPDATES))
    coefficients, critic = Coefficients(1e-3, UPDATES, 9.0), TwinCritic(width=32, layers=2)
    data = corridor(ends, direction)
    how = {"critic": critic, "batch_size": 64, "updates": UPDATES}
    params, error = fit_q(jax.random.key(0), data, *rates, coefficients, **how)
    found = critic.apply({"params": params}, jnp.eye(5)[:4], jnp.full((4, 1), direction))
    np.testing.assert_allclose(found, np.tile(pay * GAMMA ** np.arange(3, -1, -1), (2, 1)), rtol=0.03, atol=0.03)
    assert error < 1e-3
