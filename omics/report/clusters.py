"""The section on subtypes: how many, how stable, what they are, and what they mean for outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from omics.cohort import node
from omics.report import figures, patients, reading
from omics.report.content import Cell, Figure, Group, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts
from omics.report.svg import colours
from omics.report.tables import named
from omics.report.words import MISSING, clean, estimate, listing, natural, number, p_value, percent

_MAX_ROWS = 20
#: A patient who belongs to a subtype with a smaller probability is counted as doubtful.
_SURE = 0.8
_N_MARKERS = 5
MODELS = {"cause_specific_cox": "cause-specific Cox", "fine_gray": "Fine-Gray", "cox": "Cox"}
_KINDS = {"technical": "a technical cause", "sex": "sex", "missing data": "missing data"}


def subtypes_section(artefacts: Artefacts) -> Section | None:
    """Sizes, stability, and agreement with what was known before."""
    tree, names = artefacts.subtypes, reading.subtype_names(artefacts.subtypes)
    if tree is None or not names:
        return None
    parts: list[Part] = [
        _sizes(tree, names),
        *_what_they_are(tree),
        Group([*_best_plane(artefacts, names), *_stability(tree, len(names))]),
        *_known_labels(artefacts, names),
        *_markers(tree, names),
    ]
    return Section("subtypes", "Subtypes", _subtypes_lead(len(names), reading.one_group_asked_for(tree)), parts)


def _subtypes_lead(n: int, asked_for: bool) -> str:
    if n == 1 and asked_for:
        return "One group was asked for, so all patients belong to it: whether there are subtypes was not looked at."
    if n == 1:
        return (
            "No structure: no division of the patients was stable in each of its subtypes and so much more stable than "
            "in data without clusters as it takes, so all belong to one group. That is a result, not a failure."
        )
    return (
        f"{n} groups of patients with similar factor scores. Outcome was not used to find them, "
        "so comparing outcome between them is not circular."
    )


def _sizes(tree: xr.DataTree, names: Sequence[str]) -> Table:
    label, colour = reading.labels(tree), colours(names)
    of_each = node(tree, "subtypes")["probability"].transpose("sample", "subtype").to_pandas()
    # of his own subtype: by algorithms other than the mixture, another one may be more probable
    own = of_each.columns.get_indexer(pd.Index(label[of_each.index]))
    probability = pd.Series(of_each.to_numpy()[np.arange(len(own)), own], of_each.index)
    model = reading.dataset(tree, "subtype_model")
    jaccard = {} if model is None else model["jaccard"].to_series().to_dict()
    features = (
        {} if model is None or "jaccard_features" not in model else model["jaccard_features"].to_series().to_dict()
    )
    without = {} if model is None else model["jaccard_factors"].to_series().to_dict()
    rows: list[Row] = []
    for name in names:
        members = label.index[label == name]
        sure = probability.loc[members]
        rows.append(
            [Cell(clean(name), swatch=colour[name]), f"{len(members):,}", percent(len(members) / len(label)),
             number(jaccard.get(name, np.nan)), number(without.get(name, np.nan)),
             number(features.get(name, np.nan)), number(sure.median()),
             f"{(sure < _SURE).sum():,}"]
        )  # fmt: skip
    head = (
        "Subtype",
        "Patients",
        "Share",
        "Stability",
        "Fewer factors",
        "Fewer features",
        "Median probability",
        f"Below {_SURE}",
    )
    note = (
        f"Stability: mean Jaccard index over resampled patients; {figures.STABLE} or more counts as stable. Fewer "
        "factors: the same when a fifth of the factors is left out. Fewer features: the same when the factors are "
        "learnt again without a fifth of the features of each layer. "
        f"Probability: how surely a patient belongs to the subtype; below {_SURE} the assignment is doubtful."
    )
    return Table("Size and stability of the subtypes", head, "lrrrrrrr", rows, note)


def _best_plane(artefacts: Artefacts, names: Sequence[str]) -> list[Figure]:
    """Patients on the two factors that separate the subtypes best."""
    scores, label = reading.scores(artefacts.factors), reading.labels(artefacts.subtypes)
    if scores.shape[1] < 2 or len(names) < 2:
        return []
    best = reading.separation(scores, label).sort_values(ascending=False, kind="stable").iloc[:2]
    first, second = best.index
    drawn = patients.factor_scatter(scores, first, second, label.rename("subtype"), name="subtypes-plane", names=names)
    said = listing([f"{clean(factor)} {percent(share)}" for factor, share in best.items()])
    caption = f"The two factors that separate the subtypes best; share of their variance between subtypes: {said}."
    return [Figure(drawn, caption)]


def _stability(tree: xr.DataTree, chosen: int) -> list[Figure]:
    table = reading.frame(tree, "stability")
    if table is None:
        return []
    shares = json.loads(tree.attrs["subtypes"])["number_shares"]
    sure = listing([f"{k} in {percent(share)}" for k, share in sorted(shares.items(), key=lambda one: -one[1])])
    caption = (
        "How alike two clusterings of resampled patients are, and how well the least stable subtype comes back; 1 is "
        "identical. A number of subtypes counts only if it lies above the grey area, which data without any clusters "
        "reach, and none of its subtypes dissolves. All numbers together must be clear of such data, by a smaller p "
        "the less stable the subtypes are. Of the numbers about as stable as the best, the largest whose least stable "
        f"subtype reaches {figures.STABLE} (dotted) is chosen, or else the largest. Other draws of the resamples would "
        f"choose {sure}."
    )
    return [Figure(figures.stability(table, chosen), caption)]


def _known_labels(artefacts: Artefacts, names: Sequence[str]) -> list[Group]:
    """Agreement with each known label, and the counts for the most telling one."""
    table = reading.frame(artefacts.subtypes, "agreement")
    if table is None or len(names) < 2:
        return []
    rows = [[clean(row.label), number(row.ari), number(row.ami), f"{row.n:,}"] for row in reading.records(table)]
    note = "0: no more alike than by chance; 1: the same groups."
    head = ("Clinical column", "Adjusted Rand index", "Adjusted mutual information", "Patients")
    known = "subtype" if "subtype" in table["label"].to_numpy() else str(table.loc[table["ari"].idxmax(), "label"])
    counts = [_cross_table(artefacts, known, names)] if known in artefacts.clinical else []
    return [Group([Table("Agreement with known labels", head, "lrrr", rows, note), *counts], stacked=True)]


def _cross_table(artefacts: Artefacts, label: str, names: Sequence[str]) -> Table:
    found = reading.labels(artefacts.subtypes)
    known = artefacts.clinical[label].reindex(found.index).dropna().astype(str)
    table = pd.crosstab(known, found.loc[known.index]).reindex(columns=list(names), fill_value=0)
    total = table.sum(axis=1)
    table = table.loc[sorted(table.index, key=lambda level: (-total[level], natural(level)))[:_MAX_ROWS]]
    rows: list[Row] = [
        [clean(level, 40), *(Cell(f"{n:,}" if n else "·", n / max(row.sum(), 1)) for n in row)]
        for level, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return Table(
        f"Patients by known {clean(label)} and subtype found",
        (f"Known {clean(label)}", *(clean(name, 14) for name in names)),
        "l" + "c" * len(names),
        rows,
        "The darker a cell, the larger its share of the row.",
    )


# --- meaning ------------------------------------------------------------------------------------------------------


def _what_they_are(tree: xr.DataTree) -> list[Part]:
    """One sentence for each subtype; a warning where one is no biology."""
    table = reading.frame(tree, "verdicts")
    if table is None:
        return []
    rows: list[Row] = [
        [clean(row.subtype), clean(row.kind), clean(row.sentence, 400)] for row in reading.records(table)
    ]
    note = (
        "By precision and recall of known labels, sites, sex and missing layers; all shares are of these patients, "
        "those without a label among them."
    )
    parts: list[Part] = [Table("What each subtype is", ("Subtype", "Kind", "In words"), "lll", rows, note)]
    caused = table[table["kind"].isin(list(_KINDS))]
    if len(caused):
        said = listing([f"{row.subtype} ({_KINDS[row.kind]})" for row in reading.records(caused)])
        parts.append(Remark(f"Not biology, as far as these data tell: {clean(said, 200)}.", True))
    return parts


def _markers(tree: xr.DataTree, names: Sequence[str]) -> list[Part]:
    """The leading features of each subtype, and how far small panels of them go."""
    table, panels = reading.frame(tree, "markers"), reading.frame(tree, "panels")
    if table is None or panels is None:
        return []
    rows: list[Row] = []
    for (subtype, layer), part in table.groupby(["subtype", "layer"], sort=False):
        best = part.sort_values("rank").head(_N_MARKERS)
        said = [
            f"{named(one.feature, getattr(one, 'gene', ''))} ({number(one.difference, 1)})"
            for one in reading.records(best)
        ]
        rows.append([clean(subtype), clean(layer), ", ".join(said)])
    rows.sort(key=lambda row: (list(names).index(str(row[0])), str(row[1])))
    note = "In brackets: difference of means from all others, in standard deviations within subtypes. Description only."
    tried: list[Row] = [
        [clean(row.layer), f"{row.per_subtype}", number(row.features, 0), percent(row.balanced_accuracy),
         f"{percent(row.worst)} ({clean(row.worst_subtype)})"]
        for row in reading.records(panels)
    ]  # fmt: skip
    head = ("Layer", "For each subtype", "Features", "Recognised, mean of subtypes", "Least")
    return [
        Table("Marker features", ("Subtype", "Layer", "Features"), "lll", rows, note),
        Table("Small panels, chosen and tried in different patients", head, "lrrrr", tried),
    ]


def beyond_what_is_known(tree: xr.DataTree | None) -> list[Part]:
    """Whether subtypes say more about outcome than what is known anyway; supervised groups, labelled as such."""
    parts: list[Part] = []
    tests = reading.frame(tree, "adjusted_tests")
    if tests is not None:
        rows: list[Row] = [
            [figures.ENDPOINTS.get(row.endpoint, (clean(row.endpoint), False))[0], MODELS.get(row.model, row.model),
             "with" if row.adjusted else "alone", p_value(row.p_value), f"{row.n:,}", f"{row.events:,}",
             clean(_given(row.covariates, row.strata), 200), clean(_given(row.left_out, row.remark), 800)]
            for row in reading.records(tests)
        ]  # fmt: skip
        head = ("End point", "Model", "Covariates", "p-value", "Patients", "Events", "Which", "To be known")
        note = (
            "Joint test of all subtypes, alone and beside what is known at diagnosis and the end of induction; "
            "a covariate with which a regression cannot be fitted is left out, and named."
        )
        parts.append(Table("Do the subtypes say more than what is known?", head, "lllrrrll", rows, note))
    return [*parts, *_over_solutions(tree), *_supervised(tree)]


def _given(*texts: object) -> str:
    said = [str(text) for text in texts if isinstance(text, str) and text]
    return "; ".join(said) or MISSING


def _over_solutions(tree: xr.DataTree | None) -> list[Part]:
    tests, solutions = reading.frame(tree, "solution_tests"), reading.frame(tree, "solutions")
    if tests is None or solutions is None or len(solutions) < 2:
        return []
    found = {row.solution: row for row in reading.records(solutions)}
    rows: list[Row] = [
        [clean(row.solution), f"{row.n_groups}", number(found[row.solution].ari),
         figures.ENDPOINTS.get(row.endpoint, (clean(row.endpoint), False))[0], p_value(row.p_value),
         p_value(row.p_adjusted)]
        for row in reading.records(tests)
    ]  # fmt: skip
    head = ("Algorithm", "Subtypes", "Agreement", "End point", "p-value", "Adjusted")
    note = "Agreement: adjusted Rand index with the chosen solution. Adjusted by Holm over all solutions looked at."
    return [Table("Other ways to cluster", head, "lrrlrr", rows, note)]


def _supervised(tree: xr.DataTree | None) -> list[Part]:
    tests = reading.frame(tree, "relapse_tests")
    if tests is None:
        return []
    rows: list[Row] = [
        ["held out" if row.evidence else clean(row.name.replace("_", " ")), f"{row.n_high:,} of {row.n:,}",
         f"{row.events:,}", estimate(row.hazard_ratio, row.lower, row.upper), p_value(row.p_value), clean(row.method),
         clean(row.remark if isinstance(row.remark, str) else "", 400)]
        for row in reading.records(tests)
    ]  # fmt: skip
    head = ("Tested on", "High group", "Events", "Hazard ratio", "p-value, one-sided", "By", "How to read it")
    table = Table("Supervised: patients whom factors of relapse define", head, "lrrrrll", rows)
    return [Remark(clean(str(tests["verdict"].iloc[0]), 800), False), table]
