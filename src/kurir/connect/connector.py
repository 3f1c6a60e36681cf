"""Looking what is wrong with an account, and connecting it, over real HTTP.

What is asked of a platform is the channel's (``kurir.channels.<name>.setup``); here are the calls, and what no platform tells:
whether the public address answers, and how far off this machine's clock is.
"""

import asyncio
import email.utils
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from types import ModuleType
from typing import Final, TypeVar
from urllib.parse import urlsplit

from kurir.channels.base import Answer, Call, NoAnswer, Stage
from kurir.channels.line import setup as line_setup
from kurir.channels.messenger import setup as messenger_setup
from kurir.channels.setup import Finding, Report, Site, Talk, note, query, words, wrong
from kurir.channels.telegram import setup as telegram_setup
from kurir.channels.whatsapp import setup as whatsapp_setup
from kurir.clock import Clock
from kurir.domain import channel as channels
from kurir.domain.account import Account
from kurir.egress import Egress, NoFile

#: How long all calls of one talk may take together, in seconds: somebody waits for the answer.
BUDGET_SECONDS: Final = 20.0
#: How long the gateway's own public address may take to answer, in seconds.
SITE_SECONDS: Final = 5.0
#: A bound on the calls of one talk; the longest are templates, page by page.
MOST_CALLS: Final = 250
#: How far this machine's clock may be off before it is said, in seconds.
CLOCK_SECONDS: Final = 30.0

_SETUPS: Final[Mapping[str, ModuleType]] = {
    channels.TELEGRAM: telegram_setup,
    channels.LINE: line_setup,
    channels.WHATSAPP: whatsapp_setup,
    channels.MESSENGER: messenger_setup,
}
_T = TypeVar("_T")


class Connector:
    """Connects and checks accounts. *public_url* is what platforms call, "" where nobody knows it."""

    def __init__(self, egress: Egress, clock: Clock, public_url: str) -> None:
        self._egress = egress
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    def webhook_url(self, account_id: str) -> str:
        """Return what the platform calls for the account, "" where nobody knows it."""
        return f"{self._public_url}/webhooks/{account_id}" if self._public_url else ""

    async def check(self, account: Account) -> Report:
        """Look what is wrong with *account*. Never raises; takes at most some 30 s. Changes nothing.

        LINE's own test calls the webhook with a body without events.
        """
        setup = _SETUPS.get(account.channel)
        if setup is None:
            return _no_setup(account)
        site, findings = await self._site(account)
        return await self._talk(account, setup.check(account, site), findings)

    async def connect(self, account: Account, *, replace: bool = False, fresh: bool = False) -> Report:
        """Set the account's webhook where its platform lets one, then look what is wrong. Never raises.

        A webhook that leads elsewhere is left as it is unless *replace*. *fresh*: no gateway has the account yet, so that
        nothing is tried that it would have to answer. To connect twice changes nothing.
        """
        setup = _SETUPS.get(account.channel)
        if setup is None:
            return _no_setup(account)
        site, findings = await self._site(account)
        if fresh:
            site = Site(site.webhook_url, answers=False)
            findings = tuple(one for one in findings if one.code != "public_url_unreachable")
        return await self._talk(account, setup.connect(account, site, replace=replace), findings)

    async def _talk(self, account: Account, talk: Talk[Report], findings: tuple[Finding, ...]) -> Report:
        """Hold *talk*, and return its report with the *findings* of the address and what its answers tell of the clock."""
        clock: list[float] = []
        report = await converse(self._egress, account, talk, lambda answer: clock.extend(self._off(answer)))
        if report.reached:
            findings = tuple(one for one in findings if one.code != "public_url_unreachable")
        said = {one.code for one in report.findings}
        findings = tuple(one for one in findings if one.code not in said)
        return replace(report, findings=(*report.findings, *findings, *_of_clock(clock)))

    def _off(self, answer: Answer) -> list[float]:
        """Return by how many seconds this machine's clock is ahead of the answer's ``Date`` (RFC 9110, 6.6.1)."""
        try:
            said = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
        except (ValueError, TypeError, OverflowError):
            return []
        said = said if said.tzinfo else said.replace(tzinfo=UTC)
        return [(self._clock.now() - said).total_seconds()]

    async def _site(self, account: Account) -> tuple[Site, tuple[Finding, ...]]:
        """Return where the account's webhook is, whether it answers, and what is wrong with that."""
        url = self.webhook_url(account.id)
        if not url:
            return Site(""), ()
        answer = await _made(self._egress, query(f"{self._public_url}/livez"), (), "", SITE_SECONDS)
        healthy = isinstance(answer, Answer) and answer.status == 200 and (answer.json() or {}).get("status") == "ok"
        site = Site(url, answers=healthy)
        if getattr(account.settings, "receive", "webhook") == "poll":
            return site, ()
        if _is_local(self._public_url) and not _is_local(account.api_base):
            detail = f"public_url is {self._public_url}, which no platform reaches: it is this machine"
            return site, (wrong("public_url_local", detail, "set public_url to the https address of your proxy"),)
        return site, () if healthy else (_unreachable(self._public_url, answer),)


async def converse(
    egress: Egress,
    account: Account,
    talk: Talk[_T],
    heard: Callable[[Answer], None] | None = None,
    seconds: float = BUDGET_SECONDS,
) -> _T:
    """Make the calls of *talk*, tell *heard* of each answer, and return what came of it.

    After *seconds*, or too many calls, what is asked gets no answer, by which every talk ends.
    """
    secrets = account.settings.secrets()
    loop = asyncio.get_running_loop()
    end, made = loop.time() + seconds, 0
    answer: Answer | NoAnswer | None = None
    while True:
        try:
            call = next(talk) if answer is None else talk.send(answer)
        except StopIteration as ended:  # perhaps at once: there may be nothing to ask
            result: _T = ended.value
            return result
        answer = NoAnswer(Stage.BEFORE_SEND, f"all calls together took longer than {seconds:g} s")
        if loop.time() < end and made < MOST_CALLS:
            answer = await _made(egress, call, secrets, account.client_id, end - loop.time())
        if heard is not None and isinstance(answer, Answer):
            heard(answer)
        made += 1


async def _made(egress: Egress, call: Call, secrets: Sequence[str], owner: str, seconds: float) -> Answer | NoAnswer:
    """Make *call*; no answer within *seconds* is none."""
    try:
        async with asyncio.timeout(seconds):
            exchange = await egress.send(call, secrets, owner)
    except TimeoutError:
        return NoAnswer(Stage.AFTER_SEND, f"no answer within {seconds:.0f} s")
    if isinstance(exchange.answer, NoFile):
        return NoAnswer(Stage.BEFORE_SEND, exchange.answer.reason)
    return exchange.answer


def _unreachable(public_url: str, answer: Answer | NoAnswer) -> Finding:
    why = (
        f"it answered {answer.status}, not as this gateway does" if isinstance(answer, Answer) else words(answer.reason)
    )
    detail = f"{public_url}/livez was not reached from this machine: {why}"
    return wrong(
        "public_url_unreachable", detail, "start the gateway, or mend the proxy, name or certificate before it"
    )


def _of_clock(seconds: Sequence[float]) -> tuple[Finding, ...]:
    """Return the finding for a clock that is off: by the least of what the answers tell, since an answer takes time."""
    off = min(seconds, key=abs, default=0.0)
    if abs(off) < CLOCK_SECONDS:
        return ()
    way = "ahead of" if off > 0 else "behind"
    detail = f"this machine's clock is {abs(off):.0f} s {way} the platform's: windows and expiries are judged wrongly"
    return (wrong("clock_off", detail, "run NTP (timedatectl set-ntp true, or chrony)"),)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_setup(account: Account) -> Report:
    detail = f"the channel {account.channel} is of another package, and cannot be set up or checked from here"
    return Report(findings=(note("no_setup", detail),))
