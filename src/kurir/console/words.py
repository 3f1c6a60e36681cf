"""The console's languages: a catalogue each in ``locale/``, read by Babel when it is first asked for.

The language is a context variable, so that a template, a view and a form all speak the request's. Sentences of the API
(errors, reasons) stay English, as the API's answers do: an operator looks for the very words that a client saw.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from gettext import NullTranslations
from importlib.resources import files
from typing import Any, Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

#: The tag of each language (as ``lang`` has it) → the locale of its catalogue, and its own name.
LANGUAGES: Final = {
    "en": ("en", "English"),
    "id": ("id", "Bahasa Indonesia"),
    "th": ("th", "ไทย"),
    "ja": ("ja", "日本語"),
    "zh-Hant": ("zh_Hant", "繁體中文"),
    "es": ("es", "Español"),
    "pt-BR": ("pt_BR", "Português (Brasil)"),
}
#: The language of the texts in the code.
SOURCE: Final = "en"

_language: ContextVar[str] = ContextVar("kurir_console_language", default=SOURCE)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Speak *language* (one of :data:`LANGUAGES`) inside the context."""
    token = _language.set(language if language in LANGUAGES else SOURCE)
    try:
        yield
    finally:
        _language.reset(token)


def language() -> str:
    """Return the language that is spoken."""
    return _language.get()


def _(text: str, **values: object) -> str:
    """Return *text* in the language that is spoken, with the named *values* put in (``%(name)s``)."""
    found = _catalogue(_language.get()).gettext(text)
    return found % values if values else found


def ngettext(one: str, many: str, count: int, **values: object) -> str:
    """Return the form of the text that fits *count*, which is put in as ``%(num)s`` beside *values*."""
    found = _catalogue(_language.get()).ngettext(one, many, count)
    return found % {"num": number(count), **values}


def mark(text: str) -> str:
    """Return *text* as it is: it is a text of the catalogue, and translated where it is shown."""
    return text


def number(value: float) -> str:
    """Return a number as the language writes it: 12,345 or 12.345."""
    return str(format_decimal(value, locale=LANGUAGES[_language.get()][0]))


def negotiated(accept: str) -> str:
    """Return the language that a browser's Accept-Language asks for, as far as there is one (RFC 9110, 12.5.4)."""
    wanted: list[tuple[float, int, str]] = []
    for place, item in enumerate(accept.split(",")[:20]):
        tag, _semicolon, parameters = item.strip().partition(";")
        quality = parameters.strip().removeprefix("q=") if parameters.strip().startswith("q=") else "1"
        try:
            wanted.append((-float(quality), place, tag.strip().lower()))
        except ValueError:
            continue
    for _quality, _place, tag in sorted(wanted):
        found = _nearest(tag)
        if found is not None:
            return found
    return SOURCE


def _nearest(tag: str) -> str | None:
    by_name = {name.lower(): name for name in LANGUAGES}
    if tag in by_name:
        return by_name[tag]
    primary = tag.partition("-")[0]
    if primary == "zh":
        return "zh-Hant" if tag.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo")) else None
    if primary == "pt":
        return "pt-BR"
    return by_name.get(primary)


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(tag: str) -> NullTranslations:
    """Return a language's catalogue. Read from its text when it is first used: so a wheel needs no build step."""
    if tag == SOURCE:
        return NullTranslations()
    name = LANGUAGES[tag][0]
    source = files("kurir.console").joinpath("locale", f"{name}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(source), locale=name))
    compiled.seek(0)
    return Translations(compiled)


#: What Jinja's i18n extension calls.
CALLABLES: Final[tuple[Any, Any]] = (
    lambda text: _catalogue(_language.get()).gettext(text),
    lambda one, many, count: _catalogue(_language.get()).ngettext(one, many, count),
)
