"""Messenger's message objects: what the Send API refuses of them, in Meta's words, and what the phone shows.

Read from https://developers.facebook.com/docs/messenger-platform (reference/send-api, send-messages/templates; June
2026). Lengths are counted in UTF-16 code units, since Meta does not name its unit and this is the strictest plausible
one.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from kurir.sandbox.graph import GraphErrors, fits, member, members, only_keys
from kurir.sandbox.media import Elsewhere, Uploads, is_web_url, local, look_up, mime_type_of
from kurir.sandbox.view import Block, Choice
from kurir.sandbox.wire import File, JsonObject, shown_json, utf16

TEXT = 2000
METADATA = 1000
BUTTON_TEXT = 640
BUTTONS = 3
BUTTON_TITLE = 20
PAYLOAD = 1000
ELEMENTS = 10
ELEMENT_TEXT = 80
QUICK_REPLIES = 13
QUICK_REPLY_TITLE = 20
IMAGES = (2, 30)
IMAGE_BYTES = 8 * 1024 * 1024
FILE_BYTES = 25 * 1024 * 1024

MESSAGE_KEYS = ("text", "attachment", "attachments", "sticker_id", "quick_replies", "metadata", "template")
MEDIA = {"image": "image/", "video": "video/", "audio": "audio/", "file": ""}
BLOCK_KINDS = {"image": "image", "video": "video", "audio": "audio", "file": "document"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one message: refuses it, or gives its blocks.

    A *lenient* one also reads what is too long or too much, and files that it does not have.
    """

    errors: GraphErrors
    uploads: Uploads
    assets: MutableMapping[str, Block]
    file: File | None
    lenient: bool = False

    def blocks(self, message: JsonObject) -> tuple[Block, ...]:
        """Return what the phone shows of a message."""
        only_keys(self.errors, message, MESSAGE_KEYS, "message")
        content = [key for key in ("text", "attachment", "attachments", "sticker_id", "template") if message.get(key)]
        if not content:
            raise self.errors.parameter("Message cannot be empty, must provide valid attachment or text", 2018034)
        if len(content) > 1:
            raise self.errors.parameter("Message must have exactly one of text, attachment, attachments or sticker_id")
        if not fits(message.get("metadata", ""), 0, METADATA - 1):
            raise self._long("message[metadata]", METADATA - 1)
        readers: dict[str, Callable[[JsonObject], tuple[Block, ...]]] = {
            "text": self._text,
            "attachment": lambda message: self._attachment(message["attachment"], "message[attachment]"),
            "attachments": self._images,
            "sticker_id": lambda message: (Block("unknown", text=f"Sticker {str(message['sticker_id'])[:40]}"),),
            "template": lambda message: (Block("unknown", text=shown_json(message["template"])),),
        }
        return readers[content[0]](message) + self._quick_replies(message)

    def _long(self, where: str, most: int) -> Exception:
        return self.errors.parameter(f"Length of param {where} must be less than or equal to {most}")

    def _string(self, value: Any, name: str, where: str, most: int) -> str:
        text = value.get(name) if isinstance(value, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise self.errors.parameter(f"The parameter {where}[{name}] is required")
        if not (self.lenient or fits(text, 1, most)):
            raise self._long(f"{where}[{name}]", most)
        return text

    def _url(self, value: Any, name: str, where: str) -> str:
        url = value.get(name) if isinstance(value, dict) else None
        if not isinstance(url, str) or not is_web_url(url):
            raise self.errors.parameter(f"Param {where}[{name}] must be a valid URL", 2018008)
        return url

    def _list(self, value: Any, name: str, where: str, most: int) -> list[Any]:
        items = members(value, name)
        if not items:
            raise self.errors.parameter(f"Param {where}[{name}] must be a non-empty array")
        if len(items) > most and not self.lenient:
            raise self.errors.parameter(f"Param {where}[{name}] has too many elements, at most {most} are allowed")
        return items

    def _text(self, message: JsonObject) -> tuple[Block, ...]:
        text = message["text"]
        if not isinstance(text, str) or not text.strip():
            raise self.errors.parameter("Message cannot be empty, must provide valid attachment or text", 2018034)
        if not (self.lenient or fits(text, 1, TEXT)):
            raise self._long("message[text]", TEXT)
        return (_limited(text, TEXT),)

    def _quick_replies(self, message: JsonObject) -> tuple[Block, ...]:
        if message.get("quick_replies") is None:
            return ()
        choices = []
        for index, reply in enumerate(self._list(message, "quick_replies", "message", QUICK_REPLIES)):
            where = f"message[quick_replies][{index}]"
            kind = reply.get("content_type") if isinstance(reply, dict) else None
            if kind in ("user_phone_number", "user_email"):
                choices.append(Choice("Phone number" if kind == "user_phone_number" else "E-mail", payload=str(kind)))
            elif kind == "text":
                title = self._string(reply, "title", where, QUICK_REPLY_TITLE)
                payload = self._string(reply, "payload", where, PAYLOAD)
                choices.append(Choice(title, payload=payload, length=utf16(title), limit=QUICK_REPLY_TITLE))
            else:
                raise self.errors.parameter(
                    f"Param {where}[content_type] must be one of {{TEXT, USER_PHONE_NUMBER, USER_EMAIL}}"
                )
        return (Block("buttons", style="chips", choices=tuple(choices)),)

    def _images(self, message: JsonObject) -> tuple[Block, ...]:
        items = self._list(message, "attachments", "message", IMAGES[1])
        if len(items) < IMAGES[0] or any(member({"": item}, "").get("type") != "image" for item in items):
            raise self.errors.parameter(f"Param message[attachments] must be {IMAGES[0]} to {IMAGES[1]} images")
        blocks: tuple[Block, ...] = ()
        for index, item in enumerate(items):
            blocks += self._attachment(item, f"message[attachments][{index}]")
        return blocks

    def _attachment(self, attachment: Any, where: str) -> tuple[Block, ...]:
        kind, payload = str(member({"": attachment}, "").get("type")), member(attachment, "payload")
        if kind == "template":
            return self._template(payload, f"{where}[payload]")
        if kind not in MEDIA:
            raise self.errors.parameter(f"Param {where}[type] must be one of {{AUDIO, FILE, IMAGE, TEMPLATE, VIDEO}}")
        only_keys(self.errors, payload, ("url", "is_reusable", "attachment_id"), f"{where}[payload]")
        if payload.get("attachment_id"):
            return (self._stored(kind, payload["attachment_id"]),)
        if self.file is not None:
            return (self._uploaded(kind, self.file),)
        return (self._linked(kind, self._url(payload, "url", f"{where}[payload]")),)

    def _stored(self, kind: str, attachment_id: object) -> Block:
        block = self.assets.get(str(attachment_id))
        if block is None and self.lenient:
            return Block(BLOCK_KINDS[kind])
        if block is None or block.kind != BLOCK_KINDS[kind]:
            raise self.errors.parameter("Invalid attachment ID", 2018074)
        return block

    def _uploaded(self, kind: str, file: File) -> Block:
        if not mime_type_of(file).startswith(MEDIA[kind]):
            raise self.errors.parameter("Upload attachment failure.", 2018047)
        if len(file.content) > (IMAGE_BYTES if kind == "image" else FILE_BYTES):
            raise self.errors.parameter("Attachment size exceeds allowable limit", 2018109)
        _, media = self.uploads.put(file)
        name = media.name if kind == "file" else ""
        return Block(BLOCK_KINDS[kind], url=media.url, name=name, size=media.size, mime_type=media.mime_type)

    def _linked(self, kind: str, url: str) -> Block:
        found = look_up(url)
        name = url.partition("?")[0].rpartition("/")[2] if kind == "file" else ""
        if found is Elsewhere.MISSING:
            raise self.errors.parameter("Failed to fetch the file from the url", 2018008)
        if isinstance(found, Elsewhere):
            return Block(BLOCK_KINDS[kind], url=local(url), name=name)
        if not found.mime_type.startswith(MEDIA[kind]):
            raise self.errors.parameter("Upload attachment failure.", 2018047)
        block = Block(BLOCK_KINDS[kind], url=found.url, name=name, size=found.size, mime_type=found.mime_type)
        return replace(block, duration_ms=found.duration_ms)

    # --- Templates ----------------------------------------------------------------------------------------------------

    def _template(self, payload: JsonObject, where: str) -> tuple[Block, ...]:
        kind = payload.get("template_type")
        if kind == "button":
            only_keys(self.errors, payload, ("template_type", "text", "buttons", "sharable"), where)
            text = self._string(payload, "text", where, BUTTON_TEXT)
            return (_limited(text, BUTTON_TEXT), self._buttons(payload, where))
        if kind == "generic":
            only_keys(self.errors, payload, ("template_type", "elements", "image_aspect_ratio", "sharable"), where)
            elements = self._list(payload, "elements", where, ELEMENTS)
            cards = tuple(self._element(element, f"{where}[elements][{i}]") for i, element in enumerate(elements))
            return (Block("carousel", cards=cards),)
        if kind == "media":
            return self._media_template(payload, where)
        raise self.errors.parameter(
            f'Param {where}[template_type] must be one of {{BUTTON, GENERIC, MEDIA}} - got "{kind}"'
        )

    def _element(self, element: Any, where: str) -> tuple[Block, ...]:
        keys = ("title", "subtitle", "image_url", "default_action", "buttons")
        only_keys(self.errors, member({"": element}, ""), keys, where)
        title = self._string(element, "title", where, ELEMENT_TEXT)
        if not any(element.get(key) for key in keys[1:]):
            raise self.errors.parameter(f"Param {where} must have at least one property beside title")
        blocks = []
        if element.get("image_url"):
            url = self._url(element, "image_url", where)
            if look_up(url) is Elsewhere.MISSING:
                raise self.errors.parameter("Failed to fetch the file from the url", 2018008)
            blocks.append(Block("image", url=local(url)))
        blocks.append(_limited(title, ELEMENT_TEXT, "title"))
        if element.get("subtitle"):
            blocks.append(_limited(self._string(element, "subtitle", where, ELEMENT_TEXT), ELEMENT_TEXT, "subtitle"))
        if element.get("buttons"):
            blocks.append(self._buttons(element, where))
        return tuple(blocks)

    def _media_template(self, payload: JsonObject, where: str) -> tuple[Block, ...]:
        element = self._list(payload, "elements", where, 1)[0]
        kind = member({"": element}, "").get("media_type")
        if kind not in ("image", "video"):
            raise self.errors.parameter(f"Param {where}[elements][0][media_type] must be one of {{IMAGE, VIDEO}}")
        if element.get("url"):
            block = Block(kind, url=local(self._url(element, "url", f"{where}[elements][0]")))
        else:
            block = self._stored(kind, element.get("attachment_id"))
        buttons = (self._buttons(element, f"{where}[elements][0]"),) if element.get("buttons") else ()
        return (block, *buttons)

    def _buttons(self, value: Any, where: str) -> Block:
        choices = []
        for index, button in enumerate(self._list(value, "buttons", where, BUTTONS)):
            at = f"{where}[buttons][{index}]"
            kind = member({"": button}, "").get("type")
            if kind not in ("postback", "web_url", "phone_number"):
                raise self.errors.parameter(f"Param {at}[type] must be one of {{POSTBACK, WEB_URL, PHONE_NUMBER}}")
            title = self._string(button, "title", at, BUTTON_TITLE)
            choice = Choice(title, length=utf16(title), limit=BUTTON_TITLE)
            if kind == "web_url":
                choices.append(replace(choice, url=self._url(button, "url", at)))
            elif kind == "phone_number":
                choices.append(replace(choice, url=f"tel:{self._string(button, 'payload', at, PAYLOAD)}"))
            else:
                choices.append(replace(choice, payload=self._string(button, "payload", at, PAYLOAD)))
        return Block("buttons", style="rows", choices=tuple(choices))


def _limited(text: str, most: int, role: str = "body") -> Block:
    return Block("text", text=text, role=role, length=utf16(text), limit=most)
