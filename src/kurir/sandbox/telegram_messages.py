"""Telegram's messages: what a call may send, what the Bot API refuses of it, and what the phone shows.

Read from https://core.telegram.org/bots/api (version 10.1), https://github.com/tdlib/telegram-bot-api and
https://github.com/tdlib/td. Text is counted in Unicode code points.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from kurir.sandbox import marks
from kurir.sandbox.ids import Ids
from kurir.sandbox.media import Elsewhere, Media, Uploads, is_web_url, local, look_up
from kurir.sandbox.telegram_calls import Parameters, bad, formatted, keyboard
from kurir.sandbox.view import Block
from kurir.sandbox.wire import File, Form, JsonObject

TEXT = 4096
CAPTION = 1024
RAW_TEXT_BYTES = 32768
PHOTO_BYTES = 10 * 1024 * 1024
ALBUM = (2, 10)
PHOTO_EXTENSIONS = (".jpg", ".jpeg", ".gif", ".png", ".tif", ".bmp", ".webp")
#: What Telegram takes when it fetches a URL itself; https://core.telegram.org/bots/api#sending-files.
URL_TYPES = {
    "photo": ("image/",),
    "video": ("video/",),
    "audio": ("audio/",),
    "voice": ("audio/",),
    "animation": ("image/gif", "video/"),
    "document": ("application/pdf", "application/zip"),
}
URL_DOCUMENTS = (".pdf", ".zip", ".gif")
BLOCK_KINDS = {
    "photo": "image",
    "video": "video",
    "animation": "video",
    "audio": "audio",
    "voice": "audio",
    "document": "document",
}

#: The methods that send one message.
SENDERS = ("sendmessage", "sendlocation", "sendvenue", "sendcontact", *(f"send{kind}" for kind in BLOCK_KINDS))


@dataclass(slots=True)
class Draft:
    """A message on its way: what the API answers of it, and what the phone shows."""

    answer: JsonObject = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()


class Reader:
    """Reads one call: refuses it, or gives what the API answers and the phone shows.

    A *lenient* one also reads what is too long, and files that it does not have.
    """

    def __init__(self, ids: Ids, uploads: Uploads, *, lenient: bool = False) -> None:
        self._ids = ids
        self._uploads = uploads
        self._lenient = lenient

    def draft(self, method: str, parameters: Parameters) -> Draft:
        """Return the message that *method*, one of SENDERS, sends."""
        makers: dict[str, Callable[[Parameters], Draft]] = {
            "sendmessage": self._message,
            "sendlocation": self._location,
            "sendvenue": self._venue,
            "sendcontact": self._contact,
        }
        draft = (makers.get(method) or self._media_sender(method.removeprefix("send")))(parameters)
        markup, blocks = keyboard(parameters.json("reply_markup", "reply keyboard markup"), lenient=self._lenient)
        draft.blocks += blocks
        if markup:
            draft.answer["reply_markup"] = markup
        return draft

    def album(self, parameters: Parameters) -> list[Draft]:
        """Return the messages of sendMediaGroup."""
        items = parameters.json("media", "media")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise bad("can't parse media JSON object")
        if not ALBUM[0] <= len(items) <= ALBUM[1] and not self._lenient:
            raise bad(f"album must contain {ALBUM[0]}-{ALBUM[1]} items" if items else "there are no messages to send")
        drafts = []
        for item in items:
            kind = str(item.get("type"))
            if kind not in ("photo", "video", "audio", "document"):
                raise bad("can't parse media: InputMedia has unsupported type")
            fields = item | {kind: item.get("media")}
            drafts.append(self._media_sender(kind)(Parameters(Form(fields, parameters.form.files))))
        return drafts

    def _message(self, parameters: Parameters) -> Draft:
        raw = parameters.text("text")
        if len(raw.encode(errors="replace")) > RAW_TEXT_BYTES and not self._lenient:
            raise bad("text is too long")
        if not raw:
            raise bad("message text is empty")
        text, entities = formatted(parameters, raw, "entities")
        if not text:
            raise bad("text must be non-empty")
        if len(text) > TEXT and not self._lenient:
            raise bad("message is too long")
        answer: JsonObject = {"text": text} | ({"entities": entities} if entities else {})
        return Draft(answer, (_text(text, entities, TEXT),))

    def _caption(self, parameters: Parameters) -> Draft:
        text, entities = formatted(parameters, parameters.text("caption"), "caption_entities")
        if len(text) > CAPTION and not self._lenient:
            raise bad("message caption is too long")
        if not text:
            return Draft()
        answer: JsonObject = {"caption": text} | ({"caption_entities": entities} if entities else {})
        return Draft(answer, (replace(_text(text, entities, CAPTION), role="caption"),))

    def _media_sender(self, kind: str) -> Callable[[Parameters], Draft]:
        def make(parameters: Parameters) -> Draft:
            media = self._media(parameters, kind, parameters.text(kind), parameters.form.files.get(kind))
            caption = self._caption(parameters)
            duration = parameters.number("duration")
            block = _media_block(kind, media, int(duration * 1000) if duration else media.duration_ms)
            return Draft(self._media_answer(kind, media, duration) | caption.answer, (block, *caption.blocks))

        return make

    def _media(self, parameters: Parameters, kind: str, value: str, file: File | None) -> Media:
        """Return the file that a call names: a part of the body, an id that was given out, or a URL."""
        if value.startswith("attach://"):
            file = parameters.form.files.get(value.removeprefix("attach://"))
            if file is None and self._lenient:
                return Media("", "", 0, "")
            if file is None:
                raise bad("wrong file identifier/HTTP URL specified")
        if file is not None:
            return self._uploaded(kind, file)
        if not value:
            raise bad(f"there is no {kind} in the request")
        known = self._uploads.get(value)
        if known is not None:
            return known
        if self._lenient and (not is_web_url(value) or look_up(value) is Elsewhere.UNKNOWN):
            return Media(value.rpartition("/")[2], "", 0, value if is_web_url(value) else "")
        if not is_web_url(value):
            raise bad("wrong file identifier/HTTP URL specified")
        return _fetched(kind, value)

    def _uploaded(self, kind: str, file: File) -> Media:
        if not file.content:
            raise bad("file must be non-empty")
        if kind == "photo":
            if len(file.content) > PHOTO_BYTES:
                size = f"file of size {len(file.content)} bytes is too big for a photo"
                raise bad(f"{size}; the maximum size is {PHOTO_BYTES} bytes")
            if not file.name.lower().endswith(PHOTO_EXTENSIONS):
                text = "photo has unsupported extension. Use one of .jpg, .jpeg, .gif, .png, .tif or .bmp"
                raise bad(text)
        _, media = self._uploads.put(file, "BQAC" + self._ids.text("file", 60))
        return media

    def _media_answer(self, kind: str, media: Media, duration: float | None) -> JsonObject:
        upload_id = media.url.rpartition("/")[2] if "/uploads/" in media.url else self._ids.text("file", 64)
        file: JsonObject = {"file_id": upload_id, "file_unique_id": self._ids.text("unique", 16)}
        if media.size:
            file["file_size"] = media.size
        if kind == "photo":
            return {"photo": [file | {"width": 800, "height": 500}]}
        if kind in ("video", "animation"):
            file |= {"width": 640, "height": 400}
        if kind != "document":
            file["duration"] = int(duration or (media.duration_ms or 0) / 1000)
        if media.mime_type:
            file["mime_type"] = media.mime_type
        if media.name and kind != "voice":
            file["file_name"] = media.name
        # An animation comes with a document beside it, for clients that know no animations.
        return {kind: file} | ({"document": file} if kind == "animation" else {})

    def _location(self, parameters: Parameters) -> Draft:
        latitude, longitude = _point(parameters)
        answer = {"location": {"latitude": latitude, "longitude": longitude}}
        return Draft(answer, (Block("location", latitude=latitude, longitude=longitude),))

    def _venue(self, parameters: Parameters) -> Draft:
        latitude, longitude = _point(parameters)
        title, address = parameters.text("title").strip(), parameters.text("address").strip()
        if not title:
            raise bad("title must be non-empty")
        if not address:
            raise bad("address must be non-empty")
        location = {"latitude": latitude, "longitude": longitude}
        answer: JsonObject = {"venue": {"location": location, "title": title, "address": address}, "location": location}
        return Draft(answer, (Block("location", latitude=latitude, longitude=longitude, title=title, text=address),))

    def _contact(self, parameters: Parameters) -> Draft:
        number, name = parameters.text("phone_number"), parameters.text("first_name")
        if not number:
            raise bad("phone_number is empty")
        if not name:
            raise bad("first_name is empty")
        answer = {"contact": {"phone_number": number, "first_name": name}}
        return Draft(answer, (Block("text", text=f"{name}\n{number}"),))


def _point(parameters: Parameters) -> tuple[float, float]:
    values = []
    for name, most in (("latitude", 90), ("longitude", 180)):
        if not parameters.text(name):
            raise bad(f"{name} is empty")
        value = parameters.number(name)
        if value is None or abs(value) > most:
            raise bad("invalid location specified")
        values.append(value)
    return values[0], values[1]


def _fetched(kind: str, url: str) -> Media:
    """Return what Telegram would get from *url*, which it fetches before it answers."""
    found = look_up(url)
    name = url.partition("?")[0].rpartition("/")[2]
    if found is Elsewhere.MISSING:
        raise bad("failed to get HTTP URL content")
    if isinstance(found, Elsewhere):
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if kind == "document" and extension and f".{extension}" not in URL_DOCUMENTS:
            raise bad("wrong type of the web page content")
        return Media(name, "", 0, url)
    if not found.mime_type.startswith(URL_TYPES[kind]):
        raise bad("wrong type of the web page content")
    return found


def _text(text: str, entities: list[Any], most: int) -> Block:
    return Block("text", text=text, spans=marks.entity_spans(entities), length=len(text), limit=most)


def _media_block(kind: str, media: Media, duration_ms: int | None) -> Block:
    block = Block(BLOCK_KINDS[kind], url=local(media.url), mime_type=media.mime_type, size=media.size or None)
    if kind in ("document", "audio"):
        block = replace(block, name=media.name)
    if kind in ("audio", "voice", "video"):
        block = replace(block, duration_ms=duration_ms, voice=kind == "voice")
    return block
