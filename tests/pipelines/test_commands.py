"""The contract on which scripts rely: every command on a small cohort, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from omics.artefact import digest, read_manifest
from pipelines.steps import NAMES


def info(omics, path) -> dict:
    result = omics("info", path, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def same_digests(one: Path, other: Path) -> dict[str, bool]:
    return {name: digest(one / name) == digest(other / name) for name in NAMES.values()}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_leaves_its_artefacts_and_nothing_else(finished):
    assert files(finished) == {*NAMES.values(), "report.html", "report_data", "steps.json"}
    assert {noun: read_manifest(finished / name)["noun"] for noun, name in NAMES.items()} == {n: n for n in NAMES}


def test_the_commands_one_by_one_give_the_digests_of_a_run(omics, raw, finished, tmp_path):
    data, at = raw / "data", {noun: tmp_path / name for noun, name in NAMES.items()}
    calls = [
        ("ingest", at["cohort"], "--methylation", data / "methylation_beta.tsv.gz", "--expression",
         data / "expression_counts.tsv.gz", "--mutations", data / "mutations.maf.gz", "--sequenced",
         data / "sequenced_samples.txt", "--probes", data / "probe_annotation.tsv", "--clinical",
         data / "clinical.tsv", "--config", raw / "config.toml"),
        ("prepare", at["cohort"], at["prepared"], "--n-features", 200),
        ("factors", at["prepared"], at["factors"], "--n-factors", 4, "--seed", 1),
        ("subtypes", at["factors"], at["subtypes"], "--prepared", at["prepared"], "--n-subtypes", 3, "--resamples", 3,
             "--null-sets", 39, "--refits", 1),
        ("interpret", at["factors"], at["interpretation"], "--prepared", at["prepared"], "--subtypes", at["subtypes"],
         "--mutations", data / "mutations.maf.gz"),
        ("evaluate", at["prepared"], at["evaluation"], "--n-folds", 2, "--n-inner", 2, "--models", "logistic",
         "--n-factors", 3),
        ("train", at["prepared"], at["model"], "--n-factors", 3, "--evaluation", at["evaluation"]),
    ]  # fmt: skip
    for call in calls:
        result = omics(*call)
        assert result.exit_code == 0, result.stderr
        assert result.stdout, "a command says what it made"
    assert same_digests(tmp_path, finished) == dict.fromkeys(NAMES.values(), True)
    new = at["cohort"]
    assert omics("predict", at["model"], new).stdout == omics("predict", finished / "model", new).stdout


def test_a_factor_artefact_opens_with_xarray_alone(finished):
    tree = xr.open_datatree(finished / "factors.zarr")
    assert tree["factors"]["score"].dims == ("sample", "factor")
    assert tree["views/expression"]["weight"].dims == ("feature", "factor")
    assert {"recipe", "clinical", "variance", "restarts"} <= set(tree.children)
    assert {"recipe", "mofa"} <= set(tree.attrs)


def test_any_subset_of_layers_goes_through(omics, raw, tmp_path):
    assert omics("ingest", tmp_path / "c.zarr", "--expression", raw / "data/expression_counts.tsv.gz").exit_code == 0
    assert omics("prepare", tmp_path / "c.zarr", tmp_path / "p.zarr").exit_code == 0
    assert omics("factors", tmp_path / "p.zarr", tmp_path / "m.zarr", "--n-factors", 2).exit_code == 0
    result = omics("subtypes", tmp_path / "m.zarr", tmp_path / "s.zarr", "--n-subtypes", 2, "--resamples", 2)
    assert result.exit_code == 0, result.stderr
    figures = info(omics, tmp_path / "s.zarr")
    assert figures["n_subtypes"] == 2
    assert figures["tests"] == [], "there is no clinical table to compare"
    page = omics("report", tmp_path, "-o", tmp_path / "r.html")
    assert page.exit_code == 2, "these are not the names of a run"
    for short, noun in {"c": "cohort", "m": "factors", "s": "subtypes"}.items():
        (tmp_path / f"{short}.zarr").rename(tmp_path / NAMES[noun])
    page = omics("report", tmp_path, "-o", tmp_path / "r.html")
    assert page.exit_code == 0, page.stderr


# --- info -----------------------------------------------------------------------------------------------------------


def test_info_of_a_cohort(omics, finished):
    figures = info(omics, finished / "cohort.zarr")
    assert figures["noun"] == "cohort"
    assert figures["samples"] <= 100
    assert set(figures["views"]) == {"expression", "methylation", "mutation"}
    assert figures["views"]["methylation"]["features"] == 300
    assert figures["overlap"]["all"] <= min(view["samples"] for view in figures["views"].values())
    assert sum(figures["events"].values()) == figures["clinical"]
    assert figures["events"]["relapse"] == figures["relapses"]
    assert {entry["path"] for entry in figures["inputs"]} >= {"clinical.tsv", "mutations.maf.gz"}


def test_info_of_factors(omics, finished):
    figures = info(omics, finished / "factors.zarr")
    assert figures["n_factors"] == 4
    assert figures["parameters"]["seed"] == 1
    assert 0 < figures["r2"]["methylation"] <= 1
    assert [row["factor"] for row in figures["r2_by_factor"]] == ["Factor1", "Factor2", "Factor3", "Factor4"]
    assert figures["best_elbo"] == max(row["elbo"] for row in figures["restarts"])
    best = next(row for row in figures["restarts"] if row["elbo"] == figures["best_elbo"])
    assert (figures["engine"], figures["iterations"], figures["converged"]) == ("stream", best["iterations"], True)
    assert 0 < figures["active"] <= 4
    assert 0 < figures["stability"]["min"] <= figures["stability"]["mean"] <= 1
    assert "groups" not in figures
    assert "elbo_by_number" not in figures


def test_info_of_factors_of_several_numbers_and_groups(omics, finished, tmp_path):
    options = ["--n-factors", "2,3", "--restarts", 2, "--groups", "sex", "--no-ard-weights", "--drop", 0]
    made = omics("factors", finished / "prepared.zarr", tmp_path / "f.zarr", *options)
    assert made.exit_code == 0, made.stderr
    figures = info(omics, tmp_path / "f.zarr")
    assert [(row["n_factors"], row["fits"]) for row in figures["elbo_by_number"]] == [(2, 2), (3, 2)]
    assert figures["best_elbo"] == max(row["best_elbo"] for row in figures["elbo_by_number"])
    assert set(figures["groups"]) == {"Female", "Male"}
    assert sum(figures["groups"].values()) == figures["samples"]
    assert figures["parameters"]["n_factors"] == [2, 3]
    assert "elbo_by_number" in omics("info", tmp_path / "f.zarr").stdout


def test_the_number_of_factors_is_found(omics, finished, tmp_path):
    arguments = (finished / "prepared.zarr", tmp_path / "f.zarr", "--n-factors", "auto", "--restarts", 1)
    assert omics("factors", *arguments).exit_code == 0
    figures = info(omics, tmp_path / "f.zarr")
    assert figures["parameters"]["n_factors"] == "auto"
    assert figures["n_factors"] < 25
    assert "stability" not in figures, "there is no other fit"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--n-factors", "5,x"), "'5,x' is not a valid integer, list of integers, or auto"),
        (("--n-factors", "5,0"), "0 is not at least 1"),
        (("--drop", "1.5"), "drop is 1.5"),
        (("--groups", "sexe"), "there is no clinical column 'sexe'"),
    ],
)
def test_what_factors_cannot_be_learned(omics, finished, tmp_path, options, said):
    result = omics("factors", finished / "prepared.zarr", tmp_path / "f.zarr", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert files(tmp_path) == set()


def test_where_the_data_lie_changes_nothing(omics, raw, finished, tmp_path):
    arguments = ("--n-factors", 4, "--hold", "disk")
    assert omics("factors", finished / "prepared.zarr", tmp_path / "f.zarr", *arguments).exit_code == 0
    assert digest(tmp_path / "f.zarr") == digest(finished / "factors.zarr")
    changed = raw / "held.toml"
    changed.write_text((raw / "config.toml").read_text().replace("[factors]", '[factors]\nhold = "store"'))
    assert omics("run", changed, "-o", finished, "--resume", "--dry-run").stdout.count("up to date") == 8
    changed.unlink()


def test_info_of_subtypes(omics, finished):
    figures = info(omics, finished / "subtypes.zarr")
    assert figures["n_subtypes"] == 3
    assert list(figures["sizes"]) == ["S1", "S2", "S3"]
    assert sum(figures["sizes"].values()) == info(omics, finished / "factors.zarr")["samples"]
    assert -1 <= figures["stability"] <= 1
    assert 0 < figures["structure_p_value"] <= 1
    assert {row["endpoint"] for row in figures["tests"]} == {"relapse", "event_free", "overall", "after_relapse"}
    assert figures["relapse_p_value"] == next(r["p_value"] for r in figures["tests"] if r["endpoint"] == "relapse")
    assert "subtype" in {row["label"] for row in figures["agreement"]}


def test_info_of_an_evaluation_has_three_rows_with_intervals(omics, finished):
    figures = info(omics, finished / "evaluation.zarr")
    auc = {row["features"]: row for row in figures["metrics"] if row["metric"] == "auc"}
    assert set(auc) == {"clinical", "omics", "both"}
    assert all(row["lower"] <= row["estimate"] <= row["upper"] for row in auc.values())
    assert {row["comparison"] for row in figures["differences"]} >= {"both - clinical", "omics - clinical"}
    assert figures["failed_fits"] == 0


def test_info_of_a_model_says_what_it_is_for(omics, finished):
    card = info(omics, finished / "model")["card"]
    assert "not for treatment decisions" in card["intended_use"]
    assert card["layers"] == ["expression", "methylation", "mutation"]


@pytest.mark.parametrize("name", NAMES.values())
def test_info_for_people(omics, finished, name):
    result = omics("info", finished / name)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{finished / name}: ")
    assert "nan" not in result.stdout.split()


# --- predict, check, report, run ------------------------------------------------------------------------------------


def test_predict_writes_a_table_to_stdout_or_to_a_file(omics, finished, tmp_path):
    result = omics("predict", finished / "model", finished / "cohort.zarr", "--no-progress")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(StringIO(result.stdout), sep="\t")
    assert table["probability"].between(0, 1).all()
    written = omics("predict", finished / "model", finished / "cohort.zarr", "-o", tmp_path / "p.tsv")
    assert written.stdout == ""
    assert (tmp_path / "p.tsv").read_text() == result.stdout
    assert omics("predict", finished / "model", finished / "cohort.zarr", "-o", tmp_path / "p.tsv").exit_code == 2
    assert files(tmp_path) == {"p.tsv"}


def one_patients_files(raw: Path, patient: str, folder: Path) -> list[object]:
    """The raw files cut to one patient, and the arguments that ingest them."""
    arguments: list[object] = ["--config", raw / "config.toml"]
    for option, name in (("methylation", "methylation_beta.tsv.gz"), ("expression", "expression_counts.tsv.gz")):
        table = pd.read_csv(raw / "data" / name, sep="\t", dtype=str, keep_default_na=False)
        own = [column for column in table if column.startswith(patient)]
        if own:
            table[["feature", *own]].to_csv(folder / f"{option}.tsv", sep="\t", index=False)
            arguments += [f"--{option}", folder / f"{option}.tsv"]
    maf = pd.read_csv(raw / "data/mutations.maf.gz", sep="\t", comment="#", dtype=str, keep_default_na=False)
    maf[maf["Tumor_Sample_Barcode"].str.startswith(patient)].to_csv(folder / "m.maf", sep="\t", index=False)
    sequenced = (raw / "data/sequenced_samples.txt").read_text().split()
    (folder / "s.txt").write_text("\n".join(one for one in sequenced if one.startswith(patient)) + "\n")
    clinical = pd.read_csv(raw / "data/clinical.tsv", sep="\t", dtype=str, keep_default_na=False)
    clinical[clinical["patient_id"] == patient].to_csv(folder / "c.tsv", sep="\t", index=False)
    return [
        *arguments,
        "--mutations",
        folder / "m.maf",
        "--sequenced",
        folder / "s.txt",
        "--clinical",
        folder / "c.tsv",
    ]


def test_one_patient_from_files_of_their_own_gets_the_answer_of_the_cohort(omics, raw, finished, tmp_path):
    """Also the genes that a MAF of one patient does not name are known to be unmutated."""
    everyone = pd.read_csv(StringIO(omics("predict", finished / "model", finished / "cohort.zarr").stdout), sep="\t")
    mutated = everyone[everyone["layers"].str.contains("mutation")].set_index("sample")
    complete, partial = (mutated.index[mutated["layers"].str.count(",") == count][0] for count in (2, 1))
    for patient in (complete, partial):
        folder = tmp_path / patient
        folder.mkdir()
        made = omics("ingest", folder / "one.zarr", *one_patients_files(raw, patient, folder))
        assert made.exit_code == 0, made.stderr
        alone = pd.read_csv(StringIO(omics("predict", finished / "model", folder / "one.zarr").stdout), sep="\t")
        for name in ("probability", "score_sd", "layers"):
            assert alone.loc[0, name] == mutated.loc[patient, name]


@pytest.mark.parametrize("array", ["clinical/age", "views/methylation/value", "clinical/sample"])
def test_a_damaged_input_is_refused_before_the_work_and_named(omics, finished, tmp_path, array):
    copy = tmp_path / "c.zarr"
    shutil.copytree(finished / "cohort.zarr", copy)
    chunk = next(file for file in sorted((copy / array / "c").rglob("*")) if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    chunk.write_bytes(content)
    result = omics("prepare", copy, tmp_path / "p.zarr")
    assert result.exit_code == 6
    assert str(chunk) in result.stderr
    assert files(tmp_path) == {"c.zarr"}
    shown = omics("info", copy)  # reads only what it shows
    assert (shown.exit_code, str(chunk) in shown.stderr) == ((0, False) if "value" in array else (6, True))
    with pytest.raises(ValueError, match="checksum"):  # and whoever reads without us sees it as well
        xr.open_datatree(copy)[array].load()


def test_check_finds_what_was_tampered_with(omics, finished, tmp_path):
    copy = tmp_path / "c.zarr"
    shutil.copytree(finished / "cohort.zarr", copy)
    assert omics("check", copy, "--hashes").exit_code == 0
    chunk = next(file for file in sorted((copy / "views/methylation/value").rglob("c/*/*")) if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    assert omics("check", copy).exit_code == 0, "sizes are as they were"
    result = omics("check", copy, "--hashes")
    assert result.exit_code == 6
    assert chunk.name in result.stderr
    chunk.unlink()
    assert omics("check", copy).exit_code == 6
    assert omics("prepare", copy, tmp_path / "p.zarr").exit_code == 6
    assert files(tmp_path) == {"c.zarr"}


def test_a_wrong_kind_of_artefact_is_refused(omics, finished, tmp_path):
    result = omics("factors", finished / "cohort.zarr", tmp_path / "m.zarr")
    assert result.exit_code == 2
    assert "this is a cohort artefact" in result.stderr
    assert files(tmp_path) == set()


def test_a_second_run_needs_resume_and_keeps_all(omics, raw, finished):
    refused = omics("run", raw / "config.toml")
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    before = {name: (finished / name).stat().st_mtime_ns for name in files(finished)}
    planned = omics("run", raw / "config.toml", "--resume", "--dry-run")
    assert planned.stdout.count("up to date") == 8
    resumed = omics("run", raw / "config.toml", "--resume")
    assert resumed.exit_code == 0
    assert before == {name: (finished / name).stat().st_mtime_ns for name in files(finished)}


def test_a_dry_run_says_what_a_changed_setting_costs(omics, raw, finished):
    changed = raw / "changed.toml"
    changed.write_text((raw / "config.toml").read_text().replace("n_subtypes = 3", "n_subtypes = 2"))
    lines = omics("run", changed, "--dry-run").stdout.splitlines()
    changed.unlink()
    reasons = dict(line.split(": ", 1) for line in lines)
    assert [text for name, text in reasons.items() if name.startswith("subtypes")] == ["n_subtypes: 3 -> 2"]
    assert [text for name, text in reasons.items() if name.startswith("report")] == ["subtypes runs before it"]
    assert sum(text == "up to date" for text in reasons.values()) == 5


@pytest.mark.slow
def test_processes_give_the_digests_of_threads(omics, raw, finished, tmp_path):
    result = omics("run", raw / "config.toml", "-o", tmp_path / "local", "--cluster", "local", "--workers", 2)
    assert result.exit_code == 0, result.stderr
    assert same_digests(tmp_path / "local", finished) == dict.fromkeys(NAMES.values(), True)


@pytest.mark.slow
def test_the_demo_ends_with_the_path_of_its_report_and_a_second_call_keeps_all(omics, tmp_path):
    first = omics("demo", tmp_path / "demo")
    assert first.exit_code == 0, first.stderr
    page = Path(first.stdout.splitlines()[-1])
    assert page == tmp_path / "demo/results/report.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for step in ("simulate", "ingest", "factors", "evaluate", "report"):
        assert f"\n{step}" in f"\n{first.stderr}"
    second = omics("demo", tmp_path / "demo")
    assert second.stdout == first.stdout
    assert second.stderr.count("up to date") == 8


# --- evaluation of other questions ------------------------------------------------------------------------------------

QUICK = ("--n-folds", 2, "--n-inner", 2, "--models", "logistic", "--n-factors", 3)


def test_another_endpoint_with_an_audit(omics, finished, tmp_path):
    output = tmp_path / "evaluation.zarr"
    asked = ("--endpoint", "event_free", "--landmark", 0.1, "--horizon", 3, "--audit", "--permutations", 2)
    result = omics("evaluate", finished / "prepared.zarr", output, *QUICK, *asked)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.index("sample_size") < result.stdout.index("metrics"), "events per parameter come first"
    figures = info(omics, output)
    assert all(row["passed"] for row in figures["audit"])
    assert {row["check"] for row in figures["audit"]} == {"predictors", "samples", "trace", "noise", "permutation"}
    assert figures["question"].startswith("event free within 3 years of diagnosis")
    assert "mrd" in figures["clinical_variables"]


def test_a_leak_is_an_error_after_the_evidence_is_published(omics, finished, tmp_path, monkeypatch):
    source = (
        "from benchmarks.leakage import correlation, Recipe, Chosen\nfrom omics import cohort\nimport numpy as np\n"
    )
    source += (
        "def leak(training):\n"
        "    everyone = cohort.open(training.store, noun='prepared')\n"
        "    view = cohort.node(Recipe.of(everyone).fit_transform(everyone), 'views/expression')\n"
        "    event = cohort.clinical_table(everyone)['event'].reindex(view.indexes['sample'])\n"
        "    size = np.abs(correlation(view['value'].transpose('sample', 'feature').to_numpy(), event == 1))\n"
        "    ids = view.indexes['feature'][np.sort(np.argsort(-size)[:10])]\n"
        "    return Chosen(training.recipe, {'expression': list(map(str, ids))})\n"
    )
    (tmp_path / "users_own.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    output = tmp_path / "evaluation.zarr"
    mine = ("--representations", "users_own:leak", "--audit")
    result = omics("evaluate", finished / "prepared.zarr", output, *QUICK, *mine)
    assert result.exit_code == 3
    assert "the audit failed" in result.stderr
    assert "users_own:leak" in result.stderr
    assert any(not row["passed"] for row in info(omics, output)["audit"])


def test_known_classes(omics, finished, tmp_path):
    output = tmp_path / "classes.zarr"
    result = omics("evaluate", finished / "prepared.zarr", output, *QUICK, "--classes", "subtype")
    assert result.exit_code == 0, result.stderr
    figures = info(omics, output)
    assert {row["metric"] for row in figures["class_metrics"]} >= {"accuracy", "balanced_accuracy", "answered"}
    page = tmp_path / "run"
    page.mkdir()
    output.rename(page / "evaluation.zarr")
    assert omics("report", page).exit_code == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--clinical-variables", "age,event_time"), 2, "'event_time' is part of the outcome"),
        (("--clinical-variables", "mrd"), 2, "'mrd' is known 0.09 years after diagnosis"),
        (("--endpoint", "remission"), 2, "'remission' is not one of"),
        (("--endpoint", "after_relapse", "--horizon", 50), 3, "nobody was followed up to the horizon of 50 years"),
        (("--endpoint", "second_event"), 3, "needs the column 'second_event'"),
        (("--models", "nowhere:model"), 2, "cannot be imported"),
        (("--representations", "pca"), 2, "'pca' is not one of"),
        (("--leave-out", "ward"), 2, "no clinical column 'ward'"),
        (("--leave-out", "site", "--n-repeats", 2), 2, "nothing to repeat"),
        (("--splits", "none.tsv"), 3, "cannot be read"),
        (("--classes", "karyotype"), 3, "no clinical column 'karyotype'"),
        (("--known-at", "mrd"), 2, "cannot read 'mrd'"),
        (("--horizon", 0), 2, "horizon is 0"),
    ],
)
def test_questions_that_cannot_be_asked(omics, finished, tmp_path, options, code, said):
    result = omics("evaluate", finished / "prepared.zarr", tmp_path / "e.zarr", *options)
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert not (tmp_path / "e.zarr").exists()
