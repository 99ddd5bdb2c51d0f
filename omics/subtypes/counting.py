"""What clusterings of resamples have in common, counted without a matrix of patients x patients x resamples.

A clustering is a row of labels, shape (sample,), with :data:`ABSENT` for a patient whom the resample lacks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Label of a patient whom a resample lacks.
ABSENT = -1
#: Patients in one strip of the consensus matrix, and entries of one block of indicators: 64 MB.
_STRIP, _ENTRIES = 512, 16_000_000
#: Between these shares of resamples a pair of patients is neither together nor apart.
PAC_LOWER, PAC_UPPER = 0.1, 0.9


@njit(cache=True, nogil=True)
def _rand(table: np.ndarray) -> float:
    together = rows = columns = total = 0.0
    for a in range(table.shape[0]):
        row = column = 0.0
        for b in range(table.shape[1]):
            together += table[a, b] * (table[a, b] - 1) / 2
            row += table[a, b]
            column += table[b, a]
        rows += row * (row - 1) / 2
        columns += column * (column - 1) / 2
        total += row
    pairs = total * (total - 1) / 2
    expected = rows * columns / pairs if pairs > 0 else 0.0
    possible = 0.5 * (rows + columns) - expected
    if possible < 1e-9:  # both put all shared patients together: they agree
        return 1.0
    return (together - expected) / possible


@njit(cache=True, nogil=True)
def _count(table: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    table[:] = 0
    for i in range(len(first)):
        if first[i] >= 0 and second[i] >= 0:
            table[first[i], second[i]] += 1


@njit(cache=True, nogil=True)
def rand_between(label: np.ndarray, n_subtypes: int) -> np.ndarray:
    r"""Adjusted Rand index of each pair of clusterings on the patients that both have.

    .. math:: \frac{\sum_{ab} \binom{n_{ab}}2 - E}{(\sum_a \binom{n_a}2 + \sum_b \binom{n_b}2) / 2 - E},\quad
              E = \sum_a \tbinom{n_a}2 \sum_b \tbinom{n_b}2 \big/ \tbinom n2

    Parameters
    ----------
    label : numpy.ndarray of integers, shape (resample, sample)
        Cluster of each patient, below `n_subtypes`.
    n_subtypes : int
        Number of clusters.

    Returns
    -------
    numpy.ndarray, shape (resample, resample)
        Symmetric, 1 on the diagonal.

    References
    ----------
    Hubert, Arabie (1985), Journal of Classification 2.
    """
    runs = len(label)
    table = np.zeros((n_subtypes, n_subtypes), np.int64)
    found = np.ones((runs, runs))
    for i in range(runs):
        for j in range(i + 1, runs):
            _count(table, label[i], label[j])
            found[i, j] = found[j, i] = _rand(table)
    return found


@njit(cache=True, nogil=True)
def jaccard_each(reference: np.ndarray, label: np.ndarray, n_subtypes: int) -> np.ndarray:
    """Jaccard index of each reference cluster with the cluster most like it, among the patients of the resample.

    Parameters
    ----------
    reference : numpy.ndarray of integers, shape (sample,)
        Clustering of all patients.
    label : numpy.ndarray of integers, shape (resample, sample)
        Clusterings of the resamples.
    n_subtypes : int
        Number of clusters in each.

    Returns
    -------
    numpy.ndarray, shape (resample, subtype)

    References
    ----------
    Hennig (2007), Computational Statistics and Data Analysis 52.
    """
    table = np.zeros((n_subtypes, n_subtypes), np.int64)
    found = np.zeros((len(label), n_subtypes))
    for run in range(len(label)):
        _count(table, reference, label[run])
        for a in range(n_subtypes):
            drawn = table[a].sum()
            for b in range(n_subtypes):
                either = drawn + table[:, b].sum() - table[a, b]
                if either > 0:
                    found[run, a] = max(found[run, a], table[a, b] / either)
    return found


def consensus(label: np.ndarray, n_subtypes: int, groups: int = 1) -> tuple[float, np.ndarray]:
    r"""Proportion of ambiguous pairs, and ambiguity of each patient.

    Of the :math:`m_{ij}` resamples that have both patients, :math:`s_{ij}` put them together. A pair is ambiguous if
    :math:`0.1 < s_{ij} / m_{ij} < 0.9`. A patient's ambiguity is the mean over the others with :math:`m_{ij} > 1` of

    .. math:: 4 s_{ij} (m_{ij} - s_{ij}) / (m_{ij} (m_{ij} - 1)),

    without bias 0 for a pair that is always together or always apart and 1 for one that is together half of the time.

    Parameters
    ----------
    label : numpy.ndarray of integers, shape (resample, sample)
        Clusterings of the resamples.
    n_subtypes : int
        Number of clusters.
    groups : int
        Parts of the resamples for each of which the proportion is taken; their mean is returned. So proportions of
        few and many resamples can be compared.

    Returns
    -------
    pac : float
        Proportion of ambiguous pairs; a pair that fewer than two resamples have does not count.
    ambiguity : numpy.ndarray, shape (sample,)

    References
    ----------
    Monti et al. (2003), Machine Learning 52. Senbabaoglu, Michailidis, Li (2014), Scientific Reports 4:6207.
    """
    parts = np.array_split(np.arange(len(label)), groups)
    n_samples = label.shape[1]
    ambiguity = np.zeros(n_samples)
    ambiguous, pairs = np.zeros(groups), np.zeros(groups)
    for start in range(0, n_samples, _STRIP):
        strip = slice(start, min(start + _STRIP, n_samples))
        both = np.zeros((strip.stop - start, n_samples), np.float32)
        together = both.copy()
        for group, part in enumerate(parts):
            here = _together(label[part], strip, n_subtypes)
            ambiguous[group] += _ambiguous(*here, start)
            pairs[group] += (here[0] > 1).sum() - np.sum(here[0].diagonal(start) > 1)
            both += here[0]
            together += here[1]
        ambiguity[strip] = _ambiguity(both, together, start)
    return float((ambiguous / np.maximum(pairs, 1)).mean()), ambiguity


def _together(label: np.ndarray, strip: slice, n_subtypes: int) -> tuple[np.ndarray, np.ndarray]:
    """Resamples that have both patients, and that put them together, shape (patient of the strip, sample)."""
    n_samples = label.shape[1]
    both = np.zeros((strip.stop - strip.start, n_samples), np.float32)
    together = both.copy()
    step = max(1, _ENTRIES // (n_samples * n_subtypes))
    for start in range(0, len(label), step):
        some = label[start : start + step]
        present = (some != ABSENT).astype(np.float32)
        both += present[:, strip].T @ present
        member = (some[:, None] == np.arange(n_subtypes, dtype=label.dtype)[:, None]).astype(np.float32)
        flat = member.reshape(-1, n_samples)
        together += flat[:, strip].T @ flat
    return both, together


def _ambiguous(both: np.ndarray, together: np.ndarray, start: int) -> int:
    between = (together > PAC_LOWER * both) & (together < PAC_UPPER * both) & (both > 1)
    return int(between.sum() - between.diagonal(start).sum())


def _ambiguity(both: np.ndarray, together: np.ndarray, start: int) -> np.ndarray:
    each = 4 * together * (both - together) / np.maximum(both * (both - 1), 1)
    each[np.arange(len(each)), start + np.arange(len(each))] = 0
    seen = (both > 1).sum(axis=1) - (both > 1).diagonal(start)
    return np.asarray(each.sum(axis=1, dtype=float) / np.maximum(seen, 1))
