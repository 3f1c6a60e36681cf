"""What is written into the audit: who did what, from where, and what it was before and is after.

The audit is never shortened, so what strangers can cause (failed sign-ins) is bounded, and no secret is ever in it.
"""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from kurir.clock import Clock
from kurir.console.rights import Visitor
from kurir.console.words import mark
from kurir.store.access import AccessStore, AuditRecord

#: The name of who uses the administrator's API, and the way that is.
ADMINISTRATOR: Final = "administrator"
API: Final = "api"
#: Failed sign-ins of an hour that are noted, at most.
FAILURES_AN_HOUR: Final = 200
_HOUR: Final = 3600.0

#: What is done, as it is stored → as it is told.
ACTIONS: Final = {
    "signed_in": mark("signed in"),
    "signed_out": mark("signed out"),
    "sign_in_failed": mark("failed to sign in"),
    "session_ended": mark("ended a session"),
    "link_made": mark("made a sign-in link"),
    "password_set": mark("set a password"),
    "totp_on": mark("turned the second factor on"),
    "totp_off": mark("turned the second factor off"),
    "user_added": mark("added a user"),
    "user_changed": mark("changed a user"),
    "user_removed": mark("removed a user"),
    "revealed": mark("revealed what was masked"),
    "audit_exported": mark("exported the audit"),
    "exported": mark("exported messages"),
    "message_retried": mark("retried a message"),
    "message_cancelled": mark("cancelled a message"),
    "messages_retried": mark("retried messages"),
    "messages_cancelled": mark("cancelled messages"),
    "message_sent": mark("sent a message"),
    "account_added": mark("added an account"),
    "account_changed": mark("changed an account"),
    "account_connected": mark("set an account's webhook"),
    "account_paused": mark("paused an account"),
    "account_resumed": mark("resumed an account"),
    "account_disabled": mark("disabled an account"),
    "account_enabled": mark("enabled an account"),
    "templates_read": mark("read the templates anew"),
    "client_added": mark("added a client"),
    "client_changed": mark("changed a client"),
    "client_disabled": mark("disabled a client"),
    "client_enabled": mark("enabled a client"),
    "password_rotated": mark("rotated a client's password"),
    "contact_linked": mark("linked a contact"),
    "contact_unlinked": mark("unlinked a contact"),
    "contact_erased": mark("erased a contact"),
    "contact_link_made": mark("made a link that a person opens"),
    "endpoint_added": mark("added a callback endpoint"),
    "endpoint_changed": mark("changed a callback endpoint"),
    "endpoint_removed": mark("removed a callback endpoint"),
    "endpoint_paused": mark("paused a callback endpoint"),
    "endpoint_resumed": mark("resumed a callback endpoint"),
    "secret_rotated": mark("rotated a signing secret"),
    "callback_replayed": mark("replayed callbacks"),
    "example_sent": mark("sent an example"),
    "secret_shown": mark("looked at a signing secret"),
    "webhook_replayed": mark("replayed a webhook"),
    "webhook_dropped": mark("dropped a webhook"),
    "sandbox_fault": mark("changed a fault of the sandbox"),
}

#: Members whose values never go into the audit, whoever passes them.
_SECRET: Final = ("password", "secret", "token", "hash", "totp", "key")


class Audit:
    """Writes the audit. What is noted is durable on return: who cannot be written down does not act."""

    def __init__(self, store: AccessStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=FAILURES_AN_HOUR)

    async def note(
        self,
        who: Visitor,
        action: str,
        kind: str,
        subject: str,
        *,
        client_id: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what *who* did in the console. Raises KeyError for an action that has no words, and StoreError."""
        _ = ACTIONS[action]
        entry = AuditRecord(
            at=self._clock.now(),
            actor=who.name,
            via="console",
            address=who.address,
            action=action,
            kind=kind,
            subject=subject[:300],
            client_id=client_id or who.client_id,
            before=_json(before),
            after=_json(after),
        )
        await self._store.add_audit([entry])

    async def note_by(
        self,
        actor: str,
        via: str,
        address: str,
        action: str,
        subject: tuple[str, str],
        *,
        client_id: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what somebody did who is no visitor: the administrator by the API, or who signs in. See :meth:`note`."""
        _ = ACTIONS[action]
        kind, name = subject
        entry = AuditRecord(
            at=self._clock.now(),
            actor=actor[:100],
            via=via,
            address=address,
            action=action,
            kind=kind,
            subject=name[:300],
            client_id=client_id,
            before=_json(before),
            after=_json(after),
        )
        await self._store.add_audit([entry])

    async def note_failure(self, name: str, address: str, why: str) -> None:
        """Note that somebody failed to sign in: under the name of a user only, since people type passwords into that field.

        Beyond :data:`FAILURES_AN_HOUR` it is not noted: nobody can fill the disk by failing.
        """
        now = self._clock.monotonic()
        if len(self._failures) == FAILURES_AN_HOUR and now - self._failures[0] < _HOUR:
            return
        self._failures.append(now)
        user = await self._store.user_named(name.strip().lower())
        actor = user.name if user is not None else ""
        await self.note_by(actor, "console", address, "sign_in_failed", ("user", actor), after={"why": why})


def _json(value: Mapping[str, Any] | None) -> str:
    return json.dumps(masked(value or {}), ensure_ascii=False, default=str)


def masked(value: Any, name: str = "") -> Any:
    """Return *value*, the member *name* of something, without secrets: those of members named so, those in addresses."""
    if any(word in name.lower() for word in _SECRET) and not isinstance(value, bool | None):
        return "•••"
    if isinstance(value, Mapping):
        if name.lower() == "headers":  # of a callback: whatever they are called, they let somebody in
            return dict.fromkeys(map(str, value), "•••")
        return {str(key): masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one) for one in value]
    return _without_secrets(value) if isinstance(value, str) and "://" in value else value


def _without_secrets(address: str) -> str:
    """Return an address without user, password and query: tokens stand there."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "•••"
    host = parts.netloc.rpartition("@")[2]
    query = "?•••" if parts.query else ""
    return f"{parts.scheme}://{'•••@' if '@' in parts.netloc else ''}{host}{parts.path}{query}"
