"""The doctor: what each check finds in which facts, and that its text holds no secret."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kurir import doctor
from kurir.configuration.file import parse
from kurir.console import installation
from kurir.doctor import CertificateFacts, DiskFacts, Facts, Finding, Level, Owed, Worker
from kurir.secretbox import KeyFile, KeyValue
from kurir.settings import SETTINGS, PostgresUrl, Settings
from kurir.store.access import EngineFacts
from kurir.store.base import QueueDepth

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GB = 10**9


def settings(**more) -> Settings:
    document = {"database": "/data/kurir.db", "public_url": "https://kurir.example", "admin_token": "a" * 20}
    return replace(parse(document, {}, channels={}).settings, **more)


SQLITE = EngineFacts("SQLite", "3.51.4", 3, 10**6, {"journal_mode": "WAL", "synchronous": "FULL"})
POSTGRES = EngineFacts(
    "PostgreSQL",
    "18.1 (Debian)",
    3,
    10**6,
    {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
    now=NOW,
)
WELL = Facts(
    now=NOW,
    settings=settings(),
    engine=SQLITE,
    disk=DiskFacts(Path("/data"), 100 * GB, 200 * GB, 1.5),
    key_mode=0o600,
    accounts=(Worker("acme-wa", "working"),),
    endpoints=(Worker("https://hook.example", "working"),),
    nodes=(("host (all, 7)", NOW),),
)


def levels(facts: Facts) -> dict[str, Level]:
    return {one.subject: one.level for one in doctor.findings(facts) if one.level is not Level.OK}


def test_a_well_installation_is_well():
    assert levels(WELL) == {}
    assert levels(replace(WELL, engine=POSTGRES)) == {}
    assert len(doctor.findings(WELL)) >= 12


@pytest.mark.parametrize(
    ("more", "subject", "level"),
    [
        ({"not_ready": ("delivery: a worker does not run",)}, "readiness", Level.BAD),
        ({"engine": None}, "database", Level.BAD),
        ({"engine": replace(POSTGRES, version="14.9")}, "database", Level.BAD),
        ({"engine": replace(POSTGRES, replica=True)}, "database", Level.BAD),
        ({"engine": replace(POSTGRES, now=NOW + timedelta(seconds=3))}, "clock", Level.WARN),
        ({"engine": replace(POSTGRES, now=NOW - timedelta(seconds=31))}, "clock", Level.BAD),
        ({"engine": replace(POSTGRES, settings=POSTGRES.settings | {"fsync": "off"})}, "durability", Level.BAD),
        (
            {"engine": replace(POSTGRES, settings=POSTGRES.settings | {"synchronous_commit": "local"})},
            "durability",
            Level.BAD,
        ),
        ({"engine": replace(SQLITE, settings=SQLITE.settings | {"synchronous": "NORMAL"})}, "durability", Level.BAD),
        ({"engine": replace(SQLITE, settings=SQLITE.settings | {"journal_mode": "DELETE"})}, "durability", Level.BAD),
        ({"disk": replace(WELL.disk, free=4 * GB)}, "disk", Level.WARN),
        ({"disk": replace(WELL.disk, free=GB // 4)}, "disk", Level.BAD),
        ({"disk": replace(WELL.disk, sync_ms=80.0)}, "sync", Level.WARN),
        ({"disk": replace(WELL.disk, sync_ms=900.0)}, "sync", Level.BAD),
        ({"disk": replace(WELL.disk, sync_ms=None)}, "sync", Level.BAD),
        ({"settings": settings(public_url="")}, "public URL", Level.BAD),
        ({"settings": settings(public_url="http://127.0.0.1:8080")}, "public URL", Level.WARN),
        ({"settings": settings(admin_token=None)}, "administrator's API", Level.WARN),
        ({"key_mode": None}, "encryption key", Level.BAD),
        ({"key_mode": 0o644}, "encryption key", Level.WARN),
        ({"accounts": ()}, "accounts", Level.WARN),
        ({"accounts": (Worker("a", "parked", "token_invalid"),)}, "accounts", Level.BAD),
        ({"accounts": (Worker("a", "out"), Worker("b", "working"))}, "accounts", Level.BAD),
        ({"accounts": (Worker("a", "paused"),)}, "accounts", Level.WARN),
        ({"endpoints": (Worker("https://h", "failing", "timeout"),)}, "callbacks", Level.BAD),
        ({"depths": (QueueDepth("a", 3, NOW - timedelta(minutes=6)),)}, "queue", Level.WARN),
        ({"depths": (QueueDepth("a", 3, NOW - timedelta(hours=2)),)}, "queue", Level.BAD),
        ({"nodes": (("n", NOW - timedelta(seconds=11)),)}, "nodes", Level.WARN),
        ({"owed": (Owed("https://h", 2, NOW - timedelta(minutes=6)),)}, "callbacks owed", Level.WARN),
        ({"owed": (Owed("https://h", 2, NOW - timedelta(hours=2)),)}, "callbacks owed", Level.BAD),
        ({"disk": None}, "disk", Level.BAD),
        ({"key_mode": doctor.UNSEEN}, "encryption key", Level.WARN),
    ],
)
def test_what_is_wrong_is_found_with_what_mends_it(more, subject, level):
    facts = replace(WELL, **more)
    assert levels(facts) == {subject: level}
    found = next(one for one in doctor.findings(facts) if one.subject == subject and one.level is level)
    assert found.fix


@pytest.mark.parametrize(
    "more",
    [
        {"depths": (QueueDepth("a", 3, NOW + timedelta(hours=2)), QueueDepth("b", 0, None))},
        {"depths": (QueueDepth("a", 3, NOW - timedelta(seconds=5)),)},
        {"accounts": (Worker("a", "throttled"),)},
        {"owed": (Owed("https://h", 0, None), Owed("https://i", 3, NOW - timedelta(seconds=5)))},
        {"sealed": (("a", NOW - timedelta(days=900)), ("b", None))},
        {"running": False, "nodes": (("n", NOW - timedelta(days=1)),)},
        {"engine": replace(SQLITE, settings={})},
        {"fresh": True, "key_mode": None},
        {"settings": settings(encryption_key=KeyValue((b"k" * 32,))), "key_mode": None},
    ],
)
def test_what_is_as_it_should_be_is_not_told_as_wrong(more):
    assert levels(replace(WELL, **more)) == {}


def test_the_text_has_a_line_for_each_check_and_no_secret():
    database = PostgresUrl("postgresql://user:hunter2@db.example/kurir")
    facts = replace(
        WELL,
        settings=settings(database=database, admin_token="hunter3" * 4, public_url="https://u:hunter4@k.example/hub"),
        accounts=(Worker("a", "parked", "token_invalid"),),
    )
    text = doctor.text(doctor.findings(facts))
    assert "hunter" not in text
    assert "https://k.example/hub" in text
    assert "BAD   accounts: a is parked (token_invalid)" in text
    assert text.count("\n") >= len(doctor.findings(facts))


def test_a_disk_is_measured(tmp_path):
    found = doctor.measure(tmp_path)
    assert 0 < found.free <= found.total
    assert found.sync_ms is not None
    assert found.sync_ms >= 0
    assert list(tmp_path.iterdir()) == []


def test_the_permissions_of_the_keys_file_are_seen(tmp_path):
    path = tmp_path / "kurir.key"
    source = settings(encryption_key=KeyFile(path))
    assert doctor.key_mode(source) is None
    path.touch(mode=0o640)
    path.chmod(0o640)
    assert doctor.key_mode(source) == 0o640


def test_the_worst_finding_counts():
    found = [Finding("a", Level.WARN, ""), Finding("b", Level.BAD, ""), Finding("c", Level.OK, "")]
    assert doctor.worst(found) is Level.BAD
    assert doctor.worst(found[:1]) is Level.WARN
    assert doctor.worst([]) is Level.OK


def test_the_age_of_the_oldest_tokens_is_told():
    facts = replace(WELL, sealed=(("a", NOW - timedelta(days=9)), ("b", NOW - timedelta(days=40))))
    assert "those of b, 40 days" in doctor.text(doctor.findings(facts))


def test_what_was_not_asked_is_said_to_be():
    text = doctor.text(doctor.findings(replace(WELL, running=False)))
    assert "no gateway was asked" in text
    assert "nodes" not in text


def test_what_nobody_looked_at_is_not_told_as_well_or_empty():
    facts = replace(WELL, accounts=None, endpoints=None, depths=None, owed=None)
    said = {one.subject: one.says for one in doctor.findings(facts)}
    for subject in ("accounts", "callbacks", "callbacks owed", "queue"):
        assert "not looked at" in said[subject], subject


def test_a_key_that_is_hidden_is_not_told_to_be_gone(tmp_path, monkeypatch):
    def hidden(_path: Path) -> None:
        raise PermissionError("not yours")

    path = tmp_path / "kurir.key"
    path.touch()
    monkeypatch.setattr(Path, "stat", hidden)
    assert doctor.key_mode(settings(encryption_key=KeyFile(path))) == doctor.UNSEEN


async def test_a_folder_that_is_gone_is_a_finding_and_no_fault(tmp_path):
    found, _mode = await doctor.look_at_disk(replace(settings(), data_folder=tmp_path / "gone"))
    assert found is None
    assert levels(replace(WELL, disk=found)) == {"disk": Level.BAD}


# --- the certificate of the public URL --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (CertificateFacts("k.example", NOW + timedelta(days=60)), Level.OK),
        (CertificateFacts("k.example", NOW + timedelta(days=20)), Level.WARN),
        (CertificateFacts("k.example", NOW + timedelta(days=6)), Level.BAD),
        (CertificateFacts("k.example", refused="self-signed certificate"), Level.BAD),
        (CertificateFacts("k.example", unreached="nobody listens there"), Level.WARN),
    ],
)
def test_a_certificate_is_judged_by_what_it_shows(facts, level):
    found = doctor.certificate(facts, NOW)
    assert found.level is level
    assert "k.example" in found.says
    assert bool(found.fix) == (level is not Level.OK)


@contextmanager
def tls_server(folder: Path, days: int) -> Iterator[tuple[int, Path]]:
    """Serve TLS on loopback for «localhost», with a certificate that ends in so many days; give its port and the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(plain + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError), listening.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as one:
                one.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], file
        thread.join(10)


def test_the_certificate_of_the_public_url_is_looked_at(tmp_path):
    with tls_server(tmp_path, 30) as (port, file):
        found = doctor.look_at_certificate(f"https://localhost:{port}/hub", ssl.create_default_context(cafile=file))
    assert found is not None
    assert found.ends is not None
    assert (found.ends - datetime.now(UTC)).days == 30
    assert doctor.certificate(found, datetime.now(UTC)).level is Level.OK


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path):
    with tls_server(tmp_path, 30) as (port, _):
        found = doctor.look_at_certificate(f"https://localhost:{port}")
    assert found is not None
    assert found.refused
    assert doctor.certificate(found, NOW).level is Level.BAD


def test_where_nobody_listens_that_is_told_and_http_is_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    found = doctor.look_at_certificate(f"https://127.0.0.1:{port}")
    assert found is not None
    assert found.unreached
    assert doctor.look_at_certificate("http://127.0.0.1:8080") is None
    assert doctor.look_at_certificate("") is None


# --- the settings' page -------------------------------------------------------------------------------------------------


def test_every_setting_is_shown_and_no_secret_with_it():
    given = settings(database=PostgresUrl("postgresql://user:hunter2@db.example:5432/kurir?sslmode=require"))
    rows = installation.rows(replace(given, admin_token="hunter3" * 4))
    assert [one.setting.name for one in rows] == [one.name for one in SETTINGS]
    assert "hunter" not in repr([(one.value, one.source) for one in rows])
    shown = {one.setting.name: one.value for one in rows}
    assert shown["database"] == "postgresql://db.example:5432/kurir"
    assert shown["admin_token"] == "•••"
    assert shown["retention"] == "90d"
    assert shown["mask"] == "true"
    assert shown["inbound_media_space"] == "20GB"


def test_where_a_setting_came_from_is_told():
    found = parse({"label": "x"}, {"KURIR_RETENTION": "5d"}, {"listen": "127.0.0.1:9"}, channels={}).settings
    sources = {one.setting.name: one.source for one in installation.rows(found)}
    assert sources["label"] == "file"
    assert sources["retention"] == "KURIR_RETENTION"
    assert sources["listen"] == "--listen"
    assert sources["mask"] == "default"


def test_what_is_carried_inside_is_what_the_file_of_licences_tells():
    text = Path(__file__).parents[2].joinpath("THIRD_PARTY.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `kurir/")]
    assert len(rows) == len(installation.THIRD_PARTY)
    for (_, version, licence), row in zip(installation.THIRD_PARTY, rows, strict=True):
        assert f"| {version} |" in row
        assert licence in row
