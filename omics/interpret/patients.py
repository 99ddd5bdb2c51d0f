"""What the views of patients and subtypes share."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from omics.schema import DataError


class View(NamedTuple):
    """An answer, by patient and by subtype.

    Attributes
    ----------
    patients, subtypes : pandas.DataFrame
        Columns as the function says that makes it.
    """

    patients: pd.DataFrame
    subtypes: pd.DataFrame


def labels_of(labels: pd.Series | None, samples: pd.Index) -> pd.Series:
    """Subtype of each sample as text; empty where there is none.

    Raises
    ------
    DataError
        A sample has two labels.
    """
    if labels is None:
        return pd.Series("", samples, dtype=object)
    index = pd.Index(labels.index, dtype=object).astype(str)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"duplicate sample: {twice}", where="labels", fix="every sample must have one label")
    values = labels.set_axis(index).reindex(samples).astype(object)
    return values.where(values.notna(), "").astype(str).astype(object)
