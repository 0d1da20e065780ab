"""Errors that a user can mend, and the parts of their messages: the nearest known name, the settings that differ."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator

# Optional package -> the extra of setup.py that installs it.
EXTRAS = {
    **dict.fromkeys(("gymnasium", "gymnasium_robotics", "mujoco"), "envs"),
    **dict.fromkeys(("minari", "h5py", "huggingface_hub"), "data"),
    **dict.fromkeys(("matplotlib", "PIL"), "plot"),
    "pyarrow": "import",
    "flatbuffers": "export",
    "tensorboardX": "tensorboard",
    **dict.fromkeys(("imageio", "imageio_ffmpeg"), "video"),
    **dict.fromkeys(("rliable", "pandas"), "report"),
    "sbx": "recreate",
    "torch": "bench",
}


class UserError(ValueError):
    """Settings, data or files are wrong, and the message says which and what to do.

    The launchers show it as one line. Any other exception is a bug, and keeps its traceback.
    """


def not_installed(error: ImportError) -> str | None:
    """One sentence with the command that installs what could not be imported; None if no extra of ours holds it."""
    name = (error.name or "").split(".")[0]
    # A package that is installed and broken keeps its own message.
    known = isinstance(error, ModuleNotFoundError) and name in EXTRAS
    return f"{name} is not installed: pip install 'rvdt-jax[{EXTRAS[name]}]'" if known else None


@contextlib.contextmanager
def optional_imports(purpose: str) -> Iterator[None]:
    """Turns the failed import of an optional package into one sentence.

    Args:
        purpose: what needs the package, for the message.

    Raises:
        UserError: with the command that installs it.
    """
    try:
        yield
    except ImportError as error:
        sentence = not_installed(error)
        if sentence is None:
            raise
        raise UserError(f"{purpose}: {sentence}") from error


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is most similar to ``name``, whatever the case; None if none is similar."""
    by_lower_case = {each.lower(): each for each in reversed(list(known))}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the end of a message, or "" if no known name is similar."""
    found = nearest(name, known)
    return "" if found is None else f" Did you mean {found!r}?"


def one_line(words) -> str:
    """Anything's text in one line."""
    return " ".join(str(words).split())


def first_line(words) -> str:
    """The first line of anything's text, which may have none."""
    return str(words).strip().partition("\n")[0]


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
