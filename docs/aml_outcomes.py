"""Competing risks, transplant as it happens, and the course after relapse, in 1,540 adults with AML.

Run ``python docs/aml_outcomes.py CLINICAL.TSV`` with the clinical table of the AMLSG trials (Gerstung et al., Nat Genet
2017;49:332-340; public in gerstung-lab/AML-multistage).
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from omics import outcome


def clinical_table(path: str) -> pd.DataFrame:
    """The columns that omics knows, times in years from diagnosis."""
    raw = pd.read_csv(path, sep="\t", index_col="patient_id")
    years = raw[["Recurrence_date", "Date_LF", "OS", "TPL_date", "CR_date"]] / 365.25
    relapsed = years["Recurrence_date"].notna()
    return pd.DataFrame(
        {
            "event": np.where(relapsed, 1, np.where(raw["Status"] == 1, 2, 0)),
            "event_time": years["Recurrence_date"].where(relapsed, years["Date_LF"]),
            "death": raw["Status"],
            "death_time": years["OS"],
            "refractory": raw["CR_date"].isna().astype(float),
            "transplant_time": years["TPL_date"],
            "age": raw["AOD"],
            "log_wbc": np.log10(raw["wbc"] + 1),
            "risk": raw["M_Risk"],
            "trial": raw["Study"],
        }
    )


def relapse(clinical: pd.DataFrame) -> None:
    """Who relapses, when death in remission competes."""
    first = outcome.endpoint(clinical, "relapse").join(clinical[["risk", "age", "log_wbc", "trial"]]).dropna()
    test = outcome.gray_test(first["time"], first["event"], first["risk"])
    print(f"relapse in {len(first)} patients in remission: Gray's test over the risk groups, p = {test.p_value:.1e}")
    for risk, group in first.groupby("risk"):
        curve = outcome.cumulative_incidence(group["time"], group["event"])
        at = curve[curve["time"] <= 3].iloc[-1]
        print(f"  {risk:15} {len(group):4}  {at['estimate']:.2f} ({at['lower']:.2f} to {at['upper']:.2f}) at 3 years")
    predictors = first[["age", "log_wbc"]]
    cause = outcome.cox(first["time"], first["event"], predictors, cause=1, strata=first["trial"])
    tested = outcome.proportional_hazards_test(
        first["time"], first["event"], predictors, cause=1, strata=first["trial"]
    )
    print("cause-specific Cox regression, by trial")
    print(cause.table.assign(proportional_p=tested["p_value"].to_numpy()[: len(cause.table)]).to_string(index=False))
    print("Fine-Gray regression")
    print(outcome.fine_gray(first["time"], first["event"], predictors).table.to_string(index=False))


def transplant(clinical: pd.DataFrame) -> None:
    """Those who are transplanted lived long enough to be: as a fact of day one, transplant looks protective."""
    known = clinical[["death", "death_time", "age"]].notna().all(axis=1)
    table = clinical[known & ~(clinical["transplant_time"] > clinical["death_time"])]
    ever = pd.DataFrame({"transplant": table["transplant_time"].notna().astype(float), "age": table["age"]})
    naive = outcome.cox(table["death_time"], table["death"], ever).table.iloc[0]
    rows = outcome.transplant_intervals(table["death_time"], table["death"], table["transplant_time"])
    rows = rows[rows["stop"] > rows["start"]]
    then = pd.DataFrame({"transplant": rows["transplant"], "age": table.loc[rows["patient"], "age"].to_numpy()})
    right = outcome.cox(rows["stop"], rows["event"], then, entry=rows["start"]).table.iloc[0]
    print(f"hazard ratio of death, ever transplanted, {len(table)} patients")
    for name, row in (("as if known at diagnosis", naive), ("as it happens", right)):
        print(f"  {name:25} {row['hazard_ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})")


def course_after_relapse(clinical: pd.DataFrame) -> None:
    """Survival after a first relapse, by how early it came."""
    after = outcome.endpoint(clinical, "after_relapse").join(outcome.relapse_timing(clinical).rename("timing"))
    test = outcome.logrank_test(after["time"], after["event"], after["timing"])
    print(f"alive after {len(after)} first relapses: log-rank by when it came, p = {test.p_value:.1e}")
    for timing, group in after.groupby("timing", sort=False):
        curve = outcome.kaplan_meier(group["time"], group["event"])
        at = curve[curve["time"] <= 3].iloc[-1]
        print(f"  {timing:15} {len(group):4}  {at['estimate']:.2f} ({at['lower']:.2f} to {at['upper']:.2f}) at 3 years")


if __name__ == "__main__":
    table = clinical_table(sys.argv[1])
    for part in (relapse, transplant, course_after_relapse):
        part(table)
