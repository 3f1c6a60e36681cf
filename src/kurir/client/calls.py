"""The calls of the API as values: what to ask, how to read the answer, and whether asking twice is harmless. No I/O."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from kurir.client import events
from kurir.client.answers import (
    Accepted,
    Contact,
    ContactLink,
    ContactPage,
    MessageDetails,
    MessagePage,
    Preview,
    Status,
)
from kurir.client.errors import UNREADABLE_ANSWER, KurirError, Problem
from kurir.client.message import Message
from kurir.client.reading import read

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
Json = dict[str, Any]

#: The largest answer that is read, in bytes.
LARGEST_ANSWER: Final = 32 * 1024 * 1024
#: The longest that the gateway lets a request for events wait, in seconds.
LONGEST_WAIT: Final = 60.0
#: Seconds without a byte after which a stream counts as dead: three of the gateway's heartbeats.
STREAM_SILENCE: Final = 45.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. The names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[_T_co]):
    """A call. ``repeatable``: made twice it does what it does once. ``wait``: seconds that the gateway may take by design."""

    method: str
    path: str
    read: Callable[[Json, Answer], _T_co]
    body: Json | None = None
    repeatable: bool = True
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Login:
    """Which gateway, and as whom. ``client_id`` is the one in paths: the user name unless it is another."""

    url: str
    username: str
    password: str = field(repr=False)
    client_id: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError where no request could be made of it. The password is never part of what is said."""
        parts = urlsplit(self.url)
        _ = parts.port  # raises for what is no port
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise ValueError("url must be the gateway's, such as https://chat.example.com")
        for name in ("username", "password"):
            value = getattr(self, name)
            if not value or any(one in value for one in "\r\n\0"):
                raise ValueError(f"{name} must not be empty, and must have no line break")
        object.__setattr__(self, "url", self.url.rstrip("/"))
        object.__setattr__(self, "client_id", self.client_id or self.username)

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        return {"Auth-username": self.username, "Auth-password": self.password, "User-Agent": "kurir-client"}


# --- messages ---------------------------------------------------------------------------------------------------------


def send(login: Login, channel: str, message: Message | Mapping[str, Any]) -> Call[Accepted]:
    """Return the call that sends *message*. It is repeatable: the gateway takes an id once."""
    body = _json_of(message)

    def accepted(answer: Json, http: Answer) -> Accepted:
        losses = http.headers.get("kurir-losses", "")
        replayed = http.headers.get("idempotent-replayed", "").lower() == "true"
        more = {"losses": int(losses) if losses.isascii() and losses.isdigit() else 0, "replayed": replayed}
        return read(Accepted, {**_data(answer), **more}, "/data")

    return Call("POST", f"/{_step(channel)}/send/{_step(login.client_id)}", accepted, body)


def preview(login: Login, channel: str, message: Message | Mapping[str, Any]) -> Call[Preview]:
    """Return the call that shows what would be sent."""
    path = f"/{_step(channel)}/preview/{_step(login.client_id)}"
    return Call("POST", path, _one(Preview), _json_of(message))


def message(tid: str) -> Call[MessageDetails]:
    """Return the call for one message."""
    return Call("GET", f"/v1/messages/{_step(tid)}", _one(MessageDetails))


def messages(
    channel: str = "",
    message_id: str = "",
    recipient: str = "",
    status: Status | int | None = None,
    after: str = "",
    limit: int = 50,
) -> Call[MessagePage]:
    """Return the call for a page of messages, newest first."""
    wanted = {
        "channel": channel,
        "id": message_id,
        "recipient": recipient,
        "status": "" if status is None else str(int(status)),
        "after": after,
        "limit": str(limit),
    }
    return Call("GET", _with_query("/v1/messages", wanted), lambda answer, _: read(MessagePage, answer))


def cancel(tid: str) -> Call[MessageDetails]:
    """Return the call that cancels a message. Not repeatable: of two, the second answers 409."""
    return Call("POST", f"/v1/messages/{_step(tid)}/cancel", _one(MessageDetails), repeatable=False)


def retry(tid: str) -> Call[MessageDetails]:
    """Return the call that sends a failed message again. Not repeatable: of two, both may open a run."""
    return Call("POST", f"/v1/messages/{_step(tid)}/retry", _one(MessageDetails), repeatable=False)


# --- contacts ---------------------------------------------------------------------------------------------------------


def contacts(phone: str = "", channel: str = "", after: str = "", limit: int | None = None) -> Call[ContactPage]:
    """Return the call for a page of contacts."""
    wanted = {"phone": phone, "channel": channel, "after": after, "limit": "" if limit is None else str(limit)}
    return Call("GET", _with_query("/v1/contacts", wanted), lambda answer, _: read(ContactPage, answer))


def contact(channel: str, address: str, account: str = "") -> Call[Contact]:
    """Return the call for one contact."""
    return Call("GET", _contact_path(channel, address, account), _one(Contact))


def unlink_contact(channel: str, address: str, account: str = "") -> Call[Contact]:
    """Return the call that takes a contact's phone away."""
    return Call("DELETE", _contact_path(channel, address, account, "/phone"), _one(Contact))


def make_link(channel: str, phone: str, payload: str, expires_in: int | None, account: str) -> Call[ContactLink]:
    """Return the call that makes a link. Not repeatable: each call makes another link."""
    body: Json = {"channel": channel, "phone": phone, "payload": payload, "account": account}
    if expires_in is not None:
        body["expires_in"] = expires_in
    return Call("POST", "/v1/contacts/links", _one(ContactLink), body, repeatable=False)


def link_contact(channel: str, address: str, phone: str, name: str = "", account: str = "") -> Call[Contact]:
    """Return the call that links a phone to an address."""
    body = {"phone": phone, "name": name, "account": account}
    return Call("PUT", _contact_path(channel, address), _one(Contact), body)


def erase_contact(channel: str, address: str, account: str = "") -> Call[Json]:
    """Return the call that erases a person."""
    return Call("DELETE", _contact_path(channel, address, account), lambda answer, _: _data(answer))


def _contact_path(channel: str, address: str, account: str = "", below: str = "") -> str:
    return _with_query(f"/v1/contacts/{_step(channel)}/{_step(address)}{below}", {"account": account})


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, oldest first, and the cursor to go on with."""

    data: tuple[events.Event, ...]
    next: str


def event_page(after: str, wait: float, limit: int) -> Call[EventPage]:
    """Return the call for the events after a cursor, which waits up to *wait* seconds for the first."""
    wanted = {"after": after, "wait": f"{wait:g}" if wait else "", "limit": str(limit)}

    def page(answer: Json, _: Answer) -> EventPage:
        found, more = answer.get("data"), answer.get("next")
        if not isinstance(found, list) or not isinstance(more, str):
            raise KurirError(UNREADABLE_ANSWER, "an answer with events should have data and next; is this a kurir?")
        return EventPage(tuple(events.of_envelope(one) for one in found), more)

    return Call("GET", _with_query("/v1/events", wanted), page, wait=wait)


def stream_path(after: str) -> str:
    """Return the path of the stream of events from a cursor on; "" is from now on."""
    return _with_query("/v1/events/stream", {"after": after})


def event_of(data: str) -> events.Event:
    """Return the event in the ``data`` of a server-sent event. Raises KurirError."""
    try:
        envelope = json.loads(data)
    except ValueError:
        envelope = None
    if not isinstance(envelope, dict):
        raise KurirError(UNREADABLE_ANSWER, "an event of the stream is no JSON object; is this a kurir?")
    return events.of_envelope(envelope)


# --- reading ----------------------------------------------------------------------------------------------------------


def understand(call: Call[_T], answer: Answer) -> _T:
    """Return what *answer* tells. Raises KurirError: the gateway's own error, or that it is no answer of a gateway."""
    if answer.status != HTTPStatus.OK:
        raise failure(answer)
    return call.read(_object(answer), answer)


def failure(answer: Answer) -> KurirError:
    """Return the error in *answer*."""
    try:
        body = _object(answer)
    except KurirError:
        body = {}
    code, detail, problems = body.get("code"), body.get("detail"), body.get("errors")
    if not isinstance(code, str) or not isinstance(detail, str):
        code = UNREADABLE_ANSWER
        detail = "the answer is no kurir's; is the URL right, or does a proxy answer in its place?"
    listed = [one for one in problems if isinstance(one, dict)] if isinstance(problems, list) else []
    return KurirError(
        code,
        detail,
        problems=[Problem(*(str(one.get(name) or "") for name in ("pointer", "code", "detail"))) for one in listed],
        status=answer.status,
        retry_after=_seconds(answer.headers.get("retry-after", "")),
        request_id=answer.headers.get("request-id", ""),
        type=str(body.get("type") or ""),
    )


def _seconds(text: str) -> float | None:
    """Return the seconds that Retry-After names; the gateway never names a date."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _object(answer: Answer) -> Json:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise KurirError(UNREADABLE_ANSWER, "the answer is no JSON object; is this a kurir?", status=answer.status)
    return body


def _data(answer: Json) -> Json:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise KurirError(UNREADABLE_ANSWER, "the answer has no data; is this a kurir?")
    return data


def _one(kind: type[_T]) -> Callable[[Json, Answer], _T]:
    return lambda answer, _: read(kind, _data(answer), "/data")


def _json_of(message: Message | Mapping[str, Any]) -> Json:
    return message.as_json() if isinstance(message, Message) else dict(message)


def _step(text: str) -> str:
    """Return *text* as one step of a path. Raises ValueError for what no server would take as one."""
    if text in ("", ".", ".."):
        raise ValueError(f"«{text}» cannot stand in a path")
    return quote(text, safe="")


def _with_query(path: str, wanted: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in wanted.items() if value})
    return f"{path}?{query}" if query else path
