"""Updates as the Bot API sends them, one of each kind of message and event, for the tests of what comes in."""

from typing import Any

ANI = {"id": 1001, "is_bot": False, "first_name": "Ani", "last_name": "W", "username": "ani", "language_code": "id"}
BOT = {"id": 123456, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
PRIVATE = {"id": 1001, "type": "private", "first_name": "Ani", "last_name": "W", "username": "ani"}
GROUP = {"id": -4001, "type": "group", "title": "Family"}
SUPERGROUP = {"id": -1001234567890, "type": "supergroup", "title": "Family", "username": "family"}
CHANNEL = {"id": -1009876543210, "type": "channel", "title": "News", "username": "news"}
FILE = {"file_id": "F", "file_unique_id": "U"}
PLACE = {"latitude": 1.5, "longitude": 2.5}


def message(kind: str = "message", **fields: Any) -> dict[str, Any]:
    """Return an update with a message in the private chat; None takes a field away, ``from_`` stands for ``from``."""
    head: dict[str, Any] = {"message_id": 10, "from": ANI, "chat": PRIVATE, "date": 1_700_000_000}
    given = {"from" if key == "from_" else key: value for key, value in fields.items()}
    return {
        "update_id": 900_001,
        kind: {key: value for key, value in {**head, **given}.items() if value is not None},
    }


def press(**fields: Any) -> dict[str, Any]:
    """Return an update with a press of the button ``btn1`` of message 20."""
    shown = {
        "message_id": 20,
        "from": BOT,
        "chat": PRIVATE,
        "date": 1_700_000_000,
        "text": "Choose",
        "reply_markup": {
            "inline_keyboard": [
                [{"text": "Nothing", "url": "https://e.x"}],
                [{"text": "First", "callback_data": "btn1"}, {"text": "Second", "callback_data": "btn1"}],
            ]
        },
    }
    query = {"id": "4382", "from": ANI, "message": shown, "chat_instance": "-2718", "data": "btn1", **fields}
    return {
        "update_id": 900_006,
        "callback_query": {key: value for key, value in query.items() if value is not None},
    }


def membership(status: str, chat: dict[str, Any] = PRIVATE, **fields: Any) -> dict[str, Any]:
    """Return an update by which the bot's own membership of *chat* becomes *status*."""
    old = {"status": "member", "user": BOT} if status in ("kicked", "left") else {"status": "left", "user": BOT}
    new = {"status": status, "user": BOT, **({"until_date": 0} if status == "kicked" else {}), **fields}
    told = {"chat": chat, "from": ANI, "date": 1_700_000_200, "old_chat_member": old, "new_chat_member": new}
    return {"update_id": 900_009, "my_chat_member": told}


def reaction(new: list[dict[str, Any]], old: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Return an update by which the reactions to message 20 change from *old* to *new*."""
    told = {"chat": PRIVATE, "message_id": 20, "user": ANI, "date": 1_700_000_300, **fields}
    changed = {**told, "old_reaction": old, "new_reaction": new}
    return {"update_id": 900_018, "message_reaction": {k: v for k, v in changed.items() if v is not None}}


def emoji(character: str) -> dict[str, Any]:
    """Return a reaction by an emoji."""
    return {"type": "emoji", "emoji": character}


#: Kind of ours → messages that are of it, each by the name of its field.
SAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "text": {"text": message(text="hi")},
    "image": {
        "photo": message(
            photo=[
                {**FILE, "file_id": "small", "width": 90, "height": 67, "file_size": 1253},
                {**FILE, "width": 1280, "height": 960, "file_size": 98_765},
            ],
            caption="Look",
        ),
        "gif": message(
            animation={**FILE, "width": 9, "height": 9, "duration": 1, "mime_type": "image/gif"}, document=FILE
        ),
    },
    "video": {
        "video": message(
            video={
                **FILE,
                "width": 1280,
                "height": 720,
                "duration": 12,
                "mime_type": "video/mp4",
                "file_name": "v.mp4",
                "file_size": 5000,
            },
            caption="Look",
        ),
        "animation": message(animation={**FILE, "width": 9, "height": 9, "duration": 1}, document=FILE),
        "video_note": message(video_note={**FILE, "length": 240, "duration": 4}),
    },
    "audio": {
        "audio": message(
            audio={**FILE, "duration": 61, "title": "Song", "mime_type": "audio/mpeg", "file_name": "s.mp3"}
        )
    },
    "voice": {"voice": message(voice={**FILE, "duration": 5, "mime_type": "audio/ogg", "file_size": 23_000})},
    "document": {
        "document": message(
            document={**FILE, "file_name": "invoice.pdf", "mime_type": "application/pdf"}, caption="Yours"
        )
    },
    "sticker": {
        "sticker": message(
            sticker={
                **FILE,
                "type": "regular",
                "width": 512,
                "height": 512,
                "emoji": "👍",
                "is_animated": False,
                "is_video": False,
            }
        )
    },
    "location": {
        "location": message(location={**PLACE, "live_period": 900}),
        "venue": message(location=PLACE, venue={"location": PLACE, "title": "Cafe", "address": "Street 1"}),
    },
    "contact": {"contact": message(contact={"phone_number": "+62 812-999", "first_name": "Bob", "user_id": 2002})},
    "unsupported": {
        "dice": message(dice={"emoji": "🎲", "value": 3}),
        "poll": message(
            poll={
                "id": "1",
                "question": "q",
                "options": [],
                "total_voter_count": 0,
                "is_closed": False,
                "is_anonymous": True,
                "type": "regular",
                "allows_multiple_answers": False,
                "allows_revoting": False,
                "members_only": False,
            }
        ),
        "story": message(story={"chat": CHANNEL, "id": 5}),
        "web_app_data": message(web_app_data={"data": "{}", "button_text": "Open"}),
    },
}

#: Updates that are no messages, by what they are.
OTHERS: dict[str, dict[str, Any]] = {
    "edited": message("edited_message", text="Hi!", edit_date=1_700_000_300),
    "live": message("edited_message", location={**PLACE, "live_period": 900}, edit_date=1_700_000_300),
    "press": press(),
    "blocked": membership("kicked"),
    "own number": message(contact={"phone_number": "6281234567890", "first_name": "Ani", "user_id": 1001}),
    "reaction": reaction([emoji("👍")], []),
    "moved": message(chat=GROUP, migrate_to_chat_id=SUPERGROUP["id"]),
    "post": message("channel_post", from_=None, sender_chat=CHANNEL, chat=CHANNEL, text="News"),
}

ALL: dict[str, dict[str, Any]] = {
    **{name: update for samples in SAMPLES.values() for name, update in samples.items()},
    **OTHERS,
}
