"""The templates' environment: what every page can use, and nothing of a request."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kurir.console import masking, words

#: File → its type. What is not here is not served.
STATIC: Final = {
    "console.css": "text/css",
    "pages.css": "text/css",
    "console.js": "text/javascript",
    "chart.js": "text/javascript",
    "icons.svg": "image/svg+xml",
    "favicon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript",
    "vendor/idiomorph-ext.min.js": "text/javascript",
    "vendor/uPlot.iife.min.js": "text/javascript",
    "vendor/uPlot.min.css": "text/css",
}


@lru_cache(maxsize=64)
def static_file(name: str) -> tuple[bytes, str, str]:
    """Return a static file, its type and the tag of its content. Raises KeyError for one that is not served."""
    kind = STATIC[name]
    content = files("kurir.console").joinpath("static", name).read_bytes()
    return content, kind, hashlib.sha256(content).hexdigest()[:10]


def render(template: str, model: Mapping[str, Any], *, base: str) -> str:
    """Return a page. *base* is the path of the public URL, "" at its root."""
    return _environment().get_template(template).render(base=base, **model)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("kurir.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    made.install_gettext_callables(*words.CALLABLES, newstyle=True)  # type: ignore[attr-defined] # the extension's
    made.globals |= {
        "language": words.language,
        "languages": words.LANGUAGES,
        "asset": _asset,
        "mask": masking,
        "timedelta": timedelta,
    }
    made.filters |= {
        "number": words.number,
        "utc": _utc,
        "iso": _iso,
        "json": _json,
        "pretty": pretty,
        "said": words._,
        "seconds": _seconds,
        "bytes": _bytes,
    }
    return made


def _asset(name: str, base: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    return f"{base}/console/static/{static_file(name)[2]}/{name}"


def _utc(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _iso(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any) -> Markup:
    """Return JSON for a ``<script type="application/json">``: no character of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - every sign that HTML knows is escaped above


def pretty(value: Any) -> str:
    """Return JSON for people; text that is JSON is set anew, other text stays."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _seconds(value: float | timedelta) -> str:
    """Return a duration as people say it: 240 ms, 12 s, 3 min, 2 h, 4 d."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit != "d" and seconds >= length and seconds % length == 0):
            return f"{words.number(int(seconds // length))} {unit}"
    return f"{words.number(round(seconds, 1) if seconds < 10 else round(seconds))} s"


def _bytes(value: float) -> str:
    """Return a size as people say it."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{words.number(round(value, 1) if unit != 'B' else value)} {unit}"
        value /= 1024
    return f"{words.number(round(value, 1))} GiB"
