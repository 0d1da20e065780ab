"""The check of a device: it holds where device and CPU are one, and fails where they differ by more than the bounds."""

import pytest
from launching import python

pytestmark = pytest.mark.slow
NARROW = "import check_device; check_device.BOUNDS = {'bfloat16': (1e-9, 1e-9)}; from absl import app; "
NARROW += "app.run(check_device.main)"


@pytest.mark.parametrize(
    ("command", "what", "status", "last"),
    [
        (["check_device.py"], ("--variants=DT", "--width=8"), 0, "6 of 6 hold"),
        (["check_device.py"], ("--variants=TD3+BC",), 0, "8 of 8 hold"),
        (["-c", NARROW], ("--variants=DT", "--width=8"), 1, "0 of 3 hold"),
    ],
)
def test_the_exit_status_says_whether_every_bound_holds(command, what, status, last):
    done = python(*command, *what)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1] == last
