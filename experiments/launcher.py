"""What every launcher shares: the --config flag, its path, and errors as one line instead of a traceback."""

import difflib
import functools
import logging
import pathlib
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags
from tqdm import tqdm


def config_flag():
    """The flag --config=FILE, and --config.FIELD=VALUE for each of its fields; the configuration is locked."""
    return config_flags.DEFINE_config_file("config", None, "Configuration file.", lock_config=True)


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with --config relative to the launcher too, and plain words for a field that is not there."""
    argv = [_resolve_path(argument) for argument in argv]
    try:
        return app.parse_flags_with_usage(argv)
    except (KeyError, AttributeError) as error:
        # ml_collections refuses an unknown field while it registers the flag, and suggests the nearest name.
        while error.args and isinstance(error.args[0], Exception):
            error = error.args[0]
        fail("--config: there is no field " + " ".join(str(error.args[0]).split()))


def _resolve_path(argument: str) -> str:
    prefix = "--config="
    if not argument.startswith(prefix):
        return argument
    path = pathlib.Path(argument.removeprefix(prefix))
    for candidate in (path, pathlib.Path(__file__).parent / path):
        if candidate.is_file():
            return f"{prefix}{candidate}"
    known = sorted(f"configs/{file.name}" for file in pathlib.Path(__file__).parent.glob("configs/*.py"))
    fail(f"--config: there is no file {path}. This package brings {', '.join(known)}.")


def report_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Wraps a launcher's main: user errors end it with one line and status 2, and arguments left over are refused."""

    @functools.wraps(main)
    def wrapped(argv: list[str]) -> int:
        _set_up_logging()
        if len(argv) > 1:
            fail(f"unexpected argument {argv[1]!r}.{_suggest(argv[1])}")
        try:
            return main(argv)
        except (ValueError, FileNotFoundError, PermissionError) as error:
            fail(str(error))

    return wrapped


class _AboveProgressBar(logging.Handler):
    """Writes log lines to stderr without breaking a progress bar in two."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def _set_up_logging() -> None:
    """Shows what the package says; of the libraries only warnings, unless --verbosity asks for more."""
    handler = _AboveProgressBar()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    package = logging.getLogger("rvdt_jax")
    package.setLevel(logging.INFO)
    package.propagate = False
    package.handlers = [handler]
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)


def _suggest(argument: str) -> str:
    nearest = difflib.get_close_matches(argument.lstrip("-"), list(flags.FLAGS), n=1)
    return f" Did you mean --{nearest[0]}?" if nearest else ""


def fail(message: str) -> None:
    """Ends the program with an error message and status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
