"""``kurir listen``: a client's events on a developer's machine, as its callbacks would be, over a stream that it opens itself.

No tunnel and no public address is needed. What arrives at the hook is what a callback endpoint gets, in the dialect that was
asked for, signed with a secret of this machine's own. Nothing is owed to the hook: an event is posted once, and ``--since``
posts it again. Only a hook that nothing listens at is waited for, because that is how a program looks while it restarts.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import aiohttp
import typer

from kurir import client, unreached
from kurir.callbacks import dialects, signing
from kurir.cli import options, running, serving
from kurir.cli.running import Place, plain
from kurir.configuration.problems import WrongValueError
from kurir.configuration.values import duration, webhook_secret
from kurir.domain.status import Status
from kurir.store.base import ErrorRecord
from kurir.store.feed import COMPAT_KINDS, KINDS, EventRecord, StatusChange

#: How long the hook may take, in seconds, as a callback endpoint may.
HOOK_SECONDS: Final = 15.0
#: How often a hook is tried that nothing listens at, in seconds.
KNOCK_SECONDS: Final = 1.0
#: Characters of who and what an event is about that its line has at most.
SHOWN: Final = 120

_WIDTH: Final = max(map(len, KINDS))


@options.bundled
def listen(
    forward_to: Annotated[
        str, typer.Option("--forward-to", help="The URL of your hook, such as http://localhost:3000/hook.")
    ],
    events: Annotated[str, typer.Option(help="Kinds of events, separated by commas; else all.")] = "",
    dialect: Annotated[str, typer.Option(help="compat or standard, as the endpoint's.")] = dialects.COMPAT,
    since: Annotated[
        str,
        typer.Option(
            help="What came after the event with this id, or in the last 10m, or from an RFC 3339 time on; else from now."
        ),
    ] = "",
    secret: Annotated[
        str, typer.Option(envvar="KURIR_LISTEN_SECRET", help="The secret to sign with (whsec_…); else a new one.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON for each event, for machines.")
    ] = False,
    *,
    login: options.AsClient,
) -> None:
    """Forward the client's events to a hook on this machine, signed, until Ctrl-C."""
    if not forward_to.startswith(("http://", "https://")):
        raise typer.BadParameter("the hook is an http or https URL", param_hint="--forward-to")
    after, begin = _since(since, datetime.now(UTC))
    wanted = Wanted(forward_to, dialect, _kinds(events, dialect), _secret(secret), after, begin)
    place = login.place()
    show = Show(as_json=as_json)
    show.start(wanted, place, given=bool(secret))

    async def work(stopping: asyncio.Event) -> None:
        forwarding = asyncio.create_task(forward(place, wanted, show))
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((forwarding, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if forwarding.done():
            await forwarding
        forwarding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forwarding
        show.stop()

    serving.run(work)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to forward where. Events before ``begin`` are passed over."""

    hook: str
    dialect: str
    kinds: frozenset[str]
    secret: str
    after: str = ""
    begin: datetime | None = None


async def forward(place: Place, wanted: Wanted, show: "Show") -> None:
    """Post each event to the hook, one after the other. Ends only by being cancelled, or with a sentence."""
    login = place.headers["Auth-username"], place.headers["Auth-password"]
    timeout = aiohttp.ClientTimeout(total=HOOK_SECONDS)
    async with client.AsyncClient(place.url, *login) as gateway, aiohttp.ClientSession(timeout=timeout) as session:
        stream = gateway.stream(wanted.after, patience=None, on_outage=show.outage)
        try:
            async for event in stream:
                body = _body(event, wanted)
                if body is not None:
                    show.event(event, await _post(session, wanted, event.id, body, show))
                show.cursor = event.id
        except client.KurirError as error:
            running.fail(plain(error))


@dataclass(frozen=True, slots=True)
class Posted:
    """What the hook said. ``status`` is 0 when it gave no answer; then ``error`` says why."""

    status: int
    milliseconds: int
    error: str = ""


async def _post(session: aiohttp.ClientSession, wanted: Wanted, event_id: str, body: bytes, show: "Show") -> Posted:
    """Post *body* once it can be: a hook that nothing listens at is waited for."""
    while True:
        headers = {
            "Content-Type": "application/json",
            **signing.headers(webhook_id(event_id), datetime.now(UTC), body, [wanted.secret]),
        }
        begun = time.monotonic()
        try:
            async with session.post(wanted.hook, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.release()
                return Posted(answer.status, _since_begun(begun))
        except (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError) as error:
            running.fail(plain(f"the hook {wanted.hook} cannot be called: {unreached.why(error)}"))
        except aiohttp.ClientConnectorError:
            show.hook_gone(wanted.hook)
            await asyncio.sleep(KNOCK_SECONDS)
        except aiohttp.InvalidURL:
            running.fail(plain(f"{wanted.hook} is no URL"))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Posted(0, _since_begun(begun), unreached.why(error))


def webhook_id(event_id: str) -> str:
    """Return the ``webhook-id`` of an event: the same whenever it is forwarded, and no endpoint's own."""
    return f"evt_listen_{event_id}"


def _since_begun(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


# --- what is posted ---------------------------------------------------------------------------------------------------


def _body(event: client.Event, wanted: Wanted) -> bytes | None:
    """Return what a callback endpoint would get for *event*, None where it is not wanted."""
    too_old = wanted.begin is not None and (event.at is None or event.at < wanted.begin)
    if too_old or event.type not in wanted.kinds:
        return None
    if wanted.dialect == dialects.STANDARD:
        told = {name: event.raw[name] for name in ("type", "timestamp", "data")}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return dialects.body(dialects.COMPAT, record_of(event), _link)


def record_of(event: client.Event) -> EventRecord:
    """Return an event of the feed as the gateway itself has it when it tells it."""
    kept = EventRecord(
        position=int(event.id),
        client_id="",
        kind=event.type,
        account_id=event.account,
        channel=event.channel,
        conversation="",
        at=event.at or datetime.now(UTC),
    )
    if not isinstance(event, client.MessageStatus):
        return replace(kept, data=json.dumps(event.raw["data"]).encode())
    error = event.error
    change = StatusChange(
        tid=event.tid,
        message_id=event.message_id,
        recipient=event.recipient,
        status=Status(event.status),
        previous=Status(event.previous or 0),
        error=ErrorRecord(error.code, error.detail, error.provider_code) if error is not None else None,
        provider_message_id=event.provider_message_id,
    )
    return replace(kept, change=change)


def _link(event: EventRecord, number: int) -> tuple[str, datetime] | None:  # noqa: ARG001 - an event has one file
    """Return the link to the event's file as the gateway told it."""
    media: Mapping[str, Any] = json.loads(event.data)["message"]["media"]
    if not media.get("url"):
        return None
    return media["url"], datetime.fromisoformat(media["expires_at"])


# --- what was asked ---------------------------------------------------------------------------------------------------


def _kinds(text: str, dialect: str) -> frozenset[str]:
    if dialect not in (dialects.COMPAT, dialects.STANDARD):
        raise typer.BadParameter(f"«{dialect}» is no dialect: use compat or standard", param_hint="--dialect")
    told = COMPAT_KINDS if dialect == dialects.COMPAT else KINDS
    wanted = [one.strip() for one in text.split(",") if one.strip()]
    for one in wanted:
        if one not in told and one != "*":
            raise typer.BadParameter(
                f"the dialect {dialect} has no «{one}»: use {', '.join(told)}", param_hint="--events"
            )
    return frozenset(told if not wanted or "*" in wanted else wanted)


def _secret(text: str) -> str:
    if not text:
        return signing.new_secret()
    try:
        return webhook_secret(text)
    except WrongValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from None


def _since(text: str, now: datetime) -> tuple[str, datetime | None]:
    """Return the cursor to begin after, and the time before which events are passed over."""
    if not text or (text.isascii() and text.isdigit()):
        return text, None
    try:
        return "0", now - duration(timedelta(0))(text)
    except WrongValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(
            f"«{text}» is no event's id, no duration such as 10m, and no time such as 2026-11-22T09:00:00Z",
            param_hint="--since",
        )
    return "0", moment


# --- what is shown ----------------------------------------------------------------------------------------------------


def about(event: client.Event) -> str:
    """Return in one line who and what an event is about: the sender, and the text, the key or the kind of file."""
    match event:
        case client.MessageStatus():
            return f"{event.message_id} {int(event.status)}"
        case client.PostbackReceived():
            title = event.message.postback.title if event.message.postback is not None else ""
            return _short(event.sender.address, f"key {event.key}", title)
        case client.MessageReceived() | client.MessageEdited() | client.MessageDeleted():
            return _short(event.sender.address, *_content(event.message))
        case client.MessageReaction():
            return _short(event.sender.address, event.reaction.emoji or "took the reaction back")
        case client.AgentMessage():
            return _short(f"to {event.to.address}", *_content(event.message))
        case client.ContactChanged():
            return _short(event.contact.address, event.referral)
        case _:
            return ""


def _content(message: client.Received) -> tuple[str, str]:
    kind = "" if message.type in ("", "text") else message.type
    return kind, message.text or (message.media.name if message.media is not None else "")


def _short(*words: str) -> str:
    line = "  ".join(word for word in words if word)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


class Show:
    """Says on the terminal what goes on. ``cursor`` is past what was forwarded.

    What people wrote is shown on a terminal, to the developer who asked for it; with ``--json``, whose lines end up in logs
    and CI, it never is.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.cursor = ""
        self._as_json = as_json
        self._said = ""

    def start(self, wanted: Wanted, place: Place, *, given: bool) -> None:
        """Say what is forwarded where, and with which secret it is signed."""
        if self._as_json:
            secret = {} if given else {"secret": wanted.secret}
            self._line({"forward_to": wanted.hook, "gateway": place.url, "dialect": wanted.dialect, **secret})
            return
        print(plain(f"events of {place.url} → {wanted.hook}, dialect {wanted.dialect}"))
        if not given:
            print(f"secret {wanted.secret}")
        print("Ctrl-C ends it", flush=True)

    def event(self, event: client.Event, posted: Posted) -> None:
        """Say what the hook answered to an event."""
        self._said = ""
        if self._as_json:
            told = {"id": event.id, "type": event.type, "webhook_id": webhook_id(event.id)}
            self._line(
                {**told, "status": posted.status, "duration_ms": posted.milliseconds, "error": posted.error or None}
            )
            return
        answer = str(posted.status) if posted.status else f"no answer: {posted.error}"
        line = f"{event.id:>6}  {event.type:<{_WIDTH}}  {event.channel:<9}  {answer}  {posted.milliseconds} ms"
        print(plain(f"{line}  {about(event)}".rstrip()).replace("\n", "\\n"), flush=True)

    def outage(self, error: client.KurirError, wait: float) -> None:
        """Say once that the gateway is away."""
        if error.code != "stream_ended":
            self._once(f"the gateway is away, and is asked again: {error.detail} (next in {wait:.1f} s)", error.code)

    def hook_gone(self, hook: str) -> None:
        """Say once that nothing listens at the hook."""
        self._once(f"nothing listens at {hook}: waiting for it", "hook")

    def stop(self) -> None:
        """Say how to go on."""
        if self.cursor and not self._as_json:
            print(plain(f"ended after the event {self.cursor}; --since {self.cursor} goes on"), flush=True)

    def _once(self, sentence: str, what: str) -> None:
        if self._said != what:
            self._said = what
            typer.echo(plain(sentence), err=True)

    def _line(self, told: Mapping[str, Any]) -> None:
        print(json.dumps(told), flush=True)
