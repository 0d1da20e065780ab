"""Logs in files: every kind is read alike, usual names are guessed, and what is misread elsewhere is refused here."""

import pathlib
import types

import h5py
import numpy as np
import pytest
from launching import ROOT, launch

from rvdt_jax import Episodes
from rvdt_jax.config import default_config, resolve
from rvdt_jax.data.cache import read_cache
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.imported import d4rl_facts, write_imported
from rvdt_jax.data.importing import choose_roles, import_table
from rvdt_jax.data.summary import describe_data, describe_import
from rvdt_jax.data.tables import open_table
from rvdt_jax.errors import UserError
from rvdt_jax.runs.load import load_episodes

EXAMPLE = ROOT / "rvdt_jax" / "data" / "examples" / "heating_log.csv"


def log(rows=60, episodes=6, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "temp_in": rng.normal(20, 2, rows),
        "temp_out": rng.normal(5, 5, rows),
        "valve": rng.uniform(0, 100, rows),
        "reward": rng.normal(size=rows),
        "episode": np.repeat(np.arange(episodes), rows // episodes),
    }


def write(path: pathlib.Path, columns: dict) -> pathlib.Path:
    if path.suffix == ".csv":
        lines = zip(*(column.tolist() for column in columns.values()), strict=True)
        path.write_text("\n".join(",".join(map(str, line)) for line in [columns, *lines]) + "\n", encoding="utf-8")
    elif path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        arrays = {name: values.tolist() if values.ndim > 1 else values for name, values in columns.items()}
        parquet.write_table(pa.table(arrays), path)
    return path


def read(*files, **named):
    table = open_table(list(files))
    options = {name: named.pop(name) for name in ("gap", "low", "high") if name in named}
    imported = import_table(table, choose_roles(table, named), **options)
    episodes = check_episodes(Episodes(name="my/log-v0", **imported.arrays))
    return types.SimpleNamespace(**vars(imported), episodes=episodes)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".h5", ".parquet"])
def test_every_kind_of_file_says_the_same(suffix, tmp_path):
    if suffix in (".csv", ".parquet"):
        pytest.importorskip("pyarrow")
    columns = log()
    imported = read(write(tmp_path / f"log{suffix}", columns), observations=["temp_*"], actions=["valve"])
    episodes = imported.episodes
    assert episodes.lengths.tolist() == [10] * 6
    assert not episodes.terminated.any()
    assert np.allclose(episodes.observations, np.stack([columns["temp_in"], columns["temp_out"]], 1), rtol=1e-6)
    assert np.allclose(episodes.rewards, columns["reward"], rtol=1e-6)
    assert np.allclose(episodes.action_high, columns["valve"].max())
    assert set(imported.roles.guessed) == {"reward", "episode"}


def test_a_file_is_a_set_of_columns_too():
    pytest.importorskip("pyarrow")
    roles = {"observations": ["temp_*", "hour"], "actions": "valve", "episode": "day"}
    episodes = Episodes.from_columns(EXAMPLE, **roles, action_low=0, action_high=100)
    assert episodes.lengths.tolist() == [96] * 40
    assert episodes.observations.shape == (3840, 3)


def test_lerobots_names_are_known(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "observation.state": rng.normal(size=(8, 3)),
        "action": rng.uniform(-1, 1, (8, 2)),
        "next.reward": rng.normal(size=8),
        "next.done": np.array([0, 0, 0, 1] * 2, bool),
        "episode_index": np.repeat([0, 1], 4),
        "frame_index": np.tile(np.arange(4), 2),
        "timestamp": np.tile(np.arange(4) / 10, 2),
    }
    first, second = (
        write(tmp_path / f"{i}.parquet", {name: values[4 * i : 4 * i + 4] for name, values in columns.items()})
        for i in (0, 1)
    )
    imported = read(first, second)
    assert imported.episodes.lengths.tolist() == [4, 4]
    assert imported.episodes.observations.shape == (8, 3)
    assert not imported.episodes.terminated.any()  # "done" is where the recording ends
    assert imported.timeouts == 2
    assert "next.done counts as a time-out" in describe_import(imported, imported.episodes)


def test_d4rls_names_are_known_and_its_scores_come_with_them(tmp_path):
    columns = {
        "observations": np.zeros((5, 3)) + np.arange(5)[:, None],
        "actions": np.linspace(-1, 1, 10).reshape(5, 2),
        "rewards": np.ones(5),
        "terminals": np.array([0, 0, 1, 0, 0], bool),
        "timeouts": np.array([0, 0, 0, 0, 1], bool),
        "infos/qpos": np.zeros((5, 9)),
        "metadata/policy/bias": np.zeros(7),
    }
    path = write(tmp_path / "door-human-v1.h5", columns)
    imported = read(path)
    assert imported.episodes.lengths.tolist() == [3, 2]
    assert imported.episodes.terminated.tolist() == [True, False]
    written, _ = write_imported(imported, imported.episodes, [str(path)])
    provenance = read_cache(written)[1]
    assert (provenance["ref_min_score"], provenance["ref_max_score"]) == (-56.512833, 2880.5693087298737)
    with pytest.raises(
        UserError, match=r"2 episodes and 5 steps, and D4RL's file of pen-human-v1 has 25 .* and 5,000.*--anyway"
    ):
        write_imported(imported, imported.episodes, ["pen-human-v1.hdf5"], overwrite=True)
    assert read_cache(written)[1] == provenance
    facts = d4rl_facts(imported.episodes, ["pen-human-v1.hdf5"], anyway=True)
    assert list(facts) == ["noticed"]


def test_groups_that_look_like_episodes_are_pointed_out(tmp_path):
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        for number in range(3):
            file[f"data/demo_{number}/obs/arm"] = np.zeros(4 + number)
    with pytest.raises(UserError, match=r"pass --group='data/demo_\*'"):
        read(tmp_path / "demo.hdf5")


def test_files_that_hold_an_episode_each(tmp_path):
    part = {"obs": np.arange(6.0).reshape(1, 3, 2), "act": np.zeros((1, 3, 1)), "reward": np.ones((1, 3))}
    part |= {"rows": np.zeros((1, 3, 1))}
    flat = {name: values.reshape(3, -1) for name, values in part.items()}
    for number in range(2):
        np.savez(tmp_path / f"stacked{number}.npz", **part)
        np.savez(tmp_path / f"flat{number}.npz", **flat)
    stacked, plain = ([tmp_path / f"{name}{number}.npz" for number in range(2)] for name in ("stacked", "flat"))
    assert read(*stacked).arrays["lengths"].tolist() == [3, 3]
    assert read(*plain, episode=["(file)"]).arrays["lengths"].tolist() == [3, 3]
    with pytest.raises(UserError, match=r"name the column \(file\)"):
        read(*plain)


def test_the_launcher_writes_a_data_set_and_says_what_to_check(tmp_path):
    columns = log()
    columns["valve"][3], columns["temp_out"][:] = 1e9, 7.0
    path = write(tmp_path / "log.npz", columns)
    flags = ["--id=my/log-v0", f"--file={path}", "--observations=temp_*", "--actions=valve"]
    done = launch("import_data.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "6 episodes, 60 steps" in done.stdout
    assert "6 cut off where the log ends" in done.stdout
    assert "constant" in done.stdout
    assert "1 beyond them were moved to the bound" in done.stdout
    episodes, provenance = read_cache(tmp_path / "data" / "my" / "log-v0.npz")
    assert episodes.rewards.size == 60
    assert provenance["dataset_id"] == "my/log-v0"
    assert provenance["columns"]["observations"] == ["temp_in", "temp_out"]

    before = (tmp_path / "data" / "my" / "log-v0.npz").read_bytes()
    again = launch("import_data.py", *flags)
    assert again.returncode != 0
    assert "already imported" in again.stderr
    broken = launch("import_data.py", *flags, "--overwrite", "--reward=nothing")
    assert broken.returncode != 0
    assert "no column 'nothing'" in broken.stderr
    assert (tmp_path / "data" / "my" / "log-v0.npz").read_bytes() == before

    settings = default_config()
    settings.update_from_flattened_dict({"data.minari_id": "my/log-v0", "variant": "DT"})
    assert load_episodes(resolve(settings))[1] == provenance
    settings.data.observation_keys = ("temp_in",)
    with pytest.raises(UserError, match=r"observation_keys=temp_in: .*log-v0.npz holds plain observations"):
        load_episodes(resolve(settings))


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
    text = describe_import(imported, imported.episodes)
    lines = {line.split()[0]: line for line in text.splitlines() if line[:2] in ("a ", "b ")}
    assert lines["a"].endswith("4 whole numbers: they are learned as amounts, not as choices")
    assert "whole numbers" not in lines["b"]


def test_a_column_of_csv_may_begin_with_whole_numbers(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("rvdt_jax.data.arrow._BLOCK", 64)
    columns = log() | {"temp_in": np.append(np.zeros(59, int), 1).astype(object)}
    columns["temp_in"][50] = 0.5
    episodes = read(write(tmp_path / "log.csv", columns), observations=["temp_in"], actions=["valve"]).episodes
    assert episodes.observations[[49, 50, 59], 0].tolist() == [0, 0.5, 1]
