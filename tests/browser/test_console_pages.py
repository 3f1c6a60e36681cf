"""Every page of the console in a real browser: nothing serious for axe, nothing cut, no sideways scroll, no foreign request.

In light and dark, at 390, 768 and 1440 pixels. With KURIR_SCREENSHOTS set to a folder the docs' pictures are written there.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from kurir.console.words import LANGUAGES
from support.browser import chromium
from support.console_pages import Furnished, cut, furnished, listening, serious, sideways, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Page → where it is; the names are those of the pictures.
PAGES = {
    "home": "/console",
    "messages": "/console/messages",
    "message": "/console/messages/{whatsapp:button}",
    "message-failed": "/console/messages/{failed}",
    "message-new": "/console/messages/new",
    "phones": "/console/phones",
    "accounts": "/console/accounts",
    "account": "/console/accounts/demo-tg",
    "wizard": "/console/accounts/new",
    "contacts": "/console/contacts",
    "callbacks": "/console/callbacks",
    "templates": "/console/templates",
    "webhooks": "/console/webhooks",
    "requests": "/console/requests",
    "errors": "/console/errors",
    "error": "/console/errors/recipient_not_linked",
    "clients": "/console/clients",
    "audit": "/console/audit",
    "users": "/console/users",
    "settings": "/console/settings",
    "me": "/console/me",
}
#: Width, theme: each page is looked at in all of them; a picture is kept of those named.
VIEWS = {
    "": (1440, 900, "light"),
    "-dark": (1440, 900, "dark"),
    "-tablet": (768, 1024, "light"),
    "-narrow": (390, 844, "dark"),
}

#: Views that axe looks at: both themes, the widest and the narrowest.
CHECKED = ("", "-narrow")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    with furnished(tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def at(made: Furnished, path: str) -> str:
    for name, tid in (*made.tids.items(), ("failed", made.failed)):
        path = path.replace("{" + name + "}", tid)
    return made.url + path


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_in_every_view(made: Furnished, browser: Browser, view: str) -> None:
    width, height, theme = VIEWS[view]
    context = sign_in(browser, made, viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB")
    page = context.new_page()
    wrong = listening(page, made)
    found: list[str] = []
    folder = os.environ.get("KURIR_SCREENSHOTS")
    for name, path in PAGES.items():
        answer = page.goto(at(made, path))
        page.wait_for_function("document.readyState === 'complete'")
        status = answer.status if answer else 0
        found += [f"{name}: {status}"] if status != 200 else []
        found += [f"{name}: sideways {one}" for one in sideways(page)]
        found += [f"{name}: cut {one}" for one in cut(page)]
        found += [f"{name}: {one}" for one in wrong]
        if folder and view in ("", "-dark", "-narrow"):
            page.wait_for_timeout(400)  # lets pictures and the chart be drawn, for the picture only
            page.screenshot(path=Path(folder) / f"console-{name}{view}.png")
        if view in CHECKED:
            found += [
                f"{name}: {one}" for one in serious(page)
            ]  # last: axe itself writes styles, which the policy refuses
        wrong.clear()
    context.close()
    assert found == []


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_every_language_fits_a_phone_and_says_which_it_is(made: Furnished, browser: Browser, language: str) -> None:
    context = sign_in(browser, made, viewport={"width": 390, "height": 844}, locale=language)
    page = context.new_page()
    wrong = listening(page, made)
    found: list[str] = []
    english = set()
    for name in ("home", "messages", "message", "accounts", "settings"):
        page.goto(at(made, PAGES[name]))
        assert page.locator("html").get_attribute("lang") == language
        found += [f"{name}: {one}" for one in (*sideways(page), *cut(page), *wrong)]
        english.add(page.locator("nav.nav a").first.inner_text())
    context.close()
    assert found == []
    assert english != {"Home"}
