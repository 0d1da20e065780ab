"""The episodes of policies in a maze as a picture of their paths, and as a film."""

from __future__ import annotations

import io
import itertools
import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from PIL import Image

from reporting.playing import Paths

WALL, EDGE, INK, GREY = "#E4E7EC", "#98A2B3", "#1D2939", "#667085"
GOAL, BALL = "#009E73", "#D55E00"
# From light to dark, so that time is visible in grey, too.
TIME = LinearSegmentedColormap.from_list("time", ["#F6C177", "#E0783C", "#A3365C", "#3B1C5A"])
_STYLE = {"font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.titlepad": 5}
_CROP = 0.55  # the share of the outer walls, which are one cell thick, that is not drawn
_PIECES = 60  # colours along a path
_STEP = 0.01  # seconds


def draw_paths(panels: list[tuple[str, Paths]], path: pathlib.Path) -> None:
    """Draws one panel for each policy, all in one maze from the same starts.

    Args:
        panels: labels and paths.
        path: the PNG to write.
    """
    everything = [paths for _, paths in panels]
    with plt.rc_context(_STYLE):
        figure, places, footer = _layout(everything[0], len(panels))
        for place, (label, paths) in zip(places, panels, strict=True):
            axes = figure.add_axes(place)
            _draw_maze(axes, paths)
            _draw_episodes(axes, paths)
            axes.set_title(label, loc="left", fontsize=11, fontweight="bold")
            axes.set_title(paths.verdict.replace("-", "\N{MINUS SIGN}"), loc="right", fontsize=10, color=GREY)
        _write_header(figure, everything)
        _draw_legend(figure, footer, everything)
        figure.savefig(path, dpi=200)
        plt.close(figure)


_MARGIN, _GAP, _HEADER, _TITLE, _FOOTER = 0.25, 0.2, 0.62, 0.3, 0.72  # inches


def _layout(paths: Paths, count: int):
    """A figure, the places of its panels, and that of the legend below: each (left, bottom, width, height)."""
    rows, columns = (length - 2 * _CROP for length in (len(paths.rows), len(paths.rows[0])))
    wide = max(2.4, 0.42 * columns) if count > 1 else 4.2
    across = min(count, max(1, int(11.0 // wide)))
    down = -(-count // across)
    high = wide * rows / columns
    width = 2 * _MARGIN + across * wide + (across - 1) * _GAP
    height = _HEADER + down * (_TITLE + high) + (down - 1) * _GAP + _FOOTER
    places = []
    for number in range(count):
        i, j = divmod(number, across)
        left, top = _MARGIN + j * (wide + _GAP), _HEADER + _TITLE + i * (_TITLE + high + _GAP)
        places.append((left / width, 1 - (top + high) / height, wide / width, high / height))
    footer = _MARGIN / width, 0.0, 1 - 2 * _MARGIN / width, _FOOTER / height
    return plt.figure(figsize=(width, height), facecolor="white"), places, footer


def _write_header(figure, panels: list[Paths]) -> None:
    width, height = figure.get_size_inches()
    figure.text(_MARGIN / width, 1 - 0.3 / height, panels[0].task, fontsize=13, fontweight="bold", va="center")
    shared = ", from the same starts for every policy" if len(panels) > 1 else ""
    quantity = "return" if panels[0].scores is None else "normalised score"
    words = f"{len(panels[0].returns)} episodes{shared}; mean {quantity}"
    figure.text(_MARGIN / width, 1 - 0.52 / height, words, color=GREY, va="center")


def _draw_legend(figure, place: tuple[float, float, float, float], panels: list[Paths]) -> None:
    """Start, end, goal and the colours of time in one line; below it seeds, updates and data."""
    axes = figure.add_axes(place)
    width, height = figure.get_size_inches() * (place[2], place[3])
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    line, x = height - 0.22, 0.06
    for words, look in (("start", _START), ("end", _END)):
        axes.scatter(x, line, **look)
        axes.text(x + 0.1, line, words, va="center")
        x += 0.58 if words == "start" else 0.52
    axes.add_patch(plt.Circle((x + 0.02, line), 0.07, facecolor=_mixed(GOAL, 0.18), edgecolor=GOAL, linewidth=1))
    axes.text(x + 0.15, line, "goal", va="center")
    bar = x + 0.68, x + 1.58
    axes.text(bar[0] - 0.06, line, "0", va="center", ha="right")
    axes.imshow(
        np.linspace(0, 1, 256)[None], cmap=TIME, extent=(*bar, line - 0.045, line + 0.045), aspect="auto", zorder=2
    )
    axes.text(bar[1] + 0.06, line, f"{_STEP * (panels[0].positions.shape[1] - 1):g} s", va="center")
    axes.set(xlim=(0, width), ylim=(0, height))
    seeds = " or ".join(dict.fromkeys(str(paths.seed) for paths in panels))
    steps = " or ".join(dict.fromkeys(f"{paths.step:,}" for paths in panels))
    words = f"seed {seeds}; update {steps}", *dict.fromkeys(paths.data for paths in panels)
    axes.text(0, 0.2, "; ".join(words), fontsize=7, color=GREY, va="center")


def _mixed(colour: str, share: float) -> tuple[float, ...]:
    """The colour with an opacity of ``share`` on white."""
    return tuple(1 - share * (1 - part) for part in matplotlib.colors.to_rgb(colour))


_START = {"s": 14, "facecolor": "white", "edgecolor": INK, "linewidth": 0.7, "zorder": 6}
_END = {"s": 16, "facecolor": TIME(1.0), "edgecolor": "white", "linewidth": 0.5, "zorder": 7}


def _draw_maze(axes, paths: Paths) -> None:
    """Draws the walls above the goal, which reaches into them."""
    walls = np.array([[cell == "#" for cell in row] for row in paths.rows])
    height, width = walls.shape
    circle = {"xy": paths.goal[::-1], "radius": paths.goal_radius}
    axes.add_patch(plt.Circle(**circle, facecolor=_mixed(GOAL, 0.18), edgecolor=GOAL, linewidth=1.2, zorder=1))
    axes.imshow(
        np.where(walls, 1.0, np.nan),
        cmap=ListedColormap([WALL]),
        extent=(0, width, height, 0),
        interpolation="nearest",
        zorder=2,
    )
    edges = [((j, i), (j + 1, i)) for i in range(1, height) for j in range(width) if walls[i, j] != walls[i - 1, j]]
    edges += [((j, i), (j, i + 1)) for i in range(height) for j in range(1, width) if walls[i, j] != walls[i, j - 1]]
    axes.add_collection(LineCollection(edges, colors=EDGE, linewidths=0.8, capstyle="projecting", zorder=3))
    axes.set(xlim=(_CROP, width - _CROP), ylim=(height - _CROP, _CROP), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_episodes(axes, paths: Paths) -> None:
    """Every path in the colours of time, its start as a ring and its end as a dot."""
    points = paths.positions[..., ::-1]
    cuts = np.unique(np.linspace(0, points.shape[1] - 1, _PIECES + 1).astype(int))
    pieces = [points[:, low : high + 1] for low, high in itertools.pairwise(cuts)]  # later ones above earlier ones
    times = np.repeat(np.linspace(0, 1, len(pieces)), len(points))
    lines = [line for piece in pieces for line in piece]
    axes.add_collection(
        LineCollection(lines, array=times, cmap=TIME, linewidths=0.9, alpha=0.6, capstyle="butt", zorder=5)
    )
    axes.scatter(*points[:, 0].T, **_START)
    axes.scatter(*points[:, -1].T, **_END)


FILM_BYTES = 500_000  # the largest film
_FRAMES, _MILLISECONDS, _PAUSE = 120, 50, 1500  # a film's frames, and the time of each and of the last
_TAIL = 0.3  # seconds of its path that each ball trails


def draw_film(label: str, paths: Paths, path: pathlib.Path) -> None:
    """Writes a film in which all episodes run at once.

    Args:
        label: the policy's name.
        paths: the episodes.
        path: the GIF to write; frames are left out until it is smaller than ``FILM_BYTES``.
    """
    frames = _film_frames(label, paths)
    for every in (1, 2, 3, 4, 6, 8, 12, 16):
        film = _encode(frames[:-1:every] + frames[-1:], _MILLISECONDS * every)
        if len(film) < FILM_BYTES:
            break
    path.write_bytes(film)


def _film_frames(label: str, paths: Paths) -> list[Image.Image]:
    """Pictures of the episodes at evenly spaced times, including the first and the last."""
    points, steps = paths.positions[..., ::-1], paths.positions.shape[1] - 1
    in_goal, tail = paths.in_goal(), max(1, round(_TAIL / _STEP))
    height, width = (length - 2 * _CROP for length in (len(paths.rows), len(paths.rows[0])))
    wide = min(5.0, max(3.4, 0.45 * width))
    high = wide * height / width
    frames = []
    with plt.rc_context(_STYLE):
        total = high + 0.62
        figure = plt.figure(figsize=(wide, total), dpi=100, facecolor="white")
        axes = figure.add_axes((0, 0, 1, high / total))
        _draw_maze(axes, paths)
        figure.text(0.1 / wide, 1 - 0.2 / total, label, fontsize=12, fontweight="bold", va="center")
        figure.text(1 - 0.1 / wide, 1 - 0.2 / total, paths.task, fontsize=9, color=GREY, va="center", ha="right")
        clock = figure.text(1 - 0.1 / wide, 1 - 0.45 / total, "", fontsize=9, color=GREY, va="center", ha="right")
        count_text = figure.text(0.1 / wide, 1 - 0.45 / total, "", fontsize=9, va="center")
        tails = LineCollection([], colors=BALL, linewidths=1.6, alpha=0.35, zorder=5)
        axes.add_collection(tails)
        balls = axes.scatter(*points[:, 0].T, s=40, edgecolor="white", linewidth=0.8, zorder=6)
        for step in np.unique(np.linspace(0, steps, _FRAMES).astype(int)):
            tails.set_segments(list(points[:, max(0, step - tail) : step + 1]))
            balls.set_offsets(points[:, step])
            balls.set_facecolor([GOAL if there else BALL for there in in_goal[:, step]])
            clock.set_text(f"{_STEP * step:.2f} s")
            count_text.set_text(f"{in_goal[:, step].sum()} of {len(points)} in the goal")
            figure.canvas.draw()
            frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))
        plt.close(figure)
    return frames


def _encode(frames: list[Image.Image], milliseconds: int) -> bytes:
    """A GIF with one palette for all frames, so that only changes between frames are stored."""
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    pictures = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [milliseconds] * (len(frames) - 1) + [_PAUSE]
    file = io.BytesIO()
    pictures[0].save(
        file, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True
    )
    return file.getvalue()


def _palette() -> bytes:
    """The colours of a film, and their mixtures for smooth edges."""
    floor, goal = "white", _mixed(GOAL, 0.18)
    pairs = [(floor, INK), (floor, GREY), (floor, GOAL), (floor, BALL), (goal, GOAL), (goal, BALL), (WALL, EDGE)]
    pairs += [(floor, EDGE), (WALL, GOAL), (WALL, BALL), (goal, EDGE)]
    ends = [tuple(np.array(matplotlib.colors.to_rgb(colour)) for colour in pair) for pair in pairs]
    colours = [one + (other - one) * share for one, other in ends for share in np.linspace(0, 1, 16)]
    return (np.unique(colours, axis=0) * 255).round().astype(np.uint8).tobytes()
