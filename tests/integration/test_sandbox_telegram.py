"""The emulated Bot API: its limits in its words, what the phone shows, and what frameworks call at their start."""

import json

import aiohttp
import pytest

from kurir.sandbox.config import DEMO_TELEGRAM
from support.sandbox import BUDI, junk_variants, running, summary

HOST = "https://media.sandbox.invalid"


def inline(*rows):
    return {"inline_keyboard": [list(row) for row in rows]}


def button(title="A", data="a"):
    return {"text": title, "callback_data": data}


REFUSED = {
    "chat unknown": ("sendMessage", {"chat_id": 5, "text": "x"}, "chat not found"),
    "chat empty": ("sendMessage", {"chat_id": "", "text": "x"}, "chat_id is empty"),
    "text empty": ("sendMessage", {"text": ""}, "message text is empty"),
    "text blank": ("sendMessage", {"text": " \n "}, "text must be non-empty"),
    "text 4097": ("sendMessage", {"text": "😀" * 4097}, "message is too long"),
    "text 32769 bytes": ("sendMessage", {"text": "x" * 32769}, "text is too long"),
    "parse mode": ("sendMessage", {"text": "x", "parse_mode": "rtf"}, "unsupported parse_mode"),
    "html": (
        "sendMessage",
        {"text": "<x>", "parse_mode": "HTML"},
        'can\'t parse entities: Unsupported start tag "x" at byte offset 0',
    ),
    "html open": ("sendMessage", {"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities: Can't find end tag"),
    "markdown": (
        "sendMessage",
        {"text": "1.", "parse_mode": "MarkdownV2"},
        "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
    ),
    "caption 1025": ("sendPhoto", {"photo": f"{HOST}/demo.jpg", "caption": "x" * 1025}, "message caption is too long"),
    "no photo": ("sendPhoto", {}, "there is no photo in the request"),
    "photo no URL": ("sendPhoto", {"photo": "AgAC"}, "wrong file identifier/HTTP URL specified"),
    "photo missing": ("sendPhoto", {"photo": f"{HOST}/none.jpg"}, "failed to get HTTP URL content"),
    "photo is a paper": ("sendPhoto", {"photo": f"{HOST}/demo.pdf"}, "wrong type of the web page content"),
    "word by URL": ("sendDocument", {"document": f"{HOST}/demo.docx"}, "wrong type of the web page content"),
    "text by URL": ("sendDocument", {"document": "https://a.b/c.txt"}, "wrong type of the web page content"),
    "latitude 91": ("sendLocation", {"latitude": 91, "longitude": 0}, "invalid location specified"),
    "latitude missing": ("sendLocation", {"longitude": 0}, "latitude is empty"),
    "venue untitled": ("sendVenue", {"latitude": 0, "longitude": 0, "address": "x"}, "title must be non-empty"),
    "data 65 bytes": (
        "sendMessage",
        {"text": "x", "reply_markup": inline([button(data="é" * 33)])},
        "BUTTON_DATA_INVALID",
    ),
    "data empty": (
        "sendMessage",
        {"text": "x", "reply_markup": inline([button(data="")])},
        "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
    ),
    "two actions": (
        "sendMessage",
        {"text": "x", "reply_markup": inline([button() | {"url": "https://a.b"}])},
        "can't parse inline keyboard button",
    ),
    "button URL": (
        "sendMessage",
        {"text": "x", "reply_markup": inline([{"text": "A", "url": "nowhere"}])},
        "inline keyboard button URL 'nowhere' is invalid: Wrong HTTP URL",
    ),
    "101 buttons": (
        "sendMessage",
        {"text": "x", "reply_markup": inline(*[[button()]] * 101)},
        "reply markup is too long",
    ),
    "flat keyboard": ("sendMessage", {"text": "x", "reply_markup": {"inline_keyboard": [button()]}}, "Array of Arrays"),
    "keyboard as text": (
        "sendMessage",
        {"text": "x", "reply_markup": "{"},
        "can't parse reply keyboard markup JSON object",
    ),
    "keyboard as list": ("sendMessage", {"text": "x", "reply_markup": [1]}, "object expected as reply markup"),
    "reply": ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 9}}, "message to be replied not found"),
    "album of one": ("sendMediaGroup", {"media": [{"type": "photo", "media": f"{HOST}/demo.jpg"}]}, "2-10"),
    "secret": ("setWebhook", {"url": "https://a.b", "secret_token": "ä"}, "secret token contains unallowed"),
}


async def test_everything_beyond_a_limit_is_refused_in_telegrams_words():
    async with running() as world:
        for name, (method, fields, words) in REFUSED.items():
            status, body = await world.telegram(method, **fields)
            assert (status, body["ok"], body["error_code"]) == (400, False, 400), (name, body)
            assert body["description"].startswith("Bad Request: "), name
            assert words in body["description"], (name, body)
        assert await world.bubbles("telegram") == []


@pytest.mark.parametrize(
    ("path", "status", "description"),
    [
        ("bot123456789:" + "A" * 35 + "/getMe", 401, "Unauthorized"),
        ("botnonsense/getMe", 404, "Not Found"),
        (f"bot{DEMO_TELEGRAM.token}/sendTelepathy", 404, "Not Found: method not found"),
        ("file", 404, "Not Found"),
    ],
)
async def test_a_wrong_token_or_method_is_refused(path, status, description):
    async with running() as world:
        got, body = await world.call("POST", f"/telegram/{path}", json={})
        assert (got, body) == (status, {"ok": False, "error_code": status, "description": description})


async def test_limits_count_code_points_and_bytes():
    async with running() as world:
        for fields in (
            {"text": "😀" * 4096},
            {"text": "x", "reply_markup": inline([button(data="é" * 32)])},
            {"text": "x", "reply_markup": inline(*[[button()]] * 100)},
            {"text": "x" * 4096 + "  \r\n"},
        ):
            status, body = await world.telegram("sendMessage", **fields)
            assert status == 200, body


async def test_junk_anywhere_is_answered_like_the_platform_and_never_breaks():
    fields = {
        "text": "hi",
        "entities": [{"type": "bold", "offset": 0, "length": 2}],
        "reply_parameters": {"message_id": 1, "allow_sending_without_reply": True},
        "reply_markup": inline([button()]),
    }
    async with running() as world:
        for variant in junk_variants(fields):
            status, body = await world.telegram("sendMessage", **variant)
            assert status in (200, 400), variant
            assert body["ok"] is (status == 200), variant


async def test_a_text_is_answered_and_shown_and_is_final():
    async with running() as world:
        bold = {"type": "bold", "offset": 3, "length": 2}
        keyboard = inline([button(), button("", "lost")], [{"text": "Site", "url": "https://e.x"}])
        status, body = await world.telegram(
            "sendMessage", text=" 😀 hi", entities=[bold | {"offset": 4}], reply_markup=json.dumps(keyboard)
        )
        assert status == 200
        message = body["result"]
        assert message["chat"] == {"id": BUDI.telegram_chat_id, "type": "private", "first_name": "Budi"}
        assert message["from"]["id"] == DEMO_TELEGRAM.id
        assert (message["text"], message["entities"]) == ("😀 hi", [bold])
        assert message["reply_markup"] == inline([button()], [{"text": "Site", "url": "https://e.x"}])
        (bubble,) = await world.bubbles("telegram")
    assert bubble["id"] == str(message["message_id"])
    assert (bubble["tick"], bubble["status"], bubble["final"]) == ("sent", 1, True)
    assert "final on this channel" in bubble["events"][0]["what"]
    assert [summary(block) for block in bubble["blocks"]] == [
        {"kind": "text", "text": "😀 hi", "spans": [{"offset": 3, "length": 2, "style": "bold"}]},
        {"kind": "buttons", "style": "inline", "choices": [{"title": "A", "payload": "a"}]},
        {"kind": "buttons", "style": "inline", "choices": [{"title": "Site", "url": "https://e.x"}]},
    ]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("HTML", "<b>A &amp; <i>B</i></b> <code>c</code> <a href='https://e.x'>d</a>"),
        ("MarkdownV2", "*A & _B_* `c` [d](https://e.x)"),
    ],
)
async def test_marked_text_becomes_entities_and_spans(mode, text):
    async with running() as world:
        _, body = await world.telegram("sendMessage", text=text, parse_mode=mode)
        (bubble,) = await world.bubbles("telegram")
    assert body["result"]["text"] == "A & B c d"
    kinds = [(entity["type"], entity["offset"], entity["length"]) for entity in body["result"]["entities"]]
    assert kinds == [("bold", 0, 5), ("italic", 4, 1), ("code", 6, 1), ("text_link", 8, 1)]
    assert [span["style"] for span in bubble["blocks"][0]["spans"]] == ["bold", "italic", "code"]


async def test_ids_count_within_a_chat_and_quotes_are_shown():
    async with running() as world:
        _, first = await world.telegram("sendMessage", text="one")
        number = first["result"]["message_id"]
        _, second = await world.telegram("sendMessage", text="two", reply_parameters={"message_id": number})
        gone = {"message_id": 999, "allow_sending_without_reply": True}
        _, third = await world.telegram("sendMessage", text="three", reply_parameters=gone)
        bubbles = await world.bubbles("telegram")
    assert second["result"]["message_id"] == number + 1
    assert second["result"]["reply_to_message"]["message_id"] == number
    assert "reply_to_message" not in third["result"]
    assert [bubble["quoted"] for bubble in bubbles] == ["", str(number), ""]


async def test_media_by_url_and_by_upload_and_by_id():
    async with running() as world:
        status, _ = await world.telegram("sendVideo", video=f"{HOST}/demo.mp4", caption="Look", supports_streaming=True)
        assert status == 200
        await world.telegram("sendVoice", voice=f"{HOST}/demo.ogg")
        await world.telegram("sendDocument", document="https://a.b/c.pdf?x=1")
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("chat_id", str(BUDI.telegram_chat_id))
        form.add_field("caption", "Sign here")
        form.add_field("document", b"PK..", filename="räk.docx", content_type="application/octet-stream")
        path = f"/telegram/bot{DEMO_TELEGRAM.token}/sendDocument"
        _, sent = await world.call("POST", path, data=form)
        file_id = sent["result"]["document"]["file_id"]
        status, _ = await world.telegram("sendDocument", document=file_id)
        assert status == 200
        video, voice, link, upload, again = [bubble["blocks"] for bubble in await world.bubbles("telegram")]
        _, content = await world.call("GET", upload[0]["url"])
    assert [summary(block) for block in video] == [
        {
            "kind": "video",
            "url": "/sandbox/media/demo.mp4",
            "size": 35097,
            "mime_type": "video/mp4",
            "duration_ms": 2000,
        },
        {"kind": "text", "text": "Look", "role": "caption"},
    ]
    assert (voice[0]["voice"], voice[0]["duration_ms"]) == (True, 3000)
    assert (link[0]["name"], link[0]["url"]) == ("c.pdf", "https://a.b/c.pdf?x=1")
    assert (upload[0]["name"], upload[1]["text"], content) == ("räk.docx", "Sign here", "PK..")
    assert again[0]["url"] == upload[0]["url"]


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("a.jpg", b"", 400, "file must be non-empty"),
        ("a.svg", b"<svg/>", 400, "photo has unsupported extension"),
        ("a.jpg", b"x" * (10 * 1024 * 1024 + 1), 400, "is too big for a photo; the maximum size is 10485760 bytes"),
        ("a.jpg", b"x" * (53 * 1024 * 1024), 413, "Request Entity Too Large"),
    ],
)
async def test_uploads_have_limits(name, content, status, words):
    async with running() as world:
        form = aiohttp.FormData()
        form.add_field("chat_id", str(BUDI.telegram_chat_id))
        form.add_field("photo", content, filename=name)
        try:
            got, body = await world.call("POST", f"/telegram/bot{DEMO_TELEGRAM.token}/sendPhoto", data=form)
        except aiohttp.ClientOSError:
            assert status == 413  # the answer came before the body was read, and the connection went with it
            return
        assert got == status
        assert words in body["description"]


async def test_only_the_newest_uploads_are_kept():
    async with running() as world:
        for number in range(51):
            form = aiohttp.FormData()
            form.add_field("chat_id", str(BUDI.telegram_chat_id))
            form.add_field("document", b"%d" % number, filename="a.txt")
            await world.call("POST", f"/telegram/bot{DEMO_TELEGRAM.token}/sendDocument", data=form)
        urls = [bubble["blocks"][0]["url"] for bubble in await world.bubbles("telegram")]
        assert (await world.call("GET", urls[0]))[0] == 404
        async with world.http.get(world.server.url + urls[50]) as response:
            # An upload of an unknown kind is a download: a page among them must not run in our origin.
            assert await response.read() == b"50"
            assert response.headers["Content-Disposition"] == "attachment"
            assert "sandbox" in response.headers["Content-Security-Policy"]


async def test_an_album_and_places_and_a_contact():
    async with running() as world:
        media = [
            {"type": "photo", "media": f"{HOST}/demo.jpg", "caption": "One"},
            {"type": "photo", "media": f"{HOST}/demo.jpg"},
        ]
        _, body = await world.telegram("sendMediaGroup", media=media)
        assert len({message["media_group_id"] for message in body["result"]}) == 1
        await world.telegram("sendLocation", latitude=0, longitude="106.8")
        await world.telegram("sendVenue", latitude=-6.2, longitude=106.8, title="Office", address="Jl. X 1")
        await world.telegram("sendContact", phone_number="+62", first_name="A")
        *_, spot, office, card = await world.bubbles("telegram")
    assert summary(spot["blocks"][0]) == {"kind": "location", "longitude": 106.8}
    assert (office["blocks"][0]["title"], office["blocks"][0]["text"]) == ("Office", "Jl. X 1")
    assert card["blocks"][0]["text"] == "A\n+62"


async def test_what_frameworks_ask_at_their_start():
    async with running() as world:
        path = f"/telegram/bot{DEMO_TELEGRAM.token}"
        _, me = await world.call("GET", f"{path}/getme")
        assert (me["result"]["is_bot"], me["result"]["username"]) == (True, DEMO_TELEGRAM.username)
        assert (await world.telegram("getUpdates"))[1] == {"ok": True, "result": []}
        form = {"url": "https://gw.example/hook", "allowed_updates": '["message"]'}
        _, body = await world.call("POST", f"{path}/setWebhook", data=form)
        assert body["result"] is True
        _, body = await world.telegram("getWebhookInfo")
        assert (body["result"]["url"], body["result"]["allowed_updates"]) == ("https://gw.example/hook", ["message"])
        assert (await world.telegram("getUpdates"))[0] == 409
        await world.telegram("deleteWebhook")
        assert (await world.telegram("getWebhookInfo"))[1]["result"]["url"] == ""
        assert (await world.telegram("answerCallbackQuery", callback_query_id="1"))[0] == 400
        assert (await world.telegram("answerCallbackQuery"))[0] == 400
        assert (await world.telegram("sendChatAction", action="typing"))[1]["result"] is True
        assert (await world.telegram("getChat"))[1]["result"]["first_name"] == "Budi"
