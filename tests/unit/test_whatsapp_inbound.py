"""What WhatsApp's webhooks become: the inbound cases, every kind of event, odd events and their neighbours, files."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    AgentMessage,
    Answer,
    Call,
    ContactNews,
    Deleted,
    Edited,
    Facts,
    Ignored,
    Inbound,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    Kind,
    Person,
    Press,
    Reaction,
    Receipt,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.whatsapp import channel as whatsapp
from kurir.channels.whatsapp import fields as whatsapp_fields
from kurir.channels.whatsapp import inbound as whatsapp_inbound
from kurir.domain import recipient as recipients
from kurir.domain.account import Account, WhatsAppSettings
from kurir.domain.errors import ERRORS as REGISTRY
from kurir.domain.message import Message
from kurir.domain.status import Status, advance
from kurir.intake import wire
from support import cases

PHONE_NUMBER_ID = "106540352242922"
WABA_ID = "102290129340398"
APP_SECRET = "test_app_secret_0123456789abcdef"
PHONE, BSUID, PARENT = "6281234567890", "ID.13491208655302741918", "ID.ENT.11815799212886844830"
TIME = "1749416383"
AT = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)


def an_account(api_base: str = "https://graph.facebook.com", **more: str) -> Account:
    return Account(
        "acme-wa",
        "acme",
        "whatsapp",
        api_base,
        WhatsAppSettings(PHONE_NUMBER_ID, access_token="TOKEN", app_secret=APP_SECRET, verify_token="vt", **more),
    )


ACCOUNT = an_account()


def signed(raw: bytes, signature: str = "") -> WebhookRequest:
    digest = "sha256=" + hmac.new(APP_SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return WebhookRequest("POST", {}, {"x-hub-signature-256": signature or digest}, raw)


def webhook(*changes: Any, **entry: Any) -> bytes:
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": list(changes), **entry}]}
    ).encode()


def a_change(field: str = "messages", **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID}
    return {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


CONTACT = {"profile": {"name": "Ani", "username": "ani"}, "wa_id": PHONE, "user_id": BSUID}


def a_message(kind: str = "text", /, **members: Any) -> dict[str, Any]:
    body = {"text": {"body": "Hi"}} if kind == "text" and "text" not in members else {}
    return {"from": PHONE, "id": "wamid.IN1", "timestamp": TIME, "type": kind, **body, **members}


def parsed(*messages: Any, contacts: Any = (CONTACT,), **value: Any) -> list[Inbound]:
    change = a_change(messages=list(messages), contacts=list(contacts), **value)
    return whatsapp.parse(ACCOUNT, signed(webhook(change)))


def one(*messages: Any, **value: Any) -> Any:
    (event,) = parsed(*messages, **value)
    return event


def news(field: str, value: Any, account: Account = ACCOUNT, **entry: Any) -> Any:
    raw = webhook({"field": field, "value": value}, **{"time": 1739321024, **entry})
    (event,) = whatsapp.parse(account, signed(raw))
    return event


# --- The cases --------------------------------------------------------------------------------------------------------

INBOUND = cases.load("whatsapp", "inbound")

#: The cases' names of events → ours, and how each of their members reads in ours.
EVENTS: dict[str, type] = {
    "message": InboundMessage,
    "postback": InboundMessage,
    "reaction": Reaction,
    "status": Receipt,
}
MEMBERS: dict[str, Any] = {
    "event": lambda event, _: next(
        name for name, kind in EVENTS.items() if isinstance(event, kind) and (name == "postback") == is_press(event)
    ),
    "type": lambda event, _: event.kind.value,
    "text": lambda event, _: event.text,
    "sender": lambda event, _: event.sender.address,
    "sender_name": lambda event, _: event.sender.name,
    "provider_message_id": lambda event, _: event.platform_id,
    "timestamp": lambda event, _: int(event.at.timestamp()),
    "key": lambda event, tokens: tokens.get(event.press.data, event.press.data),
    "title": lambda event, _: event.press.title,
    "of_provider_message_id": lambda event, _: event.reply_to if is_press(event) else event.platform_id,
    "media_id": lambda event, _: event.media[0].id,
    "mime_type": lambda event, _: event.media[0].mime_type,
    "name": lambda event, _: event.media[0].name,
    "emoji": lambda event, _: event.emoji,
}
ERROR_NAMES = {"media_url_failed": "media_refused"}


def is_press(event: Any) -> bool:
    return isinstance(event, InboundMessage) and event.press is not None


def named(part: str) -> Any:
    return next(case for case in INBOUND if part in case["id"])


def events_of(case: dict[str, Any]) -> list[Inbound]:
    request = signed(case["raw_body"].encode(), case["x_hub_signature_256"])
    assert whatsapp.verify(ACCOUNT, request) is None
    events = whatsapp.parse(ACCOUNT, request)
    assert events == whatsapp.parse(ACCOUNT, request)
    return events


STATUSES = [case for case in INBOUND if '"statuses"' in case["raw_body"]]
REFUSED = [case for case in INBOUND if case["expect"]["http"] != 200]
#: What the store decides (a repeat) or the directory (another number): here the event is read like any other.
READ_ALIKE = {"wa-i19-duplicate-inbound": "wa-i01-text", "wa-i23-other-number": "wa-i01-text"}
SILENT = [named("wa-i22")]
TOLD = [case for case in INBOUND if case not in STATUSES + REFUSED + SILENT and case["id"] not in READ_ALIKE]


def test_every_inbound_case_is_judged() -> None:
    assert len(INBOUND) == len(STATUSES) + len(REFUSED) + len(SILENT) + len(READ_ALIKE) + len(TOLD) == 18


@pytest.mark.parametrize("case", TOLD, ids=lambda case: case["id"])
def test_inbound(case: dict[str, Any]) -> None:
    events = events_of(case)
    tokens = case.get("store", {}).get("tokens", {})
    expected = case["expect"]["events"]
    assert [
        {key: MEMBERS[key](event, tokens) for key in want} for event, want in zip(events, expected, strict=True)
    ] == (expected)
    for event in events:
        assert not isinstance(event, Ignored)
        assert event.owner == PHONE_NUMBER_ID
        assert json.loads(event.raw) == json.loads(case["raw_body"])["entry"][0]["changes"][0]["value"]["messages"][0]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["id"])
def test_inbound_with_a_wrong_signature(case: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejected):
        whatsapp.verify(ACCOUNT, signed(case["raw_body"].encode(), case["x_hub_signature_256"]))


@pytest.mark.parametrize("case", SILENT, ids=lambda case: case["id"])
def test_inbound_without_events(case: dict[str, Any]) -> None:
    (event,) = events_of(case)
    assert isinstance(event, Ignored)
    assert json.loads(event.raw) == json.loads(case["raw_body"])["entry"][0]["changes"][0]


def test_inbound_whose_events_others_drop() -> None:
    (first,) = events_of(named("wa-i01"))
    (again,) = events_of(named("wa-i19"))
    (foreign,) = events_of(named("wa-i23"))
    assert again == first
    assert isinstance(foreign, InboundMessage)
    assert foreign.owner == "999"


@pytest.mark.parametrize("case", STATUSES, ids=lambda case: case["id"])
def test_inbound_statuses(case: dict[str, Any]) -> None:
    receipts = [event for event in events_of(case) if isinstance(event, Receipt)]
    assert {receipt.owner for receipt in receipts} == {PHONE_NUMBER_ID}

    store = case["store"]
    sent = store.get("sent", {}).get(receipts[0].platform_id)
    before = Status(sent["status"]) if sent else Status.PENDING
    after = before
    for receipt in receipts:
        after = advance(after, receipt.status)
    assert ([] if after == before else [int(after)]) == [event["status"] for event in case["expect"]["events"]]
    for event in case["expect"]["events"]:
        if "unknown_outcome" in store:
            assert receipts[0].reference in store["unknown_outcome"]
        assert receipts[0].platform_id == event.get("provider_message_id", receipts[0].platform_id)
        if "error_code" in event:
            assert receipts[0].error is not None
            assert receipts[0].error.code == ERROR_NAMES[event["error_code"]]
            assert receipts[0].error.provider_code == str(event["provider_code"])


# --- Who --------------------------------------------------------------------------------------------------------------


def test_a_person_is_named_by_phone_and_the_scoped_ids_are_aliases() -> None:
    event = one(a_message(from_user_id=BSUID, from_parent_user_id=PARENT))
    assert event.sender == Person(PHONE, PHONE, "Ani", "ani", "", PHONE, (BSUID, PARENT))


def test_a_person_without_phone_is_named_by_the_scoped_id() -> None:
    message = a_message(from_user_id=BSUID)
    del message["from"]
    contact = {"profile": {"name": "Ani"}, "user_id": BSUID, "parent_user_id": PARENT}
    assert one(message, contacts=[contact]).sender == Person(BSUID, BSUID, "Ani", aliases=(PARENT,))
    assert one({**message, "from": BSUID, "from_user_id": None}, contacts=[]).sender == Person(BSUID, BSUID)


def test_another_spelling_of_the_phone_is_an_alias() -> None:
    contact = {"profile": {"name": "Ana"}, "wa_id": "553187654321"}
    sender = one(a_message(**{"from": "5531987654321"}), contacts=[contact]).sender
    assert (sender.address, sender.aliases, sender.name) == ("5531987654321", ("553187654321",), "Ana")


def test_each_message_of_a_batch_has_its_own_sender() -> None:
    others = [{"profile": {"name": "Budi"}, "wa_id": "6282222222222", "user_id": "ID.2"}, CONTACT]
    events = parsed(
        a_message(id="wamid.1"),
        a_message(id="wamid.2", **{"from": "6282222222222"}),
        a_message(id="wamid.3", **{"from": "6283333333333"}),
        a_message(id="wamid.4", from_user_id="ID.2", **{"from": ""}),
        contacts=others,
    )
    assert [(event.sender.name, event.sender.address) for event in events if isinstance(event, InboundMessage)] == [
        ("Ani", PHONE),
        ("Budi", "6282222222222"),
        ("", "6283333333333"),
        ("Budi", "6282222222222"),
    ]


def test_a_lone_contact_with_another_scoped_id_is_not_the_sender() -> None:
    assert one(a_message(from_user_id="ID.2")).sender == Person(PHONE, PHONE, phone=PHONE, aliases=("ID.2",))


def test_an_answer_goes_to_the_address_and_every_alias() -> None:
    message = a_message(from_user_id=BSUID, from_parent_user_id=PARENT)
    senders = [one({**message, "from": known}, contacts=[]).sender for known in (PHONE, "")]
    assert [sender.address for sender in senders] == [PHONE, BSUID]
    answer = wire.decode(
        {
            "id": "1",
            "times": 1,
            "timestamp": "2026-01-01T00:00:00Z",
            "recipient": PHONE,
            "type": "text",
            "body": {"text": "x"},
        },
        "whatsapp",
    )
    assert isinstance(answer, Message)
    for address in (one for sender in senders for one in (sender.address, *sender.aliases)):
        read = recipients.read("whatsapp", f"wa:{address}")
        assert isinstance(read, recipients.Recipient)
        assert read.value == address
        sent = whatsapp.render(answer, ACCOUNT, Facts("tid", address)).calls[0].json
        assert address in (sent.get("to", "").removeprefix("+"), sent.get("recipient"))


@pytest.mark.parametrize(
    "sender", [{}, {"from": ""}, {"from": "0"}, {"from": "abc"}, {"from": 7}, {"from_user_id": "x"}]
)
def test_a_message_that_nobody_can_be_answered_for_is_ignored(sender: dict[str, Any]) -> None:
    message = {key: value for key, value in a_message().items() if key != "from"}
    event = one({**message, **sender}, contacts=[])
    assert isinstance(event, Ignored)
    assert "sender" in event.why


# --- Messages ---------------------------------------------------------------------------------------------------------


def test_a_text_with_everything_beside_it() -> None:
    message = a_message(
        context={"from": "15550783881", "id": "wamid.Q"}, referral={"source_id": "120", "ctwa_clid": "c"}
    )
    event = one(message)
    assert event == InboundMessage(
        event_id="wamid.IN1",
        owner=PHONE_NUMBER_ID,
        at=AT,
        sender=Person(PHONE, PHONE, "Ani", "ani", "", PHONE, (BSUID,)),
        kind=Kind.TEXT,
        platform_id="wamid.IN1",
        text="Hi",
        reply_to="wamid.Q",
        referral="120",
        raw=event.raw,
    )
    assert json.loads(event.raw) == message


@pytest.mark.parametrize(
    ("referral", "shown"),
    [
        ({"source_url": "https://fb.me/x", "ctwa_clid": "c"}, "https://fb.me/x"),
        ({"ctwa_clid": "c"}, "c"),
        ({"source_id": 7}, ""),
        ("x", ""),
    ],
)
def test_what_an_ad_is_named_by(referral: Any, shown: str) -> None:
    assert one(a_message(referral=referral)).referral == shown


FILE = {"id": "5", "mime_type": "x/y", "url": "https://lookaside.fbsbx.com/5", "caption": "c", "filename": "f.x"}


@pytest.mark.parametrize(
    ("message", "kind", "text", "animated"),
    [
        (a_message("image", image=FILE), Kind.IMAGE, "c", False),
        (a_message("video", video=FILE), Kind.VIDEO, "c", False),
        (a_message("document", document=FILE), Kind.DOCUMENT, "c", False),
        (a_message("audio", audio=FILE), Kind.AUDIO, "", False),
        (a_message("audio", audio={**FILE, "voice": False}), Kind.AUDIO, "", False),
        (a_message("audio", audio={**FILE, "voice": True}), Kind.VOICE, "", False),
        (a_message("voice", voice=FILE), Kind.VOICE, "", False),
        (a_message("sticker", sticker={**FILE, "animated": True}), Kind.STICKER, "", True),
        (a_message("sticker", sticker=FILE), Kind.STICKER, "", False),
    ],
)
def test_files(message: Any, kind: Kind, text: str, *, animated: bool) -> None:
    event = one(message)
    assert (event.kind, event.text) == (kind, text)
    assert event.media == (InboundMedia("5", FILE["url"], "x/y", "f.x", None, animated),)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"latitude": 40.78, "longitude": -73.95}, InboundLocation(40.78, -73.95)),
        ({"latitude": 0, "longitude": 0, "name": "N", "address": "A"}, InboundLocation(0, 0, "N", "A")),
        ({"latitude": "-90", "longitude": "180.0"}, InboundLocation(-90, 180)),
        ({"latitude": 91, "longitude": 0}, None),
        ({"latitude": 10**400, "longitude": 0}, None),
        ({"latitude": "nan", "longitude": 0}, None),
        ({"latitude": float("nan"), "longitude": 0}, None),
        ({"latitude": "north", "longitude": 0}, None),
        ({"latitude": True, "longitude": 0}, None),
        ({"latitude": 1}, None),
        ([], None),
    ],
)
def test_places(place: Any, expected: InboundLocation | None) -> None:
    event = one(a_message("location", location=place))
    assert event.location == expected
    assert event.kind is (Kind.LOCATION if expected else Kind.UNSUPPORTED)


@pytest.mark.parametrize(
    ("message", "press"),
    [
        (
            a_message("interactive", interactive={"type": "button_reply", "button_reply": {"id": " k ", "title": "B"}}),
            Press(" k ", "B"),
        ),
        (
            a_message(
                "interactive",
                interactive={"type": "list_reply", "list_reply": {"id": "r", "title": "R", "description": "D"}},
            ),
            Press("r", "R"),
        ),
        (
            a_message(
                "interactive",
                interactive={
                    "type": "nfm_reply",
                    "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"a":1}'},
                },
            ),
            Press('{"a":1}', "Sent"),
        ),
        (a_message("button", button={"payload": "PAY", "text": "Yes"}), Press("PAY", "Yes")),
        (a_message("button", button={"text": "Yes"}), Press("Yes", "Yes")),
    ],
)
def test_presses(message: Any, press: Press) -> None:
    event = one({**message, "context": {"id": "wamid.OUT1"}})
    assert (event.kind, event.press, event.reply_to, event.text) == (Kind.POSTBACK, press, "wamid.OUT1", "")


def test_a_shared_card_is_a_contact_and_nobodys_phone() -> None:
    cards = [
        {"name": {"formatted_name": "Ann B"}, "phones": [{"phone": "+1 650", "wa_id": "1650"}, {"wa_id": "17"}]},
        {"phones": [{"phone": "+62 8"}], "vcard": "BEGIN:VCARD"},
    ]
    event = one(a_message("contacts", contacts=cards))
    assert (event.kind, event.text) == (Kind.CONTACT, "Ann B +1 650, 17\n+62 8")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("phone", [{"phone": "+62 812-3456-7890"}, {"phone": "0812", "wa_id": PHONE}])
def test_a_phone_that_was_asked_for_is_the_persons_own(phone: dict[str, str], *, inside: bool) -> None:
    origin = {"origin": "contact_request"}
    card = {"name": {"formatted_name": "Ani"}, "phones": [phone], **(origin if inside else {})}
    message = a_message("contacts", contacts=[card], from_user_id=BSUID, **({} if inside else origin))
    del message["from"]
    shown, shared = parsed(message, contacts=[])
    assert isinstance(shown, InboundMessage)
    assert isinstance(shared, ContactNews)
    assert (shown.kind, shared.shared_phone, shared.person) == (Kind.CONTACT, PHONE, shown.sender)
    assert shared.event_id == "wamid.IN1:phone" != shown.event_id


@pytest.mark.parametrize(
    "cards",
    [
        [{"origin": "other", "phones": [{"phone": "+628123456789"}]}],
        [{"origin": "contact_request", "phones": [{"phone": "08123456789"}]}],
        [{"origin": "contact_request", "phones": [{"phone": "+628123456789"}, {"phone": "+628123456780"}]}],
        [{"origin": "contact_request", "phones": [{"phone": "+628123456789"}]}, {"phones": [{"phone": "+1650"}]}],
    ],
)
def test_a_phone_that_is_not_for_certain_the_persons_own_is_not_theirs(cards: Any) -> None:
    assert one(a_message("contacts", contacts=cards)).kind is Kind.CONTACT


@pytest.mark.parametrize(
    ("content", "emoji"), [({"emoji": "👍"}, "👍"), ({"emoji": ""}, ""), ({}, ""), ({"emoji": None}, "")]
)
def test_reactions(content: dict[str, Any], emoji: str) -> None:
    event = one(a_message("reaction", reaction={"message_id": "wamid.OUT", **content}))
    assert isinstance(event, Reaction)
    assert (event.event_id, event.platform_id, event.emoji, event.sender.address) == (
        "wamid.IN1",
        "wamid.OUT",
        emoji,
        PHONE,
    )


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"type": "text", "text": {"body": "new"}}, "new"),
        ({"type": "image", "image": {"id": "5", "caption": "new"}}, "new"),
        ({"type": "image", "image": {"id": "5"}}, ""),
    ],
)
def test_edits(changed: Any, text: str) -> None:
    event = one(a_message("edit", edit={"original_message_id": "wamid.0", "message": changed}))
    assert isinstance(event, Edited)
    assert (event.event_id, event.platform_id, event.text, event.owner) == (
        "wamid.IN1",
        "wamid.0",
        text,
        PHONE_NUMBER_ID,
    )


def test_deletions() -> None:
    event = one(a_message("revoke", revoke={"original_message_id": "wamid.0"}))
    assert isinstance(event, Deleted)
    assert (event.event_id, event.platform_id, event.sender.address) == ("wamid.IN1", "wamid.0", PHONE)


def test_who_opens_the_chat_for_the_first_time_has_not_written() -> None:
    event = one(a_message("request_welcome"))
    assert isinstance(event, ContactNews)
    assert (event.first_time, event.heard, event.person.address) == (True, False, PHONE)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (a_message("unsupported", errors=[{"code": 131051}]), "unsupported"),
        (a_message("unsupported", unsupported={"type": "poll"}), "poll"),
        (a_message("unknown", errors=[{"code": 131051}]), "unknown"),
        (a_message("order", order={"catalog_id": "1", "product_items": []}), "order"),
        (a_message("ephemeral"), "ephemeral"),
        (a_message("x" * 5000), "x" * 60),
        (a_message(""), "unknown"),
        (a_message("text", type=7), "unknown"),
        (a_message("text", text={}), "text"),
        (a_message("image", errors=[{"code": 131052}]), "image"),
        (a_message("contacts", contacts=[]), "contacts"),
        (a_message("interactive", interactive={"type": "call_permission_reply"}), "call_permission_reply"),
        (a_message("interactive", interactive={"type": "button_reply", "button_reply": {}}), "button_reply"),
        (a_message("interactive"), "interactive"),
        (a_message("button", button={}), "button"),
        (a_message("reaction", reaction={"emoji": "👍"}), "reaction"),
        (a_message("edit", edit={"original_message_id": "wamid.0"}), "edit"),
        (a_message("revoke"), "revoke"),
    ],
)
def test_what_cannot_be_shown_is_told_of_by_its_kind(message: Any, shown: str) -> None:
    event = one(message)
    assert (event.kind, event.text, event.platform_id) == (Kind.UNSUPPORTED, shown, "wamid.IN1")


@pytest.mark.parametrize("broken", [{"id": ""}, {"id": 7}, {"group_id": "g"}])
def test_a_message_without_id_or_of_a_group_is_ignored(broken: dict[str, Any]) -> None:
    assert isinstance(one(a_message(**broken)), Ignored)


@pytest.mark.parametrize("told", ["x", None, "", -1, 10**18])
def test_a_message_is_not_lost_for_want_of_its_time(told: Any) -> None:
    event = one(a_message(timestamp=told))
    assert (event.text, event.at) == ("Hi", TIME_UNTOLD)


# --- Ids that change --------------------------------------------------------------------------------------------------


def a_system(kind: str = "user_changed_number", *, body: str = "User A changed", **system: Any) -> dict[str, Any]:
    return a_message("system", system={"type": kind, "body": body, **system})


def moves(event: Any) -> tuple[str, str, tuple[str, ...], str]:
    assert isinstance(event, ContactNews)
    assert not event.heard
    return (event.person.address, event.moved_to, event.person.aliases, event.person.phone)


def test_a_changed_number() -> None:
    new = "6289999999999"
    assert moves(one(a_system(wa_id=new), contacts=[])) == (PHONE, new, (), "")
    assert moves(one(a_system("customer_changed_number", new_wa_id=new), contacts=[])) == (PHONE, new, (), "")
    message = {**a_system(wa_id=new, user_id="ID.2", parent_user_id=PARENT), "from_user_id": BSUID}
    assert moves(one(message, contacts=[])) == (PHONE, new, (BSUID, "ID.2", PARENT), "")
    assert moves(one(a_system(user_id="ID.2"), contacts=[])) == (PHONE, "ID.2", (), "")


def test_a_changed_scoped_id() -> None:
    kind = "user_changed_user_id"
    assert moves(one(a_system(kind, user_id="ID.2"), contacts=[])) == (PHONE, "", ("ID.2",), PHONE)
    for known in ({"from_user_id": BSUID}, {"system": {"type": kind, "user_id": "ID.2", "previous_user_id": BSUID}}):
        message = {**a_system(kind, user_id="ID.2"), "from": "", **known}
        assert moves(one(message, contacts=[])) == (BSUID, "ID.2", (), "")
    message = {**a_system(kind, user_id="ID.2", wa_id=PHONE), "from": "", "from_user_id": BSUID}
    assert moves(one(message, contacts=[])) == (BSUID, PHONE, ("ID.2",), "")


@pytest.mark.parametrize(
    "message",
    [
        a_system("customer_identity_changed"),
        a_system(),
        a_system(wa_id=""),
        {**a_system("user_changed_user_id", user_id="ID.2", body=f"User changed from {BSUID} to ID.2"), "from": ""},
        {**a_system(wa_id="6289999999999"), "system": 7},
    ],
)
def test_a_system_message_without_use_is_ignored(message: Any) -> None:
    assert isinstance(one(message, contacts=[{"user_id": "ID.2"}]), Ignored)


def an_update(**members: Any) -> dict[str, Any]:
    return {"timestamp": TIME, "detail": "…", "user_id": {"previous": BSUID, "current": "ID.2"}, **members}


def id_updates(*updates: Any) -> list[Inbound]:
    change = a_change("user_id_update", user_id_update=list(updates), contacts=[CONTACT])
    return whatsapp.parse(ACCOUNT, signed(webhook(change)))


def test_a_scoped_id_update() -> None:
    alone, with_phone, parents, untimed, *broken = id_updates(
        an_update(),
        an_update(wa_id=PHONE),
        an_update(parent_user_id={"previous": PARENT, "current": "ID.ENT.2"}),
        an_update(timestamp=""),
        an_update(user_id={}),
        an_update(user_id={"current": "ID.2"}),
    )
    assert moves(alone) == (BSUID, "ID.2", (), "")
    assert moves(with_phone) == (PHONE, "", (BSUID, "ID.2"), PHONE)
    assert moves(parents) == (BSUID, "ID.2", (PARENT, "ID.ENT.2"), "")
    assert isinstance(with_phone, ContactNews)
    assert (with_phone.person.name, with_phone.at, with_phone.owner) == ("Ani", AT, PHONE_NUMBER_ID)
    assert isinstance(untimed, ContactNews)
    assert untimed.at == TIME_UNTOLD
    assert [type(event) for event in broken] == [Ignored] * 2
    assert [event.event_id for event in id_updates(an_update())] == [alone.event_id]


# --- The business's own app -------------------------------------------------------------------------------------------


def echoes(*messages: Any) -> list[Inbound]:
    return whatsapp.parse(ACCOUNT, signed(webhook(a_change("smb_message_echoes", message_echoes=list(messages)))))


def test_what_the_business_writes_in_its_app() -> None:
    echo = {**a_message(), "from": "15550783881", "to": PHONE, "to_user_id": BSUID}
    said, shown, hidden = echoes(
        echo,
        {**echo, "id": "wamid.2", "type": "image", "image": {"id": "5", "caption": "c"}},
        {**echo, "id": "wamid.3", "to": ""},
    )
    assert isinstance(said, AgentMessage)
    assert isinstance(shown, AgentMessage)
    assert isinstance(hidden, AgentMessage)
    assert (said.event_id, said.platform_id, said.text, said.owner) == ("wamid.IN1", "wamid.IN1", "Hi", PHONE_NUMBER_ID)
    assert said.recipient == Person(PHONE, PHONE, phone=PHONE, aliases=(BSUID,))
    assert shown.text == "c"
    assert hidden.recipient.address == BSUID
    for broken in ({"type": "revoke"}, {"type": "edit"}, {"to": "", "to_user_id": ""}, {"id": ""}):
        assert isinstance(echoes({**echo, **broken})[0], Ignored)


# --- The account ------------------------------------------------------------------------------------------------------

BANNED = {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "January 2, 2026"}}


@pytest.mark.parametrize(
    ("field", "value", "code", "stops", "says"),
    [
        ("account_update", BANNED, "account_policy", True, "is banned (January 2, 2026)"),
        ("account_update", {"event": "ACCOUNT_DELETED"}, "account_setup", True, "was deleted"),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE"}},
            "account_policy",
            False,
            "will be banned",
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}},
            "account_policy",
            False,
            "no longer banned",
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}],
            },
            "account_policy",
            False,
            "(RESTRICTED_BIZ_INITIATED_MESSAGING)",
        ),
        (
            "account_update",
            {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}},
            "account_policy",
            False,
            "(SCAM)",
        ),
        ("account_update", {"event": "PARTNER_APP_UNINSTALLED"}, "account_permission", False, "app was removed"),
        (
            "account_alerts",
            {"alert_severity": "CRITICAL", "alert_status": "ACTIVE", "alert_type": "OBA_REJECTED"},
            "account_setup",
            False,
            "(CRITICAL, ACTIVE, OBA_REJECTED)",
        ),
        ("account_alerts", {"alert_info": {"alert_type": "X"}}, "account_setup", False, "(X)"),
        ("account_review_update", {"decision": "REJECTED"}, "account_policy", False, "refusal"),
        (
            "phone_number_quality_update",
            {
                "display_phone_number": "15550783881",
                "event": "FLAGGED",
                "current_limit": "TIER_1K",
            },
            "account_policy",
            False,
            "(…3881, TIER_1K)",
        ),
        (
            "phone_number_name_update",
            {"display_phone_number": "1", "decision": "REJECTED", "rejection_reason": "NAME_X"},
            "account_setup",
            False,
            "(…1, NAME_X)",
        ),
        (
            "security",
            {"display_phone_number": "1", "event": "PIN_CHANGED"},
            "account_setup",
            False,
            "(…1, PIN_CHANGED)",
        ),
    ],
)
def test_news_of_the_account(field: str, value: Any, code: str, says: str, *, stops: bool) -> None:
    event = news(field, value, an_account(waba_id=WABA_ID))
    assert isinstance(event, AccountNews)
    assert (event.code, event.stops, event.owner) == (code, stops, "")
    assert says in event.reason
    assert WABA_ID in event.reason
    assert event.at == datetime(2025, 2, 12, 0, 43, 44, tzinfo=UTC)
    assert code in REGISTRY
    assert event == news(field, value, an_account(waba_id=WABA_ID))
    assert event.event_id != news(field, value, time=1739321025).event_id


def test_a_ban_stops_only_the_account_that_it_names() -> None:
    ours, theirs = an_account(waba_id=WABA_ID), an_account(waba_id="77")
    assert news("account_update", BANNED, ours).stops
    assert not news("account_update", BANNED, theirs).stops
    assert not news("account_update", BANNED).stops
    assert not news("account_update", BANNED, ours, id="5").stops
    assert news("account_update", {**BANNED, "waba_info": {"waba_id": WABA_ID}}, ours, id="5").stops
    assert isinstance(news("account_update", {**BANNED, "waba_info": {"waba_id": "5"}}, ours), Ignored)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account_update", {"event": "VOLUME_BASED_PRICING_TIER_UPDATE"}),
        ("account_update", {}),
        ("account_update", 7),
        ("account_review_update", {"decision": "APPROVED"}),
        ("account_alerts", {}),
        ("security", {}),
        ("phone_number_name_update", {"decision": "APPROVED"}),
        ("phone_number_quality_update", {"event": "UPGRADE"}),
        ("business_capability_update", {"max_phone_numbers_per_waba": 25}),
        ("message_template_status_update", {"event": "REJECTED", "message_template_name": "n"}),
        ("user_preferences", {"user_preferences": [{"value": "stop"}]}),
        ("calls", {"calls": []}),
        ("history", {}),
        ("", {}),
        (7, {}),
    ],
)
def test_fields_without_use_are_ignored_with_their_fragment(field: Any, value: Any) -> None:
    event = news(field, value)
    assert isinstance(event, Ignored)
    assert json.loads(event.raw) == {"field": field, "value": value}
    assert event == news(field, value)


@pytest.mark.parametrize("value", [{}, {"messages": []}, {"messages": None, "statuses": []}, 7])
@pytest.mark.parametrize("field", ["messages", "smb_message_echoes", "user_id_update"])
def test_a_webhook_that_tells_nothing_is_ignored(field: str, value: Any) -> None:
    event = news(field, value)
    assert isinstance(event, Ignored)
    assert "tells nothing" in event.why


def test_news_are_not_lost_for_want_of_their_time() -> None:
    assert news("account_update", BANNED, time=None).at == TIME_UNTOLD


def test_errors_outside_messages() -> None:
    change = a_change(errors=[{"code": 131031, "title": "t"}, {"code": 130429}, {"code": 7}, {}])
    locked, *others = whatsapp.parse(ACCOUNT, signed(webhook(change, time=1739321024)))
    assert isinstance(locked, AccountNews)
    assert (locked.code, locked.stops, locked.owner) == ("account_policy", False, PHONE_NUMBER_ID)
    assert [type(event) for event in others] == [Ignored] * 3
    untimed = whatsapp.parse(ACCOUNT, signed(webhook(change)))
    assert [type(event) for event in untimed] == [AccountNews] + [Ignored] * 3
    assert len({event.event_id for event in untimed}) == 4


# --- Batches, odd events, bytes of any kind ---------------------------------------------------------------------------


def test_a_batch_of_entries_changes_and_numbers_keeps_its_order() -> None:
    other = a_change(messages=[a_message(id="wamid.4")])
    other["value"]["metadata"] = {"phone_number_id": "2"}
    status = {"id": "wamid.S", "status": "sent", "timestamp": TIME, "recipient_id": PHONE}
    change = a_change(statuses=[status], messages=[a_message(id="wamid.2"), a_message(id="wamid.3")])
    body = json.loads(webhook(change, other))
    body["entry"].append({"id": "3", "changes": [a_change(messages=[a_message(id="wamid.5")])]})
    events = whatsapp.parse(ACCOUNT, signed(json.dumps(body).encode()))
    assert [event.event_id for event in events] == ["wamid.S:sent", "wamid.2", "wamid.3", "wamid.4", "wamid.5"]
    assert [getattr(event, "owner", "") for event in events] == [PHONE_NUMBER_ID] * 3 + ["2", PHONE_NUMBER_ID]


def test_a_thousand_messages_of_as_many_people() -> None:
    phones = [str(6281000000000 + number) for number in range(1000)]
    messages = [a_message(id=f"wamid.{phone}", **{"from": phone}) for phone in phones]
    contacts = [{"profile": {"name": phone}, "wa_id": phone} for phone in phones]
    events = parsed(*messages, contacts=contacts)
    assert [event.sender.name for event in events if isinstance(event, InboundMessage)] == phones


def test_a_fragment_too_deep_to_be_kept_costs_its_neighbours_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = whatsapp_inbound.fragment

    def too_deep(value: Any) -> bytes:
        if "deep" in value:
            raise RecursionError
        return kept(value)

    monkeypatch.setattr(whatsapp_inbound, "fragment", too_deep)
    events = parsed(a_message(id="wamid.1"), a_message(id="wamid.2", deep=1), a_message(id="wamid.3"))
    assert [type(event) for event in events] == [InboundMessage, Ignored, InboundMessage]
    assert events[1].event_id == "wamid.2"


def test_what_is_too_deep_to_be_kept_is_ignored_without_its_bytes() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    event = whatsapp_fields.ignored("too deep", {"id": "wamid.1", "deep": deep})
    assert (event.event_id, event.why, event.raw) == ("wamid.1", "too deep", b"")


def test_a_body_as_deep_as_the_parser_goes_loses_no_neighbour() -> None:
    read = 0
    for depth in range(880, 1010):
        deep = '{"a":' * depth + "1" + "}" * depth
        neighbour = json.dumps(a_message())
        messages = f'[{{"id":"wamid.0","timestamp":1,"from":"{PHONE}","type":{deep}}},{neighbour}]'
        change = f'{{"field":"messages","value":{{"messages":{messages}}}}}'
        raw = f'{{"object":"whatsapp_business_account","entry":[{{"changes":[{change}]}}]}}'
        try:
            events = whatsapp.parse(ACCOUNT, signed(raw.encode()))
        except WebhookUnreadable:
            continue
        read += 1
        assert [event.event_id for event in events if isinstance(event, InboundMessage)][-1] == "wamid.IN1"
    assert read


SAMPLES = [
    a_message(from_user_id=BSUID, context={"id": "wamid.Q"}, referral={"source_id": "1"}),
    *(a_message(kind, **{kind: FILE}) for kind in ("image", "audio", "document", "sticker")),
    a_message("location", location={"latitude": 1.5, "longitude": 2, "name": "n"}),
    a_message(
        "contacts",
        contacts=[
            {"name": {"formatted_name": "A"}, "phones": [{"phone": "+628123456789"}], "origin": "contact_request"}
        ],
    ),
    a_message("interactive", interactive={"type": "list_reply", "list_reply": {"id": "r", "title": "R"}}),
    a_message("interactive", interactive={"type": "nfm_reply", "nfm_reply": {"response_json": "{}", "body": "b"}}),
    a_message("button", button={"payload": "P", "text": "T"}),
    a_message("reaction", reaction={"message_id": "wamid.OUT", "emoji": "👍"}),
    a_message("edit", edit={"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "x"}}}),
    a_message("revoke", revoke={"original_message_id": "wamid.0"}),
    a_system(wa_id="6289999999999", user_id="ID.2"),
    a_message("unsupported", unsupported={"type": "poll"}, errors=[{"code": 131051}]),
]
ODD = [None, True, 0, -1, 1e308, "", "\ud800\0", "x" * 100, [], {}, [None], {"type": {}}]


def mutated(value: Any) -> Iterator[Any]:
    """Yield *value* with one member, at any depth, left out or replaced."""
    if not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        for change in [*ODD, *mutated(value[key])]:
            copy = value.copy()
            copy[key] = change
            yield copy
        copy = value.copy()
        del copy[key]
        yield copy


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["type"])
def test_one_odd_event_never_costs_a_neighbour(sample: dict[str, Any]) -> None:
    before, after = a_message(id="wamid.BEFORE"), a_message(id="wamid.AFTER")
    wanted = parsed(before, a_message(), after)[::2]
    tried = 0
    for odd in mutated(sample):
        events = parsed(before, odd, after)
        assert [events[0], events[-1]] == wanted
        assert len(events) >= 3
        assert all(storable(event) for event in events)
        tried += 1
    assert tried > 50


@pytest.mark.parametrize("part", ["statuses", "messages", "errors", "contacts", "metadata"])
@pytest.mark.parametrize("odd", ODD)
def test_one_odd_list_never_costs_another_change(part: str, odd: Any) -> None:
    change = a_change(messages=[a_message(id="wamid.1")], contacts=[CONTACT])
    change["value"][part] = odd
    raw = webhook(odd, change, 7, a_change(messages=[a_message(id="wamid.2")]))
    events = whatsapp.parse(ACCOUNT, signed(raw))
    assert events[-1].event_id == "wamid.2"
    if part != "messages":
        assert "wamid.1" in [event.event_id for event in events if isinstance(event, InboundMessage)]
    assert sum(isinstance(event, Ignored) for event in events) >= 2


def test_what_no_database_takes_does_not_leave_a_webhook() -> None:
    event = one(a_message(id="wamid.\ud800\0", text={"body": "a\0b\udfff"}))
    assert (event.platform_id, event.text) == ("wamid.\ufffd", "ab\ufffd")


def storable(value: Any) -> bool:
    """Return whether every text in *value* can be stored: it is UTF-8 without NUL."""
    if isinstance(value, str):
        return "\0" not in value and bool(value.encode() or True)
    if isinstance(value, tuple):
        return all(storable(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return all(storable(getattr(value, field.name)) for field in fields(value))
    return True


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([PHONE, BSUID, TIME, "wamid.1", "sent", "text", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["id", "type", "code", "status", "timestamp", "phones", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def shaped(**members: Any) -> Any:
    return st.fixed_dictionaries({}, optional={key: ANY_JSON | value for key, value in members.items()})


A_TIME = st.sampled_from([TIME, "1749416383000", "²", "٣"]) | st.integers(-(10**20), 10**20)
MESSAGE = shaped(
    **{
        "from": st.sampled_from([PHONE, "+628", BSUID]),
        "from_user_id": st.just(BSUID),
        "id": st.just("wamid.1"),
        "timestamp": A_TIME,
        "type": st.sampled_from([*whatsapp_inbound._READERS, "system", "unsupported"]),
        **{kind: st.sampled_from(SAMPLES).map(lambda one: one.get(one["type"])) for kind in whatsapp_inbound._READERS},
        "system": shaped(type=st.just("user_changed_number"), wa_id=st.just(PHONE), user_id=st.just(BSUID)),
    }
)
STATUS = shaped(
    id=st.just("wamid.1"),
    status=st.sampled_from(["sent", "failed", "played"]),
    timestamp=A_TIME,
    errors=st.lists(shaped(code=st.sampled_from([131053, "131031", -1]), error_data=ANY_JSON), max_size=2),
)
VALUE = shaped(
    metadata=st.just({"phone_number_id": "1"}),
    contacts=st.lists(st.just(CONTACT) | ANY_JSON, max_size=2),
    messages=st.lists(MESSAGE | st.sampled_from(SAMPLES) | ANY_JSON, max_size=3),
    statuses=st.lists(STATUS | ANY_JSON, max_size=3),
    errors=st.lists(shaped(code=st.sampled_from([131031, 7])) | ANY_JSON, max_size=2),
    message_echoes=st.lists(MESSAGE, max_size=2),
    user_id_update=st.lists(
        shaped(wa_id=st.just(PHONE), user_id=st.just({"current": BSUID}), timestamp=A_TIME), max_size=2
    ),
    event=st.sampled_from(["ACCOUNT_DELETED", "DISABLED_UPDATE", "FLAGGED"]),
    ban_info=st.just({"waba_ban_state": "DISABLE"}),
    decision=st.just("REJECTED"),
)
FIELD = st.sampled_from(
    [
        "messages",
        "messages",
        "smb_message_echoes",
        "user_id_update",
        "account_update",
        "account_alerts",
        "account_review_update",
        "phone_number_quality_update",
        "phone_number_name_update",
        "security",
    ]
)
ENTRY = shaped(
    id=st.just(WABA_ID), time=A_TIME, changes=st.lists(shaped(field=FIELD, value=VALUE) | ANY_JSON, max_size=3)
)
BODY = st.one_of(
    st.binary(max_size=60),
    ANY_JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(ENTRY | ANY_JSON, max_size=2).map(
        lambda entries: json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(BODY)
@example(b"[" * 100_000)
@example(b"1" * 5000)
@example(webhook({"field": "messages", "value": {"errors": [{"code": float("nan")}]}}))
def test_nothing_but_the_two_errors_leaves_a_webhook(raw: bytes) -> None:
    for account in (ACCOUNT, an_account(waba_id=WABA_ID)):
        assert whatsapp.verify(account, signed(raw)) is None
        try:
            events = whatsapp.parse(account, signed(raw))
        except WebhookUnreadable:
            continue
        assert whatsapp.parse(account, signed(raw)) == events
        for event in events:
            assert event.event_id
            assert storable(event)
            if not isinstance(event, Ignored | Receipt | AccountNews):
                person = event.recipient if isinstance(event, AgentMessage) else getattr(event, "sender", None)
                person = person or getattr(event, "person", None)
                assert isinstance(person, Person)
                assert isinstance(recipients.read("whatsapp", f"wa:{person.address}"), recipients.Recipient)


# --- Files ------------------------------------------------------------------------------------------------------------

LOOKASIDE = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=5&hash=a-b_c"


def metadata(**members: Any) -> Answer:
    content = {"messaging_product": "whatsapp", "url": LOOKASIDE, "mime_type": "image/jpeg", "file_size": 3, "id": "5"}
    return Answer(200, {}, json.dumps({**content, **members}).encode())


def test_a_file_is_fetched_by_its_id_and_then_by_its_address() -> None:
    media = InboundMedia(id="5", url="https://lookaside.fbsbx.com/old")
    asked = whatsapp.fetch(ACCOUNT, media)
    assert asked == Call(1, "GET", "https://graph.facebook.com/v26.0/5", (("Authorization", "Bearer TOKEN"),), {})
    found = whatsapp.fetch(ACCOUNT, media, metadata())
    assert found == Call(1, "GET", LOOKASIDE, (("Authorization", "Bearer TOKEN"),), {}, file=True)
    assert whatsapp.fetch(ACCOUNT, media, Answer(200, {"content-type": "image/jpeg"}, b"\xff\xd8")) is None


def test_a_file_without_id_is_fetched_by_the_webhooks_address() -> None:
    found = whatsapp.fetch(ACCOUNT, InboundMedia(url=LOOKASIDE))
    assert found is not None
    assert found.url == LOOKASIDE
    assert whatsapp.fetch(ACCOUNT, InboundMedia(url=LOOKASIDE), metadata()) is None
    assert whatsapp.fetch(ACCOUNT, InboundMedia()) is None


def test_an_id_stays_in_its_place() -> None:
    asked = whatsapp.fetch(ACCOUNT, InboundMedia(id="../me?x=1#"))
    assert asked is not None
    assert asked.url == "https://graph.facebook.com/v26.0/..%2Fme%3Fx%3D1%23"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {}, b'{"error":{"code":100}}'),
        Answer(401, {}, metadata().body),
        metadata(id="6"),
        metadata(id=5),
        metadata(url=7),
        metadata(url=""),
        Answer(200, {}, b""),
    ],
)
def test_an_answer_without_an_address_ends_the_fetching(answer: Answer) -> None:
    assert whatsapp.fetch(ACCOUNT, InboundMedia(id="5"), answer) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/5",
        "https://lookaside.fbsbx.com.evil.example/5",
        "https://lookaside.fbsbx.com@evil.example/5",
        "https://evil.example\\@lookaside.fbsbx.com/5",
        "https://evilfbsbx.com/5",
        "http://lookaside.fbsbx.com/5",
        "https://graph.facebook.com.evil.example/5",
        "https://lookaside.fbsbx.com/\r\nX: y",
        "file:///etc/passwd",
        "//lookaside.fbsbx.com/5",
    ],
)
def test_the_token_goes_to_meta_only(url: str) -> None:
    # A person may send a JSON file that looks like the answer that names an address.
    assert whatsapp.fetch(ACCOUNT, InboundMedia(id="5"), metadata(url=url)) is None
    assert whatsapp.fetch(ACCOUNT, InboundMedia(url=url)) is None


def test_an_own_base_keeps_its_own_files() -> None:
    account = an_account("http://127.0.0.1:9000/wa")
    found = whatsapp.fetch(account, InboundMedia(id="5"), metadata(url="http://127.0.0.1:9000/wa/files/5"))
    assert found is not None
    assert whatsapp.fetch(account, InboundMedia(id="5"), metadata(url="http://127.0.0.1:9001/wa/files/5")) is None
