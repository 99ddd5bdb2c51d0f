"""The TRIPOD+AI sheet: what each item asks, and what this run can say of it; the rest is for the authors.

References
----------
Collins GS, Moons KGM, Dhiman P, et al. BMJ 2024;385:e078378.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from omics.report import reading
from omics.report.content import Remark, Section, Table
from omics.report.evaluation import FEATURES, METRICS, features_name, model_name
from omics.report.prose import Manifests, many, settings_of
from omics.report.reading import Artefacts
from omics.report.words import clean, count, estimate, listing
from omics.schema import view_names

#: What stands where the run cannot say anything.
AUTHORS = "To be written by the authors."


class Item(NamedTuple):
    """An item of the main checklist, in our own words."""

    number: str
    part: str
    asks: str


ITEMS = tuple(
    Item(*item)
    for item in (
        ("1", "Title", "That a prediction model is developed or evaluated, in whom, and of which outcome."),
        ("2", "Abstract", "A structured summary (TRIPOD+AI has a checklist of its own for abstracts)."),
        ("3a", "Background", "The clinical setting, diagnosis or prognosis, why a model, and which ones exist."),
        ("3b", "Background", "For whom the model is meant, where in their care, and who would use it."),
        ("3c", "Background", "What is known of health inequalities between groups."),
        ("4", "Objectives", "What the study set out to do: develop, evaluate, or both."),
        ("5a", "Data", "Sources of the data for development and for evaluation, why these, how representative."),
        ("5b", "Data", "Dates: first and last patient, end of follow-up."),
        ("6a", "Participants", "Setting, number and place of the centres."),
        ("6b", "Participants", "Who was eligible."),
        ("6c", "Participants", "Treatments received, and how the analysis dealt with them."),
        ("7", "Data preparation", "Processing and quality checks, and whether they were alike in all groups."),
        ("8a", "Outcome", "Its definition and horizon, how and when it was assessed, and why this one."),
        ("8b", "Outcome", "If its assessment needs judgement, who judged."),
        ("8c", "Outcome", "Whether those who assessed it were blinded."),
        ("9a", "Predictors", "How the first set of predictors was chosen, and any selection before modelling."),
        ("9b", "Predictors", "Definition of each, how and when it was measured, and any blinding."),
        ("9c", "Predictors", "If measuring them needs judgement, who judged."),
        ("10", "Sample size", "How it came about, and whether it suffices, with the calculation."),
        ("11", "Missing data", "How they were handled, and why any data were left out."),
        ("12a", "Analysis", "How the data were used for development and evaluation; how they were divided."),
        ("12b", "Analysis", "How predictors entered: form, transformation, scaling."),
        ("12c", "Analysis", "Type of model, all steps of building, tuning, and internal validation."),
        ("12d", "Analysis", "How differences between clusters such as hospitals were handled and measured."),
        ("12e", "Analysis", "Measures and plots of performance, and how models were compared."),
        ("12f", "Analysis", "Any updating of the model, recalibration for one."),
        ("12g", "Analysis", "For evaluation: how the predictions were computed."),
        ("13", "Class imbalance", "Whether and why it was corrected for, and any recalibration afterwards."),
        ("14", "Fairness", "What was done for it, and why."),
        ("15", "Model output", "What the model returns; of classes, how the thresholds were set."),
        ("16", "Training and evaluation", "How the data for the two differ."),
        ("17", "Ethics", "Who approved the study, and consent or its waiver."),
        ("18a", "Open science", "Who paid, and their part in the study."),
        ("18b", "Open science", "Conflicts of interest."),
        ("18c", "Open science", "Where the protocol is, or that there was none."),
        ("18d", "Open science", "Registration, or that there was none."),
        ("18e", "Open science", "How the data can be had."),
        ("18f", "Open science", "How the code can be had."),
        ("19", "Patients and public", "How they took part, or that they did not."),
        ("20a", "Participants", "Flow of the participants, with and without the outcome; follow-up."),
        ("20b", "Participants", "Their characteristics, missing values and events, by source and group."),
        ("20c", "Participants", "For evaluation: how predictors compare with those at development."),
        ("21", "Model development", "Participants and events in each analysis."),
        ("22", "Model specification", "The full model, so that others can predict with it and test it."),
        ("23a", "Performance", "Estimates with intervals, in key subgroups too; plots."),
        ("23b", "Performance", "Differences between clusters, if looked at."),
        ("24", "Model updating", "Results of any updating."),
        ("25", "Interpretation", "What the results mean, fairness included, beside earlier studies."),
        ("26", "Limitations", "Of the study: representativeness, sample size, overfitting, missing data."),
        ("27a", "Usability", "What to do when inputs are poor or missing."),
        ("27b", "Usability", "What users must do and know."),
        ("27c", "Usability", "Next steps, and where the model may apply."),
    )
)


def tripod_section(artefacts: Artefacts, manifests: Manifests) -> Section | None:
    """The sheet; only where a prediction was evaluated."""
    if reading.frame(artefacts.evaluation, "metrics") is None:
        return None
    said = answers(artefacts, manifests)
    rows = [[item.number, item.part, item.asks, said.get(item.number, AUTHORS)] for item in ITEMS]
    open_items = sum(item.number not in said for item in ITEMS)
    lead = (
        "The main checklist of Collins et al., BMJ 2024;385:e078378, in our own words: go by the original when you "
        "submit. The last column says what the files of this run show; it may be part of an answer only."
    )
    remark = Remark(f"{open_items} of {count(len(ITEMS), 'item')} are for the authors.")
    head = ("Item", "On", "What it asks", "What this run provides")
    return Section(
        "tripod", "TRIPOD+AI sheet", lead, [remark, Table("TRIPOD+AI checklist", head, "llll", rows, whole=True)]
    )


def answers(artefacts: Artefacts, manifests: Manifests) -> dict[str, str]:
    """Number of an item -> what the artefacts show of it; items of which they show nothing are left out."""
    found = {number: said(artefacts, manifests) for number, said in _ANSWERS.items()}
    return {number: text for number, text in found.items() if text}


def _asked(artefacts: Artefacts, manifests: Manifests) -> str:
    attrs = {} if artefacts.evaluation is None else artefacts.evaluation.attrs
    asked = clean(attrs.get("question", ""))
    return f"Outcome: {asked}. How and when it was assessed is for the authors." if asked else ""


def _title(artefacts: Artefacts, manifests: Manifests) -> str:
    attrs = {} if artefacts.evaluation is None else artefacts.evaluation.attrs
    asked = clean(attrs.get("question", ""))
    return f"Development with internal validation; outcome: {asked}. The title is for the authors." if asked else ""


def _preparation(artefacts: Artefacts, manifests: Manifests) -> str:
    return "" if artefacts.prepared is None else "See the methods text; groups of patients are for the authors."


def _predictors(artefacts: Artefacts, manifests: Manifests) -> str:
    tree = artefacts.evaluation
    variables = many(None if tree is None else tree.attrs.get("clinical_variables"))
    source = artefacts.source
    layers = [] if source is None else [clean(name) for name in view_names(source)]
    left_out = many(None if tree is None else tree.attrs.get("left_out"))
    said = [f"clinical: {listing(variables)}"] if variables else []
    said += [f"layers: {listing(layers)}"] if layers else []
    said += [f"not used: {listing(left_out)}"] if left_out else []
    whole = "; ".join(said)
    return f"{whole[:1].upper()}{whole[1:]}." if said else ""


def _sample_size(artefacts: Artefacts, manifests: Manifests) -> str:
    table = reading.frame(artefacts.evaluation, "planning")
    if table is None:
        return ""
    said = [
        f"{features_name(row.features).lower()} {row.patients:,} patients, {row.events:,} events, needed {row.needed:,}"
        for row in reading.records(table)
    ]
    return f"By the criteria of Riley et al. (BMJ 2020;368:m441): {'; '.join(said)}."


def _missing(artefacts: Artefacts, manifests: Manifests) -> str:
    if artefacts.factors is None:
        return ""
    return (
        "Patients who lack a layer are kept, and the factor model leaves missing values out of its likelihood. Known "
        "values of clinical characteristics are counted in the cohort's section."
    )


def _division(artefacts: Artefacts, manifests: Manifests) -> str:
    attrs = {} if artefacts.evaluation is None else artefacts.evaluation.attrs
    if attrs.get("n_folds") is None:
        return ""
    inner = settings_of(manifests, "evaluation").get("n_inner")
    more = f", {inner} inner folds" if inner else ""
    return (
        f"Nested cross-validation: {int(attrs['n_folds'])} outer folds{more}, "
        f"{count(int(attrs.get('n_repeats', 1)), 'repeat')}; all that learns is refitted within each fold."
    )


def _models(artefacts: Artefacts, manifests: Manifests) -> str:
    table = reading.frame(artefacts.evaluation, "metrics")
    if table is None:
        return ""
    models = [model_name(name) for name in table["model"].unique()]
    return f"{listing(models)}; settings chosen on inner folds. Reasons for these models are for the authors."


def _clusters(artefacts: Artefacts, manifests: Manifests) -> str:
    used = settings_of(manifests, "evaluation")
    if used.get("leave_out"):
        return f"The groups of '{clean(used['leave_out'])}' were held out one at a time."
    return f"No split divided a group of '{clean(used['group_by'])}'." if used.get("group_by") else ""


def _measures(artefacts: Artefacts, manifests: Manifests) -> str:
    tree = artefacts.evaluation
    table = reading.frame(tree, "metrics")
    if table is None:
        return ""
    said = [METRICS[name][0] for name in METRICS if (table["metric"] == name).any()]
    said += ["calibration plot"] if reading.frame(tree, "calibration") is not None else []
    said += ["decision curve"] if reading.frame(tree, "decision") is not None else []
    said += ["paired differences"] if reading.frame(tree, "differences") is not None else []
    return f"{listing(said)}." if said else ""


def _flow(artefacts: Artefacts, manifests: Manifests) -> str:
    attrs = {} if artefacts.evaluation is None else artefacts.evaluation.attrs
    if not {"patients", "known", "events"} <= set(attrs):
        return ""
    return (
        f"{count(int(attrs['patients']), 'patient')}, outcome at the horizon known in {int(attrs['known']):,}, "
        f"{count(int(attrs['events']), 'event')}. What was dropped before is in the cohort's section."
    )


def _characteristics(artefacts: Artefacts, manifests: Manifests) -> str:
    return "" if artefacts.clinical.empty else "See 'Clinical characteristics'; dates and groups are for the authors."


def _development(artefacts: Artefacts, manifests: Manifests) -> str:
    table = reading.frame(artefacts.evaluation, "metrics")
    if table is None:
        return ""
    each = table.groupby("features", sort=False)[["n", "events"]].max()
    said = [
        f"{features_name(name).lower()} {each.loc[name, 'n']:,} patients and {each.loc[name, 'events']:,} events"
        for name in [*FEATURES, *(n for n in each.index if n not in FEATURES)]
        if name in each.index
    ]
    return f"In all held-out folds together: {'; '.join(said)}."


def _specification(artefacts: Artefacts, manifests: Manifests) -> str:
    digest = str(manifests.get("model", {}).get("digest", ""))[:12]
    return f"The frozen model with digest {digest} predicts new patients (omics predict)." if digest else ""


def _performance(artefacts: Artefacts, manifests: Manifests) -> str:
    table = reading.frame(artefacts.evaluation, "metrics")
    if table is None:
        return ""
    rows = table[(table["metric"] == "auc") & table["estimate"].notna()]
    said = [
        f"{model_name(row.model)}, {features_name(row.features).lower()} {estimate(row.estimate, row.lower, row.upper)}"
        for row in reading.records(rows)
    ]
    return f"AUC with 95 % interval. {'; '.join(said)}. Subgroups are for the authors." if said else ""


def _code(artefacts: Artefacts, manifests: Manifests) -> str:
    versions = sorted(
        {str(v) for m in manifests.values() if (v := ((m.get("run") or {}).get("versions") or {}).get("omics-all"))}
    )
    return f"omics-all {listing(versions)}, GPL-3.0-or-later; settings under Provenance." if versions else ""


_ANSWERS: Mapping[str, Callable[[Artefacts, Manifests], str]] = {
    "1": _title,
    "7": _preparation,
    "8a": _asked,
    "9a": _predictors,
    "10": _sample_size,
    "11": _missing,
    "12a": _division,
    "12c": _models,
    "12d": _clusters,
    "12e": _measures,
    "18f": _code,
    "20a": _flow,
    "20b": _characteristics,
    "21": _development,
    "22": _specification,
    "23a": _performance,
}
