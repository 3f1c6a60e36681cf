"""What a message of Telegram's holds: its kind, its words, its file or place. And how its file is fetched.

A message has one field that says what it is, beside some thirty that say when, where, to what and by whom, and new ones
come about every month. So three tables tell them apart: what we can give a shape, what happened in a chat without anybody
writing to us, and what only describes a message. Whatever stands in none of them is somebody's message of a kind that we
do not know, and is named, not swallowed. Source: the Bot API's page "Message" (version 10.3), "File" and "getFile".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from kurir.channels.base import Answer, Call, InboundLocation, InboundMedia, JsonObject, Kind
from kurir.channels.telegram.bot import file_url, method_url
from kurir.channels.telegram.fields import integer, member, members, place, word, words
from kurir.domain.account import Account


@dataclass(frozen=True, slots=True)
class Content:
    """What a message holds. ``text`` are a person's words, or the name of what we cannot give a shape."""

    kind: Kind
    text: str = ""
    media: tuple[InboundMedia, ...] = ()
    location: InboundLocation | None = None


def _names(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


#: What happened in a chat: nobody wrote anything to us ("Message", the fields that are called service messages).
SERVICE: Final = _names(
    """
    new_chat_members left_chat_member new_chat_participant left_chat_participant chat_owner_left chat_owner_changed
    new_chat_title new_chat_photo delete_chat_photo group_chat_created supergroup_chat_created channel_chat_created
    message_auto_delete_timer_changed pinned_message proximity_alert_triggered boost_added chat_background_set
    checklist_tasks_done checklist_tasks_added poll_option_added poll_option_deleted connected_website
    gift_upgrade_sent direct_message_price_changed paid_message_price_changed managed_bot_created
    forum_topic_created forum_topic_edited forum_topic_closed forum_topic_reopened general_forum_topic_hidden
    general_forum_topic_unhidden giveaway_created giveaway_completed
    suggested_post_approved suggested_post_approval_failed suggested_post_declined suggested_post_paid
    suggested_post_refunded video_chat_scheduled video_chat_started video_chat_ended video_chat_participants_invited
    voice_chat_scheduled voice_chat_started voice_chat_ended voice_chat_participants_invited
    community_chat_added community_chat_removed community_chat_joined
    """
)

#: What somebody sent or did to the bot, and for which we have no shape: told by its name.
NAMED: Final = _names(
    """
    paid_media story checklist dice game poll invoice giveaway giveaway_winners rich_message web_app_data users_shared
    user_shared chat_shared successful_payment refunded_payment passport_data gift unique_gift
    """
)

#: What only describes a message: when, where, by whom, to what, how it looks.
ABOUT: Final = _names(
    """
    message_id ephemeral_message_id message_thread_id direct_messages_topic business_connection_id guest_query_id
    date edit_date chat from sender_chat sender_boost_count sender_business_bot sender_tag author_signature
    receiver_user via_bot guest_bot_caller_user guest_bot_caller_chat
    forward_origin forward_date forward_from forward_from_chat forward_from_message_id forward_sender_name
    forward_signature is_automatic_forward is_topic_message is_from_offline is_paid_post has_protected_content
    reply_to_message external_reply quote reply_to_story reply_to_checklist_task_id reply_to_poll_option_id
    media_group_id paid_star_count suggested_post_info effect_id link_preview_options entities reply_markup
    caption caption_entities show_caption_above_media has_media_spoiler
    """
)

#: What is told in a way of its own: somebody may be written to again, a group has another number.
APART: Final = ("write_access_allowed", "migrate_to_chat_id", "migrate_from_chat_id")


def read(message: JsonObject) -> Content | str:
    """Return what *message* holds; for a service message its name. Never fails: what cannot be read is UNSUPPORTED."""
    for field, reader in _READERS.items():
        if field in message:
            return reader(message) or Content(Kind.UNSUPPORTED, field)
    for field in NAMED:
        if field in message:
            return Content(Kind.UNSUPPORTED, field)
    service = next((field for field in message if field in SERVICE), "")
    if service:
        return service
    unknown = (field for field in message if field not in (*ABOUT, *APART) and word(field))
    return Content(Kind.UNSUPPORTED, next(unknown, "unknown"))


def words_of(message: JsonObject) -> str | None:
    """Return a person's words in *message*, "" for a file without any; None where words are not what it is made of."""
    if "text" in message or "caption" in message:
        return words(message, "text") or words(message, "caption")
    return "" if any(field in message for field in _FILES) or "photo" in message else None


def _text(message: JsonObject) -> Content | None:
    text = words(message, "text")
    return Content(Kind.TEXT, text) if text else None


def _photo(message: JsonObject) -> Content | None:
    """Return the largest of the sizes of a photo, which Telegram makes a JPEG of and gives no name.

    ``"photo": [{"file_id": "A", "width": 90, "height": 67, "file_size": 1253}, {…, "width": 1280, …}]``
    """
    sizes = [size for size in members(message, "photo") if words(size, "file_id")]
    if not sizes:
        return None
    largest = max(sizes, key=lambda size: (integer(size, "width") or 0) * (integer(size, "height") or 0))
    photo = replace(_media(largest, "image/jpeg"), mime_type="image/jpeg", name="")
    return Content(Kind.IMAGE, words(message, "caption"), (photo,))


@dataclass(frozen=True, slots=True)
class _FileKind:
    """How a kind of file is told. ``mime_type`` is what it is where the sender's app does not say."""

    kind: Kind
    mime_type: str = ""
    animated: bool = False


#: An animation stands under "document" as well, so it is looked for first. It is a GIF, or a video without sound.
_FILES: Final[Mapping[str, _FileKind]] = {
    "animation": _FileKind(Kind.VIDEO, "video/mp4", animated=True),
    "video": _FileKind(Kind.VIDEO),
    "audio": _FileKind(Kind.AUDIO),
    "voice": _FileKind(Kind.VOICE, "audio/ogg"),
    "video_note": _FileKind(Kind.VIDEO, "video/mp4"),
    "document": _FileKind(Kind.DOCUMENT),
}


def _file(field: str) -> Callable[[JsonObject], Content | None]:
    def reader(message: JsonObject) -> Content | None:
        row = _FILES[field]
        media = _media(member(message, field), row.mime_type)
        if not media.id:
            return None
        kind = Kind.IMAGE if row.animated and media.mime_type.startswith("image/") else row.kind
        return Content(kind, words(message, "caption"), (replace(media, animated=row.animated),))

    return reader


def _sticker(message: JsonObject) -> Content | None:
    """Return a sticker: WebP, or moving as WebM, or as Lottie in gzip, for which there is a name of Telegram's.

    ``"sticker": {"file_id": "S", "is_animated": false, "is_video": true, "emoji": "👍"}``
    """
    sticker = member(message, "sticker")
    lottie, video = sticker.get("is_animated") is True, sticker.get("is_video") is True
    mime_type = "application/x-tgsticker" if lottie else "video/webm" if video else "image/webp"
    media = replace(_media(sticker, mime_type), animated=lottie or video)
    return Content(Kind.STICKER, words(sticker, "emoji", _LONGEST_EMOJI), (media,)) if media.id else None


def _location(message: JsonObject) -> Content | None:
    location = place(message)
    return Content(Kind.LOCATION, location=location) if location else None


def _contact(message: JsonObject) -> Content | None:
    """Return a card: the name on the first line, the number as it was sent on the second.

    ``"contact": {"phone_number": "+62 812-999", "first_name": "Bob", "user_id": 2002}``
    """
    card = member(message, "contact")
    name = " ".join(part for key in ("first_name", "last_name") if (part := words(card, key, _LONGEST_CARD)))
    lines = [line for line in (name, words(card, "phone_number", _LONGEST_CARD)) if line]
    return Content(Kind.CONTACT, "\n".join(lines)) if lines else None


#: In this order, since some stand beside another: an animation beside a document, a live photo beside its photo (of which
#: the still is taken), a venue beside its location.
_READERS: Final[Mapping[str, Callable[[JsonObject], Content | None]]] = {
    "text": _text,
    "animation": _file("animation"),
    "photo": _photo,
    "live_photo": lambda message: _photo(member(message, "live_photo")),
    **{field: _file(field) for field in _FILES if field != "animation"},
    "sticker": _sticker,
    "venue": _location,
    "location": _location,
    "contact": _contact,
}

#: Every field that is read as what the message is.
READ: Final = frozenset(_READERS)

#: Bounds of ours, where the pages name none.
_LONGEST_EMOJI: Final = 64
_LONGEST_CARD: Final = 256
_LONGEST_FILE_ID: Final = 512
_LONGEST_FILE_NAME: Final = 255
_LARGEST_FILE: Final = 2**42
_LONGEST_PATH: Final = 1024

_MIME_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}")
_UNFIT_FOR_NAMES: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028-\u202e\u2066-\u2069]")


def _media(file: JsonObject, mime_type: str) -> InboundMedia:
    """Return a file of a message. Its type and its name are the sender's own words, so they are made harmless."""
    told = words(file, "mime_type")
    return InboundMedia(
        id=words(file, "file_id") if len(words(file, "file_id")) <= _LONGEST_FILE_ID else "",
        mime_type=told.lower() if _MIME_TYPE.fullmatch(told) else mime_type,
        name=_UNFIT_FOR_NAMES.sub("_", words(file, "file_name", _LONGEST_FILE_NAME)),
        size=integer(file, "file_size", 0, _LARGEST_FILE),
    )


# --- Fetching ---------------------------------------------------------------------------------------------------------


def fetch(account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:
    """Return the next call by which *media* is fetched: getFile, then the file itself; None when there is none.

    ``{"ok": true, "result": {"file_id": "…", "file_path": "photos/file_0.jpg"}}``. A bot may fetch files of up to 20 MB;
    the path is good for at least one hour, and getFile may be asked again ("getFile"). The file's URL holds the token.

    A file may hold whatever its sender likes, also the words of such an answer. So an answer counts as one only with the
    type of the Bot API's own, which Telegram gives no file, and its path stays below the bot's folder. A server run with
    ``--local`` names a path on its own disk, which nobody can fetch.
    """
    if answer is None:
        wanted = quote(media.id, safe="", errors="replace")
        return Call(1, "GET", f"{method_url(account, 'getFile')}?file_id={wanted}", (), {}) if media.id else None
    path = _path_in(answer)
    return Call(1, "GET", file_url(account, path), (), {}, file=True) if path else None


def _path_in(answer: Answer) -> str:
    """Return the path in an answer to getFile; "" where it is no such answer."""
    body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None
    if answer.status != 200 or body is None or body.get("ok") is not True:
        return ""
    path = member(body, "result").get("file_path")
    if not isinstance(path, str) or len(path) > _LONGEST_PATH:
        return ""
    return path if all(part not in ("", ".", "..") for part in path.split("/")) else ""
