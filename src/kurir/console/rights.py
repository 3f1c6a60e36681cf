"""Who may do what in the console: four roles, five rights. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kurir.console.words import mark


class Right(StrEnum):
    """What a route asks for.

    SEE: to look at what concerns clients (messages, contacts, callbacks, errors), within the user's scope. SEE_ALL: to look at
    the installation (settings, audit, clients). ACT: to retry, cancel, replay, reveal, within the scope. OPERATE: to change
    accounts and whatever stops or starts them. OWN: users, clients, keys.
    """

    SEE = "see"
    SEE_ALL = "see_all"
    ACT = "act"
    OPERATE = "operate"
    OWN = "own"


class Role(StrEnum):
    """What a user of the console is."""

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"
    CLIENT = "client"


ROLES: Final = {
    Role.OWNER: mark("everything, users and keys too"),
    Role.OPERATOR: mark("looks at everything and mends: accounts, messages, callbacks"),
    Role.VIEWER: mark("looks at everything; phones and texts stay masked"),
    Role.CLIENT: mark("looks at one client's messages, contacts and callbacks, and mends them"),
}

_RIGHTS: Final = {
    Role.OWNER: frozenset(Right),
    Role.OPERATOR: frozenset((Right.SEE, Right.SEE_ALL, Right.ACT, Right.OPERATE)),
    Role.VIEWER: frozenset((Right.SEE, Right.SEE_ALL)),
    Role.CLIENT: frozenset((Right.SEE, Right.ACT)),
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page. ``client_id`` "" sees every client. ``session_id`` names the browser's session."""

    user_id: str
    name: str
    role: Role
    client_id: str
    session_id: str
    address: str

    def may(self, right: Right) -> bool:
        """Return whether the visitor has the right."""
        return right in _RIGHTS[self.role]

    @property
    def client_ids(self) -> tuple[str, ...] | None:
        """The clients whose things the visitor may see; None: all of them."""
        if self.role is not Role.CLIENT:
            return None
        return (self.client_id,) if self.client_id else ()  # "" is nobody's: what came without a client is not for it
