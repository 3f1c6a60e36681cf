"""What WhatsApp tells a business of what a person does: ``messages`` webhooks.

Read from https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components#messages-object. A number of the Cloud
API is told nothing when somebody blocks it. ``edit`` and ``revoke`` come to numbers that are used in the app (coexistence).
"""

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kurir.sandbox.acts import Act, ActError
from kurir.sandbox.config import Person
from kurir.sandbox.people import People, Sent
from kurir.sandbox.view import Block, Bubble, Phone
from kurir.sandbox.wire import JsonObject

if TYPE_CHECKING:
    from kurir.sandbox.state import Sandbox

_MEDIA: Final = ("image", "video", "audio", "voice", "document", "sticker")


class WhatsAppPeople:
    """The people who write to one business number."""

    def __init__(self, sandbox: "Sandbox", people: People) -> None:
        self._sandbox = sandbox
        self._people = people
        self._number = sandbox.config.whatsapp

    def act(self, phone: Phone, person: Person, act: Act) -> Bubble | None:
        """Do *act*."""
        people = self._people
        if act.do in ("block", "unblock"):
            bubble = people.remark(phone, f"{person.name} {act.do}ed {phone.business}")
            people.untold(bubble, "WhatsApp tells nobody")
            return bubble
        if act.do == "react":
            return self._react(phone, person, act)
        if act.do in ("edit", "delete"):
            return self._change(phone, person, act)
        if act.do == "press":
            return self._press(phone, person, act)
        if act.do == "open":
            act = Act("text", act.text or "Hi")  # wa.me/<number>?text=… writes the text for the person to send
        sent = people.file(act) if act.do in _MEDIA else None
        content = self._content(act, person, sent)
        quoted = people.quoted(phone, act)
        wamid = self._sandbox.ids.wamid(person.wa_id)
        blocks = people.blocks(act, sent)
        if act.do == "contact":
            name, number = act.name or person.name, act.phone or person.wa_id
            blocks = (Block("text", text=f"{name}\n{number}"),)
        bubble = people.show(phone, wamid, blocks, quoted.id if quoted else "")
        self._tell(phone, person, bubble, str(content["type"]), content | {"id": wamid}, quoted)
        return bubble

    def let_in(self, _: Phone, __: Person) -> bool:
        """Tell nobody that a person blocks the account no more: WhatsApp does not."""
        return False

    def _content(self, act: Act, person: Person, sent: Sent | None) -> JsonObject:
        if act.do == "text":
            return {"type": "text", "text": {"body": act.text}}
        if sent is not None:
            return self._media(act, sent)
        if act.do == "location" and act.live:
            details = {"details": "Message type is currently not supported."}
            error = {"code": 131051, "title": "Message type unknown", "message": "Message type unknown"}
            return {"type": "unsupported", "errors": [error | {"error_data": details}]}
        if act.do == "location":
            names = {name: value for name, value in (("name", act.name), ("address", act.address)) if value}
            return {"type": "location", "location": {"latitude": act.latitude, "longitude": act.longitude} | names}
        if act.do == "contact":
            name, number = act.name or person.name, act.phone or person.wa_id
            digits = number.lstrip("+")
            phones = [{"phone": f"+{digits}", "wa_id": digits, "type": "CELL"}]
            return {
                "type": "contacts",
                "contacts": [{"name": {"formatted_name": name, "first_name": name}, "phones": phones}],
            }
        raise ActError(f"Nobody can do that on WhatsApp: {act.do}.")

    def _media(self, act: Act, sent: Sent) -> JsonObject:
        kind = "audio" if act.do == "voice" else act.do
        mime_type = "audio/ogg; codecs=opus" if sent.media.mime_type == "audio/ogg" else sent.media.mime_type
        media: JsonObject = {"mime_type": mime_type, "sha256": base64.b64encode(sent.sha256).decode()}
        media["id"] = sent.upload_id
        if act.text and kind in ("image", "video", "document"):
            media["caption"] = act.text
        if kind == "document":
            media["filename"] = act.name or sent.media.name
        if kind == "audio":
            media["voice"] = act.do == "voice"
        if kind == "sticker":
            media["animated"] = False
        return {"type": kind, kind: media}

    def _react(self, phone: Phone, person: Person, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=False)
        target.reaction = act.emoji
        reaction = {"message_id": target.id} | ({"emoji": act.emoji} if act.emoji else {})
        content = {"id": self._sandbox.ids.wamid(person.wa_id), "type": "reaction", "reaction": reaction}
        self._tell(phone, person, target, "reaction", content, None)
        return target

    def _change(self, phone: Phone, person: Person, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=True)
        content: JsonObject = {"id": self._sandbox.ids.wamid(person.wa_id)}
        if act.do == "edit":
            _be_text(target, act)
            target.blocks, target.edited = (Block("text", text=act.text),), True
            message = {"type": "text", "text": {"body": act.text}}
            content |= {"type": "edit", "edit": {"original_message_id": target.id, "message": message}}
        else:
            target.gone = True
            content |= {"type": "revoke", "revoke": {"original_message_id": target.id}}
        self._tell(phone, person, target, str(content["type"]), content, None)
        return target

    def _press(self, phone: Phone, person: Person, act: Act) -> Bubble:
        people = self._people
        pressed = people.pressed(phone, act)
        choice, target = pressed.choice, pressed.bubble
        rows = [row for block in target.blocks for section in block.sections for row in section.rows]
        content: JsonObject
        if target.payload.get("type") == "template":
            kind = "button"
            content = {"type": "button", "button": {"payload": choice.payload, "text": choice.title}}
        else:
            kind = "list_reply" if any(row is choice for row in rows) else "button_reply"
            reply = {"id": choice.payload, "title": choice.title}
            if choice.description:
                reply["description"] = choice.description
            content = {"type": "interactive", "interactive": {"type": kind, kind: reply}}
        wamid = self._sandbox.ids.wamid(person.wa_id)
        words = "\n".join(each for each in (choice.title, choice.description) if each)
        bubble = people.show(phone, wamid, (Block("text", text=words),), target.id)
        self._tell(phone, person, bubble, kind, content | {"id": wamid}, target)
        return bubble

    def _tell(
        self, phone: Phone, person: Person, bubble: Bubble, what: str, content: JsonObject, quoted: Bubble | None
    ) -> None:
        if not self._sandbox.subscriptions.whatsapp:
            self._people.untold(bubble, "not told: the app is not subscribed")
            return
        number = self._number
        head: JsonObject = {"from": person.wa_id, "from_user_id": person.bsuid}
        if quoted is not None:
            writer = person.wa_id if quoted.mine else number.display_phone_number
            content |= {"context": {"from": writer, "id": quoted.id}}

        def body(moment: datetime) -> JsonObject:
            value = {
                "messaging_product": "whatsapp",
                "metadata": {
                    "display_phone_number": number.display_phone_number,
                    "phone_number_id": number.phone_number_id,
                },
                "contacts": [{"profile": {"name": person.name}, "wa_id": person.wa_id, "user_id": person.bsuid}],
                "messages": [head | {"timestamp": str(int(moment.timestamp()))} | content],
            }
            change = {"value": value, "field": "messages"}
            return {"object": "whatsapp_business_account", "entry": [{"id": number.waba_id, "changes": [change]}]}

        self._people.tell(phone, bubble, what, body)


def _be_text(target: Bubble, act: Act) -> None:
    if not act.text.strip():
        raise ActError("text: A text that is not blank is expected.")
    if not target.blocks or target.blocks[0].kind != "text":
        raise ActError("message: Only a text can be changed.", 409)
