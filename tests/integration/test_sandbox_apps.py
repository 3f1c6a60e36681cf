"""The emulated apps of Meta: where their webhooks go, and the handshake before an address is taken."""

import aiohttp
import pytest

from kurir.sandbox.config import DEMO_MESSENGER, DEMO_WHATSAPP
from support.platform import answering
from support.sandbox import running

APPS = {
    "whatsapp": (DEMO_WHATSAPP.app_id, DEMO_WHATSAPP.app_secret, "whatsapp_business_account"),
    "messenger": (DEMO_MESSENGER.app_id, DEMO_MESSENGER.app_secret, "page"),
}


async def ask(sandbox, channel, method="GET", token=None, **parameters):
    """Call an app's subscriptions; return the status and the answer."""
    app_id, secret, kind = APPS[channel]
    query = {"object": kind, **parameters} if method == "POST" else parameters
    headers = {"Authorization": f"Bearer {token or f'{app_id}|{secret}'}"}
    url = f"{sandbox.server.url}/graph/v26.0/{app_id}/subscriptions"
    async with aiohttp.request(method, url, params=query, headers=headers) as response:
        return response.status, await response.json()


class Receiver:
    """What stands in for a gateway: it gives the challenge back where *good*."""

    def __init__(self, *, good=True):
        self.good = good
        self.asked = []

    async def __aenter__(self):
        from aiohttp import web  # noqa: PLC0415 - of this stand-in alone

        async def answer(request):
            self.asked.append(dict(request.query))
            return web.Response(text=request.query["hub.challenge"]) if self.good else web.Response(status=403)

        app = web.Application()
        app.router.add_get("/webhooks/new", answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/webhooks/new"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()


@pytest.mark.parametrize("channel", APPS)
async def test_an_address_is_taken_after_its_handshake(channel):
    async with running() as sandbox, Receiver() as receiver:
        given = {"callback_url": receiver.url, "verify_token": "word", "fields": "messages"}
        assert await ask(sandbox, channel, "POST", **given) == (200, {"success": True})
        (asked,) = receiver.asked
        assert (asked["hub.mode"], asked["hub.verify_token"]) == ("subscribe", "word")
        status, answer = await ask(sandbox, channel)
        (found,) = answer["data"]
        assert status == 200
        assert (found["object"], found["callback_url"], found["active"]) == (APPS[channel][2], receiver.url, True)
        assert [one["name"] for one in found["fields"]] == ["messages"]
        assert await ask(sandbox, channel, "DELETE") == (200, {"success": True})
        assert (await ask(sandbox, channel))[1] == {"data": []}


async def test_an_address_that_does_not_give_the_challenge_back_is_not_taken():
    async with running() as sandbox, Receiver() as first, Receiver(good=False) as second:
        given = {"verify_token": "word", "fields": "messages"}
        await ask(sandbox, "whatsapp", "POST", callback_url=first.url, **given)
        status, answer = await ask(sandbox, "whatsapp", "POST", callback_url=second.url, **given)
        assert (status, answer["error"]["code"]) == (400, 2200)
        assert "HTTP Status Code = 403" in answer["error"]["message"]
        status, answer = await ask(sandbox, "whatsapp", "POST", callback_url="http://127.0.0.1:9/x", **given)
        assert (status, answer["error"]["code"]) == (400, 2200)
        assert (await ask(sandbox, "whatsapp"))[1]["data"][0]["callback_url"] == first.url


@pytest.mark.parametrize(
    "wrong",
    [
        {"object": "page"},
        {"callback_url": "nowhere"},
        {"verify_token": ""},
        {"fields": ""},
        {"fields": "messages,nonsense"},
    ],
)
async def test_what_is_missing_or_unknown_is_refused(wrong):
    async with running() as sandbox, answering({}) as nobody:
        given = {"callback_url": nobody.url, "verify_token": "word", "fields": "messages"} | wrong
        status, answer = await ask(sandbox, "whatsapp", "POST", **given)
        assert (status, answer["error"]["code"]) == (400, 100)
        assert nobody.asked == []


async def test_an_app_wants_its_own_token():
    async with running() as sandbox:
        for token in (DEMO_WHATSAPP.access_token, f"{DEMO_WHATSAPP.app_id}|wrong"):
            assert (await ask(sandbox, "whatsapp", token=token))[0] == 401
