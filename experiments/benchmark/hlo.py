"""The text of a compiled program (``compiled.as_text()``), read: its computations and their instructions."""

from __future__ import annotations

import dataclasses
import re

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*?[\])}]) ([a-z][\w\-]*)\((.*)$")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a compiled program: its name, the type of its result, opcode, operands, and the whole line."""

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    line: str


def read_computations(text: str) -> dict[str, list[Instruction]]:
    """The instructions of every computation, by its name."""
    found: dict[str, list[Instruction]] = {}
    instructions: list[Instruction] = []
    for line in text.splitlines():
        if begun := _COMPUTATION.match(line):
            instructions = found.setdefault(begun[1], [])
        elif parts := _INSTRUCTION.match(line):
            operands = tuple(re.findall(r"%([\w.\-]+)", parts[4].split("), ")[0]))
            instructions.append(Instruction(parts[1], parts[2], parts[3], operands, line))
    return found
