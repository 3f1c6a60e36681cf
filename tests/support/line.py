"""LINE's cases and messages as the channel gets them: the account, the facts, the message rendered."""

import json
from dataclasses import replace
from typing import Any

from kurir.channels.base import Facts, MediaFacts, Rendering, ReplyTarget, ReplyToken
from kurir.channels.line import channel as line
from kurir.domain import recipient as recipients
from kurir.domain.account import Account, LineSettings
from kurir.domain.message import Message
from kurir.domain.problem import Problem
from kurir.domain.recipient import Form, Recipient
from kurir.intake import wire
from support.messages import seed_bodies

TID = "0190a5c0-0000-7000-8000-000000000001"
USER = "U4af4980629af4980629af4980629af498"
#: Phones that a contact is linked to, as the cases' conventions say.
LINKED = {"6281234567890": USER}
SETTINGS = LineSettings(channel_access_token="secret-token", channel_secret="0123456789abcdef0123456789abcdef")
ACCOUNT = Account("acme-line", "acme", "line", line.API_BASE, SETTINGS)


def account_of(case: dict[str, Any]) -> Account:
    """Return the account that *case* is about: its ``channel`` holds settings other than the usual ones."""
    given = {name: value or "" for name, value in case.get("channel", {}).items()}
    return replace(ACCOUNT, settings=replace(SETTINGS, **given))


def facts_of(case: dict[str, Any]) -> Facts:
    """Return what intake and probing would have found for *case*."""
    body, store = case["input"], case.get("store", {})
    read = recipients.read("line", body["recipient"])
    assert isinstance(read, Recipient)
    address = read.value if read.form is Form.ADDRESS else LINKED.get(read.value, "")
    quoted = store.get(body["reply_id"])
    token = store.get("reply_token", {}).get(body["reply_token"])
    return Facts(
        tid=TID,
        address=address,
        reply=ReplyTarget(quoted["message_id"], quoted["user"], quoted["quote_token"] or "") if quoted else None,
        reply_token=ReplyToken(body["reply_token"], token["age_s"]) if token else None,
        media={url: MediaFacts(duration_ms=found["duration_ms"]) for url, found in case.get("probe", {}).items()},
    )


def decoded(body: Any) -> Message | list[Problem]:
    """Return the message in *body*, or all that accepting it would refuse."""
    message = wire.decode(body, "line")
    if not isinstance(message, Message):
        return message
    return line.problems(message) or message


def rendered(case: dict[str, Any]) -> Rendering:
    message = decoded(case["input"])
    assert isinstance(message, Message), message
    return line.render(message, account_of(case), facts_of(case))


def https_bodies():
    """Bodies of every type whose files LINE could fetch."""
    return seed_bodies("line").map(lambda body: json.loads(json.dumps(body).replace('"http://', '"https://')))
