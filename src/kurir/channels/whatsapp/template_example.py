"""Parameters that fit a template, out of the examples that stand in its own components: for whoever wants to send it.

Meta lists what a template's author gave as examples ("Template components"): ``header_text`` and ``body_text`` (a list in a
list), ``header_text_named_params`` and ``body_text_named_params`` where variables have names, ``header_handle`` for a file.
What has no example gets a word that says what belongs there.
"""

import json
from typing import Any, Final

from kurir.channels.base import JsonObject
from kurir.channels.whatsapp.fields import objects, string
from kurir.channels.whatsapp.templates import Slots, button_wish, slots_of

_FILES: Final = {"image": "picture.jpg", "video": "film.mp4", "document": "invoice.pdf"}
_PLACE: Final = {"type": "location", "latitude": -6.17, "longitude": 106.82, "name": "Shop", "address": "Jl. Merdeka 1"}


def parameters(components: str) -> JsonObject | None:
    """Return parameters for a template of these components (JSON); None where the gateway has no words for what it wants."""
    slots = slots_of(components)
    if slots is None or slots.others:
        return None
    by_type = {string(one, "type").upper(): one for one in objects(json.loads(components))}
    found: JsonObject = {}
    if slots.header:
        header = _header(slots, by_type.get("HEADER", {}))
        if header is None:
            return None
        found["header"] = header
    if slots.variables:
        found["body"] = _values(slots.variables, by_type.get("BODY", {}), "body_text")
    buttons = [one for index, listed in enumerate(slots.buttons) if (one := _button(index, listed)) is not None]
    if buttons:
        found["buttons"] = buttons
    return found


def shown(text: str, variables: tuple[str, ...], values: object) -> list[tuple[str, bool]]:
    """Return a template's text in pieces, each with whether it is a value that was filled in. What has none stays."""
    by_name = _by_name(variables, values)
    pieces: list[tuple[str, bool]] = []
    rest = text
    while rest:
        before, opens, after = rest.partition("{{")
        name, closes, behind = after.partition("}}")
        if not opens or not closes:
            pieces.append((rest, False))
            break
        if before:
            pieces.append((before, False))
        known = by_name.get(name.strip())
        pieces.append((known if known is not None else f"{{{{{name}}}}}", True))
        rest = behind
    return pieces


def _by_name(variables: tuple[str, ...], values: object) -> dict[str, str]:
    if isinstance(values, dict):
        return {str(name): str(value) for name, value in values.items()}
    listed = values if isinstance(values, list) else [values] if isinstance(values, str) else []
    return {name: str(value) for name, value in zip(variables, listed, strict=False)}


def _header(slots: Slots, listed: JsonObject) -> Any:
    if slots.header == "text":
        values = _values(slots.header_variables, listed, "header_text")
        return values if isinstance(values, dict) else values[0]
    if slots.header in _FILES:
        return {"type": slots.header, "media_url": f"https://example.com/{_FILES[slots.header]}"}
    return dict(_PLACE) if slots.header == "location" else None


def _values(variables: tuple[str, ...], listed: JsonObject, member: str) -> Any:
    """Return values as the template wants them: a list where variables are numbered, else an object by name."""
    example = listed.get("example")
    given = example if isinstance(example, dict) else {}
    if not all(map(str.isdecimal, variables)):
        named = {
            string(one, "param_name"): string(one, "example") for one in objects(given.get(f"{member}_named_params"))
        }
        return {name: named.get(name) or name for name in variables}
    values = given.get(member)
    flat = values[0] if isinstance(values, list) and values and isinstance(values[0], list) else values
    texts = [one for one in flat if isinstance(one, str)] if isinstance(flat, list) else []
    return [
        texts[place] if place < len(texts) and texts[place].strip() else f"value {name}"
        for place, name in enumerate(variables)
    ]


def _button(index: int, listed: JsonObject) -> JsonObject | None:
    """Return what fills a button in that wants it, None for one that does not."""
    kind = string(listed, "type").upper()
    member, needed = button_wish(kind, listed)
    if kind == "QUICK_REPLY":
        return {"index": index, "key": f"button-{index}"}
    if not needed:
        return None
    examples = listed.get("example")
    example = examples[0] if isinstance(examples, list) and examples else examples
    value = example if isinstance(example, str) and example.strip() else "482913" if kind == "OTP" else "1042"
    if kind == "URL":
        value = _end_of_link(string(listed, "url"), value)
    return {"index": index, member: value}


def _end_of_link(url: str, example: str) -> str:
    """Return what stands for the variable at the end of *url* in *example*, which may be the whole URL."""
    before = url.partition("{{")[0]
    end = example.removeprefix(before) if example.startswith(before) else example
    return end if end.strip() else "1042"
