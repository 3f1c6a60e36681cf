"""What the tests of connecting accounts share: LINE's answers, and a gateway with the routes."""

from contextlib import asynccontextmanager

from kurir.connect.connector import Connector
from kurir.connect.heard import LastWebhooks
from kurir.egress import Egress
from kurir.http import connect
from support.servers import running

TOKEN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
INFO, ENDPOINT, TEST = "/v2/bot/info", "/v2/bot/channel/webhook/endpoint", "/v2/bot/channel/webhook/test"
QUOTA, USED = "/v2/bot/message/quota", "/v2/bot/message/quota/consumption"


def line_answers(url=""):
    return {
        f"GET {INFO}": (200, {"userId": "U1", "basicId": "@shop", "displayName": "Shop", "chatMode": "bot"}),
        f"GET {ENDPOINT}": (200, {"endpoint": url, "active": True}),
        f"PUT {ENDPOINT}": (200, {}),
        f"POST {TEST}": (200, {"success": True, "statusCode": 200, "reason": "OK", "detail": "200"}),
        f"GET {QUOTA}": (200, {"type": "limited", "value": 1000}),
        f"GET {USED}": (200, {"totalUsage": 12}),
    }


@asynccontextmanager
async def gateway_with(tmp_path, edit=None):
    """Run a gateway that has these routes, whose connector calls with an egress of its own."""

    def configured(document):
        document["admin_token"] = TOKEN
        if edit is not None:
            edit(document)

    async with running(tmp_path, edit=configured) as gateway:
        egress = Egress()
        app = gateway.gateway.app
        connector = Connector(egress, gateway.gateway.clock, gateway.url)
        parts = connect.Connecting(egress, connector, LastWebhooks())
        if not any(getattr(route, "path", "").endswith("/check") for route in app.routes):
            app.include_router(connect.router)
            app.include_router(connect.client_router)
        app.state.connecting = lambda: parts
        try:
            yield gateway, parts
        finally:
            await egress.close()


def template(name, status="APPROVED"):
    return {
        "name": name,
        "language": "en_US",
        "status": status,
        "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Hi {{1}}"}],
    }
