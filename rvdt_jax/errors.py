"""Errors that a user can mend, and the parts of their messages: the nearest known name, the settings that differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Settings, data or files are wrong, and the message says which and what to do.

    The launchers show it as one line. Any other exception is a bug, and keeps its traceback.
    """


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is most similar to ``name``, whatever the case; None if none is similar."""
    by_lower_case = {each.lower(): each for each in reversed(list(known))}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the end of a message, or "" if no known name is similar."""
    found = nearest(name, known)
    return "" if found is None else f" Did you mean {found!r}?"


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
