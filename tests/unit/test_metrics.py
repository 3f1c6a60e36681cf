"""What /metrics writes: Prometheus' text of a table of families; and that counting counts."""

import re
from pathlib import Path

import apsw
import pytest

from kurir import counting, logs, metrics
from kurir.counting import Count, Spread
from kurir.metrics import FAMILIES, Kind
from kurir.store.base import StoreUnavailable
from kurir.store.database import Whose
from kurir.store.sqlite import SqliteStore

LINE = re.compile(r'^[a-z_]+(\{([a-z_]+="(\\.|[^"\\])*"(,(?=[a-z])|(?=\})))+\})? -?[0-9.e+-]+$')


def numbers(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_every_family_has_help_a_type_and_a_name_as_prometheus_wants_it():
    names = [one.name for one in FAMILIES]
    assert len(set(names)) == len(names)
    for one in FAMILIES:
        assert one.name.endswith("_total") == (one.kind is Kind.COUNTER), one.name
        assert one.help.endswith("."), one.name
        assert "\n" not in one.help
        assert one.of in ("installation", "process")
    assert {one.name for one in FAMILIES if one.kind is Kind.HISTOGRAM} == set(metrics.SPREADS)
    assert set(metrics.counted()) <= set(names)


def test_the_text_has_each_value_with_its_labels_and_no_value_breaks_a_line():
    evil = 'a "b"\n\\c'
    found = {"kurir_queue_messages": [((evil, "line"), 3.0)], "kurir_ready": [((), 1.0)]}
    text = metrics.text(found)
    assert 'kurir_queue_messages{account="a \\"b\\"\\n\\\\c",channel="line"} 3\n' in text
    assert "\nkurir_ready 1\n" in text
    for line in text.splitlines():
        assert line.startswith("# ") or LINE.match(line), line
    for one in FAMILIES:
        assert f"# TYPE {one.name} {one.kind}\n" in text


def test_what_is_of_the_process_names_it_where_there_are_many():
    found = {"kurir_queue_messages": [(("a", "line"), 3.0)], "kurir_ready": [((), 1.0)]}
    text = metrics.text(found, {"process": "7"})
    assert 'kurir_ready{process="7"} 1' in text
    assert 'kurir_queue_messages{account="a",channel="line"} 3' in text


def test_labels_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        metrics.text({"kurir_queue_messages": [(("a",), 3.0)]})


def test_a_histogram_counts_what_took_at_most_so_long(monkeypatch):
    spread = Spread((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        spread.add(seconds, "line")
    monkeypatch.setattr(metrics, "SPREADS", {**metrics.SPREADS, "kurir_call_seconds": spread})
    found = numbers(metrics.text({}))
    assert found['kurir_call_seconds_bucket{channel="line",le="0.1"}'] == 2
    assert found['kurir_call_seconds_bucket{channel="line",le="1.0"}'] == 3
    assert found['kurir_call_seconds_bucket{channel="line",le="+Inf"}'] == 4
    assert found['kurir_call_seconds_count{channel="line"}'] == 4
    assert found['kurir_call_seconds_sum{channel="line"}'] == pytest.approx(3.65)


def test_a_count_counts_by_its_labels():
    count = Count()
    count.add("a", "b")
    count.add("a", "b")
    count.add("c", "d")
    assert dict(count.items()) == {("a", "b"): 2, ("c", "d"): 1}


def test_lines_that_warn_are_counted_by_their_event_and_others_are_not():
    def seen() -> int:
        return dict(metrics.counted()["kurir_log_lines_total"]).get(("warning", "of_this_test"), 0)

    before = seen()
    assert logs.counted(None, "warning", {"event": "of_this_test", "x": 1}) == {"event": "of_this_test", "x": 1}
    logs.counted(None, "info", {"event": "of_this_test"})
    assert seen() == before + 1


def test_what_may_happen_is_told_as_0_before_it_does():
    found = metrics.counted({"kurir_calls_total": [("never used", "line", "unknown")]})
    assert dict(found["kurir_calls_total"])["never used", "line", "unknown"] == 0
    assert {("done",), ("failed",)} <= dict(found["kurir_commits_total"]).keys()
    counting.COMMITS.add("failed")
    assert dict(metrics.counted()["kurir_commits_total"])[("failed",)] >= 1


def test_a_standing_is_one_of_its_words():
    assert metrics.one_of(("a",), ("out", "working"), "out") == [(("a", "out"), 1.0), (("a", "working"), 0.0)]


def test_every_metric_is_described_and_no_other():
    page = Path(__file__).parents[2].joinpath("docs", "reference", "metrics.md").read_text("utf-8")
    installation, _, process = page.partition("## Of the process")
    for one in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in one.labels) or "–"
        row = f"| `{one.name}` | {one.kind} | {labels} | {one.help} |"
        assert row in (installation if one.of == "installation" else process), row
    assert len(re.findall(r"^\| `", page, re.MULTILINE)) == len(FAMILIES)


async def test_a_commit_that_fails_is_counted_and_one_that_works(tmp_path):
    def seen(result: str) -> int:
        return dict(counting.COMMITS.items()).get((result,), 0)

    def broken(_db: object) -> None:
        raise apsw.IOError("the disk is gone")

    store = SqliteStore(tmp_path / "kurir.db")
    await store.open()
    try:
        done, failed = seen("done"), seen("failed")
        await store.set_meta("a", "b")
        assert (seen("done"), seen("failed")) == (done + 1, failed)
        with pytest.raises(StoreUnavailable):
            await store._write(Whose(), broken)
        assert seen("failed") == failed + 1
    finally:
        await store.close()
