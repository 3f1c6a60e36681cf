"""A configuration that was found right: frozen values, secrets hidden from every repr.

Accounts are :class:`kurir.domain.account.Account` itself, with the channel's defaults filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from kurir.domain.account import Account
from kurir.settings import Settings


@dataclass(frozen=True, slots=True)
class CallbackConfig:
    """One callback endpoint of a client. ``events`` are names of events, or ``("*",)``."""

    url: str
    dialect: str
    secret: str = field(repr=False)
    events: tuple[str, ...] = ("*",)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One client with all that belongs to it. ``default_region`` is "" when there is none.

    ``allow_from`` are the networks that its requests may come from; none: all.
    """

    id: str
    username: str
    password: str = field(repr=False)
    default_region: str = ""
    max_age: timedelta = timedelta(hours=24)
    callbacks: tuple[CallbackConfig, ...] = ()
    accounts: tuple[Account, ...] = ()
    allow_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a start needs to know. ``path`` is None when there is no file."""

    settings: Settings
    clients: tuple[ClientConfig, ...] = ()
    path: Path | None = None
