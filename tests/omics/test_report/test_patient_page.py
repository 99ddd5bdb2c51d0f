"""The page of one patient: it says what limits its answer, and every text on it is text."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from omics.report import Patient, patient_page

HOSTILE = "</script><img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom"]  # fmt: skip

Read = Callable[[Patient], Any]


def card(**other: Any) -> dict[str, Any]:
    figures = [("auc", 0.81, 0.69, 0.89), ("calibration_slope", 0.98, 0.45, 1.5), ("brier", 0.09, 0.07, 0.12)]
    return {
        "outcome": "relapse within 5 years of diagnosis", "event": "relapse as first event", "model": "logistic",
        "features": "both", "patients": 360, "known_outcome": 320, "events": 40, "predictors": 3, "needed": 300,
        "layers": ["expression", "methylation"], "columns": ["age", "sex"], "chosen": {"C": 0.25},
        "not_for": "other tissues", "versions": {"numpy": "2.4"}, "tripod": {"11 missing data": "integrated over"},
        "performance": [
            {"metric": name, "estimate": value, "lower": low, "upper": high, "n": 320, "events": 40}
            for name, value, low, high in figures
        ],
        **other,
    }  # fmt: skip


def row(view: str, **said: str) -> dict[str, str]:
    columns = {
        "resistance": "drug alteration", "targets": "target indication agents status region status_date",
    }[view]  # fmt: skip
    every = "sample subtype gene lesion detail agrees role statement evidence reference origin caveat known"
    return {**dict.fromkeys(f"{every} {columns}".split(), ""), "known": "measured", "agrees": "yes", **said}


def made(**other: Any) -> Patient:
    predictors = pd.DataFrame({
        "predictor": ["Factor1", "age", "sex"], "given": ["expression: +A", "4.5", "Female"],
        "value": [1.5, 4.5, np.nan], "mean": [0.0, 6.0, np.nan], "median": [0.1, 5.0, np.nan],
        "low": [-2.0, 1.0, np.nan],
        "high": [2.0, 17.0, np.nan], "below": [0.9, 0.4, np.nan], "share": [np.nan, np.nan, 0.5],
        "contribution": [0.7, -0.3, 0.1],
    })  # fmt: skip
    resistance = [
        row("resistance", gene="NRAS", lesion="mutation", drug="chemotherapy", statement="Known of it.", caveat="But."),
        row("resistance", gene="CD19", lesion="mutation", drug="another", agrees="no"),
        row("resistance", gene="IKZF1", lesion="deletion", drug="steroids", agrees="", known="not measured"),
        row("resistance", gene="LCK", drug="venetoclax", agrees="to be checked", known="not measured"),
    ]
    targets = [row("targets", gene="NRAS", lesion="mutation", target="MAP2K1", agents="trametinib", status="trial")]
    lesions = pd.DataFrame({"sample": ["P1"], "gene": ["NRAS"], "lesion": ["mutation"], "detail": ["p.G12D"],
                            "classification": [""], "source": ["mutation matrix"]})  # fmt: skip
    tested = dict.fromkeys(("drug", "toxicity", "variant", "cpic", "statement"), "said")
    tested |= {"gene": "TPMT", "reference": "PMID:1", "origin": "ours", "caveat": "Old."}
    given: dict[str, Any] = {
        "sample": "P1",
        "prediction": {"sample": "P1", "probability": 0.5174, "lower": 0.4842, "upper": 0.5561, "outside": "",
                       "layers": "expression", "missing": "methylation", "features": 0.5},
        "subtypes": pd.Series({"S1": 0.1, "S2": 0.9}),
        "predictors": predictors,
        "scale": "log-odds",
        "card": card(),
        "lesions": lesions,
        "resistance": pd.DataFrame(resistance),
        "targets": pd.DataFrame(targets),
        "pharmacogenes": pd.DataFrame([tested]),
        "sources": {"mutations": (True, "52 genes"), "fusions": (False, "no column"), "copy number": (False, "none")},
        "provenance": [("Model, digest", "ab" * 32)],
    }  # fmt: skip
    return Patient(**{**given, **other})


@pytest.fixture
def read(reader: type) -> Read:
    return lambda patient: reader(patient_page(patient))


def warnings(page: Any) -> list[str]:
    return [data for where, data in page.text if where == "p" and data.startswith(("The model", "The patient"))]


def test_answer_and_what_carries_it(read: Read) -> None:
    page = read(made())
    answer = dict(page.tables["The answer"][1:])
    assert answer["Predicted risk"] == "51.7\xa0%"
    assert (answer["Interval, from"], answer["Interval, to"]) == ("48.4\xa0%", "55.6\xa0%")
    assert "layers of the model measured in the patient1 of 2" in page.words
    assert dict(page.tables["How good the model is"][1:])["AUC"] == "0.81 (0.69 to 0.89)"
    assert dict(page.tables["How good the model is"][1:])["Validated in another cohort"].startswith("no")
    assert [name for name, _ in page.tables["Subtype"][1:]] == ["S2", "S1"]
    assert "doubtful" not in page.words
    assert "Contributions add up to +0.500 in log-odds: 1.65 times the odds" in page.words
    assert warnings(page) == []


@pytest.mark.parametrize(("other", "said"), [
    ({"card": card(performance=[])}, "quotes no evaluation"),
    ({"card": card(needed=1615)}, "at least 1,615 are advised"),
    ({"card": card(performance=[{"metric": "auc", "estimate": 0.55, "lower": 0.44, "upper": 0.66, "n": 320,
                                 "events": 40}])}, "not shown to be better than chance"),
])  # fmt: skip
def test_what_limits_the_model_is_a_warning(other: dict[str, Any], said: str, read: Read) -> None:
    page = read(made(**other))
    assert [said in one for one in warnings(page)] == [True]
    assert "1 warning" in page.words


def test_abstention_comes_before_the_number(read: Read) -> None:
    patient = made()
    page = read(replace(patient, prediction={**patient.prediction, "outside": "Factor1 is 99"}))
    assert "no answer" in page.words
    assert "Factor1 is 99. It abstains" in warnings(page)[0]
    assert dict(page.tables["The answer"][1:])["Predicted risk"].endswith("(not to be relied on)")
    assert not any(str(attrs.get("aria-label")).startswith("Predicted risk") for _, attrs in page.attributes)


def test_doubtful_subtype_is_said(read: Read) -> None:
    assert "The subtype is doubtful" in read(made(subtypes=pd.Series({"S1": 0.45, "S2": 0.55}))).words


def test_model_without_subtypes_and_contributions(read: Read) -> None:
    predictors = made().predictors.assign(contribution=np.nan)
    page = read(made(subtypes=pd.Series(dtype=float), scale="", predictors=predictors, card=card(model="forest")))
    assert "Subtype" not in page.tables
    assert "Random forest has no linear predictor" in page.words
    assert "Contribution" not in page.tables["Predictors"][0]


def test_leads_gaps_and_what_another_lesion_means(read: Read) -> None:
    page = read(made())
    rows = page.tables["What may resist"]
    assert [one[0] for one in rows[1:]] == ["NRAS mutation"]
    assert rows[1][rows[0].index("What is known")] == "Known of it. But."
    assert "Left out: 1 row on the same genes" in page.words
    assert page.tables["Not measured in this patient"][1:] == [
        ["deletion", "IKZF1", "–"], ["no lesion shows it", "LCK", "–"],
    ]  # fmt: skip
    assert page.tables["What could be targeted"][1][:3] == ["NRAS mutation", "trametinib", "MAP2K1, trial"]
    assert page.tables["Pharmacogenes to test in the germline"][1][2] == "TPMT"
    assert "not looked for: fusions and copy number" in page.words


def test_patient_without_a_lesion(read: Read) -> None:
    bare = made()
    page = read(made(lesions=bare.lesions.iloc[:0], resistance=bare.resistance.iloc[2:], targets=bare.targets.iloc[:0]))
    assert "No lesion was found where it was looked for." in page.words
    assert page.words.count("no lesion of the patient is one that the tables name") == 2
    assert "No lesion that the tables name; not looked for: fusions and copy number." in page.words


def test_all_that_can_be_said_is_text(read: Read) -> None:
    def nasty(table: pd.DataFrame) -> pd.DataFrame:
        texts = table.select_dtypes(object).columns.difference(["known", "agrees", "sample", "lesion"])
        return table.assign(**{str(name): HOSTILE for name in texts})

    patient = made()
    said = {name: nasty(getattr(patient, name)) for name in ("predictors", "lesions", "resistance", "targets",
                                                           "pharmacogenes")}  # fmt: skip
    hostile = made(
        sample=HOSTILE, subtypes=pd.Series({HOSTILE: 1.0}), sources={"mutations": (True, HOSTILE)},
        provenance=[(HOSTILE, HOSTILE)], card=card(outcome=HOSTILE, layers=[HOSTILE], not_for=HOSTILE), **said,
        prediction={**patient.prediction, "layers": HOSTILE, "missing": HOSTILE, "outside": HOSTILE},
    )  # fmt: skip
    page = read(hostile)
    tags = [tag for tag, _ in page.attributes]
    assert "img" not in tags
    assert tags.count("script") == 1
    assert f"Patient {HOSTILE}" in page.words
    assert patient_page(hostile) == patient_page(hostile)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_page_opens_without_a_complaint(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(patient_page(made(sample=HOSTILE)), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in shown.stderr
    assert 'class="sort"' in shown.stdout  # the script ran
    assert "<img" not in shown.stdout
