"""How views are cut into parts, and where the parts are: in this process, or with the workers of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask
import numpy as np
from dask.delayed import Delayed

from omics import blocks

#: Bytes of one block that is read or made at a time, and of a part, which is one task; parts of a view in a wave.
BLOCK_BYTES, PART_BYTES = 16 * 2**20, 4 * 2**20
_MOST_PARTS, _LARGE_PART, _SMALL_PART = 16, 64 * 2**20, 2**18
#: A feature of a binary or count view takes about as long as this many Gaussian ones.
_POINTWISE_COST = 40
#: Waves of a pass at most, of data up to some bytes and beyond, and bytes of one at least. Each costs more than a
#: millisecond beside its visits. Of 500 x 70,000 values 1, 2, 3, 4 and 8 waves reach one bound after 43, 36, 34, 34 and
#: 33 passes; small data, where no pass is long, end with a higher bound for a fourth.
N_WAVES, LARGE_BYTES, N_LARGE_WAVES, WAVE_BYTES = 4, 2**26, 3, 2**17


class Part(NamedTuple):
    """Features that are one task of a wave.

    Attributes
    ----------
    view : int
        Their view.
    wave : int
        When they are visited.
    cuts : tuple of (int, int)
        First and last (exclusive) feature of each block.
    cost : float
        How long they take, in comparison with others.
    """

    view: int
    wave: int
    cuts: tuple[tuple[int, int], ...]
    cost: float

    @property
    def n_features(self) -> int:
        """Features of all blocks."""
        return sum(stop - start for start, stop in self.cuts)


def waves_of(size: int) -> int:
    """Waves of a pass over data of that many bytes."""
    return min(max(size // WAVE_BYTES, 1), N_WAVES if size < LARGE_BYTES else N_LARGE_WAVES)


def layout(shapes: Sequence[tuple[int, int, bool]], n_waves: int, itemsize: int) -> list[Part]:
    """Cut views into parts; the same data are always cut alike.

    Parameters
    ----------
    shapes : sequence of (samples, features, Gaussian or not)
        One a view.
    n_waves : int
        Waves of a pass.
    itemsize : int
        Bytes of a value.
    """
    parts = []
    for v, (n_samples, n_features, gaussian) in enumerate(shapes):
        row_bytes = max(n_samples, 1) * itemsize
        cost = row_bytes * (1 if gaussian else _POINTWISE_COST)
        share = n_features * cost / n_waves
        pairs = max(1, round(min(_MOST_PARTS, share / PART_BYTES) / 2), round(share / _LARGE_PART / 2))
        n_parts = 2 * pairs if share > _SMALL_PART else 1  # an even number keeps two workers equally busy
        edges = np.linspace(0, n_features, min(n_features, n_waves * n_parts) + 1).astype(int)
        chunk = blocks.features_per_block(n_samples)  # of a store: read in several pieces, it is unpacked several times
        most = max(4, BLOCK_BYTES // row_bytes)
        if edges[1] >= 2 * chunk:
            edges = np.unique(np.minimum((edges + chunk // 2) // chunk * chunk, n_features))
            edges[-1] = n_features
            most = max(1, most // chunk) * chunk
        for i, (start, stop) in enumerate(pairwise(edges)):
            cuts = tuple((int(a), int(min(a + most, stop))) for a in range(start, stop, most))
            parts.append(Part(v, i % n_waves, cuts, float(cost * (stop - start))))
    return parts


# --- where that is ----------------------------------------------------------------------------------------------------


class Here:
    """Parts live in this process; its threads share them."""

    def pairs(
        self, function: Callable[..., tuple[Any, Any]], jobs: Sequence[tuple[Any, ...]], costs: Sequence[float]
    ) -> tuple[list[Any], list[Any]]:
        """Run jobs, the costliest first, each by the next thread that is free; what stays, and what travels."""
        waiting = deque(sorted(range(len(jobs)), key=lambda j: -costs[j]))
        done: dict[int, tuple[Any, Any]] = {}

        def work() -> None:
            while waiting:
                try:
                    j = waiting.popleft()
                except IndexError:  # another thread was faster
                    return
                done[j] = function(*jobs[j])

        blocks.run([work] * max(1, min(blocks.width(), len(jobs))))
        return [done[j][0] for j in range(len(jobs))], [done[j][1] for j in range(len(jobs))]

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """What is behind handles."""
        return list(handles)

    def place(self, values: Sequence[Any]) -> list[Any]:
        """Handles of values."""
        return list(values)


class Away:
    """Parts live on the workers of a cluster, as results of tasks that dask can run again if a worker is lost."""

    def pairs(
        self, function: Callable[..., tuple[Any, Any]], jobs: Sequence[tuple[Any, ...]], costs: Sequence[float]
    ) -> tuple[list[Any], list[Any]]:
        """Run jobs as one task each; a handle of what stays, and what travels."""
        task = dask.delayed(function, pure=False, traverse=False, nout=2)
        once: dict[int, Any] = {}  # what several jobs share is sent once
        results = [task(*(self._argument(value, once) for value in job)) for job in jobs]
        n = len(results)
        persisted = dask.persist(*[r[0] for r in results], *[r[1] for r in results], optimize_graph=False)
        return list(persisted[:n]), list(dask.compute(*persisted[n:]))

    @staticmethod
    def _argument(value: Any, once: dict[int, Any]) -> Any:
        if value is None or isinstance(value, Delayed):
            return value
        if id(value) not in once:
            once[id(value)] = dask.delayed(value, pure=False, traverse=False)
        return once[id(value)]

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """What is behind handles."""
        return list(dask.compute(*handles))

    def place(self, values: Sequence[Any]) -> list[Any]:
        """Handles of values; one small graph each, and what was computed before need not be kept."""
        return [dask.persist(dask.delayed(value, pure=False, traverse=False))[0] for value in values]
