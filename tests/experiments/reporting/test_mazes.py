"""The picture of paths and the film, from made-up episodes."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image
from reporting import mazes
from reporting.mazes import draw_film, draw_paths
from reporting.playing import Paths, check_same_starts, labelled

UMAZE = ("#####", "#GOO#", "###O#", "#OOO#", "#####")


def wander(*, variant="RVDT", steps=300, episodes=20, seed=0, scored=True):
    """Episodes that walk at random, through walls too."""
    rng = np.random.default_rng(seed)
    begin = rng.uniform(1, 4, (episodes, 1, 2))
    walk = np.concatenate([begin, begin + rng.normal(0, 0.05, (episodes, steps, 2)).cumsum(1)], axis=1)
    place = {"rows": UMAZE, "goal": (1.7, 1.7), "goal_radius": 0.5, "positions": np.clip(walk, 0.8, 4.2)}
    scores = {"returns": np.arange(episodes, dtype=float), "scores": np.arange(episodes) - 12.0 if scored else None}
    data = "recreated/x: recreated data, not D4RL's files"
    return Paths(variant=variant, task="maze2d-umaze-v1", data=data, seed=seed, step=8000, **place, **scores)


@pytest.mark.parametrize("count", [1, 5])
def test_there_is_a_panel_for_each_policy(count, tmp_path):
    draw_paths([(f"V{number}", wander(seed=number)) for number in range(count)], tmp_path / "paths.png")
    with Image.open(tmp_path / "paths.png") as picture:
        assert min(picture.size) > 600
        assert np.asarray(picture).std() > 10  # something is drawn


def test_a_film_shows_all_episodes_from_start_to_end_and_leaves_frames_out_if_it_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(mazes, "_FRAMES", 12)
    paths, path = wander(), tmp_path / "paths.gif"
    draw_film("RVDT", paths, path)
    colours = np.array([(0, 158, 115), (213, 94, 0)])  # within the goal, and outside
    with Image.open(path) as pictures:
        assert pictures.n_frames == 12
        # The maze fills the film's width, without .55 of the outer cells, and its lower end.
        scale = pictures.width / (5 - 1.1)
        top = pictures.height - scale * (5 - 1.1)
        for frame, moment in ((0, 0), (11, 300)):
            pictures.seek(frame)
            pixels = np.asarray(pictures.convert("RGB")).astype(int)
            for y, x in paths.positions[:, moment]:
                row, column = round(top + scale * (y - 0.55)), round(scale * (x - 0.55))
                around = pixels[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
                assert (np.abs(around[:, None] - colours).sum(-1).min(0) < 60).any(), (moment, y, x)
    limit = 0.6 * path.stat().st_size
    monkeypatch.setattr(mazes, "FILM_BYTES", limit)
    draw_film("RVDT", paths, path)
    with Image.open(path) as pictures:
        assert 1 < pictures.n_frames < 12
    assert path.stat().st_size < limit


def test_episodes_in_words():
    assert (wander().verdict, wander(scored=False).verdict) == ("score -2.5", "return 9.5")
    paths = dataclasses.replace(wander(), positions=np.array([[[1.7, 1.7], [1.7, 2.19], [1.7, 2.21], [2.1, 2.1]]]))
    assert paths.in_goal().tolist() == [[True, True, False, False]]
    folders = [pathlib.Path(name) for name in ("runs/old/RVDT", "runs/old/QT", "runs/new/RVDT")]
    labels = [label for label, _ in labelled([wander(), wander(variant="QT"), wander()], folders)]
    assert labels == ["RVDT, old/RVDT", "QT", "RVDT, new/RVDT"]


def test_other_mazes_and_other_starts_are_not_compared():
    check_same_starts([wander(), wander(variant="QT")])
    with pytest.raises(ValueError, match="RVDT acts in maze2d-umaze-v1, and QT in maze2d-open-v0"):
        check_same_starts([wander(), dataclasses.replace(wander(variant="QT"), task="maze2d-open-v0")])
    for other in (wander(variant="QT", seed=1), wander(variant="QT", steps=299)):
        with pytest.raises(ValueError, match="the episodes of RVDT and QT differ in starts or length"):
            check_same_starts([wander(), other])
