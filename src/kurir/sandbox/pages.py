"""The phones' page as text: whole for the sandbox itself, and its main part for a page of somebody else.

A host's page brings, under one origin with the sandbox's routes (``app.create_control``):

- :func:`phones_main`, word for word, anywhere in its body, once;
- the stylesheets :data:`STYLES` and the module :data:`SCRIPT` from ``<base>/phones/static/``;
- ``color-scheme: light dark`` on its root, or the one that its theme wants: the phones follow it;
- ``--phones-around`` on an element around them, when more or less than 13 rem stand above and below the phones.

*base* is where the sandbox is mounted. The scripts take it from their own address; only where they are served from
elsewhere does a page name it, by ``<meta name="kurir-sandbox" content="<base>">``. Every rule of the stylesheets holds under
``.phones`` alone, and every id begins with ``phones-``.
"""

from functools import cache
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).with_name("page")
STATIC: Final = PAGE / "static"
#: In this order, each under ``<base>/phones/static/``.
STYLES: Final = ("phones.css", "blocks.css", "skins.css", "ledger.css", "composer.css")
#: The module that fills the phones; it loads what else it needs.
SCRIPT: Final = "phones.js"
#: The module that defines ``<kurir-bubble>``, for a page that shows one message without a phone. It needs STYLES too.
BUBBLE_SCRIPT: Final = "bubble.js"


@cache
def phones_main() -> str:
    """Return the phones' element, for another page to hold. It is HTML of our own, without anybody's words."""
    return (PAGE / "phones_main.html").read_text(encoding="utf-8")


@cache
def phones_page() -> str:
    """Return the sandbox's own page; its addresses are relative to ``<base>/phones``."""
    links = "\n".join(f'<link rel="stylesheet" href="phones/static/{name}">' for name in STYLES)
    shell = (PAGE / "index.html").read_text(encoding="utf-8")
    return shell.replace("<!-- phones: styles -->", links).replace("<!-- phones: main -->", phones_main())
