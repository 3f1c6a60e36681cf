"""What came in, made ready for the store: whose message was quoted, which key was pressed, what is learned of the person.

One thing that a platform tells may be several events (a message with two files, a person who shared their phone and
opened the chat), and none (a person's new name). Each has an id of its own, made from the platform's.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from kurir.channels import keys
from kurir.channels.base import (
    AgentMessage,
    Call,
    ContactNews,
    Deleted,
    Edited,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Reaction,
)
from kurir.clock import Clock
from kurir.directory import Entry
from kurir.intake import inbound_data as data
from kurir.quick import quick
from kurir.store import GatewayStore
from kurir.store.inbound import Arrival, ChoiceRecord, Heard, NewEvent

#: A typed title counts as a press so long after its choices were shown (decision 14 of the design).
CHOICES_LIFE: Final = timedelta(hours=24)

#: What tells of a person or their message, but for receipts, news of the account, and what is ignored.
Told = InboundMessage | Reaction | Edited | Deleted | ContactNews | AgentMessage


@dataclass(slots=True)
class Arrivals:
    """Arrivals in their order, and by event id the calls to make at once."""

    records: list[Arrival] = field(default_factory=list)
    calls: dict[str, tuple[Entry, tuple[Call, ...]]] = field(default_factory=dict)

    def __iadd__(self, other: Self) -> Self:
        self.records += other.records
        self.calls |= other.calls
        return self

    def __add__(self, other: "Arrivals") -> "Arrivals":
        return Arrivals(self.records + other.records, self.calls | other.calls)


@quick
@dataclass(frozen=True, slots=True)
class _Read:
    """A message as it is told: ``key`` is the client's own of what was pressed, ``calls`` are to be made at once.

    ``reply_id`` is the client's own id of the message that was quoted or pressed, "" where it is not ours.
    """

    message: InboundMessage
    key: str = ""
    reply_id: str = ""
    calls: tuple[Call, ...] = ()


class Resolver:
    """Looks up what an arrival names: our messages, stored keys, link tokens.

    Whether a text is the title of a choice that was shown is looked up as it is taken in, so that a text waits for no read.
    """

    def __init__(self, store: GatewayStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def arrivals(self, owner: Entry, event: Told) -> Arrivals:
        """Return *event*, which the platform sent to the account *owner*, ready to be taken in. Raises StoreError."""
        plain = self.plain(owner, event)
        if plain is not None:
            return plain
        match event:
            case InboundMessage():
                return await self._message(owner, event)
            case ContactNews():
                return _contact(owner, event) + await self._linked(owner, event, event.person, event.referral)
            case Reaction():
                return _reaction(owner, event, await self._ours(owner, event.platform_id))
        raise AssertionError(f"{type(event).__name__} names nothing that is to be looked up")

    def plain(self, owner: Entry, event: Told) -> Arrivals | None:
        """Return what :meth:`arrivals` does, where nothing has to be looked up for it; None where something has."""
        match event:
            case InboundMessage():
                press = event.press
                if event.reply_to or event.referral or (press is not None and press.data.startswith(keys.PREFIX)):
                    return None
                return _message(owner, _unquoted(event))
            case ContactNews():
                return None if event.referral else _contact(owner, event)
            case Reaction():
                return None if event.platform_id else _reaction(owner, event, "")
            case Edited():
                told = data.edited(event, **_place(owner))
                return _one(owner, event, "message.edited", told, _heard(owner, event.sender, event.at))
            case Deleted():
                told = data.deleted(event, **_place(owner))
                heard = _heard(owner, event.sender, event.at, heard=False)  # it opens no window
                return _one(owner, event, "message.deleted", told, heard)
            case AgentMessage():
                told = data.written_by_agent(event, **_place(owner))
                return _one(owner, event, "message.agent", told, None)

    async def _message(self, owner: Entry, given: InboundMessage) -> Arrivals:
        read = _unquoted(given) if given.press is None else await self._pressed(owner, given, given.press)
        if given.reply_to:
            read = replace(read, reply_id=await self._ours(owner, given.reply_to))
        found = _message(owner, read)
        if given.referral:
            found += await self._linked(owner, read.message, given.sender, given.referral)
        return found

    async def _pressed(self, owner: Entry, message: InboundMessage, press: Press) -> _Read:
        if not press.data.startswith(keys.PREFIX):
            return _unquoted(message)
        key = await self._store.key_of(owner.account.client_id, press.data)
        if key is not None:
            return _Read(message, key, calls=press.known)
        # A token that nobody knows, of a database before this one: it is told, since somebody pressed something.
        text = f"a button that is not known any more: {press.title}" if press.title else "an unknown button"
        return _Read(replace(message, kind=Kind.UNSUPPORTED, press=None, text=text), calls=press.unknown)

    async def _ours(self, owner: Entry, platform_id: str) -> str:
        """Return the client's own id of the message that the platform calls *platform_id*, "" where it is not ours."""
        quoted = await self._store.quoted(owner.account.id, platform_id)
        return quoted.message_id if quoted is not None else ""

    # --- people -----------------------------------------------------------------------------------------------------------

    async def _linked(
        self, owner: Entry, event: InboundMessage | ContactNews, person: Person, payload: str
    ) -> Arrivals:
        """Return what a deep link's *payload* tells: a link of ours ties the person to a phone, another is passed on."""
        link = await self._store.link_of(owner.account.id, payload)
        good = link is not None and link.used_at is None and (link.expires_at is None or event.at < link.expires_at)
        phone = link.phone if link is not None and good else ""
        if isinstance(event, InboundMessage) and not good:
            return Arrivals()  # the message itself tells of the payload
        news = ContactNews(
            event_id=f"{event.event_id}#link",
            owner=event.owner,
            at=event.at,
            person=person,
            shared_phone=phone,
            referral=link.payload if link is not None and good else payload,
        )
        heard = replace(_heard(owner, person, event.at), phone=phone) if phone else None
        told = data.dump(data.contact(news, **_place(owner)))
        new = NewEvent("contact.linked" if phone else "contact.referred", person.address, event.at, told)
        one = _arrival(owner, news.event_id, event.at, person, new, heard)
        return Arrivals([replace(one, link=payload) if good else one])


def _unquoted(message: InboundMessage) -> _Read:
    """Return a message that names nothing which only we know."""
    press = message.press
    return _Read(message) if press is None else _Read(message, press.data, calls=press.known)


def _message(owner: Entry, read: _Read) -> Arrivals:
    message, account, person = read.message, owner.account, read.message.sender
    heard = _heard(owner, person, message.at, heard=not message.live)
    found = Arrivals()
    for number in range(len(data.files_of(message))):
        first = number == 0
        found.records.append(
            Arrival(
                account_id=account.id,
                client_id=account.client_id,
                event_id=data.event_id_of(message, number),
                at=message.at,
                event=_told(owner, message, number, read.key, read.reply_id),
                heard=heard if first else None,
                platform_id=message.platform_id if first else "",
                address=person.address,
                quote_token=message.quote_token,
                reply_token=message.reply_token if first else "",
                typed=partial(_typed, owner, message, read.reply_id) if _may_be_typed(message) else None,
            )
        )
    if read.calls:
        found.calls[message.event_id] = owner, read.calls
    return found


def _contact(owner: Entry, news: ContactNews) -> Arrivals:
    heard = replace(
        _heard(owner, news.person, news.at, heard=news.heard),
        blocked=news.blocked if news.blocked is not None else (False if news.heard else None),
        phone=news.shared_phone or news.person.phone,
        moved_to=news.moved_to,
    )
    told = data.contact(news, **_place(owner))
    kinds = []
    if news.blocked is not None:
        kinds.append("contact.blocked" if news.blocked else "contact.unblocked")
    if news.shared_phone:
        kinds.append("contact.linked")
    found = Arrivals()
    if not kinds:  # something is learned, and nobody has to be told
        found.records.append(_arrival(owner, news.event_id, news.at, news.person, None, heard))
    for number, kind in enumerate(kinds):
        event = NewEvent(kind, news.person.address, news.at, data.dump(told))
        event_id = news.event_id if number == 0 else f"{news.event_id}#{kind}"
        arrival = _arrival(owner, event_id, news.at, news.person, event, heard if number == 0 else None)
        told_anyway = kind == "contact.linked" or news.first_time  # who adds us for the first time had not blocked us
        found.records.append(replace(arrival, changes=not told_anyway))
    first = found.records[0]
    found.records[0] = replace(first, reply_token=news.reply_token)
    return found


def _reaction(owner: Entry, event: Reaction, reply_id: str) -> Arrivals:
    told = data.reacted(event, **_place(owner), reply_id=reply_id)
    heard = _heard(owner, event.sender, event.at, heard=bool(event.emoji))  # taking one back opens no window
    return _one(owner, event, "message.reaction", told, heard)


def _told(owner: Entry, message: InboundMessage, number: int, key: str, reply_id: str) -> NewEvent:
    """Return the event that tells of *message* and its *number*-th file."""
    return NewEvent(
        kind=data.kind_of(message),
        conversation=message.sender.address,
        at=message.at,
        data=data.received_json(message, **_place(owner), key=key, reply_id=reply_id, number=number),
        media=data.handles(message.media[number : number + 1]),
    )


def _may_be_typed(message: InboundMessage) -> bool:
    """Return whether *message* may be the typed title of a choice that has vanished from the phone."""
    return message.kind is Kind.TEXT and not message.media and bool(message.text.strip())


def _typed(owner: Entry, message: InboundMessage, reply_id: str, shown: ChoiceRecord) -> NewEvent | None:
    """Return *message* as the press of the choice whose title it is; None where it is none of those *shown*."""
    if message.at - shown.at > CHOICES_LIFE:
        return None
    title = message.text.strip()
    key = next((key for each, key in shown.choices if each.strip() == title), None)
    if key is None:
        return None
    pressed = replace(message, kind=Kind.POSTBACK, press=Press(key, title))
    return _told(owner, pressed, 0, key, shown.message_id or reply_id)


def _place(owner: Entry) -> dict[str, str]:
    return {"channel": owner.account.channel, "account_id": owner.account.id}


def _heard(owner: Entry, person: Person, at: datetime, *, heard: bool = True) -> Heard:
    """Return what any word of a person teaches. In a group the name is the person's, and the address is not."""
    own = person.id in ("", person.address) or person.id in person.aliases or bool(person.phone)
    return Heard(
        account_id=owner.account.id,
        client_id=owner.account.client_id,
        channel=owner.account.channel,
        address=person.address,
        at=at,
        name=person.name if own else "",
        username=person.username if own else "",
        phone=person.phone if own else "",
        aliases=person.aliases,
        heard=heard,
        blocked=False if heard else None,  # who writes has not blocked us
    )


def _arrival(
    owner: Entry, event_id: str, at: datetime, person: Person, event: NewEvent | None, heard: Heard | None
) -> Arrival:
    account = owner.account
    return Arrival(account.id, account.client_id, event_id, at, event, heard, address=person.address)


def _one(
    owner: Entry, event: Reaction | Edited | Deleted | AgentMessage, kind: str, told: JsonObject, heard: Heard | None
) -> Arrivals:
    person = event.recipient if isinstance(event, AgentMessage) else event.sender
    new = NewEvent(kind, person.address, event.at, data.dump(told))
    return Arrivals([_arrival(owner, event.event_id, event.at, person, new, heard)])
