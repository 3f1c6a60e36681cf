"""Retention: finished messages older than it go, with all that hangs on them; the others stay."""

from datetime import timedelta
from pathlib import Path

from kurir import demo
from kurir.clock import FakeClock
from kurir.upkeep import Upkeep
from support.servers import running


async def test_what_retention_has_outlived_is_deleted_and_the_rest_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        tids = []
        for number in range(5):
            _, _, answer = await up.send("telegram", demo.example("text", f"old-{number}"))
            tids.append(answer["data"]["tid"])
            await up.until(tids[-1], 1)
        clock = FakeClock(up.gateway.clock.now() + timedelta(days=100))
        _, _, answer = await up.send("telegram", {**demo.example("text", "later"), "send_at": "2099-01-01T00:00:00Z"})
        assert await Upkeep(up.gateway.store, clock, timedelta(days=101)).once() == 0
        assert await Upkeep(up.gateway.store, clock, timedelta(days=90)).once() == 5
        for tid in tids:
            async with up.session.get(f"{up.url}/v1/messages/{tid}") as response:
                assert response.status == 404
        assert (await up.message(answer["data"]["tid"]))["status"] == 0
