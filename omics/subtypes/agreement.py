"""Agreement of the subtypes with labels that the clinic already has, and with the batch."""

from __future__ import annotations

import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from omics.columns import FEWEST_LEVELS, MOST_LEVELS, as_levels, is_categorical, is_entity, is_text
from omics.schema import refuse_duplicates
from omics.subtypes.matching import known_labels


def agreement(labels: pd.Series, clinical: pd.DataFrame) -> pd.DataFrame:
    """Adjusted Rand index and adjusted mutual information of the subtypes with every categorical clinical column.

    Parameters
    ----------
    labels : pandas.Series
        Subtype of each patient, indexed by sample; one whose label is missing is left out.
    clinical : pandas.DataFrame
        Clinical table, indexed by sample. Its texts, and codes of disease entities, of 2 to 30 levels are compared.

    Returns
    -------
    pandas.DataFrame
        ``label, ari, ami, n``, the best agreement first; a patient without the label is left out.

    Raises
    ------
    DataError
        A sample occurs twice.

    References
    ----------
    Hubert and Arabie (1985), Journal of Classification 2. Vinh, Epps and Bailey (2010), JMLR 11.
    """
    refuse_duplicates(clinical.index, "sample id", "clinical")
    labels = known_labels(labels)
    table = clinical.reindex(labels.index)
    rows = []
    for name in table.columns:
        known = table[name].dropna()
        names = is_text(known) or (is_entity(str(name)) and is_categorical(str(name), known))
        if not (names and FEWEST_LEVELS <= known.nunique() <= MOST_LEVELS):
            continue
        theirs = as_levels(known)
        ours = labels[theirs.index]
        rows.append(
            (str(name), adjusted_rand_score(theirs, ours), adjusted_mutual_info_score(theirs, ours), len(theirs))
        )
    found = pd.DataFrame(rows, columns=["label", "ari", "ami", "n"]).astype({"ari": float, "ami": float, "n": int})
    return found.sort_values(["ari", "label"], ascending=[False, True], ignore_index=True)
