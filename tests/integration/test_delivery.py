"""Delivery over a real store and real HTTP: order, isolation, what each outcome leads to, and nothing lost."""

import asyncio
import json
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random

import pytest
from aiohttp import web

from kurir import channels
from kurir.channels.base import Rejected, Retry
from kurir.channels.telegram import channel as telegram
from kurir.clock import FakeClock, uuid7
from kurir.delivery.dispatcher import Dispatcher
from kurir.delivery.lanes import LANE_MESSAGES, WINDOW_MESSAGES
from kurir.domain.status import Status
from kurir.intake.refusals import BELIEVED
from kurir.store.base import ErrorRecord, StoreUnavailable
from kurir.store.inbound import Arrival, Heard, Webhook
from support.delivering import (
    CLIENT,
    CUT,
    LINE_USER,
    TELEGRAM_TOKEN,
    delivering,
    eventually,
    graph_error,
    line_error,
    refused,
    taken,
)
from support.stores import STORE, accept_all, store_of

TRANSIENT = 500, "Internal Server Error: restart"
#: More than Telegram takes as one message: three parts.
LONG = "one " * 1000 + "two " * 1000 + "three " * 400


def outcomes(message):
    return [attempt.outcome for attempt in message.attempts]


def codes(message):
    return [attempt.code for attempt in message.attempts]


# --- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.scorecard(14)
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_200_lanes_keep_their_order_with_a_fifth_of_the_calls_failing_and_a_blocked_lane_delays_nobody(tmp_path):
    random = Random(14)
    taken_texts = defaultdict(list)

    def answer(request):
        if request.to == "9999":
            return refused(429, "Too Many Requests: retry after 3600", retry_after=3600)
        if random.random() < 0.2:
            return refused(*TRANSIENT)
        taken_texts[request.to].append(request.text)
        return None

    async with delivering(tmp_path, concurrency=10) as world:
        world.platform.answers = answer
        blocked = await world.accept("tg:9999")
        for number in range(20):
            await asyncio.gather(*(world.accept(f"tg:{1000 + lane}", f"{number}") for lane in range(200)))
        await eventually(lambda: sum(map(len, taken_texts.values())) == 4000, 240)
        assert dict(taken_texts) == {str(1000 + lane): [str(n) for n in range(20)] for lane in range(200)}
        assert world.platform.most_at_once <= 10
        assert (await world.message(blocked)).status is Status.PENDING
        print(f"scorecard 14: {len(world.platform.calls)} calls for 4000 messages in 200 lanes, all in order")


async def test_never_more_calls_at_once_than_the_accounts_concurrency_and_never_two_of_a_lane(tmp_path):
    busy = set()
    release = asyncio.Event()

    async def hold(request):
        assert request.to not in busy, "two of a lane at once"
        busy.add(request.to)
        await release.wait()
        busy.discard(request.to)

    async with delivering(tmp_path, concurrency=4) as world:
        world.platform.answers = hold
        for number in range(24):
            await world.accept(f"tg:{1000 + number % 8}", str(number))
        await world.platform.called(4)
        assert world.platform.at_once == 4
        release.set()
        await world.idle()
        assert world.platform.most_at_once == 4


async def test_a_slow_lane_delays_no_other(tmp_path):
    release = asyncio.Event()

    async def hold(request):
        if request.to == "1001":
            await release.wait()

    async with delivering(tmp_path, concurrency=2) as world:
        world.platform.answers = hold
        slow = [await world.accept("tg:1001") for _ in range(3)]
        others = [await world.accept(f"tg:{number}") for number in range(2001, 2031)]
        for tid in others:
            assert (await world.ended(tid)).status is Status.SENT
        assert len([call for call in world.platform.calls if call.to == "1001"]) == 1
        release.set()
        for tid in slow:
            assert (await world.ended(tid)).status is Status.SENT


async def test_a_phone_and_the_address_it_is_linked_to_share_one_lane(tmp_path):
    random = Random(1)

    async def answer(request):
        await asyncio.sleep(random.random() * 0.003)
        if random.random() < 0.7:
            return None
        return refused(*TRANSIENT) if request.channel == "telegram" else graph_error(131016, 503)

    async with delivering(tmp_path, concurrency=8) as world:
        world.platform.answers = answer
        await world.link("telegram", "6281234567890", "1001")
        await world.link("whatsapp", "6289999999999", "US.13491208655302741918")
        for number in range(30):
            await world.accept(("tg:1001", "+62 812-3456-7890")[number % 2], str(number))
            to = ("US.13491208655302741918", "6289999999999")[number % 2]
            await world.accept(to, str(number), channel="whatsapp")
        await world.when(await world.accept("tg:1001", "last"), lambda message: message.status is Status.SENT)
        await world.idle()
        seen = {"1001": [], "US.13491208655302741918": []}
        for call in world.platform.calls:
            seen[call.to].append(call.text)
        expected = [str(number) for number in range(30)]
        assert list(dict.fromkeys(seen["1001"])) == [*expected, "last"]
        assert list(dict.fromkeys(seen["US.13491208655302741918"])) == expected


async def test_a_message_for_later_joins_when_it_is_due_and_does_not_block_its_lane(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        at = (clock.now() + timedelta(hours=1)).isoformat()
        later = await world.accept("tg:1001", "later", send_at=at)
        now = await world.accept("tg:1001", "now")
        assert (await world.ended(now)).status is Status.SENT
        assert (await world.message(later)).queued
        clock.move(3601)
        world.wake()
        assert (await world.ended(later)).status is Status.SENT
        assert [call.text for call in world.platform.calls] == ["now", "later"]


async def test_hundreds_of_messages_for_later_each_join_at_their_time_and_once(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        for number in range(300):
            at = (clock.now() + timedelta(seconds=10 + number % 3)).isoformat()
            await world.accept(f"tg:{1001 + number % 5}", str(number), send_at=at)
        for turn in range(3):
            clock.move(10 if turn == 0 else 1)
            world.wake()
            due = [str(n) for n in range(300) if n % 3 <= turn]
            calls = await world.platform.called(len(due))
            assert sorted(call.text for call in calls) == sorted(due)
        await world.idle()
        assert len(world.platform.calls) == 300


# --- age -------------------------------------------------------------------------------------------------------------


async def test_what_expires_before_its_first_call_is_unsent_and_never_called(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        old = await world.accept("tg:1001", expires_in=60)
        young = await world.accept("tg:1001", "young")
        clock.move(61)
        await world.dispatcher.start()
        assert (await world.ended(young)).status is Status.SENT
        message = await world.ended(old)
        assert (message.status, message.error.code, message.attempts) == (Status.UNSENT, "expired", ())
        assert [call.text for call in world.platform.calls] == ["young"]


async def test_what_expires_partly_sent_has_failed(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: (
            refused(429, "Too Many Requests: retry after 30", retry_after=30) if request.number > 1 else None
        )
        tid = await world.accept("tg:1001", LONG, expires_in=60)
        await world.waits(tid, "rate_limited")
        clock.move(61)
        world.wake()
        message = await world.ended(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "expired")
        assert [part.phase.value for part in message.parts] == ["answered", "failed"]
        assert len(world.platform.calls) == 2


async def test_a_wait_that_would_outlast_the_message_ends_it(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda _: refused(429, "Too Many Requests: retry after 300", retry_after=300)
        message = await world.ended(await world.accept("tg:1001", expires_in=60))
        assert (message.status, message.error.code) == (Status.FAILED, "attempts_exhausted")
        assert "Too Many Requests" in message.error.detail


async def test_a_recipient_without_address_is_unsent_and_its_lane_goes_on(tmp_path):
    async with delivering(tmp_path) as world:
        message = await world.ended(await world.accept("6281234567890"))
        assert (message.status, message.error.code) == (Status.UNSENT, "recipient_not_linked")
        await world.link("telegram", "6281234567890", "1001")
        assert (await world.ended(await world.accept("6281234567890"))).status is Status.SENT


# --- outcomes --------------------------------------------------------------------------------------------------------


async def test_taken_is_sent_where_the_platform_sends_and_pending_where_it_only_accepts(tmp_path):
    async with delivering(tmp_path) as world:
        for channel, to, status in (
            ("telegram", "tg:1001", Status.SENT),
            ("line", LINE_USER, Status.SENT),
            ("messenger", "fb:6915551234567890", Status.SENT),
            ("whatsapp", "6281234567890", Status.PENDING),
        ):
            message = await world.ended(await world.accept(to, channel=channel))
            assert message.status is status
            assert (outcomes(message), message.parts[0].phase.value) == (["sent"], "answered")
            assert message.parts[0].platform_ids


async def test_a_refusal_ends_the_message_by_whose_fault_it_is(tmp_path):
    async with delivering(tmp_path) as world:
        for description, status, code in (
            ("Forbidden: bot was blocked by the user", Status.UNDELIVERED, "recipient_blocked"),
            ("Bad Request: message text is empty", Status.FAILED, "content_refused"),
        ):
            number = 403 if description.startswith("Forbidden") else 400
            world.platform.answers = lambda _, n=number, d=description: refused(n, d)
            message = await world.ended(await world.accept(f"tg:{number}"))
            assert (message.status, message.error.code, message.error.provider_code) == (status, code, str(number))
            assert [event.status for event in message.history] == [status]


async def test_who_blocked_us_is_not_called_again_until_they_write(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda _: refused(403, "Forbidden: bot was blocked by the user")
        await world.ended(await world.accept("tg:1001"))
        world.platform.answers = lambda _: None
        calls = len(world.platform.calls)
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, message.error.code, message.attempts) == (Status.UNDELIVERED, "recipient_blocked", ())
        assert len(world.platform.calls) == calls
        now = world.clock.now()
        heard = Heard(message.account_id, CLIENT, "telegram", "1001", now, heard=True, blocked=False)
        await world.store.take_in(Webhook(now, (), (Arrival(message.account_id, CLIENT, "u-1", now, heard=heard),)))
        message = await world.ended(await world.accept("tg:1001"))
        assert message.status is Status.SENT


async def test_who_blocked_us_by_an_answer_is_tried_again_after_ten_minutes(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda _: refused(403, "Forbidden: bot was blocked by the user")
        await world.ended(await world.accept("tg:1001"))
        clock.move(BELIEVED.total_seconds() + 1)
        tried = await world.ended(await world.accept("tg:1001"))
        assert len(world.platform.calls) == 2
        at_once = await world.ended(await world.accept("tg:1001"))  # the answer said the same again
        assert [message.error.code for message in (tried, at_once)] == ["recipient_blocked"] * 2
        assert len(world.platform.calls) == 2
        clock.move(BELIEVED.total_seconds() + 1)
        world.platform.answers = lambda _: None
        assert (await world.ended(await world.accept("tg:1001"))).status is Status.SENT
        contact = await world.store.contact(tried.account_id, "1001")
        assert contact is not None
        assert not contact.blocked
        told = [event.kind for event in await world.store.events(CLIENT) if event.kind.startswith("contact.")]
        assert told == ["contact.blocked", "contact.unblocked"]
        assert (await world.ended(await world.accept("tg:1001"))).status is Status.SENT


async def test_who_blocked_us_by_the_platforms_word_is_not_tried_again(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        account, now = f"{CLIENT}-telegram", clock.now()
        heard = Heard(account, CLIENT, "telegram", "1001", now, blocked=True)
        await world.store.take_in(Webhook(now, (), (Arrival(account, CLIENT, "u-1", now, heard=heard),)))
        clock.move(10 * BELIEVED.total_seconds())
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, message.error.code) == (Status.UNDELIVERED, "recipient_blocked")
        assert world.platform.calls == []


async def test_why_the_platform_stops_an_account_is_told_to_who_wants_to_know(tmp_path):
    told: list[tuple[str, str]] = []
    async with delivering(tmp_path, start=False) as world:
        world.dispatcher = Dispatcher(
            world.store,
            world.directory,
            world.egress,
            world.clock,
            parked=lambda account_id, error: told.append((account_id, error.code)),
        )
        world.platform.answers = lambda _: line_error(429, "You have reached your monthly limit.")
        await world.dispatcher.start()
        await world.accept(LINE_USER, channel="line")
        await eventually(lambda: told)
        assert told[0] == (f"{CLIENT}-line", "account_quota")


async def test_a_transient_fault_is_tried_again_until_it_is_taken(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: refused(*TRANSIENT) if request.number < 6 else None
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, outcomes(message)) == (Status.SENT, ["retry"] * 5 + ["sent"])
        assert "maybe_duplicate" not in codes(message)


async def test_a_wait_that_the_platform_names_is_kept(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: (
            refused(429, "Too Many Requests: retry after 7", retry_after=7) if request.number == 1 else None
        )
        tid = await world.accept("tg:1001")
        message = await world.waits(tid, "rate_limited")
        assert 7 <= (message.waiting_until - clock.now()).total_seconds() <= 7.25
        clock.move(6.9)
        world.wake()
        await world.ended(await world.accept("tg:2002"))
        assert (await world.message(tid)).queued
        clock.move(0.4)
        world.wake()
        assert (await world.ended(tid)).status is Status.SENT


async def test_a_wait_beyond_the_calendar_loses_no_outcome(tmp_path):
    usage = json.dumps({"1": [{"estimated_time_to_regain_access": 10**14}]})
    error = {"error": {"code": 130429, "message": "slow down"}}
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda _: web.json_response(
            error, status=429, headers={"X-Business-Use-Case-Usage": usage}
        )
        message = await world.ended(await world.accept("6281234567890", channel="whatsapp"))
        assert (message.status, message.error.code) == (Status.FAILED, "attempts_exhausted")
        assert [(one.outcome, one.status) for one in message.attempts] == [("retry", 429)]


async def test_the_platforms_bound_on_attempts_counts_faults_and_not_throttling(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: (
            graph_error(130429, 429) if request.number <= 2 else graph_error(131000, 500)
        )
        message = await world.ended(await world.accept("6281234567890", channel="whatsapp"))
        assert (message.status, message.error.code) == (Status.FAILED, "attempts_exhausted")
        assert [one.counted for one in message.attempts] == [False, False, True, True, True]


async def test_a_throttled_account_waits_as_a_whole(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, concurrency=1) as world:
        world.platform.answers = lambda request: graph_error(4, 400) if request.number == 1 else None
        first = await world.accept("6281234567890", "first", channel="whatsapp")
        await world.waits(first, "rate_limited")
        second = await world.accept("6281234567899", "second", channel="whatsapp")
        other = await world.accept("tg:1001")
        await world.ended(other)
        assert len(world.platform.of("whatsapp")) == 1
        clock.move(76)  # the pages name a minute, and a little is added
        for _ in range(20):  # then it goes on slowly
            world.wake()
            await asyncio.sleep(0.02)
            clock.move(1)
        await world.ended(first)
        await world.ended(second)


async def test_an_account_scoped_wait_holds_the_account_also_where_the_message_ends_by_it(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, concurrency=1) as world:
        world.platform.answers = lambda request: graph_error(131048) if request.channel == "whatsapp" else None
        first = await world.ended(await world.accept("6281234567890", channel="whatsapp", expires_in=60))
        assert first.error.code == "attempts_exhausted"
        second = await world.accept("6281234567899", channel="whatsapp", expires_in=60)
        clock.move(61)
        world.wake()
        await world.ended(await world.accept("tg:1001"))
        clock.move(3600)
        world.wake()
        assert (await world.ended(second)).error.code == "expired"
        assert len(world.platform.of("whatsapp")) == 1


# --- cures -----------------------------------------------------------------------------------------------------------


async def test_a_moved_chat_is_followed_at_once_and_once(tmp_path):
    moved = refused(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1009)
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: (
            web.Response(body=moved.body, status=400, content_type="application/json") if request.to == "-5" else None
        )
        message = await world.ended(await world.accept("tg:-5"))
        assert [call.to for call in world.platform.calls] == ["-5", "-1009"]
        assert (message.status, message.address) == (Status.SENT, "-1009")

        world.platform.answers = lambda _: web.Response(body=moved.body, status=400)
        message = await world.ended(await world.accept("tg:-5"))
        assert (message.status, message.error.code) == (Status.UNDELIVERED, "recipient_unknown")
        assert [call.to for call in world.platform.calls[2:]] == ["-5", "-1009"]


async def test_the_later_parts_go_to_the_new_address_too(tmp_path):
    moved = refused(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1009)
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: (
            web.Response(body=moved.body, status=400) if (request.number, request.to) == (2, "-5") else None
        )
        message = await world.ended(await world.accept("tg:-5", LONG))
        assert [call.to for call in world.platform.calls] == ["-5", "-5", "-1009", "-1009"]
        assert message.status is Status.SENT


async def test_a_file_that_the_platform_cannot_fetch_is_uploaded_once(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.files["photo.jpg"] = lambda: web.Response(body=b"jpeg", content_type="image/jpeg")
        unfetched = "Bad Request: failed to get HTTP URL content"
        world.platform.answers = lambda request: None if request.files else refused(400, unfetched)
        media = {"media": {"url": f"{world.platform.url}/files/photo.jpg"}}
        message = await world.ended(await world.accept("tg:1001", type="image", body=media))
        assert message.status is Status.SENT
        assert [call.files for call in world.platform.calls] == [{}, {"photo.jpg": b"jpeg"}]

        world.platform.answers = lambda _: refused(400, unfetched)
        message = await world.ended(await world.accept("tg:1001", type="image", body=media))
        assert (message.status, message.error.code) == (Status.FAILED, "media_refused")
        assert len(world.platform.calls) == 4


async def test_a_quote_that_is_refused_is_left_out_once_and_told_as_a_loss(tmp_path):
    async with delivering(tmp_path) as world:
        gone = "Bad Request: message to be replied not found"
        world.platform.answers = lambda request: refused(400, gone) if "reply_parameters" in request.json else None
        message = await world.ended(await world.accept("tg:1001", reply_id="1001:5"))
        assert message.status is Status.SENT
        assert ["reply_parameters" in call.json for call in world.platform.calls] == [True, False]
        assert any("no longer has the message" in loss.detail for loss in message.losses)


# --- several parts ---------------------------------------------------------------------------------------------------


@pytest.mark.scorecard(8)
@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_parts_before_a_refused_one_are_not_sent_again_and_the_rest_is_not_sent(tmp_path, failing):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: (
            refused(403, "Forbidden: bot was blocked by the user") if request.number == failing else None
        )
        message = await world.ended(await world.accept("tg:1001", LONG))
        assert (message.status, message.error.code) == (Status.UNDELIVERED, "recipient_blocked")
        assert len(world.platform.calls) == failing
        assert [part.phase.value for part in message.parts] == ["answered"] * (failing - 1) + ["failed"]


@pytest.mark.scorecard(8)
@pytest.mark.parametrize("waiting", [1, 2, 3])
async def test_a_part_that_waits_is_resumed_at_that_part(tmp_path, waiting):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: (
            refused(*TRANSIENT) if waiting <= request.number < waiting + 3 else None
        )
        message = await world.ended(await world.accept("tg:1001", LONG))
        assert (message.status, message.parts_total) == (Status.SENT, 3)
        texts = [call.text for call in world.platform.calls]
        assert len(texts) == 6
        assert "".join(dict.fromkeys(texts)).replace(" ", "") == LONG.replace(" ", "")


async def test_a_message_of_several_parts_is_not_broken_into_by_its_lane(tmp_path):
    async with delivering(tmp_path, concurrency=8) as world:
        world.platform.answers = lambda request: refused(*TRANSIENT) if request.number in (2, 3, 5) else None
        long = await world.accept("tg:1001", LONG)
        short = await world.accept("tg:1001", "after")
        await world.ended(long)
        await world.ended(short)
        assert [call.text == "after" for call in world.platform.calls].index(True) == len(world.platform.calls) - 1


async def test_the_outcome_of_a_part_and_the_mark_of_the_next_are_one_transaction(tmp_path):
    class Counting(STORE):
        marks = 0
        next_marks = 0

        async def mark(self, mark):
            self.marks += 1
            return await super().mark(mark)

        async def record(self, result):
            self.next_marks += result.next_mark is not None
            return await super().record(result)

    store = await store_of(tmp_path, Counting)
    async with delivering(tmp_path, store=store) as world:
        await world.ended(await world.accept("tg:1001", LONG))
        assert (store.marks, store.next_marks) == (1, 2)


async def test_facts_are_frozen_with_the_first_mark(tmp_path):
    async with delivering(tmp_path) as world:
        await world.link("telegram", "6281234567890", "1001")
        world.platform.answers = lambda request: refused(*TRANSIENT) if request.number == 2 else None
        tid = await world.accept("6281234567890", LONG)
        await world.platform.called(2)
        await world.link("telegram", "6281234567890", "2002")
        message = await world.ended(tid)
        assert {call.to for call in world.platform.calls} == {"1001"}
        assert message.address == "1001"


# --- unknown ---------------------------------------------------------------------------------------------------------


def cut(request):
    return CUT


def half_a_body(request):
    return web.Response(body=taken(request).body[:10], content_type="application/json")


def a_proxys_page(request):
    return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")


@pytest.mark.scorecard(7)
@pytest.mark.parametrize("ending", [cut, half_a_body, a_proxys_page])
async def test_telegram_is_sent_again_at_once_after_an_unknown_outcome_and_says_so(tmp_path, ending):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: ending(request) if request.number < 3 else None
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, outcomes(message)) == (Status.SENT, ["unknown", "unknown", "sent"])
        assert message.attempts[2].code == "maybe_duplicate"
        assert "sent again after an unknown outcome" in message.attempts[1].reason


@pytest.mark.scorecard(7)
async def test_a_doubt_is_not_forgotten_over_other_failures(tmp_path):
    script = [cut, lambda _: refused(*TRANSIENT), lambda _: refused(*TRANSIENT), lambda _: None]
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: script[request.number - 1](request)
        message = await world.ended(await world.accept("tg:1001"))
        assert outcomes(message) == ["unknown", "retry", "retry", "sent"]
        assert message.attempts[-1].code == "maybe_duplicate"


@pytest.mark.scorecard(7)
@pytest.mark.parametrize("ending", [cut, half_a_body, a_proxys_page])
async def test_telegram_on_hold_is_not_sent_again_and_the_lane_goes_on(tmp_path, ending):
    async with delivering(tmp_path, unknown_outcome="hold") as world:
        world.platform.answers = lambda request: ending(request) if request.text == "first" else None
        first = await world.accept("tg:1001", "first")
        second = await world.accept("tg:1001", "second")
        message = await world.ended(first)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert (await world.ended(second)).status is Status.SENT
        assert [call.text for call in world.platform.calls] == ["first", "second"]


@pytest.mark.scorecard(7)
@pytest.mark.parametrize(("channel", "to"), [("whatsapp", "6281234567890"), ("messenger", "fb:6915551234567890")])
async def test_where_receipts_may_tell_they_are_given_time_before_the_policy_decides(tmp_path, channel, to):
    for policy in ("resend", "hold"):
        clock = FakeClock()
        folder = tmp_path / policy
        folder.mkdir()
        async with delivering(folder, clock=clock, unknown_outcome=policy, unknown_wait_seconds=90.0) as world:
            world.platform.answers = lambda request: CUT if request.number == 1 else None
            tid = await world.accept(to, channel=channel)
            await world.waits(tid, "no_answer")
            clock.move(89)
            world.wake()
            await world.ended(await world.accept("tg:1001"))
            assert (await world.message(tid)).queued
            clock.move(2)
            world.wake()
            message = await world.ended(tid)
            if policy == "hold":
                assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
                assert len(message.attempts) == 2
            else:
                assert outcomes(message) == ["unknown", "sent"]
                assert message.attempts[1].code == "maybe_duplicate"


@pytest.mark.scorecard(7)
async def test_a_line_push_is_repeated_with_the_same_key_also_on_hold_and_409_is_sent(tmp_path):
    def answer(request):
        if request.number < 4:
            return CUT
        return line_error(409, "The retry key is already accepted", sentMessages=[{"id": "461230966842064897"}])

    async with delivering(tmp_path, unknown_outcome="hold") as world:
        world.platform.answers = answer
        message = await world.ended(await world.accept(LINE_USER, channel="line"))
        assert (message.status, message.parts[0].platform_ids) == (Status.SENT, ("461230966842064897",))
        keys = {call.headers["X-Line-Retry-Key"] for call in world.platform.calls}
        assert (len(world.platform.calls), len(keys)) == (4, 1)
        assert "maybe_duplicate" not in codes(message)


async def test_no_more_than_three_copies_may_leave_where_a_repeat_is_none(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda request: CUT if request.text == "first" else None
        message = await world.ended(await world.accept("tg:1001", "first"))
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert outcomes(message) == ["unknown"] * 3
        assert "3 copies may have been sent, and no more are" in message.error.detail
        assert (await world.ended(await world.accept("tg:1001", "second"))).status is Status.SENT


async def tried(world, clock, tid, times, step=0.05):
    """Let time pass, *step* seconds a look, until the message has so many attempts or has ended."""

    def there(message):
        clock.move(step)
        world.wake()
        return len(message.attempts) >= times or not message.queued

    return await world.when(tid, there)


async def test_the_third_copy_has_its_time_for_a_receipt_too(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_wait_seconds=90.0) as world:
        world.platform.answers = cut
        tid = await world.accept("6281234567890", channel="whatsapp")
        for copies in (1, 2, 3):
            assert (await tried(world, clock, tid, copies, step=1.0)).queued
        message = await tried(world, clock, tid, 4, step=1.0)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert "3 copies may have been sent, and no more are" in message.error.detail
        assert len(world.platform.calls) == 3


async def a_day_of_line(world, clock, answers):
    """Send a push that is answered by *answers*: at once, after an hour, just before 23 hours, and just after them."""
    world.platform.answers = lambda request: answers[request.number - 1] if request.number <= len(answers) else None
    tid = await world.accept(LINE_USER, channel="line")
    for times, seconds in enumerate((3600, 21.98 * 3600, 120), 1):
        await tried(world, clock, tid, times)
        clock.move(seconds)
    return await tried(world, clock, tid, 4)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("policy", ["resend", "hold"])
async def test_a_retry_key_is_relied_on_for_23_hours_then_the_policy_decides(tmp_path, policy, forgotten):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_outcome=policy) as world:
        if forgotten:  # as a restart does
            world.dispatcher._sender._remember = lambda *_: None
        lapses = clock.now() + timedelta(hours=23)

        def answer(request):
            if request.number <= 2:
                return CUT
            return line_error(500, "Internal Server Error") if clock.now() < lapses else None

        world.platform.answers = answer
        tid = await world.accept(LINE_USER, channel="line")
        gates = world.dispatcher._workers[f"{CLIENT}-line"]._gates
        for times, seconds in enumerate((3600, 21.98 * 3600, 120), 1):
            await tried(world, clock, tid, times)
            await eventually(
                lambda: not gates
            )  # else the time of a try that is just begun would be another than its call's
            clock.move(seconds)

        def later(one):
            """Let time pass, but not under a try: the platform has to answer by the time at which it was begun."""
            if not gates:
                clock.move(0.05)
                world.wake()
            return not one.queued

        message = await world.when(tid, later)
        assert outcomes(message)[:3] == ["unknown", "unknown", "retry"]
        assert "maybe_duplicate" not in [one.code for one in message.attempts if one.at < lapses]
        if policy == "hold":
            assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
            assert all(one.at < lapses for one in message.attempts if one.request)
        else:
            assert (message.status, codes(message)[-1]) == (Status.SENT, "maybe_duplicate")


async def test_a_retry_key_that_line_never_took_does_not_lapse(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, unknown_outcome="hold") as world:
        message = await a_day_of_line(world, clock, [line_error(429, "slow down, please") for _ in range(3)])
        assert (message.status, codes(message)) == (Status.SENT, ["rate_limited"] * 3 + [""])


async def test_a_lapsed_retry_key_sends_three_copies_at_most(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = cut
        tid = await world.accept(LINE_USER, channel="line")
        await tried(world, clock, tid, 4)
        clock.move(23 * 3600)
        message = await tried(world, clock, tid, 100)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        late = [attempt for attempt in message.attempts if "sent again after an unknown" in attempt.reason]
        assert len(late) == 2
        assert "3 copies may have been sent" in message.error.detail


async def test_a_long_answer_is_read_whole_and_the_message_sent_once(tmp_path):
    async with delivering(tmp_path) as world:
        result = {"message_id": 7, "chat": {"id": 1001}, "text": "ü" * 12_500}
        world.platform.answers = lambda _: web.json_response({"ok": True, "result": result})
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, outcomes(message)) == (Status.SENT, ["sent"])
        assert len(message.attempts[0].body) == 16 * 1024


async def test_a_doubt_at_the_end_of_its_age_is_told_as_unknown(tmp_path):
    async with delivering(tmp_path) as world:
        world.platform.answers = cut
        message = await world.ended(await world.accept("6281234567890", channel="whatsapp", expires_in=60))
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")


# --- an account that is stopped --------------------------------------------------------------------------------------


async def stored_parking(world, code):
    return {one.id: one.parked_code for one in await world.store.accounts()}[f"{CLIENT}-telegram"] == code


async def test_a_stopped_account_parks_its_messages_and_a_probe_resumes_it(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock) as world:
        world.platform.answers = lambda request: refused(401, "Unauthorized") if request.channel == "telegram" else None
        tids = [await world.accept("tg:1001", str(number)) for number in range(3)]
        first = await world.waits(tids[0], "account_credentials")
        assert first.status is Status.PENDING
        entry = world.directory.accounts()[f"{CLIENT}-telegram"]
        assert entry.parked_code == "account_credentials"
        assert world.directory.default(CLIENT, "telegram") is entry
        await eventually(partial(stored_parking, world, "account_credentials"))
        assert (await world.ended(await world.accept(LINE_USER, channel="line"))).status is Status.SENT
        assert len(world.platform.of("telegram")) == 1

        clock.move(61)  # still broken: one probe, and another minute
        world.wake()
        await world.when(tids[0], lambda message: len(message.attempts) == 2)
        clock.move(30)
        world.wake()
        await world.ended(await world.accept(LINE_USER, channel="line"))
        assert len(world.platform.of("telegram")) == 2

        world.platform.answers = lambda _: None
        clock.move(61)
        world.wake()
        for tid in tids:
            assert (await world.ended(tid)).status is Status.SENT
        assert [call.text for call in world.platform.of("telegram")] == ["0", "0", "0", "1", "2"]
        assert world.directory.accounts()[f"{CLIENT}-telegram"].parked_code == ""
        await eventually(partial(stored_parking, world, ""))


async def test_a_parked_account_is_probed_by_one_call_a_minute_over_all_its_lanes(tmp_path):
    clock = FakeClock()
    async with delivering(tmp_path, clock=clock, start=False) as world:
        for number in range(50):
            await world.accept(f"tg:{1000 + number}")
        await world.store.park(f"{CLIENT}-telegram", ErrorRecord("account_credentials", "revoked"), clock.now())
        await world.directory.reload(world.store)
        world.platform.answers = lambda request: refused(*TRANSIENT) if request.channel == "telegram" else None
        await world.dispatcher.start()
        for probes in range(1, 4):
            await world.platform.called(2 * probes - 1)
            await world.ended(await world.accept(LINE_USER, channel="line"))
            clock.move(30)
            world.wake()
            await world.ended(await world.accept("fb:6915551234567890", channel="messenger"))
            assert len(world.platform.of("telegram")) == probes
            clock.move(31)
            world.wake()
            await world.platform.called(3 * probes + 1)


# --- what goes wrong on our side -------------------------------------------------------------------------------------


class Unreliable(STORE):
    """A store whose writes or reads of delivery fail while it is told so."""

    failing: frozenset[str] = frozenset()
    failed = 0

    def _perhaps(self, what: str) -> None:
        if what in self.failing:
            self.failed += 1
            raise StoreUnavailable("the disk is full")

    async def queued(self, *arguments, **more):
        self._perhaps("queued")
        return await super().queued(*arguments, **more)

    async def mark(self, mark):
        self._perhaps("mark")
        return await super().mark(mark)

    async def record(self, result):
        self._perhaps("record")
        return await super().record(result)


@pytest.mark.parametrize("what", ["queued", "mark", "record"])
async def test_a_store_that_fails_for_a_while_loses_and_doubles_nothing(tmp_path, what):
    clock = FakeClock()
    store = await store_of(tmp_path, Unreliable)
    async with delivering(tmp_path, clock=clock, store=store) as world:
        await world.ended(await world.accept("tg:1"))
        store.failing = frozenset({what})
        world.wake()  # else what is accepted is not read at all
        await eventually(lambda: store.failed >= (what == "queued"))
        for number in range(60):
            await world.accept(f"tg:{1001 + number % 6}", str(number))
        await eventually(lambda: store.failed >= 2)
        store.failing = frozenset()
        clock.move(6)
        world.wake()
        await world.idle()
        seen = [call.text for call in world.platform.calls[1:]]
        assert sorted(seen, key=int) == [str(number) for number in range(60)]
        for lane in range(6):
            assert [text for text in seen if int(text) % 6 == lane] == [str(n) for n in range(lane, 60, 6)]


class Faulty:
    """Telegram's channel with a fault in one of its functions, for messages that say so."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.mended = False

    def __getattr__(self, name):
        return getattr(telegram, name)

    def _perhaps(self, function: str, text: str) -> None:
        if function == self.function and text == "trap" and not self.mended:
            raise ZeroDivisionError("a fault of the channel's")

    def render(self, message, account, facts):
        if facts.address:  # not at accept
            self._perhaps("render", message.text)
        return telegram.render(message, account, facts)

    def classify(self, call, answer):
        self._perhaps("classify", call.json.get("text", ""))
        return telegram.classify(call, answer)


async def test_a_fault_of_a_channel_before_the_call_holds_that_message_only_and_is_shown(tmp_path):
    clock, faulty = FakeClock(), Faulty("render")
    async with delivering(tmp_path, clock=clock, known=channels.installed() | {"telegram": faulty}) as world:
        held = await world.accept("tg:1001", "trap")
        behind = await world.accept("tg:1001", "behind")
        for number in range(5):
            assert (await world.ended(await world.accept(f"tg:{2000 + number}"))).status is Status.SENT
        message = await world.waits(held, "internal")
        assert (message.status, "ZeroDivisionError" in message.reason.detail) == (Status.PENDING, True)
        faulty.mended = True
        clock.move(61)
        world.wake()
        await world.ended(behind)
        assert (await world.message(held)).status is Status.SENT
        assert [call.text for call in world.platform.calls[-2:]] == ["trap", "behind"]


async def test_a_fault_of_a_channel_after_the_call_is_an_unknown_outcome(tmp_path):
    faulty = Faulty("classify")
    known = channels.installed() | {"telegram": faulty}
    async with delivering(tmp_path, known=known, unknown_outcome="hold") as world:
        held = await world.accept("tg:1001", "trap")
        assert (await world.ended(await world.accept("tg:2002"))).status is Status.SENT
        message = await world.ended(held)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert [call.text for call in world.platform.calls].count("trap") == 1


class Answering:
    """Telegram's channel with an outcome of the test's own."""

    def __init__(self, outcome) -> None:
        self.outcome = outcome

    def __getattr__(self, name):
        return getattr(telegram, name)

    def classify(self, *_):
        return self.outcome


async def test_a_fault_between_an_answer_and_its_record_is_an_unknown_attempt_that_names_it(tmp_path):
    known = channels.installed() | {"telegram": Answering(Retry("rate_limited", "hush", after="soon"))}
    async with delivering(tmp_path, known=known) as world:
        message = await world.ended(await world.accept("tg:1001", "a private word"))
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert outcomes(message) == ["unknown"] * 3
        assert "a fault of the gateway (TypeError)" in message.attempts[0].reason
        assert "private" not in message.attempts[0].reason + message.attempts[0].body.decode()
        assert TELEGRAM_TOKEN not in repr(message)


async def test_an_outcome_that_the_store_cannot_take_is_an_unknown_attempt(tmp_path):
    class Picky(STORE):
        async def record(self, result):
            if result.attempt.outcome == "sent":
                raise UnicodeEncodeError("utf-8", "a private word", 0, 1, "surrogates not allowed")
            return await super().record(result)

    async with delivering(tmp_path, store=await store_of(tmp_path, Picky), unknown_outcome="hold") as world:
        message = await world.ended(await world.accept("tg:1001"))
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert "UnicodeEncodeError" in message.attempts[0].reason
        assert "private" not in repr(message.attempts)


async def test_a_platforms_code_and_a_body_cut_in_a_secret_show_nothing_of_it(tmp_path):
    refusal = Rejected(Status.FAILED, "content_refused", "no", f"code {TELEGRAM_TOKEN}")
    async with delivering(tmp_path, known=channels.installed() | {"telegram": Answering(refusal)}) as world:
        world.platform.answers = lambda _: web.Response(text="x" * (16 * 1024 - 8) + TELEGRAM_TOKEN)
        message = await world.ended(await world.accept("tg:1001"))
        assert message.error.provider_code == "code •••"
        assert TELEGRAM_TOKEN[:4] not in message.attempts[0].body.decode("utf-8", "ignore")
        assert len(message.attempts[0].body) <= 16 * 1024


class Reading(STORE):
    """A store that counts how often a message is read with all its attempts."""

    reads = 0

    async def message(self, client_id, tid):
        self.reads += 1
        return await super().message(client_id, tid)


async def test_attempts_are_not_read_again_at_each_try(tmp_path):
    store = await store_of(tmp_path, Reading)
    async with delivering(tmp_path, store=store) as world:
        world.platform.answers = lambda request: refused(*TRANSIENT) if request.number < 8 else None
        await world.accept("tg:1001")
        await world.idle()
        assert (len(world.platform.calls), store.reads) == (8, 0)


async def test_what_expires_unbegun_is_ended_without_reading_its_attempts(tmp_path):
    clock, store = FakeClock(), await store_of(tmp_path, Reading)
    async with delivering(tmp_path, clock=clock, store=store, start=False) as world:
        await world.accept("tg:1001", expires_in=60)
        clock.move(61)
        await world.dispatcher.start()
        await world.idle()
        assert store.reads == 0


async def test_an_answer_whose_bytes_are_no_text_is_recorded_all_the_same(tmp_path):
    async with delivering(tmp_path, unknown_outcome="hold") as world:
        world.platform.answers = lambda _: web.Response(body=b"\xff\xfe\x00")
        message = await world.ended(await world.accept("tg:1001"))
        assert message.error.code == "outcome_unknown"
        assert message.attempts[0].body == b"\xff\xfe\x00"


async def test_no_attempt_holds_a_secret_though_the_platform_quotes_it(tmp_path):
    quoting = f"Bad Request: message text is empty for {TELEGRAM_TOKEN}"
    async with delivering(tmp_path) as world:
        world.platform.answers = lambda _: web.json_response(
            {"ok": False, "error_code": 400, "description": quoting}, status=400, headers={"X-Echo": TELEGRAM_TOKEN}
        )
        message = await world.ended(await world.accept("tg:1001"))
        assert "•••" in message.attempts[0].request
        assert "•••" in message.attempts[0].body.decode()
        assert TELEGRAM_TOKEN not in repr(message)


# --- files that are uploaded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "calls"),
    [
        ("{platform}/files/gone.txt", 0),
        ("http://10.1.2.3/private.txt", 0),
        ("http://169.254.169.254/latest/meta-data.txt", 0),
        ("{platform}/files/large.txt", 0),
    ],
)
async def test_a_file_that_will_never_come_ends_the_message_as_refused_media(tmp_path, url, calls):
    async with delivering(tmp_path) as world:
        world.platform.files["gone.txt"] = lambda: web.Response(status=404)
        world.platform.files["large.txt"] = lambda: web.Response(body=b"x", headers={"Content-Length": str(10**9)})
        media = {"media": {"url": url.format(platform=world.platform.url)}}
        message = await world.ended(await world.accept("tg:1001", type="document", body=media))
        assert (message.status, message.error.code) == (Status.FAILED, "media_refused")
        assert len(world.platform.calls) == calls
        assert len(message.attempts) == 1
        assert (await world.ended(await world.accept("tg:1001"))).status is Status.SENT


async def test_a_file_whose_host_has_a_fault_is_tried_a_few_times(tmp_path):
    fetched = []

    def flaky():
        fetched.append(1)
        return web.Response(status=503) if len(fetched) < 4 else web.Response(body=b"text", content_type="text/plain")

    async with delivering(tmp_path) as world:
        world.platform.files["a.txt"] = flaky
        media = {"media": {"url": f"{world.platform.url}/files/a.txt"}}
        message = await world.ended(await world.accept("tg:1001", type="document", body=media))
        assert message.status is Status.SENT
        assert [(len(fetched), call.files) for call in world.platform.calls] == [(4, {"a.txt": b"text"})]

        world.platform.files["b.txt"] = lambda: web.Response(status=503)
        media = {"media": {"url": f"{world.platform.url}/files/b.txt"}}
        message = await world.ended(await world.accept("tg:1001", type="document", body=media))
        assert (message.status, message.error.code) == (Status.FAILED, "media_refused")
        assert "answered 503" in message.error.detail


# --- memory ----------------------------------------------------------------------------------------------------------


async def fill(world, messages: int, lanes: int) -> None:
    """Queue so many messages in so many lanes, past the intake."""
    now = world.clock.now()
    checked = await world.acceptor._check(CLIENT, "telegram", world.body("tg:1", "x"))
    base = world.acceptor._new(CLIENT, checked, ())
    for start in range(0, messages, 5000):
        some = [
            replace(
                base,
                tid=uuid7(),
                message_id=f"m-{number}",
                lane=str(1000 + number % lanes),
                recipient=f"tg:{1000 + number % lanes}",
                accepted_at=now,
            )
            for number in range(start, min(start + 5000, messages))
        ]
        await accept_all(world.store, some)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 50_000])
async def test_fifty_thousand_queued_messages_keep_a_window_of_them_in_memory(tmp_path, lanes):
    most = []

    async with delivering(tmp_path, start=False, concurrency=20) as world:
        await fill(world, 50_000, lanes)
        release = asyncio.Event()

        async def answer(request):
            most.append(world.dispatcher.held())
            if len(most) > 300:
                await release.wait()

        world.platform.answers = answer
        await world.dispatcher.start()
        await world.platform.called(301)
        for _ in range(20):
            most.append(world.dispatcher.held())
            await asyncio.sleep(0.02)
        assert 0 < max(most) <= (LANE_MESSAGES if lanes == 1 else WINDOW_MESSAGES)
        release.set()
        await world.dispatcher.stop(5.0)
        if lanes == 1:
            assert world.platform.most_at_once == 1
