"""The floor of an iteration: the two bare float32 products ``Y Z`` and ``Y' W``, as fast as NumPy does them.

Which layout is the fastest depends on the machine, so many are tried: blocks of 1,024 to 8,192 features by feature,
by sample, or by feature with rows filled up to 16 samples; the factors as columns or as rows of either product; two
threads with one thread of BLAS each, or BLAS on two threads.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import product
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

_SIZES = (1024, 2048, 4096, 8192)
_LANES = 16


class Variant(NamedTuple):
    """One way to compute the products.

    Attributes
    ----------
    layout : str
        ``feature`` (rows are features), ``filled`` (and have a multiple of 16 entries), or ``sample``.
    size : int
        Features of a block; 0 for all.
    pool : bool
        Two threads with one thread of BLAS each, else one with two of BLAS.
    turned_in, turned_out : bool
        Whether the factors are rows of the first and the second product.
    """

    layout: str
    size: int
    pool: bool
    turned_in: bool
    turned_out: bool

    def __str__(self) -> str:
        how = "2 threads" if self.pool else "BLAS on 2 threads"
        return f"{self.layout}-major blocks of {self.size or 'all'} features, {how}"


class _Block(NamedTuple):
    """Features of one block, whatever its layout in memory, and where its products go."""

    values: np.ndarray
    weights: np.ndarray
    product: np.ndarray


class Floor:
    """One variant, ready to run.

    Parameters
    ----------
    views : sequence of numpy.ndarray, shape (own sample, feature)
        float32, without NaN.
    n_factors : int
        Columns of Z and W.
    variant : Variant
        How.
    executor : concurrent.futures.Executor
        Two threads.
    calm : float
        Seconds to wait after BLAS ran on two threads: they look for work for a while, which holds up what is next.
    """

    def __init__(
        self, views: Sequence[np.ndarray], n_factors: int, variant: Variant, executor: Executor, calm: float = 0.0
    ) -> None:
        self._variant, self._executor, self._calm = variant, executor, calm
        rng = np.random.default_rng(0)
        self._work: list[list[tuple[np.ndarray, list[_Block]]]] = [[], []]
        for view in views:
            blocks = _blocks(view, n_factors, variant, rng)
            scores = rng.standard_normal((blocks[0].values.shape[1], n_factors), dtype=np.float32)
            scores = np.ascontiguousarray(scores.T).T if variant.turned_in else scores
            for i, work in enumerate(self._work):
                work.append((scores, blocks[i::2]))

    def __call__(self) -> float:
        """Seconds of the products over all blocks."""
        if self._variant.pool:
            return self._timed(1)
        seconds = self._timed(2)
        time.sleep(self._calm)
        return seconds

    def _timed(self, threads: int) -> float:
        with threadpool_limits(threads):
            began = time.perf_counter()
            if self._variant.pool:
                list(self._executor.map(self._visit, self._work))
            else:
                for work in self._work:
                    self._visit(work)
            return time.perf_counter() - began

    def _visit(self, work: list[tuple[np.ndarray, list[_Block]]]) -> list[np.ndarray]:
        return [_products(blocks, scores, self._variant) for scores, blocks in work if blocks]


def _products(blocks: Sequence[_Block], scores: np.ndarray, variant: Variant) -> np.ndarray:
    shape = scores.T.shape if variant.turned_out else scores.shape
    total, one = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    for values, weights, inner in blocks:
        if variant.turned_in:
            np.matmul(scores.T, values.T, out=inner)
        else:
            np.matmul(values, scores, out=inner)
        if variant.turned_out:
            np.matmul(weights.T, values, out=one)
        else:
            np.matmul(values.T, weights, out=one)
        total += one
    return total


def _blocks(view: np.ndarray, n_factors: int, variant: Variant, rng: np.random.Generator) -> list[_Block]:
    n_samples, n_features = view.shape
    rows = -(-n_samples // _LANES) * _LANES if variant.layout == "filled" else n_samples
    size = variant.size or n_features
    blocks = []
    for start in range(0, n_features, size):
        part = view[:, start : start + size]
        if variant.layout == "sample":
            values = np.ascontiguousarray(part).T
        else:
            values = np.zeros((part.shape[1], rows), np.float32)
            values[:, :n_samples] = part.T
        weights = rng.standard_normal((len(values), n_factors), dtype=np.float32)
        weights = np.ascontiguousarray(weights.T).T if variant.turned_out else weights
        shape = (n_factors, len(values)) if variant.turned_in else (len(values), n_factors)
        blocks.append(_Block(values, weights, np.empty(shape, np.float32)))
    return blocks


def finalists(views: Sequence[np.ndarray], n_factors: int, executor: Executor, n: int = 3) -> dict[Variant, Floor]:
    """Try all variants briefly, and make the fastest ready."""
    flags = list(product((False, True), repeat=2))
    pooled = [Variant(lay, s, True, *f) for lay in ("feature", "filled", "sample") for s in _SIZES for f in flags]
    plain = [Variant(lay, s, False, *f) for lay in ("feature", "sample") for s in (0, _SIZES[-1]) for f in flags]

    def briefly(variant: Variant, repeats: int) -> float:
        floor = Floor(views, n_factors, variant, executor)
        floor()
        return min(floor() for _ in range(repeats))

    first = {variant: briefly(variant, 2) for variant in [*pooled, *plain]}
    some = sorted(first, key=lambda variant: first[variant])[: 3 * n]
    second = {variant: briefly(variant, 6) for variant in some}
    best = sorted(some, key=lambda variant: second[variant])[:n]
    return {variant: Floor(views, n_factors, variant, executor, calm=0.1) for variant in best}
