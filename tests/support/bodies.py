"""Request bodies for tests: the least that each type needs, and small ways of changing one thing in them."""

import copy
import itertools
from typing import Any

Body = dict[str, Any]

TYPES = ("text", "image", "video", "audio", "voice", "document", "button", "list", "location")
MEDIA = {"image": "demo.jpg", "video": "demo.mp4", "audio": "demo.m4a", "voice": "demo.ogg", "document": "demo.pdf"}
#: The sample's own number: Ani is linked to it on every channel of the demo.
ANI = "628xxxxxxxx"
BUDI = "6281234567890"

_numbers = itertools.count(1)


def new_id(prefix: str = "id") -> str:
    """Return an id that no other test has."""
    return f"{prefix}-{next(_numbers)}"


def body(kind: str = "text", **top: Any) -> Body:
    """Return the least body of the type *kind*, with *top* beside."""
    content: Body
    if kind in MEDIA:
        content = {"media": {"url": f"https://media.sandbox.invalid/{MEDIA[kind]}"}}
    elif kind == "button":
        content = {"text": "Which one?", "button": [{"key": "a", "title": "A"}]}
    elif kind == "list":
        row = {"key": "a", "title": "A", "description": ""}
        content = {"text": "Which one?", "list": {"title": "Menu", "sections": [_section(row)]}}
    elif kind == "location":
        content = {"location": {"latitude": 0, "longitude": 0}}
    else:
        content = {"text": "Hello"}
    return {
        "id": new_id(kind),
        "times": 0,
        "timestamp": "2023-11-10T12:38:08+07:00",
        "recipient": ANI,
        "type": kind,
        "body": content,
        **top,
    }


def _section(row: Body) -> Body:
    return {"title": "One", "description": "", "actions": [row]}


def changed(given: Body, pointer: str, value: Any) -> Body:
    """Return a copy of *given* with *value* at *pointer*."""
    copied = copy.deepcopy(given)
    owner, last = _owner(copied, pointer)
    owner[last] = value
    return copied


def without(given: Body, pointer: str) -> Body:
    """Return a copy of *given* without what is at *pointer*."""
    copied = copy.deepcopy(given)
    owner, last = _owner(copied, pointer)
    del owner[last]
    return copied


def _owner(given: Body, pointer: str) -> tuple[Any, Any]:
    owner: Any = given
    *steps, last = pointer.split("/")[1:]
    for step in steps:
        owner = owner[int(step)] if isinstance(owner, list) else owner[step]
    return owner, int(last) if isinstance(owner, list) else last


def full(kind: str) -> dict[str, Any]:
    """Return a body of *kind* with every field that its type uses."""
    given_body = body(kind, id="same", reply_id="r", reply_token="t", account="a", expires_in=60, priority="high")
    given_body |= {"send_at": "2026-11-22T09:00:00+07:00", "strict": True}
    given_body["fallback"] = {
        "when": "window_closed",
        "template": {"name": "n", "language": "id", "parameters": {"a": 1}},
    }
    if kind in MEDIA:
        given_body["body"]["media"]["name"] = "file"
    if kind != "text":
        given_body["body"]["text"] = "words"
    if kind in ("button", "list"):
        given_body |= {"header": {"type": "text", "text": "H"}, "footer": {"title": "T", "text": "F"}}
    return given_body


_ALWAYS = [
    "/id",
    "/recipient",
    "/reply_id",
    "/reply_token",
    "/account",
    "/expires_in",
    "/priority",
    "/send_at",
    "/strict",
]
_ALWAYS += ["/fallback/template/name", "/fallback/template/language", "/fallback/template/parameters"]
_AROUND = ["/header/text", "/footer/title", "/footer/text"]
_OTHERS = {
    "/recipient": "6281234567890",
    "/expires_in": 61,
    "/priority": "bulk",
    "/send_at": "2026-11-22T09:00:01+07:00",
    "/strict": False,
    "/fallback/template/parameters": {"a": 2},
    "/body/media/url": "https://media.sandbox.invalid/other.jpg",
    "/body/location/latitude": 1.5,
    "/body/location/longitude": -1,
}

#: Type → the fields of :func:`full` that count when two messages are compared.
COUNTED = {
    "text": ["/body/text"],
    **{kind: ["/body/text", "/body/media/url", "/body/media/name"] for kind in MEDIA},
    "location": ["/body/text", "/body/location/latitude", "/body/location/longitude"],
    "button": ["/body/text", "/body/button/0/key", "/body/button/0/title"],
    "list": [
        "/body/text",
        "/body/list/title",
        "/body/list/sections/0/title",
        "/body/list/sections/0/description",
        "/body/list/sections/0/actions/0/key",
        "/body/list/sections/0/actions/0/title",
        "/body/list/sections/0/actions/0/description",
    ],
}
for _kind, _fields in COUNTED.items():
    COUNTED[_kind] = _fields + _ALWAYS + (_AROUND if _kind in ("button", "list") else [])


def other_value(pointer: str) -> Any:
    """Return a valid value for a field of :func:`full` that is not the one it has."""
    return _OTHERS.get(pointer, "another")
