"""What the page of users shows and takes: who may look, as what, and what is wrong with what was typed. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kurir.console.access import LONGEST_NAME
from kurir.console.rights import Role
from kurir.console.words import _
from kurir.store.access import SESSION_IDLE, SESSION_LONGEST, SessionRecord, UserRecord

#: The roles as the page offers them, the least first.
OFFERED: Final = (Role.VIEWER, Role.CLIENT, Role.OPERATOR, Role.OWNER)


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as the page shows one. ``sessions`` are those that still let in; ``only``: the last enabled owner."""

    user: UserRecord
    sessions: int
    only: bool


def rows(users: Sequence[UserRecord], sessions: Mapping[str, Sequence[SessionRecord]], now: datetime) -> list[UserRow]:
    """Return the users with what is known of each."""
    owners = [one.id for one in users if one.enabled and one.role == Role.OWNER]
    return [
        UserRow(
            user=one,
            sessions=sum(
                1
                for each in sessions.get(one.id, ())
                if now - each.seen_at < SESSION_IDLE and now - each.created_at < SESSION_LONGEST
            ),
            only=owners == [one.id],
        )
        for one in users
    ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A user as somebody typed one."""

    name: str
    role: str
    client_id: str

    @property
    def scope(self) -> str:
        """The client that the user sees; "" for a role that sees all."""
        return self.client_id if self.role == Role.CLIENT else ""


def problems(wanted: Wanted, clients: Collection[str]) -> dict[str, str]:
    """Return what is wrong, by field."""
    found: dict[str, str] = {}
    if not is_name(wanted.name):
        found["name"] = _("A name has 1 to 100 characters.")
    if wanted.role not in set(Role):
        found["role"] = _("Choose a role.")
    elif wanted.role == Role.CLIENT and wanted.client_id not in clients:
        found["client"] = _("Choose the client whose things the user sees.")
    return found


def is_name(name: str) -> bool:
    """Return whether a user may be called so."""
    return 1 <= len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip().lower()
