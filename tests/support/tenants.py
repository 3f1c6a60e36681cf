"""Two clients on one gateway: one to whom everything there is has happened, and another; and everybody who may ask."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from kurir.clock import uuid7
from kurir.console.rights import Right, Role, Visitor
from kurir.store.inbound import Unread
from support import console, walking
from support.bodies import body
from support.console import BROWSER
from support.delivering import eventually
from support.servers import PASSWORD, Running
from support.walking import ADMINISTRATORS, CLIENTS, OPEN, Door

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
ALIKE = {
    "seq": "999999",
    "people_cursor": "",
    "messages_cursor": "bTk5OTk5OQ",
    "contacts_cursor": "YQBh",
    "number_of_status": "1",
    "file_number": "0",
    "after": "",
    "before": "",
}
PATHS = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")


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
        if door.path.startswith(ADMINISTRATORS):
            return self.name == "admin"
        return self.name in ("client", "victim") and door.path.startswith(CLIENTS)

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


async def actors_of(gateway: Running) -> dict[str, Actor]:
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


async def furnish(stage: Stage, hook_url: str) -> None:
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
        **ALIKE,
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


def missing_of(gateway: Running) -> dict[str, str]:
    """Return names of the same form that nothing has."""
    references = gateway.gateway.console.references
    return {
        **ALIKE,
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
