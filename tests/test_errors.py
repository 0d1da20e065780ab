"""The known name nearest to a misspelt one."""

import pytest

from rvdt_jax.errors import UserError, did_you_mean, nearest


def test_a_users_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize(("name", "found"), [("rvtd", "RVDT"), ("steps", "steps"), ("STESP", "steps"), ("xyz", None)])
def test_the_nearest_name_is_found_whatever_the_case(name, found):
    assert nearest(name, ["steps", "RVDT", "seeds"]) == found


def test_a_name_that_is_only_a_little_like_it_is_not_taken_where_more_is_asked():
    assert nearest("toy/a-v1", ["toy/bbb-v0"]) == "toy/bbb-v0"
    assert nearest("toy/a-v1", ["toy/bbb-v0"], cutoff=0.8) is None


def test_of_names_that_differ_by_case_alone_the_first_is_taken():
    assert nearest("ab", ["AB", "Ab"]) == "AB"


def test_the_question_ends_a_message_or_is_empty():
    assert did_you_mean("stesp", {"steps": 1}) == " Did you mean 'steps'?"
    assert did_you_mean("stesp", ()) == ""
