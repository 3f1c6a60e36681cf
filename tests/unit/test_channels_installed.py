"""Channels of other packages, as their entry points name them: who is taken, who is passed over, who stops the start."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from kurir import channels
from kurir.channels.line import channel as line
from kurir.directory import Directory
from kurir.domain import channel as names
from kurir.domain import recipient
from kurir.domain.recipient import Addresses, Form, Recipient, read
from support import records


@dataclass
class Brought:
    """What is looked at of a channel before anybody uses it."""

    NAME: str
    ADDRESSES: Addresses | None = None


@dataclass
class Point:
    channel: Any
    value: str = "kurir_other:CHANNEL"

    def load(self) -> Any:
        if isinstance(self.channel, Exception):
            raise self.channel
        return self.channel


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what looks for channels where packages bring those that it is given."""

    def installed(*brought: Any) -> Any:
        def entry_points(*, group: str) -> list[Point]:
            return [Point(one) for one in brought] if group == "kurir.channels" else []

        monkeypatch.setattr(channels, "entry_points", entry_points)
        channels.installed.cache_clear()
        return channels.installed()

    yield installed
    channels.installed.cache_clear()
    for name in set(names.known()) - set(names.BUILT_IN):
        recipient.forget(name)
        names.forget(name)


def test_a_channel_is_found_beside_ours_with_the_forms_of_its_addresses(bring):
    found = bring(Brought("post", Addresses("po", re.compile("[a-z]+"), "a name")))
    assert set(found) == {*names.BUILT_IN, "post"}
    assert names.known() == (*names.BUILT_IN, "post")
    assert read("post", "po:ani") == Recipient(Form.ADDRESS, "ani")


def test_one_that_names_no_forms_has_its_name_and_anything(bring):
    bring(Brought("post"))
    assert read("post", "post:Ani/7") == Recipient(Form.ADDRESS, "Ani/7")
    assert not isinstance(read("post", "post:two words"), Recipient)


def test_ours_cannot_be_replaced(bring):
    found = bring(Brought("line", Addresses("tg", re.compile("x"), "x")))
    assert found["line"] is line
    assert recipient.PREFIXES["tg"] == "telegram"


@pytest.mark.parametrize("name", ["", "Post", "po st", "webhooks", "v1", "facebook", "x" * 33, "7"])
def test_what_cannot_be_a_channels_name_stops_the_start_and_is_named(bring, name):
    with pytest.raises(ValueError, match="kurir_other:CHANNEL"):
        bring(Brought(name))


def test_a_prefix_that_is_taken_stops_the_start(bring):
    with pytest.raises(ValueError, match="«tg:» is taken by telegram"):
        bring(Brought("post", Addresses("tg", re.compile("[a-z]+"), "a name")))


def test_a_package_that_cannot_be_imported_stops_the_start(bring):
    with pytest.raises(ImportError, match="no such module"):
        bring(ImportError("no such module"))


def test_they_are_looked_for_once(bring):
    assert bring(Brought("post")) is channels.installed()


async def test_an_account_whose_package_is_gone_is_passed_over_and_told():
    class Store:
        async def clients(self) -> list[Any]:
            return [records.client()]

        async def accounts(self) -> list[Any]:
            return [
                records.account("gone", channel="parlour"),
                records.account("off", channel="parlour", enabled=False),
            ]

    directory = Directory(channels.BUILT_IN, lambda record: pytest.fail(f"{record.id} cannot be opened"))
    with capture_logs() as logs:
        await directory.reload(Store())  # type: ignore[arg-type] # all that is asked for
    assert not directory.accounts()
    assert [(one["account"], one["channel"]) for one in logs] == [("gone", "parlour")]
    assert "install the package" in logs[0]["fix"]
