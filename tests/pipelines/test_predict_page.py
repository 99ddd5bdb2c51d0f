"""``omics predict --report``: the page of one patient says what ``predict`` says, and nothing of anybody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics import cohort, interpret, predict
from omics.artefact import Provenance, read_manifest
from omics.predict.models import design_table
from omics.prepare import prepare
from omics.subtypes import Subtypes
from pipelines import patient

HOSTILE = "</script><img src=x onerror=alert(1)>"
#: Ids that no other text holds by chance.
IDS = np.array([HOSTILE, *(f"Qzx-{i:03d}" for i in range(1, 90))], dtype=object)
GENES = ["NRAS", "TP53", "NT5C2", "KRAS", "FLT3", "CREBBP", "MUC16", "TTN", "PAX5", "JAK2"]
MOFA = {"n_factors": 3, "max_iter": 15}
CARRIER, NO_EXPRESSION, NO_RISK = "Qzx-010", "Qzx-003", "Qzx-005"
#: Who is predicted.
NEW = [HOSTILE, "Qzx-001", NO_EXPRESSION, NO_RISK, CARRIER, "Qzx-020"]

Omics = Callable[..., object]


# --- patients and models --------------------------------------------------------------------------------------------


def view(values: np.ndarray, rows: np.ndarray, features: list[str], kind: str, units: str) -> xr.Dataset:
    likelihood = "bernoulli" if kind == "mutation" else "gaussian"
    return xr.Dataset(
        {"value": (("sample", "feature"), values.astype(np.float32))},
        {"sample": rows, "feature": np.array(features, dtype=object)},
        {"kind": kind, "likelihood": likelihood, "units": units},
    )


def patients() -> xr.DataTree:
    """Layers that share factors, the first of which drives relapse; one patient of each kind that is asked about."""
    rng, n = np.random.default_rng(3), len(IDS)
    z = rng.normal(size=(n, 3))
    expression = z @ rng.normal(size=(3, 40)) + rng.normal(size=(n, 40))
    mutation = (rng.random((n, len(GENES))) < 0.25).astype(float)
    mutation[IDS == CARRIER] = np.isin(GENES, ["NRAS", "TP53"])
    hazard = 0.05 * np.exp(1.5 * z[:, 0])
    times = np.stack([rng.exponential(1 / hazard), rng.exponential(1 / 0.03, n), rng.uniform(3, 9, n)])
    clinical = pd.DataFrame(
        {
            "age": rng.uniform(1, 18, n),
            "sex": rng.choice(["F", "M"], n),
            "wbc": np.exp(rng.normal(3, 1, n)),
            "nci_risk": rng.choice(["high", "standard", "very high"], n),
            "subtype": rng.choice(["ETV6::RUNX1", "hyperdiploid"], n),
            "event": np.array([1.0, 2.0, 0.0])[times.argmin(axis=0)],
            "event_time": times.min(axis=0),
        },
        index=pd.Index(IDS, name="sample"),
    )
    clinical.loc[CARRIER, ["wbc", "subtype"]] = [np.nan, "BCR::ABL1"]
    clinical.loc[NO_RISK, "nci_risk"] = np.nan
    have = ~np.isin(IDS, [NO_EXPRESSION])
    genes = [f"gene{i}" for i in range(40)]
    return xr.DataTree.from_dict({
        "/clinical": cohort.from_table(clinical, "sample"),
        "/views/expression": view(expression[have], IDS[have], genes, "expression", "log2"),
        "/views/mutation": view(mutation, IDS, GENES, "mutation", "1"),
    })  # fmt: skip


def edited(tree: xr.DataTree, **nodes: xr.Dataset) -> xr.DataTree:
    held = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    return xr.DataTree.from_dict({**held, **{f"/views/{name}": one for name, one in nodes.items()}})


def saved(tree: xr.DataTree, path: Path) -> Path:
    cohort.save(tree, path, Provenance("cohort", {}))
    return path


@pytest.fixture(scope="module")
def everybody() -> xr.DataTree:
    return patients()


@pytest.fixture(scope="module")
def tree(everybody: xr.DataTree) -> xr.DataTree:
    """Those who are predicted."""
    return cohort.select(everybody, NEW)


@pytest.fixture(scope="module")
def folder(everybody: xr.DataTree, tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the new patients, all prepared, and a model on factors; nobody writes into it."""
    made = tmp_path_factory.mktemp("page")
    saved(tree, made / "cohort.zarr")
    cohort.save(prepare(everybody, n_features=30), made / "prepared.zarr", Provenance("prepared", {"n_features": 30}))
    with pytest.MonkeyPatch.context() as patch:  # few resamples: how stable subtypes are is not asked here
        few = partial(Subtypes, n_subtypes=2, n_resamples=2, n_null=2)
        patch.setattr("omics.predict.bundle.Subtypes", few)
        trained(made, "model", subtypes=True)
    return made


def trained(folder: Path, name: str, **settings: object) -> Path:
    if not (folder / name).exists():
        how = {"model": "logistic", "mofa": MOFA, "n_inner": 2, "random_state": 1, **settings}
        predict.train(folder / "prepared.zarr", folder / name, **how)
    return folder / name


class Page(HTMLParser):
    """Tables of a page by caption, cells as (text, number behind it)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[str] = []
        self.tables: dict[str, list[list[list]]] = {}
        self.words, self._caption, self._in = "", "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in = tag if tag in ("caption", "td", "th", "style", "script") else self._in
        if tag == "table":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            value = dict(attrs).get("data-value")
            self.tables[self._caption][-1].append(["", None if value is None else float(value)])

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == self._in else self._in

    def handle_data(self, data: str) -> None:
        if self._in == "caption":
            self._caption += data
        elif self._in in ("td", "th"):
            self.tables[self._caption][-1][-1][0] += data
        if self._in not in ("style", "script"):
            self.words += data

    def column(self, caption: str, name: str) -> pd.Series:
        """Cells of a column, by the first cell of their row."""
        head, *rows = self.tables[caption]
        place = [text for text, _ in head].index(name)
        return pd.Series({row[0][0]: row[place] for row in rows})


@pytest.fixture(scope="module")
def page(folder: Path) -> Callable[..., Page]:
    """The page of a patient, made once."""

    @cache
    def made(sample: str | None, model: str = "model", new: Path | None = None, *tables: Path) -> Page:
        return Page(patient.page(folder / model, new or folder / "cohort.zarr", sample, tables or None))

    return made


# --- the numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [CARRIER, NO_EXPRESSION])
def test_page_says_what_the_table_says(sample: str, folder: Path, omics: Omics, page: Callable[..., Page]) -> None:
    table = pd.read_csv(StringIO(omics("predict", folder / "model", folder / "cohort.zarr").stdout), sep="\t")
    row, found = table.set_index("sample").loc[sample], page(sample)
    assert "no answer" not in found.words
    said = found.column("The answer", "Answer")
    for name, what in (("probability", "Predicted risk"), ("lower", "Interval, from"), ("upper", "Interval, to")):
        assert said[what][1] == pytest.approx(row[name], rel=1e-12)
        assert said[what][0].replace("\xa0", " ") == f"{100 * row[name]:.1f} %"
    assert said["Features of the model there"][1] == pytest.approx(row["features"])
    assert said["Layers measured"][0] == row["layers"].replace(", ", " and ")
    assert said["Not known"][0] == (row["missing"] if isinstance(row["missing"], str) else "nothing")
    chance = found.column("Subtype", "Probability")
    assert chance.index[0] == row["subtype"]
    assert chance.iloc[0][1] == pytest.approx(row["subtype_probability"])
    assert sum(value for _, value in chance) == pytest.approx(1)


def test_command_writes_the_page_and_the_same_table_as_ever(
    folder: Path, omics: Omics, tmp_path: Path, page: Callable[..., Page]
) -> None:
    """Also twice: the same bytes."""
    (tmp_path / "page.html").write_text("before")
    arguments = ["predict", folder / "model", folder / "cohort.zarr"]
    result = omics(*arguments, "--report", tmp_path / "page.html", "--sample", CARRIER, "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "page.html").read_bytes() == page(CARRIER).source.encode()
    assert result.stdout == omics(*arguments).stdout
    assert {file.name for file in tmp_path.iterdir()} == {"page.html"}


def encoded(bundle: predict.Bundle, row: pd.Series) -> np.ndarray:
    """What the model gets of a row, from the fitted numbers of its encoding; a text may be shares of texts."""
    numbers, text = (bundle.pipeline["encode"].named_transformers_[name] for name in ("numbers", "text"))
    names = list(numbers.feature_names_in_)
    value = row[names].astype(float).to_numpy()
    value = np.where(np.isnan(value), numbers["impute"].statistics_, value)
    found = list((value - numbers["scale"].mean_) / numbers["scale"].scale_)
    indicator = text["indicator"]
    for j, name in enumerate(text.feature_names_in_):
        shares = row[name] if isinstance(row[name], dict) else {"missing" if pd.isna(row[name]) else row[name]: 1.0}
        categories = list(indicator.categories_[j])
        kept = categories[1:] if len(categories) == 2 else categories
        found += [shares.get(one, 0.0) for one in kept]
    return np.array(found)


def line_of(bundle: predict.Bundle, x: np.ndarray) -> float:
    """Linear predictor, each model's own prediction turned round."""
    model = bundle.pipeline["model"]
    if bundle.card["model"] == "logistic":
        return float(model.decision_function(x[None])[0])
    if bundle.card["model"] == "coxnet":
        return float(model.hazards_[0].predict(x[None])[0])
    return float(np.log(-np.log1p(-model.predict_proba(x[None])[0, 1])))


@pytest.mark.parametrize(("name", "sample", "settings"), [
    ("model", CARRIER, {}),
    ("model", NO_EXPRESSION, {}),
    ("coxnet", NO_RISK, {"model": "coxnet", "features": "clinical", "clinical_variables": ["age", "sex", "nci_risk"]}),
    ("fine_gray", CARRIER, {"model": "fine_gray", "clinical_variables": ["age", "wbc", "nci_risk"]}),
])  # fmt: skip
def test_contributions_add_up_to_the_difference_of_linear_predictors(
    name: str, sample: str, settings: dict, folder: Path, tree: xr.DataTree, page: Callable[..., Page]
) -> None:
    fitted = predict.load(trained(folder, name, **settings))
    clinical = cohort.clinical_table(tree).loc[[sample]]
    alone = cohort.select(tree, [sample])
    scores = fitted.representation.scores(prepare(alone)) if fitted.representation else None
    row = design_table(scores, clinical, fitted.card["columns"]).iloc[0]
    mean = fitted.reference.numbers["mean"].to_series()
    usual = pd.Series({one: fitted.reference.texts.get(one, mean.get(one)) for one in row.index}, dtype=object)
    here, there = encoded(fitted, row), encoded(fitted, usual)
    found = page(sample, name).column("Predictors", "Contribution")
    assert sum(value for _, value in found) == pytest.approx(line_of(fitted, here) - line_of(fitted, there), abs=1e-9)
    # one number alone: coefficient in its own units times (value - training mean)
    age = list(fitted.pipeline["encode"].named_transformers_["numbers"].feature_names_in_).index("age")
    step = here.copy()
    step[age] = there[age]
    assert found["age"][1] == pytest.approx(line_of(fitted, here) - line_of(fitted, step), abs=1e-9)


def test_row_of_predictors_is_the_one_that_was_predicted_from(folder: Path, tree: xr.DataTree) -> None:
    fitted = predict.load(folder / "model")
    alone = cohort.select(tree, [CARRIER])
    seen = patient._seen(fitted, alone)
    chance = fitted.pipeline.predict_proba(seen.row)[0, 1]
    assert chance == predict.predict(fitted, alone)["probability"].iloc[0]


def test_places_among_the_training_patients(everybody: xr.DataTree, page: Callable[..., Page]) -> None:
    clinical = cohort.clinical_table(everybody)
    found, age = page(CARRIER), clinical["age"]
    assert found.column("Predictors", "Mean")["age"][0] == f"{age.mean():.2f}"
    assert found.column("Predictors", "Median")["age"][0] == f"{age.median():.2f}"
    low, high = age.quantile([0.02, 0.98])
    assert found.column("Predictors", "2 % to 98 %")["age"][0] == f"{low:.2f} to {high:.2f}"
    below = float(found.column("Predictors", "Training patients below")["age"][0].split("\xa0")[0]) / 100
    assert below == pytest.approx((age < age[CARRIER]).mean(), abs=0.03)
    share = (clinical["sex"] == clinical.at[CARRIER, "sex"]).mean()
    assert found.column("Predictors", "Training patients below")["sex"][0] == f"{100 * share:.0f}\xa0% have the same"
    assert found.column("Predictors", "In the model")["wbc"] == ["–", None]


def test_model_without_a_linear_predictor_is_not_taken_apart(folder: Path, page: Callable[..., Page]) -> None:
    trained(folder, "forest", model="forest", features="clinical", clinical_variables=["age", "sex"])
    found = page(CARRIER, "forest")
    assert "not decomposed" in found.words
    assert "Contribution" not in [text for text, _ in found.tables["Predictors"][0]]


def test_model_abstains_from_a_patient_unlike_all_others(
    folder: Path, tree: xr.DataTree, tmp_path: Path, page: Callable[..., Page]
) -> None:
    strange = tree["views/expression"].to_dataset().copy(deep=True)
    strange["value"].loc[{"sample": CARRIER}] *= 60
    new = saved(edited(tree, expression=strange), tmp_path / "strange.zarr")
    found = page(CARRIER, "model", new)
    assert "no answer" in found.words
    assert "It abstains" in found.words
    assert "not to be relied on" in found.column("The answer", "Answer")["Predicted risk"][0]


# --- lesions --------------------------------------------------------------------------------------------------------


def test_lesions_are_the_patients_own(folder: Path, tree: xr.DataTree, tmp_path: Path, page) -> None:
    new = np.array(NEW, dtype=object)
    copies = view(np.where(new[:, None] == CARRIER, [[-1.0, 0.0]], 0.0), new, ["IKZF1", "BTG1"], "copy_number", "1")
    found = page(CARRIER, "model", saved(edited(tree, copies=copies), tmp_path / "copies.zarr"))
    held = {(row[0][0], row[1][0]) for row in found.tables["Lesions of the patient"][1:]}
    assert held == {
        ("NRAS", "mutation"), ("TP53", "mutation"), ("IKZF1", "deletion"), ("BCR", "fusion"), ("ABL1", "fusion"),
    }  # fmt: skip
    resisting = {row[0][0].split(",")[0] for row in found.tables["What may resist"][1:]}
    assert {"NRAS mutation", "TP53 mutation", "IKZF1 deletion"} <= resisting
    assert not any(name.startswith(("BTG1", "NT5C2")) for name in resisting)
    targets = found.tables["What could be targeted"][1:]
    assert "dasatinib" in {row[1][0] for row in targets if row[0][0].startswith("ABL1 fusion")}
    genes = {row[2][0] for row in found.tables["Pharmacogenes to test in the germline"][1:]}
    assert genes == set(interpret.table("pharmacogenes")["symbol"])
    assert "needs a cohort" in found.words
    assert {row[0][0]: row[1][0] for row in found.tables["What was looked at"][1:]} == {
        "mutations": "yes", "fusions": "yes", "copy number": "yes",
    }  # fmt: skip


def test_what_was_not_measured_is_said(tree: xr.DataTree, tmp_path: Path, page: Callable[..., Page]) -> None:
    ratios = view(np.full((len(NEW), 1), -0.4), np.array(NEW, dtype=object), ["IKZF1"], "copy_number", "log2")
    plain = next(one for one in NEW if cohort.clinical_table(tree).at[one, "subtype"] == "hyperdiploid")
    nodes = {part.path: part.to_dataset(inherit=False) for part in edited(tree, copies=ratios).subtree}
    nodes["/views/mutation"] = nodes["/views/mutation"].sel(sample=[one for one in NEW if one != plain])
    found = page(plain, "model", saved(xr.DataTree.from_dict(nodes), tmp_path / "ratios.zarr"))
    looked = {row[0][0]: (row[1][0], row[2][0]) for row in found.tables["What was looked at"][1:]}
    assert looked["copy number"] == ("no", "the layer does not hold levels of GISTIC, from -2 to 2")
    assert looked["mutations"] == ("no", "no such layer of the patient")
    assert looked["fusions"] == ("no", "clinical column subtype: hyperdiploid (names no fusion)")
    gaps = {row[0][0]: row[1][0] for row in found.tables["Not measured in this patient"][1:]}
    assert {"NRAS", "NT5C2", "TP53"} <= set(gaps["mutation"].split(", "))
    assert "IKZF1" in gaps["deletion"]


def test_own_table_is_used_and_named(tmp_path: Path, page: Callable[..., Page]) -> None:
    form = list(interpret.FORMS["resistance"].names)
    row = dict.fromkeys(form, "") | {
        "symbol": "NRAS", "role": "signalling", "alteration": "mutation", "drug": "trialdrug", "statement": "Ours.",
        "evidence": "clinical", "reference": "PMID:12345678", "checked": "2026-01-01",
    }  # fmt: skip
    own = tmp_path / "own.tsv"
    own.write_text("\t".join(form) + "\n" + "\t".join(row[name] for name in form) + "\n")
    rows = page(CARRIER, "model", None, own).tables["What may resist"]
    own_row = next(one for one in rows if one[1][0] == "trialdrug")
    assert own_row[5][0] == "clinical, PMID:12345678, own.tsv"


# --- nobody else, and nothing else ----------------------------------------------------------------------------------


def test_no_other_patient_is_on_the_page(folder: Path, tree: xr.DataTree, tmp_path: Path, page) -> None:
    """The page made in company is the page made alone, but for the digest of the store."""
    company = page(CARRIER).source
    assert set(re.findall(r"Qzx-\d+", company)) == {CARRIER}
    assert "img src" not in company
    new = saved(cohort.select(tree, [CARRIER]), tmp_path / "one.zarr")
    theirs, own = (str(read_manifest(path)["digest"]) for path in (folder / "cohort.zarr", new))
    assert theirs in company
    assert page(None, "model", new).source == company.replace(theirs, own)


def test_hostile_id_is_text(page: Callable[..., Page]) -> None:
    found = page(HOSTILE)
    assert f"Patient {HOSTILE}" in found.words
    assert "img" not in found.tags
    assert found.tags.count("script") == found.source.count("<script") == found.source.count("</script>") == 1
    assert "<img" not in found.source


def test_page_asks_for_nothing_and_says_its_use_once(folder: Path, page: Callable[..., Page]) -> None:
    found = page(CARRIER)
    assert not re.search(r'\b(?:src|href)="(?!#)', found.source)
    assert "default-src 'none'" in found.source.replace("&#39;", "'")
    assert str(folder.parent) not in found.source
    assert [found.words.lower().count(one) for one in ("research use only", "advice on treatment")] == [1, 1]


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "said"), [
    (["--report", "page.html"], "--sample, one of"),
    (["--report", "page.html", "--sample", "nobody"], "no patient 'nobody'"),
    (["--sample", CARRIER], "add --report"),
    (["--tables", "own.tsv"], "add --report"),
    (["--report", "there.html", "--sample", CARRIER], "add --overwrite"),
    (["--report", "folder", "--sample", CARRIER, "--overwrite"], "is a folder"),
    (["--report", "p.tsv", "--sample", CARRIER], "are one file"),
])  # fmt: skip
def test_refusals_leave_nothing_behind(
    arguments: list[str], said: str, folder: Path, omics: Omics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("before")
    (tmp_path / "folder").mkdir()
    result = omics("predict", folder / "model", folder / "cohort.zarr", "-o", "p.tsv", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert (tmp_path / "there.html").read_text() == "before"
    assert {file.name for file in tmp_path.iterdir()} == {"there.html", "folder"}


def test_refused_choice_names_some_patients(folder: Path, omics: Omics, tmp_path: Path) -> None:
    result = omics("predict", folder / "model", folder / "cohort.zarr", "--report", tmp_path / "page.html")
    assert "there are 6 patients" in result.stderr
    assert "Qzx-001" in result.stderr


def test_faulty_table_is_refused(folder: Path, omics: Omics, tmp_path: Path) -> None:
    (tmp_path / "own.tsv").write_text("a\tb\n")
    result = omics("predict", folder / "model", folder / "cohort.zarr", "--report", tmp_path / "page.html", "--sample",
                   CARRIER, "--tables", tmp_path / "own.tsv")  # fmt: skip
    assert result.exit_code == 3
    assert "header" in result.stderr
    assert not (tmp_path / "page.html").exists()
