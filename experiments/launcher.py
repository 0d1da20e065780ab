"""What every launcher shares: the --config flag, its path, and a user's errors as one line instead of a traceback."""

import contextlib
import errno
import functools
import logging
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags
from tqdm import tqdm

from rvdt_jax.errors import UserError, nearest, not_installed

# Read when NumPy is loaded. What it multiplies here are small networks, of the policies that collect: on a busy machine
# several threads take up to fifty times as long as one, for the same bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
# What a file system answers to a path or a permission that a user chose.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_REFUSED |= {errno.ENAMETOOLONG, errno.ELOOP}


def config_flag():
    """The flag --config=FILE or FILE:SIZE, and --config.FIELD=VALUE for each of its fields; the settings are locked."""
    words = "Configuration file, and behind a colon its size: configs/antmaze.py:small."
    sys.argv = _with_flag_files(sys.argv)  # ml_collections reads it as soon as the flag is defined
    return config_flags.DEFINE_config_file("config", None, words, lock_config=True)


def command(name: str, installed: bool = pathlib.Path(__file__).parent.name != "experiments") -> str:
    """How the launcher of that name is started: as installed, or as a script of the repository; unset: as from here."""
    return f"rvdt-{name}" if installed else f"python experiments/{name}.py"


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with --config relative to the launcher too, and every mistake in one line."""
    sys.argv = argv = _expand(argv)  # ml_collections looks for the fields of a configuration in sys.argv
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        fail(f"unknown flag --{error.flagname}.{_suggest(error.flagname)}")
    except Exception as error:
        _fail_in_configuration(error, argv)
        if isinstance(error, flags.Error):
            fail(_one_line(error))
        if isinstance(error, KeyError | AttributeError) and _of_ml_collections(error):
            # It refuses an unknown field while it registers the flag, and suggests the nearest name.
            fail(f"--config: there is no field {_one_line(error)}")
        raise
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}.{_suggest(rest[1])}")
    return rest


def _fail_in_configuration(error: BaseException, argv: list[str]) -> None:
    """Ends the program if the error came out of the configuration file: with the file, the line and the error."""
    name = next((word.partition("=")[2] for word in argv if word.startswith("--config=")), None)
    if name is None:
        return
    path, size = split_size(name)
    for each in _chain(error):
        lines = [frame.lineno for frame in traceback.extract_tb(each.__traceback__) if _is_same(frame.filename, path)]
        if isinstance(each, SyntaxError) and _is_same(each.filename or "", path):
            lines = [each.lineno]
        if lines:
            fail(f"--config: {path}, line {lines[-1]}: {type(each).__name__}: {_one_line(each)}")
    if isinstance(error, AttributeError) and error.name == "get_config":
        fail(f"--config: {path} defines no function get_config().")
    if size and "TypeError: get_config() takes" in f"{type(error).__name__}: {error}":
        fail(f"--config: {path} has no sizes, for its get_config takes no argument. Leave out {':' + size!r}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those in whose handling it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_same(filename: str, path: pathlib.Path) -> bool:
    return pathlib.Path(filename).resolve() == path.resolve()


def _of_ml_collections(error: BaseException) -> bool:
    return "ml_collections" in pathlib.Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts


def _one_line(error: BaseException) -> str:
    while error.args and isinstance(error.args[0], Exception):  # ml_collections nests them
        error = error.args[0]
    words = error.args[0] if isinstance(error, KeyError) and error.args else error  # str() of a KeyError is a repr
    # ml_collections lists every field beside the nearest one.
    return re.sub(r" Other fields present: .*?(?= Did you mean|$)", "", " ".join(str(words).split()))


def _expand(argv: list[str]) -> list[str]:
    """The arguments, with those of a --flagfile in its place, --config as a file that is there, and each field once.

    A path that begins with ~ is in the home folder: the shell leaves --workdir=~/runs as it is. Of a --config.FIELD
    that is repeated the last value counts; ml_collections would join those of a tuple.
    """
    program, *words = _with_flag_files(argv)
    words = [re.sub(r"(?<=[=,])~(?=/|,|$)", os.path.expanduser("~"), word) for word in words]
    joined: list[str] = []
    for word in words:  # --config FILE is --config=FILE
        if joined and re.fullmatch(r"--?config(\.[^=]+)?", joined[-1]) and not word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    last: dict[str, str] = {}
    for number, word in enumerate(joined):
        name, _, value = word.partition("=")
        is_config = re.fullmatch(r"--?config(\..+)?", name)
        key = name.lstrip("-") if is_config else str(number)
        if key in last and "." in key:
            del last[key]  # the order of the fields is that of their last values
        last[key] = f"--config={_find_config(value)}" if key == "config" else word
    return [program, *last.values()]


def _with_flag_files(argv: list[str]) -> list[str]:
    try:
        return [argv[0], *flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=True)]
    except (flags.Error, UnicodeDecodeError) as error:
        fail(f"--flagfile: {_one_line(error).removeprefix('ERROR:: ')}")


def split_size(name: str) -> tuple[pathlib.Path, str]:
    """The file of ``--config=FILE:SIZE``, and the size, "" if there is none."""
    path, _, size = name.partition(":")
    return pathlib.Path(path), size


def _find_config(name: str) -> str:
    path, size = split_size(name)
    here = pathlib.Path(__file__).parent
    for candidate in (path, here / path):
        if candidate.is_file():
            return f"{candidate}:{size}" if size else str(candidate)
    known = ", ".join(sorted(f"configs/{file.name}" for file in here.glob("configs/*.py")))
    fail(
        f"--config: there is no file {str(path)!r}. This package brings {known}; configs/gym.py:small is a small size."
    )


def refuse_flags(reason: str, *holders) -> None:
    """Refuses flags that were given and would be ignored.

    Raises:
        UserError: one was given; the message begins with the ``reason``.
    """
    given = [holder.name for holder in holders if flags.FLAGS[holder.name].present]
    if given:
        raise UserError(f"{reason}: leave out --{', --'.join(given)}.")


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
        except Exception as error:
            # Where a disk is full the libraries' threads have failed too, and would have the last word.
            if _is_full_disk(error):
                fail_at_once(str(error))
            _fail_in_configuration(error, sys.argv)
            if isinstance(error, ImportError) and not_installed(error):
                fail(not_installed(error))
            refused = isinstance(error, OSError) and error.errno in _REFUSED
            # WorkerDied is of envs.processes, ProcessFailed of processes: both are loaded only where they are needed.
            if refused or isinstance(error, UserError) or type(error).__name__ in ("WorkerDied", "ProcessFailed"):
                fail(str(error))
            raise

    return wrapped


def _is_full_disk(error: Exception) -> bool:
    """Also as h5py says it, without a number."""
    return isinstance(error, OSError) and (error.errno in _DISK or "No space left on device" in str(error))


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
    near = nearest(head, flags.FLAGS)
    return f" Did you mean --{near}{dot}{field}?" if near else ""


def fail_at_once(message: str) -> None:
    """As ``fail``, but at once, so that no thread of a library fails as well."""
    for write in (lambda: print(f"error: {message}", file=sys.stderr, flush=True), sys.stdout.flush):
        with contextlib.suppress(OSError):  # they too may lie on the disk that is full
            write()
    os._exit(2)


def fail(message: str) -> None:
    """Ends the program with an error message and status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
