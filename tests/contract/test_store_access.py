"""What every store promises of the console's own: users, sessions, links that let in once, the audit, the log of requests."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from kurir.clock import uuid7
from kurir.domain.problem import Problem
from kurir.store.access import (
    REQUEST_LIFE,
    SESSION_IDLE,
    AuditFilter,
    AuditRecord,
    RequestFilter,
    RequestRecord,
    SessionRecord,
    UserChange,
    UserOutcome,
    UserRecord,
)
from kurir.store.operations import access as operations
from support.records import ACCOUNT, CLIENT, OTHER_CLIENT, T0, at

HOUR = timedelta(hours=1)


def user(name: str = "anna", role: str = "owner", **more) -> UserRecord:
    return UserRecord(uuid7(), name, role, created_at=T0, **more)


async def added(store, name: str = "anna", role: str = "owner", **more) -> UserRecord:
    made = user(name, role, **more)
    assert await store.put_user(made, T0)
    return made


def session(of: UserRecord, seen: float = 0, name: str = "") -> SessionRecord:
    return SessionRecord(name or uuid7(), of.id, at(0), at(seen), "192.0.2.7", "Firefox")


async def named(store, name: str) -> UserRecord:
    found = await store.user_named(name)
    assert found is not None
    return found


# --- users --------------------------------------------------------------------------------------------------------------


async def test_a_user_comes_back_as_it_was_put(store):
    made = user(client_id=CLIENT, role="client", password_hash="$argon2", totp=b"\x00\xff", language="ja")
    assert await store.put_user(made, T0)
    assert await store.user_named("anna") == made
    assert await store.user_named("Anna") is None
    assert await store.users() == [made]


async def test_users_are_listed_by_name(store):
    for name in ("zoe", "anna", "mo"):
        await added(store, name)
    assert [one.name for one in await store.users()] == ["anna", "mo", "zoe"]


async def test_a_name_is_one_users(store):
    await added(store)
    assert not await store.put_user(user(), T0)
    assert len(await store.users()) == 1


async def test_the_first_owner_is_one_alone_even_of_many_at_once(store):
    tries = [store.put_user(user(f"owner{number}"), T0, first=True) for number in range(5)]
    assert sorted(await asyncio.gather(*tries)) == [False, False, False, False, True]
    assert len(await store.users()) == 1


async def test_a_change_changes_what_it_names_and_nothing_else(store):
    made = await added(store, password_hash="old", totp=b"sealed")
    await added(store, "zoe")
    change = UserChange(language="th")
    assert await store.change_user(made.id, change, at(1)) is UserOutcome.DONE
    assert await named(store, "anna") == replace(made, language="th")
    change = UserChange(name="ann", role="viewer", client_id="", password_hash="new", totp=b"", enabled=False)
    assert await store.change_user(made.id, change, at(2)) is UserOutcome.DONE
    expected = UserRecord(made.id, "ann", "viewer", "", "new", b"", 0, "th", enabled=False, created_at=T0)
    assert await named(store, "ann") == expected


async def test_two_who_change_one_user_at_once_lose_nothing(store):
    made = await added(store)
    changes = (UserChange(language="th"), UserChange(password_hash="new"), UserChange(totp=b"sealed"))
    await asyncio.gather(*(store.change_user(made.id, one, T0) for one in changes))
    assert await named(store, "anna") == replace(made, language="th", password_hash="new", totp=b"sealed")


async def test_a_change_to_anothers_name_changes_nothing(store):
    made, _ = await added(store), await added(store, "zoe")
    change = UserChange(name="zoe", role="viewer")
    assert await store.change_user(made.id, change, T0) is UserOutcome.TAKEN
    assert await named(store, "anna") == made


async def test_who_is_not_there_is_neither_changed_nor_removed(store):
    await added(store)
    assert await store.change_user("nobody", UserChange(enabled=False), T0) is UserOutcome.GONE
    assert await store.remove_user("nobody") is UserOutcome.GONE


@pytest.mark.parametrize(
    "change", [UserChange(enabled=False), UserChange(role="viewer"), UserChange(role="client", client_id=CLIENT), None]
)
async def test_the_last_enabled_owner_stays_one(store, change):
    made = await added(store)
    await added(store, "zoe", "operator")
    await added(store, "old", enabled=False)

    async def act(of: UserRecord) -> UserOutcome:
        return await store.remove_user(of.id) if change is None else await store.change_user(of.id, change, T0)

    assert await act(made) is UserOutcome.LAST_OWNER
    assert await named(store, "anna") == made
    await added(store, "second")
    assert await act(made) is UserOutcome.DONE


async def test_of_two_owners_who_remove_each_other_at_once_one_is_left(store):
    one, two = await added(store), await added(store, "zoe")
    outcomes = await asyncio.gather(store.remove_user(one.id), store.change_user(two.id, UserChange(enabled=False), T0))
    assert sorted(outcomes) == ["done", "last_owner"]
    assert [owner.enabled for owner in await store.users() if owner.enabled] == [True]


async def test_a_code_of_a_time_step_is_used_once(store):
    made = await added(store)
    assert await store.use_totp(made.id, 100)
    assert not await store.use_totp(made.id, 100)
    assert not await store.use_totp(made.id, 99)
    assert await store.use_totp(made.id, 101)
    assert sum(await asyncio.gather(*(store.use_totp(made.id, 200) for _ in range(8)))) == 1


async def test_changing_a_user_does_not_let_a_used_code_in_again(store):
    made = await added(store)
    assert await store.use_totp(made.id, 100)
    await store.change_user(made.id, UserChange(totp=b"another"), T0)
    assert not await store.use_totp(made.id, 100)


# --- sessions and links -------------------------------------------------------------------------------------------------


async def test_a_session_comes_back_with_its_user(store):
    made = await added(store)
    opened = session(made)
    await store.open_session(b"digest", opened)
    assert await store.session(b"digest") == (opened, replace(made, signed_in_at=opened.created_at))
    assert await store.session(b"another") is None


async def test_a_session_is_touched_forward_only(store):
    made = await added(store)
    await store.open_session(b"digest", session(made))
    for seconds, seen in ((60, 60), (30, 60), (61, 61)):
        await store.touch_session(b"digest", at(seconds))
        found = await store.session(b"digest")
        assert found is not None
        assert found[0].seen_at == at(seen)


async def test_sessions_end_one_or_all_but_one(store):
    made, other = await added(store), await added(store, "zoe")
    for number in range(4):
        await store.open_session(b"%d" % number, session(made, number, f"s{number}"))
    await store.open_session(b"other", session(other, 0, "so"))
    assert [one.id for one in await store.sessions(made.id)] == ["s3", "s2", "s1", "s0"]
    assert await store.close_sessions(made.id, only="s1") == 1
    assert await store.close_sessions(made.id, only="so") == 0
    assert await store.close_sessions(made.id, but="s3") == 2
    assert [one.id for one in await store.sessions(made.id)] == ["s3"]
    assert await store.close_sessions(made.id) == 1
    assert await store.session(b"other") is not None


async def test_who_is_disabled_has_no_session_and_no_link_and_gets_none_back(store):
    made = await added(store, role="viewer")
    await store.open_session(b"digest", session(made))
    await store.put_sign_in_link(b"link", made.id, at(3600))
    await store.change_user(made.id, UserChange(enabled=False), T0)
    assert await store.session(b"digest") is None
    await store.change_user(made.id, UserChange(enabled=True), T0)
    assert await store.session(b"digest") is None
    assert await store.use_sign_in_link(b"link", at(1)) is None


async def test_a_session_of_a_disabled_user_lets_nobody_in_however_it_came_to_be(store):
    made = await added(store, role="viewer", enabled=False)
    await store.open_session(b"digest", session(made))
    assert await store.session(b"digest") is None


async def test_who_is_removed_leaves_nothing(store):
    await added(store)
    made = await added(store, "zoe", "viewer")
    await store.open_session(b"digest", session(made))
    await store.put_sign_in_link(b"link", made.id, at(3600))
    assert await store.remove_user(made.id) is UserOutcome.DONE
    assert await store.session(b"digest") is None
    assert await store.sign_in_link(b"link", at(1)) is None
    assert [one.name for one in await store.users()] == ["anna"]


async def test_a_link_lets_in_once_even_of_many_at_once(store):
    await store.put_sign_in_link(b"link", "someone", at(10))
    assert await store.sign_in_link(b"link", at(9)) == "someone"
    found = await asyncio.gather(*(store.use_sign_in_link(b"link", at(9)) for _ in range(8)))
    assert sorted(found, key=str) == [None] * 7 + ["someone"]
    assert await store.sign_in_link(b"link", at(9)) is None


async def test_a_link_that_has_expired_lets_nobody_in(store):
    await store.put_sign_in_link(b"link", "", at(10))
    assert await store.sign_in_link(b"link", at(10)) is None
    assert await store.use_sign_in_link(b"link", at(10)) is None
    assert await store.use_sign_in_link(b"link", at(9.9)) == ""


async def test_a_new_password_ends_the_links(store):
    made = await added(store)
    await store.put_sign_in_link(b"link", made.id, at(10))
    await store.change_user(made.id, UserChange(language="es"), T0)
    assert await store.sign_in_link(b"link", T0) == made.id
    await store.change_user(made.id, UserChange(password_hash="new"), T0)
    assert await store.sign_in_link(b"link", T0) is None


# --- the audit ----------------------------------------------------------------------------------------------------------


def noted(seconds: float = 0, **more) -> AuditRecord:
    plain = AuditRecord(at(seconds), "anna", "console", "192.0.2.7", "client_changed", "client", CLIENT)
    return replace(plain, **more)


async def numbers(store, limit: int = 100, **more) -> list[int]:
    return [one.number for one in await store.audit(AuditFilter(**more), limit)]


async def test_the_audit_comes_back_newest_first_and_page_by_page(store):
    entries = [noted(number, subject=f"s{number}", before='{"a": 1}', after='{"a": 2}') for number in range(5)]
    await store.add_audit(entries)
    found = await store.audit(AuditFilter(), 100)
    assert [replace(one, number=0) for one in found] == entries[::-1]
    assert len({one.number for one in found}) == 5
    first = await store.audit(AuditFilter(), 2)
    rest = await store.audit(AuditFilter(before=first[-1].number), 100)
    assert first + rest == found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"actor": "zoe"}, [1]),
        ({"action": "client_added"}, [2]),
        ({"kind": "user"}, [3]),
        ({"kind": "client", "subject": "other"}, [4]),
        ({"via": "api"}, [5]),
        ({"since": at(5)}, [5]),
        ({"client_ids": (OTHER_CLIENT,)}, [0]),
        ({"client_ids": ()}, []),
        ({"client_ids": None}, [5, 4, 3, 2, 1, 0]),
    ],
)
async def test_the_audit_is_narrowed(store, more, expected):
    entries = [
        noted(0, client_id=OTHER_CLIENT),
        noted(1, actor="zoe"),
        noted(2, action="client_added"),
        noted(3, kind="user"),
        noted(4, subject="other"),
        noted(5, via="api"),
    ]
    for one in entries:
        await store.add_audit([one])
    found = await store.audit(AuditFilter(**more), 100)
    assert [round((one.at - T0).total_seconds()) for one in found] == expected


# --- requests -----------------------------------------------------------------------------------------------------------


def asked(seconds: float = 0, **more) -> RequestRecord:
    plain = RequestRecord(
        at(seconds),
        "req_1",
        CLIENT,
        "POST",
        "/whatsapp/send/acme",
        422,
        "invalid_message",
        "why",
        (Problem("/type", "unsupported_value", "type «ß» is unknown"), Problem("", "missing", "x")),
        1234,
        "192.0.2.7",
        "curl",
        '{"type": "ß"}',
    )
    return replace(plain, **more)


async def test_requests_come_back_newest_first_and_page_by_page(store):
    made = [asked(number, request_id=f"req_{number}") for number in range(5)]
    await store.add_requests(made)
    found = await store.requests(RequestFilter(), 100)
    assert [replace(one, number=0) for one in found] == made[::-1]
    first = await store.requests(RequestFilter(), 2)
    assert first + await store.requests(RequestFilter(before=first[-1].number), 100) == found
    assert await store.request(found[0].number) == found[0]
    assert await store.request(found[0].number + 1) is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"client_ids": (CLIENT,)}, [3, 2, 0]),
        ({"client_ids": ("",)}, [1]),
        ({"client_ids": ()}, []),
        ({"code": "not_found"}, [2]),
        ({"status": 404}, [2]),
        ({"request_id": "req_x"}, [3]),
        ({"request_id": "req_x", "client_ids": (OTHER_CLIENT,)}, []),
    ],
)
async def test_requests_are_narrowed(store, more, expected):
    await store.add_requests(
        [asked(0), asked(1, client_id=""), asked(2, code="not_found", status=404), asked(3, request_id="req_x")]
    )
    found = await store.requests(RequestFilter(**more), 100)
    assert [round((one.at - T0).total_seconds()) for one in found] == expected


async def test_refused_requests_are_grouped_by_error_and_client(store):
    await store.add_requests(
        [
            asked(0),
            asked(1),
            asked(2, client_id=OTHER_CLIENT),
            asked(3, code="not_found", status=404),
            asked(4, code="", status=200),
            asked(-60),
        ]
    )
    found = await store.request_groups(None, T0, 10)
    assert [(one.code, one.client_id, one.count, one.last_at) for one in found] == [
        ("invalid_message", CLIENT, 2, at(1)),
        ("invalid_message", OTHER_CLIENT, 1, at(2)),
        ("not_found", CLIENT, 1, at(3)),
    ]
    newest = await store.requests(RequestFilter(code="invalid_message", client_ids=(CLIENT,)), 2)
    assert found[0].last_number == max(one.number for one in newest if one.at >= T0)
    assert [one.client_id for one in await store.request_groups((OTHER_CLIENT,), T0, 10)] == [OTHER_CLIENT]
    assert await store.request_groups((), T0, 10) == []
    assert len(await store.request_groups(None, T0, 1)) == 1


# --- upkeep -------------------------------------------------------------------------------------------------------------


async def test_what_lets_nobody_in_any_more_goes_and_the_audit_stays(store):
    made = await added(store)
    now = T0 + 30 * 24 * HOUR
    await store.open_session(b"old", replace(session(made), seen_at=now - SESSION_IDLE - HOUR))
    await store.open_session(b"new", replace(session(made), seen_at=now - HOUR))
    await store.put_sign_in_link(b"old link", made.id, now)
    await store.put_sign_in_link(b"new link", made.id, now + HOUR)
    await store.add_requests([asked(0), replace(asked(), at=now - REQUEST_LIFE - HOUR), replace(asked(), at=now)])
    await store.add_audit([noted(0)])
    assert await store.purge_access(now, 1) == 3
    assert await store.purge_access(now, 100) == 1
    assert await store.purge_access(now, 100) == 0
    assert await store.session(b"old") is None
    assert await store.session(b"new") is not None
    assert await store.sign_in_link(b"new link", T0) == made.id
    assert await store.sign_in_link(b"old link", T0) is None
    assert [one.at for one in await store.requests(RequestFilter(), 10)] == [now]
    assert len(await store.audit(AuditFilter(), 10)) == 1


async def test_of_a_flood_of_requests_the_newest_are_kept(store, monkeypatch):
    monkeypatch.setattr(operations, "REQUESTS_KEPT", 3)
    await store.add_requests([asked(number) for number in range(10)])
    assert await store.purge_access(at(60), 4) == 4
    assert await store.purge_access(at(60), 4) == 3
    assert await store.purge_access(at(60), 4) == 0
    assert [one.at for one in await store.requests(RequestFilter(), 10)] == [at(9), at(8), at(7)]


async def test_erasing_a_person_deletes_the_requests_that_name_them(store):
    bodies = ['{"recipient": "081-2345 6789"}', '{"recipient": "+62812345678 9"}', '{"recipient": "62899999999"}', ""]
    await store.add_requests([asked(number, body=body) for number, body in enumerate(bodies)])
    await store.add_requests([asked(4, path="/v1/contacts/messenger/6915551234567890", body="")])
    await store.add_requests([asked(5, client_id=OTHER_CLIENT, body=bodies[1])])
    await store.forget(CLIENT, ACCOUNT, ("628123456789", "6915551234567890"), at(60))
    assert [round((one.at - T0).total_seconds()) for one in await store.requests(RequestFilter(), 10)] == [5, 3, 2]


async def test_the_database_says_what_it_is(store):
    facts = await store.engine_facts()
    assert facts.engine in ("SQLite", "PostgreSQL")
    assert facts.version[0].isdigit()
    assert facts.schema >= 3
    assert facts.size > 0
    assert not facts.replica
    if facts.engine == "SQLite":
        assert facts.settings == {"journal_mode": "WAL", "synchronous": "FULL"}
    else:
        assert set(facts.settings) == {"fsync", "synchronous_commit", "full_page_writes"}
        assert facts.now is not None
