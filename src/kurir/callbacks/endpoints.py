"""What an administrator does with endpoints: make and change them, pause, rotate, replay, try them.

What an endpoint is made of is checked by the same readers as a configuration file. Secrets are sealed before the store sees
them, and a new one is given back once, by the call that made it.
"""

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from kurir.callbacks import dialects, example, ladder, signing
from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.keys import Keys, seal, unseal
from kurir.callbacks.worker import Poster, attempt_of
from kurir.clock import Clock
from kurir.configuration.keys import DIALECTS
from kurir.configuration.problems import WrongValueError
from kurir.configuration.values import header_name, secret_text, url, webhook_secret
from kurir.domain.problem import Problem
from kurir.secretbox import SealError, SecretBox
from kurir.store.base import EndpointRecord, StoreUnavailable
from kurir.store.feed import COMPAT_KINDS, KINDS, CallbackAttempt, Endpoint, FeedStore, Ladder, Replay

#: Tests of endpoints at once, of all administrators.
TESTS: Final = 4
MAXIMUM_HEADERS: Final = 20
#: A change that another node came before is made again, out of what that one left; so often, at most.
TRIES: Final = 5
_AGAIN_AND_AGAIN: Final = "the endpoint was changed again and again meanwhile"


class InvalidEndpoint(Exception):
    """The endpoint cannot be as it was asked for."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


class UnreadableEndpoint(Exception):
    """The endpoint's secrets cannot be unsealed: the encryption key is not the one that they were sealed with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint as it is asked for. None leaves what an existing one has, and is the default of a new one.

    The defaults: the dialect compat, all events, no headers, a secret that is made, enabled.
    """

    client_id: str
    url: str
    dialect: str | None = None
    events: tuple[str, ...] | None = None
    headers: Mapping[str, str] | None = None
    secret: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An endpoint, and its secret where that was made by this very call, else ""."""

    endpoint: Endpoint
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What an endpoint said to an example: the request as it was posted, and what came of it.

    ``resumed``: the endpoint stood on its ladder, and is off it, since it took the example.
    """

    webhook_id: str
    body: bytes
    attempt: CallbackAttempt
    resumed: bool = False


class Endpoints:
    """The endpoints, as an administrator changes them. *clients* are the ids of those that are enabled."""

    def __init__(
        self,
        store: FeedStore,
        deliverer: Deliverer,
        poster: Poster,
        box: SecretBox,
        clock: Clock,
        clients: Callable[[], Container[str]],
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._poster = poster
        self._box = box
        self._clock = clock
        self._clients = clients
        self._tests = asyncio.Semaphore(TESTS)
        self._changing = asyncio.Lock()

    async def put(self, wanted: Wanted) -> Made:
        """Create or change the client's endpoint at the URL. Durable on return. Raises InvalidEndpoint, StoreError."""
        async with self._changing:
            for _ in range(TRIES):
                known = await self._known(wanted)
                record, keys, made = self._read(wanted, known)
                endpoint = await self._put(record, keys, known)
                if endpoint is not None:
                    return Made(endpoint, keys.secret if made else "")
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    async def _put(self, record: EndpointRecord, keys: Keys, known: EndpointRecord | None) -> Endpoint | None:
        """Write the endpoint as it was made out of *known*; None where another node changed that meanwhile."""
        sealed = seal(record.client_id, record.url, keys, self._box)
        was = b"" if known is None else known.sealed
        put = await self._store.put_endpoint(replace(record, sealed=sealed), self._clock.now(), was)
        if put is not None:
            await self._deliverer.reload()
            self._deliverer.changed()
        return put

    async def delete(self, endpoint_id: str) -> bool:
        """Delete an endpoint with what is owed to it; False when there is none. Durable on return. Raises StoreError."""
        async with self._changing:
            deleted = await self._store.delete_endpoint(endpoint_id)
            await self._deliverer.reload()
            self._deliverer.changed()
        return deleted

    async def rotate(self, endpoint_id: str, overlap: timedelta, secret: str = "") -> Made | None:
        """Give the endpoint a new secret; the old one signs as well for *overlap*. Durable on return.

        None when there is no such endpoint. Two rotations at once are two: the secret of the first signs until the overlap
        of the second has passed. Raises UnreadableEndpoint, InvalidEndpoint for a *secret* of another form, StoreError.
        """
        problems: list[Problem] = []
        given = _read(problems, "/secret", webhook_secret, secret) if secret else ""
        if problems:
            raise InvalidEndpoint(problems)
        async with self._changing:
            for _ in range(TRIES):
                endpoint = await self._store.endpoint(endpoint_id)  # in here, where this process does not change it
                if endpoint is None:
                    return None
                record = endpoint.record
                keys = self._keys(record).rotated(given or signing.new_secret(), self._clock.now(), overlap)
                changed = await self._put(record, keys, record)
                if changed is not None:
                    return Made(changed, "" if given else keys.secret)
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    async def pause(self, endpoint_id: str) -> None:
        """Begin no call of the endpoint until it is resumed; what happens is owed to it. Durable. Raises StoreError."""
        await self._turn(endpoint_id, on=False)

    async def resume(self, endpoint_id: str) -> None:
        """Go on, beginning with one event at once. Durable on return. Raises StoreError."""
        await self._turn(endpoint_id, on=True)

    async def _turn(self, endpoint_id: str, *, on: bool) -> None:
        worker = self._deliverer.worker(endpoint_id)
        if worker is not None:
            await (worker.resume() if on else worker.pause())
            return
        # One that is not enabled stands so when it is. One that another node calls is moved by that one, too.
        endpoint = await self._store.endpoint(endpoint_id)
        stands = None if endpoint is None else endpoint.ladder
        for _ in range(TRIES):
            if stands is None:
                return
            now = self._clock.now()
            wanted = ladder.resumed(now) if on else ladder.paused(stands, now)
            stands = await self._store.set_ladder(endpoint_id, wanted, stands)
            if stands == wanted:
                await self._deliverer.reload()  # this node may have begun to call it in this moment
                self._deliverer.changed()
                return
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    async def replay(self, endpoint_id: str, wanted: Replay) -> int:
        """Owe callbacks again; return how many. Durable on return. Raises StoreError."""
        owed = await self._store.replay(endpoint_id, wanted, self._clock.now())
        self._deliverer.rescan(endpoint_id)
        return owed

    async def test(self, endpoint: Endpoint, kind: str) -> Tried:
        """Post an example of *kind* now, whatever the ladder says, and return what came of it. The example is not kept.

        An endpoint that takes it is off its ladder, durably on return; one that an operator paused stays paused. Raises
        UnreadableEndpoint, StoreError.
        """
        record, keys, at = endpoint.record, self._keys(endpoint.record), self._clock.now()
        body = dialects.body(record.dialect, example.event(kind, record.client_id, at))
        assert body is not None, "the examples are of kinds that both dialects carry"  # noqa: S101 - an order within this package
        webhook_id = example.webhook_id()
        headers = {
            **keys.headers,
            "Content-Type": "application/json",
            example.HEADER[0]: example.HEADER[1],
            **signing.headers(webhook_id, at, body, keys.signing(at)),
        }
        async with self._tests:
            posted = await self._poster.post(record.url, body, headers)
        worker = self._deliverer.worker(endpoint.id)
        taken = ladder.judge(posted.status) is ladder.Verdict.TAKEN
        resumed = worker is not None and taken and await worker.well()
        return Tried(webhook_id, body, attempt_of(endpoint.id, 0, at, posted), resumed)

    def standing(self, endpoint: Endpoint) -> Ladder:
        """Return where the endpoint stands at this moment, which the store may know a little later."""
        worker = self._deliverer.worker(endpoint.id)
        return endpoint.ladder if worker is None else worker.ladder

    def in_flight(self, endpoint_id: str) -> int:
        """Return how many calls of the endpoint are under way."""
        worker = self._deliverer.worker(endpoint_id)
        return 0 if worker is None else worker.in_flight()

    async def _known(self, wanted: Wanted) -> EndpointRecord | None:
        for one in await self._store.all_endpoints():
            if (one.record.client_id, one.record.url) == (wanted.client_id, wanted.url):
                return one.record
        return None

    def _keys(self, record: EndpointRecord) -> Keys:
        try:
            return unseal(record, self._box)
        except SealError as error:
            raise UnreadableEndpoint(str(error)) from None

    def _read(self, wanted: Wanted, known: EndpointRecord | None) -> tuple[EndpointRecord, Keys, bool]:
        """Return the record, still unsealed, its keys, and whether their secret is a new one of ours."""
        problems: list[Problem] = []
        if wanted.client_id not in self._clients():
            problems.append(Problem("/client", "unsupported_value", "there is no such enabled client"))
        address = _read(problems, "/url", url, wanted.url)
        dialect = wanted.dialect or (known.dialect if known else dialects.COMPAT)
        if dialect not in DIALECTS:
            problems.append(Problem("/dialect", "unsupported_value", f"dialect must be one of {', '.join(DIALECTS)}"))
        events = wanted.events if wanted.events is not None else known.events if known else ("*",)
        problems += _wrong_events(events, dialect)
        headers = _read_headers(problems, wanted.headers) if wanted.headers is not None else None
        secret = _read(problems, "/secret", webhook_secret, wanted.secret) if wanted.secret else ""
        if problems:
            raise InvalidEndpoint(problems)
        old = Keys("")
        if known is not None:
            try:
                old = unseal(known, self._box)
            except SealError:
                old = Keys("")  # damaged: what is put now replaces it, with a new secret
        made = not secret and not old.secret
        if secret or made:
            old = Keys(secret or signing.new_secret(), old.headers)
        keys = old if headers is None else replace(old, headers=headers)
        enabled = wanted.enabled if wanted.enabled is not None else known.enabled if known else True
        return EndpointRecord(wanted.client_id, address, dialect, tuple(events), b"", enabled), keys, made


def _read(problems: list[Problem], where: str, reader: Callable[[object], str], value: object) -> str:
    try:
        return reader(value)
    except WrongValueError as error:
        problems.append(Problem(where, "invalid_format", f"{where[1:]}: {error}"))
        return ""


def _wrong_events(events: tuple[str, ...], dialect: str) -> list[Problem]:
    if not events:
        return [Problem("/events", "too_few", 'events must name at least one kind; "*" is all of them')]
    problems = []
    for number, kind in enumerate(events):
        if kind == "*":
            continue
        if kind not in KINDS:
            detail = f"«{kind[:60]}» is no kind of event; there are {', '.join(KINDS)}"
            problems.append(Problem(f"/events/{number}", "unsupported_value", detail))
        elif dialect == dialects.COMPAT and kind not in COMPAT_KINDS:
            detail = f"the compat dialect has no {kind}; use the dialect standard for it"
            problems.append(Problem(f"/events/{number}", "unsupported_value", detail))
    return problems


def _read_headers(problems: list[Problem], given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MAXIMUM_HEADERS:
        problems.append(Problem("/headers", "too_many", f"at most {MAXIMUM_HEADERS} headers can be given"))
        return {}
    headers: dict[str, str] = {}
    for name, value in given.items():
        try:
            headers[header_name(name)] = secret_text(value)
        except WrongValueError as error:
            problems.append(Problem("/headers", "invalid_format", f"the header «{name[:60]}»: {error}"))
    if len({name.lower() for name in headers}) < len(headers):
        problems.append(Problem("/headers", "invalid_format", "the same header is given twice, in other letters"))
    return headers
