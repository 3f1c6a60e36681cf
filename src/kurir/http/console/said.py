"""What a page says after something was done: a key in the address → a sentence. So nobody can put words into a page."""

from typing import Final

from kurir.console.words import mark

#: Key → (how it went: good or bad, the sentence).
SAID: Final = {
    "signed_out": ("good", mark("You are signed out.")),
    "session_ended": ("good", mark("The session is ended.")),
    "password_set": ("good", mark("The password is set. Other sessions were ended.")),
    "totp_on": ("good", mark("The second factor is on.")),
    "totp_off": ("good", mark("The second factor is off.")),
    "user_added": ("good", mark("The user is added.")),
    "user_changed": ("good", mark("The user is changed.")),
    "sessions_ended": ("good", mark("Every session of the user is ended.")),
    "totp_reset": ("good", mark("The second factor is off. The user can turn it on again.")),
    "user_removed": ("good", mark("The user is removed, with every session.")),
    "language_set": ("good", mark("The language is set.")),
    "retried": ("good", mark("The message is queued again.")),
    "cancelled": ("good", mark("The message is cancelled.")),
    "paused": ("good", mark("Paused. What is being sent ends; nothing new begins.")),
    "resumed": ("good", mark("It goes on.")),
    "account_connected": ("good", mark("The webhook is set.")),
    "account_disabled": ("good", mark("The account is off. What waits stays until it expires.")),
    "account_enabled": ("good", mark("The account is on.")),
    "checked_good": ("good", mark("The platform was asked. Nothing is wrong.")),
    "checked_bad": ("bad", mark("The platform was asked. Something is wrong: see below.")),
    "client_disabled": ("good", mark("The client is let in no more, and its accounts are off.")),
    "client_enabled": ("good", mark("The client is let in again.")),
    "saved": ("good", mark("Saved.")),
    "removed": ("good", mark("Removed.")),
    "sent": ("good", mark("Sent.")),
    "replayed": ("good", mark("It is sent again.")),
    "linked": ("good", mark("The phone is linked.")),
    "unlinked": ("good", mark("The phone is no longer linked.")),
    "erased": (
        "good",
        mark("The person is erased. Of the messages to them a bare record stays: ids, statuses and times."),
    ),
    "templates_read": ("good", mark("The templates were read anew.")),
    "understood": ("good", mark("The webhook was understood, and is out of quarantine.")),
    "still_unread": ("bad", mark("It still cannot be read, and stays in quarantine.")),
}
