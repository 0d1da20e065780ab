"""Which column of a log is what: as the user says, or by the names in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rvdt_jax.data.layouts import KNOWN
from rvdt_jax.data.table import Table
from rvdt_jax.errors import UserError

_SEVERAL = ("observations", "actions")
OPTIONAL = ("episode", "terminal", "timeout", "time")


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which columns of a log are what.

    Attributes:
        observations, actions: one or more columns each, laid behind each other in this order.
        reward: the reward of each step.
        episode: ids; ``terminal``, ``timeout``: flags; ``time``: what orders the steps. None where there is none.
        guessed: the roles that were not named but found by their usual names.
    """

    observations: tuple[str, ...]
    actions: tuple[str, ...]
    reward: str
    episode: str | None = None
    terminal: str | None = None
    timeout: str | None = None
    time: str | None = None
    guessed: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        single = (self.reward, self.episode, self.terminal, self.timeout, self.time)
        return tuple(dict.fromkeys([*self.observations, *self.actions, *(name for name in single if name)]))


def choose_roles(table: Table, named: Mapping[str, str | Sequence[str] | None]) -> Roles:
    """The roles that the user named, and the rest by the names in use.

    Args:
        table: the log.
        named: role -> a name or glob, or several; None or absent to guess; "" for none (of a role that may be missing).

    Raises:
        UserError: a name is not there, or a role that is needed cannot be guessed; the message lists the columns.
    """
    chosen, guessed = {}, []
    for role, known in KNOWN.items():
        patterns = named.get(role)
        if patterns is not None:
            patterns = filter(None, [patterns] if isinstance(patterns, str) else patterns)
            found = list(dict.fromkeys(name for pattern in patterns for name in table.match(pattern)))
        else:
            found = [name for name in known if name in table.columns][:1]
            guessed += [role] if found else []
        if not found and role not in OPTIONAL:
            inside = [f"{name}/*" for name in known if any(each.startswith(f"{name}/") for each in table.columns)]
            hint = f"='{inside[0]}', or fewer of them" if inside else ""
            raise UserError(
                f"{table.name}: which columns are the {role}? Name them with --{role}{hint}. {table.listing()}"
            )
        if role not in _SEVERAL and len(found) > 1:
            raise UserError(f"{table.name}: --{role} must be one column, and names {', '.join(found)}.")
        chosen[role] = tuple(found) if role in _SEVERAL else (found[0] if found else None)
    twice = set(chosen["observations"]) & set(chosen["actions"])
    if twice:
        raise UserError(f"{table.name}: {', '.join(sorted(twice))} would be both observation and action.")
    width = table.columns[chosen["reward"]].width
    if width > 1:
        raise UserError(
            f"{table.name}: {chosen['reward']!r} holds {width} numbers a row, and the reward is one. If a row is an "
            "episode, make a row of every step: reshape each array to (episodes x steps, ...) and add episode ids."
        )
    for name in (*chosen["observations"], *chosen["actions"], chosen["reward"]):
        if table.columns[name].kind not in "fiub":
            raise UserError(f"{table.name}: column {name!r} holds no numbers. Leave it out, or code it as numbers.")
    return Roles(**chosen, guessed=tuple(guessed))


def doubts_about(table: Table, roles: Roles) -> tuple[str, ...]:
    """Sentences on a flag of time-outs that may mean another end, and on arrays of a role's name that were not used."""
    guessed = roles.timeout if "timeout" in roles.guessed and "done" in roles.timeout else None
    words = f"{guessed} counts as a time-out; where it means that the task ended, name it with --terminal"
    return ((words,) if guessed else ()) + tuple(
        f"{name} has {table.left_out[name]} rows, not {table.rows}, and was not used"
        for role in OPTIONAL
        if getattr(roles, role) is None
        for name in KNOWN[role]
        if name in table.left_out
    )
