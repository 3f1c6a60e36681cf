"""How long each page of the console takes with a million messages in the database, as a browser asks for it.

    python bench/console_pages.py [--messages 1000000] [--folder DIR] [--times 20]

The database is that of ``console_store.py``. A real ``kurir serve`` runs over it with every account paused, somebody signs in
by the link that it prints, and each page is asked for so many times over one connection. In milliseconds, from the request to
the last byte; the machine's other core belongs to the one who asks.
"""

import argparse
import asyncio
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import apsw

import console_store
from kurir.store.sqlite import SqliteStore

PAGES = {
    "home": "/console",
    "home, 30 days": "/console?range=30d",
    "messages": "/console/messages",
    "messages, 2nd page": "/console/messages?before={half}",
    "failed": "/console/messages?q=status:failed",
    "of an error": "/console/messages?q=error:window_closed",
    "a phone": "/console/messages?q=" + quote("+62 8100 0042 42"),
    "a tid": "/console/messages?q=tid:tid-{half:09}",
    "an own id": "/console/messages?q=own-{half}",
    "a frequent word": "/console/messages?q=order",
    "two words, Thai": "/console/messages?q=" + quote("คำสั่งซื้อ"),
    "no such word": "/console/messages?q=nowhereinanymessage",
    "nothing of a type": "/console/messages?q=type:location",
    "a message": "/console/messages/tid-{half:09}",
    "a new message": "/console/messages/new",
    "accounts": "/console/accounts",
    "an account": "/console/accounts/account-3",
    "wizard": "/console/accounts/new",
    "contacts": "/console/contacts",
    "callbacks": "/console/callbacks",
    "templates": "/console/templates",
    "webhooks": "/console/webhooks",
    "request log": "/console/requests",
    "errors": "/console/errors",
    "an error": "/console/errors/window_closed",
    "clients": "/console/clients",
    "a client": "/console/clients/client-3",
    "audit": "/console/audit",
    "users": "/console/users",
    "settings": "/console/settings",
    "me": "/console/me",
}


async def filled(path: Path, count: int) -> None:
    store = SqliteStore(path, synchronous="OFF")
    await store.open()
    await console_store.fill_sqlite(store, path, count)
    await console_store.follow(store, count)
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("UPDATE account SET paused_at = 1")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def configuration(folder: Path) -> Path:
    lines = ['listen = "127.0.0.1:0"', f'database = "{folder / "kurir.db"}"', 'public_url = "http://127.0.0.1:1"']
    for number in range(console_store.CLIENTS):
        lines += [f"[clients.client-{number}]", f'username = "user-{number}"', f'password = "{"x" * 20}"']
        for account in range(number, console_store.ACCOUNTS, console_store.CLIENTS):
            base = 'api_base = "http://127.0.0.1:9"'
            lines += [f"[[clients.client-{number}.accounts]]", f'id = "account-{account}"', base]
            if account // console_store.CLIENTS:
                lines += [
                    'channel = "telegram"',
                    f'token = "{7_000_000 + account}:{"x" * 35}"',
                    f'secret_token = "{"s" * 20}"',
                ]
            else:
                lines += [
                    'channel = "whatsapp"',
                    f'phone_number_id = "{10_000 + account}"',
                    f'access_token = "{"t" * 20}"',
                ]
                lines += [f'app_secret = "{"a" * 32}"', f'verify_token = "{"v" * 16}"']
    path = folder / "kurir.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Browser:
    """One connection that is signed in."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._connection = http.client.HTTPConnection(host, timeout=60)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{host}"}
        self._connection.request("POST", "/console/enter", urlencode({"token": token}), headers)
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def get(self, path: str) -> tuple[int, int, float]:
        """Return (status, bytes, seconds)."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers={"Cookie": self._cookie, "Accept-Language": "en"})
        answer = self._connection.getresponse()
        size = len(answer.read())
        return answer.status, size, time.perf_counter() - began


def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="kurir-bench-") as place:
        folder = Path(place)
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        asyncio.run(filled(folder / "kurir.db", options.messages))
        command = [
            sys.executable,
            "-m",
            "kurir",
            "serve",
            "--config",
            str(configuration(folder)),
            "--log-level",
            "error",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                host = token = ""
                assert server.stderr is not None
                said = []
                for line in server.stderr:
                    said.append(line)
                    host = found.group(1) if (found := re.search(r"listens on http://(\S+)", line)) else host
                    token = found.group(1) if (found := re.search(r"enter\?token=(\S+)", line)) else token
                    if host and token:
                        break
                else:
                    sys.exit("".join(said))
                print(f"{options.messages:,} messages, load average before {load}")
                print(f"{'page':<22} {'status':>6} {'KiB':>6} {'median ms':>10} {'p95 ms':>8}")
                browser, medians = Browser(host, token), []
                for name, pattern in PAGES.items():
                    path = pattern.format(half=options.messages // 2)
                    browser.get(path)  # the first one compiles its template
                    found_ = [browser.get(path) for _ in range(options.times)]
                    took = sorted(one[2] for one in found_)
                    medians.append(statistics.median(took))
                    p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
                    status, size = found_[-1][0], found_[-1][1] / 1024
                    print(
                        f"{name:<22} {status:>6} {size:>6.0f} {medians[-1] * 1e3:>10.1f} {p95 * 1e3:>8.1f}", flush=True
                    )
                print(f"the slowest median is {max(medians) * 1e3:.0f} ms")
            finally:
                server.terminate()
                server.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--times", type=int, default=20)
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
