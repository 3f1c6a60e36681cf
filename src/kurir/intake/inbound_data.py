"""What came in, as the JSON that its event keeps: the ``data`` of the standard dialect, written once, when it is taken in.

Whoever takes a webhook in makes it with these functions; ``kurir.callbacks.dialects`` reads it back when it is told of.
Every member is always there (absent text "", number 0, object null), so that the compat dialect is a choice of members.
A file's URL is not among them: it expires, so that it is made when the event is told. Nor is the platform's own handle of
a file, which may hold the account's secrets: that is kept apart (:func:`handles`), and is never shown.
"""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from kurir.channels.base import (
    AgentMessage,
    ContactNews,
    Deleted,
    Edited,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Reaction,
)
from kurir.store import contact_data

_quoted: Final = json.encoder.encode_basestring

RECEIVED: Final = "message.received"
POSTBACK: Final = "postback.received"


def kind_of(message: InboundMessage) -> str:
    """Return the kind of the event that tells of *message*."""
    return POSTBACK if message.kind is Kind.POSTBACK else RECEIVED


def files_of(message: InboundMessage) -> tuple[InboundMedia | None, ...]:
    """Return the files of *message*, one for each event that tells of it: ``(None,)`` for a message without any.

    The published shape has room for one file, so a message with several is told in as many events, with one id. Their
    arrivals want an ``event_id`` each (:func:`event_id_of`).
    """
    return message.media or (None,)


def event_id_of(message: InboundMessage, number: int) -> str:
    """Return the id by which the arrival of the *number*-th file of *message*, from 0, is told from a repeat."""
    return message.event_id if number == 0 else f"{message.event_id}#{number}"


def received(
    message: InboundMessage,
    *,
    channel: str,
    account_id: str,
    key: str = "",
    reply_id: str = "",
    number: int = 0,
) -> JsonObject:
    """Return the data of the event that tells of *message* and its *number*-th file, from 0.

    *key* is the client's own key of what was pressed. *reply_id* is the client's own id of the message that was quoted or
    pressed where it was ours, else "" and the platform's id stands. The words come with the first file.
    """
    media = message.media[number] if message.media else None
    return {
        "from": person(channel, message.sender),
        "message": {
            "id": message.platform_id,
            "type": message.kind.value,
            "text": message.text if number == 0 else "",
            "reply_id": reply_id or message.reply_to,
            "reply_token": message.reply_token,
            **_times(message.at),
            "interactive": None,  # nothing that a person can send has this shape
            "location": _location(message.location),
            "media": _media(media),
            "postback": {"key": key, "title": message.press.title} if message.press is not None else None,
            "referral": message.referral,
            "standby": message.standby,
            "live": message.live,
        },
        **_where(channel, account_id),
    }


def received_json(
    message: InboundMessage,
    *,
    channel: str,
    account_id: str,
    key: str = "",
    reply_id: str = "",
    number: int = 0,
) -> bytes:
    """Return what :func:`dump` makes of :func:`received`.

    Of words alone, which is nearly all that people send, it is written at once: half the cost of taking a message in was
    a dictionary and its encoder.
    """
    if message.media or message.location is not None or message.press is not None or number:
        told = received(message, channel=channel, account_id=account_id, key=key, reply_id=reply_id, number=number)
        return dump(told)
    one, at = message.sender, message.at
    address = contact_data.address(channel, one.address)
    return (
        f'{{"from":{{"avatar":{_quoted(one.avatar)},"description":"","name":{_quoted(one.name)},'
        f'"username":{_quoted(one.username)},"id":{_quoted(one.id or one.address)},"address":{_quoted(address)},'
        f'"phone":{_quoted(one.phone)}}},"message":{{"id":{_quoted(message.platform_id)},'
        f'"type":{_quoted(message.kind.value)},"text":{_quoted(message.text)},'
        f'"reply_id":{_quoted(reply_id or message.reply_to)},"reply_token":{_quoted(message.reply_token)},'
        f'"times":{int(at.timestamp())},"timestamp":{_quoted(rfc3339(at))},"interactive":null,"location":null,'
        f'"media":null,"postback":null,"referral":{_quoted(message.referral)},'
        f'"standby":{"true" if message.standby else "false"},"live":{"true" if message.live else "false"}}},'
        f'"channel":{_quoted(channel)},"account":{_quoted(account_id)}}}'
    ).encode()


def reacted(event: Reaction, *, channel: str, account_id: str, reply_id: str = "") -> JsonObject:
    """Return the data of ``message.reaction``; *reply_id* as in :func:`received`, for the message reacted to."""
    return {
        "from": person(channel, event.sender),
        "reaction": {"emoji": event.emoji, "message_id": event.platform_id, "reply_id": reply_id, **_times(event.at)},
        **_where(channel, account_id),
    }


def edited(event: Edited, *, channel: str, account_id: str) -> JsonObject:
    """Return the data of ``message.edited``: the new words of a message that a person wrote."""
    message = {"id": event.platform_id, "text": event.text, **_times(event.at)}
    return {"from": person(channel, event.sender), "message": message, **_where(channel, account_id)}


def deleted(event: Deleted, *, channel: str, account_id: str) -> JsonObject:
    """Return the data of ``message.deleted``: which message a person took back."""
    message = {"id": event.platform_id, **_times(event.at)}
    return {"from": person(channel, event.sender), "message": message, **_where(channel, account_id)}


def written_by_agent(event: AgentMessage, *, channel: str, account_id: str) -> JsonObject:
    """Return the data of ``message.agent``: what somebody of the business wrote in the platform's own inbox."""
    message = {"id": event.platform_id, "text": event.text, **_times(event.at)}
    return {"to": person(channel, event.recipient), "message": message, **_where(channel, account_id)}


def contact(event: ContactNews, *, channel: str, account_id: str) -> JsonObject:
    """Return the data of the events that tell of a person: blocked, unblocked, linked, referred.

    The phone is the one that they shared, where they did.
    """
    whom = person(channel, event.person)
    if event.shared_phone:
        whom["phone"] = event.shared_phone
    return contact_data.contact(
        whom,
        event.at,
        channel=channel,
        account_id=account_id,
        referral=event.referral,
        first_time=event.first_time,
        reply_token=event.reply_token,
        moved_to=event.moved_to,
    )


def person(channel: str, one: Person) -> JsonObject:
    """Return a person as ``from``. ``address`` is the explicit form, always safe to answer to."""
    return contact_data.person(
        channel,
        one.address,
        own_id=one.id,
        name=one.name,
        username=one.username,
        phone=one.phone,
        avatar=one.avatar,
    )


def dump(data: JsonObject) -> bytes:
    """Return *data* as the event keeps it."""
    return contact_data.dump(data)


# --- the platform's handles of files, which nobody is shown -----------------------------------------------------------


def handles(files: tuple[InboundMedia | None, ...]) -> bytes | None:
    """Return the platform's handles of *files* as the event keeps them, None where there are none."""
    found = [asdict(one) for one in files if one is not None] if files else None
    return dump({"files": found}) if found else None


def read_handles(kept: bytes | None) -> tuple[InboundMedia, ...]:
    """Return what :func:`handles` gave. Fields that came later have their defaults."""
    if kept is None:
        return ()
    return tuple(InboundMedia(**one) for one in json.loads(kept)["files"])


# --- the parts of it --------------------------------------------------------------------------------------------------


def _where(channel: str, account_id: str) -> JsonObject:
    return {"channel": channel, "account": account_id}


def _times(at: datetime) -> dict[str, Any]:
    return contact_data.times(at)


def rfc3339(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as RFC 3339 with a Z."""
    return contact_data.rfc3339(moment)


def _location(place: InboundLocation | None) -> JsonObject | None:
    if place is None:
        return None
    return {
        "address": place.address,
        "latitude": place.latitude,
        "live_period": place.live_period,
        "longitude": place.longitude,
        "name": place.name,
    }


def _media(one: InboundMedia | None) -> JsonObject | None:
    if one is None:
        return None
    return {"animated": one.animated, "mime_type": one.mime_type, "name": one.name, "size": one.size or 0}
