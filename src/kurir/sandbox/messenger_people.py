"""What Messenger tells a page of what a person does.

Read from https://developers.facebook.com/docs/messenger-platform/reference/webhook-events. A page is told nothing when
somebody blocks it or takes a message back.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from kurir.sandbox.acts import Act, ActError
from kurir.sandbox.config import Person
from kurir.sandbox.media import RESERVED_HOST
from kurir.sandbox.people import People, Sent
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
_REACTIONS: Final = {
    "❤": "love",
    "😆": "smile",
    "😮": "wow",
    "😢": "sad",
    "😠": "angry",
    "👍": "like",
    "👎": "dislike",
}
STICKER_ID: Final = 369239263222822  # the thumbs up
GET_STARTED: Final = "GET_STARTED"


class MessengerPeople:
    """The people who write to one page."""

    def __init__(self, sandbox: "Sandbox", people: People) -> None:
        self._sandbox = sandbox
        self._people = people
        self._page = sandbox.config.messenger

    def act(self, phone: Phone, person: Person, act: Act) -> Bubble | None:
        """Do *act*."""
        people = self._people
        if act.do in ("block", "unblock"):
            bubble = people.remark(phone, f"{person.name} {act.do}ed {phone.business}")
            people.untold(bubble, "Messenger tells nobody")
            return bubble
        if act.do == "react":
            return self._react(phone, act)
        if act.do == "edit":
            return self._edit(phone, act)
        if act.do == "delete":
            target = people.target(phone, act, mine=True)
            target.gone = True
            people.untold(target, "taken back: Messenger tells nobody")
            return target
        if act.do == "press":
            return self._press(phone, person, act)
        if act.do in ("open", "follow"):
            return self._open(phone, person, act)
        return self._message(phone, act)

    def let_in(self, _: Phone, __: Person) -> bool:
        """Tell nobody that a person blocks the account no more: Messenger does not."""
        return False

    def _message(self, phone: Phone, act: Act) -> Bubble:
        people = self._people
        sent = people.file(act) if act.do in _MEDIA else None
        mid, quoted = self._sandbox.ids.mid(), people.quoted(phone, act)
        message: JsonObject = {"mid": mid}
        if act.text:
            message["text"] = act.text
        if sent is not None:
            message["attachments"] = [self._attachment(act, sent)]
        elif act.do == "location" and not act.live:
            point = {"coordinates": {"lat": act.latitude, "long": act.longitude}}
            message["attachments"] = [{"type": "location", "payload": point}]
        elif act.do != "text":
            raise people.cannot(phone, act)
        if quoted is not None:
            message["reply_to"] = {"mid": quoted.id, "is_self_reply": quoted.mine}
        bubble = people.show(phone, mid, people.blocks(act, sent), quoted.id if quoted else "")
        self._tell(phone, bubble, "messages", "message", {"message": message})
        return bubble

    def _attachment(self, act: Act, sent: Sent) -> JsonObject:
        payload: JsonObject = {"url": f"https://{RESERVED_HOST}/uploads/{sent.upload_id}"}
        if act.do == "sticker":
            payload["sticker_id"] = STICKER_ID
        return {"type": _MEDIA[act.do], "payload": payload}

    def _react(self, phone: Phone, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=False)
        was, target.reaction = target.reaction, act.emoji
        facts: JsonObject = {"mid": target.id, "action": "react" if act.emoji else "unreact"}
        if act.emoji:
            facts |= {"reaction": _REACTIONS.get(act.emoji.rstrip("\ufe0f"), "other"), "emoji": act.emoji}
        elif not was:
            raise ActError("emoji: There is no reaction that could be taken away.", 409)
        self._tell(phone, target, "message_reactions", "reaction", {"reaction": facts})
        return target

    def _edit(self, phone: Phone, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=True)
        if not act.text.strip() or target.blocks[0].kind != "text":
            raise ActError("text: Only a text can be changed, and to a text that is not blank.")
        target.blocks, target.edited = (Block("text", text=act.text),), True
        edits = 1 + sum(event.what.startswith("webhook: message_edit") for event in target.events)
        facts = {"message_edit": {"mid": target.id, "text": act.text, "num_edit": edits}}
        self._tell(phone, target, "message_edits", f"message_edit {edits}", facts)
        return target

    def _press(self, phone: Phone, person: Person, act: Act) -> Bubble:
        pressed = self._people.pressed(phone, act)
        choice, mid = pressed.choice, self._sandbox.ids.mid()
        if not pressed.quick:
            bubble = self._people.show(phone, mid, (Block("text", text=choice.title),))
            facts: JsonObject = {"mid": mid, "title": choice.title, "payload": choice.payload}
            self._tell(phone, bubble, "messaging_postbacks", "postback", {"postback": facts})
            return bubble
        pressed.bubble.spent = True
        title, payload = choice.title, choice.payload
        if payload == "user_phone_number":
            title = payload = f"+{person.phone}"
        elif payload == "user_email":
            title = payload = f"{person.username}@example.com"
        bubble = self._people.show(phone, mid, (Block("text", text=title),))
        message = {"mid": mid, "text": title, "quick_reply": {"payload": payload}}
        self._tell(phone, bubble, "messages", "quick_reply", {"message": message})
        return bubble

    def _open(self, phone: Phone, person: Person, act: Act) -> Bubble:
        """Follow m.me/<page>?ref=…: a new thread begins with «Get Started», which carries the ref; an old one tells it."""
        fresh = not any(bubble.blocks and bubble.blocks[0].kind != "note" for bubble in phone.bubbles)
        referral = {"ref": act.text, "source": "SHORTLINK", "type": "OPEN_THREAD"} if act.text else None
        if fresh or act.do == "follow":
            mid = self._sandbox.ids.mid()
            bubble = self._people.show(phone, mid, (Block("text", text="Get Started"),))
            facts: JsonObject = {"mid": mid, "title": "Get Started", "payload": GET_STARTED}
            facts |= {"referral": referral} if referral else {}
            self._tell(phone, bubble, "messaging_postbacks", "postback", {"postback": facts})
            return bubble
        bubble = self._people.remark(phone, f"{person.name} opened the chat by a link")
        if referral is None:
            self._people.untold(bubble, "a link without ref: Messenger tells nobody")
        else:
            self._tell(phone, bubble, "messaging_referrals", "referral", {"referral": referral})
        return bubble

    def _tell(self, phone: Phone, bubble: Bubble, field: str, what: str, facts: JsonObject) -> None:
        if field not in self._sandbox.subscriptions.messenger:
            self._people.untold(bubble, f"not told: the page is not subscribed to {field}")
            return
        page_id = self._page.page_id

        def body(moment: datetime) -> JsonObject:
            now = int(moment.timestamp() * 1000)
            head = {"sender": {"id": phone.address}, "recipient": {"id": page_id}, "timestamp": now}
            return {"object": "page", "entry": [{"id": page_id, "time": now, "messaging": [head | facts]}]}

        self._people.tell(phone, bubble, what, body)
