"""The algorithms on single transitions on problems whose answer is known: twenty seeds of twenty must find it."""

import pytest
from compilation import FAST_PROGRAMS
from transition_problems import bandit, corridor, twenty_seeds

pytestmark = pytest.mark.slow

COMMON = {"train__batch_size": 64, "loss__target_rate": 0.05, "loss__gamma": 0.9}
PLAIN = COMMON | {"model__critic_width": 64, "train__steps": 4000, "train__lr_decay_steps": 4000}
PLAIN |= {"train__learning_rate": 3e-4, "train__critic_learning_rate": 1e-3}
# In the corridor the data mostly go the other way: values must count for more.
STRONG = PLAIN | {"loss__eta": 30.0, "iql__temperature": 30.0, "iql__expectile": 0.9}
SMALL = COMMON | {"model__critic_width": 32, "model__critic_layers": 2, "train__steps": 3000}
SMALL |= {"train__learning_rate": 1e-3}
# Rare actions of the data must be among the candidates.
VAE = {"vae__width": 32, "vae__kl_weight": 0.02, "vae__largest_latent": 2.0}
CQL = {"cql__alpha": 0.1, "cql__actions": 2, "train__critic_learning_rate": 1e-3, "cql__lagrange": False}
BEAR = VAE | {"bear__samples": 4, "bear__start": 500, "bear__sigma": 1.0, "bear__threshold": 0.5, "backup__actions": 4}
D_QL = {"train__critic_learning_rate": 1e-3, "train__lr_decay_steps": 3000, "loss__eta": 5.0}
D_QL |= {"ema__start": 100, "ema__every": 5}
SAMPLING = {"CQL": SMALL | CQL, "BCQ": SMALL | VAE, "BEAR": SMALL | BEAR, "D-QL": SMALL | D_QL}

# One-step RL cannot pass the corridor: under the data's own policy, which turns back, going on is worth nothing.
CASES = [(name, bandit, PLAIN) for name in ("TD3+BC", "ReBRAC", "IQL", "O-RL")]
CASES += [(name, corridor, STRONG) for name in ("TD3+BC", "IQL")]
CASES += [(name, problem, settings) for name, settings in SAMPLING.items() for problem in (bandit, corridor)]


@pytest.mark.parametrize(("name", "problem", "settings"), CASES)
def test_twenty_seeds_of_twenty_find_what_is_right(name, problem, settings, small_config):
    options = FAST_PROGRAMS if name in SAMPLING else None
    assert twenty_seeds(small_config(variant=name, **settings), problem, options).all()
