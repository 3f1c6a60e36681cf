"""What a phone's owner can switch beside the phone itself: read receipts, and whether they use the app at all."""

import pytest

from support.sandbox import ALL, BUDI, World, running

TEXT = {"type": "text", "text": {"body": "Hello"}}


async def send(world: World, channel: str) -> tuple[int, object]:
    if channel == "whatsapp":
        return await world.whatsapp(TEXT)
    if channel == "telegram":
        return await world.telegram("sendMessage", text="Hello")
    if channel == "line":
        return await world.push({"type": "text", "text": "Hello"})
    return await world.messenger({"text": "Hello"})


async def test_who_has_receipts_off_reads_and_nobody_is_told() -> None:
    async with running() as world:
        await world.switch("whatsapp", BUDI.phone, receipts=False)
        await send(world, "whatsapp")
        bubble = await world.bubble_when("whatsapp", lambda one: "receipts off" in one["events"][-1]["what"])
        assert (bubble["tick"], bubble["status"]) == ("delivered", 2)
        statuses = await world.receiver.statuses(2)
        assert [one["status"] for one in statuses] == ["sent", "delivered"]
        await world.switch("whatsapp", BUDI.phone, receipts=True)
        await send(world, "whatsapp")
        assert [one["status"] for one in await world.receiver.statuses(5)][2:] == ["sent", "delivered", "read"]


async def test_who_is_not_on_whatsapp_fails_later_by_webhook() -> None:
    async with running() as world:
        await world.switch("whatsapp", BUDI.phone, on_channel=False)
        status, _ = await send(world, "whatsapp")
        assert status == 200
        bubble = await world.bubble_when("whatsapp", lambda one: one["tick"] == "failed")
        (told,) = await world.receiver.statuses(1)
        assert (told["status"], told["errors"][0]["code"]) == ("failed", 131026)
        assert bubble["status"] == -2


@pytest.mark.parametrize(
    ("channel", "status", "words"),
    [("telegram", 400, "chat not found"), ("line", 400, "Failed to send messages"), ("messenger", 400, "2018001")],
)
async def test_who_is_not_on_the_channel_is_refused_at_once(channel: str, status: int, words: str) -> None:
    async with running() as world:
        phone = await world.phone(channel)
        await world.switch(channel, phone["address"], on_channel=False)
        answered, body = await send(world, channel)
        assert (answered, words in str(body)) == (status, True)
        assert await world.bubbles(channel) == []
        assert (await world.refused(channel, "text", text="Hi"))[0] == 409
        await world.call("POST", "/sandbox/reset", json={})
        assert (await send(world, channel))[0] == 200


async def test_a_switch_that_is_no_switch_is_refused() -> None:
    async with running() as world:
        status, body = await world.call("POST", f"/sandbox/phones/whatsapp/{BUDI.phone}", json={"receipts": "off"})
        assert (status, body["detail"]) == (400, "online, chat_open, receipts, on_channel are true or false.")


async def test_a_persons_own_ticks_say_what_each_app_knows() -> None:
    async with running(channels=ALL) as world:
        for channel in ALL:
            await world.act(channel, "text", text="Hi")
        # LINE's app marks what a bot gets as read by itself; the others wait for the business.
        await world.bubble_when("line", lambda one: one["tick"] == "read")
        for channel in ("whatsapp", "telegram", "messenger"):
            assert (await world.bubbles(channel))[0]["tick"] == "sent"
        (asked,) = await world.bubbles("whatsapp")
        read = {"messaging_product": "whatsapp", "status": "read", "message_id": asked["id"]}
        assert (await world.whatsapp(read))[0] == 200
        assert (await world.bubbles("whatsapp"))[0]["tick"] == "read"
        await world.graph(
            "me/messages",
            {"recipient": {"id": BUDI.psid}, "sender_action": "mark_seen"},
            world.server.sandbox.config.messenger.page_access_token,
        )
        assert (await world.bubbles("messenger"))[0]["tick"] == "read"
        assert (await world.bubbles("telegram"))[0]["tick"] == "sent"


async def test_a_refused_call_keeps_what_it_would_have_shown() -> None:
    async with running() as world:
        status, _ = await world.telegram("sendMessage", text="x" * 4100)
        assert status == 400
        (refused,) = (await world.phone("telegram"))["refused"]
        (block,) = refused["blocks"]
        assert (block["kind"], block["length"], block["limit"]) == ("text", 4100, 4096)
        for _ in range(7):
            await world.telegram("sendMessage", text="")
        assert [bool(one["blocks"]) for one in (await world.phone("telegram"))["refused"]][:3] == [False] * 3
