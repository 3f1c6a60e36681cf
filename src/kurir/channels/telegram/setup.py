"""Setting a Telegram bot up, and looking what is wrong with it: getMe, getWebhookInfo, setWebhook, deleteWebhook.

Sources: the Bot API's pages "getMe", "setWebhook", "deleteWebhook", "getWebhookInfo" and "WebhookInfo", "Marvin's
Marvellous Guide to All Things Webhook" (ports, TLS), and "Privacy mode" of the bots' features page.
"""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from kurir.channels.base import Answer, JsonObject, NoAnswer
from kurir.channels.setup import (
    Finding,
    Identity,
    Report,
    Site,
    Talk,
    count,
    member,
    not_reached,
    note,
    text,
    trouble,
    words,
    wrong,
)
from kurir.channels.telegram.bot import plain_call, settings_of
from kurir.channels.telegram.webhooks import ALLOWED_UPDATES
from kurir.domain.account import Account

PLATFORM: Final = "Telegram"
#: Where the rules for webhook addresses are those of the page "setWebhook"; a server of one's own may allow more.
OFFICIAL: Final = "https://api.telegram.org"
PORTS: Final = (443, 80, 88, 8443)
#: What is sent to a webhook whose allowed_updates were never named: all but these and two of no use here.
_NOT_BY_DEFAULT: Final = "message_reaction"


def check(account: Account, site: Site) -> Talk[Report]:
    """Look whether the token works and whether updates come here."""
    bot = yield from _me(account)
    if isinstance(bot, Finding):
        return Report(findings=(bot,))
    identity, findings = _identity(bot), _of_bot(bot)
    info = yield from _ask(account, "getWebhookInfo", {})
    if isinstance(info, Finding):
        return Report(identity, (*findings, info))
    waiting = count(info, "pending_update_count") or 0
    facts = tuple((("updates that wait", str(waiting)),) if waiting else ())
    found, reached = _of_webhook(account, site, info)
    return Report(identity, (*findings, *found), facts, reached=reached)


def connect(account: Account, site: Site, *, replace: bool = False) -> Talk[Report]:
    """Check the token, set the webhook (or take it away where updates are fetched), and look again.

    A webhook of somebody else is left as it is unless *replace*.
    """
    bot = yield from _me(account)
    if isinstance(bot, Finding):
        return Report(findings=(bot,))
    identity = _identity(bot)
    info = yield from _ask(account, "getWebhookInfo", {})
    if isinstance(info, Finding):
        return Report(identity, (info,))
    before = text(info, "url")
    if before and before != site.webhook_url and not replace:
        return Report(identity, (_elsewhere(before), *_of_bot(bot)))
    if settings_of(account).receive == "poll":
        if not before:
            return (yield from check(account, site))
        method, parameters = "deleteWebhook", JsonObject()
        done = f"the webhook {before} is taken away: updates are fetched"
    else:
        obstacles = _of_site(account, site)
        if obstacles:
            return Report(identity, (*obstacles, *_of_bot(bot)))
        method, parameters = "setWebhook", _wanted(account, site)
        done = f"the webhook is set to {site.webhook_url}"
    answer = yield from _ask(account, method, parameters)
    if isinstance(answer, Finding):
        return Report(identity, (_refused(answer), *_of_bot(bot)))
    report = yield from check(account, site)
    return Report(identity, report.findings, report.facts, (done,), reached=report.reached)


def _me(account: Account) -> Talk[JsonObject | Finding]:
    return (yield from _ask(account, "getMe", {}))


def _ask(account: Account, method: str, parameters: JsonObject) -> Talk[JsonObject | Finding]:
    """Call *method*; return its result (an object, {} for ``true``), or what is wrong."""
    answer = yield plain_call(account, method, parameters)
    if isinstance(answer, NoAnswer):
        return not_reached(PLATFORM, answer)
    body = answer.json()
    if answer.status == 200 and body is not None and body.get("ok") is True:
        return member(body, "result")
    return _refusal(method, answer, body)


def _refusal(method: str, answer: Answer, body: JsonObject | None) -> Finding:
    said = words(body.get("description")) if body is not None else ""
    # A token of the right form that is no bot's gets 401 «Unauthorized», one of another form 404 «Not Found».
    if said and answer.status in (401, 404):
        detail = f"the token is refused: {PLATFORM} says «{said}» to {method}"
        return wrong("token_refused", detail, "copy the token again from @BotFather (/mybots, API Token)")
    if said and answer.status < 500 and answer.status != 429:
        return wrong("refused", f"{PLATFORM} refuses {method}: «{said}»")
    return trouble(PLATFORM, answer, said)


def _refused(finding: Finding) -> Finding:
    """Return the refusal of a change of the webhook, with what may be done about it."""
    if finding.code != "refused":
        return finding
    fix = "public_url has to be https with a certificate of a public authority, by IPv4, on port 443, 80, 88 or 8443"
    return wrong("webhook_refused", finding.detail, fix)


def _identity(bot: JsonObject) -> Identity:
    username = text(bot, "username")
    return Identity(text(bot, "id"), text(bot, "first_name"), f"@{username}" if username else "")


def _of_bot(bot: JsonObject) -> tuple[Finding, ...]:
    """Return what is worth knowing of the bot itself."""
    if bot.get("can_join_groups") is False or bot.get("can_read_all_group_messages") is not False:
        return ()
    detail = "privacy mode is on: in groups the bot sees commands, mentions and replies to it alone"
    return (note("privacy_mode", detail, "if it is to read everything in groups: @BotFather, /setprivacy, Disable"),)


def _wanted(account: Account, site: Site) -> JsonObject:
    secret = settings_of(account).secret_token
    return {"url": site.webhook_url, "secret_token": secret, "allowed_updates": list(ALLOWED_UPDATES)}


def _of_site(account: Account, site: Site) -> tuple[Finding, ...]:
    """Return why Telegram would not take the webhook, before it is asked."""
    if not settings_of(account).secret_token:
        detail = "secret_token is missing: without it nobody can tell Telegram's webhooks from forged ones"
        return (wrong("secret_missing", detail, "add secret_token, 1 to 256 letters, digits, underscores and dashes"),)
    if not site.webhook_url:
        fix = 'set public_url, or receive = "poll" where the gateway cannot be called from outside'
        return (wrong("public_url_missing", "public_url is not set, so there is no address to be called at", fix),)
    if account.api_base != OFFICIAL:
        return ()
    parts = urlsplit(site.webhook_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme != "https":
        fix = 'put a proxy with TLS before the gateway and set public_url to it, or set receive = "poll"'
        return (wrong("public_url_http", f"Telegram calls https only, and public_url is {parts.scheme}", fix),)
    if port not in PORTS:
        detail = f"Telegram calls the ports 443, 80, 88 and 8443, and public_url has port {port}"
        return (wrong("public_url_port", detail, "use one of them"),)
    return ()


def _elsewhere(url: str) -> Finding:
    detail = f"the webhook is set to {url}: another system gets the updates"
    return wrong("webhook_elsewhere", detail, "stop that system, then connect or reconnect the account with --replace")


def _of_webhook(account: Account, site: Site, info: JsonObject) -> tuple[tuple[Finding, ...], bool]:
    """Return what is wrong with the webhook as getWebhookInfo tells it, and whether it is known to work.

    ``{"url": "https://…", "pending_update_count": 3, "last_error_date": 1763800000, "last_error_message": "Connection
    refused", "allowed_updates": ["message"]}``; the error stays after it has passed.
    """
    url = text(info, "url")
    if settings_of(account).receive == "poll":
        if not url:
            return (), False
        detail = f"a webhook is set to {url}, and while one is, no updates can be fetched"
        return (wrong("webhook_elsewhere", detail, "kurir account reconnect --replace takes it away"),), False
    obstacles = _of_site(account, site)
    if not url:
        detail = "no webhook is set: nothing that people write arrives"
        return (*obstacles, wrong("webhook_missing", detail, "kurir account reconnect sets it")), False
    if url != site.webhook_url:
        return (*obstacles, _elsewhere(url)), False
    return (*obstacles, *_failing(info), *_updates(info)), not text(info, "last_error_message")


def _failing(info: JsonObject) -> tuple[Finding, ...]:
    said, at = text(info, "last_error_message"), count(info, "last_error_date")
    waiting = count(info, "pending_update_count") or 0
    if not said:
        return ()
    since = f" at {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}" if at and at < 2**35 else ""
    detail = f"Telegram's last call of the webhook failed{since}: «{said}»; {waiting} updates wait"
    if not waiting:
        return (note("webhook_failed_before", detail, "nothing waits, so that it has passed"),)
    fix = (
        "401 means another secret_token: kurir account reconnect sets it anew; else mend what stands before the gateway"
    )
    return (wrong("webhook_failing", detail, fix),)


def _updates(info: JsonObject) -> tuple[Finding, ...]:
    given = info.get("allowed_updates")
    if isinstance(given, list) and given:
        missing = [name for name in ALLOWED_UPDATES if name not in given]
    else:
        missing = [_NOT_BY_DEFAULT]
    if not missing:
        return ()
    detail = f"the webhook does not ask for {', '.join(missing)}"
    return (wrong("updates_missing", detail, "kurir account reconnect asks for all that the gateway reads"),)
