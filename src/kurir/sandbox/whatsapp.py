"""WhatsApp's Cloud API, emulated: what it accepts, what it refuses and with which words, and the receipts that follow.

Read from https://developers.facebook.com/docs/whatsapp/cloud-api (reference/messages, guides/send-messages, support/error-codes,
webhooks/components; September 2026). Where Meta does not say what it counts, UTF-16 code units are counted, the strictest
plausible reading: what passes here passes there.

A 200 only means "accepted". A number that is not on WhatsApp and a media link that cannot be fetched fail later, by webhook.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kurir.sandbox import marks
from kurir.sandbox.graph import (
    GraphErrors,
    authenticate,
    fits,
    member,
    members,
    only_keys,
    read_object,
    token_of,
)
from kurir.sandbox.media import Elsewhere, Uploads, is_web_url, local, look_up
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.receipts import Step
from kurir.sandbox.state import Sandbox
from kurir.sandbox.view import Block, Bubble, Choice, LedgerEvent, Phone, Section
from kurir.sandbox.wire import JsonObject, RefusedError, TooLargeError, UnreadableError, read_form, utf16

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
OPAQUE_DATA = 512
URL_LABEL = 20

ENVELOPE = (
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
    "recipient_identity_key_hash",
    "access_token",
)
TYPES = (
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "reaction",
    "sticker",
    "template",
    "text",
    "video",
)
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
UPLOAD_SIZES = {"image": 5 << 20, "video": 16 << 20, "audio": 16 << 20, "application": 100 << 20, "text": 100 << 20}
OTHER_INTERACTIVE = ("flow", "product", "product_list", "catalog_message", "carousel", "address_message")

_NUMBER = re.compile(r"[0-9][0-9x]{5,14}")
_BSUID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
_TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")


@dataclass(slots=True)
class _Reader:
    """Reads one message: refuses it, or gives its blocks. *failure* is what only a webhook will tell, later."""

    errors: GraphErrors
    uploads: Uploads
    failure: str = ""
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
        message = "(#131009) Parameter value is not valid"
        return self.errors.refusal(131009, message, details=details, product="whatsapp")

    def missing(self, details: str) -> RefusedError:
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
        if not isinstance(text, str) or not least <= utf16(text) <= most or (least and not text.strip()):
            raise self.invalid(f"{words} length invalid. Min length: {least}, Max length: {most}")
        return text

    def _text(self, content: JsonObject) -> tuple[Block, ...]:
        only_keys(self.errors, content, ("body", "preview_url"), "text")
        body = content.get("body")
        if not isinstance(body, str) or not body.strip():
            raise self.missing("Parameter 'text.body' is mandatory for type 'text'")
        if not fits(body, 1, TEXT):
            raise self.errors.parameter(f"Param text['body'] must be at most {TEXT} characters long.")
        return (_marked(body),)

    def _media(self, kind: str, content: JsonObject, where: str = "", keys: tuple[str, ...] = ()) -> tuple[Block, ...]:
        only_keys(self.errors, content, keys or MEDIA_KEYS[kind], where or kind)
        caption = content.get("caption")
        if caption is not None and not fits(caption, 0, CAPTION):
            raise self.errors.parameter(f"Param {where or kind}['caption'] must be at most {CAPTION} characters long.")
        given = [key for key in ("id", "link") if content.get(key)]
        if len(given) != 1:
            raise self.errors.parameter(f"Exactly one of 'id' or 'link' is required on param {where or kind}.")
        block = self._linked(kind, content) if given == ["link"] else self._uploaded(kind, content)
        if kind == "document" and content.get("filename"):
            block = replace(block, name=str(content["filename"]))
        if kind == "audio":
            block = replace(block, voice=content.get("voice") is True and block.mime_type in ("", "audio/ogg"))
        return (block, _marked(caption, "caption")) if caption else (block,)

    def _linked(self, kind: str, content: JsonObject) -> Block:
        link = content["link"]
        if not is_web_url(link):
            raise self.errors.parameter(f"Param {kind}['link'] is not a valid URL.")
        found = look_up(link)
        block = Block("image" if kind == "sticker" else kind, url=local(link))
        if found is Elsewhere.MISSING:
            self.failure = self.failure or "Downloading media from weblink failed with http code 404, status message Not Found"
        if isinstance(found, Elsewhere):
            return replace(block, name=link.rpartition("/")[2].partition("?")[0] if kind == "document" else "")
        if not found.mime_type.startswith(MEDIA_TYPES[kind]):
            self.failure = self.failure or f"Media file type {found.mime_type} is not supported for {kind} messages"
        return replace(
            block, name=found.name, size=found.size, mime_type=found.mime_type, duration_ms=found.duration_ms
        )

    def _uploaded(self, kind: str, content: JsonObject) -> Block:
        found = self.uploads.get(str(content["id"]))
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
            raise self.missing("Parameters 'reaction.message_id' and 'reaction.emoji' are mandatory for type 'reaction'")
        return (Block("text", text=str(content["emoji"])),)

    def _template(self, content: JsonObject) -> tuple[Block, ...]:
        name, language = content.get("name"), member(content, "language").get("code")
        if not isinstance(name, str) or not isinstance(language, str) or not language:
            raise self.missing("Parameters 'template.name' and 'template.language.code' are mandatory for type 'template'")
        if not _TEMPLATE_NAME.fullmatch(name):
            message = "(#132001) Template name does not exist in the translation"
            details = f"template name ({name}) does not exist in {language}"
            raise self.errors.refusal(132001, message, status=404, details=details, product="whatsapp")
        blocks: list[Block] = [Block("text", text=f"{name} ({language})", role="title")]
        for component in members(content, "components"):
            role = "header" if member({"": component}, "").get("type") == "header" else "body"
            blocks += [self._template_value(value, role) for value in members(component, "parameters")]
        return tuple(blocks)

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
        kind = content.get("type")
        if kind in OTHER_INTERACTIVE:
            return (Block("unknown", text=json.dumps(content, ensure_ascii=False, indent=1)),)
        actions = {
            "button": self._buttons,
            "list": self._list,
            "cta_url": self._link_button,
            "location_request_message": lambda _: Block("buttons", style="rows", choices=(Choice("Send location"),)),
            "request_contact_info": lambda _: Block("buttons", style="rows", choices=(Choice("Share phone number"),)),
        }
        if kind not in actions:
            raise self.errors.parameter(f"Param interactive['type'] must be one of {{{', '.join(actions)}}} - got \"{kind}\".")
        blocks = list(self._header(content, str(kind)))
        body = self._length(member(content, "body").get("text"), BODY, "Body text")
        blocks.append(_marked(body))
        if content.get("footer") is not None:
            blocks.append(_marked(self._length(member(content, "footer").get("text"), FOOTER, "Footer text"), "footer"))
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
            return (Block("text", text=self._length(header.get("text"), HEADER, "Header text"), role="header"),)
        if form not in ("image", "video", "document") or kind == "list":
            raise self.invalid(f"Header type {form} is not supported for interactive type {kind}")
        only_keys(self.errors, header, ("type", form), "interactive['header']")
        keys = ("id", "link", "filename") if form == "document" else ("id", "link")
        return self._media(form, member(header, form), f"interactive['header']['{form}']", keys)

    def _buttons(self, action: JsonObject) -> Block:
        only_keys(self.errors, action, ("buttons",), "interactive['action']")
        buttons = members(action, "buttons")
        if not 1 <= len(buttons) <= BUTTONS:
            raise self.invalid(f"Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: {BUTTONS}")
        choices = []
        for button in buttons:
            reply = member(button, "reply")
            if member({"": button}, "").get("type") != "reply" or not reply:
                raise self.invalid("Button type must be 'reply' and carry a 'reply' object")
            title = self._length(reply.get("title"), BUTTON_TITLE, "Button title")
            choices.append(Choice(title, self._id(reply.get("id"), BUTTON_ID, "Button id")))
        if len({choice.title for choice in choices}) < len(choices):
            raise self.invalid("Button titles must be unique within the message")
        self._unique_ids(choices, "Button")
        return Block("buttons", style="rows", choices=tuple(choices))

    def _list(self, action: JsonObject) -> Block:
        only_keys(self.errors, action, ("button", "sections"), "interactive['action']")
        label = self._length(action.get("button"), LIST_LABEL, "List button label")
        given = members(action, "sections")
        if not 1 <= len(given) <= SECTIONS:
            raise self.invalid(f"Invalid sections count. Min allowed sections: 1, Max allowed sections: {SECTIONS}")
        sections = tuple(self._section(section, titled=len(given) > 1) for section in given)
        rows = [row for section in sections for row in section.rows]
        if len(rows) > ROWS:
            raise self.invalid(f"Total row count exceed max allowed count: {ROWS}")
        self._unique_ids(rows, "Row")
        return Block("list", label=label, sections=sections)

    def _section(self, section: Any, *, titled: bool) -> Section:
        if not isinstance(section, dict):
            raise self.invalid("Each section must be an object")
        only_keys(self.errors, section, ("title", "rows", "product_items"), "interactive['action']['sections']")
        title = section.get("title") or ""
        if titled and not title:
            raise self.invalid("Section title is required when there is more than one section")
        if not fits(title, 0, SECTION_TITLE):
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
        if not fits(title, 1, ROW_TITLE):
            raise self.invalid(f"Row title is too long. Max length is {ROW_TITLE}")
        if description is not None and not fits(description, 1, ROW_DESCRIPTION):
            raise self.invalid(f"Row description is too long. Max length is {ROW_DESCRIPTION}")
        return Choice(title, self._id(row.get("id"), ROW_ID, "Row id"), description=description or "")

    def _link_button(self, action: JsonObject) -> Block:
        parameters = member(action, "parameters")
        title = self._length(parameters.get("display_text"), URL_LABEL, "Display text")
        if not is_web_url(parameters.get("url")):
            raise self.invalid("The url of a cta_url button must be an absolute http or https URL")
        return Block("buttons", style="rows", choices=(Choice(title, url=parameters["url"]),))

    def _id(self, value: object, most: int, words: str) -> str:
        text = self._length(value, most, words)
        if text != text.strip():
            raise self.invalid(f"{words} cannot have leading or trailing spaces")
        return text

    def _unique_ids(self, choices: list[Choice], words: str) -> None:
        if len({choice.payload for choice in choices}) < len(choices):
            raise self.invalid(f"{words} ids must be unique within the message")


class WhatsApp:
    """The emulated edges of one business phone number."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._number = sandbox.config.whatsapp
        self._errors = GraphErrors(sandbox.ids)

    def owns(self, node: str) -> bool:
        """Return whether *node* is this business phone number."""
        return node == self._number.phone_number_id

    async def messages(self, request: Request) -> Response:
        """Answer POST /{phone_number_id}/messages."""
        message = await read_object(request, self._errors)
        self._authenticate(request, message)
        reader = _Reader(self._errors, self._sandbox.uploads)
        if message.get("messaging_product") != "whatsapp":
            raise self._errors.parameter("The parameter messaging_product is required.")
        if message.get("status") == "read":
            return self._mark_read(message, reader)
        address = self._check_envelope(message, reader)
        blocks = reader.blocks(message)
        phone = self._sandbox.phones.get("whatsapp", address)
        wamid = self._sandbox.ids.wamid(address)
        self._accept(message, phone, address, wamid, blocks, reader.failure)
        contact = {"input": str(message.get("to") or message.get("recipient"))}
        contact |= {"wa_id": address} if message.get("to") else {"user_id": address}
        return JSONResponse({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]})

    async def upload(self, request: Request) -> Response:
        """Answer POST /{phone_number_id}/media."""
        self._authenticate(request)
        try:
            form = await read_form(request, limit=64 * 1024)
        except (TooLargeError, UnreadableError):
            raise self._errors.parameter("Invalid multipart body") from None
        file = form.files.get("file")
        if file is None or form.fields.get("messaging_product") != "whatsapp":
            raise self._errors.parameter("The parameters messaging_product and file are required.")
        upload_id, media = self._sandbox.uploads.put(file)
        if not 0 < media.size <= UPLOAD_SIZES.get(media.mime_type.partition("/")[0], 0):
            message = "(#131053) Media upload error"
            raise self._errors.refusal(131053, message, details=f"Unsupported type or size: {media.mime_type}, {media.size} bytes")
        return JSONResponse({"id": upload_id})

    async def node(self, request: Request) -> Response:
        """Answer GET and DELETE /{media_id} and GET /{phone_number_id}, which SDKs read at their start."""
        self._authenticate(request)
        node = request.path_params["node"]
        if self.owns(node):
            shown = self._number.display_phone_number
            number: JsonObject = {"id": node, "display_phone_number": shown, "verified_name": self._sandbox.config.business}
            return JSONResponse(number | {"quality_rating": "GREEN", "platform_type": "CLOUD_API"})
        media = self._sandbox.uploads.get(node)
        if media is None:
            raise self._errors.unknown_object(request.method, node)
        if request.method == "DELETE":
            return JSONResponse({"success": True})
        url = str(request.base_url).rstrip("/") + media.url
        facts: JsonObject = {"url": url, "mime_type": media.mime_type, "file_size": media.size, "id": node}
        return JSONResponse({"messaging_product": "whatsapp"} | facts)

    def _authenticate(self, request: Request, fields: JsonObject | None = None) -> None:
        given = token_of(request, fields)
        number = self._number
        authenticate(request, self._errors, token=number.access_token, app_secret=number.app_secret, given=given)

    def _mark_read(self, message: JsonObject, reader: _Reader) -> Response:
        if not isinstance(message.get("message_id"), str) or not message["message_id"].startswith("wamid."):
            raise reader.invalid("Message id is not valid")
        return JSONResponse({"success": True})

    def _check_envelope(self, message: JsonObject, reader: _Reader) -> str:
        kind = message.get("type", "text")
        if kind not in TYPES:
            names = ", ".join(name.upper() for name in TYPES)
            raise self._errors.parameter(f'Param type must be one of {{{names}}} - got "{kind}".')
        only_keys(self._errors, message, (*ENVELOPE, kind), "")
        if message.get("recipient_type", "individual") != "individual":
            raise self._errors.parameter("Param recipient_type must be one of {INDIVIDUAL}.")
        opaque = message.get("biz_opaque_callback_data", "")
        if not fits(opaque, 0, OPAQUE_DATA):
            raise self._errors.parameter(f"Param biz_opaque_callback_data must be at most {OPAQUE_DATA} characters long.")
        context = message.get("context")
        if context is not None and not isinstance(member(message, "context").get("message_id"), str):
            raise reader.missing("Parameter 'context.message_id' is mandatory when 'context' is given")
        return self._recipient(message, reader)

    def _recipient(self, message: JsonObject, reader: _Reader) -> str:
        to, user = message.get("to"), message.get("recipient")
        if to:
            address = re.sub(r"[+\s().-]", "", str(to))
            if not _NUMBER.fullmatch(address):
                raise reader.invalid("Recipient phone number is not valid")
            return address
        if user:
            if not _BSUID.fullmatch(str(user)):
                raise reader.invalid("Recipient user id is not valid")
            return str(user)
        raise self._errors.parameter("The parameter to is required.")

    def _accept(
        self, message: JsonObject, phone: Phone | None, address: str, wamid: str, blocks: tuple[Block, ...], failure: str
    ) -> None:
        sandbox, moment = self._sandbox, rfc3339(self._sandbox.clock.now())
        bubble = None
        if phone is not None:
            quoted = str(member(message, "context").get("message_id", ""))
            bubble = Bubble(
                id=wamid,
                at=moment,
                blocks=blocks,
                quoted=quoted if sandbox.phones.shows(phone, quoted) else "",
                tick="clock",
                status=0,
                events=[LedgerEvent(moment, 0, "accepted; WhatsApp says sent by webhook")],
                payload={key: value for key, value in message.items() if key != "access_token"},
            )
            sandbox.phones.add(phone, bubble)
        opaque = str(message.get("biz_opaque_callback_data") or "")
        told = _Told(self._number.waba_id, self._number.display_phone_number, self._number.phone_number_id, wamid, address, opaque)
        delays = sandbox.config.delays
        if phone is None:
            steps = [told.failed(131026, "Message undeliverable", "Message Undeliverable.", delays.sent)]
            phone = Phone("whatsapp", "", "", sandbox.config.business)
        elif failure:
            steps = [told.failed(131053, "Media upload error", failure, delays.sent)]
        else:
            steps = [
                told.step("sent", 1, delays.sent),
                told.step("delivered", 2, delays.delivered, needs="online"),
                told.step("read", 3, delays.read, needs="open", final=True),
            ]
        sandbox.receipts.begin(phone, bubble, steps)


@dataclass(frozen=True, slots=True)
class _Told:
    """The status webhooks of one message.

    https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components#statuses-object
    {"object": "whatsapp_business_account", "entry": [{"id": "<WABA>", "changes": [{"field": "messages", "value": {…,
    "statuses": [{"id": "wamid.…", "status": "sent", "timestamp": "1750030073", "recipient_id": "16505551234"}]}}]}]}
    """

    waba_id: str
    display_phone_number: str
    phone_number_id: str
    wamid: str
    address: str
    opaque: str

    def step(self, name: str, status: int, delay: float, *, needs: str = "", final: bool = False) -> Step:
        """Return the step that tells *name*."""
        priced = name in ("sent", "delivered")

        def body(moment: datetime) -> JsonObject:
            pricing = {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
            return self._body(name, moment, {"pricing": pricing} if priced else {})

        return Step(name, status, f"webhook: {name}", delay, body, needs, final)

    def failed(self, code: int, title: str, details: str, delay: float) -> Step:
        """Return the step that tells a failure after the 200."""
        error = {
            "code": code,
            "title": title,
            "message": title,
            "error_data": {"details": details},
            "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        }

        def body(moment: datetime) -> JsonObject:
            return self._body("failed", moment, {"errors": [error]})

        return Step("failed", -2, f"webhook: failed, {code} {title}", delay, body, final=True)

    def _body(self, name: str, moment: datetime, extra: JsonObject) -> JsonObject:
        seconds = str(int(moment.timestamp()))
        status: JsonObject = {"id": self.wamid, "status": name, "timestamp": seconds, "recipient_id": self.address}
        if self.opaque:
            status["biz_opaque_callback_data"] = self.opaque
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": self.display_phone_number, "phone_number_id": self.phone_number_id},
            "statuses": [status | extra],
        }
        change = {"value": value, "field": "messages"}
        return {"object": "whatsapp_business_account", "entry": [{"id": self.waba_id, "changes": [change]}]}


def _marked(text: str, role: str = "body") -> Block:
    shown, spans = marks.whatsapp(text)
    return Block("text", text=shown, role=role, spans=spans)


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
