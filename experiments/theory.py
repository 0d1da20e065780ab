"""The theorems on return-conditioned policies, checked on random tabular MDPs where every quantity is exact.

    python experiments/theory.py [--out=runs/theory] [--mdps=200]

Writes ``theory.json`` and ``theory.png``, and prints the results.
"""

import pathlib

from absl import app, flags

from launcher import parse_flags, report_errors

_OUT = flags.DEFINE_string("out", "runs/theory", "Folder of the results.")
_MDPS = flags.DEFINE_integer("mdps", 200, "How many random MDPs.", lower_bound=1)


def main(argv: list[str]) -> int:
    """Computes, writes, draws, prints."""
    from reporting.theory import describe_theory, plot_theory
    from reporting.theory_curves import theory_curves

    from rvdt_jax.report.records import write_json

    folder = pathlib.Path(_OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    curves = theory_curves(_MDPS.value, say=print)
    write_json(folder / "theory.json", curves)
    plot_theory(curves, folder / "theory.png")
    print(f"{describe_theory(curves)}\n\nNumbers and picture: {folder}")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
