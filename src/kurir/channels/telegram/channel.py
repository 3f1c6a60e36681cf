"""Telegram: the Bot API, of which every field used here exists since version 7.0 (December 2023).

What shapes this file: text is literal and styled by entities, never by ``parse_mode``, so nothing has to be escaped and
no customer text can break a message; a message number is unique inside its chat only, so the platform id is
``<chat>:<message>``; there is no idempotency key and no receipt, so Sent is the last that is ever known. The token
stands in the URL.

Beside it: :mod:`kurir.channels.telegram.text` (lengths, cuts, styles), :mod:`kurir.channels.telegram.errors` (what the
answers mean), :mod:`kurir.channels.telegram.webhooks` (what comes in) and :mod:`kurir.channels.telegram.received` (what a
message holds, and how its file is fetched). Sources: the Bot API's pages "Available methods", "Sending files" and
"Formatting options", and the limits in the source of tdlib/td (``MessageContent.cpp``, ``ReplyMarkup.cpp``).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from kurir.channels.base import (
    Again,
    Call,
    Capabilities,
    Facts,
    JsonObject,
    Limit,
    Needs,
    Rejected,
    Rendering,
    Token,
    Upload,
)
from kurir.channels.keys import Keys
from kurir.channels.telegram.bot import method_url
from kurir.channels.telegram.errors import ERRORS, PLATFORM_CODES, classify
from kurir.channels.telegram.received import fetch
from kurir.channels.telegram.text import Styled, shows
from kurir.channels.telegram.webhooks import ALLOWED_UPDATES, Polled, parse, parse_update, poll, polled, unhook, verify
from kurir.channels.text import utf8
from kurir.domain import channel
from kurir.domain.account import Account, ChannelSettings, Rate, TelegramSettings
from kurir.domain.message import HeaderType, ListBody, Media, Message, MessageType
from kurir.domain.problem import Loss, Problem, pointer
from kurir.domain.status import Status
from kurir.quick import quick

__all__ = (
    "ALLOWED_UPDATES",
    "API_BASE",
    "CAPABILITIES",
    "CONCURRENCY",
    "ERRORS",
    "LIMITS",
    "NAME",
    "PLATFORM_CODES",
    "RATES",
    "SETTINGS",
    "Polled",
    "classify",
    "contact_thanks",
    "fetch",
    "look",
    "needs",
    "parse",
    "parse_update",
    "poll",
    "polled",
    "problems",
    "refusal",
    "render",
    "unhook",
    "verify",
)

NAME: Final = channel.TELEGRAM
API_BASE: Final = "https://api.telegram.org"
SETTINGS: Final[type[ChannelSettings]] = TelegramSettings

MAXIMUM_TEXT: Final = 4096
MAXIMUM_CAPTION: Final = 1024
MAXIMUM_KEY: Final = 64
MAXIMUM_BUTTONS: Final = 100
MAXIMUM_PHOTO_BY_URL: Final = 5_000_000
MAXIMUM_FILE_BY_URL: Final = 20_000_000
MAXIMUM_VOICE_BY_URL: Final = 1_000_000

LIMITS: Final[Sequence[Limit]] = (
    Limit("text", MAXIMUM_TEXT, "code points", "sent as several messages", "Bot API, sendMessage"),
    Limit("caption", MAXIMUM_CAPTION, "code points", "sent as a message of its own", "Bot API, sendPhoto"),
    Limit("button.key", MAXIMUM_KEY, "UTF-8 bytes", "replaced by a token", "Bot API, InlineKeyboardButton"),
    Limit("buttons and rows", MAXIMUM_BUTTONS, "items", "refused", "tdlib/td, ReplyMarkup.cpp, and users' reports"),
    Limit("photo by URL", MAXIMUM_PHOTO_BY_URL, "bytes", "uploaded", "Bot API, Sending files"),
    Limit("photo uploaded", 10_485_760, "bytes", "refused by Telegram", "Bot API, Sending files"),
    Limit("file by URL", MAXIMUM_FILE_BY_URL, "bytes", "uploaded", "Bot API, Sending files"),
    Limit("voice by URL", MAXIMUM_VOICE_BY_URL, "bytes", "uploaded", "Bot API, Sending files"),
    Limit("file uploaded", 50_000_000, "bytes", "refused by Telegram", "Bot API, Sending files"),
)

#: The Bot API FAQ, "My bot is hitting limits": 30 a second in all, one a second in a chat, 20 a minute in a group.
RATES: Final[Mapping[str, Rate | None]] = {
    "account": Rate(30, 1),
    "recipient": Rate(1, 1, burst=3),
    "group": Rate(20, 60),
}
CONCURRENCY: Final = 20

CAPABILITIES: Final = Capabilities(
    types={
        MessageType.TEXT: ("native", "literal; beyond 4096 characters several messages"),
        MessageType.IMAGE: ("native", "caption up to 1024 characters, else a message after it"),
        MessageType.VIDEO: ("native", "as image"),
        MessageType.AUDIO: ("native", "MP3 or M4A; the name is shown as the title"),
        MessageType.VOICE: ("native", "OGG with Opus, MP3 or M4A"),
        MessageType.DOCUMENT: ("native", "PDF and ZIP by URL, everything else uploaded by the gateway"),
        MessageType.BUTTON: ("native", "inline keyboard, one button a row, up to 100"),
        MessageType.LIST: ("degraded", "the rows in the text and as an inline keyboard, up to 100"),
        MessageType.LOCATION: ("native", "a text follows as a message of its own"),
        MessageType.TEMPLATE: ("no", "templates are WhatsApp's"),
    },
    receipts=(),
    final_status=Status.SENT,
    tells_blocking=True,
    idempotent=False,
    tells_throttle_scope=False,  # a 429 may be the chat's or the bot's
)


@dataclass(frozen=True, slots=True)
class _FileKind:
    """How one kind of file is sent. ``extension`` names an uploaded file whose URL does not say what it is."""

    method: str
    field: str
    extension: str
    by_url: int = MAXIMUM_FILE_BY_URL


_FILE_KINDS: Final[Mapping[str, _FileKind]] = {
    MessageType.IMAGE: _FileKind("sendPhoto", "photo", ".jpg", MAXIMUM_PHOTO_BY_URL),
    MessageType.VIDEO: _FileKind("sendVideo", "video", ".mp4"),
    MessageType.AUDIO: _FileKind("sendAudio", "audio", ".mp3"),
    MessageType.VOICE: _FileKind("sendVoice", "voice", ".ogg", MAXIMUM_VOICE_BY_URL),
    MessageType.DOCUMENT: _FileKind("sendDocument", "document", ""),
}
_DOCUMENTS_BY_URL: Final = (".pdf", ".zip")
_VOICE_BY_URL: Final = ("audio/ogg", "application/ogg")

_UNFIT_FOR_NAMES: Final = re.compile(r"[\x00-\x1f\x7f/\\]")
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")
_MESSAGE_OF_CHAT: Final = re.compile(r"(-?[0-9]{1,16}):([0-9]{1,10})")
_CHAT_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


# --- What cannot be sent ----------------------------------------------------------------------------------------------


def problems(message: Message) -> list[Problem]:
    """Return what Telegram can neither send nor show in another way."""
    found: list[Problem] = []
    if message.type is MessageType.TEMPLATE:
        detail = "type template is WhatsApp's; on telegram send the words as type text"
        found.append(Problem("/type", "unsupported_type", detail))
    if message.fallback is not None:
        detail = "fallback sends a WhatsApp template, which telegram does not have; leave it out, no window closes here"
        found.append(Problem("/fallback", "unsupported_type", detail))
    if message.type is MessageType.TEXT and not shows(message.text):
        detail = "body.text holds only characters that telegram drops; fill in words"
        found.append(Problem("/body/text", "blank", detail))
    if message.type in (MessageType.BUTTON, MessageType.LIST):
        found += _choice_problems(message)
    return found


def _choice_problems(message: Message) -> Iterator[Problem]:
    rows = list(_rows(message))
    at, name = ("/body/list/sections", "body.list") if message.list else ("/body/button", "body.button")
    if len(rows) > MAXIMUM_BUTTONS:
        detail = f"{name} has {len(rows)} choices; telegram shows at most {MAXIMUM_BUTTONS}: send several messages"
        yield Problem(at, "too_many", detail)
    for row in rows:
        if not shows(row.title):  # Telegram would drop the button without a word
            detail = f"{row.at[1:].replace('/', '.')}.title holds only characters that telegram drops; fill in words"
            yield Problem(f"{row.at}/title", "blank", detail)
    if not any(shows(run) for run, _ in _runs(message)):
        yield Problem("/body/text", "no_words", "the words hold only characters that telegram drops; fill in body.text")


def needs(message: Message, account: Account) -> Needs:  # noqa: ARG001 - the protocol's signature
    """Return the voice note's URL: one that is no OGG or beyond 1 MB would arrive as a plain file if sent by URL."""
    return Needs(probe=(message.media.url,)) if message.type is MessageType.VOICE and message.media else Needs()


def refusal(message: Message, account: Account, facts: Facts) -> Rejected | None:  # noqa: ARG001 - the protocol's
    """Return None: Telegram has no window that closes."""
    return None


# --- Rendering --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """A file to send: by URL, or uploaded under ``filename``."""

    kind: _FileKind
    url: str
    filename: str
    upload: bool


@quick
@dataclass(frozen=True, slots=True)
class _Draft:
    """One part before it has its number, its chat, the reply and the keyboard."""

    method: str
    json: JsonObject
    file: _File | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """One button of the keyboard, and where the request has it."""

    at: str
    key: str
    title: str


def render(message: Message, account: Account, facts: Facts) -> Rendering:
    """Return *message* as calls of the Bot API, in order. The reply is on the first part, the keyboard on the last."""
    losses: list[Loss] = []
    drafts = _drafts(message, facts, losses)
    reply = _reply(message, facts, losses)
    if reply is not None:
        drafts[0].json["reply_parameters"] = reply
    tokens = _add_keyboard(message, account, drafts[-1]) if message.buttons or message.list else ()
    calls = tuple([_call(account, facts, part, draft) for part, draft in enumerate(drafts, 1)])
    return Rendering(calls, tuple(losses), tokens)


def _add_keyboard(message: Message, account: Account, draft: _Draft) -> tuple[Token, ...]:
    keys = Keys(account.client_id, length=utf8, limit=MAXIMUM_KEY)
    keyboard = [[{"text": row.title, "callback_data": keys.field(row.key)}] for row in _rows(message)]
    if keyboard:
        draft.json["reply_markup"] = {"inline_keyboard": keyboard}
    return keys.tokens()


def contact_thanks(account: Account, address: str, words: str) -> Call:
    """Return the message that thanks for a shared phone number and takes the keyboard away that asked for it."""
    draft = _Draft("sendMessage", {"text": words, "reply_markup": {"remove_keyboard": True}})
    return _call(account, Facts(tid="", address=address), 1, draft)


def _call(account: Account, facts: Facts, part: int, draft: _Draft) -> Call:
    numeric = _CHAT_NUMBER.fullmatch(facts.address) is not None
    parameters: JsonObject = {"chat_id": int(facts.address) if numeric else facts.address, **draft.json}
    upload = None
    if draft.file is not None:
        file = draft.file
        if file.upload or facts.takes(part, Again.UPLOAD):
            upload = Upload(file.kind.field, file.url, file.filename)
        else:
            parameters[file.kind.field] = file.url
    return Call(
        part=part,
        method="POST",
        url=method_url(account, draft.method),
        headers=() if upload else (("Content-Type", "application/json"),),
        json=parameters,
        upload=upload,
        # A group's number is negative; an @name is never a person's, but a group's or a broadcast channel's.
        limits=("group",) if facts.address.startswith(("-", "@")) else (),
    )


def _drafts(message: Message, facts: Facts, losses: list[Loss]) -> list[_Draft]:
    words = _words(message)
    if message.list:
        losses += _list_losses(message, message.list)
    file = _file(message, facts, losses)
    if file is not None:
        return _with_file(message, file, words, losses)
    if message.location is not None:
        point = message.location
        place = _Draft("sendLocation", {"latitude": point.latitude, "longitude": point.longitude})
        if not shows(words.text):
            return [place]
        losses.append(Loss("/body/text", "caption_sent_as_text", "a location has no caption: the text follows it"))
        return [place, *_texts(words, losses)]
    return _texts(words, losses)


def _texts(words: Styled, losses: list[Loss]) -> list[_Draft]:
    pieces = words.pieces(MAXIMUM_TEXT)
    if len(pieces) > 1:
        detail = f"the words are longer than {MAXIMUM_TEXT} characters: they are sent as {len(pieces)} messages"
        losses.append(Loss("/body/text", "text_split", detail))
    return [_Draft("sendMessage", piece.fields("text", "entities")) for piece in pieces]


def _with_file(message: Message, file: _File, words: Styled, losses: list[Loss]) -> list[_Draft]:
    fields: JsonObject = {}
    if file.kind.method == "sendVideo":
        fields["supports_streaming"] = True  # else the whole file is loaded before it plays
    if message.type is MessageType.AUDIO and message.media and shows(message.media.name):
        fields["title"] = message.media.name
    if not shows(words.text):
        return [_Draft(file.kind.method, fields, file)]
    if len(words.text) <= MAXIMUM_CAPTION:
        return [_Draft(file.kind.method, {**fields, **words.fields("caption", "caption_entities")}, file)]
    long = f"longer than the {MAXIMUM_CAPTION} characters of a caption"
    if message.header:
        detail = f"the words are {long}: the header's file is sent before them, as a message of its own"
        losses.append(Loss("/header", "header_sent_separately", detail))
    else:
        losses.append(Loss("/body/text", "caption_sent_as_text", f"the text is {long}: it is sent after the file"))
    return [_Draft(file.kind.method, fields, file), *_texts(words, losses)]


# --- Words ------------------------------------------------------------------------------------------------------------


def _words(message: Message) -> Styled:
    """Return the message's words with their styles."""
    if message.header or message.footer or message.list:
        return Styled.of(_runs(message))
    return Styled(message.text if shows(message.text) else "")  # what the runs of a text alone come to


def _runs(message: Message) -> Iterator[tuple[str, str]]:
    """Yield the message's words as (words, style): header in bold, text, a list's sections, footer in italics."""
    blocks: list[list[tuple[str, str]]] = []
    if message.header and message.header.type is HeaderType.TEXT:
        blocks.append([(message.header.text, "bold")])
    blocks.append([(message.text, "")])
    if message.list:
        if not shows(message.text):
            blocks[-1] = [(message.list.title, "")]
        blocks += _sections(message.list)
    if message.footer:
        lines = [line for line in (message.footer.title, message.footer.text) if shows(line)]
        blocks.append([("\n".join(lines), "italic")])
    between = ""
    for block in blocks:
        if any(shows(words) for words, _ in block):
            yield between, ""
            yield from block
            between = "\n\n"


def _sections(body: ListBody) -> Iterator[list[tuple[str, str]]]:
    for section in body.sections:
        lines = [section.description] if shows(section.description) else []
        lines += [
            f"• {row.title} — {row.description}" if shows(row.description) else f"• {row.title}"
            for row in section.actions
        ]
        plain = "\n".join(lines)
        yield [(section.title, "bold"), ("\n" + plain, "")] if shows(section.title) else [(plain, "")]


def _rows(message: Message) -> Iterator[_Row]:
    for index, button in enumerate(message.buttons):
        yield _Row(pointer("body", "button", index), button.key, button.title)
    for section_index, section in enumerate(message.list.sections if message.list else ()):
        for index, action in enumerate(section.actions):
            at = pointer("body", "list", "sections", section_index, "actions", index)
            yield _Row(at, action.key, action.title)


def _list_losses(message: Message, body: ListBody) -> Iterator[Loss]:
    detail = "Telegram has no list to open: the rows stand in the text and are the buttons below it"
    yield Loss("/body/list", "list_as_keyboard", detail)
    if shows(message.text) and shows(body.title):
        detail = "Telegram has no button that opens a list, and body.text has the words: list.title is not shown"
        yield Loss("/body/list/title", "list_title_ignored", detail)


# --- Files ------------------------------------------------------------------------------------------------------------


def _file(message: Message, facts: Facts, losses: list[Loss]) -> _File | None:
    """Return the message's file: its media, or the header's."""
    if message.media:
        name = _path_name(message.media.url)
        hidden = message.type in (MessageType.IMAGE, MessageType.VIDEO, MessageType.VOICE)
        if hidden and message.media.name not in ("", name, unquote(name)):
            detail = f"Telegram shows no file name with a message of type {message.type}: media.name is not shown"
            losses.append(Loss("/body/media/name", "media_name_ignored", detail))
        return _file_of(message.type, message.media, facts)
    if message.header and message.header.media_url:
        return _file_of(message.header.type, Media(message.header.media_url), facts)
    return None


def _file_of(kind_name: str, media: Media, facts: Facts) -> _File:
    kind = _FILE_KINDS[kind_name]
    on_path = _path_name(media.url)
    name = unquote(on_path)
    upload = False
    if kind_name == MessageType.DOCUMENT:
        # By URL Telegram takes these two kinds only and chooses the name itself ("Sending files").
        upload = not on_path.lower().endswith(_DOCUMENTS_BY_URL) or media.name not in ("", on_path, name)
        name = media.name if shows(media.name) else name
    known = facts.media.get(media.url)
    if known is not None:
        upload = upload or (known.size is not None and known.size > kind.by_url)
        no_ogg = known.content_type != "" and not known.content_type.lower().startswith(_VOICE_BY_URL)
        upload = upload or (kind_name == MessageType.VOICE and no_ogg)
    return _File(kind, media.url, _with_extension(name, on_path, kind), upload)


def _path_name(url: str) -> str:
    """Return the last segment of the URL's path, as it is written there."""
    path = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2]
    return path.rpartition("/")[2]


def _with_extension(name: str, on_path: str, kind: _FileKind) -> str:
    """Return the name of an uploaded file; without an extension of its own it takes the URL's, or the kind's.

    A phone opens a document by its extension, and Telegram refuses a photo without one.
    """
    fit = _UNFIT_FOR_NAMES.sub("_", name).strip() or "file"
    if _EXTENSION.search(fit):
        return fit
    extension = _EXTENSION.search(unquote(on_path))
    return fit + (extension.group() if extension else kind.extension)


# --- Replies ----------------------------------------------------------------------------------------------------------


def _reply(message: Message, facts: Facts, losses: list[Loss]) -> JsonObject | None:
    """Return ``reply_parameters``. A deleted original must not fail the message, so sending without it is allowed."""
    if not message.reply_id and not message.reply_token:
        return None
    if message.reply_id:
        at, kind = "/reply_id", "reply_id_not_found"
        target = facts.reply.platform_id if facts.reply else message.reply_id
        same_chat = facts.reply is not None and facts.reply.chat != "" and facts.reply.chat == facts.address
    else:
        at, kind, target, same_chat = "/reply_token", "reply_token_not_used", message.reply_token, False
    found = _MESSAGE_OF_CHAT.fullmatch(target.strip())
    if (
        not found and message.reply_id and message.reply_token
    ):  # a press has an id of its own: its token names the message
        at, kind, target = "/reply_token", "reply_token_not_used", message.reply_token
        found = _MESSAGE_OF_CHAT.fullmatch(target.strip())
    # Before the recipient is resolved nobody knows the chat: what may well be right is not called a loss yet.
    same_chat = same_chat or facts.address in ("", found.group(1) if found else "")
    if found and int(found.group(2)) > 0 and same_chat:
        if not facts.takes(1, Again.WITHOUT_QUOTE):
            return {"message_id": int(found.group(2)), "allow_sending_without_reply": True}
        detail = "Telegram no longer has the message that is replied to: it is sent without the reply"
    elif found:
        detail = f"{at[1:]} names a message of another chat: it is sent without the reply"
    else:
        detail = f"{at[1:]} names no message that is known here: it is sent without the reply"
    losses.append(Loss(at, kind, detail))
    return None


def look(account: Account) -> Call:
    """Return the call that tells who the bot is and sends nothing: the Bot API's "getMe", which takes no parameters."""
    return Call(part=0, method="GET", url=method_url(account, "getMe"), headers=(), json={})
