"""What ``kurir up`` starts: a gateway whose four accounts talk to the sandbox, and examples to send.

The demo is a configuration like any other, so that what works here works in production by other values. Only two things
exist in no production configuration: the sandbox's reserved media host, and people who are linked before they wrote.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kurir import demo_facts
from kurir.auth import generate_password
from kurir.gateway import DemoContact
from kurir.sandbox.config import SandboxConfig

CLIENT: Final = demo_facts.CLIENT
RECIPIENT: Final = demo_facts.RECIPIENT
FACTS_FILE: Final = demo_facts.FACTS_FILE
MEDIA_HOST: Final = "media.sandbox.invalid"
TYPES: Final = ("text", "image", "video", "audio", "voice", "document", "button", "list", "location")
ACCOUNTS: Final = demo_facts.ACCOUNTS


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the demo listens. Both without a slash at the end."""

    gateway: str
    sandbox: str


def document(
    sandbox: SandboxConfig,
    where: Addresses,
    listen: str,
    folder: Path,
    password: str,
    *,
    admin: str | None = None,
    networks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the demo's configuration, as a configuration file would hold it. *admin* is the administrator's token.

    *networks* may be reached although they are private: callbacks of somebody who tries it go to their own machine.
    """
    graph = f"{where.sandbox}/graph"
    whatsapp, telegram, line, page = sandbox.whatsapp, sandbox.telegram, sandbox.line, sandbox.messenger
    accounts: list[dict[str, Any]] = [
        {
            "channel": "whatsapp",
            "api_base": graph,
            "phone_number_id": whatsapp.phone_number_id,
            "access_token": whatsapp.access_token,
            "app_secret": whatsapp.app_secret,
            "verify_token": whatsapp.verify_token,
            "waba_id": whatsapp.waba_id,
        },
        {
            "channel": "telegram",
            "api_base": f"{where.sandbox}/telegram",
            "token": telegram.token,
            "secret_token": telegram.secret_token,
        },
        {
            "channel": "line",
            "api_base": f"{where.sandbox}/line",
            "data_api_base": f"{where.sandbox}/line",
            "channel_access_token": line.channel_access_token,
            "channel_secret": line.channel_secret,
            "default_preview_image_url": f"https://{MEDIA_HOST}/demo.jpg",
        },
        {
            "channel": "messenger",
            "api_base": graph,
            "page_id": page.page_id,
            "page_access_token": page.page_access_token,
            "app_secret": page.app_secret,
            "verify_token": page.verify_token,
            "app_id": str(page.app_id),
        },
    ]
    for account in accounts:
        account["id"] = ACCOUNTS[account["channel"]]
    return {
        "listen": listen,
        "database": str(folder / "kurir.db"),
        "public_url": where.gateway,
        "mask": False,
        **({"admin_token": admin} if admin else {}),
        **({"allow_networks": list(networks)} if networks else {}),
        "clients": {CLIENT: {"username": CLIENT, "password": password, "accounts": accounts}},
    }


def contacts(sandbox: SandboxConfig) -> list[DemoContact]:
    """Return the links of the sandbox's people: each phone to the person's address on each channel."""
    return [
        DemoContact(CLIENT, account, channel, person.address(channel), person.phone, person.name)
        for person in sandbox.people
        for channel, account in ACCOUNTS.items()
    ]


def password(folder: Path, given: str | None) -> str:
    """Return the demo client's password: *given*, else the one kept in *folder*, else a new one that is kept there."""
    if given:
        return given
    path = folder / "demo-password"
    if path.exists():
        return path.read_text("utf-8").strip()
    made = generate_password()
    path.touch(mode=0o600)
    path.write_text(made + "\n", "utf-8")
    return made


def admin_token(folder: Path) -> str:
    """Return the administrator's token: the one that an earlier start kept in *folder*'s ``demo.json``, else a new one."""
    try:
        known = demo_facts.read(folder).get("admin_token", "")
    except (OSError, ValueError):
        known = ""  # the first start in this folder, or one of an earlier version
    return known or f"kurir_admin_{secrets.token_urlsafe(32)}"


def example(kind: str, identifier: str | None = None) -> dict[str, Any]:
    """Return a body of the type *kind* to the sample's own number."""
    media: Mapping[str, tuple[str, str]] = {
        "image": ("demo.jpg", "Look at this"),
        "video": ("demo.mp4", "Two seconds of it"),
        "audio": ("demo.m4a", ""),
        "voice": ("demo.ogg", ""),
        "document": ("demo.pdf", "Your invoice"),
    }
    content: dict[str, Any]
    if kind in media:
        name, text = media[kind]
        content = {"text": text, "media": {"url": f"https://{MEDIA_HOST}/{name}", "name": name}}
    elif kind == "button":
        content = {"text": "Shall we deliver today?", "button": _buttons()}
    elif kind == "list":
        content = {"text": "What would you like to do?", "list": _list()}
    elif kind == "location":
        content = {"text": "Our shop", "location": {"latitude": -6.175392, "longitude": 106.827153}}
    else:
        content = {"text": "Hello from kurir 👋"}
    body: dict[str, Any] = {
        "id": identifier or f"demo-{secrets.token_hex(6)}",
        "times": 0,
        "timestamp": "2026-01-01T12:00:00+07:00",
        "recipient": RECIPIENT,
        "type": kind,
        "body": content,
    }
    if kind in ("button", "list"):
        body["header"] = {"type": "text", "text": "Order 1042", "media_url": ""}
        body["footer"] = {"title": "Demo Shop", "text": "Reply any time"}
    return body


def _buttons() -> list[dict[str, str]]:
    return [
        {"key": "today", "title": "Yes, today"},
        {"key": "tomorrow", "title": "Tomorrow"},
        {"key": "person", "title": "Talk to a person"},
    ]


def _list() -> dict[str, Any]:
    return {
        "title": "Choose",
        "sections": [
            {
                "title": "Orders",
                "description": "Everything about your order",
                "actions": [
                    {"key": "track", "title": "Track my order", "description": "See where it is now"},
                    {"key": "change", "title": "Change the address", "description": "Until it has left"},
                ],
            },
            {
                "title": "Help",
                "description": "",
                "actions": [{"key": "person", "title": "Talk to a person", "description": "Weekdays 9 to 17"}],
            },
        ],
    }
