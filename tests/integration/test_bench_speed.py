"""``kurir bench --speed``: real processes on loopback, few messages, and two tables in the end."""

import pytest
from typer.testing import CliRunner

from kurir.bench import speed
from kurir.cli.app import app


@pytest.mark.slow
def test_the_short_form_measures_the_gateway_beside_bare_programs(monkeypatch) -> None:
    monkeypatch.setattr(speed, "SHORT_ROUNDS", 1)
    monkeypatch.setattr(speed, "SHORT_MESSAGES", 100)
    result = CliRunner().invoke(app, ["bench", "--speed"])
    assert result.exit_code == 0, result.output
    for line in ("accept, beside a bare echo\n", "end to end, beside a bare relay that keeps nothing\n"):
        assert line in result.output
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("kurir ")]
    assert len(rows) == 2
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)
