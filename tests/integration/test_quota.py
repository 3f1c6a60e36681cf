"""LINE's monthly quota: read at once when LINE refuses a message for it."""

from support.connecting import QUOTA, USED
from support.platform import answering
from support.servers import running

PUSH = "POST /v2/bot/message/push"


async def test_a_refusal_for_the_quota_has_it_read_at_once(tmp_path):
    answers = {
        f"GET {QUOTA}": (200, {"type": "limited", "value": 500}),
        f"GET {USED}": (200, {"totalUsage": 500}),
        PUSH: (429, {"message": "You have reached your monthly limit."}),
    }
    async with answering(answers) as platform:

        def edit(document):
            document["clients"]["demo"]["accounts"][2]["api_base"] = platform.url

        async with running(tmp_path, edit=edit) as gateway:
            await platform.until_asked(f"GET {USED}")
            quotas = gateway.gateway._quotas
            assert quotas is not None
            quotas._read.clear()  # as if the look at the start were longer ago than a minute
            body = {"id": "q-1", "times": 0, "timestamp": "2026-01-01T12:00:00Z", "type": "text", "body": {"text": "x"}}
            status, _, _ = await gateway.send("line", body | {"recipient": "U" + "0a" * 16})
            assert status == 200
            await platform.until_asked(f"GET {USED}", 2)
