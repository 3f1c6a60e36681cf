"""The templates of the sandbox's business account, as Meta lists them: approved but for one.

https://developers.facebook.com/docs/whatsapp/business-management-api/message-templates
"""

import re
from collections.abc import Sequence
from typing import Final

from kurir.sandbox.wire import JsonObject

_URL = "https://shop.example/orders/{{1}}"


def _template(number: int, name: str, components: list[JsonObject], **more: str) -> JsonObject:
    head = {"name": name, "language": "en_US", "status": "APPROVED", "category": "UTILITY"} | more
    return {**head, "parameter_format": "POSITIONAL", "components": components, "id": str(1192339204654487 + number)}


def _body(text: str, *examples: str) -> JsonObject:
    body: JsonObject = {"type": "BODY", "text": text}
    return body | ({"example": {"body_text": [list(examples)]}} if examples else {})


TEMPLATES: Final[tuple[JsonObject, ...]] = (
    _template(1, "hello_world", [_body("Welcome and congratulations!"), {"type": "FOOTER", "text": "Demo Shop"}]),
    _template(
        2,
        "order_update",
        [
            {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}", "example": {"header_text": ["1042"]}},
            _body("Hi {{1}}, your order {{2}} is {{3}}.", "Ani", "1042", "on its way"),
            {"type": "FOOTER", "text": "Demo Shop"},
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "QUICK_REPLY", "text": "Thank you"},
                    {"type": "URL", "text": "Track it", "url": _URL, "example": ["https://shop.example/orders/1042"]},
                ],
            },
        ],
    ),
    _template(
        3, "order_update", [_body("Hai {{1}}, pesanan {{2}} {{3}}.", "Ani", "1042", "sedang dikirim")], language="id"
    ),
    _template(4, "write_to_us", [_body("Hi {{1}}, please write to us, so that we can answer you here.", "Ani")]),
    _template(
        5,
        "picture_of_the_day",
        [{"type": "HEADER", "format": "IMAGE"}, _body("Look at {{1}}.", "this")],
        category="MARKETING",
    ),
    _template(6, "rejected_one", [_body("Win a prize now!")], category="MARKETING", status="REJECTED"),
)


def find(name: str, language: str) -> JsonObject | None:
    """Return the approved template with this name in this language."""
    for template in TEMPLATES:
        if (template["name"], template["language"], template["status"]) == (name, language, "APPROVED"):
            return template
    return None


def filled(text: str, values: Sequence[str]) -> str:
    """Return *text* with its placeholders filled in their order; one without a value stays."""
    rest = iter(values)
    return re.sub(r"\{\{\w+\}\}", lambda found: next(rest, found[0]), text)
