"""The generated sections of the Markdown pages: each stands between two markers, and is made from committed records."""

from __future__ import annotations

import pathlib

from benchmark.table import MARKERS as SPEED
from benchmark.table import load_results, speed_table

from reporting.likeness import table as likeness_table
from reporting.results import draw_tables, headline_section, results_section, statistics_section
from reporting.theory import describe_theory
from reporting.unfilled import unfilled_section
from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.coverage import verdict
from rvdt_jax.report.records import read_json
from rvdt_jax.report.render import markdown_table

# Of the toys, the mean return of the best policy: see rvdt_jax/envs/toys.py.
_BEST = {"bandit": 1.3, "corridor": 1.0}


def markers(name: str) -> tuple[str, str]:
    """The lines before and after a section."""
    return f"<!-- {name}: make tables -->", f"<!-- end of {name} -->"


HEADLINE = markers("headline")


def write_pages(root: pathlib.Path, cells: dict[Key, Cell]) -> None:
    """Writes the headline into ``README.md``, and every other section into ``experiments/results/README.md``.

    Args:
        root: of the repository.
        cells: our cells of the tables.

    Raises:
        UserError: a page lacks a section's markers, or a record is damaged.
    """
    folder = root / "experiments" / "results"
    for name, content in results_sections(folder, cells).items():
        write_section(folder / "README.md", content, SPEED if name == "speed" else markers(name))
    write_section(root / "README.md", headline_section(cells), HEADLINE)
    draw_tables(cells, folder / "pictures")


def results_sections(folder: pathlib.Path, cells: dict[Key, Cell]) -> dict[str, str]:
    """Name -> content of the sections of ``experiments/results/README.md``.

    Args:
        folder: of the committed records.
        cells: our cells of the tables.
    """
    random_returns = (folder / "random-returns" / "table.txt").read_text(encoding="utf-8")
    return {
        "demo": _text((folder / "demo" / "table.txt").read_text(encoding="utf-8")),
        "results": results_section(cells),
        "unfilled": unfilled_section(cells),
        "statistics": statistics_section(cells),
        "toys": _toys(read_json(folder / "toys" / "toys.json")),
        "coverage": "\n\n".join(_coverage(path, folder) for path in sorted(folder.glob("*/*/coverage.json"))),
        "theory": describe_theory(read_json(folder / "theory" / "theory.json")).replace("\n", "\n\n"),
        "likeness": likeness_table([read_json(path) for path in sorted(folder.glob("likeness/*.json"))]).strip(),
        "random returns": _text(random_returns),
        "speed": speed_table(load_results(folder)),
    }


def _text(content: str) -> str:
    return f"```text\n{content.rstrip()}\n```"


def _toys(found: dict[str, dict[str, list[float]]]) -> str:
    """A row per problem: the mean returns of each variant's seeds."""
    variants = list(next(iter(found.values())))
    rows = [
        [name, f"{_BEST[name]:.2f}", *(", ".join(f"{value:.2f}" for value in by_variant[each]) for each in variants)]
        for name, by_variant in found.items()
    ]
    return markdown_table(("problem", "best possible", *variants), rows)


def _coverage(path: pathlib.Path, folder: pathlib.Path) -> str:
    """The verdict on one data set, with a link to its picture."""
    lines = verdict(read_json(path)).split("\n")
    picture = path.with_suffix(".png").relative_to(folder).as_posix()
    return "\n".join([f"**{path.parent.name}** ([picture]({picture})):\n", *(f"* {line}" for line in lines)])


def write_section(path: pathlib.Path, content: str, markers: tuple[str, str]) -> None:
    """Replaces the text between the file's two markers by ``content``.

    Raises:
        UserError: the file has no such markers.
    """
    begin, end = markers
    text = path.read_text(encoding="utf-8")
    if section_of(text, markers) is None:
        raise UserError(f"{path}: has no lines {begin!r} and {end!r} to put the section between. Add them.")
    before, rest = text.split(begin, 1)
    path.write_text(f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def section_of(text: str, markers: tuple[str, str]) -> str | None:
    """The text between the markers of a file's text; None if they are missing."""
    begin, end = markers
    if begin not in text or end not in text.split(begin, 1)[1]:
        return None
    return text.split(begin, 1)[1].split(end, 1)[0].strip()
