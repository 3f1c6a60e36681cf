"""What a call of Telegram's Bot API carries: parameters in any encoding, marked text, keyboards.

The texts are those of https://github.com/tdlib/telegram-bot-api (Client.cpp) and https://github.com/tdlib/td
(ReplyMarkup.cpp), which are the programs behind api.telegram.org. Callback data are counted in bytes.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from kurir.sandbox import marks
from kurir.sandbox.media import is_web_url
from kurir.sandbox.view import Block, Choice
from kurir.sandbox.wire import Form, JsonObject, RefusedError, UnreadableError, parse_json

ENTITIES = 100  # the rest is ignored in silence
CALLBACK_DATA_BYTES = 64
BUTTONS = 100
COPY_TEXT = 256
BUTTON_ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)
BUTTON_SCHEMES = ("http", "https", "tg", "ton")

TRUE = ("true", "1", "yes", "True")


def refusal(code: int, description: str, parameters: JsonObject | None = None) -> RefusedError:
    """Return a refusal in the Bot API's shape; the HTTP status is the error code."""
    body: JsonObject = {"ok": False, "error_code": code, "description": description}
    return RefusedError(code, body | ({"parameters": parameters} if parameters else {}))


def bad(text: str) -> RefusedError:
    """Return a 400 with *text* after its prefix."""
    return refusal(400, f"Bad Request: {text}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """A call's parameters, which may be of any JSON type or text, and files."""

    form: Form

    def text(self, name: str) -> str:
        """Return a parameter as text, "" when absent."""
        value = self.form.fields.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value)

    def truth(self, name: str) -> bool:
        """Return a parameter as a boolean; anything but a few words is false."""
        value = self.form.fields.get(name)
        return value is True or (isinstance(value, str) and value in TRUE)

    def json(self, name: str, words: str) -> Any:
        """Return a parameter that is JSON, or JSON within text; None when absent."""
        value = self.form.fields.get(name)
        if isinstance(value, str):
            if not value.strip():
                return None
            try:
                return parse_json(value)
            except UnreadableError:
                raise bad(f"can't parse {words} JSON object") from None
        return value

    def number(self, name: str) -> float | None:
        """Return a finite number, None when there is none."""
        try:
            value = float(self.text(name))
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def _clean(text: str) -> str:
    """Return text as Telegram keeps it: no returns, control characters as blanks, nothing blank around it."""
    text = re.sub(r"[\x00-\x09\x0b\x0c\x0e-\x1f]", " ", text.replace("\r", ""))
    return re.sub("[\u202a-\u202e]", "", text)


def formatted(parameters: Parameters, raw: str, entities_name: str) -> tuple[str, list[Any]]:
    """Return the text after parsing and trimming, and its entities; ``parse_mode`` wins over given entities."""
    mode = parameters.text("parse_mode").lower()
    if mode in ("html", "markdownv2", "markdown"):
        parse = marks.telegram_html if mode == "html" else marks.telegram_markdown
        try:
            text, entities = parse(_clean(raw))
        except marks.MarkupError as error:
            raise bad(f"can't parse entities: {error}") from None
    elif mode:
        raise bad("unsupported parse_mode")
    else:
        text, entities = _clean(raw), parameters.json(entities_name, "message entities") or []
        if not isinstance(entities, list):
            raise bad("can't parse entities: expected an Array")
    start = len(text) - len(text.lstrip())
    if start:
        entities = [
            e | {"offset": e["offset"] - start} for e in entities if isinstance(e, dict) and e.get("offset", 0) >= start
        ]
    return text.strip(), entities[:ENTITIES]


def keyboard(markup: Any, *, lenient: bool = False) -> tuple[JsonObject | None, tuple[Block, ...]]:
    """Return the inline keyboard that the answer repeats, and the blocks: one for each row of buttons.

    A *lenient* reading takes callback data of any length.
    """
    if markup is None or markup == {}:
        return None, ()
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    if "inline_keyboard" in markup:
        return _inline(markup["inline_keyboard"], lenient=lenient)
    if "keyboard" in markup:
        rows = _rows(markup["keyboard"], "keyboard")
        titles = [
            [button if isinstance(button, str) else str(button.get("text", "")) for button in row] for row in rows
        ]
        return None, tuple(
            Block("buttons", style="chips", choices=tuple(Choice(title, payload=title) for title in row))
            for row in titles
            if row
        )
    return None, ()


def _rows(value: Any, name: str) -> list[list[Any]]:
    if not isinstance(value, list):
        raise bad(f'can\'t parse reply keyboard markup: Field "{name}" must be of type Array')
    if not all(isinstance(row, list) for row in value):
        raise bad(f'can\'t parse reply keyboard markup: Field "{name}" must be an Array of Arrays')
    for button in (button for row in value for button in row):
        if not isinstance(button, dict) and not (isinstance(button, str) and name == "keyboard"):
            raise bad("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    return value


def _inline(value: Any, *, lenient: bool) -> tuple[JsonObject | None, tuple[Block, ...]]:
    rows, blocks, count = [], [], 0
    for row in _rows(value, "inline_keyboard"):
        checked = [(button, _button(button, lenient=lenient)) for button in row]
        # A button without a text is dropped in silence, as TDLib does.
        kept = [(button, choice) for button, choice in checked if choice.title]
        count += len(kept)
        if kept:
            rows.append([button for button, _ in kept])
            blocks.append(Block("buttons", style="inline", choices=tuple(choice for _, choice in kept)))
    if count > BUTTONS:
        raise bad("reply markup is too long")
    return ({"inline_keyboard": rows} if rows else None), tuple(blocks)


def _button(button: JsonObject, *, lenient: bool) -> Choice:
    problem = "can't parse inline keyboard button: "
    if not isinstance(button.get("text"), str):
        raise bad(problem + 'Can\'t find field "text"')
    title = button["text"].strip()
    actions = [name for name in BUTTON_ACTIONS if button.get(name) not in (None, "")]
    if not actions:
        raise bad(problem + "Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        raise bad(problem + "Exactly one of the optional fields must be used")
    if "callback_data" in actions:
        data = button["callback_data"]
        size = len(data.encode(errors="replace")) if isinstance(data, str) else 0
        if not isinstance(data, str) or (size > CALLBACK_DATA_BYTES and not lenient):
            raise bad("BUTTON_DATA_INVALID")
        return Choice(title, payload=data, length=size, limit=CALLBACK_DATA_BYTES)
    if "url" in actions:
        url = str(button["url"])
        if not is_web_url(url, BUTTON_SCHEMES):
            raise bad(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
        return Choice(title, url=url)
    if "copy_text" in actions:
        copied = button["copy_text"].get("text") if isinstance(button["copy_text"], dict) else None
        if not isinstance(copied, str) or not 1 <= len(copied) <= COPY_TEXT:
            raise bad("BUTTON_COPY_TEXT_INVALID")
        return Choice(title, description=copied)
    return Choice(title)
