"""LINE's webhooks: the cases, every kind of event, foreign shapes beside true ones, and how files are fetched."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    TIME_UNTOLD,
    AccountNews,
    Answer,
    Call,
    ContactNews,
    Deleted,
    Edited,
    Facts,
    Ignored,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    Kind,
    Person,
    Press,
    Receipt,
    WebhookRejected,
    WebhookUnreadable,
)
from kurir.channels.line import channel as line
from kurir.domain import recipient as recipients
from kurir.domain.errors import ERRORS
from kurir.domain.message import Message
from kurir.domain.recipient import Form, Recipient
from kurir.domain.status import Status
from support.cases import load
from support.line import ACCOUNT, SETTINGS, TID, USER, decoded
from support.line_events import BOT, EVENTS, GROUP, OF_GROUP, OF_USER, ROOM, body_of, event, message, webhook

INBOUND = load("line", "inbound")
AT = datetime(2023, 8, 17, 5, 54, 26, 727_000, UTC)
PERSON = Person(USER, USER)


def parse(*events):
    return line.parse(ACCOUNT, webhook(body_of(*events)))


def parse_one(given_event):
    (found,) = parse(given_event)
    return found


# --- The cases --------------------------------------------------------------------------------------------------------

#: A case's event → our kind of event, and how each name in it is read from ours. Names of all are below.
KINDS = {
    "message": (InboundMessage, {"type": lambda found: found.kind.value}),
    "message_edited": (Edited, {}),
    "contact_unblocked": (ContactNews, {}),
    "contact_blocked": (ContactNews, {}),
    "account_linked": (ContactNews, {"nonce": lambda found: found.referral}),
    "status": (Receipt, {"message_id": lambda found: found.reference, "status": lambda found: found.status.value}),
}
NAMES = {
    "text": lambda found: found.text,
    "sender": lambda found: (found.sender if isinstance(found, InboundMessage) else found.person).id or None,
    "chat": lambda found: found.sender.address,
    "reply_token": lambda found: found.reply_token,
    "first_time": lambda found: found.first_time,
    "provider_message_id": lambda found: found.platform_id,
    "store_quote_token": lambda found: found.quote_token,
    "content_url": lambda found: line.fetch(ACCOUNT, found.media[0]).url,
    "latitude": lambda found: found.location.latitude,
    "longitude": lambda found: found.location.longitude,
    "name": lambda found: found.location.name or None,
    "address": lambda found: found.location.address or None,
}
BLOCKED = {"contact_unblocked": False, "contact_blocked": True}


@pytest.mark.parametrize("case", INBOUND, ids=lambda case: case["id"])
def test_inbound_case(case):
    account = replace(ACCOUNT, settings=replace(SETTINGS, channel_secret=case["channel_secret"]))
    request = webhook(case["raw_body"].encode(), case["x_line_signature"])
    if case["expect"]["http"] == 401:
        with pytest.raises(WebhookRejected):
            line.verify(account, request)
        return
    assert line.verify(account, request) is None
    found = line.parse(account, request)
    if "after" in case:  # the store passes over what it had before: that takes an equal id
        earlier = next(each for each in INBOUND if each["id"] == case["after"])
        first = line.parse(account, webhook(earlier["raw_body"].encode()))
        assert [replace(each, raw=b"") for each in found] == [replace(each, raw=b"") for each in first]
        assert case["expect"]["events"] == []
        return
    assert len(found) == len(case["expect"]["events"])
    for ours, expected in zip(found, case["expect"]["events"], strict=True):
        kind, names = KINDS[expected["event"]]
        assert isinstance(ours, kind)
        assert getattr(ours, "blocked", None) is BLOCKED.get(expected["event"])
        wanted = {name: value for name, value in expected.items() if name != "event"}
        assert {name: (NAMES | names)[name](ours) for name in wanted} == wanted


# --- Who may call -----------------------------------------------------------------------------------------------------

SIGNED = b'{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[]}'


def test_official_signature_vector():
    account = replace(ACCOUNT, settings=replace(SETTINGS, channel_secret="8c570fa6dd201bb328f1c1eac23a96d8"))
    request = webhook(SIGNED, "GhRKmvmHys4Pi8DxkF4+EayaH0OqtJtaZxgTD9fMDLs=")
    assert line.verify(account, request) is None
    assert line.parse(account, request) == []
    with pytest.raises(WebhookRejected):
        line.verify(account, replace(request, body=SIGNED + b" "))
    with pytest.raises(WebhookRejected):
        line.verify(account, replace(request, headers={}))
    with pytest.raises(WebhookRejected):
        line.verify(replace(account, settings=replace(SETTINGS, channel_secret="")), webhook(SIGNED, secret=""))


def test_dumping_the_body_again_breaks_its_signature():
    case = next(case for case in INBOUND if case["id"] == "ln-i05-signature-over-raw-bytes")
    for escapes in (True, False):
        dumped = json.dumps(json.loads(case["raw_body"]), ensure_ascii=escapes).encode()
        with pytest.raises(WebhookRejected):
            line.verify(ACCOUNT, webhook(dumped, case["x_line_signature"]))


@given(st.binary(max_size=50), st.text(max_size=60))
def test_verify_is_total(raw, signature):
    with pytest.raises(WebhookRejected):
        line.verify(ACCOUNT, webhook(raw, signature))


# --- Messages ---------------------------------------------------------------------------------------------------------


def of_message(number, kind, **fields):
    """Return what the message event with this number is in our words, without its raw fragment."""
    usual = {"sender": PERSON, "reply_token": "rt", "quote_token": "q", "platform_id": f"44457384408357{number:04}"}
    return InboundMessage(f"01FZ74A0TDDPYRVKNK77XKC{number:03}", "", AT, kind=kind, **(usual | fields))


def of_file(number, kind, quote_token="q", **fields):
    return of_message(
        number, kind, quote_token=quote_token, media=(InboundMedia(f"44457384408357{number:04}", **fields),)
    )


def of_contact(number, person=PERSON, **fields):
    return ContactNews(f"01FZ74A0TDDPYRVKNK77XKC{number:03}", "", AT, person, **fields)


def of_press(number, data, text=""):
    event_id = f"01FZ74A0TDDPYRVKNK77XKC{number:03}"
    return of_message(number, Kind.POSTBACK, platform_id=event_id, quote_token="", press=Press(data), text=text)


EXTERNAL = InboundMedia(url="https://e.x/o.jpg", public=True)
OFFICE = InboundLocation(-6.2, 106.816666, "Office", "Jl. X 1")
IN_GROUP, IN_ROOM, OF_NOBODY = Person(GROUP, USER), Person(ROOM, USER), Person(GROUP)
UNUSED = {
    "member left",
    "video watched",
    "beacon",
    "not linked",
    "membership",
    "module attached",
    "activated",
    "deactivated",
    "resumed",
    "delivery of others",
}

#: Every event but those without use → ours.
FOUND = {
    "text": of_message(1, Kind.TEXT, text="@All Hello 🍎 (love)", quote_token="q3P"),
    "text with extras": of_message(2, Kind.TEXT, text="@bot see (brown)", reply_to="4216"),
    "image": of_file(3, Kind.IMAGE),
    "image of a set": of_file(4, Kind.IMAGE),
    "image of an app": of_message(5, Kind.IMAGE, media=(EXTERNAL,)),
    "video": of_file(6, Kind.VIDEO),
    "audio": of_file(7, Kind.AUDIO, quote_token=""),
    "file": of_file(8, Kind.DOCUMENT, quote_token="", name="invoice.pdf", size=2138),
    "location": of_message(9, Kind.LOCATION, quote_token="", location=OFFICE),
    "bare location": of_message(10, Kind.LOCATION, quote_token="", location=InboundLocation(0.0, 0.0)),
    "sticker": of_message(11, Kind.STICKER),
    "message sticker": of_message(12, Kind.STICKER, text="Let's go"),
    "text in a group": of_message(13, Kind.TEXT, text="x", sender=IN_GROUP),
    "text of nobody in a group": of_message(14, Kind.TEXT, text="x", sender=OF_NOBODY),
    "text in a room": of_message(15, Kind.TEXT, text="x", sender=IN_ROOM),
    "text in standby": of_message(16, Kind.TEXT, text="x", platform_id="1", reply_token="", standby=True),
    "edited": Edited("01FZ74A0TDDPYRVKNK77XKC017", "", AT, IN_GROUP, "610830548529053697", "Edited"),
    "unsend": Deleted("01FZ74A0TDDPYRVKNK77XKC018", "", AT, PERSON, "325708"),
    "follow": of_contact(19, blocked=False, first_time=True, reply_token="rt"),
    "unblock": of_contact(20, blocked=False, reply_token="rt"),
    "unfollow": of_contact(21, blocked=True),
    "join": of_contact(22, OF_NOBODY, blocked=False, reply_token="rt"),
    "leave": of_contact(23, OF_NOBODY, blocked=True),
    "member joined": of_contact(24, OF_NOBODY, reply_token="rt"),
    "postback": of_press(26, "k1"),
    "date picked": of_press(27, "when", "2017-09-03"),
    "time picked": of_press(28, "when", "15:00"),
    "moment picked": of_press(29, "when", "2017-12-25T01:00"),
    "menu switched": of_press(30, "menu", "menu-b"),
    "menu not switched": of_press(31, "menu"),
    "linked": of_contact(34, referral="bm9uY2Utb2YtMTYtYnl0ZXM=", reply_token="rt"),
    "delivery": Receipt("01FZ74A0TDDPYRVKNK77XKC042", Status.DELIVERED, AT, "", reference=f"{TID}:2"),
}


@pytest.mark.parametrize("name", FOUND)
def test_every_event_in_our_words(name):
    found = parse_one(EVENTS[name])
    assert replace(found, raw=b"") == FOUND[name]
    assert json.loads(found.raw) == EVENTS[name]


@pytest.mark.parametrize("name", sorted(UNUSED))
def test_events_without_use_say_why(name):
    found = parse_one(EVENTS[name])
    assert isinstance(found, Ignored)
    assert found.event_id == EVENTS[name]["webhookEventId"]
    assert len(found.why) > 20
    assert json.loads(found.raw) == EVENTS[name]


def test_suspension_is_news_for_the_operator_and_stops_nothing():
    found = parse_one(EVENTS["suspended"])
    assert isinstance(found, AccountNews)
    assert found.code in ERRORS
    assert not found.stops


def test_every_sample_is_looked_at():
    assert EVENTS.keys() == FOUND.keys() | UNUSED | {"suspended"}


def test_all_events_of_one_post_in_their_order():
    found = parse(*EVENTS.values())
    assert found == [parse_one(each) for each in EVENTS.values()]
    assert len({each.event_id for each in found}) == len(EVENTS)


@pytest.mark.parametrize("address", ["U" + "0123456789abcdef" * 2, GROUP, ROOM])
def test_addresses_are_what_a_request_may_name(address):
    kind = {"U": "user", "C": "group", "R": "room"}[address[0]]
    found = parse_one(message("text", source={"type": kind, f"{kind}Id": address}, text="x"))
    assert recipients.read("line", f"line:{found.sender.address}") == Recipient(Form.ADDRESS, address)


@pytest.mark.parametrize(
    ("given_message", "text"),
    [
        ({"id": "7", "type": "hologram", "url": "https://e.x"}, "hologram"),
        ({"id": "7", "type": "a\0b\ud800" + "x" * 100}, "ab\ufffd" + "x" * 57),
        ({"id": "7"}, "unknown"),
        ({"id": "7", "type": 3}, "unknown"),
        ({"id": "7", "type": "text"}, "text"),
        ({"id": "7", "type": "location", "latitude": 91, "longitude": 0}, "location"),
        ({"id": "7", "type": "location", "latitude": float("nan"), "longitude": 0}, "location"),
        ({"id": "7", "type": "location", "latitude": True, "longitude": 0}, "location"),
    ],
)
def test_messages_that_are_not_understood_are_named(given_message, text):
    found = parse_one(event("message", message=given_message))
    assert (found.kind, found.text, found.platform_id) == (Kind.UNSUPPORTED, text, "7")
    assert (found.sender, found.reply_token) == (PERSON, "rt")


def test_postback_without_data_is_named():
    found = parse_one(event("postback", postback={}))
    assert (found.kind, found.text, found.press) == (Kind.UNSUPPORTED, "postback", None)


def test_message_without_an_id_is_told_by_the_events():
    found = parse_one(event("message", message={"type": "text", "text": "x"}))
    assert found.platform_id == found.event_id == "01FZ74A0TDDPYRVKNK77XKC001"


def test_words_can_be_stored_and_tokens_are_whole_or_absent():
    found = parse_one(
        event("message", token="t" * 1001, message={"id": 12, "type": "text", "text": "a\0\ud83d", "quoteToken": "q\n"})
    )
    assert (found.text, found.platform_id, found.reply_token, found.quote_token) == ("a\ufffd", "12", "", "")


@pytest.mark.parametrize(
    "provider",
    [
        {"type": "external"},
        {"type": "external", "originalContentUrl": "http://e.x/o.jpg"},
        {"type": "external", "originalContentUrl": "file:///etc/passwd"},
        {"type": "external", "originalContentUrl": "https://" + "e" * 2000},
        {"type": "external", "originalContentUrl": 3},
    ],
)
def test_external_file_without_a_usable_url_is_a_message_all_the_same(provider):
    found = parse_one(message("image", contentProvider=provider, quoteToken="q"))
    assert (found.kind, found.media) == (Kind.IMAGE, ())


@pytest.mark.parametrize("number", ["../../bot/info", "", "a/b", "1" * 101, None, True, "٣"])
def test_file_whose_id_is_none_is_not_asked_for(number):
    found = parse_one(event("message", message={"id": number, "type": "image", "contentProvider": {"type": "line"}}))
    assert (found.kind, found.media) == (Kind.IMAGE, ())


def test_standby_has_nothing_to_reply_with():
    """Not even where a token comes all the same: another module has the conversation."""
    found = parse_one(message("text", text="x") | {"mode": "standby"})
    assert (found.standby, found.reply_token) == (True, "")


def test_person_is_new_only_where_line_says_so():
    found = parse_one(event("follow"))
    assert (found.blocked, found.first_time) == (False, False)


def test_account_link_is_the_persons_also_when_it_comes_from_a_group():
    found = parse_one(EVENTS["linked"] | {"source": OF_GROUP})
    assert (found.person, found.reply_token) == (PERSON, "")


@pytest.mark.parametrize(
    ("given_event", "why"),
    [
        (event("sparkle"), "«sparkle»"),
        ({"type": 3}, "without a type"),
        ("odd", "without a type"),
        (None, "without a type"),
        (message("text", source=None, text="x"), "names no chat"),
        (message("text", source={"type": "user"}, text="x"), "names no chat"),
        (message("text", source={"type": "openchat", "userId": USER}, text="x"), "names no chat"),
        (message("text", source={"type": ["user"], "userId": USER}, text="x"), "names no chat"),
        (event("message"), "without a message"),
        (event("unsend", unsend={}), "without the message's id"),
        (event("messageEdited", message={"id": "1", "type": "image"}), "without the message's id or text"),
        (event("accountLink", link={"result": "ok"}), "failed, or without nonce"),
        (event("accountLink", link={"result": "ok", "nonce": "n" * 256}), "failed, or without nonce"),
        (event("delivery", delivery={"data": 3}), "did not send"),
    ],
)
def test_what_cannot_be_used_is_ignored_with_its_reason(given_event, why):
    found = parse_one(given_event)
    assert isinstance(found, Ignored)
    assert why in found.why
    assert json.loads(found.raw) == given_event


# --- Ids and times ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_redelivery_is_the_same_event(name):
    again = EVENTS[name] | {"deliveryContext": {"isRedelivery": True}}
    first, second = parse_one(EVENTS[name]), parse_one(again)
    assert replace(first, raw=b"") == replace(second, raw=b"")


@pytest.mark.parametrize("event_id", [None, "", "x" * 101, 3.5, "a b", "é"])
def test_event_without_an_id_has_one_of_its_content(event_id):
    given_event = EVENTS["text"] | {"webhookEventId": event_id}
    found = parse_one(given_event)
    again = parse(EVENTS["follow"], given_event | {"deliveryContext": {"isRedelivery": True}})[1]
    other = parse_one(given_event | {"timestamp": 5})
    assert len(found.event_id) == 64
    assert found.event_id == again.event_id != other.event_id


@pytest.mark.parametrize("timestamp", [None, True, -1, 0, 10**30, "soon", [], 1.5])
def test_time_that_is_none_is_left_to_whoever_takes_it_in(timestamp):
    found = parse_one(EVENTS["text"] | {"timestamp": timestamp})
    assert (found.at, found.text) == (TIME_UNTOLD, "@All Hello 🍎 (love)")


# --- Keys come back ---------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=400))
@example("~t:" + "a" * 22)
@example("k" * 301)
@example(" \u00a0k\n")
@example("🍎" * 151)
def test_the_key_of_a_button_comes_back_by_its_press(key):
    body = {
        "id": "m-1",
        "times": 0,
        "timestamp": "2023-11-14T22:13:20Z",
        "recipient": "6281234567890",
        "type": "button",
        "body": {"text": "Choose", "button": [{"key": key, "title": "A"}]},
    }
    sent = decoded(body)
    if not isinstance(sent, Message):
        assert {problem.code for problem in sent} <= {"blank", "missing", "no_words"}
        return
    rendering = line.render(sent, ACCOUNT, Facts(TID, USER))
    (pressed,) = [action["data"] for action in actions(rendering.calls[0].json)]
    stored = {token.token: token.key for token in rendering.tokens}
    found = parse_one(event("postback", postback={"data": pressed}))
    assert stored.get(found.press.data, found.press.data) == key
    assert rendering.choices == ()  # LINE's buttons stay


def actions(value):
    """Yield the postback actions anywhere in *value*."""
    if isinstance(value, dict):
        if value.get("type") == "postback":
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from actions(each)


# --- Whatever comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"events":{}}', b"\xff", b"[" * 100_000])
def test_other_bodies_are_unreadable(raw):
    with pytest.raises(WebhookUnreadable):
        line.parse(ACCOUNT, webhook(raw))


def names(value):
    """Yield every name and every text that the samples hold."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, str):
        yield value
    for each in value if isinstance(value, list) else ():
        yield from names(each)


WORDS = sorted(set(names(list(EVENTS.values()))))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from([*WORDS, "\ud800", "\0", 10**30, -1, "x" * 5000])
)


def json_values():
    keys = st.sampled_from(WORDS) | st.text(max_size=5)
    return st.recursive(
        LEAVES, lambda each: st.lists(each, max_size=4) | st.dictionaries(keys, each, max_size=6), max_leaves=8
    )


def check(found):
    assert found.event_id
    assert len(found.event_id) <= 100
    assert isinstance(found.raw, bytes)
    for name in ("text", "platform_id", "reply_token", "quote_token", "reply_to", "referral", "why"):
        text = getattr(found, name, "")
        text.encode()
        assert "\0" not in text
    person = getattr(found, "sender", getattr(found, "person", None))
    assert person is None or (person.address and person.address.isascii() and len(person.address) <= 100)
    for each in getattr(found, "media", ()):
        assert each.url.startswith("https://") if each.public else each.id
        call = line.fetch(ACCOUNT, each)
        call.url.encode("ascii")


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=100)
    | json_values().map(lambda value: json.dumps(value).encode())
    | st.lists(json_values(), max_size=4).map(lambda events: json.dumps({"events": events}).encode())
)
def test_parse_is_total(raw):
    request = webhook(raw)
    assert line.verify(ACCOUNT, request) is None
    try:
        found = line.parse(ACCOUNT, request)
    except WebhookUnreadable:
        return
    assert line.parse(ACCOUNT, request) == found
    for each in found:
        check(each)


def places(value, path=()):
    """Yield the path of every member and item in *value*."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from places(each, (*path, key))


#: What stands in place of a true value, one after the other.
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    float("inf"),
    "",
    "\0",
    "\ud800",
    "x" * 5000,
    "٣",
    "../..",
    [],
    [{}],
    {},
    {"type": {}},
]
DROPPED = object()


def mutated(given_event, path, value):
    """Return *given_event* with *value* at *path*, or without what is there."""
    changed = copy.deepcopy(given_event)
    *steps, last = path
    owner = changed
    for step in steps:
        owner = owner[step]
    if value is DROPPED:
        del owner[last]
    else:
        owner[last] = value
    return changed


def check_beside_true_ones(odd_event, before="text", after="unfollow"):
    first, odd, last = parse(EVENTS[before], odd_event, EVENTS[after])
    assert (replace(first, raw=b""), replace(last, raw=b"")) == (FOUND[before], FOUND[after])
    check(odd)
    is_message = odd_event.get("type") == "message" and isinstance(odd_event.get("message"), dict)
    if is_message and odd_event["message"] and odd_event.get("source") in (OF_USER, OF_GROUP):
        assert isinstance(odd, InboundMessage)  # whatever it holds, a message of somebody is told


@pytest.mark.parametrize("name", EVENTS)
def test_true_events_survive_beside_one_with_a_member_dropped_or_replaced(name):
    for path in places(EVENTS[name]):
        for value in [DROPPED, *ODD]:
            check_beside_true_ones(mutated(EVENTS[name], path, value))


@settings(max_examples=100, deadline=None)
@given(st.data(), *[st.sampled_from(sorted(FOUND))] * 2, st.sampled_from(sorted(EVENTS)))
def test_true_events_survive_beside_one_with_several_members_mutated(data, before, after, name):
    odd = EVENTS[name]
    for value in data.draw(st.lists(st.just(DROPPED) | LEAVES | json_values(), min_size=2, max_size=4)):
        if found := list(places(odd)):
            odd = mutated(odd, found[data.draw(st.integers(0, len(found) - 1))], value)
    check_beside_true_ones(odd, before, after)


def nested(depth):
    """Return two events, the first with a member that is nested so deep."""
    text, follow = json.dumps(EVENTS["text"]).encode()[:-1], json.dumps(EVENTS["follow"]).encode()
    return webhook(b'{"events":[' + text + b',"more":' + b"[" * depth + b"]" * depth + b"}," + follow + b"]}")


def test_event_nested_as_deep_as_can_be_read_is_read_all_the_same():
    """How deep that is, and whether it can be written again, differs by version of Python."""
    readable, unreadable = 1, 200_000
    while unreadable - readable > 1:
        depth = (readable + unreadable) // 2
        try:
            first, second = line.parse(ACCOUNT, nested(depth))
        except WebhookUnreadable:
            unreadable = depth
            continue
        readable = depth
        assert (first.event_id, first.text) == ("01FZ74A0TDDPYRVKNK77XKC001", "@All Hello 🍎 (love)")
        assert first.raw == b"" or json.loads(first.raw)["message"] == EVENTS["text"]["message"]
        assert replace(second, raw=b"") == FOUND["follow"]
    assert readable > 100


# --- Files ------------------------------------------------------------------------------------------------------------

FILE = InboundMedia("354718705033693859")
CONTENT = "https://api-data.line.me/v2/bot/message/354718705033693859/content"


def test_file_is_fetched_with_the_token_from_where_line_keeps_it():
    call = line.fetch(ACCOUNT, FILE)
    assert call == Call(1, "GET", CONTENT, (("Authorization", "Bearer secret-token"),), {}, file=True)
    moved = replace(ACCOUNT, settings=replace(SETTINGS, data_api_base="http://127.0.0.1:8425/line/"))
    assert line.fetch(moved, FILE).url == "http://127.0.0.1:8425/line/v2/bot/message/354718705033693859/content"


def test_file_that_is_not_ready_is_asked_for_again():
    assert line.fetch(ACCOUNT, FILE, Answer(202, {}, b"")) == line.fetch(ACCOUNT, FILE)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 410, 500])
def test_any_other_answer_is_the_file_or_refuses_it(status):
    assert line.fetch(ACCOUNT, FILE, Answer(status, {}, b'{"status":"processing"}')) is None


def test_public_file_is_fetched_without_the_token():
    call = line.fetch(ACCOUNT, InboundMedia(url="https://e.x/o.jpg", public=True))
    assert call == Call(1, "GET", "https://e.x/o.jpg", (), {}, file=True)
    assert line.fetch(ACCOUNT, InboundMedia(url="https://e.x/o.jpg", public=True), Answer(202, {}, b"")) is None
    assert line.fetch(ACCOUNT, InboundMedia(public=True)) is None
    assert line.fetch(ACCOUNT, InboundMedia()) is None


def test_id_of_a_file_cannot_leave_its_place_in_the_url():
    assert line.fetch(ACCOUNT, InboundMedia("a/b?c#d")).url.endswith("/message/a%2Fb%3Fc%23d/content")


def test_bot_is_not_asked_for():
    """The signature vouches for the channel: its account owns whatever comes."""
    other = json.dumps({"destination": "U" + "9" * 32, "events": [EVENTS["text"]]}).encode()
    assert line.parse(ACCOUNT, webhook(other)) == line.parse(ACCOUNT, webhook(body_of(EVENTS["text"])))
    assert {each.owner for each in parse(*EVENTS.values()) if not isinstance(each, Ignored)} == {""}
    assert BOT not in repr(parse(EVENTS["text"]))
