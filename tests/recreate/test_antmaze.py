"""The antmaze recipe: the maze's geometry, the planner, the ant that goes on, and what a collection says of itself."""

import contextlib

import numpy as np
import pytest

from rvdt_jax.data.source import load_local
from rvdt_jax.envs.d4rl import AntMazeEnv
from rvdt_jax.recreate import recreate
from rvdt_jax.recreate.antmaze import CommandedAnt, Planner, cell_of, free_cells, place_of

NAMES = ["umaze", "medium", "large"]
STILL = np.zeros(8)


@pytest.mark.parametrize("maze", NAMES)
def test_places_are_those_of_the_environment(maze):
    with contextlib.closing(AntMazeEnv(maze)) as env:
        np.testing.assert_allclose(place_of(cell_of(env._goal_centre, maze), maze), env._goal_centre)
        model = env.simulator.model
        blocks = [i for i in range(model.ngeom) if model.geom(i).name.startswith("block")]
        walls = {tuple(np.round(model.geom_pos[i, :2] - env._origin, 3).tolist()) for i in blocks}
    assert walls
    assert not walls & {tuple(place_of(cell, maze).tolist()) for cell in free_cells(maze)}


@pytest.mark.parametrize("maze", NAMES)
def test_a_place_is_in_the_cell_around_it_and_one_in_a_wall_in_the_nearest_free_one(maze):
    for cell in free_cells(maze):
        for offset in ([0, 0], [1.9, -1.9], [-1.9, 1.9]):
            assert cell_of(place_of(cell, maze) + offset, maze) == cell
    assert cell_of(np.array([0.0, -2.3]), maze) == (1, 1)  # pressed into the wall above the start


@pytest.mark.parametrize("maze", NAMES[:2])
def test_who_walks_to_the_waypoints_arrives_through_free_cells_alone(maze):
    rng = np.random.default_rng(0)
    for start in free_cells(maze):
        for end in free_cells(maze)[::7]:
            goal, place = place_of(end, maze) + rng.uniform(0, 1.5, 2), place_of(start, maze)
            planner, steps = Planner(maze, goal, rng), 0
            while np.linalg.norm(place - goal) >= 0.4:
                way, steps = planner.waypoint(place) - place, steps + 1
                place = place + way * min(1.0, 0.4 / max(np.linalg.norm(way), 1e-9))
                assert np.abs(place - place_of(cell_of(place, maze), maze)).max() <= 2.001
                assert steps < 1000, (start, end)


def test_the_next_waypoint_is_aimed_at_once_one_is_reached():
    planner = Planner("umaze", place_of((3, 1), "umaze"), np.random.default_rng(0))
    first = planner.waypoint(np.zeros(2))
    assert cell_of(first, "umaze") == (1, 2)
    assert (planner.waypoint(first + np.array([0.5, 0.0])) == first).all()
    assert cell_of(planner.waypoint(first + np.array([0.4, 0.0])), "umaze") == (1, 3)


def place_ant(env, place):
    position = env.simulator.data.qpos.copy()
    position[:2] = place + env._origin
    env._ant.set_state(position, np.zeros(14))


def test_at_the_goal_it_is_paid_and_goes_on():
    with contextlib.closing(CommandedAnt("umaze", diverse=False)) as env:
        observation, _ = env.reset(seed=0)
        np.testing.assert_allclose(observation[29:], env._goal, rtol=1e-6)
        assert np.linalg.norm(observation[:2]) < 0.5
        place_ant(env, env._goal)
        observation, *rest = env.step(STILL)
        assert rest[:3] == [1.0, False, False]
        assert observation.shape == env.observation_space.shape == (31,)


def test_diverse_ants_start_and_go_anywhere_but_are_paid_at_the_tasks_goal():
    with contextlib.closing(CommandedAnt("medium", diverse=True)) as env:
        seen = [env.reset(seed=seed)[0] for seed in range(120)]
        for visited in (
            {cell_of(o[:2] - 0.5, "medium") for o in seen},
            {cell_of(o[29:] - 0.75, "medium") for o in seen},
        ):
            assert len(visited) > 0.9 * len(free_cells("medium"))
        assert cell_of(env._goal - 0.75, "medium") == (6, 6)
        for target, reward in ((env._commanded, 0.0), (env._goal, 1.0)):
            place_ant(env, target)
            assert env.step(STILL)[1] == reward


@pytest.mark.slow
@pytest.mark.parametrize("name", ["antmaze-umaze-v0", "antmaze-large-diverse-v0"])
def test_a_collection_says_that_it_is_recreated_and_by_which_policy(name):
    dataset_id = recreate(name, steps=40, seed=1, progress=False)
    assert dataset_id == f"recreated/{name.removesuffix('-v0')}-40-steps-seed-1-v0"
    episodes, provenance = load_local(dataset_id)
    assert (episodes.observations.shape[1], provenance["recreated"]) == (29, True)
    assert ("random starts" in provenance["recipe"]) == ("diverse" in name)
