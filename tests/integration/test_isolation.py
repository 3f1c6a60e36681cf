"""Nobody learns of another client's things: every route of the application is walked as everybody who may not see them.

What is asked for by the id of somebody else's thing is answered as what is asked for by an id that nothing has: same status,
same headers, same words. And what one client is shown does not change by anything that another one does.
"""

import difflib
import html
import re
from collections.abc import AsyncIterator
from itertools import product
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio

from kurir.store.access import UserChange
from support import console, walking
from support.endpoint import recording
from support.servers import PASSWORD, running
from support.tenants import PATHS, PHONE, Actor, Stage, Told, actors_of, furnish, missing_of, two_tenants
from support.walking import OPEN, SAFE, Door

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("isolation")
    jar = aiohttp.DummyCookieJar()
    async with (
        running(folder, edit=two_tenants, phones=True) as gateway,
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        made = Stage(gateway, session, await actors_of(gateway))
        made.missing = missing_of(gateway)
        made.before = {name: await _shown(made, made.actors[name]) for name in ("client", "user")}
        async with recording() as hook:
            await furnish(made, hook.url)
            made.after = {name: await _shown(made, made.actors[name]) for name in made.before}
            made.victims = await _shown(made, made.actors["victim"])
            yield made


_NEW = (
    (re.compile(r"req_[0-9a-f]{32}"), "<request>"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?"), "<time>"),
    (re.compile(r"/media/demo-tg/\d+/\d/\d+/[A-Za-z0-9_-]+"), "<link>"),
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
        if door.method in SAFE and actor.is_let_in(door) and not walking.places(door) & set(PATHS.findall(door.path)):
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


async def test_nobody_learns_who_exists_by_failing_to_log_in(stage):
    """The same answer for whoever is there and whoever is not. That it takes the same time `bench/logins.py` measures."""
    gateway, admin = stage.gateway, stage.actors["admin"].headers
    where = f"{gateway.url}/v1/admin/clients"
    for path, wanted in (
        ("", {"id": "gone"}),
        ("/gone/disable", None),
        ("", {"id": "far", "allow_from": ["192.0.2.0/24"]}),
    ):
        async with stage.session.post(where + path, json=wanted, headers=admin) as response:
            assert response.status == 200, await response.text()
            password = (await response.json())["data"]["password"] or PASSWORD
    access, now = gateway.gateway.console.access, gateway.gateway.clock.now()
    for name, enabled, known in (("known", True, True), ("off", False, True), ("by-link", True, False)):
        user = await console.user(gateway.gateway, "viewer", name=name)
        if known:
            assert await access.set_password(user, name, PASSWORD, "")
        if not enabled:
            await access.store.change_user(user.id, UserChange(enabled=False), now)
    told = []
    for name, given in (("demo", "wrong"), ("nobody", "wrong"), ("gone", "wrong"), ("far", password)):
        headers = {"Auth-username": name, "Auth-password": given}
        async with stage.session.post(f"{gateway.url}/telegram/send/demo", json={}, headers=headers) as response:
            ask = walking.Ask(Door("POST", ""), "/telegram/send/demo", (), None)
            told.append(_plain(Told(response.status, {}, await response.text()), ask, {}))
    assert told[0].status == 401
    assert told == [told[0]] * 4
    pages = []
    for name, given in (("known", "wrong"), ("nobody", "wrong"), ("off", PASSWORD), ("by-link", "wrong")):
        fields, headers = {"name": name, "password": given}, {"Sec-Fetch-Site": "same-origin"}
        async with stage.session.post(f"{gateway.url}/console/sign-in", data=fields, headers=headers) as response:
            ask = walking.Ask(Door("POST", ""), "/console/sign-in", (), None)
            page = (await response.text()).replace(f'value="{name}"', 'value="<name>"')
            pages.append(_plain(Told(response.status, {}, page), ask, {}))
    assert pages[0].status == 401
    assert pages == [pages[0]] * 4


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
        if door.method not in SAFE or not walking.places(door) & set(PATHS.findall(door.path)):
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
    assert len(now) > 5
    assert [one for one in now if now[one] != stage.victims[one]] == []
    for door in walking.doors(stage.gateway.gateway):
        if door.method == "GET" and door.path in ("/v1/messages/{tid}", "/v1/contacts/{channel}/{address}"):
            for ask in walking.asks(door, stage.theirs):
                said = await stage.ask(stage.actors["victim"], ask)
                if not ask.query:
                    assert said.status == 200, ask
