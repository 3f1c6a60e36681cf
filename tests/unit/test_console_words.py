"""The console's catalogues: every text in every language, placeholders kept, and which language a browser gets."""

import re
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from kurir.console import words
from kurir.console.words import LANGUAGES, SOURCE, _, negotiated, ngettext, number, spoken

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import make_words

OTHERS = [one for one in LANGUAGES if one != SOURCE]
texts = lru_cache(maxsize=1)(make_words.texts)  # it takes a second or two
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_and_keeps_its_placeholders(language):
    """Where this fails after a change of texts: python tools/make_words.py, then translate what it names."""
    catalogue = make_words.updated(language, texts())
    assert (make_words.LOCALE / f"{LANGUAGES[language][0]}.po").read_bytes() == make_words.written(catalogue)
    wrong = []
    for message in catalogue:
        if not message.id:
            continue
        one = message.id if isinstance(message.id, tuple) else (message.id,)
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        wanted = set(PLACEHOLDER.findall(one[-1]))
        kept = [set(PLACEHOLDER.findall(each)) for each in said]
        # A plural form may say «one» in a word, so that its number is left out.
        whole = all(each == wanted for each in kept) if len(one) == 1 else all(each <= wanted for each in kept)
        if message.fuzzy or not all(said) or not whole:
            wrong.append(one[0])
    assert wrong == []


def test_the_texts_of_every_template_are_found():
    """An extraction that cannot read a template finds nothing in it, and says nothing."""
    found = {name for message in texts() for name, _line in message.locations}
    folder = make_words.PACKAGE / "console" / "templates"
    silent = {
        f"console/templates/{one.name}" for one in folder.glob("*.html") if "_(" in one.read_text("utf-8")
    } - found
    assert silent == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_is_spoken_inside_its_context_alone(language):
    with spoken(language):
        assert words.language() == language
        assert _("Messages") != "Messages" or _("Accounts") != "Accounts"
    assert _("Messages") == "Messages"


def test_numbers_are_written_as_the_language_writes_them():
    with spoken("es"):
        assert number(1234567) == "1.234.567"
    with spoken("en"):
        assert number(1234567) == "1,234,567"
        assert ngettext("%(num)s more account", "%(num)s more accounts", 2) == "2 more accounts"
        assert ngettext("%(num)s more account", "%(num)s more accounts", 1) == "1 more account"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", "en"),
        ("id", "id"),
        ("id-ID,id;q=0.9,en;q=0.8", "id"),
        ("pt", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("zh-TW,zh;q=0.9", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("zh-CN,en;q=0.5", "en"),
        ("de,th;q=0.2", "th"),
        ("en;q=0.1,ja;q=0.9", "ja"),
        ("*", "en"),
        ("ja;q=broken,es", "es"),
        ("x" * 5000, "en"),
        (",".join(["de"] * 50 + ["ja"]), "en"),
    ],
)
def test_a_browser_gets_the_language_that_it_asks_for(accept, wanted):
    assert negotiated(accept) == wanted


def test_an_unknown_language_is_english():
    with spoken("tlh"):
        assert words.language() == "en"
