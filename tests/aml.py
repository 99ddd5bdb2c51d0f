"""Patients with acute myeloid leukaemia, from the public patient data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def first_events(folder: Path) -> pd.DataFrame:
    """Their clinical table, and as `time` the days to the first `event`: 1 relapse, 2 death, 0 end of follow-up."""
    table = pd.read_csv(folder / "aml_outcomes" / "clinical.tsv", sep="\t", index_col="patient_id")
    relapsed = table["Recurrence_date"].notna()
    return table.assign(
        time=table["Recurrence_date"].where(relapsed, table["Date_LF"]),
        event=np.where(relapsed, 1, np.where(table["Status"] == 1, 2, 0)),
    )
