"""What comes in on Messenger: the published cases, one row for each kind of event, and what holds for any bytes."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    AgentMessage,
    Answer,
    Call,
    Choice,
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
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.messenger import channel as messenger
from kurir.domain import errors
from kurir.domain.account import Account, MessengerSettings
from kurir.domain.message import Message
from kurir.domain.recipient import Form, read
from kurir.intake import wire
from support import cases

PSID = "24312345678901234"
PAGE = "108123456789012"
APP_ID = "1517776481860111"
TID = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET = "test_app_secret_0123456789abcdef"
TIME = 1749416383123
AT = datetime(2025, 6, 8, 20, 59, 43, 123000, tzinfo=UTC)
ANN = Person(PSID, id=PSID)
ACCOUNT = Account(
    "acme-fb",
    "acme",
    "messenger",
    messenger.API_BASE,
    MessengerSettings(
        page_id=PAGE, page_access_token="EAATESTTOKEN123", app_secret=SECRET, verify_token="vt", app_id=APP_ID
    ),
)


def parsed(*entries: Any) -> list[Inbound]:
    body = json.dumps({"object": "page", "entry": list(entries)}).encode()
    return messenger.parse(ACCOUNT, WebhookRequest("POST", {}, {}, body))


def entry(*events: Any, name: str = "messaging", **more: Any) -> Any:
    return {"id": PAGE, "time": 1749416384000, name: list(events), **more}


def event(**content: Any) -> Any:
    return {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": TIME, **content}


def written(**content: Any) -> Any:
    return event(message={"mid": "m_IN", **content})


def attached(*attachments: Any, **content: Any) -> Any:
    return written(attachments=list(attachments), **content)


def file(kind: str, url: str = "https://cdn.example/1", **payload: Any) -> Any:
    return {"type": kind, "payload": {"url": url, **payload}}


def of(item: Any) -> Any:
    """Return what an event says, without the two fields that other tests are about."""
    assert item.event_id
    assert item.event_id.isascii()
    return dataclasses.replace(item, event_id="", raw=b"")


def message(kind: Kind, mid: str = "m_IN", **more: Any) -> InboundMessage:
    return InboundMessage("", PAGE, AT, ANN, kind, mid, **more)


def media(url: str = "https://cdn.example/1", **more: Any) -> InboundMedia:
    return InboundMedia(url=url, public=True, **more)


# --- The published cases ----------------------------------------------------------------------------------------------


def as_a_case_says_it(item: Inbound, tokens: dict[str, str]) -> dict[str, Any]:
    """Return an event of ours in the words of the cases: the one table between the two vocabularies."""
    match item:
        case InboundMessage(kind=Kind.POSTBACK, press=Press() as press):
            key = tokens.get(press.data, press.data)
            return {"event": "postback", "key": key, "title": press.title, "sender": item.sender.address}
        case InboundMessage():
            place = item.location or InboundLocation(999, 999)
            return {
                "event": "message",
                "type": item.kind,
                "text": item.text,
                "sender": item.sender.address,
                "provider_message_id": item.platform_id,
                "timestamp": int(item.at.timestamp()),
                "media": [one.url for one in item.media],
                "latitude": place.latitude,
                "longitude": place.longitude,
                "standby": item.standby,
            }
        case Reaction():
            return {"event": "reaction", "emoji": item.emoji, "of_provider_message_id": item.platform_id}
        case Edited():
            return {"event": "message_edited", "provider_message_id": item.platform_id, "text": item.text}
        case AgentMessage():
            recipient = item.recipient.address
            said = {"text": item.text, "recipient": recipient, "provider_message_id": item.platform_id}
            return {"event": "agent_message", **said}
        case ContactNews():
            return {"event": "referral", "ref": item.referral, "sender": item.person.address}
        case AccountNews(stops=True):
            return {"event": "channel_blocked", "reason": item.reason}
    raise AssertionError(item)


CASES = [case for case in cases.load("messenger", "inbound") if case["expect"]["http"] == 200]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_inbound_case(case):
    headers = {"x-hub-signature-256": case["x_hub_signature_256"]}
    request = WebhookRequest("POST", {}, headers, case["raw_body"].encode())
    assert messenger.verify(ACCOUNT, request) is None
    tokens = case.get("store", {}).get("tokens", {})
    found = [item for item in messenger.parse(ACCOUNT, request) if not isinstance(item, Receipt | Ignored)]
    told = [as_a_case_says_it(item, tokens) for item in found]
    # What receipts do to a message depends on the store; test_messenger.py applies them.
    wanted = [event for event in case["expect"]["events"] if event["event"] != "status"]
    assert len(told) == len(wanted)
    for one, other in zip(told, wanted, strict=True):
        assert {name: one[name] for name in other} == other


def test_every_name_of_the_cases_is_reached():
    names = {event["event"] for case in CASES for event in case["expect"]["events"]}
    reached = {"message", "postback", "reaction", "message_edited", "agent_message", "referral", "channel_blocked"}
    assert names == reached | {"status"}


# --- What a person's message holds ------------------------------------------------------------------------------------

LINK = "https://l.facebook.com/l.php?u=https%3A%2F%2Fwww.shop.example%2Fdp%2F7&h=AT1&s=1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (written(text="Hi"), [message(Kind.TEXT, text="Hi")]),
        (written(text="a\x00b\ud800c"), [message(Kind.TEXT, text="ab\ufffdc")]),
        (
            written(text="yes", reply_to={"mid": "m_OUT", "is_self_reply": False}),
            [message(Kind.TEXT, text="yes", reply_to="m_OUT")],
        ),
        (
            written(text="Hi", referral={"ref": "promo-7", "ad_id": "6045", "source": "ADS", "type": "OPEN_THREAD"}),
            [message(Kind.TEXT, text="Hi", referral="promo-7")],
        ),
        (attached(file("image")), [message(Kind.IMAGE, media=(media(),))]),
        (attached(file("video")), [message(Kind.VIDEO, media=(media(),))]),
        (attached(file("audio")), [message(Kind.AUDIO, media=(media(),))]),
        (
            attached(file("file", "https://cdn.fbsbx.com/v/t59/1_2/My%20offer.pdf?oh=1&oe=2")),
            [
                message(
                    Kind.DOCUMENT,
                    media=(media("https://cdn.fbsbx.com/v/t59/1_2/My%20offer.pdf?oh=1&oe=2", name="My offer.pdf"),),
                )
            ],
        ),
        (
            attached(file("file", "https://cdn.example/a/..%2F..%2Fetc%5Cpass%00wd")),
            [message(Kind.DOCUMENT, media=(media("https://cdn.example/a/..%2F..%2Fetc%5Cpass%00wd", name="passwd"),))],
        ),
        (attached(file("image"), text="look"), [message(Kind.IMAGE, text="look", media=(media(),))]),
        (attached(file("sticker", sticker_id=5)), [message(Kind.STICKER, media=(media(id="5"),))]),
        (attached(file("image", sticker_id="5")), [message(Kind.STICKER, media=(media(id="5"),))]),
        (
            attached(file("image", sticker_id=5), file("sticker", sticker_id=5)),
            [message(Kind.STICKER, media=(media(id="5"),))],
        ),
        (
            attached(file("image"), file("video", "https://cdn.example/2"), file("image", "https://cdn.example/3")),
            [
                message(Kind.IMAGE, media=(media(), media("https://cdn.example/3"))),
                message(Kind.VIDEO, media=(media("https://cdn.example/2"),)),
            ],
        ),
        (
            attached({"type": "location", "title": "Ann", "payload": {"coordinates": {"lat": -90, "long": 180.0}}}),
            [message(Kind.LOCATION, location=InboundLocation(-90, 180, name="Ann"))],
        ),
        (
            attached({"type": "location", "payload": {"coordinates": {"lat": 90.1, "long": 0}}}),
            [message(Kind.UNSUPPORTED, text="location")],
        ),
        (
            attached({"type": "location", "payload": {"coordinates": {"lat": True, "long": 0}}}),
            [message(Kind.UNSUPPORTED, text="location")],
        ),
        (attached(file("reel", "//evil.example/1")), [message(Kind.UNSUPPORTED, text="reel")]),
        (
            attached(file("fallback", "https://l.facebook.com/other?u=https%3A%2F%2Fa.example")),
            [message(Kind.TEXT, text="https://l.facebook.com/other?u=https%3A%2F%2Fa.example")],
        ),
        (attached({"type": "location"}), [message(Kind.UNSUPPORTED, text="location")]),
        # Shared links: also beside the payload, also with Facebook's detour, also a path alone.
        (
            attached({"type": "fallback", "title": "Seven", "url": LINK, "payload": None}),
            [message(Kind.TEXT, text="Seven\nhttps://www.shop.example/dp/7")],
        ),
        (
            attached({"type": "fallback", "payload": {"url": LINK, "title": "Seven"}}, text="see shop.example/dp/7"),
            [message(Kind.TEXT, text="see shop.example/dp/7")],
        ),
        (
            attached({"type": "fallback", "payload": {"url": LINK, "title": "Seven"}}, text="Seven"),
            [message(Kind.TEXT, text="Seven\nhttps://www.shop.example/dp/7")],
        ),
        (
            attached({"type": "ig_reel", "payload": {"url": "/reel/123/", "reel_video_id": 123}}),
            [message(Kind.TEXT, text="https://www.facebook.com/reel/123/")],
        ),
        (attached(file("post")), [message(Kind.TEXT, text="https://cdn.example/1")]),
        (
            attached(file("share", title="A post"), file("image", "https://cdn.example/2"), text="see"),
            [message(Kind.IMAGE, text="see\nA post\nhttps://cdn.example/1", media=(media("https://cdn.example/2"),))],
        ),
        (
            attached({"type": "fallback", "payload": {"url": "https://l.facebook.com/l.php?h=AT1"}}),
            [message(Kind.TEXT, text="https://l.facebook.com/l.php?h=AT1")],
        ),
        (attached({"type": "fallback", "payload": {}}), [message(Kind.UNSUPPORTED, text="fallback")]),
        # What is not known is named, with its words where it has some.
        (
            attached({"type": "appointment_booking", "payload": {"booking_id": "1"}}),
            [message(Kind.UNSUPPORTED, text="appointment_booking")],
        ),
        (
            attached({"type": "template", "payload": {"product": {}}}, text="this one"),
            [message(Kind.TEXT, text="this one"), message(Kind.UNSUPPORTED, text="template")],
        ),
        (
            attached({"type": "hologram"}, file("image")),
            [message(Kind.IMAGE, media=(media(),)), message(Kind.UNSUPPORTED, text="hologram")],
        ),
        (attached({"type": "hologram"}, {"type": "hologram"}), [message(Kind.UNSUPPORTED, text="hologram")]),
        (attached({"type": "image", "payload": {}}), [message(Kind.UNSUPPORTED, text="image")]),
        (attached(file("image", "javascript:alert(1)")), [message(Kind.UNSUPPORTED, text="image")]),
        (attached(file("image", "https://[")), [message(Kind.UNSUPPORTED, text="image")]),
        (attached(file("image", "https://x/" + "y" * 9000)), [message(Kind.UNSUPPORTED, text="image")]),
        (attached(7, text=" "), [message(Kind.UNSUPPORTED, text="attachment")]),
        (written(attachments=file("image")), [message(Kind.IMAGE, media=(media(),))]),
        (written(commands=[{"name": "menu"}]), [message(Kind.UNSUPPORTED, text="commands")]),
        (written(is_unsupported=True), [message(Kind.UNSUPPORTED, text="is_unsupported")]),
        (written(), [message(Kind.UNSUPPORTED, text="empty")]),
        (event(message={"text": "old"}), [message(Kind.TEXT, "", text="old")]),
        # Presses.
        (
            written(text="Red", quick_reply={"payload": "k1"}),
            [message(Kind.POSTBACK, press=Press("k1", "Red"))],
        ),
        (
            attached(file("image"), text="Red", quick_reply={"payload": "k1"}),
            [message(Kind.POSTBACK, press=Press("k1", "Red")), message(Kind.IMAGE, media=(media(),))],
        ),
        (
            event(
                postback={"mid": "m_PB", "title": "Start", "payload": "K1", "referral": {"ref": "r", "source": "ADS"}}
            ),
            [message(Kind.POSTBACK, "m_PB", press=Press("K1", "Start"), referral="r")],
        ),
        (event(postback={"title": "Start"}), [message(Kind.POSTBACK, "", press=Press("", "Start"))]),
    ],
)
def test_a_message(given, expected):
    found = parsed(entry(given))
    assert [of(item) for item in found] == expected
    assert len({item.event_id for item in found}) == len(found)
    assert all(json.loads(item.raw) == given for item in found)
    # The address is what an answer is written to.
    assert read("messenger", f"fb:{found[0].sender.address}").form is Form.ADDRESS


def test_another_app_has_the_conversation():
    found = parsed(entry(written(text="x"), event(postback={"mid": "m_PB", "title": "A"}), name="standby"))
    assert [of(item) for item in found] == [
        message(Kind.TEXT, text="x", standby=True),
        message(Kind.POSTBACK, "m_PB", press=Press("", "A"), standby=True),
    ]


# --- What else a person does, and what the page hears of itself -------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            event(reaction={"reaction": "love", "emoji": "❤️", "action": "react", "mid": "m_1"}),
            Reaction("", PAGE, AT, ANN, "m_1", "❤️"),
        ),
        (
            event(reaction={"reaction": "love", "action": "react", "mid": "m_1"}),
            Reaction("", PAGE, AT, ANN, "m_1", "love"),
        ),
        (event(reaction={"action": "react", "mid": "m_1"}), Reaction("", PAGE, AT, ANN, "m_1", "other")),
        (event(reaction={"action": "unreact", "mid": "m_1"}), Reaction("", PAGE, AT, ANN, "m_1", "")),
        (event(message_edit={"mid": "m_1", "text": "new", "num_edit": 1}), Edited("", PAGE, AT, ANN, "m_1", "new")),
        (written(is_deleted=True), Deleted("", PAGE, AT, ANN, "m_IN")),
        (
            event(referral={"ref": "promo", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
            ContactNews("", PAGE, AT, ANN, referral="promo", heard=True),
        ),
        (
            event(referral={"ad_id": "6045", "source": "ADS", "type": "OPEN_THREAD"}),
            ContactNews("", PAGE, AT, ANN, heard=False),
        ),
        (event(optin={"ref": "door", "user_ref": "u"}), ContactNews("", PAGE, AT, ANN, referral="door", heard=True)),
        (
            event(account_linking={"status": "linked", "authorization_code": "code"}),
            ContactNews("", PAGE, AT, ANN, referral="code"),
        ),
        (
            event(policy_enforcement={"action": "block", "reason": "Spam."}),
            AccountNews("", PAGE, AT, "account_policy", "Spam.", stops=True),
        ),
        (
            event(policy_enforcement={"action": "block"}),
            AccountNews("", PAGE, AT, "account_policy", "Meta enforces its policies on the page (block)", stops=True),
        ),
        (
            event(policy_enforcement={"action": "warning", "reason": "Careful."}),
            AccountNews("", PAGE, AT, "account_policy", "Careful."),
        ),
        (
            event(policy_enforcement={"action": "unblock", "reason": ""}),
            AccountNews("", PAGE, AT, "account_policy", "Meta lifted its block of the page: resume the account"),
        ),
    ],
)
def test_news(given, expected):
    (found,) = parsed(entry(given))
    assert of(found) == expected
    assert json.loads(found.raw) == given
    assert not isinstance(found, AccountNews) or found.code in errors.ERRORS


def echo(**content: Any) -> Any:
    body = {"is_echo": True, "app_id": int(APP_ID), "metadata": TID, "mid": "m_OUT", "text": "x", **content}
    return {"sender": {"id": PAGE}, "recipient": {"id": PSID}, "timestamp": TIME, "message": body}


@pytest.mark.parametrize("app_id", [26390203743090, "26390203743090", None])
@pytest.mark.parametrize("metadata", [None, "theirs"])
def test_what_somebody_writes_in_the_inbox_of_the_page(app_id, metadata):
    (found,) = parsed(entry(echo(app_id=app_id, metadata=metadata)))
    assert of(found) == AgentMessage("", PAGE, AT, ANN, "m_OUT", "x")


def test_an_echo_to_the_page_itself_is_nobodys_message():
    (found,) = parsed(entry({**echo(app_id=None, metadata=None), "recipient": {"id": PAGE}}))
    assert isinstance(found, Ignored)


@pytest.mark.parametrize(
    "content",
    [
        {"app_id": 99, "metadata": None},
        {"app_id": 99},
        {"app_id": 26390203743090},  # our reference, and not our app
        {"metadata": None},
        {"app_id": "nobody", "metadata": None},
    ],
)
def test_the_echo_of_another_program_is_nobodys_message(content):
    (found,) = parsed(entry(echo(**content)))
    assert isinstance(found, Ignored)
    assert found.why == "the echo of a message that neither this gateway nor the page's inbox sent"


def without(given: Any, *path: str) -> Any:
    given = copy.deepcopy(given)
    at = given
    for name in path[:-1]:
        at = at[name]
    del at[path[-1]]
    return given


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (without(written(text="x"), "sender"), "an event with message that does not name its sender"),
        (
            event(sender={"user_ref": "u"}, optin={"ref": "r", "user_ref": "u"}),
            "an event with optin that does not name its sender",
        ),
        (event(sender={"id": PAGE}, reaction={"action": "react"}), "an event with reaction of the page itself"),
        (event(reaction={"action": "react"}), "a reaction that does not tell what was done to which message"),
        (event(reaction={"mid": "m_1"}), "a reaction that does not tell what was done to which message"),
        (event(message_edit={"mid": "m_1"}), "an edit that does not tell the new words of which message"),
        (event(message={"is_deleted": True}), "a deleted message without its id"),
        (event(optin={"type": "notification_messages"}), "a consent to marketing messages, which are not sent here"),
        (
            event(account_linking={"status": "unlinked", "authorization_code": "c"}),
            "an account link that was cut, or that carries no code",
        ),
        (event(account_linking={"status": "linked"}), "an account link that was cut, or that carries no code"),
        (event(policy_enforcement={}), "a policy enforcement that does not tell what was done"),
        (without(echo(), "message", "mid"), "an echo that does not tell its message"),
        (event(pass_thread_control={"new_owner_app_id": "1"}), "nothing of use in an event with pass_thread_control"),
        (event(message="x"), "nothing of use in an event with message"),
        (event(), "nothing of use in an event with no content"),
        ("x", "an event that is no object"),
    ],
)
def test_what_is_ignored_says_why(given, why):
    (found,) = parsed(entry(given))
    assert isinstance(found, Ignored)
    assert (found.why, json.loads(found.raw)) == (why, given)


def test_what_tells_no_time_takes_that_of_its_entry_or_says_that_it_is_untold():
    for sample in (
        written(text="x"),
        echo(),
        echo(app_id=None, metadata=None),
        event(policy_enforcement={"action": "block"}),
    ):
        silent = entry(without(sample, "timestamp"), time=None)
        (found,) = parsed(silent)
        assert found.at == TIME_UNTOLD
        (found,) = parsed({**silent, "time": 1749416384000})
        assert found.at == datetime(2025, 6, 8, 20, 59, 44, tzinfo=UTC)


def test_foreign_entries_are_ignored():
    found = parsed(
        {"id": PAGE, "time": 1}, entry(written(text="x"), id=None), {"id": PAGE, "changes": [{"field": "feed"}]}
    )
    assert [item.why for item in found if isinstance(item, Ignored)] == [
        "an entry without events",
        "an event of an entry without the page's id",
        "a change of the page's feed",
    ]
    assert len({item.event_id for item in found}) == 3


def test_what_stands_in_place_of_the_list_of_events_is_not_dropped():
    found = parsed({"id": PAGE, "messaging": "x", "standby": written(text="y")})
    assert [type(item) for item in found] == [Ignored, InboundMessage]


def test_one_event_may_tell_two_things():
    found = parsed(entry(event(postback={"mid": "m_PB", "payload": "k"}, referral={"ref": "r", "source": "SHORTLINK"})))
    assert [type(item) for item in found] == [InboundMessage, ContactNews]


# --- Repeats ----------------------------------------------------------------------------------------------------------

#: One true sample of each kind of event, each different in what makes it one of its own.
SAMPLES = [
    written(text="Hi", nlp={"entities": {}}),
    event(message={"mid": "m_IN2", "text": "Hi"}),
    event(message={"text": "without a mid"}),
    event(message={"text": "without a mid", "reply_to": {"mid": "m_1"}}),
    event(message={"mid": "m_IN3", "text": "Red", "quick_reply": {"payload": "k1"}}),
    event(message={"mid": "m_IN4", "attachments": [file("image"), file("video"), {"type": "template"}], "text": "t"}),
    event(
        message={
            "mid": "m_IN5",
            "attachments": [{"type": "location", "payload": {"coordinates": {"lat": 1.5, "long": -2}}}],
        }
    ),
    event(message={"mid": "m_IN6", "attachments": [{"type": "fallback", "title": "T", "url": LINK, "payload": None}]}),
    event(message={"mid": "m_IN6", "is_deleted": True}),
    event(postback={"mid": "m_PB", "title": "Start", "payload": "K1", "referral": {"ref": "r"}}),
    event(postback={"title": "Start", "payload": "K1"}),
    event(postback={"title": "Start", "payload": "K2"}),
    event(reaction={"reaction": "love", "emoji": "❤", "action": "react", "mid": "m_1"}),
    event(reaction={"action": "unreact", "mid": "m_1"}),
    event(timestamp=TIME + 1, reaction={"reaction": "love", "emoji": "❤", "action": "react", "mid": "m_1"}),
    event(message_edit={"mid": "m_IN", "text": "Hi!", "num_edit": 1}),
    event(message_edit={"mid": "m_IN", "text": "Hi!", "num_edit": 2}),
    event(referral={"ref": "promo", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
    event(timestamp=TIME + 1, referral={"ref": "promo", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
    event(optin={"ref": "promo"}),
    event(account_linking={"status": "linked", "authorization_code": "promo"}),
    event(policy_enforcement={"action": "block", "reason": "Spam."}),
    event(policy_enforcement={"action": "unblock"}),
    event(delivery={"mids": ["m_1", "m_2"], "watermark": TIME}),
    event(read={"watermark": TIME}),
    echo(),
    echo(mid="m_H", app_id=26390203743090, metadata=None),
    event(pass_thread_control={"new_owner_app_id": "1"}),
]


def test_a_repeat_has_the_same_ids_and_every_event_its_own():
    first = [item.event_id for item in parsed(entry(*SAMPLES))]
    later = [dict(reversed(sample.items())) for sample in SAMPLES]
    assert [item.event_id for item in parsed(entry(*later, time=1749499999000))] == first
    assert len(set(first)) == len(first) > len(SAMPLES)


def test_a_message_seen_in_both_lists_is_one():
    ours, theirs = (parsed(entry(written(text="x"), name=name))[0] for name in ("messaging", "standby"))
    assert ours.event_id == theirs.event_id


# --- Any bytes --------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from paths(one, (*at, name))


PLACES = [(number, path) for number, sample in enumerate(SAMPLES) for path in paths(sample)]


def mutated(place: tuple[int, tuple[Any, ...]], value: Any, *, drop: bool) -> Any:
    number, path = place
    given = copy.deepcopy(SAMPLES[number])
    at = given
    for name in path[:-1]:
        at = at[name]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return given


def texts(value: Any) -> Iterator[str]:
    """Yield every text in an event, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts(one)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name))


def is_sound(item: Inbound) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)?:[0-9a-f]{32}", item.event_id)
    for text in texts(item):
        assert "\0" not in text
        text.encode()
    if isinstance(item, InboundMessage):
        assert (item.press is not None) is (item.kind is Kind.POSTBACK)
        assert (item.location is not None) is (item.kind is Kind.LOCATION)
        with_files = item.kind in (Kind.IMAGE, Kind.VIDEO, Kind.AUDIO, Kind.DOCUMENT, Kind.STICKER)
        assert bool(item.media) is with_files
        assert item.text.strip() or item.kind not in (Kind.TEXT, Kind.UNSUPPORTED)
        assert re.fullmatch(r"[0-9]{1,20}", item.sender.address)


NEIGHBOUR = event(timestamp=TIME - 5, message={"mid": "m_NEXT", "text": "next to it"})
OTHER_PAGE = {"id": "77", "time": TIME, "messaging": [event(message={"mid": "m_77", "text": "y"})]}
ALONE = parsed(entry(NEIGHBOUR))[0]


def survivors(odd: Any, *, whole: bool = False) -> list[Inbound]:
    entries = [odd, entry(NEIGHBOUR)] if whole else [entry(NEIGHBOUR, odd, NEIGHBOUR)]
    found = parsed(*entries, OTHER_PAGE)
    assert found.count(ALONE) == (1 if whole else 2)
    assert [item.platform_id for item in found if isinstance(item, InboundMessage) and item.owner == "77"] == ["m_77"]
    return found


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}-{'.'.join(map(str, place[1]))}")
def test_a_sample_without_one_of_its_fields_harms_no_neighbour(place):
    for item in survivors(mutated(place, None, drop=True)):
        is_sound(item)
    for value in (None, True, 0, -1, 10**30, 1.5, "", "x", "\ud800\0", [], {}, [[]], [{}]):
        for item in survivors(mutated(place, value, drop=False)):
            is_sound(item)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_field_harms_no_neighbour(place, value):
    for item in survivors(mutated(place, value, drop=False)):
        is_sound(item)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON.filter(lambda value: not isinstance(value, list)), st.booleans())
def test_any_event_and_any_entry_harms_no_neighbour(value, whole):
    for item in survivors(value, whole=whole):
        is_sound(item)


NAMES = [
    "message",
    "postback",
    "reaction",
    "message_edit",
    "referral",
    "optin",
    "account_linking",
    "policy_enforcement",
]
FIELDS = [
    "mid",
    "text",
    "attachments",
    "quick_reply",
    "payload",
    "title",
    "ref",
    "referral",
    "action",
    "emoji",
    "is_echo",
]
ATTACHMENT = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["image", "file", "sticker", "location", "fallback", "reel", "template"]) | JSON,
        "url": st.just(LINK) | JSON,
        "title": JSON,
        "payload": st.fixed_dictionaries(
            {}, optional={"url": st.just("https://x/1") | JSON, "sticker_id": JSON, "coordinates": JSON, "title": JSON}
        )
        | JSON,
    },
)
BODY = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | st.fixed_dictionaries(
    {"mid": JSON, "attachments": st.lists(ATTACHMENT | JSON, max_size=4)}, optional={"text": JSON, "quick_reply": JSON}
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), BODY | JSON, max_size=3))
def test_any_content_of_any_event_is_sound(content):
    found = parsed(entry(event(**content)))
    assert found
    assert [item.event_id for item in parsed(entry(event(**content)))] == [item.event_id for item in found]
    for item in found:
        is_sound(item)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_only_unreadable_leaves_parse(body):
    try:
        assert messenger.parse(ACCOUNT, WebhookRequest("POST", {}, {}, body)) == []
    except WebhookUnreadable:
        return


def test_a_flood_of_links_in_a_long_text_is_read_in_no_time():
    links = [file("fallback", f"https://x{number}.example/", title="t" * 60) for number in range(10_000)]
    (found,) = parsed(entry(attached(*links, text="word " * 200_000)))
    assert len(found.text) > 1_300_000


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.strip() and "\0" not in text))
def test_words_and_keys_come_as_they_were_written(text):
    (plain, tap, press) = parsed(
        entry(
            written(text=text),
            event(message={"mid": "m_2", "text": text, "quick_reply": {"payload": text}}),
            event(postback={"mid": "m_3", "title": text, "payload": text}),
        )
    )
    assert (plain.text, tap.press, press.press) == (text, Press(text, text), Press(text, text))


# --- Files, and choices that vanish -----------------------------------------------------------------------------------


def test_a_file_is_fetched_by_its_public_url_without_any_secret():
    (found,) = parsed(entry(attached(file("image"))))
    call = messenger.fetch(ACCOUNT, found.media[0])
    assert call == Call(1, "GET", "https://cdn.example/1", (), {}, file=True)
    assert messenger.fetch(ACCOUNT, found.media[0], Answer(200, {}, b"file")) is None
    assert messenger.fetch(ACCOUNT, found.media[0], Answer(403, {}, b"")) is None
    assert messenger.fetch(ACCOUNT, InboundMedia(id="5")) is None


def rendered(kind: str, body: Any) -> Any:
    envelope = {"id": "1", "times": 0, "timestamp": "2023-11-14T22:13:20Z", "recipient": PSID}
    decoded = wire.decode({**envelope, "type": kind, "body": body}, "messenger")
    assert isinstance(decoded, Message), decoded
    return messenger.render(decoded, ACCOUNT, Facts(TID, PSID))


def buttons(*pairs: tuple[str, str]) -> Any:
    return {"text": "Pick", "button": [{"key": key, "title": title} for key, title in pairs]}


def test_quick_replies_are_choices_under_the_title_that_the_phone_shows():
    long = "a title of more than twenty characters"
    rendering = rendered("button", buttons(("k1", "One"), ("k" * 1200, long), ("k3", "One"), ("k4", "Four")))
    shown = [reply["title"] for reply in rendering.calls[-1].json["message"]["quick_replies"]]
    assert rendering.choices == tuple(map(Choice, shown, ["k1", "k" * 1200, "k3", "k4"]))
    assert shown[1] != long
    rows = [{"key": f"r{number}", "title": f"Row {number}", "description": ""} for number in range(2)]
    listed = rendered(
        "list",
        {"text": "Pick", "list": {"title": "T", "sections": [{"title": "", "description": "", "actions": rows}]}},
    )
    assert listed.choices == (Choice("Row 0", "r0"), Choice("Row 1", "r1"))


@pytest.mark.parametrize("count", [1, 3, 14, 40])
def test_buttons_that_stay_are_no_choices(count):
    assert rendered("button", buttons(*((f"k{n}", f"Title {n}") for n in range(count)))).choices == ()
