"""Mutations beside the clinic and in time, for ``interpret``: their burden, who relapsed, diagnosis against relapse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from omics import interpret, outcome
from omics import read as reading
from omics.schema import DataError, UsageError
from pipelines import config

#: What tells the two samples of a patient, who gives both their name.
_EARLY, _LATE = " at diagnosis", " at relapse"


def burden(calls: pd.DataFrame, sequenced: Sequence[str], megabases: float | None) -> pd.DataFrame:
    """Mutations of each patient, and how far their allele fractions spread where these are known."""
    table = interpret.burden(calls, sequenced, megabases)
    if not ("vaf" in calls or {"t_alt_count", "t_ref_count"} <= set(calls.columns)):
        return table.assign(median_vaf=np.nan, math=np.nan)
    return table.merge(interpret.math_score(calls, sequenced).drop(columns="n"), on="sample")


def relapsed(clinical: pd.DataFrame, horizon: float) -> pd.Series:
    """Whether each patient relapsed by the horizon; those not followed up so far, without relapse, are left out."""
    if "relapse" not in outcome.supported(clinical):
        return pd.Series(dtype=bool)
    table = outcome.endpoint(clinical, "relapse")
    by_then = (table["event"] == 1) & (table["time"] <= horizon)
    known = by_then | (table["time"] > horizon) | (table["event"] > 1)
    return by_then[known]


def evolution(
    calls: pd.DataFrame | None, sequenced: Sequence[str], settings: config.Interpret
) -> dict[str, pd.DataFrame]:
    """Mutations at diagnosis and at relapse: of pairs where they are given, else of two cohorts.

    Raises
    ------
    UsageError
        There are no calls at diagnosis.
    DataError
        A file cannot be read, or a patient of the calls is not in the list.
    """
    path = settings.relapse_mutations
    if path is None:
        return {}
    if calls is None:
        raise UsageError("nothing to compare with", where="--relapse-mutations", fix="give --mutations, at diagnosis")
    how = {"timepoint": "relapse", "on_duplicate": settings.on_duplicate}
    later, listed = reading.read_calls(path, **how), settings.relapse_sequenced
    again = sorted(set(later["sample"])) if listed is None else reading.read_patients(listed, **how)
    unlisted = sorted(set(later["sample"]) - set(again))
    if unlisted:
        raise DataError(
            f"{len(unlisted)} patients of the calls at relapse are not in the list, first {unlisted[0]}",
            where=str(listed),
            fix="complete the list, or leave it out",
        )
    both = sorted(set(sequenced).intersection(again))
    if not both:
        table = interpret.unpaired(calls, sorted(sequenced), later, again)
        return {"evolution_unpaired": table}
    before, after = (one.assign(sample=one["sample"] + time) for one, time in ((calls, _EARLY), (later, _LATE)))
    named = {"diagnosis_sample": [one + _EARLY for one in both], "relapse_sample": [one + _LATE for one in both]}
    pairs = pd.DataFrame({"patient": both, **named})
    found = interpret.evolution(before, after, pairs)
    return {"evolution_genes": found.genes, "evolution_patients": found.patients}
