"""Starts a launcher as a user does, with a fault in it.

    python victim.py '{"signal": 9, "target": "module:name", "call": 3, "delay": 0.01}' run.py --config=...

After ``delay`` seconds of the ``call``-th call of a function this process sends itself the signal. ``{"clock": seed}``
instead has the clock jump by up to a year, either way, at one look in a hundred. Recipes are short in every case.
"""

import functools
import json
import os
import pathlib
import pkgutil
import random
import re
import runpy
import sys
import threading
import time


def main(fault: dict, script: str, flags: list[str]) -> None:
    import rvdt_jax.tasks as tasks

    for name in tasks._RECIPE_STEPS:
        tasks._RECIPE_STEPS[name] = 3000
    if "clock" in fault:
        jump(random.Random(fault["clock"]), time.time)
    if "target" in fault:
        plant(fault)
    sys.argv = [script, *flags]
    sys.path.insert(0, str(pathlib.Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def jump(rng: random.Random, real) -> None:
    """Puts another clock in the place of the real one."""
    offset = 0.0

    def jumping() -> float:
        nonlocal offset
        if rng.random() < 0.01:
            offset = rng.uniform(-3e7, 3e7)
        return real() + offset

    time.time = jumping


def plant(fault: dict) -> None:
    """Puts the fault into the function."""
    path, name = re.fullmatch(r"(.*)[.:](\w+)", fault["target"]).groups()
    holder, calls = pkgutil.resolve_name(path), []
    original = getattr(holder, name)

    @functools.wraps(original)
    def planted(*arguments, **options):
        calls.append(None)
        if len(calls) == fault["call"]:
            timer = threading.Timer(fault["delay"], os.kill, (os.getpid(), fault["signal"]))
            timer.daemon = True
            timer.start()
        return original(*arguments, **options)

    if hasattr(original, "lower"):  # of a compiled function
        planted.lower = original.lower
    setattr(holder, name, planted)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
