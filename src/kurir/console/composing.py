"""A message that somebody writes by hand: from the fields of a form to the body of a send, and its problems back. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from kurir.domain.message import MEDIA_TYPES, MessageType
from kurir.domain.problem import Problem

#: The types that the form can write. A template wants more than a form of a few fields: the API has it.
TYPES: Final = tuple(one.value for one in MessageType if one is not MessageType.TEMPLATE)
FIELDS: Final = (
    "id",
    "account",
    "recipient",
    "type",
    "text",
    "media_url",
    "media_name",
    "latitude",
    "longitude",
    "buttons",
    "list_title",
    "rows",
)
#: Where a problem of a body is → the field of the form; the longest that fits counts.
_FIELD_OF: Final = {
    "/account": "account",
    "/recipient": "recipient",
    "/type": "type",
    "/body/text": "text",
    "/body/media": "media_url",
    "/body/media/name": "media_name",
    "/body/location/latitude": "latitude",
    "/body/location/longitude": "longitude",
    "/body/button": "buttons",
    "/body/list": "rows",
    "/body/list/title": "list_title",
}


def body_of(fields: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return the body of a send out of a form's fields. What is wrong in it is for the intake to say."""
    kind = fields.get("type", "")
    content: dict[str, Any] = {"text": fields.get("text", "")}
    if kind in MEDIA_TYPES:
        content["media"] = {"url": fields.get("media_url", ""), "name": fields.get("media_name", "")}
    elif kind == MessageType.LOCATION:
        content["location"] = {
            "latitude": fields.get("latitude") or None,
            "longitude": fields.get("longitude") or None,
        }
    elif kind == MessageType.BUTTON:
        content["button"] = [{"key": key, "title": title} for key, title, _ in _lines(fields.get("buttons", ""))]
    elif kind == MessageType.LIST:
        actions = [
            {"key": key, "title": title, "description": description}
            for key, title, description in _lines(fields.get("rows", ""))
        ]
        title = fields.get("list_title", "")
        content["list"] = {"title": title, "sections": [{"title": "", "description": "", "actions": actions}]}
    return {
        "id": fields.get("id", ""),
        "times": 0,
        "timestamp": now.isoformat(timespec="seconds"),
        "recipient": fields.get("recipient", ""),
        "type": kind,
        "account": fields.get("account", ""),
        "body": content,
    }


def _lines(text: str) -> list[tuple[str, str, str]]:
    """Return (key, title, description) of each line: ``key = title | description``, where the title alone is enough."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        front, _, description = line.partition("|")
        key, equals, title = front.partition("=")
        title = title.strip() if equals else key.strip()
        found.append((key.strip() or title, title, description.strip()))
    return found


def at_fields(problems: Sequence[Problem]) -> tuple[dict[str, list[str]], list[Problem]]:
    """Return the sentences of the problems by the field that each is about, and the problems that are about none."""
    found: dict[str, list[str]] = {}
    others: list[Problem] = []
    for problem in problems:
        at = problem.pointer
        while at and at not in _FIELD_OF:
            at = at.rpartition("/")[0]
        if at:
            found.setdefault(_FIELD_OF[at], []).append(problem.detail)
        else:
            others.append(problem)
    return found, others
