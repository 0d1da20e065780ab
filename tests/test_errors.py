"""The known name nearest to a misspelt one."""

import pytest

from rvdt_jax.errors import nearest


@pytest.mark.parametrize(
    ("name", "known", "cutoff", "found"),
    [
        ("rvtd", ["steps", "RVDT"], 0.6, "RVDT"),  # whatever the case
        ("STESP", ["steps", "RVDT"], 0.6, "steps"),
        ("xyz", ["steps", "RVDT"], 0.6, None),
        ("ab", ["AB", "Ab"], 0.6, "AB"),  # the first of those that differ by case alone
        ("toy/a-v1", ["toy/bbb-v0"], 0.6, "toy/bbb-v0"),
        ("toy/a-v1", ["toy/bbb-v0"], 0.8, None),
    ],
)
def test_the_nearest_name_is_found(name, known, cutoff, found):
    assert nearest(name, known, cutoff=cutoff) == found
