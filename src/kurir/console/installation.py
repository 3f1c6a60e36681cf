"""The settings as the page of settings shows them, without their secrets; and what is carried inside kurir. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from kurir.configuration.values import show_duration, show_rate
from kurir.console.masking import HIDDEN
from kurir.settings import SETTINGS, PostgresUrl, Setting, Settings

#: What is carried inside kurir: what, its version, its licence. As THIRD_PARTY.md has it, where their texts are.
THIRD_PARTY: Final = (
    ("Swagger UI", "5.35.0", "Apache-2.0"),
    ("htmx", "2.0.11", "0BSD"),
    ("idiomorph", "0.8.0", "0BSD"),
    ("uPlot", "1.6.32", "MIT"),
    ("Lucide", "1.62.0", "ISC"),
)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting with its value as text; ``source`` is the flag or variable that it came from, "file" or "default"."""

    setting: Setting
    value: str
    source: str


def rows(settings: Settings) -> list[SettingRow]:
    """Return every setting in the order of the reference."""
    return [SettingRow(one, _value(one, settings), settings.sources.get(one.name, "default")) for one in SETTINGS]


def _value(setting: Setting, settings: Settings) -> str:
    if setting.secret:
        given = getattr(settings, setting.name)
        return HIDDEN if given else ""
    value = getattr(settings, setting.name)
    if setting.name == "database":
        return database(value)
    if setting.name == "retention":
        return show_duration(value)
    if setting.name == "client_rate":
        return show_rate(value)
    if setting.name == "client_queue":
        return "none" if value is None else str(value)
    if setting.name == "inbound_media_space":
        return f"{value / 10**9:g}GB"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def database(value: object) -> str:
    """Return where the database is, without user and password."""
    if not isinstance(value, PostgresUrl):
        return str(value)
    parts = urlsplit(value.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
