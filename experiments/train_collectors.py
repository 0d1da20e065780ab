"""Trains the policies that collect locomotion and antmaze data; needs ``pip install 'rvdt-jax[recreate]'``.

    python experiments/train_collectors.py --robot=hopper --goal=medium [--steps=1000000] [--out=runs/collectors]
    python experiments/train_collectors.py --robot=hopper --goal=best

The first trains with SAC, as D4RL did, until a policy's return over 100 episodes with drawn actions reaches that of
D4RL's medium data, and saves this *medium* policy with the replay buffer up to it. The second trains with CrossQ (Bhatt
et al. 2024), which learns from fewer steps, and saves the policy that is best over 100 such episodes. The ant, which
learns to walk to goals with SAC and layer norm in the critics, has no medium policy. After an interruption the same
command resumes from the last multiple of 50,000 steps. It resumes from pickles of Stable-Baselines3: never set
``--out`` to a folder from somebody you do not trust.
"""

import copy
import dataclasses
import pathlib
from statistics import fmean

from absl import app, flags

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.tasks import d4rl_datasets

ENVIRONMENTS = {"hopper": "Hopper-v4", "walker2d": "Walker2d-v4", "halfcheetah": "HalfCheetah-v4"}
# Of D4RL's medium data, and so of its policies: 44, 62 and 39 % of its expert's.
MEDIUM_RETURNS = {robot: float(d4rl_datasets()[f"{robot}-medium-v2"]["return_mean"]) for robot in ENVIRONMENTS}
# Updates in blocks of 32 compile into one call: several times faster on a CPU.
BLOCKS = {
    "train_freq": 32,
    "gradient_steps": 32,
    "learning_starts": 10_000,
    "buffer_size": 1_100_000,  # more than --steps can be
}
# D4RL's SAC, but for the blocks.
MEDIUM = BLOCKS | {"batch_size": 256, "learning_rate": 3e-4, "qf_learning_rate": 3e-4}
# CrossQ's settings, with critics of 256 units instead of 2,048. On halfcheetah its return is 7,800 after 80,000 steps
# and 10 minutes of one core; with SAC and layer norm two runs had 5,400 and 7,300 after 230,000 and 15.
BEST = BLOCKS | {
    "batch_size": 256,
    "learning_rate": 1e-3,
    "policy_delay": 3,
    "policy_kwargs": {"net_arch": {"pi": [256, 256], "qf": [256, 256]}},
}
ANT = BLOCKS | {
    "batch_size": 128,
    "learning_rate": 6e-4,
    "qf_learning_rate": 1e-3,
    "policy_delay": 2,
    "policy_kwargs": {"layer_norm": True},
}
# By goal and robot: the algorithm's name in sbx and its settings.
SETTINGS = {
    "medium": dict.fromkeys(MEDIUM_RETURNS, ("SAC", MEDIUM)),
    "best": dict.fromkeys(MEDIUM_RETURNS, ("CrossQ", BEST)) | {"ant": ("SAC", ANT)},
}
CHUNK, SAVE_EVERY, EPISODES = 10_000, 50_000, 10
MEASURE = {"ant": "goals_in_20_seconds_over_100_episodes"}  # in the policy's origin; of the others RETURN
RETURN = "mean_return_over_100_episodes"

_ROBOT = flags.DEFINE_enum(
    "robot", None, [*MEDIUM_RETURNS, "ant"], "The robot to train; the ant learns to walk to goals.", required=True
)
_STEPS = flags.DEFINE_integer(
    "steps", 1_000_000, "Steps of training; --goal=medium takes fewer.", lower_bound=1, upper_bound=1_000_000
)
_GOAL = flags.DEFINE_enum("goal", "best", list(SETTINGS), "The policy that is sought.")
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of training and environments.", lower_bound=0)
_OUT = flags.DEFINE_string(
    "out", "runs/collectors", "Folder for policies and states, with a folder for each robot and goal."
)


def main(argv: list[str]) -> int:
    """Trains or resumes in a folder that no other process uses."""
    from rvdt_jax.runs.workdir import lock_workdir

    if _ROBOT.value not in SETTINGS[_GOAL.value]:
        raise UserError(f"--goal={_GOAL.value}: the {_ROBOT.value} has none. Choose best.")
    with optional_imports("Training collectors"):
        import sbx  # noqa: F401  # where it is missing no folder is made
    folder = pathlib.Path(_OUT.value, f"{_ROBOT.value}-{_GOAL.value}")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_workdir(folder, flag="--out"):
        return train(folder)


def train(folder: pathlib.Path) -> int:
    """Trains until the goal is reached or ``--steps`` are taken, with evaluations and checkpoints."""
    from rvdt_jax.recreate.collector import save_collector
    from rvdt_jax.report.records import append_lines, keep_lines

    found = folder / f"{_GOAL.value}.npz"
    if _GOAL.value == "medium" and found.exists():
        if not (folder / "medium-replay.npz").exists():
            raise UserError(f"{folder}: has lost its medium-replay.npz, which cannot be restored. Name another --out.")
        print(f"{found}: is there already")
        return 0
    model = restore(folder)
    records = folder / "progress.jsonl"
    keep_lines(records, lambda line: line["step"] <= model.num_timesteps)  # later steps are repeated
    while model.num_timesteps < _STEPS.value:
        before = model.num_timesteps
        model.learn(CHUNK, reset_num_timesteps=False)
        collector, step = extract(model), model.num_timesteps
        drawn = fmean(evaluate(collector, EPISODES, drawn=True, seed=step))
        append_lines(records, [{"step": step, "drawn": drawn}])
        print(f"{step:>9,} steps: return {drawn:8.1f} with drawn actions", flush=True)
        collector = dataclasses.replace(collector, about=provenance(model))
        if _GOAL.value == "best":
            keep_best(found, collector, drawn)
        elif (measured := medium_policy(collector, drawn)) is not None:
            save_buffer(model, folder / "medium-replay.npz")
            save_collector(found, measured)  # last: with it the training is complete
            return 0
        if before // SAVE_EVERY < step // SAVE_EVERY or step >= _STEPS.value:
            save_state(model, folder)
    if _GOAL.value == "medium":
        raise UserError(
            f"{_STEPS.value} steps did not reach the return of D4RL's medium data: raise --steps, or change --seed."
        )
    return 0


def keep_best(path: pathlib.Path, collector, drawn: float) -> None:
    """Saves a policy that is better over 100 episodes, if a few of them, whose mean is ``drawn``, give hope of that."""
    from rvdt_jax.recreate.collector import load_collector, save_collector

    best = drawn_return(load_collector(path)) if path.exists() else float("-inf")
    if drawn > best and drawn_return(measured := measure(collector)) > best:
        save_collector(path, measured)


def medium_policy(collector, drawn: float):
    """The measured policy if it reaches the medium return over 100 episodes and over a few, whose mean is ``drawn``."""
    goal = MEDIUM_RETURNS[_ROBOT.value]
    if drawn > goal and drawn_return(measured := measure(collector)) > goal:
        return measured
    return None


def drawn_return(measured) -> float:
    """The mean over 100 episodes with drawn actions; for the ant of goals, for the others of returns."""
    return measured.about[MEASURE.get(_ROBOT.value, RETURN)]["drawn"]


def make_env():
    """The robot's environment, with observations in single precision."""
    import gymnasium
    import numpy as np

    if _ROBOT.value == "ant":
        from goal_ant import GoalAnt

        return gymnasium.wrappers.TimeLimit(GoalAnt(), 1000)
    return gymnasium.wrappers.DtypeObservation(gymnasium.make(ENVIRONMENTS[_ROBOT.value]), np.float32)


def restore(folder: pathlib.Path):
    """The model of the last checkpoint, or a new one.

    Raises:
        UserError: the checkpoint has another seed.
    """
    import sbx

    name, settings = SETTINGS[_GOAL.value][_ROBOT.value]
    env, algorithm = make_env(), getattr(sbx, name)
    if not (folder / "state.zip").exists():
        model = algorithm("MlpPolicy", env, seed=_SEED.value, **copy.deepcopy(settings))
        model.resumed_at = []
        return model
    model = algorithm.load(folder / "state.zip", env=env)
    if model.seed != _SEED.value:
        raise UserError(f"--seed={_SEED.value}: {folder} holds a training with seed {model.seed}; name another --out.")
    model.load_replay_buffer(folder / "buffer.pkl")
    model.replay_buffer.pos = model.num_timesteps  # after a kill between the two writes the buffer is ahead
    model.set_random_seed(model.seed + model.num_timesteps)  # loading resets the generators
    model.resumed_at.append(model.num_timesteps)
    return model


def save_state(model, folder: pathlib.Path) -> None:
    """Replaces the checkpoint."""
    model.save(folder / "state-new.zip")
    model.save_replay_buffer(folder / "buffer-new.pkl")
    (folder / "buffer-new.pkl").replace(folder / "buffer.pkl")
    (folder / "state-new.zip").replace(folder / "state.zip")


def extract(model):
    """The actor as a collector; batch norms, which stand before the layers, become part of them."""
    import jax
    import numpy as np

    from rvdt_jax.recreate.collector import Collector

    state = model.policy.actor_state
    params = jax.tree.map(np.asarray, state.params.get("params", state.params))
    statistics = jax.tree.map(np.asarray, getattr(state, "batch_stats", {}))
    layers, count = [], sum(name.startswith("Dense") for name in params)
    for place in range(count):
        kernel, bias = params[f"Dense_{place}"]["kernel"], params[f"Dense_{place}"]["bias"]
        norm = f"BatchRenorm_{min(place, count - 2)}"  # the heads, which are last, share one
        if norm in statistics:
            scale = params[norm]["scale"] / np.sqrt(statistics[norm]["var"] + 0.001)  # sbx's epsilon
            shift = params[norm]["bias"] - scale * statistics[norm]["mean"]
            kernel, bias = scale[:, None] * kernel, bias + shift @ kernel
        layers.append((kernel, bias))
    *hidden, mean, log_std = layers
    return Collector(tuple(hidden), mean, log_std)


def evaluate(collector, episodes: int, *, drawn: bool, seed: int) -> list[float]:
    """The return of each episode; for the ant the number of goals that it reaches in 20 seconds."""
    import numpy as np

    is_ant, env, rng, returns = _ROBOT.value == "ant", make_env(), np.random.default_rng(seed), []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        total, ended, steps, arrivals = 0.0, False, 0, 0
        while not ended and not (is_ant and steps >= 200):
            action = collector.act(observation, rng if drawn else None)
            observation, reward, terminated, truncated, info = env.step(action)
            total, ended, steps, arrivals = total + reward, terminated or truncated, steps + 1, info.get("arrivals", 0)
        returns.append(float(arrivals) if is_ant else total)
    env.close()
    return returns


def provenance(model) -> dict:
    """The origin of a policy or a buffer, as JSON values."""
    from importlib import metadata

    return {
        "robot": _ROBOT.value,
        "command": (
            f"python experiments/train_collectors.py --robot={_ROBOT.value} --goal={_GOAL.value} --seed={_SEED.value}"
        ),
        "seed": _SEED.value,
        "steps": model.num_timesteps,
        "resumed_at_steps": list(model.resumed_at),
        "algorithm": SETTINGS[_GOAL.value][_ROBOT.value][0],
        "settings": SETTINGS[_GOAL.value][_ROBOT.value][1],
        "versions": {name: metadata.version(name) for name in ("sbx-rl", "jax", "gymnasium", "mujoco", "numpy")},
    }


def measure(collector):
    """The collector in stored precision, with its mean return over 100 episodes."""
    from rvdt_jax.recreate.collector import rounded

    collector, ways = rounded(collector), {"drawn": True, "mean_action": False}
    returns = {name: evaluate(collector, 100, drawn=drawn, seed=10**6) for name, drawn in ways.items()}
    measured = {MEASURE.get(_ROBOT.value, RETURN): {name: fmean(each) for name, each in returns.items()}}
    if _ROBOT.value == "ant":
        reached = {name: fmean(arrivals > 0 for arrivals in each) for name, each in returns.items()}
        measured["share_that_reach_a_goal_within_8_m_in_20_seconds"] = reached
    print(f"{collector.about['steps']:>9,} steps: {measured}", flush=True)
    return dataclasses.replace(collector, about=collector.about | measured)


def save_buffer(model, path: pathlib.Path) -> None:
    """Writes all steps of training so far, in order, for ``medium-replay``."""
    import json

    import numpy as np

    from rvdt_jax.files import atomic_write

    buffer, end = model.replay_buffer, model.num_timesteps  # it is never full: see SETTINGS
    names = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
    columns = {name: getattr(buffer, name)[:end, 0] for name in names}
    with atomic_write(path) as partial:
        np.savez(partial, about=np.array(json.dumps(provenance(model))), **columns)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
