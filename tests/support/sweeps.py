"""Scorecard row 12: the sweep over a store's invariants, and how often it ran."""

from kurir.store.base import Store

_counted: list[int] = []


async def sweep(store: Store) -> None:
    """Fail when a rule of the schema does not hold."""
    broken = await store.broken_invariants()
    assert broken == [], broken
    _counted.append(1)


def count() -> int:
    """Return how many sweeps found nothing broken so far."""
    return len(_counted)
