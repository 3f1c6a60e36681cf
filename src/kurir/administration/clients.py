"""Clients that are made and changed while the gateway runs. Their passwords are made here, and shown once.

What the configuration file declares is the file's, as it is with accounts (:mod:`kurir.administration.accounts`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from kurir.administration.fields import Fields
from kurir.administration.refusal import Refused, in_file, not_found
from kurir.auth import generate_password, generated_hash
from kurir.clock import Clock
from kurir.configuration import clients as readers
from kurir.configuration.values import show_duration
from kurir.domain.problem import Problem
from kurir.store.base import ClientRecord, Put, Store, StoreUnavailable

#: What a client has beside its id; each may be given, and None is the default again. All as the file writes it.
OPTIONS: Final = ("username", "default_region", "max_age", "allow_from")
#: How long the password before lets in beside a new one, unless it is said otherwise; and at most.
OVERLAP: Final = timedelta(hours=24)
LONGEST_OVERLAP: Final = timedelta(days=30)
_MAX_AGE: Final = timedelta(hours=24)
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class MadeClient:
    """A client, and the password that was made by this very call. It is stored nowhere."""

    record: ClientRecord
    password: str = field(repr=False)


class Clients:
    """The clients, as an administrator changes them. See :class:`kurir.administration.Administration`."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def create(self, client_id: str, options: Mapping[str, object] | None = None) -> MadeClient:
        """Make a client, enabled, with a new password. Its user name is its id, where none is given.

        Durable, and let in here, on return. Raises Refused, StoreError.
        """
        fields = Fields()
        fields.attempt(("id",), client_id, readers.client_id, "")
        if not fields.problems and any(one.id == client_id for one in await self._store.clients()):
            fields.add(_id_taken(client_id))
        password = generate_password()
        new = ClientRecord(client_id, client_id, generated_hash(password))
        record = _changed(fields, new, dict(options or {}))
        fields.finish()
        outcome = await self._store.put_client(record, self._clock.now())
        if outcome is not Put.DONE:
            problem = _username_taken(record.username) if outcome is Put.TAKEN else _id_taken(client_id)
            raise Refused("invalid_parameters", problems=[problem])
        await self._changed()
        return MadeClient(await self.find(client_id), password)

    async def change(self, client_id: str, options: Mapping[str, object]) -> ClientRecord:
        """Change what is named of a client. Durable on return. Raises Refused, StoreError."""

        def changed(record: ClientRecord) -> ClientRecord:
            fields = Fields()
            wanted = _changed(fields, record, options)
            fields.finish()
            return wanted

        return await self._put(client_id, changed)

    async def rotate(self, client_id: str, overlap: timedelta = OVERLAP) -> MadeClient:
        """Give a client a new password. The one before lets in for *overlap*; 0: no more from now on. Durable on return.

        The password before that one, where its own overlap runs, is no more. Raises Refused, StoreError.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            detail = f"overlap must be from 0s to {show_duration(LONGEST_OVERLAP)}"
            raise Refused("invalid_parameters", problems=[Problem("/overlap_seconds", "out_of_range", detail)])
        password = generate_password()
        hashed = generated_hash(password)

        def changed(record: ClientRecord) -> ClientRecord:
            return replace(
                record,
                password_hash=hashed,
                previous_hash=record.password_hash if overlap else "",
                previous_until=self._clock.now() + overlap if overlap else None,
            )

        return MadeClient(await self._put(client_id, changed), password)

    async def disable(self, client_id: str) -> ClientRecord:
        """Let a client in no more, and switch all its accounts off with it. Durable on return. Raises Refused, StoreError."""
        return await self._put(client_id, lambda record: replace(record, enabled=False))

    async def enable(self, client_id: str) -> ClientRecord:
        """Let a client in again, and its accounts work. Durable on return. Raises Refused, StoreError."""
        return await self._put(client_id, lambda record: replace(record, enabled=True))

    async def all(self) -> list[ClientRecord]:
        """Return every client by id. Raises StoreError."""
        return await self._store.clients()

    async def find(self, client_id: str) -> ClientRecord:
        """Return a client. Raises Refused where there is none, StoreError."""
        for record in await self._store.clients():
            if record.id == client_id:
                return record
        raise not_found("client", client_id, "GET /v1/admin/clients")

    async def _put(self, client_id: str, change: Callable[[ClientRecord], ClientRecord]) -> ClientRecord:
        for _ in range(_TRIES):
            record = await self.find(client_id)
            if record.declared and record.enabled:
                raise in_file("client", record.id)
            wanted = replace(change(record), declared=False)
            if wanted == record and not record.declared:
                return record
            outcome = await self._store.put_client(wanted, self._clock.now(), record)
            if outcome is Put.TAKEN:
                raise Refused("invalid_parameters", problems=[_username_taken(wanted.username)])
            if outcome is Put.DONE:
                await self._changed()
                return await self.find(client_id)
        raise StoreUnavailable("the client was changed again and again meanwhile")


def _changed(fields: Fields, record: ClientRecord, options: Mapping[str, object]) -> ClientRecord:
    """Return *record* with what is named of *options*; None is the default. Problems are collected in *fields*."""
    if "username" in options:
        given = options["username"]
        name = record.id if given is None else fields.attempt(("username",), given, readers.username, "")
        record = replace(record, username=name)
    if "default_region" in options:
        given = options["default_region"]
        region = "" if given is None else fields.attempt(("default_region",), given, readers.region, "")
        record = replace(record, default_region=region)
    if "max_age" in options:
        given = options["max_age"]
        age = _MAX_AGE if given is None else fields.attempt(("max_age",), given, readers.max_age, _MAX_AGE)
        record = replace(record, max_age_seconds=int(age.total_seconds()))
    if "allow_from" in options:
        given = options["allow_from"]
        none: tuple[str, ...] = ()
        places = none if given is None else fields.attempt(("allow_from",), given, readers.allowed_networks, none)
        record = replace(record, allow_from=places)
    return record


def _id_taken(client_id: str) -> Problem:
    return Problem("/id", "already_taken", f"id: there is a client «{client_id}»; choose another id")


def _username_taken(username: str) -> Problem:
    return Problem("/username", "already_taken", f"username: another client has the user name «{username}»")
