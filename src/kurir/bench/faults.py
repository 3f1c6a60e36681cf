"""The platforms' faults that a run may ask for by name, as profiles of the sandbox. Times in seconds, shares from 0 to 1."""

import json
from collections.abc import Mapping
from typing import Any, Final

#: Connections held open without an answer are closed after this long, so that a run has many of them.
HOLD: Final = 1.0

PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    "none": {},
    "slow": {"latency": 0.005, "jitter": 0.195},
    # What a kill is run against: answers after 5 to 200 ms, and a few that are lost on their way.
    "shaky": {"latency": 0.005, "jitter": 0.195, "cut_after": 0.005, "timeout_after": 0.005, "hold": HOLD},
    "errors": {"latency": 0.02, "jitter": 0.08, "errors": 0.2},
    "throttle": {"latency": 0.02, "jitter": 0.08, "throttle": 0.05, "retry_after": 3},
    "lost": {"latency": 0.02, "timeout_before": 0.03, "timeout_after": 0.03, "cut_after": 0.03, "hold": HOLD},
    "outage": {"outage": "503"},
    "storm": {
        "latency": 0.02,
        "jitter": 0.1,
        "errors": 0.08,
        "throttle": 0.04,
        "retry_after": 3,
        "timeout_before": 0.01,
        "timeout_after": 0.01,
        "cut_before": 0.02,
        "cut_after": 0.01,
        "half_body": 0.01,
        "garbage": 0.01,
        "garbage_before": 0.02,
        "hold": HOLD,
    },
}


def profile(text: str) -> dict[str, Any]:
    """Return the profile that *text* names, or holds as a JSON object. Raises ValueError with the names there are."""
    if text in PROFILES:
        return dict(PROFILES[text])
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - the text is at fault, whatever its JSON holds
            f"«{text}» is no profile: a JSON object, or one of {', '.join(PROFILES)}"
        )
    return found


def longest(found: Mapping[str, Any]) -> float:
    """Return the longest that a platform may take for an answer or for none, in seconds."""
    held = float(found.get("hold", 60.0)) if any(name.startswith("timeout") for name in found) else 0.0
    return latency(found) + held


def latency(found: Mapping[str, Any]) -> float:
    """Return the longest that a platform takes for an answer, in seconds."""
    return float(found.get("latency", 0.0)) + float(found.get("jitter", 0.0))
