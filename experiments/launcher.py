"""What every launcher shares: the --config flag, its path, and errors as one line instead of a traceback."""

import contextlib
import difflib
import errno
import functools
import importlib.util
import logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags
from tqdm import tqdm

# Read when NumPy is loaded. What it multiplies here are small networks, of the policies that collect: on a busy machine
# several threads take up to fifty times as long as one, for the same bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def config_flag():
    """The flag --config=FILE, and --config.FIELD=VALUE for each of its fields; the configuration is locked."""
    holder = config_flags.DEFINE_config_file("config", None, "Configuration file.", lock_config=True)
    flags.mark_flag_as_required("config")
    return holder


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with --config relative to the launcher too, and every mistake in one line."""
    try:
        rest = flags.FLAGS(_resolve_config(argv))
    except flags.UnrecognizedFlagError as error:
        fail(f"unknown flag --{error.flagname}.{_suggest(error.flagname)}")
    except flags.Error as error:
        fail(" ".join(str(error).split()))
    except (KeyError, AttributeError) as error:
        # ml_collections refuses an unknown field while it registers the flag, and suggests the nearest name.
        while error.args and isinstance(error.args[0], Exception):
            error = error.args[0]
        fail("--config: there is no field " + " ".join(str(error.args[0]).split()))
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}.{_suggest(rest[1])}")
    return rest


def _resolve_config(argv: list[str]) -> list[str]:
    """Writes --config FILE, in any of absl's spellings, as --config=PATH of a file that is there."""
    argv = list(argv)
    for index, argument in enumerate(argv[1:], start=1):
        name, equals, value = argument.partition("=")
        if name in ("--config", "-config"):
            if not equals and index + 1 < len(argv):
                value = argv.pop(index + 1)
            argv[index] = f"--config={_find_config(value)}"
            break
    return argv


def _find_config(name: str) -> pathlib.Path:
    here = pathlib.Path(__file__).parent
    for candidate in (pathlib.Path(name), here / name):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(f"configs/{file.name}" for file in here.glob("configs/*.py")))
    fail(f"--config: there is no file {name!r}. This package brings {known}.")


def keep_compiled_programs() -> None:
    """Has JAX keep what it compiles beside our caches, so that a second start need not compile it again.

    To be called before JAX is loaded. JAX's own variables win: ``JAX_COMPILATION_CACHE_DIR`` names another folder, and
    ``JAX_ENABLE_COMPILATION_CACHE=false`` keeps nothing.
    """
    from rvdt_jax.data.cache import cache_folder

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled"))
    # Ours are many small programs beside one large one; JAX by itself keeps those alone that took a second.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def report_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Wraps a launcher's main: a user's error ends it with one line and status 2; a bug keeps its traceback."""

    @functools.wraps(main)
    def wrapped(argv: list[str]) -> int:
        _set_up_logging()
        try:
            return main(argv)
        except OSError as error:
            # Where a disk is full the libraries' threads have failed too, and would have the last word.
            (fail_at_once if error.errno in _DISK else fail)(str(error))
        except ValueError as error:
            if _raised_here(error):  # ours name a remedy; one out of a library's depths is a bug
                fail(str(error))
            raise
        except RuntimeError as error:
            # WorkerDied is of envs.processes, ProcessFailed of processes: both are loaded only where they are needed.
            if getattr(error, "dead", False):
                fail_at_once(str(error))
            if type(error).__name__ in ("WorkerDied", "ProcessFailed"):
                fail(str(error))
            raise

    return wrapped


def _raised_here(error: BaseException) -> bool:
    last = pathlib.Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    ours = (pathlib.Path(__file__).resolve().parent, pathlib.Path(importlib.util.find_spec("rvdt_jax").origin).parent)
    return any(folder in last.parents for folder in ours)


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


def only_warnings() -> None:
    """Of the package too: what several processes have to say, process 0 says."""
    logging.getLogger("rvdt_jax").setLevel(logging.WARNING)


def _suggest(argument: str) -> str:
    # Of a configuration only --config itself is known here; its fields are flags as soon as they are used.
    head, dot, field = argument.lstrip("-").partition("=")[0].partition(".")
    nearest = difflib.get_close_matches(head, list(flags.FLAGS), n=1)
    return f" Did you mean --{nearest[0]}{dot}{field}?" if nearest else ""


def fail_at_once(message: str) -> None:
    """As ``fail``, but leaving nobody time to wait, on leaving, for a process that is dead, or to fail as well."""
    for write in (lambda: print(f"error: {message}", file=sys.stderr, flush=True), sys.stdout.flush):
        with contextlib.suppress(OSError):  # they too may lie on the disk that is full
            write()
    os._exit(2)


def fail(message: str) -> None:
    """Ends the program with an error message and status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
