"""People act on their phones, and each platform tells it as its own page says."""

import asyncio
import base64
import hashlib
import json

import pytest
from typer.testing import CliRunner

from kurir import demo
from kurir.cli.app import app
from kurir.sandbox.config import DEMO_LINE, DEMO_MESSENGER, DEMO_TELEGRAM, DEMO_WHATSAPP
from kurir.sandbox.media import FOLDER
from support.delivering import eventually
from support.sandbox import ALL, ANI, BUDI, RECEIPTS, running
from support.servers import running as with_gateway

DAY = 24 * 3600
QUIET = ("telegram", "line")  # no receipts come between


def whatsapp_of(body):
    return body["entry"][0]["changes"][0]["value"]


def told(body):
    """Return what a webhook is about, without the envelope."""
    if "update_id" in body:
        return next(value for name, value in body.items() if name != "update_id")
    if "events" in body:
        return body["events"][0]
    if body["object"] == "page":
        return body["entry"][0]["messaging"][0]
    return whatsapp_of(body)["messages"][0]


def is_told_by_a_person(body):
    """Return whether a webhook is no receipt of ours."""
    if body.get("object") == "page":
        event = told(body)
        return not ({"delivery", "read"} & set(event) or event.get("message", {}).get("is_echo"))
    return body.get("object") != "whatsapp_business_account" or "messages" in whatsapp_of(body)


async def acts_of(world, count):
    """Return what the first *count* webhooks about people's acts say."""
    while True:
        bodies = [body for body in world.receiver.bodies if is_told_by_a_person(body)]
        if len(bodies) >= count:
            return [told(body) for body in bodies]
        await world.receiver.wait(len(world.receiver.bodies) + 1)


# --- text and media -----------------------------------------------------------------------------------------------------


async def test_a_text_comes_in_on_all_four():
    async with running(channels=ALL) as world:
        for channel in ALL:
            bubble = await world.act(channel, "text", text="Héj 👋")
            assert (bubble["mine"], bubble["blocks"][0]["text"]) == (True, "Héj 👋")
        bodies = await world.receiver.wait(4)
        whatsapp, telegram, line, messenger = (
            next(body for body in bodies if "whatsapp" in body.get("object", "")),
            next(body for body in bodies if "update_id" in body),
            next(body for body in bodies if "events" in body),
            next(body for body in bodies if body.get("object") == "page"),
        )
        value = whatsapp_of(whatsapp)
        assert whatsapp["entry"][0]["id"] == DEMO_WHATSAPP.waba_id
        assert value["metadata"]["phone_number_id"] == DEMO_WHATSAPP.phone_number_id
        assert value["contacts"] == [{"profile": {"name": "Budi"}, "wa_id": BUDI.phone, "user_id": BUDI.bsuid}]
        message = value["messages"][0]
        assert (message["from"], message["from_user_id"], message["type"]) == (BUDI.phone, BUDI.bsuid, "text")
        assert message["text"] == {"body": "Héj 👋"}
        assert message["id"].startswith("wamid.")
        assert message["timestamp"].isdigit()
        message = telegram["message"]
        assert message["chat"] | {"type": "private", "id": BUDI.telegram_chat_id} == message["chat"]
        assert (message["from"]["id"], message["text"]) == (BUDI.telegram_chat_id, "Héj 👋")
        assert line["destination"] == DEMO_LINE.bot_user_id
        event = line["events"][0]
        assert (event["type"], event["mode"], event["source"]) == (
            "message",
            "active",
            {"type": "user", "userId": BUDI.line_user_id},
        )
        assert event["message"]["text"] == "Héj 👋"
        assert event["deliveryContext"] == {"isRedelivery": False}
        assert len(event["webhookEventId"]) == 26
        assert len(event["replyToken"]) == 32
        event = told(messenger)
        assert (event["sender"], event["recipient"]) == ({"id": BUDI.psid}, {"id": DEMO_MESSENGER.page_id})
        assert event["message"]["text"] == "Héj 👋"
        # Meta and Telegram escape what is beyond ASCII; LINE does not.
        assert sum(raw.isascii() for raw in world.receiver.raw) == 3


async def test_a_line_reply_token_answers_once_and_for_a_minute():
    async with running(channels=("line",)) as world:
        for _ in range(2):
            await world.act("line", "text", text="Hi")
        first, second = (told(body)["replyToken"] for body in await world.receiver.wait(2))
        answer = {"messages": [{"type": "text", "text": "Hello"}]}
        assert (await world.line({"replyToken": first} | answer, "reply"))[0] == 200
        assert await world.line({"replyToken": first} | answer, "reply") == (400, {"message": "Invalid reply token"})
        await world.call("POST", "/sandbox/clock", json={"move": 61})
        assert (await world.line({"replyToken": second} | answer, "reply"))[0] == 400
        assert [bubble["mine"] for bubble in await world.bubbles("line")] == [True, True, False]


MEDIA = {
    "image": "demo.jpg",
    "video": "demo.mp4",
    "audio": "demo.m4a",
    "voice": "demo.ogg",
    "document": "demo.pdf",
    "sticker": "demo.webp",
}


@pytest.mark.parametrize("kind", MEDIA)
async def test_a_file_comes_in_and_can_be_fetched_by_who_has_the_token(kind):
    content = (FOLDER / MEDIA[kind]).read_bytes()
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.act(channel, kind, text="Look" if kind in ("image", "document") else "")
            body = (await world.receiver.wait(1))[0]
            world.receiver.bodies.clear()
            event = told(body)
            if channel == "line" and kind == "sticker":
                assert event["message"]["stickerId"]
                continue
            assert await FETCH[channel](world, kind, event) == content, channel


async def fetch_whatsapp(world, kind, message):
    media = message[message["type"]]
    assert message["type"] == ("audio" if kind == "voice" else kind)
    if kind in ("voice", "audio"):
        assert media["voice"] is (kind == "voice")
    if kind == "image":
        assert media["caption"] == "Look"
    path = f"/graph/v26.0/{media['id']}"
    assert (await world.call("GET", path))[0] == 401
    bearer = {"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}
    _, facts = await world.call("GET", path, headers=bearer)
    url = facts["url"]
    assert url.startswith(f"{world.server.url}/graph/")
    async with world.http.get(url) as refused:
        assert refused.status == 401
    async with world.http.get(url, headers=bearer) as answer:
        assert answer.status == 200
        content = await answer.read()
    assert base64.b64decode(media["sha256"]) == hashlib.sha256(content).digest()
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    await world.call("POST", "/sandbox/clock", json={"move": 301})
    async with world.http.get(url, headers=bearer) as refused:
        assert refused.status == 403
    return content


async def fetch_telegram(world, kind, message):
    name = {"image": "photo"}.get(kind, kind)
    file = message[name][-1] if name == "photo" else message[name]
    _, answer = await world.telegram("getFile", file_id=file["file_id"])
    path = answer["result"]["file_path"]
    base = f"{world.server.url}/telegram/file/bot"
    async with world.http.get(f"{base}7001000:{'A' * 35}/{path}") as refused:
        assert refused.status == 401
    async with world.http.get(f"{base}{DEMO_TELEGRAM.token}/documents/no.pdf") as refused:
        assert refused.status == 404
    async with world.http.get(f"{base}{DEMO_TELEGRAM.token}/{path}") as answer:
        return await answer.read()


async def fetch_line(world, kind, event):
    message = event["message"]
    assert message["type"] == {"voice": "audio", "document": "file"}.get(kind, kind)
    url = f"{world.server.url}/line/v2/bot/message/{message['id']}/content"
    async with world.http.get(url) as refused:
        assert refused.status == 401
    bearer = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"}
    async with world.http.get(url.replace(message["id"], "1"), headers=bearer) as refused:
        assert refused.status == 404
    async with world.http.get(url, headers=bearer) as answer:
        return await answer.read()


async def fetch_messenger(world, kind, event):
    attachment = event["message"]["attachments"][0]
    assert attachment["type"] == {"voice": "audio", "document": "file"}.get(kind, kind)
    path = attachment["payload"]["url"].removeprefix("https://media.sandbox.invalid")
    async with world.http.get(f"{world.server.url}/sandbox/media{path}") as answer:
        return await answer.read()


FETCH = {
    "whatsapp": fetch_whatsapp,
    "telegram": fetch_telegram,
    "line": fetch_line,
    "messenger": fetch_messenger,
}


async def test_an_own_file_is_sent():
    async with running(channels=("whatsapp",)) as world:
        _, body = await world.call(
            "POST", "/sandbox/files?name=räk.txt", data=b"hello", headers={"Content-Type": "text/plain"}
        )
        await world.act("whatsapp", "document", file=body["data"]["file"])
        (message,) = await acts_of(world, 1)
        assert (message["document"]["filename"], message["document"]["mime_type"]) == ("räk.txt", "text/plain")
        assert await world.refused("whatsapp", "image", file=body["data"]["file"]) == (
            400,
            "file: räk.txt is text/plain, which is no image.",
        )
        assert (await world.refused("whatsapp", "image", file="x.jpg"))[0] == 400
        assert (await world.call("POST", "/sandbox/files", data=b""))[0] == 400


async def test_places_come_in():
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.act(channel, "location", latitude=-6.2, longitude=106.8, name="Shop", address="Jalan 8")
        await world.act("telegram", "location", live=True)
        await world.act("telegram", "move", latitude=1.5, longitude=2.5)
        await world.act("whatsapp", "location", live=True)
        events = await acts_of(world, 7)
        place = {"latitude": -6.2, "longitude": 106.8, "name": "Shop", "address": "Jalan 8"}
        assert any(event.get("location") == place for event in events)
        assert any(event.get("venue", {}).get("title") == "Shop" for event in events)
        assert any(
            event.get("message", {}).get("title") == "Shop" for event in events if event.get("type") == "message"
        )
        pages = [event for event in events if "recipient" in event]
        point = pages[0]["message"]["attachments"][0]["payload"]["coordinates"]
        assert point == {"lat": -6.2, "long": 106.8}
        moved = [body["edited_message"] for body in world.receiver.bodies if "edited_message" in body]
        assert moved[0]["location"] == {"latitude": 1.5, "longitude": 2.5, "live_period": 900}
        unsupported = [event for event in events if event.get("type") == "unsupported"]
        assert unsupported[0]["errors"][0]["code"] == 131051
        assert (await world.refused("line", "location", live=True))[0] == 400


async def test_a_contact_is_the_own_one_unless_another_is_given():
    async with running(channels=("telegram", "whatsapp")) as world:
        await world.act("telegram", "contact")
        await world.act("telegram", "contact", phone="+6281", name="Cici")
        own, other = (event["contact"] for event in await acts_of(world, 2))
        assert own == {"phone_number": BUDI.phone, "first_name": "Budi", "user_id": BUDI.telegram_chat_id}
        assert other == {"phone_number": "+6281", "first_name": "Cici"}
        await world.act("whatsapp", "contact", phone="+6281", name="Cici")
        shared = (await acts_of(world, 3))[2]["contacts"][0]
        assert shared["phones"] == [{"phone": "+6281", "wa_id": "6281", "type": "CELL"}]
        assert (await world.refused("line", "contact"))[0] == 400


# --- taps -----------------------------------------------------------------------------------------------------------------


async def test_whatsapp_buttons_rows_and_template_buttons():
    async with running() as world:
        buttons = [{"type": "reply", "reply": {"id": "k1", "title": "Yes"}}]
        action = {"type": "button", "body": {"text": "Ok?"}, "action": {"buttons": buttons}}
        _, sent = await world.whatsapp({"type": "interactive", "interactive": action})
        await world.bubble_when("whatsapp", lambda bubble: bubble["tick"] == "read")
        bubble = await world.act("whatsapp", "press", choice="Yes")
        assert (bubble["blocks"][0]["text"], bubble["quoted"]) == ("Yes", sent["messages"][0]["id"])
        (reply,) = await acts_of(world, 1)
        assert reply["interactive"] == {"type": "button_reply", "button_reply": {"id": "k1", "title": "Yes"}}
        assert reply["context"] == {"from": DEMO_WHATSAPP.display_phone_number, "id": sent["messages"][0]["id"]}
        rows = [{"id": "r1", "title": "One", "description": "The first"}, {"id": "r2", "title": "Two"}]
        action = {"button": "Menu", "sections": [{"title": "S", "rows": rows}]}
        await world.whatsapp(
            {"type": "interactive", "interactive": {"type": "list", "body": {"text": "Pick"}, "action": action}}
        )
        await world.bubble_when("whatsapp", lambda bubble: bubble["tick"] == "read")
        await world.act("whatsapp", "press", choice="r1")
        reply = (await acts_of(world, 2))[1]
        row = {"id": "r1", "title": "One", "description": "The first"}
        assert reply["interactive"] == {"type": "list_reply", "list_reply": row}
        parameters = [{"type": "payload", "payload": "THANKS"}]
        button = {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": parameters}
        header = {"type": "header", "parameters": [{"type": "text", "text": "77"}]}
        body = {"type": "body", "parameters": [{"type": "text", "text": each} for each in ("Ann", "77", "here")]}
        template = {"name": "order_update", "language": {"code": "en_US"}, "components": [header, body, button]}
        await world.whatsapp({"type": "template", "template": template})
        shown = await world.bubble_when("whatsapp", lambda bubble: bubble["tick"] == "read")
        assert [block["text"] for block in shown["blocks"][:2]] == ["Order 77", "Hi Ann, your order 77 is here."]
        await world.act("whatsapp", "press", choice="Thank you")
        reply = (await acts_of(world, 3))[2]
        assert (reply["type"], reply["button"]["payload"]) == ("button", "THANKS")
        assert (await world.refused("whatsapp", "press", choice="Nothing"))[0] == 409


async def test_a_telegram_press_spins_until_it_is_answered():
    async with running(channels=("telegram",)) as world:
        rows = [[{"text": "Yes", "callback_data": "k1"}, {"text": "Site", "url": "https://a.example"}]]
        _, sent = await world.telegram("sendMessage", text="Ok?", reply_markup={"inline_keyboard": rows})
        bubble = await world.act("telegram", "press", choice="k1")
        assert bubble["waiting"] == "Yes"
        (query,) = await acts_of(world, 1)
        assert (query["data"], query["from"]["id"]) == ("k1", BUDI.telegram_chat_id)
        assert query["message"]["message_id"] == sent["result"]["message_id"]
        assert query["message"]["text"] == "Ok?"
        assert query["message"]["reply_markup"] == {"inline_keyboard": rows}
        answered = await world.telegram("answerCallbackQuery", callback_query_id=query["id"], text="Noted")
        assert answered == (200, {"ok": True, "result": True})
        phone = await world.phone("telegram")
        assert (phone["bubbles"][0]["waiting"], phone["notice"], phone["notices"]) == ("", "Noted", 1)
        status, again = await world.telegram("answerCallbackQuery", callback_query_id=query["id"])
        assert (status, again["description"][:25]) == (400, "Bad Request: query is too")
        await world.act("telegram", "press", choice="Yes")
        late = (await acts_of(world, 2))[1]
        await world.call("POST", "/sandbox/clock", json={"move": 901})
        assert (await world.telegram("answerCallbackQuery", callback_query_id=late["id"]))[0] == 400
        assert "browser" in (await world.refused("telegram", "press", choice="Site"))[1]


async def test_telegrams_own_keyboard_sends_messages():
    async with running(channels=("telegram",)) as world:
        keys = [[{"text": "My number", "request_contact": True}, {"text": "Hi"}]]
        await world.telegram("sendMessage", text="?", reply_markup={"keyboard": keys, "one_time_keyboard": True})
        assert [choice["title"] for choice in (await world.phone("telegram"))["chips"]] == ["My number", "Hi"]
        await world.act("telegram", "text", text="wait")
        assert (await world.phone("telegram"))["chips"], "it stays when a message follows"
        await world.act("telegram", "press", choice="My number")
        contact = (await acts_of(world, 2))[1]
        assert contact["contact"]["user_id"] == BUDI.telegram_chat_id
        assert contact["reply_to_message"]["text"] == "?"
        assert (await world.phone("telegram"))["chips"] == [], "it was for one time"
        await world.telegram("sendMessage", text="?", reply_markup={"keyboard": keys})
        await world.act("telegram", "press", choice="Hi")
        assert (await acts_of(world, 3))[2]["text"] == "Hi"
        await world.telegram("sendMessage", text="Bye", reply_markup={"remove_keyboard": True})
        assert (await world.phone("telegram"))["chips"] == []


def line_action(kind="postback", **more):
    return {"type": kind, "label": "Yes"} | more


async def test_line_taps_are_postbacks_or_messages():
    async with running(channels=("line",)) as world:
        template = {"type": "buttons", "text": "Ok?"}
        said = line_action(data="k1", displayText="Yes, please")
        await world.push({"type": "template", "altText": "x", "template": template | {"actions": [said]}})
        bubble = await world.act("line", "press", choice="Yes")
        assert (bubble["mine"], bubble["blocks"][0]["text"]) == (True, "Yes, please")
        (event,) = await acts_of(world, 1)
        assert (event["type"], event["postback"]) == ("postback", {"data": "k1"})
        assert event["replyToken"]
        quick = {"items": [{"type": "action", "action": line_action("message", text="Yes!")}]}
        await world.push({"type": "text", "text": "?", "quickReply": quick})
        await world.act("line", "press", choice="Yes")
        event = (await acts_of(world, 2))[1]
        assert (event["type"], event["message"]["text"]) == ("message", "Yes!")
        status, words = await world.refused("line", "press", choice="Yes!")
        assert (status, "vanished" in words) == (409, True)
        date = line_action("datetimepicker", data="when", mode="date", initial="2026-11-23")
        await world.push({"type": "template", "altText": "x", "template": template | {"actions": [date]}})
        await world.act("line", "press", choice="when")
        assert (await acts_of(world, 3))[2]["postback"] == {"data": "when", "params": {"date": "2026-11-23"}}


async def test_messengers_buttons_are_postbacks_and_quick_replies_messages():
    async with running() as world:
        button = {"type": "postback", "title": "Yes", "payload": "k1"}
        payload = {"template_type": "button", "text": "Ok?", "buttons": [button]}
        await world.messenger({"attachment": {"type": "template", "payload": payload}})
        await world.act("messenger", "press", choice="Yes")
        (event,) = await acts_of(world, 1)
        assert event["postback"] | {"title": "Yes", "payload": "k1"} == event["postback"]
        assert event["postback"]["mid"].startswith("m_")
        replies = [{"content_type": "text", "title": "Red", "payload": "RED"}, {"content_type": "user_phone_number"}]
        await world.messenger({"text": "?", "quick_replies": replies})
        await world.act("messenger", "press", choice="RED")
        message = (await acts_of(world, 2))[1]["message"]
        assert (message["text"], message["quick_reply"]) == ("Red", {"payload": "RED"})
        assert (await world.refused("messenger", "press", choice="RED"))[0] == 409
        await world.messenger({"text": "?", "quick_replies": replies})
        await world.act("messenger", "text", text="red")
        assert "vanished" in (await world.refused("messenger", "press", choice="RED"))[1]
        await world.messenger({"text": "?", "quick_replies": replies})
        await world.act("messenger", "press", choice="user_phone_number")
        message = (await acts_of(world, 4))[3]["message"]
        assert message["quick_reply"] == {"payload": f"+{BUDI.phone}"}


# --- what else happens to messages ----------------------------------------------------------------------------------------


async def test_replies_name_what_they_answer():
    async with running(channels=ALL) as world:
        _, body = await world.whatsapp({"type": "text", "text": {"body": "Hi"}})
        await world.telegram("sendMessage", text="Hi")
        await world.push({"type": "text", "text": "Hi"})
        await world.messenger({"text": "Hi"})
        for channel in ALL:
            (bubble,) = await world.bubbles(channel)
            mine = await world.act(channel, "text", text="Yes", reply_to=bubble["id"])
            assert mine["quoted_words"] == "Hi"
            assert (await world.refused(channel, "text", text="x", reply_to="no"))[0] == 400
        events = await acts_of(world, 4)
        found = [event.get("context", {}).get("id") for event in events]
        assert body["messages"][0]["id"] in found
        assert any(event.get("reply_to_message", {}).get("text") == "Hi" for event in events)
        assert any("quotedMessageId" in event.get("message", {}) for event in events)
        assert any("reply_to" in event.get("message", {}) for event in events)


async def test_reactions_edits_and_taking_back():
    async with running(channels=ALL) as world:
        await world.whatsapp({"type": "text", "text": {"body": "Hi"}})
        await world.telegram("sendMessage", text="Hi")
        await world.messenger({"text": "Hi"})
        for channel in ("whatsapp", "telegram", "messenger"):
            assert (await world.act(channel, "react", emoji="❤️"))["reaction"] == "❤️"
            await world.act(channel, "react")
        events = await acts_of(world, 6)
        reactions = [event["reaction"] for event in events if "sender" in event]
        assert [one["action"] for one in reactions] == ["react", "unreact"]
        assert reactions[0]["reaction"] == "love"
        mine = [event["reaction"] for event in events if event.get("type") == "reaction"]
        assert ["emoji" in one for one in mine] == [True, False]
        chats = [event for event in events if "new_reaction" in event]
        assert chats[0]["new_reaction"] == chats[1]["old_reaction"] == [{"type": "emoji", "emoji": "❤️"}]
        for channel in ALL:
            await world.act(channel, "text", text="Helo")
        for channel in ("whatsapp", "telegram", "messenger"):
            assert (await world.act(channel, "edit", text="Hello"))["edited"]
        for channel in ALL:
            assert (await world.act(channel, "delete"))["gone"]
        events = (await acts_of(world, 15))[6:]
        assert any(event.get("edit", {}).get("message", {}).get("text") == {"body": "Hello"} for event in events)
        assert any("edit_date" in event and event["text"] == "Hello" for event in events)
        assert any(event.get("message_edit", {}).get("text") == "Hello" for event in events)
        assert any(event.get("type") == "revoke" for event in events)
        unsent = next(event for event in events if event.get("type") == "unsend")
        assert "replyToken" not in unsent
        for do in ("edit", "react"):
            assert (await world.refused("line", do, text="x"))[0] == 400


# --- people come and go -----------------------------------------------------------------------------------------------------


async def test_deep_links_carry_their_payload():
    async with running(channels=ALL) as world:
        await world.act("telegram", "open", text="abc_123")
        await world.act("messenger", "open", text="abc_123")
        await world.act("messenger", "open", text="def")
        await world.act("line", "open", text="LINK abc")
        await world.act("whatsapp", "open", text="LINK abc")
        await world.act("line", "link", text="nonce-1234567890")
        events = await acts_of(world, 6)
        start = next(event for event in events if event.get("text") == "/start abc_123")
        assert start["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
        postback = next(event["postback"] for event in events if "postback" in event)
        assert postback["referral"] == {"ref": "abc_123", "source": "SHORTLINK", "type": "OPEN_THREAD"}
        assert next(event["referral"]["ref"] for event in events if "referral" in event) == "def"
        assert any(event.get("link") == {"result": "ok", "nonce": "nonce-1234567890"} for event in events)


async def test_blocking_is_told_where_a_platform_tells_it_and_refuses_what_is_sent():
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.act(channel, "block")
            assert (await world.phone(channel))["blocked"]
            assert (await world.refused(channel, "text", text="x"))[0] == 409
            assert (await world.refused(channel, "block"))[0] == 409
        events = await acts_of(world, 2)
        member = next(event for event in events if "new_chat_member" in event)
        assert (member["old_chat_member"]["status"], member["new_chat_member"]["status"]) == ("member", "kicked")
        unfollow = next(event for event in events if event.get("type") == "unfollow")
        assert "replyToken" not in unfollow
        status, body = await world.telegram("sendMessage", text="x")
        assert (status, body["description"]) == (403, "Forbidden: bot was blocked by the user")
        assert (await world.whatsapp({"type": "text", "text": {"body": "x"}}))[1]["error"]["code"] == 131026
        error = (await world.messenger({"text": "x"}))[1]["error"]
        assert (error["code"], error["error_subcode"]) == (551, 1545041)
        assert (await world.push({"type": "text", "text": "x"}))[0] == 200
        assert not any(not bubble["mine"] for bubble in await world.bubbles("line"))
        for channel in ALL:
            await world.act(channel, "unblock")
        events = await acts_of(world, 4)
        assert any(event.get("follow") == {"isUnblocked": True} for event in events)
        assert (await world.telegram("sendMessage", text="x"))[0] == 200
        await world.act("line", "follow")
        assert (await acts_of(world, 5))[4]["follow"] == {"isUnblocked": False}


async def test_an_offline_phone_tells_later_what_was_done():
    async with running(channels=("telegram",)) as world:
        await world.switch("telegram", str(BUDI.telegram_chat_id), online=False)
        for word in ("one", "two"):
            assert (await world.act("telegram", "text", text=word))["tick"] == "clock"
        assert world.receiver.bodies == []
        await world.switch("telegram", str(BUDI.telegram_chat_id), online=True)
        assert [event["text"] for event in await acts_of(world, 2)] == ["one", "two"]


async def test_a_day_later_metas_windows_are_closed():
    async with running() as world:
        text = {"type": "text", "text": {"body": "x"}}
        assert (await world.whatsapp(text))[0] == 200
        assert (await world.call("POST", "/sandbox/clock", json={"move": DAY + 1}))[1]["data"] == {"ahead": DAY + 1}
        assert (await world.phone("whatsapp"))["closed"]
        status, body = await world.whatsapp(text)
        assert (status, body["error"]["code"]) == (400, 131047)
        template = {"name": "hello_world", "language": {"code": "en_US"}}
        assert (await world.whatsapp({"type": "template", "template": template}))[0] == 200
        error = (await world.messenger({"text": "x"}))[1]["error"]
        assert (error["code"], error["error_subcode"]) == (10, 2018278)
        human = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
        assert (await world.messenger({"text": "x"}, **human))[0] == 200
        for channel in RECEIPTS:
            await world.act(channel, "text", text="Hi")
            assert not (await world.phone(channel))["closed"]
        assert (await world.whatsapp(text))[0] == 200
        assert (await world.messenger({"text": "x"}))[0] == 200
        await world.call("POST", "/sandbox/clock", json={"move": 8 * DAY})
        assert (await world.messenger({"text": "x"}, **human))[0] == 400
        await world.call("POST", "/sandbox/reset")
        assert (await world.call("GET", "/sandbox/clock"))[1]["data"] == {"ahead": 0}
        assert (await world.whatsapp(text))[0] == 200


# --- telling it -----------------------------------------------------------------------------------------------------------


async def test_what_is_not_taken_comes_again_and_line_says_so():
    async with running(channels=ALL) as world:
        for channel in ALL:
            world.receiver.bodies.clear()
            world.receiver.answers[:] = [503, 500]
            await world.act(channel, "text", text="Hi")
            first, second, third = await world.receiver.wait(3)
            if channel == "line":
                assert [told(body)["deliveryContext"]["isRedelivery"] for body in (first, second, third)] == [
                    False,
                    True,
                    True,
                ]
                assert told(first)["webhookEventId"] == told(third)["webhookEventId"]
            else:
                assert first == second == third


async def test_a_telegram_update_that_is_not_taken_holds_up_its_chat_alone():
    async with running(channels=("telegram",), retries=(0.2,)) as world:
        world.receiver.answers[:] = [500]
        await world.act("telegram", "text", text="1")
        await world.receiver.wait(1)
        await world.act("telegram", "text", text="2")
        await world.act("telegram", "text", person="Ani", text="A")
        bodies = await world.receiver.wait(4)
        assert [told(body)["text"] for body in bodies] == ["1", "A", "1", "2"]


async def test_webhook_faults_befall_what_people_do():
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.call("PUT", f"/sandbox/faults/{channel}", json={"webhooks": {"duplicate": 1}})
            world.receiver.bodies.clear()
            await world.act(channel, "text", text="Hi")
            one, two = await world.receiver.wait(2)
            assert one == two
            await world.call("PUT", f"/sandbox/faults/{channel}", json={"webhooks": {"drop": 1}})
            world.receiver.bodies.clear()
            bubble = await world.act(channel, "text", text="Hi")
            shown = await world.bubble_when(channel, lambda bubble: bubble["events"])
            assert (shown["id"], shown["events"][0]["answer"]) == (bubble["id"], "dropped by a fault")
            assert world.receiver.bodies == []


async def test_nonsense_is_refused_in_a_sentence():
    async with running() as world:
        for body, words in (
            ({"do": "fly"}, "do: There are text"),
            ({}, "do: There are text"),
            ({"do": "text"}, "text: A text"),
            ({"do": "text", "text": 1}, "text: A text"),
            ({"do": "text", "text": "x" * 20_001}, "text: A text"),
            ({"do": "text", "txt": "x"}, "txt: There is no such member"),
            ({"do": "location", "latitude": 91}, "latitude: Degrees"),
            ({"do": "location", "latitude": "x"}, "latitude: Degrees"),
            ({"do": "location", "live": 1}, "live: true or false"),
            ([1], "An object"),
        ):
            status, answer = await world.call("POST", "/sandbox/phones/whatsapp/Budi/acts", json=body)
            assert (status, answer["detail"][: len(words)]) == (400, words)
        assert (await world.call("POST", "/sandbox/phones/whatsapp/Nobody/acts", json={}))[0] == 404
        assert (await world.call("POST", "/sandbox/phones/whatsapp/Budi/acts", data=b"{"))[0] == 400
        for move in (-1, "1", None, True, 10**9):
            assert (await world.call("POST", "/sandbox/clock", json={"move": move}))[0] == 400
        assert (await world.refused("whatsapp", "edit", text="x"))[0] == 409
        assert (await world.refused("telegram", "move"))[0] == 409
        assert (await world.refused("line", "link", text="short"))[0] == 400
        assert "text" in (await world.call("GET", "/sandbox/acts"))[1]["data"]


async def test_a_reset_lets_everybody_in_and_says_which_account_is_told_so():
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.act(channel, "block")
        _, answer = await world.call("POST", "/sandbox/reset")
        people = {one["channel"]: (one["person"], one["told"]) for one in answer["data"]["unblocked"]}
        assert people == {channel: ("Budi", channel in QUIET) for channel in ALL}
        for channel in ALL:
            phone = await world.phone(channel)
            assert (phone["blocked"], phone["bubbles"]) == (False, [])

        def came(body):
            event = told(body)
            return event.get("type") == "follow" or event.get("new_chat_member", {}).get("status") == "member"

        while (
            len(let_in := [told(body) for body in world.receiver.bodies if is_told_by_a_person(body) and came(body)])
            < 2
        ):
            await world.receiver.wait(len(world.receiver.bodies) + 1)
        for event in let_in:
            if "follow" in event:
                assert (event["follow"], event["source"]["userId"]) == ({"isUnblocked": True}, BUDI.line_user_id)
            else:
                assert (event["old_chat_member"]["status"], event["chat"]["id"]) == ("kicked", BUDI.telegram_chat_id)
        assert (await world.call("POST", "/sandbox/reset"))[1]["data"] == {"unblocked": []}


async def test_the_gateway_calls_who_was_let_in_by_a_reset(tmp_path):
    async with with_gateway(tmp_path) as up:
        for channel in QUIET:
            phone = f"{up.sandbox.url}/sandbox/phones/{channel}/Ani/acts"
            async with up.session.post(phone, json={"do": "block"}) as response:
                assert response.status == 200
            await eventually(lambda channel=channel: blocked(up, channel))
        async with up.session.post(f"{up.sandbox.url}/sandbox/reset") as response:
            assert response.status == 200
        for channel in QUIET:
            await eventually(lambda channel=channel: let_in(up, channel))
            _, _, answer = await up.send(channel, demo.example("text"))
            await up.until(answer["data"]["tid"], 1)


async def blocked(up, channel):
    record = await up.gateway.store.contact(demo.ACCOUNTS[channel], ANI.address(channel))
    return record is not None and record.blocked


async def let_in(up, channel):
    return not await blocked(up, channel)


async def test_who_was_sent_to_under_the_samples_number_answers_as_the_same_contact(tmp_path):
    async with with_gateway(tmp_path) as up:
        _, _, answer = await up.send("whatsapp", demo.example("text"))
        await up.until(answer["data"]["tid"], 3)
        async with up.session.post(
            f"{up.sandbox.url}/sandbox/phones/whatsapp/Ani/acts", json={"do": "text", "text": "Hi"}
        ) as response:
            assert response.status == 200
        async with up.session.get(f"{up.url}/v1/events?wait=10&after=0") as response:
            events = (await response.json())["data"]
        while not any(one["type"] == "message.received" for one in events):
            async with up.session.get(f"{up.url}/v1/events?wait=10&after={events[-1]['id']}") as response:
                events += (await response.json())["data"]
        [event] = [one for one in events if one["type"] == "message.received"]
        assert (event["data"]["from"]["id"], event["data"]["from"]["address"]) == (ANI.wa_id, f"wa:{ANI.wa_id}")
        store = up.gateway.store
        known = [one for one in await store.contacts(demo.CLIENT, channel="whatsapp") if one.name == "Ani"]
        assert [one.address for one in known] == [ANI.wa_id]
        for address in (ANI.phone, ANI.wa_id, ANI.bsuid):
            assert (await store.contact("demo-wa", address)).address == ANI.wa_id
        _, _, answer = await up.send("whatsapp", demo.example("text"))
        message = await up.until(answer["data"]["tid"], 3)
        assert message["recipient"] == ANI.phone


# --- the command line ---------------------------------------------------------------------------------------------------


async def kurir(world, *arguments):
    return await asyncio.to_thread(CliRunner().invoke, app, ["trigger", *arguments, "--url", world.server.url])


async def test_the_command_line_drives_a_phone(tmp_path):
    file = tmp_path / "räk.txt"
    file.write_text("hello")
    async with running(channels=ALL) as world:
        done = await kurir(world, "inbound.text", "--text", "Hi", "--channel", "line", "--person", "budi")
        assert (done.exit_code, done.output.split()[0]) == (0, "inbound.text")
        await kurir(world, "inbound.document", "--file", str(file), "--person", "Budi")
        events = await acts_of(world, 2)
        assert events[0]["message"]["text"] == "Hi"
        assert events[1]["document"]["filename"] == "räk.txt"
        await kurir(world, "phone.offline")
        assert not (await world.phone("whatsapp", "Ani"))["online"]
        assert "online, its chat open" in (await kurir(world, "message.read")).output
        assert (await kurir(world, "clock.day")).output.startswith("the platforms are 1 day ahead")
        refused = await kurir(world, "postback")
        assert (refused.exit_code, "Nothing on this phone" in refused.output) == (1, True)
        assert (await kurir(world, "contact.blocked", "--channel", "telegram")).output == "contact.blocked\n"
        assert (await kurir(world, "nope")).exit_code == 2
        assert (await kurir(world, "inbound.text", "--channel", "sms")).exit_code == 2
        assert (await kurir(world, "inbound.text", "--person", "Nobody")).exit_code == 1
        assert json.loads((await kurir(world, "inbound.sticker", "--json")).output)["data"]["mine"] is True
    assert (await kurir(world, "inbound.text")).exit_code == 1
    assert "inbound.voice" in (await kurir(world, "--list")).output
