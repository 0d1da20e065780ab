"""The file of results: rows are written as they come, beside it; only a whole run takes the place of an earlier one."""

from __future__ import annotations

import os
import pathlib
import traceback
from collections.abc import Callable

from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json, write_json

FORMAT_VERSION = 1


class Results:
    """The results of one run of the benchmark.

    Args:
        path: the file; what an earlier run on the same hardware wrote there is replaced by ``finish``.
        machine: see ``machine.describe_machine``.
        identity: of the hardware, out of a description; results of other hardware are never replaced.
        say: receives what happens, a line at a time.

    Raises:
        UserError: the file holds results of other hardware, or something else.
    """

    def __init__(self, path: pathlib.Path, machine: dict, identity: Callable[[dict], tuple], say: Callable = print):
        self.path, self._say = path, say
        self.unfinished = path.with_name(f"{path.name}.unfinished")  # where a run that breaks off leaves its rows
        if path.exists():
            old = read_json(path)
            if "machine" not in old:
                raise UserError(f"--out={path}: holds something else. Choose another file; nothing was touched.")
            if identity(old["machine"]) != identity(machine):
                theirs, here = (f"{each['device']} ({each['cores']} cores)" for each in (old["machine"], machine))
                raise UserError(f"--out={path}: holds results of {theirs}, this is {here}. Choose another --out.")
            say(f"{path}: in the end replaces the results of {old['machine']['date']}")
        self.content: dict = {"format_version": FORMAT_VERSION, "machine": machine}

    def measure(self, section: str, name: str, call: Callable[[], dict]) -> dict:
        """Puts what ``call`` returns, or why it failed, under ``section`` and ``name``, and writes the file."""
        self._say(f"{section}: {name}")
        try:
            row = call()
        except Exception as error:  # out of memory, a missing library: the other rows go on
            row = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
            self._say(f"  failed: {row['failed']}\n{traceback.format_exc(limit=-3)}")
        self.note(section, name, row)
        return row

    def note(self, section: str, name: str, row: dict) -> None:
        """Puts ``row`` under ``section`` and ``name``, and writes the file."""
        self.content.setdefault(section, {})[name] = row
        self.unfinished.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.unfinished, self.content)

    def finish(self) -> None:
        """Puts what was measured in its place; to be called when the run is through."""
        os.replace(self.unfinished, self.path)
