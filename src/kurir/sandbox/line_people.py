"""What LINE tells a bot of what a person does: webhook events with reply tokens.

Read from https://developers.line.biz/en/reference/messaging-api/#webhook-event-objects. An event that is posted again is the
same but for ``deliveryContext.isRedelivery``. Nobody is told when a message is read, and a bot's message takes no reaction.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kurir.sandbox.acts import Act, ActError
from kurir.sandbox.config import Person
from kurir.sandbox.people import People
from kurir.sandbox.view import Block, Bubble, Phone
from kurir.sandbox.wire import JsonObject

if TYPE_CHECKING:
    from kurir.sandbox.state import Sandbox

_MEDIA: Final = {
    "image": "image",
    "video": "video",
    "audio": "audio",
    "voice": "audio",
    "document": "file",
    "sticker": "sticker",
}
_ACTIONS: Final = ("postback", "message", "datetimepicker", "camera", "cameraRoll", "location", "richmenuswitch")


class LinePeople:
    """The people who have one official account as a friend."""

    def __init__(self, sandbox: "Sandbox", people: People) -> None:
        self._sandbox = sandbox
        self._people = people

    def act(self, phone: Phone, person: Person, act: Act) -> Bubble | None:
        """Do *act*."""
        people = self._people
        if act.do == "block":
            bubble = people.remark(phone, f"{person.name} blocked {phone.business}")
            self._tell(phone, bubble, {"type": "unfollow"}, answerable=False)
            return bubble
        if act.do in ("unblock", "follow"):
            words = "unblocked" if act.do == "unblock" else "follows"
            bubble = people.remark(phone, f"{person.name} {words} {phone.business}")
            self._tell(phone, bubble, {"type": "follow", "follow": {"isUnblocked": act.do == "unblock"}})
            return bubble
        if act.do == "delete":
            target = people.target(phone, act, mine=True)
            target.gone = True
            self._tell(phone, target, {"type": "unsend", "unsend": {"messageId": target.id}}, answerable=False)
            return target
        if act.do == "link":
            check_nonce(act)
            bubble = people.remark(phone, f"{person.name} linked an account")
            self._tell(phone, bubble, {"type": "accountLink", "link": {"result": "ok", "nonce": act.text}})
            return bubble
        if act.do == "press":
            return self._press(phone, act)
        if act.do == "open":
            # line.me/R/oaMessage/<id>/?<text> writes the text for the person to send.
            act = Act("text", act.text or "Hi")
        return self._message(phone, act)

    def let_in(self, phone: Phone, _: Person) -> bool:
        """Tell the account that the phone's owner follows it again."""
        self._tell(phone, None, {"type": "follow", "follow": {"isUnblocked": True}})
        return True

    def _message(self, phone: Phone, act: Act) -> Bubble:
        people, sandbox = self._people, self._sandbox
        number = sandbox.ids.line_id()
        quoted = people.quoted(phone, act)
        sent = people.file(act) if act.do in _MEDIA else None
        message: JsonObject = {"id": number}
        if act.do == "text":
            message |= {"type": "text", "text": act.text}
        elif act.do == "location" and not act.live:
            names = {"title": act.name, "address": act.address}
            message |= {"type": "location", "latitude": act.latitude, "longitude": act.longitude}
            message |= {name: value for name, value in names.items() if value}
        elif act.do == "sticker":
            message |= {"type": "sticker", "packageId": "446", "stickerId": "1988", "stickerResourceType": "STATIC"}
        elif act.do == "document" and sent is not None:
            message |= {"type": "file", "fileName": act.name or sent.media.name, "fileSize": sent.media.size}
        elif sent is not None:
            message |= {"type": _MEDIA[act.do], "contentProvider": {"type": "line"}}
            if sent.media.duration_ms:
                message["duration"] = sent.media.duration_ms
        else:
            raise people.cannot(phone, act)
        if message["type"] in ("text", "sticker", "image", "video"):
            message["quoteToken"] = sandbox.quote_tokens.issue(phone.address, number)
        if quoted is not None and message["type"] in ("text", "sticker"):
            message["quotedMessageId"] = quoted.id
        if sent is not None and act.do != "sticker":
            sandbox.line_contents[number] = sent.upload_id
            while len(sandbox.line_contents) > sandbox.MAX_CONTENTS:
                del sandbox.line_contents[next(iter(sandbox.line_contents))]
        blocks = tuple(block for block in people.blocks(act, sent) if block.role != "caption")  # LINE has no captions
        bubble = people.show(phone, number, blocks, str(message.get("quotedMessageId", "")))
        self._tell(phone, bubble, {"type": "message", "message": message})
        return bubble

    def _press(self, phone: Phone, act: Act) -> Bubble:
        pressed = self._people.pressed(phone, act)
        choice, target = pressed.choice, pressed.bubble
        action = _action(target.payload, choice.title, choice.payload)
        if pressed.quick:
            target.spent = True
        kind = action.get("type", "message")
        if kind in ("message", "location", "camera", "cameraRoll"):
            do = {"message": "text", "location": "location"}.get(kind, "image")
            return self._message(phone, Act(do, text=choice.payload if do == "text" else ""))
        postback: JsonObject = {"data": choice.payload}
        if kind == "datetimepicker":
            mode = str(action.get("mode") or "datetime")
            now = self._sandbox.clock.now()
            shown = {"date": "%Y-%m-%d", "time": "%H:%M"}.get(mode, "%Y-%m-%dT%H:%M")
            postback["params"] = {mode: str(action.get("initial") or now.strftime(shown))}
        words = action.get("displayText") or action.get("text")
        if isinstance(words, str) and words:
            target = self._people.show(phone, self._sandbox.ids.line_id(), (Block("text", text=words),))
        self._tell(phone, target, {"type": "postback", "postback": postback})
        return target

    def _tell(self, phone: Phone, bubble: Bubble | None, event: JsonObject, *, answerable: bool = True) -> None:
        sandbox = self._sandbox
        event_id = ""

        def body(moment: datetime) -> JsonObject:
            nonlocal event_id
            now = int(moment.timestamp() * 1000)
            event_id = sandbox.ids.ulid(now)
            whole: JsonObject = event | {
                "webhookEventId": event_id,
                "deliveryContext": {"isRedelivery": False},
                "timestamp": now,
                "source": {"type": "user", "userId": phone.address},
                "mode": "active",
            }
            if answerable:
                whole["replyToken"] = sandbox.reply_tokens.issue(phone.address)
            return {"destination": sandbox.config.line.bot_user_id, "events": [whole]}

        told = bubble.events if bubble is not None else []
        number = 1 + sum(one.what.startswith(f"webhook: {event['type']}") for one in told)
        what = f"{event['type']}" if number == 1 else f"{event['type']} {number}"
        self._people.tell(phone, bubble, what, body, redelivered)


def redelivered(body: JsonObject) -> JsonObject:
    """Return *body* as LINE posts it once more."""
    again = {"deliveryContext": {"isRedelivery": True}}
    return body | {"events": [event | again for event in body["events"]]}


def _action(value: Any, title: str, payload: str) -> JsonObject:
    """Return the action object behind a choice, wherever it stands in the message; {} where there is none."""
    if isinstance(value, list):
        return next((found for each in value if (found := _action(each, title, payload))), {})
    if not isinstance(value, dict):
        return {}
    if value.get("type") in _ACTIONS and str(value.get("label") or "") == title:
        said = value.get("text") if value["type"] == "message" else value.get("data")
        if str(said or "") == payload:
            return value
    return next((found for each in value.values() if (found := _action(each, title, payload))), {})


def check_nonce(act: Act) -> None:
    """Refuse an account link without a nonce; LINE's has 10 to 255 characters."""
    if not 10 <= len(act.text) <= 255:
        raise ActError("text: The nonce of an account link has 10 to 255 characters.")
