"""The PyTorch peer computes our update: every loss, gradient and moved parameter, and dropout in distribution."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmark.agreement import for_agreement, measure_agreement, worst  # noqa: E402
from benchmark.peer_model import PeerPolicy  # noqa: E402
from benchmark.peer_update import PUBLIC, STRONG, Peer, multiply_as_jax, multiplying_as_jax  # noqa: E402
from benchmark.peer_weights import policy_tensors  # noqa: E402

from rvdt_jax.algorithms.base import init_policy  # noqa: E402
from rvdt_jax.algorithms.sequence_spec import make_spec  # noqa: E402

pytestmark = pytest.mark.slow

LONGEST = 30  # of the fixture's episodes


@pytest.mark.parametrize(("is_gpu", "precision"), [(True, "high"), (False, "highest")])
def test_on_a_gpu_float32_products_are_those_of_jax_there(is_gpu, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_gpu)
    with multiplying_as_jax():
        assert torch.get_float32_matmul_precision() == precision
    assert torch.get_float32_matmul_precision() == "highest"
    try:
        multiply_as_jax()
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_one_update_agrees_in_both_styles(small_config, store):
    """RVDT has every term that DT and QT have; the benchmark itself checks all three, at their sizes."""
    config = for_agreement(small_config(variant="RVDT", model__layers=2), batch_size=8)
    for style in (PUBLIC, STRONG):
        deviations = measure_agreement(config, store, LONGEST, style)
        assert worst(deviations) < 1.0, (style.name, deviations)
    compared = {f"loss/{name}" for name in ("nll", "weighted_nll", "loss", "td_loss", "guidance")}
    compared |= {"gradient/policy", "gradient/critic"}
    compared |= {f"move/{name}" for name in ("policy", "critic", "target_critic", "ema_policy")}
    assert deviations.keys() == compared


@pytest.mark.parametrize(
    ("method", "mutant"),
    [
        ("_nll", lambda self, mean, actions, right=Peer._nll: 1.001 * right(self, mean, actions)),
        ("_act", lambda self, mean, noise, right=Peer._act: 0.999 * right(self, mean, noise)),
        ("_update_targets", lambda self: None),
        ("_cosine", lambda self, step: 0.9),
    ],
)
def test_a_small_difference_is_seen(method, mutant, small_config, store, monkeypatch):
    """Of the same settings as above, so that nothing is compiled again."""
    monkeypatch.setattr(Peer, method, mutant)
    config = for_agreement(small_config(variant="RVDT", model__layers=2), batch_size=8)
    assert worst(measure_agreement(config, store, LONGEST, PUBLIC)) > 1.0


def test_settings_that_the_peer_does_not_cover_are_refused(small_config):
    state, window = {"loss__state_prediction": 1.0}, {"model__positions": "window"}
    for uncovered in ({"variant": "BC"}, {"variant": "RVDT-Dup"}, state, window):
        with pytest.raises(ValueError, match="--only=updates"):
            Peer(small_config(**uncovered), 4, 2, LONGEST, PUBLIC, "cpu")


DRAWS, RATE = 6000, 0.3


@pytest.fixture(scope="module")
def dropped(small_config):
    """Our means under dropout: (DRAWS, A) of one window's last step; and what makes the peer's, in a style."""
    config = small_config(variant="DT", model__layers=2, model__dropout=RATE)
    policy = make_spec(config, 4, 2, LONGEST).policy
    params = init_policy(jax.random.key(0), policy)
    rng, length = np.random.default_rng(1), config.model.context_length

    def loud(path, leaf):  # attention louder than the rest, so that what is dropped there is heard too
        scale = 1.0 if "CausalSelfAttention_0" in jax.tree_util.keystr(path) else 0.3
        return np.asarray(leaf + scale * rng.normal(size=leaf.shape), np.float32)

    params = jax.tree_util.tree_map_with_path(loud, params)
    window = [rng.normal(size=(1, length, size)).astype(np.float32) for size in (4, 2)]
    window += [rng.normal(size=(1, length)).astype(np.float32), np.arange(length, dtype=np.int32)[None]]
    window = [np.repeat(part, DRAWS, axis=0) for part in window]

    @jax.jit
    def ours(key):
        return policy.apply({"params": params}, *window, deterministic=False, rngs={"dropout": key}).mean[:, -1]

    def theirs(fused, off=()):
        peer = PeerPolicy(4, 2, LONGEST, config.model, fused=fused)
        peer.load_state_dict(policy_tensors(params))
        for name in off:
            peer.get_submodule(name).p = 0.0
        torch.manual_seed(0)
        tensors = [torch.from_numpy(part) for part in window]
        with torch.no_grad():
            return peer(*tensors[:3], tensors[3].long(), torch.ones(DRAWS, length))[:, -1].numpy()

    return np.asarray(ours(jax.random.key(3))), theirs


def differs(ours, theirs) -> bool:
    """Whether the two samples have other means or other spreads, by five standard errors."""
    spreads = [(sample - sample.mean(0)) ** 2 for sample in (ours, theirs)]
    pairs = (ours, theirs), spreads
    apart = [np.abs(a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / DRAWS) for a, b in pairs]
    return bool(np.max(apart) > 5.0)


PLACES = ("dropout", "blocks.0.dropout", "blocks.1.dropout", "blocks.0.attention.dropout")


@pytest.mark.parametrize(("fused", "off"), [(False, ()), (True, ()), *((False, (place,)) for place in PLACES)], ids=str)
def test_dropout_has_the_same_distribution_and_a_forgotten_place_is_seen(fused, off, dropped):
    ours, theirs = dropped
    assert differs(ours, theirs(fused, off)) == bool(off)
