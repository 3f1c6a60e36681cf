"""What WhatsApp tells of the account itself: bans, restrictions, quality, reviews.

Sources: Meta's pages "account_update" (2026-04-20), "account_alerts", "account_review_update", "phone_number_name_update",
"phone_number_quality_update", "security" and "business_capability_update" (2026-05-21).

Only a ban and a deletion stop the account, and only where the event names the account's own ``waba_id``: an app's webhook
brings the news of every WhatsApp Business Account that it is subscribed to, and Meta's page has the entry of an
account_update carry the id of the business portfolio, which may own several. Whatever else is wrong ends by itself, or the
next call's answer tells it, so that the operator is told and nothing is held back for nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kurir.channels.base import TIME_UNTOLD, AccountNews, Inbound, JsonObject
from kurir.channels.whatsapp.errors import ERRORS, Kind
from kurir.channels.whatsapp.fields import digest, fragment, ignored, member, moment, name, number, objects, string


@dataclass(frozen=True, slots=True)
class _News:
    code: str
    reason: str
    stops: bool = False


# --- Tables -----------------------------------------------------------------------------------------------------------

#: ``event`` of account_update. Prices, locations and the terms of other products are no news of sending.
_ACCOUNT_EVENTS: Final[Mapping[str, _News]] = {
    "ACCOUNT_DELETED": _News("account_setup", "the WhatsApp Business Account was deleted", stops=True),
    "ACCOUNT_OFFBOARDED": _News("account_setup", "the number left the Cloud API: it was registered on another device"),
    "ACCOUNT_RECONNECTED": _News("account_setup", "the number is back on the Cloud API"),
    "ACCOUNT_RESTRICTION": _News("account_policy", "the WhatsApp Business Account is restricted"),
    "ACCOUNT_VIOLATION": _News("account_policy", "the WhatsApp Business Account broke a policy"),
    "PARTNER_APP_UNINSTALLED": _News("account_permission", "the app was removed, or its permissions were taken away"),
    "PARTNER_REMOVED": _News(
        "account_permission", "the WhatsApp Business Account is no longer shared with the app's owner"
    ),
}
#: ``ban_info.waba_ban_state`` of account_update's DISABLED_UPDATE.
_BANS: Final[Mapping[str, _News]] = {
    "DISABLE": _News("account_policy", "the WhatsApp Business Account is banned", stops=True),
    "SCHEDULE_FOR_DISABLE": _News("account_policy", "the WhatsApp Business Account will be banned"),
    "REINSTATE": _News("account_policy", "the WhatsApp Business Account is no longer banned"),
}
#: ``event`` of phone_number_quality_update. Higher limits need nobody's care.
_QUALITY: Final[Mapping[str, _News]] = {
    "FLAGGED": _News("account_policy", "the quality of the number is low, its limits may be lowered"),
    "UNFLAGGED": _News("account_policy", "the quality of the number is no longer low"),
    "DOWNGRADE": _News("account_policy", "the messaging limit of the number was lowered"),
}


# --- Readers ----------------------------------------------------------------------------------------------------------


def _updated(value: JsonObject) -> _News | None:
    """{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "January 2, 2026"}}."""
    event = string(value, "event")
    news = _BANS.get(string(member(value, "ban_info"), "waba_ban_state")) if event == "DISABLED_UPDATE" else None
    news = news or _ACCOUNT_EVENTS.get(event)
    details = [name(one, "restriction_type") for one in objects(value.get("restriction_info"))]
    details += [
        name(member(value, part), key)
        for part, key in (
            ("violation_info", "violation_type"),
            ("ban_info", "waba_ban_date"),
            ("disconnection_info", "reason"),
        )
    ]
    return _detailed(news, *details)


def _quality(value: JsonObject) -> _News | None:
    """{"display_phone_number": "1555…", "event": "FLAGGED", "max_daily_conversations_per_business": "TIER_2K"}."""
    limit = name(value, "max_daily_conversations_per_business") or name(value, "current_limit")
    return _detailed(_QUALITY.get(string(value, "event")), _ending(value), limit)


def _named(value: JsonObject) -> _News | None:
    """{"display_phone_number": "1555…", "decision": "REJECTED", "rejection_reason": "NAME_…"}."""
    if string(value, "decision") in ("", "APPROVED", "DEFERRED", "PENDING"):
        return None
    news = _News("account_setup", "the display name of the number was not approved")
    return _detailed(news, _ending(value), name(value, "rejection_reason"))


def _reviewed(value: JsonObject) -> _News | None:
    """{"decision": "REJECTED"}."""
    rejected = string(value, "decision") == "REJECTED"
    return (
        _News("account_policy", "the review of the WhatsApp Business Account ended in a refusal") if rejected else None
    )


def _alerted(value: JsonObject) -> _News | None:
    """{"entity_type": "BUSINESS", "alert_severity": "CRITICAL", "alert_status": "ACTIVE", "alert_type": "…"}.

    Newer pages hold the alert in ``alert_info``.
    """
    alert = member(value, "alert_info") or value
    if not string(alert, "alert_type"):
        return None
    news = _News("account_setup", "WhatsApp has an alert for the account")
    return _detailed(news, *(name(alert, key) for key in ("alert_severity", "alert_status", "alert_type")))


def _secured(value: JsonObject) -> _News | None:
    """{"display_phone_number": "1555…", "event": "PIN_RESET_REQUEST", "requester": "6128…"}."""
    if not string(value, "event"):
        return None
    news = _News("account_setup", "the two-step verification of the number was changed, or somebody asked to")
    return _detailed(news, _ending(value), name(value, "event"))


def _ending(value: JsonObject) -> str:
    """Return how the business's number ends: enough to tell it from its neighbours, and no phone for a log."""
    digits = name(value, "display_phone_number")
    return f"…{digits[-4:]}" if digits else ""


def _detailed(news: _News | None, *details: str) -> _News | None:
    shown = ", ".join(one for one in details if one)
    return replace(news, reason=f"{news.reason} ({shown})") if news and shown else news


_READERS: Final[Mapping[str, Callable[[JsonObject], _News | None]]] = {
    "account_update": _updated,
    "account_alerts": _alerted,
    "account_review_update": _reviewed,
    "phone_number_name_update": _named,
    "phone_number_quality_update": _quality,
    "security": _secured,
}


# --- Events -----------------------------------------------------------------------------------------------------------


def of_field(change: JsonObject, entry: JsonObject, waba_id: str) -> list[Inbound]:
    """Return the news of a change of a field other than those about people; it is ignored where it has none.

    {"id": "<waba>", "time": 1739321024, "changes": [{"field": "account_update", "value": {"event": "…"}}]}

    *waba_id* is the account's, "" where it is not configured.
    """
    field, value = string(change, "field"), member(change, "value")
    reader = _READERS.get(field)
    news = reader(value) if reader else None
    if news is None:
        event = name(value, "event") or name(value, "decision")
        return [
            ignored(
                f"the webhook field «{name(change, 'field')}»{f' with «{event}»' if event else ''} is not used", change
            )
        ]
    told_of = string(member(value, "waba_info"), "waba_id")
    if waba_id and told_of and told_of != waba_id:
        return [ignored(f"news of another WhatsApp Business Account, {told_of[:40]}: {news.reason}", change)]
    own = bool(waba_id) and waba_id in (told_of, string(entry, "id"))
    return [_news(replace(news, stops=news.stops and own), "", change, entry)]


def of_error(error: JsonObject, owner: str, entry: JsonObject) -> list[Inbound]:
    """Return the news of an error outside any message: {"code": 131031, "title": "…", "error_data": {"details": "…"}}.

    Meta sends no time with it, and its repeats look the same.
    """
    code = number(error.get("code"))
    row = ERRORS.get(code)
    if row is None or row.kind is not Kind.ACCOUNT:
        return [ignored(f"an error of the account, code {code}{f': {row.meaning}' if row else ''}", error)]
    return [_news(_News(row.code, f"{row.meaning} (code {code})"), owner, error, entry)]


def _news(news: _News, owner: str, told: JsonObject, entry: JsonObject) -> Inbound:
    at = moment(entry.get("time")) or TIME_UNTOLD
    raw = fragment({"id": entry.get("id"), "time": entry.get("time"), "told": told})
    waba = name(entry, "id")
    reason = f"{news.reason}; told of {waba}" if waba else news.reason
    return AccountNews(digest(raw), owner, at, news.code, reason, news.stops, raw)
