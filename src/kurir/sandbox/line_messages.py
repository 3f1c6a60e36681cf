"""LINE's message objects: what is wrong with them, in LINE's words, and what the phone shows.

Read from https://developers.line.biz/en/reference/messaging-api/#message-objects and
https://github.com/line/line-openapi (August 2026). A request is checked as a whole: LINE names every problem with the
path of its property. Most lengths count UTF-16 code units; labels, display texts and the texts of templates count
grapheme clusters (https://developers.line.biz/en/docs/messaging-api/text-character-count/).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import regex

from kurir.sandbox.media import DEMO_FILES, LOCAL_PATH, is_web_url, local
from kurir.sandbox.view import Block, Choice, Span
from kurir.sandbox.wire import JsonObject, utf16

MESSAGES = 5
TEXT = 5000
EMOJIS = 20
SUBSTITUTIONS = 100
MEDIA_URL = 2000
TRACKING_ID = 100
LOCATION_TEXT = 100
ALT_TEXT = 1500
QUICK_REPLIES = 13
LABEL = 20
FLEX_LABEL = 40
IMAGE_CAROUSEL_LABEL = 12
DATA = 300
DISPLAY_TEXT = 300
URI = 1000
CLIPBOARD = 1000
BUTTONS_TEXT = 160
BUTTONS_TEXT_WITH_HEAD = 60
CONFIRM_TEXT = 240
CAROUSEL_TEXT = 120
CAROUSEL_TEXT_WITH_HEAD = 60
TEMPLATE_TITLE = 40
BUTTONS_ACTIONS = 4
COLUMNS = 10
COLUMN_ACTIONS = 3
IMAGEMAP_ACTIONS = 50
BUBBLE_BYTES = 30 * 1024
CAROUSEL_BYTES = 50 * 1024
BUBBLES = 12
SENDER_NAME = 20
FLEX_DEPTH = 20

ACTION_TYPES = (
    "postback",
    "message",
    "uri",
    "datetimepicker",
    "camera",
    "cameraRoll",
    "location",
    "clipboard",
    "richmenuswitch",
)
URI_SCHEMES = ("http", "https", "line", "tel")
FLEX_TYPES = ("box", "text", "button", "image", "video", "icon", "separator", "filler", "span")
SMALL = ("xxs", "xs", "sm")
LARGE = ("lg", "xl", "xxl", "3xl", "4xl", "5xl")

EMPTY = "May not be empty"


def graphemes(text: str) -> int:
    """Return the number of grapheme clusters."""
    return len(regex.findall(r"\X", text))


def entry(value: Any, name: str) -> Any:
    """Return a member of an object, None when there is none or *value* is no object."""
    return value.get(name) if isinstance(value, dict) else None


@dataclass(slots=True)
class Reader:
    """Reads the messages of one request: collects what is wrong, and the blocks of each message."""

    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, message: str, where: str) -> None:
        """Note a problem of the property *where*."""
        self.problems.append((message, where))

    def messages(self, value: Any) -> list[tuple[Block, ...]]:
        """Return the blocks of each message of a request."""
        if not isinstance(value, list) or not 1 <= len(value) <= MESSAGES:
            self.add(f"Size must be between 1 and {MESSAGES}", "messages")
            return []
        shown = [self._message(message, f"messages[{index}]") for index, message in enumerate(value)]
        # Quick replies count on the last message alone; LINE checks those of the others and shows none of them.
        chips = [
            self._quick_reply(entry(message, "quickReply"), f"messages[{i}].quickReply")
            for i, message in enumerate(value)
        ]
        shown[-1] += chips[-1]
        return shown

    def _message(self, message: Any, where: str) -> tuple[Block, ...]:
        kinds: dict[str, Callable[[JsonObject, str], tuple[Block, ...]]] = {
            "text": self._text,
            "textV2": self._text_v2,
            "image": self._image,
            "video": self._video,
            "audio": self._audio,
            "location": self._location,
            "sticker": self._sticker,
            "template": self._template,
            "imagemap": self._imagemap,
            "flex": self._flex,
        }
        read = kinds.get(str(entry(message, "type")))
        if read is None:
            self._one_of(kinds, f"{where}.type")
            return ()
        if entry(message, "sender") is not None and entry(message["sender"], "name") is not None:
            self._text_of(message["sender"], "name", f"{where}.sender", SENDER_NAME)
        return read(message, where)

    # --- Properties ---------------------------------------------------------------------------------------------------

    def _one_of(self, names: Any, where: str) -> None:
        self.add(f"Must be one of the following values: [{', '.join(names)}]", where)

    def _text_of(
        self, value: Any, name: str, where: str, most: int, *, least: int = 1, count: Callable[[str], int] = utf16
    ) -> str:
        """Return a text; note a problem when it is missing, empty though it may not be, or too long."""
        text = entry(value, name)
        if text is None and not least:
            return ""
        if not isinstance(text, str) or (least and not text.strip()):
            self.add(EMPTY, f"{where}.{name}")
            return ""
        if count(text) > most:
            self.add(f"Length must be between 0 and {most}", f"{where}.{name}")
        return text

    def _url(self, value: Any, name: str, where: str, most: int = MEDIA_URL) -> str:
        url = self._text_of(value, name, where, most)
        if url and not is_web_url(url, ("https",)):
            self.add("invalid uri scheme", f"{where}.{name}")
        return url

    def _number(self, value: Any, name: str, where: str, most: float) -> float:
        number = entry(value, name)
        if isinstance(number, bool) or not isinstance(number, int | float):
            self.add(EMPTY, f"{where}.{name}")
            return 0.0
        if abs(number) > most:
            self.add(f"Must be between -{most:g} and {most:g}", f"{where}.{name}")
        return float(number)

    def _items(self, value: Any, name: str, where: str, least: int, most: int) -> list[Any]:
        items = entry(value, name)
        if not isinstance(items, list) or not least <= len(items) <= most:
            self.add(f"Size must be between {least} and {most}", f"{where}.{name}")
            return items[:most] if isinstance(items, list) else []
        return items

    # --- Plain kinds --------------------------------------------------------------------------------------------------

    def _text(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        text = self._text_of(message, "text", where, TEXT)
        if message.get("emojis") is not None:
            self._items(message, "emojis", where, 1, EMOJIS)
        return (Block("text", text=text, length=utf16(text), limit=TEXT),)

    def _text_v2(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        text = self._text_of(message, "text", where, TEXT)
        length = utf16(text)
        substitution = message.get("substitution") or {}
        if not isinstance(substitution, dict) or len(substitution) > SUBSTITUTIONS:
            self.add(f"Size must be between 0 and {SUBSTITUTIONS}", f"{where}.substitution")
            substitution = {}
        for name in substitution:
            text = text.replace(f"{{{name}}}", f"@{name}")
        return (Block("text", text=text.replace("{{", "{").replace("}}", "}"), length=length, limit=TEXT),)

    def _image(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        url = self._url(message, "originalContentUrl", where)
        self._url(message, "previewImageUrl", where)
        return (Block("image", url=local(url)),)

    def _video(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        url = self._url(message, "originalContentUrl", where)
        poster = self._url(message, "previewImageUrl", where)
        self._text_of(message, "trackingId", where, TRACKING_ID, least=0)
        return (Block("video", url=local(url), poster=local(poster)),)

    def _audio(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        url = self._url(message, "originalContentUrl", where)
        duration = message.get("duration")
        if isinstance(duration, bool) or not isinstance(duration, int) or duration <= 0:
            self.add(EMPTY if duration is None else "Must be a positive integer", f"{where}.duration")
            duration = None
        return (Block("audio", url=local(url), duration_ms=duration),)

    def _location(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        title = self._text_of(message, "title", where, LOCATION_TEXT)
        address = self._text_of(message, "address", where, LOCATION_TEXT)
        latitude = self._number(message, "latitude", where, 90)
        longitude = self._number(message, "longitude", where, 180)
        return (Block("location", title=title, text=address, latitude=latitude, longitude=longitude),)

    def _sticker(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        package = self._text_of(message, "packageId", where, 20)
        sticker = self._text_of(message, "stickerId", where, 20)
        return (Block("unknown", text=f"Sticker {package}/{sticker}"),)

    def _imagemap(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        url = self._url(message, "baseUrl", where)
        self._text_of(message, "altText", where, ALT_TEXT)
        if entry(message.get("baseSize"), "width") != 1040:
            self.add("Must be 1040", f"{where}.baseSize.width")
        choices = []
        for action in self._items(message, "actions", where, 1, IMAGEMAP_ACTIONS):
            link, text = entry(action, "linkUri"), entry(action, "text")
            choices.append(Choice(str(entry(action, "label") or text or link), payload=text or "", url=link or ""))
        image = Block("image", url=local(f"{url}/1040"))
        return (image, Block("buttons", style="rows", choices=tuple(choices)))

    # --- Actions ------------------------------------------------------------------------------------------------------

    def _action(self, action: Any, where: str, label_most: int = LABEL, *, label_needed: bool = True) -> Choice:
        kind = entry(action, "type")
        if kind not in ACTION_TYPES:
            self._one_of(ACTION_TYPES, f"{where}.type")
            return Choice("")
        least = 1 if label_needed else 0
        title = self._text_of(action, "label", where, label_most, least=least, count=graphemes)
        return replace(self._acting(action, kind, title, where), length=graphemes(title), limit=label_most)

    def _acting(self, action: Any, kind: str, title: str, where: str) -> Choice:
        """Return the choice that *action* makes of *title*: what it sends or opens."""
        if kind == "postback":
            payload = self._text_of(action, "data", where, DATA, least=0)
            if action.get("data") is None:
                self.add(EMPTY, f"{where}.data")
            for name in ("displayText", "text", "fillInText"):
                self._text_of(action, name, where, DISPLAY_TEXT, least=0, count=graphemes)
            if action.get("displayText") and action.get("text"):
                self.add("displayText and text cannot both be set", where)
            return Choice(title, payload=payload)
        if kind == "message":
            return Choice(title, payload=self._text_of(action, "text", where, DISPLAY_TEXT, count=graphemes))
        if kind == "uri":
            return Choice(title, url=self._uri(action, where))
        if kind == "clipboard":
            return Choice(title, description=self._text_of(action, "clipboardText", where, CLIPBOARD))
        return Choice(title, payload=str(action.get("data") or ""))

    def _uri(self, action: JsonObject, where: str) -> str:
        uri = self._text_of(action, "uri", where, URI)
        scheme = uri.partition(":")[0].lower()
        web = scheme in ("http", "https")
        if uri and (scheme not in URI_SCHEMES or (web and not is_web_url(uri))):
            self.add("invalid uri scheme", f"{where}.uri")
        return uri

    def _quick_reply(self, quick_reply: Any, where: str) -> tuple[Block, ...]:
        if quick_reply is None:
            return ()
        choices = []
        for index, item in enumerate(self._items(quick_reply, "items", where, 1, QUICK_REPLIES)):
            if entry(item, "type") != "action":
                self._one_of(["action"], f"{where}.items[{index}].type")
            choices.append(self._action(entry(item, "action"), f"{where}.items[{index}].action"))
        return (Block("buttons", style="chips", choices=tuple(choices)),)

    # --- Templates ----------------------------------------------------------------------------------------------------

    def _template(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        self._text_of(message, "altText", where, ALT_TEXT)
        template, where = message.get("template"), f"{where}.template"
        kinds: dict[str, Callable[[Any, str], tuple[Block, ...]]] = {
            "buttons": self._buttons,
            "confirm": self._confirm,
            "carousel": self._carousel,
            "image_carousel": self._image_carousel,
        }
        read = kinds.get(str(entry(template, "type")))
        if read is None:
            self._one_of(kinds, f"{where}.type")
            return ()
        return read(template, where)

    def _card(self, value: Any, where: str, limits: tuple[int, int], actions: int) -> tuple[Block, ...]:
        """Read what a buttons template and a carousel's column have in common."""
        image, title = "", ""
        if entry(value, "thumbnailImageUrl") is not None:
            image = self._url(value, "thumbnailImageUrl", where)
        if entry(value, "title") is not None:
            title = self._text_of(value, "title", where, TEMPLATE_TITLE, count=graphemes)
        most = limits[1] if image or title else limits[0]
        text = self._text_of(value, "text", where, most, count=graphemes)
        choices = [
            self._action(action, f"{where}.actions[{index}]")
            for index, action in enumerate(self._items(value, "actions", where, 1, actions))
        ]
        blocks = [Block("image", url=local(image))] if image else []
        blocks += [_counted(title, TEMPLATE_TITLE, "title")] if title else []
        return (*blocks, _counted(text, most), Block("buttons", style="rows", choices=tuple(choices)))

    def _buttons(self, template: Any, where: str) -> tuple[Block, ...]:
        return self._card(template, where, (BUTTONS_TEXT, BUTTONS_TEXT_WITH_HEAD), BUTTONS_ACTIONS)

    def _confirm(self, template: Any, where: str) -> tuple[Block, ...]:
        text = self._text_of(template, "text", where, CONFIRM_TEXT, count=graphemes)
        actions = self._items(template, "actions", where, 2, 2)
        choices = tuple(self._action(action, f"{where}.actions[{index}]") for index, action in enumerate(actions))
        return (_counted(text, CONFIRM_TEXT), Block("buttons", style="rows", choices=choices))

    def _carousel(self, template: Any, where: str) -> tuple[Block, ...]:
        columns = self._items(template, "columns", where, 1, COLUMNS)
        limits = (CAROUSEL_TEXT, CAROUSEL_TEXT_WITH_HEAD)
        cards = [
            self._card(column, f"{where}.columns[{i}]", limits, COLUMN_ACTIONS) for i, column in enumerate(columns)
        ]
        counts = {len(entry(column, "actions") or ()) for column in columns}
        if len(counts) > 1:
            self.add("The number of actions must be the same in all columns", f"{where}.columns")
        for name in ("thumbnailImageUrl", "title"):
            if len({bool(entry(column, name)) for column in columns}) > 1:
                self.add(f"{name} must be set in all columns or in none", f"{where}.columns")
        return (Block("carousel", cards=tuple(cards)),)

    def _image_carousel(self, template: Any, where: str) -> tuple[Block, ...]:
        cards = []
        for index, column in enumerate(self._items(template, "columns", where, 1, COLUMNS)):
            at = f"{where}.columns[{index}]"
            image = Block("image", url=local(self._url(column, "imageUrl", at)))
            choice = self._action(entry(column, "action"), f"{at}.action", IMAGE_CAROUSEL_LABEL, label_needed=False)
            cards.append((image, Block("buttons", style="rows", choices=(choice,))))
        return (Block("carousel", cards=tuple(cards)),)

    # --- Flex ---------------------------------------------------------------------------------------------------------

    def _flex(self, message: JsonObject, where: str) -> tuple[Block, ...]:
        self._text_of(message, "altText", where, ALT_TEXT)
        contents, where = message.get("contents"), f"{where}.contents"
        kind = entry(contents, "type")
        if kind == "bubble":
            return self._bubble(contents, where)
        if kind != "carousel":
            self._one_of(("bubble", "carousel"), f"{where}.type")
            return ()
        if _bytes(contents) > CAROUSEL_BYTES:
            self.add(f"The size of the carousel must not exceed {CAROUSEL_BYTES // 1024} KB", where)
        bubbles = self._items(contents, "contents", where, 1, BUBBLES)
        cards = tuple(self._bubble(bubble, f"{where}.contents[{index}]") for index, bubble in enumerate(bubbles))
        return (Block("carousel", cards=cards),)

    def _bubble(self, bubble: Any, where: str) -> tuple[Block, ...]:
        if entry(bubble, "type") != "bubble":
            self._one_of(["bubble"], f"{where}.type")
            return ()
        if _bytes(bubble) > BUBBLE_BYTES:
            self.add(f"The size of the bubble must not exceed {BUBBLE_BYTES // 1024} KB", where)
        blocks: list[Block] = []
        for name in ("header", "hero", "body", "footer"):
            component = bubble.get(name)
            if component is None:
                continue
            if name != "hero" and entry(component, "type") != "box":
                self._one_of(["box"], f"{where}.{name}.type")
                continue
            blocks += self._component(component, f"{where}.{name}", 0)
        if not blocks and not any(bubble.get(name) for name in ("header", "hero", "body", "footer")):
            self.add("At least one block must be specified", where)
        return _merged(blocks)

    def _component(self, component: Any, where: str, depth: int) -> list[Block]:
        kind = entry(component, "type")
        if kind not in FLEX_TYPES:
            self._one_of(FLEX_TYPES, f"{where}.type")
            return []
        if kind == "box":
            return self._box(component, where, depth)
        if kind == "text":
            return self._flex_text(component, where)
        if kind == "button":
            choice = self._action(component.get("action"), f"{where}.action", FLEX_LABEL)
            return [Block("buttons", style="rows", choices=(choice,))]
        if kind in ("image", "icon"):
            url = self._url(component, "url", where)
            return [Block("image", url=local(url))] if kind == "image" else []
        if kind == "video":
            url, poster = self._url(component, "url", where), self._url(component, "previewUrl", where)
            if component.get("altContent") is None:
                self.add(EMPTY, f"{where}.altContent")
            return [Block("video", url=local(url), poster=local(poster))]
        return []

    def _box(self, box: JsonObject, where: str, depth: int) -> list[Block]:
        if box.get("layout") not in ("vertical", "horizontal", "baseline"):
            self._one_of(("vertical", "horizontal", "baseline"), f"{where}.layout")
        contents = box.get("contents")
        if not isinstance(contents, list) or depth >= FLEX_DEPTH:
            self.add(EMPTY if depth < FLEX_DEPTH else "The box is nested too deeply", f"{where}.contents")
            return []
        blocks = []
        for index, component in enumerate(contents):
            blocks += self._component(component, f"{where}.contents[{index}]", depth + 1)
        return blocks

    def _flex_text(self, component: JsonObject, where: str) -> list[Block]:
        runs = component.get("contents")
        if isinstance(runs, list) and runs:
            shown, spans = "", []
            for run in runs:
                words = str(entry(run, "text") or "")
                if entry(run, "weight") == "bold":
                    spans.append(Span(utf16(shown), utf16(words), "bold"))
                shown += words
            return [Block("text", text=shown, spans=tuple(spans))]
        text = component.get("text")
        if not isinstance(text, str) or not text:
            self.add(EMPTY, f"{where}.text")
            return []
        bold, size = component.get("weight") == "bold", component.get("size", "md")
        if bold and size in LARGE:
            return [Block("text", text=text, role="title")]
        block = Block("text", text=text, role="subtitle" if size in SMALL else "body")
        return [replace(block, spans=(Span(0, utf16(text), "bold"),))] if bold else [block]


def _counted(text: str, most: int, role: str = "body") -> Block:
    return Block("text", text=text, role=role, length=graphemes(text), limit=most)


def _merged(blocks: list[Block]) -> tuple[Block, ...]:
    """Join rows of buttons that stand directly below each other."""
    merged: list[Block] = []
    for block in blocks:
        if merged and block.kind == "buttons" == merged[-1].kind:
            merged[-1] = replace(merged[-1], choices=merged[-1].choices + block.choices)
        else:
            merged.append(block)
    return tuple(merged)


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


def with_facts(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Return *blocks* with what the sandbox knows of its own demo files."""
    known = [DEMO_FILES.get(block.url.removeprefix(LOCAL_PATH)) for block in blocks]
    return tuple(
        replace(block, mime_type=media.mime_type, size=media.size) if media else block
        for block, media in zip(blocks, known, strict=True)
    )
