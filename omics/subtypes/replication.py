"""Whether the subtypes of one cohort come back in another, whose patients were projected on the same factors.

First every patient of the new cohort is assigned, alone, to a subtype of the reference or to none, by
:func:`~omics.subtypes.assignment.assign`. Then the cohort is asked whether the groups so made are there: whether
patients have their nearest neighbour in their own group more often than in a cohort without clusters (in-group
proportion), and whether the new cohort, clustered by itself, puts the same patients together (prediction strength).

References
----------
Kapp and Tibshirani (2007), Biostatistics 8: in-group proportion. Tibshirani and Walther (2005), Journal of
Computational and Graphical Statistics 14: prediction strength.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree
from scipy.stats import fisher_exact
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from omics.blocks import each
from omics.schema import DataError, UsageError
from omics.subtypes.assignment import Patients, Reference, assign, most_probable
from omics.subtypes.clustering import Subtypes
from omics.subtypes.matching import UNASSIGNED, withheld

#: Level of the test against cohorts without clusters.
LEVEL = 0.05
#: Prediction strength from which a subtype is said to be there: Tibshirani and Walther's 0.8 to 0.9.
STRONG = 0.8
#: Fewest patients from which anything is said about a subtype, or about agreement.
FEWEST = 5
#: Fewest patients of a group who can be each other's neighbours.
PAIR = 2
#: A larger share of patients beyond all limits is a group of its own: 1 to 3 % are expected.
MANY_OUTSIDE = 0.05
#: Last entries of the seeds of independent streams of random numbers.
FREE_STREAM, PERMUTED_STREAM = 2001, 2002


class Replication(NamedTuple):
    """What :func:`replicate` found.

    Attributes
    ----------
    assignment : pandas.DataFrame
        As :func:`assign`: one row a patient, in the order of the scores.
    subtypes : pandas.DataFrame
        One row a subtype of the reference: ``subtype``; ``n``, patients of whom it is the most probable one;
        ``assigned``, those of them who are assigned; ``unassigned``, the share who are not; ``share_reference`` and
        ``share``, its share of the reference and of the patients here who are not outside, and ``share_p_value`` that
        these are the same (Fisher's exact test); ``distance``, mean distance of the n patients; ``in_group``, the
        in-group proportion, ``p_value`` against cohorts without clusters, ``p_permuted`` against permuted centres, both
        NaN where fewer than 2 patients are compared; ``prediction_strength``; ``replicates``, 1 or 0, -1 where it
        cannot be judged; ``verdict``, a sentence.
    overall : pandas.DataFrame
        One row: ``n``, ``n_unassigned``, ``n_outside``, ``n_ambiguous``; ``n_known``, patients known well enough for
        what follows; ``own_subtypes``, number of clusters into which the cohort was cut by itself, 0 if it could not
        be; ``ari``, adjusted Rand index of these and the assignment, over the ``n_compared`` of the known who are
        assigned, NaN if they are fewer than 5 or of fewer than two subtypes; ``prediction_strength``, the smallest of
        any of these clusters; ``note``, why something is not known.
    """

    assignment: pd.DataFrame
    subtypes: pd.DataFrame
    overall: pd.DataFrame


# --- the cohort ---------------------------------------------------------------------------------------------------


def replicate(reference: Subtypes, scores: xr.Dataset, *, n_null: int = 200, random_state: int = 0) -> Replication:
    """Look for the subtypes of a reference in another cohort.

    A subtype *replicates* if fewer than one in twenty cohorts without clusters would have its in-group proportion
    (p <= 0.05), and its prediction strength is at least 0.8; it *does not* if one of the two fails, or if fewer than 5
    of the patients nearest to it lie within its limit. It *cannot be judged* if fewer than 5 patients are nearest to
    it, or are assigned as most lie between subtypes; if it is the only one; if the cohort could not be clustered by
    itself; if its strength is enough but the test has no power, as p would be above 0.05 even if every patient had his
    nearest neighbour in it; or if more than a tenth of all patients, or of its own, are in the reference too.

    Parameters
    ----------
    reference : Subtypes
        Fitted.
    scores : xarray.Dataset
        ``NODES["factors"]`` of the new cohort.
    n_null : int
        Cohorts without clusters, and permutations of the centres; at least 19, or no p-value would be 0.05.
    random_state : int
        Seed.

    Returns
    -------
    Replication
        Three tables.

    Raises
    ------
    UsageError
        A parameter is out of range.
    DataError
        As :func:`assign`.

    Notes
    -----
    Every patient is assigned. In-group proportion, prediction strength and Rand index look only at factors whose score
    is less uncertain than it varies in the reference, for more than half of the cohort, and at patients of whom all of
    these are known so well: others lie together because they lack the same layer. An ambiguous patient counts for his
    most probable subtype, or there would be gaps where there are no clusters. Those outside all subtypes are a group
    of their own; if they are at least 5 %, the cohort by itself is cut into one cluster more than the reference has.
    It is cut by the mixture, whatever algorithm made the reference.

    A cohort without clusters is one Gaussian with the mean and covariance of this one, whose patients are given to
    their most probable subtype however far away: within the limits of subtypes that lie far apart it has hardly any,
    and could say nothing of the clearest ones. In-group proportions are compared after what labels dealt out at random
    would give is taken off, as a large group has a large one by chance. Where fewer than 2 patients of a cohort without
    clusters are in a group, it says nothing of that group: p is over the others.

    ``p_permuted`` is by the null of Kapp and Tibshirani, centres of which each factor's entries are dealt out anew to
    the subtypes; they use principal axes, in which two centres have but one other arrangement. No verdict rests on it.
    It is large where subtypes lie so far apart that other centres do not cut them either, and small in a cohort
    without clusters whose correlations the reference's centres follow and permuted ones do not.
    """
    for name, value, least in (("n_null", n_null, round(1 / LEVEL) - 1), ("random_state", random_state, 0)):
        if value < least:
            raise UsageError(f"{name} is {value}", fix=f"give at least {least}")
    check_is_fitted(reference, "model_")
    assignment = assign(reference.model_, scores)
    ordered = scores.sortby("sample")  # the order in which patients come must not matter
    table = assignment.set_index("sample").loc[ordered.indexes["sample"]]
    with threadpool_limits(limits=1):
        found = _found(reference.model_, ordered, table, n_null, random_state)
    first, label = reference.labels_, assignment.set_index("sample")["label"]
    again = moves(first, label) if first.index.isin(label.index).any() else None
    subtypes = withheld(_subtypes_table(reference, table, found), again)
    return Replication(assignment, subtypes, _overall_table(table, found))


class _Known(NamedTuple):
    """Patients, sorted by sample, who are known well enough to be compared with each other."""

    patients: Patients
    reference: Reference
    factors: np.ndarray  # which ones are known, (factor,)
    label: np.ndarray  # most probable subtype, (sample,)
    group: np.ndarray  # the same, or the number of subtypes for a patient who is outside, (sample,)
    neighbour: np.ndarray  # (sample,)
    assigned: np.ndarray  # whether neither outside nor ambiguous, (sample,)


class _InGroup(NamedTuple):
    """In-group proportion of each subtype and what cohorts without clusters say of it, each (subtype,)."""

    share: np.ndarray
    p_value: np.ndarray
    least_p: np.ndarray  # what p would be if every patient of the subtype had his nearest neighbour in it
    n_free: np.ndarray  # cohorts without clusters that have the subtype


class _Found(NamedTuple):
    """What the cohort says of the groups; NaN where it says nothing."""

    n_known: int
    in_group: _InGroup
    p_permuted: np.ndarray  # (subtype,), as the next
    strength: np.ndarray
    weakest: float = np.nan
    n_clusters: int = 0
    rand: float = np.nan
    n_compared: int = 0
    rand_note: str = ""
    note: str = ""


def _found(model: xr.Dataset, scores: xr.Dataset, table: pd.DataFrame, n_null: int, seed: int) -> _Found:
    names = pd.Index(model.indexes["subtype"])
    reference, patients = Reference.of(model), Patients.of(model, scores)
    factors = np.median(patients.sd, axis=0) < 1
    rows = (patients.sd[:, factors] < 1).all(axis=1) & factors.any()
    unknown, n_known = np.full(len(names), np.nan), int(rows.sum())
    if n_known < FEWEST:
        note = f"{n_known} patients are known well enough, {FEWEST} are needed"
        return _Found(n_known, _InGroup(unknown, unknown, unknown, unknown), unknown, unknown, note=note)
    label = names.get_indexer(pd.Index(table["nearest"]))[rows]
    group = np.where(table["outside"].to_numpy()[rows] == 1, len(names), label)
    neighbour = _neighbours(patients.z[rows], reference, factors)
    assigned = (table["label"] != UNASSIGNED).to_numpy()[rows]
    known = _Known(patients.take(rows), reference, factors, label, group, neighbour, assigned)
    against = _against_cluster_free(known, n_null, seed)
    found = _Found(n_known, against, _against_permuted(known, n_null, seed), unknown)
    chosen = scores.sel(factor=model.indexes["factor"]).isel(sample=rows, factor=factors)
    return _against_itself(found, known, chosen, seed)


def _against_itself(found: _Found, known: _Known, scores: xr.Dataset, seed: int) -> _Found:
    """Add the agreement with the clusters of the cohort by itself."""
    n_subtypes, inside = len(known.reference.mixing), known.group < len(known.reference.mixing)
    number = n_subtypes + int((~inside).sum() >= max(FEWEST, MANY_OUTSIDE * len(inside)))
    own, note = _cluster(scores, number, seed)
    if own is None:
        return found._replace(note=note)
    strength, weakest = prediction_strength(own, known.group, n_subtypes)
    found = found._replace(strength=strength, weakest=weakest, n_clusters=number)
    return _with_rand(found, known.label[known.assigned], own[known.assigned])


def _with_rand(found: _Found, label: np.ndarray, own: np.ndarray) -> _Found:
    """Add the Rand index of the assigned patients; of a few, or of one group, it is 1 or 0 whatever they are."""
    n, n_groups = len(label), len(np.unique(label))
    if n < FEWEST or n_groups < 2:
        note = f"no adjusted Rand index: {n} patients are assigned, to {n_groups} subtypes; {FEWEST} and 2 are needed"
        return found._replace(n_compared=n, rand_note=note)
    return found._replace(n_compared=n, rand=float(adjusted_rand_score(label, own)))


def _cluster(scores: xr.Dataset, number: int, seed: int) -> tuple[np.ndarray | None, str]:
    """The cohort by itself: cluster of each patient, or why it has none."""
    score = scores["score"].compute()
    varies = (score.max("sample") > score.min("sample")).to_numpy()
    if not varies.any():
        return None, "no factor varies"
    try:
        fitted = Subtypes(n_subtypes=number, n_resamples=2, n_null=1, random_state=seed).fit(scores.isel(factor=varies))
    except DataError as error:
        return None, f"not clustered by itself: {error.what}"
    return pd.factorize(fitted.labels_.loc[scores.indexes["sample"]], sort=True)[0], ""


def prediction_strength(own: np.ndarray, group: np.ndarray, n_groups: int) -> tuple[np.ndarray, float]:
    r"""How far clusters of the new cohort stay together in the reference's found.

    .. math:: s_i = \frac{1}{n_{c(i)} - 1} \sum_{j \ne i,\, c(j) = c(i)} [g_j = g_i]

    is the strength of a patient: the share of the others in his cluster c who are in his group g. Its mean over a
    cluster is the share of the cluster's pairs whom the reference also puts together; its mean over a group says how
    well the cohort, left to itself, keeps that group from others.

    Parameters
    ----------
    own : numpy.ndarray of int, shape (sample,)
        Cluster of each patient, from 0.
    group : numpy.ndarray of int, shape (sample,)
        Group of each patient, from 0.
    n_groups : int
        Number of groups for which an answer is wanted; those of larger number count as others do.

    Returns
    -------
    numpy.ndarray, shape (n_groups,)
        Mean over each group; NaN for one that is empty or alone in its clusters.
    float
        Smallest mean over a cluster of at least two.
    """
    together = np.zeros((own.max() + 1, max(n_groups, group.max() + 1)))
    np.add.at(together, (own, group), 1)
    others = together.sum(axis=1)[own] - 1
    pairs = others > 0
    own, group, strength = own[pairs], group[pairs], (together[own, group][pairs] - 1) / others[pairs]
    by_group = np.array([strength[group == k].mean() if (group == k).any() else np.nan for k in range(n_groups)])
    by_cluster = [strength[own == c].mean() for c in np.unique(own)]
    return by_group, float(min(by_cluster, default=np.nan))


# --- in-group proportion ------------------------------------------------------------------------------------------


def _against_cluster_free(known: _Known, n_null: int, seed: int) -> _InGroup:
    """Compare with cohorts without clusters; here outside is a group, there nobody is.

    Those within the limits have no more neighbours of their own group than all who are nearest to it, as a rule, so
    this is not too favourable. A cohort in which a group is too small has no proportion of it, and speaks neither for
    nor against the group.
    """
    n_subtypes = len(known.reference.mixing)
    observed, best = (_above_chance(known.group, near, n_subtypes) for near in (known.neighbour, None))
    free = np.array(each(_cluster_free, range(n_null), known, [seed]))
    share = in_group_proportion(known.group, known.neighbour, n_subtypes)
    n_free = np.isfinite(free).sum(axis=0)
    p_value, least = ((1 + (free >= value).sum(axis=0)) / (1 + n_free) for value in (observed, best))
    there = np.isfinite(observed)
    return _InGroup(share, np.where(there, p_value, np.nan), np.where(there, least, np.nan), n_free)


def _against_permuted(known: _Known, n_null: int, seed: int) -> np.ndarray:
    """P-value of the same against permuted centres; nobody is outside, or most would be with other centres."""
    rng = np.random.default_rng([seed, PERMUTED_STREAM])
    observed = _above_chance(known.label, known.neighbour, len(known.reference.mixing))
    pool = np.concatenate([_permuted(known, rng) for _ in range(n_null)])
    pool = np.sort(pool[np.isfinite(pool)])  # whatever subtype they are of: chance is taken off
    p_value = (1 + len(pool) - np.searchsorted(pool, observed)) / (1 + len(pool))
    return np.where(np.isfinite(observed), p_value, np.nan)


def in_group_proportion(label: np.ndarray, neighbour: np.ndarray, n_groups: int) -> np.ndarray:
    """Share of the patients of each group whose nearest neighbour is in it.

    Parameters
    ----------
    label : numpy.ndarray of int, shape (sample,)
        Group of each patient, from 0.
    neighbour : numpy.ndarray of int, shape (sample,)
        Position of each patient's nearest neighbour.
    n_groups : int
        Number of groups for which an answer is wanted; those of larger number count as others do.

    Returns
    -------
    numpy.ndarray, shape (n_groups,)
        NaN for an empty group.
    """
    same = np.bincount(label, weights=label[neighbour] == label, minlength=n_groups)[:n_groups]
    size = np.bincount(label, minlength=n_groups)[:n_groups]
    return np.where(size > 0, same / np.maximum(size, 1), np.nan)


def _above_chance(label: np.ndarray, neighbour: np.ndarray | None, n_groups: int) -> np.ndarray:
    """In-group proportion less what labels dealt out at random would give, 1 at most; NaN for a group below a pair.

    Without `neighbour`, what it would be if every patient had his in his own group.
    """
    size = np.bincount(label, minlength=n_groups)[:n_groups]
    by_chance = (size - 1) / (len(label) - 1)
    share = np.ones(n_groups) if neighbour is None else in_group_proportion(label, neighbour, n_groups)
    above = (share - by_chance) / np.where(by_chance >= 1, 1.0, 1 - by_chance)
    return np.where(size < PAIR, np.nan, above)


def _neighbours(z: np.ndarray, reference: Reference, factors: np.ndarray) -> np.ndarray:
    """Nearest other patient of each, in units of the spread within subtypes."""
    root = np.linalg.cholesky(reference.covariance[np.ix_(factors, factors)])
    point = np.linalg.solve(root, z[:, factors].T).T
    first, second = cKDTree(point).query(point, k=2)[1].T
    return np.where(first == np.arange(len(z)), second, first)  # a patient with a double may not be his own first


@threadpool_limits.wrap(limits=1)
def _cluster_free(index: int, known: _Known, seed: list[int]) -> np.ndarray:
    """The same proportion in a cohort of one Gaussian with the mean and covariance of this one."""
    rng = np.random.default_rng([*seed, index, FREE_STREAM])
    uncut = known.patients.uncut
    spread, axes = np.linalg.eigh(np.atleast_2d(np.cov(uncut, rowvar=False)))
    drawn = rng.standard_normal(uncut.shape) * np.sqrt(np.maximum(spread, 0)) @ axes.T + uncut.mean(axis=0)
    cut = np.clip(drawn, *known.reference.limits)
    group = most_probable(known.patients._replace(z=cut), known.reference)
    return _above_chance(group, _neighbours(cut, known.reference, known.factors), len(known.reference.mixing))


def _permuted(known: _Known, rng: np.random.Generator) -> np.ndarray:
    """The same proportion with centres of which each factor's entries are dealt out anew to the subtypes."""
    mean = rng.permuted(known.reference.mean, axis=0)
    label = most_probable(known.patients, known.reference._replace(mean=mean))
    return _above_chance(label, known.neighbour, len(mean))


# --- tables -------------------------------------------------------------------------------------------------------


def _subtypes_table(reference: Subtypes, table: pd.DataFrame, found: _Found) -> pd.DataFrame:
    names = [str(name) for name in reference.model_.indexes["subtype"]]
    n, assigned = (table[name].value_counts().reindex(names, fill_value=0) for name in ("nearest", "label"))
    # as new patients are assigned: by the mixture, whatever algorithm found the clusters
    before = reference.probability_.idxmax(axis=1).value_counts().reindex(names, fill_value=0).to_numpy()
    now = table.loc[table["outside"] == 0, "nearest"].value_counts().reindex(names, fill_value=0).to_numpy()
    with_any = n.to_numpy() > 0
    rows = pd.DataFrame(
        {
            "subtype": names,
            "n": n.to_numpy(),
            "assigned": assigned.to_numpy(),
            "unassigned": np.where(with_any, 1 - assigned.to_numpy() / np.maximum(n.to_numpy(), 1), np.nan),
            "share_reference": before / before.sum(),
            "share": now / now.sum() if now.any() else np.nan,
            "share_p_value": _same_shares(before, now),
            "distance": table.groupby("nearest")["distance"].mean().reindex(names).to_numpy(),
            "in_group": found.in_group.share,
            "p_value": found.in_group.p_value,
            "p_permuted": found.p_permuted,
            "prediction_strength": found.strength,
        }
    )
    judged_by = rows.assign(within=now, least_p=found.in_group.least_p, n_free=found.in_group.n_free)
    verdicts = [_verdict(row, len(names), found.note) for row in judged_by.itertuples(index=False)]
    return rows.assign(replicates=[judged for judged, _ in verdicts], verdict=[words for _, words in verdicts])


def _same_shares(before: np.ndarray, now: np.ndarray) -> list[float]:
    """P-value of Fisher's exact test for each group that it has the same share of both counts."""
    if not now.any():
        return [np.nan] * len(now)
    tables = [[[a, before.sum() - a], [b, now.sum() - b]] for a, b in zip(before, now, strict=True)]
    return [float(fisher_exact(table).pvalue) for table in tables]


def _verdict(row: Any, n_subtypes: int, note: str) -> tuple[int, str]:
    """Whether a subtype replicates, and why, by the rules of :func:`replicate`."""
    who = f"{row.assigned} of {row.n} patients nearest to it are assigned"
    why = _not_judged(row, n_subtypes, note)
    if why:
        return -1, f"{row.subtype} cannot be judged: {why}"
    if row.assigned < FEWEST:
        return 0, f"{row.subtype} does not: only {who}"
    neighbours = f"{100 * row.in_group:.0f} % have their nearest neighbour in it (p = {row.p_value:.3f})"
    kept = f"prediction strength {row.prediction_strength:.2f}"
    missed, weak = row.p_value > LEVEL, row.prediction_strength < STRONG
    powerless = row.least_p > LEVEL  # then p is above the level whatever the patients are
    failed = [*([neighbours] if missed and not powerless else []), *([kept] if weak else [])]
    if failed:
        return 0, f"{row.subtype} does not: {who}, but {' and '.join(failed)}"
    if powerless:
        against = f"against the {row.n_free} cohorts without clusters that have the group"
        least = f"the test has no power, as p could be no less than {row.least_p:.3f} {against}"
        return -1, f"{row.subtype} cannot be judged: {who}, {neighbours}, {kept}, but {least}"
    return 1, f"{row.subtype} replicates: {who}, {neighbours}, {kept}"


def _not_judged(row: Any, n_subtypes: int, note: str) -> str:
    """Why nothing can be said of a subtype, whatever its figures are; an empty text if something can."""
    if n_subtypes == 1:
        return "there is no other subtype"
    if row.n < FEWEST:
        return f"patients nearest to it: {row.n}, needed: {FEWEST}"
    if row.assigned < FEWEST:
        between = f"of {row.within} patients within its limit {row.assigned} are assigned, others lie between subtypes"
        return between if row.within >= FEWEST else ""
    if np.isnan(row.p_value) or np.isnan(row.prediction_strength):
        return note or "too few of its patients are known well enough"
    return ""


def _overall_table(table: pd.DataFrame, found: _Found) -> pd.DataFrame:
    row = {
        "n": len(table),
        "n_unassigned": int((table["label"] == UNASSIGNED).sum()),
        "n_outside": int(table["outside"].sum()),
        "n_ambiguous": int(table["ambiguous"].sum()),
        "n_known": found.n_known,
        "n_compared": found.n_compared,
        "own_subtypes": found.n_clusters,
        "ari": found.rand,
        "prediction_strength": found.weakest,
        "note": found.note or found.rand_note,
    }
    return pd.DataFrame([row])


# --- from diagnosis to relapse ------------------------------------------------------------------------------------


def moves(labels_first: pd.Series, labels_second: pd.Series) -> pd.DataFrame:
    """From which subtype to which patients moved who have two samples, at diagnosis and at relapse.

    Parameters
    ----------
    labels_first, labels_second : pandas.Series
        Subtype at diagnosis and at relapse, in the same names, indexed by patient. Who has only one is left out.

    Returns
    -------
    pandas.DataFrame
        ``from, to, n``, ``patients`` (ids with commas between them), and ``stayed``, the share of the patients of
        ``from`` whose subtype is the same at relapse; sorted by both names.

    Raises
    ------
    DataError
        No patient has both, or a patient occurs twice.
    """
    for labels, where in ((labels_first, "labels_first"), (labels_second, "labels_second")):
        if not labels.index.is_unique:
            twice = labels.index[labels.index.duplicated()][0]
            raise DataError(f"patient {twice} occurs twice", where=where, fix="keep one sample of each patient")
    both = pd.concat([labels_first.rename("from"), labels_second.rename("to")], axis=1, join="inner").dropna()
    if both.empty:
        raise DataError("no patient has both samples", where="moves", fix="index both labels by patient, not by sample")
    both = both.astype(str).assign(patient=both.index.astype(str)).sort_values(["from", "to", "patient"])
    stayed = (both["from"] == both["to"]).groupby(both["from"]).mean()
    table = both.groupby(["from", "to"])["patient"].agg(n="size", patients=", ".join).reset_index()
    return table.assign(stayed=table["from"].map(stayed))
