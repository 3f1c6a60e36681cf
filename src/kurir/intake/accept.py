"""A send comes in: from a parsed body to a durable message.

The order is ``contract.md``'s: the form of every field, what the channel cannot send, the account, and last the key: the
very same content again is answered with the first message, other content is refused. Nothing is answered before the
commit.
"""

from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from kurir import counting, tracing
from kurir.channels.base import Channel, Facts, MediaFacts, Rendering, ReplyTarget
from kurir.clock import Clock, uuid7
from kurir.directory import Directory, Entry
from kurir.domain.message import Message
from kurir.domain.problem import Loss, Problem
from kurir.domain.recipient import Recipient
from kurir.domain.status import Status
from kurir.intake import identity, templates, wire
from kurir.intake.refusals import known_refusal
from kurir.quick import quick
from kurir.store import GatewayStore
from kurir.store.base import Accepted, Conflict, ErrorRecord, NewMessage, QueuedMessage
from kurir.tracing import Parent, Span, Traces

#: A tid in a rendering that only looks for losses or is only shown.
PREVIEW_TID: Final = "00000000-0000-7000-8000-000000000000"
_NO_FACTS: Final = Facts(tid=PREVIEW_TID, address="")
#: Members of a body that want to be looked up in the store.
_LOOKED_UP: Final = frozenset({"reply_id", "fallback"})
#: The platform calls of one message. Each takes its turn at the rate limits, and holds up the messages behind it.
MAXIMUM_CALLS: Final = 50


@quick
@dataclass(frozen=True, slots=True)
class Taken:
    """The message is durable, or was before (*replayed*). *losses* are those known at accept."""

    message_id: str
    tid: str
    status: Status
    replayed: bool
    losses: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The body has problems, all of them."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class IdReused:
    """The id belongs to a message with other content."""

    message_id: str
    tid: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as it would be sent."""

    rendering: Rendering
    losses: tuple[Loss, ...]
    entry: Entry


@quick
@dataclass(frozen=True, slots=True)
class _Checked:
    """A body without problems, with what was found on the way."""

    message: Message
    entry: Entry
    read: Recipient
    reply: ReplyTarget | None = None


@quick
@dataclass(frozen=True, slots=True)
class Accepting:
    """A message that only has to be written down."""

    new: NewMessage
    losses: tuple[Loss, ...]
    message: Message
    span: Span | None = None

    def not_written(self) -> None:
        """Take note that it was not written, where it did not end before."""
        if self.span is not None:
            self.span.end("store_unavailable")


class Acceptor:
    """Takes sends. *on_accepted* is told the account of each message that was written, after the commit.

    And the message as the account's queue has it; None where that has to be read.

    ``traces`` is None where none are wanted; else each message that is to be written begins a span or continues its
    request's, and carries it on. *probe* looks at a file, so that a preview shows what its facts decide; without it they
    stay unknown there.
    """

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        channels: Mapping[str, Channel],
        clock: Clock,
        on_accepted: Callable[[str, QueuedMessage | None], None],
        probe: Callable[[str], Awaitable[MediaFacts]] | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.traces = traces
        self._store = store
        self._directory = directory
        self._channels = channels
        self._clock = clock
        self._on_accepted = on_accepted
        self._probe = probe

    async def accept(
        self, client_id: str, channel_name: str, body: object, parent: Parent | None = None
    ) -> Taken | Refused | IdReused:
        """Accept the message in *body*. Raises StoreUnavailable when it could not be made durable."""
        checked = await self._check(client_id, channel_name, body, repeats=True)
        accepting = checked if isinstance(checked, Refused) else self._prepare(client_id, checked, parent)
        if isinstance(accepting, Refused):
            return accepting
        try:
            return self.taken(accepting, await self._store.accept(accepting.new))
        finally:
            accepting.not_written()

    def begin(
        self, client_id: str, channel_name: str, body: object, parent: Parent | None = None
    ) -> Accepting | Refused | None:
        """Do what :meth:`accept` does before the commit; None where something has to be looked up for that.

        Then :meth:`ask` asks for the commit, and :meth:`taken` says what it came to.
        """
        if isinstance(body, dict) and not _LOOKED_UP.isdisjoint(body) and any(map(body.get, _LOOKED_UP)):
            return None  # most likely, and then it is not decoded twice
        checked = self._look(client_id, channel_name, body)
        if isinstance(checked, Refused):
            return checked
        if checked.message.reply_id or templates.of(checked.message):
            return None
        return self._prepare(client_id, checked, parent)

    def ask(self, accepting: Accepting) -> "Future[Accepted | Conflict]":
        """Ask the store to write the message; what is returned fails with StoreError. May raise StoreUnavailable at once."""
        return self._store.accepting(accepting.new)

    def taken(self, accepting: Accepting, answer: Accepted | Conflict) -> Taken | IdReused:
        """Return what became of the message, by the store's *answer*, after the commit."""
        new = accepting.new
        if isinstance(answer, Conflict):
            counting.SENDS.add(new.channel, "conflict")
            if accepting.span is not None:
                accepting.span.end("id_reused")
            return IdReused(new.message_id, answer.tid)
        if answer.replayed:
            counting.SENDS.add(new.channel, "replayed")
        else:
            counting.SENDS.add(new.channel, "accepted")
            self._on_accepted(new.account_id, _queued(accepting, answer.seq) if answer.seq else None)
        if accepting.span is not None:
            accepting.span.end(tid=answer.tid, replayed=str(answer.replayed).lower())
        return Taken(new.message_id, answer.tid, answer.status, answer.replayed, accepting.losses)

    def _prepare(self, client_id: str, checked: _Checked, parent: Parent | None = None) -> Accepting | Refused:
        """Render the message to learn what is lost, and return what is to be written."""
        message, entry = checked.message, checked.entry
        facts = _NO_FACTS if checked.reply is None else Facts(tid=PREVIEW_TID, address="", reply=checked.reply)
        rendering = entry.channel.render(message, entry.account, facts)
        losses = _known(message, rendering.losses)
        problems = _too_many(rendering)
        if message.strict:
            problems += [Problem(loss.pointer, "would_lose", loss.detail) for loss in losses]
        if problems:
            return Refused(tuple(problems))
        accepting = Accepting(self._new(client_id, checked, losses), losses, message)
        return accepting if self.traces is None else self._traced(self.traces, accepting, parent)

    @staticmethod
    def _traced(traces: Traces, accepting: Accepting, parent: Parent | None) -> Accepting:
        """Return what is to be written, with the span that begins and that its calls and callbacks continue."""
        new = accepting.new
        about = {"client": new.client_id, "account": new.account_id, "channel": new.channel}
        span = traces.begin(f"accept {new.channel}", tracing.Kind.SERVER, parent or tracing.parent_of(()), about)
        new = replace(new, body=tracing.marked(new.body, span.traceparent))
        return Accepting(new, accepting.losses, accepting.message, span)

    async def preview(self, client_id: str, channel_name: str, body: object) -> Preview | Refused:
        """Return the platform calls of the message in *body*, and what would be lost. Sends and stores nothing."""
        checked = await self._check(client_id, channel_name, body)
        if isinstance(checked, Refused):
            return checked
        message, entry = checked.message, checked.entry
        found = await identity.resolve(self._store, entry.account, checked.read)
        extra: tuple[Loss, ...] = ()
        address, age = "", None
        if isinstance(found, ErrorRecord):
            extra = (Loss("/recipient", found.code, found.detail),)
        else:
            address = found.address
            if found.contact is not None and found.contact.last_inbound_at is not None:
                age = max(0.0, (self._clock.now() - found.contact.last_inbound_at).total_seconds())
        media: dict[str, MediaFacts] = {}
        if self._probe is not None:
            media = {url: await self._probe(url) for url in entry.channel.needs(message, entry.account).probe}
        facts = Facts(tid=PREVIEW_TID, address=address, last_inbound_seconds=age, reply=checked.reply, media=media)
        if not isinstance(found, ErrorRecord):
            refused = known_refusal(message, entry, facts, found, self._clock.now())
            extra = () if refused is None else (Loss("/recipient", refused.code, refused.reason),)
        rendering = entry.channel.render(message, entry.account, facts)
        problems = _too_many(rendering)
        if problems:
            return Refused(tuple(problems))
        return Preview(rendering, (*message.ignored, *rendering.losses, *extra), entry)

    async def _check(
        self, client_id: str, channel_name: str, body: object, *, repeats: bool = False
    ) -> _Checked | Refused:
        """Return what *body* says, or all that is wrong with it.

        *repeats*: it may be a repeat of a message that is known, which is answered as it was, whatever became of its
        template since.
        """
        checked = self._look(client_id, channel_name, body)
        if isinstance(checked, Refused):
            return checked
        message, entry = checked.message, checked.entry
        mismatches = await templates.problems(self._store, entry.account.id, message)
        if mismatches and not (repeats and await self._store.key_known(client_id, channel_name, message.id)):
            return Refused(tuple(mismatches))
        reply = await self._reply(client_id, entry, message)
        return checked if reply is None else replace(checked, reply=reply)

    def _look(self, client_id: str, channel_name: str, body: object) -> _Checked | Refused:
        """Return what *body* says, or all that is wrong with it as far as nothing has to be looked up in the store."""
        channel = self._channels[channel_name]
        region = self._directory.client(client_id).default_region
        message, problems, read = wire.examined(body, channel_name, region)
        if not isinstance(body, dict):
            return Refused(tuple(problems))
        if message is not None:
            for problem in channel.problems(message):
                problems.append(replace(problem, pointer=wire.placed(body, problem.pointer)))
        account = body.get("account")
        entry = self._entry(client_id, channel_name, account if isinstance(account, str) and account.strip() else "")
        if isinstance(entry, Problem):
            return Refused((*problems, entry))
        if message is None or problems:
            return Refused(tuple(problems))
        assert read is not None, "decoding has checked the recipient"  # noqa: S101 - narrows the type
        return _Checked(message, entry, read)

    def _entry(self, client_id: str, channel_name: str, account: str) -> Entry | Problem:
        """Return the client's *account* on the channel, "" its default, or the problem that there is none."""
        if account:
            found = self._directory.find(client_id, channel_name, account)
            if found is not None:
                return found
            detail = f"this client has no enabled {channel_name} account «{account[:64]}»"
            return Problem("/account", "unknown_account", detail)
        found = self._directory.default(client_id, channel_name)
        if found is not None:
            return found
        return Problem("/account", "unknown_account", f"this client has no enabled account on {channel_name}")

    async def _reply(self, client_id: str, entry: Entry, message: Message) -> ReplyTarget | None:
        if not message.reply_id:
            return None
        found = await self._store.reply_target(client_id, entry.account.id, message.reply_id)
        return None if found is None else ReplyTarget(found.platform_id, found.address, found.quote_token)

    def _new(self, client_id: str, checked: _Checked, losses: tuple[Loss, ...]) -> NewMessage:
        message, now = checked.message, self._clock.now()
        due = max(message.send_at, now) if message.send_at is not None else now
        age = message.expires_in_seconds or self._directory.client(client_id).max_age_seconds
        encoded = wire.encode(message)
        return NewMessage(
            tid=uuid7(),
            client_id=client_id,
            channel=message.channel,
            account_id=checked.entry.account.id,
            message_id=message.id,
            recipient=message.recipient,
            lane=identity.lane_of(message.channel, checked.read),
            type=message.type.value,
            body=encoded,
            fingerprint=wire.fingerprint(encoded),
            fingerprint_version=wire.FINGERPRINT_VERSION,
            losses=losses,
            priority=message.priority,
            accepted_at=now,
            due_at=due,
            expires_at=due + timedelta(seconds=age),
        )


def _queued(accepting: Accepting, seq: int) -> QueuedMessage:
    """Return the message as the store would give it to the account's worker."""
    new, message = accepting.new, accepting.message
    return QueuedMessage(
        seq=seq,
        tid=new.tid,
        client_id=new.client_id,
        channel=new.channel,
        account_id=new.account_id,
        message_id=new.message_id,
        recipient=new.recipient,
        lane=new.lane,
        body=new.body,
        priority=new.priority,
        run=1,
        due_at=new.due_at if new.due_at > new.accepted_at else None,
        expires_at=new.expires_at,
        message=None if message.ignored else message,  # what was ignored is not kept
    )


def _too_many(rendering: Rendering) -> list[Problem]:
    count = len(rendering.calls)
    if count <= MAXIMUM_CALLS:
        return []
    detail = (
        f"the message would take {count} platform calls, and one takes at most {MAXIMUM_CALLS}: send several messages"
    )
    return [Problem("/body", "too_many", detail)]


def _known(message: Message, rendered: tuple[Loss, ...]) -> tuple[Loss, ...]:
    return (*message.ignored, *rendered)
