"""What Telegram tells us: one update at a time, by webhook or by getUpdates, and the same in both.

An update's number is the same for every repeat. There are no receipts. What somebody did to the bot becomes a message, a
press, a reaction, an edit or news of a person; whatever concerns neither the bot nor its chats is ignored by name.

Sources: the Bot API's pages "Update", "CallbackQuery", "ChatMemberUpdated", "MessageReactionUpdated", "getUpdates" and
"setWebhook"; "Deep linking" of the bots' features page; tdlib/td issue 2575 for whose number a shared contact is.
"""

import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kurir.channels.base import (
    TIME_UNTOLD,
    Answer,
    Call,
    ContactNews,
    Edited,
    Handshake,
    Ignored,
    Inbound,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Reaction,
    WebhookRejected,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.channels.telegram.bot import plain_call, settings_of
from kurir.channels.telegram.fields import (
    integer,
    member,
    members,
    message_id_of,
    moment,
    named,
    number_of,
    person,
    place,
    word,
    words,
    writer,
)
from kurir.channels.telegram.received import Content, read, words_of
from kurir.domain.account import Account

#: The kinds of update that we ask for, by setWebhook and getUpdates: without the list, reactions are not sent at all. What
#: a channel's own people post in it is read where it comes, and not asked for: nobody wrote it to the bot.
ALLOWED_UPDATES: Final = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "message_reaction",
)

#: What a phone shows when a button is pressed that nobody knows any more ("answerCallbackQuery", at most 200 characters).
BUTTON_EXPIRED: Final = "This button has expired."

#: "Deep linking": https://t.me/<bot>?start=<payload> makes the person send this, when they press START.
_START: Final = re.compile(r"/start(?:@[A-Za-z0-9_]{1,32})? ([A-Za-z0-9_-]{1,64})")
_BETWEEN_DIGITS: Final = str.maketrans("", "", " ()-")
_PHONE: Final = re.compile(r"\+?([1-9][0-9]{6,14})")


def verify(account: Account, request: WebhookRequest) -> Handshake | None:
    """Check the secret that setWebhook named; an account without one takes nothing. Raises WebhookRejected."""
    secret = settings_of(account).secret_token
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    if not secret or not hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace")):
        raise WebhookRejected("X-Telegram-Bot-Api-Secret-Token is missing or is not the account's secret_token")
    return None


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:
    """Return the events of a verified request, which holds one update. Raises WebhookUnreadable, nothing else."""
    return parse_update(account, _decoded(request.body))


def parse_update(account: Account, update: object) -> list[Inbound]:
    """Return the events of one update, from a webhook or from getUpdates. Raises WebhookUnreadable, nothing else.

    ``{"update_id": 900001, "message": {…}}``: beside its number an update has one member, which says its kind.
    """
    number = integer(update, "update_id", 0, 2**63 - 1) if isinstance(update, dict) else None
    if not isinstance(update, dict) or number is None:
        raise WebhookUnreadable("the body is no Update: it has no update_id")
    try:
        raw = json.dumps(update, separators=(",", ":"), sort_keys=True).encode()
    except RecursionError:
        raise WebhookUnreadable("the update is nested too deep") from None
    for kind, reader in _READERS.items():
        if isinstance(update.get(kind), dict):
            return list(reader(_Update(account, str(number), update[kind], raw)))
    kind = next((name for key in update if key != "update_id" and (name := word(key))), "of no known kind")
    return [Ignored(str(number), f"an update that the gateway has no use for: {kind}", raw)]


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookUnreadable(f"the body is not JSON: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class _Update:
    """One update, opened: its number, and what stands under its kind."""

    account: Account
    id: str
    json: JsonObject
    raw: bytes

    @property
    def chat(self) -> str:
        """The number of the chat it is of, which is where an answer goes; "" where there is none."""
        return number_of(member(self.json, "chat"))

    @property
    def is_private(self) -> bool:
        """Whether the chat is that of the very person whom the update is of, and of nobody else."""
        own = number_of(member(self.json, "from")) == self.chat != ""
        return own and member(self.json, "chat").get("type") == "private"

    def ignored(self, why: str) -> Ignored:
        """Return the update as one that the gateway has no use for."""
        return Ignored(self.id, why, self.raw)


# --- Messages ---------------------------------------------------------------------------------------------------------


def _message(update: _Update) -> Iterator[Inbound]:
    """Yield a message, and beside it the number that its sender proved to be theirs.

    {"message_id": 11, "from": {"id": 1001, "is_bot": false, "first_name": "Ani"}, "date": 1700000000,
     "chat": {"id": 1001, "type": "private", "first_name": "Ani"}, "text": "hi"}
    """
    if not update.chat:
        yield update.ignored("a message of no chat")
        return
    if update.json.get("is_automatic_forward") is True:  # perhaps our own: nobody wrote it in this chat
        yield update.ignored("a channel's post, passed on to the group of its discussion")
        return
    content = _news(update) or read(update.json)
    if isinstance(content, ContactNews):
        yield content
    elif isinstance(content, str):
        yield update.ignored(f"a service message: {content}")
    else:
        message = _inbound(update, content)
        yield message
        phone = _own_phone(update)
        if phone:
            news_id = f"{update.id}:contact"
            yield ContactNews(news_id, "", message.at, message.sender, shared_phone=phone, raw=update.raw)


def _inbound(update: _Update, content: Content) -> InboundMessage:
    message, number = update.json, message_id_of(update.json)
    # In a group no person can be meant by a link: who opened it is not who is answered.
    start = _START.fullmatch(content.text) if content.kind is Kind.TEXT and update.is_private else None
    return InboundMessage(
        event_id=update.id,
        owner="",
        at=moment(message, "date"),
        sender=writer(message, update.chat),
        kind=content.kind,
        platform_id=number,
        text=content.text,
        media=content.media,
        location=content.location,
        reply_to=_reply_to(message, update.chat),
        reply_token=number,
        referral=start.group(1) if start else "",
        raw=update.raw,
    )


def _news(update: _Update) -> ContactNews | None:
    """Return what a service message tells of the chat: it has moved, or its person lets the bot write again."""
    if "write_access_allowed" in update.json:
        sender, at = writer(update.json, update.chat), moment(update.json, "date")
        return ContactNews(update.id, "", at, sender, blocked=False, raw=update.raw)
    return _moved(update)


def _moved(update: _Update) -> ContactNews | None:
    """Return the news that a group became a supergroup, which is told in both: "…_to_…" in the old, "…_from_…" in the new."""
    to, origin = number_of(update.json, "migrate_to_chat_id"), number_of(update.json, "migrate_from_chat_id")
    old, new = (update.chat, to) if to else (origin, update.chat)
    if not old or not new or old == new:
        return None
    group = Person(old, id=old, name=named(member(update.json, "chat")))
    return ContactNews(update.id, "", moment(update.json, "date"), group, moved_to=new, raw=update.raw)


def _reply_to(message: JsonObject, chat: str) -> str:
    """Return the id of the message that is quoted, also one of another chat; "" where none is.

    In a forum every message of a topic names the message that opened the topic, which nobody means to quote.
    """
    quoted = member(message, "reply_to_message")
    if "forum_topic_created" in quoted:
        return ""
    return message_id_of(quoted, chat) or message_id_of(member(message, "external_reply"))


def _own_phone(update: _Update) -> str:
    """Return the digits of the sender's own number; "" unless it is theirs for certain.

    It is when the card is of the sender's own user, in the chat with them alone, and neither passed on from elsewhere nor
    made by another bot: it is Telegram's server that puts ``user_id`` there, not the phone (tdlib/td issue 2575).
    """
    card, sender = member(update.json, "contact"), member(update.json, "from")
    passed_on = any(key.startswith("forward_") or key == "via_bot" for key in update.json)
    if not update.is_private or passed_on or number_of(card, "user_id") != number_of(sender):
        return ""
    phone = _PHONE.fullmatch(words(card, "phone_number").translate(_BETWEEN_DIGITS))
    return phone.group(1) if phone else ""


def _edited(update: _Update) -> Iterator[Inbound]:
    """Yield new words of a message, or the next position of a live location, which comes as an edit of its message."""
    message, chat, at = update.json, update.chat, moment(update.json, "edit_date", "date")
    number = message_id_of(message)
    if not number:
        yield update.ignored("an edit of a message without chat or number")
        return
    location = place(message)
    if location is not None:
        yield InboundMessage(
            update.id,
            "",
            at,
            writer(message, chat),
            Kind.LOCATION,
            number,
            location=location,
            reply_to=_reply_to(message, chat),
            reply_token=number,
            live=True,
            raw=update.raw,
        )
        return
    text = words_of(message)
    if text is None:
        yield update.ignored("an edit of a message that is not made of words")
        return
    yield Edited(update.id, "", at, writer(message, chat), number, text, update.raw)


# --- Presses ----------------------------------------------------------------------------------------------------------


def _pressed(update: _Update) -> Iterator[Inbound]:
    """Yield the press of a button, with the calls that end its waiting on the phone.

    {"id": "4382…", "from": {"id": 1001, …}, "message": {"message_id": 20, "chat": {"id": 1001}, "date": 0}, "data": "btn1"}

    A message that is deleted or too old has a date of 0 and no buttons any more; its press is one all the same. A button
    of an inline message (which we never send) has no message, and one of a game no data. No press tells its time.
    """
    query, message = update.json, member(update.json, "message")
    sender, query_id = member(query, "from"), words(query, "id", 64)
    chat = number_of(member(message, "chat")) or number_of(sender)
    if not chat or not query_id:
        yield update.ignored("a pressed button without a person or an id")
        return
    who, reply_to = person(chat, sender), message_id_of(message)
    data = query.get("data")
    if not isinstance(data, str):
        name = "game_short_name" if "game_short_name" in query else "callback_query"
        yield InboundMessage(
            update.id, "", TIME_UNTOLD, who, Kind.UNSUPPORTED, query_id, name, reply_to=reply_to, raw=update.raw
        )
        return
    answer: JsonObject = {"callback_query_id": query_id}
    expired: JsonObject = {**answer, "text": BUTTON_EXPIRED, "show_alert": False}
    yield InboundMessage(
        event_id=update.id,
        owner="",
        at=TIME_UNTOLD,
        sender=who,
        kind=Kind.POSTBACK,
        platform_id=query_id,
        press=Press(
            words(query, "data"),
            _title(message, data),
            known=(plain_call(update.account, "answerCallbackQuery", answer),),
            unknown=(plain_call(update.account, "answerCallbackQuery", expired),),
        ),
        reply_to=reply_to,
        reply_token=reply_to,
        raw=update.raw,
    )


def _title(message: JsonObject, data: str) -> str:
    """Return the title of the first button of *message* that carries *data*; "" where it is not told."""
    rows = member(message, "reply_markup").get("inline_keyboard")
    for row in rows if isinstance(rows, list) else ():
        for button in row if isinstance(row, list) else ():
            if isinstance(button, dict) and button.get("callback_data") == data:
                return words(button, "text")
    return ""


# --- Reactions and memberships ----------------------------------------------------------------------------------------


def _reacted(update: _Update) -> Iterator[Inbound]:
    """Yield a reaction: the new one where there are several, "" when the last was taken back.

    {"chat": {…}, "message_id": 20, "user": {…}, "date": 1700000000, "old_reaction": [],
     "new_reaction": [{"type": "emoji", "emoji": "👍"}]}
    """
    number = message_id_of(update.json)
    if not number:
        yield update.ignored("a reaction to a message without chat or number")
        return
    old = [_emoji(one) for one in members(update.json, "old_reaction")]
    now = [_emoji(one) for one in members(update.json, "new_reaction")]
    emoji = next((one for one in now if one not in old), now[0] if now else "")
    reacting = member(update.json, "user") or member(update.json, "actor_chat")
    at = moment(update.json, "date")
    yield Reaction(update.id, "", at, person(update.chat, reacting), number, emoji, update.raw)


def _emoji(reaction: JsonObject) -> str:
    """Return a reaction as text. An emoji of somebody's own making has only a number; a paid one is shown as a star."""
    match reaction.get("type"):
        case "emoji":
            return words(reaction, "emoji", 32)
        case "paid":
            return "⭐"
        case kind:
            custom = words(reaction, "custom_emoji_id", 64)
            return f"{word(kind) or 'unknown'}:{custom}" if custom else word(kind) or "unknown"


def _membership(update: _Update) -> Iterator[Inbound]:
    """Yield whether the chat can be written to from now on: a person blocked the bot, a group added or removed it.

    {"chat": {"id": 1001, "type": "private", …}, "from": {…}, "date": 1700000000, "old_chat_member": {"status": "member"},
     "new_chat_member": {"status": "kicked", "until_date": 0}}
    """
    chat, membership = member(update.json, "chat"), member(update.json, "new_chat_member")
    blocked = _cannot_write(membership)
    if not update.chat or blocked is None:
        yield update.ignored("a membership without chat, or of no known status")
        return
    at = moment(update.json, "date")
    yield ContactNews(update.id, "", at, person(update.chat, chat), blocked=blocked, raw=update.raw)


def _cannot_write(membership: JsonObject) -> bool | None:
    """Return whether the bot cannot write to the chat any more ("ChatMember"); None for a status that is not known."""
    match membership.get("status"):
        case "kicked" | "left":
            return True
        case "restricted":  # in a supergroup: perhaps no member any more, perhaps without the right
            return membership.get("is_member") is False or membership.get("can_send_messages") is False
        case "administrator":  # the right to post is told in channels only
            return membership.get("can_post_messages") is False
        case "member" | "creator":
            return False
        case _:
            return None


_READERS: Final[Mapping[str, Callable[[_Update], Iterator[Inbound]]]] = {
    "message": _message,
    "edited_message": _edited,
    "channel_post": _message,
    "edited_channel_post": _edited,
    "callback_query": _pressed,
    "message_reaction": _reacted,
    "my_chat_member": _membership,
}


# --- getUpdates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Polled:
    """What an answer to getUpdates brought. ``offset`` is that of the next call, None where the last one still holds."""

    events: tuple[Inbound, ...]
    offset: int | None


def poll(account: Account, offset: int | None, timeout_seconds: int, limit: int = 100) -> Call:
    """Return the call that asks for the next updates and waits up to *timeout_seconds* (0 to 50) for one.

    It confirms all updates below *offset*: they must be durable here before, for Telegram then forgets them. Updates are
    kept for 24 hours, and at most *limit* (1 to 100) come at once ("getUpdates"). Only one may ask at a time, and no
    webhook be set. An answer that is larger than what is read of one wants a lower *limit*.
    """
    parameters: JsonObject = {"timeout": timeout_seconds, "limit": limit, "allowed_updates": list(ALLOWED_UPDATES)}
    if offset is not None:
        parameters["offset"] = offset
    return plain_call(account, "getUpdates", parameters)


def unhook(account: Account) -> Call:
    """Return the call that takes the webhook away, without which getUpdates answers 409; what waits is kept for the poll."""
    return plain_call(account, "deleteWebhook", {"drop_pending_updates": False})


def polled(account: Account, answer: Answer) -> Polled:
    """Return the updates of an answer of 200 to :func:`poll`, in order. Raises WebhookUnreadable where it holds no list.

    An entry that is no update is ignored and its neighbours are read: a webhook with the same update gives the same events.
    """
    body = answer.json()
    updates = body.get("result") if body is not None and body.get("ok") is True else None
    if not isinstance(updates, list):
        raise WebhookUnreadable("the answer to getUpdates holds no list of updates")
    events: list[Inbound] = []
    offset: int | None = None
    for update in updates:
        try:
            events += parse_update(account, update)
        except WebhookUnreadable as error:
            raw = json.dumps(update, separators=(",", ":"), sort_keys=True).encode()
            events.append(Ignored("unreadable", str(error), raw, unread=True))
        number = integer(update, "update_id", 0, 2**63 - 1) if isinstance(update, dict) else None
        offset = offset if number is None else number + 1
    return Polled(tuple(events), offset)
