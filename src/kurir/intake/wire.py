"""The seed's request body ⇄ :class:`Message`.

Decoding collects every problem of a body (of a long list: the first hundred) instead of stopping at the first, and looks
only at what the message's type uses: the seed's sample carries every part at once, so an unused part is absent when it is
empty or zeroed, and a reported loss when it is not. It is written by hand rather than as a pydantic model because which
fields are validated depends on ``type``; the model in ``kurir.http.models`` describes the same body for OpenAPI, and a
test holds the two together.

``encode`` writes a message in one canonical form. It is what the store keeps, and its digest is the content's fingerprint
for idempotency: empties absent, aliases and placements unified, strings untouched, ``times``, ``timestamp``, unknown
fields and unused parts left out.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from json.encoder import JSONEncoder, encode_basestring
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from kurir.channels.whatsapp import templates as whatsapp_templates
from kurir.domain import recipient as recipients
from kurir.domain.channel import WHATSAPP
from kurir.domain.message import (
    CHOICE_TYPES,
    MEDIA_TYPES,
    Button,
    Footer,
    Header,
    HeaderType,
    ListAction,
    ListBody,
    ListSection,
    Location,
    Media,
    Message,
    MessageType,
    Priority,
    Template,
)
from kurir.domain.problem import Loss, Problem, pointer
from kurir.domain.recipient import Recipient

#: The version of the rules by which content is compared. It is kept with each fingerprint.
FINGERPRINT_VERSION: Final = 1

MAXIMUM_ID_BYTES: Final = 1024
MAXIMUM_EXPIRES_IN: Final = 30 * 24 * 3600
#: The buttons, or sections and actions, of one message: more than any channel shows, and than anybody reads.
MAXIMUM_ITEMS: Final = 1000
#: With so many problems no further item is looked at: a small body must not cost a large answer.
ENOUGH_PROBLEMS: Final = 100
#: Times beyond this year leave no room for an age to be added to them.
LATEST_YEAR: Final = 9000

_LEAP_SECOND: Final = re.compile(r"(:59:)60(?=\D|$)")

_T = TypeVar("_T")
Json = Mapping[str, Any]

_PARTS_OF: Final[dict[MessageType, frozenset[str]]] = {
    **dict.fromkeys(MEDIA_TYPES, frozenset({"text", "media"})),
    MessageType.TEXT: frozenset({"text"}),
    MessageType.BUTTON: frozenset({"text", "button"}),
    MessageType.LIST: frozenset({"text", "list"}),
    MessageType.LOCATION: frozenset({"text", "location"}),
    MessageType.TEMPLATE: frozenset({"template"}),
}
_ALL_PARTS: Final = ("text", "media", "location", "button", "list", "template")
#: The members of a text without anything else, and of its content.
_PLAIN: Final = frozenset({"id", "times", "timestamp", "recipient", "type", "body"})
_ONLY_TEXT: Final = frozenset({"text"})
#: The members of the canonical form of such a text.
_RECORD_OF_TEXT: Final = frozenset({"id", "channel", "recipient", "type", "text"})
_AROUND: Final = frozenset({"header", "footer"})
_EXTENSIONS: Final = frozenset({"account", "expires_in", "send_at", "priority", "strict", "fallback"})


def is_empty(value: object) -> bool:
    """Return whether an unused part counts as absent: null, blank, zero, false, or made of nothing but such."""
    if value is None or value is False:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, int | float):
        return value == 0
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    return isinstance(value, list) and all(map(is_empty, value))


def decode(body: object, channel: str, default_region: str = "") -> Message | list[Problem]:
    """Return the message in *body* (a parsed JSON value), or every problem of its form.

    *channel* is the canonical channel of the path, *default_region* the client's. What a channel itself cannot send is
    not looked at here (``Channel.problems``).
    """
    message, problems = examine(body, channel, default_region)
    if message is None or problems:
        return problems
    return message


def examine(body: object, channel: str, default_region: str = "") -> tuple[Message | None, list[Problem]]:
    """Return the message in *body* and every problem of its form.

    There may be a message although there are problems: when none of them is of its content, so that a channel can say at
    once what it cannot send of it. Fields with a problem hold harmless values then.
    """
    message, problems, _ = examined(body, channel, default_region)
    return message, problems


def examined(
    body: object, channel: str, default_region: str = ""
) -> tuple[Message | None, list[Problem], Recipient | None]:
    """Return what :func:`examine` does, and who the recipient is: None where that is one of the problems."""
    if not isinstance(body, dict):
        return None, [Problem("", "wrong_type", "the body must be a JSON object")], None
    plain = _plain_text(body, channel, default_region)
    if plain is not None:
        return plain[0], [], plain[1]
    decoder = _Decoder(channel, default_region)
    message, problems = decoder.message(body)
    return message, problems, decoder.read


def _plain_text(body: Json, channel: str, default_region: str) -> tuple[Message, Recipient] | None:
    """Return what the decoder would make of a text without anything else, and without a problem; None for any other body.

    Most bodies are that, and the decoder takes three times as long to find that there is nothing in them that it looks for.
    """
    content = body.get("body")
    if body.keys() != _PLAIN or body["type"] != "text" or type(content) is not dict or content.keys() != _ONLY_TEXT:
        return None
    identifier, recipient, text, stamp, times = (
        body["id"],
        body["recipient"],
        content["text"],
        body["timestamp"],
        body["times"],
    )
    sound = (
        type(identifier) is type(recipient) is type(text) is type(stamp) is str
        and type(times) is int
        and -(2**63) <= times < 2**63
        and not (is_empty(identifier) or is_empty(text))
        and len(identifier) <= MAXIMUM_ID_BYTES // 4
        and parse_time(stamp) is not None
    )
    read = recipients.read(channel, recipient, default_region) if sound else None
    if not isinstance(read, Recipient):
        return None
    return Message(id=identifier, channel=channel, recipient=recipient, type=MessageType.TEXT, text=text), read


def placed(body: object, at: str) -> str:
    """Return the pointer *at* of a channel, which knows no placement, as the client wrote *body*.

    A header or footer inside ``body`` is found there: ``/header/media_url`` is ``/body/header/media_url``.
    """
    name = at.split("/")[1] if at.startswith(("/header", "/footer")) else ""
    if not name or not isinstance(body, dict) or not is_empty(body.get(name)):
        return at
    content = body.get("body")
    return f"/body{at}" if isinstance(content, dict) and not is_empty(content.get(name)) else at


class _Decoder:
    """One pass over one body. ``problems`` grows; a method returns a harmless value where it found one."""

    def __init__(self, channel: str, default_region: str) -> None:
        self.channel = channel
        self.default_region = default_region
        self.problems: list[Problem] = []
        self.skipped = 0
        self.losses: list[Loss] = []
        self.read: Recipient | None = None

    def message(self, body: Json) -> tuple[Message | None, list[Problem]]:
        identifier = self.words(body, "id", "/id")
        if len(identifier.encode()) > MAXIMUM_ID_BYTES:
            self.problem(
                "/id", "too_long", f"id has more than {MAXIMUM_ID_BYTES} bytes; use a shorter one, such as a UUID"
            )
        self.integer(body, "times", "/times", mandatory=True)
        self.timestamp(body)
        recipient = self.words(body, "recipient", "/recipient")
        if recipient:
            self.recipient(recipient)
        kind = self.kind(body)
        content = self.content(body)
        parts = self.parts(content, kind) if kind is not None and not self.problems_at("/body") else {}
        header, footer = self.around(body, content, kind)
        extensions = self.extensions(body)
        reply_id, reply_token = self.optional_text(body, "reply_id"), self.optional_text(body, "reply_token")
        if kind in CHOICE_TYPES and not self.problems_at("/body/text", "/header", "/body/header"):
            self.need_words(kind, parts, header)
        if self.skipped:
            detail = f"there are {len(self.problems)} problems already: {self.skipped} more items were not looked at"
            self.problem("/body", "more_problems", detail)
        if kind is None or self.problems_at("/body", "/header", "/footer"):
            return None, self.problems
        message = Message(
            id=identifier,
            channel=self.channel,
            recipient=recipient,
            type=kind,
            header=header,
            footer=footer,
            reply_id=reply_id,
            reply_token=reply_token,
            ignored=tuple(self.losses),
            **parts,
            **extensions,
        )
        return message, self.problems

    # --- small readers ------------------------------------------------------------------------------------------------

    def problem(self, at: str, code: str, detail: str) -> None:
        self.problems.append(Problem(at, code, detail))

    def problems_at(self, *places: str) -> bool:
        """Return whether a problem is at one of these places, or within."""
        return bool(self.problems) and any(
            problem.pointer == at or problem.pointer.startswith(at + "/") for problem in self.problems for at in places
        )

    def name(self, at: str) -> str:
        return at[1:].replace("/", ".") or "the body"

    def words(self, owner: Json, key: str, at: str) -> str:
        """Return a mandatory string that may not be blank."""
        value = self.string(owner, key, at)
        if value is not None and not value.strip():
            self.problem(at, "blank", f"{self.name(at)} is blank; fill it in")
        return value or ""

    def string(self, owner: Json, key: str, at: str) -> str | None:
        """Return a mandatory string, blank or not; None where there was none."""
        value = owner.get(key)
        if isinstance(value, str):
            return value
        if value is None:
            self.problem(at, "missing", f"{self.name(at)} is missing; add it as a string")
        else:
            self.problem(at, "wrong_type", f"{self.name(at)} must be a string, not {_json_name(value)}")
        return None

    def optional_text(self, owner: Json, key: str) -> str:
        value = owner.get(key)
        if value is None or is_empty(value):
            return ""
        return self.string(owner, key, "/" + key) or ""

    def integer(self, owner: Json, key: str, at: str, *, mandatory: bool = False) -> int | None:
        value = owner.get(key)
        if value is None:
            if mandatory:
                self.problem(at, "missing", f"{self.name(at)} is missing; add it as an integer (0 is allowed)")
            return None
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str):
            digits = value.strip()
            if len(digits) <= 20 and digits.isascii() and digits.removeprefix("-").isdigit():
                number = int(digits)
        if number is None:
            self.problem(
                at,
                "wrong_type",
                f"{self.name(at)} must be a whole number (or its digits as a string), not {_shown(value)}",
            )
        elif not -(2**63) <= number < 2**63:
            self.problem(at, "out_of_range", f"{self.name(at)} must fit into 64 bits")
            return None
        return number

    def degrees(self, owner: Json, key: str, at: str, bound: int) -> float:
        value = owner.get(key)
        number: float | None = None
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value) if abs(value) < 1e9 else 1e9
        elif isinstance(value, str):
            try:
                number = float(value) if len(value) <= 40 and "_" not in value else None
            except ValueError:
                number = None
        if number is None:
            if value is None:
                self.problem(at, "missing", f"{self.name(at)} is missing; add it as a number of degrees")
            else:
                self.problem(at, "wrong_type", f"{self.name(at)} must be a number of degrees, not {_json_name(value)}")
            return 0.0
        if not -bound <= number <= bound:
            self.problem(at, "out_of_range", f"{self.name(at)} must be between -{bound} and {bound} degrees")
            return 0.0
        return number + 0.0  # -0.0 and 0 are one point

    def mapping(self, owner: Json, key: str, at: str) -> Json | None:
        value = owner.get(key)
        if isinstance(value, dict):
            return value
        if value is None:
            self.problem(at, "missing", f"{self.name(at)} is missing; add it as an object")
        else:
            self.problem(at, "wrong_type", f"{self.name(at)} must be an object, not {_json_name(value)}")
        return None

    def items(
        self, owner: Json, key: str, at: str, read: Callable[[Json, str], _T], *, single: bool = False
    ) -> tuple[_T, ...]:
        """Return the items of a mandatory list of objects, at least one; *single* lets one object stand for a list."""
        value = owner.get(key)
        if single and isinstance(value, dict):
            value = [value]
        if value is None:
            self.problem(at, "missing", f"{self.name(at)} is missing; add it as a list with at least one item")
            return ()
        if not isinstance(value, list):
            self.problem(at, "wrong_type", f"{self.name(at)} must be a list, not {_json_name(value)}")
            return ()
        if not value:
            self.problem(at, "too_few", f"{self.name(at)} is empty; it needs at least one item")
        if len(value) > MAXIMUM_ITEMS:
            self.too_many(at, len(value), "items")
            return ()
        found: list[_T] = []
        for index, item in enumerate(value):
            if len(self.problems) >= ENOUGH_PROBLEMS:
                self.skipped += len(value) - index
                break
            place = f"{at}/{index}"
            if isinstance(item, dict):
                found.append(read(item, place))
            else:
                self.problem(place, "wrong_type", f"{self.name(place)} must be an object, not {_json_name(item)}")
        return tuple(found)

    def too_many(self, at: str, count: int, what: str) -> None:
        detail = f"{self.name(at)} has {count} {what}; a message takes at most {MAXIMUM_ITEMS}: send several messages"
        self.problem(at, "too_many", detail)

    # --- the envelope ---------------------------------------------------------------------------------------------------

    def timestamp(self, body: Json) -> None:
        """Check ``timestamp``, or its alias ``timestampt`` as the published sample spells it."""
        key = "timestamp" if body.get("timestamp") is not None else "timestampt"
        value = body.get(key)
        if value is None:
            self.problem(
                "/timestamp", "missing", "timestamp is missing; add it as RFC 3339, such as 2023-11-10T12:38:08+07:00"
            )
        elif not isinstance(value, str):
            self.problem("/" + key, "wrong_type", f"{key} must be a string (RFC 3339), not {_json_name(value)}")
        elif parse_time(value) is None:
            self.problem(
                "/" + key,
                "invalid_format",
                f"{key} is no date and time; write it as RFC 3339: 2023-11-10T12:38:08+07:00",
            )

    def recipient(self, text: str) -> None:
        if not text.strip():
            return
        read = recipients.read(self.channel, text, self.default_region)
        if isinstance(read, Recipient):
            self.read = read
        else:
            self.problems.append(read)

    def kind(self, body: Json) -> MessageType | None:
        value = self.string(body, "type", "/type")
        if value is None:
            return None
        try:
            return MessageType(value)
        except ValueError:
            names = ", ".join(one for one in MessageType if one is not MessageType.TEMPLATE or self.channel == WHATSAPP)
            self.problem("/type", "unsupported_value", f"type «{value[:40]}» is unknown; use one of {names}")
            return None

    def content(self, body: Json) -> Json:
        value = body.get("body")
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.problem("/body", "wrong_type", f"body must be an object, not {_json_name(value)}")
        return {}

    # --- the parts --------------------------------------------------------------------------------------------------------

    def parts(self, content: Json, kind: MessageType) -> dict[str, Any]:
        used = _PARTS_OF[kind]
        for name in () if used.issuperset(content) else _ALL_PARTS:
            if name not in used and not is_empty(content.get(name)):
                detail = f"a message of type {kind} has no {name}: it is left out"
                self.losses.append(Loss(pointer("body", name), "part_ignored", detail))
        found: dict[str, Any] = {}
        if kind is MessageType.TEXT:
            found["text"] = self.words(content, "text", "/body/text")
        elif "text" in used:
            found["text"] = self.caption(content)
        if kind in MEDIA_TYPES:
            found["media"] = self.media(content)
        elif kind is MessageType.LOCATION:
            found["location"] = self.location(content)
        elif kind is MessageType.BUTTON:
            found["buttons"] = self.items(content, "button", "/body/button", self.button, single=True)
        elif kind is MessageType.LIST:
            found["list"] = self.list(content)
        elif kind is MessageType.TEMPLATE:
            found["template"] = self.template(content, "template", "/body/template")
        return found

    def caption(self, content: Json) -> str:
        value = content.get("text")
        if value is not None and not isinstance(value, str):
            self.problem("/body/text", "wrong_type", f"body.text must be a string, not {_json_name(value)}")
            return ""
        return value if value and value.strip() else ""

    def media(self, content: Json) -> Media | None:
        value = self.mapping(content, "media", "/body/media")
        if value is None:
            return None
        url = self.words(value, "url", "/body/media/url")
        self.url(url, "/body/media/url")
        name = value.get("name")
        if name is not None and not isinstance(name, str):
            self.problem("/body/media/name", "wrong_type", f"body.media.name must be a string, not {_json_name(name)}")
            name = ""
        return Media(url, name if name and name.strip() else "")

    def url(self, url: str, at: str) -> None:
        if not url.strip():
            return
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.lower() not in ("http", "https") or not rest.strip("/"):
            detail = f"{self.name(at)} must be an absolute URL that begins with https:// (or http://)"
            self.problem(at, "unsupported_scheme", detail)
        elif any(character.isspace() or ord(character) < 0x20 for character in url):
            self.problem(at, "invalid_format", f"{self.name(at)} holds white space; percent-encode it (%20)")

    def location(self, content: Json) -> Location | None:
        value = self.mapping(content, "location", "/body/location")
        if value is None:
            return None
        return Location(
            self.degrees(value, "latitude", "/body/location/latitude", 90),
            self.degrees(value, "longitude", "/body/location/longitude", 180),
        )

    def button(self, value: Json, at: str) -> Button:
        return Button(self.words(value, "key", at + "/key"), self.words(value, "title", at + "/title"))

    def list(self, content: Json) -> ListBody | None:
        value = self.mapping(content, "list", "/body/list")
        if value is None:
            return None
        title = self.string(value, "title", "/body/list/title") or ""
        sections = self.items(value, "sections", "/body/list/sections", self.section)
        count = len(sections) + sum(len(section.actions) for section in sections)
        if count > MAXIMUM_ITEMS:
            self.too_many("/body/list/sections", count, "sections and actions")
        return ListBody(title, sections)

    def section(self, value: Json, at: str) -> ListSection:
        title = self.string(value, "title", at + "/title") or ""
        description = self.string(value, "description", at + "/description") or ""
        return ListSection(title, description, self.items(value, "actions", at + "/actions", self.action))

    def action(self, value: Json, at: str) -> ListAction:
        key, title = self.words(value, "key", at + "/key"), self.words(value, "title", at + "/title")
        return ListAction(key, title, self.string(value, "description", at + "/description") or "")

    def template(self, owner: Json, key: str, at: str) -> Template | None:
        value = self.mapping(owner, key, at)
        if value is None:
            return None
        name, language = self.words(value, "name", at + "/name"), self.words(value, "language", at + "/language")
        parameters = value.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            self.problem(
                at + "/parameters", "wrong_type", f"parameters must be an object, not {_json_name(parameters)}"
            )
            parameters = None
        given = {key: one for key, one in (parameters or {}).items() if not whatsapp_templates.absent(one)}
        return Template(name, language, _dump(given))

    # --- header and footer ------------------------------------------------------------------------------------------------

    def around(self, body: Json, content: Json, kind: MessageType | None) -> tuple[Header | None, Footer | None]:
        if _AROUND.isdisjoint(body) and _AROUND.isdisjoint(content):
            return None, None
        found: list[tuple[str, Any]] = []
        for name in ("header", "footer"):
            outer, inner = body.get(name), content.get(name)
            found.append((f"/body/{name}", inner) if is_empty(outer) and not is_empty(inner) else (f"/{name}", outer))
            if not is_empty(outer) and not is_empty(inner) and inner != outer:
                detail = f"there is another {name} beside body, which is the one that counts: this one is left out"
                self.losses.append(Loss(f"/body/{name}", "header_footer_ignored", detail))
        (header_at, header), (footer_at, footer) = found
        if kind in CHOICE_TYPES:
            return self.header(header, header_at), self.footer(footer, footer_at)
        for at, value in found:
            if kind is not None and not is_empty(value):
                name = at.rpartition("/")[2]
                detail = f"a {name} belongs to button and list messages: it is left out of this {kind}"
                self.losses.append(Loss(at, "header_footer_ignored", detail))
        return None, None

    def header(self, value: object, at: str) -> Header | None:
        if is_empty(value):
            return None
        if not isinstance(value, dict):
            self.problem(at, "wrong_type", f"{self.name(at)} must be an object, not {_json_name(value)}")
            return None
        kind = value.get("type")
        if kind is None or (isinstance(kind, str) and not kind.strip()):
            self.losses.append(Loss(at, "header_footer_ignored", "header.type is blank, so there is no header"))
            return None
        try:
            header_type = HeaderType(kind)
        except ValueError:
            names = ", ".join(HeaderType)
            self.problem(
                at + "/type", "unsupported_value", f"header.type must be one of {names}, or blank for no header"
            )
            return None
        if header_type is HeaderType.TEXT:
            self.unused(value, "media_url", at)
            return Header(header_type, text=self.words(value, "text", at + "/text"))
        url = self.words(value, "media_url", at + "/media_url")
        self.url(url, at + "/media_url")
        self.unused(value, "text", at)
        return Header(header_type, media_url=url)

    def unused(self, value: Json, key: str, at: str) -> None:
        if not is_empty(value.get(key)):
            detail = f"a header of type {value.get('type')} has no {key}: it is left out"
            self.losses.append(Loss(f"{at}/{key}", "part_ignored", detail))

    def footer(self, value: object, at: str) -> Footer | None:
        if is_empty(value):
            return None
        if not isinstance(value, dict):
            self.problem(at, "wrong_type", f"{self.name(at)} must be an object, not {_json_name(value)}")
            return None
        texts: dict[str, str] = {}
        for key in ("title", "text"):
            text = value.get(key)
            if text is not None and not isinstance(text, str):
                self.problem(f"{at}/{key}", "wrong_type", f"footer.{key} must be a string, not {_json_name(text)}")
                text = ""
            texts[key] = text if text and text.strip() else ""
        return Footer(**texts) if any(texts.values()) else None

    def need_words(self, kind: MessageType | None, parts: Mapping[str, Any], header: Header | None) -> None:
        body_list: ListBody | None = parts.get("list")
        if parts.get("text") or (header is not None and header.text):
            return
        if kind is MessageType.LIST and (body_list is None or body_list.title.strip()):
            return
        places = "body.text, a text header or list.title" if kind is MessageType.LIST else "body.text or a text header"
        detail = f"a {kind} message needs words: fill in {places}"
        self.problem("/body/text", "no_words", detail)

    # --- extensions -------------------------------------------------------------------------------------------------------

    def extensions(self, body: Json) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if _EXTENSIONS.isdisjoint(body):
            return found
        account = body.get("account")
        if not is_empty(account):
            found["account"] = self.words(body, "account", "/account")
        expires = body.get("expires_in")
        if expires is not None and not (isinstance(expires, str) and not expires.strip()):
            seconds = self.integer(body, "expires_in", "/expires_in")
            if seconds is not None and not 1 <= seconds <= MAXIMUM_EXPIRES_IN:
                detail = f"expires_in must be between 1 and {MAXIMUM_EXPIRES_IN} seconds (30 days)"
                self.problem("/expires_in", "out_of_range", detail)
            found["expires_in_seconds"] = seconds
        if not is_empty(body.get("send_at")):
            found["send_at"] = self.send_at(body)
        if not is_empty(body.get("priority")):
            found["priority"] = self.priority(body)
        strict = body.get("strict")
        if strict is not None:
            if isinstance(strict, bool):
                found["strict"] = strict
            else:
                self.problem("/strict", "wrong_type", f"strict must be true or false, not {_json_name(strict)}")
        if not is_empty(body.get("fallback")):
            found["fallback"] = self.fallback(body)
        return found

    def send_at(self, body: Json) -> datetime | None:
        text = self.string(body, "send_at", "/send_at")
        moment = parse_time(text) if text is not None else None
        if text is not None and (moment is None or moment.tzinfo is None):
            detail = "send_at must be RFC 3339 with an offset, such as 2026-11-22T09:00:00+07:00"
            self.problem("/send_at", "invalid_format", detail)
            return None
        if moment is not None and moment.year > LATEST_YEAR:
            self.problem("/send_at", "out_of_range", f"send_at must lie before the end of the year {LATEST_YEAR}")
            return None
        return moment

    def priority(self, body: Json) -> Priority:
        text = self.string(body, "priority", "/priority")
        try:
            return Priority(text or "normal")
        except ValueError:
            self.problem("/priority", "unsupported_value", f"priority must be one of {', '.join(Priority)}")
            return Priority.NORMAL

    def fallback(self, body: Json) -> Template | None:
        value = self.mapping(body, "fallback", "/fallback")
        if value is None:
            return None
        if value.get("when") != "window_closed":
            self.problem("/fallback/when", "unsupported_value", "fallback.when must be window_closed")
        return self.template(value, "template", "/fallback/template")


def parse_time(text: str) -> datetime | None:
    """Return the date and time in *text* (RFC 3339, any offset, any number of fraction digits), or None.

    Fractions beyond microseconds are cut. A time without an offset is taken as it is (naive). What RFC 3339 has and Python
    has not is taken too: a small ``z``, and a leap second, which counts as the second before it.
    """
    plain = text.strip().upper()
    if ":59:60" in plain:
        plain = _LEAP_SECOND.sub(r"\g<1>59", plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def _shown(value: object) -> str:
    """Return a value for a sentence: a number and a short text as they are, else what kind it is."""
    if isinstance(value, str):
        return f"«{value[:20]}»"
    return str(value)[:30] if isinstance(value, int | float) and not isinstance(value, bool) else _json_name(value)


def _json_name(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


# --- canonical form -----------------------------------------------------------------------------------------------------


#: Made once: ``json.dumps`` makes one for every call that wants another form than its own.
_DUMP: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _dump(value: object) -> str:
    return _DUMP(value)


def encode(message: Message) -> bytes:
    """Return the canonical form of *message* (without ``ignored``): what the store keeps and the fingerprint covers."""
    return _encode_text(message) if _is_text_alone(message) else _encode(message)


def _is_text_alone(message: Message) -> bool:
    """Return whether *message* is a text and nothing else but when it is to be sent, as most are."""
    return (
        message.type is MessageType.TEXT
        and message.text != ""
        and message.priority is Priority.NORMAL
        and not (message.reply_id or message.reply_token or message.account or message.fallback or message.strict)
        and not (message.expires_in_seconds or message.media or message.location or message.buttons or message.list)
        and not (message.header or message.footer or message.template)
    )


def _encode_text(message: Message) -> bytes:
    """Do what :func:`_encode` does with a text alone, in a quarter of the time."""
    quote = encode_basestring
    due = f',"send_at":"{message.send_at.isoformat()}"' if message.send_at else ""
    written = (
        f'{{"channel":{quote(message.channel)},"id":{quote(message.id)},"recipient":{quote(message.recipient)}{due},'
        f'"text":{quote(message.text)},"type":"text"}}'
    )
    return written.encode()


def _encode(message: Message) -> bytes:
    record: dict[str, Any] = {
        "id": message.id,
        "channel": message.channel,
        "recipient": message.recipient,
        "type": message.type.value,
    }
    _add_content(record, message)
    optional: dict[str, Any] = {
        "reply_id": message.reply_id,
        "reply_token": message.reply_token,
        "account": message.account,
        "expires_in": message.expires_in_seconds,
        "send_at": message.send_at.isoformat() if message.send_at else None,
        "priority": message.priority.value if message.priority is not Priority.NORMAL else None,
        "strict": message.strict or None,
        "fallback": _template(message.fallback),
    }
    record.update({key: value for key, value in optional.items() if value})
    return _dump(record).encode()


def _add_content(record: dict[str, Any], message: Message) -> None:
    if message.text:
        record["text"] = message.text
    if message.media:
        record["media"] = {"url": message.media.url, "name": message.media.name}
    if message.location:
        record["location"] = [message.location.latitude, message.location.longitude]
    if message.buttons:
        record["buttons"] = [[button.key, button.title] for button in message.buttons]
    if message.list:
        record["list"] = [
            message.list.title,
            [
                [section.title, section.description, [[row.key, row.title, row.description] for row in section.actions]]
                for section in message.list.sections
            ],
        ]
    if message.header:
        record["header"] = [message.header.type.value, message.header.text, message.header.media_url]
    if message.footer:
        record["footer"] = [message.footer.title, message.footer.text]
    if message.template:
        record["template"] = _template(message.template)


def _template(template: Template | None) -> list[str] | None:
    return [template.name, template.language, template.parameters] if template else None


def fingerprint(encoded: bytes) -> bytes:
    """Return the 32-byte digest of a message's canonical form."""
    return hashlib.sha256(encoded).digest()


def restore(encoded: bytes) -> Message:
    """Return the message in a canonical form that :func:`encode` wrote; ``ignored`` is empty."""
    record: dict[str, Any] = from_json(encoded, cache_strings="keys")
    if record.keys() == _RECORD_OF_TEXT and record["type"] == "text":
        return Message(record["id"], record["channel"], record["recipient"], MessageType.TEXT, record["text"])
    return _restore(record)


def _restore(record: dict[str, Any]) -> Message:
    media, location, header = record.get("media"), record.get("location"), record.get("header")
    listed, send_at = record.get("list"), record.get("send_at")
    template, fallback = record.get("template"), record.get("fallback")
    return Message(
        id=record["id"],
        channel=record["channel"],
        recipient=record["recipient"],
        type=MessageType(record["type"]),
        text=record.get("text", ""),
        media=Media(media["url"], media["name"]) if media else None,
        location=Location(*location) if location else None,
        buttons=tuple(Button(key, title) for key, title in record.get("buttons", ())),
        list=_restore_list(listed) if listed else None,
        header=Header(HeaderType(header[0]), header[1], header[2]) if header else None,
        footer=Footer(*record["footer"]) if "footer" in record else None,
        template=Template(*template) if template else None,
        reply_id=record.get("reply_id", ""),
        reply_token=record.get("reply_token", ""),
        account=record.get("account", ""),
        expires_in_seconds=record.get("expires_in"),
        send_at=datetime.fromisoformat(send_at) if send_at else None,
        priority=Priority(record.get("priority", "normal")),
        strict=record.get("strict", False),
        fallback=Template(*fallback) if fallback else None,
    )


def _restore_list(listed: list[Any]) -> ListBody:
    title, sections = listed
    return ListBody(
        title,
        tuple(
            ListSection(name, description, tuple(ListAction(*row) for row in rows))
            for name, description, rows in sections
        ),
    )
