"""Runs the benchmarks: ``./dev bench`` for the short form of ``side_by_side``, ``./dev bench accept_http`` for one.

Sections and options behind ``side_by_side`` go to it, and so do options alone: ``./dev bench side_by_side accept --rounds 5``,
``./dev bench --all``.

Every figure comes from the run that prints it; nothing here passes or fails. Ratios are taken within one run, since absolute
numbers depend on the machine. The machine's line is printed first.
"""

import importlib
import os
import platform
import sys
from pathlib import Path

SIDE_BY_SIDE = "side_by_side"
NAMES = (
    *(SIDE_BY_SIDE, "accept_store", "accept_http", "end_to_end", "webhooks_in"),
    *("million_queued", "databases", "retention", "console_store", "console_pages", "logins"),
)


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    names, options = sys.argv[1:] or [SIDE_BY_SIDE], []
    if names[0] == SIDE_BY_SIDE or names[0].startswith("-"):
        options = names[1:] if names[0] == SIDE_BY_SIDE else names
        names = [SIDE_BY_SIDE]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}")
    sys.argv[1:] = options  # side_by_side and each benchmark run by itself have options of their own
    for name in names:
        print(f"\n== {name} ==", flush=True)
        importlib.import_module(name).main()


if __name__ == "__main__":
    main()
