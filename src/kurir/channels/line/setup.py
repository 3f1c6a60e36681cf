"""Setting a LINE channel up, and looking what is wrong with it: bot info, the webhook endpoint and its test, the quota.

Sources: the Messaging API reference ("Get bot info", "Set webhook endpoint URL", "Get webhook endpoint information",
"Test webhook endpoint", "Get the target limit for sending messages this month", "Get number of messages sent this
month") and "Check webhook error causes and statistics" (the four reasons).
"""

from dataclasses import dataclass
from typing import Final

from kurir.channels.base import Answer, Call, JsonObject, NoAnswer
from kurir.channels.line import errors as line_errors
from kurir.channels.setup import (
    Finding,
    Identity,
    Report,
    Site,
    Talk,
    count,
    not_reached,
    note,
    query,
    text,
    trouble,
    words,
    wrong,
)
from kurir.domain.account import Account, LineSettings

PLATFORM: Final = "LINE"
#: The longest webhook address that LINE takes, in characters.
LONGEST_URL: Final = 500
#: From this share of the monthly quota on, that it runs out is worth a note.
_NEARLY: Final = 0.9
_CONSOLE: Final = "LINE Developers Console, the channel, tab «Messaging API»"


@dataclass(frozen=True, slots=True)
class Quota:
    """How many messages of this month's quota are *used*, which LINE calls approximate; *limit* None: none."""

    used: int
    limit: int | None


def check(account: Account, site: Site) -> Talk[Report]:
    """Look whether the token works, whether events come here, and how much of the quota is used."""
    bot = yield from _ask(account, "GET", "/v2/bot/info")
    if isinstance(bot, Finding):
        return Report(findings=(bot,))
    findings = list(_of_bot(bot))
    endpoint = yield from _endpoint(account)
    reached = False
    if isinstance(endpoint, Finding):
        findings.append(endpoint)
    else:
        found, ours = _of_endpoint(site, endpoint)
        findings += found
        if ours and site.answers is not False:
            tested = yield from _test(account, site)
            findings += tested
            reached = not tested
    used = yield from quota(account)
    if isinstance(used, Finding):
        return Report(_identity(bot), (*findings, used), reached=reached)
    return Report(_identity(bot), (*findings, *_of_quota(used)), _facts(used), reached=reached)


def connect(account: Account, site: Site, *, replace: bool = False) -> Talk[Report]:
    """Check the token, set the webhook endpoint, and look again, with LINE's own test where the gateway answers.

    An endpoint of somebody else is left as it is unless *replace*.
    """
    bot = yield from _ask(account, "GET", "/v2/bot/info")
    if isinstance(bot, Finding):
        return Report(findings=(bot,))
    endpoint = yield from _endpoint(account)
    if isinstance(endpoint, Finding):
        return Report(_identity(bot), (*_of_bot(bot), endpoint))
    before = text(endpoint, "endpoint")
    if before and before != site.webhook_url and not replace:
        return Report(_identity(bot), (*_of_bot(bot), _elsewhere(before)))
    obstacle = _of_site(site)
    if obstacle is not None:
        return Report(_identity(bot), (*_of_bot(bot), obstacle))
    answer = yield from _ask(account, "PUT", "/v2/bot/channel/webhook/endpoint", {"endpoint": site.webhook_url})
    if isinstance(answer, Finding):
        fix = "public_url has to be https with a certificate of a public authority"
        refused = wrong("webhook_refused", answer.detail, fix) if answer.code == "refused" else answer
        return Report(_identity(bot), (*_of_bot(bot), refused))
    report = yield from check(account, site)
    done = (f"the webhook endpoint is set to {site.webhook_url}",)
    return Report(report.identity, report.findings, report.facts, done, reached=report.reached)


def quota(account: Account) -> Talk[Quota | Finding]:
    """Return how much of this month's quota is used: ``{"type": "limited", "value": 1000}``, ``{"totalUsage": 500}``."""
    allowed = yield from _ask(account, "GET", "/v2/bot/message/quota")
    if isinstance(allowed, Finding):
        return allowed
    consumed = yield from _ask(account, "GET", "/v2/bot/message/quota/consumption")
    if isinstance(consumed, Finding):
        return consumed
    used, limit = count(consumed, "totalUsage"), count(allowed, "value")
    if used is None or (allowed.get("type") == "limited" and limit is None):
        return wrong("not_understood", "LINE's answer on the quota is none", "check that api_base is the platform's")
    return Quota(used, limit if allowed.get("type") == "limited" else None)


def _ask(account: Account, method: str, path: str, body: JsonObject | None = None) -> Talk[JsonObject | Finding]:
    """Make a call; return its answer, or what is wrong."""
    authorization = ("Authorization", f"Bearer {_settings(account).channel_access_token}")
    url = f"{account.api_base}{path}"
    call: Call = query(url, (authorization,))
    if method != "GET":
        call = Call(1, method, url, (authorization, ("Content-Type", "application/json")), body or {})
    answer = yield call
    if isinstance(answer, NoAnswer):
        return not_reached(PLATFORM, answer)
    found = answer.json()
    if answer.status == 200 and found is not None:
        return found
    return _refusal(f"{method} {path}", answer)


def _refusal(what: str, answer: Answer) -> Finding:
    refusal = line_errors.read(answer.json())
    said = words(refusal.sentence) if refusal is not None else ""
    if answer.status == 401:
        detail = f"the channel access token is refused{f': LINE says «{said}»' if said else ''}"
        return wrong("token_refused", detail, f"issue a long-lived one in the {_CONSOLE}")
    if answer.status == 403:
        return wrong("not_permitted", f"LINE does not permit {what}: «{said}»", "look at the account's plan and role")
    if refusal is not None and answer.status in (400, 404):
        return wrong("refused", f"LINE refuses {what}: «{said}»")
    return trouble(PLATFORM, answer, said)


def _endpoint(account: Account) -> Talk[JsonObject | Finding]:
    """Return ``{"endpoint": "https://…", "active": true}``; {} where none was ever set, which LINE answers by 404."""
    found = yield from _ask(account, "GET", "/v2/bot/channel/webhook/endpoint")
    if isinstance(found, Finding) and found.code == "refused":
        return {}
    return found


def _test(account: Account, site: Site) -> Talk[tuple[Finding, ...]]:
    """Let LINE call the webhook with a body without events, and return what it says went wrong.

    ``{"success": false, "statusCode": 401, "reason": "ERROR_STATUS_CODE", "detail": "401"}``. LINE signs that body too, so
    a gateway that refuses it has another channel secret.
    """
    path = "/v2/bot/channel/webhook/test"
    answer = yield from _ask(account, "POST", path, {"endpoint": site.webhook_url})
    if isinstance(answer, Finding):
        return (note("endpoint_untested", f"LINE's test of the webhook could not be made: {answer.detail}"),)
    if answer.get("success") is True:
        return ()
    reason = " ".join(filter(None, (text(answer, "reason"), text(answer, "detail"))))
    if answer.get("statusCode") == 401:
        detail = "the gateway refused LINE's test with 401: it has no such account, or another channel secret"
        fix = "copy channel_secret from the tab «Basic settings», check the account's id, and restart the gateway"
        return (wrong("signature_refused", detail, fix),)
    fix = "LINE wants 2xx within two seconds from an https address with a certificate of a public authority"
    return (wrong("endpoint_failing", f"LINE's test of the webhook failed: {reason or 'it gave no reason'}", fix),)


def _identity(bot: JsonObject) -> Identity:
    return Identity(text(bot, "userId"), text(bot, "displayName"), text(bot, "premiumId") or text(bot, "basicId"))


def _of_bot(bot: JsonObject) -> tuple[Finding, ...]:
    if bot.get("chatMode") != "chat":
        return ()
    detail = "chat is on: people of yours answer in LINE's own app beside the gateway"
    return (
        note("chat_mode", detail, "if that is not meant: LINE Official Account Manager, Response settings, Chat off"),
    )


def _of_site(site: Site) -> Finding | None:
    if not site.webhook_url:
        detail = "public_url is not set, so there is no address to be called at"
        return wrong("public_url_missing", detail, "set public_url; LINE offers no way to fetch events")
    if len(site.webhook_url) > LONGEST_URL:
        return wrong("public_url_long", f"LINE takes addresses of at most {LONGEST_URL} characters")
    return None


def _elsewhere(url: str) -> Finding:
    detail = f"the webhook endpoint is {url}: another system gets the events"
    return wrong("webhook_elsewhere", detail, "stop that system, then connect or reconnect the account with --replace")


def _of_endpoint(site: Site, endpoint: JsonObject) -> tuple[list[Finding], bool]:
    """Return what is wrong with the endpoint, and whether it is ours and active."""
    obstacle = _of_site(site)
    findings = [] if obstacle is None else [obstacle]
    url = text(endpoint, "endpoint")
    if not url:
        detail = "no webhook endpoint is set: nothing that people write arrives"
        return [*findings, wrong("webhook_missing", detail, "kurir account reconnect sets it")], False
    if url != site.webhook_url:
        return [*findings, _elsewhere(url)], False
    if endpoint.get("active") is not True:
        detail = "«Use webhook» is off, so that LINE sends no events"
        return [*findings, wrong("endpoint_inactive", detail, f"switch it on in the {_CONSOLE}")], False
    return findings, True


def _of_quota(used: Quota) -> tuple[Finding, ...]:
    if used.limit is None or used.used < used.limit * _NEARLY:
        return ()
    detail = f"{used.used:,} of this month's {used.limit:,} messages are used"
    fix = "take a larger plan, or wait for the next month; replies by reply token are free"
    if used.used >= used.limit:
        return (wrong("quota_used", detail, fix),)
    return (note("quota_nearly_used", detail, fix),)


def _facts(used: Quota) -> tuple[tuple[str, str], ...]:
    limit = "without limit" if used.limit is None else f"of {used.limit:,}"
    return (("messages this month", f"{used.used:,} {limit}"),)


def _settings(account: Account) -> LineSettings:
    if not isinstance(account.settings, LineSettings):
        raise TypeError(f"account {account.id} is not a LINE channel")
    return account.settings
