"""Independent judges: three SDKs that real bots use send to the sandbox and are happy with its answers."""

import asyncio

import pytest

from kurir.sandbox.config import DEMO_LINE, DEMO_TELEGRAM, DEMO_WHATSAPP
from support.lazy import Lazy
from support.sandbox import BUDI, running

aiogram = Lazy("aiogram")
tg_default = Lazy("aiogram.client.default")
tg_session = Lazy("aiogram.client.session.aiohttp")
tg_server = Lazy("aiogram.client.telegram")
tg_errors = Lazy("aiogram.exceptions")
tg = Lazy("aiogram.types")
pywa = Lazy("pywa")
wa_errors = Lazy("pywa.errors")
wa = Lazy("pywa.types")
# The SDK announces at import that its version 2 is deprecated; only its version 3 is used here.
line = Lazy("linebot.v3.messaging", loud=False)
line_webhook = Lazy("linebot.v3.webhook", loud=False)
line_events = Lazy("linebot.v3.webhooks", loud=False)

HOST = "https://media.sandbox.invalid"

pytestmark = pytest.mark.judge


async def test_aiogram_is_happy():
    async with running() as world:
        session = tg_session.AiohttpSession(api=tg_server.TelegramAPIServer.from_base(f"{world.server.url}/telegram"))
        bot = aiogram.Bot(
            DEMO_TELEGRAM.token, session=session, default=tg_default.DefaultBotProperties(parse_mode="HTML")
        )
        chat = BUDI.telegram_chat_id
        try:
            assert (await bot.get_me()).username == DEMO_TELEGRAM.username
            assert await bot.set_webhook("https://gw.example/hook", secret_token="s")
            assert (await bot.get_webhook_info()).url == "https://gw.example/hook"
            assert await bot.delete_webhook()
            assert await bot.get_updates() == []
            keyboard = tg.InlineKeyboardMarkup(inline_keyboard=[[tg.InlineKeyboardButton(text="A", callback_data="a")]])
            first = await bot.send_message(chat, "<b>Hi</b>", reply_markup=keyboard)
            assert (first.text, first.entities[0].type) == ("Hi", "bold")
            second = await bot.send_photo(chat, f"{HOST}/demo.jpg", caption="Look", reply_to_message_id=None)
            assert second.photo
            assert (await bot.send_video(chat, f"{HOST}/demo.mp4")).video
            assert (await bot.send_voice(chat, f"{HOST}/demo.ogg")).voice
            assert (await bot.send_audio(chat, f"{HOST}/demo.m4a")).audio
            upload = tg.BufferedInputFile(b"PK", "räk.docx")
            assert (await bot.send_document(chat, upload)).document.file_name == "räk.docx"
            album = [
                tg.InputMediaPhoto(media=f"{HOST}/demo.jpg"),
                tg.InputMediaPhoto(media=tg.BufferedInputFile(b"x", "a.jpg")),
            ]
            assert len(await bot.send_media_group(chat, album)) == 2
            assert (await bot.send_location(chat, 0, 106.8)).location
            assert (await bot.send_venue(chat, 0, 106.8, "T", "A")).venue
            assert (await bot.send_contact(chat, "+62", "A")).contact
            assert await bot.send_chat_action(chat, "typing")
            assert (await bot.get_chat(chat)).first_name == "Budi"
            with pytest.raises(tg_errors.TelegramBadRequest, match="query is too old"):
                await bot.answer_callback_query("1")
            with pytest.raises(tg_errors.TelegramBadRequest, match="chat not found"):
                await bot.send_message(5, "x")
        finally:
            await bot.session.close()
        assert len(await world.bubbles("telegram")) == 11


async def test_line_bot_sdk_is_happy():
    def use(url):
        configuration = line.Configuration(host=f"{url}/line", access_token=DEMO_LINE.channel_access_token)
        with line.ApiClient(configuration) as client:
            api = line.MessagingApi(client)
            assert api.get_bot_info().user_id == DEMO_LINE.bot_user_id
            assert api.get_message_quota().type == "none"
            assert api.get_profile(BUDI.line_user_id).display_name == "Budi"
            action = line.PostbackAction(label="A", data="a", displayText="A")
            bubble = line.FlexBubble(
                body=line.FlexBox(layout="vertical", contents=[line.FlexText(text="x"), line.FlexButton(action=action)])
            )
            messages = [
                line.TextMessage(text="Hi", quickReply=line.QuickReply(items=[line.QuickReplyItem(action=action)])),
                line.TemplateMessage(altText="x", template=line.ButtonsTemplate(text="x", actions=[action])),
                line.FlexMessage(altText="x", contents=bubble),
                line.ImageMessage(originalContentUrl=f"{HOST}/demo.jpg", previewImageUrl=f"{HOST}/demo.jpg"),
                line.LocationMessage(title="T", address="A", latitude=0, longitude=0),
            ]
            request = line.PushMessageRequest(to=BUDI.line_user_id, messages=messages)
            api.validate_push(line.ValidateMessageRequest(messages=messages))
            key = "123e4567-e89b-12d3-a456-426655440000"
            sent = api.push_message(request, x_line_retry_key=key)
            assert len(sent.sent_messages) == 5
            assert [bool(message.quote_token) for message in sent.sent_messages] == [True, True, True, True, False]
            with pytest.raises(line.ApiException) as refused:
                api.push_message(request, x_line_retry_key=key)
            assert refused.value.status == 409
            with pytest.raises(line.ApiException) as refused:
                api.push_message(line.PushMessageRequest(to=BUDI.line_user_id, messages=[line.TextMessage(text="")]))
            details = line.ErrorResponse.from_json(refused.value.body).details
            assert details[0].var_property == "messages[0].text"

    async with running() as world:
        await asyncio.to_thread(use, world.server.url)
        assert len(await world.bubbles("line")) == 5


async def test_pywa_is_happy():
    def use(url):
        client = pywa.WhatsApp(phone_id=DEMO_WHATSAPP.phone_number_id, token=DEMO_WHATSAPP.access_token)
        # pywa has no setting for another host; its session takes one.
        client.api._session.base_url = f"{url}/graph/v26.0"
        to = f"+{BUDI.phone}"
        first = client.send_message(to, "*Hi*", buttons=[wa.Button("A", callback_data="a")], footer="Bye")
        assert first.id.startswith("wamid.")
        rows = [wa.SectionRow("R", callback_data="r", description="More")]
        client.send_message(
            to,
            "List",
            buttons=wa.SectionList("Menu", sections=[wa.Section("S", rows=rows)]),
            reply_to_message_id=first.id,
        )
        client.send_image(to, f"{HOST}/demo.jpg", caption="Look")
        client.send_document(to, f"{HOST}/demo.pdf", filename="a.pdf")
        client.send_location(to, 0.0, 106.8, name="Here")
        media = client.upload_media(b"OggS", mime_type="audio/ogg", filename="a.ogg")
        client.send_voice(to, media)
        assert client.mark_message_as_read(first.id)
        with pytest.raises(wa_errors.WhatsAppError) as refused:
            client.send_message(to, "x" * 5000)
        assert refused.value.code == 100
        client.api._session.close()

    async with running() as world:
        await asyncio.to_thread(use, world.server.url)
        bubbles = await world.bubbles("whatsapp")
        assert [bubble["blocks"][0]["kind"] for bubble in bubbles] == [
            "text",
            "text",
            "image",
            "document",
            "location",
            "audio",
        ]
        assert bubbles[1]["quoted"] == bubbles[0]["id"]


# --- what comes in --------------------------------------------------------------------------------------------------------

FILES = ("image", "video", "audio", "voice", "document", "sticker")


async def test_aiogram_reads_every_update_and_polls():
    async with running() as world:
        session = tg_session.AiohttpSession(api=tg_server.TelegramAPIServer.from_base(f"{world.server.url}/telegram"))
        bot = aiogram.Bot(DEMO_TELEGRAM.token, session=session)
        try:
            keyboard = tg.InlineKeyboardMarkup(inline_keyboard=[[tg.InlineKeyboardButton(text="A", callback_data="a")]])
            await bot.send_message(BUDI.telegram_chat_id, "Hi", reply_markup=keyboard)
            await world.act("telegram", "press", choice="A")
            await world.act("telegram", "open", text="abc")
            for kind in (*FILES, "location", "contact"):
                await world.act("telegram", kind)
            await world.act("telegram", "text", text="Helo")
            await world.act("telegram", "edit", text="Hello")
            await world.act("telegram", "react", emoji="👍")
            await world.act("telegram", "block")
            updates = await bot.get_updates(timeout=1)
            while len(updates) < 14:
                updates = await bot.get_updates(timeout=1)
            kinds = [update.event_type for update in updates]
            assert kinds == [
                "callback_query",
                *["message"] * 10,
                "edited_message",
                "message_reaction",
                "my_chat_member",
            ]
            media = [update.message.content_type for update in updates[2:10]]
            assert media == ["photo", "video", "audio", "voice", "document", "sticker", "location", "contact"]
            content = await bot.download(updates[2].message.photo[-1])
            assert content.read()[:2] == b"\xff\xd8"
            assert await bot.answer_callback_query(updates[0].callback_query.id)
            assert await bot.get_updates(offset=updates[-1].update_id + 1) == []
            with pytest.raises(tg_errors.TelegramBadRequest):
                await bot.get_file("no-such-file")
        finally:
            await bot.session.close()


async def test_aiogram_reads_a_posted_update():
    async with running(channels=("telegram",)) as world:
        await world.act("telegram", "text", text="Hi")
        (body,) = await world.receiver.wait(1)
        assert tg.Update.model_validate(body).message.text == "Hi"


async def test_line_bot_sdk_reads_every_event():
    async with running(channels=("line",)) as world:
        action = {"type": "postback", "label": "A", "data": "a"}
        template = {"type": "buttons", "text": "x", "actions": [action]}
        await world.push({"type": "template", "altText": "x", "template": template})
        await world.act("line", "press", choice="A")
        for kind in (*FILES, "location"):
            await world.act("line", kind)
        await world.act("line", "text", text="Hi")
        await world.act("line", "delete")
        await world.act("line", "link", text="nonce-1234567890")
        await world.act("line", "block")
        await world.act("line", "unblock")
        await world.receiver.wait(13)
        parser = line_webhook.WebhookParser(DEMO_LINE.channel_secret)
        events = []
        for raw, headers in zip(world.receiver.raw, world.receiver.headers, strict=True):
            events += parser.parse(raw.decode(), headers["x-line-signature"])
        kinds = [type(event) for event in events]
        assert kinds[0] is line_events.PostbackEvent
        assert kinds[1:9] == [line_events.MessageEvent] * 8
        assert kinds[9:] == [
            line_events.UnsendEvent,
            line_events.AccountLinkEvent,
            line_events.UnfollowEvent,
            line_events.FollowEvent,
        ]
        contents = [event.message.type for event in events[1:9]]
        assert contents == ["image", "video", "audio", "audio", "file", "sticker", "location", "text"]


async def test_line_bot_sdk_sets_and_tests_the_webhook_and_gets_files():
    async with running(channels=("line",)) as world:
        await world.act("line", "image")
        (body,) = await world.receiver.wait(1)
        number = body["events"][0]["message"]["id"]
        hook = world.server.sandbox.webhooks.url("line")

        def use(url):
            configuration = line.Configuration(host=f"{url}/line", access_token=DEMO_LINE.channel_access_token)
            with line.ApiClient(configuration) as client:
                api = line.MessagingApi(client)
                assert api.get_webhook_endpoint().endpoint == hook
                api.set_webhook_endpoint(line.SetWebhookEndpointRequest(endpoint=hook))
                tested = api.test_webhook_endpoint(line.TestWebhookEndpointRequest())
                assert (tested.success, tested.status_code) == (True, 200)
                assert bytes(line.MessagingApiBlob(client).get_message_content(number))[:2] == b"\xff\xd8"

        # The SDK takes the host of files from the second argument of its client alone, which a base path cannot change.
        await asyncio.to_thread(use, world.server.url)
        assert world.receiver.bodies[-1]["events"] == []


async def test_pywa_reads_every_message():
    async with running(channels=("whatsapp",)) as world:
        client = pywa.WhatsApp(phone_id=DEMO_WHATSAPP.phone_number_id, token=DEMO_WHATSAPP.access_token, server=None)
        buttons = [{"type": "reply", "reply": {"id": "a", "title": "A"}}]
        action = {"type": "button", "body": {"text": "x"}, "action": {"buttons": buttons}}
        await world.whatsapp({"type": "interactive", "interactive": action})
        await world.bubble_when("whatsapp", lambda bubble: bubble["tick"] == "read")
        world.receiver.bodies.clear()
        await world.act("whatsapp", "press", choice="A")
        await world.act("whatsapp", "text", text="Hi")
        for kind in (*FILES, "location", "contact"):
            await world.act("whatsapp", kind)
        bodies = await world.receiver.wait(10)
        pressed = pywa.types.CallbackButton.from_update(client, bodies[0])
        assert (pressed.data, pressed.title) == ("a", "A")
        read = [pywa.types.Message.from_update(client, body) for body in bodies[1:]]
        kinds = ["text", "image", "video", "audio", "audio", "document", "sticker", "location", "contacts"]
        assert [str(message.type.value) for message in read] == kinds
        assert read[4].audio.voice
        assert read[0].from_user.name == "Budi"
