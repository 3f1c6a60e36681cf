"""A profile in plain words: the line that ``kurir sandbox fault`` prints and that the phones' page shows."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from kurir.sandbox.profiles import Profile

#: What each member says, in this order. The values are shares, seconds, rates, codes or switches, as the profile has them.
#: "seconds" and "seed" are no faults: the one is told as an end, the other at the end.
_WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "outage": lambda given: (
        "every connection is reset unread" if given == "refused" else f"every request is answered {given}"
    ),
    "expired_token": lambda _: "every request is refused: the token is not valid",
    "quota": lambda _: "the month's messages are used up",
    "blocked": lambda share: f"{_percent(share)} of the recipients have blocked the sender",
    "errors": lambda share: f"{_percent(share)} are refused with a passing error",
    "error": lambda code: f"that error is {code}",
    "throttle": lambda share: f"{_percent(share)} are throttled",
    "retry_after": lambda seconds: f"throttling asks to wait {seconds:g} s",
    "rate": lambda rate: f"at most {rate:g} a second",
    "recipient_rate": lambda rate: f"at most {rate:g} a second to one recipient",
    "usage": lambda percent: f"the usage headers say {percent} %",
    "regain_minutes": lambda minutes: f"access is back in {minutes} min, they say",
    "timeout_before": lambda share: f"{_percent(share)} are lost without an answer",
    "timeout_after": lambda share: f"{_percent(share)} arrive without an answer",
    "hold": lambda seconds: f"such connections stay open for {seconds:g} s",
    "cut_before": lambda share: f"{_percent(share)} are cut before they arrive",
    "cut_after": lambda share: f"{_percent(share)} are cut after they arrived",
    "half_body": lambda share: f"{_percent(share)} arrive and get half an answer",
    "garbage": lambda share: f"{_percent(share)} arrive and are answered 200 without JSON",
    "garbage_before": lambda share: f"{_percent(share)} are lost and answered 502",
    "latency": lambda seconds: f"answers take {seconds:g} s",
    "jitter": lambda seconds: f"up to {seconds:g} s more by chance",
}
_WEBHOOKS: Final[Mapping[str, str]] = {
    "drop": "{} of the webhooks never come",
    "duplicate": "{} of the webhooks come twice",
    "reorder": "{} of the webhooks come after the next one",
}


def in_words(profile: Profile) -> str:
    """Return what *profile* lets go wrong, in one line. Shares are of messages; "no fault" where nothing is set."""
    given = profile.as_json()
    told = [say(given[name]) for name, say in _WORDS.items() if name in given]
    webhooks = given.get("webhooks", {})
    told += [words.format(_percent(webhooks[name])) for name, words in _WEBHOOKS.items() if name in webhooks]
    if "delay" in webhooks:
        told.append(f"webhooks are up to {webhooks['delay']:g} s late")
    seed = f" (seed {profile.seed})" if profile.seed else ""
    return ("; ".join(told) or "no fault") + seed


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
