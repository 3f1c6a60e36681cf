"""People in the console: found by any spelling, shown over channels, linked, erased, and masked until they are revealed."""

import re
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kurir.store.access import AuditFilter
from kurir.store.base import ContactRecord
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import Running, running

#: The sandbox's second person, who is linked on every channel.
BUDI = "6281234567890"
TELEGRAM = "1001"


def with_another(document: dict[str, Any]) -> None:
    document["clients"]["other"] = {"username": "other", "password": "another correct battery", "accounts": []}


def masked(document: dict[str, Any]) -> None:
    with_another(document)
    document["mask"] = True


def with_region(document: dict[str, Any]) -> None:
    with_another(document)
    document["clients"]["demo"]["default_region"] = "ID"


@asynccontextmanager
async def console(tmp_path, role: str = "owner", *, edit=with_another, client_id: str = ""):
    async with running(tmp_path, edit=edit) as gateway, signed_in(gateway, role, client_id=client_id) as browser:
        yield gateway, browser


def references(page: str) -> list[str]:
    return re.findall(r'data-open href="/console/contacts/([\w-]+)"', page)


async def of(gateway: Running, account: str = "demo-tg", address: str = TELEGRAM) -> str:
    return gateway.gateway.console.references.of("contact", account, address)


async def audited(gateway: Running, action: str) -> list[Any]:
    return list(await gateway.gateway.console.access.store.audit(AuditFilter(action=action), 10))


@pytest.mark.parametrize("typed", ["6281234567890", "%2B62 812-3456-7890", "0812 3456 7890"])
async def test_a_phone_in_any_spelling_finds_the_person_on_every_channel(tmp_path, typed):
    async with console(tmp_path, edit=with_region) as (_, browser):
        page = await text(browser, f"/console/contacts?q={typed}")
        assert len(references(page)) == 4
        assert page.count("+6281234567890") == 4
        assert len(references(await text(browser, f"/console/contacts?q={typed}&channel=line"))) == 1
        assert len(references(await text(browser, f"/console/contacts?q={typed}&account=demo-fb"))) == 1


async def test_a_name_and_an_address_find_them_and_nobody_is_told_why(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        assert len(references(await text(browser, "/console/contacts?q=BUDI"))) == 4
        found = references(await text(browser, f"/console/contacts?q=tg:{TELEGRAM}"))
        assert found == [await of(gateway)]
        nobody = await text(browser, "/console/contacts?q=6289999999999")
        assert references(nobody) == []
        assert re.search(r"<details[^>]* open>", nobody), "a phone that reaches nobody is explained"
        assert "A bot cannot look a phone up" in nobody
        assert "needs the client" not in nobody
        assert "default_region" in await text(browser, "/console/contacts?q=0812")


async def test_the_pages_of_a_list_show_everybody_once(tmp_path, monkeypatch):
    monkeypatch.setattr("kurir.http.console.contacts.ROWS", 3)
    async with console(tmp_path) as (_, browser):
        seen: list[str] = []
        path: str | None = "/console/contacts"
        while path is not None:
            page = await text(browser, path)
            seen += references(page)
            more = re.search(r'rel="next" href="([^"]+)"', page)
            path = f"/console/contacts{more[1].replace('&amp;', '&')}" if more else None
        assert len(seen) == len(set(seen)) == 8


async def test_a_persons_page_shows_the_other_channels_the_window_and_the_last_messages(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        phones = gateway.sandbox.url
        async with gateway.session.post(
            f"{phones}/sandbox/phones/whatsapp/{BUDI}/acts", json={"do": "text", "text": "hello"}
        ) as response:
            assert response.status == 200
        status, _, answer = await gateway.send("telegram", body(recipient=f"tg:{TELEGRAM}"))
        assert status == 200
        await gateway.until(answer["data"]["tid"], 1)
        page = await text(browser, f"/console/contacts/{await of(gateway)}")
        assert answer["data"]["tid"] in page
        for channel, account in (("line", "demo-line"), ("messenger", "demo-fb"), ("whatsapp", "demo-wa")):
            contact = await gateway.gateway.store.contact_by_phone(account, BUDI)
            assert contact is not None, channel
            assert await of(gateway, account, contact.address) in page
        assert "This channel has no window" in page
        whatsapp = await text(browser, f"/console/contacts/{await of(gateway, 'demo-wa', BUDI)}")
        assert "The person wrote within 24 hours" in whatsapp


async def test_a_link_is_made_where_the_phone_leads_to_nobody(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        person = await of(gateway)
        await post(browser, f"/console/contacts/{person}/unlink")
        assert (await gateway.gateway.store.contact("demo-tg", TELEGRAM)).phone == ""
        whatsapp = await of(gateway, "demo-wa", BUDI)
        assert "nobody" in await text(browser, f"/console/contacts/{whatsapp}")
        fields = {"person": whatsapp, "account": "demo-fb"}
        made = await (await post(browser, "/console/contacts/links", fields, 200)).text()
        assert "https://m.me/" in made
        typed = {"phone": "+62 899 999 999", "account": "demo-line"}
        assert "nonce=" in await (await post(browser, "/console/contacts/links", typed, 200)).text()
        await post(browser, "/console/contacts/links", {"phone": "12", "account": "demo-line"}, 422)
        await post(browser, "/console/contacts/links", {"phone": BUDI, "account": "demo-wa"}, 422)
        assert len(await audited(gateway, "contact_link_made")) == 2


async def test_a_phone_is_linked_by_hand_and_a_wrong_one_is_told_at_its_field(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        person = await of(gateway)
        wrong = await (await post(browser, f"/console/contacts/{person}/link", {"phone": "abc"}, 422)).text()
        assert "A phone has 7 to 15 digits" in wrong
        await post(browser, f"/console/contacts/{person}/link", {"phone": "+62 811 222 333"})
        assert (await gateway.gateway.store.contact("demo-tg", TELEGRAM)).phone == "62811222333"
        [entry] = await audited(gateway, "contact_linked")
        assert "62811222333" not in entry.after + entry.subject
        assert TELEGRAM not in entry.subject


async def test_who_asks_to_be_erased_is_erased_and_stands_in_no_audit(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        status, _, answer = await gateway.send("telegram", body(recipient=f"tg:{TELEGRAM}"))
        assert status == 200
        await gateway.until(answer["data"]["tid"], 1)
        person = await of(gateway)
        await post(browser, f"/console/contacts/{person}/erase")
        assert await gateway.gateway.store.contact("demo-tg", TELEGRAM) is None
        await text(browser, f"/console/contacts/{person}", 404)
        assert (await gateway.message(answer["data"]["tid"]))["recipient"] == ""
        [entry] = await audited(gateway, "contact_erased")
        assert (TELEGRAM in entry.subject, BUDI in entry.subject + entry.after) == (False, False)


async def test_a_masked_page_has_no_phone_anywhere_until_it_is_revealed(tmp_path):
    async with console(tmp_path, "operator", edit=masked) as (gateway, browser):
        person = await of(gateway, "demo-wa", BUDI)
        where = f"/console/contacts/{person}"
        for path in ("/console/contacts", where):
            page = await text(browser, path)
            assert BUDI not in page
            assert BUDI[2:] not in page
            assert "Budi" not in page
        await post(browser, "/console/reveal", {"kind": "contact", "id": person, "next": where})
        assert f"+{BUDI}" in await text(browser, where)
        assert BUDI not in await text(
            browser, f"/console/contacts/{await of(gateway, 'demo-line', 'U' + '4af4980629' * 3 + 'af')}", 404
        )
        listed = await text(browser, f"/console/contacts?q={BUDI}")
        assert f">+{BUDI}" not in listed
        name = re.search(r'name="id" value="([^"]+)"', listed)[1]
        assert BUDI not in name, "what is revealed is written down, and phones are not"
        await post(browser, "/console/reveal", {"kind": "list", "id": name, "next": "/console/contacts"})
        assert f">+{BUDI}" in await text(browser, f"/console/contacts?q={BUDI}")
        assert f">+{BUDI}" not in await text(browser, "/console/contacts?q=budi"), "another list"


async def test_who_may_not_see_a_phone_cannot_search_for_it(tmp_path):
    async with console(tmp_path, "viewer", edit=masked) as (_, browser):
        assert "your role cannot search" in await text(browser, f"/console/contacts?q={BUDI}")
        everybody = references(await text(browser, "/console/contacts"))
        assert references(await text(browser, f"/console/contacts?q={BUDI}")) == everybody
        assert references(await text(browser, "/console/contacts?q=nobody")) == everybody


async def test_somebody_of_one_client_sees_and_does_nothing_of_anothers_and_a_viewer_does_nothing(tmp_path):
    async with console(tmp_path, "client", client_id="other") as (gateway, browser):
        person = await of(gateway)
        assert references(await text(browser, f"/console/contacts?q={BUDI}")) == []
        await text(browser, f"/console/contacts/{person}", 404)
        for act in ("link", "unlink", "erase"):
            await post(browser, f"/console/contacts/{person}/{act}", {"phone": "62811222333"}, 404)
        await post(browser, "/console/contacts/links", {"phone": BUDI, "account": "demo-fb"}, 404)
        known = await gateway.gateway.store.contact("demo-tg", TELEGRAM)
        assert isinstance(known, ContactRecord)
        assert known.phone == BUDI
        async with signed_in(gateway, "viewer") as viewer:
            page = await text(viewer, f"/console/contacts/{person}")
            assert "/erase" not in page
            for act in ("link", "unlink", "erase"):
                await post(viewer, f"/console/contacts/{person}/{act}", status=403)
            await post(viewer, "/console/contacts/links", status=403)


async def test_a_reference_that_was_not_made_here_names_nobody(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        for wrong in (
            "x",
            "ü",
            "A" * 2000,
            (await of(gateway))[:-4] + "AAAA",
            gateway.gateway.console.references.of("other", "demo-tg", TELEGRAM),
        ):
            await text(browser, f"/console/contacts/{wrong}", 404)
        assert references(await text(browser, "/console/contacts?after=nonsense")) != []


async def test_what_a_person_is_called_cannot_write_into_a_page(tmp_path):
    async with console(tmp_path) as (gateway, browser):
        evil = ContactRecord("demo", "demo-tg", "telegram", "666", name="<img src=x onerror=alert(1)>")
        await gateway.gateway.store.put_contact(evil, gateway.gateway.clock.now())
        page = await text(browser, "/console/contacts") + await text(
            browser, f"/console/contacts/{await of(gateway, address='666')}"
        )
        assert "<img" not in page
