"""The send endpoint over real HTTP: the published sample, the answer, the order of the checks, idempotency."""

import ast
import asyncio
import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

import kurir
from kurir import demo
from kurir.domain.errors import ERRORS
from kurir.domain.problem import Problem
from kurir.http import answers
from kurir.http.answers import RequestFailed
from support.bodies import COUNTED, MEDIA, TYPES, body, changed, full, new_id, other_value, without
from support.seed_sample import ANNOTATED, PLAIN, sample
from support.servers import PASSWORD, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANNELS = tuple(demo.ACCOUNTS)
OTHER_PASSWORD = "another long password"
LOGIN = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}


def add_another_client(document: dict[str, Any]) -> None:
    """A second client, whose only account is a Telegram bot."""
    account = {
        **document["clients"]["demo"]["accounts"][1],
        "id": "other-tg",
        "token": "7009999:AA-of-another-bot-0000000000000000",
    }
    document["clients"]["other"] = {"username": "other", "password": OTHER_PASSWORD, "accounts": [account]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("gateway"), edit=add_another_client) as started:
        yield started


async def post(
    gateway: Running, path: str, raw: bytes, headers: Any = None, method: str = "POST"
) -> tuple[int, Any, Any]:
    """Return (status, headers, parsed answer) of a request without any header of the session's."""
    sent = LOGIN if headers is None else headers
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(method, gateway.url + path, data=raw, headers=sent) as response,
    ):
        return response.status, response.headers, await response.json(content_type=None)


def problems(answer: Any) -> set[tuple[str, str]]:
    return {(item["pointer"], item["code"]) for item in answer["errors"]}


def sent_with(gateway: Running, words: str) -> int:
    """Return how many messages with *words* the platforms got."""
    bubbles = [bubble for phone in gateway.sandbox.sandbox.phones for bubble in phone.bubbles]
    return sum(words in json.dumps(bubble.payload, ensure_ascii=False) for bubble in bubbles)


# --- the sample -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
async def test_the_annotated_sample_is_told_where_its_first_comment_stands(gateway, channel):
    status, _, answer = await post(gateway, f"/{channel}/send/demo", ANNOTATED.encode())
    assert (status, answer["code"]) == (400, "json_comments")
    assert "line 8, column 1;" in answer["meta"]["errors"]


@pytest.mark.parametrize("kind", ["text", "button", "list", "location", *MEDIA])
@pytest.mark.parametrize("channel", CHANNELS)
async def test_the_sample_reaches_the_phone_as_it_stands(gateway, channel, kind):
    """As it stands but for its id, and for the media's URL, which the sample leaves empty."""
    raw = PLAIN.replace('"type": "text"', f'"type": "{kind}"').replace("3c0b1912-xxxx", new_id("sample"))
    if kind in MEDIA:
        status, _, answer = await post(gateway, f"/{channel}/send/demo", raw.encode())
        assert (status, problems(answer)) == (422, {("/body/media/url", "blank")})
        raw = raw.replace('"url": ""', f'"url": "https://media.sandbox.invalid/{MEDIA[kind]}"')
    status, headers, answer = await post(gateway, f"/{channel}/send/demo", raw.encode())
    assert status == 200, answer
    assert answer["meta"] == {"status": True, "code": 200, "message": "OK", "errors": None}
    ends = 3 if channel in ("whatsapp", "messenger") else 1
    message = await gateway.until(answer["data"]["tid"], ends, seconds=20)
    assert (message["status"], message["final"], message["error"]) == (ends, True, None)
    # The buttons and the list of the sample are filled in, and most types use neither.
    assert int(headers["Kurir-Losses"]) >= 1
    assert {"/body/button", "/body/list"} - {f"/body/{kind}"} <= {loss["pointer"] for loss in message["losses"]}


# --- what is taken and what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
async def test_all_problems_are_reported_at_once_with_their_pointers(gateway, channel):
    status, _, answer = await gateway.send(
        channel, {"type": "button", "body": {"button": [{"key": 5}]}, "strict": "yes"}
    )
    assert status == 422
    expected = {
        ("/id", "missing"),
        ("/times", "missing"),
        ("/timestamp", "missing"),
        ("/recipient", "missing"),
        ("/body/button/0/key", "wrong_type"),
        ("/body/button/0/title", "missing"),
        ("/strict", "wrong_type"),
        ("/body/text", "no_words"),
    }
    assert problems(answer) == expected
    for item in answer["errors"]:
        assert item["detail"] in answer["meta"]["errors"]
        assert item["pointer"] in answer["meta"]["errors"]


async def test_what_the_channel_cannot_send_is_reported_with_the_other_problems(gateway):
    http_media = changed(body("image", account="nobody"), "/body/media/url", "http://example.com/a.jpg")
    status, _, answer = await gateway.send("line", without(http_media, "/id"))
    assert status == 422
    assert problems(answer) == {
        ("/id", "missing"),
        ("/body/media/url", "https_required"),
        ("/account", "unknown_account"),
    }
    many = changed(body("button", times=None), "/body/button", [{"key": str(n), "title": "T"} for n in range(101)])
    status, _, answer = await gateway.send("telegram", many)
    assert (status, problems(answer)) == (422, {("/times", "missing"), ("/body/button", "too_many")})


async def test_an_account_that_is_not_there_is_reported_whatever_is_wrong_with_the_content(gateway):
    for kind, at in (("text", "/body/text"), ("image", "/body/media/url"), ("button", "/body/button/0/key")):
        given = changed(body(kind, account="nobody"), at, 5)
        status, _, answer = await gateway.send("whatsapp", given)
        assert (status, problems(answer)) == (422, {(at, "wrong_type"), ("/account", "unknown_account")})
    status, _, answer = await gateway.send("whatsapp", body("button", account="nobody", header=5))
    assert (status, problems(answer)) == (422, {("/header", "wrong_type"), ("/account", "unknown_account")})
    status, _, answer = await gateway.send("whatsapp", body("sticker", account=5))
    assert (status, problems(answer)) == (422, {("/type", "unsupported_value"), ("/account", "wrong_type")})
    other = {"Auth-username": "other", "Auth-password": OTHER_PASSWORD}
    raw = json.dumps(changed(body(), "/body/text", "")).encode()
    status, _, answer = await post(gateway, "/whatsapp/send/other", raw, other)
    assert (status, problems(answer)) == (422, {("/body/text", "blank"), ("/account", "unknown_account")})


async def test_a_message_of_too_many_platform_calls_is_refused_by_send_and_preview(gateway):
    buttons = [{"key": str(number), "title": f"Title {number}"} for number in range(600)]
    many = changed(body("button"), "/body/button", buttons)
    for call in ("send", "preview"):
        status, _, answer = await post(gateway, f"/whatsapp/{call}/demo", json.dumps(many).encode())
        assert (status, problems(answer)) == (422, {("/body", "too_many")})
        assert re.search(r"would take \d+ platform calls.* at most 50", answer["errors"][0]["detail"])
    status, _, answer = await gateway.send("whatsapp", {**many, "strict": True})
    assert {("/body", "too_many"), ("/body/button", "would_lose")} <= problems(answer)
    assert len(answer["errors"]) <= 201
    fewer = changed(many, "/body/button", buttons[:200])
    status, _, answer = await post(gateway, "/whatsapp/preview/demo", json.dumps(fewer).encode())
    assert status == 200
    assert 1 < len(answer["data"]["parts"]) <= 50


async def test_an_error_lists_so_many_problems_and_says_how_many_more_there_are():
    many = [Problem(f"/body/button/{number}", "would_lose", "it is cut") for number in range(1000)]
    answer = json.loads(answers.failure(RequestFailed("invalid_message", problems=many), "req_x", envelope=True))
    assert len(answer["errors"]) == 201
    assert (answer["errors"][-1]["pointer"], answer["errors"][-1]["code"]) == ("", "more_problems")
    assert "800 more" in answer["errors"][-1]["detail"]
    assert answer["meta"]["errors"].endswith("; and 980 more")
    few = json.loads(answers.failure(RequestFailed("invalid_message", problems=many[:200]), "req_x", envelope=True))
    assert len(few["errors"]) == 200


async def test_a_problem_of_the_channel_with_a_header_inside_the_body_points_there(gateway):
    inside = body("button")
    inside["body"]["header"] = {"type": "image", "media_url": "http://example.com/a.jpg"}
    status, _, answer = await gateway.send("line", inside)
    assert (status, problems(answer)) == (422, {("/body/header/media_url", "https_required")})


async def test_an_account_that_the_client_does_not_have_is_a_problem(gateway):
    for account in ("nobody", "demo-tg", "other-tg"):
        status, _, answer = await gateway.send("whatsapp", body(account=account))
        assert (status, problems(answer)) == (422, {("/account", "unknown_account")})
    status, _, _ = await gateway.send("whatsapp", body(account="demo-wa"))
    assert status == 200
    other = {"Auth-username": "other", "Auth-password": OTHER_PASSWORD}
    status, _, answer = await post(gateway, "/whatsapp/send/other", json.dumps(body()).encode(), other)
    assert (status, problems(answer)) == (422, {("/account", "unknown_account")})


async def test_losses_are_counted_in_the_header_shown_in_preview_and_kept_with_the_message(gateway):
    for channel, kind in itertools.product(CHANNELS, ("text", "list", "location", "button")):
        given = sample(id=new_id("loss"), type=kind, footer={"title": "T", "text": "F"})
        async with gateway.session.post(f"{gateway.url}/{channel}/preview/demo", json=given) as response:
            preview = (await response.json())["data"]["losses"]
        status, headers, answer = await gateway.send(channel, given)
        assert status == 200
        assert headers["Kurir-Losses"] == str(len(preview)), (channel, kind)
        message = await gateway.message(answer["data"]["tid"])
        assert message["losses"] == preview
        assert all(set(loss) == {"pointer", "kind", "detail"} for loss in preview)


async def test_strict_refuses_what_would_be_lost(gateway):
    status, headers, _ = await gateway.send("whatsapp", body(strict=True))
    assert status == 200
    assert "Kurir-Losses" not in headers
    status, _, answer = await gateway.send("whatsapp", sample(id=new_id(), strict=True))
    assert (status, problems(answer)) == (422, {("/body/button", "would_lose"), ("/body/list", "would_lose")})


async def test_a_reply_to_nothing_known_is_sent_without_it_and_is_a_loss(gateway):
    for channel in CHANNELS:
        status, headers, answer = await gateway.send(channel, body(reply_id="nothing-known"))
        assert (status, headers["Kurir-Losses"]) == (200, "1")
        (loss,) = (await gateway.message(answer["data"]["tid"]))["losses"]
        assert loss["pointer"] == "/reply_id"


async def test_facebook_is_messenger(gateway):
    given = body()
    status, _, answer = await gateway.send("facebook", given)
    assert status == 200
    again, headers, same = await gateway.send("messenger", given)
    assert (again, same["data"]["tid"]) == (200, answer["data"]["tid"])
    assert headers["Idempotent-Replayed"] == "true"
    assert (await gateway.message(answer["data"]["tid"]))["channel"] == "messenger"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "text/plain",
        "text/json;charset=utf8",
        "application/problem+json",
        "",
    ],
)
async def test_json_is_taken_under_every_name_of_it(gateway, content_type):
    raw = "\ufeff".encode() + json.dumps(body()).encode()
    status, _, answer = await post(gateway, "/line/send/demo", raw, {**LOGIN, "Content-Type": content_type})
    assert status == 200, answer


async def test_a_message_for_later_waits_and_says_until_when(gateway):
    status, _, answer = await gateway.send("line", body(send_at="8999-12-31T23:59:59+07:00", expires_in=60))
    assert status == 200
    message = await gateway.message(answer["data"]["tid"])
    assert (message["status"], message["reason"]["code"]) == (0, "scheduled")
    assert message["expires_at"].startswith("8999-12-31T17:00:59")


# --- the answer -------------------------------------------------------------------------------------------------------


async def test_the_answer_is_the_published_envelope_and_nothing_else(gateway):
    given = body(id="  my own id, ünïcode 😀 ")
    async with gateway.session.post(f"{gateway.url}/line/send/demo", json=given) as response:
        raw = await response.read()
        assert response.headers["Content-Type"] == "application/json"
        assert re.fullmatch("req_[0-9a-f]{32}", response.headers["Request-Id"])
    answer = json.loads(raw)
    assert answer == {
        "meta": {"status": True, "code": 200, "message": "OK", "errors": None},
        "data": {"message_id": given["id"], "status": 0, "tid": answer["data"]["tid"]},
    }
    assert list(answer) == ["meta", "data"]
    assert type(answer["meta"]["code"]) is int
    assert UUID(answer["data"]["tid"]).version == 7


FAILURES = [
    ("GET", "/whatsapp/send/demo", {}, b"", 405, "method_not_allowed"),
    ("POST", "/pigeon/send/demo", LOGIN, b"{}", 404, "unknown_channel"),
    ("POST", "/nowhere", LOGIN, b"{}", 404, "not_found"),
    ("POST", "/line/send/demo", {}, b"{}", 401, "unauthorized"),
    ("POST", "/line/send/other", LOGIN, b"{}", 403, "forbidden"),
    ("POST", "/line/send/demo", LOGIN, b" " * 300_000, 413, "too_large"),
    ("POST", "/line/send/demo", {**LOGIN, "Content-Type": "text/xml"}, b"{}", 415, "unsupported_media_type"),
    ("POST", "/line/send/demo", LOGIN, b"{", 400, "invalid_json"),
    ("POST", "/line/send/demo", LOGIN, b"[" * 9999, 400, "too_deep"),
    ("POST", "/line/send/demo", LOGIN, b"\xff", 400, "not_utf8"),
    ("POST", "/line/preview/demo", LOGIN, b"[]", 422, "invalid_message"),
]


@pytest.mark.parametrize(("method", "path", "headers", "raw", "status", "code"), FAILURES)
async def test_an_error_is_the_envelope_and_rfc_9457_at_once(gateway, method, path, headers, raw, status, code):
    got, answered, answer = await post(gateway, path, raw, headers, method)
    assert (got, answered["Content-Type"]) == (status, "application/json")
    assert set(answer) == {"meta", "data", "type", "title", "status", "detail", "instance", "code", "errors"}
    assert (answer["status"], answer["code"], answer["data"]) == (status, code, None)
    assert set(answer["meta"]) == {"status", "code", "message", "errors"}
    assert (answer["meta"]["status"], answer["meta"]["code"]) == (False, status)
    assert type(answer["meta"]["code"]) is int
    assert isinstance(answer["meta"]["errors"], str)
    assert answer["title"] == ERRORS[code].title
    assert answer["instance"] == f"/requests/{answered['Request-Id']}"
    async with gateway.session.get(gateway.url + answer["type"]) as page:
        assert page.status == 200
        assert (await page.json())["data"]["code"] == code
    got, answered, again = await post(gateway, path, raw, {**headers, "Accept": "application/problem+json"}, method)
    assert (got, answered["Content-Type"]) == (status, "application/problem+json")
    assert again == {**answer, "instance": again["instance"]}


async def test_the_native_api_answers_rfc_9457_alone(gateway):
    for path, headers, status in (
        ("/v1/messages", {}, 401),
        ("/v1/messages/x", LOGIN, 404),
        ("/v1/none", LOGIN, 404),
        ("/v1", LOGIN, 404),
    ):
        got, answered, answer = await post(gateway, path, b"", headers, "GET")
        assert (got, answered["Content-Type"]) == (status, "application/problem+json")
        assert set(answer) == {"type", "title", "status", "detail", "instance", "code", "errors"}


@pytest.mark.parametrize("code", list(ERRORS))
async def test_every_error_has_a_page_as_json_and_for_people(gateway, code):
    async with gateway.session.get(f"{gateway.url}/errors/{code}") as page:
        assert page.status == 200
        assert set((await page.json())["data"]) == {
            "code",
            "title",
            "cause",
            "fix",
            "status",
            "retryable",
            "platform_codes",
        }
    async with gateway.session.get(f"{gateway.url}/errors/{code}", headers={"Accept": "text/html"}) as page:
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert f"<code>{code}</code>" in await page.text()


#: Calls that take a code of the registry, and which of their arguments it is.
_TAKES_CODE = {
    "Problem": 1,
    "problem": 1,
    "RequestFailed": 0,
    "UnreadableBody": 0,
    "ErrorRecord": 0,
    "ReceiptError": 0,
    "Retry": 0,
    "Unknown": 0,
    "AccountDown": 0,
    "Rejected": 1,
}


async def test_every_code_that_the_source_uses_is_in_the_registry():
    used: dict[str, str] = {}
    for path in Path(kurir.__file__).parent.rglob("*.py"):
        if "sandbox" in path.parts or "configuration" in path.parts:
            continue  # the platforms' errors are not ours, and those of a configuration are sentences
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = _TAKES_CODE.get(name)
            arguments = (
                [*node.args[place : place + 1], *(k.value for k in node.keywords if k.arg == "code")]
                if place is not None
                else []
            )
            for argument in arguments:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value:
                    used[argument.value] = path.name
    assert len(used) > 40
    assert {code: where for code, where in used.items() if code not in ERRORS} == {}


async def test_every_code_of_a_channels_tables_is_in_the_registry():
    for name, channel in kurir.channels.installed().items():
        assert channel.PLATFORM_CODES, name
        assert {code for _, code in channel.PLATFORM_CODES if code not in ERRORS} == set()


# --- the order of the checks ------------------------------------------------------------------------------------------

ORDER = [
    ("channel", 404),
    ("path", 404),
    ("method", 405),
    ("login", 401),
    ("client", 403),
    ("size", 413),
    ("type", 415),
]
ORDER += [("json", 400), ("field", 422), ("reused", 409)]


async def faulty(gateway: Running, faults: set[str], used: dict[str, Any]) -> tuple[int, Any]:
    """Make a request with *faults* and no other; return (status, answer)."""
    channel = "pigeon" if "channel" in faults else "line"
    verb = "deliver" if "path" in faults else "send"
    client = "other" if "client" in faults else "demo"
    headers = {} if "login" in faults else dict(LOGIN)
    headers["Content-Type"] = "text/html" if "type" in faults else "application/json"
    given = changed(used, "/body/text", "something else") if "reused" in faults else used
    if "field" in faults:
        given = without(given, "/type")
    raw = json.dumps(given).encode()
    raw = raw[:-1] if "json" in faults else raw
    raw += b" " * 300_000 if "size" in faults else b""
    method = "PUT" if "method" in faults else "POST"
    status, _, answer = await post(gateway, f"/{channel}/{verb}/{client}", raw, headers, method)
    return status, answer


async def test_of_several_faults_the_one_that_is_checked_first_answers(gateway):
    used = body()
    assert (await gateway.send("line", used))[0] == 200
    names = [name for name, _ in ORDER]
    sets = [set(one) for size in (0, 1, 2, 3) for one in itertools.combinations(names, size)] + [set(names)]
    for faults in sets:
        status, answer = await faulty(gateway, faults, used)
        expected = next((status for name, status in ORDER if name in faults), 200)
        assert status == expected, (faults, answer)
        assert answer["meta"]["code"] == expected
        if faults == {"channel", "path"} or "path" in faults:
            assert answer["code"] in ("not_found", "unknown_channel")


async def test_a_405_names_the_methods_there_are(gateway):
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, answer = await post(gateway, "/whatsapp/send/demo", b"", LOGIN, method)
        assert (status, headers["Allow"], answer["code"]) == (405, "POST", "method_not_allowed")


# --- who is asking ----------------------------------------------------------------------------------------------------


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


NO_LOGIN: list[list[tuple[str, str]]] = [
    [],
    [("Auth-username", "demo")],
    [("Auth-password", PASSWORD)],
    [("Auth-username", "demo"), ("Auth-password", "")],
    [("Auth-username", ""), ("Auth-password", PASSWORD)],
    [("Auth-username", "demo"), ("Auth-password", "wrong")],
    [("Auth-username", "nobody"), ("Auth-password", PASSWORD)],
    [("Auth-username", "other"), ("Auth-password", PASSWORD)],
    [("Auth-username", "demo"), ("Auth-username", "demo"), ("Auth-password", PASSWORD)],
    [("Auth-username", "demo"), ("Auth-password", PASSWORD), ("Auth-password", PASSWORD)],
    [("Auth-username", "dëmo"), ("Auth-password", PASSWORD)],
    [("Auth-username", "demo"), ("Auth-password", "пароль")],
    [("Auth-username", "DEMO"), ("Auth-password", PASSWORD)],
    [("Authorization", "Basic")],
    [("Authorization", "Basic !!!")],
    [("Authorization", "Basic " + base64.b64encode(b"demo").decode())],
    [("Authorization", "Bearer " + PASSWORD)],
    [("Authorization", basic("demo", "wrong"))],
    [("Authorization", basic("demo", PASSWORD)), ("Authorization", basic("demo", PASSWORD))],
    [("Auth-username", "demo"), ("Authorization", basic("demo", PASSWORD))],
]


async def test_everything_that_is_no_login_gets_one_and_the_same_401(gateway):
    seen = set()
    for path in ("/line/send/demo", "/line/send/other", "/line/send/nobody", "/line/preview/demo"):
        for headers in NO_LOGIN if path == "/line/send/demo" else NO_LOGIN[:1]:
            status, answered, answer = await post(gateway, path, json.dumps(body()).encode(), headers)
            answer.pop("instance")
            fixed = {
                name.lower(): value for name, value in answered.items() if name.lower() not in ("request-id", "date")
            }
            seen.add((status, json.dumps(answer), json.dumps(fixed)))
    ((status, answer, fixed),) = seen
    assert (status, json.loads(answer)["code"]) == (401, "unauthorized")
    assert json.loads(fixed)["www-authenticate"].startswith("Basic ")


async def test_http_basic_with_the_same_pair_works(gateway):
    login = {"Authorization": basic("demo", PASSWORD)}
    status, _, answer = await post(gateway, "/line/send/demo", json.dumps(body()).encode(), login)
    assert status == 200, answer


async def test_another_clients_id_gets_the_same_403_whether_it_exists_or_not(gateway):
    answers = []
    for client in ("other", "nobody", "DEMO", "demo ", "%64emo%00", "d\u00ebmo", "x" * 5000):
        status, _, answer = await post(gateway, f"/line/send/{client}", b"{}")
        answer.pop("instance")
        answers.append((status, answer))
    assert all(one == answers[0] for one in answers)
    assert (answers[0][0], answers[0][1]["code"]) == (403, "forbidden")


# --- idempotency ------------------------------------------------------------------------------------------------------


async def test_the_same_content_again_gets_the_same_tid_todays_status_and_sends_nothing(gateway):
    words = new_id("once")
    for channel in CHANNELS:
        given = changed(body(), "/body/text", f"{words}-{channel}")
        status, headers, first = await gateway.send(channel, given)
        assert (status, headers.get("Idempotent-Replayed")) == (200, None)
        message = await gateway.until(first["data"]["tid"], 3 if channel in ("whatsapp", "messenger") else 1)
        for _ in range(3):
            status, headers, again = await gateway.send(channel, given)
            assert (status, headers["Idempotent-Replayed"]) == (200, "true")
            assert again["data"] == {**first["data"], "status": message["status"]}
        assert sent_with(gateway, f"{words}-{channel}") == 1


async def test_one_id_on_two_channels_and_of_two_clients_is_several_messages(gateway):
    given = body()
    tids = [(await gateway.send(channel, given))[2]["data"]["tid"] for channel in CHANNELS]
    other = {"Auth-username": "other", "Auth-password": OTHER_PASSWORD}
    _, _, answer = await post(gateway, "/telegram/send/other", json.dumps(given).encode(), other)
    assert len({*tids, answer["data"]["tid"]}) == 5


@pytest.mark.slow
@pytest.mark.scorecard(4)
async def test_fifty_at_once_with_one_id_are_one_message_and_one_send(gateway):
    """Forty ids, each by fifty requests at once, over HTTP."""
    words = new_id("race")
    bodies = [changed(body(), "/body/text", f"{words}-{number}.") for number in range(40)]
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(headers=LOGIN, connector=connector) as session:

        async def send(given: dict[str, Any]) -> tuple[str, str, bool]:
            async with session.post(f"{gateway.url}/line/send/demo", json=given) as response:
                answer = await response.json()
                assert response.status == 200, answer
                return given["id"], answer["data"]["tid"], "Idempotent-Replayed" in response.headers

        answers = await asyncio.gather(*(send(given) for _ in range(50) for given in bodies))
    for given in bodies:
        mine = [(tid, replayed) for identifier, tid, replayed in answers if identifier == given["id"]]
        assert len(mine) == 50
        assert len({tid for tid, _ in mine}) == 1
        assert sum(not replayed for _, replayed in mine) == 1
        await gateway.until(mine[0][0], 1, seconds=20)
    for number in range(40):
        assert sent_with(gateway, f"{words}-{number}.") == 1


def plain(kind: str) -> dict[str, Any]:
    """Return the full body of *kind* without what would make a send wait, fail or be refused."""
    given = {**full(kind), "id": new_id("conflict")}
    for name in ("account", "fallback", "send_at", "strict"):
        del given[name]
    return given


@pytest.mark.scorecard(5)
@pytest.mark.parametrize("kind", TYPES)
async def test_other_content_under_a_used_id_is_refused_and_changes_nothing(gateway, kind):
    given = changed(plain(kind), "/recipient", "tg:7001")
    status, _, first = await gateway.send("telegram", given)
    assert status == 200, first
    before = await gateway.until(first["data"]["tid"], 1)
    for at in COUNTED[kind]:
        top = at.split("/")[1]
        if at == "/id" or (top not in given and top in ("fallback", "strict")):
            continue
        value = {"/recipient": "tg:1001", "/account": "demo-tg"}.get(at, other_value(at))
        other = changed(given, at, value) if top in given else {**given, top: value}
        status, _, answer = await gateway.send("telegram", other)
        assert (status, answer["code"], answer["tid"]) == (409, "id_reused", first["data"]["tid"]), at
    assert await gateway.message(first["data"]["tid"]) == before


@pytest.mark.parametrize("kind", TYPES)
async def test_what_does_not_count_is_a_replay(gateway, kind):
    given = changed(plain(kind), "/recipient", "tg:7001")
    status, _, first = await gateway.send("telegram", given)
    assert status == 200, first
    unused = next(part for part in ("location", "list") if part != kind)
    same = [
        {**given, "times": 1700000000},
        {**given, "timestamp": "2025-01-01T00:00:00.000000001-08:00"},
        {**without(given, "/timestamp"), "timestampt": "2025-01-01T00:00:00Z"},
        {**given, "whatever": [1, {"x": None}]},
        dict(reversed(given.items())),
        changed(given, f"/body/{unused}", {"latitude": 1, "title": "x"}),
        {**given, "account": "", "priority": given["priority"], "strict": False, "send_at": None, "fallback": {}},
    ]
    if kind in ("button", "list"):
        inside = without(without(given, "/header"), "/footer")
        inside["body"] |= {"header": given["header"], "footer": given["footer"]}
        same.append(inside)
    for one in same:
        status, headers, answer = await gateway.send("telegram", one)
        assert (status, answer.get("data", {}).get("tid")) == (200, first["data"]["tid"]), (one, answer)
        assert headers["Idempotent-Replayed"] == "true"


async def test_a_refused_request_does_not_take_the_id(gateway):
    given = body()
    assert (await gateway.send("line", without(given, "/body/text")))[0] == 422
    status, headers, _ = await gateway.send("line", given)
    assert (status, headers.get("Idempotent-Replayed")) == (200, None)
