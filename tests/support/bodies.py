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
