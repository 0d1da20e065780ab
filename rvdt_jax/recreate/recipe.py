"""What a published recipe comes down to: what acts, for how long, and how to collect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe for one task, ready to be carried out.

    Attributes:
        observation_size, action_size: S and A.
        algorithm: what acts, in a few words.
        description: a sentence on how it is collected.
        steps: how many.
        seed: what fixes them.
        facts: further metadata, JSON values by name.
        collect: gives the episodes as ``write_dataset`` takes them; calls its argument with the number of new steps.
    """

    observation_size: int
    action_size: int
    algorithm: str
    description: str
    steps: int
    seed: int
    facts: dict
    collect: Callable[[Callable[[int], object]], Iterator[dict]]
