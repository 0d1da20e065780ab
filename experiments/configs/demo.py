"""The demonstration: maze2d-umaze with a model small enough for two CPU cores.

Chosen on seeds 100 and 101, reported on seeds 0 to 2, run once. What was measured for RVDT, as the mean score of the
final checkpoints at target 150 (6000 updates, 50 episodes a seed, so give or take 8; in brackets per seed):

    batch  64, width 64, 2 layers, K=5, eta 3,  gamma .99    81 (seed 100 alone)
    batch  64, width 64, 2 layers, K=5, eta 10, gamma .97    83 (91, 74)
    batch  64, width 64, 2 layers, K=5, eta 3,  gamma .95    71 (83, 59)
    batch  64, width 64, 2 layers, K=5, eta 10, gamma .95    48 (78, 18)
    batch 256, width 32, 1 layer,  K=5, eta 3,  gamma .99    74 (71, 78)
    batch 256, width 32, 1 layer,  K=5, eta 3,  gamma .97    82 (92, 73), the choice: the seeds agree best
    batch 256, width 32, 1 layer,  K=3, eta 3,  gamma .98    87 (117, 58)

The settings are RVDT's; DT and BC share them. In the same search DT (seed 100, batch 64, width 64, 2 layers) scored 24
to 45 at K=10, by target, and 1 to 17 at K=3.

K=10 left the critic near the value of the data's own controller, for the n-step return follows that controller; eta 10
at batch 256 followed an unripe critic into a corner (0 after 2000 updates), and so did alpha 4 in part (47 after 2000).
"""

from ml_collections import ConfigDict

from rvdt_jax.defaults import default_config


def get_config() -> ConfigDict:
    """One setting for all variants; each takes from it what concerns it."""
    config = default_config()
    config.task = "maze2d-umaze-v1"
    config.seeds = (0, 1, 2)
    config.train.steps = 6000  # about 13 ms each for RVDT on 2 cores: eight minutes in all, with BC and DT
    config.train.log_every = 100  # four seconds with three seeds
    config.train.lr_decay_steps = 6000  # to the end of training
    config.train.learning_rate = 1e-3  # a small model bears more than QT's 3e-4
    config.model.width = 32
    config.model.layers = 1
    config.model.heads = 2
    config.model.context_length = 5
    config.model.dropout = 0.0  # two passes over the data do not overfit
    config.model.critic_width = 128
    config.loss.gamma = 0.97  # the goal is some 70 steps away; a shorter horizon makes the critic ripe in time
    config.loss.target_rate = 0.02  # ripe in 6000 updates, where QT has 50,000
    config.ema.every = 1
    config.eval.targets = (150.0,)  # about what a score of 90 returns
    return config
