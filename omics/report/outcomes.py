"""The sections on outcome: curves with numbers at risk and tests, and how well relapse was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from omics.report import figures, reading
from omics.report.content import Cell, Figure, Group, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts
from omics.report.svg import colours
from omics.report.words import (
    MISSING,
    clean,
    count,
    estimate,
    interval,
    listing,
    natural,
    number,
    p_value,
    percent_estimate,
)

#: With fewer events than this a comparison is description, not evidence.
FEW_EVENTS = 10
#: Of a difference: with fewer, an interval that just misses 0 would seem to touch it.
DIGITS = 3
#: Longest name of a subtype that fits left of the time axis.
_SHORT = 5
#: Endpoints that set the time at which all are compared: after relapse, follow-up is shorter.
_FROM_DIAGNOSIS = ("relapse", "event_free", "overall")
TESTS = {"gray": "Gray's test", "logrank": "log-rank test"}
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


# --- curves -------------------------------------------------------------------------------------------------------


def curves_section(artefacts: Artefacts) -> Section | None:
    """Relapse, event-free and overall survival by subtype."""
    table, tests = reading.frame(artefacts.subtypes, "curves"), reading.frame(artefacts.subtypes, "tests")
    if table is None:
        return None
    groups = sorted(table["group"].astype(str).unique(), key=natural)
    names = reading.subtype_names(artefacts.subtypes)
    colour = colours([*names, *(g for g in groups if g not in names)])
    ticks = time_ticks(float(table["time"].max()))
    panels = [
        _panel(endpoint, table[table["endpoint"] == endpoint], colour, ticks)
        for endpoint in figures.ENDPOINTS
        if (table["endpoint"] == endpoint).any()
    ]
    parts: list[Part] = []
    if tests is not None:
        parts += [_tests(tests), *_few_events(tests)]
    parts.append(Group([*panels, _at_horizon(table, colour, horizon_of(table))]))
    lead = "Shaded: pointwise 95\N{NO-BREAK SPACE}% bands. Below each figure: patients at risk just before that time."
    if (table["endpoint"] == "relapse").any():
        lead = (
            "Deaths in remission and second malignancies compete with relapse, so its incidence is estimated by "
            f"Aalen-Johansen, not by 1 minus Kaplan-Meier. {lead}"
        )
    title = "Outcome by subtype" if len(groups) > 1 else "Outcome"
    return Section("curves", title, lead, parts)


def _panel(endpoint: str, table: pd.DataFrame, colour: Mapping[str, str], ticks: Sequence[float]) -> Group:
    title = figures.ENDPOINTS[endpoint][0]
    part = dict(list(table.groupby("group", sort=False)))
    present = [group for group in colour if group in part]
    at_risk: list[Row] = [
        [Cell(clean(group, 16), swatch=colour[group]), *map("{:,}".format, at_risk_at(part[group], ticks))]
        for group in present
    ]
    head = ("At risk", *(f"{t:g} y" for t in ticks))
    return Group(
        [
            Figure(figures.curves(endpoint, table, colour, ticks), ""),
            Table(
                f"{title}: numbers at risk",
                head,
                "l" + "n" * len(ticks),
                at_risk,
                compact=True,
                widths=_widths(present, ticks),
            ),
        ],
        stacked=True,
    )


def _widths(names: Sequence[str], ticks: Sequence[float]) -> list[float]:
    """Column widths that set each number below its tick; none where a name is too long for the margin."""
    if max(len(name) for name in names) > _SHORT:
        return []
    left, right = (100 * end for end in figures.TIME_AXIS)
    step = (right - left) / (len(ticks) - 1)
    return [left - step / 2, *[step] * len(ticks)]


def time_ticks(end: float) -> list[float]:
    """Ticks of the time axis from 0 to the end of follow-up: at most eight steps of a readable size."""
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0) if end <= 8 * s), 10.0)
    return [round(float(t), 2) for t in np.arange(0, end + step - 1e-9, step)] if end > 0 else [0.0, step]


def at_risk_at(rows: pd.DataFrame, times: Sequence[float]) -> list[int]:
    """Patients at risk just before each time: those of the first row at or after it, 0 after the last."""
    ordered = rows.sort_values("time", kind="stable")
    n_at_risk = np.append(ordered["at_risk"].to_numpy(), 0)
    return [int(n) for n in n_at_risk[np.searchsorted(ordered["time"].to_numpy(), times, side="left")]]


def horizon_of(table: pd.DataFrame) -> float:
    """Time at which groups are compared in numbers: 5 years, or less if some group is not followed up so long."""
    from_diagnosis = table[table["endpoint"].isin(_FROM_DIAGNOSIS)]
    followed = (table if from_diagnosis.empty else from_diagnosis).groupby(["endpoint", "group"])["time"].max().min()
    return next((h for h in (5.0, 3.0, 2.0, 1.0) if followed >= h), 1.0)


def estimate_at(rows: pd.DataFrame, horizon: float) -> str:
    """Estimate and interval of one curve at the horizon; a dash if it ends before."""
    ordered = rows.sort_values("time", kind="stable")
    if ordered["time"].iloc[-1] < horizon:
        return MISSING
    last = ordered[ordered["time"] <= horizon].iloc[-1]
    if not np.isfinite(last["lower"]):
        return f"{number(100 * last['estimate'], 0)} % (no interval)"
    return percent_estimate(last["estimate"], last["lower"], last["upper"])


def _at_horizon(table: pd.DataFrame, colour: Mapping[str, str], horizon: float) -> Table:
    endpoints = [e for e in figures.ENDPOINTS if (table["endpoint"] == e).any()]
    by = dict(list(table.groupby(["group", "endpoint"], sort=False)))
    rows: list[Row] = [
        [Cell(clean(g), swatch=c), *(estimate_at(by[g, e], horizon) if (g, e) in by else MISSING for e in endpoints)]
        for g, c in colour.items()
        if (table["group"] == g).any()
    ]
    head = ("Subtype", *(figures.ENDPOINTS[e][0] for e in endpoints))
    return Table(f"Estimates at {horizon:g} years, with 95 % intervals", head, "l" + "r" * len(endpoints), rows)


def _tests(tests: pd.DataFrame) -> Table:
    rows = [
        [figures.ENDPOINTS.get(row.endpoint, (clean(row.endpoint), False))[0], TESTS.get(row.test, clean(row.test)),
         f"{number(row.statistic, 1)} (df {row.df})", p_value(row.p_value), f"{row.n:,}", f"{row.events:,}"]
        for row in reading.records(tests)
    ]  # fmt: skip
    note = (
        f"{count(len(rows), 'test')}, not adjusted for each other. A small p-value says that the subtypes differ; "
        "a large one does not say that they are alike."
    )
    head = ("End point", "Test", "Chi-square", "p-value", "Patients", "Events")
    return Table("Do the subtypes differ in outcome?", head, "llrrrr", rows, note)


def _few_events(tests: pd.DataFrame) -> list[Remark]:
    few = tests[tests["events"] < FEW_EVENTS]
    if few.empty:
        return []
    said = listing([f"{figures.ENDPOINTS[row.endpoint][0].lower()} ({row.events})" for row in reading.records(few)])
    return [Remark(f"Fewer than {FEW_EVENTS} events for {said}: read these as description, not as evidence.", True)]


# --- evaluation ---------------------------------------------------------------------------------------------------


def evaluation_section(artefacts: Artefacts) -> Section | None:
    """How well relapse of unseen patients was predicted from clinical data, omics, and both."""
    tree = artefacts.evaluation
    metrics = labelled(reading.frame(tree, "metrics"))
    if tree is None or metrics is None:
        return None
    parts: list[Part] = _sample_size(reading.frame(tree, "planning"))
    auc = metrics[(metrics["metric"] == "auc") & metrics["estimate"].notna()]
    differences = labelled(reading.frame(tree, "differences"))
    drawn = []
    if not auc.empty:
        drawn.append(Figure(_auc_figure(auc), "0.5 is no better than chance, 1 is perfect. Lines: 95 % intervals."))
    if differences is not None and differences["estimate"].notna().any():
        drawn.append(
            Figure(
                _difference_figure(differences.dropna(subset="estimate")),
                "Differences on the same patients; both is clinical + omics. "
                "An interval that covers 0 (dashed) cannot decide which is better. Each interval stands for itself: "
                "they are not adjusted for the number of comparisons.",
            )
        )
    parts.append(Group(drawn))
    parts.append(_metrics(metrics))
    if differences is not None:
        parts.append(_differences(differences))
    if metrics["events"].max() < FEW_EVENTS:
        parts.append(Remark(f"Fewer than {FEW_EVENTS} events: the figures are descriptive only.", warning=True))
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
        [features_name(row.features), clean(row.representation or ""), f"{row.patients:,}", f"{row.events:,}",
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
    rows = []
    for (model, features), part in ordered(metrics).groupby(["model", "features"], sort=False):
        value = {row.metric: estimate(row.estimate, row.lower, row.upper) for row in reading.records(part)}
        n, events = int(part["n"].iloc[0]), int(part["events"].iloc[0])
        rows.append(
            [model_name(model), features_name(features), value.get("auc", MISSING), value.get("brier", MISSING),
             f"{n:,}", f"{events:,}"]
        )  # fmt: skip
    head = ("Model", "Predictors", "AUC (95 % interval)", "Brier score (95 % interval)", "Patients", "Events")
    note = "Brier score: mean squared error of the predicted probability; lower is better."
    return Table("Performance in unseen patients", head, "llrrrr", rows, note)


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
        [model_name(row.model), " vs ".join(compared(row.comparison)), number(row.estimate, DIGITS, signed=True),
         interval(row.lower, row.upper, DIGITS), verdict(row.lower, row.upper)]
        for row in reading.records(differences)
    ]  # fmt: skip
    head = ("Model", "Comparison", "Difference in AUC", "95 % interval", "Conclusion")
    return Table("Paired differences between the rows", head, "llrrl", rows)


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
