"""Every setting there is, with what it does, its unit, and where its default comes from."""

from __future__ import annotations

from ml_collections import ConfigDict, config_dict


def default_config() -> ConfigDict:
    """The defaults, one comment a field; ``resolve`` fills those left unset from the variant and the task."""
    unset = config_dict.placeholder
    config = ConfigDict()
    # (*) Of the returns in the data: the maximum, the 90th percentile, the maximum raised by 20 %, and where rewards
    # are sparse the horizon times the reward.
    # (**) A resumed run keeps its own where it is unset, and so for eval.targets, horizon, action_selection, and env.
    config.task = unset(str)  # name of the task, as D4RL spells it; see rvdt_jax/tasks.py; unset: data of your own
    config.variant = "RVDT"  # row of the table in rvdt_jax/algorithms/variants.py
    config.seeds = (0,)  # one training run per seed, all in one program
    config.workdir = unset(str)  # run directory; unset: runs/<task or data set>/<variant>
    config.env = unset(str)  # Gymnasium id that scores; unset: the task's, else the data set's own; none: no scores

    config.train = ConfigDict()
    config.train.steps = unset(int)  # updates; unset: where QT stops on this task, 100,000 without a task (**)
    config.train.batch_size = 256  # windows per update (QT)
    config.train.learning_rate = 3e-4  # peak, for policy, cloned expert and critic (QT)
    config.train.critic_learning_rate = unset(float)  # peak, for the critic; unset: learning_rate
    config.train.lr_decay_steps = unset(int)  # updates from the peak to 0 on a cosine; unset: QT's, else all (**)
    config.train.grad_clip_norm = unset(float)  # clip of the gradient's global norm; unset: QT's for this task, else 9
    config.train.weight_decay = 1e-4  # L2 coefficient on the policy (QT)
    config.train.log_every = 20  # updates of one compiled call: one line of metrics.jsonl; a stop request waits for it
    config.train.checkpoint_every = unset(int)  # updates between checkpoints; unset: with every evaluation
    config.train.on_divergence = "stop"  # stop; skip updates that are not finite; rollback to the last checkpoint
    config.train.keep_checkpoints = 2  # how many of the latest are kept

    config.model = ConfigDict()
    config.model.width = 256  # transformer width (QT)
    config.model.layers = 4  # transformer blocks (QT)
    config.model.heads = 4  # attention heads (QT)
    config.model.context_length = unset(int)  # K, in environment steps; unset: QT's for this task, else 20
    config.model.dropout = 0.1  # on embeddings, attention weights and residuals (Decision Transformer)
    config.model.dtype = "float32"  # arithmetic of the networks: float32 or bfloat16; parameters stay float32
    config.model.critic_width = 256  # width of each critic's hidden layers (QT)
    config.model.critic_layers = 3  # hidden layers of each critic (QT)
    config.model.critic_norm = "none"  # none (QT), or layer: LayerNorm before every activation of the critics (ReBRAC)
    config.model.critic_fourier_features = 0  # sines and cosines of the observation that the critics see besides
    config.model.policy_fourier_features = 0  # the same, of the policy
    config.model.fourier_scale = 1.0  # std of their initial frequencies, in radians per std of an observation
    config.model.positions = "episode"  # what is embedded: the timestep in the episode (DT), or in the window

    config.loss = ConfigDict()
    config.loss.eta = unset(float)  # weight of Q-guidance, eq. (3); unset: QT's for this task, else 1
    config.loss.eta_warmup = 0  # updates in which eta rises from 0 on a line: the critic ripens first; 0: none
    config.loss.guidance_return = "data"  # under which g the guided action is drawn: data; target (eval.targets); both
    config.loss.alpha = 1.0  # rebalancing, eqs. (1) and (2): expert trajectories weigh 1 + alpha
    config.loss.n_step = unset(int)  # steps that a TD target looks ahead; unset: to the window's end (QT)
    config.loss.gamma = 0.99  # discount of the TD target (QT)
    config.loss.rebalancing = unset(str)  # none, dup, kl or kl_explicit; unset: the variant's
    config.loss.q_guidance = unset(bool)  # learn a critic and follow it; unset: the variant's
    config.loss.reward_scale = unset(float)  # the critic learns from scale * (r + shift); unset: QT's, else 1
    config.loss.reward_shift = unset(float)  # see above; unset: QT's, else 0. Returns and scores stay in raw units
    config.loss.target_rate = 0.005  # Polyak rate of the target critic (QT)
    config.loss.state_prediction = 0.0  # weight of QT's next-observation loss; above 0 adds the head (QT: 1)

    config.ema = ConfigDict()
    config.ema.decay = 0.995  # of the policy copy that bootstraps the TD target (QT)
    config.ema.every = 5  # updates between two EMA updates (QT)
    config.ema.start = 1000  # updates before which the EMA is a plain copy (QT)

    config.expert = ConfigDict()
    config.expert.by = unset(str)  # rank returns among trajectories that start alike (start), or among all (return);
    # unset: the variant's, return for %BC and start for all others
    config.expert.fraction = 0.1  # share of those, the ones of highest return, that are expert (our choice); 1: all
    config.expert.threshold = unset(float)  # or every trajectory of at least this raw return, whatever ``by`` is
    config.expert.only = unset(bool)  # train on the expert trajectories alone; unset: the variant's (%BC)

    config.policy = ConfigDict()
    config.policy.head = unset(str)  # deterministic or gaussian; unset: the variant's
    config.policy.std = 0.1  # fixed std of the Gaussian (our choice), in action units; the reference if it is learned
    config.policy.learn_std = False  # learn a state-dependent std, clipped (then kl and kl_explicit differ)
    config.policy.condition_on_return = unset(bool)  # feed return-to-go tokens; unset: the variant's
    config.policy.return_scale = unset(float)  # divides returns-to-go; unset: the task's, else the data's max |return|

    config.eval = ConfigDict()
    config.eval.every = 1000  # updates between two evaluations during training
    config.eval.episodes = 100  # per seed and target, of the final checkpoint
    config.eval.curve_episodes = 20  # per seed and target, of each evaluation during training
    config.eval.targets = unset(tuple)  # raw returns, the first is the headline; unset: the task's, else the data's (*)
    config.eval.horizon = unset(int)  # steps after which an episode is cut; unset: the task's, else the environment's
    config.eval.processes = unset(int)  # for simulators; unset: one per CPU core; maze2d needs none
    config.eval.parallel_episodes = 64  # simulators at once, but at least one per seed and target
    config.eval.action_selection = unset(str)  # mean; sample; critic; best_of (models/acting.py); unset: mean
    config.eval.candidates = 32  # among how many the selections critic and best_of choose (QT: 50)

    config.data = ConfigDict()
    config.data.source = "auto"  # auto: local Minari, its servers, recreation; minari: local only; file: data.path
    config.data.minari_id = unset(str)  # unset: the first of the task's data sets that can be had
    config.data.observation_keys = unset(tuple)  # entries of dict observations, in order; unset: the task's
    config.data.path = unset(str)  # a flat cache file (.npz), for data.source=file
    config.data.regime = unset(str)  # D1 to D4: keep 10, 5, 2 or 1 % of the trajectories (our choice); fills fraction
    config.data.fraction = unset(float)  # share of the trajectories to keep, drawn at random; unset: all
    config.data.subset_seed = 0  # of that draw, the same for all seeds; a smaller share is part of a larger one

    config.parallel = ConfigDict()
    config.parallel.devices = unset(int)  # devices for seeds and batch, over all processes; unset: all
    config.parallel.seeds = "auto"  # vmap: all seeds in one step; loop: one by one; auto: loop on CPU, if not spread
    return config.lock()  # a misspelt field is an error that names the nearest
