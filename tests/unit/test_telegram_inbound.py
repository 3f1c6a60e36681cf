"""What comes in from Telegram: the cases, every kind of update, what is nobody's, and files."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kurir.channels.base import (
    TIME_UNTOLD,
    Answer,
    Call,
    ContactNews,
    Edited,
    Ignored,
    Inbound,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    Kind,
    Person,
    Reaction,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.telegram import channel as telegram
from kurir.channels.telegram import received as telegram_received
from kurir.channels.telegram.webhooks import BUTTON_EXPIRED
from kurir.domain import recipient
from kurir.domain.account import Account, TelegramSettings
from kurir.domain.recipient import Form, Recipient
from support import cases
from support import telegram_updates as updates
from support.telegram_updates import (
    CHANNEL,
    FILE,
    GROUP,
    PLACE,
    SUPERGROUP,
    emoji,
    membership,
    message,
    press,
    reaction,
)

TOKEN = "123456:TEST"
SECRET = "s3cr3t"
ACCOUNT = Account(
    id="acme-tg",
    client_id="acme",
    channel="telegram",
    api_base=telegram.API_BASE,
    settings=TelegramSettings(token=TOKEN, secret_token=SECRET),
)
SECRET_HEADER = "x-telegram-bot-api-secret-token"
ANI = Person("1001", "1001", "Ani W", "ani")
AT = datetime.fromtimestamp(1_700_000_000, UTC)


def webhook(update: object, secret: str | None = SECRET) -> WebhookRequest:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    return WebhookRequest("POST", {}, headers, json.dumps(update).encode())


def parsed(update: object) -> list[Inbound]:
    return telegram.parse(ACCOUNT, webhook(update))


def only(update: object) -> Any:
    (event,) = parsed(update)
    return event


def received(update: object) -> InboundMessage:
    event = only(update)
    assert isinstance(event, InboundMessage), event
    return event


# --- the cases --------------------------------------------------------------------------------------------------------


def by_id(case: Any) -> str:
    return str(case["id"])


#: A case's name of an event → which of ours says it.
EVENTS: dict[str, tuple[type[Any], ...]] = {
    "message": (InboundMessage,),
    "start": (InboundMessage,),
    "contact": (InboundMessage,),
    "postback": (InboundMessage,),
    "message_edited": (Edited,),
    "contact_blocked": (ContactNews,),
    "contact_unblocked": (ContactNews,),
    "chat_migrated": (ContactNews,),
}

#: A case's member → what of our events it names. What the store adds (whose key a token is) is tested with the store.
READINGS: dict[str, Any] = {
    "type": lambda event: event.kind.value,
    "text": lambda event: event.text,
    "sender": lambda event: (event.person if isinstance(event, ContactNews) else event.sender).address,
    "provider_message_id": lambda event: event.platform_id,
    "reply_token": lambda event: event.reply_token,
    "reply_to_provider_message_id": lambda event: event.reply_to,
    "of_provider_message_id": lambda event: event.reply_to,
    "payload": lambda event: event.referral,
    "key": lambda event: event.press.data,
    "title": lambda event: event.press.title,
    "file_id": lambda event: event.media[0].id,
    "latitude": lambda event: event.location.latitude,
    "longitude": lambda event: event.location.longitude,
    "name": lambda event: event.location.name,
    "address": lambda event: event.location.address,
    "from_chat": lambda event: event.person.address,
    "to_chat": lambda event: event.moved_to,
    "requests": lambda event: requests_of(event.press.known),
}


def requests_of(calls: tuple[Call, ...]) -> list[Any]:
    return [
        {
            "method": call.method,
            "path": call.url.removeprefix(ACCOUNT.api_base).replace(TOKEN, "{token}"),
            "content_type": dict(call.headers)["Content-Type"],
            "json": call.json,
        }
        for call in calls
    ]


def inbound_cases() -> list[Any]:
    return [case for kind in ("inbound", "verify") for case in cases.load("telegram", kind)]


@pytest.mark.parametrize("case", inbound_cases(), ids=by_id)
def test_inbound_case(case):
    headers = {**case["headers"], **case.get("override_headers", {})}
    request = webhook(case["update"], headers["X-Telegram-Bot-Api-Secret-Token"])
    expect = dict(case["expect"])
    if expect.get("http") in (401, 403):
        with pytest.raises(WebhookRejected):
            telegram.verify(ACCOUNT, request)
        return
    assert telegram.verify(ACCOUNT, request) is None
    events = telegram.parse(ACCOUNT, request)
    name = expect.pop("event")
    if name is None and "duplicate" in expect["note"]:  # the store passes over what it has: the events are those again
        first = next(one for one in inbound_cases() if one["id"] == "tg-i01-text")
        assert events == parsed(first["update"])
        return
    if name is None:  # a token that no store knows: how it is answered is told with the press
        (event,) = events
        assert isinstance(event, InboundMessage)
        assert event.press is not None
        assert requests_of(event.press.unknown) == expect["requests"]
        return
    if name == "contact":
        verified = expect.pop("verified")
        assert [type(event) for event in events] == [InboundMessage, ContactNews][: 1 + verified]
    else:
        assert tuple(type(event) for event in events) == EVENTS[name]
    told = {member: READINGS[member](events[0]) for member in expect if member != "note"}
    assert told == {member: value for member, value in expect.items() if member != "note"}
    if name in ("contact_blocked", "contact_unblocked"):
        assert events[0].blocked is (name == "contact_blocked")


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "update"),
    [(kind, update) for kind, samples in updates.SAMPLES.items() for update in samples.values()],
    ids=[name for samples in updates.SAMPLES.values() for name in samples],
)
def test_every_kind_of_message(kind, update):
    event = received(update)
    assert event.kind == Kind(kind)
    assert (event.event_id, event.owner, event.at, event.sender) == ("900001", "", AT, ANI)
    assert event.platform_id == event.reply_token == "1001:10"
    assert event.press is None
    assert not event.live
    assert [media.id for media in event.media] == (
        ["F"] if kind in ("image", "video", "audio", "voice", "document", "sticker") else []
    )


MEDIA = {
    "photo": InboundMedia("F", mime_type="image/jpeg", size=98_765),
    "gif": InboundMedia("F", mime_type="image/gif", animated=True),
    "video": InboundMedia("F", mime_type="video/mp4", name="v.mp4", size=5000),
    "animation": InboundMedia("F", mime_type="video/mp4", animated=True),
    "video_note": InboundMedia("F", mime_type="video/mp4"),
    "audio": InboundMedia("F", mime_type="audio/mpeg", name="s.mp3"),
    "voice": InboundMedia("F", mime_type="audio/ogg", size=23_000),
    "document": InboundMedia("F", mime_type="application/pdf", name="invoice.pdf"),
    "sticker": InboundMedia("F", mime_type="image/webp"),
}


@pytest.mark.parametrize("name", MEDIA)
def test_file_of_a_message(name):
    event = received(updates.ALL[name])
    assert event.media == (MEDIA[name],)
    words = {"photo": "Look", "video": "Look", "document": "Yours", "sticker": "👍"}
    assert event.text == words.get(name, "")


@pytest.mark.parametrize(
    ("flags", "mime_type"),
    [({"is_animated": True}, "application/x-tgsticker"), ({"is_video": True}, "video/webm")],
)
def test_sticker_that_moves(flags, mime_type):
    (media,) = received(message(sticker={**FILE, **flags})).media
    assert (media.mime_type, media.animated) == (mime_type, True)


def test_live_photo_is_its_still():
    still = [{**FILE, "width": 9, "height": 9}]
    beside = received(message(live_photo={**FILE, "file_id": "moving", "photo": still}, photo=still))
    within = received(message(live_photo={**FILE, "file_id": "moving", "photo": still}))
    assert [(event.kind, event.media[0].id) for event in (beside, within)] == [(Kind.IMAGE, "F")] * 2


def test_name_and_type_of_a_file_are_made_harmless():
    bad = {**FILE, "file_name": "../a\0\u202egpj.exe\n", "mime_type": "text/html; charset=x", "file_size": -1}
    (media,) = received(message(document=bad)).media
    assert media == InboundMedia("F", name=".._a_gpj.exe_")


def test_place_of_a_location_and_of_a_venue():
    assert received(updates.ALL["location"]).location == InboundLocation(1.5, 2.5, live_period=900)
    assert received(updates.ALL["venue"]).location == InboundLocation(1.5, 2.5, "Cafe", "Street 1")


@pytest.mark.parametrize("location", [{}, {"latitude": 91, "longitude": 0}, {"latitude": "1", "longitude": True}, 5])
def test_place_that_is_nowhere_is_unsupported(location):
    event = received(message(location=location))
    assert (event.kind, event.text, event.location) == (Kind.UNSUPPORTED, "location", None)


def test_card_of_somebody_is_words():
    assert received(updates.ALL["contact"]).text == "Bob\n+62 812-999"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"dice": {"value": 3}}, "dice"),
        ({"new_in_11": True, "dice": {"value": 3}}, "dice"),
        ({"hologram": {"file_id": "H"}}, "hologram"),
        ({"text": 5}, "text"),
        ({"photo": []}, "photo"),
        ({"voice": {"duration": 5}}, "voice"),
        ({}, "unknown"),
        ({"Ünfit name": 1}, "unknown"),
        ({"paid_media": {"star_count": 1}, "caption": "Pay"}, "paid_media"),
    ],
)
def test_message_of_a_kind_that_is_not_known_is_named(fields, name):
    event = received(message(**fields))
    assert (event.kind, event.text, event.media) == (Kind.UNSUPPORTED, name, ())


@pytest.mark.parametrize("field", telegram_received.SERVICE)
def test_service_message_is_ignored_by_its_name(field):
    event = only(message(chat=GROUP, **{field: True}))
    assert isinstance(event, Ignored)
    assert event.why.endswith(field)


def test_tables_of_fields_share_none():
    tables = (telegram_received.READ, telegram_received.SERVICE, telegram_received.NAMED)
    tables += (telegram_received.ABOUT, telegram_received.APART)
    fields = [field for table in tables for field in table]
    assert len(fields) == len(set(fields))


# --- who and where ----------------------------------------------------------------------------------------------------


def test_person_in_a_group_is_answered_in_the_group():
    event = received(message(chat=GROUP, text="hi"))
    assert event.sender == Person("-4001", "1001", "Ani W", "ani")
    assert event.platform_id == "-4001:10"


def test_anonymous_administrator_is_the_group():
    stand_in = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    event = received(message(from_=stand_in, sender_chat=SUPERGROUP, chat=SUPERGROUP, text="hi"))
    assert event.sender == Person("-1001234567890", "-1001234567890", "Family", "family")


@pytest.mark.parametrize("sender", [{"sender_chat": CHANNEL}, {}])
def test_post_in_a_channel_is_the_channels(sender):
    event = received(message("channel_post", from_=None, chat=CHANNEL, text="News", **sender))
    assert event.sender == Person("-1009876543210", "-1009876543210", "News", "news")


def test_post_that_is_passed_on_to_the_discussion_is_nobodys_message():
    assert isinstance(only(message(chat=GROUP, sender_chat=CHANNEL, text="News", is_automatic_forward=True)), Ignored)


def test_every_address_is_one_that_can_be_sent_to():
    for update in updates.ALL.values():
        for event in parsed(update):
            whom = event.person if isinstance(event, ContactNews) else event.sender
            assert recipient.read("telegram", f"tg:{whom.address}") == Recipient(Form.ADDRESS, whom.address)


@pytest.mark.parametrize(
    ("quoted", "reply_to"),
    [
        ({"reply_to_message": {"message_id": 20, "chat": updates.PRIVATE}}, "1001:20"),
        ({"reply_to_message": {"message_id": 20}}, "1001:20"),
        ({"external_reply": {"message_id": 7, "chat": CHANNEL}}, "-1009876543210:7"),
        ({"external_reply": {"origin": {"type": "hidden_user"}}}, ""),
        ({"reply_to_message": {"message_id": 3, "forum_topic_created": {"name": "T"}}}, ""),
        ({"reply_to_message": {"message_id": 0}}, ""),
        ({"reply_to_message": "x"}, ""),
    ],
)
def test_quoted_message(quoted, reply_to):
    assert received(message(text="about that", **quoted)).reply_to == reply_to


@pytest.mark.parametrize("chat", [None, {}, {"id": 0}, {"id": "1001"}, {"id": 2**60}, 5])
def test_message_of_no_chat_is_ignored(chat):
    assert isinstance(only(message(chat=chat, text="hi")), Ignored)


@pytest.mark.parametrize("number", [None, 0, -1, "10", True])
def test_message_without_a_number_is_told_and_cannot_be_quoted(number):
    event = received(message(message_id=number, text="hi"))
    assert (event.text, event.platform_id, event.reply_token) == ("hi", "", "")


@pytest.mark.parametrize("date", [None, 0, -5, "x", 10**15, 1.5, True])
def test_time_that_is_not_told(date):
    assert received(message(date=date, text="hi")).at == TIME_UNTOLD


def test_words_are_fit_to_be_stored_and_bounded():
    event = received(message(text="a\0b\ud800" + "x" * 50_000, from_={**updates.ANI, "first_name": "y" * 99}))
    assert event.text.startswith("ab\ufffdx")
    assert len(event.text) <= 32_768
    assert event.sender.name == "y" * 64 + " W"


# --- deep links and phones --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({"text": "/start lnk_abc"}, "lnk_abc"),
        ({"text": "/start@shop_bot lnk-abc"}, "lnk-abc"),
        ({"text": "/start " + "a" * 64}, "a" * 64),
        ({"text": "/start " + "a" * 65}, ""),
        ({"text": "/start"}, ""),
        ({"text": "/start two words"}, ""),
        ({"text": "say /start x"}, ""),
        ({"text": "/start äx"}, ""),
        ({"text": "/start abc\n"}, ""),
        ({"text": "/start abc", "chat": GROUP}, ""),
        ({"text": "/start abc", "from_": {"id": 7}}, ""),
        ({"text": "/start abc", "chat": {"id": 1001, "type": "group"}}, ""),
        ({"caption": "/start abc", "photo": [FILE]}, ""),
    ],
)
def test_payload_of_a_deep_link(fields, payload):
    event = received(message(**fields))
    assert event.referral == payload
    assert event.text == fields.get("text", fields.get("caption"))


OWN = {"phone_number": "6281234567890", "first_name": "Ani", "user_id": 1001}


@pytest.mark.parametrize(
    "phone", ["6281234567890", "+6281234567890", "+62 812-3456-7890", "(62) 81234567890", "62 812 3456 7890"]
)
def test_own_number_is_the_senders_for_certain(phone):
    card, news = parsed(message(contact={**OWN, "phone_number": phone}))
    assert isinstance(card, InboundMessage)
    assert (card.kind, card.sender.phone, card.event_id) == (Kind.CONTACT, "", "900001")
    assert news == ContactNews("900001:contact", "", AT, ANI, shared_phone="6281234567890", raw=card.raw)


@pytest.mark.parametrize(
    "fields",
    [
        {"contact": {**OWN, "user_id": 2002}},
        {"contact": {**OWN, "user_id": None}},
        {"contact": {"phone_number": "6281234567890", "first_name": "Ani"}},
        {"contact": {**OWN, "user_id": "1001"}},
        {"contact": OWN, "chat": GROUP},
        {"contact": OWN, "chat": {**updates.PRIVATE, "type": "group"}},
        {"contact": OWN, "chat": {**updates.PRIVATE, "id": 2002}},
        {"contact": OWN, "forward_origin": {"type": "user", "sender_user": updates.ANI, "date": 1}},
        {"contact": OWN, "forward_origin": None, "forward_date": 1},
        {"contact": OWN, "via_bot": updates.BOT},
        {"contact": {**OWN, "phone_number": "081234567890"}},
        {"contact": {**OWN, "phone_number": "628"}},
        {"contact": {**OWN, "phone_number": "6281234567890123"}},
        {"contact": {**OWN, "phone_number": "٦٢٨١٢٣٤٥٦٧٨٩٠"}},
        {"contact": {**OWN, "phone_number": 6281234567890}},
    ],
)
def test_number_that_is_not_the_senders_for_certain_is_only_a_card(fields):
    assert received(message(**fields)).kind is Kind.CONTACT


def test_card_without_a_sender_proves_nothing():
    card = {"phone_number": "6281234567890", "first_name": "Ani"}
    assert received(message(from_=None, chat={"type": "private", "id": 1001}, contact=card)).kind is Kind.CONTACT


# --- edits and live locations -----------------------------------------------------------------------------------------


def test_edit_tells_the_new_words_and_when():
    event = only(updates.ALL["edited"])
    assert event == Edited(
        "900001", "", datetime.fromtimestamp(1_700_000_300, UTC), ANI, "1001:10", "Hi!", raw=event.raw
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"photo": [FILE], "caption": "new"}, "new"), ({"photo": [FILE]}, ""), ({"document": FILE}, "")],
)
def test_edit_of_a_file_tells_its_caption(fields, text):
    event = only(message("edited_channel_post", **fields))
    assert isinstance(event, Edited)
    assert event.text == text


def test_edit_of_what_has_no_words_is_ignored():
    assert isinstance(only(message("edited_message", checklist={"title": "x"})), Ignored)
    assert isinstance(only(message("edited_message", message_id=None, text="x")), Ignored)


@pytest.mark.parametrize("location", [{**PLACE, "live_period": 900, "heading": 90}, PLACE])
def test_next_position_of_a_live_location(location):
    event = received(message("edited_message", location=location, edit_date=1_700_000_300))
    assert (event.kind, event.live, event.platform_id) == (Kind.LOCATION, True, "1001:10")
    assert event.location == InboundLocation(1.5, 2.5, live_period=location.get("live_period", 0))
    assert event.at == datetime.fromtimestamp(1_700_000_300, UTC)


# --- presses ----------------------------------------------------------------------------------------------------------


def answered(**parameters: Any) -> list[Any]:
    told = {"callback_query_id": "4382", **parameters}
    path = "/bot{token}/answerCallbackQuery"
    return [{"method": "POST", "path": path, "content_type": "application/json", "json": told}]


def test_press_names_its_key_its_title_and_its_message():
    event = received(press())
    assert (event.kind, event.sender, event.reply_to, event.reply_token) == (Kind.POSTBACK, ANI, "1001:20", "1001:20")
    assert (event.at, event.platform_id) == (TIME_UNTOLD, "4382")
    assert event.press is not None
    assert (event.press.data, event.press.title) == ("btn1", "First")
    assert requests_of(event.press.known) == answered()
    assert requests_of(event.press.unknown) == answered(text=BUTTON_EXPIRED, show_alert=False)


@pytest.mark.parametrize(
    "markup",
    [None, {}, 5, {"inline_keyboard": 5}, {"inline_keyboard": [5, [5], [{"text": "B", "callback_data": "b"}]]}],
)
def test_press_without_its_button_has_no_title(markup):
    event = received(press(message={"message_id": 20, "chat": updates.PRIVATE, "date": 1, "reply_markup": markup}))
    assert event.press is not None
    assert event.press.title == ""


def test_press_in_a_group_is_of_a_person_and_answered_in_the_group():
    event = received(press(message={"message_id": 20, "chat": GROUP, "date": 0}))
    assert (event.sender, event.reply_to) == (Person("-4001", "1001", "Ani W", "ani"), "-4001:20")


def test_press_under_an_inline_message_has_no_message():
    event = received(press(message=None, inline_message_id="i"))
    assert (event.sender, event.reply_to, event.reply_token) == (ANI, "", "")


def test_button_of_a_game_is_unsupported():
    event = received(press(data=None, game_short_name="chess"))
    assert (event.kind, event.text, event.press) == (Kind.UNSUPPORTED, "game_short_name", None)


@pytest.mark.parametrize("fields", [{"id": None}, {"id": 5}, {"from": {}, "message": None}])
def test_press_of_nobody_is_ignored(fields):
    assert isinstance(only(press(**fields)), Ignored)


# --- reactions, memberships, moves ------------------------------------------------------------------------------------

CUSTOM = {"type": "custom_emoji", "custom_emoji_id": "5368"}


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        ([emoji("👍")], [], "👍"),
        ([], [emoji("👍")], ""),
        ([emoji("👍"), emoji("🔥")], [emoji("👍")], "🔥"),
        ([emoji("👍")], [emoji("👍"), emoji("🔥")], "👍"),
        ([CUSTOM], [], "custom_emoji:5368"),
        ([{"type": "paid"}], [], "⭐"),
        ([{"type": "hologram"}], [], "hologram"),
        ([{"type": 5}], [], "unknown"),
    ],
)
def test_reaction(new, old, told):
    event = only(reaction(new, old))
    at = datetime.fromtimestamp(1_700_000_300, UTC)
    assert event == Reaction("900018", "", at, ANI, "1001:20", told, raw=event.raw)


def test_reaction_of_an_anonymous_administrator_is_the_groups():
    event = only(reaction([emoji("👍")], [], user=None, actor_chat=SUPERGROUP, chat=SUPERGROUP))
    assert event.sender == Person("-1001234567890", "-1001234567890", "Family", "family")


def test_reaction_to_no_message_is_ignored():
    assert isinstance(only(reaction([emoji("👍")], [], message_id=None)), Ignored)


@pytest.mark.parametrize(
    ("update", "blocked"),
    [
        (membership("kicked"), True),
        (membership("member"), False),
        (membership("kicked", GROUP), True),
        (membership("left", SUPERGROUP), True),
        (membership("member", SUPERGROUP), False),
        (membership("administrator", SUPERGROUP), False),
        (membership("creator", SUPERGROUP), False),
        (membership("administrator", CHANNEL, can_post_messages=True), False),
        (membership("administrator", CHANNEL, can_post_messages=False), True),
        (membership("restricted", SUPERGROUP, is_member=True, can_send_messages=True), False),
        (membership("restricted", SUPERGROUP, is_member=True, can_send_messages=False), True),
        (membership("restricted", SUPERGROUP, is_member=False, can_send_messages=True), True),
    ],
)
def test_membership_tells_whether_the_chat_can_be_written_to(update, blocked):
    event = only(update)
    chat = update["my_chat_member"]["chat"]
    assert isinstance(event, ContactNews)
    assert event.blocked is blocked
    assert event.person.address == event.person.id == str(chat["id"])
    assert event.person.name == chat.get("title", "Ani W")
    assert event.at == datetime.fromtimestamp(1_700_000_200, UTC)
    assert not event.heard


@pytest.mark.parametrize("update", [membership("hologram"), membership("member", {})])
def test_membership_that_says_nothing_is_ignored(update):
    assert isinstance(only(update), Ignored)


def test_move_of_a_group_is_told_alike_in_the_old_and_in_the_new():
    old = only(message(chat=GROUP, migrate_to_chat_id=SUPERGROUP["id"]))
    new = only(message(chat=SUPERGROUP, migrate_from_chat_id=GROUP["id"]))
    assert isinstance(old, ContactNews)
    assert (old.person, old.moved_to) == (Person("-4001", "-4001", "Family"), "-1001234567890")
    assert replace(old, raw=b"") == replace(new, raw=b"")


@pytest.mark.parametrize("number", [None, 0, "x", GROUP["id"]])
def test_move_to_nowhere_is_a_message_of_no_known_kind(number):
    event = received(message(chat=GROUP, migrate_to_chat_id=number))
    assert (event.kind, event.text) == (Kind.UNSUPPORTED, "unknown")


def test_leave_to_write_unblocks():
    event = only(message(write_access_allowed={"from_request": True}))
    assert event == ContactNews("900001", "", AT, ANI, blocked=False, raw=event.raw)


# --- everything else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "business_message",
        "guest_message",
        "message_reaction_count",
        "inline_query",
        "poll_answer",
        "chat_member",
        "soon",
    ],
)
def test_update_of_no_use_is_ignored_by_name(kind):
    event = only({"update_id": 900_001, kind: {"chat": updates.PRIVATE, "text": "Hi"}})
    assert isinstance(event, Ignored)
    assert event.event_id == "900001"
    assert event.why.endswith(kind)


@pytest.mark.parametrize("update", [{"update_id": 1}, {"update_id": 1, "message": 5}, {"update_id": 1, "Ünfit": {}}])
def test_update_that_holds_nothing_is_ignored(update):
    assert isinstance(only(update), Ignored)


@pytest.mark.parametrize("update", updates.ALL.values(), ids=updates.ALL)
def test_repeat_gives_the_same_events_whatever_the_order_of_its_members(update):
    turned = json.loads(json.dumps(update), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    events = parsed(update)
    assert parsed(turned) == events == telegram.parse_update(ACCOUNT, update)
    assert all(json.loads(event.raw) == update for event in events)
    assert len({event.event_id for event in events}) == len(events)


@pytest.mark.parametrize("secret", [None, "", "nope", "s3cr3", "s3cr3tt", "S3CR3T", "\udcff", "é"])
def test_wrong_or_missing_secret_is_rejected(secret):
    with pytest.raises(WebhookRejected):
        telegram.verify(ACCOUNT, webhook({"update_id": 1}, secret))


@pytest.mark.parametrize("secret", [None, "", "x"])
def test_account_without_a_secret_takes_nothing(secret):
    bare = Account("a", "acme", "telegram", telegram.API_BASE, TelegramSettings(token=TOKEN))
    with pytest.raises(WebhookRejected):
        telegram.verify(bare, webhook({"update_id": 1}, secret))


@pytest.mark.parametrize("update", [None, 1, [], {}, {"update_id": "1"}, {"update_id": True}, {"update_id": -1}])
def test_body_that_is_no_update_is_unreadable(update):
    with pytest.raises(WebhookUnreadable):
        parsed(update)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"update_id":' + b"9" * 5000 + b"}"])
def test_bytes_that_are_no_update_are_unreadable(body):
    with pytest.raises(WebhookUnreadable):
        telegram.parse(ACCOUNT, WebhookRequest("POST", {}, {}, body))


def test_update_nested_too_deep_to_be_kept_is_unreadable():
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(WebhookUnreadable):
        telegram.parse_update(ACCOUNT, {"update_id": 1, "message": deep})


# --- getUpdates -------------------------------------------------------------------------------------------------------


def answer_of(value: object, status: int = 200, content_type: str = "application/json") -> Answer:
    return Answer(status, {"content-type": content_type}, json.dumps(value).encode())


@pytest.mark.parametrize("offset", [None, 0, 900_002])
def test_poll_asks_for_the_kinds_that_are_read(offset):
    call = telegram.poll(ACCOUNT, offset, 25)
    assert (call.method, call.url) == ("POST", f"{telegram.API_BASE}/bot{TOKEN}/getUpdates")
    wanted = {"timeout": 25, "limit": 100, "allowed_updates": list(telegram.ALLOWED_UPDATES)}
    assert call.json == (wanted if offset is None else {**wanted, "offset": offset})


def test_unhooking_keeps_what_waits_for_the_poll():
    call = telegram.unhook(ACCOUNT)
    assert (call.method, call.url) == ("POST", f"{telegram.API_BASE}/bot{TOKEN}/deleteWebhook")
    assert call.json == {"drop_pending_updates": False}


def test_every_kind_that_is_asked_for_is_read_and_no_other():
    read = {kind for update in updates.ALL.values() for kind in update if kind != "update_id"}
    assert read - {"channel_post"} == set(telegram.ALLOWED_UPDATES)


def test_polled_updates_are_what_webhooks_bring():
    every = list(updates.ALL.values())
    polled = telegram.polled(ACCOUNT, answer_of({"ok": True, "result": every}))
    assert list(polled.events) == [event for update in every for event in parsed(update)]
    assert polled.offset == every[-1]["update_id"] + 1


def test_odd_update_among_the_polled_loses_no_neighbour():
    good = [message(text="one"), {**message(text="two"), "update_id": 900_003}]
    result = [good[0], 5, {"update_id": "x"}, {"update_id": 900_002, "message": 5}, good[1], None]
    polled = telegram.polled(ACCOUNT, answer_of({"ok": True, "result": result}))
    assert [event.text for event in polled.events if isinstance(event, InboundMessage)] == ["one", "two"]
    assert len(polled.events) == len(result)
    assert polled.offset == 900_004


def test_nothing_polled_leaves_the_offset():
    assert telegram.polled(ACCOUNT, answer_of({"ok": True, "result": []})) == telegram.Polled((), None)


@pytest.mark.parametrize("value", [{"ok": False, "result": []}, {"ok": True}, {"ok": True, "result": {}}, [], 5])
def test_answer_without_updates_is_unreadable(value):
    with pytest.raises(WebhookUnreadable):
        telegram.polled(ACCOUNT, answer_of(value))


# --- files ------------------------------------------------------------------------------------------------------------


def test_file_is_fetched_by_its_path():
    media = InboundMedia("AgAC-_x/+=")
    first = telegram.fetch(ACCOUNT, media)
    assert first is not None
    assert (first.method, first.json, first.headers) == ("GET", {}, ())
    assert first.url == f"{telegram.API_BASE}/bot{TOKEN}/getFile?file_id=AgAC-_x%2F%2B%3D"
    found = answer_of({"ok": True, "result": {"file_id": "x", "file_path": "photos/file 0?.jpg"}})
    second = telegram.fetch(ACCOUNT, media, found)
    assert second is not None
    assert (second.method, second.json) == ("GET", {})
    assert second.url == f"{telegram.API_BASE}/file/bot{TOKEN}/photos/file%200%3F.jpg"
    assert (
        telegram.fetch(ACCOUNT, media, Answer(200, {"content-type": "application/octet-stream"}, b"\xff\xd8")) is None
    )


def test_file_without_a_handle_is_not_fetched():
    assert telegram.fetch(ACCOUNT, InboundMedia()) is None


def test_file_that_looks_like_an_answer_is_a_file():
    forged = {"ok": True, "result": {"file_id": "x", "file_path": "documents/file_1.pdf"}}
    assert telegram.fetch(ACCOUNT, InboundMedia("F"), answer_of(forged, 200, "application/octet-stream")) is None


@pytest.mark.parametrize(
    "answer",
    [
        answer_of({"ok": False, "error_code": 400, "description": "Bad Request: file is too big"}, 400),
        answer_of({"ok": True, "result": {"file_path": "a"}}, 201),
        answer_of({"ok": "true", "result": {"file_path": "a"}}),
        answer_of({"ok": True, "result": {"file_id": "x"}}),
        answer_of({"ok": True, "result": {"file_path": ""}}),
        answer_of({"ok": True, "result": {"file_path": 5}}),
        answer_of({"ok": True, "result": "x"}),
        answer_of({"ok": True, "result": {"file_path": "a" * 2000}}),
        answer_of({"ok": True, "result": {"file_path": "/var/lib/telegram-bot-api/x"}}),
        answer_of({"ok": True, "result": {"file_path": "../bot1:x/getMe"}}),
        answer_of({"ok": True, "result": {"file_path": "a/../../b"}}),
        answer_of({"ok": True, "result": {"file_path": "a//b"}}),
        answer_of([]),
    ],
)
def test_answer_that_leads_to_no_file(answer):
    assert telegram.fetch(ACCOUNT, InboundMedia("F"), answer) is None


def test_lone_surrogate_in_a_path_makes_no_fault():
    assert telegram.fetch(ACCOUNT, InboundMedia("\ud800"), answer_of({"ok": True, "result": {"file_path": "\ud800"}}))
    assert telegram.fetch(ACCOUNT, InboundMedia("\ud800"))


# --- whatever comes ---------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def is_sound(events: list[Inbound]) -> None:
    """Check what every event promises, whatever it was made of."""
    assert events
    for event in events:
        event.event_id.encode()
        json.loads(event.raw)
        for text in texts_of(event):
            assert "\0" not in text
            text.encode()
        if isinstance(event, InboundMessage | Edited | Reaction):
            assert event.sender.address.lstrip("-").isdigit()
        if isinstance(event, InboundMessage):
            assert (event.press is not None) == (event.kind is Kind.POSTBACK)
            assert (event.location is not None) == (event.kind is Kind.LOCATION)
            assert event.kind is not Kind.UNSUPPORTED or event.text


def texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for one in value for text in texts_of(one)]
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, Call):
        return [text for name in value.__dataclass_fields__ for text in texts_of(getattr(value, name))]
    return []


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.just("update_id") | st.sampled_from((*telegram.ALLOWED_UPDATES, "channel_post")), json_values
    ).map(lambda value: json.dumps(value).encode()),
    st.text(st.characters(), max_size=12),
)
def test_nothing_else_leaves_a_webhook(body, secret):
    request = WebhookRequest("POST", {}, {SECRET_HEADER: secret}, body)
    with suppress(WebhookRejected):
        telegram.verify(ACCOUNT, request)
    with suppress(WebhookUnreadable):
        is_sound(telegram.parse(ACCOUNT, request))


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside *value*."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, inner in pairs for path in [(*at, key), *paths_in(inner, (*at, key))]]


def mutated(update: Any, path: tuple[Any, ...], value: Any, *, drop: bool) -> Any:
    copy = json.loads(json.dumps(update))
    owner = copy
    for key in path[:-1]:
        owner = owner[key]
    if drop:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return copy


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_update_with_a_field_dropped_or_replaced_gives_sound_events_and_spares_its_neighbours(data):
    update = data.draw(st.sampled_from(list(updates.ALL.values())))
    path = data.draw(st.sampled_from(paths_in(update)))
    odd = mutated(update, path, data.draw(json_values), drop=data.draw(st.booleans()))
    with suppress(WebhookUnreadable):
        is_sound(parsed(odd))
    before, after = message(text="before"), {**message(text="after"), "update_id": 900_999}
    polled = telegram.polled(ACCOUNT, answer_of({"ok": True, "result": [before, odd, after]}))
    assert (polled.events[0], polled.events[-1]) == (only(before), only(after))
    assert polled.offset == 901_000


@pytest.mark.parametrize("update", updates.ALL.values(), ids=updates.ALL)
def test_update_without_any_one_field_gives_sound_events(update):
    for path in paths_in(update):
        if path != ("update_id",):
            is_sound(parsed(mutated(update, path, None, drop=True)))
            is_sound(parsed(mutated(update, path, None, drop=False)))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=5000))
@example("\ud800\0")
@example("x" * 4096)
def test_words_come_through(text):
    events = parsed(message(text=text))
    event = events[0]
    assert isinstance(event, InboundMessage)
    plain = text.replace("\0", "")
    with suppress(UnicodeEncodeError):
        plain.encode()
        assert event.text == (plain or "text")
        assert event.kind is (Kind.TEXT if plain else Kind.UNSUPPORTED)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()), st.integers(100, 599))
def test_any_answer_to_get_file_leads_somewhere_or_nowhere(body, status):
    call = telegram.fetch(ACCOUNT, InboundMedia("F"), Answer(status, {"content-type": "application/json"}, body))
    assert call is None or call.url.startswith(f"{telegram.API_BASE}/file/bot{TOKEN}/")
