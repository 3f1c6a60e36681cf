"""WhatsApp's message objects: what the Cloud API refuses of them, in its words, and what the phone shows.

Read from https://developers.facebook.com/docs/whatsapp/cloud-api (reference/messages, guides/send-messages; September
2026). Where Meta does not say what it counts, UTF-16 code units are counted, the strictest plausible reading: what
passes here passes there. Keys that Meta does not have are refused, since they are what a guessed mapping shows first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from kurir.sandbox import marks
from kurir.sandbox.graph import GraphErrors, fits, member, members, only_keys
from kurir.sandbox.media import Elsewhere, Uploads, is_web_url, local, look_up
from kurir.sandbox.view import Block, Choice, Section
from kurir.sandbox.whatsapp_templates import filled, find
from kurir.sandbox.wire import JsonObject, RefusedError, shown_json, utf16

TEXT = 4096
CAPTION = 1024
BODY = 1024  # also of a list: the page says 4096, the live API refuses 1,731 with the 1024 sentence
HEADER = 60
FOOTER = 60
BUTTONS = 3
BUTTON_TITLE = 20
BUTTON_ID = 256
LIST_LABEL = 20
SECTIONS = 10
SECTION_TITLE = 24
ROWS = 10  # over all sections together
ROW_TITLE = 24
ROW_DESCRIPTION = 72
ROW_ID = 200
URL_LABEL = 20

MEDIA_KEYS = {
    "image": ("id", "link", "caption"),
    "video": ("id", "link", "caption"),
    "audio": ("id", "link", "voice"),
    "document": ("id", "link", "caption", "filename"),
    "sticker": ("id", "link"),
}
#: What each kind may be, where the sandbox can know: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media
MEDIA_TYPES = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/mp4", "video/3gpp"),
    "audio": ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"),
    "document": ("",),
    "sticker": ("image/webp",),
}
OTHER_INTERACTIVE = ("flow", "product", "product_list", "catalog_message", "carousel", "address_message")


@dataclass(slots=True)
class Reader:
    """Reads one message: refuses it, or gives its blocks. *failure* is what only a webhook will tell, later.

    A *lenient* one also reads what is too long or too much, and files that it does not have.
    """

    errors: GraphErrors
    uploads: Uploads
    failure: str = ""
    lenient: bool = False
    _kinds: dict[str, Callable[[JsonObject], tuple[Block, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kinds = {
            "text": self._text,
            "location": self._location,
            "interactive": self._interactive,
            "template": self._template,
            "reaction": self._reaction,
        }

    def invalid(self, details: str) -> RefusedError:
        """Return the refusal of a value, which *details* names."""
        message = "(#131009) Parameter value is not valid"
        return self.errors.refusal(131009, message, details=details, product="whatsapp")

    def missing(self, details: str) -> RefusedError:
        """Return the refusal of a message that lacks what *details* names."""
        message = "(#131008) Required parameter is missing"
        return self.errors.refusal(131008, message, details=details, product="whatsapp")

    def blocks(self, message: JsonObject) -> tuple[Block, ...]:
        """Return what the phone shows of a message whose envelope was checked."""
        kind = str(message.get("type", "text"))
        content = message.get(kind)
        if kind == "contacts":
            if not isinstance(content, list) or not content:
                raise self.missing("Parameter 'contacts' is mandatory for type 'contacts'")
            return tuple(_contact(contact) for contact in content)
        if not isinstance(content, dict):
            raise self.missing(f"Parameter '{kind}' is mandatory for type '{kind}'")
        if kind in MEDIA_KEYS:
            return self._media(kind, content)
        return self._kinds[kind](content)

    def _length(self, text: object, most: int, words: str, least: int = 1) -> str:
        if not self._fits(text, least, most) or not isinstance(text, str) or (least and not text.strip()):
            raise self.invalid(f"{words} length invalid. Min length: {least}, Max length: {most}")
        return text

    def _fits(self, text: object, least: int, most: int) -> bool:
        return isinstance(text, str) if self.lenient else fits(text, least, most)

    def _text(self, content: JsonObject) -> tuple[Block, ...]:
        only_keys(self.errors, content, ("body", "preview_url"), "text")
        body = content.get("body")
        if not isinstance(body, str) or not body.strip():
            raise self.missing("Parameter 'text.body' is mandatory for type 'text'")
        if not self._fits(body, 1, TEXT):
            raise self.errors.parameter(f"Param text['body'] must be at most {TEXT} characters long.")
        return (_marked(body, most=TEXT),)

    def _media(self, kind: str, content: JsonObject, where: str = "", keys: tuple[str, ...] = ()) -> tuple[Block, ...]:
        only_keys(self.errors, content, keys or MEDIA_KEYS[kind], where or kind)
        caption = content.get("caption")
        if caption is not None and not self._fits(caption, 0, CAPTION):
            raise self.errors.parameter(f"Param {where or kind}['caption'] must be at most {CAPTION} characters long.")
        given = [key for key in ("id", "link") if content.get(key)]
        if len(given) != 1:
            raise self.errors.parameter(f"Exactly one of 'id' or 'link' is required on param {where or kind}.")
        block = self._linked(kind, content) if given == ["link"] else self._uploaded(kind, content)
        if kind == "document" and content.get("filename"):
            block = replace(block, name=str(content["filename"]))
        if kind == "audio":
            block = replace(block, voice=content.get("voice") is True and block.mime_type in ("", "audio/ogg"))
        return (block, _marked(caption, "caption", CAPTION)) if caption else (block,)

    def _linked(self, kind: str, content: JsonObject) -> Block:
        link = content["link"]
        if not is_web_url(link):
            raise self.errors.parameter(f"Param {kind}['link'] is not a valid URL.")
        found = look_up(link)
        block = Block("image" if kind == "sticker" else kind, url=local(link))
        if found is Elsewhere.MISSING:
            self.failure = (
                self.failure or "Downloading media from weblink failed with http code 404, status message Not Found"
            )
        if isinstance(found, Elsewhere):
            return replace(block, name=link.rpartition("/")[2].partition("?")[0] if kind == "document" else "")
        if not found.mime_type.startswith(MEDIA_TYPES[kind]):
            self.failure = self.failure or f"Media file type {found.mime_type} is not supported for {kind} messages"
        return replace(
            block, name=found.name, size=found.size, mime_type=found.mime_type, duration_ms=found.duration_ms
        )

    def _uploaded(self, kind: str, content: JsonObject) -> Block:
        found = self.uploads.get(str(content["id"]))
        if found is None and self.lenient:
            return Block("image" if kind == "sticker" else kind)
        if found is None:
            raise self.errors.refusal(
                131009,
                "(#131009) Parameter value is not valid",
                details=f"Media id {content['id']} does not exist or is expired",
                product="whatsapp",
            )
        if not found.mime_type.startswith(MEDIA_TYPES[kind]):
            raise self.invalid(f"Media type {found.mime_type} is not supported for {kind} messages")
        shown = "image" if kind == "sticker" else kind
        return Block(shown, url=found.url, name=found.name, size=found.size, mime_type=found.mime_type)

    def _location(self, content: JsonObject) -> tuple[Block, ...]:
        only_keys(self.errors, content, ("latitude", "longitude", "name", "address"), "location")
        point = []
        for name, most in (("latitude", 90.0), ("longitude", 180.0)):
            value = _number(content.get(name))
            if value is None:
                raise self.missing(f"Parameter 'location.{name}' is mandatory for type 'location'")
            if abs(value) > most:
                raise self.invalid(f"Location {name} must be between -{most:g} and {most:g}")
            point.append(value)
        title, address = str(content.get("name") or ""), str(content.get("address") or "")
        return (Block("location", latitude=point[0], longitude=point[1], title=title, text=address),)

    def _reaction(self, content: JsonObject) -> tuple[Block, ...]:
        if not content.get("message_id") or not isinstance(content.get("emoji"), str):
            raise self.missing(
                "Parameters 'reaction.message_id' and 'reaction.emoji' are mandatory for type 'reaction'"
            )
        return (Block("text", text=str(content["emoji"])),)

    def _template(self, content: JsonObject) -> tuple[Block, ...]:
        name, language = content.get("name"), member(content, "language").get("code")
        if not isinstance(name, str) or not isinstance(language, str) or not language:
            raise self.missing(
                "Parameters 'template.name' and 'template.language.code' are mandatory for type 'template'"
            )
        template = find(name, language)
        if template is None:
            message = "(#132001) Template name does not exist in the translation"
            details = f"template name ({name}) does not exist in {language}"
            raise self.errors.refusal(132001, message, status=404, details=details, product="whatsapp")
        given = [member({"": component}, "") for component in members(content, "components")]
        blocks: list[Block] = []
        choices: list[Choice] = []
        for part in template["components"]:
            kind = str(part["type"]).lower()
            if kind == "buttons":
                choices = [_template_button(each, index, given) for index, each in enumerate(part["buttons"])]
                continue
            values = [value for one in given if one.get("type") == kind for value in members(one, "parameters")]
            shown = [self._template_value(value, kind) for value in values]
            if part.get("format") in ("IMAGE", "VIDEO", "DOCUMENT"):
                self._check_count(kind, 1, len(shown))
                blocks += shown
                continue
            self._check_count(kind, part["text"].count("{{"), len(shown))
            text = filled(part["text"], [block.text for block in shown])
            blocks.append(Block("text", text=text, role=kind))
        if choices:
            blocks.append(Block("buttons", style="rows", choices=tuple(choices)))
        return tuple(blocks)

    def _check_count(self, kind: str, expected: int, given: int) -> None:
        if expected != given:
            message = "(#132000) Number of parameters does not match the expected number of params"
            numbers = (
                f"number of localizable_params ({given}) does not match the expected number of params ({expected})"
            )
            details = f"{kind}: {numbers}"
            raise self.errors.refusal(132000, message, details=details, product="whatsapp")

    def _template_value(self, value: Any, role: str) -> Block:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind in ("image", "video", "document"):
            return self._media(kind, member(value, kind), "template['components']", MEDIA_KEYS["document"])[0]
        text = str(value.get("text", value.get("payload", ""))) if isinstance(value, dict) else ""
        if re.search(r"[\n\t]| {5,}", text):
            details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
            raise self.errors.refusal(100, "(#100) Invalid parameter", details=details, product="whatsapp")
        return Block("text", text=text, role=role)

    # --- Interactive messages -----------------------------------------------------------------------------------------

    def _interactive(self, content: JsonObject) -> tuple[Block, ...]:
        only_keys(self.errors, content, ("type", "header", "body", "footer", "action"), "interactive")
        kind = str(content.get("type"))
        if kind in OTHER_INTERACTIVE:
            return (Block("unknown", text=shown_json(content)),)
        actions: dict[str, Callable[[JsonObject], Block]] = {
            "button": self._buttons,
            "list": self._list,
            "cta_url": self._link_button,
            "location_request_message": lambda _: _one_button("Send location"),
            "request_contact_info": lambda _: _one_button("Share phone number"),
        }
        if kind not in actions:
            raise self.errors.parameter(
                f"Param interactive['type'] must be one of {{{', '.join(actions)}}} - got \"{kind}\"."
            )
        blocks = list(self._header(content, kind))
        body = self._length(member(content, "body").get("text"), BODY, "Body text")
        blocks.append(_marked(body, most=BODY))
        if content.get("footer") is not None:
            footer = self._length(member(content, "footer").get("text"), FOOTER, "Footer text")
            blocks.append(_marked(footer, "footer", FOOTER))
        if not isinstance(content.get("action"), dict):
            raise self.missing("Parameter 'interactive.action' is mandatory for type 'interactive'")
        blocks.append(actions[kind](content["action"]))
        return tuple(blocks)

    def _header(self, content: JsonObject, kind: str) -> tuple[Block, ...]:
        if not content.get("header"):
            return ()
        header = member(content, "header")
        form = header.get("type")
        if form == "text":
            only_keys(self.errors, header, ("type", "text", "sub_text"), "interactive['header']")
            text = self._length(header.get("text"), HEADER, "Header text")
            return (Block("text", text=text, role="header", length=utf16(text), limit=HEADER),)
        if form not in ("image", "video", "document") or kind == "list":
            raise self.invalid(f"Header type {form} is not supported for interactive type {kind}")
        only_keys(self.errors, header, ("type", form), "interactive['header']")
        keys = ("id", "link", "filename") if form == "document" else ("id", "link")
        return self._media(form, member(header, form), f"interactive['header']['{form}']", keys)

    def _buttons(self, action: JsonObject) -> Block:
        only_keys(self.errors, action, ("buttons",), "interactive['action']")
        buttons = members(action, "buttons")
        if not 1 <= len(buttons) <= BUTTONS and not self.lenient:
            raise self.invalid(f"Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: {BUTTONS}")
        choices = []
        for button in buttons:
            reply = member(button, "reply")
            if member({"": button}, "").get("type") != "reply" or not reply:
                raise self.invalid("Button type must be 'reply' and carry a 'reply' object")
            title = self._length(reply.get("title"), BUTTON_TITLE, "Button title")
            choices.append(_limited(title, self._id(reply.get("id"), BUTTON_ID, "Button id"), BUTTON_TITLE))
        if len({choice.title for choice in choices}) < len(choices):
            raise self.invalid("Button titles must be unique within the message")
        self._unique_ids(choices, "Button")
        return Block("buttons", style="rows", choices=tuple(choices))

    def _list(self, action: JsonObject) -> Block:
        only_keys(self.errors, action, ("button", "sections"), "interactive['action']")
        label = self._length(action.get("button"), LIST_LABEL, "List button label")
        given = members(action, "sections")
        if not 1 <= len(given) <= SECTIONS and not self.lenient:
            raise self.invalid(f"Invalid sections count. Min allowed sections: 1, Max allowed sections: {SECTIONS}")
        sections = tuple(self._section(section, titled=len(given) > 1) for section in given)
        rows = [row for section in sections for row in section.rows]
        if len(rows) > ROWS and not self.lenient:
            raise self.invalid(f"Total row count exceed max allowed count: {ROWS}")
        self._unique_ids(rows, "Row")
        return Block("list", label=label, sections=sections, length=utf16(label), limit=LIST_LABEL)

    def _section(self, section: Any, *, titled: bool) -> Section:
        if not isinstance(section, dict):
            raise self.invalid("Each section must be an object")
        only_keys(self.errors, section, ("title", "rows", "product_items"), "interactive['action']['sections']")
        title = section.get("title") or ""
        if titled and not title:
            raise self.invalid("Section title is required when there is more than one section")
        if not self._fits(title, 0, SECTION_TITLE):
            raise self.invalid(f"Section title is too long. Max length is {SECTION_TITLE}")
        rows = members(section, "rows")
        if not rows:
            raise self.invalid("Each section must have at least one row")
        return Section(title, tuple(self._row(row) for row in rows))

    def _row(self, row: Any) -> Choice:
        if not isinstance(row, dict):
            raise self.invalid("Each row must be an object")
        only_keys(self.errors, row, ("id", "title", "description"), "interactive['action']['sections']['rows']")
        title, description = row.get("title"), row.get("description")
        if not isinstance(title, str) or not title.strip():
            raise self.invalid(f"Row title length invalid. Min length: 1, Max length: {ROW_TITLE}")
        if not self._fits(title, 1, ROW_TITLE):
            raise self.invalid(f"Row title is too long. Max length is {ROW_TITLE}")
        if description is not None and not self._fits(description, 1, ROW_DESCRIPTION):
            raise self.invalid(f"Row description is too long. Max length is {ROW_DESCRIPTION}")
        return _limited(title, self._id(row.get("id"), ROW_ID, "Row id"), ROW_TITLE, description or "")

    def _link_button(self, action: JsonObject) -> Block:
        parameters = member(action, "parameters")
        title = self._length(parameters.get("display_text"), URL_LABEL, "Display text")
        if not is_web_url(parameters.get("url")):
            raise self.invalid("The url of a cta_url button must be an absolute http or https URL")
        return Block("buttons", style="rows", choices=(replace(_limited(title, "", URL_LABEL), url=parameters["url"]),))

    def _id(self, value: object, most: int, words: str) -> str:
        text = self._length(value, most, words)
        if text != text.strip():
            raise self.invalid(f"{words} cannot have leading or trailing spaces")
        return text

    def _unique_ids(self, choices: list[Choice], words: str) -> None:
        if len({choice.payload for choice in choices}) < len(choices):
            raise self.invalid(f"{words} ids must be unique within the message")


def _marked(text: str, role: str = "body", most: int = 0) -> Block:
    shown, spans = marks.whatsapp(text)
    return Block("text", text=shown, role=role, spans=spans, length=utf16(text), limit=most)


def _limited(title: str, payload: str, most: int, description: str = "") -> Choice:
    return Choice(title, payload, description=description, length=utf16(title), limit=most)


def _one_button(title: str) -> Block:
    return Block("buttons", style="rows", choices=(Choice(title),))


def _contact(contact: Any) -> Block:
    name = str(member(contact, "name").get("formatted_name", ""))
    phones = [str(member({"": phone}, "").get("phone", "")) for phone in members(contact, "phones")]
    return Block("text", text="\n".join([name, *phones]))


def _number(value: object) -> float | None:
    """Return a number that may be written as text, as Meta's guides show both."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _template_button(button: JsonObject, index: int, given: list[JsonObject]) -> Choice:
    """Return a template's button with what the message fills in: a payload, else the title, or the end of a URL."""
    values = [
        value
        for one in given
        if one.get("type") == "button" and str(one.get("index")) == str(index)
        for value in members(one, "parameters")
        if isinstance(value, dict)
    ]
    said = str(values[0].get("payload") or values[0].get("text") or "") if values else ""
    if button["type"] == "URL":
        return Choice(button["text"], url=filled(button["url"], [said]))
    return Choice(button["text"], payload=said or button["text"])
