"""The section on prediction: sample size first, then how well unseen patients were predicted, and whether it leaked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.report import figures, judgement, reading
from omics.report.content import Figure, Group, Part, Remark, Section, Table
from omics.report.outcomes import FEW_EVENTS
from omics.report.reading import Artefacts
from omics.report.tables import text
from omics.report.words import MISSING, clean, count, estimate, interval, listing, number, p_value, percent

#: Of a difference: with fewer, an interval that just misses 0 would seem to touch it.
DIGITS = 3
FEATURES = {"clinical": "Clinical only", "omics": "Omics only", "both": "Clinical + omics"}
MODELS = {
    "logistic": "Logistic regression (elastic net)",
    "forest": "Random forest",
    "boosting": "Gradient boosting",
    "coxnet": "Cox regression by cause (elastic net)",
    "survival_forest": "Random survival forest by cause",
    "fine_gray": "Fine-Gray regression",
    "best": "Best by the inner folds",
}
#: What a metric is called, and how many digits it has.
METRICS = {
    "auc": ("AUC", 2),
    "brier": ("Brier score", 3),
    "c_uno": ("Uno's C", 2),
    "c_harrell": ("Harrell's C", 2),
    "ipa": ("Index of prediction accuracy", 2),
    "calibration_slope": ("Calibration slope", 2),
    "calibration_intercept": ("Calibration intercept", 2),
    "observed_expected": ("Observed / expected", 2),
}


def evaluation_section(artefacts: Artefacts) -> Section | None:
    """How well relapse of unseen patients was predicted from clinical data, omics, and both."""
    tree = artefacts.evaluation
    metrics = labelled(reading.frame(tree, "metrics"))
    if tree is None or metrics is None:
        return classes_section(tree)
    parts: list[Part] = _sample_size(reading.frame(tree, "planning"))
    auc = metrics[(metrics["metric"] == "auc") & metrics["estimate"].notna()]
    differences = labelled(reading.frame(tree, "differences"))
    drawn = []
    if not auc.empty:
        drawn.append(Figure(_auc_figure(auc), "0.5 is no better than chance, 1 is perfect. Lines: 95 % intervals."))
    if differences is not None and differences["estimate"].notna().any():
        drawn.append(
            Figure(
                _difference_figure(differences[differences["metric"] == "auc"].dropna(subset="estimate")),
                "Differences on the same patients; both is clinical + omics. "
                "An interval that covers 0 (dashed) cannot decide which is better. Each interval stands for itself: "
                "they are not adjusted for the number of comparisons.",
            )
        )
    parts.append(Group(drawn))
    parts.append(_metrics(metrics))
    parts += _plots(tree, metrics)
    if differences is not None:
        parts.append(_differences(differences))
    if metrics["events"].max() < FEW_EVENTS:
        parts.append(Remark(f"Fewer than {FEW_EVENTS} events: the figures are descriptive only.", warning=True))
    parts += _permutations(labelled(reading.frame(tree, "permutations")))
    parts += _audit(reading.frame(tree, "audit"))
    parts += _failed(labelled(reading.frame(tree, "folds")))
    return Section("evaluation", f"Prediction of {_endpoint(tree.attrs)}", _evaluation_lead(tree.attrs), parts)


def _endpoint(attrs: Mapping[Any, Any]) -> str:
    return clean(attrs.get("endpoint", "relapse")).replace("_", " ")


def _evaluation_lead(attrs: Mapping[Any, Any]) -> str:
    asked = clean(attrs.get("question", _endpoint(attrs)))
    variables = [clean(v) for v in np.atleast_1d(attrs.get("clinical_variables", []))]
    used = f" Clinical predictors: {listing(variables)}." if variables else ""
    left_out = [clean(v) for v in np.atleast_1d(attrs.get("left_out", []))]
    unused = f" Not used: {listing(left_out)}." if left_out else ""
    return (
        f"{asked[:1].upper()}{asked[1:]}, predicted for patients whom the model had not seen: nested cross-validation "
        f"in which every learning step, factor analysis included, is repeated inside each fold.{used}{unused}"
    )


def _sample_size(planning: pd.DataFrame | None) -> list[Part]:
    """Events, events per parameter and Riley's minimum, before any figure."""
    if planning is None:
        return []
    rows = [
        [features_name(row.features), text(row.representation), f"{row.patients:,}", f"{row.events:,}",
         f"{row.parameters:,}", number(row.events_per_parameter, 1), f"{row.needed:,}", "yes" if row.enough else "no"]
        for row in reading.records(planning)
    ]  # fmt: skip
    head = ("Predictors", "Layers as", "Patients", "Events", "Candidates", "Events per candidate", "Needed", "Enough")
    note = "Needed: the patients that the criteria of Riley et al. (BMJ 2020;368:m441) ask for."
    parts: list[Part] = [Table("Is the cohort large enough?", head, "llrrrrrl", rows, note)]
    if not planning["enough"].all():
        said = "Fewer patients than the criteria ask for: read the figures as description, not as evidence."
        parts.append(Remark(said, warning=True))
    return parts


def rank(features: object) -> int:
    """Order of the three rows: clinical, omics, both, then anything else."""
    return list(FEATURES).index(str(features)) if str(features) in FEATURES else len(FEATURES)


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by model as they come, then clinical, omics, both."""
    first = {model: i for i, model in enumerate(table["model"].unique())}
    keys = table.assign(_model=table["model"].map(first), _rank=table["features"].map(rank))
    return keys.sort_values(["_model", "_rank"], kind="stable").drop(columns=["_model", "_rank"])


def model_name(model: object) -> str:
    """What a reader calls the model."""
    name, _, representation = str(model).partition(" on ")
    return MODELS.get(name, clean(name)) + (f", on {clean(representation)}" if representation else "")


def labelled(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The table with what the layers were turned into as part of the model's name, unless it is factors."""
    if table is None or "representation" not in table:
        return table
    made_of = table["representation"].fillna("").astype(str)
    plain = made_of.isin(["", "factors", "best"])
    return table.assign(model=table["model"].astype(str).where(plain, table["model"].astype(str) + " on " + made_of))


def features_name(features: object) -> str:
    """What a reader calls the set of predictors."""
    return FEATURES.get(str(features), clean(features))


def _auc_figure(auc: pd.DataFrame) -> str:
    rows = ordered(auc)
    table = rows.assign(group=rows["model"].map(model_name), label=rows["features"].map(features_name))
    title = "Area under the ROC curve (AUC)"
    return figures.forest("auc", title, table, reference=0.5, says=("worse than chance", "better"))


def _difference_figure(differences: pd.DataFrame) -> str:
    table = differences.assign(
        group=differences["model"].map(model_name),
        label=[str(comparison).replace(" - ", " vs ") for comparison in differences["comparison"]],
    )
    title = "Difference in AUC"
    return figures.forest(
        "difference", title, table, reference=0.0, says=("second better", "first better"), digits=DIGITS
    )


def _metrics(metrics: pd.DataFrame) -> Table:
    shown = [name for name in METRICS if (metrics["metric"] == name).any()]
    rows = []
    for (model, features), part in ordered(metrics).groupby(["model", "features"], sort=False):
        value = {
            row.metric: estimate(row.estimate, row.lower, row.upper, METRICS[row.metric][1])
            for row in reading.records(part)
            if row.metric in METRICS and np.isfinite(row.estimate)
        }
        n, events = int(part["n"].max()), int(part["events"].max())
        each = [value.get(name, MISSING) for name in shown]
        rows.append([model_name(model), features_name(features), *each, f"{n:,}", f"{events:,}"])
    head = ("Model", "Predictors", *(METRICS[name][0] for name in shown), "Patients", "Events")
    note = (
        "With 95 % intervals. Brier score: mean squared error of the predicted risk, lower is better. Index of "
        "prediction accuracy: by how much it is better than giving everybody the incidence. A calibration slope "
        "below 1 means that high risks are too high and low ones too low; observed / expected above 1, that risks are "
        "too low."
    )
    return Table("Performance in unseen patients", head, "ll" + "r" * (len(shown) + 2), rows, note)


def _plots(tree: xr.DataTree, metrics: pd.DataFrame) -> list[Part]:
    """Calibration and decision curve of the first model that predicts from all rows."""
    calibration, decision = (labelled(reading.frame(tree, name)) for name in ("calibration", "decision"))
    if calibration is None or decision is None:
        return []
    model = metrics["model"].iloc[0]
    rows = [features for features in FEATURES if (calibration["features"] == features).any()]
    chosen = {
        name: {f: table[(table["model"] == model) & (table["features"] == f)] for f in rows}
        for name, table in (("calibration", calibration), ("decision", decision))
    }
    said = f"{model_name(model)}."
    return [
        Group(
            [
                Figure(
                    judgement.calibration({features_name(f): t for f, t in chosen["calibration"].items()}),
                    f"{said} Groups of patients by predicted risk against the incidence observed in them, with 95 % "
                    "intervals; on the line, risks are right.",
                ),
                Figure(
                    judgement.decision({features_name(f): t for f, t in chosen["decision"].items()}),
                    f"{said} Net benefit of treating those whose risk reaches the threshold; a model is of use where "
                    "it lies above both treating all and treating none.",
                ),
            ]
        )
    ]


def _permutations(table: pd.DataFrame | None) -> list[Part]:
    if table is None:
        return []
    rows = [
        [model_name(row.model), features_name(row.features), number(row.estimate), number(row.null_mean),
         number(row.null_upper), p_value(row.p_value)]
        for row in reading.records(ordered(table))
    ]  # fmt: skip
    head = ("Model", "Predictors", "AUC", "Mean by chance", "95 % of chance below", "p-value")
    note = f"Outcomes dealt out anew {int(table['permutations'].max())} times, on the same folds."
    return [Table("What chance gives", head, "llrrrr", rows, note)]


def _audit(table: pd.DataFrame | None) -> list[Part]:
    if table is None:
        return []
    failed = table[table["passed"] == 0]
    rows = [
        [clean(row.check), clean(row.what), "yes" if row.passed else "NO", clean(row.detail)]
        for row in reading.records(table)
    ]
    shown = Table("Audit: did anything leak?", ("Check", "What", "Passed", "Found"), "llll", rows)
    if failed.empty:
        return [Remark(f"The audit found no leak in {count(len(table), 'check')}."), shown]
    return [Remark(f"The audit found a leak: {len(failed)} of {len(table)} checks failed.", warning=True), shown]


def classes_section(tree: xr.DataTree | None) -> Section | None:
    """How well known classes of unseen patients were predicted."""
    metrics, recall = (labelled(reading.frame(tree, name)) for name in ("class_metrics", "class_recall"))
    if tree is None or metrics is None or recall is None:
        return None
    rows = [
        [model_name(row.model), clean(row.metric).replace("_", " "), estimate(row.estimate, row.lower, row.upper)]
        for row in reading.records(metrics)
    ]
    by_class = [
        [model_name(row.model), clean(row.truth), f"{row.n:,}", percent(row.recall), percent(row.precision),
         percent(row.abstained)]
        for row in reading.records(recall)
    ]  # fmt: skip
    lead = (
        f"'{clean(tree.attrs.get('column', 'class'))}' of patients whom the model had not seen. The model abstains "
        "where its calibrated probability is below the threshold that the inner folds chose."
    )
    parts: list[Part] = [
        Table("Performance in unseen patients", ("Model", "Metric", "Estimate (95 % interval)"), "llr", rows),
        Table("By class", ("Model", "Class", "Patients", "Recall", "Precision", "Abstained"), "llrrrr", by_class),
    ]
    small = [clean(name) for name in np.atleast_1d(tree.attrs.get("small", []))]
    if small:
        parts.append(Remark(f"Fewer patients than folds: {listing(small)}; read nothing into their figures.", True))
    return Section("evaluation", "Prediction of known classes", lead, parts)


def compared(comparison: object) -> tuple[str, str]:
    """The two rows that a comparison such as "both - clinical" names."""
    one, _, other = str(comparison).partition(" - ")
    return features_name(one), features_name(other)


def verdict(lower: float, upper: float) -> str:
    """What an interval of a difference allows one to say."""
    if not (np.isfinite(lower) and np.isfinite(upper)):
        return "cannot conclude: no interval"
    if lower <= 0 <= upper:
        return "cannot conclude: the interval covers 0"
    return "first is better" if lower > 0 else "second is better"


def _differences(differences: pd.DataFrame) -> Table:
    rows = [
        [model_name(row.model), " vs ".join(compared(row.comparison)), METRICS[row.metric][0],
         number(row.estimate, DIGITS, signed=True), interval(row.lower, row.upper, DIGITS),
         verdict(row.lower, row.upper)]
        for row in reading.records(differences)
    ]  # fmt: skip
    head = ("Model", "Comparison", "Metric", "Difference", "95 % interval", "Conclusion")
    return Table("Paired differences between the rows", head, "lllrrl", rows)


def _failed(folds: pd.DataFrame | None) -> list[Part]:
    if folds is None:
        return []
    failed = folds[folds["error"].fillna("") != ""]
    if failed.empty:
        return [Remark(f"All {len(folds):,} fits succeeded.")]
    rows = [
        [model_name(model), features_name(features), clean(error), f"{len(part):,}"]
        for (model, features, error), part in failed.groupby(["model", "features", "error"], sort=True)
    ]
    note = f"{len(failed):,} of {len(folds):,} fits failed; their patients have no prediction from that model."
    return [Table("Fits that failed", ("Model", "Predictors", "Error", "Folds"), "lllr", rows, note)]
