"""What comes in, through a whole gateway: presses, typed titles, quotes, files, phones, blocking, reply tokens, polling."""

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kurir.clock import FakeClock
from kurir.intake import media as inbound_media
from kurir.intake.arrivals import CHOICES_LIFE
from kurir.intake.links import MediaLinks
from kurir.store.inbound import Webhook
from support.delivering import eventually
from support.inbound import (
    ADMIN,
    ANI,
    CLIENT,
    LINE_TOKEN,
    NUMBER,
    PAGE,
    PUBLIC,
    SECRETS,
    TELEGRAM_TOKEN,
    WHATSAPP_TOKEN,
    Inbox,
    Updates,
    by_polling,
    line_headers,
    meta_headers,
    platforms,
    receiving,
    telegram_headers,
)
from support.stores import everything, store_of

#: Longer than any platform's field, and with every sort of character: only a token can stand for it.
KEY = "pesanan/42?ya=1&«é🍎" + "x" * 1200
TOKEN = re.compile(r"~t:[A-Za-z0-9_-]{22}")
CHANNELS = ("telegram", "line", "whatsapp", "messenger")
NEW_SECRET = "f" * 32


def now_ms() -> int:
    return int(time.time() * 1000)


def choices(*keys: str, text: str = "Choose") -> dict[str, Any]:
    button = [{"key": key, "title": f"Option {number}"} for number, key in enumerate(keys, 1)]
    return {"type": "button", "body": {"text": text, "button": button}}


def chat() -> dict[str, Any]:
    return {"id": int(ANI["telegram"]), "type": "private", "first_name": "Ani"}


def ani() -> dict[str, Any]:
    return {"id": int(ANI["telegram"]), "is_bot": False, "first_name": "Ani"}


def said(number: int, **more: Any) -> dict[str, Any]:
    """A Telegram message of Ani's."""
    return {"message": {"message_id": number, "from": ani(), "chat": chat(), "date": int(time.time())} | more}


def line_event(kind: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "mode": "active",
        "webhookEventId": f"01FZ74A0TDDPYRVKNK77XKC{number:03}",
        "deliveryContext": {"isRedelivery": False},
        "timestamp": now_ms(),
        "source": {"type": "user", "userId": ANI["line"]},
    } | more


def line_text(number: int, text: str, **more: Any) -> dict[str, Any]:
    message = {"id": f"4440{number}", "type": "text", "text": text, "quoteToken": f"q{number}"}
    return line_event("message", number, message=message, **more)


def meta_event(at: int = 0, **more: Any) -> dict[str, Any]:
    return {"sender": {"id": ANI["messenger"]}, "recipient": {"id": PAGE}, "timestamp": at or now_ms()} | more


def wa_message(wamid: str, **more: Any) -> dict[str, Any]:
    return {"from": ANI["whatsapp"], "id": wamid, "timestamp": str(int(time.time()))} | more


# --- presses ----------------------------------------------------------------------------------------------------------


def press(channel: str, token: str, message_id: str) -> Any:
    """The whole body of the webhook that tells of a press."""
    match channel:
        case "telegram":
            message = {"message_id": int(message_id.partition(":")[2]), "chat": chat(), "date": 0}
            query = {"id": "77", "from": ani(), "chat_instance": "1", "data": token, "message": message}
            return {"update_id": now_ms(), "callback_query": query}
        case "line":
            event = line_event("postback", now_ms() % 1000, postback={"data": token}, replyToken="rt")
            return {"destination": "U" + "0" * 32, "events": [event]}
        case "whatsapp":
            reply = {"type": "button_reply", "button_reply": {"id": token, "title": "Option 1"}}
            message = wa_message(f"wamid.{now_ms()}", context={"id": message_id}, type="interactive", interactive=reply)
            value = {
                "messaging_product": "whatsapp",
                "metadata": {"phone_number_id": NUMBER},
                "contacts": [{"profile": {"name": "Ani"}, "wa_id": ANI["whatsapp"]}],
                "messages": [message],
            }
            entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
            return {"object": "whatsapp_business_account", "entry": [entry]}
        case _:
            event = meta_event(postback={"mid": f"m_{now_ms()}", "title": "Option 1", "payload": token})
            return {"object": "page", "entry": [{"id": PAGE, "messaging": [event]}]}


async def post_press(inbox: Inbox, channel: str, token: str, message_id: str, secret: str = "") -> None:
    raw = json.dumps(press(channel, token, message_id)).encode()
    given = [secret] if secret else []
    headers = {
        "telegram": lambda: telegram_headers(*given),
        "line": lambda: line_headers(raw, *given),
        "whatsapp": lambda: meta_headers(raw, *given),
        "messenger": lambda: meta_headers(raw, *given),
    }[channel]()
    assert await inbox.hook(f"acme-{channel}", raw, headers) == 200


def new_secrets(document: Any) -> None:
    for account in document["clients"][CLIENT]["accounts"]:
        for name in ("secret_token", "channel_secret", "app_secret"):
            if name in account:
                account[name] = NEW_SECRET


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_press_brings_the_very_key_also_after_a_restart_with_another_secret(tmp_path, channel):
    async with platforms() as platform:
        async with receiving(tmp_path, platform=platform) as inbox:
            sent = await inbox.sent(channel, **choices(KEY, "b"), id="asked")
            message_id = sent["parts"][0]["provider_message_ids"][0]
            token = TOKEN.search(json.dumps(platform.calls[-1].json))
            assert token is not None, "the key fits no field of the platform's, so a token stands for it"
            await post_press(inbox, channel, token[0], message_id)
            await check_press(inbox, channel)
        async with receiving(tmp_path, platform=platform, edit=new_secrets) as inbox:
            await inbox.events()
            old = json.dumps(press(channel, token[0], message_id)).encode()
            assert await inbox.hook(f"acme-{channel}", old, meta_headers(old)) == 401
            await post_press(inbox, channel, token[0], message_id, NEW_SECRET)
            await check_press(inbox, channel)


async def check_press(inbox: Inbox, channel: str) -> None:
    [event] = [one for one in await inbox.events() if one["type"] == "postback.received"]
    message = event["data"]["message"]
    assert message["postback"]["key"] == KEY
    assert message["type"] == "postback"
    assert event["data"]["from"]["address"].endswith(ANI[channel])
    if channel in ("telegram", "whatsapp"):  # the others do not say which message was pressed
        assert message["reply_id"] == "asked"


async def test_a_token_of_another_client_is_not_known(tmp_path):
    def another(document: Any) -> None:
        [telegram] = [one for one in document["clients"][CLIENT]["accounts"] if one["channel"] == "telegram"]
        other = {**telegram, "id": "globex-telegram"}
        document["clients"]["globex"] = {"username": "globex", "password": "another long password", "accounts": [other]}

    async with receiving(tmp_path, edit=another) as inbox:
        sent = await inbox.sent("telegram", **choices(KEY))
        token = TOKEN.search(json.dumps(inbox.platform.calls[-1].json))
        assert token is not None
        body = press("telegram", token[0], sent["parts"][0]["provider_message_ids"][0])
        await inbox.telegram(body, "globex-telegram")
        [event] = await inbox.gateway.store.events("globex")
        assert event.kind == "message.received"
        assert b"unsupported" in event.data
        assert KEY.encode() not in event.data
        await eventually(lambda: inbox.platform.of_telegram("answerCallbackQuery"))
        assert inbox.platform.of_telegram("answerCallbackQuery")[0]["text"] == "This button has expired."


# --- typed titles -----------------------------------------------------------------------------------------------------


async def test_a_typed_title_of_a_message_that_was_refused_is_a_text(tmp_path):
    def refuses(request: Any) -> web.Response | None:
        error = {"message": "(#100) Invalid", "type": "OAuthException", "code": 100, "fbtrace_id": "x"}
        return web.json_response({"error": error}, status=400) if request.path.endswith("/messages") else None

    async with receiving(tmp_path) as inbox:
        inbox.platform.answers = refuses
        sent = await inbox.sent("messenger", **choices("k1", "k2", "k3", "k4"))
        assert sent["status"] < 0
        assert await inbox.gateway.store.choices("acme-messenger", ANI["messenger"]) is None
        typed = {"sender": {"id": ANI["messenger"]}, "recipient": {"id": PAGE}, "timestamp": now_ms()}
        await inbox.messenger(typed | {"message": {"mid": "m_1", "text": "Option 1"}})
        [told] = [one["data"]["message"] for one in await inbox.events() if one["type"] == "message.received"]
        assert (told["type"], told["text"], told["postback"]) == ("text", "Option 1", None)


async def test_erasing_somebody_on_whatsapp_leaves_their_number_in_no_row_but_the_records_of_what_was_sent(tmp_path):
    number = ANI["whatsapp"]

    def wamid(last: int) -> str:
        return "wamid." + base64.b64encode(b"\x1c\x18\x0d" + number.encode() + b"\x15\x02" + bytes([last])).decode()

    async with receiving(tmp_path) as inbox:
        await inbox.whatsapp(
            {"from": number, "id": wamid(1), "timestamp": "1790000000", "type": "text", "text": {"body": "hi"}}
        )
        details = {"code": 131026, "title": "x", "error_data": {"details": f"Message to {number} undeliverable"}}
        failed = {
            "id": wamid(2),
            "status": "failed",
            "timestamp": "1790000000",
            "recipient_id": number,
            "errors": [details],
        }
        await inbox.whatsapp(statuses=[failed])  # of what another system sent from the same number
        async with inbox.session.delete(f"{inbox.url}/v1/contacts/whatsapp/{number}") as response:
            assert response.status == 200
            assert (await response.json())["data"]["contact"] is True

        kept = await everything(inbox.gateway.store)
        assert sum(row.startswith("inbound_event ") for row in kept) == 2
        for row in kept:
            hidden = b"".join(base64.b64decode(found) for found in re.findall(r"wamid\.([A-Za-z0-9+/]+=*)", row))
            assert number not in row
            assert number.encode() not in hidden


async def test_a_typed_title_is_a_press_for_a_day_and_a_text_afterwards(tmp_path):
    async with receiving(tmp_path) as inbox:
        sent = await inbox.sent("messenger", **choices("k1", "k2", "k3", "k4"), id="asked")
        assert "quick_replies" in json.dumps(inbox.platform.calls[-1].json), "these vanish from the phone"
        shown = await inbox.gateway.store.choices("acme-messenger", ANI["messenger"])
        assert shown is not None
        assert sent["status"] == 1
        life = int(CHOICES_LIFE.total_seconds() * 1000)
        begun = int(shown.at.timestamp() * 1000)
        rows = [
            ("m_1", " Option 2 ", begun + life - 5000),
            ("m_2", "option 2", begun + 1000),
            ("m_3", "Option 9", begun + 1000),
            ("m_4", "Option 2", begun + life + 5000),
        ]
        for mid, text, at in rows:
            await inbox.messenger(meta_event(at, message={"mid": mid, "text": text}))
        events = [one for one in await inbox.events() if one["type"] != "message.status"]
        assert [one["type"] for one in events] == ["postback.received", *["message.received"] * 3]
        message = events[0]["data"]["message"]
        assert (message["postback"], message["reply_id"]) == ({"key": "k2", "title": "Option 2"}, "asked")
        assert [one["data"]["message"]["text"] for one in events[1:]] == ["option 2", "Option 9", "Option 2"]


# --- quotes -----------------------------------------------------------------------------------------------------------


async def test_a_quoted_message_of_ours_has_the_clients_id_also_when_retention_has_purged_it(tmp_path):
    async with receiving(tmp_path) as inbox:
        sent = await inbox.sent("telegram", id="my-own-id")
        chat_id, _, number = sent["parts"][0]["provider_message_ids"][0].partition(":")
        quoted = {"message_id": int(number), "chat": chat(), "date": 1}
        assert chat_id == ANI["telegram"]
        await inbox.telegram(said(501, text="that one", reply_to_message=quoted))
        later = inbox.gateway.clock.now() + timedelta(days=60)
        await inbox.gateway.store.purge(later, 1000)
        assert (await inbox.get(f"/v1/messages/{sent['tid']}"))[0] == 404
        await inbox.telegram(said(502, text="and again", reply_to_message=quoted))
        await inbox.telegram(said(503, text="a stranger's", reply_to_message={**quoted, "message_id": 499}))
        events = [one["data"]["message"] for one in await inbox.events("acme-telegram")]
        assert [one["reply_id"] for one in events] == ["my-own-id", f"{ANI['telegram']}:499"], "purged events are gone"
        assert events[0]["text"] == "and again"


# --- files ------------------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 1000
#: What the platform says beside a file, and must not reach who opens our link.
PLATFORMS_OWN = {"Set-Cookie": "sid=platform", "X-Internal": "platform", "Content-Disposition": "inline"}
EVIL = "text/html"


def a_file(_: web.Request) -> web.Response:
    return web.Response(body=CONTENT, headers={"Content-Type": EVIL, **PLATFORMS_OWN})


async def file_in(inbox: Inbox, channel: str) -> str:
    """Let Ani send a file; the platform path under which it is fetched."""
    platform = inbox.platform
    match channel:
        case "telegram":
            path = f"/file/bot{TELEGRAM_TOKEN}/documents/a.html"
            described = {"file_id": "f1", "file_unique_id": "u1", "file_path": "documents/a.html"}
            whole = web.json_response({"ok": True, "result": described}).body
            platform.answers = lambda request: (
                web.Response(body=whole, content_type="application/json") if request.path.endswith("getFile") else None
            )
            platform.gets[f"/bot{TELEGRAM_TOKEN}/getFile"] = lambda _: web.Response(
                body=whole, content_type="application/json"
            )
            file = {"file_id": "f1", "file_unique_id": "u1", "file_name": "../a <b>.html", "mime_type": EVIL}
            await inbox.telegram(said(601, document=file))
        case "line":
            path = "/v2/bot/message/77001/content"
            file = {"id": "77001", "type": "file", "fileName": "a <b>.html", "fileSize": len(CONTENT)}
            await inbox.line(line_event("message", 601, message=file, replyToken="rt"))
        case "whatsapp":
            path = "/lookaside/whatsapp_business/attachments/"
            described = {"url": f"{platform.url}{path}?mid=5", "mime_type": EVIL, "id": "55", "file_size": 9}
            # The version of the API stands in the path.
            for version in ("v26.0", "v25.0", "v24.0", "v23.0"):
                platform.gets[f"/{version}/55"] = lambda _: web.json_response(described)
            file = {"id": "55", "mime_type": EVIL, "sha256": "x", "filename": "a <b>.html"}
            await inbox.whatsapp(wa_message("wamid.file", type="document", document=file))
        case _:
            path = "/cdn/a%20%3Cb%3E.html"
            url = f"{platform.url}{path}?oh=1"
            path = "/cdn/a <b>.html"
            attachment = {"type": "file", "payload": {"url": url}}
            await inbox.messenger(meta_event(message={"mid": "m_file", "attachments": [attachment]}))
    platform.gets[path] = a_file
    return path


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_file_is_behind_a_link_of_ours_and_no_secret_shows(tmp_path, channel, capfd):
    async with receiving(tmp_path) as inbox:
        path = await file_in(inbox, channel)
        [event] = [one for one in await inbox.events() if one["type"] == "message.received"]
        media = event["data"]["message"]["media"]
        assert (event["data"]["message"]["type"], media["id"]) == ("document", f"{event['id']}-0")
        status, headers, content = await inbox.fetch(media["url"])
        assert (status, content) == (200, CONTENT)
        assert re.match(r"attachment; filename=\"[^\"/<>]+\"; filename\*=UTF-8''[^/]+$", headers["Content-Disposition"])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not {"Set-Cookie", "X-Internal"} & set(headers)
        asked = [given for asked, given in inbox.platform.asked if asked == path]
        bearer = {"line": f"Bearer {LINE_TOKEN}", "whatsapp": f"Bearer {WHATSAPP_TOKEN}"}.get(channel)
        assert [given.get("Authorization") for given in asked] == [bearer], "fetched once, with the platform's own key"
        # A link that was changed, or has ended, finds nothing, and the platform is not asked.
        before = len(inbox.platform.asked)
        parts = media["url"].split("/")
        for place, value in ((-1, "x" * 24), (-2, str(int(parts[-2]) + 60)), (-3, "1"), (-4, "77"), (-5, "acme-other")):
            changed = [*parts]
            changed[place] = value
            assert (await inbox.fetch("/".join(changed)))[0] == 404
        yesterday = FakeClock(inbox.gateway.clock.now() - timedelta(days=1, seconds=1))
        record = await inbox.gateway.store.event(CLIENT, int(event["id"]))
        assert record is not None
        old, _ = MediaLinks(PUBLIC, lambda: inbox.gateway._media_keys, yesterday).link(record, 0)
        assert (await inbox.fetch(old))[0] == 404
        assert len(inbox.platform.asked) == before
        # What the platform no longer has is gone, and it is not said how it was asked.
        inbox.platform.gets[path] = lambda _: web.Response(status=404, text=f"no such file for {TELEGRAM_TOKEN}")
        status, _, answer = await inbox.fetch(media["url"])
        assert (status, json.loads(answer)["code"]) == (410, "media_gone")
        inbox.platform.gets[path] = lambda _: web.Response(status=503)
        status, _, later = await inbox.fetch(media["url"])
        assert (status, json.loads(later)["code"]) == (502, "media_unavailable")
        _, feed = await inbox.get("/v1/events?limit=1000")
        logged = "".join(capfd.readouterr())
        assert "media_not_fetched" in logged
        for secret in SECRETS:
            for where in (json.dumps(feed), answer.decode(), later.decode(), logged, str(headers)):
                assert secret not in where
        assert inbox.platform.url not in json.dumps(feed), "where the platform keeps it is not told either"


@pytest.mark.parametrize("waits", [3, 5, 6])
async def test_a_file_that_line_is_still_preparing_is_waited_for_some_seconds(tmp_path, monkeypatch, waits):
    monkeypatch.setattr(inbound_media, "READY_SECONDS", 0.01)
    statuses = iter([202] * waits + [200])
    async with receiving(tmp_path) as inbox:
        path = await file_in(inbox, "line")
        inbox.platform.gets[path] = lambda _: web.Response(status=next(statuses), body=CONTENT)
        [event] = [one for one in await inbox.events() if one["type"] == "message.received"]
        status, _, content = await inbox.fetch(event["data"]["message"]["media"]["url"])
        if waits > inbound_media.READY_WAITS:
            assert (status, json.loads(content)["code"]) == (502, "media_unavailable")
        else:
            assert (status, content) == (200, CONTENT)
        assert sum(asked == path for asked, _ in inbox.platform.asked) == min(waits, inbound_media.READY_WAITS) + 1


# --- people -----------------------------------------------------------------------------------------------------------


async def test_an_own_card_ties_the_phone_and_anybody_elses_does_not(tmp_path):
    async with receiving(tmp_path) as inbox:
        foreign = {"phone_number": "+62 811-1000-999", "first_name": "Bob", "user_id": 2002}
        nobodys = {"phone_number": "+62 811-1000-998", "first_name": "Bob"}
        own = {"phone_number": "+62 811-1000-997", "first_name": "Ani", "user_id": int(ANI["telegram"])}
        forwarded = {"forward_origin": {"type": "hidden_user", "sender_user_name": "x", "date": 1}}
        await inbox.telegram(said(701, contact=foreign))
        await inbox.telegram(said(702, contact=nobodys))
        await inbox.telegram(said(703, contact=own, **forwarded))
        status, answer = await inbox.get("/v1/contacts/telegram/1001")
        assert (status, answer["data"]["phone"]) == (200, "")
        await inbox.telegram(said(704, contact=own))
        events = await inbox.events()
        assert [one["type"] for one in events] == [*["message.received"] * 4, "contact.linked"]
        assert events[-1]["data"]["contact"]["phone"] == "628111000997"
        await inbox.sent("telegram", recipient="0811-1000-997".replace("-", "").replace("0811", "62811"))
        assert inbox.platform.of_telegram("sendMessage")[-1]["chat_id"] in (1001, "1001")
        for phone in ("628111000999", "628111000998"):
            assert (await inbox.sent("telegram", recipient=phone))["error"]["code"] == "recipient_not_linked"


def membership(number: int, old: str, new: str) -> dict[str, Any]:
    bot = {"id": 123456, "is_bot": True, "first_name": "Bot"}
    change = {"chat": chat(), "from": ani(), "date": int(time.time()) + number}
    return {
        "my_chat_member": change
        | {"old_chat_member": {"status": old, "user": bot}, "new_chat_member": {"status": new, "user": bot}}
    }


@pytest.mark.parametrize("channel", ["telegram", "line"])
async def test_who_blocked_us_is_not_called_and_who_came_back_is(tmp_path, channel):
    async with receiving(tmp_path) as inbox:
        if channel == "telegram":
            await inbox.telegram(membership(0, "member", "kicked"))
        else:
            await inbox.line(line_event("unfollow", 801))
        failed = await inbox.sent(channel)
        assert (failed["status"], failed["error"]["code"]) == (-2, "recipient_blocked")
        assert inbox.platform.calls == []
        if channel == "telegram":
            await inbox.telegram(membership(1, "kicked", "member"))
        else:
            again = {"isUnblocked": True}
            await inbox.line(
                line_event("follow", 802, follow=again, timestamp=now_ms() + 1000, replyToken="rt-of-follow")
            )
        assert (await inbox.sent(channel))["status"] == 1
        kinds = [one["type"] for one in await inbox.events() if one["type"].startswith("contact.")]
        assert kinds == ["contact.blocked", "contact.unblocked"]


async def test_who_adds_us_for_the_first_time_is_told_of(tmp_path):
    async with receiving(tmp_path) as inbox:
        await inbox.line(line_event("follow", 811, follow={"isUnblocked": False}, replyToken="hello"))
        [event] = await inbox.events()
        assert (event["type"], event["data"]["first_time"]) == ("contact.unblocked", True)
        assert event["data"]["reply_token"] == "hello"


# --- reply tokens -----------------------------------------------------------------------------------------------------


def used(inbox: Inbox) -> list[tuple[str, str]]:
    """Return (path, reply token) of each call that sent something on LINE."""
    return [
        (call.path.rpartition("/")[2], call.json.get("replyToken", ""))
        for call in inbox.platform.calls
        if call.channel == "line"
    ]


async def test_a_fresh_reply_token_answers_once_and_its_own_chat_only(tmp_path):
    async with receiving(tmp_path) as inbox:
        await inbox.line(line_text(901, "hi", replyToken="fresh"))
        other = "U" + "1" * 32
        await inbox.sent("line", "to somebody else", recipient=f"line:{other}")
        await inbox.sent("line", "the answer")
        await inbox.sent("line", "one more")
        assert used(inbox) == [("push", ""), ("reply", "fresh"), ("push", "")]


@pytest.mark.parametrize(("age", "path"), [(30, "reply"), (46, "push"), (600, "push")])
async def test_a_reply_token_is_used_for_45_seconds(tmp_path, age, path):
    async with receiving(tmp_path) as inbox:
        await inbox.line(line_text(911, "hi", replyToken="old", timestamp=now_ms() - age * 1000))
        await inbox.sent("line")
        assert [name for name, _ in used(inbox)] == [path]


async def test_a_reply_token_that_the_platform_refuses_falls_back_to_a_push(tmp_path):
    async with receiving(tmp_path) as inbox:
        refusal = {"message": "Invalid reply token"}
        inbox.platform.answers = lambda request: (
            web.json_response(refusal, status=400) if request.path.endswith("/reply") else None
        )
        await inbox.line(line_text(921, "hi", replyToken="dead"))
        assert (await inbox.sent("line"))["status"] == 1
        assert [name for name, _ in used(inbox)] == ["reply", "push"]


# --- polling ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_that_stands_in_the_way_is_removed_and_updates_are_fetched_once(tmp_path):
    async with platforms() as platform:
        updates = Updates(platform, webhook=True)
        updates.waiting = {number: {"update_id": number, **said(number, text=f"t{number}")} for number in range(5, 255)}
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await eventually(lambda: not updates.webhook and not updates.waiting)
            texts = [one["data"]["message"]["text"] for one in await inbox.events()]
            assert texts == [f"t{number}" for number in range(5, 255)]
        assert max(updates.offsets) == 255
        updates.waiting[255] = {"update_id": 255, **said(255, text="after the restart")}
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await eventually(lambda: not updates.waiting)
            texts = [one["data"]["message"]["text"] for one in await inbox.events()]
            assert len(texts) == 251
            assert texts[-1] == "after the restart"


async def test_an_update_with_a_lower_number_after_a_quiet_week_is_told(tmp_path):
    async with platforms() as platform:
        updates = Updates(platform)
        updates.waiting[900_000_005] = {"update_id": 900_000_005, **said(5, text="first")}
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await eventually(lambda: updates.offsets[-2:] == [900_000_006, 0])
            updates.waiting[123] = {"update_id": 123, **said(6, text="after a quiet week")}
            await eventually(lambda: not updates.waiting)
            texts = [one["data"]["message"]["text"] for one in await inbox.events()]
            assert texts == ["first", "after a quiet week"]


async def test_an_offset_that_is_older_than_what_telegram_keeps_is_not_named(tmp_path):
    async with platforms() as platform:
        updates = Updates(platform)
        updates.waiting[123] = {"update_id": 123, **said(6, text="after a quiet week")}
        store = await store_of(tmp_path)
        await store.open()
        await store.take_in(
            Webhook(datetime.now(UTC) - timedelta(hours=25), poll_offset=("acme-telegram", 900_000_006))
        )
        await store.close()
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await eventually(lambda: not updates.waiting)
            assert [one["data"]["message"]["text"] for one in await inbox.events()] == ["after a quiet week"]
        assert max(updates.offsets) == 124


async def test_an_update_that_comes_again_is_told_once(tmp_path):
    async with platforms() as platform:
        updates = Updates(platform)
        repeated = {"update_id": 7, **said(7, text="once")}

        async def forgetful(request: Any) -> web.Response | None:
            if request.path.endswith("/getUpdates") and len(updates.offsets) < 4:
                updates.waiting[7] = repeated
                updates.offsets.append(0)
                return web.json_response({"ok": True, "result": [repeated]})
            return await updates.answer(request)

        platform.answers = forgetful
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await eventually(lambda: len(updates.offsets) > 5)
            assert [one["data"]["message"]["text"] for one in await inbox.events()] == ["once"]


# --- news of the account ------------------------------------------------------------------------------------------------


async def test_a_block_that_the_platform_tells_again_does_not_stop_what_the_operator_resumed(tmp_path, capfd):
    def block(second: int) -> dict[str, Any]:
        enforced = {"action": "block", "reason": "The page broke a policy."}
        return {"recipient": {"id": PAGE}, "timestamp": 1795000000000 + second * 1000, "policy_enforcement": enforced}

    async with receiving(tmp_path) as inbox:
        admin = f"{inbox.url}/v1/admin/accounts/acme-messenger"

        async def standing() -> str:
            async with aiohttp.request("GET", admin, headers={"Authorization": f"Bearer {ADMIN}"}) as response:
                return (await response.json())["data"]["standing"]

        async def resume() -> None:
            async with aiohttp.request(
                "POST", f"{admin}/resume", headers={"Authorization": f"Bearer {ADMIN}"}
            ) as response:
                assert response.status == 200

        await inbox.messenger(block(1))
        assert await standing() == "parked"
        await resume()
        assert await standing() == "working"
        await inbox.messenger(block(1))
        assert await standing() == "working", "what was told before"
        await inbox.messenger(block(1), block(2))
        assert await standing() == "parked", "a block of its own"
        await resume()
        await inbox.messenger(block(2), block(1))
        assert await standing() == "working"
    assert "".join(capfd.readouterr()).count("account_news") == 2
