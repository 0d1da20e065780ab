"""The known name nearest to a misspelt one; ``test_tasks.py`` has it in messages."""

from rvdt_jax.errors import nearest


def test_the_nearest_name_is_the_first_near_enough_whatever_the_case():
    assert nearest("STESP", ["RVDT", "steps"]) == "steps"
    assert nearest("ab", ["AB", "Ab"]) == "AB"
    assert nearest("toy/a-v1", ["toy/bbb-v0"]) == "toy/bbb-v0"
    assert nearest("toy/a-v1", ["toy/bbb-v0"], cutoff=0.8) is None
