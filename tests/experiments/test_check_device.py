"""The check of a device: it holds where device and CPU are one, and fails where they differ by more than the bounds."""

import pytest
from launching import python

pytestmark = pytest.mark.slow
NARROW = "import check_device; check_device.BOUNDS = {'bfloat16': (1e-9, 1e-9)}; from absl import app; "
NARROW += "app.run(check_device.main)"


@pytest.mark.parametrize(
    ("command", "status", "last"),
    [(["check_device.py"], 0, "6 of 6 hold"), (["-c", NARROW], 1, "0 of 3 hold")],
)
def test_the_exit_status_says_whether_every_bound_holds(command, status, last):
    done = python(*command, "--variants=DT", "--width=8")
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1] == last
