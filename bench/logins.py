"""Does the time of a refused login tell who exists? ``./dev bench logins``.

Failed logins of every kind, one after another and the kinds taking turns, against one gateway over loopback: the API and the
console. It prints the medians of each kind, of the time on the clock and of the processor's (gateway and asker are one
process), and their ratios to a wrong password of somebody who exists. The limits of failures are lifted for it; nothing else
is changed.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from kurir import auth, channels
from kurir.clock import uuid7
from kurir.configuration.file import parse
from kurir.console import totp
from kurir.console.access import Access
from kurir.gateway import Gateway, Options
from kurir.store.access import UserRecord
from kurir.store.sqlite import SqliteStore

ROUNDS = 60
CHOSEN, GENERATED = "correct horse battery staple", auth.generate_password()
#: (kind, user name). The first is what the others are compared with.
API = (
    ("a wrong password, a chosen one is right", "chosen"),
    ("a wrong password, a generated one is right", "generated"),
    ("nobody of this name", "{new}"),
    ("a client that was switched off", "gone"),
    ("the right password from a foreign network", "elsewhere"),
)
CONSOLE = (
    ("a wrong password", "known"),
    ("nobody of this name", "{new}"),
    ("a user who was switched off", "off"),
    ("a user without a password", "by-link"),
    ("a wrong password, second factor on", "careful"),
)


async def gateway(folder: Path) -> Gateway:
    """Return a gateway that runs, with clients and users of every kind."""
    for name in ("USERNAME_FAILURES", "REMOTE_FAILURES"):
        setattr(auth, name, (10**9, 1.0))
    clients: dict[str, Any] = {
        "chosen": {"password": CHOSEN},
        "generated": {"password": GENERATED},
        "gone": {"password": CHOSEN},
        "elsewhere": {"password": CHOSEN, "allow_from": ["192.0.2.0/24"]},
    }
    document = {
        "listen": "127.0.0.1:0",
        "database": str(folder / "kurir.db"),
        "clients": {name: {"username": name, "accounts": [], **rest} for name, rest in clients.items()},
    }
    first = Gateway(
        parse(document, {}, channels=channels.installed()), Options(), store=SqliteStore(folder / "kurir.db")
    )
    await first.start()
    await first.stop()
    del document["clients"]["gone"]  # type: ignore[attr-defined] # what is declared no more is switched off
    started = Gateway(
        parse(document, {}, channels=channels.installed()), Options(), store=SqliteStore(folder / "kurir.db")
    )
    await started.start()
    await _users(started.console.access, started)
    return started


async def _users(access: Access, of: Gateway) -> None:
    now = of.clock.now()
    for name in ("known", "off", "by-link", "careful"):
        user = UserRecord(uuid7(), name, "viewer", enabled=name != "off", created_at=now)
        await access.store.put_user(user, now)
        if name != "by-link":
            await access.set_password(user, name, CHOSEN, "")
        if name == "careful":
            secret = bytes(20)
            assert await access.turn_on_totp(user, secret, totp.code_at(secret, int(now.timestamp()) // 30))


async def measure(kinds: tuple[tuple[str, str], ...], ask: Callable[[str, str], Awaitable[int]]) -> None:
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind, _ in kinds}
    numbers = itertools.count()
    for _ in range(ROUNDS):
        for kind, name in kinds:
            password = CHOSEN if name == "elsewhere" else f"wrong-{next(numbers)}"
            began = time.perf_counter(), time.process_time()
            status = await ask(name.format(new=f"nobody-{next(numbers)}"), password)
            taken[kind].append((time.perf_counter() - began[0], time.process_time() - began[1]))
            assert status == 401, (kind, status)
    print(f"  {'':<44} {'ms':>7} {'quartiles':>15} {'ratio':>6} {'CPU ms':>8} {'ratio':>6}")
    first = [statistics.median(column) for column in zip(*taken[kinds[0][0]], strict=True)]
    for kind, pairs in taken.items():
        waits, works = zip(*pairs, strict=True)
        wait, work = statistics.median(waits), statistics.median(works)
        low, _, high = statistics.quantiles(waits, n=4)
        quartiles = f"{low * 1e3:.1f} to {high * 1e3:.1f}"
        on_clock = f"{wait * 1e3:>7.2f} {quartiles:>15} {wait / first[0]:>6.2f}"
        print(f"  {kind:<44} {on_clock} {work * 1e3:>8.2f} {work / first[1]:>6.2f}")


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        running = await gateway(Path(folder))
        url = running.server.url
        try:
            async with aiohttp.ClientSession() as session:

                async def api(name: str, password: str) -> int:
                    headers = {"Auth-username": name, "Auth-password": password}
                    async with session.post(f"{url}/telegram/send/{name}", json={}, headers=headers) as answer:
                        await answer.read()
                        return answer.status

                async def door(name: str, password: str) -> int:
                    fields, headers = {"name": name, "password": password}, {"Sec-Fetch-Site": "same-origin"}
                    async with session.post(f"{url}/console/sign-in", data=fields, headers=headers) as answer:
                        await answer.read()
                        return answer.status

                print(f"{ROUNDS} of each, in turns; each ratio is to the first line")
                print("API")
                await measure(API, api)
                print("console")
                await measure(CONSOLE, door)
        finally:
            await running.stop()


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
