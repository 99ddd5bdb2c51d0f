"""The section in which a reader looks at the factors alone: any two of them, coloured by anything that is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from omics.report import patients, reading
from omics.report.content import Scatter, Section
from omics.report.embedding import MAX_LEVELS
from omics.report.reading import Artefacts
from omics.schema import EVENT_CODES

_SUBTYPE = "Subtype found"


def explore_section(artefacts: Artefacts) -> Section | None:
    """Patients on any two factors, coloured by subtype, clinical columns, or which layers were measured."""
    scores = reading.scores(artefacts.factors)
    if scores.shape[1] < 2:
        return None
    names = reading.subtype_names(artefacts.subtypes)
    label = reading.labels(artefacts.subtypes).rename("subtype") if len(names) > 1 else None
    first, second = scores.columns[:2]
    part = Scatter(
        "explore-plane",
        "Each mark is a patient. A colour scale ends at the 2nd and 98th percentile. Numbers have four digits.",
        [str(sample) for sample in scores.index],
        {str(factor): scores[factor].to_list() for factor in scores.columns},
        colourings(artefacts, scores.index),
        patients.factor_scatter(scores, first, second, label, name="explore", names=names),
    )
    lead = "Choose the two factors and what colours the patients; point at a mark to see who it is, click to mark it."
    return Section("explore", "Factor plots, coloured by anything", lead, [part])


def colourings(artefacts: Artefacts, samples: pd.Index) -> dict[str, list[float] | list[str]]:
    """What patients may be coloured by: name -> one number or text a patient, in the order of `samples`."""
    found: dict[str, list[float] | list[str]] = {}
    label = reading.labels(artefacts.subtypes)
    if label.nunique() > 1:
        found[_SUBTYPE] = label.reindex(samples).fillna("").to_list()
    for name, column in artefacts.clinical.reindex(samples).items():
        values = _values(str(name), column)
        if values is not None:
            found[str(name)] = values
    if artefacts.source is not None:
        layers = reading.membership(artefacts.source).reindex(samples, fill_value=False)
        for name, has in layers.items():
            if not has.all():
                found[f"{name} measured"] = np.where(has, "yes", "no").tolist()
    return found


def _values(name: str, column: pd.Series) -> list[float] | list[str] | None:
    """Numbers as they are, categories as text; None where a column tells patients apart and not kinds of patients."""
    known = column.dropna()
    if known.nunique() < 2:
        return None
    if name == "event":
        return column.map(EVENT_CODES).fillna("").to_list()
    if pd.api.types.is_numeric_dtype(column):
        if known.isin([0, 1]).all():
            return column.map({0.0: "no", 1.0: "yes"}).fillna("").to_list()
        return column.astype(float).to_list()
    if known.nunique() > max(MAX_LEVELS, len(known) / 2):
        return None
    return [str(value) if isinstance(value, str) else "" for value in column]
