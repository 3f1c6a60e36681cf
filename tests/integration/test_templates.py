"""Templates on their way: checked against what was synced, sent, and in the place of a message whose window is closed."""

from datetime import timedelta
from typing import Any

import pytest

from kurir.domain.message import Message
from kurir.domain.status import Status
from kurir.intake import templates, wire
from kurir.intake.accept import IdReused, Preview, Refused
from kurir.store.base import ErrorRecord, ReceiptRecord
from kurir.store.inbound import Arrival, Heard, TemplateRecord, Webhook
from support.delivering import CLIENT, World, delivering, graph_error

ACCOUNT = f"{CLIENT}-whatsapp"
ANI = "6281234567890"
HOUR = timedelta(hours=1)
TEMPLATE = {"name": "order_update", "language": "en_US", "parameters": {"body": ["77"]}}
FALLBACK = {"when": "window_closed", "template": TEMPLATE}
GRAPHS = {
    "name": "order_update",
    "language": {"code": "en_US"},
    "components": [{"type": "body", "parameters": [{"type": "text", "text": "77"}]}],
}


async def heard(world: World, ago: timedelta) -> None:
    """Ani wrote to the account so long ago."""
    at = world.clock.now() - ago
    told = Heard(ACCOUNT, CLIENT, "whatsapp", ANI, at, heard=True)
    await world.store.take_in(Webhook(at, arrivals=(Arrival(ACCOUNT, CLIENT, "wamid.in", at, heard=told),)))


async def send(world: World, **more: Any) -> str:
    return await world.accept(ANI, channel="whatsapp", **more)


def shown(world: World) -> list[Any]:
    return [call.json.get("template") or call.json["text"]["body"] for call in world.platform.calls]


async def test_a_template_is_sent(tmp_path):
    async with delivering(tmp_path) as world:
        await heard(world, 100 * HOUR)
        message = await world.ended(await send(world, type="template", body={"template": TEMPLATE}))
        assert (message.status, shown(world)) == (Status.PENDING, [GRAPHS])


@pytest.mark.parametrize("hours", [None, 23])
async def test_within_the_window_or_where_it_is_not_known_the_message_itself_is_sent(tmp_path, hours):
    async with delivering(tmp_path) as world:
        if hours is not None:
            await heard(world, hours * HOUR)
        message = await world.ended(await send(world, fallback=FALLBACK))
        assert (message.status, shown(world), message.losses) == (Status.PENDING, ["hello"], ())


async def test_a_window_known_to_be_closed_costs_no_call(tmp_path):
    async with delivering(tmp_path) as world:
        await heard(world, 25 * HOUR)
        message = await world.ended(await send(world, fallback=FALLBACK))
        assert (message.status, shown(world)) == (Status.PENDING, [GRAPHS])
        assert [loss.kind for loss in message.losses] == ["sent_as_template"]
        refused = await world.ended(await send(world))
        assert (refused.status, refused.error.code) == (Status.UNDELIVERED, "window_closed")
        assert "send one (type template" in refused.error.detail
        assert len(world.platform.calls) == 1


async def test_a_window_that_the_platform_says_is_closed_brings_the_fallback(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: graph_error(131047) if "text" in request.json else None
        message = await world.ended(await send(world, fallback=FALLBACK))
        assert (message.status, shown(world)) == (Status.PENDING, ["hello", GRAPHS])
        assert [loss.kind for loss in message.losses] == ["sent_as_template"]
        assert [part.again for part in message.parts] == [("template",)]


async def test_parts_that_were_sent_stay_and_the_message_ends_with_the_template(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: graph_error(131047) if request.number == 2 else None
        message = await world.ended(await send(world, body={"text": "word " * 2000}, fallback=FALLBACK))
        assert message.status is Status.PENDING
        assert [call.json["type"] for call in world.platform.calls] == ["text", "text", "template"]
        assert [part.number for part in message.parts] == [1, 2]


@pytest.mark.parametrize("fallback", [None, FALLBACK])
async def test_a_platform_that_refuses_everything_ends_the_message(tmp_path, fallback):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda _: graph_error(131047)
        message = await world.ended(await send(world, **({"fallback": fallback} if fallback else {})))
        assert (message.status, message.error.code) == (Status.UNDELIVERED, "window_closed")
        assert len(world.platform.calls) == (2 if fallback else 1)


async def test_a_fallback_that_a_receipt_asked_for_is_sent_after_a_restart(tmp_path):
    async with delivering(tmp_path) as world:
        tid = await send(world, fallback=FALLBACK)
        await world.ended(tid)
        await world.dispatcher.stop()
        closed = ErrorRecord("window_closed", "more than 24 hours", "131047")
        told = ReceiptRecord(
            ACCOUNT, "e", Status.UNDELIVERED, world.clock.now(), "wamid.1", error=closed, again="template"
        )
        await world.store.receive([told], world.clock.now())
        message = await world.message(tid)
        assert (message.queued, message.reason) == (True, closed)
        world.dispatcher = world.new_dispatcher()
        await world.dispatcher.start()
        message = await world.ended(tid)
        assert (message.status, shown(world)) == (Status.PENDING, ["hello", GRAPHS])
        assert [loss.kind for loss in message.losses] == ["sent_as_template"]


@pytest.mark.parametrize(("hours", "kind"), [(1, "text"), (25, "template")])
async def test_the_preview_shows_what_would_be_sent(tmp_path, hours, kind):
    async with delivering(tmp_path, start=False) as world:
        await heard(world, hours * HOUR)
        preview = await world.acceptor.preview(CLIENT, "whatsapp", world.body(ANI, "hello", fallback=FALLBACK))
        assert isinstance(preview, Preview)
        assert [call.json["type"] for call in preview.rendering.calls] == [kind]


async def test_the_preview_says_what_a_send_would_end_with(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        await heard(world, 25 * HOUR)
        preview = await world.acceptor.preview(CLIENT, "whatsapp", world.body(ANI, "hello"))
        assert isinstance(preview, Preview)
        [loss] = preview.losses
        assert (loss.pointer, loss.kind) == ("/recipient", "window_closed")
        assert "send one (type template" in loss.detail
        assert [call.json["type"] for call in preview.rendering.calls] == ["text"]
        preview = await world.acceptor.preview(CLIENT, "whatsapp", world.body(ANI, "hello", fallback=FALLBACK))
        assert isinstance(preview, Preview)
        assert [loss.kind for loss in preview.losses] == ["sent_as_template"]
        preview = await world.acceptor.preview(CLIENT, "whatsapp", world.body("628999999999", "hello"))
        assert isinstance(preview, Preview)
        assert preview.losses == ()


async def test_the_preview_says_that_the_person_blocked_the_account(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        account, at = f"{CLIENT}-telegram", world.clock.now()
        blocked = Heard(account, CLIENT, "telegram", "1001", at, blocked=True)
        await world.store.take_in(Webhook(at, arrivals=(Arrival(account, CLIENT, "e", at, heard=blocked),)))
        preview = await world.acceptor.preview(CLIENT, "telegram", world.body("tg:1001", "hello"))
        assert isinstance(preview, Preview)
        assert [(loss.pointer, loss.kind) for loss in preview.losses] == [("/recipient", "recipient_blocked")]


# --- against what was synced --------------------------------------------------------------------------------------------


def decoded(world: World, **more: Any) -> Message:
    message = wire.decode(world.body(ANI, "hello", **more), "whatsapp")
    assert isinstance(message, Message)
    return message


def a_template(world: World, **more: Any) -> Message:
    return decoded(world, type="template", body={"template": TEMPLATE | more})


async def found(world: World, message: Message) -> list[tuple[str, str]]:
    listed = await templates.problems(world.store, ACCOUNT, message)
    assert {problem.code for problem in listed} <= {"template_refused"}
    return [(problem.pointer, problem.detail) for problem in listed]


async def sync(world: World, *records: tuple[str, str, str, str]) -> None:
    at = world.clock.now()
    await world.store.put_templates(
        ACCOUNT,
        [TemplateRecord(name, language, status, "UTILITY", json, at) for name, language, status, json in records],
        at,
    )


async def test_an_account_that_was_never_synced_checks_nothing(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        assert await found(world, a_template(world)) == []
        assert await found(world, decoded(world, fallback=FALLBACK)) == []


async def test_a_template_is_checked_against_the_one_that_was_synced(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        one, two = ('[{"type": "BODY", "text": "Order {{1}}"}]', '[{"type": "BODY", "text": "{{1}} {{2}}"}]')
        await sync(world, ("order_update", "en_US", "APPROVED", one), ("order_update", "id", "APPROVED", two))
        assert await found(world, a_template(world)) == []
        assert await found(world, decoded(world, fallback=FALLBACK)) == []
        assert await found(world, decoded(world)) == []
        ((at, detail),) = await found(world, a_template(world, language="id"))
        assert (at, "wants 2 values" in detail) == ("/body/template/parameters/body", True)
        other = {"when": "window_closed", "template": TEMPLATE | {"language": "id"}}
        assert [at for at, _ in await found(world, decoded(world, fallback=other))] == [
            "/fallback/template/parameters/body"
        ]
        await sync(world, ("order_update", "en_US", "PAUSED", one))
        ((at, detail),) = await found(world, a_template(world))
        assert (at, "is PAUSED at WhatsApp" in detail) == ("/body/template/name", True)


async def test_a_template_that_there_is_not_is_refused_with_the_nearest(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        await sync(world, ("order_update", "en_US", "APPROVED", "[]"), ("welcome", "id", "APPROVED", "[]"))
        ((at, detail),) = await found(world, a_template(world, name="order_updat"))
        assert (at, "the nearest: order_update" in detail) == ("/body/template/name", True)
        ((at, detail),) = await found(world, a_template(world, name="zzz"))
        assert (at, "there are 2, such as order_update, welcome" in detail) == ("/body/template/name", True)
        ((at, detail),) = await found(world, a_template(world, language="en"))
        assert (at, "is there in en_US, and not in en" in detail) == ("/body/template/language", True)
        ((at, detail),) = await found(world, a_template(world, name="welcome", language="fr"))
        assert (at, "is there in id, and not in fr" in detail) == ("/body/template/language", True)
        ((at, detail),) = await found(world, a_template(world, name="welcome", language="fr"))
        assert (at, "is there in id, and not in fr" in detail) == ("/body/template/language", True)


async def test_a_repeat_is_answered_as_before_whatever_became_of_the_template(tmp_path):
    async with delivering(tmp_path) as world:
        await sync(world, ("order_update", "en_US", "APPROVED", '[{"type":"BODY","text":"Order {{1}}"}]'))
        message = world.body(ANI, "same", type="template", body={"template": TEMPLATE})
        first = await world.acceptor.accept(CLIENT, "whatsapp", message)
        await world.ended(first.tid)
        await sync(world, ("order_update", "en_US", "PAUSED", '[{"type":"BODY","text":"Order {{1}}"}]'))
        again = await world.acceptor.accept(CLIENT, "whatsapp", message)
        assert (again.tid, again.replayed) == (first.tid, True)
        read = ReceiptRecord(ACCOUNT, "e", Status.READ, world.clock.now(), "wamid.1")
        await world.store.receive([read], world.clock.now())
        await world.store.purge(world.clock.now() + timedelta(days=1), 100)
        assert await world.store.message(CLIENT, first.tid) is None
        again = await world.acceptor.accept(CLIENT, "whatsapp", message)
        assert (again.tid, again.replayed) == (first.tid, True), "the key outlives its message"
        other = message | {"body": {"template": TEMPLATE | {"parameters": {"body": ["78"]}}}}
        assert isinstance(await world.acceptor.accept(CLIENT, "whatsapp", other), IdReused)
        assert isinstance(await world.acceptor.accept(CLIENT, "whatsapp", message | {"id": "new"}), Refused)
        assert isinstance(await world.acceptor.preview(CLIENT, "whatsapp", message), Refused)


async def test_a_send_that_the_synced_template_does_not_fit_is_refused(tmp_path):
    async with delivering(tmp_path, start=False) as world:
        await sync(world, ("order_update", "en_US", "APPROVED", '[{"type": "BODY", "text": "{{1}} {{2}}"}]'))
        for given in (
            world.body(ANI, "x", fallback=FALLBACK),
            world.body(ANI, "x", type="template", body={"template": TEMPLATE}),
        ):
            for take in (world.acceptor.accept, world.acceptor.preview):
                refused = await take(CLIENT, "whatsapp", given)
                assert isinstance(refused, Refused)
                assert [problem.code for problem in refused.problems] == ["template_refused"]
        assert await world.store.depths() == []
