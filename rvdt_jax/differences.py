"""Where two nested tables of settings differ, for error messages."""

from __future__ import annotations


def differences(there: dict, here: dict, prefix: str = "") -> list[str]:
    """One phrase for each leaf in which two nested dicts differ, by its dotted name."""
    found = []
    for name in sorted(there.keys() | here.keys()):
        left, right = there.get(name), here.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{prefix}{name}.")
        elif left != right:
            found.append(f"{prefix}{name} is {left!r} there, {right!r} here")
    return found
