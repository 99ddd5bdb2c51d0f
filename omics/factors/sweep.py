"""A pass over the data: blocks of features wherever they are held, visited in waves, sums of factor size coming back.

The features of every view are cut into parts that depend on the data alone; a wave is some parts of every view. The
parts of a wave are visited in parallel by dask's active scheduler and their sums are added in one fixed tree, so the
numbers do not depend on how many threads or workers there are. The same functions run on arrays in this process and
on arrays that stay with the workers of a cluster, where only sums and scores travel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from scipy.linalg import get_blas_funcs

from omics import blocks
from omics.factors.block import GAUSSIAN, Block, Learned, Mode, Moments, Prior, Sums, no_sums, total, up
from omics.factors.gaussian import visit
from omics.factors.layers import refuse
from omics.factors.packing import LANES, Facts, Rows, pack, rows_of
from omics.factors.places import Away, Here, layout
from omics.factors.pointwise import visit_pointwise
from omics.factors.state import Layer, Options
from omics.factors.updates import MomentsLike

# --- what runs where the blocks are ---------------------------------------------------------------------------------


#: Data that are worked on here even if there are workers: a pass over them takes less than a message.
SMALL_BYTES = 2**26


class OnDisk(NamedTuple):
    """A block whose values lie in a scratch file; `source` makes it again where the file cannot be seen."""

    block: Block
    file: str
    shape: tuple[int, int]
    source: Any

    def open(self) -> Block:
        """Read the values."""
        if not Path(self.file).is_file():
            return self.source()
        values = np.fromfile(self.file, self.block.values.dtype).reshape(self.shape)
        return self.block._replace(values=values)


class Source(NamedTuple):
    """Makes a block from raw values each time that it is called."""

    values: Any
    likelihood: str
    rows: Rows
    dtype: str

    def pack(self, *, lasting: bool = False) -> tuple[Block, Facts]:
        """Read and pack; see :func:`omics.factors.packing.pack`."""
        raw = self.values
        if isinstance(raw, da.Array):
            raw = blocks.here(raw)
        return pack(raw, self.likelihood, self.rows, self.dtype, lasting=lasting)

    def __call__(self) -> Block:
        """Read and pack, without the facts."""
        return self.pack()[0]


def load(sources: Sequence[Source], scratch: str | None, keep: bool) -> tuple[list[Any], list[Facts]]:
    """Pack the blocks of a part; keep them in memory, in files below `scratch`, or only how to make them again."""
    held, facts = [], []
    for source in sources:
        block, fact = source.pack(lasting=keep and not scratch)
        facts.append(fact)
        held.append(_spilled(block, scratch, source) if scratch else block if keep else source)
    return held, facts


def _spilled(block: Block, scratch: str, source: Source) -> OnDisk:
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".block", delete=False) as file:
        block.values.tofile(file)
    return OnDisk(block._replace(values=np.empty((0, 0), block.values.dtype)), file.name, block.values.shape, source)


def opened(held: Any) -> Block:
    """The block that :func:`load` put somewhere."""
    if isinstance(held, Block):
        return held
    made: Block = held.open() if isinstance(held, OnDisk) else held()
    return made


def fresh(block: Block, fits: np.ndarray, mode: Mode) -> Learned:
    """State of the features before the first visit: ``E[w] = 0``, ``E[w^2] = 1``, ``E[tau] = 1``."""
    n_fits, n_groups, n_features = len(fits) - 1, len(block.bounds) - 1, block.n_features
    intercept = np.broadcast_to(block.mean, (n_fits, n_groups, n_features)).copy()
    dense = mode.compat and block.likelihood != GAUSSIAN
    return Learned(
        np.zeros((fits[-1], n_features), block.values.dtype),
        np.ones((fits[-1], n_features), block.values.dtype),
        np.ones((n_fits, n_groups, n_features)),
        intercept,
        np.ones((n_fits, n_features, int(block.bounds[-1]))) if dense else np.zeros((0, 0, 0)),
    )


class Visit(NamedTuple):
    """What a wave brings to the blocks of one view; the only thing that travels to them.

    Attributes
    ----------
    moments : Moments
        The factors of the view's samples.
    prior : Prior
        Of its weights.
    fits : numpy.ndarray, shape (F + 1,)
        First factor of each fit that shares the pass, and the number of all.
    mode : Mode
        What to do.
    n_samples : int
        Samples of the view.
    local : str or None
        Precision of the corrections of single samples, if they need any.
    """

    moments: Moments
    prior: Prior
    fits: np.ndarray
    mode: Mode
    n_samples: int
    local: str | None


def _writable(arrays: Any) -> Any:
    """With copies of the read-only arrays that messages bring: for those all would be compiled anew."""
    return type(arrays)(*(a if getattr(a, "flags", None) is None or a.flags.writeable else a.copy() for a in arrays))


def visit_part(held: Sequence[Any], learned: Sequence[Learned] | None, brought: Visit) -> tuple[list[Learned], Sums]:
    """Visit the blocks of a part one after the other; returns their new state and their sums."""
    moments, prior, fits, mode, n_samples, local = _writable(brought)
    moments, prior = _writable(moments), _writable(prior)
    sums = no_sums(fits, moments.quad.shape[0], n_samples, local)
    new = []
    for i, handle in enumerate(held):
        block = _writable(opened(handle))
        old = _writable(learned[i]) if learned is not None else fresh(block, fits, mode)
        intercept = old.intercept.copy() if block.likelihood != GAUSSIAN else old.intercept
        state = Learned(*(np.empty_like(array) for array in old))._replace(intercept=intercept)
        if not mode.learn:  # the weights stay as they are, and so need no second copy
            state = state._replace(mean=old.mean, square=old.square)
        kernel = visit if block.likelihood == GAUSSIAN else visit_pointwise
        kernel(block, moments, prior, fits, mode, old, state, sums)
        new.append(state)
    return new, sums


def gram_part(held: Sequence[Any], inverse: np.ndarray, n_samples: int) -> tuple[None, np.ndarray]:
    """``Y Y'`` of a part, a binary or count feature centred, missing entries as the mean; shape (own sample, same).

    Only the upper triangle, added up in the precision of the data: it is what most of the memory of a start goes to.
    """
    result = None
    for handle in held:
        block = opened(handle)
        values = block.values[: block.n_features]  # zero in padding
        if block.likelihood != GAUSSIAN:
            values = np.nan_to_num(values - np.nanmean(values[:, :n_samples], axis=1, keepdims=True))
        multiply = get_blas_funcs("syrk", (values,))
        result = multiply(1.0, values.T, beta=1.0, c=result, overwrite_c=result is not None)
    assert result is not None
    gram = result[:n_samples, :n_samples]
    gram *= inverse
    gram *= inverse[:, None]
    return None, gram


def chosen(learned: Sequence[Learned], factors: np.ndarray, fits: np.ndarray) -> tuple[list[Learned], None]:
    """State of some factors and fits alone; those of one fit, which are neighbours, without a copy."""
    neighbours = factors.size and np.array_equal(factors, np.arange(factors[0], factors[0] + factors.size))
    which = slice(factors[0], factors[0] + factors.size) if neighbours else factors
    kept = [
        Learned(
            part.mean[which],
            part.square[which],
            part.tau[fits],
            part.intercept[fits],
            part.zeta[fits] if len(part.zeta) else part.zeta,
        )
        for part in learned
    ]
    return kept, None


# --- the whole --------------------------------------------------------------------------------------------------------


class Holding(NamedTuple):
    """Where blocks lie between two passes.

    Attributes
    ----------
    scratch : str or None
        In files of this folder.
    keep : bool
        In memory. If neither, each pass makes them again from the raw values.
    """

    scratch: str | None = None
    keep: bool = True


class View(NamedTuple):
    """What the sweep knows of one view.

    Attributes
    ----------
    n_features : int
        Features.
    n_observed : float
        Observed entries, if it is Gaussian; what the others have of a normalisation is in their bounds.
    rows : Rows
        Its samples.
    omega : float
        Its weight.
    like : MomentsLike
        Which moments its blocks need.
    """

    n_features: int
    n_observed: float
    rows: Rows
    omega: float
    like: MomentsLike

    @property
    def local(self) -> str | None:
        """Precision of the corrections of single samples; of a binary or count view they are not small."""
        return "float64" if self.like.pointwise else self.like.dtype if self.like.incomplete else None


class Sweep:
    """All views, cut into parts and held, with the state of their features.

    Parameters
    ----------
    layers : sequence of Layer
        The views.
    groups : numpy.ndarray, shape (sample,)
        Group of each sample, never falling.
    options : Options
        Scaling, weights of views, dtype.
    n_waves : int
        Waves of a pass.
    holding : Holding
        Where blocks lie between passes.

    Raises
    ------
    DataError
        There are values that cannot be, or from which nothing can be learnt.
    """

    def __init__(
        self, layers: Sequence[Layer], groups: np.ndarray, options: Options, n_waves: int, holding: Holding
    ) -> None:
        everybody = [options.compat and layer.likelihood != "gaussian" for layer in layers]
        rows = [rows_of(layer.rows, groups, everybody=e) for layer, e in zip(layers, everybody, strict=True)]
        shapes = [
            (own.samples.size, layer.values.shape[1], layer.likelihood == "gaussian")
            for own, layer in zip(rows, layers, strict=True)
        ]
        self.parts = layout(shapes, n_waves, np.dtype(options.dtype).itemsize)
        self.n_waves, self.n_samples = n_waves, groups.size
        sources = [
            [Source(sliced(layer.values, *cut), layer.likelihood, rows[part.view], options.dtype) for cut in part.cuts]
            for part in self.parts
            for layer in [layers[part.view]]
        ]
        size = sum(np.prod(shape[:2]) for shape in shapes) * np.dtype(options.dtype).itemsize
        self.place = (Away if blocks.on_workers() and size > SMALL_BYTES else Here)(self.parts)
        jobs = [(part, holding.scratch, holding.keep) for part in sources]
        self.held, found = self.place.pairs(load, jobs, range(len(jobs)))
        self.learned: list[Any] = [None] * len(self.parts)
        self.facts = []
        for v, layer in enumerate(layers):
            of_view = zip(self.parts, found, strict=True)
            self.facts.append(joined([fact for part, facts in of_view if part.view == v for fact in facts]))
            refuse(self.facts[-1], layer)
        omega = np.array([1.0 / shape[1] for shape in shapes]) if options.weight_views else np.ones(len(layers))
        omega *= len(layers) / omega.sum()
        self.views = [
            View(
                shape[1],
                float(facts.observed.sum()) if shape[2] else 0.0,
                own,
                float(weight),
                MomentsLike(
                    up(own.samples.size, LANES),
                    options.dtype,
                    not shape[2],
                    facts.missing > 0,
                    _inverse(facts, options),
                ),
            )
            for shape, own, facts, weight in zip(shapes, rows, self.facts, omega, strict=True)
        ]

    def visit(
        self, wave: int | None, brought: Mapping[int, Visit], learned: Sequence[Any] | None = None
    ) -> tuple[dict[int, Sums], int]:
        """Visit the parts of a wave (of all, if None), keep their new state, and add up their sums by view.

        Parameters
        ----------
        wave : int or None
            Which parts.
        brought : mapping of int to Visit
            By view.
        learned : sequence, optional
            State to work on instead of the sweep's own, for all parts; it is replaced by the new state in place.

        Returns
        -------
        sums : dict of int to Sums
            By view.
        traffic : int
            Bytes of moments and sums that travelled; in one process, that a single task would bring.
        """
        state = self.learned if learned is None else learned
        which = [p for p, part in enumerate(self.parts) if wave is None or part.wave == wave]
        jobs = [(self.held[p], state[p], brought[self.parts[p].view]) for p in which]
        views = [self.parts[p].view for p in which]
        new, sums, messages = self.place.added(visit_part, jobs, which, views, total)
        for p, handle in zip(which, new, strict=True):
            state[p] = handle  # type: ignore[index]
        traffic = sum(n * (_bytes(brought[v].moments) + _bytes(sums[v])) for v, n in messages.items())
        return sums, traffic

    def features_of(self, wave: int, view: int) -> int:
        """Features that a wave visits of a view."""
        return sum(part.n_features for part in self.parts if part.wave == wave and part.view == view)

    def gram(self) -> np.ndarray:
        """Gram matrix of all views side by side, shape (sample, sample); what is missing counts as the mean.

        Only the upper triangle, which the eigenvectors need.
        """
        result = np.zeros((self.n_samples, self.n_samples), order="F")
        jobs = []
        for held, part in zip(self.held, self.parts, strict=True):
            view = self.views[part.view]
            by_sample = np.repeat(view.like.inverse, np.diff(view.rows.bounds))
            jobs.append((held, by_sample, view.rows.samples.size))
        for (_, gram), part in zip(self._stream(gram_part, jobs), self.parts, strict=True):
            samples = self.views[part.view].rows.samples
            everybody = samples.size == self.n_samples
            result[slice(None) if everybody else np.ix_(samples, samples)] += gram
        return result

    def _stream(
        self, function: Callable[..., tuple[Any, Any]], jobs: list[tuple[Any, ...]]
    ) -> Iterator[tuple[Any, Any]]:
        """Run a few jobs at a time, since their results are large."""
        step = len(blocks.workers()) or blocks.width()
        for start in range(0, len(jobs), step):
            some = range(start, min(start + step, len(jobs)))
            yield from zip(*self.place.pairs(function, [jobs[p] for p in some], some), strict=True)

    def chosen(self, learned: Sequence[Any], factors: np.ndarray, fits: np.ndarray) -> list[Any]:
        """State of some factors and fits alone, by part."""
        jobs = [(state, factors, fits) for state in learned]
        return self.place.pairs(chosen, jobs, range(len(jobs)))[0]

    def state(self, learned: Sequence[Any] | None = None) -> list[list[Learned]]:
        """State of all parts, in this process."""
        return self.place.fetch(self.learned if learned is None else learned)

    def restore(self, learned: Sequence[list[Learned]]) -> None:
        """Put the state of all parts back where they are; later work depends on nothing before."""
        self.learned = self.place.place(learned)

    def renew(self) -> list[list[Learned]]:
        """Fetch the state of all parts and put it back: the loss of a worker then costs no more than what follows."""
        learned = self.state()
        self.restore(learned)
        return learned

    def release(self) -> None:
        """Let go of the data; what was learnt stays."""
        self.held = []

    def by_feature(self, view: int, found: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """Arrays of all blocks of a view, by part and block, side by side in the order of the features."""
        own = [(p, part) for p, part in enumerate(self.parts) if part.view == view]
        own.sort(key=lambda item: item[1].cuts[0][0])
        return np.concatenate([array for p, _ in own for array in found[p]], axis=-1)


def sliced(values: Any, start: int, stop: int) -> Any:
    """Some columns; of a lazy array with only the tasks that they need."""
    return dask.optimize(values[:, start:stop])[0] if isinstance(values, da.Array) else values[:, start:stop]


def joined(parts: Sequence[Facts]) -> Facts:
    """Facts of all features of a view."""
    return Facts(
        np.concatenate([part.square for part in parts], axis=1),
        np.concatenate([part.observed for part in parts], axis=1),
        np.concatenate([part.varies for part in parts]),
        np.concatenate([part.wrong for part in parts])[:5],
        sum(part.missing for part in parts),
        np.concatenate([part.mean for part in parts], axis=1),
    )


def _inverse(facts: Facts, options: Options) -> np.ndarray:
    """One over the standard deviation of the view, of the view in each group, or 1."""
    n_groups = len(facts.square)
    square, count = facts.square.sum(axis=1), facts.observed.sum(axis=1)
    scale = np.ones(n_groups)
    if options.scale_groups:
        scale = np.sqrt(square / np.maximum(count, 1.0))
    elif options.scale_views:
        scale = np.full(n_groups, np.sqrt(square.sum() / count.sum()))
    return 1.0 / np.where(scale > 0, scale, 1.0)


def _bytes(arrays: Sequence[Any]) -> int:
    return sum(array.nbytes for array in arrays)
