"""Made-up but plausible artefacts as the rooms make them, and a reader of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.report import write_report

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


def ids(n: int) -> np.ndarray:
    return np.array([f"P{i:04d}" for i in range(n)], dtype=object)


def make_clinical(n: int, label: np.ndarray, rng: np.random.Generator, known: list[str]) -> pd.DataFrame:
    hazard = 0.03 + 0.05 * label
    times = np.stack([rng.exponential(1 / hazard), rng.exponential(60, n), rng.exponential(200, n)])
    censor = rng.uniform(2, 9, n)
    first = times.argmin(axis=0)
    event = np.where(times.min(axis=0) < censor, first + 1.0, 0.0)
    time = np.minimum(times.min(axis=0), censor)
    return pd.DataFrame(
        {
            "age": rng.uniform(1, 18, n),
            "sex": rng.choice(["female", "male"], n),
            "wbc": rng.lognormal(3, 1, n),
            "mrd": rng.beta(0.3, 30, n),
            "subtype": np.array(known, dtype=object)[label],
            "site": rng.choice(["Site A", "Site B"], n),
            "refractory": (rng.uniform(size=n) < 0.02).astype(float),
            "event": event,
            "event_time": time,
            "death": (event == 2).astype(float),
            "death_time": time,
        },
        index=pd.Index(ids(n), name="sample"),
    )


def make_cohort(clinical: pd.DataFrame, rng: np.random.Generator) -> xr.DataTree:
    samples = clinical.index.to_numpy()
    nodes: dict[str, xr.Dataset] = {"/clinical": from_table(clinical, "sample")}
    for name, (n_features, units, share) in {
        "methylation": (60, "beta", 0.9),
        "expression": (50, "counts", 0.8),
        "mutation": (12, "1", 0.95),
    }.items():
        rows = samples[rng.uniform(size=len(samples)) < share]
        nodes[f"/views/{name}"] = xr.Dataset(
            {"value": (("sample", "feature"), rng.normal(size=(len(rows), n_features)).astype(np.float32))},
            coords={"sample": rows, "feature": np.array([f"{name}{j}" for j in range(n_features)], dtype=object)},
            attrs={"kind": name, "likelihood": "gaussian", "units": units},
        )
    account = [["methylation", "in file", "", 230], ["methylation", "dropped", "relapse sample", 12],
               ["methylation & expression", "shared", "", 150], ["all", "shared", "", 140]]  # fmt: skip
    excluded = [["methylation", f"X{i}", "relapse sample"] for i in range(12)]
    nodes["/account"] = from_table(pd.DataFrame(account, columns=["layer", "what", "reason", "samples"]))
    nodes["/excluded"] = from_table(pd.DataFrame(excluded, columns=["layer", "sample", "reason"]))
    return xr.DataTree.from_dict(nodes)


def make_factors(cohort: xr.DataTree, label: np.ndarray, rng: np.random.Generator, n_factors: int = 8) -> xr.DataTree:
    samples = cohort["clinical"].indexes["sample"].to_numpy()
    names = np.array([f"Factor{k + 1}" for k in range(n_factors)], dtype=object)
    centres = rng.normal(scale=2.2, size=(label.max() + 1, n_factors)) * (np.arange(n_factors) < 4)
    score = centres[label] + rng.normal(size=(len(samples), n_factors))
    dims = ("sample", "factor")
    nodes = {
        "/factors": xr.Dataset(
            {"score": (dims, score), "score_sd": (dims, np.full(score.shape, 0.2))},
            coords={"sample": samples, "factor": names},
        )
    }
    views = ["expression", "methylation", "mutation"]
    for view in views:
        features = cohort[f"views/{view}"].indexes["feature"].to_numpy()
        weight = rng.normal(size=(len(features), n_factors))
        genes = np.array(
            [f"GENE{j // 2}" if view == "methylation" else f"GENE{j}" for j in range(len(features))], dtype=object
        )
        nodes[f"/views/{view}"] = xr.Dataset(
            {
                "weight": (("feature", "factor"), weight),
                "weight_square": (("feature", "factor"), weight**2),
                "intercept": (("group", "feature"), np.zeros((1, len(features)))),
                "precision": (("group", "feature"), np.ones((1, len(features)))),
                "gene": ("feature", genes),
            },
            coords={"feature": features, "factor": names},
        )
    r2 = rng.dirichlet(np.ones(n_factors) * 0.6, size=3) * np.array([[0.52], [0.43], [0.12]])
    nodes["/variance"] = xr.Dataset(
        {"r2": (("view", "factor"), r2), "r2_total": ("view", r2.sum(axis=1))},
        coords={"view": np.array(views, dtype=object), "factor": names},
    )
    nodes["/restarts"] = xr.Dataset(
        {
            "elbo": ("restart", np.array([-1234567.8, -1234000.1])),
            "iterations": ("restart", np.array([210, 345])),
            "seed": ("restart", np.array([1, 2])),
            "start": ("restart", np.array(["pca", "random"], dtype=object)),
            "converged": ("restart", np.array([1, 1])),
        }
    )
    nodes["/"] = xr.Dataset(attrs={"mofa": '{"n_factors": 8, "engine": "mofapy2", "random_state": 1}'})
    return xr.DataTree.from_dict(nodes)


def make_curves(clinical: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    """Plausible step curves of each group for the three endpoints (incidences without competing risks)."""
    parts = []
    for endpoint, codes in {"relapse": {1}, "event_free": {1, 2, 3}, "overall": {2}}.items():
        for group in sorted(set(names)):
            rows = clinical[names == group].sort_values("event_time")
            at_risk = np.arange(len(rows), 0, -1)
            events = rows["event"].isin(codes).to_numpy().astype(int)
            survival = np.cumprod(1 - events / at_risk)
            estimate = 1 - survival if endpoint == "relapse" else survival
            half = 0.5 / np.sqrt(at_risk)
            parts.append(
                pd.DataFrame(
                    {
                        "group": group,
                        "endpoint": endpoint,
                        "time": rows["event_time"].to_numpy(),
                        "estimate": estimate,
                        "lower": np.clip(estimate - half, 0, 1),
                        "upper": np.clip(estimate + half, 0, 1),
                        "at_risk": at_risk,
                        "events": events,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def make_subtypes(clinical: pd.DataFrame, label: np.ndarray, names: list[str], rng: np.random.Generator) -> xr.DataTree:
    k = len(names)
    text = np.array(names, dtype=object)[label]
    probability = np.full((len(label), k), 0.02)
    probability[np.arange(len(label)), label] = rng.uniform(0.6, 1, len(label))
    probability /= probability.sum(axis=1, keepdims=True)
    grid = np.arange(2, 9)
    fitted = np.clip(0.95 - 0.09 * np.abs(grid - max(k, 2)), 0, 1) if k > 1 else np.full(7, 0.3)
    tests = [["relapse", "gray", 18.2, k - 1, 0.0004, 178, 41], ["event_free", "logrank", 15.1, k - 1, 0.0017, 180, 60],
             ["overall", "logrank", 3.2, k - 1, 0.36, 180, 8]]  # fmt: skip
    nodes = {
        "/clinical": from_table(clinical, "sample"),
        "/subtypes": xr.Dataset(
            {
                "label": ("sample", text),
                "probability": (("sample", "subtype"), probability),
                "ambiguity": ("sample", rng.uniform(0, 0.3, len(label))),
                "ambiguity_p": ("sample", rng.uniform(0, 0.05, len(label))),
            },
            coords={"sample": clinical.index.to_numpy(), "subtype": np.array(names, dtype=object)},
        ),
        "/subtype_model": xr.Dataset(
            {
                "mean": (("subtype", "factor"), np.ones((k, 8))),
                "covariance": (("factor", "other_factor"), np.eye(8)),
                **{name: ("subtype", np.full(k, 0.86)) for name in ("mixing", "jaccard")},
                "jaccard_p": ("subtype", np.full(k, 0.01)),
                "jaccard_factors": ("subtype", np.full(k, 0.79)),
                **{
                    name: ("factor", np.ones(8))
                    for name in ("factor_low", "factor_high", "factor_mean", "factor_scale")
                },
                "reach": ((), 4.5),
            },
            coords={"subtype": np.array(names, dtype=object)},
        ),
        "/stability": xr.Dataset(
            {
                "stability": ("n_subtypes", fitted),
                "null_mean": ("n_subtypes", np.linspace(0.45, 0.2, 7)),
                "null_upper": ("n_subtypes", np.linspace(0.6, 0.35, 7)),
                "p_value": ("n_subtypes", np.full(7, 0.02)),
                "weakest": ("n_subtypes", np.clip(fitted - 0.1, 0, 1)),
                **dict.fromkeys(("pac", "pac_few"), ("n_subtypes", 1 - fitted)),
                "pac_null": ("n_subtypes", np.full(7, 0.4)),
                "pac_p_value": ("n_subtypes", np.full(7, 0.03)),
                "chosen": ("n_subtypes", (grid == k).astype(float)),
            },
            coords={"n_subtypes": grid},
        ),
        "/curves": from_table(make_curves(clinical, text)),
        "/agreement": from_table(
            pd.DataFrame({"label": ["subtype", "site"], "ari": [0.91, -0.003], "ami": [0.88, 0.001], "n": [180, 180]})
        ),
    }
    if k > 1:
        columns = ["endpoint", "test", "statistic", "df", "p_value", "n", "events"]
        nodes["/tests"] = from_table(pd.DataFrame(tests, columns=columns))
        nodes |= {f"/{name}": from_table(table) for name, table in make_meaning(names).items()}
    summary = {"number_shares": {str(k): 0.9, str(k + 1): 0.1}, "p_value": 0.02, "algorithm": "mixture"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"subtypes": json.dumps(summary)}), **nodes})


def make_meaning(names: list[str]) -> dict[str, pd.DataFrame]:
    """What the subtypes are, what they mean beside what is known, markers, panels, and supervised groups."""
    sentences = [f"{name} equals ETV6::RUNX1 (97 % of {name} carry it)." for name in names]
    verdicts = pd.DataFrame({"subtype": names, "n": 40, "kind": "known", "label": "subtype", "level": "x"})
    verdicts.loc[len(names) - 1, "kind"] = "technical"
    adjusted = pd.DataFrame(
        [
            ["relapse", "fine_gray", 0, 9.1, 3, 0.03, np.nan, 178, 41, "", "", "", ""],
            ["relapse", "fine_gray", 1, 2.1, 3, 0.55, np.nan, 170, 40, "subtype, mrd", "site", "age (const)", "pooled"],
        ],
        columns=["endpoint", "model", "adjusted", "statistic", "df", "p_value", "proportional_p", "n", "events",
                 "covariates", "strata", "left_out", "remark"],
    )  # fmt: skip
    markers = pd.DataFrame(
        [[name, "expression", f"G{rank}", rank, 3.0 - rank, 0.9, 1.0, 0.0, 40] for name in names for rank in (1, 2)],
        columns=["subtype", "layer", "feature", "rank", "difference", "auc", "mean_inside", "mean_outside", "n"],
    )
    panels = pd.DataFrame(
        [["expression", 1, 3.0, 0.9, 0.88, 0.7, names[0], 178]],
        columns=["layer", "per_subtype", "features", "accuracy", "balanced_accuracy", "worst", "worst_subtype", "n"],
    )
    solutions = pd.DataFrame(
        [["mixture", len(names), 0.02, 1.0, 1], ["kmeans", 3, 0.04, 0.7, 0]],
        columns=["solution", "n_subtypes", "p_value", "ari", "chosen"],
    )
    looked = pd.DataFrame(
        [["relapse", one, 3, "gray", 9.0, 2, 0.01, 0.02, 178, 41] for one in ("mixture", "kmeans")],
        columns=["endpoint", "solution", "n_groups", "test", "statistic", "df", "p_value", "p_adjusted", "n", "events"],
    )
    supervised = pd.DataFrame(
        [
            ["held_out", 0, "gray", 178, 60, 41, 5.0, 0.04, "permutation", 199, 2.0, 1.1, 3.6, 1, "dealt", "Said."],
            ["circular", -1, "gray", 178, 60, 41, 30.0, 1e-8, "asymptotic", 0, 6.0, 3.1, 9.6, 0, "CIRCULAR", "Said."],
        ],
        columns=["name", "repeat", "test", "n", "n_high", "events", "statistic", "p_value", "method", "n_permutations",
                 "hazard_ratio", "lower", "upper", "evidence", "remark", "verdict"],
    )  # fmt: skip
    return {
        "verdicts": verdicts.assign(sentence=sentences), "adjusted_tests": adjusted, "markers": markers,
        "panels": panels, "solutions": solutions, "solution_tests": looked, "relapse_tests": supervised,
    }  # fmt: skip


def make_judgement(keys: list[str]) -> dict[str, xr.Dataset]:
    """Calibration, decision curve, permutations and audit."""
    rows = [["clinical", "", "logistic"], ["omics", "factors", "logistic"], ["both", "factors", "logistic"]]
    calibration = pd.DataFrame(
        [[*row, g, 34, 8, 0.1 * g + 0.05, 0.1 * g + 0.08, 0.1 * g, 0.1 * g + 0.2] for row in rows for g in range(5)],
        columns=[*keys, "group", "n", "events", "predicted", "observed", "lower", "upper"],
    )
    decision = pd.DataFrame(
        [[*row, t, 0.2 - t / 2, 0.1 - t / 2, 0.3 - t / 2, 0.2 - t, 0.6] for row in rows for t in (0.1, 0.2, 0.3)],
        columns=[*keys, "threshold", "net_benefit", "lower", "upper", "all", "flagged"],
    )
    null = pd.DataFrame(
        [[*row, 0.68, 0.5, 0.58, 0.05, 19] for row in rows],
        columns=[*keys, "estimate", "null_mean", "null_upper", "p_value", "permutations"],
    )
    audit = pd.DataFrame(
        [["trace", "rows", 1, "none saw a held-out row"], ["noise", "fold 0", 1, "the same to the last bit"]],
        columns=["check", "what", "passed", "detail"],
    )
    tables = {"calibration": calibration, "decision": decision, "permutations": null, "audit": audit}
    return {f"/{name}": from_table(table) for name, table in tables.items()}


def make_evaluation(difference: tuple[float, float, float] = (0.04, -0.02, 0.10)) -> xr.DataTree:
    rows, compared, folds = [], [], []
    planned = [
        ["clinical", "", 170, 41, 0.22, 4, 10.25, 320, 0],
        ["omics", "factors", 170, 41, 0.22, 8, 5.125, 640, 0],
        ["both", "factors", 170, 41, 0.22, 12, 3.4, 960, 0],
    ]
    for model in ("logistic", "forest"):
        for features, auc in {"clinical": 0.66, "omics": 0.68, "both": 0.71}.items():
            made_of = "" if features == "clinical" else "factors"
            rows.append([features, made_of, model, "auc", auc, auc - 0.08, auc + 0.07, 170, 41])
            rows.append([features, made_of, model, "brier", 0.16, 0.13, 0.19, 170, 41])
            folds += [[0, f, features, made_of, model, str(f), 136, 34, "{}", ""] for f in range(5)]
        compared.append(["both - clinical", "factors", model, "auc", *difference])
        compared.append(["omics - clinical", "factors", model, "auc", 0.02, -0.08, 0.11])
    folds[3][-1] = "ValueError: Solver <saga> did not converge"
    estimate = ["estimate", "lower", "upper"]
    keys = ["features", "representation", "model"]
    columns = ["repeat", "fold", *keys, "held_out", "train", "test", "chosen", "error"]
    counted = ["patients", "events", "risk", "parameters", "events_per_parameter", "needed", "enough"]
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"horizon": 5.0, "clinical_variables": ["age", "sex", "wbc", "mrd"]}),
            "/metrics": from_table(pd.DataFrame(rows, columns=[*keys, "metric", *estimate, "n", "events"])),
            "/differences": from_table(pd.DataFrame(compared, columns=["comparison", *keys[1:], "metric", *estimate])),
            "/planning": from_table(pd.DataFrame(planned, columns=[*keys[:2], *counted])),
            **make_judgement(keys),
            "/folds": from_table(pd.DataFrame(folds, columns=columns)),
        }
    )


def make_trees(
    n: int = 180, names: list[str] | None = None, known: list[str] | None = None, seed: int = 3
) -> dict[str, Any]:
    names = names or ["S1", "S2", "S3", "S4"]
    rng = np.random.default_rng(seed)
    label = np.sort(rng.integers(0, len(names), n))
    types = [
        "ETV6::RUNX1",
        "Hyperdiploid",
        "KMT2A-r",
        "BCR::ABL1",
        "TCF3::PBX1",
        "Ph-like",
        "DUX4-r",
        "iAMP21",
        "Other",
        "B",
    ]
    clinical = make_clinical(n, label, rng, known or types)
    cohort = make_cohort(clinical, rng)
    return {
        "cohort": cohort,
        "factors": make_factors(cohort, label, rng),
        "subtypes": make_subtypes(clinical, label, names, rng),
        "evaluation": make_evaluation(),
        "manifests": {
            "cohort": {
                "noun": "cohort",
                "parameters": {"timepoint": "diagnosis"},
                "inputs": [{"path": "methylation.tsv.gz", "sha256": "ab" * 32}],
                "digest": "cd" * 32,
                "run": {"created": "2026-01-02T03:04:05+00:00", "python": "3.11.2", "versions": {"numpy": "2.1"}},
            },
            "factors": {"noun": "factors", "parameters": {"n_factors": 8}, "inputs": [], "digest": "ef" * 32},
        },
    }


class Reader(HTMLParser):
    """Read the page as a browser would: an element that is not closed or a stray end tag is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[tuple[str, str]] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.text.append((where, data))
        if "table" in self.open:
            if "caption" in self.open:
                self._caption += data.strip()
            elif "td" in self.open or "th" in self.open:
                self._rows[-1][-1] += data.strip()

    @property
    def words(self) -> str:
        """What a reader sees."""
        seen = "".join(data for where, data in self.text if where not in ("style", "script"))
        return re.sub(r"\s+", " ", seen)

    def ids(self) -> list[str]:
        return [str(attrs["id"]) for _, attrs in self.attributes if "id" in attrs]


def page_of(folder: Path, **given: Any) -> str:
    path = folder / "report.html"
    write_report(path, **{"title": "A cohort", "overwrite": True, **given})
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session", name="make_trees")
def make_trees_fixture() -> Callable[..., dict[str, Any]]:
    """Build the arguments of write_report."""
    return make_trees


@pytest.fixture(scope="session", name="make_evaluation")
def make_evaluation_fixture() -> Callable[..., xr.DataTree]:
    """Build an evaluation, with the difference that is asked for."""
    return make_evaluation


@pytest.fixture
def page_with(tmp_path: Path) -> Callable[..., str]:
    """Write a page of the artefacts given and return its text."""
    return lambda **given: page_of(tmp_path, **given)


@pytest.fixture(scope="session")
def reader() -> type[Reader]:
    """The reader of a page's text."""
    return Reader


@pytest.fixture(scope="session")
def trees() -> dict[str, Any]:
    return make_trees()


@pytest.fixture(scope="session")
def page(trees: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(tmp_path_factory.mktemp("report"), **trees)


@pytest.fixture(scope="session")
def read(page: str) -> Reader:
    return Reader(page)
