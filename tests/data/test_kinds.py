"""Odd but well-formed data, by kind: each is read right, or refused in a sentence that says what to do."""

import gzip
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest
from gymnasium import spaces
from minari_sets import write_minari

from rvdt_jax import Episodes
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.importing import import_table
from rvdt_jax.data.minari import find_local
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.data.roles import choose_roles
from rvdt_jax.data.tables import open_table
from rvdt_jax.errors import UserError

T, F, NAN = True, False, float("nan")
BASE = {
    "temp": np.arange(6.0),
    "valve": np.array([0.0, 50, 100, 25, 75, 100]),
    "reward": np.array([1.0, 2, 3, 4, 5, 6]),
    "episode": np.array([0, 0, 0, 1, 1, 1]),
}
COUNT, SCALED = {"observations": np.arange(6)[:, None]}, {"actions": [[-1], [0], [1], [-0.5], [0.5], [1]]}


class Kind(NamedTuple):
    """How such data are made, and what must come of it: fields of the episodes, or words of the refusal."""

    make: Callable[[pathlib.Path], Episodes]
    right: dict | str


def columns(changes: dict) -> dict:
    """The columns of ``BASE`` with some replaced, and without those that are None; lists become arrays."""
    kept = {name: values for name, values in (BASE | changes).items() if values is not None}
    return {name: np.asarray(values) if isinstance(values, list) else values for name, values in kept.items()}


def named(options) -> dict:
    return {"observations": "temp*", "actions": "valve"} | dict(options)


def memory(right, options=(), **changes) -> Kind:
    """Columns in memory; ``options`` are of ``from_columns``."""
    return Kind(lambda folder: Episodes.from_columns(columns(changes), **named(options)), right)


def arrays(right, **changes) -> Kind:
    """Arrays in memory."""
    given = {"observations": BASE["temp"], "actions": BASE["valve"], "rewards": BASE["reward"]}
    return Kind(lambda folder: Episodes.from_arrays(**given | {"episode": BASE["episode"]} | changes), right)


def file(right, name, write, **options) -> Kind:
    """What ``write`` makes of a path."""

    def make(folder):
        pytest.importorskip("pyarrow")
        write(folder / name)
        return Episodes.from_columns(folder / name, **named(options))

    return Kind(make, right)


def content(right, name, data: bytes) -> Kind:
    return file(right, name, lambda path: path.write_bytes(data))


def text(right, *lines, name="log.csv", encode=str.encode, **options) -> Kind:
    """A CSV file of these lines."""
    return file(right, name, lambda path: path.write_bytes(encode("\n".join(lines) + "\n")), **options)


def table(right, **changes) -> Kind:
    """A Parquet file of these columns; ``changes`` are values, or functions from the module to an array of Arrow's."""

    def write(path):
        import pyarrow as pa
        from pyarrow import parquet

        made = {name: values(pa) if callable(values) else values for name, values in (BASE | changes).items()}
        parquet.write_table(pa.table(made), path)

    return file(right, "log.parquet", write)


def archive(right, **changes) -> Kind:
    """A NumPy archive."""
    return file(right, "log.npz", lambda path: np.savez(path, **columns(changes)))


def read_only(path):
    np.savez(path, **BASE)
    path.chmod(0o444)


def groups(right, arrays, group=None, **options) -> Kind:
    """An HDF5 file with these arrays by path."""

    def make(folder):
        with h5py.File(folder / "log.h5", "w") as file:
            for path, values in arrays.items():
                file[path] = values
        log = open_table([folder / "log.h5"], group)
        return Episodes("log", **import_table(log, choose_roles(log, named(options))).arrays)

    return Kind(make, right)


def minari(right, observation_space=None, action_space=None, **fields) -> Kind:
    """A Minari data set of one episode of three steps."""

    def make(folder):
        write_minari("odd/kind-v0", [{"rewards": np.zeros(3)} | fields], observation_space, action_space)
        return read_minari("odd/kind-v0", find_local("odd/kind-v0"))

    return Kind(make, right)


def repeated(rows, **changes) -> dict:
    return {name: np.resize(values, rows) for name, values in BASE.items()} | changes


def semicolons(*lines) -> list[str]:
    return [line.replace(",", ";") for line in lines]


HEAD, ROWS = "temp,valve,reward,episode", ("0,0,1,0", "1,50,2,0", "2,100,3,1")
LOG, HALF = (HEAD, *ROWS), {"observations": [[0.5], [1]]}
IMAGES = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
FAR = 1.7e9 + np.arange(6.0) / 8  # seconds since 1970, of which float32 holds the minute
HIGH = np.array([[1e9, 0], [1e9 + 2, 0]] * 2)
NONE, GAP = {"episode": ""}, {"episode": "", "gap": 5.0}
SECONDS = [0, 1, 2, 120, 121, 122]
THREE, SPLIT = {"lengths": [3, 3]}, {"lengths": [2, 1]}
TERMINAL = THREE | {"terminated": [T, F]}
PAIRS = [[i, i] for i in range(6)]
# Two episodes of three steps: a row for each, and as (E, T, 1) arrays with one observation more.
WIDE = {name: BASE[name].reshape(2, 3) for name in ("temp", "valve", "reward")} | {"episode": None}
STACKED = WIDE | {"temp": np.array([0.0, 1, 2, 9, 3, 4, 5, 9]).reshape(2, 4, 1), "valve": WIDE["valve"][..., None]}

KINDS = {
    # layouts
    "stacked episodes": memory(COUNT | SCALED | THREE, **STACKED),
    "stacked episodes of several lengths": memory(
        {"observations": [[0], [1], [3], [4], [5]], "lengths": [2, 3], "terminated": [T, F]},
        **STACKED | {"episode_lengths": [2, 3], "terminal": [T, F]},
    ),
    "stacked episodes, actions without an axis of their own": memory(
        COUNT | SCALED | THREE, **STACKED | {"valve": WIDE["valve"], "reward": WIDE["reward"][..., None]}
    ),
    "a row of numbers for an episode": memory("'reward' holds 3 numbers a row.*reshape", **WIDE),
    "two rewards a row beside two frames of observations": memory(
        "'reward' holds 2 numbers a row", temp=np.zeros((6, 2, 3)), valve=np.zeros((6, 2)), reward=np.ones((6, 2))
    ),
    "observations in a dict": memory(
        r"which columns are the observations.*--observations='obs/\*'",
        {"observations": None},
        **{"temp": None, "obs": {"pose": np.zeros((6, 2)), "speed": np.ones(6)}},
    ),
    "one observation more an episode, and their ends": memory(
        COUNT | THREE | {"terminated": [F, T]},
        **{"temp": np.array([0.0, 1, 2, 9, 3, 4, 5, 9]), "episode": None, "indices": [3], "terminal": [F, T]},
    ),
    "ends of episodes": memory({"lengths": [2, 4]}, episode=None, episode_ends=[2, 6]),
    "tables whose widths look like steps": memory(
        THREE | {"actions": [[-1, -1], [-1, 1], [1, 1]] * 2},
        **{"temp": np.arange(18.0).reshape(6, 3), "valve": np.array([[0, 0], [0, 1], [1, 1]] * 2, float)},
    ),
    "tables of one column, beside images with one channel": memory(
        TERMINAL,
        NONE | {"observations": "image"},
        **dict.fromkeys(("image", "next_image"), IMAGES.reshape(6, 1, 8, 6)),
        **{"reward": BASE["reward"][:, None], "terminals": np.array([[0], [0], [1], [0], [0], [0]])},
    ),
    # episodes
    "episodes of one step": memory({"lengths": [1] * 6, "terminated": [T] * 6}, NONE, terminal=np.ones(6)),
    "a very long episode": memory({"lengths": [20_000]}, **repeated(20_000, episode=np.zeros(20_000))),
    "many tiny episodes": memory({"lengths": [2] * 10_000}, **repeated(20_000, episode=np.arange(20_000) // 2)),
    "ids that are words": memory(THREE, episode=["mon", "mon", "mon", "tue", "tue", "tue"]),
    "ids below zero": memory(THREE, episode=[-1, -1, -1, -7, -7, -7]),
    "ids with a fraction": memory(THREE, episode=[0.5] * 3 + [0.25] * 3),
    "ids beyond 2^53": memory(THREE, episode=np.array([2**53] * 3 + [2**53 + 1] * 3)),
    "ids in falling order": memory({"returns": [6, 15]}, episode=[7, 7, 7, 3, 3, 3]),
    "ids that come again": memory("episode 0 are not together. Name a time column", episode=[0, 1, 0, 1, 0, 1]),
    "ids that are missing": memory("empty entries. Fill or drop", episode=[0, 0, 0, NAN, 1, 1]),
    "words that are missing": memory("empty entries. Fill or drop", episode=np.array(["a", "a", None, "b", "b", "b"])),
    "shuffled rows with the number of the step": memory(
        TERMINAL | {"observations": [[4], [2], [0], [5], [3], [1]]},
        **{"episode": [1, 0, 1, 0, 1, 0], "frame_index": [2, 2, 1, 1, 0, 0], "terminal": [1, 0, 0, 0, 0, 0]},
    ),
    "one step of two rows": memory("same time, 0. Drop one", frame_index=[0, 0, 1, 0, 1, 2]),
    "falling time": memory("time falls from 2 to 1 between rows 1", NONE, time=[0, 2, 1, 3, 4, 5], done=np.zeros(6)),
    "a gap in time": memory({"lengths": [4, 2]}, GAP, time=[0, 1, 2, 3, 90, 91]),
    "a clock that starts anew": memory({"lengths": [4, 2]}, GAP, time=[0, 1, 2, 3, 0, 1]),
    "a calendar": memory(THREE, GAP, time=np.array(SECONDS, "datetime64[s]")),
    "a stopwatch": memory(THREE, time=np.array([0, 1, 2, 0, 1, 2], "timedelta64[s]")),
    "a calendar with a zone": memory(THREE, GAP, time=pd.Series(pd.to_datetime(SECONDS, unit="s", utc=True))),
    "a calendar with a hole": memory("must hold finite", GAP, time=np.array([0, "NaT", 2, 3, 4, 5], "datetime64[s]")),
    "a pandas data frame": Kind(
        lambda folder: Episodes.from_columns(pd.DataFrame(BASE | {"remark": [""] * 6}), **named({})),
        SCALED | {"lengths": [3, 3], "terminated": [F, F], "returns": [6, 15]},
    ),
    "a column that is not there": memory("no column 'dew'. The columns are temp, valve", {"observations": "dew"}),
    "two columns of rewards": memory("--reward must be one column", {"reward": "*e"}),
    "arrays of several lengths": arrays("different numbers of rows", actions=BASE["valve"][:5]),
    "lists in a column of pandas": memory({"observations": PAIRS}, temp=pd.Series(PAIRS)),
    "episodes of several lengths as a list": arrays(
        "observations: not one array of one row a step.*np.concatenate", observations=[np.zeros(2), np.zeros(4)]
    ),
    "a dict as an array": arrays("observations: not one array .* it is a dict", observations={"temp": np.zeros(6)}),
    "a gap without time": memory("a gap needs the time column", GAP),
    "time without a gap": memory("nothing says where an episode ends", NONE, time=np.arange(6)),
    "terminal flags": memory(TERMINAL, NONE, terminals=[0, 0, 1, 0, 0, 0]),
    "time-outs": memory({"lengths": [2, 4], "terminated": [F, F]}, NONE, timeouts=[0, 1, 0, 0, 0, 0]),
    "terminal and time-out at once": memory(TERMINAL, NONE, terminals=[0, 0, 1, 0, 0, 0], timeouts=[0, 0, 1, 0, 0, 1]),
    "flags with a fraction": memory(THREE, NONE, terminals=np.array([0, 0, 1, 0, 0, 1.0])),
    "a time-out inside an id": memory({"lengths": [2, 1, 3], "terminated": [F] * 3}, timeouts=[0, 1, 0, 0, 0, 0]),
    "an end inside an id": memory({"lengths": [2, 1, 3], "terminated": [T, F, F]}, terminals=[0, 1, 0, 0, 0, 0]),
    "flags that are words": memory("must be true or false", NONE, terminals=["no", "no", "yes", "no", "no", "yes"]),
    "flags beyond one": memory("must be true or false", NONE, terminals=[0, 0, 2, 0, 0, 1]),
    "flags that are missing": memory("must be true or false", NONE, timeouts=[0, 0, NAN, 0, 0, 1]),
    "nothing that ends an episode": memory("nothing says where an episode ends", episode=None),
    # rewards
    "rewards of 1e30": memory({"returns": [6e30, 15e30]}, reward=1e30 * BASE["reward"]),
    "rewards of small whole numbers": memory({"returns": [600, 600]}, reward=np.full(6, 200, "u1")),
    "rewards that are flags": memory({"returns": [1, 2]}, reward=[T, F, F, T, T, F]),
    "no rewards": memory("which columns are the reward", reward=None),
    "a reward that is missing": memory("'reward' is empty, infinite .* in row 2", reward=[1, 1, NAN, 1, 1, 1]),
    # observations
    "flags and whole numbers": memory({"observations": [[0, 7], [1, 7]] * 3}, temp=[F, T] * 3, temp_b=np.full(6, 7)),
    "float16": memory({"observations": np.arange(6)[:, None] / 2}, temp=np.arange(6).astype("f2") / 2),
    "big-endian": memory(COUNT, temp=np.arange(6).astype(">i4")),
    "unsigned numbers beyond 2^63": memory({"rewards": BASE["reward"]}, temp=np.full(6, 2**64 - 1, np.uint64)),
    "far from zero": memory(
        {"observations": (FAR - FAR.mean())[:, None], "observation_offset": [FAR.mean()]}, temp=FAR
    ),
    "far from zero, by hand": Kind(
        lambda folder: Episodes("made", HIGH, np.zeros((4, 1)), np.ones(4), np.array([2, 2]), np.zeros(2, bool)),
        {"observations": [[-1, 0], [1, 0], [-1, 0], [1, 0]], "observation_offset": [1e9 + 1, 0]},
    ),
    "a small unit": memory({"normalized_starts": [[-2.5 / 1.7078], [0.5 / 1.7078]]}, temp=1e-9 * np.arange(6)),
    "a constant column": memory({"normalized_starts": [[0], [0]]}, temp=np.full(6, 0.1)),
    "the action among the observations": memory("valve would be both", {"observations": ["temp", "valve"]}),
    "holes in a column that is not used": memory({"returns": [6, 15]}, other=np.full(6, NAN)),
    "holes in a column that is": memory("'temp' is empty, infinite .* in row 1", temp=[0, NAN, 2, 3, 4, 5]),
    "infinity": memory("'temp' is empty, infinite", temp=[0, 1, 2, -np.inf, 4, 5]),
    "too large for float32": memory("too large for float32 in row 0", temp=np.full(6, 1e300)),
    "masked entries": memory("'temp' is empty, .* in row 2", temp=np.ma.array(np.arange(6), mask=[0, 0, 1, 0, 0, 0])),
    "a mask that hides nothing": memory(COUNT, temp=np.ma.array(np.arange(6))),
    "complex numbers": memory("'temp' holds no numbers. Leave it out", temp=1j * np.arange(6)),
    "words": memory("'temp' holds no numbers. Leave it out, or code it", temp=["low", "high"] * 3),
    "a calendar as observation": memory("'temp' holds no numbers", temp=np.arange(6).astype("datetime64[s]")),
    "images": memory({"observations": IMAGES.reshape(6, -1)}, temp=IMAGES),
    "a dict of observations": memory(
        {"observations": [[i, i, 9] for i in range(6)]},
        {"observations": ["temp/*"]},
        temp={"wall": np.array(PAIRS), "roof": np.full(6, 9)},
    ),
    "names in another script": memory(COUNT, {"observations": "Température *"}, **{"Température °C": np.arange(6)}),
    "names with brackets": memory(COUNT, {"observations": "load[kg]"}, **{"load[kg]": np.arange(6)}),
    "one row more of observations": memory(r"Other arrays have not 6 rows: temp \(7 rows\)", temp=np.arange(7)),
    "no rows": memory("there are no rows", **{name: values[:0] for name, values in BASE.items()}),
    "a numbered state": minari("are Discrete.* choose another", spaces.Discrete(4), observations=np.zeros(4, int)),
    # actions
    "actions of one number": arrays(SCALED | {"action_shape": ()}),
    "actions that are matrices": arrays({"action_shape": (2, 3)}, actions=np.arange(36.0).reshape(6, 2, 3)),
    "actions beyond declared bounds": memory(
        {"actions": [[-1], [1 / 3], [1], [-1 / 3], [1], [1]], "action_high": [75]}, {"action_low": 0, "action_high": 75}
    ),
    "most actions beyond bounds": memory("83% .* beyond .* leave them unset", {"action_low": -1, "action_high": 1}),
    "bounds that are no numbers": memory("or not finite. Correct --action_low", {"action_low": NAN}),
    "bounds without an end": memory("or not finite. Correct --action_low", {"action_low": -np.inf}),
    "bounds in the wrong order": memory("are not below the upper ones", {"action_low": 200}),
    "one bound too many": memory("--action_low has 2 numbers", {"action_low": [0, 1]}),
    "a constant action": memory({"actions": [[0]] * 6, "action_low": [5], "action_high": [5]}, valve=np.full(6, 5)),
    "actions that are flags": memory({"actions": [[-1], [1]] * 3}, valve=[F, T] * 3),
    "choices": minari("actions are Discrete.* as numbers", None, spaces.Discrete(3), actions=np.zeros(3, int)),
    # files
    "CSV with semicolons": text(SPLIT, *semicolons(*LOG)),
    "CSV with tabs": text(SPLIT, *(line.replace(",", "\t") for line in LOG), name="log.tsv"),
    "CSV with a mark of its encoding": text(SPLIT, *LOG, encode=lambda text: text.encode("utf-8-sig")),
    "CSV with other line ends": text(SPLIT, *LOG, encode=lambda text: text.replace("\n", "\r\n").encode()),
    "CSV that is packed": text(SPLIT, *LOG, name="log.csv.gz", encode=lambda text: gzip.compress(text.encode())),
    "CSV with names in quotes": text(SPLIT, '"temp","valve","reward","episode"', *ROWS),
    "CSV with decimal commas": text(
        {"observations": [[0.5], [1], [2.25]]}, *semicolons(HEAD), "0,5;0;1,5;0", "1;50;2;0", "2,25;100;3;1"
    ),
    "CSV below comments": text(SPLIT | {"observations": [[0], [1], [2]]}, "# log, 3", "#", *LOG),
    "CSV as NumPy writes it": text(SPLIT, "# episode,reward,valve,temp", "0,1,0,0", "0,2,50,1", "1,3,100,2"),
    "CSV with a header of numbers below comments": text(SPLIT, "# c", "", f"2{HEAD}", *ROWS, observations="2temp"),
    "CSV with a header in a comment above text": text(SPLIT, f"#note,{HEAD}", *(f'"a b",{row}' for row in ROWS)),
    "CSV with texts that have commas": text(HALF, *semicolons(f"note;{HEAD}"), '"on, up";0.5;0;1;0', "on;1;1;1;0"),
    "CSV whose fractions come late": text({"observations": [[0], [0.5]]}, *semicolons(HEAD), "0;0;1;0", "0,5;1;1;0"),
    "CSV with thousands": text("'temp' holds no numbers", *semicolons(HEAD), "1,000;0;1;0", "2,000;1;1;0"),
    "CSV with numbers in quotes": text(HALF, HEAD, '"0.5",0,1,0', '"1",1,1,0'),
    "CSV with numbers in words": text("'temp' holds no numbers", HEAD, '"1,000",0,1,0', '"2,000",1,1,0'),
    "CSV with true and false": text(
        {"lengths": [1, 2], "terminated": [T, F]},
        "temp,valve,reward,terminal",
        "0,0,1,true",
        "1,1,1,false",
        "2,0,1,false",
    ),
    "CSV with a hole": text("'temp' is empty, infinite .* in row 1", HEAD, "0,0,1,0", ",1,1,0"),
    "CSV with a column twice": text("its header has temp more than once", HEAD + ",temp", "0,0,1,0,9", "1,1,1,0,9"),
    "CSV in another encoding": text("not UTF-8", "témp," + HEAD, *ROWS, encode=lambda text: text.encode("latin1")),
    "CSV with a short row": text("not readable as CSV", HEAD, "0,0,1,0", "1,1"),
    "a header alone": text("no rows below the header", HEAD),
    "an empty file": content("not readable as CSV: Empty CSV", "log.csv", b""),
    "a folder": file(r"this is a folder. Name its files: '.*log.csv/\*.csv'", "log.csv", pathlib.Path.mkdir),
    "a file of another program": content("must be of one kind, and end in one of .csv", "log.xlsx", b"PK"),
    "a ruin of Parquet": content("not readable as Parquet", "log.parquet", b"PAR"),
    "a ruin of an archive": content("not readable as a NumPy archive", "log.npz", b"PK"),
    "a ruin of HDF5": content("not readable as HDF5", "log.h5", b"x"),
    "a file that cannot be written": file(THREE, "log.npz", read_only),
    "Parquet with lists": table({"observations": PAIRS}, temp=PAIRS),
    "Parquet with fixed lists": table({"observations": PAIRS}, temp=lambda pa: pa.array(PAIRS, pa.list_(pa.int8(), 2))),
    "Parquet with lists of several lengths": table("have different lengths", temp=[[0], [0, 1], [0], [0], [0], [0]]),
    "Parquet with words as a dictionary": table(THREE, episode=lambda pa: pa.array(list("aaabbb")).dictionary_encode()),
    "Parquet with float16": table(THREE, temp=lambda pa: pa.array(np.arange(6).astype("f2"))),
    "Parquet with a hole": table("'temp' is empty, infinite", temp=lambda pa: pa.array([0, 1, None, 3, 4, 5])),
    "Parquet with decimals": table("holds no numbers", temp=lambda pa: pa.array(range(6)).cast(pa.decimal128(38, 2))),
    "an archive in Fortran's order": archive({"observations": PAIRS}, temp=np.array([range(6)] * 2).T),
    "an archive of objects": archive("not readable as .*[Oo]bject", temp=np.array([0, 1, 2, 3, 4, {}], object)),
    "HDF5 in groups": groups(COUNT, {"obs/x/temp": np.arange(6)} | columns({"temp": None}), observations="obs/x/*"),
    "HDF5 with words as ids": groups(THREE, BASE | {"episode": list("aaabbb")}),
    "HDF5 with a group for each episode": groups(
        {"lengths": [2, 3], "observations": [[2], [2], [10], [10], [10]]},
        {f"data/demo_{n}/{name}": np.full(2 + n // 10, n) for n in (10, 2) for name in ("obs/temp", "valve", "reward")},
        group="data/demo_*",
        observations="obs/*",
    ),
    "HDF5 with stacked episodes": groups(COUNT | THREE, columns(STACKED)),
    "HDF5 with a group without rewards": groups(
        "group demo_1 has no array 'reward'",
        {f"demo_{n}/{name}": np.zeros(2) for n in (0, 1) for name in ("temp", "valve", "reward", "x")[: 4 - 2 * n]},
        group="demo_*",
    ),
    "HDF5 with one observation more in each group": groups(
        {"lengths": [3, 3], "observations": [[0], [1], [2]] * 2},
        {f"demo_{n}/{name}": np.arange(3 + (name == "temp")) for n in (0, 1) for name in ("temp", "valve", "reward")},
        group="demo_*",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_right_or_refused_in_a_sentence(name, tmp_path):
    kind = KINDS[name]
    if isinstance(kind.right, str):
        with pytest.raises(UserError, match=kind.right) as refused:
            check_episodes(kind.make(tmp_path))
        assert "\n" not in str(refused.value)
        return
    episodes = check_episodes(kind.make(tmp_path))
    for field, value in kind.right.items():
        found = getattr(episodes, field)
        found = found() if callable(found) else found
        if isinstance(value, tuple):
            assert found == value
        else:
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6, err_msg=field)
