"""D4RL's maze2d tasks with a model small enough for two CPU cores: one setting for all tasks.

Chosen on three tasks (maze2d-umaze, -medium and -umaze-dense) with seeds from 100 up, mostly from single seeds: see
``experiments/results/tuning/exploration.md``. ``experiments/tune.py`` runs the search around it. The demonstration uses
it too.
"""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """One setting for all tasks and variants; each variant takes from it what concerns it."""
    config = default_config()
    config.task = "maze2d-umaze-v1"
    config.seeds = (0, 1, 2)
    config.train.steps = 10_000
    config.train.batch_size = 64  # windows of 5 steps; 256 windows and fewer updates do no better in the same time
    config.train.log_every = 100
    config.train.lr_decay_steps = 10_000  # to the end of training
    config.train.learning_rate = 1e-3  # a small model bears more than QT's 3e-4
    config.train.grad_clip_norm = 9.0
    config.model.width = 32
    config.model.layers = 1
    config.model.heads = 2
    config.model.context_length = 5
    config.model.positions = "window"  # most of an episode lies beyond the timesteps of the data's short segments
    config.model.dropout = 0.0  # a few passes over the data do not overfit
    config.model.critic_width = 128
    config.model.critic_fourier_features = 32  # or the critics see through walls
    config.policy.std = 0.3  # guidance and TD targets look at actions this far around the mean
    config.loss.eta = 20.0
    config.loss.gamma = 0.99  # below .987 a corner beside the goal is worth more than the way around in umaze-dense
    config.loss.target_rate = 0.02  # ripe in 10,000 updates, where QT has 50,000
    config.ema.every = 1
    config.eval.every = 1000
    config.eval.curve_episodes = 10  # as many as the published protocol takes the maximum over
    return config


def overrides(task: str, variant: str) -> dict[str, object]:
    """What a sweep sets besides: policies aim at a reward of 1 at every step; dense rewards take more guidance.

    Where every step is paid an action changes less of a value, against its size, than where few are.
    """
    from rvdt_jax.tasks import get_task

    target = {"eval.targets": (float(get_task(task).horizon),)}
    return target | {"loss.eta": 40.0} if "-dense-" in task else target
