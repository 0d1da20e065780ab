"""Logs in files: every kind is read alike, usual names are guessed, and what is misread elsewhere is refused here."""

import pathlib
import types

import h5py
import numpy as np
import pandas as pd
import pytest
from launching import launch
from settings_helpers import of_own_data

from rvdt_jax import Episodes
from rvdt_jax.data.cache import read_cache
from rvdt_jax.data.columns import action_bounds, count_beyond
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.imported import d4rl_facts, write_imported
from rvdt_jax.data.importing import import_table
from rvdt_jax.data.roles import choose_roles
from rvdt_jax.data.summary import describe_data, describe_import
from rvdt_jax.data.tables import open_table
from rvdt_jax.errors import UserError
from rvdt_jax.runs.load import load_episodes


def log() -> dict[str, np.ndarray]:
    """Six episodes of ten rows."""
    rng = np.random.default_rng(0)
    columns = {"temp_in": rng.normal(20, 2, 60), "temp_out": rng.normal(5, 5, 60), "valve": rng.uniform(0, 100, 60)}
    return columns | {"reward": rng.normal(size=60), "episode": np.repeat(np.arange(6), 10)}


def write(path: pathlib.Path, columns: dict) -> pathlib.Path:
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        pytest.importorskip("pyarrow")
        frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def read(*files, **named):
    table = open_table(list(files))
    options = {name: named.pop(name) for name in ("gap", "low", "high") if name in named}
    imported = import_table(table, choose_roles(table, named), **options)
    episodes = check_episodes(Episodes(name="my/log-v0", **imported.arrays))
    return types.SimpleNamespace(**vars(imported), episodes=episodes)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".h5", ".parquet"])
def test_every_kind_of_file_says_the_same(suffix, tmp_path):
    columns = log()
    imported = read(write(tmp_path / f"log{suffix}", columns), observations=["temp_*"], actions=["valve"])
    episodes = imported.episodes
    assert episodes.lengths.tolist() == [10] * 6
    assert not episodes.terminated.any()
    assert np.allclose(episodes.observations, np.stack([columns["temp_in"], columns["temp_out"]], 1), rtol=1e-6)
    assert np.allclose(episodes.rewards, columns["reward"], rtol=1e-6)
    assert np.allclose(episodes.action_high, columns["valve"].max())
    assert set(imported.roles.guessed) == {"reward", "episode"}


def test_bounds_are_the_extremes_without_glitches():
    rng = np.random.default_rng(0)
    actions = np.stack([rng.uniform(0, 100, 5000), rng.normal(size=5000), np.full(5000, 5.0)], axis=1)
    assert np.array_equal(action_bounds(actions), [actions.min(0), actions.max(0)])
    actions[17] = 1e6, -1e9, 5.0
    low, high = action_bounds(actions)
    assert high[0] == pytest.approx(100, abs=0.5)
    assert low[1] == pytest.approx(-3.2, abs=0.7)
    assert count_beyond(actions, low, high)[0] >= 1
    assert action_bounds(np.array([[float(i % 2)] for i in range(39)] + [[1e5]]))[1] == 1.0  # a short log, too
    assert action_bounds(np.array([[0.0]] * 9_992 + [[1.0]] * 8))[1] == 1.0  # rarely used, and no glitch
    assert action_bounds(np.array([[0.0], [1e5]]))[1] == 1e5  # of two values neither is a glitch


def test_lerobots_names_are_known(tmp_path):
    rng = np.random.default_rng(0)
    columns = {"observation.state": rng.normal(size=(8, 3)), "action": rng.uniform(-1, 1, (8, 2))}
    columns |= {"next.reward": rng.normal(size=8), "next.done": np.array([0, 0, 0, 1] * 2, bool)}
    columns |= {"episode_index": np.repeat([0, 1], 4), "frame_index": np.tile(np.arange(4), 2)}
    columns |= {"timestamp": np.tile(np.arange(4) / 10, 2)}
    first, second = (
        write(tmp_path / f"{start}.parquet", {name: values[start : start + 4] for name, values in columns.items()})
        for start in (0, 4)
    )
    imported = read(first, second)
    assert imported.episodes.lengths.tolist() == [4, 4]
    assert imported.episodes.observations.shape == (8, 3)
    assert not imported.episodes.terminated.any()  # "done" is where the recording ends
    assert imported.timeouts == 2
    assert "next.done counts as a time-out" in describe_import(imported, imported.episodes)


def test_d4rls_names_are_known_and_its_scores_come_with_them(tmp_path):
    columns = {"observations": np.arange(15.0).reshape(5, 3), "actions": np.linspace(-1, 1, 10).reshape(5, 2)}
    columns |= {"rewards": np.ones(5), "infos/qpos": np.zeros((5, 9)), "metadata/policy/bias": np.zeros(7)}
    columns |= {"terminals": np.array([0, 0, 1, 0, 0], bool), "timeouts": np.array([0, 0, 0, 0, 1], bool)}
    path = write(tmp_path / "door-human-v1.h5", columns)
    imported = read(path)
    assert imported.episodes.lengths.tolist() == [3, 2]
    assert imported.episodes.terminated.tolist() == [True, False]
    written, _ = write_imported(imported, imported.episodes, [str(path)])
    provenance = read_cache(written)[1]
    assert (provenance["ref_min_score"], provenance["ref_max_score"]) == (-56.512833, 2880.5693087298737)
    with pytest.raises(UserError, match=r"2 episodes and 5 steps, and D4RL's file of pen-human-v1 .*--anyway"):
        write_imported(imported, imported.episodes, ["pen-human-v1.hdf5"], overwrite=True)
    assert read_cache(written)[1] == provenance
    assert list(d4rl_facts(imported.episodes, ["pen-human-v1.hdf5"], anyway=True)) == ["noticed"]


def test_groups_that_look_like_episodes_are_pointed_out(tmp_path):
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        for number in range(3):
            file[f"data/demo_{number}/obs/arm"] = np.zeros(4 + number)
    with pytest.raises(UserError, match=r"pass --group='data/demo_\*'"):
        read(tmp_path / "demo.hdf5")


def test_files_that_hold_an_episode_each(tmp_path):
    part = {"obs": np.arange(6.0).reshape(1, 3, 2), "act": np.zeros((1, 3, 1)), "rows": np.zeros((1, 3, 1))}
    part |= {"reward": np.ones((1, 3))}
    flat = {name: values.reshape(3, -1) for name, values in part.items()}
    for number in range(2):
        np.savez(tmp_path / f"stacked{number}.npz", **part)
        np.savez(tmp_path / f"flat{number}.npz", **flat)
    stacked, plain = ([tmp_path / f"{name}{number}.npz" for number in range(2)] for name in ("stacked", "flat"))
    assert read(*stacked).arrays["lengths"].tolist() == [3, 3]
    assert read(*plain, episode=["(file)"]).arrays["lengths"].tolist() == [3, 3]
    with pytest.raises(UserError, match=r"name the column \(file\)"):
        read(*plain)


def test_episodes_across_files_are_pointed_out(tmp_path):
    """Ids that start anew in every file, and no ids at all."""
    columns = {"obs": np.zeros((4, 2)), "act": np.arange(4.0)[:, None], "reward": np.ones(4)}
    columns |= {"episode": np.array([0, 0, 1, 1]), "done": np.array([0, 1, 0, 0])}
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", **columns, time=np.arange(4) + 100 * number)
    files = [tmp_path / f"{number}.npz" for number in range(2)]
    joined = read(*files, timeout="")
    assert joined.arrays["lengths"].tolist() == [4, 4]
    assert "in 2 of 2 episodes rows of more than one file" in describe_import(joined, joined.episodes)
    assert "in 1 of 3 episodes rows of more" in " ".join(read(*files, episode="", time="").doubts)
    assert "more than one file" not in " ".join(read(*files, episode="(file)").doubts)


def test_what_may_have_been_misunderstood_is_logged(caplog):
    columns = {"observations": np.zeros((4, 3, 2)), "actions": np.ones((4, 3, 1)), "rewards": np.ones((4, 3))}
    flags = np.array([0, 1, 1, 0])
    stacked = Episodes.from_columns(columns | {"terminals": flags})
    assert stacked.terminated.tolist() == flags.astype(bool).tolist()  # also where they are no bool
    assert not caplog.text
    flat = {name: values.reshape(12, -1) for name, values in columns.items()}
    flat["dones"] = np.tile([0, 0, 1], 4)
    ended = Episodes.from_columns(flat | {"terminals": flags})
    assert not ended.terminated.any()
    assert "dones counts as a time-out; where it means that the task ended" in caplog.text
    assert "terminals has 4 rows, not 12, and was not used" in caplog.text
    flat["actions"] = np.linspace(0, 1, 12)
    Episodes.from_columns(flat, episode="", time="", timeout="dones", action_low=0, action_high=0.7)
    assert "4 action values beyond the bounds were moved to them" in caplog.text


def test_the_launcher_writes_a_data_set_and_says_what_to_check(tmp_path):
    columns = log()
    columns["valve"][3], columns["temp_out"][:] = 1e9, 7.0
    path, stored = write(tmp_path / "log.npz", columns), tmp_path / "data" / "my" / "log-v0.npz"
    flags = ["--id=my/log-v0", f"--file={path}", "--observations=temp_*", "--actions=valve"]
    done = launch("import_data.py", *flags)
    assert done.returncode == 0, done.stderr
    cut = "6 cut off where the log ends"
    for words in ("6 episodes, 60 steps", cut, "constant", "1 beyond them were moved to the bound"):
        assert words in done.stdout
    episodes, provenance = read_cache(stored)
    assert episodes.rewards.size == 60
    assert provenance["dataset_id"] == "my/log-v0"
    assert provenance["columns"]["observations"] == ["temp_in", "temp_out"]

    before = stored.read_bytes()
    for more, words in (([], "already imported"), (["--overwrite", "--reward=nothing"], "no column 'nothing'")):
        refused = launch("import_data.py", *flags, *more)
        assert refused.returncode != 0
        assert words in refused.stderr
    assert stored.read_bytes() == before

    named = {"data.minari_id": "my/log-v0", "variant": "DT"}
    assert load_episodes(of_own_data(named))[1] == provenance
    with pytest.raises(UserError, match=r"observation_keys=temp_in: .*log-v0.npz holds plain observations"):
        load_episodes(of_own_data(named, **{"data.observation_keys": ("temp_in",)}))


def test_four_lines_say_what_the_data_are():
    episodes = Episodes.from_arrays(
        np.stack([np.zeros(6), np.arange(6.0)], 1),
        np.array([-1.0, 0.0, 0.5, 0.0, 0.2, 0.1]),
        np.array([0.0, 0.0, 3.0, 0.0, 0.0, 1.0]),
        terminals=np.array([0, 0, 1, 0, 0, 0]),
        action_low=-1,
        action_high=1,
        name="log",
    )
    assert describe_data(episodes, (3.0, 9.0), horizon=2) == [
        "log: 2 episodes, 6 steps; 50% of the episodes end in a terminal step",
        "returns 1 to 3, median 2; will be asked for (and share of the episodes that reach it): 3 (50.00%), 9 (none)",
        "episodes of 3 to 3 steps, median 3; evaluation cuts at 2, and 100% of these episodes are longer",
        "1 of 2 observation columns are constant; 16.7% of the action values are at a bound; 33.3% of the rewards are "
        "not 0, of mean size 2",
    ]
    assert describe_data(episodes, (4.0,), None)[2] == "episodes of 3 to 3 steps, median 3"


def test_actions_that_may_be_choices_are_pointed_out(tmp_path):
    rows = 12
    columns = {"x": np.arange(rows) / 7, "a": np.arange(rows) % 4, "b": np.arange(rows) / 3, "reward": np.ones(rows)}
    np.savez(tmp_path / "log.npz", episode=np.arange(rows) // 6, **columns)
    imported = read(tmp_path / "log.npz", observations="x", actions=["a", "b"])
    *_, of_a, of_b, _ = describe_import(imported, imported.episodes).splitlines()
    assert of_a.endswith("4 whole numbers: they are learned as amounts, not as choices")
    assert "whole numbers" not in of_b


def test_a_column_of_csv_may_begin_with_whole_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("rvdt_jax.data.arrow._BLOCK", 64)
    columns = log() | {"temp_in": np.append(np.zeros(59, int), 1).astype(object)}
    columns["temp_in"][50] = 0.5
    episodes = read(write(tmp_path / "log.csv", columns), observations=["temp_in"], actions=["valve"]).episodes
    assert episodes.observations[[49, 50, 59], 0].tolist() == [0, 0.5, 1]
