"""Makes the example log that the package ships: a heating valve on forty winter days.

    python experiments/heating_log.py

One row every quarter of an hour. A room loses heat to the outside and gains it from a radiator; a thermostat with a
random set point and some noise moves the valve. The reward is what the day costs: degrees away from 21, and energy.
"""

import csv
import pathlib

import numpy as np
from absl import app

PATH = pathlib.Path(__file__).resolve().parents[1] / "rvdt_jax" / "data" / "examples" / "heating_log.csv"
DAYS, STEPS = 40, 96
HOURS = 0.25  # of a step
LOSS, GAIN = 0.08, 2.2  # of the room, per hour: share of the difference to the outside; degrees by a valve at 100 %
COLUMNS = ("day", "hour", "temp_room", "temp_outside", "valve", "reward")


def main(argv: list[str]) -> None:
    """Writes the file anew; the same one every time."""
    rng = np.random.default_rng(0)
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for day in range(DAYS):
            writer.writerows(rows_of(day, rng))


def rows_of(day: int, rng: np.random.Generator) -> list[tuple]:
    """The rows of one day."""
    rows, room = [], rng.uniform(16.0, 20.0)
    mean, swing, wanted = rng.uniform(-5.0, 5.0), rng.uniform(2.0, 5.0), rng.uniform(19.0, 23.0)
    for step in range(STEPS):
        hour = step * HOURS
        outside = mean - swing * np.cos(2 * np.pi * (hour - 3.0) / 24.0) + rng.normal(0.0, 0.2)
        valve = float(np.clip(25.0 * (wanted - room) + 40.0 + rng.normal(0.0, 15.0), 0.0, 100.0))
        reward = -abs(room - 21.0) - 0.005 * valve
        rows.append((day, f"{hour:.2f}", f"{room:.2f}", f"{outside:.2f}", f"{valve:.1f}", f"{reward:.3f}"))
        room += HOURS * (GAIN * valve / 100.0 - LOSS * (room - outside)) + rng.normal(0.0, 0.05)
    return rows


if __name__ == "__main__":
    app.run(main)
