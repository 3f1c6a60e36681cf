"""The emulated Send API: its limits in Meta's words, what the phone shows, its echoes and watermarks."""

import json

import aiohttp
import pytest

from kurir.sandbox.config import DEMO_MESSENGER, Delays
from support.sandbox import ANI, BUDI, junk_variants, running, summary

HOST = "https://media.sandbox.invalid"
TOKEN = DEMO_MESSENGER.page_access_token


def attachment(kind="image", url=f"{HOST}/demo.jpg", **payload):
    return {"attachment": {"type": kind, "payload": {"url": url} | payload}}


def template(kind, **payload):
    return {"attachment": {"type": "template", "payload": {"template_type": kind} | payload}}


def postback(title="A", payload="a"):
    return {"type": "postback", "title": title, "payload": payload}


def buttons(text="Pick", rows=None):
    return template("button", text=text, buttons=[postback()] if rows is None else rows)


def card(**more):
    return {"title": "Card", "subtitle": "Sub", "buttons": [postback()]} | more


def generic(*cards):
    return template("generic", elements=list(cards))


def quick(count=1, title="A", payload="a", text="Pick"):
    replies = [{"content_type": "text", "title": title, "payload": payload} for _ in range(count)]
    return {"text": text, "quick_replies": replies}


AT = "message[attachment][payload]"
REFUSED = {
    "text 2001": ({"text": "x" * 2001}, 100, "Length of param message[text] must be less than or equal to 2000"),
    "text 1001 astral": ({"text": "😀" * 1001}, 100, "Length of param message[text]"),
    "text blank": ({"text": " "}, 2018034, "Message cannot be empty"),
    "nothing": ({}, 2018034, "Message cannot be empty"),
    "two contents": ({"text": "x"} | attachment(), 100, "exactly one of"),
    "unknown key": ({"text": "x", "caption": "y"}, 100, 'Unexpected key "caption"'),
    "metadata 1000": ({"text": "x", "metadata": "x" * 1000}, 100, "Length of param message[metadata]"),
    "14 quick replies": (quick(14), 100, "Param message[quick_replies] has too many elements"),
    "quick reply title 21": (
        quick(title="x" * 21),
        100,
        "Length of param message[quick_replies][0][title] must be less than or equal to 20",
    ),
    "quick reply payload 1001": (quick(payload="x" * 1001), 100, "Length of param message[quick_replies][0][payload]"),
    "template text 641": (buttons("x" * 641), 100, f"Length of param {AT}[text] must be less than or equal to 640"),
    "4 buttons": (buttons(rows=[postback()] * 4), 100, f"Param {AT}[buttons] has too many elements"),
    "no button": (buttons(rows=[]), 100, f"Param {AT}[buttons] must be a non-empty array"),
    "button title 21": (
        buttons(rows=[postback("x" * 21)]),
        100,
        f"Length of param {AT}[buttons][0][title] must be less than or equal to 20",
    ),
    "payload 1001": (buttons(rows=[postback(payload="x" * 1001)]), 100, f"Length of param {AT}[buttons][0][payload]"),
    "button type": (buttons(rows=[{"type": "reply", "title": "A"}]), 100, f"Param {AT}[buttons][0][type]"),
    "button URL": (
        buttons(rows=[{"type": "web_url", "title": "A", "url": "javascript:1"}]),
        2018008,
        f"Param {AT}[buttons][0][url]",
    ),
    "11 cards": (generic(*[card()] * 11), 100, f"Param {AT}[elements] has too many elements"),
    "card title 81": (generic(card(title="x" * 81)), 100, f"Length of param {AT}[elements][0][title]"),
    "card subtitle 81": (generic(card(subtitle="x" * 81)), 100, f"Length of param {AT}[elements][0][subtitle]"),
    "card of a title": (generic({"title": "x"}), 100, "at least one property"),
    "list template": (template("list", elements=[]), 100, f"Param {AT}[template_type] must be one of"),
    "one image of several": ({"attachments": [attachment()["attachment"]]}, 100, "must be 2 to 30 images"),
    "file gone": (attachment(url=f"{HOST}/none.jpg"), 2018008, "Failed to fetch the file from the url"),
    "film as image": (attachment(url=f"{HOST}/demo.mp4"), 2018047, "Upload attachment failure."),
    "asset unknown": (
        {"attachment": {"type": "image", "payload": {"attachment_id": "1"}}},
        2018074,
        "Invalid attachment",
    ),
}

TAKEN = {
    "text 2000": {"text": "x" * 2000, "metadata": "x" * 999},
    "13 quick replies": quick(13, "x" * 20, "x" * 1000),
    "quick replies under a picture": attachment() | {"quick_replies": [{"content_type": "user_email"}]},
    "buttons at the limits": buttons("x" * 640, [postback("x" * 20, "x" * 1000)] * 3),
    "10 cards": generic(*[card(title="x" * 80, subtitle="y" * 80, buttons=[postback()] * 3)] * 10),
    "sticker": {"sticker_id": "369239263222822"},
    "utility template": {"template": {"name": "order_update", "language": {"code": "en"}}},
}


async def test_everything_beyond_a_limit_is_refused_in_metas_words():
    async with running() as world:
        for name, (message, subcode, words) in REFUSED.items():
            status, body = await world.messenger(message)
            error = body["error"]
            assert (status, error["code"]) == (400, 100), (name, error)
            assert error["message"].startswith("(#100) "), name
            assert words in error["message"], (name, error)
            assert error.get("error_subcode", 100) == subcode, (name, error)
        assert await world.bubbles("messenger") == []


async def test_everything_at_a_limit_is_taken():
    async with running() as world:
        for name, message in TAKEN.items():
            status, body = await world.messenger(message)
            assert status == 200, (name, body)
            assert body["recipient_id"] == BUDI.psid
            assert body["message_id"].startswith("m_")


@pytest.mark.parametrize(
    ("body", "subcode", "words"),
    [
        ({"recipient": {"id": "99999999999999999"}, "message": {"text": "x"}}, 2018001, "No matching user found"),
        ({"message": {"text": "x"}}, None, "param recipient must be non-empty."),
        ({"recipient": {"id": "1", "user_ref": "2"}, "message": {"text": "x"}}, None, "recipient"),
        ({"recipient": {"id": BUDI.psid}}, None, "The parameter message is required"),
        ({"recipient": {"id": BUDI.psid}, "messaging_type": "REPLY", "message": {"text": "x"}}, None, "messaging_type"),
        (
            {
                "recipient": {"id": BUDI.psid},
                "messaging_type": "MESSAGE_TAG",
                "tag": "ACCOUNT_UPDATE",
                "message": {"text": "x"},
            },
            None,
            "Invalid message tag",
        ),
        ({"recipient": {"id": BUDI.psid}, "sender_action": "wave"}, None, "sender_action"),
        (
            {"recipient": {"id": BUDI.psid}, "sender_action": "typing_on", "message": {"text": "x"}},
            2018014,
            "sender_action",
        ),
        ({"recipient": {"id": BUDI.psid}, "message": {"text": "x"}, "reply_to": {}}, None, "reply_to[mid]"),
        ({"recipient": {"id": BUDI.psid}, "mesage": {"text": "x"}}, None, 'Unexpected key "mesage"'),
    ],
)
async def test_a_wrong_envelope_is_refused(body, subcode, words):
    async with running() as world:
        status, answer = await world.graph("me/messages", body, TOKEN)
        assert (status, answer["error"].get("error_subcode")) == (400, subcode)
        assert words in answer["error"]["message"]


async def test_tokens_are_checked():
    async with running() as world:
        status, body = await world.graph("me/messages", {}, "nope")
        assert (status, body["error"]["code"]) == (401, 190)
        path = f"/graph/v26.0/{DEMO_MESSENGER.page_id}/messages?access_token={TOKEN}"
        body = {"recipient": {"id": BUDI.psid}, "message": {"text": "x"}}
        assert (await world.call("POST", path, json=body))[0] == 200


async def test_junk_anywhere_is_answered_like_the_platform_and_never_breaks():
    async with running() as world:
        for message in (quick(), buttons(), generic(card(image_url=f"{HOST}/demo.jpg"))):
            body = {"recipient": {"id": BUDI.psid}, "messaging_type": "RESPONSE", "message": message}
            for variant in junk_variants(body):
                status, answer = await world.graph("me/messages", variant, TOKEN)
                assert status == 200 or answer["error"]["code"] == 100, variant


async def test_templates_and_quick_replies_become_blocks():
    link = {"type": "web_url", "title": "Site", "url": "https://e.x"}
    async with running() as world:
        await world.messenger(buttons("Pick", [postback(), link]))
        await world.messenger(generic(card(image_url=f"{HOST}/demo.jpg")))
        await world.messenger(quick(2))
        rows, cards, chips = [bubble["blocks"] for bubble in await world.bubbles("messenger")]
    choices = [{"title": "A", "payload": "a"}, {"title": "Site", "url": "https://e.x"}]
    assert [summary(block) for block in rows] == [
        {"kind": "text", "text": "Pick"},
        {"kind": "buttons", "style": "rows", "choices": choices},
    ]
    assert summary(cards[0])["cards"] == [
        [
            {"kind": "image", "url": "/sandbox/media/demo.jpg"},
            {"kind": "text", "text": "Card", "role": "title"},
            {"kind": "text", "text": "Sub", "role": "subtitle"},
            {"kind": "buttons", "style": "rows", "choices": choices[:1]},
        ]
    ]
    assert summary(chips[1]) == {"kind": "buttons", "style": "chips", "choices": choices[:1] * 2}


async def test_attachments_and_replies_are_shown():
    async with running() as world:
        _, sent = await world.messenger({"text": "First"})
        await world.messenger(attachment("file", f"{HOST}/demo.pdf"), reply_to={"mid": sent["message_id"]})
        _, kept = await world.messenger(attachment("image", "https://cdn.example.com/a.png", is_reusable=True))
        again = {"attachment": {"type": "image", "payload": {"attachment_id": kept["attachment_id"]}}}
        assert (await world.messenger(again))[0] == 200
        _, paper, picture, same = await world.bubbles("messenger")
    assert paper["quoted"] == sent["message_id"]
    assert summary(paper["blocks"][0]) == {
        "kind": "document",
        "url": "/sandbox/media/demo.pdf",
        "name": "demo.pdf",
        "size": 720,
        "mime_type": "application/pdf",
    }
    assert picture["blocks"] == same["blocks"]
    assert picture["blocks"][0]["url"] == "https://cdn.example.com/a.png"


async def test_an_upload_travels_in_the_message():
    async with running() as world:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("recipient", json.dumps({"id": BUDI.psid}))
        form.add_field("message", json.dumps({"attachment": {"type": "file", "payload": {}}}))
        form.add_field("filedata", b"%PDF-1.4", filename="invoice ä.pdf", content_type="application/pdf")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status, _ = await world.call("POST", "/graph/v26.0/me/messages", data=form, headers=headers)
        assert status == 200
        block = (await world.bubbles("messenger"))[0]["blocks"][0]
        assert (block["kind"], block["name"], block["size"]) == ("document", "invoice ä.pdf", 8)
        _, body = await world.graph(
            "me/message_attachments", {"message": attachment("video", f"{HOST}/demo.mp4")}, TOKEN
        )
        film = {"attachment": {"type": "video", "payload": {"attachment_id": body["attachment_id"]}}}
        assert (await world.messenger(film))[0] == 200
        assert (await world.bubbles("messenger"))[-1]["blocks"][0]["url"] == "/sandbox/media/demo.mp4"


async def test_an_echo_then_watermarks_come_signed_and_in_order():
    async with running() as world:
        _, sent = await world.messenger({"text": "Halo ä", "metadata": "tid"}, to=ANI.psid)
        echo, delivery, read = await world.receiver.events(3)
        assert (echo["sender"]["id"], echo["recipient"]["id"]) == (DEMO_MESSENGER.page_id, ANI.psid)
        assert echo["message"] == {
            "is_echo": True,
            "app_id": DEMO_MESSENGER.app_id,
            "mid": sent["message_id"],
            "metadata": "tid",
            "text": "Halo ä",
        }
        assert b"\\u00e4" in world.receiver.raw[0]
        assert delivery["sender"]["id"] == read["sender"]["id"] == ANI.psid
        assert delivery["delivery"] == {"mids": [sent["message_id"]], "watermark": echo["timestamp"]}
        assert read["read"] == {"watermark": echo["timestamp"]}
        bubble = await world.bubble_when("messenger", lambda bubble: bubble["final"], "Ani")
        assert [event["status"] for event in bubble["events"]] == [1, 1, 2, 3]
        assert bubble["tick"] == "read"


async def test_an_offline_phone_is_told_later():
    async with running(delays=Delays(0, 0, 0)) as world:
        await world.switch("messenger", BUDI.psid, online=False)
        for word in ("one", "two"):
            await world.messenger({"text": word})
        assert [list(event)[-1] for event in await world.receiver.events(2)] == ["message", "message"]
        await world.switch("messenger", BUDI.psid, online=True)
        told = [list(event)[-1] for event in await world.receiver.events(6)]
        assert told == ["message"] * 2 + ["delivery"] * 2 + ["read"] * 2


async def test_typing_profiles_and_subscriptions():
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running() as world:
        typing = {"recipient": {"id": BUDI.psid}, "sender_action": "typing_on"}
        assert await world.graph("me/messages", typing, TOKEN) == (200, {"recipient_id": BUDI.psid})
        _, profile = await world.call("GET", f"/graph/v26.0/{BUDI.psid}?fields=first_name", headers=headers)
        assert profile["first_name"] == "Budi"
        fields = {"subscribed_fields": "messages,message_echoes"}
        assert await world.graph("me/subscribed_apps", fields, TOKEN) == (200, {"success": True})
        assert (await world.graph("me/subscribed_apps", {}, TOKEN))[0] == 400
        _, apps = await world.call("GET", f"/graph/v26.0/{DEMO_MESSENGER.page_id}/subscribed_apps", headers=headers)
        assert "message_echoes" in apps["data"][0]["subscribed_fields"]
        _, page = await world.call("GET", "/graph/v26.0/me", headers=headers)
        assert page["id"] == DEMO_MESSENGER.page_id
