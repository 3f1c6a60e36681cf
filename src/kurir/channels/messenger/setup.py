"""Setting a Facebook page up, and looking what is wrong with it.

Sources: Meta's pages "Messenger Platform: webhooks" (fields, and that an app is unsubscribed from a page after an hour of
failures) and "Graph API reference: Page subscribed apps".
"""

from typing import Final

from kurir.channels.base import JsonObject
from kurir.channels.meta import setup as graph_setup
from kurir.channels.meta.setup import Subject
from kurir.channels.setup import Finding, Identity, Paste, Report, Site, Talk, objects, text, words, wrong
from kurir.domain.account import Account, MessengerSettings

#: What the page is subscribed to: what the gateway reads.
WEBHOOK_FIELDS: Final = (
    "messages",
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "message_echoes",
    "messaging_referrals",
    "messaging_optins",
    "message_reactions",
    "message_edits",
    "messaging_policy_enforcement",
    "standby",
)
#: Without these nothing works that was promised; without another one, something is merely not told.
_NEEDED: Final = ("messages", "messaging_postbacks", "message_deliveries", "message_reads", "message_echoes")


def check(account: Account, site: Site) -> Talk[Report]:
    """Look whether the token works for the page, and whether its events come here."""
    subject, settings = _subject(account), _settings(account)
    page = yield from _page(subject, settings)
    if isinstance(page, Finding):
        return Report(findings=(page,), pastes=graph_setup.pastes(subject, site))
    subscribed = yield from _subscription(subject, settings)
    webhook: tuple[Finding, ...] = ()
    if subject.app_id and site.webhook_url:
        webhook = yield from graph_setup.app_webhook(subject, site)
    pastes: tuple[Paste, ...] = () if subject.app_id and not webhook else graph_setup.pastes(subject, site)
    findings = (*graph_setup.of_site(site), *subscribed, *webhook)
    return Report(_identity(settings, page), findings, pastes=pastes)


def connect(account: Account, site: Site, *, replace: bool = False) -> Talk[Report]:
    """Check the token, subscribe the page to the app, and set the app's webhook where that can be done.

    That wants ``app_id``, and a gateway that answers; else it is to be pasted, as the report says.
    """
    subject, settings = _subject(account), _settings(account)
    page = yield from _page(subject, settings)
    if isinstance(page, Finding):
        return Report(findings=(page,), pastes=graph_setup.pastes(subject, site))
    fields = {"subscribed_fields": ",".join(WEBHOOK_FIELDS)}
    answer = yield from graph_setup.post(subject, f"{settings.page_id}/subscribed_apps", fields)
    if isinstance(answer, Finding):
        return Report(_identity(settings, page), (answer,), pastes=graph_setup.pastes(subject, site))
    done = [f"the page {settings.page_id} is subscribed to the app"]
    findings: tuple[Finding, ...] = ()
    if settings.app_id:
        changed, findings = yield from graph_setup.set_app_webhook(subject, site, replace=replace)
        done += changed
    report = yield from check(account, site)
    found_twice = {one.code for one in report.findings}
    findings = tuple(one for one in findings if one.code not in found_twice)
    return Report(report.identity, (*report.findings, *findings), report.facts, tuple(done), report.pastes)


def _page(subject: Subject, settings: MessengerSettings) -> Talk[JsonObject | Finding]:
    page = yield from graph_setup.get(subject, settings.page_id, {"fields": "id,name"})
    if isinstance(page, Finding) and page.code == "unknown_object":
        fix = "check page_id, and that the token is this page's and not a person's"
        return wrong("unknown_object", page.detail, fix)
    return page


def _subscription(subject: Subject, settings: MessengerSettings) -> Talk[tuple[Finding, ...]]:
    """Look whether the page is subscribed to the app, and to what.

    ``{"data": [{"id": "1517776481860111", "name": "Shop", "subscribed_fields": ["messages", …]}]}``
    """
    answer = yield from graph_setup.get(subject, f"{settings.page_id}/subscribed_apps")
    if isinstance(answer, Finding):
        return (answer,)
    apps = objects(answer, "data")
    mine = [one for one in apps if not settings.app_id or text(one, "id") == settings.app_id]
    if not mine:
        names = ", ".join(text(one, "name") or text(one, "id") for one in apps)
        detail = f"the page is subscribed to {names or 'no app'}: no event is sent to this one"
        fix = "kurir account reconnect subscribes it; Meta ends a subscription after an hour of failed webhooks"
        return (wrong("app_not_subscribed", detail, fix),)
    given = {words(name) for one in mine for name in _names(one)}
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        detail = f"the page is not subscribed to {', '.join(missing)}"
        return (wrong("fields_missing", detail, "kurir account reconnect subscribes it to all that the gateway reads"),)
    return ()


def _names(app: JsonObject) -> list[str]:
    given = app.get("subscribed_fields")
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def _identity(settings: MessengerSettings, page: JsonObject) -> Identity:
    return Identity(settings.page_id, text(page, "name"))


def _subject(account: Account) -> Subject:
    settings = _settings(account)
    return Subject(
        base=f"{account.api_base}/{settings.api_version}",
        token=settings.page_access_token,
        app_id=settings.app_id,
        app_secret=settings.app_secret,
        verify_token=settings.verify_token,
        kind="page",
        fields=_NEEDED,
        product="Messenger, Messenger API settings, Webhooks",
    )


def _settings(account: Account) -> MessengerSettings:
    if not isinstance(account.settings, MessengerSettings):
        raise TypeError(f"account {account.id} is not a Facebook page")
    return account.settings
