"""Which policies fitted Q evaluation is compared over: every seed of every run that is named, or an error."""

import json

import fqe_correlation
import pytest

from rvdt_jax.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes a finished run with seeds 0 and 1, played and estimated at the target 300, but for what is ``changed``."""

    def make(**changed):
        facts = {"played": "300.0", "estimated": 300.0, "returns": (10.0, 20.0)} | changed
        cells = {str(seed): {"return": value} for seed, value in enumerate(facts["returns"])}
        final = {} if facts["played"] is None else {facts["played"]: {"seeds": cells}}
        results = {"task": None, "variant": "DT", "steps": 6, "headline_target": facts["played"], "final": final}
        (tmp_path / "results.json").write_text(json.dumps(results))
        estimates = [{"seed": seed, "target": facts["estimated"], "estimate": 1.0 + seed} for seed in (0, 1)]
        (tmp_path / "fqe-6.json").write_text(json.dumps({"gamma": 0.99, "estimates": estimates}))
        return tmp_path

    return make


def test_a_row_is_a_seeds_estimate_beside_its_played_return(write):
    rows = fqe_correlation._rows(write())
    assert [(row["seed"], row["estimate"], row["return"]) for row in rows] == [(0, 1.0, 10.0), (1, 2.0, 20.0)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"played": None}, "was never played"),
        ({"returns": (10.0, None)}, "seed 1 has no return"),
        ({"played": "300 500"}, "no estimate of seed 0 at the target 300 500"),  # the critic chooses between the two
    ],
)
def test_a_run_that_cannot_be_compared_is_named_and_not_left_out_silently(write, changed, words):
    with pytest.raises(UserError, match=words):
        fqe_correlation._rows(write(**changed))
