"""The page of one patient: what a model predicts, from what, how good it is, and what lesions may mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from omics.report import reading
from omics.report.content import Cell, Figure, Group, Page, Part, Remark, Row, Section, Table
from omics.report.evaluation import FEATURES, METRICS, MODELS
from omics.report.page import render
from omics.report.svg import ACCENT, INK, PALETTE, SOFT, draw, fitted
from omics.report.words import MISSING, clean, count, estimate, interval, listing, number, percent

#: A patient who belongs to a subtype with a smaller probability is doubtful.
_SURE = 0.8
#: Predictors that are drawn; the table has all.
_DRAWN = 10
#: A contribution that is smaller adds nothing that anyone would see.
_NOTHING = 5e-4
#: What a view says of a lesion that is not the one its table means, and of what was not looked at.
_NO, _NOT_MEASURED = "no", "not measured"
_NO_LESION = "no lesion shows it"
_TARGETS = {
    "Agents": ["agents"],
    "Target and status": ["target", "status", "region", "status_date"],
    "Meant is": ["indication"],
}
_COMPARED = ("auc", "calibration_slope", "calibration_intercept", "observed_expected", "brier")


@dataclass(frozen=True)
class Patient:
    """What the page of a patient is made of.

    Attributes
    ----------
    sample : str
        Id of the patient.
    prediction : mapping
        The patient's row of :func:`omics.predict.predict`.
    subtypes : pandas.Series
        Probability of each subtype; empty where the model has none.
    predictors : pandas.DataFrame
        One row a predictor: ``predictor, given, value, mean, median, low, high, below, share, contribution``.
    scale : str
        What contributions are measured in; empty where the model has no linear predictor.
    card : mapping
        Card of the model.
    lesions, resistance, targets, pharmacogenes : pandas.DataFrame
        Lesions of the patient; rows of the views of patients; what to test in the germline.
    sources : mapping of str to (bool, str)
        Kind of lesion -> whether it was looked for, and where or why not.
    provenance : sequence of (str, str)
        Digests and versions.
    """

    sample: str
    prediction: Mapping[str, Any]
    subtypes: pd.Series
    predictors: pd.DataFrame
    scale: str
    card: Mapping[str, Any]
    lesions: pd.DataFrame
    resistance: pd.DataFrame
    targets: pd.DataFrame
    pharmacogenes: pd.DataFrame
    sources: Mapping[str, tuple[bool, str]]
    provenance: Sequence[tuple[str, str]]

    @property
    def outside(self) -> str:
        """Why the model abstains; empty where it answers."""
        return str(self.prediction["outside"])

    @property
    def performance(self) -> pd.DataFrame:
        """Figures of the card, by metric; empty where it quotes none."""
        columns = ["metric", "estimate", "lower", "upper", "n", "events"]
        rows = pd.DataFrame(list(self.card["performance"]), columns=columns).set_index("metric")
        return rows.astype(float)


def patient_page(patient: Patient) -> str:
    """One self-contained HTML page of a patient: the same bytes for the same input.

    Parameters
    ----------
    patient : Patient
        What is known of the patient and of the model.

    Returns
    -------
    str
        The page; what goes on it is of this patient, or of the training patients together.
    """
    sections = [_verdict(patient), _predictors(patient), _lesions(patient), _card(patient)]
    title = f"Patient {clean(patient.sample, 80)}"
    return render(Page(title, _facts(patient), _findings(patient), sections))


# --- summary --------------------------------------------------------------------------------------------------------


def _facts(patient: Patient) -> list[tuple[str, str]]:
    one, outcome = patient.prediction, clean(patient.card["outcome"])
    if patient.outside:
        facts = [("no answer", f"risk of {outcome}: the patient is outside of what the model knows")]
    else:
        span = interval(100 * one["lower"], 100 * one["upper"], 0)
        facts = [(percent(one["probability"]), f"predicted risk of {outcome}; what is not known leaves {span} % open")]
    if len(patient.subtypes):
        best = patient.subtypes.idxmax()
        facts.append((clean(best, 20), f"most probable subtype, probability {number(patient.subtypes.max())}"))
    known = list(patient.card["layers"])
    if known:
        facts.append((f"{len(_measured(patient))} of {len(known)}", "layers of the model measured in the patient"))
    if "auc" in patient.performance.index:
        value, lower, upper = _numbers(patient.performance, "auc")
        ends = f" ({interval(lower, upper)})" if np.isfinite(lower) else ""
        facts.append((number(value), f"AUC in held-out patients of the training cohort{ends}"))
    return facts


def _measured(patient: Patient) -> list[str]:
    return [name for name in str(patient.prediction["layers"]).split(", ") if name]


def _findings(patient: Patient) -> list[str]:
    lacks = [clean(name, 40) for name in str(patient.prediction["missing"]).split(", ") if name]
    leads = [_leads(table)["gene"].nunique() for table in (patient.resistance, patient.targets)]
    found = (
        f"Lesions of {count(leads[0], 'gene')} may let blasts resist a drug, and of {count(leads[1], 'gene')} may be "
        "targeted or mark a target"
    )
    said = [
        f"Not known of the patient: {listing(lacks)}." if lacks else "All that the model knows of was measured.",
        _trust(patient),
        f"{found if any(leads) else 'No lesion that the tables name'}; {_unseen(patient)}",
    ]
    if len(patient.subtypes) and patient.subtypes.max() < _SURE:
        said.append(f"The subtype is doubtful: no probability reaches {number(_SURE, 1)}.")
    return said


def _trust(patient: Patient) -> str:
    card, figures = patient.card, patient.performance
    learnt = f"learnt from {count(card['known_outcome'], 'patient')} with {count(card['events'], 'event')}"
    if "auc" not in figures.index:
        return f"The model was {learnt}. Its card quotes no evaluation, so that how good it is is not known."
    auc, slope = (_figure(figures, name) for name in ("auc", "calibration_slope"))
    return (
        f"The model was {learnt}, and judged by cross-validation in the same cohort, in no other: AUC {auc}, "
        f"calibration slope {slope}."
    )


def _numbers(figures: pd.DataFrame, name: str) -> tuple[float, float, float]:
    value, lower, upper = figures.loc[[name], ["estimate", "lower", "upper"]].to_numpy()[0]
    return float(value), float(lower), float(upper)


def _figure(figures: pd.DataFrame, name: str) -> str:
    if name not in figures.index:
        return MISSING
    value, lower, upper = _numbers(figures, name)
    digits = METRICS[name][1]
    return estimate(value, lower, upper, digits) if np.isfinite(lower) else number(value, digits)


def _unseen(patient: Patient) -> str:
    blind = [name for name, (looked, _) in patient.sources.items() if not looked]
    return f"not looked for: {listing(blind)}." if blind else "mutations, fusions and copy number were looked at."


# --- verdict --------------------------------------------------------------------------------------------------------


def _verdict(patient: Patient) -> Section:
    parts: list[Part] = list(_limits(patient))
    answer: list[Part] = [*([] if patient.outside else [Figure(_risk_figure(patient), _RISK)]), _answer(patient)]
    weight: list[Part] = [*([_subtypes(patient)] if len(patient.subtypes) else []), _performance(patient)]
    parts.append(Group([Group(answer, stacked=True), Group(weight, stacked=True)]))
    lead = "What the model answers, and how much weight that bears."
    return Section("verdict", "Verdict", lead, parts)


_RISK = (
    "Square: predicted risk; bar: 95 % of what missing layers and values leave open; that the model is itself "
    "an estimate is not in it. Dashed: share of the training patients of known outcome who had the event."
)


def _limits(patient: Patient) -> list[Remark]:
    card, figures = patient.card, patient.performance
    said = []
    if patient.outside:
        said.append(
            f"The patient is outside of what the model knows: {clean(patient.outside, 400)}. It abstains: the risk "
            "below is what it computes, and is not to be relied on."
        )
    if figures.empty:
        said.append("The model's card quotes no evaluation: nothing is known of how good its predictions are.")
    elif "auc" in figures.index and _numbers(figures, "auc")[1] <= 0.5:
        said.append("The model is not shown to be better than chance: the interval of its AUC holds 0.5.")
    if card["needed"] > card["known_outcome"]:
        said.append(
            f"The model was learnt from {count(card['known_outcome'], 'patient')} of known outcome; for "
            f"{count(card['predictors'], 'candidate predictor')} at least {card['needed']:,} are advised (Riley)."
        )
    return [Remark(text, warning=True) for text in said]


def _answer(patient: Patient) -> Table:
    one, card = patient.prediction, patient.card
    doubt = " (not to be relied on)" if patient.outside else ""
    known = _measured(patient)
    rows: list[Row] = [
        ["Asked", clean(card["outcome"])],
        ["Predicted risk", Cell(f"{percent(one['probability'], 1)}{doubt}", value=one["probability"])],
        ["Interval, from", Cell(percent(one["lower"], 1), value=one["lower"])],
        ["Interval, to", Cell(percent(one["upper"], 1), value=one["upper"])],
        ["In training", f"{card['events']:,} of {card['known_outcome']:,} patients of known outcome had the event"],
        ["Place among training patients", "not told: the model does not record their predicted risks"],
        ["Outside of what the model knows", clean(patient.outside, 400) or "no"],
        ["Layers measured", listing([clean(name, 40) for name in known]) or "none"],
        ["Not known", clean(one["missing"], 400) or "nothing"],
        ["Features of the model there", Cell(percent(one["features"]), value=one["features"])],
    ]
    return Table("The answer", ("What", "Answer"), "ll", rows)


def _subtypes(patient: Patient) -> Table:
    ordered = patient.subtypes.sort_values(ascending=False, kind="stable")
    rows: list[Row] = [[clean(name, 40), Cell(number(value), value=float(value))] for name, value in ordered.items()]
    return Table("Subtype", ("Subtype", "Probability"), "lr", rows, "By the patient's factor scores.", whole=True)


def _performance(patient: Patient) -> Table:
    figures, card = patient.performance, patient.card
    rows = [[METRICS[name][0], _figure(figures, name)] for name in _COMPARED if name in figures.index]
    rows += [
        ["Training patients", f"{card['patients']:,}"],
        ["of them of known outcome", f"{card['known_outcome']:,}"],
        ["of them with the event", f"{card['events']:,}"],
        ["Cross-validated in the training cohort", "yes" if len(figures) else "not quoted"],
        ["Validated in another cohort", "no: the card has no such figures"],
    ]
    note = (
        "With 95 % intervals. A calibration slope below 1 means that high risks are too high and low ones too low; "
        "observed / expected above 1, that risks are too low."
    )
    return Table("How good the model is", ("Figure", "Value"), "lr", rows, note, whole=True)


def _risk_figure(patient: Patient) -> str:
    one, card = patient.prediction, patient.card
    usual = card["events"] / card["known_outcome"]

    def plot(figure: Drawing) -> None:
        axes = figure.subplots()
        axes.axvline(usual, color=SOFT, linewidth=1, linestyle="--", zorder=1)
        axes.plot([one["lower"], one["upper"]], [0, 0], color=ACCENT, linewidth=7, alpha=0.35, solid_capstyle="butt")
        axes.plot([one["probability"]], [0], "s", color=ACCENT, markersize=9, zorder=3)
        near = one["probability"] < 0.85
        axes.annotate(
            percent(one["probability"]), (one["probability"], 0), (5 if near else -5, 9), textcoords="offset points",
            ha="left" if near else "right", fontsize=11, fontweight="bold", color=INK,
        )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(-0.6, 1), yticks=[])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.set_xlabel("predicted risk")

    said = (
        f"Predicted risk {percent(one['probability'])}, {interval(100 * one['lower'], 100 * one['upper'], 0)} % open."
    )
    return draw("risk", f"{said} In training {percent(usual)} had the event.", (4.9, 1.3), plot)


# --- what the model saw ---------------------------------------------------------------------------------------------


def _predictors(patient: Patient) -> Section:
    table = patient.predictors
    parts: list[Part] = []
    if patient.scale:
        total = float(table["contribution"].sum())
        times = "odds" if patient.scale == "log-odds" else "hazard"
        parts.append(Remark(
            f"Contributions add up to {number(total, 3, signed=True)} in {patient.scale}: {number(np.exp(total))} "
            f"times the {times} of a patient with the training mean in every predictor. They tell how the model "
            "comes to its answer, not what causes the outcome."
        ))  # fmt: skip
        drawn = table.loc[table["contribution"].abs().sort_values(ascending=False, kind="stable").index]
        drawn = drawn[drawn["contribution"].abs() >= _NOTHING].iloc[:_DRAWN]
        if len(drawn):
            parts.append(Figure(_contributions_figure(drawn, patient.scale), "What raises and what lowers the risk."))
    else:
        model = _model(patient.card)
        parts.append(Remark(f"The answer is not decomposed: {model} has no linear predictor to take apart."))
    parts.append(_seen(patient))
    lead = (
        "The predictors as the model takes them, beside the patients it was trained on. Its factors are its own: a "
        "number such as Factor1 is not that of a report on the cohort."
    )
    return Section("predictors", "What the model saw", lead, parts)


def _model(card: Mapping[str, Any]) -> str:
    return clean(MODELS.get(card["model"], card["model"]), 60)


def _seen(patient: Patient) -> Table:
    rows: list[Row] = []
    for row in reading.records(patient.predictors):
        own = Cell(number(row.value), value=row.value) if np.isfinite(row.value) else MISSING
        span = interval(row.low, row.high) if np.isfinite(row.low) else MISSING
        place = percent(row.below) if np.isfinite(row.below) else MISSING
        if np.isfinite(row.share):
            place = f"{percent(row.share)} have the same"
        cells: list[Cell | str] = [clean(row.predictor, 60), clean(row.given, 90) or MISSING, own,
                                   number(row.mean), number(row.median), span, place]  # fmt: skip
        said = number(row.contribution, 3, signed=True)
        rows.append([*cells, Cell(said, value=row.contribution)] if patient.scale else cells)
    head = [
        "Predictor",
        "In the file, or led by",
        "In the model",
        "Mean",
        "Median",
        "2 % to 98 %",
        "Training patients below",
    ]
    note = (
        "Mean, median and range are of the training patients. White count and residual disease enter as log10. A dash "
        "in the model's column of a number: not known, the training median stands in."
    )
    if patient.scale:
        head.append("Contribution")
        note += (
            " Contribution: coefficient times (value − training mean); of a text, against the shares of its values in "
            "training."
        )
    return Table("Predictors", head, "llrrrrr" + "r" * bool(patient.scale), rows, note, whole=True)


def _contributions_figure(rows: pd.DataFrame, scale: str) -> str:
    values = rows["contribution"].to_numpy(dtype=float)
    names = [fitted(name, 1.6) for name in rows["predictor"]]

    def plot(figure: Drawing) -> None:
        axes: Axes = figure.subplots()
        place = np.arange(len(values))
        axes.barh(place, values, color=np.where(values > 0, PALETTE[1], ACCENT), height=0.7)
        axes.axvline(0, color=SOFT, linewidth=1)
        for y, value in zip(place, values, strict=True):
            axes.annotate(
                number(value, 2, signed=True), (value, y), (4 if value > 0 else -4, 0), textcoords="offset points",
                ha="left" if value > 0 else "right", va="center", fontsize=8.5, color=INK,
            )  # fmt: skip
        reach = 1.35 * float(np.abs(values).max())
        axes.set(xlim=(-reach, reach), ylim=(len(values) - 0.4, -0.6))
        axes.set_yticks(place, names)
        axes.set_xlabel(f"lowers the risk ← contribution ({scale}) → raises it")

    said = "; ".join(
        f"{clean(name, 40)} {number(value, 2, signed=True)}"
        for name, value in zip(rows["predictor"], values, strict=True)
    )
    return draw("contributions", f"Contributions in {scale}: {said}.", (4.9, 0.9 + 0.25 * len(values)), plot)


# --- lesions --------------------------------------------------------------------------------------------------------


def _lesions(patient: Patient) -> Section:
    looked = [[name, "yes" if yes else "no", clean(said, 200)] for name, (yes, said) in patient.sources.items()]
    parts: list[Part] = [
        Group([Table("What was looked at", ("Lesions", "Looked for", "Where"), "lll", looked), _own(patient.lesions)]),
        _view(patient.resistance, "What may resist", {"Drug": ["drug"], "Meant is": ["alteration"]}),
        _view(patient.targets, "What could be targeted", _TARGETS),
        *_gaps(patient),
        Remark("Antigens for antibodies and CAR-T: this needs a cohort. One patient's expression has no percentile."),
        _germline(patient.pharmacogenes),
    ]  # fmt: skip
    lead = (
        "Rows of knowledge tables that name a lesion of this patient: leads to look into, each with its reference; no "
        "advice on treatment. That nothing is listed means something only where it was looked for."
    )
    return Section("lesions", "Lesions and what they may mean", lead, parts)


def _own(lesions: pd.DataFrame) -> Part:
    rows = [
        [clean(row.gene, 30), clean(row.lesion), clean(row.detail or row.classification, 60) or MISSING,
         clean(row.source, 40)]
        for row in reading.records(lesions)
    ]  # fmt: skip
    if not rows:
        return Remark("No lesion was found where it was looked for.")
    return Table("Lesions of the patient", ("Gene", "Lesion", "Detail", "From"), "llll", rows)


def _leads(view: pd.DataFrame) -> pd.DataFrame:
    """Rows of lesions that are, or may be, what the table means."""
    return view[(view["known"] != _NOT_MEASURED) & (view["agrees"] != _NO)]


def _view(view: pd.DataFrame, title: str, columns: Mapping[str, Sequence[str]]) -> Part:
    """Leads, with columns of their own, each made of some of the view."""
    leads = _leads(view)
    if leads.empty:
        return Remark(f"{title}: no lesion of the patient is one that the tables name.")
    rows = []
    for row in leads.to_dict("records"):
        known = [clean(row[name], 400) for name in ("statement", "caveat") if row[name]] or [clean(row["role"])]
        rows.append([
            _joined([f"{row['gene']} {row['lesion']}", row["detail"]]),
            *(_joined([row[name] for name in names]) for names in columns.values()),
            clean(row["agrees"]), " ".join(known), _joined([row[name] for name in ("evidence", "reference", "origin")]),
        ])  # fmt: skip
    head = ["Lesion", *columns, "Is it this?", "What is known", "Source"]
    other = int(((view["known"] != _NOT_MEASURED) & (view["agrees"] == _NO)).sum())
    note = f"Left out: {count(other, 'row')} on the same genes, of another lesion." if other else ""
    return Table(title, head, "l" * len(head), rows, note, whole=True)


def _joined(texts: Sequence[object]) -> str:
    return ", ".join(filter(None, (clean(text, 120) for text in texts))) or MISSING


def _gaps(patient: Patient) -> list[Table]:
    """What was not looked at in the patient, by kind of lesion."""
    views = (patient.resistance, patient.targets)
    unseen = [view[view["known"] == _NOT_MEASURED] for view in views]
    kinds = list(dict.fromkeys(kind for view in unseen for kind in view["lesion"]))
    rows = [
        [kind or _NO_LESION, *(_genes(view.loc[view["lesion"] == kind, "gene"]) for view in unseen)]
        for kind in sorted(kinds, key=lambda kind: (kind == "", kind))
    ]
    note = (
        f"'{_NO_LESION}': the tables mean lineage, relapse, splicing or expression, which lesions do not tell. A "
        "fusion counts as looked for only where the patient's clinical row names it."
    )
    head = ("Kind of lesion", "May resist: genes", "Targets: genes")
    return [Table("Not measured in this patient", head, "lll", rows, note, whole=True)] if rows else []


def _genes(genes: pd.Series) -> str:
    return ", ".join(clean(gene, 60) for gene in sorted(set(genes))) or MISSING


def _germline(table: pd.DataFrame) -> Table:
    rows = []
    for row in reading.records(table):
        known = " ".join(filter(None, (clean(row.statement, 400), clean(row.caveat, 400))))
        said = [clean(one, 80) for one in (row.drug, row.toxicity, row.gene, row.variant, row.cpic)]
        rows.append([*said, known, _joined([row.reference, row.origin])])
    head = ("Before", "Toxicity", "Gene", "Variant", "Guideline", "What is known", "Source")
    note = "From remission or other normal cells: what blasts show is not what the liver has. Not measured here."
    return Table("Pharmacogenes to test in the germline", head, "l" * len(head), rows, note, whole=True)


# --- card -----------------------------------------------------------------------------------------------------------


def _card(patient: Patient) -> Section:
    card = patient.card
    chosen = ", ".join(f"{clean(name)} = {clean(value)}" for name, value in sorted(card["chosen"].items()))
    versions = ", ".join(f"{clean(name)} {clean(said)}" for name, said in sorted(card["versions"].items()))
    rows: list[Row] = [
        ["Outcome", clean(card["outcome"])],
        ["Event", clean(card["event"])],
        ["Model", f"{_model(card)}, {clean(FEATURES.get(card['features'], card['features'])).lower()}"],
        ["Settings", chosen or "none"],
        ["Layers", listing([clean(name, 40) for name in card["layers"]]) or "none"],
        ["Clinical predictors", listing([clean(name, 40) for name in card["columns"]]) or "none"],
        ["Missing data", clean(card["tripod"]["11 missing data"], 300)],
        ["Not for", clean(card["not_for"], 300)],
        ["Libraries", versions],
    ]
    origin: list[Row] = [[clean(name), clean(said, 400)] for name, said in patient.provenance]
    parts = [
        Table("Model card, excerpt", ("Item", "Content"), "ll", rows, whole=True),
        Table("Versions and hashes", ("What", "Which"), "ll", origin, "Digests are SHA-256.", whole=True),
    ]
    return Section(
        "provenance", "Model card, versions, hashes", "What the model is, and where the answer comes from.", parts
    )
