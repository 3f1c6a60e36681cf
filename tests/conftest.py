"""What holds for every test: no connection leaves this machine, nothing is skipped where nothing may be, rows of the
reliability scorecard are collected.
"""

import ipaddress
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from kurir.bench import processes
from support import forking
from support.sweeps import count

_connect = socket.socket.connect


def _only_loopback(self: socket.socket, address: Any) -> None:
    """Connect, if the address is on this machine: a test that would reach anything else fails."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise AssertionError(f"a test tried to connect to {address[0]}")
    _connect(self, address)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


socket.socket.connect = _only_loopback  # type: ignore[method-assign] # for the whole run, on purpose


if os.environ.get("KURIR_TIER") != "N" and hasattr(os, "fork"):
    processes.spawn = forking.spawn


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Row 12 of the scorecard is the sweep over the store's invariants at the end of every test that runs a store.

    KURIR_ROWS leaves only the tests of some rows.
    """
    for item in items:
        module = getattr(item, "module", None)
        if "/contract/" in item.path.as_posix() or hasattr(module, "running"):
            item.add_marker(pytest.mark.scorecard(12))
    wanted = {row for row in os.environ.get("KURIR_ROWS", "").split(",") if row}
    if wanted:
        out = [item for item in items if not wanted & {str(one.args[0]) for one in item.iter_markers("scorecard")}]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scorecard(row): proves a row of the reliability scorecard")
    # Here, since the cluster's tests use some of the integration's.
    config.addinivalue_line("markers", "of_sqlite(why): about SQLite alone, and left out over another store")


# --- nothing skipped ----------------------------------------------------------------------------------------------------

_skipped: list[str] = []
#: The reason by which a test is left out that only ``./dev scorecard --tier N`` runs.
LONG_TIER = "long tier"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and LONG_TIER not in str(report.longrepr):
        _skipped.append(report.nodeid)
    _collect_row(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("KURIR_NOTHING_SKIPPED") and _skipped and exitstatus == 0:
        print("\nSKIPPED where nothing may be: " + ", ".join(_skipped))
        session.exitstatus = 1
    if "12" in _rows:
        _rows["12"]["figures"] = [f"{len(_rows['12']['outcomes'])} tests, {count()} sweeps, none broken"]
    target = os.environ.get("KURIR_SCORECARD")
    if target and not hasattr(session.config, "workerinput"):
        Path(target).write_text(json.dumps(_rows), encoding="utf-8")


# --- scorecard ------------------------------------------------------------------------------------------------------------

#: Row → what its tests came to: the outcomes, and the figures that they printed as «scorecard ROW: …».
_rows: dict[str, dict[str, list[str]]] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    rows = [str(mark.args[0]) for mark in item.iter_markers("scorecard")]
    report.user_properties.extend(("scorecard", row) for row in rows)


def _collect_row(report: pytest.TestReport) -> None:
    if report.when != "call" and not report.failed:
        return
    if report.skipped and LONG_TIER in str(report.longrepr):
        return
    rows = [str(value) for name, value in report.user_properties if name == "scorecard"]
    for row in dict.fromkeys(rows):
        found = _rows.setdefault(row, {"outcomes": [], "figures": []})
        found["outcomes"].append(report.outcome)
        lines = "\n".join(text for _, text in report.sections).splitlines()
        found["figures"] += [line.partition(":")[2].strip() for line in lines if line.startswith(f"scorecard {row}:")]
