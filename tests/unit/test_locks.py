"""The lock files: each library with its hashes, nothing twice without a reason, and what fits together in one environment."""

import re
import tomllib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "requirements"
GROUPS = ("run", "docs", "dev")


def pins(group: str) -> dict[tuple[str, str], str]:
    """Return (name, marker) → version."""
    found = re.findall(r"^([a-z0-9_.-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))? \\$", text(group), re.MULTILINE)
    return {(name, marker.strip()): version for name, version, marker in found}


def text(group: str) -> str:
    return FOLDER.joinpath(f"{group}.txt").read_text("utf-8")


@pytest.mark.parametrize("group", GROUPS)
def test_every_library_is_pinned_with_its_hashes(group: str) -> None:
    lines = text(group).splitlines()
    heads = [number for number, line in enumerate(lines) if line and line[0] not in " #"]
    assert len(heads) == len(pins(group)) > 10
    for number in heads:
        assert re.match(r"^[a-z0-9_.-]+==[^\s;\\]+", lines[number]), lines[number]
        assert re.match(r"^    --hash=sha256:[0-9a-f]{64}", lines[number + 1]), lines[number]
    assert "http" not in re.sub(r"^[a-z].*|#.*", "", text(group), flags=re.MULTILINE), "no index is named"


def test_what_the_documentation_needs_fits_into_one_environment_with_what_runs() -> None:
    runs = {name: version for (name, _), version in pins("run").items()}
    shared = {name: version for (name, _), version in pins("docs").items() if name in runs}
    assert shared == {name: runs[name] for name in shared}
    assert "jinja2" in shared


def test_an_environment_for_developers_has_what_the_other_groups_need() -> None:
    assert {name for name, _ in pins("run")} <= {name for name, _ in pins("dev")}
    asked = FOLDER.joinpath("dev.in").read_text("utf-8")
    assert {"-r run.in", "-r docs.in"} <= set(asked.splitlines())


@pytest.mark.parametrize("group", GROUPS)
def test_every_lock_is_of_what_its_group_asks_for(group: str) -> None:
    asked = re.findall(r"^([a-z][a-z0-9-]*)", FOLDER.joinpath(f"{group}.in").read_text("utf-8"), re.MULTILINE)
    assert set(asked) <= {name for name, _ in pins(group)}
    assert f"-r requirements/{group}.in" in text(group)


def test_the_extra_for_traces_is_what_the_tests_run_with_and_not_in_production() -> None:
    project = tomllib.loads(FOLDER.parent.joinpath("pyproject.toml").read_text("utf-8"))["project"]
    extra = project["optional-dependencies"]["otel"]
    assert set(extra) <= set(FOLDER.joinpath("dev.in").read_text("utf-8").splitlines())
    names = {re.split(r"[<>=]", one)[0] for one in extra}
    assert names <= {name for name, _ in pins("dev")}
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}.isdisjoint(name for name, _ in pins("run"))
