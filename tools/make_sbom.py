"""Writes what kurir is made of as a CycloneDX document (version 1.6, JSON): the locked libraries, and what is carried inside.

``python tools/make_sbom.py > kurir.cdx.json``. It reads ``requirements/run.txt`` and ``THIRD_PARTY.md`` and nothing else: no
registry, no environment. So the same sources give the same bytes. The licences of libraries are not in it, since the lock
does not have them, nor their many hashes, one for each file of each platform: the lock's own digest stands for them.
"""

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = "requirements/run.txt"
_VERSION: Final = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)(?:\s*;\s*([^\\]*?))?\s*\\?$")
_HASH: Final = re.compile(r"^\s+--hash=sha256:[0-9a-f]{64}\s*\\?$")
_VIA: Final = re.compile(r"^\s+#\s+(?:via)?\s*(\S.*)?$")
#: A row of THIRD_PARTY.md: the file, its package at npm, the version, the licence.
_CARRIED: Final = re.compile(
    r"^\| `kurir/[^|]*\| npm `([^`]+)`[^|]*\| ([^| ]+) \| ([A-Za-z0-9.-]+)[^|]*\|$", re.MULTILINE
)
#: For the serial number, which is made from what is in the document.
_SPACE: Final = uuid.UUID("6f0b1d3e-6a0c-5c53-9a53-2f1f0c1e7a11")


class UnreadableLock(Exception):
    """The lock has a line that this tool does not understand: then the document would lack something."""


@dataclass(slots=True)
class Locked:
    """A library of the lock. ``marker`` says where it is installed, "" for everywhere; ``via``: who needs it."""

    name: str
    version: str
    marker: str = ""
    hashes: int = 0
    via: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        """The package URL."""
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', self.name).lower()}@{self.version}"


def locked(text: str) -> list[Locked]:
    """Return the libraries of a lock. Raises UnreadableLock."""
    found: list[Locked] = []
    for number, line in enumerate(text.splitlines(), 1):
        pin = _PIN.match(line)
        if pin is not None:
            found.append(Locked(pin[1], pin[2], (pin[3] or "").strip()))
        elif _HASH.match(line) and found:
            found[-1].hashes += 1
        elif (via := _VIA.match(line)) is not None and found:
            if via[1]:
                found[-1].via.append(via[1])
        elif line.strip() and not line.startswith("#"):
            raise UnreadableLock(f"{LOCK}, line {number}: {line.strip()[:80]}")
    for one in found:
        if not one.hashes:
            raise UnreadableLock(f"{LOCK}: {one.name} has no hash")
    return found


def carried(text: str) -> Iterator[dict[str, Any]]:
    """Yield what THIRD_PARTY.md says is carried inside kurir, as components."""
    for name, version, licence in _CARRIED.findall(text):
        purl = f"pkg:npm/{name}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "scope": "required",
            "licenses": [{"license": {"id": licence}}],
            "purl": purl,
            "properties": [{"name": "kurir:carried-inside", "value": "true"}],
        }


def document(root: Path = ROOT) -> dict[str, Any]:
    """Return the document. Raises UnreadableLock."""
    lock = root.joinpath(LOCK).read_text("utf-8")
    libraries = locked(lock)
    inside = list(carried(root.joinpath("THIRD_PARTY.md").read_text("utf-8")))
    version = _VERSION.search(root.joinpath("src", "kurir", "__init__.py").read_text("utf-8"))
    assert version is not None, "the version stands in the package"  # noqa: S101 - an order of this repository
    here = f"pkg:pypi/kurir@{version[1]}"
    needs: dict[str, list[str]] = {one["bom-ref"]: [] for one in inside}
    needs[here] = list(needs)
    by_name = {one.name: one.purl for one in libraries}
    for one in libraries:
        needs.setdefault(one.purl, [])
        for user in one.via:
            needs.setdefault(here if user.startswith("-r ") else by_name[user.partition("[")[0]], []).append(one.purl)
    components = [_component(one) for one in libraries] + inside
    digest = hashlib.sha256(lock.encode()).hexdigest()
    found: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": here,
                "name": "kurir",
                "version": version[1],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": here,
            },
            "properties": [
                {"name": "kurir:lock", "value": LOCK},
                {"name": "kurir:lock:sha256", "value": digest},
            ],
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in sorted(needs.items())],
    }
    serial = uuid.uuid5(_SPACE, json.dumps(found, sort_keys=True))
    return {"bomFormat": found["bomFormat"], "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", **found}


def _component(one: Locked) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "scope": "required",
        "purl": one.purl,
    }
    if one.marker:
        component["properties"] = [{"name": "kurir:marker", "value": one.marker}]
    return component


def main() -> int:
    """Write the document to standard output."""
    json.dump(document(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
