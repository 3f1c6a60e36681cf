"""The emulated Messaging API: its limits in its words, retry keys, reply tokens, and what the phone shows."""

import asyncio
import uuid

import pytest

from kurir.sandbox.config import DEMO_LINE
from support.sandbox import ANI, BUDI, junk_variants, running, summary

FAMILY = "👨‍👩‍👧‍👦"
HTTPS = "https://a.b/c.jpg"


def text(words="Hi", **more):
    return {"type": "text", "text": words} | more


def postback(label="Yes", data="k", **more):
    return {"type": "postback", "label": label, "data": data} | more


def buttons(words="Pick", actions=None, **more):
    template = {"type": "buttons", "text": words, "actions": actions or [postback()]} | more
    return {"type": "template", "altText": "Pick", "template": template}


def carousel(*columns):
    return {"type": "template", "altText": "Pick", "template": {"type": "carousel", "columns": list(columns)}}


def flex(*contents, alt="Menu"):
    body = {"type": "box", "layout": "vertical", "contents": list(contents)}
    return {"type": "flex", "altText": alt, "contents": {"type": "bubble", "body": body}}


def flex_button(action):
    return {"type": "button", "action": action}


def quick(count, label="A"):
    return {"items": [{"type": "action", "action": postback(label)} for _ in range(count)]}


COLUMN = {"text": "x", "actions": [postback()]}
IMAGE = {"type": "image", "originalContentUrl": HTTPS, "previewImageUrl": HTTPS}

REFUSED = {
    "text empty": (text(""), "May not be empty", "messages[0].text"),
    "text 5001": (text("x" * 5001), "Length must be between 0 and 5000", "messages[0].text"),
    "text 2501 astral": (text("😀" * 2501), "Length must be between 0 and 5000", "messages[0].text"),
    "no such type": ({"type": "file"}, "Must be one of the following values: [text, textV2, image", "messages[0].type"),
    "image http": (
        IMAGE | {"originalContentUrl": "http://a.b/c"},
        "invalid uri scheme",
        "messages[0].originalContentUrl",
    ),
    "image no preview": (
        {"type": "image", "originalContentUrl": HTTPS},
        "May not be empty",
        "messages[0].previewImageUrl",
    ),
    "image URL 2001": (
        IMAGE | {"previewImageUrl": HTTPS + "x" * 2000},
        "Length must be",
        "messages[0].previewImageUrl",
    ),
    "video no preview": (
        {"type": "video", "originalContentUrl": HTTPS},
        "May not be empty",
        "messages[0].previewImageUrl",
    ),
    "audio no duration": ({"type": "audio", "originalContentUrl": HTTPS}, "May not be empty", "messages[0].duration"),
    "location no title": (
        {"type": "location", "address": "x", "latitude": 0, "longitude": 0},
        "May not be empty",
        "messages[0].title",
    ),
    "location title 101": (
        {"type": "location", "title": "x" * 101, "address": "x", "latitude": 0, "longitude": 0},
        "Length must be between 0 and 100",
        "messages[0].title",
    ),
    "alt text 1501": (flex(text(), alt="x" * 1501), "Length must be between 0 and 1500", "messages[0].altText"),
    "buttons text 161": (buttons("x" * 161), "Length must be between 0 and 160", "messages[0].template.text"),
    "buttons text 61 with title": (
        buttons("x" * 61, title="T"),
        "Length must be between 0 and 60",
        "messages[0].template.text",
    ),
    "buttons title 41": (buttons(title="x" * 41), "Length must be between 0 and 40", "messages[0].template.title"),
    "5 actions": (buttons(actions=[postback()] * 5), "Size must be between 1 and 4", "messages[0].template.actions"),
    "label 21": (
        buttons(actions=[postback("x" * 21)]),
        "Length must be between 0 and 20",
        "messages[0].template.actions[0].label",
    ),
    "data 301": (
        buttons(actions=[postback(data="x" * 301)]),
        "Length must be between 0 and 300",
        "messages[0].template.actions[0].data",
    ),
    "display text 301": (
        buttons(actions=[postback(displayText="x" * 301)]),
        "Length must be between 0 and 300",
        "messages[0].template.actions[0].displayText",
    ),
    "uri scheme": (
        buttons(actions=[{"type": "uri", "label": "A", "uri": "ftp://a.b"}]),
        "invalid uri scheme",
        "messages[0].template.actions[0].uri",
    ),
    "confirm of one": (
        {"type": "template", "altText": "x", "template": {"type": "confirm", "text": "x", "actions": [postback()]}},
        "Size must be between 2 and 2",
        "messages[0].template.actions",
    ),
    "11 columns": (carousel(*[COLUMN] * 11), "Size must be between 1 and 10", "messages[0].template.columns"),
    "uneven columns": (
        carousel(COLUMN, COLUMN | {"actions": [postback()] * 2}),
        "The number of actions must be the same in all columns",
        "messages[0].template.columns",
    ),
    "14 quick replies": (
        text(quickReply=quick(14)),
        "Size must be between 1 and 13",
        "messages[0].quickReply.items",
    ),
    "quick reply label 21": (
        text(quickReply=quick(1, "x" * 21)),
        "Length must be between 0 and 20",
        "messages[0].quickReply.items[0].action.label",
    ),
    "flex text empty": (
        flex({"type": "text", "text": ""}),
        "May not be empty",
        "messages[0].contents.body.contents[0].text",
    ),
    "flex label 41": (
        flex(flex_button(postback("x" * 41))),
        "Length must be between 0 and 40",
        "messages[0].contents.body.contents[0].action.label",
    ),
    "flex component": (flex({"type": "marquee"}), "Must be one of", "messages[0].contents.body.contents[0].type"),
    "flex 30 KB": (flex(text("x" * 31000)), "The size of the bubble must not exceed 30 KB", "messages[0].contents"),
    "13 bubbles": (
        {
            "type": "flex",
            "altText": "x",
            "contents": {"type": "carousel", "contents": [flex(text())["contents"]] * 13},
        },
        "Size must be between 1 and 12",
        "messages[0].contents.contents",
    ),
}

TAKEN = {
    "text 5000": text("x" * 5000),
    "label of 20 families": buttons(actions=[postback(FAMILY * 20)]),
    "buttons text 160": buttons("x" * 160),
    "buttons text 60 with image": buttons(FAMILY * 60, thumbnailImageUrl=HTTPS),
    "flex label 40": flex(flex_button(postback("x" * 40))),
    "13 quick replies": text(quickReply=quick(13)),
    "confirm": {
        "type": "template",
        "altText": "x",
        "template": {"type": "confirm", "text": "x", "actions": [postback(), postback("No")]},
    },
    "tel": buttons(actions=[{"type": "uri", "label": "Call", "uri": "tel:+62"}]),
    "textV2": {"type": "textV2", "text": "Hi {u}", "substitution": {"u": {"type": "mention"}}},
    "sticker": {"type": "sticker", "packageId": "446", "stickerId": "1988"},
}


async def test_everything_beyond_a_limit_is_named_with_its_property():
    async with running() as world:
        for name, (message, words, where) in REFUSED.items():
            status, body = await world.push(message)
            assert status == 400, (name, body)
            assert body["message"] == f"The request body has {len(body['details'])} error(s)", name
            found = [detail for detail in body["details"] if detail["property"] == where]
            assert found, (name, body)
            assert words in found[0]["message"], (name, body)
        assert await world.bubbles("line") == []


async def test_all_problems_are_named_at_once():
    async with running() as world:
        _, body = await world.push(text(""), IMAGE | {"originalContentUrl": "x"}, {"type": "x"})
        assert body["message"] == "The request body has 3 error(s)"
        assert [detail["property"].split(".")[0] for detail in body["details"]] == [f"messages[{n}]" for n in range(3)]
        for messages in ([], [text()] * 6, None):
            _, body = await world.line({"to": BUDI.line_user_id, "messages": messages})
            assert body["details"] == [{"message": "Size must be between 1 and 5", "property": "messages"}]


async def test_everything_at_a_limit_is_taken():
    async with running() as world:
        for name, message in TAKEN.items():
            status, body = await world.push(message)
            assert status == 200, (name, body)
            assert (await world.line({"messages": [message]}, "validate/push"))[0] == 200


async def test_junk_anywhere_is_answered_like_the_platform_and_never_breaks():
    async with running() as world:
        for message in (text(quickReply=quick(1)), buttons(title="T"), flex(flex_button(postback()))):
            for variant in junk_variants(message):
                status, body = await world.push(variant)
                assert status in (200, 400), (variant, body)


async def test_recipients_and_tokens():
    async with running() as world:
        _, body = await world.line({"to": "budi", "messages": [text()]})
        assert body["message"] == "The property, 'to', in the request body is invalid (line: -, column: -)"
        assert await world.line({"to": "U" + "0" * 32, "messages": [text()]}) == (
            400,
            {"message": "Failed to send messages"},
        )
        status, body = await world.line({}, Authorization="Bearer nope")
        assert status == 401
        assert body["message"].startswith("Authentication failed due to the following reason: invalid token.")
        assert (await world.call("GET", "/line/v2/bot/nowhere", headers={}))[0] == 401


async def test_a_retry_key_sends_once_and_repeats_the_first_answer():
    key = {"X-Line-Retry-Key": str(uuid.uuid4())}
    async with running() as world:
        answers = await asyncio.gather(*(world.push(text(), **key) for _ in range(5)))
        first = next(body for status, body in answers if status == 200)
        repeats = [body for status, body in answers if status == 409]
        assert len(repeats) == 4
        for body in repeats:
            assert body == {"message": "The retry key is already accepted", "sentMessages": first["sentMessages"]}
        assert len(await world.bubbles("line")) == 1
        headers = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"} | key
        url = f"{world.server.url}/line/v2/bot/message/push"
        body = {"to": BUDI.line_user_id, "messages": [text()]}
        async with world.http.post(url, json=body, headers=headers) as response:
            assert response.headers["x-line-accepted-request-id"] != response.headers["x-line-request-id"]


async def test_a_refused_push_leaves_its_retry_key_free():
    key = {"X-Line-Retry-Key": str(uuid.uuid4())}
    async with running() as world:
        assert (await world.push(text(""), **key))[0] == 400
        assert (await world.push(text(), **key))[0] == 200


async def test_a_malformed_retry_key_and_one_on_a_reply_are_refused():
    async with running() as world:
        assert (await world.push(text(), **{"X-Line-Retry-Key": "once"}))[0] == 400
        token = world.server.sandbox.reply_tokens.issue(BUDI.line_user_id)
        body = {"replyToken": token, "messages": [text()]}
        assert (await world.line(body, "reply", **{"X-Line-Retry-Key": str(uuid.uuid4())}))[0] == 400


async def test_a_reply_token_answers_once():
    async with running() as world:
        token = world.server.sandbox.reply_tokens.issue(ANI.line_user_id)
        body = {"replyToken": token, "messages": [text("one"), text("two")]}
        status, answer = await world.line(body, "reply")
        assert (status, len(answer["sentMessages"])) == (200, 2)
        assert await world.line(body, "reply") == (400, {"message": "Invalid reply token"})
        assert len(await world.bubbles("line", "Ani")) == 2


async def test_a_quote_token_quotes_within_its_chat():
    async with running() as world:
        _, sent = await world.push(text("First"))
        (first,) = sent["sentMessages"]
        assert (await world.push(text("Second", quoteToken=first["quoteToken"])))[0] == 200
        assert (await world.bubbles("line"))[-1]["quoted"] == first["id"]
        other = {"to": ANI.line_user_id, "messages": [text(quoteToken=first["quoteToken"])]}
        status, body = await world.line(other)
        assert (status, body["details"][0]["property"]) == (400, "messages[0].quoteToken")
        _, sent = await world.push({"type": "audio", "originalContentUrl": HTTPS, "duration": 1000})
        assert "quoteToken" not in sent["sentMessages"][0]


async def test_templates_and_flex_become_blocks():
    host = "https://media.sandbox.invalid"
    actions = [postback(), {"type": "uri", "label": "Site", "uri": "https://e.x"}]
    bubble = {
        "type": "bubble",
        "hero": {"type": "image", "url": f"{host}/demo.jpg"},
        "body": {
            "type": "box",
            "layout": "vertical",
            "contents": [
                {"type": "text", "text": "Head", "weight": "bold", "size": "lg"},
                {"type": "text", "text": "Bold", "weight": "bold"},
                {"type": "text", "text": "Small", "size": "xs", "color": "#888888"},
            ],
        },
        "footer": {"type": "box", "layout": "vertical", "contents": [flex_button(action) for action in actions]},
    }
    rows = {"kind": "buttons", "style": "rows"}
    choices = [{"title": "Yes", "payload": "k"}, {"title": "Site", "url": "https://e.x"}]
    async with running() as world:
        await world.push(
            buttons("Pick", actions, title="Menu", thumbnailImageUrl=f"{host}/demo.jpg"),
            {"type": "flex", "altText": "x", "contents": {"type": "carousel", "contents": [bubble]}},
            text("Last", quickReply=quick(1)),
        )
        template, card, last = [bubble["blocks"] for bubble in await world.bubbles("line")]
    image = {"kind": "image", "url": "/sandbox/media/demo.jpg"}
    assert [summary(block) for block in template] == [
        image | {"size": 13480, "mime_type": "image/jpeg"},
        {"kind": "text", "text": "Menu", "role": "title"},
        {"kind": "text", "text": "Pick"},
        rows | {"choices": choices},
    ]
    assert summary(card[0])["cards"] == [
        [
            image,
            {"kind": "text", "text": "Head", "role": "title"},
            {"kind": "text", "text": "Bold", "spans": [{"offset": 0, "length": 4, "style": "bold"}]},
            {"kind": "text", "text": "Small", "role": "subtitle"},
            rows | {"choices": choices},
        ]
    ]
    assert [summary(block) for block in last] == [
        {"kind": "text", "text": "Last"},
        {"kind": "buttons", "style": "chips", "choices": [{"title": "A", "payload": "k"}]},
    ]


async def test_media_and_places_are_shown_and_final():
    host = "https://media.sandbox.invalid"
    video = {"type": "video", "originalContentUrl": f"{host}/demo.mp4", "previewImageUrl": f"{host}/demo.jpg"}
    place = {"type": "location", "title": "Office", "address": "Jl. X", "latitude": -6.2, "longitude": 106.8}
    async with running() as world:
        await world.push(video, {"type": "audio", "originalContentUrl": f"{host}/demo.m4a", "duration": 3000}, place)
        film, sound, spot = await world.bubbles("line")
    assert (film["blocks"][0]["url"], film["blocks"][0]["poster"]) == (
        "/sandbox/media/demo.mp4",
        "/sandbox/media/demo.jpg",
    )
    assert sound["blocks"][0]["duration_ms"] == 3000
    assert summary(spot["blocks"][0]) == {
        "kind": "location",
        "title": "Office",
        "text": "Jl. X",
        "latitude": -6.2,
        "longitude": 106.8,
    }
    assert (film["tick"], film["status"], film["final"]) == ("sent", 1, True)
    assert "final on this channel" in film["events"][0]["what"]


async def test_bodies_that_are_no_json_are_refused():
    headers = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"}
    path = "/line/v2/bot/message/push"
    async with running() as world:
        _, body = await world.call("POST", path, data=b"{}", headers=headers | {"Content-Type": "text/plain"})
        assert body["message"] == "The content type, text/plain, is not supported"
        for raw in (b"{", b"\xff", b"[]"):
            _, body = await world.call("POST", path, data=raw, headers=headers | {"Content-Type": "application/json"})
            assert body["message"].startswith("The request body could not be parsed as JSON")
        big = b'"' + b"x" * (2 * 1024 * 1024) + b'"'
        status, _ = await world.call("POST", path, data=big, headers=headers | {"Content-Type": "application/json"})
        assert status == 413


@pytest.mark.parametrize(
    ("path", "member", "value"),
    [
        ("info", "userId", DEMO_LINE.bot_user_id),
        ("message/quota", "type", "none"),
        ("message/quota/consumption", "totalUsage", 1),
        (f"profile/{BUDI.line_user_id}", "displayName", "Budi"),
    ],
)
async def test_what_else_a_client_asks(path, member, value):
    headers = {"Authorization": f"Bearer {DEMO_LINE.channel_access_token}"}
    async with running() as world:
        await world.push(text())
        status, body = await world.call("GET", f"/line/v2/bot/{path}", headers=headers)
        assert (status, body[member]) == (200, value)
        assert (await world.call("GET", f"/line/v2/bot/profile/U{'0' * 32}", headers=headers))[0] == 404


async def test_multicast_reaches_those_who_exist():
    async with running() as world:
        to = [BUDI.line_user_id, ANI.line_user_id, "U" + "0" * 32]
        assert await world.line({"to": to, "messages": [text()]}, "multicast") == (200, {})
        assert len(await world.bubbles("line", "Ani")) == len(await world.bubbles("line", "Budi")) == 1
        assert (await world.line({"to": [], "messages": [text()]}, "multicast"))[0] == 400
