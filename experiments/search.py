"""What was tried for the small sizes, as data: ``experiments/tune.py`` runs it and prints the table.

Every setting is a difference to the task's file of settings; records go to ``experiments/results/tuning``.
"""

MAZES = ("maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-umaze-dense-v1")  # settings are compared by the mean over these
CONFIGS = dict.fromkeys(MAZES, "configs/maze2d.py:small") | {"halfcheetah-medium-v2": "configs/gym.py:small"}
SEEDS = (100, 101, 102, 103)  # never those of a table

# setting -> what it changes, and its fields
SETTINGS: dict[str, tuple[str, dict[str, object]]] = {
    "chosen": (
        "the small size; for halfcheetah-medium before its 16,000 updates of 64 windows",
        {},
    ),
    "critic-raw": ("no Fourier features in the critics", {"model.critic_fourier_features": 0}),
    "policy-fourier": ("Fourier features in the policy, too", {"model.policy_fourier_features": 32}),
    "critic-layer-norm": ("LayerNorm in the critics, in addition to Fourier features", {"model.critic_norm": "layer"}),
    "critic-layer-norm-raw": (
        "LayerNorm in the critics instead of Fourier features",
        {"model.critic_norm": "layer", "model.critic_fourier_features": 0},
    ),
    "gamma-.97": ("a discount of .97", {"loss.gamma": 0.97}),
    "eta-3": ("eta 3 instead of 20", {"loss.eta": 3.0}),
    "eta-5": ("QT's eta for halfcheetah-medium", {"loss.eta": 5.0}),
    "eta-10": ("half the guidance", {"loss.eta": 10.0}),
    "eta-40": ("twice the guidance", {"loss.eta": 40.0}),
    "std-.1": ("a Gaussian of standard deviation .1", {"policy.std": 0.1}),
    "measure-return": (
        "experts compared by return, which was the default when it was run, instead of mean reward",
        {"expert.measure": "return"},
    ),
    "measure-mean-reward": ("experts compared by mean reward everywhere", {"expert.measure": "mean_reward"}),
    "experts-by-return": ("experts among all trajectories", {"expert.by": "return"}),
    "guidance-at-target": ("guidance under the return that is asked for", {"loss.guidance_return": "target"}),
    "warm-up": ("eta rises from 0 over 4,000 updates", {"loss.eta_warmup": 4000}),
    "one-step": ("one-step TD targets", {"loss.n_step": 1}),
    "alpha-0": ("no rebalancing (VDT)", {"loss.alpha": 0.0}),
}
