"""Speed side by side, in one run: the gateway and what it is measured against take turns on the same core.

    python bench/side_by_side.py [SECTION …] [--rounds 3] [--messages N] [--only kurir,bare_relay]

Sections: accept, end_to_end. See ``kurir.bench.speed`` for how it is measured.
"""

import argparse
import importlib.util
import os
import platform
from pathlib import Path

import uvloop

import kurir
from kurir.bench import speed
from kurir.bench.speed import ECHO, KURIR, Contender, program

RIVALS = Path(__file__).parent / "rivals"
RELAY = Contender("bare relay", program(str(RIVALS / "bare_relay.py")))
RELAY_AIOHTTP = Contender("bare relay, aiohttp", program(str(RIVALS / "relay_aiohttp.py")))
BY_HAND = Contender("FastAPI + aiohttp", program(str(RIVALS / "fastapi_aiohttp.py")), share=0.5)
BY_HAND_HTTPX = Contender("FastAPI + httpx", program(str(RIVALS / "fastapi_httpx.py")), share=0.1)
SECTIONS = ("accept", "end_to_end")


def say(text: str) -> None:
    print(text, flush=True)


async def accept(options: argparse.Namespace) -> None:
    found = await speed.accepting((ECHO, KURIR), options.rounds, options.messages, say)
    say(speed.table(found, ECHO.name))


async def end_to_end(options: argparse.Namespace) -> None:
    contenders = [RELAY, KURIR] if options.quick else [RELAY, KURIR, RELAY_AIOHTTP, BY_HAND, BY_HAND_HTTPX]
    base = RELAY
    if importlib.util.find_spec("pyreqwest") is None:
        say("pyreqwest is missing: the bare relay posts on with aiohttp")
        contenders, base = [one for one in contenders if one is not RELAY], RELAY_AIOHTTP
        contenders = contenders if RELAY_AIOHTTP in contenders else [RELAY_AIOHTTP, *contenders]
    found = await speed.delivering(contenders, options.rounds, options.messages, say)
    say(speed.table(found, base.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=6_000)
    parser.add_argument("--quick", action="store_true", help="end to end beside the bare relay only")
    options = parser.parse_args()
    say(f"{kurir.__file__}; Python {platform.python_version()}, {os.cpu_count()} cores")
    for name in options.sections or SECTIONS:
        say(f"\n== {name} ==")
        uvloop.run(globals()[name](options))


if __name__ == "__main__":
    main()
