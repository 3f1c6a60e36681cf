"""The Flex cards that the LINE channel sends: link card, buttons, sections of a list. Pure JSON building.

Flex is LINE's own layout language (page "Flex Message elements"). The cards use its plainest parts, so that every
client shows them: vertical boxes, wrapped text, link buttons, one hero image. Sizes are those of the page "Messaging
API reference", section "Flex Message": a bubble's JSON may have 30 KB, a carousel's 50 KB and 12 bubbles. LINE does
not say which KB it means, so the smaller one counts here.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from kurir.channels.base import JsonObject
from kurir.domain.message import Footer

BUBBLE_BYTES: Final = 30_000
CAROUSEL_BYTES: Final = 50_000
BUBBLES: Final = 12
LABEL: Final = 40

GREY: Final = "#888888"


def size(contents: object) -> int:
    """Return how many bytes *contents* takes in a request."""
    return len(json.dumps(contents, ensure_ascii=False, separators=(",", ":")).encode())


def message(alternative: str, contents: JsonObject) -> JsonObject:
    """Return the message that shows *contents*, or *alternative* in the chat list and where Flex is unknown."""
    return {"type": "flex", "altText": alternative, "contents": contents}


def link_card(name: str, url: str, label: str) -> JsonObject:
    """Return the card of a file that LINE cannot show: its name, and a button that opens it."""
    action = {"type": "uri", "label": label, "uri": url}
    return {"type": "bubble", "body": _box([_text(name, weight="bold")]), "footer": _box([_button(action)])}


def choice_card(
    *, title: str, text: str, hero: str, footer: Footer | None, actions: Sequence[JsonObject]
) -> JsonObject:
    """Return the card of a button message; *title*, *hero* and *footer* may be empty."""
    heading = [_text(title, weight="bold", size="lg")] if title else []
    rows = [*heading, _text(text), *footer_rows(footer)]
    card: JsonObject = {"type": "bubble"}
    if hero:
        card["hero"] = {"type": "image", "url": hero, "size": "full", "aspectRatio": "20:13", "aspectMode": "cover"}
    card["body"] = _box(rows, spacing="md" if len(rows) > 1 else "")
    card["footer"] = _box([_button(action) for action in actions])
    return card


def section_card(title: str, description: str, rows: Iterable[tuple[JsonObject, str]]) -> JsonObject:
    """Return the card of one section of a list: each row is an action and the description under its button."""
    contents = [_text(title, weight="bold")] if title.strip() else []
    contents += [_text(description, size="sm", color=GREY)] if description.strip() else []
    for action, detail in rows:
        contents.append(_button(action))
        contents += [_text(detail, size="xs", color=GREY)] if detail.strip() else []
    return {"type": "bubble", "body": _box(contents, spacing="sm")}


def footer_rows(footer: Footer | None) -> list[JsonObject]:
    """Return the small grey lines of *footer*."""
    if footer is None:
        return []
    lines = ((footer.title, "sm"), (footer.text, "xs"))
    return [_text(line, size=step, color=GREY) for line, step in lines if line]


def carousel(bubbles: Sequence[JsonObject]) -> JsonObject:
    """Return *bubbles* side by side; a single one as it is."""
    return bubbles[0] if len(bubbles) == 1 else {"type": "carousel", "contents": list(bubbles)}


def _box(contents: Sequence[JsonObject], spacing: str = "") -> JsonObject:
    box: JsonObject = {"type": "box", "layout": "vertical"}
    if spacing:
        box["spacing"] = spacing
    return {**box, "contents": list(contents)}


def _text(text: str, **style: str) -> JsonObject:
    return {"type": "text", "text": text, "wrap": True, **style}


def _button(action: JsonObject) -> JsonObject:
    return {"type": "button", "style": "link", "height": "sm", "action": action}
