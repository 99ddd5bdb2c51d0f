"""The summary on top of the page: key figures and plain sentences, no stronger than the numbers allow."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from omics.report import figures, meaning, reading, replication
from omics.report.clusters import MODELS
from omics.report.evaluation import DIGITS, features_name, labelled, model_name, ordered, verdict
from omics.report.outcomes import FEW_EVENTS, KNOWN_AS, TESTS, estimate_at, horizon_of
from omics.report.reading import Artefacts
from omics.report.words import MISSING, clean, count, estimate, interval, listing, number, p_value, percent

#: Below this p-value a difference is called one.
LEVEL = 0.05
_JUDGED = {
    "first is better": "omics add to the clinical data",
    "second is better": "omics make the prediction worse",
}
_OPEN = "it cannot be concluded that omics add to the clinical data"
_DESCRIPTION = "below the sample size asked for: description, not evidence"
_NO_TYPES = "subtypes found"
_OWED = {
    "cohort": "the cohort: patients, overlap of the layers, what was dropped",
    "factors": "factors: variance explained and leading features",
    "subtypes": "subtypes: sizes, stability, outcome curves",
    "evaluation": "evaluation: how well relapse is predicted",
    "interpretation": "interpretation: what drives factors and subtypes, mutations, what may resist or be targeted, "
    "antigens, toxicity",
    "replication": "replication: whether the subtypes are found in another cohort",
}


def facts(artefacts: Artefacts) -> list[tuple[str, str]]:
    """Key figures with their labels."""
    found: list[tuple[str, str]] = []
    if artefacts.source is not None:
        layers = reading.membership(artefacts.source)
        found += [(f"{len(layers):,}", "patients"), (str(layers.shape[1]), "layers")]
    names = reading.subtype_names(artefacts.subtypes)
    if names:
        none = ("1", "group, as asked for") if reading.one_group_asked_for(artefacts.subtypes) else ("None", _NO_TYPES)
        found.append((str(len(names)), "subtypes") if len(names) > 1 else none)
    test = _first_test(artefacts)
    if test is not None:
        what = figures.ENDPOINTS[test["endpoint"]][0].lower().removeprefix("cumulative incidence of ")
        found.append((p_value(test["p_value"]).removeprefix("p").removeprefix("\N{NO-BREAK SPACE}=").strip(),
                      f"p-value, {what} by subtype"))  # fmt: skip
    auc = _auc(artefacts)
    if auc is not None:
        most_informed = ordered(auc).drop_duplicates("model", keep="last")
        found += [
            (number(row.estimate), f"AUC, {features_name(row.features).lower()} ({clean(row.model)})")
            for row in reading.records(most_informed)
        ]
    return found


def findings(artefacts: Artefacts, manifests: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
    """What was found, in sentences; manifests tell what was made from what."""
    said = [
        _cohort(artefacts),
        _factors(artefacts),
        _subtypes(artefacts),
        _known(artefacts),
        *_outcome(artefacts),
        *_prediction(artefacts),
        *meaning.findings(artefacts.interpretation),
        replication.verdict(artefacts.replication, artefacts.subtypes, manifests),
    ]
    return [sentence for sentence in said if sentence]


def absent(artefacts: Artefacts) -> list[str]:
    """What the page lacks because its artefact was not given, or does not hold it."""
    given = {
        "cohort": artefacts.source,
        "factors": artefacts.factors,
        "subtypes": artefacts.subtypes,
        "evaluation": artefacts.evaluation,
        "interpretation": artefacts.interpretation,
        "replication": artefacts.replication,
    }
    missing = [_OWED[name] for name, tree in given.items() if tree is None]
    if artefacts.subtypes is not None and reading.frame(artefacts.subtypes, "curves") is None:
        missing.append("outcome by subtype: the clinical table has no times to events")
    return missing


def _cohort(artefacts: Artefacts) -> str:
    tree = artefacts.source
    if tree is None:
        return ""
    layers = reading.membership(tree)
    of_each = listing([f"{clean(name)} {layers[name].sum():,}" for name in layers.columns])
    overlap = f"; {layers.all(axis=1).sum():,} have all" if layers.shape[1] > 1 else ""
    return (
        f"{count(len(layers), 'patient')} with at least one of {count(layers.shape[1], 'molecular layer')} "
        f"({of_each}){overlap}."
    )


def _factors(artefacts: Artefacts) -> str:
    explained = reading.dataset(artefacts.factors, "variance")
    if explained is None:
        return ""
    total = explained["r2_total"].to_series()
    said = listing([f"{percent(share)} of {clean(view)}" for view, share in total.items()])
    return f"{count(explained.sizes['factor'], 'factor')} explain {said} (share of the layer's variance)."


def _subtypes(artefacts: Artefacts) -> str:
    names = reading.subtype_names(artefacts.subtypes)
    if not names:
        return ""
    if len(names) == 1 and reading.one_group_asked_for(artefacts.subtypes):
        return "One group was asked for: whether there are subtypes was not looked at."
    if len(names) == 1:
        return "No structure: no division of the patients into subtypes was both stable and beyond chance."
    sizes = reading.labels(artefacts.subtypes).value_counts()
    said = f"{len(names)} subtypes were found, of {sizes.min():,} to {count(int(sizes.max()), 'patient')}"
    stability = reading.frame(artefacts.subtypes, "stability")
    if stability is None or len(names) not in stability.index:
        return f"{said}."
    reached, chance = (float(stability[column].loc[len(names)]) for column in ("stability", "null_upper"))
    compared = (
        f"{said}. Their stability is {number(reached)}; "
        f"95\N{NO-BREAK SPACE}% of data sets without clusters stay below {number(chance)}."
    )
    if reached > chance:
        return compared
    return f"{compared} They are not more stable than chance: it cannot be concluded that there are subtypes."


def _known(artefacts: Artefacts) -> str:
    """How many subtypes are none that is new."""
    table = reading.frame(artefacts.subtypes, "verdicts")
    if table is None:
        return ""
    n = int((table["kind"] == "known").sum())
    verb = "is, or looks like," if n == 1 else "are, or look like,"
    return f"{n:,} of {count(len(table), 'subtype')} {verb} a known one."


def _outcome(artefacts: Artefacts) -> list[str]:
    test = _first_test(artefacts)
    if test is None:
        return []
    title = figures.ENDPOINTS[test["endpoint"]][0]
    name = title[0].lower() + title[1:]
    based = (
        f"{TESTS.get(test['test'], clean(test['test']))}, {p_value(test['p_value'])}; "
        f"{count(test['n'], 'patient')}, {count(test['events'], 'event')}"
    )
    if np.isfinite(test["p_value"]) and test["p_value"] < LEVEL:
        said = f"The {name} differs between the subtypes ({based}){_range(artefacts, test['endpoint'])}."
    else:
        said = f"A difference in the {name} between the subtypes was not shown ({based}). That is not proof of none."
    few = test["events"] < FEW_EVENTS
    described = " With so few events this is a description, not evidence." if few else ""
    return [said + described + _beside(artefacts, test["endpoint"])]


def _beside(artefacts: Artefacts, endpoint: str) -> str:
    """Whether subtypes say more about the end point than what is known; the first of :data:`MODELS` that was tried."""
    table = reading.frame(artefacts.subtypes, "adjusted_tests")
    if table is None:
        return ""
    rows = table[(table["adjusted"] == 1) & (table["endpoint"] == endpoint)]
    row = next((row for model in MODELS for row in reading.records(rows[rows["model"] == model])), None)
    if row is None:
        return ""
    columns = [one.strip() for text in (row.covariates, row.strata) if isinstance(text, str) for one in text.split(",")]
    named = [KNOWN_AS.get(one, clean(one, 40)) for one in columns if one]
    known = f"what is known ({listing(named)})" if named else "what is known"
    if not np.isfinite(row.p_value):
        return f" They could not be tested beside {known} by {MODELS[row.model]} regression."
    if not named:
        return " Nothing else that is known could be put beside them in a regression."
    return f" Beside {known}: {p_value(row.p_value)} ({MODELS[row.model]} regression)."


def _range(artefacts: Artefacts, endpoint: str) -> str:
    """The lowest and highest estimate of the endpoint."""
    table = reading.frame(artefacts.subtypes, "curves")
    if table is None:
        return ""
    horizon = horizon_of(table)
    rows = table[(table["endpoint"] == endpoint) & (table["time"] <= horizon)].sort_values("time", kind="stable")
    last = rows.groupby("group").last()["estimate"]
    whole = table[table["endpoint"] == endpoint]
    ends = [(g, estimate_at(whole[whole["group"] == g], horizon)) for g in (last.idxmin(), last.idxmax())]
    if any(said == MISSING for _, said in ends):
        return ""
    low, high = (f"{said} in {clean(group)}" for group, said in ends)
    return f": at {horizon:g} years from {low} to {high}"


def _prediction(artefacts: Artefacts) -> list[str]:
    auc = _auc(artefacts)
    if auc is None:
        return []
    said = []
    tree = artefacts.evaluation
    endpoint = (
        clean("relapse" if tree is None else tree.attrs.get("endpoint", "relapse")).replace("_", " ").capitalize()
    )
    for model, rows in ordered(auc).groupby("model", sort=False):
        each = [
            f"{features_name(row.features).lower()} {estimate(row.estimate, row.lower, row.upper)}"
            for row in reading.records(rows)
        ]
        n, events = int(rows["n"].iloc[0]), int(rows["events"].iloc[0])
        said.append(
            f"{endpoint} in unseen patients, {model_name(model).lower()}: AUC {listing(each)} "
            f"({count(n, 'patient')}, {count(events, 'event')}; 95\N{NO-BREAK SPACE}% intervals in brackets)."
            + _chance(rows)
        )
    return [*said, _added_value(artefacts)]


def _chance(rows: pd.DataFrame) -> str:
    """Which predictions cannot be told from chance."""
    unclear = [features_name(row.features).lower() for row in reading.records(rows) if row.lower <= 0.5]
    if not unclear:
        return ""
    return f" The interval of {listing(unclear)} is not clear of 0.5: it cannot be told from chance."


def _added_value(artefacts: Artefacts) -> str:
    """Whether omics add to what the clinic knows, as far as the paired differences and the sample size tell."""
    table = labelled(reading.frame(artefacts.evaluation, "differences"))
    if table is None:
        return ""
    words = table["comparison"].astype(str)
    asked = (table["metric"] == "auc") & words.str.startswith("both") & words.str.contains("clinical")
    by_verdict: dict[str, list[str]] = {}
    for row in reading.records(table[asked].drop_duplicates("model")):
        by = f"{number(row.estimate, DIGITS, signed=True)} ({interval(row.lower, row.upper, DIGITS)})"
        judged = _JUDGED.get(verdict(row.lower, row.upper), _OPEN)
        by_verdict.setdefault(judged, []).append(f"by {by} in {model_name(row.model).lower()}")
    if not by_verdict:
        return ""
    small = _too_small(artefacts)
    where, limit = ("in these patients ", f", {_DESCRIPTION}") if small else ("", "")
    said = [f"{listing(models)}: {'' if judged == _OPEN else where}{judged}" for judged, models in by_verdict.items()]
    return f"Adding omics changes the AUC {'; '.join(said)}{limit}."


def _too_small(artefacts: Artefacts) -> bool:
    """Whether there are fewer patients than the criteria ask for a model of clinical data and omics."""
    planning = reading.frame(artefacts.evaluation, "planning")
    if planning is None:
        return False
    both = planning[planning["features"] == "both"]
    return bool((planning if both.empty else both)["enough"].eq(0).any())


def _first_test(artefacts: Artefacts) -> dict[Hashable, Any] | None:
    """The test of relapse, or of the next endpoint where relapse has none."""
    tests = reading.frame(artefacts.subtypes, "tests")
    if tests is None:
        return None
    by_endpoint = {test["endpoint"]: test for test in tests.to_dict("records")}
    return next((by_endpoint[endpoint] for endpoint in figures.ENDPOINTS if endpoint in by_endpoint), None)


def _auc(artefacts: Artefacts) -> pd.DataFrame | None:
    metrics = labelled(reading.frame(artefacts.evaluation, "metrics"))
    if metrics is None:
        return None
    auc = metrics[(metrics["metric"] == "auc") & metrics["estimate"].notna()]
    return None if auc.empty else auc
