"""How views are cut into parts, and where the parts are: in this process, or with the workers of a cluster."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain, pairwise
from operator import itemgetter
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


# --- sums over parts --------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """Sum of some neighbours among the jobs of one key: those from ``at 2^level`` to ``(at + 1) 2^level``.

    Attributes
    ----------
    key, level, at : int
        Which.
    n : int
        Jobs of the key.
    """

    key: int
    level: int
    at: int
    n: int


def leaves(keys: Sequence[int]) -> list[Node]:
    """Each job as a sum of its own."""
    n, at = Counter(keys), dict.fromkeys(keys, -1)
    result = []
    for key in keys:
        at[key] += 1
        result.append(Node(key, 0, at[key], n[key]))
    return result


def grown(sums: Mapping[Node, Any], add: Callable[[Sequence[Any]], Any]) -> dict[Node, Any]:
    """Add neighbours for as long as both are there: the same sums, to the last bit, in whatever order they meet."""
    found = dict(sums)
    for level in range(max((node.n for node in sums), default=0).bit_length()):
        for node in sorted(found):
            above = Node(node.key, level + 1, node.at // 2, node.n)
            right = node._replace(at=node.at + 1)
            if node.level != level or node.at % 2 or 1 << level >= node.n:
                continue
            if right.at << level >= node.n:
                found[above] = found.pop(node)
            elif right in found:
                found[above] = add([found.pop(node), found.pop(right)])
    return found


# --- where that is ----------------------------------------------------------------------------------------------------


class Here:
    """Parts live in this process; its threads share them.

    Parameters
    ----------
    parts : sequence of Part
        All of them.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def pairs(
        self, function: Callable[..., tuple[Any, Any]], jobs: Sequence[tuple[Any, ...]], which: Sequence[int]
    ) -> tuple[list[Any], list[Any]]:
        """Run jobs, one for each part of `which`, the costliest first; what stays, and what travels."""
        waiting = deque(sorted(range(len(jobs)), key=lambda j: -self._parts[which[j]].cost))
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

    def added(
        self,
        function: Callable[..., tuple[Any, Any]],
        jobs: Sequence[tuple[Any, ...]],
        which: Sequence[int],
        keys: Sequence[int],
        add: Callable[[Sequence[Any]], Any],
    ) -> tuple[list[Any], dict[int, Any], Mapping[int, int]]:
        """Run jobs like `pairs`, each of some key; what stays, sums by key, of how many that travelled."""
        stay, travel = self.pairs(function, jobs, which)
        sums = grown(dict(zip(leaves(keys), travel, strict=True)), add)
        return stay, {node.key: value for node, value in sums.items()}, Counter(node.key for node in sums)

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """What is behind handles."""
        return list(handles)

    def place(self, values: Sequence[Any]) -> list[Any]:
        """Handles of values, one for each part."""
        return list(values)


class Handle(NamedTuple):
    """What a task left on a worker for one of its parts.

    Attributes
    ----------
    task : dask.delayed.Delayed
        Its result: what stays, by part of the task, and what travels.
    at : int
        Which part.
    """

    task: Delayed
    at: int


class Away:
    """Parts live on the workers of a cluster, as results of tasks that dask can run again if a worker is lost.

    A task is some parts of one wave, always the same, and there is one for every thread: each costs the scheduler time.
    It adds up what the order of :func:`grown` allows, so that the last bit does not depend on the cluster.

    Parameters
    ----------
    parts : sequence of Part
        All of them.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        workers = blocks.workers()
        n_tasks = len(workers) or len(parts)
        waves = np.array([part.wave for part in parts])
        costs = np.array([part.cost for part in parts])
        self._task_of = np.zeros(len(parts), int)
        for wave in np.unique(waves):
            own = waves == wave
            middle = np.cumsum(costs[own]) - costs[own] / 2
            self._task_of[own] = wave * n_tasks + (n_tasks * middle / costs[own].sum()).astype(int)
        self._homes = workers
        self._released: Any = None

    def pairs(
        self, function: Callable[..., tuple[Any, Any]], jobs: Sequence[tuple[Any, ...]], which: Sequence[int]
    ) -> tuple[list[Any], list[Any]]:
        """Run jobs, one for each part of `which`; handles of what stays, and what travels."""
        together = self._together(which)
        handles, found = self._sent(function, jobs, which, together, [_as_it_is] * len(together))
        return handles, _in_order(together, found)

    def added(
        self,
        function: Callable[..., tuple[Any, Any]],
        jobs: Sequence[tuple[Any, ...]],
        which: Sequence[int],
        keys: Sequence[int],
        add: Callable[[Sequence[Any]], Any],
    ) -> tuple[list[Handle], dict[int, Any], Mapping[int, int]]:
        """Run jobs like `pairs`, each of some key; handles of what stays, sums by key, of how many that travelled."""
        together, nodes = self._together(which), leaves(keys)
        finish = [partial(_grown, [nodes[j] for j in some], add) for some in together]
        handles, found = self._sent(function, jobs, which, together, finish)
        everything = chain.from_iterable(sums.items() for sums in found)
        heard = {Node(*node): value for node, value in everything}  # messages make plain tuples of keys
        return handles, {n.key: value for n, value in grown(heard, add).items()}, Counter(n.key for n in heard)

    def _sent(
        self,
        function: Callable[..., tuple[Any, Any]],
        jobs: Sequence[tuple[Any, ...]],
        which: Sequence[int],
        together: Sequence[Sequence[int]],
        finish: Sequence[Callable[[list[Any]], Any]],
    ) -> tuple[list[Handle], tuple[Any, ...]]:
        """Run jobs; handles of what stays, and of each task what travels."""
        once: dict[int, Delayed] = {}  # what several jobs share is sent once
        tasks = []
        for some, last in zip(together, finish, strict=True):
            with self._home(which[some[0]]):
                tasks.append(_task(function, last, [jobs[j] for j in some], once))
        travel = [_TRAVELS(task) for task in tasks]
        kept = _persisted(*tasks, *travel)
        # What the scheduler hears of results that are not needed any more makes the next message wait 10 ms: let go of
        # those of the last wave only when this one is under way.
        self._released = jobs, kept
        found = blocks.gather(kept[len(tasks) :])
        return _handles(together, kept[: len(tasks)]), found

    def _home(self, part: int) -> Any:
        """Where the task of a part had better run, so that every worker has as much of each wave."""
        if not self._homes:
            return nullcontext()
        address = self._homes[self._task_of[part] % len(self._homes)]
        return dask.annotate(workers=[address], allow_other_workers=True)

    def _together(self, which: Sequence[int]) -> list[list[int]]:
        """Positions in `which`, by task."""
        found: dict[int, list[int]] = {}
        for j, p in enumerate(which):
            found.setdefault(int(self._task_of[p]), []).append(j)
        return list(found.values())

    def fetch(self, handles: Sequence[Handle]) -> list[Any]:
        """What is behind handles."""
        tasks = {id(handle.task): handle.task for handle in handles}
        found = dict(zip(tasks, dask.compute(*map(_STAYS, tasks.values())), strict=True))
        return [found[id(handle.task)][handle.at] for handle in handles]

    def place(self, values: Sequence[Any]) -> list[Any]:
        """Handles of values, one for each part; small graphs, and what was computed before need not be kept."""
        together = self._together(range(len(values)))
        tasks: list[Delayed] = []
        for some in together:
            with self._home(some[0]):
                made = dask.delayed(([values[j] for j in some], None), pure=False, traverse=False)
            tasks += _persisted(made)
        return _handles(together, tasks)


_STAYS, _TRAVELS = (dask.delayed(itemgetter(i), pure=False, traverse=False) for i in range(2))


def _as_it_is(travel: list[Any]) -> list[Any]:
    return travel


def _grown(nodes: Sequence[Node], add: Callable[[Sequence[Any]], Any], travel: list[Any]) -> dict[Node, Any]:
    return grown(dict(zip(nodes, travel, strict=True)), add)


def _task(
    function: Callable[..., tuple[Any, Any]],
    finish: Callable[[list[Any]], Any],
    jobs: Sequence[tuple[Any, ...]],
    once: dict[int, Delayed],
) -> Any:
    """One task for several jobs: what they need, each once, and where every argument is found among it."""
    needed: list[Delayed] = []
    position: dict[int, int] = {}

    def found(value: Any) -> tuple[int, int]:
        if not isinstance(value, Handle) and id(value) not in once:
            once[id(value)] = dask.delayed(value, pure=False, traverse=False)
        own, at = value if isinstance(value, Handle) else (once[id(value)], -1)
        if id(own) not in position:
            position[id(own)] = len(needed)
            needed.append(own)
        return position[id(own)], at

    recipe = [[found(value) for value in job] for job in jobs]
    return dask.delayed(_run, pure=False, traverse=False)(function, finish, recipe, *needed)


def _run(
    function: Callable[..., tuple[Any, Any]],
    finish: Callable[[list[Any]], Any],
    recipe: Sequence[Sequence[tuple[int, int]]],
    *values: Any,
) -> tuple[list[Any], Any]:
    """On a worker: the jobs of one task, one after the other; what stays, by job, and what travels."""
    jobs = [[values[i] if at < 0 else values[i][0][at] for i, at in where] for where in recipe]
    stay, travel = zip(*[function(*job) for job in jobs], strict=True)
    return list(stay), finish(list(travel))


def _handles(together: Sequence[Sequence[int]], tasks: Sequence[Delayed]) -> list[Handle]:
    """A handle for each job, of the tasks that do some together."""
    by_task = [[Handle(task, i) for i in range(len(some))] for task, some in zip(tasks, together, strict=True)]
    return _in_order(together, by_task)


def _in_order(together: Sequence[Sequence[int]], found: Sequence[Sequence[Any]]) -> list[Any]:
    """What was found by task, in the order of the jobs."""
    by_job = {
        j: value for some, values in zip(together, found, strict=True) for j, value in zip(some, values, strict=True)
    }
    return [by_job[j] for j in range(len(by_job))]


def _persisted(*values: Delayed) -> tuple[Delayed, ...]:
    """Tasks under way; what dask says about large graphs is meant for those who load data with them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        return tuple(dask.persist(*values, optimize_graph=False))
