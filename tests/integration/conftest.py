"""What is about SQLite alone is left out where the integration tests run over PostgreSQL (see ``support.stores``)."""

import pytest

from support.stores import CHOSEN


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHOSEN == "sqlite":
        return
    out = {item for item in items if item.get_closest_marker("of_sqlite")}
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]
