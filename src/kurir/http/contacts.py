"""People under ``/v1/contacts``: link a phone to an address, look people up, make links that they open, erase them.

The address in a path is one of the channel, bare or with its prefix; an address that was replaced by another names the
same person, and on WhatsApp so does the other spelling of a phone (``kurir.domain.recipient.variants``).
"""

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from kurir.directory import Directory, Entry
from kurir.domain import channel as channels
from kurir.domain import recipient as recipients
from kurir.domain.problem import Problem
from kurir.domain.recipient import Recipient
from kurir.http import models, shown
from kurir.http.answers import RequestFailed
from kurir.http.edge import NativeRoute, no_channel
from kurir.http.shown import Shown
from kurir.intake import identity, people
from kurir.intake.deep_links import DeepLink, DeepLinks, Nameless, NeedsNone, Wanted
from kurir.store import GatewayStore
from kurir.store.base import ContactRecord

#: How long a link is good unless it is asked otherwise, and at most, in seconds.
LINK_SECONDS: Final = 7 * 86_400
LONGEST_LINK_SECONDS: Final = 30 * 86_400
#: Contacts of one page.
PAGE: Final = 200
LONGEST_PAGE: Final = 1_000
#: When to ask again whom a message is being sent to right now, and a platform that did not answer, in seconds.
_AGAIN: Final = {"Retry-After": "5"}

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        400: "Not JSON, not UTF-8, nested too deep",
        401: "Credentials missing or wrong",
        404: "No such channel, or this client has no such contact",
        413: "More than 256 KiB",
        415: "Not JSON",
        422: "Invalid parameters: all of them at once",
        429: "Too many requests",
        503: "The store does not answer",
    }.items()
}
_BEING_SENT: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": models.ProblemAnswer, "description": "A message to them is being sent; nothing was erased"}
}

router = APIRouter(prefix="/v1/contacts", route_class=NativeRoute, responses=_FAILURES, tags=["Contacts"])

ChannelPath = Annotated[str, Path(max_length=64, description="whatsapp, telegram, line or messenger")]
AddressPath = Annotated[str, Path(max_length=256, description="An address of the channel, bare or with its prefix")]
OfAccount = Annotated[
    str, Query(max_length=128, description="The account that knows the person; else the channel's default")
]


# --- bodies -----------------------------------------------------------------------------------------------------------


class ContactRequest(BaseModel):
    """Link a phone to an address."""

    phone: str = Field(description="With its country code; the sample's spelling with x is taken too.")
    name: str = ""
    account: str | None = Field("", description="The account that the address belongs to; else the channel's default.")


class ContactBody(BaseModel):
    """A person as one account knows them."""

    channel: str
    account: str
    address: str
    phone: str
    name: str
    username: str = Field(description="Their name on the platform, where it has such names and tells them.")
    last_inbound_at: str | None = Field(description="When they last wrote or pressed something.")
    linked_at: str | None = Field(description="Since when the phone is known to be theirs.")
    blocked: bool = Field(description="Whether they have blocked the account, as far as the platform tells.")


class ContactAnswer(BaseModel):
    """A contact."""

    data: ContactBody


class ContactsAnswer(BaseModel):
    """Contacts, by account and address, and the cursor of the next page."""

    data: list[ContactBody]
    next: str | None = None


class LinkRequest(BaseModel):
    """A link to make that a person opens. It needs a phone, or a payload."""

    channel: str = Field(max_length=64, description="telegram, messenger or line; WhatsApp needs none.")
    account: str | None = Field("", max_length=128, description="Whose link it is; else the channel's default account.")
    phone: str | None = Field("", max_length=40, description="Whoever opens the link is linked to this phone.")
    payload: str | None = Field("", max_length=1000, description="Comes back in the event, as `referral`.")
    expires_in: int = Field(
        LINK_SECONDS, ge=1, le=LONGEST_LINK_SECONDS, description="Seconds for which the link is good, once."
    )


class LinkBody(BaseModel):
    """A link that was made."""

    channel: str
    account: str
    url: str = Field(description="What the person opens; on LINE the client's page sends them there, with a linkToken.")
    token: str = Field(description="What stands in the link: Telegram's start, Messenger's ref, LINE's nonce.")
    phone: str
    payload: str
    expires_at: str


class LinkAnswer(BaseModel):
    """A link."""

    data: LinkBody


class ErasedBody(BaseModel):
    """What of a person was erased now."""

    channel: str
    account: str
    address: str
    contact: bool = Field(description="Whether there was a contact; its phone, names and other addresses went with it.")
    messages: int = Field(description="Messages to them of which content and recipient were erased.")
    cancelled: int = Field(description="Messages to them that waited, and were cancelled first.")
    events: int = Field(description="Events of what they wrote, pressed and did, erased with their callbacks.")


class ErasedAnswer(BaseModel):
    """What was erased."""

    data: ErasedBody


# --- one contact ------------------------------------------------------------------------------------------------------


@router.put("/{channel}/{address}", response_model=ContactAnswer, summary="Link a phone")
async def put_contact(request: Request, channel: ChannelPath, address: AddressPath, contact: ContactRequest) -> Shown:
    """Link a phone to an address of the account: a phone that was linked in the account moves here."""
    store, directory, client_id = _parts_of(request)
    name = _channel(request, channel)
    problems: list[Problem] = []
    entry = _entry(directory, client_id, name, contact.account or "", problems)
    where = _address(name, address, problems)
    region = directory.client(client_id).default_region
    phone = people.phone_of(contact.phone, region)
    if phone is None:
        problems.append(_no_phone("/phone"))
    if problems or entry is None or phone is None or where is None:
        raise RequestFailed("invalid_parameters", problems=problems)
    now = request.app.state.clock.now()
    return {"data": _contact(await people.link(store, entry.account, where, phone, now, name=contact.name))}


@router.get("/{channel}/{address}", response_model=ContactAnswer, summary="One contact")
async def get_contact(request: Request, channel: ChannelPath, address: AddressPath, account: OfAccount = "") -> Shown:
    """Return the person with this address, as the account knows them."""
    entry, where = _place(request, channel, address, account)
    store, _, client_id = _parts_of(request)
    found = await identity.known_at(store, entry.account, where)
    return {"data": _contact(_theirs(found, client_id, entry))}


@router.delete("/{channel}/{address}/phone", response_model=ContactAnswer, summary="Unlink a phone")
async def unlink_contact(
    request: Request, channel: ChannelPath, address: AddressPath, account: OfAccount = ""
) -> Shown:
    """Take the phone of a contact away; everything else of it stays. Messages to the phone no longer reach the address."""
    entry, where = _place(request, channel, address, account)
    store, _, client_id = _parts_of(request)
    known = _theirs(await identity.known_at(store, entry.account, where), client_id, entry)
    now = request.app.state.clock.now()
    found = await store.unlink_contact(client_id, entry.account.id, known.address, now)
    return {"data": _contact(_theirs(found, client_id, entry))}


@router.delete(
    "/{channel}/{address}", response_model=ErasedAnswer, responses=_BEING_SENT, summary="Erase a person on request"
)
async def erase_contact(request: Request, channel: ChannelPath, address: AddressPath, account: OfAccount = "") -> Shown:
    """Erase a person from the account: the contact, what they wrote, and what was said to them.

    Messages to them that wait are cancelled. 409 while one is being sent: then nothing was erased, and it is to be asked
    again. Of the messages a bare record stays: ids, statuses, error codes and times. Asking for somebody of whom nothing is
    kept is answered with zeros.
    """
    entry, where = _place(request, channel, address, account)
    store, _, _ = _parts_of(request)
    stood, total = await people.erase(store, entry.account, where, request.app.state.clock.now())
    if total.begun:
        raise RequestFailed("person_in_use", people.being_sent(total), headers=_AGAIN)
    data: Shown = {
        "channel": entry.account.channel,
        "account": entry.account.id,
        "address": stood,
        "contact": total.contact,
        "messages": total.messages,
        "cancelled": total.cancelled,
        "events": total.events,
    }
    return {"data": data}


# --- links ------------------------------------------------------------------------------------------------------------


@router.post("/links", response_model=LinkAnswer, summary="Make a link that a person opens")
async def make_link(request: Request, link: LinkRequest) -> Shown:
    """Make a link: who opens it is known from then on, and with a phone given linked to it. It is good once.

    It proves who opened it, not whose phone it is: give it to the holder of the phone only. 503 when Telegram does not
    tell the bot's name.
    """
    _, directory, client_id = _parts_of(request)
    name = _channel(request, link.channel)
    problems: list[Problem] = []
    entry = _entry(directory, client_id, name, link.account or "", problems)
    phone: str | None = ""
    if link.phone:
        phone = people.phone_of(link.phone, directory.client(client_id).default_region)
        if phone is None:
            problems.append(_no_phone("/phone"))
    elif not link.payload:
        problems.append(Problem("/phone", "missing", "a link needs a phone to tie to who opens it, or a payload"))
    if problems or entry is None or phone is None:
        raise RequestFailed("invalid_parameters", problems=problems)
    wanted = Wanted(phone, link.payload or "", timedelta(seconds=link.expires_in))
    links: DeepLinks = request.app.state.deep_links
    made = await links.make(entry, wanted)
    match made:
        case NeedsNone():
            raise RequestFailed("invalid_parameters", problems=[Problem("/channel", "unsupported_type", made.reason)])
        case Nameless():
            failed = RequestFailed(made.code, made.reason, headers=_AGAIN)
            failed.status = 503
            raise failed
        case DeepLink():
            record = made.record
            data: Shown = {
                "channel": name,
                "account": record.account_id,
                "url": made.url,
                "token": record.token,
                "phone": record.phone,
                "payload": record.payload,
                "expires_at": shown.time(record.expires_at),
            }
            return {"data": data}


# --- many contacts ----------------------------------------------------------------------------------------------------


@router.get("", response_model=ContactsAnswer, summary="Look contacts up")
async def list_contacts(
    request: Request,
    phone: Annotated[str | None, Query(max_length=40)] = None,
    channel: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str | None, Query(max_length=600, description="The cursor «next» of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = PAGE,
) -> Shown:
    """Return the client's contacts by phone, by channel, or all, by account and address."""
    store, directory, client_id = _parts_of(request)
    name = _channel(request, channel) if channel else None
    cursor = _from_cursor(after)
    spellings: tuple[str | None, ...] = (None,)
    if phone:
        digits = people.phone_of(phone, directory.client(client_id).default_region)
        if digits is None:
            raise RequestFailed("invalid_parameters", problems=[_no_phone("/phone")])
        spellings = recipients.variants(digits)
    found = [
        record
        for spelling in spellings
        for record in await store.contacts(client_id, phone=spelling, channel=name, after=cursor, limit=limit + 1)
    ]
    found.sort(key=lambda one: (one.account_id, one.address))
    more = _cursor(found[limit - 1]) if len(found) > limit else None
    return {"data": [_contact(one) for one in found[:limit]], "next": more}


def _cursor(last: ContactRecord) -> str:
    return base64.urlsafe_b64encode(f"{last.account_id}\0{last.address}".encode()).decode().rstrip("=")


def _from_cursor(text: str | None) -> tuple[str, str] | None:
    if not text:
        return None
    try:
        account_id, separator, address = (
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("\0")
        )
        if separator:
            return account_id, address
    except (binascii.Error, ValueError):
        pass
    problem = Problem("/after", "invalid_format", "after must be the «next» of an earlier page")
    raise RequestFailed("invalid_parameters", problems=[problem])


# --- what they share --------------------------------------------------------------------------------------------------


def _parts_of(request: Request) -> tuple[GatewayStore, Directory, str]:
    state = request.app.state
    return state.store, state.directory, request.state.client_id


def _channel(request: Request, name: str) -> str:
    known = channels.canonical(name)
    if known not in request.app.state.channels:
        raise RequestFailed("unknown_channel", no_channel(name))
    return known


def _place(request: Request, channel: str, address: str, account: str) -> tuple[Entry, str]:
    """Return the account and the address that a path and its query name. Raises RequestFailed with all that is wrong."""
    _, directory, client_id = _parts_of(request)
    name = _channel(request, channel)
    problems: list[Problem] = []
    entry = _entry(directory, client_id, name, account, problems)
    where = _address(name, address, problems)
    if entry is None or where is None:
        raise RequestFailed("invalid_parameters", problems=problems)
    return entry, where


def _entry(directory: Directory, client_id: str, channel: str, account: str, problems: list[Problem]) -> Entry | None:
    """Return the client's *account*, "" its default on the channel; None, with the problem, where there is none."""
    found = directory.find(client_id, channel, account) if account else directory.default(client_id, channel)
    if found is None:
        problems.append(Problem("/account", "unknown_account", f"this client has no such enabled {channel} account"))
    return found


def _address(channel: str, address: str, problems: list[Problem]) -> str | None:
    """Return the channel's address that a path names; None, with the problem, where it is none."""
    prefix = recipients.PREFIX_OF.get(channel, "")
    read = recipients.read(channel, address if ":" in address else f"{prefix}:{address}")
    if isinstance(read, Recipient):
        return read.value
    problems.append(Problem("", "invalid_recipient", f"the address in the path: {read.detail}"))
    return None


def _no_phone(pointer: str) -> Problem:
    detail = "phone must be 7 to 15 digits with the country code, such as 6281234567890"
    return Problem(pointer, "invalid_recipient", detail)


def _theirs(found: ContactRecord | None, client_id: str, entry: Entry) -> ContactRecord:
    if found is None or found.client_id != client_id:
        account = entry.account.id
        raise RequestFailed("not_found", f"the account {account} knows nobody with this address")
    return found


def _contact(record: ContactRecord) -> Shown:
    return {
        "channel": record.channel,
        "account": record.account_id,
        "address": record.address,
        "phone": record.phone,
        "name": record.name,
        "username": record.username,
        "last_inbound_at": shown.time(record.last_inbound_at),
        "linked_at": shown.time(record.linked_at),
        "blocked": record.blocked,
    }
