"""BCQ: one whole update against float64, and the choice among candidates."""

import jax
import jax.numpy as jnp
import numpy as np
from float64 import double
from transition_problems import SMALL, backup, check, check_critic, check_follows, mean, mlp, one_update, values

from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.models.candidates import BestCandidate

PHI, KL, BOUND = 0.2, 0.4, 0.7


def vae_loss(vae, batch, noise):
    mu, log_std = np.split(mlp(vae["encoder"], np.concatenate([batch.observations, batch.actions], -1)), 2, -1)
    std = np.exp(np.clip(log_std, -4, 15))
    made = np.tanh(mlp(vae["decoder"], np.concatenate([batch.observations, mu + std * noise], -1)))
    kl = -0.5 * (1 + np.log(std**2) - mu**2 - std**2)
    return ((made - batch.actions) ** 2).mean() + KL * kl.mean()


def draw(vae, perturbation, observations, noise):
    actions = np.tanh(mlp(vae["decoder"], np.concatenate([observations, np.clip(noise, -BOUND, BOUND)], -1)))
    moved = PHI * np.tanh(mlp(perturbation, np.concatenate([observations, actions], -1)))
    return np.clip(actions + moved, -1, 1)


def test_a_whole_update_matches_the_reference(small_config, store):
    settings = {"vae__kl_weight": KL, "vae__width": 8, "vae__largest_latent": BOUND, "bcq__perturbation": PHI}
    settings |= {"backup__smaller_weight": 0.6, "backup__actions": 3}
    config = small_config(variant="BCQ", **SMALL, **settings)
    before, after, batch, metrics, keys = one_update(config, store, keys=4)
    shapes = (256, 4), (3, 256, 4), (1, 256, 4)
    noise = [double(jax.random.normal(key, shape)) for key, shape in zip(keys[1:], shapes, strict=True)]

    check(lambda vae: vae_loss(vae, batch, noise[0]), before, after, metrics, "vae")

    vae, observations = after["vae"].params, batch.next_observations
    drawn = [draw(vae, before["policy"].target, observations, each) for each in noise[1]]
    check_critic(before, after, backup(before, batch, drawn), batch, metrics)

    def loss(perturbation):
        actions = draw(vae, perturbation, batch.observations, noise[2][0])
        return -mean(values(after["critic"].params, batch.observations, actions)[0], batch)

    check(loss, before, after, metrics, "policy")
    check_follows(before, after, "policy")


def test_the_policy_takes_the_candidate_of_largest_value(small_config):
    config = small_config(variant="BCQ", vae__width=8, eval__candidates=50)
    algorithm = get_algorithm("BCQ")
    spec = algorithm.make_spec(config, 4, 2, 30)
    params = algorithm.acting_params(algorithm.init(jax.random.key(0), spec))["policy"]
    windows = jax.random.normal(jax.random.key(1), (3, 2, 4))
    assert isinstance(spec.policy, BestCandidate)
    actions = spec.policy.apply({"params": params}, windows).mean
    noise = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    for place in np.ndindex(3, 2):
        state = jnp.broadcast_to(windows[place], (50, 4))
        drawn = spec.policy.generator.apply({"params": params["generator"]}, state, noise, method="decode")
        worth = spec.critic.apply({"params": params["critic"]}, state, drawn).min(0)
        np.testing.assert_allclose(actions[place], drawn[worth.argmax()], atol=1e-6)
    alone = spec.policy.apply({"params": params}, windows, step=jnp.array([1, 0, 1])).mean
    np.testing.assert_allclose(alone[:, 0], actions[jnp.arange(3), jnp.array([1, 0, 1])], atol=1e-6)
