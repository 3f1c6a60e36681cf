"""The people of a sandbox act: what they do shows on their phone and goes to the account's webhook, as the platform tells it.

What a platform tells of each act is in ``whatsapp_people.py``, ``telegram_people.py``, ``line_people.py`` and
``messenger_people.py``. Here is what they share: the file that is sent, the bubble, the order of webhooks, who may write.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from kurir.sandbox.acts import ACTS, FILES, Act, ActError
from kurir.sandbox.config import Person
from kurir.sandbox.media import DEMO_FILES, FOLDER, Media
from kurir.sandbox.receipts import Step
from kurir.sandbox.view import Block, Bubble, Choice, LedgerEvent, Phone
from kurir.sandbox.wire import File, JsonObject

if TYPE_CHECKING:
    from kurir.sandbox.state import Sandbox

#: Acts after which Meta's window of 24 hours begins anew.
_SPEAKS: Final = frozenset(ACTS) - {"edit", "delete", "block", "unblock", "follow", "link", "move"}
_WORDS: Final = {"whatsapp": "WhatsApp", "telegram": "Telegram", "line": "LINE", "messenger": "Messenger"}

Body = Callable[[datetime], JsonObject]


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that a person sends: what is known of it, its bytes' id among the uploads, and its SHA-256."""

    media: Media
    upload_id: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a person taps: the bubble, the choice on it, and whether it is a quick reply."""

    bubble: Bubble
    choice: Choice
    quick: bool


class Account(Protocol):
    """How one platform tells what a person does."""

    def act(self, phone: Phone, person: Person, act: Act) -> Bubble | None:
        """Do *act*: show it on *phone* and tell the account. Raises ActError. Returns the person's bubble, if there is one."""
        ...

    def let_in(self, phone: Phone, person: Person) -> bool:
        """Tell the account that *person* blocks it no more, where the platform tells that; return whether it does."""
        ...


class People:
    """All people of a sandbox, and the four accounts that they write to."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._persons = {
            (channel, person.address(channel)): person for person in sandbox.config.people for channel in _WORDS
        }
        self._accounts: dict[str, Account] = {}

    def join(self, channel: str, account: Account) -> None:
        """Let people write to *account* on *channel*."""
        self._accounts[channel] = account

    def of(self, phone: Phone) -> Person:
        """Return whose phone it is."""
        return self._persons[phone.channel, phone.address]

    def act(self, phone: Phone, act: Act) -> Bubble | None:
        """Do *act* on *phone*; raises ActError."""
        sandbox = self._sandbox
        if phone.blocked and act.do not in ("unblock", "follow", "block"):
            raise ActError(f"{phone.person} blocked {phone.business}. Unblock it first.", 409)
        if phone.blocked == (act.do == "block") and act.do in ("block", "unblock"):
            raise ActError(
                f"{phone.person} {'already blocked' if phone.blocked else 'does not block'} {phone.business}.", 409
            )
        if not phone.on_channel:
            raise ActError(f"{phone.person} is not on {_WORDS[phone.channel]}.", 409)
        bubble = self._accounts[phone.channel].act(phone, self.of(phone), act)
        if act.do in ("block", "unblock", "follow"):
            phone.blocked = act.do == "block"
        if act.do in _SPEAKS:
            phone.heard = sandbox.clock.monotonic()
            phone.closed = False
        sandbox.transcript.did(phone.channel, phone.person, act, bubble.id if bubble else "")
        sandbox.phones.touch(phone)
        return bubble

    def let_in(self, phone: Phone) -> bool:
        """Tell the account that the phone's owner blocks it no more; return whether the platform tells that."""
        return self._accounts[phone.channel].let_in(phone, self.of(phone))

    # --- What the accounts share --------------------------------------------------------------------------------------

    def cannot(self, phone: Phone, act: Act) -> ActError:
        """Return the refusal of what an app cannot do."""
        return ActError(f"Nobody can do that on {_WORDS[phone.channel]}: a person {ACTS[act.do]}.")

    def file(self, act: Act) -> Sent:
        """Return the file that *act* sends, kept among the uploads, so that the account can fetch it."""
        uploads, name = self._sandbox.uploads, act.file or FILES[act.do]
        demo = DEMO_FILES.get(name)
        content = (FOLDER / name).read_bytes() if demo else uploads.content(name)
        media = demo or uploads.get(name)
        if content is None or media is None:
            raise ActError(f"file: There is no upload {name}, and the demo files are {', '.join(DEMO_FILES)}.")
        if not media.mime_type.startswith({"voice": "audio", "sticker": "image", "document": ""}.get(act.do, act.do)):
            raise ActError(f"file: {media.name} is {media.mime_type}, which is no {act.do}.")
        upload_id, kept = uploads.put(File(media.name, media.mime_type, content))
        return Sent(replace(media, url=media.url if demo else kept.url), upload_id, hashlib.sha256(content).digest())

    def blocks(self, act: Act, sent: Sent | None = None) -> tuple[Block, ...]:
        """Return what the phone shows of a text, a file with its caption, or a place."""
        if act.do == "text":
            return (Block("text", text=act.text),)
        if act.do in ("location", "move"):
            label = "Live location" if act.live else act.name
            return (Block("location", latitude=act.latitude, longitude=act.longitude, title=label, text=act.address),)
        if sent is None:
            return ()
        kind = {"voice": "audio", "sticker": "image"}.get(act.do, act.do)
        block = Block(kind, url=sent.media.url, mime_type=sent.media.mime_type, size=sent.media.size, style=act.do)
        if kind in ("audio", "video"):
            block = replace(block, duration_ms=sent.media.duration_ms, voice=act.do == "voice")
        if act.do in ("document", "audio", "sticker"):
            block = replace(block, name="Sticker" if act.do == "sticker" else act.name or sent.media.name)
        block = replace(block, style="sticker" if act.do == "sticker" else "")
        caption = (Block("text", text=act.text, role="caption"),) if act.text else ()
        return (block, *caption)

    def show(self, phone: Phone, number: str, blocks: tuple[Block, ...], quoted: str = "") -> Bubble:
        """Show the person's own message."""
        bubble = Bubble(
            id=number,
            at=self._sandbox.phone_time(phone),
            blocks=blocks,
            quoted=quoted,
            tick="sent" if phone.online else "clock",
            status=0,
            mine=True,
        )
        self._sandbox.phones.add(phone, bubble)
        return bubble

    def remark(self, phone: Phone, words: str) -> Bubble:
        """Show a line in the chat that is no message, such as that the account was blocked."""
        return self.show(phone, self._sandbox.ids.hex("remark", 12), (Block("note", text=words),))

    def tell(
        self,
        phone: Phone,
        bubble: Bubble | None,
        what: str,
        body: Body,
        again: Callable[[JsonObject], JsonObject] | None = None,
    ) -> None:
        """Tell the account as soon as the phone is online; the answer is noted beside *bubble*."""
        # LINE's app marks what is written to a bot as read by itself: https://developers.line.biz/en/reference/messaging-api/#get-bot-info
        sent = "read" if phone.channel == "line" else "sent"
        tick = sent if bubble is not None and bubble.mine and bubble.tick != "read" else ""
        step = Step(tick, 0, f"webhook: {what}", 0.0, body, "online", again=again)
        self._sandbox.receipts.begin(phone, bubble, [step])

    def untold(self, bubble: Bubble, words: str) -> None:
        """Note that this platform tells the account nothing of it."""
        bubble.events.append(LedgerEvent(bubble.at, 0, words))

    def quoted(self, phone: Phone, act: Act) -> Bubble | None:
        """Return the bubble that *act* answers, None when it answers none; raises ActError when it is not there."""
        if not act.reply_to:
            return None
        return self._there(phone, act.reply_to, "reply_to")

    def target(self, phone: Phone, act: Act, *, mine: bool) -> Bubble:
        """Return the bubble that is changed or reacted to: the one named, else the newest of the person's or the account's."""
        if act.message:
            bubble = self._there(phone, act.message, "message")
            if bubble.mine != mine:
                raise ActError(f"message: This is a message of {phone.business if mine else phone.person}.")
            return bubble
        for bubble in reversed(phone.bubbles):
            if (
                bubble.mine == mine
                and not bubble.gone
                and bubble.tick != "failed"
                and bubble.blocks[:1] != ()
                and bubble.blocks[0].kind != "note"
            ):
                return bubble
        raise ActError(f"There is no message of {phone.person if mine else phone.business} on this phone.", 409)

    def _there(self, phone: Phone, number: str, name: str) -> Bubble:
        bubble = self._sandbox.phones.find(phone, number)
        if bubble is None or bubble.gone:
            raise ActError(f"{name}: There is no such message on this phone.")
        return bubble

    def pressed(self, phone: Phone, act: Act) -> Pressed:
        """Return what *act* taps: the named choice of the named bubble, else of the newest that has it."""
        bubbles = [self._there(phone, act.message, "message")] if act.message else reversed(phone.bubbles)
        replies = phone.quick_replies()
        vanished = False
        for bubble in bubbles:
            if bubble.mine or bubble.tick in ("failed", "clock") or bubble.held:
                continue
            for choice in bubble.choices():
                if not _meant(choice, act):
                    continue
                quick = _is_quick(bubble, choice)
                if quick and (replies is None or replies[0] is not bubble):
                    vanished = True
                    continue
                if choice.url and not choice.payload:
                    raise ActError(
                        f"choice: «{choice.title}» opens a link in the person's browser; nobody is told.", 409
                    )
                return Pressed(bubble, choice, quick)
        if vanished:
            raise ActError("choice: This quick reply has vanished; type its title instead.", 409)
        raise ActError("choice: Nothing on this phone that can be tapped has this title or payload.", 409)


def _meant(choice: Choice, act: Act) -> bool:
    if act.payload is not None:
        return choice.payload == act.payload and act.choice in ("", choice.title)
    return not act.choice or act.choice in (choice.title, choice.payload)


def _is_quick(bubble: Bubble, choice: Choice) -> bool:
    return any(
        block.kind == "buttons" and block.style == "chips" and any(one is choice for one in block.choices)
        for block in bubble.blocks
    )
