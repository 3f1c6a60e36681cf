"""The list of what kurir is made of: everything of the lock and everything that is carried inside, and the same each time."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from kurir import __version__
from kurir.console import installation

ROOT = Path(__file__).resolve().parents[2]


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("make_sbom", ROOT / "tools" / "make_sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sbom"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SBOM = tool()
DOCUMENT = SBOM.document()
LOCK = ROOT.joinpath("requirements", "run.txt").read_text("utf-8")


def test_it_has_every_library_of_the_lock_and_all_that_is_carried_inside() -> None:
    pins = set(re.findall(r"^([a-z0-9_.-]+)==([^\s;\\]+)", LOCK, re.MULTILINE))
    found = {(one["name"], one["version"]) for one in DOCUMENT["components"] if one["purl"].startswith("pkg:pypi/")}
    assert found == pins
    inside = [one for one in DOCUMENT["components"] if one["purl"].startswith("pkg:npm/")]
    assert [one["version"] for one in inside] == [version for _, version, _ in installation.THIRD_PARTY]
    assert [one["licenses"][0]["license"]["id"] for one in inside] == [one[2] for one in installation.THIRD_PARTY]


def test_it_is_cyclonedx_as_its_readers_want_it() -> None:
    assert (DOCUMENT["bomFormat"], DOCUMENT["specVersion"], DOCUMENT["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", DOCUMENT["serialNumber"])
    about = DOCUMENT["metadata"]["component"]
    assert (about["name"], about["version"], about["purl"]) == ("kurir", __version__, f"pkg:pypi/kurir@{__version__}")
    references = [one["bom-ref"] for one in DOCUMENT["components"]] + [about["bom-ref"]]
    assert len(set(references)) == len(references)
    assert [one["ref"] for one in DOCUMENT["dependencies"]] == sorted(references)
    for one in DOCUMENT["dependencies"]:
        assert set(one["dependsOn"]) <= set(references)


def test_everything_is_needed_by_something() -> None:
    needs = {one["ref"]: one["dependsOn"] for one in DOCUMENT["dependencies"]}
    reached, waiting = set(), [DOCUMENT["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    assert reached == set(needs)


def test_it_is_the_same_each_time() -> None:
    assert json.dumps(SBOM.document()) == json.dumps(DOCUMENT)


def test_where_a_library_is_for_some_machines_only_that_is_told() -> None:
    by_name = {one["name"]: one for one in DOCUMENT["components"]}
    assert by_name["uvloop"]["properties"] == [{"name": "kurir:marker", "value": "sys_platform != 'win32'"}]
    assert "properties" not in by_name["fastapi"]


@pytest.mark.parametrize(
    "text",
    [
        "git+https://example.com/x.git\n",
        "x==1\n",
        "x==1 \\\n    --hash=sha256:12\n",
        "x>=1 \\\n    --hash=sha256:" + "a" * 64 + "\n",
    ],
)
def test_a_line_that_is_not_understood_is_not_left_out(text: str) -> None:
    with pytest.raises(SBOM.UnreadableLock):
        SBOM.locked(text)
