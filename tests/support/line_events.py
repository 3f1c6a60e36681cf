"""LINE's webhook events, one of each kind and shape, in the words of the page "Webhook Event Objects"."""

import base64
import hashlib
import hmac
import json
from typing import Any

from kurir.channels.base import WebhookRequest
from support.line import SETTINGS, USER

GROUP = "Ca56f94637caaa56f94637caaa56f9463"
ROOM = "Ra8dbf4673c4c812cd491258042226c99"
BOT = "U00000000000000000000000000000001"
OF_USER = {"type": "user", "userId": USER}
OF_GROUP = {"type": "group", "groupId": GROUP, "userId": USER}
AT = 1692251666727


def event(kind: str, number: int = 1, *, source: Any = OF_USER, token: str = "rt", **members: Any) -> dict[str, Any]:
    """Return an event as LINE sends it; without *source* or *token* where they are empty."""
    given: dict[str, Any] = {
        "type": kind,
        "mode": "active",
        "timestamp": AT,
        "webhookEventId": f"01FZ74A0TDDPYRVKNK77XKC{number:03}",
        "deliveryContext": {"isRedelivery": False},
    }
    given |= {"source": source} if source else {}
    given |= {"replyToken": token} if token else {}
    return given | members


def message(kind: str, number: int = 1, *, source: Any = OF_USER, **members: Any) -> dict[str, Any]:
    """Return a message event."""
    return event(
        "message", number, source=source, message={"id": f"44457384408357{number:04}", "type": kind, **members}
    )


_LINE = {"type": "line"}
_EXTERNAL = {
    "type": "external",
    "originalContentUrl": "https://e.x/o.jpg",
    "previewImageUrl": "https://e.x/p.jpg",
}
_MENTION = {"mentionees": [{"index": 0, "length": 4, "userId": BOT, "type": "user", "isSelf": True}]}
_EMOJIS = [{"index": 14, "length": 6, "productId": "5ac1bfd5040ab15980c9b435", "emojiId": "001"}]

#: Every event of LINE's by name, with every shape that its parts have.
EVENTS: dict[str, dict[str, Any]] = {
    "text": message("text", 1, text="@All Hello 🍎 (love)", quoteToken="q3P", markAsReadToken="mr1"),
    "text with extras": message(
        "text", 2, text="@bot see (brown)", quoteToken="q", mention=_MENTION, emojis=_EMOJIS, quotedMessageId="4216"
    ),
    "image": message("image", 3, contentProvider=_LINE, quoteToken="q"),
    "image of a set": message(
        "image", 4, contentProvider=_LINE, quoteToken="q", imageSet={"id": "E005", "index": 1, "total": 2}
    ),
    "image of an app": message("image", 5, contentProvider=_EXTERNAL, quoteToken="q"),
    "video": message("video", 6, duration=60000, contentProvider=_LINE, quoteToken="q"),
    "audio": message("audio", 7, duration=60000, contentProvider=_LINE),
    "file": message("file", 8, fileName="invoice.pdf", fileSize=2138),
    "location": message("location", 9, title="Office", address="Jl. X 1", latitude=-6.2, longitude=106.816666),
    "bare location": message("location", 10, latitude=0, longitude=0),
    "sticker": message(
        "sticker",
        11,
        packageId="446",
        stickerId="1988",
        stickerResourceType="ANIMATION",
        quoteToken="q",
        keywords=["a"],
    ),
    "message sticker": message(
        "sticker", 12, packageId="4", stickerId="1", stickerResourceType="MESSAGE", quoteToken="q", text="Let's go"
    ),
    "text in a group": message("text", 13, source=OF_GROUP, text="x", quoteToken="q"),
    "text of nobody in a group": message(
        "text", 14, source={"type": "group", "groupId": GROUP}, text="x", quoteToken="q"
    ),
    "text in a room": message(
        "text", 15, source={"type": "room", "roomId": ROOM, "userId": USER}, text="x", quoteToken="q"
    ),
    "text in standby": event(
        "message", 16, token="", mode="standby", message={"id": "1", "type": "text", "text": "x", "quoteToken": "q"}
    ),
    "edited": event(
        "messageEdited",
        17,
        source=OF_GROUP,
        message={"id": "610830548529053697", "type": "text", "text": "Edited", "quoteToken": "q2"},
    ),
    "unsend": event("unsend", 18, token="", unsend={"messageId": "325708"}),
    "follow": event("follow", 19, follow={"isUnblocked": False}),
    "unblock": event("follow", 20, follow={"isUnblocked": True}),
    "unfollow": event("unfollow", 21, token=""),
    "join": event("join", 22, source={"type": "group", "groupId": GROUP}),
    "leave": event("leave", 23, source={"type": "group", "groupId": GROUP}, token=""),
    "member joined": event(
        "memberJoined", 24, source={"type": "group", "groupId": GROUP}, joined={"members": [OF_USER]}
    ),
    "member left": event(
        "memberLeft", 25, source={"type": "group", "groupId": GROUP}, token="", left={"members": [OF_USER]}
    ),
    "postback": event("postback", 26, postback={"data": "k1"}),
    "date picked": event("postback", 27, postback={"data": "when", "params": {"date": "2017-09-03"}}),
    "time picked": event("postback", 28, postback={"data": "when", "params": {"time": "15:00"}}),
    "moment picked": event("postback", 29, postback={"data": "when", "params": {"datetime": "2017-12-25T01:00"}}),
    "menu switched": event(
        "postback", 30, postback={"data": "menu", "params": {"newRichMenuAliasId": "menu-b", "status": "SUCCESS"}}
    ),
    "menu not switched": event(
        "postback",
        31,
        postback={"data": "menu", "params": {"newRichMenuAliasId": "menu-b", "status": "RICHMENU_NOTFOUND"}},
    ),
    "video watched": event("videoPlayComplete", 32, videoPlayComplete={"trackingId": "t1"}),
    "beacon": event("beacon", 33, beacon={"hwid": "d41d8cd98f", "type": "enter"}),
    "linked": event("accountLink", 34, link={"result": "ok", "nonce": "bm9uY2Utb2YtMTYtYnl0ZXM="}),
    "not linked": event("accountLink", 35, source=None, token="", link={"result": "failed", "nonce": "bm9uY2U="}),
    "membership": event("membership", 36, membership={"type": "joined", "membershipId": 3189}),
    "module attached": event(
        "module", 37, source=None, token="", module={"type": "attached", "botId": BOT, "scopes": ["message:send"]}
    ),
    "activated": event("activated", 38, token="", chatControl={"expireAt": 1462629479859}),
    "deactivated": event("deactivated", 39, token=""),
    "suspended": event("botSuspended", 40, source=None, token=""),
    "resumed": event("botResumed", 41, source=None, token=""),
    "delivery": event(
        "delivery", 42, source=None, token="", delivery={"data": "0190a5c0-0000-7000-8000-000000000001:2"}
    ),
    "delivery of others": event(
        "delivery",
        43,
        source=None,
        token="",
        delivery={"data": "d41e0ad70dddfeb68f149ad6fc61574b9c5780ab7bcb2fba5517771ffbb2409c"},
    ),
}


def body_of(*events: Any) -> bytes:
    """Return the body that brings *events*."""
    return json.dumps({"destination": BOT, "events": events}).encode()


def webhook(raw: bytes, signature: str | None = None, secret: str = SETTINGS.channel_secret) -> WebhookRequest:
    """Return *raw* as LINE posts it, signed."""
    if signature is None:
        signature = base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode()
    return WebhookRequest("POST", {}, {"x-line-signature": signature}, raw)
