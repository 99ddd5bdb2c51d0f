"""The page: complete, honest, with the numbers of the artefacts, and the same bytes for the same input."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.report.words import listing

Make = Callable[..., Any]
Trees = dict[str, Any]

# --- the page -----------------------------------------------------------------------------------------------------

SECTIONS = [
    "cohort",
    "variance",
    "factors",
    "explore",
    "subtypes",
    "curves",
    "evaluation",
    "methods",
    "tripod",
    "provenance",
]


def test_every_section_is_there_and_every_anchor_leads_somewhere(read: Any) -> None:
    ids = read.ids()
    assert [key for key in ids if key in SECTIONS] == SECTIONS
    targets = [str(attrs["href"])[1:] for _, attrs in read.attributes if "href" in attrs]
    assert set(targets) <= set(ids)


def test_ids_are_unique_although_each_figure_is_drawn_alone(read: Any) -> None:
    ids = read.ids()
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_and_nothing_runs_but_the_script_of_the_page(page: str, read: Any) -> None:
    tags = {tag for tag, _ in read.attributes}
    assert not tags & {"link", "iframe", "object", "embed", "img", "image", "foreignobject", "base", "form"}
    assert [attrs for tag, attrs in read.attributes if tag == "script"] == [{"type": "application/json"}, {}]
    for tag, attrs in read.attributes:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        for name in ("href", "src", "xlink:href"):
            assert str(attrs.get(name) or "#").startswith("#")
    assert not [url for url in re.findall(r"url\(([^)]*)\)", page) if not url.startswith("#")]
    assert "@import" not in page


def test_the_policy_lets_in_the_style_and_the_script_of_the_page_alone(read: Any) -> None:
    policy = next(str(a["content"]) for _, a in read.attributes if a.get("http-equiv") == "Content-Security-Policy")
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    blocks = {tag: "".join(data for where, data in read.text if where == tag) for tag in ("style", "script")}
    blocks["script"] = blocks["script"][blocks["script"].index('"use strict"') :]  # after the data, which do not run
    for tag, text in blocks.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[f"{tag}-src"] == f"'sha256-{digest}'"


def test_page_is_small(page: str) -> None:
    assert len(page.encode()) < 1_000_000


def test_large_cohort_stays_below_three_megabytes(page_with: Make, make_trees: Make) -> None:
    assert len(page_with(**make_trees(4000)).encode()) < 3_000_000


def test_same_input_gives_the_same_bytes(page: str, page_with: Make, make_trees: Make) -> None:
    assert page_with(**make_trees()) == page


def test_figures_ignore_the_settings_of_the_user_and_leave_them(page: str, page_with: Make, make_trees: Make) -> None:
    with matplotlib.rc_context(
        {"font.size": 30, "svg.fonttype": "path", "legend.fontsize": 30, "xtick.direction": "in"}
    ):
        before = dict(matplotlib.rcParams)
        assert page_with(**make_trees()) == page
        assert dict(matplotlib.rcParams) == before


def test_every_figure_has_alt_text_and_every_table_a_caption_and_headings(read: Any) -> None:
    drawn = [attrs for tag, attrs in read.attributes if tag == "svg"]
    assert len(drawn) == 13
    for attrs in drawn:
        assert attrs["role"] == "img"
        assert len(str(attrs["aria-label"])) > 40
    assert sum(tag == "table" for tag, _ in read.attributes) == sum(tag == "caption" for tag, _ in read.attributes)
    assert all(len({len(row) for row in rows}) == 1 for rows in read.tables.values())
    scopes = [attrs.get("scope") for tag, attrs in read.attributes if tag == "th"]
    assert set(scopes) == {"col", "row"}


def test_research_use_is_said_once(read: Any) -> None:
    assert read.words.count("Research use only") == 1


# --- the numbers --------------------------------------------------------------------------------------------------


def test_summary_says_what_was_found(read: Any, trees: Trees) -> None:
    layers = [trees["cohort"][f"views/{name}"].indexes["sample"] for name in ("expression", "methylation", "mutation")]
    in_all = len(set.intersection(*map(set, layers)))
    words = read.words.replace("\N{NO-BREAK SPACE}", " ")
    assert f"{len(set.union(*map(set, layers)))} patients with at least one of 3 molecular layers" in words
    each = listing(
        [f"{n} {len(ids)}" for n, ids in zip(("expression", "methylation", "mutation"), layers, strict=True)]
    )
    assert f"({each}); {in_all} have all" in words
    assert "8 factors explain 52 % of expression, 43 % of methylation and 12 % of mutation" in words
    sizes = trees["subtypes"]["subtypes/label"].to_series().value_counts()
    assert f"4 subtypes were found, of {sizes.min()} to {sizes.max()} patients" in words
    assert "cumulative incidence of relapse differs between the subtypes (Gray's test, p < 0.001; 178 patients" in words
    assert "clinical only 0.66 (0.58 to 0.73), omics only 0.68 (0.60 to 0.75) and clinical + omics 0.71" in words
    assert words.count("it cannot be concluded that omics add to the clinical data") == 1
    assert "They could" not in words
    assert "Beside what is known (known subtype, mrd and site): p = 0.55 (Fine-Gray regression)." in words
    assert "3 of 4 subtypes are, or look like, a known one." in words


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((0.04, -0.02, 0.10), "it cannot be concluded that omics add"),
        ((0.06, 0.01, 0.11), "in these patients omics add to the clinical data"),
        ((-0.06, -0.11, -0.01), "in these patients omics make the prediction worse"),
        ((0.0, 0.0, 0.0), "it cannot be concluded that omics add"),
    ],
)
def test_added_value_is_claimed_only_where_the_interval_allows(
    difference: tuple[float, float, float],
    said: str,
    page_with: Make,
    reader: Make,
    make_evaluation: Make,
) -> None:
    words = reader(page_with(evaluation=make_evaluation(difference))).words
    assert f": {said}" in words
    assert words.count("below the sample size asked for: description, not evidence.") == 1


def test_added_value_is_evidence_only_in_a_cohort_that_is_large_enough(
    page_with: Make, reader: Make, make_evaluation: Make
) -> None:
    tree = make_evaluation((0.06, 0.01, 0.11))
    planning = tree["planning"].to_dataset()
    unknown = planning["representation"].where(planning["representation"] != "", np.nan)
    every = ("row", np.ones(planning.sizes["row"], dtype=int))
    tree["planning"] = xr.DataTree(planning.assign(enough=every, representation=unknown))
    read = reader(page_with(evaluation=tree))
    words = read.words
    assert ": omics add to the clinical data." in words
    assert "below the sample size" not in words
    assert read.tables["Is the cohort large enough?"][1][:2] == ["Clinical only", "–"]


def test_what_could_not_be_tested_beside_what_is_known_is_said(trees: Trees, page_with: Make, reader: Make) -> None:
    tree = trees["subtypes"].copy()
    table = tree["adjusted_tests"].to_dataset().to_dataframe()
    cox = table.assign(model="cause_specific_cox", p_value=table["p_value"].where(table["adjusted"] == 0))
    tree["adjusted_tests"] = xr.DataTree(from_table(pd.concat([table, cox]).reset_index(drop=True)))
    words = reader(page_with(subtypes=tree)).words
    assert "not be tested beside what is known (known subtype, mrd and site) by cause-specific Cox regression." in words


def test_prediction_no_better_than_chance_is_said(page_with: Make, reader: Make, make_evaluation: Make) -> None:
    tree = make_evaluation()
    table = tree["metrics"].to_dataset()
    omics = (table["features"] == "omics") & (table["metric"] == "auc")
    tree["metrics"] = xr.DataTree(table.assign(lower=table["lower"].where(~omics, 0.46)))
    words = reader(page_with(evaluation=tree)).words
    assert words.count("The interval of omics only is not clear of 0.5") == 2


def test_numbers_at_risk_are_counts_of_patients(read: Any, trees: Trees) -> None:
    clinical = trees["subtypes"]["clinical"].to_dataset().to_dataframe()
    label = trees["subtypes"]["subtypes/label"].to_series()
    for title in ("Cumulative incidence of relapse", "Event-free survival", "Overall survival"):
        head, *rows = read.tables[f"{title}: numbers at risk"]
        times = [float(text.removesuffix(" y")) for text in head[1:]]
        assert times[0] == 0
        assert [row[0] for row in rows] == ["S1", "S2", "S3", "S4"]
        for name, *shown in rows:
            time = clinical.loc[label == name, "event_time"]
            assert [int(n) for n in shown] == [int((time >= t).sum()) for t in times]


def test_estimates_at_the_horizon_are_those_of_the_curves(read: Any, trees: Trees) -> None:
    curves = trees["subtypes"]["curves"].to_dataset().to_dataframe()
    rows = {row[0]: row for row in read.tables["Estimates at 5 years, with 95 % intervals"]}
    for group in ("S1", "S4"):
        part = curves[(curves["group"] == group) & (curves["endpoint"] == "relapse") & (curves["time"] <= 5)]
        last = part.sort_values("time").iloc[-1]
        shown = f"{100 * last['estimate']:.0f} % ({100 * last['lower']:.0f} to {100 * last['upper']:.0f})"
        assert rows[group][1].replace("\N{NO-BREAK SPACE}", " ") == shown


def test_variance_table_holds_the_numbers_in_per_cent(read: Any, trees: Trees) -> None:
    variance = trees["factors"]["variance"].to_dataset()
    head, *rows, total = read.tables["Variance explained, % of the layer's variance"]
    assert head == ["Factor", "expression", "methylation", "mutation"]
    shown = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(shown, 100 * variance["r2"].to_numpy().T, atol=0.051)
    assert total == ["All factors", "52.0", "43.0", "12.0"]


def test_leading_features_are_the_largest_weights_with_their_signs(read: Any, trees: Trees) -> None:
    tree = trees["factors"]
    shown = {row[0]: row[1] for row in read.tables["Leading features of each factor"][1:]}
    r2 = tree["variance/r2"].sel(view="expression").to_series()
    weight = tree["views/expression/weight"].to_series().unstack()
    for factor, said in shown.items():
        largest = weight[factor].abs().sort_values(ascending=False).index[:5]
        genes = [f"{'−' if weight.loc[f, factor] < 0 else '+'}GENE{f.removeprefix('expression')}" for f in largest]
        assert said == (", ".join(genes) if r2[factor] >= 0.01 else "–")


def test_known_labels_are_crossed_with_subtypes(read: Any, trees: Trees) -> None:
    _, *rows = read.tables["Patients by known subtype and subtype found"]
    counts = trees["subtypes"]["subtypes/label"].to_series().value_counts()
    assert sorted(int(cell) for row in rows for cell in row[1:] if cell != "·") == sorted(counts)


def test_sizes_and_stability_of_the_subtypes(read: Any, trees: Trees) -> None:
    probability = trees["subtypes"]["subtypes/probability"].max("subtype").to_series()
    label = trees["subtypes"]["subtypes/label"].to_series()
    _, *rows = read.tables["Size and stability of the subtypes"]
    for name, n, _, jaccard, fewer, of_features, median, doubtful in rows:
        sure = probability[label == name]
        assert int(n) == len(sure)
        assert (jaccard, fewer, of_features) == ("0.86", "0.79", "–")
        assert median == f"{sure.median():.2f}"
        assert int(doubtful) == (sure < 0.8).sum()


def test_what_subtypes_are_and_what_they_add_is_said(read: Any) -> None:
    _, first, *others = read.tables["What each subtype is"]
    assert first == ["S1", "known", "S1 equals ETV6::RUNX1 (97 % of S1 carry it)."]
    assert "Not biology, as far as these data tell: " + others[-1][0] + " (a technical cause)" in read.words
    with_known = read.tables["Do the subtypes say more than what is known?"][2]
    assert with_known[1:3] == ["Fine-Gray", "with"]
    assert with_known[3].replace("\N{NO-BREAK SPACE}", " ") == "p = 0.55"
    assert with_known[-2:] == ["subtype, mrd; site", "age (const); pooled"]
    assert read.tables["Marker features"][1] == ["S1", "expression", "G1 (2.0), G2 (1.0)"]
    assert read.tables["Other ways to cluster"][2][:3] == ["kmeans", "3", "0.70"]
    tested = read.tables["Supervised: patients whom factors of relapse define"]
    assert [row[0] for row in tested[1:]] == ["held out", "circular"]
    assert "Other draws of the resamples would choose" in read.words


def test_dropped_samples_are_counted_by_reason(read: Any) -> None:
    assert read.tables["What was dropped, and why"][1:] == [["methylation", "relapse sample", "X0, X1, X2, …", "12"]]
    assert ["methylation", "in file", "", "230"] in read.tables["Account of the samples"]


def test_failed_fits_are_listed(read: Any) -> None:
    assert read.tables["Fits that failed"][1:] == [
        ["Logistic regression (elastic net)", "Clinical only", "ValueError: Solver <saga> did not converge", "1"]
    ]


def test_provenance_shows_short_hashes_and_versions(read: Any) -> None:
    assert read.tables["Artefacts"][1] == [
        "cohort", "cohort", "cdcdcdcdcdcd", "methylation.tsv.gz (abababababab)", "timepoint = diagnosis"
    ]  # fmt: skip
    assert read.tables["Runs"][1] == ["cohort", "2026-01-02T03:04:05+00:00", "python 3.11.2, numpy 2.1"]


# --- what is missing ----------------------------------------------------------------------------------------------


def test_warnings_stand_on_top_and_lead_to_their_place(read: Any) -> None:
    warnings = [str(attrs["id"]) for tag, attrs in read.attributes if tag == "p" and attrs.get("class") == "warning"]
    links = [str(a["href"])[1:] for tag, a in read.attributes if tag == "a" and "warning" in str(a.get("href"))]
    assert warnings == links == [f"warning-{i + 1}" for i in range(len(links))]
    assert len(links) >= 3
    assert read.words.index("Fewer patients than the criteria ask for") < read.words.index("Cohort and overlap", 200)
    assert f"{len(links)} warnings" in read.words


@pytest.mark.parametrize(
    ("given", "sections"),
    [
        (["cohort"], ["cohort", "methods"]),
        (["factors"], ["variance", "factors", "explore", "methods"]),
        (["subtypes"], ["subtypes", "curves", "methods"]),
        (["evaluation"], ["evaluation", "methods", "tripod"]),
        (["factors", "subtypes"], ["variance", "factors", "explore", "subtypes", "curves", "methods"]),
    ],
)
def test_sections_of_missing_artefacts_are_left_out_and_named(
    given: list[str], sections: list[str], trees: Trees, page_with: Make, reader: Make
) -> None:
    read = reader(page_with(**{name: trees[name] for name in given}))
    assert [key for key in read.ids() if key in SECTIONS] == sections
    for name in {"cohort", "factors", "subtypes", "evaluation"} - set(given):
        assert re.search(rf"Not in this report:.*\b{name}\b: |the {name}: ", read.words)


def test_prepared_stands_in_for_the_cohort_and_shows_its_recipe(trees: Trees, page_with: Make, reader: Make) -> None:
    prepared = trees["cohort"].copy()
    prepared.attrs["recipe"] = '[{"step": "KeepVariable", "n_features": 5000}]'
    read = reader(page_with(prepared=prepared))
    assert "cohort" in read.ids()
    assert read.tables["Preparation steps that learn from the data"][1:] == [["KeepVariable", "n_features = 5000"]]


def test_no_structure_is_a_result(page_with: Make, reader: Make, make_trees: Make) -> None:
    trees = make_trees(90, names=["S1"])
    read = reader(page_with(subtypes=trees["subtypes"], factors=trees["factors"]))
    assert "No structure: " in read.words
    assert "One group was asked for" not in read.words
    assert "Do the subtypes differ in outcome?" not in read.tables
    assert "Patients by known subtype and subtype found" not in read.tables


def test_one_group_that_was_asked_for_is_no_result(page_with: Make, reader: Make, make_trees: Make) -> None:
    tree = make_trees(90, names=["S1"])["subtypes"]
    tree.attrs["subtypes"] = tree.attrs["subtypes"].replace("{", '{"n_subtypes": 1, ', 1)
    words = reader(page_with(subtypes=tree)).words
    assert words.count("One group was asked for") == 2
    assert "group, as asked for" in words
    for wrong in ("No structure", "no structure", "subtypes found"):
        assert wrong not in words


def test_subtypes_without_outcome(trees: Trees, page_with: Make, reader: Make) -> None:
    bare = xr.DataTree.from_dict({"/subtypes": trees["subtypes"]["subtypes"].to_dataset()})
    read = reader(page_with(subtypes=bare))
    assert [key for key in read.ids() if key in SECTIONS] == ["subtypes"]
    assert "outcome by subtype: " in read.words


def test_difference_that_was_not_shown_is_not_called_absent(trees: Trees, page_with: Make, reader: Make) -> None:
    tree = trees["subtypes"].copy()
    tests = tree["tests"].to_dataset()
    tree["tests"] = xr.DataTree(
        tests.assign(p_value=("row", np.array([0.31, 0.5, np.nan])), events=("row", [7, 30, 4]))
    )
    words = reader(page_with(subtypes=tree)).words.replace("\N{NO-BREAK SPACE}", " ")
    assert "was not shown (Gray's test, p = 0.31; 178 patients, 7 events). That is not proof of none." in words
    assert "With so few events this is a description, not evidence." in words
    assert "Fewer than 10 events for cumulative incidence of relapse (7) and overall survival (4)" in words


def test_models_that_failed_everywhere_leave_a_page(page_with: Make, reader: Make, make_evaluation: Make) -> None:
    tree = make_evaluation()
    for name in ("metrics", "differences"):
        table = tree[name].to_dataset()
        nothing = {column: ("row", np.full(table.sizes["row"], np.nan)) for column in ("estimate", "lower", "upper")}
        tree[name] = xr.DataTree(table.assign(nothing))
    read = reader(page_with(evaluation=tree))
    assert read.tables["Paired differences between the rows"][1][-1] == "cannot conclude: no interval"


def test_one_layer_one_factor(trees: Trees, page_with: Make, reader: Make) -> None:
    cohort = xr.DataTree.from_dict({"/views/expression": trees["cohort"]["views/expression"].to_dataset()})
    factors = xr.DataTree.from_dict(
        {
            part.path: dataset.isel(factor=[0]) if "factor" in dataset.dims else dataset
            for part in trees["factors"].subtree
            for dataset in [part.to_dataset(inherit=False)]
        }
    )
    read = reader(page_with(cohort=cohort, factors=factors))
    assert {"cohort", "variance", "factors"} <= set(read.ids())


def test_evaluation_shows_sample_size_calibration_benefit_chance_and_audit(
    page_with: Make, reader: Make, make_evaluation: Make
) -> None:
    words = reader(page_with(evaluation=make_evaluation())).words
    for said in (
        "Is the cohort large enough?",
        "Fewer patients than the criteria ask for",
        "Observed incidence",
        "Net benefit",
        "What chance gives",
        "The audit found no leak in 2 checks.",
    ):
        assert said in words


def test_a_leak_is_a_warning(page_with: Make, reader: Make, make_evaluation: Make) -> None:
    tree = make_evaluation()
    leaked = from_table(pd.DataFrame([["noise", "fold 0", 0, "representation mine changed"]],
                                     columns=["check", "what", "passed", "detail"]))  # fmt: skip
    tree["audit"] = xr.DataTree(leaked)
    assert "The audit found a leak: 1 of 1 checks failed." in reader(page_with(evaluation=tree)).words


def test_known_classes_have_a_section(page_with: Make, reader: Make) -> None:
    named = {"representation": ["factors"], "model": ["logistic"]}
    estimate = {"metric": ["balanced_accuracy"], "estimate": [0.71], "lower": [0.6], "upper": [0.8], "n": [90]}
    figures = {"truth": ["KMT2A-r"], "n": [2], "recall": [0.0], "precision": [np.nan], "abstained": [1.0]}
    metrics, recall = pd.DataFrame(named | estimate), pd.DataFrame(named | figures)
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"column": "subtype", "small": ["KMT2A-r"]}),
            "/class_metrics": from_table(metrics),
            "/class_recall": from_table(recall),
        }
    )
    words = reader(page_with(evaluation=tree)).words
    assert "Prediction of known classes" in words
    assert "Fewer patients than folds: KMT2A-r" in words
