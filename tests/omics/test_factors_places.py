"""Sums over parts: one fixed tree, whoever adds up which neighbours first."""

from __future__ import annotations

import numpy as np
import pytest

from omics.factors.places import grown, leaves


def plus(values):
    return values[0] + values[1]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 23])
def test_the_same_bits_whoever_adds_first(n):
    """Leaves dealt to any number of workers, neighbours together, give the sum of one worker, bit by bit."""
    rng = np.random.default_rng(n)
    keys = [0] * n + [1] * 5
    values = list(rng.standard_normal(len(keys)) * 10.0 ** rng.integers(-8, 8, len(keys)))
    nodes = leaves(keys)
    alone = grown(dict(zip(nodes, values, strict=True)), plus)
    assert {node.key for node in alone} == {0, 1}
    assert len(alone) == 2
    for n_workers in range(1, len(keys) + 1):
        heard = {}
        for some in np.array_split(np.arange(len(keys)), n_workers):
            heard |= grown({nodes[j]: values[j] for j in some}, plus)
        assert grown(heard, plus) == alone
    sums = {node.key: value for node, value in alone.items()}
    assert sums[0] == pytest.approx(sum(values[:n]), rel=1e-9, abs=1e-6)
    assert sums[1] == pytest.approx(sum(values[n:]), rel=1e-9, abs=1e-6)


def test_workers_send_less_than_they_have():
    nodes = leaves([0] * 16)
    assert len(grown(dict.fromkeys(nodes[4:8], 1.0), plus)) == 1
    assert len(grown(dict.fromkeys(nodes[3:8], 1.0), plus)) == 2
    assert grown({}, plus) == {}
