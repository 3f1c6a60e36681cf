"""What this process has done since it started, counted where it happens, for ``/metrics`` (:mod:`kurir.metrics`).

There is one gateway in a process, so there is one of each count. To count is to add to a number in memory: nothing is counted
that has to be looked up, and no label has values that a stranger chooses. Labels are accounts, channels, endpoints, and words
of closed sets.
"""

from bisect import bisect_left
from collections import defaultdict
from typing import Final, TypeAlias

#: The values of the labels of one series, in the order that :data:`kurir.metrics.FAMILIES` names them.
Labels: TypeAlias = tuple[str, ...]

#: Upper bounds in seconds: of calls over the network, and of commits.
CALL_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Count:
    """Numbers that grow, by their labels."""

    def __init__(self) -> None:
        self._numbers: defaultdict[Labels, int] = defaultdict(int)

    def add(self, *labels: str) -> None:
        """Count one."""
        self._numbers[labels] += 1

    def items(self) -> list[tuple[Labels, int]]:
        """Return all numbers, as they are at this moment; another thread may count meanwhile."""
        return list(self._numbers.copy().items())


class Spread:
    """How long things took: how many took at most so many seconds (*bounds*), and their sum, by their labels."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._found: dict[Labels, list[float]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """Count one that took so many *seconds*."""
        found = self._found.get(labels)
        if found is None:
            found = self._found[labels] = [0.0] * (len(self.bounds) + 2)
        found[bisect_left(self.bounds, seconds)] += 1
        found[-1] += seconds

    def items(self) -> list[tuple[Labels, list[float]]]:
        """Return for each the counts between the bounds, that beyond the last, and the sum."""
        return [(labels, found.copy()) for labels, found in self._found.copy().items()]


#: Sends: (channel, result): accepted, replayed, conflict.
SENDS: Final = Count()
#: Requests that ended with an error: (code), of the error registry.
REFUSED: Final = Count()
#: Calls to a platform: (account, channel, outcome), as attempts name it. And how long they took: (channel).
CALLS: Final = Count()
CALL_SECONDS: Final = Spread(CALL_BOUNDS)
#: Calls of the platforms: (channel, result): taken, rejected, not_stored.
WEBHOOKS: Final = Count()
#: Tries of callbacks: (endpoint, result), as the ladder judges them.
CALLBACKS: Final = Count()
#: Commits: (result): done, failed. And how long those took that were done.
COMMITS: Final = Count()
COMMIT_SECONDS: Final = Spread(COMMIT_BOUNDS)
#: Lines of the log that warn or worse: (level, event), those that the flood gate left out too.
LOG_LINES: Final = Count()
