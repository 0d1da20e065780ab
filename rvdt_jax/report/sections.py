"""Markdown tables, and the parts of the README that are made from records and stand between two markers."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rvdt_jax.errors import UserError


def markdown_table(headings: Sequence[str], rows: list[list[str]]) -> str:
    """A table with a line of headings."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(path: pathlib.Path, content: str, markers: tuple[str, str]) -> None:
    """Puts the content between the file's two markers.

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
    """What stands between the markers of a file's text; None where they are missing."""
    begin, end = markers
    if begin not in text or end not in text.split(begin, 1)[1]:
        return None
    return text.split(begin, 1)[1].split(end, 1)[0].strip()
