"""The PyTorch peer of TD3+BC and IQL computes their losses, and a row of the benchmark from end to end."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmark.data import make_episodes
from benchmark.flop_count import update_flops
from benchmark.transitions import measure_transitions
from benchmark.updates import Data

from rvdt_jax.algorithms import transitions
from rvdt_jax.algorithms.base import get_algorithm, update_key
from rvdt_jax.train.driver import init_states, train_chunk

pytestmark = pytest.mark.slow
SMALL = {"model__critic_width": 16, "train__batch_size": 64, "td3__policy_noise": 0.0}


@pytest.mark.parametrize("variant", ["TD3+BC", "IQL"])
def test_the_peers_losses_are_ours(variant, small_config, store):
    torch = pytest.importorskip("torch")
    from benchmark.peer_transitions import Batch, TransitionPeer
    from benchmark.peer_weights import mlp_tensors

    config, algorithm = small_config(variant=variant, **SMALL, td3__policy_every=1), get_algorithm(variant)
    spec, coefficients = algorithm.make_spec(config, 4, 2, 30), algorithm.make_coefficients(config)
    states = init_states(jnp.zeros(1, jnp.int32), algorithm, spec)
    state = jax.tree.map(lambda leaf: leaf[0], states)
    key = update_key(state)
    drawn = transitions.draw_transitions(jax.random.split(key)[0] if variant == "TD3+BC" else key, store, spec)
    known = np.asarray(drawn.mask) > 0
    batch = Batch(*(torch.from_numpy(np.array(getattr(drawn, name))[known]) for name in Batch._fields))
    peer = TransitionPeer(config, 4, 2, "cpu")
    params = {name: jax.tree.map(np.asarray, learner.params) for name, learner in state.learners.items()}
    for name in ("q1", "q2"):
        peer.targets[name].load_state_dict(mlp_tensors(params["critic"][name]))
        getattr(peer, name).load_state_dict(mlp_tensors(params["critic"][name]))
    for policy in (peer.policy, peer.targets["policy"]):
        policy.load_state_dict(mlp_tensors(params["policy"]["MLP_0"]))
    if variant == "IQL":
        peer.value.load_state_dict(mlp_tensors(params["value"]))
    _, ours = train_chunk(states, store, coefficients, algorithm=algorithm, spec=spec, updates=1, map_seeds="loop")
    theirs = peer.update(batch)
    named = {"critic/td_loss": "td_loss", "policy/loss": "policy_loss", "value/loss": "value_loss"}
    if variant == "IQL":  # ours bootstraps from V after its step, as Algorithm 1; the public code from V before it
        del named["critic/td_loss"]
    for name in named.keys() & ours.keys():
        np.testing.assert_allclose(theirs[named[name]], float(ours[name][0]), rtol=2e-3, err_msg=name)


def test_a_row_from_end_to_end(small_config):
    row = measure_transitions(small_config(variant="IQL", **SMALL), Data.of(make_episodes(2000)), "loop", 1e9)
    assert row["floor_milliseconds_per_update"] == row["flops_per_update"] / 1e6
    assert row["five_seeds"]["ratio"]["median"] > 0
    assert ("ratio" in row["peer"]) == bool(importlib.util.find_spec("torch"))


@pytest.mark.parametrize("policy_every", [1, 2])
def test_the_floor_counts_every_matrix_product_of_an_update(policy_every, small_config):
    width, rows, state, action = 64, 32, 4, 2
    sizes = {"model__critic_width": width, "model__critic_layers": 2, "train__batch_size": rows}
    config = small_config(variant="TD3+BC", **sizes, td3__policy_every=policy_every)
    policy, first = state * width + width**2 + width * action, (state + action) * width
    critic = first + width**2 + width
    # Target policy and critics; both critics forward, then back to weights and to hidden layers.
    of_critics = policy + 2 * critic + 2 * (critic + critic + critic - first)
    # The policy and one critic forward, that critic back to the action, the policy back.
    of_policy = policy + critic + critic + policy + (policy - state * width)
    expected = 2 * rows * (of_critics + of_policy / policy_every)
    assert update_flops(config, Data.of(make_episodes(2000))) == pytest.approx(expected, rel=0.005)
