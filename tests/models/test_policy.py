"""The transformer policy: what it may see, and what it must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.models.critic import QS, TwinCritic
from rvdt_jax.models.policy import LOG_STD_RANGE, TransformerPolicy
from rvdt_jax.types import PolicyOutput

B, K, S, A = 2, 5, 3, 2
ROWS = jnp.arange(B)[:, None]


@pytest.fixture
def inputs():
    keys = jax.random.split(jax.random.key(0), 3)
    return {
        "observations": jax.random.normal(keys[0], (B, K, S)),
        "actions": jax.random.uniform(keys[1], (B, K, A)),
        "returns_to_go": jax.random.uniform(keys[2], (B, K)),
        "timesteps": jnp.tile(jnp.arange(K), (B, 1)),
    }


def make(inputs, **options):
    policy = TransformerPolicy(S, A, max_timestep=10, width=16, layers=2, heads=2, **options)
    params = policy.init(jax.random.key(1), **inputs)
    # Larger weights than at the start, so that a leak would be seen.
    params = jax.tree.map(lambda leaf: 8.0 * leaf, params)
    return lambda **changed: policy.apply(params, **(inputs | changed))


@pytest.mark.parametrize("field", ["observations", "actions", "returns_to_go", "timesteps"])
def test_causality(inputs, field):
    """So padding, which stands behind the valid steps, changes nothing."""
    apply = make(inputs)
    for step in range(K):
        changed = apply(**{field: inputs[field].at[:, step].add(1)}).mean
        moved = np.abs(np.asarray(changed - apply().mean)).max(axis=(0, 2)) > 0
        # a_t is read from step t + 1 on; everything else from t on.
        first = step + 1 if field == "actions" else step
        np.testing.assert_array_equal(moved, np.arange(K) >= first)


def test_a_policy_without_return_tokens_does_not_see_returns(inputs):
    apply = make(inputs, condition_on_return=False)
    np.testing.assert_array_equal(apply(returns_to_go=inputs["returns_to_go"] + 5).mean, apply().mean)


def test_positions_in_the_window_do_not_depend_on_where_the_window_lies(inputs):
    later = {"timesteps": inputs["timesteps"] + 3}
    episode, window = make(inputs), make(inputs, positions="window")
    assert not np.allclose(episode(**later).mean, episode().mean)
    np.testing.assert_array_equal(window(**later).mean, window().mean)
    np.testing.assert_array_equal(window().mean, episode().mean)  # of a window that begins an episode both are one
    last = jnp.full((B, K), 9)  # later timesteps share the last embedding
    np.testing.assert_array_equal(episode(timesteps=last + 100).mean, episode(timesteps=last).mean)


def test_fixed_std_is_fixed_and_learned_std_is_clipped(inputs):
    np.testing.assert_allclose(make(inputs, std=0.3)().log_std, np.log(0.3), rtol=1e-6)
    learned = make(inputs, learn_std=True, std=0.3)(observations=1e4 * inputs["observations"]).log_std
    assert learned.min() >= LOG_STD_RANGE[0]
    assert learned.max() <= LOG_STD_RANGE[1]
    assert learned.std() > 0


def test_bfloat16_stays_near_float32(inputs):
    small = make(inputs, dtype=jnp.bfloat16)().mean
    np.testing.assert_allclose(small, make(inputs)().mean, atol=0.15)
    assert small.dtype == jnp.float32


def test_in_bfloat16_many_windows_add_to_one_timestep_without_loss():
    """A sum in bfloat16 stops growing where a term is a 256th of it."""
    count = 4096
    inputs = {"observations": jnp.zeros((count, 2, S)), "actions": jnp.zeros((count, 2, A))}
    inputs |= {"returns_to_go": jnp.zeros((count, 2)), "timesteps": jnp.tile(jnp.arange(2), (count, 1))}

    def of_timesteps(dtype):
        policy = TransformerPolicy(S, A, max_timestep=2, width=8, layers=1, heads=2, dtype=dtype)
        params = policy.init(jax.random.key(1), **jax.tree.map(lambda x: x[:1], inputs))
        grads = jax.grad(lambda params: policy.apply(params, **inputs).mean.sum())(params)
        return np.asarray(grads["params"]["timestep"]["embedding"], np.float64)

    exact = of_timesteps(jnp.float32)
    assert np.linalg.norm(of_timesteps(jnp.bfloat16) - exact) < 0.05 * np.linalg.norm(exact)


OPTIONS = {
    "all of it": {"predict_state": True, "learn_std": True},
    "no returns": {"condition_on_return": False},
    "no returns, state head": {"condition_on_return": False, "predict_state": True},
    "one step of each window": {"step": jnp.array([3, 1])},
    "one step, state head": {"step": jnp.array([0, 4]), "predict_state": True, "learn_std": True},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_fast_policy_is_the_plain_one(inputs, case):
    """Same parameters, outputs and gradients; the plain one takes every token through every block, to every step."""
    options = dict(OPTIONS[case])
    step = options.pop("step", None)

    def evaluate(plain):
        policy = TransformerPolicy(S, A, max_timestep=10, width=16, layers=2, heads=2, plain=plain, **options)
        params = jax.tree.map(lambda leaf: 8.0 * leaf, policy.init(jax.random.key(1), **inputs))

        def total(params):
            output = policy.apply(params, **inputs, step=None if plain else step)
            if plain and step is not None:
                output = PolicyOutput(output.mean[ROWS, step[:, None]], output.log_std[ROWS, step[:, None]])
            leaves = jax.tree.leaves(output)
            return sum((jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape)) * leaf).sum() for leaf in leaves), output

        return params, *jax.grad(total, has_aux=True)(params)

    (params, gradients, output), (plain_params, plain_gradients, plain_output) = evaluate(False), evaluate(True)
    jax.tree.map(np.testing.assert_array_equal, params, plain_params)
    predicted = output.next_observations
    predicts = step is None and "predict_state" in options
    assert (None if predicted is None else predicted.shape) == ((B, K - 1, S) if predicts else None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), output, plain_output)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain_gradients))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4 * scale), gradients, plain_gradients)


@pytest.mark.slow
def test_dropout_does_to_the_output_what_drawn_masks_do(inputs):
    """Of one loud network: at the size of the start what is dropped inside a block would drown."""
    rng, draws = np.random.default_rng(1), 40_000
    policy = TransformerPolicy(S, A, max_timestep=10, width=16, layers=2, heads=2, dropout=0.2)

    params = policy.init(jax.random.key(1), **inputs)
    params = jax.tree.map(lambda leaf: np.float32(leaf + 0.5 * rng.normal(size=leaf.shape)), params)

    def draw(plain):
        @jax.jit
        @jax.vmap
        def sample(key):
            how = {"deterministic": False, "rngs": {"dropout": key}}
            return policy.clone(plain=plain).apply(params, **inputs, **how).mean

        return np.asarray(sample(jax.random.split(jax.random.key(2 + plain), draws)))

    one, other = draw(False), draw(True)
    for power in (one, other), ((one - one.mean(0)) ** 2, (other - other.mean(0)) ** 2):  # means, then spreads
        errors = np.sqrt((power[0].var(0) + power[1].var(0)) / draws)
        assert (np.abs(power[0].mean(0) - power[1].mean(0)) < 5 * errors).all()


def test_the_fast_critic_is_the_plain_one_and_two_independent_ones(inputs):
    data = inputs["observations"], inputs["actions"]
    fast, plain = TwinCritic(width=8, layers=2), TwinCritic(width=8, layers=2, plain=True)
    params = fast.init(jax.random.key(0), *data)
    jax.tree.map(np.testing.assert_array_equal, params, plain.init(jax.random.key(0), *data))
    both = fast.apply(params, *data)
    assert both.shape == (2, B, K)
    assert not np.allclose(both[0], both[1])
    np.testing.assert_allclose(both, plain.apply(params, *data), rtol=1e-5, atol=1e-6)
    for row, name in enumerate(QS):
        np.testing.assert_array_equal(fast.single(params["params"][name], *data), both[row])
