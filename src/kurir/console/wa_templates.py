"""What the pages of templates show: each with how it looks, what it wants, and a request that sends it. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kurir.channels.whatsapp import template_example
from kurir.channels.whatsapp.fields import objects, string
from kurir.channels.whatsapp.templates import APPROVED, Slots, slots_of
from kurir.console import snippets
from kurir.store.inbound import TemplateRecord

#: Meta's statuses of a template → how they look: good, warn, bad.
LOOKS: Final = {
    APPROVED: "good",
    "PENDING": "warn",
    "IN_APPEAL": "warn",
    "PAUSED": "warn",
    "LIMIT_EXCEEDED": "warn",
    "REJECTED": "bad",
    "DISABLED": "bad",
    "DELETED": "bad",
    "PENDING_DELETION": "bad",
}

Pieces = list[tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class Button:
    """A button of a template as its bubble shows it. ``kind`` is Meta's word in small letters."""

    kind: str
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A template as a bubble. ``file`` is the header's kind where that is no text; pieces say what was filled in."""

    file: str
    header: Pieces
    body: Pieces
    footer: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Something to fill in: where (header, body, button), its name there, and an example."""

    where: str
    name: str
    example: str


def look_of(status: str) -> str:
    """Return how a status looks: good, warn, bad; off for one that is not known."""
    return LOOKS.get(status.upper(), "off")


def components_of(record: TemplateRecord) -> list[dict[str, Any]]:
    """Return the template's components, those that are objects."""
    try:
        return list(objects(json.loads(record.components)))
    except (ValueError, RecursionError):
        return []


def preview(record: TemplateRecord) -> Preview:
    """Return how the template looks with its own examples filled in."""
    slots = slots_of(record.components) or Slots("", (), (), (), ())
    given = template_example.parameters(record.components) or {}
    by_type = {string(one, "type").upper(): one for one in components_of(record)}
    header, body = by_type.get("HEADER", {}), by_type.get("BODY", {})
    return Preview(
        file=slots.header if slots.header != "text" else "",
        header=template_example.shown(string(header, "text"), slots.header_variables, given.get("header")),
        body=template_example.shown(string(body, "text"), slots.variables, given.get("body")),
        footer=string(by_type.get("FOOTER", {}), "text"),
        buttons=tuple(_button(one) for one in slots.buttons),
    )


def _button(listed: dict[str, Any]) -> Button:
    kind = string(listed, "type").lower()
    return Button(kind, string(listed, "text") or kind, string(listed, "url") or string(listed, "phone_number"))


def wanted(record: TemplateRecord) -> list[Slot]:
    """Return everything that a send has to fill in, with an example of each."""
    given = template_example.parameters(record.components) or {}
    found: list[Slot] = []
    header, body = given.get("header"), given.get("body")
    if header is not None:
        found.append(Slot("header", "", header if isinstance(header, str) else json.dumps(header, ensure_ascii=False)))
    named = body.items() if isinstance(body, dict) else enumerate(body or (), 1)
    found += [Slot("body", str(name), str(value)) for name, value in named]
    for one in given.get("buttons", ()):
        member = next(name for name in one if name != "index")
        found.append(Slot("button", f"{one['index']} {member}", str(one[member])))
    return found


def example_curl(record: TemplateRecord, send_url: str, account_id: str) -> str:
    """Return a command that sends the template; "" where the gateway has no words for what it wants."""
    given = template_example.parameters(record.components)
    if given is None:
        return ""
    template: dict[str, Any] = {"name": record.name, "language": record.language}
    if given:
        template["parameters"] = given
    body = {
        "recipient": "6281234567890",
        "account": account_id,
        "type": "template",
        "times": 0,
        "timestamp": "2026-01-01T09:00:00Z",
        "body": {"template": template},
    }
    return snippets.snippets(send_url, body)["curl"].code


def chosen(records: Sequence[TemplateRecord], *, status: str, language: str, typed: str) -> list[TemplateRecord]:
    """Return the templates that the chips and the field let through."""
    words = typed.casefold().split()
    return [
        one
        for one in records
        if status in ("", one.status)
        and language in ("", one.language)
        and all(word in f"{one.name} {one.components}".casefold() for word in words)
    ]
