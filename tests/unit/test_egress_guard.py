"""Where a URL that a client gave may lead: one table of URLs, each judged as a file's, as a redirect's and as a callback's.

Nothing is connected to: the test stands where aiohttp would connect, behind the guard's last look at the socket, and notes
the addresses that got so far. Names are resolved by a table, and by ``inet_aton`` as the system's resolver does it.
``docs/explanation/security-model.md`` has the table's summary.
"""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohappyeyeballs
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kurir.egress import Egress, EgressRefused, EgressSettings, MediaUnavailable, Miss
from kurir.networks import OTHER_PORTS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "security-model.md"
PUBLIC: Final = "93.184.215.14"
EVERYTHING: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
#: What names resolve to. The n-th time a name is asked for, its n-th answer is given, and the last from then on.
NAMES: Final = {
    "good.example": [PUBLIC],
    "good.example.": [PUBLIC],
    "xn--bcher-kva.example": [PUBLIC],
    "xn--fa-hia.example": [PUBLIC],
    "hop.example": [PUBLIC],
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "loop.example": ["127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "inside.example": ["10.1.2.3"],
    "xn--nside-ysa.example": ["10.1.2.3"],
    "private6.example": ["fd12::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "link.example": ["fe80::1"],
    "nat64.example": ["64:ff9b::a00:1"],
    "all-inside.example": ["10.0.0.1 192.168.0.1 ::1"],
    "mixed.example": [f"10.0.0.1 {PUBLIC} 169.254.169.254"],
    "rebinding.example": [PUBLIC, "127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "teredo.example": ["2001:0:7f00:1::"],
}


@dataclass(frozen=True)
class Group:
    """URLs of one kind, and what becomes of each: refused, no such name, or the one address that is connected to."""

    kind: str
    outcome: str
    urls: str
    everything_allowed: bool = False

    def each(self) -> list[str]:
        """Return the URLs: one a line, without the indent, escapes of Python read."""
        return [line.strip().encode("latin-1", "backslashreplace").decode("unicode_escape") for line in self.lines()]

    def lines(self) -> list[str]:
        """Return the URLs as they are written here."""
        return [line.strip() for line in self.urls.strip().splitlines()]


REFUSED: Final = "refused"
NO_NAME: Final = "no such name"
TABLE: Final = (
    Group(
        "loopback",
        REFUSED,
        """
        http://127.0.0.1/
        https://127.255.255.254/
        http://[::1]/
        http://[0:0:0:0:0:0:0:1]/
        http://0.0.0.0/
        http://[::]/
        """,
    ),
    Group(
        "private, shared and unique local",
        REFUSED,
        """
        http://10.1.2.3/
        http://172.16.0.1/
        http://172.31.255.255/
        http://192.168.1.1/
        http://100.64.0.1/
        http://[fc00::1]/
        http://[fd12:3456::1]/
        http://[fec0::1]/
        """,
    ),
    Group(
        "link-local, multicast, broadcast, reserved, for documentation",
        REFUSED,
        """
        http://169.254.1.1/
        http://[fe80::1]/
        http://[fe80::1%25eth0]/
        http://[fe80::1%eth0]/
        http://224.0.0.1/
        http://[ff02::1]/
        http://255.255.255.255/
        http://240.0.0.1/
        http://198.18.0.1/
        http://192.0.2.1/
        http://[2001:db8::1]/
        http://[100::1]/
        http://[100:0:0:1::1]/
        http://[5f00::1]/
        """,
    ),
    Group(
        "metadata of clouds, whatever is allowed",
        REFUSED,
        """
        http://169.254.169.254/latest/meta-data/
        http://169.254.170.2/v2/credentials
        http://100.100.100.200/
        http://168.63.129.16/
        http://192.0.0.192/
        http://[fd00:ec2::254]/
        http://[fd00:ec2::23]/v1/credentials
        http://[fd20:ce::254]/
        http://[fd00:c1::a9fe:a9fe]/
        http://[fd00:42::42]/
        http://[fd00:a9fe:a9fe::1]/
        http://[fd00:100::100:200]/
        http://[::ffff:169.254.169.254]/
        http://[::169.254.169.254]/
        http://[::ffff:0:169.254.169.254]/
        http://[64:ff9b::169.254.169.254]/
        http://[64:ff9b:1::169.254.169.254]/
        http://[64:ff9b:1:a9fe:a9:fe00::]/
        http://[2002:a9fe:a9fe::1]/
        http://[2001:0:a9fe:a9fe::]/
        http://[2001:0:808:808::5601:5601]/
        http://metadata.google.internal/
        http://2852039166/
        """,
        everything_allowed=True,
    ),
    Group(
        "an IPv4 address inside an IPv6 address: mapped, compatible, translated, NAT64, 6to4, Teredo",
        REFUSED,
        """
        http://[::ffff:127.0.0.1]/
        http://[::FFFF:7F00:1]/
        http://[0:0:0:0:0:ffff:10.0.0.1]/
        http://[::127.0.0.1]/
        http://[::ffff:0:127.0.0.1]/
        http://[64:ff9b::127.0.0.1]/
        http://[64:ff9b::a00:1]/
        http://[64:ff9b:1::10.0.0.1]/
        http://[2002:7f00:1::]/
        http://[2002:c0a8:101::1]/
        http://[2001:0:7f00:1::]/
        """,
    ),
    Group(
        "an address written otherwise",
        REFUSED,
        r"""
        http://2130706433/
        http://0x7f000001/
        http://0x7f.0.0.1/
        http://0177.0.0.1/
        http://017700000001/
        http://127.1/
        http://127.0.1/
        http://0/
        http://127.0.0.1./
        http://127.0.0.1:080/
        http://\uff11\uff12\uff17.0.0.1/
        http://127\u30020\u30020\u30021/
        http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/
        http://127.0.0.1\t/
        \x20http://127.0.0.1/
        ht\ntp://127.0.0.1/
        http://127.0.0.1#@good.example/
        http://127.0.0.1?@good.example/
        http://127.0.0.1:8\uff10/
        """,
    ),
    Group(
        "a name that resolves to such an address",
        REFUSED,
        r"""
        http://localhost/
        http://LOCALHOST./
        http://\u24dbocalhost/
        http://loop.example/
        http://six.example/
        http://mapped.example/
        http://inside.example/
        http://\xednside.example/
        http://private6.example/
        http://link.example/
        http://nat64.example/
        http://teredo.example/
        http://all-inside.example/
        http://127.0.0.1.nip.example/
        """,
    ),
    Group(
        "a user name or a password",
        REFUSED,
        """
        http://me@good.example/
        http://me:secret@good.example/
        http://:secret@good.example/
        http://good.example@127.0.0.1/
        http://good.example%2f@127.0.0.1/
        http://169.254.169.254:80@good.example/
        """,
    ),
    Group(
        "the port of another protocol, or none",
        REFUSED,
        """
        http://good.example:0/
        http://good.example:22/
        http://good.example:25/
        https://good.example:465/
        http://good.example:53/
        http://good.example:6667/
        http://good.example:2049/
        http://good.example:10080/
        http://good.example:65536/
        http://good.example:-1/
        http://good.example:80:90/
        """,
    ),
    Group(
        "another scheme, or no host",
        REFUSED,
        r"""
        file:///etc/passwd
        ftp://good.example/
        gopher://good.example/_x
        data:text/plain,x
        javascript:alert(1)
        ws://good.example/
        unix:/run/x.sock
        http://
        http:///good.example/
        http://[::1
        http://::1/
        http://[127.0.0.1]/
        http://good.example\\@127.0.0.1/
        http://\xad127.0.0.1/
        http://127.0.0.1\u200b/
        """,
    ),
    Group(
        "no name that anybody has",
        NO_NAME,
        """
        http://%31%32%37.0.0.1/
        http://127.0.0.1%00.good.example/
        http://good.example,127.0.0.1/
        http://[v1.x]/
        http://*/
        http://./
        """,
    ),
    Group(
        "what may be reached",
        PUBLIC,
        r"""
        http://good.example/
        HTTPS://GOOD.EXAMPLE./a
        http://good.example:8080/
        https://good.example:8443/
        http://good.example:6379/
        http://93.184.215.14/
        http://b\xfccher.example/
        http://xn--bcher-kva.example/
        http://fa\xdf.example/
        http://b\xfccher\u3002example/
        http://mixed.example/
        http://rebinding.example/
        """,
    ),
)
ROWS: Final = [
    pytest.param(group, url, id=line) for group in TABLE for url, line in zip(group.each(), group.lines(), strict=True)
]


class Names(AbstractResolver):
    """Resolves by the table above."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC) -> list[ResolveResult]:
        del family
        self.asked.append(host)
        answers = NAMES.get(host)
        if answers is None:
            try:
                answers = [socket.inet_ntoa(socket.inet_aton(host))]
            except OSError:
                raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
        answer = answers[min(self.asked.count(host), len(answers)) - 1]
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for one in answer.split()
        ]

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def reached(monkeypatch) -> Iterator[list[str]]:
    """Every address that would have been connected to: past the guard, and past its last look at the socket."""
    seen: list[str] = []

    async def start_connection(addr_infos, *, socket_factory, **_: Any) -> socket.socket:
        for info in addr_infos:
            socket_factory(info).close()
            seen.append(info[4][0])
        raise OSError("the test goes no further")

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start_connection)
    return seen


@asynccontextmanager
async def egress(group: Group) -> AsyncIterator[Egress]:
    sender = Egress(EgressSettings(EVERYTHING if group.everything_allowed else ()), Names())
    try:
        yield sender
    finally:
        await sender.close()


@pytest.mark.scorecard(31)
@pytest.mark.parametrize(("group", "url"), ROWS)
async def test_a_url_leads_where_it_may_and_nowhere_else(group, url, reached):
    kinds = EgressRefused if group.outcome == REFUSED else MediaUnavailable
    leads_to = [] if group.outcome in (REFUSED, NO_NAME) else [group.outcome]
    said = []
    async with egress(group) as sender:
        # as a callback, which is no exception
        answer = await sender.post(url, b"{}", {})
        assert (answer.status, answer.miss) == (0, Miss.CONNECT)
        assert reached == leads_to
        said.append(answer.detail)
        reached.clear()
    async with egress(group) as sender:
        # as a file
        with pytest.raises(kinds) as told:
            await sender.fetch(url, 100)
        assert reached == leads_to
        said.append(str(told.value))
        reached.clear()
    async with egress(group) as sender:
        # as what a file's host redirects to
        sender._media = Hopping(sender._media, url)  # type: ignore[assignment]
        with pytest.raises(kinds) as told:
            await sender.fetch("http://hop.example/", 100)
        assert reached == leads_to
        said.append(str(told.value))
    assert "secret" not in "".join(said)


class Hopping:
    """A session to which ``hop.example`` answers with a redirect. What else it is asked for goes to the real one."""

    def __init__(self, session: Any, location: str) -> None:
        self._session = session
        self._answer = SimpleNamespace(status=302, headers={"Location": location})

    def get(self, url: URL, **more: Any) -> Any:
        return self._hop() if url.host == "hop.example" else self._session.get(url, **more)

    @asynccontextmanager
    async def _hop(self) -> AsyncIterator[Any]:
        yield self._answer

    async def close(self) -> None:
        await self._session.close()


@pytest.mark.scorecard(31)
async def test_what_was_judged_is_what_is_connected_to_and_the_next_answer_is_judged_anew(monkeypatch, reached):
    group = Group("rebinding", REFUSED, "")
    async with egress(group) as sender:
        with pytest.raises(MediaUnavailable):
            await sender.fetch("http://rebinding.example/", 100)
        assert reached == [PUBLIC]
        sender._media.connector.clear_dns_cache()  # ten seconds later
        with pytest.raises(EgressRefused, match=r"127\.0\.0\.1 is not a public address"):
            await sender.fetch("http://rebinding.example/", 100)
    assert reached == [PUBLIC]


def test_the_ports_are_those_that_browsers_refuse():
    assert {22, 25, 110, 143, 389, 6000, 6667} <= OTHER_PORTS
    assert not {80, 443, 3000, 4443, 5000, 8000, 8080, 8443, 8888, 9000} & OTHER_PORTS
    assert len(OTHER_PORTS) == 83


def summary() -> list[str]:
    """Return the rows of the page's table."""
    return [
        f"| {group.kind} | {len(group.each())} | `{group.lines()[0]}` | {_words(group.outcome)} |" for group in TABLE
    ]


def _words(outcome: str) -> str:
    return outcome if outcome in (REFUSED, NO_NAME) else "connected to the address that was judged"


def test_the_page_has_the_tables_summary():
    wanted = "\n".join(summary())
    assert wanted in PAGE.read_text("utf-8"), f"put these rows into the table of {PAGE.name}:\n{wanted}"


def test_the_table_has_enough_cases_and_none_twice():
    every = [url for group in TABLE for url in group.each()]
    assert len(every) == len(set(every)) >= 60
    assert sum(len(group.each()) for group in TABLE if group.outcome == REFUSED) >= 60
