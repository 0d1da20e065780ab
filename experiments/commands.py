"""The launchers as console commands: ``rvdt-run`` of the installed package starts ``run.py``, and so on."""

import functools
import pathlib
import runpy
import sys

_FOLDER = pathlib.Path(__file__).resolve().parent


def __getattr__(name: str):
    """The function behind a console command, which starts the launcher of that name."""
    if name.startswith("_") or not (_FOLDER / f"{name}.py").is_file():
        raise AttributeError(f"{__name__} has no launcher {name}")
    return functools.partial(_start, _FOLDER / f"{name}.py")


def _start(launcher: pathlib.Path) -> None:
    sys.path.insert(0, str(_FOLDER))  # where Python looks first for what a script imports
    runpy.run_path(str(launcher), run_name="__main__")
