"""The known name nearest to a misspelt one."""

import pytest

from rvdt_jax.errors import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("rvtd", ["steps", "RVDT"], "RVDT"),  # whatever the case
        ("STESP", ["steps", "RVDT"], "steps"),
        ("xyz", ["steps", "RVDT"], None),
        ("ab", ["AB", "Ab"], "AB"),  # the first of those that differ by case alone
        ("toy/a-v1", ["toy/bbb-v0"], "toy/bbb-v0"),
    ],
)
def test_the_nearest_name_is_found(name, known, found):
    assert nearest(name, known) == found
    assert did_you_mean(name, known) == (f" Did you mean {found!r}?" if found else "")


def test_a_name_that_is_only_a_little_like_it_is_not_taken_where_more_is_asked():
    assert nearest("toy/a-v1", ["toy/bbb-v0"], cutoff=0.8) is None
