"""What setting up Meta's two channels shares: asking the Graph API, and the app's own subscription, which has the webhook.

Meta's webhooks need two things: the app is told once where to call (``/{app-id}/subscriptions``, or by hand in the App
Dashboard), and the WhatsApp Business Account or the page is subscribed to the app (``subscribed_apps``). All accounts of
an app share its one address, so the address of another account of this gateway is as good.

Sources: Meta's pages "Graph API reference: App subscriptions" (an app access token is needed, which is ``app id|app
secret``: "Access tokens"), "Webhooks: getting started" (the handshake) and "Manage webhooks" of WhatsApp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from kurir.channels.base import Answer, Call, JsonObject, NoAnswer
from kurir.channels.meta import graph
from kurir.channels.setup import (
    Finding,
    Paste,
    Site,
    Talk,
    not_reached,
    note,
    objects,
    query,
    text,
    trouble,
    words,
    wrong,
)

PLATFORM: Final = "Meta"
_CREDENTIALS: Final = frozenset({0, 102, 104, 190})
_PERMISSION: Final = frozenset({3, 10, *range(200, 300)})
_DASHBOARD: Final = "Meta's App Dashboard, your app"


@dataclass(frozen=True, slots=True)
class Subject:
    """An account, as the Graph API is asked of it: where, by which token, and of which app.

    ``kind`` is the object of its webhooks, ``fields`` the kinds of event that the gateway reads. ``product`` is where the
    App Dashboard has its webhooks.
    """

    base: str
    token: str
    app_id: str
    app_secret: str
    verify_token: str
    kind: str
    fields: Sequence[str]
    product: str


def get(subject: Subject, path: str, parameters: Mapping[str, str] | None = None) -> Talk[JsonObject | Finding]:
    """Read an object or an edge; return it, or what is wrong."""
    return (yield from _asked(query(_url(subject, path, parameters), _bearer(subject.token))))


def post(subject: Subject, path: str, parameters: Mapping[str, str] | None = None) -> Talk[JsonObject | Finding]:
    """Change something by its edge; return the answer, or what is wrong."""
    call = Call(1, "POST", _url(subject, path, parameters), _json(subject.token), {})
    return (yield from _asked(call))


def app_webhook(subject: Subject, site: Site) -> Talk[tuple[Finding, ...]]:
    """Look where the app's webhook leads.

    ``{"data": [{"object": "page", "callback_url": "https://…", "active": true, "fields": [{"name": "messages"}]}]}``
    """
    found = yield from _subscription(subject)
    if isinstance(found, Finding):
        return (found,)
    return _of_subscription(subject, site, found)


def set_app_webhook(
    subject: Subject, site: Site, *, replace: bool
) -> Talk[tuple[tuple[str, ...], tuple[Finding, ...]]]:
    """Tell the app where to call, and return what was done and what is wrong; neither where nothing had to be done.

    It is tried only while the gateway answers, since Meta makes its handshake before it says yes. A webhook of somebody
    else is left as it is unless *replace*.
    """
    found = yield from _subscription(subject)
    if isinstance(found, Finding):
        return (), (found,)
    there = text(found, "callback_url")
    if there and not _ours(site, there) and not replace:
        return (), _of_subscription(subject, site, found)
    # The address of another account of ours is as good, unless both are the very same number or page: with *replace* it is
    # taken from that one too.
    stays = not _of_subscription(subject, site, found) and (not replace or there == site.webhook_url)
    if stays or not site.webhook_url or site.answers is not True:
        return (), ()
    parameters = {
        "object": subject.kind,
        # Also where the webhook of another account of ours stands there: Meta makes its handshake at the address with the
        # token that comes along, which is this account's.
        "callback_url": site.webhook_url,
        "verify_token": subject.verify_token,
        "fields": ",".join([*_fields(found), *(name for name in subject.fields if name not in _fields(found))]),
    }
    url = _url(subject, f"{subject.app_id}/subscriptions", parameters)
    answer = yield from _asked(Call(1, "POST", url, _json(_app_token(subject)), {}))
    if isinstance(answer, Finding):
        return (), (wrong("webhook_refused", answer.detail, "paste the address by hand, as below"),)
    return (f"the app's webhook is set to {parameters['callback_url']}",), ()


def pastes(subject: Subject, site: Site) -> tuple[Paste, ...]:
    """Return what goes into the App Dashboard by hand."""
    where = f"{_DASHBOARD}, {subject.product}"
    return (
        Paste(where, "Callback URL", site.webhook_url or "(set public_url first)"),
        Paste(where, "Verify token", subject.verify_token),
        Paste(where, "Webhook fields", ", ".join(subject.fields)),
    )


def of_site(site: Site) -> tuple[Finding, ...]:
    """Return why Meta could call no such address."""
    if not site.webhook_url:
        detail = "public_url is not set, so there is no address to be called at"
        return (wrong("public_url_missing", detail, "set public_url; Meta offers no way to fetch events"),)
    return ()


def _subscription(subject: Subject) -> Talk[JsonObject | Finding]:
    """Return the app's subscription for the account's kind of object, {} where it has none."""
    path = f"{subject.app_id}/subscriptions"
    answer = yield from _asked(query(_url(subject, path), _bearer(_app_token(subject))))
    if isinstance(answer, Finding):
        fix = "check app_id and app_secret; or look in the App Dashboard by hand"
        return note("app_unread", f"where the app's webhook leads could not be read: {answer.detail}", fix)
    return next((one for one in objects(answer, "data") if one.get("object") == subject.kind), {})


def _of_subscription(subject: Subject, site: Site, found: JsonObject) -> tuple[Finding, ...]:
    url = text(found, "callback_url")
    if not url:
        detail = f"the app has no webhook for {subject.kind}: nothing that people write arrives"
        return (
            wrong("webhook_missing", detail, f"{_DASHBOARD}, {subject.product}: paste Callback URL and Verify token"),
        )
    if not _ours(site, url):
        detail = f"the app's webhook is {url}: another system gets the events"
        return (
            wrong("webhook_elsewhere", detail, "change it in the App Dashboard, or give the gateway an app of its own"),
        )
    if found.get("active") is False:
        return (wrong("endpoint_inactive", "the app's webhook is not active", "verify it again in the App Dashboard"),)
    missing = [name for name in subject.fields if name not in _fields(found)]
    if missing and missing != list(subject.fields):
        detail = f"the app's webhook is not subscribed to {', '.join(missing)}"
        return (wrong("fields_missing", detail, f"{_DASHBOARD}, {subject.product}: subscribe to these fields"),)
    if missing:
        detail = "the app's webhook is subscribed to none of the fields that the gateway reads"
        return (wrong("fields_missing", detail, f"subscribe to {', '.join(missing)} in the App Dashboard"),)
    return ()


def _ours(site: Site, url: str) -> bool:
    """Return whether *url* is the address of an account of this gateway."""
    base, slash, _ = site.webhook_url.rpartition("/")
    return bool(slash) and url.startswith(base + slash)


def _fields(found: JsonObject) -> list[str]:
    """Return the fields of a subscription: objects with a name and a version, or in older answers bare names."""
    given = found.get("fields")
    names = [one.get("name") if isinstance(one, dict) else one for one in given] if isinstance(given, list) else []
    return [words(name) for name in names if isinstance(name, str)]


def _asked(call: Call) -> Talk[JsonObject | Finding]:
    answer = yield call
    if isinstance(answer, NoAnswer):
        return not_reached(PLATFORM, answer)
    body = answer.json()
    error = graph.error_of(answer)
    if error is None and answer.status == 200 and body is not None:
        return body
    return refusal(answer, error)


def refusal(answer: Answer, error: graph.GraphError | None) -> Finding:
    """Return what a refusal of the Graph API means for a set-up ("Error codes")."""
    if error is None:
        return trouble(PLATFORM, answer, "")
    said = f"{PLATFORM} says «{words(error.title) or words(error.message)}» ({error.provider_code or answer.status})"
    if error.wants_proof:
        fix = "App Dashboard, App settings, Advanced: switch «Require app secret» off"
        return wrong(
            "proof_wanted", f"the app requires an appsecret_proof, which the gateway does not send: {said}", fix
        )
    if error.code in _CREDENTIALS:
        fix = "make a token that does not expire: a System User's, with the permissions of the go-live page"
        return wrong("token_refused", f"the access token is refused: {said}", fix)
    if error.code in _PERMISSION:
        return wrong(
            "not_permitted", f"a permission is missing: {said}", "give the token the permissions of the go-live page"
        )
    if (error.code, error.subcode) == (100, 33) or error.code in (33, 803):
        return wrong("unknown_object", f"there is no such object, or the token may not see it: {said}", "check the id")
    if error.is_transient or answer.status >= 500 or error.code in (1, 2, 4, 17, 32, 341, 613, 80007, 80008):
        return wrong("platform_trouble", said, "try again in a minute")
    return wrong("refused", said)


def _url(subject: Subject, path: str, parameters: Mapping[str, str] | None = None) -> str:
    return f"{subject.base}/{path}" + (f"?{urlencode(parameters)}" if parameters else "")


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {token}"),)


def _json(token: str) -> tuple[tuple[str, str], ...]:
    return (*_bearer(token), ("Content-Type", "application/json"))


def _app_token(subject: Subject) -> str:
    return f"{subject.app_id}|{subject.app_secret}"
