"""From diagnosis to relapse: which mutations are gained, lost and kept, in pairs of samples and between two cohorts.

A gain is a mutation that was not called at diagnosis. It may have been there in a clone too small to be seen, and where
the two time points were sequenced to another depth, or with another panel, gains are made by that. A variant is the
same if its place and alleles are: an internal tandem duplication that is called a few bases away is lost and gained,
and its gene kept, as replaced.

References
----------
McNemar (1947), Psychometrika 12. Fisher (1935), JRSS 98. Benjamini and Hochberg (1995), JRSS B 57.
Tarone (1990), Biometrics 46: tests that cannot be significant are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.interpret.mutation_calls import checked, has_variants, ids, refuse_unknown, typed
from omics.interpret.mutation_tests import mcnemar
from omics.schema import DataError, UsageError
from omics.stats import fisher, odds_ratio, q_values

GAINED, LOST, KEPT = "gained", "lost", "kept"

_PAIR = ("patient", "diagnosis_sample", "relapse_sample")
_GENE_COUNTS = ("n", "n_diagnosis", "n_relapse", "kept", "lost", "gained", "replaced")
_SIDES = ("classification", "vaf")


class Evolution(NamedTuple):
    """What becomes of mutations between two samples of a patient.

    Attributes
    ----------
    genes : pandas.DataFrame
        By p-value: ``gene, n`` pairs, ``n_diagnosis, n_relapse`` patients who carry it then, ``kept, lost, gained``
        patients, ``replaced`` those among the kept who have no variant in common, ``p_value`` of gained against lost,
        ``q_value`` (NaN where too few changed to be tested).
    patients : pandas.DataFrame
        ``patient, gene, status`` (gained, lost or kept), ``n_shared`` variants at both times; NaN where the variants
        are not known.
    variants : pandas.DataFrame
        The same of each variant: ``patient, gene, variant, status, classification_diagnosis,
        classification_relapse`` (empty where it is not there), ``vaf_diagnosis, vaf_relapse`` (NaN). Without the genes
        of a patient for which a call's variant is not known.
    """

    genes: pd.DataFrame
    patients: pd.DataFrame
    variants: pd.DataFrame


def evolution(
    diagnosis_calls: pd.DataFrame,
    relapse_calls: pd.DataFrame,
    pairs: pd.DataFrame,
    sequenced: Iterable[str] | None = None,
    min_changed: int = 6,
) -> Evolution:
    r"""Follow each patient's mutations, and test each gene for being gained more often than lost, or less.

    The test is McNemar's in its exact form. Given the patients in whom a gene changed, each may have gained or lost it
    with the same chance:

    .. math:: p = \min\left(1,\; 2 \sum_{k \le \min(b, c)} \binom{b + c}{k} 2^{-(b + c)}\right), \qquad
              b \text{ gained}, \; c \text{ lost}.

    As it conditions on :math:`b + c`, genes may be chosen by that: the q-values are of genes with at least
    `min_changed`, 6 being the fewest for which `p` can be below 0.05.

    Parameters
    ----------
    diagnosis_calls, relapse_calls : pandas.DataFrame
        One row a call; the altering ones count. The same table may be given twice. Samples that are in no pair are
        left out.
    pairs : pandas.DataFrame
        ``patient, diagnosis_sample, relapse_sample``: both were sequenced, with or without a mutation.
    sequenced : iterable of str, optional
        Ids of all sequenced samples of both times, to check the samples of pairs and calls by.
    min_changed : int
        Fewest patients who gained or lost a gene that has a q-value.

    Returns
    -------
    Evolution

    Raises
    ------
    UsageError
        `min_changed` is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`; a column of the pairs is missing or has a gap, a patient or
        a sample occurs twice, a sample was not sequenced, or none of a time has a call.

    References
    ----------
    McNemar (1947); Tarone (1990); Benjamini and Hochberg (1995).
    """
    if min_changed < 1:
        raise UsageError(f"min_changed is {min_changed}", where="evolution", fix="at least 1")
    paired = _checked_pairs(pairs)
    samples = None if sequenced is None else ids(sequenced)
    if samples is not None:
        refuse_unknown(paired[list(_PAIR[1:])].to_numpy().ravel(), samples, "pairs")
    before = _of_patients(diagnosis_calls, paired, "diagnosis", samples)
    after = _of_patients(relapse_calls, paired, "relapse", samples)
    variants = _variants(before, after, has_variants(diagnosis_calls) and has_variants(relapse_calls))
    patients = _patients(before, after, variants)
    return Evolution(_genes(patients, len(paired), min_changed), patients, variants)


def _checked_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in _PAIR if name not in pairs.columns]
    if missing:
        raise DataError(f"column {', '.join(missing)} is missing", where="pairs", fix=f"pairs have {', '.join(_PAIR)}")
    table = pairs[list(_PAIR)]
    if table.isna().any(axis=None):
        raise DataError("a pair has a gap", where="pairs", fix="leave patients with one sample out")
    table = table.astype(str)
    for noun, values in (("patient", table["patient"]), ("sample", table[list(_PAIR[1:])].stack())):
        if values.duplicated().any():
            twice = values[values.duplicated()].iloc[0]
            raise DataError(f"duplicate {noun}: {twice}", where="pairs", fix="choose one pair of samples a patient")
    return table


def _of_patients(calls: pd.DataFrame, paired: pd.DataFrame, time: str, samples: pd.Index | None) -> pd.DataFrame:
    """Altering calls of the paired samples of that time, by patient."""
    where = f"{time} calls"
    table = checked(calls, samples, where)
    patient = table["sample"].map(paired.set_index(f"{time}_sample")["patient"])
    if len(table) and patient.isna().all():
        raise DataError("no call is of a sample of the pairs", where=where, fix="are the ids those of the calls?")
    return table.assign(patient=patient)[table["altering"] & patient.notna()]


def _status(both: pd.Series) -> pd.Series:
    """In words of the indicator of a merge, diagnosis on the left."""
    return both.astype(str).map({"left_only": LOST, "right_only": GAINED, "both": KEPT}).astype(object)


def _variants(before: pd.DataFrame, after: pd.DataFrame, known: bool) -> pd.DataFrame:
    """What becomes of each variant."""
    key = ["patient", "gene", "variant"]
    left, right = (table[[*key, *_SIDES]].iloc[: None if known else 0] for table in (before, after))
    merged = left.merge(right, on=key, how="outer", suffixes=("_diagnosis", "_relapse"), indicator="status")
    unknown = merged.loc[merged["variant"] == "", key[:2]].drop_duplicates().assign(variant="unknown")
    merged = merged[merged.merge(unknown, on=key[:2], how="left")["variant_y"].isna().to_numpy()]
    merged = merged.assign(status=_status(merged["status"])).sort_values(key, ignore_index=True)
    texts, numbers = (tuple(f"{name}_{time}" for time in ("diagnosis", "relapse")) for name in _SIDES)
    merged = merged[[*key, "status", *texts, *numbers]]
    merged[list(texts)] = merged[list(texts)].astype(object).where(merged[list(texts)].notna(), "")
    return typed(merged, text=(*key, "status", *texts), float=numbers)


def _patients(before: pd.DataFrame, after: pd.DataFrame, variants: pd.DataFrame) -> pd.DataFrame:
    """What becomes of each gene of a patient."""
    key = ["patient", "gene"]
    left, right = (table[key].drop_duplicates() for table in (before, after))
    merged = left.merge(right, on=key, how="outer", indicator="status")
    shared = variants.assign(n_shared=variants["status"] == KEPT).groupby(key, as_index=False)["n_shared"].sum()
    merged = merged.assign(status=_status(merged["status"])).merge(shared, on=key, how="left")
    return typed(merged.sort_values(key, ignore_index=True), text=(*key, "status"), float=("n_shared",))


def _genes(patients: pd.DataFrame, n: int, min_changed: int) -> pd.DataFrame:
    """Counts and the test of each gene."""
    names = pd.Index(sorted(patients["gene"].unique()), dtype=object)
    counts = {
        name: patients.loc[chosen, "gene"].value_counts().reindex(names, fill_value=0).to_numpy()
        for name, chosen in {
            **{status: patients["status"] == status for status in (KEPT, LOST, GAINED)},
            "replaced": (patients["status"] == KEPT) & (patients["n_shared"] == 0),
        }.items()
    }
    gained, lost, kept = counts[GAINED], counts[LOST], counts[KEPT]
    p = mcnemar(gained, lost)
    sides = {"gene": names, "n": n, "n_diagnosis": kept + lost, "n_relapse": kept + gained}
    table = pd.DataFrame(sides | counts)
    table = table.assign(p_value=p, q_value=q_values(np.where(gained + lost >= min_changed, p, np.nan)))
    table = table.assign(changed=gained + lost).sort_values(
        ["p_value", "changed", "kept", "gene"], ascending=[True, False, False, True], ignore_index=True
    )
    return typed(table, text=("gene",), integer=_GENE_COUNTS, float=("p_value", "q_value"))


def unpaired(
    diagnosis_calls: pd.DataFrame,
    diagnosis_sequenced: int | Iterable[str],
    relapse_calls: pd.DataFrame,
    relapse_sequenced: int | Iterable[str],
    min_mutated: int = 3,
) -> pd.DataFrame:
    """Test each gene for other shares of carriers at diagnosis and at relapse, in two cohorts without pairs.

    By Fisher's exact test, which takes all samples to be of different patients: where some are of one, leave one of
    the two out, or look at :func:`evolution`.

    Parameters
    ----------
    diagnosis_calls, relapse_calls : pandas.DataFrame
        One row a call; the altering ones count.
    diagnosis_sequenced, relapse_sequenced : int or iterable of str
        Ids of all sequenced samples; or their number, where the ids are not known.
    min_mutated : int
        Fewest carriers, of both cohorts together, of a gene that is tested.

    Returns
    -------
    pandas.DataFrame
        By p-value: ``gene, n_diagnosis`` carriers, ``diagnosis`` samples, ``n_relapse, relapse, share_diagnosis,
        share_relapse, effect`` (odds ratio of relapse against diagnosis), ``p_value, q_value``.

    Raises
    ------
    UsageError
        `min_mutated` is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`; a number is below that of the samples with a call, or a
        sample is in both cohorts.

    References
    ----------
    Fisher (1935); Benjamini and Hochberg (1995).
    """
    if min_mutated < 1:
        raise UsageError(f"min_mutated is {min_mutated}", where="unpaired", fix="a gene has at least one carrier")
    before, n_before, first = _cohort(diagnosis_calls, diagnosis_sequenced, "diagnosis")
    after, n_after, second = _cohort(relapse_calls, relapse_sequenced, "relapse")
    if len(shared := first.intersection(second)):
        raise DataError(f"{shared[0]} is in both cohorts", where="unpaired", fix="a sample is of one time")
    counts = pd.DataFrame({"n_diagnosis": before, "n_relapse": after}).fillna(0).astype(int)
    counts = counts[counts.sum(axis=1) >= min_mutated].rename_axis("gene").reset_index()
    a, c = counts["n_relapse"].to_numpy(), counts["n_diagnosis"].to_numpy()
    table = counts[["gene", "n_diagnosis"]].assign(
        diagnosis=n_before,
        n_relapse=a,
        relapse=n_after,
        share_diagnosis=c / n_before,
        share_relapse=a / n_after,
        effect=odds_ratio(a, n_after - a, c, n_before - c),
        p_value=fisher(a, np.full(len(a), n_after), a + c, n_before + n_after),
    )
    table["q_value"] = q_values(table["p_value"].to_numpy())
    table = table.sort_values(["p_value", "gene"], ignore_index=True)
    floats = ("share_diagnosis", "share_relapse", "effect", "p_value", "q_value")
    return typed(table, text=("gene",), integer=("n_diagnosis", "diagnosis", "n_relapse", "relapse"), float=floats)


def _cohort(calls: pd.DataFrame, sequenced: int | Iterable[str], time: str) -> tuple[pd.Series, int, pd.Index]:
    """Carriers of each gene, number of samples, and the ids that are known."""
    where = f"{time} calls"
    samples = None if isinstance(sequenced, int | np.integer) else ids(sequenced, f"{time} samples")
    table = checked(calls, samples, where)
    known = pd.Index(table["sample"].unique()) if samples is None else samples
    n = int(sequenced) if isinstance(sequenced, int | np.integer) else len(known)
    if n < max(len(known), 1):
        raise DataError(f"{len(known)} samples have a call, {n} were sequenced", where=where, fix="count the samples")
    return table[table["altering"]].groupby("gene")["sample"].nunique(), n, known
