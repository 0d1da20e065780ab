"""Reading Minari data sets: small ones made here, and what is wrong with others said by name and remedy."""

import logging
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from minari_sets import set_metadata, write_minari

from rvdt_jax.data.minari import content_digest, find_local, list_local, read_provenance
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.data.spaces import unscale_actions

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)


def write(*spaces, lengths=LENGTHS, **metadata):
    return write_minari(DATASET, [{"rewards": np.zeros(length)} for length in lengths], *spaces, **metadata)


def read(folder):
    """Metadata first and then the data, as every start of a run reads them."""
    read_provenance(DATASET, folder)
    return read_minari(DATASET, folder)


def test_what_is_written_is_read():
    rng = np.random.default_rng(0)
    shapes = {"observations": (1, 3), "actions": (0, 2), "rewards": (0,)}  # steps more, and numbers
    made = [
        {field: rng.uniform(-1, 1, (length + more, *size)) for field, (more, *size) in shapes.items()}
        for length in LENGTHS
    ]
    episodes = read(write_minari(DATASET, made))
    assert episodes.name == DATASET
    np.testing.assert_array_equal(episodes.lengths, LENGTHS)
    for field in shapes:
        expected = np.concatenate([each[field][: len(each["rewards"])] for each in made]).astype(np.float32)
        np.testing.assert_array_equal(getattr(episodes, field), expected)
        assert getattr(episodes, field).dtype == np.float32


def test_the_order_of_many_episodes_is_kept():
    """As strings, episode_10 comes before episode_2."""
    np.testing.assert_array_equal(read(write(lengths=range(1, 13))).lengths, range(1, 13))


def test_only_a_termination_is_a_termination():
    """Four ends: terminated, truncated, both at once, and a recording that just stops."""
    ends = [
        {"rewards": np.zeros(2), "terminations": [False, terminated], "truncations": [False, truncated]}
        for terminated, truncated in ((True, False), (False, True), (True, True), (False, False))
    ]
    np.testing.assert_array_equal(read(write_minari(DATASET, ends)).terminated, [True, False, True, False])


@pytest.mark.parametrize("flag", ["terminations", "truncations"])
def test_an_end_inside_a_stored_episode_splits_it_and_that_is_said(flag, caplog):
    """A flat log with time-out flags, handed to Minari in one piece."""
    log = {"rewards": np.ones(6), "truncations": np.zeros(6, bool)} | {flag: np.isin(np.arange(6), (1, 3))}
    found = read(write_minari(DATASET, [log, {"rewards": np.zeros(3)}]))
    np.testing.assert_array_equal(found.lengths, [2, 2, 2, 3])
    np.testing.assert_array_equal(found.terminated, [flag == "terminations"] * 2 + [False] * 2)
    np.testing.assert_array_equal(found.returns, [2, 2, 2, 0])
    assert "in 1 stored episodes flags of an end lie before the last step" in caplog.text


def test_entries_of_dict_observations_are_laid_behind_each_other_in_the_order_given():
    """In step t the position is t, the kettle 10 t, the switch -t, all over."""
    space = Dict(
        {
            "position": Box(-9, 9, (3,)),
            "goal": Dict({"kettle": Box(-9, 9, (2,)), "light switch": Box(-9, 9, ())}),
            "image": Box(0, 255, (32, 32, 3), np.uint8),  # kept as JPEG files
            "mode": Discrete(4),
        }
    )

    def observations(length):
        steps = np.arange(length + 1, dtype=np.float32)
        goal = {"kettle": np.stack([10 * steps, 10 * steps + 1], 1), "light switch": -steps}
        image, mode = np.full((length + 1, 32, 32, 3), 255, np.uint8), np.zeros(length + 1, np.int64)
        return {"position": steps[:, None] + [0, 0.25, 0.5], "goal": goal, "image": image, "mode": mode}

    made = [{"observations": observations(length), "rewards": np.zeros(length)} for length in LENGTHS]
    folder = write_minari(DATASET, made, space)
    episodes = read_minari(DATASET, folder, ("goal.light switch", "position", "goal.kettle"))
    assert episodes.observations.shape == (sum(LENGTHS), 6)
    assert episodes.observations.dtype == np.float32
    for step in (1, 4):  # the second of the first and of the second episode
        np.testing.assert_array_equal(episodes.observations[step], [-1, 1, 1.25, 1.5, 10, 11])


# Actions.


def with_actions(rows, low, high):
    """The episodes of a data set of two episodes, the second of one step, with those actions, in a space of bounds."""
    rows = np.asarray(rows, np.float32)
    made = [{"actions": part, "rewards": np.zeros(len(part))} for part in (rows[:-1], rows[-1:])]
    space = Box(*(np.broadcast_to(np.float32(bound), rows.shape[1:]) for bound in (low, high)))
    return read(write_minari(DATASET, made, action_space=space))


INF = np.inf


@pytest.mark.parametrize(
    ("space", "rows", "expected", "low", "high"),
    [
        (([-1, -2], [2, 2]), [[-1, -2], [0.5, 1], [2, 0]], [[-1, -1], [0, 0.5], [1, 0]], [-1, -2], [2, 2]),
        # without bounds: by the range of the data
        (([-INF, -1], [INF, 1]), [[-3, 0.5], [1, 0], [5, 0.25]], [[-1, 0.5], [0, 0], [1, 0.25]], [-3, -1], [5, 1]),
        # one that never changes
        (([-INF, -INF], [INF, INF]), [[7, -1], [7, 1]], [[0, -1], [0, 1]], [7, -1], [7, 1]),
        (([7, -1], [7, 1]), [[7, -1], [7, 1]], [[0, -1], [0, 1]], [7, -1], [7, 1]),
    ],
)
def test_actions_between_other_bounds_are_scaled_and_the_bounds_kept(space, rows, expected, low, high):
    episodes = with_actions(rows, *space)
    np.testing.assert_allclose(episodes.actions, expected, atol=1e-6)
    np.testing.assert_array_equal([episodes.action_low, episodes.action_high], [low, high])
    assert episodes.action_low.dtype == episodes.action_high.dtype == episodes.actions.dtype == np.float32
    acted = unscale_actions(episodes.actions, episodes.action_low, episodes.action_high)
    np.testing.assert_allclose(acted, rows, atol=1e-6)


def test_actions_between_minus_one_and_one_are_left_alone(caplog):
    rows = [[-1.0, 1.0], [0.3, -0.7], [0.0, 0.9999999], [np.nextafter(np.float32(1), np.float32(2)), 0.0]]
    episodes = with_actions(rows, -1, 1)
    np.testing.assert_array_equal(episodes.actions, np.array(rows, np.float32).clip(-1, 1))
    assert not caplog.records  # what rounding leaves beyond the bounds is not worth a word
    assert (episodes.action_low, episodes.action_high) == (None, None)


def test_a_glitch_does_not_set_the_scale_of_an_unbounded_action():
    actions = np.linspace(-2, 2, 200)[:, None]
    actions[17] = 1e6
    episodes = with_actions(actions, -INF, INF)
    np.testing.assert_array_equal(episodes.action_high, [2.0])
    assert episodes.actions[17] == 1.0


def test_actions_beyond_their_bounds_are_clipped_and_that_is_said(caplog):
    episodes = with_actions([[0, 1], [3, 0], [0, 0], [0, -6], [-2, 2]], -2, 2)
    np.testing.assert_allclose(episodes.actions, [[0, 0.5], [1, 0], [0, 0], [0, -1], [-1, 1]], atol=1e-6)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.startswith(f"{DATASET}: 40% of the actions lie outside their bounds (the largest is 6): clipped")


@pytest.mark.parametrize(("low", "high", "value"), [(-1, 1, np.nan), (0.5, 9, INF), (-INF, INF, -INF)])
def test_an_action_that_is_not_finite_is_named_and_never_clipped(low, high, value):
    rows = [[1.0, 1.0], [1.0, 1.0], [value, 1.0], [1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match=rf"^{DATASET}: episode 0, actions, step 2: found {value}"):
        with_actions(rows, low, high)


# Metadata and files.


def test_provenance_says_how_the_data_came_about_and_prefers_the_environment_for_evaluation():
    assert not read_provenance(DATASET, write()).get("recreated")
    collected, evaluated = (gymnasium.spec(name).to_json() for name in ("Pendulum-v1", "MountainCarContinuous-v0"))
    facts = {"recreated": True, "recipe": "a walk", "seed": 3, "ref_min_score": -3.5, "ref_max_score": 12}
    facts |= {"dataset_id": DATASET, "source": "minari", "env_id": "Pendulum-v1"}
    folder = find_local(DATASET)
    for key, spec in (("env_spec", collected), ("eval_env_spec", evaluated)):
        set_metadata(folder, **facts | {key: spec})
        assert (facts | {"env_spec": spec}).items() <= read_provenance(DATASET, folder).items()


@pytest.mark.parametrize("spec", [None, "{", '{"kwargs": {}}'])
def test_data_that_knows_no_environment_names_none(spec):
    assert not {"env_id", "env_spec"} & read_provenance(DATASET, write(env_spec=spec)).keys()


def test_another_content_is_another_digest():
    folder = write()
    path, digests = folder / "main_data.hdf5", {content_digest(folder)}
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for change in (
        lambda: path.write_bytes(content),
        lambda: path.rename(folder / "main_data.hdf6"),
        (folder / "more").touch,
    ):
        change()
        digests.add(content_digest(folder))
    assert len(digests) == 4


def test_local_data_sets_are_listed_whatever_their_namespace(tmp_path):
    for dataset_id in ("toy/walk-v1", "alone-v0", "a/b/c-v2"):
        write_minari(dataset_id, [{"rewards": np.zeros(1)}])
    hidden = tmp_path / "minari" / ".incomplete-7-here" / "toy" / "half-v0" / "data"
    hidden.mkdir(parents=True)
    (hidden / "metadata.json").write_text("{}")
    (tmp_path / "minari" / "toy" / "empty-v0" / "data").mkdir(parents=True)
    assert list_local() == ["a/b/c-v2", "alone-v0", "toy/walk-v1"]


@pytest.mark.parametrize("dataset_id", ["../elsewhere/walk-v1", "toy/../../walk-v1", "/etc/walk-v1"])
def test_an_id_that_leads_elsewhere_is_none(dataset_id):
    with pytest.raises(ValueError, match="leads out of the folder"):
        find_local(dataset_id)


def test_what_arrow_needs_is_named_by_the_command_that_installs_it(monkeypatch):
    folder = write(data_format="arrow")
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow" or "arrow_storage" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=rf"{DATASET}: pyarrow is not installed: pip install 'rvdt-jax\[import\]'"):
        read(folder)


def test_the_room_that_data_take_is_known_before_they_are_read(monkeypatch):
    told = []
    monkeypatch.setattr("rvdt_jax.files.check_memory", lambda claimed, what: told.append(claimed))
    read(write())
    assert 2 * 4 * (3 + 2) * sum(LENGTHS) in told
