"""Setting a WhatsApp number up, looking what is wrong with it, and reading its templates.

Sources: Meta's pages "Business phone numbers" (fields of a number), "Messaging limits", "Quality rating", "Manage webhooks"
(``subscribed_apps`` of a WhatsApp Business Account), "Message templates" (the edge ``message_templates``) and "Paginated
results" (``paging``).
"""

import json
from dataclasses import dataclass
from typing import Final

from kurir.channels.base import JsonObject
from kurir.channels.meta import setup as graph_setup
from kurir.channels.meta.setup import Subject
from kurir.channels.setup import (
    Finding,
    Identity,
    Paste,
    Report,
    Site,
    Talk,
    member,
    note,
    objects,
    text,
    wrong,
)
from kurir.channels.text import storable
from kurir.domain.account import Account, WhatsAppSettings

#: What is asked of the number; where the version of the API does not know one of them, the first three alone.
_KNOWN_FIELDS: Final = ("display_phone_number", "verified_name", "quality_rating")
_FIELDS: Final = (*_KNOWN_FIELDS, "status", "throughput", "whatsapp_business_manager_messaging_limit")
#: What the webhook has to bring: messages and their receipts. The others tell of the account itself.
WEBHOOK_FIELDS: Final = ("messages",)
#: Templates on a page, so that a page stays within the largest answer that is read; and pages, at most.
PAGE: Final = 50
PAGES: Final = 200

_MANAGER: Final = "WhatsApp Manager, Account tools, Phone numbers"


@dataclass(frozen=True, slots=True)
class Template:
    """A message template as the platform has it. ``components`` are its JSON."""

    name: str
    language: str
    status: str
    category: str
    components: str


def check(account: Account, site: Site) -> Talk[Report]:
    """Look whether the token and the number work, whether events come here, and how the number stands."""
    subject, settings = _subject(account), _settings(account)
    number = yield from _number(subject, settings.phone_number_id)
    if isinstance(number, Finding):
        return Report(findings=(_of_number_id(number),), pastes=graph_setup.pastes(subject, site))
    subscribed = yield from _subscription(subject, settings)
    webhook = yield from _webhook(subject, site)
    findings = (*_of_number(number), *graph_setup.of_site(site), *subscribed, *webhook)
    return Report(_identity(settings, number), findings, _facts(number), pastes=_pastes(subject, site, webhook))


def connect(account: Account, site: Site, *, replace: bool = False) -> Talk[Report]:
    """Check the token, subscribe the WhatsApp Business Account to the app, set the app's webhook where that can be done.

    That wants ``app_id``, and a gateway that answers; else it is to be pasted, as the report says.
    """
    subject, settings = _subject(account), _settings(account)
    number = yield from _number(subject, settings.phone_number_id)
    if isinstance(number, Finding):
        return Report(findings=(_of_number_id(number),), pastes=graph_setup.pastes(subject, site))
    done: list[str] = []
    findings: list[Finding] = []
    if settings.waba_id:
        answer = yield from graph_setup.post(subject, f"{settings.waba_id}/subscribed_apps")
        if isinstance(answer, Finding):
            return Report(_identity(settings, number), (_of_waba_id(answer),), pastes=graph_setup.pastes(subject, site))
        done.append(f"the WhatsApp Business Account {settings.waba_id} is subscribed to the app")
    if settings.app_id:
        changed, found = yield from graph_setup.set_app_webhook(subject, site, replace=replace)
        done += changed
        findings += found
    report = yield from check(account, site)
    found_twice = {one.code for one in report.findings}
    findings = [one for one in findings if one.code not in found_twice]
    return Report(report.identity, (*report.findings, *findings), report.facts, tuple(done), report.pastes)


def templates(account: Account) -> Talk[tuple[Template, ...] | Finding]:
    """Return every template of the WhatsApp Business Account, page by page.

    ``{"data": [{"name": "order_update", "language": "en_US", "status": "APPROVED", "category": "UTILITY", "components":
    […]}], "paging": {"cursors": {"after": "MjQZD"}, "next": "https://…"}}``. The cursor is used, and not the address: it
    would be somebody else's word on where the token goes.
    """
    subject, settings = _subject(account), _settings(account)
    if not settings.waba_id:
        return _no_waba()
    found: dict[tuple[str, str], Template] = {}
    parameters = {"fields": "name,language,status,category,components", "limit": str(PAGE)}
    for _ in range(PAGES):
        page = yield from graph_setup.get(subject, f"{settings.waba_id}/message_templates", parameters)
        if isinstance(page, Finding):
            return _of_waba_id(page)
        for one in objects(page, "data"):
            template = _template(one)
            if template is not None:
                found[template.name, template.language] = template
        paging = member(page, "paging")
        after = member(paging, "cursors").get("after")
        if not paging.get("next") or not isinstance(after, str) or not after:
            return tuple(found.values())
        parameters["after"] = after
    detail = f"there are more than {PAGE * PAGES:,} templates, and no more are read"
    return wrong("too_many_templates", detail, "delete templates that nobody uses")


def _template(value: JsonObject) -> Template | None:
    """Return a template, None where it is not to be read: no name, no language, no components."""
    name, language, components = text(value, "name"), text(value, "language"), value.get("components")
    if not name or not language or not isinstance(components, list):
        return None
    said = storable(json.dumps(components, ensure_ascii=False, separators=(",", ":")))
    return Template(name, language, text(value, "status"), text(value, "category"), said)


def _number(subject: Subject, number_id: str) -> Talk[JsonObject | Finding]:
    number = yield from graph_setup.get(subject, number_id, {"fields": ",".join(_FIELDS)})
    if isinstance(number, Finding) and number.code == "refused":
        number = yield from graph_setup.get(subject, number_id, {"fields": ",".join(_KNOWN_FIELDS)})
    return number


def _subscription(subject: Subject, settings: WhatsAppSettings) -> Talk[tuple[Finding, ...]]:
    """Look whether the WhatsApp Business Account is subscribed to the app.

    ``{"data": [{"whatsapp_business_api_data": {"id": "670843887433847", "link": "…", "name": "Jasper's Market"}}]}``
    """
    if not settings.waba_id:
        return (_no_waba(),)
    answer = yield from graph_setup.get(subject, f"{settings.waba_id}/subscribed_apps")
    if isinstance(answer, Finding):
        return (_of_waba_id(answer),)
    apps = [member(one, "whatsapp_business_api_data") or one for one in objects(answer, "data")]
    if not apps:
        detail = f"the WhatsApp Business Account {settings.waba_id} is subscribed to no app: no event is sent"
        return (wrong("app_not_subscribed", detail, "kurir account reconnect subscribes it"),)
    if settings.app_id and settings.app_id not in [text(one, "id") for one in apps]:
        names = ", ".join(text(one, "name") or text(one, "id") for one in apps)
        detail = (
            f"the WhatsApp Business Account {settings.waba_id} is subscribed to {names}, and not to {settings.app_id}"
        )
        return (wrong("app_not_subscribed", detail, "kurir account reconnect subscribes the app that the token is of"),)
    return ()


def _webhook(subject: Subject, site: Site) -> Talk[tuple[Finding, ...]]:
    if not subject.app_id or not site.webhook_url:
        return ()
    return (yield from graph_setup.app_webhook(subject, site))


def _pastes(subject: Subject, site: Site, webhook: tuple[Finding, ...]) -> tuple[Paste, ...]:
    """Return what is to be pasted: nothing where the app's webhook was read and is right."""
    return () if subject.app_id and not webhook else graph_setup.pastes(subject, site)


def _no_waba() -> Finding:
    detail = "waba_id is not set, so that neither the subscription nor templates can be looked at"
    return note("waba_unknown", detail, "add waba_id: the WhatsApp Business Account's id, in WhatsApp Manager")


def _of_number_id(finding: Finding) -> Finding:
    if finding.code != "unknown_object":
        return finding
    fix = "phone_number_id is the id of the number (App Dashboard, WhatsApp, API setup), and not the number"
    return wrong("unknown_object", finding.detail, fix)


def _of_waba_id(finding: Finding) -> Finding:
    if finding.code != "unknown_object":
        return finding
    return wrong(
        "unknown_object", finding.detail, "check waba_id, and that the System User has that account as an asset"
    )


def _identity(settings: WhatsAppSettings, number: JsonObject) -> Identity:
    return Identity(settings.phone_number_id, text(number, "verified_name"), text(number, "display_phone_number"))


def _of_number(number: JsonObject) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    status, quality = text(number, "status"), text(number, "quality_rating")
    if status not in ("", "CONNECTED"):
        detail = f"the number's status is {status}, and only a CONNECTED one sends"
        findings.append(wrong("number_not_connected", detail, f"look at {_MANAGER}"))
    if quality == "RED":
        detail = "the number's quality rating is RED: people block or report its messages, and its limit does not grow"
        findings.append(
            wrong("quality_low", detail, "send fewer and better expected templates; it is of the last 7 days")
        )
    elif quality == "YELLOW":
        detail = "the number's quality rating is YELLOW: some people block or report its messages"
        findings.append(note("quality_medium", detail, "look which templates are reported in WhatsApp Manager"))
    return tuple(findings)


def _facts(number: JsonObject) -> tuple[tuple[str, str], ...]:
    limit = text(number, "whatsapp_business_manager_messaging_limit") or text(number, "messaging_limit_tier")
    given = (
        ("quality rating", text(number, "quality_rating")),
        ("messaging limit", limit),
        ("throughput", text(member(number, "throughput"), "level")),
    )
    return tuple((name, value) for name, value in given if value)


def _subject(account: Account) -> Subject:
    settings = _settings(account)
    return Subject(
        base=f"{account.api_base}/{settings.api_version}",
        token=settings.access_token,
        app_id=settings.app_id,
        app_secret=settings.app_secret,
        verify_token=settings.verify_token,
        kind="whatsapp_business_account",
        fields=WEBHOOK_FIELDS,
        product="WhatsApp, Configuration, Webhook",
    )


def _settings(account: Account) -> WhatsAppSettings:
    if not isinstance(account.settings, WhatsAppSettings):
        raise TypeError(f"account {account.id} is not a WhatsApp number")
    return account.settings
