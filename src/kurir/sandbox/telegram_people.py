"""What Telegram tells a bot of what a person does: updates.

Read from https://core.telegram.org/bots/api#update. A bot is not told when a person deletes a message. Whether reactions in a
private chat are told is disputed; here they are, to a bot that asks for ``message_reaction``.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kurir.sandbox.acts import Act, ActError
from kurir.sandbox.config import Person
from kurir.sandbox.people import People, Sent
from kurir.sandbox.view import Block, Bubble, Phone
from kurir.sandbox.wire import JsonObject, UnreadableError, parse_json

if TYPE_CHECKING:
    from kurir.sandbox.state import Sandbox

_MEDIA: Final = ("image", "video", "audio", "voice", "document", "sticker")
LIVE_SECONDS: Final = 900


class TelegramPeople:
    """The people who have a private chat with one bot."""

    def __init__(self, sandbox: "Sandbox", people: People) -> None:
        self._sandbox = sandbox
        self._people = people
        self._bot = sandbox.config.telegram

    def act(self, phone: Phone, person: Person, act: Act) -> Bubble | None:
        """Do *act*."""
        people = self._people
        if act.do in ("block", "unblock"):
            return self._member(phone, person, act)
        if act.do == "react":
            return self._react(phone, person, act)
        if act.do in ("edit", "move"):
            return self._edit(phone, person, act)
        if act.do == "delete":
            target = people.target(phone, act, mine=True)
            target.gone = True
            people.untold(target, "deleted: Telegram tells no bot")
            return target
        if act.do == "press":
            return self._press(phone, person, act)
        if act.do in ("open", "follow"):
            act = Act("text", f"/start {act.text}".strip())
        return self._message(phone, person, act)

    def _message(self, phone: Phone, person: Person, act: Act) -> Bubble:
        people, number = self._people, self._sandbox.ids.in_chat(phone.address)
        sent = people.file(act) if act.do in _MEDIA else None
        quoted = people.quoted(phone, act)
        content = self._content(phone, person, act, sent)
        if quoted is not None:
            content["reply_to_message"] = self._said(phone, person, quoted)
        blocks = people.blocks(act, sent)
        if act.do == "contact":
            blocks = (Block("text", text=f"{act.name or person.name}\n{act.phone or person.phone}"),)
        bubble = people.show(phone, str(number), blocks, quoted.id if quoted else "")
        self._tell_message(phone, person, bubble, "message", content)
        return bubble

    def _content(self, phone: Phone, person: Person, act: Act, sent: Sent | None) -> JsonObject:
        if act.do == "text":
            return {"text": act.text} | _entities(act.text)
        if sent is not None:
            caption = {"caption": act.text} if act.text and act.do != "sticker" else {}
            return self._media(act, sent) | caption
        if act.do == "location":
            place: JsonObject = {"latitude": act.latitude, "longitude": act.longitude}
            if act.live:
                return {"location": place | {"live_period": LIVE_SECONDS}}
            if act.name:
                return {"venue": {"location": place, "title": act.name, "address": act.address}, "location": place}
            return {"location": place}
        if act.do == "contact":
            own = not act.phone or act.phone.lstrip("+") == person.phone
            contact: JsonObject = {
                "phone_number": act.phone or person.phone,
                "first_name": act.name or person.name,
            }
            return {"contact": contact | ({"user_id": int(phone.address)} if own else {})}
        raise self._people.cannot(phone, act)

    def _media(self, act: Act, sent: Sent) -> JsonObject:
        ids, media = self._sandbox.ids, sent.media
        file: JsonObject = {
            "file_id": sent.upload_id,
            "file_unique_id": ids.text("unique", 16),
            "file_size": media.size,
        }
        duration = {"duration": (media.duration_ms or 1000) // 1000}
        if act.do == "image":
            small = {"file_id": sent.upload_id, "file_unique_id": ids.text("unique", 16)}
            return {"photo": [small | {"width": 90, "height": 56}, file | {"width": 800, "height": 500}]}
        if act.do == "sticker":
            shape = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
            return {"sticker": file | shape | {"emoji": "😀"}}
        file["mime_type"] = media.mime_type
        if act.do == "video":
            return {"video": file | {"width": 640, "height": 400} | duration}
        if act.do == "voice":
            return {"voice": file | duration}
        named = file | {"file_name": act.name or media.name}
        return {"document": named} if act.do == "document" else {"audio": named | duration}

    def _edit(self, phone: Phone, person: Person, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=True)
        if act.do == "move":
            if not target.blocks or target.blocks[0].title != "Live location":
                raise ActError("message: This is no live location.", 409)
            target.blocks = self._people.blocks(
                Act("location", latitude=act.latitude, longitude=act.longitude, live=True)
            )
            place = {"latitude": act.latitude, "longitude": act.longitude, "live_period": LIVE_SECONDS}
            content: JsonObject = {"location": place}
        else:
            if not act.text.strip() or target.blocks[0].kind != "text":
                raise ActError("text: Only a text can be changed, and to a text that is not blank.")
            target.blocks = (Block("text", text=act.text),)
            content = {"text": act.text} | _entities(act.text)
        target.edited = True
        self._tell_message(phone, person, target, "edited_message", content)
        return target

    def _react(self, phone: Phone, person: Person, act: Act) -> Bubble:
        target = self._people.target(phone, act, mine=False)
        before, target.reaction = target.reaction, act.emoji

        def update(moment: datetime) -> JsonObject:
            reaction = {
                "chat": _chat(phone, person),
                "message_id": int(target.id),
                "user": _user(phone, person),
                "date": int(moment.timestamp()),
                "old_reaction": _emoji(before),
                "new_reaction": _emoji(act.emoji),
            }
            return {"message_reaction": reaction}

        self._people.tell(phone, target, self._what(target, "message_reaction"), update)
        return target

    def let_in(self, phone: Phone, person: Person) -> bool:
        """Tell the bot that *person* blocks it no more."""
        self._tell_member(phone, person, None, "unblock")
        return True

    def _member(self, phone: Phone, person: Person, act: Act) -> Bubble:
        bubble = self._people.remark(phone, f"{person.name} {act.do}ed {phone.business}")
        self._tell_member(phone, person, bubble, act.do)
        return bubble

    def _tell_member(self, phone: Phone, person: Person, bubble: Bubble | None, do: str) -> None:
        bot = self._bot_user()
        kicked = {"user": bot, "status": "kicked", "until_date": 0}
        member = {"user": bot, "status": "member"}
        old, new = (member, kicked) if do == "block" else (kicked, member)

        def update(moment: datetime) -> JsonObject:
            change = {
                "chat": _chat(phone, person),
                "from": _user(phone, person),
                "date": int(moment.timestamp()),
                "old_chat_member": old,
                "new_chat_member": new,
            }
            return {"my_chat_member": change}

        self._people.tell(phone, bubble, "my_chat_member", update)

    def _press(self, phone: Phone, person: Person, act: Act) -> Bubble:
        pressed = self._people.pressed(phone, act)
        choice, target = pressed.choice, pressed.bubble
        markup = target.payload.get("reply_markup")
        if isinstance(markup, str):
            try:
                markup = parse_json(markup)
            except UnreadableError:
                markup = {}
        if pressed.quick:
            return self._key(phone, person, target, choice.title, markup if isinstance(markup, dict) else {})
        if not choice.payload:
            raise ActError(f"choice: «{choice.title}» acts on the phone alone; nobody is told.", 409)
        query_id = self._sandbox.presses.begin(phone, target, choice.title)

        def update(_: datetime) -> JsonObject:
            message = self._said(phone, person, target)
            query = {
                "id": query_id,
                "from": _user(phone, person),
                "message": message | ({"reply_markup": markup} if markup else {}),
                "chat_instance": f"-{int(phone.address) * 7919}",
                "data": choice.payload,
            }
            return {"callback_query": query}

        self._people.tell(phone, target, self._what(target, "callback_query"), update)
        return target

    def _key(self, phone: Phone, person: Person, target: Bubble, title: str, markup: dict[str, Any]) -> Bubble:
        """Press a key of the keyboard that stands in place of the phone's own: it sends a message."""
        rows = markup.get("keyboard") or []
        buttons = [key for row in rows for key in row if isinstance(key, dict) and key.get("text") == title]
        if markup.get("one_time_keyboard"):
            target.spent = True
        if buttons and buttons[0].get("request_contact"):
            return self._message(phone, person, Act("contact", reply_to=target.id))
        if buttons and buttons[0].get("request_location"):
            return self._message(phone, person, Act("location", reply_to=target.id))
        return self._message(phone, person, Act("text", title))

    def _what(self, bubble: Bubble, kind: str) -> str:
        """Return the name of the webhook, numbered when this bubble had such a one before."""
        count = 1 + sum(event.what.startswith(f"webhook: {kind}") for event in bubble.events)
        return kind if count == 1 else f"{kind} {count}"

    def _bot_user(self) -> JsonObject:
        name = self._sandbox.config.business
        return {"id": self._bot.id, "is_bot": True, "first_name": name, "username": self._bot.username}

    def _said(self, phone: Phone, person: Person, bubble: Bubble) -> JsonObject:
        """Return a message that was said before, as updates repeat it."""
        writer = _user(phone, person) if bubble.mine else self._bot_user()
        text = next((block.text for block in bubble.blocks if block.kind == "text" and block.text), "")
        role = "text" if bubble.blocks and bubble.blocks[0].kind == "text" else "caption"
        date = int(datetime.fromisoformat(bubble.at).timestamp() - phone.ahead)
        head = {"message_id": int(bubble.id), "from": writer, "chat": _chat(phone, person), "date": date}
        return head | ({role: text} if text else {})

    def _tell_message(self, phone: Phone, person: Person, bubble: Bubble, kind: str, content: JsonObject) -> None:
        head = {"message_id": int(bubble.id), "from": _user(phone, person), "chat": _chat(phone, person)}
        first = int(self._sandbox.clock.now().timestamp())

        def update(moment: datetime) -> JsonObject:
            now = int(moment.timestamp())
            dates = {"date": now} if kind == "message" else {"date": first, "edit_date": now}
            return {kind: head | dates | content}

        self._people.tell(phone, bubble, self._what(bubble, kind), update)


def _user(phone: Phone, person: Person) -> JsonObject:
    user = {"id": int(phone.address), "is_bot": False, "first_name": person.name, "username": person.username}
    return user | {"language_code": "id"}


def _chat(phone: Phone, person: Person) -> JsonObject:
    chat = {"id": int(phone.address), "type": "private", "first_name": person.name}
    return chat | {"username": person.username}


def _emoji(emoji: str) -> list[JsonObject]:
    return [{"type": "emoji", "emoji": emoji}] if emoji else []


def _entities(text: str) -> JsonObject:
    """Return the entity of a command, which is the one that a bot needs."""
    command = text.partition(" ")[0]
    if not command.startswith("/") or not command[1:].replace("_", "").isalnum():
        return {}
    return {"entities": [{"type": "bot_command", "offset": 0, "length": len(command)}]}
