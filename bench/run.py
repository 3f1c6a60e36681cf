"""Runs the benchmarks: ``./dev bench`` for all, ``./dev bench accept_http`` for one.

Every figure comes from the run that prints it; nothing here passes or fails. Ratios are taken within one run, since absolute
numbers depend on the machine. The machine's line is printed first.
"""

import importlib
import os
import platform
import sys
from pathlib import Path

NAMES = ("accept_store", "accept_http", "end_to_end", "webhooks_in")
#: Only when they are named: they take minutes.
LONG = ("million_queued", "databases", "retention", "console_store", "console_pages")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    names = sys.argv[1:] or NAMES
    unknown = [name for name in names if name not in NAMES + LONG]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES + LONG)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}")
    sys.argv[1:] = []  # the names are ours; a benchmark run by itself has options of its own
    for name in names:
        print(f"\n== {name} ==", flush=True)
        importlib.import_module(name).main()


if __name__ == "__main__":
    main()
