"""Webhooks taken a second: verified, parsed, on disk (synchronous=FULL) with their events, before the 200; one server core.

``./dev bench webhooks_in``. The gateway runs on core 0, the generator on core 1; every webhook is a WhatsApp message of its
own, signed as Meta signs. In the same run, on the same core, a bare ASGI application under the same server reads the very
same requests and sends them back: the ratio says what the taking in costs, whatever the machine.
"""

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import load

WEBHOOKS = 6_000
SECRET = "benchmark app secret 0001"
NUMBER = "10650001"


@contextmanager
def served(command: list[str], port: int) -> Iterator[int]:
    """Run *command* on core 0 until the block ends; yields its process id."""
    process = subprocess.Popen(command, preexec_fn=lambda: load.pin(0), stderr=subprocess.DEVNULL)
    try:
        load.wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def gateway(*, callbacks: bool) -> Iterator[tuple[int, int]]:
    """Run ``kurir serve`` with a WhatsApp account; yields (port, process id).

    With *callbacks* the client has an endpoint that is not there: every event is owed to it in the same commit.
    """
    port = load.free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kurir.toml"
        endpoint = '[[clients.bench.callbacks]]\nurl = "http://127.0.0.1:9/"\nsecret = "whsec_' + "A" * 32 + '"\n'
        config.write_text(
            f'listen = "127.0.0.1:{port}"\ndatabase = "bench.db"\npublic_url = "http://127.0.0.1:{port}"\n'
            f'allow_networks = ["127.0.0.0/8"]\n[clients.bench]\nusername = "bench"\npassword = "{load.PASSWORD}"\n'
            f'[[clients.bench.accounts]]\nid = "bench-wa"\nchannel = "whatsapp"\napi_base = "http://127.0.0.1:9"\n'
            f'phone_number_id = "{NUMBER}"\naccess_token = "x"\napp_secret = "{SECRET}"\nverify_token = "x"\n'
            f"{endpoint if callbacks else ''}"
        )
        command = [sys.executable, "-m", "kurir", "serve", "--config", str(config), "--log-level", "error"]
        with served(command, port) as pid:
            yield port, pid


def webhooks(port: int, count: int, run: str) -> list[bytes]:
    """Return *count* signed requests, each with a message that nobody sent before."""
    return [_webhook(port, f"{run}-{number}", number) for number in range(count)]


def _webhook(port: int, name: str, number: int) -> bytes:
    phone = f"62812{number % 5000:08}"
    text = f"Is my order {number} on its way? I would like to have it before the weekend, if that can be done."
    message = {"from": phone, "id": f"wamid.{name}", "timestamp": "1790000000", "type": "text", "text": {"body": text}}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Ani"}, "wa_id": phone}],
        "messages": [message],
    }
    entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST /webhooks/bench-wa HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(port: int, pid: int, run: str, connections: int, count: int) -> tuple[float, str]:
    """Send *count* webhooks; return how many were taken a second, and the line that tells of it."""
    requests = webhooks(port, count, run)  # made before the clock runs
    before = load.cpu_seconds(pid)
    result = await load.drive(port, iter(requests), connections)
    rate = result.answers / result.seconds
    used = (load.cpu_seconds(pid) - before) / max(1, result.answers) * 1e6
    line = (
        f"{run:>16} {connections:>12} {rate:>12,.0f} {result.percentile(0.5):>8.2f} {result.percentile(0.99):>8.2f} "
        f"{used:>12.0f}"
    )
    return rate, line + (f"   refused: {result.refused}" if result.refused else "")


async def measure() -> None:
    load.pin(1)
    print(f"{'':>16} {'connections':>12} {'webhooks/s':>12} {'p50 ms':>8} {'p99 ms':>8} {'µs CPU each':>12}")
    bare: dict[int, float] = {}
    port = load.free_port()
    with served([sys.executable, "-m", "kurir.bench.bare", "echo", str(port)], port) as pid:
        await drive(port, pid, "warm", 8, 500)
        for connections in (1, 16, 64):
            bare[connections], line = await drive(port, pid, "bare ASGI", connections, WEBHOOKS)
            print(line)
    for name, callbacks in (("gateway", False), ("with a callback", True)):
        with gateway(callbacks=callbacks) as (port, pid):
            await drive(port, pid, "warm", 8, 500)
            for connections, count in ((1, 2_000), (16, WEBHOOKS), (64, WEBHOOKS)):
                rate, line = await drive(port, pid, name, connections, count)
                print(f"{line}   {rate / bare[connections]:.2f} of the bare rate", flush=True)


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
