"""What a person does on a phone, as data, and how a request that asks for it is read."""

import math
from dataclasses import dataclass, fields
from typing import Any, Final

#: What a person can do, in words. Not every app can do all of it; see the channels' modules.
ACTS: Final[dict[str, str]] = {
    "text": "writes a text",
    "image": "sends a picture",
    "video": "sends a video",
    "audio": "sends an audio file",
    "voice": "sends a voice note",
    "document": "sends a file",
    "sticker": "sends a sticker",
    "location": "sends a place, or a moving one with live",
    "move": "moves on while a place is shared live",
    "contact": "shares a contact: the own phone unless another is given",
    "press": "taps a button, a row of a list or a quick reply",
    "react": "puts an emoji on a message, or takes it away with none",
    "edit": "changes an own message",
    "delete": "takes an own message back",
    "block": "blocks the account; on LINE that ends following it",
    "unblock": "lets the account in again; on LINE that follows it",
    "follow": "follows the account, or presses Start",
    "open": "opens the chat by a deep link with a payload",
    "link": "ends LINE's account linking with a nonce",
}
FILES: Final = {
    "image": "demo.jpg",
    "video": "demo.mp4",
    "audio": "demo.m4a",
    "voice": "demo.ogg",
    "document": "demo.pdf",
    "sticker": "demo.webp",
}
#: Characters of one member; the apps stop a person far earlier.
MAX_WORDS: Final = 20_000


class ActError(Exception):
    """What a person cannot do; *status* is 400 for a request that cannot be read, 409 for a phone that does not allow it."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a person does.

    *text* is the text, a caption or what a deep link carries; *message* the id of the bubble that is meant (pressed, changed,
    reacted to), "" for the newest one that fits; *reply_to* the bubble that is answered. *choice* is the title or the payload
    of what is tapped. *file* is a demo file's name or an uploaded file's id. Degrees for *latitude* and *longitude*.
    """

    do: str
    text: str = ""
    message: str = ""
    reply_to: str = ""
    choice: str = ""
    payload: str | None = None
    emoji: str = ""
    file: str = ""
    name: str = ""
    phone: str = ""
    address: str = ""
    latitude: float = -6.2088
    longitude: float = 106.8456
    live: bool = False


_STRINGS: Final = tuple(one.name for one in fields(Act) if one.name not in ("latitude", "longitude", "live"))


def read_act(value: Any) -> Act:
    """Return the act that a request's JSON asks for; raises ActError."""
    if not isinstance(value, dict):
        raise ActError('An object is expected, such as {"do": "text", "text": "Hi"}.')
    if value.get("do") not in ACTS:
        raise ActError(f"do: There are {', '.join(ACTS)}.")
    known = {one.name for one in fields(Act)}
    for name, member in value.items():
        if name not in known:
            raise ActError(f"{name}: There is no such member. There are {', '.join(sorted(known))}.")
        if name in _STRINGS and not (isinstance(member, str) and len(member) <= MAX_WORDS):
            raise ActError(f"{name}: A text of at most {MAX_WORDS} characters is expected.")
    for name, most in (("latitude", 90), ("longitude", 180)):
        degrees = value.get(name, 0)
        if (
            isinstance(degrees, bool)
            or not isinstance(degrees, int | float)
            or not math.isfinite(degrees)
            or abs(degrees) > most
        ):
            raise ActError(f"{name}: Degrees from -{most} to {most} are expected.")
    if not isinstance(value.get("live", False), bool):
        raise ActError("live: true or false is expected.")
    act = Act(**value)
    if act.do == "text" and not act.text.strip():
        raise ActError("text: A text that is not blank is expected.")
    return act
