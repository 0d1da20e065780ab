"""The launcher that trains collectors, around a stand-in for sbx: what it saves, when it stops, and that it goes on."""

import dataclasses

import numpy as np
import pytest
from launching import ROOT, python

from rvdt_jax.data.source import load_local
from rvdt_jax.recreate import recreate
from rvdt_jax.recreate.collector import load_collector, save_collector
from rvdt_jax.report.records import read_lines
from rvdt_jax.runs.workdir import lock_workdir

pytestmark = pytest.mark.slow

# What the launcher uses of sbx and Stable-Baselines3; actions are random, and the network stays as it was made.
STAND_IN = """
import pathlib, pickle, types
import numpy as np

class Buffer:
    def __init__(self): self.pos, self.rows = 0, []
    def __getattr__(self, name):
        names = ["observations", "next_observations", "actions", "rewards", "dones", "timeouts"]
        return np.array([row[names.index(name)] for row in self.rows], np.float32)[:, None]

class SAC:
    def __init__(self, policy, env, seed, **settings):
        self.env, self.num_timesteps, self.replay_buffer, self.seed = env, 0, Buffer(), seed
        rng, shapes = np.random.default_rng(seed), [(env.observation_space.shape[0], 4), (4, 3), (4, 3)]
        params = {f"Dense_{i}": {"kernel": rng.normal(size=s), "bias": np.zeros(s[1])} for i, s in enumerate(shapes)}
        self.policy = types.SimpleNamespace(actor_state=types.SimpleNamespace(params={"params": params}))

    def learn(self, steps, reset_num_timesteps):
        observation, _ = self.env.reset(seed=self.num_timesteps)
        for _ in range(steps):
            action = self.env.action_space.sample()
            after, reward, terminated, truncated, _ = self.env.step(action)
            self.replay_buffer.rows.append((observation, after, action, reward, terminated or truncated, truncated))
            observation = self.env.reset()[0] if terminated or truncated else after
        self.num_timesteps += steps
        self.replay_buffer.pos += steps

    def set_random_seed(self, seed): assert seed == self.seed + self.num_timesteps

    def save(self, path):
        kept = {name: value for name, value in self.__dict__.items() if name not in ("env", "replay_buffer")}
        pathlib.Path(path).write_bytes(pickle.dumps(kept))

    @classmethod
    def load(cls, path, env):
        model = cls("", env, 0)
        model.__dict__.update(pickle.loads(pathlib.Path(path).read_bytes()))
        return model

    def save_replay_buffer(self, path): pathlib.Path(path).write_bytes(pickle.dumps(self.replay_buffer.__dict__))

    def load_replay_buffer(self, path):
        self.replay_buffer.__dict__.update(pickle.loads(pathlib.Path(path).read_bytes()))

class CrossQ(SAC):
    def __init__(self, policy, env, seed, **settings):
        super().__init__(policy, env, seed, **settings)
        params = self.policy.actor_state.params["params"]
        names = {"BatchRenorm_0": env.observation_space.shape[0], "BatchRenorm_1": 4}
        draw = lambda size: np.random.default_rng(size).uniform(1, 2, size)
        self.policy.actor_state.params = params | {n: {"scale": draw(s), "bias": draw(s)} for n, s in names.items()}
        self.policy.actor_state.batch_stats = {n: {"mean": draw(s), "var": draw(s)} for n, s in names.items()}
"""


@pytest.fixture
def train(tmp_path):
    """Starts the launcher with chunks of 300 steps, saved every second time, and a medium return."""
    site = tmp_path / "site"
    (site / "sbx_rl-0.0.0.dist-info").mkdir(parents=True)
    (site / "sbx_rl-0.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: sbx-rl\nVersion: 0.0.0\n")
    (site / "sbx.py").write_text(STAND_IN)

    def start(*flags, medium=1e9, change="", status=0):
        code = (
            "from absl import app\nimport train_collectors as t\n"
            f"t.MEDIUM_RETURNS['hopper'], t.CHUNK, t.SAVE_EVERY, t.EPISODES = {medium}, 300, 600, 2\n{change}\n"
            "app.run(t.report_errors(t.main), flags_parser=t.parse_flags)"
        )
        flags = ["--robot=hopper", f"--out={tmp_path}", *flags]
        result = python("-W", "ignore", "-c", code, *flags, PYTHONPATH=f"{site}:{ROOT}")
        assert result.returncode == status, result.stderr
        return result.stderr if status else tmp_path / f"hopper-{'medium' if '--goal=medium' in flags else 'best'}"

    return start


def steps_of(folder):
    return [line["step"] for line in read_lines(folder / "progress.jsonl")]


def test_a_second_process_in_the_same_folder_is_refused(train, tmp_path):
    (tmp_path / "hopper-best").mkdir()
    with lock_workdir(tmp_path / "hopper-best"):
        error = train("--steps=300", status=2)
    assert "has been training there" in error
    assert "choose another --out" in error


def test_the_best_policy_is_kept_with_its_provenance_and_the_same_command_goes_on(train):
    folder = train("--steps=700")
    assert steps_of(folder) == [300, 600, 900]
    about = load_collector(folder / "best.npz").about
    assert about["command"] == "python experiments/train_collectors.py --robot=hopper --goal=best --seed=0"
    assert about["algorithm"] == "CrossQ"
    assert about["settings"]["policy_delay"] == 3
    assert about["versions"]["sbx-rl"] == "0.0.0"
    assert about["resumed_at_steps"] == []
    assert set(about["mean_return_over_100_episodes"]) == {"drawn", "mean_action"}

    assert "holds a training with seed 0; name another --out" in train("--steps=1500", "--seed=5", status=2)
    (folder / "best.npz").unlink()
    train("--steps=1500")
    assert steps_of(folder) == [300, 600, 900, 1200, 1500]
    assert load_collector(folder / "best.npz").about["resumed_at_steps"] == [900]


def test_batch_norms_become_part_of_the_layers_after_them(train):
    rng = np.random.default_rng(0)
    hidden, mean = rng.normal(size=(11, 4)), rng.normal(size=(4, 3))

    def norm(features):
        each = np.random.default_rng(features.shape[-1]).uniform(1, 2, features.shape[-1])  # all four of the stand-in's
        return each * (features - each) / np.sqrt(each + 0.001) + each

    observations = rng.normal(size=(20, 11))
    expected = np.tanh(norm(np.maximum(norm(observations) @ hidden, 0)) @ mean)
    collector = load_collector(train("--steps=300") / "best.npz")
    np.testing.assert_allclose(collector.act(observations), expected, atol=0.05)  # it is in half precision


def test_what_was_not_saved_is_done_again_and_counted_once(train):
    folder = train("--steps=600")
    lines, best = (folder / "progress.jsonl").read_text(), load_collector(folder / "best.npz")
    (folder / "progress.jsonl").write_text(lines + '{"step": 900, "drawn": 1e9}\n')
    # Of what is lost, and yet the best so far.
    highest = {"mean_return_over_100_episodes": {"drawn": 1e8}, "steps": 900}
    save_collector(folder / "best.npz", dataclasses.replace(best, about=best.about | highest))
    train("--steps=900")
    assert steps_of(folder) == [300, 600, 900]
    assert "1e9" not in (folder / "progress.jsonl").read_text()
    assert load_collector(folder / "best.npz").about["mean_return_over_100_episodes"] == {"drawn": 1e8}


def test_the_medium_policy_comes_with_the_buffer_that_medium_replay_is_made_of(train):
    assert "did not reach the return of D4RL's medium data" in train("--goal=medium", "--steps=300", status=2)
    folder = train("--goal=medium", medium=1.0)  # goes on; any policy reaches that
    assert steps_of(folder) == [300, 600]
    about = load_collector(folder / "medium.npz").about
    assert about["steps"] == 600
    assert "policy_kwargs" not in about["settings"]  # D4RL's SAC has no layer norm
    replay = str(folder / "medium-replay.npz")
    episodes, _ = load_local(recreate("hopper-medium-replay-v2", replay=replay, progress=False))
    assert episodes.rewards.size == 600
    ends = np.cumsum(episodes.lengths)
    assert 300 in ends  # where it went on, although the hopper had not fallen
    assert episodes.terminated[~np.isin(ends, [300, 600])].all()  # Hopper falls at once

    train("--goal=medium", medium=1.0)
    assert steps_of(folder) == [300, 600]  # it was complete
    (folder / "medium-replay.npz").unlink()
    assert "has lost its medium-replay.npz" in train("--goal=medium", medium=1.0, status=2)
    assert "--goal=medium: the ant has none" in train("--robot=ant", "--goal=medium", status=2)


def test_a_medium_policy_that_few_episodes_flatter_is_not_taken(train):
    flatter = "returns = t.evaluate\nt.evaluate = lambda c, n, **kw: [1e6] * n if n < 100 else returns(c, n, **kw)"
    assert "did not reach" in train("--goal=medium", "--steps=600", medium=1e5, change=flatter, status=2)
    folder = train("--goal=medium", "--steps=1200", medium=1.0, change=flatter)
    assert load_collector(folder / "medium.npz").about["mean_return_over_100_episodes"]["drawn"] < 1e5
