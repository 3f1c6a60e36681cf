"""Speed side by side, in one run: the gateway and what it is measured against take turns on the same core.

    python bench/side_by_side.py [SECTION …] [--rounds 3] [--messages 2000] [--all] [--write] [--quick]

Sections: accept, end_to_end, webhooks, callbacks, latency, memory, growth; with --all, or named, databases too. --all takes
the long forms: a million queued, 100,000 in memory, every round of the slow sections. --write keeps what was found in
docs/benchmarks.json, and writes docs/benchmarks.md and its plots from it. See ``kurir.bench.speed`` for how it is measured.
"""

import argparse
import os
import time
from pathlib import Path

import uvloop

import benchmarks_page
import kurir
from sections import LONG, SECTIONS, Options


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="side_by_side", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2_000, help="of each contender in a round, about")
    parser.add_argument("--all", action="store_true", help="everything, in its long form")
    parser.add_argument("--write", action="store_true", help="keep it, and write docs/benchmarks.md")
    parser.add_argument("--quick", action="store_true", help="end to end beside the bare relay only")
    given = parser.parse_args(arguments)
    names = given.sections or [name for name in SECTIONS if given.all or name not in LONG]
    unknown = set(names) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    options = Options(given.rounds, given.messages, given.all, given.quick)
    say(f"{benchmarks_page.origin()}, load average {os.getloadavg()[0]:.1f}, {Path(kurir.__file__).parent}")
    for name in names:
        say(f"\n== {name} ==")
        began = time.monotonic()
        found = uvloop.run(SECTIONS[name](options, say))
        say(f"({time.monotonic() - began:.0f} s)")
        if given.write:
            benchmarks_page.keep(name, options.messages, found)
    if given.write:
        benchmarks_page.write()


if __name__ == "__main__":
    main()
