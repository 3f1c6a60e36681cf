"""Brings the console's catalogues in line with its texts: ``python tools/make_words.py``.

Reads every text that templates and code mark (``_("…")``, ``ngettext``, ``mark``) and updates
``src/kurir/console/locale/*.po``: new texts come in untranslated, those that are gone go. With ``--check`` it changes nothing
and says what is out of line.
"""

import io
import sys
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from kurir.console.words import LANGUAGES, SOURCE

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "src" / "kurir"
LOCALE: Final = PACKAGE / "console" / "locale"
METHODS: Final = [
    ("console/templates/**.html", "jinja2"),
    ("console/**.py", "python"),
    ("http/console/**.py", "python"),
]
KEYWORDS: Final = {"_": None, "gettext": None, "mark": None, "ngettext": (1, 2)}
OPTIONS: Final = {
    "console/templates/**.html": {
        "newstyle_gettext": "true",
        "trimmed": "false",
        "extensions": "jinja2.ext.do",
        "silent": "false",
    }
}


def texts() -> Catalog:
    """Return every text that is marked, with the files that have it."""
    found = Catalog(project="kurir", header_comment="# The console's texts.", fuzzy=False)
    for name, _line, message, comments, context in sorted(
        extract_from_dir(PACKAGE, METHODS, OPTIONS, KEYWORDS), key=lambda one: (one[0], one[1])
    ):
        found.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return found


def updated(tag: str, template: Catalog) -> Catalog:
    """Return a language's catalogue with the texts of today, their translations kept."""
    locale = LANGUAGES[tag][0]
    path = LOCALE / f"{locale}.po"
    catalogue = read_po(io.BytesIO(path.read_bytes()), locale=locale) if path.exists() else Catalog(locale=locale)
    catalogue.update(template, no_fuzzy_matching=True, update_creation_date=False, keep_user_comments=False)
    catalogue.obsolete.clear()
    catalogue.fuzzy = False
    catalogue.project, catalogue.version = "kurir", "0"
    catalogue.header_comment = (
        f"# {LANGUAGES[tag][1]}: the console's texts. Made by tools/make_words.py, translated by hand."
    )
    return catalogue


def written(catalogue: Catalog) -> bytes:
    """Return a catalogue as its file holds it: in the order of the texts, without line numbers or dates."""
    out = io.BytesIO()
    write_po(out, catalogue, width=127, include_lineno=False, omit_header=False, sort_output=True, ignore_obsolete=True)
    lines = out.getvalue().decode().splitlines()
    dated = (
        '"POT-Creation-Date',
        '"PO-Revision-Date',
        '"Generated-By',
        '"Report-Msgid',
        '"Last-Translator',
        '"Language-Team',
    )
    return ("\n".join(line for line in lines if not line.startswith(dated)) + "\n").encode()


def main() -> int:
    """Update or check every catalogue; return how many are out of line."""
    template, out_of_line = texts(), 0
    for tag in LANGUAGES:
        if tag == SOURCE:
            continue
        path, content = LOCALE / f"{LANGUAGES[tag][0]}.po", written(updated(tag, template))
        missing = [message.id for message in updated(tag, template) if message.id and not message.string]
        if "--check" in sys.argv:
            stale = not path.exists() or path.read_bytes() != content
            out_of_line += stale or bool(missing)
            print(f"{tag}: {'out of line, ' if stale else ''}{len(missing)} untranslated")
        else:
            path.write_bytes(content)
            print(f"{tag}: {len(missing)} of {len(template)} untranslated")
    return out_of_line


if __name__ == "__main__":
    sys.exit(main())
