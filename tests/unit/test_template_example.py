"""Example parameters fit the template that they are made for, and its preview shows them in their places."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kurir.channels.whatsapp import template_example
from kurir.channels.whatsapp.templates import APPROVED, mismatches, problems
from kurir.console import wa_templates
from kurir.domain.message import Template
from kurir.sandbox.whatsapp_templates import TEMPLATES
from kurir.store.inbound import TemplateRecord

NAMED = [
    {
        "type": "HEADER",
        "format": "TEXT",
        "text": "Order {{order}}",
        "example": {"header_text_named_params": [{"param_name": "order", "example": "77"}]},
    },
    {
        "type": "BODY",
        "text": "Hi {{name}}, {{what}}",
        "example": {"body_text_named_params": [{"param_name": "name", "example": "Ani"}]},
    },
]
FILE = [{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "Your invoice"}]
PLACE = [{"type": "HEADER", "format": "LOCATION"}, {"type": "BODY", "text": "Here"}]
CODE = [
    {"type": "BODY", "text": "{{1}} is your code.", "example": {"body_text": [["482913"]]}},
    {"type": "BUTTONS", "buttons": [{"type": "OTP", "text": "Copy", "url": "https://x.example/otp?code={{1}}"}]},
]
COUPON = [
    {"type": "BODY", "text": "Ten percent"},
    {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy", "example": "SUMMER25"}]},
]
BARE = [
    {"type": "BODY", "text": "{{1}} {{2}}"},
    {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://x/{{1}}"}]},
]
DAMAGED = [{"type": "BODY", "text": "{{1}}", "example": {"body_text": "x"}}, {"type": "BUTTONS", "buttons": "no"}]


def record(components: Any) -> TemplateRecord:
    return TemplateRecord(
        "a_template", "en_US", APPROVED, "UTILITY", json.dumps(components), datetime(2026, 3, 1, tzinfo=UTC)
    )


def given(components: Any) -> Template:
    parameters = template_example.parameters(json.dumps(components))
    assert parameters is not None
    return Template("a_template", "en_US", json.dumps(parameters))


@pytest.mark.parametrize(
    "components", [*(one["components"] for one in TEMPLATES), NAMED, FILE, PLACE, CODE, COUPON, BARE, DAMAGED]
)
def test_the_example_is_what_the_template_wants(components):
    template = given(components)
    assert problems(template, "/body/template") == []
    assert mismatches(template, APPROVED, json.dumps(components), "/body/template") == []
    wa_templates.preview(record(components))
    wa_templates.wanted(record(components))


@pytest.mark.parametrize(
    "components", [[{"type": "CAROUSEL"}], {"type": "BODY"}, [{"type": "HEADER", "format": "PRODUCT"}]]
)
def test_what_there_are_no_words_for_has_no_example(components):
    assert template_example.parameters(json.dumps(components)) is None
    assert wa_templates.example_curl(record(components), "https://x.example", "acme-wa") == ""
    assert wa_templates.preview(record(components)).body == []


def test_a_preview_shows_what_is_filled_in():
    shown = wa_templates.preview(record(NAMED))
    assert shown.header == [("Order ", False), ("77", True)]
    assert shown.body == [("Hi ", False), ("Ani", True), (", ", False), ("what", True)]
    assert template_example.shown("{{1}} and {{ 2 }} {{", ("1", "2"), ["one"]) == [
        ("one", True),
        (" and ", False),
        ("{{ 2 }}", True),
        (" {{", False),
    ]
    assert [(one.where, one.name) for one in wa_templates.wanted(record(CODE))] == [("body", "1"), ("button", "0 text")]
    assert wa_templates.preview(record(FILE)).file == "document"


@pytest.mark.parametrize(
    ("status", "look"), [("APPROVED", "good"), ("rejected", "bad"), ("PAUSED", "warn"), ("NEW", "off")]
)
def test_every_status_has_a_look(status, look):
    assert wa_templates.look_of(status) == look
