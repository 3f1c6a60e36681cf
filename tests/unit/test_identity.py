"""Who is a recipient on an account: variants of a phone, other addresses of a person, and what an unknown one is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kurir.domain.account import Account, ChannelSettings
from kurir.domain.recipient import Form, Recipient
from kurir.intake import identity
from kurir.store.base import ContactRecord, ErrorRecord

LONG, SHORT = "5531987654321", "553187654321"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def account(channel):
    return Account("acc", "acme", channel, "https://platform.example", ChannelSettings())


def person(channel, address, phone="", **more):
    return ContactRecord("acme", "acc", channel, address, phone, **more)


class People:
    """The contacts of one account, and other addresses that lead to them."""

    def __init__(self, *contacts, aliases=None):
        self.by_address = {one.address: one for one in contacts}
        self.by_phone = {one.phone: one for one in contacts if one.phone}
        self.by_address |= {alias: self.by_address[address] for alias, address in (aliases or {}).items()}

    async def contact(self, _account_id, address):
        return self.by_address.get(address)

    async def contact_by_phone(self, _account_id, phone):
        return self.by_phone.get(phone)


async def resolved(people, channel, form, value):
    return await identity.resolve(people, account(channel), Recipient(form, value))


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("given", [LONG, SHORT])
async def test_on_whatsapp_what_is_sent_to_is_what_was_given_while_nobody_is_known(form, given):
    assert await resolved(People(), "whatsapp", form, given) == identity.Resolved(given, None)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize(("given", "known"), [(LONG, SHORT), (SHORT, LONG), (LONG, LONG), (SHORT, SHORT)])
async def test_a_person_known_under_the_other_spelling_is_written_to_there(form, given, known):
    ani = person("whatsapp", known, last_inbound_at=NOW)
    assert await resolved(People(ani), "whatsapp", form, given) == identity.Resolved(known, ani)


async def test_of_two_spellings_that_are_two_contacts_the_given_one_counts():
    long, short = person("whatsapp", LONG), person("whatsapp", SHORT)
    for one in (long, short):
        assert (await resolved(People(long, short), "whatsapp", Form.PHONE, one.address)).contact == one


@pytest.mark.parametrize("channel", ["telegram", "line", "messenger"])
@pytest.mark.parametrize("given", [LONG, SHORT])
async def test_a_phone_linked_in_one_spelling_is_found_by_the_other(channel, given):
    ani = person(channel, "1001", SHORT)
    assert await resolved(People(ani), channel, Form.PHONE, given) == identity.Resolved("1001", ani)


async def test_a_chat_id_has_no_other_spelling():
    ani = person("telegram", LONG, last_inbound_at=NOW)
    found = await resolved(People(ani), "telegram", Form.PHONE, SHORT)
    assert isinstance(found, ErrorRecord)
    assert found.code == "recipient_not_linked"
    found = await resolved(People(ani), "telegram", Form.ADDRESS, SHORT)
    assert found == identity.Resolved(SHORT, None)


async def test_an_address_that_another_replaced_leads_to_the_person():
    ani = person("telegram", "-1001234567890")
    people = People(ani, aliases={"-5": "-1001234567890"})
    assert await resolved(people, "telegram", Form.ADDRESS, "-5") == identity.Resolved("-1001234567890", ani)


async def test_digits_that_are_a_chat_and_a_phone_in_another_spelling_are_ambiguous():
    chat = person("telegram", LONG, last_inbound_at=NOW)
    found = await resolved(People(chat, person("telegram", "1001", SHORT)), "telegram", Form.PHONE, LONG)
    assert isinstance(found, ErrorRecord)
    assert found.code == "recipient_ambiguous"
    same = replace(chat, phone=SHORT)
    assert await resolved(People(same), "telegram", Form.PHONE, LONG) == identity.Resolved(LONG, same)


@pytest.mark.parametrize(
    ("channel", "prefix", "ways"),
    [
        ("telegram", "tg:", ["POST /v1/contacts/links", "t.me", "share their contact"]),
        ("line", "line:", ["POST /v1/contacts/links", "nonce"]),
        ("messenger", "fb:", ["POST /v1/contacts/links", "m.me"]),
    ],
)
async def test_somebody_unreachable_is_told_every_way_to_link_and_no_phone_is_shown(channel, prefix, ways):
    found = await resolved(People(), channel, Form.PHONE, "6281234567890")
    assert isinstance(found, ErrorRecord)
    for way in (f"PUT /v1/contacts/{channel}/{{address}}", "kurir contact import", f"({prefix}…)", *ways):
        assert way in found.detail
    assert "6281234567890" not in found.detail
    assert "…7890" in found.detail
