"""Nobody learns of another client's things: every route of the application is walked as everybody who may not see them.

What is asked for by the id of somebody else's thing is answered as what is asked for by an id that nothing has: same status,
same headers, same words. And what one client is shown does not change by anything that another one does.
"""

import difflib
import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio

from kurir.clock import uuid7
from kurir.console.rights import Right, Role, Visitor
from kurir.store.inbound import Unread
from support import console, walking
from support.bodies import body
from support.console import BROWSER
from support.delivering import eventually
from support.endpoint import recording
from support.servers import PASSWORD, Running, running
from support.walking import OPEN, SAFE, Door

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = "an administrator's token"
#: Words and numbers of the client whose things are looked for. None may be in an answer to somebody else.
TEXT, ANSWER, NAME, PHONE = "marmalade-of-the-victim", "cinnamon-of-the-person", "Wulandari", "6281298765432"
ADDRESS = 777_000_111


def two_tenants(document: dict[str, Any]) -> None:
    """Give another client accounts of its own on every channel."""
    document["admin_token"] = ADMIN
    document["allow_networks"] = ["127.0.0.0/8"]
    accounts = json.loads(json.dumps(document["clients"]["demo"]["accounts"]))
    for account in accounts:
        account["id"] = account["id"].replace("demo", "other")
        for name in ("phone_number_id", "page_id", "waba_id"):
            if name in account:
                account[name] = account[name][::-1]
        for name in ("token", "channel_access_token", "access_token", "page_access_token"):
            if name in account:
                account[name] = "987654:another"
    document["clients"]["other"] = {"username": "other", "password": PASSWORD, "accounts": accounts}
    document["clients"]["demo"]["default_region"] = "ID"


#: Places that are the same whosever things are asked for: cursors that pass over nothing, and what narrows.
_ALIKE = {
    "seq": "999999",
    "people_cursor": "",
    "messages_cursor": "bTk5OTk5OQ",
    "contacts_cursor": "YQBh",
    "number_of_status": "1",
    "file_number": "0",
    "after": "",
    "before": "",
}
_PATHS = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")


@dataclass
class Told:
    """An answer: what may depend on which id was asked for."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Actor:
    """Somebody who asks, with headers or a cookie, and what is no secret to them."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    rights: frozenset[str] = frozenset()
    client: str = ""

    def is_let_in(self, door: Door) -> bool:
        """Whether the door lets this actor look, each at what is theirs."""
        if (door.method, door.path) in OPEN or not self.name:
            return False
        if door.mounted:
            return Right.OPERATE in self.rights
        if door.right:
            return door.right in self.rights
        if door.path.startswith("/v1/admin/"):
            return self.name == "admin"
        return self.name == "client" and not door.path.startswith(("/webhooks/", "/media/"))

    def sees_all(self, door: Door) -> bool:
        """Whether the door shows this actor everybody's things, rightly."""
        return self.is_let_in(door) and not self.client


@dataclass
class Stage:
    """The gateway, and the names of things: of the victim, of nobody, of the other client."""

    gateway: Running
    session: aiohttp.ClientSession
    actors: dict[str, Actor]
    theirs: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    before: dict[str, dict[str, Told]] = field(default_factory=dict)
    after: dict[str, dict[str, Told]] = field(default_factory=dict)
    victims: dict[str, Told] = field(default_factory=dict)

    async def ask(self, actor: Actor, ask: walking.Ask) -> Told:
        url = f"{self.gateway.url}{ask.path}"
        if ask.query:
            url += f"?{urlencode(ask.query)}"
        headers = {"Sec-Fetch-Site": "same-origin", **actor.headers}
        as_json = isinstance(ask.body, dict) and not ask.door.path.startswith("/console")
        sent: dict[str, Any] = {"json": ask.body} if as_json else {"data": ask.body} if ask.body else {}
        async with self.session.request(
            ask.door.method, url, headers=headers, cookies=actor.cookies, allow_redirects=False, **sent
        ) as response:
            streams = "event-stream" in response.headers.get("Content-Type", "")
            raw = await (response.content.readuntil(b"\n\n") if streams else response.read())
            kept = {k: v for k, v in response.headers.items() if k not in ("Date", "Request-Id", "Content-Length")}
            return Told(response.status, kept, raw.decode("utf-8", "replace"))


# --- the two tenants ----------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("isolation")
    jar = aiohttp.DummyCookieJar()
    async with (
        running(folder, edit=two_tenants, phones=True) as gateway,
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        made = Stage(gateway, session, await _actors(gateway))
        made.missing = _missing(gateway)
        made.before = {name: await _shown(made, made.actors[name]) for name in ("client", "user")}
        async with recording() as hook:
            await _furnish(made, hook.url)
            made.after = {name: await _shown(made, made.actors[name]) for name in made.before}
            made.victims = await _shown(made, made.actors["victim"])
            yield made


async def _actors(gateway: Running) -> dict[str, Actor]:
    rights = {role: frozenset(str(one) for one in rights) for role, rights in _rights().items()}
    actors = [
        Actor(""),
        Actor("client", {"Auth-username": "other", "Auth-password": PASSWORD}, client="other"),
        Actor("victim", {"Auth-username": "demo", "Auth-password": PASSWORD}, client="demo"),
        Actor("admin", {"Authorization": f"Bearer {ADMIN}"}),
    ]
    for role in ("viewer", "operator", "owner"):
        cookies = await console.cookie(gateway.gateway, await console.user(gateway.gateway, role))
        actors.append(Actor(role, cookies=cookies, rights=rights[role]))
    user = await console.user(gateway.gateway, "client", client_id="other", name="scoped")
    cookies = await console.cookie(gateway.gateway, user)
    actors.append(Actor("user", cookies=cookies, rights=rights["client"], client="other"))
    return {one.name: one for one in actors}


def _rights() -> dict[str, frozenset[Right]]:
    return {
        role.value: frozenset(right for right in Right if Visitor("", "", role, "", "", "").may(right)) for role in Role
    }


async def _furnish(stage: Stage, hook_url: str) -> None:
    """Let everything there is happen to the victim, and remember its names."""
    gateway, store = stage.gateway, stage.gateway.gateway.store
    secret = gateway.sandbox.sandbox.config.telegram.secret_token
    person = {"id": ADDRESS, "is_bot": False, "first_name": NAME}
    photo = [{"file_id": "a-photo", "file_unique_id": "u", "width": 9, "height": 9, "file_size": 9}]
    message = {"message_id": 71, "from": person, "chat": {"id": ADDRESS, "type": "private"}, "date": 1_790_000_000}
    own = {"phone_number": PHONE, "first_name": NAME, "user_id": ADDRESS}
    for number, more in enumerate(({"text": ANSWER}, {"photo": photo}, {"contact": own})):
        update = {"update_id": 900_100 + number, "message": {**message, "message_id": 71 + number, **more}}
        where, headers = f"{gateway.url}/webhooks/demo-tg", {"X-Telegram-Bot-Api-Secret-Token": secret}
        async with stage.session.post(where, json=update, headers=headers) as response:
            assert response.status == 200
    wanted = {"client": "demo", "url": hook_url, "dialect": "standard"}
    where = f"{gateway.url}/v1/admin/callbacks"
    async with stage.session.put(where, json=wanted, headers=stage.actors["admin"].headers) as response:
        endpoint = (await response.json())["data"]["id"]
    status, _, answer = await gateway.send("telegram", body(id="id-of-the-victim", body={"text": TEXT}))
    assert status == 200, answer
    tid = answer["data"]["tid"]
    await gateway.until(tid, 1)
    # Nobody answers at this address: the message waits until the walk is over, or fails. Either is the victim's alone.
    status, _, failed = await gateway.send("line", body(recipient="628990000", body={"text": TEXT}))
    assert status == 200
    await gateway.until(failed["data"]["tid"], -1)
    status, _, refused = await gateway.send("whatsapp", {"id": "refused-of-the-victim"})
    assert status == 422
    await gateway.gateway.console.requests.flush()
    number = await store.quarantine(
        Unread("demo-tg", b'{"' + ANSWER.encode(), "it is no JSON", gateway.gateway.clock.now())
    )
    owner = stage.actors["owner"]
    async with stage.session.post(
        f"{gateway.url}/console/templates/demo-wa/sync",
        headers={"Sec-Fetch-Site": "same-origin"},
        cookies=owner.cookies,
        allow_redirects=False,
    ) as response:
        assert response.status == 303
    user = await console.user(gateway.gateway, "client", client_id="demo", name="somebody-of-the-victim")
    access = gateway.gateway.console.access
    done = await access.by_link(await access.new_link(user.id), BROWSER)

    async def delivered() -> bool:
        rows = await store.callbacks(endpoint)
        return bool(rows) and all(row.tries for row in rows)

    await eventually(delivered)
    events = await store.events("demo", after=0, limit=100)
    media = next(one for one in events if '"photo"' in str(one) or "a-photo" in str(one))
    link = urlsplit(gateway.gateway.app.state.link(media, 0)[0]).path.split("/")
    record = await gateway.message(tid)
    references = gateway.gateway.console.references
    stage.theirs |= {
        **_ALIKE,
        "tid": tid,
        "message_id": "id-of-the-victim",
        "platform_id": record["parts"][0]["provider_message_ids"][0],
        "text": TEXT,
        "phone": PHONE,
        "recipient": f"tg:{ADDRESS}",
        "address": str(ADDRESS),
        "account_id": "demo-tg",
        "account": "demo-tg",
        "whatsapp_account": "demo-wa",
        "client_id": "demo",
        "client": "demo",
        "endpoint_id": endpoint,
        "endpoint_url": hook_url,
        "position": str((await store.callbacks(endpoint))[0].position),
        "number": str(number),
        "user_id": user.id,
        "user_name": user.name,
        "session_id": done.session.id,
        "request_id": refused["instance"].rpartition("/")[2],
        "reference": references.of("contact", "demo-tg", str(ADDRESS)),
        "name": "order_update",
        "template": "order_update",
        "media_position": str(media.position),
        "until": link[-2],
        "signature": link[-1],
        "q": TEXT,
        "id": "id-of-the-victim",
    }
    assert link[1:3] == ["media", "demo-tg"]
    stage.own |= {"account_id": "other-tg", "account": "other-tg", "client_id": "other", "client": "other"}


def _missing(gateway: Running) -> dict[str, str]:
    """Return names of the same form that nothing has."""
    references = gateway.gateway.console.references
    return {
        **_ALIKE,
        "tid": str(uuid7()),
        "message_id": "id-of-nobody-at-all",
        "platform_id": "99887766",
        "text": "marmalade-of-nobody",
        "phone": "6281290000001",
        "recipient": "tg:777000222",
        "address": "777000222",
        "account_id": "nope-tg",
        "account": "nope-tg",
        "whatsapp_account": "nope-wa",
        "client_id": "nope",
        "client": "nope",
        "endpoint_id": str(uuid7()),
        "endpoint_url": "http://127.0.0.1:9/hook",
        "position": "999999",
        "number": "999999",
        "user_id": str(uuid7()),
        "user_name": "somebody-of-nobody",
        "session_id": str(uuid7()),
        "request_id": "req_" + "0" * 32,
        "reference": references.of("contact", "demo-tg", "777000222"),
        "name": "no_update",
        "template": "no_update",
        "media_position": "999999",
        "until": "4102444800",
        "signature": "A" * 24,
        "q": "marmalade-of-nobody",
        "id": "id-of-nobody-at-all",
    }


_NEW = (
    (re.compile(r"req_[0-9a-f]{32}"), "<request>"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?"), "<time>"),
    (re.compile(r"messages-\d{8}-\d{6}"), "<file>"),
    (re.compile(r"(?<=<dt>Token age</dt><dd>)[^<]*"), "<age>"),
    # A new second factor is offered on each look at one's own page.
    (re.compile(r'(?<=name="secret" value=")[A-Z2-7]{32}|(?<=<path d=")[^"]*|(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}'), "<new>"),
)


def _plain(told: Told, ask: walking.Ask, names: dict[str, str]) -> Told:
    """Return an answer without what differs each time, and without what was asked for, which may stand there again."""
    query = urlencode(ask.query)
    asked = [
        f"{ask.path}?{query}",
        ask.path,
        *([query] if query else []),
        *(text for text in names.values() if len(text) > 2),
    ]
    asked += [word for _, text in ask.query for word in (f'"next":"{text}"', f"id: {text}\n")]
    forms = {
        form for text in asked for form in (text, quote(text, safe=""), html.escape(text), quote(quote(text), safe=""))
    }
    ordered = sorted(forms, key=len, reverse=True)

    def cut(text: str) -> str:
        for form in ordered:
            text = text.replace(form, "<asked>")
        for pattern, word in _NEW:
            text = pattern.sub(word, text)
        return text

    return Told(told.status, {name: cut(value) for name, value in told.headers.items()}, cut(told.text))


def _variants(stage: Stage, door: Door) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Return pairs of names to compare: with things of the victim, and with nothing in their place.

    Beside all of them at once each combination is taken in which some are the asker's own.
    """
    found = walking.places(door)
    mixed = sorted(found & set(stage.own))
    pairs = []
    for choice in product((False, True), repeat=len(mixed)):
        own = {name: stage.own[name] for name, mine in zip(mixed, choice, strict=True) if mine}
        if len(own) < len(mixed) or not mixed or found - set(mixed):
            pairs.append(({**stage.theirs, **own}, {**stage.missing, **own}))
    return pairs


async def _shown(stage: Stage, actor: Actor) -> dict[str, Told]:
    """Return what every GET shows that the actor may make and that names nothing, or something that is not there."""
    shown = {}
    for door in walking.doors(stage.gateway.gateway):
        if door.method in SAFE and actor.is_let_in(door) and not walking.places(door) & set(_PATHS.findall(door.path)):
            for ask in walking.asks(door, stage.missing):
                shown[f"{door} {ask.query}"] = _plain(await stage.ask(actor, ask), ask, {})
    return shown


async def _differing(stage: Stage, actor: Actor, door: Door) -> list[str]:
    """Return how the door answers differently for the victim's things and for none."""
    found = []
    for theirs, missing in _variants(stage, door):
        for one, other in zip(walking.asks(door, theirs), walking.asks(door, missing), strict=True):
            if one == other:
                continue
            said = _plain(await stage.ask(actor, one), one, theirs)
            nothing = _plain(await stage.ask(actor, other), other, missing)
            if said != nothing:
                lines = difflib.ndiff(repr(nothing).split("\\n"), repr(said).split("\\n"))
                found.append(
                    f"{door} {one.path} {one.query} {one.body}: " + " | ".join(x for x in lines if x[0] in "+-")[:500]
                )
    return found


# --- the walk -----------------------------------------------------------------------------------------------------------


async def test_what_one_is_shown_does_not_change_by_what_another_does(stage):
    """Looked at before the walks below, which are noted where the asker looks, rightly."""
    for name, before in stage.before.items():
        assert len(before) > 5
        assert [one for one in before if before[one] != stage.after[name][one]] == [], name


async def test_a_phone_is_not_read_by_the_country_of_another_client(stage):
    """The region of the victim is Indonesia, the other client has none: its «0812…» is no phone yet."""
    whole = {**stage.theirs, "q": f"0{PHONE[2:]}"}
    door = next(one for one in walking.doors(stage.gateway.gateway) if str(one) == "GET /console/contacts")
    ask = next(one for one in walking.asks(door, whole) if ("q", whole["q"]) in one.query)
    asked_of = {name: (await stage.ask(stage.actors[name], ask)).text for name in ("owner", "user")}
    assert "default_region" not in asked_of["owner"]
    assert "default_region" in asked_of["user"]


async def test_every_route_can_be_walked(stage):
    """A new route has to say in support/walking.py what a stranger would put into it."""
    found = list(walking.doors(stage.gateway.gateway))
    assert len(found) > 150
    for door in found:
        assert list(walking.asks(door, stage.theirs)), door
    gone = set(walking.BODIES) - {(door.method, door.path) for door in found}
    assert not gone, f"there is no such route any more: {gone}"
    assert {(door.method, door.path) for door in found} >= OPEN


async def test_a_route_that_nobody_told_the_walk_about_is_seen(stage):
    with pytest.raises(walking.Unknown, match="body"):
        list(walking.asks(Door("POST", "/v1/new"), stage.theirs))
    with pytest.raises(walking.Unknown, match="secret_id"):
        list(walking.asks(Door("GET", "/v1/new/{secret_id}"), stage.theirs))
    with pytest.raises(walking.Unknown, match="whose"):
        list(walking.asks(Door("GET", "/v1/new", ("whose",)), stage.theirs))


async def test_the_things_that_are_looked_for_are_there(stage):
    """The control: who may see a thing is answered otherwise than for a thing that is not there, at every door."""
    looked = 0
    for door in walking.doors(stage.gateway.gateway):
        if door.method not in SAFE or not walking.places(door) & set(_PATHS.findall(door.path)):
            continue
        if (door.method, door.path) in OPEN or door.mounted or door.path.startswith("/webhooks/"):
            continue
        name = "owner" if door.right else "admin" if door.path.startswith("/v1/admin/") else "victim"
        assert await _differing(stage, stage.actors[name], door), f"{door} shows {name} nothing of what is there"
        looked += 1
    assert looked > 25


ROLES = ["", "client", "user", "viewer", "operator", "owner", "admin"]


@pytest.mark.parametrize("name", ROLES)
async def test_who_is_not_let_in_is_told_so_and_nothing_else(stage, name):
    actor, wrong = stage.actors[name], []
    for door in walking.doors(stage.gateway.gateway):
        if actor.is_let_in(door) or (door.method, door.path) in OPEN:
            continue
        told = []
        for names in (stage.theirs, stage.missing):
            ask = next(walking.asks(door, names))
            said = await stage.ask(actor, ask)
            told.append(_plain(said, ask, names))
            if said.status == 303:
                assert urlsplit(said.headers["Location"]).path == "/console/sign-in", door
            elif not door.path.startswith("/media/"):  # where the signature is the permission
                assert said.status in (401, 403), (str(door), said)
        if told[0] != told[1] and not door.path.startswith("/media/"):
            wrong.append((str(door), told))
    assert not wrong


@pytest.mark.parametrize("name", ["", "client", "user"])
async def test_what_is_not_ones_own_is_answered_as_what_is_not_there(stage, name):
    actor, wrong = stage.actors[name], []
    for door in walking.doors(stage.gateway.gateway):
        opened = actor.is_let_in(door) or (door.method, door.path) in OPEN
        if opened and (door.path != "/console/sign-out" or not actor.rights):
            wrong += await _differing(stage, actor, door)
    assert not wrong, "\n".join(wrong)


async def test_the_walk_has_changed_nothing_of_the_victims(stage):
    """Every POST and DELETE that the walks before this test made was somebody's who may not."""
    now = await _shown(stage, stage.actors["victim"])
    assert [one for one in now if now[one] != stage.victims[one]] == []
    for door in walking.doors(stage.gateway.gateway):
        if door.method == "GET" and door.path in ("/v1/messages/{tid}", "/v1/contacts/{channel}/{address}"):
            for ask in walking.asks(door, stage.theirs):
                said = await stage.ask(stage.actors["victim"], ask)
                if not ask.query:
                    assert said.status == 200, ask
