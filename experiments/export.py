"""Exports the policy of a saved run as a folder that acts without the packages that trained it.

    python experiments/export.py --workdir=runs/maze2d-umaze-v1/RVDT --out=policy

``rvdt_jax.Policy.from_export("policy")`` reads it with JAX, NumPy and flatbuffers alone.
"""

from absl import app, flags

from launcher import parse_flags, report_errors

_WORKDIR = flags.DEFINE_string("workdir", None, "The run directory.", required=True)
_OUT = flags.DEFINE_string("out", None, "The folder to write; it must be missing or empty.", required=True)
_SEED = flags.DEFINE_integer("seed", None, "Which training seed's policy; unset: the first.")
_STEP = flags.DEFINE_integer("step", None, "The checkpoint's update; unset: the newest.")
_SELECTION = flags.DEFINE_string("action_selection", None, "mean, sample, critic or best_of; unset: the run's.")


def main(argv: list[str]) -> int:
    """Exports, and says how the folder is used."""
    from rvdt_jax.acting.export import export_policy

    choice = {"seed": _SEED.value, "step": _STEP.value, "selection": _SELECTION.value}
    folder = export_policy(_WORKDIR.value, _OUT.value, **choice)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 2**20:.1f} MiB; rvdt_jax.Policy.from_export({str(folder)!r})")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
