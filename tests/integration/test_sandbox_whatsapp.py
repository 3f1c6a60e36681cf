"""The emulated WhatsApp Cloud API: its limits in its words, what the phone shows, and its receipts."""

import copy

import aiohttp
import pytest

from kurir.sandbox.config import DEMO_WHATSAPP, Delays
from support.sandbox import ANI, BUDI, junk_variants, running, summary


def text(body="Hi", **more):
    return {"type": "text", "text": {"body": body}} | more


def buttons(titles=("Yes", "No"), keys=None, **more):
    keys = keys or [f"k{number}" for number, _ in enumerate(titles)]
    replies = [{"type": "reply", "reply": {"id": key, "title": title}} for key, title in zip(keys, titles, strict=True)]
    interactive = {"type": "button", "body": {"text": "Choose"}, "action": {"buttons": replies}} | more
    return {"type": "interactive", "interactive": interactive}


def listing(sections=1, rows=2, **more):
    made = [
        {
            "title": f"Section {s}",
            "rows": [{"id": f"{s}-{r}", "title": f"Row {r}", "description": "More"} for r in range(rows)],
        }
        for s in range(sections)
    ]
    action = {"button": "Menu", "sections": made}
    return {"type": "interactive", "interactive": {"type": "list", "body": {"text": "Choose"}, "action": action} | more}


def changed(message, path, value):
    """Return a copy of *message* with the member at *path* set (or taken out)."""
    message = copy.deepcopy(message)
    *way, last = path
    at = message
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return message


BUTTON = ("interactive", "action", "buttons", 0, "reply")
ROW = ("interactive", "action", "sections", 0, "rows", 0)

REFUSED = {
    "text 4097": (text("x" * 4097), 100, "Param text['body'] must be at most 4096 characters long."),
    "text 2049 astral": (text("😀" * 2049), 100, "4096"),
    "text empty": (text(""), 131008, "text.body"),
    "no such type": ({"type": "voice", "voice": {}}, 100, "Param type must be one of"),
    "no content": ({"type": "text"}, 131008, "Parameter 'text' is mandatory for type 'text'"),
    "unknown key": (text() | {"reply_to": "x"}, 100, 'Unexpected key "reply_to"'),
    "opaque data 513": (text(biz_opaque_callback_data="x" * 513), 100, "biz_opaque_callback_data"),
    "context without id": (text(context={}), 131008, "context.message_id"),
    "recipient no number": (text(to="budi"), 131009, "Recipient phone number is not valid"),
    "caption 1025": ({"type": "image", "image": {"link": "https://a.b/c.jpg", "caption": "x" * 1025}}, 100, "1024"),
    "caption on audio": (
        {"type": "audio", "audio": {"link": "https://a.b/c.mp3", "caption": "x"}},
        100,
        "Unexpected key",
    ),
    "link and id": ({"type": "image", "image": {"link": "https://a.b/c.jpg", "id": "1"}}, 100, "Exactly one of"),
    "link no URL": ({"type": "image", "image": {"link": "file:///etc/passwd"}}, 100, "not a valid URL"),
    "media id unknown": ({"type": "image", "image": {"id": "1"}}, 131009, "does not exist"),
    "latitude 91": ({"type": "location", "location": {"latitude": 91, "longitude": 0}}, 131009, "latitude"),
    "longitude missing": ({"type": "location", "location": {"latitude": 0}}, 131008, "longitude"),
    "no button": (buttons(()), 131009, "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3"),
    "4 buttons": (buttons(("a", "b", "c", "d")), 131009, "Invalid buttons count"),
    "button title 21": (buttons(("x" * 21,)), 131009, "Button title length invalid. Min length: 1, Max length: 20"),
    "button title empty": (buttons(("",)), 131009, "Button title length invalid"),
    "button titles equal": (buttons(("a", "a")), 131009, "unique"),
    "button ids equal": (buttons(("a", "b"), ("k", "k")), 131009, "unique"),
    "button id 257": (buttons(("a",), ("k" * 257,)), 131009, "Button id length invalid"),
    "button id blank outside": (buttons(("a",), (" k",)), 131009, "leading or trailing"),
    "button type": (changed(buttons(), (*BUTTON[:4], "type"), "url"), 131009, "'reply'"),
    "body 1025": (
        buttons(body={"text": "x" * 1025}),
        131009,
        "Body text length invalid. Min length: 1, Max length: 1024",
    ),
    "list body 1025": (listing(body={"text": "x" * 1025}), 131009, "Body text length invalid"),
    "header 61": (buttons(header={"type": "text", "text": "x" * 61}), 131009, "Header text length invalid"),
    "footer 61": (buttons(footer={"text": "x" * 61}), 131009, "Footer text length invalid"),
    "footer empty": (buttons(footer={"text": ""}), 131009, "Footer text length invalid"),
    "list header image": (
        listing(header={"type": "image", "image": {"link": "https://a.b/c.jpg"}}),
        131009,
        "Header type image",
    ),
    "list label 21": (
        changed(listing(), ("interactive", "action", "button"), "x" * 21),
        131009,
        "List button label length invalid",
    ),
    "11 sections": (listing(11, 1), 131009, "Invalid sections count"),
    "11 rows": (listing(2, 6), 131009, "Total row count exceed max allowed count: 10"),
    "no rows": (listing(1, 0), 131009, "at least one row"),
    "section untitled of two": (
        changed(listing(2, 1), ("interactive", "action", "sections", 0, "title"), None),
        131009,
        "Section title is required",
    ),
    "section title 25": (
        changed(listing(), ("interactive", "action", "sections", 0, "title"), "x" * 25),
        131009,
        "Section title is too long",
    ),
    "row title 25": (changed(listing(), (*ROW, "title"), "x" * 25), 131009, "Row title is too long. Max length is 24"),
    "row description 73": (changed(listing(), (*ROW, "description"), "x" * 73), 131009, "Row description is too long"),
    "row description empty": (changed(listing(), (*ROW, "description"), ""), 131009, "Row description"),
    "row id 201": (changed(listing(), (*ROW, "id"), "x" * 201), 131009, "Row id length invalid"),
    "row ids equal": (changed(listing(), (*ROW, "id"), "0-1"), 131009, "unique"),
    "template name": (
        {"type": "template", "template": {"name": "Order Update", "language": {"code": "en"}}},
        132001,
        "does not exist",
    ),
}

TAKEN = {
    "text 4096": text("x" * 4096),
    "text 2048 astral": text("😀" * 2048),
    "3 buttons at the limits": buttons(
        ("a" * 20, "b" * 20, "c" * 20),
        ("k" * 256, "l" * 256, "m"),
        body={"text": "x" * 1024},
        header={"type": "text", "text": "h" * 60},
        footer={"text": "f" * 60},
    ),
    "10 rows in 10 sections": listing(10, 1),
    "row at the limits": changed(listing(1, 1), ROW, {"id": "i" * 200, "title": "t" * 24, "description": "d" * 72}),
    "opaque data 512": text(biz_opaque_callback_data="x" * 512),
    "equator": {"type": "location", "location": {"latitude": 0, "longitude": 0}},
    "caption 1024": {"type": "image", "image": {"link": "https://a.b/c.jpg", "caption": "x" * 1024}},
    "template": {
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"code": "en_US"},
            "components": [
                {"type": "header", "parameters": [{"type": "text", "text": "77"}]},
                {"type": "body", "parameters": [{"type": "text", "text": each} for each in ("Ann", "77", "here")]},
            ],
        },
    },
    "reaction": {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "😀"}},
    "contact": {"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}, "phones": [{"phone": "+62"}]}]},
}


async def test_everything_beyond_a_limit_is_refused_in_metas_words():
    async with running() as world:
        for name, (message, code, words) in REFUSED.items():
            status, body = await world.whatsapp(message)
            error = body["error"]
            assert status == (404 if code == 132001 else 400), name
            assert error["code"] == code, (name, error)
            assert error["message"].startswith(f"(#{code}) "), name
            told = error["message"] + error.get("error_data", {}).get("details", "")
            assert words in told, (name, told)
            assert error["fbtrace_id"], name
        assert await world.bubbles("whatsapp") == []


async def test_everything_at_a_limit_is_taken():
    async with running() as world:
        for name, message in TAKEN.items():
            status, body = await world.whatsapp(message)
            assert status == 200, (name, body)
            assert body["contacts"] == [{"input": f"+{BUDI.phone}", "wa_id": BUDI.phone}]
        assert len(await world.bubbles("whatsapp")) == len(TAKEN)


async def test_junk_anywhere_is_answered_like_the_platform_and_never_breaks():
    async with running() as world:
        for message in (text(context={"message_id": "x"}), buttons(("a",), footer={"text": "f"}), listing(1, 1)):
            for variant in junk_variants(message):
                status, body = await world.whatsapp(variant)
                assert status == 200 or body["error"]["code"], variant


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({}, "", 401, 104),
        ({"Authorization": "Bearer nope"}, "", 401, 190),
        ({}, f"?access_token={DEMO_WHATSAPP.access_token}", 400, 100),
        ({"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}, "?appsecret_proof=00", 400, 100),
    ],
)
async def test_tokens_are_checked(headers, query, status, code):
    async with running() as world:
        path = f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/messages{query}"
        got, body = await world.call("POST", path, json={}, headers=headers)
        assert (got, body["error"]["code"]) == (status, code)


async def test_an_unknown_object_or_path_is_graphs_own_error():
    async with running() as world:
        _, body = await world.graph("123/messages", {})
        assert (body["error"]["code"], body["error"]["error_subcode"]) == (100, 33)
        for path in ("/graph/messages", "/graph/latest/me/messages", "/graph/v26.0/a/b/c"):
            status, body = await world.call("POST", path, json={})
            assert (status, body["error"]["code"]) == (400, 2500), path


async def test_a_text_is_shown_with_its_marks():
    async with running() as world:
        _, body = await world.whatsapp(text("😀 *bold* _it_ ~no~ ```code``` 2*3*4 *open"), to=ANI.phone)
        assert body["messages"][0]["id"].startswith("wamid.")
        (bubble,) = await world.bubbles("whatsapp", "Ani")
        (block,) = bubble["blocks"]
        assert block["text"] == "😀 bold it no code 2*3*4 *open"
        spans = [(span["offset"], span["length"], span["style"]) for span in block["spans"]]
        assert spans == [(3, 4, "bold"), (8, 2, "italic"), (11, 2, "strike"), (14, 4, "code")]
        assert bubble["payload"]["text"]["body"].startswith("😀 *bold*")


async def test_interactive_messages_become_rows_and_lists():
    header = {"type": "image", "image": {"link": "https://media.sandbox.invalid/demo.jpg"}}
    async with running() as world:
        await world.whatsapp(buttons(header=header, footer={"text": "Bye"}))
        await world.whatsapp(listing(2, 1, header={"type": "text", "text": "*Not bold*"}))
        first, second = await world.bubbles("whatsapp")
    assert [summary(block) for block in first["blocks"]] == [
        {
            "kind": "image",
            "url": "/sandbox/media/demo.jpg",
            "name": "demo.jpg",
            "size": 13480,
            "mime_type": "image/jpeg",
        },
        {"kind": "text", "text": "Choose"},
        {"kind": "text", "role": "footer", "text": "Bye"},
        {
            "kind": "buttons",
            "style": "rows",
            "choices": [{"title": "Yes", "payload": "k0"}, {"title": "No", "payload": "k1"}],
        },
    ]
    head, _, listed = second["blocks"]
    assert (head["text"], head["role"], head["spans"]) == ("*Not bold*", "header", [])
    assert listed["label"] == "Menu"
    assert [section["title"] for section in listed["sections"]] == ["Section 0", "Section 1"]
    row = {"title": "Row 0", "payload": "1-0", "url": "", "description": "More", "length": 5, "limit": 24}
    assert listed["sections"][1]["rows"][0] == row


async def test_media_and_places_and_quotes_are_shown():
    host = "https://media.sandbox.invalid"
    async with running() as world:
        _, sent = await world.whatsapp(text("First"))
        quote = {"context": {"message_id": sent["messages"][0]["id"]}}
        document = {"link": f"{host}/demo.pdf", "filename": "invoice.pdf", "caption": "*Pay*"}
        await world.whatsapp({"type": "document", "document": document} | quote)
        await world.whatsapp({"type": "audio", "audio": {"link": f"{host}/demo.ogg", "voice": True}})
        await world.whatsapp({"type": "image", "image": {"link": "https://cdn.example.com/a.png"}})
        await world.whatsapp({"type": "location", "location": {"latitude": "-6.2", "longitude": 106.8, "name": "Here"}})
        _, paper, voice, picture, place = await world.bubbles("whatsapp")
    assert paper["quoted"] == sent["messages"][0]["id"]
    assert paper["blocks"][0]["name"] == "invoice.pdf"
    assert (paper["blocks"][1]["role"], paper["blocks"][1]["text"]) == ("caption", "Pay")
    assert (voice["blocks"][0]["voice"], voice["blocks"][0]["duration_ms"]) == (True, 3000)
    assert picture["blocks"][0]["url"] == "https://cdn.example.com/a.png"
    assert (place["blocks"][0]["latitude"], place["blocks"][0]["title"]) == (-6.2, "Here")


async def test_receipts_come_signed_and_in_order():
    async with running() as world:
        _, body = await world.whatsapp(text("Halo", biz_opaque_callback_data="tid-ä"), to=ANI.phone)
        statuses = await world.receiver.statuses(3)
        assert [status["status"] for status in statuses] == ["sent", "delivered", "read"]
        assert {status["id"] for status in statuses} == {body["messages"][0]["id"]}
        assert {status["recipient_id"] for status in statuses} == {ANI.wa_id}
        assert {status["biz_opaque_callback_data"] for status in statuses} == {"tid-ä"}
        assert all(b"tid-\\u00e4" in raw for raw in world.receiver.raw)
        value = world.receiver.bodies[0]["entry"][0]["changes"][0]["value"]
        assert value["metadata"]["phone_number_id"] == DEMO_WHATSAPP.phone_number_id
        bubble = await world.bubble_when("whatsapp", lambda bubble: bubble["events"][-1]["answer"], "Ani")
        assert (bubble["tick"], bubble["status"], bubble["final"]) == ("read", 3, True)
        events = [(event["status"], event["what"], event["answer"]) for event in bubble["events"][1:]]
        assert events == [(1, "webhook: sent", "200"), (2, "webhook: delivered", "200"), (3, "webhook: read", "200")]


async def test_an_offline_phone_holds_receipts_back_until_it_is_switched_on_and_opened():
    async with running(delays=Delays(0, 0, 0)) as world:
        await world.switch("whatsapp", BUDI.phone, online=False, chat_open=False)
        ids = [(await world.whatsapp(text(word)))[1]["messages"][0]["id"] for word in ("one", "two", "three")]
        told = await world.receiver.statuses(3)
        assert [(status["id"], status["status"]) for status in told] == [(wamid, "sent") for wamid in ids]
        await world.switch("whatsapp", BUDI.phone, online=True)
        told = (await world.receiver.statuses(6))[3:]
        assert [(status["id"], status["status"]) for status in told] == [(wamid, "delivered") for wamid in ids]
        assert (await world.bubbles("whatsapp"))[0]["tick"] == "delivered"
        await world.switch("whatsapp", BUDI.phone, chat_open=True)
        told = (await world.receiver.statuses(9))[6:]
        assert [(status["id"], status["status"]) for status in told] == [(wamid, "read") for wamid in ids]


async def test_a_number_that_is_not_on_whatsapp_is_accepted_and_fails_by_webhook():
    async with running() as world:
        status, body = await world.whatsapp(text(), to="999999999999")
        assert status == 200
        (failed,) = await world.receiver.statuses(1)
        assert (failed["id"], failed["status"]) == (body["messages"][0]["id"], "failed")
        assert failed["errors"][0]["code"] == 131026


@pytest.mark.parametrize("link", ["https://media.sandbox.invalid/none.jpg", "https://media.sandbox.invalid/demo.mp4"])
async def test_a_picture_that_cannot_be_fetched_fails_by_webhook(link):
    async with running() as world:
        status, _ = await world.whatsapp({"type": "image", "image": {"link": link}})
        assert status == 200
        (failed,) = await world.receiver.statuses(1)
        assert failed["errors"][0]["code"] == 131053
        bubble = await world.bubble_when("whatsapp", lambda bubble: bubble["final"])
        assert (bubble["tick"], bubble["status"]) == ("failed", -2)


async def test_a_webhook_that_is_refused_comes_again_and_the_ledger_shows_both_answers():
    async with running() as world:
        world.receiver.answers = [503, 500]
        await world.switch("whatsapp", BUDI.phone, online=False)
        await world.whatsapp(text())
        statuses = await world.receiver.statuses(3)
        assert [status["status"] for status in statuses] == ["sent"] * 3
        assert len(set(world.receiver.raw)) == 1
        bubble = await world.bubble_when("whatsapp", lambda bubble: bubble["events"][-1]["answer"].endswith("200"))
        assert bubble["events"][-1]["answer"] == "503, 500, 200"


async def test_without_a_webhook_the_ledger_says_so():
    async with running() as world:
        world.server.sandbox.connect("whatsapp", "")
        await world.whatsapp(text())
        bubble = await world.bubble_when("whatsapp", lambda bubble: bubble["final"])
        assert {event["answer"] for event in bubble["events"][1:]} == {"no webhook is set"}
        assert world.receiver.bodies == []


async def test_an_upload_is_sent_by_its_id():
    headers = {"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}
    async with running() as world:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("messaging_product", "whatsapp")
        form.add_field("file", b"%PDF-1.4 ...", filename="räk.pdf", content_type="application/pdf")
        path = f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}/media"
        _, body = await world.call("POST", path, data=form, headers=headers)
        status, _ = await world.whatsapp({"type": "document", "document": {"id": body["id"]}})
        assert status == 200
        block = (await world.bubbles("whatsapp"))[0]["blocks"][0]
        assert (block["name"], block["mime_type"], block["size"]) == ("räk.pdf", "application/pdf", 12)
        _, facts = await world.call("GET", f"/graph/v26.0/{body['id']}", headers=headers)
        assert facts["mime_type"] == "application/pdf"
        status, content = await world.call("GET", block["url"])
        assert (status, content) == (200, "%PDF-1.4 ...")


async def test_read_marks_and_the_number_itself():
    async with running() as world:
        path = f"{DEMO_WHATSAPP.phone_number_id}/messages"
        mark = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
        assert await world.graph(path, mark) == (200, {"success": True})
        headers = {"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}
        _, body = await world.call("GET", f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}", headers=headers)
        assert body["display_phone_number"] == DEMO_WHATSAPP.display_phone_number
