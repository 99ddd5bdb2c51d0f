"""Names of subtypes that last: the subtypes of one run in the names of another run, or of another cohort.

A mixture numbers its subtypes by size, so a few patients more, another seed or another cohort may swap S2 and S3. Here
each subtype takes the name of its partner in a reference, and one that has no partner a name that nobody has had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi

from omics.schema import DataError, UsageError, check, refuse_duplicates
from omics.subtypes.mixture import squared_distance

#: Label of a patient who is in no subtype. It is not a subtype, so it keeps its name.
UNASSIGNED = "unassigned"
#: Two subtypes with a smaller Jaccard index are not the same one.
SAME = 0.5
#: Share of the patients of a subtype who are within its limit.
WITHIN = 0.99
#: A larger share of the patients, or of those of a subtype, who are in the reference too leaves no other cohort.
MANY_SHARED = 0.1


def known_labels(labels: pd.Series, where: str = "labels") -> pd.Series:
    """The labels that are known, as text; a :class:`~omics.schema.DataError` if a sample occurs twice."""
    refuse_duplicates(labels.index, "sample id", where)
    return labels.dropna().astype(str)


def match(labels: pd.Series, reference: pd.Series) -> dict[str, str]:
    r"""Names of the subtypes of one run in terms of another run, by the patients whom they share.

    Partners are one to one and maximise the sum of the Jaccard indices

    .. math:: J_{ab} = |A_a \cap B_b| / |A_a \cup B_b|

    over all pairs with an index of at least 0.5, where A and B are the members of a subtype among the shared
    patients. Smaller indices do not count: two of them could otherwise outweigh, and part, a pair that is the same.

    Parameters
    ----------
    labels, reference : pandas.Series
        Subtype of each patient, indexed by sample. A patient with a missing label has none.

    Returns
    -------
    dict of str to str
        New name of every subtype of `labels`: that of its partner, or ``S<k>`` with the smallest k that no subtype of
        the reference has, the largest subtype first. ``"unassigned"`` stays what it is.

    Raises
    ------
    DataError
        No patient has both labels, or a sample occurs twice.

    References
    ----------
    Kuhn (1955), Naval Research Logistics Quarterly 2: assignment. Hennig (2007), Computational Statistics and Data
    Analysis 52: a Jaccard index above 0.5 is what keeps a cluster from having dissolved.
    """
    ours, theirs = known_labels(labels), known_labels(reference, "reference")
    both = ours.index.intersection(theirs.index)
    if both.empty:
        raise DataError(
            "the two runs share no patient", where="match", fix="compare the centres of the subtypes: match_centres"
        )
    size = ours.value_counts()
    table = pd.crosstab(ours[both].to_numpy(), theirs[both].to_numpy()).astype(float)
    shared = table.to_numpy()
    index = shared / (shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared)
    index = pd.DataFrame(index, table.index, table.columns)
    names, known = _subtypes(size.index), _subtypes(theirs.unique())
    gain = index.reindex(index=names, columns=known, fill_value=0.0).to_numpy()
    return _named(gain, gain >= SAME, names, known, size.reindex(names).to_numpy()) | _kept(size.index)


def match_centres(model: xr.Dataset, reference: xr.Dataset) -> dict[str, str]:
    r"""Names of the subtypes of one cohort in terms of another with whom it shares factors, but no patient.

    .. math:: d_{ab}^2 = (\mu_a - \nu_b)^T \Sigma^{-1} (\mu_a - \nu_b)

    with both centres in the reference's standardised factors and its covariance within subtypes. Two subtypes may be
    partners if the centre of the one is nearer to that of the other than half the way to the next centre of the
    reference, and where a patient of the reference's subtype could be (99 % quantile of the chi distribution).

    Parameters
    ----------
    model, reference : xarray.Dataset
        ``NODES["subtype_model"]`` of both. Factors are matched by name; those that only one has are left out.

    Returns
    -------
    dict of str to str
        As :func:`match`.

    Raises
    ------
    DataError
        A model is not as declared, or they have no factor in common.
    """
    for one, where in ((model, "model"), (reference, "reference")):
        check(one, "subtype_model", where=where)
    factors = sorted(set(model.indexes["factor"]) & set(reference.indexes["factor"]))
    if not factors:
        raise DataError(
            "the two models have no factor in common",
            where="match_centres",
            fix="project both cohorts on the same factor model",
        )
    model, reference = model.sel(factor=factors), reference.sel(factor=factors)
    centre = model["mean"] * model["factor_scale"] + model["factor_mean"]
    ours = ((centre - reference["factor_mean"]) / reference["factor_scale"]).transpose("subtype", "factor").to_numpy()
    theirs, covariance = reference["mean"].to_numpy(), covariance_of(reference)
    reach = np.minimum(chi.ppf(WITHIN, len(factors)), 0.5 * _next_centre(theirs, covariance))
    distance = np.sqrt(squared_distance(ours[:, None] - theirs, covariance))
    names, known = (list(map(str, one.indexes["subtype"])) for one in (model, reference))
    gain = np.maximum(1 - distance / reach, 0.0)
    return _named(gain, distance < reach, names, known, model["mixing"].to_numpy())


def covariance_of(model: xr.Dataset) -> np.ndarray:
    """Covariance within the subtypes of ``NODES["subtype_model"]``, both sides in the order of its factors.

    Raises
    ------
    DataError
        The covariance lacks a factor.
    """
    absent = sorted(set(model.indexes["factor"]) - set(model.indexes["other_factor"]))
    if absent:
        raise DataError(
            f"the covariance lacks factor {', '.join(absent)}",
            where="model",
            fix="give the model as omics subtypes wrote it",
        )
    return np.asarray(model["covariance"].sel(other_factor=model.indexes["factor"]).to_numpy().astype(float))


def rename(labels: pd.Series, mapping: Mapping[str, str]) -> pd.Series:
    """Labels under their new names; a missing label stays missing.

    Raises
    ------
    UsageError
        A label has no new name.
    """
    unknown = sorted(set(labels.dropna()) - set(mapping))
    if unknown:
        raise UsageError(
            f"no new name for {', '.join(map(str, unknown))}",
            where="rename",
            fix="give the mapping that match made for these labels",
        )
    return labels.map(dict(mapping))


def _subtypes(names: Iterable[str]) -> list[str]:
    return sorted(set(names) - {UNASSIGNED})


def _kept(names: Iterable[str]) -> dict[str, str]:
    return {UNASSIGNED: UNASSIGNED} if UNASSIGNED in set(names) else {}


def _next_centre(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Distance from each centre to the nearest other one; infinite if it is alone."""
    distance = np.sqrt(squared_distance(mean[:, None] - mean, covariance))
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def _named(
    gain: np.ndarray, eligible: np.ndarray, names: list[str], known: list[str], size: np.ndarray
) -> dict[str, str]:
    """New names: partners maximise the sum of the gains of eligible pairs; who has none is new, in order of size.

    Parameters
    ----------
    gain : numpy.ndarray, shape (subtype, reference subtype)
        Not negative.
    eligible : numpy.ndarray of bool, shape (subtype, reference subtype)
        Whether the two may be partners.
    names, known : list of str
        Names of the subtypes, and of those of the reference.
    size : numpy.ndarray, shape (subtype,)
        Size of each subtype.
    """
    pairs = zip(*linear_sum_assignment(np.where(eligible, gain, 0.0), maximize=True), strict=True)
    partner = {names[a]: known[b] for a, b in pairs if eligible[a, b]}
    fresh = (name for k in range(1, len(names) + len(known) + 1) if (name := f"S{k}") not in known)
    by_size = [names[i] for i in np.lexsort((np.array(names), -size))]
    new = {name: next(fresh) for name in by_size if name not in partner}
    return {name: partner.get(name) or new[name] for name in names}


def withheld(table: pd.DataFrame, moves: pd.DataFrame | None) -> pd.DataFrame:
    """Take back the verdict of subtypes that were looked for in the patients from whom they come.

    Parameters
    ----------
    table : pandas.DataFrame
        ``NODES["replication"]``.
    moves : pandas.DataFrame or None
        ``NODES["moves"]`` of the same replication, or None where no patient is in the reference.

    Returns
    -------
    pandas.DataFrame
        The same with ``replicates`` -1, and a ``verdict`` that says why, where more than a tenth of all patients, or of
        those assigned to the subtype, are in the reference too.
    """
    if moves is None or moves.empty:
        return table
    shared, n = int(moves["n"].sum()), int(table["n"].sum())  # every patient is nearest to one subtype
    own = moves.groupby("to")["n"].sum().reindex(table["subtype"], fill_value=0).to_numpy()
    everywhere = shared > MANY_SHARED * n
    taken = (table["replicates"] >= 0) & (everywhere | (own > MANY_SHARED * table["assigned"]))
    table = table.astype({"verdict": object})
    for i in table.index[taken]:
        row, here = table.loc[i], own[table.index.get_loc(i)]
        of = f"{shared:,} of {n:,} patients" if everywhere else f"{here:,} of {row['assigned']:,} assigned to it"
        table.loc[i, "verdict"] = f"{row['subtype']} cannot be judged: {of} are in the reference too"
    return table.assign(replicates=table["replicates"].mask(taken, -1))
