"""What the verbs share: calling a gateway that runs, and ending with one sentence.

A verb that calls finds its gateway by options, else variables, else the ``demo.json`` of a running ``kurir up``. What
belongs to the demo is sent to the demo only: its credentials never go to another address.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

import aiohttp
import typer

from kurir import demo_facts, unreached

#: How long a call may take, in seconds.
CALL_SECONDS: Final = 30.0
#: Where a sandbox is that nobody named: the default of ``kurir sandbox --port``.
SANDBOX: Final = "http://127.0.0.1:8081"


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway to call: its URL without a slash at the end, and the headers that let a verb in."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    client_id: str = ""


def client_place(url: str, username: str, password: str, data: Path, client_id: str = "") -> Place:
    """Return the gateway and the client's credentials. Ends with a sentence where one of them is missing."""
    facts = _of_demo(data, url)
    url, username = url or facts.get("url", ""), username or facts.get("username", "")
    password = password or facts.get("password", "")
    if not (url and username and password):
        fail(f"no gateway: {_none_here(data)}, or set KURIR_URL, KURIR_USERNAME and KURIR_PASSWORD")
    headers = {"Auth-username": username, "Auth-password": password}
    return Place(url.rstrip("/"), headers, client_id or facts.get("client_id", "") or username)


def admin_place(url: str, token: str, data: Path) -> Place:
    """Return the gateway and the administrator's token. Ends with a sentence where one of them is missing."""
    facts = _of_demo(data, url)
    url, token = url or facts.get("url", ""), token or facts.get("admin_token", "")
    if not (url and token):
        fail(f"no gateway, or no token: {_none_here(data)}, or set KURIR_URL and KURIR_ADMIN_TOKEN")
    return Place(url.rstrip("/"), {"Authorization": f"Bearer {token}"})


def sandbox_place(url: str, data: Path) -> str:
    """Return the URL of the sandbox, without a slash at the end: *url*, else the demo's, else the default port's."""
    return (url or _left_by_demo(data).get("sandbox", "") or SANDBOX).rstrip("/")


def _none_here(folder: Path) -> str:
    """Return what to do where no demo left its addresses and credentials in *folder*, or others than were asked for."""
    return plain(
        f"run «kurir up» in this folder, or name the data folder of the one that runs with --data (looked in {folder})"
    )


def _of_demo(folder: Path, url: str) -> dict[str, str]:
    """Return what a running demo left in *folder*; nothing where another gateway than the demo is asked for."""
    found = _left_by_demo(folder)
    return {} if url and url.rstrip("/") != found.get("url") else found


def _left_by_demo(folder: Path) -> dict[str, str]:
    """Return the addresses and credentials that a demo left in *folder*, nothing where there is none."""
    path = folder / demo_facts.FACTS_FILE
    try:
        return demo_facts.read(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
    except ValueError:
        fail(f"{path} is not what «kurir up» wrote; start it anew")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a gateway answered: the HTTP status and the parsed body."""

    status: int
    body: dict[str, Any]


def call(place: Place, method: str, path: str, query: Mapping[str, str] | None = None, *, body: object = None) -> Reply:
    """Call the gateway once, with *body* as JSON where it is given. Ends with a sentence where it is not reached."""
    return asyncio.run(_call(place, method, path, query or {}, body))


async def _call(place: Place, method: str, path: str, query: Mapping[str, str], body: object) -> Reply:
    try:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with (
            aiohttp.ClientSession(headers=place.headers, timeout=timeout) as session,
            session.request(method, f"{place.url}{path}", params=query, json=body) as response,
        ):
            return Reply(response.status, await read_answer(response, place.url))
    except (aiohttp.ClientError, TimeoutError) as error:
        not_reached(place.url, error)


async def read_answer(response: aiohttp.ClientResponse, url: str) -> dict[str, Any]:
    """Return the parsed body of an answer. Ends with a sentence where it is no answer of a gateway."""
    try:
        body = json.loads(await response.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        fail(f"what answers at {url} is no kurir: the answer is not a JSON object")
    return body


def not_reached(url: str, error: Exception) -> NoReturn:
    """End with the sentence for a gateway that was not reached."""
    fix = "start it with «kurir up» or «kurir serve», or name another one with --url or --data"
    fail(plain(f"the gateway at {url} was not reached: {unreached.why(error)}; {fix}"))


def sandbox_not_reached(url: str, error: Exception) -> NoReturn:
    """End with the sentence for a sandbox that was not reached."""
    fix = "start it with «kurir up» or «kurir sandbox», or name another one with --url or --data"
    fail(plain(f"the sandbox at {url} was not reached: {unreached.why(error)}; {fix}"))


def data_of(reply: Reply) -> Any:
    """Return the ``data`` of an answer. Ends with the gateway's own sentence where it is an error."""
    if reply.status != 200 or "data" not in reply.body:
        refused(reply)
    return reply.body["data"]


def pages(place: Place, path: str, query: Mapping[str, str], limit: int, page: int) -> tuple[list[Any], str | None]:
    """Return up to *limit* of a list, read in pages of at most *page*, and the cursor of what comes after, None at its end."""
    found: list[Any] = []
    after: str | None = None
    while True:
        more = {"limit": str(min(page, limit - len(found)))} | ({"after": after} if after else {})
        reply = call(place, "GET", path, {**query, **more})
        found += data_of(reply)
        after = reply.body.get("next")
        if after is None or len(found) >= limit:
            return found, after


def call_account(place: Place, method: str, account: str, verb: str = "", *, body: object = None) -> Reply:
    """Call the administrator's path of an account. Ends with a sentence where there is no such account."""
    reply = call(place, method, f"/v1/admin/accounts/{quote(account, safe='')}{verb}", body=body)
    if reply.status == HTTPStatus.NOT_FOUND and reply.body.get("code") == "not_found":
        fail(plain(f"there is no account «{account}»; «kurir account list» lists them"))
    return reply


def refused(reply: Reply) -> NoReturn:
    """End with the sentence of an error that the gateway answered."""
    problems = [one["detail"] for one in reply.body.get("errors") or () if isinstance(one, dict) and "detail" in one]
    sentence = "; ".join(problems) or reply.body.get("detail") or "it gave no reason"
    fail(plain(f"{sentence} ({reply.body.get('code', '?')}, HTTP {reply.status})"))


def plain(text: object) -> str:
    """Return *text* with everything made visible that would steer a terminal: what is shown was written by others."""
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in str(text)
    )


def when(moment: str) -> str:
    """Return a time of an answer as every verb shows times: RFC 3339, in UTC to the second."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def from_now(moment: str) -> str:
    """Return how far off a time of an answer is, by this machine's clock."""
    seconds = (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
    return f"in {duration(seconds)}" if seconds >= 1 else "now"


def duration(seconds: float) -> str:
    """Return *seconds* in the largest unit of which they are two or more."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def print_json(value: object) -> None:
    """Print *value* as JSON, indented. What would steer a terminal is escaped, as JSON itself does below U+0020."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    print("".join(f"\\u{ord(one):04x}" if "\x7f" <= one <= "\x9f" else one for one in text))


def fail(text: str) -> NoReturn:
    """End with *text* on standard error."""
    typer.echo(text, err=True)
    raise typer.Exit(1)
