"""Ingest as a whole: files to a store, or a clear refusal and nothing."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics import artefact, cohort
from omics.read import Sources, ingest
from omics.schema import DataError, IntegrityError, OmicsError, UsageError

LAML_COLUMNS = {
    "patient": "patient_id",
    "relapse": "relapse",
    "relapse_time": {"column": "days_to_first_relapse", "unit": "days"},
    "death": "os_event",
    "death_time": {"column": "os_months", "unit": "months"},
}
PATIENTS = [f"TARGET-10-PA{letter}" for letter in "ABCDEF"]


def matrix(values: dict[str, list[object]], features: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=pd.Index(features, name="feature"))


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Small cohort: five diagnosis samples in each layer, one relapse, one normal."""
    betas = {f"{one}-09A": [0.1, 0.5, ""] for one in PATIENTS[:5]} | {"TARGET-10-PAA-40A": [1, 1, 1]}
    counts = {f"{one}-09A": [10, 0, 3, 7] for one in PATIENTS[1:]} | {"TARGET-10-PAB-10A": [1, 1, 1, 1]}
    paths = {name: tmp_path / f"{name}.tsv" for name in ("methylation", "expression", "clinical")}
    matrix(betas, ["cg00000001", "cg00000002", "cg00000003"]).to_csv(paths["methylation"], sep="\t")
    matrix(counts, ["TP53", "PAX5", "N_unmapped", "__no_feature"]).to_csv(paths["expression"], sep="\t")
    times = {"relapse": [1, 0, 0, 0, 0, 0], "relapse_time": [1, 2, 3, 4, 5, 6]}
    pd.DataFrame({"patient": PATIENTS, "age": range(6), **times}).to_csv(paths["clinical"], sep="\t", index=False)
    return paths


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "out" / "cohort.zarr"


def test_small_cohort(files, output):
    seen = []
    kept = ingest(output, Sources(**files), progress=lambda layer, count: seen.append((layer, count)))
    assert seen == [("methylation", 3), ("expression", 4)]
    tree = cohort.open(output, noun="cohort", hashes=True)
    betas, counts = tree["views/methylation"], tree["views/expression"]
    assert betas["sample"].to_numpy().tolist() == PATIENTS[:5]
    assert betas["feature"].to_numpy().tolist() == ["cg00000001", "cg00000002"]
    np.testing.assert_array_equal(betas["value"], np.tile(np.float32([0.1, 0.5]), (5, 1)))
    assert betas.attrs["units"] == "beta"
    assert counts["feature"].to_numpy().tolist() == ["TP53", "PAX5"]
    assert counts.attrs == {"kind": "expression", "likelihood": "gaussian", "units": "counts"}
    assert cohort.clinical_table(tree)["age"].to_dict() == dict(zip(PATIENTS, range(6), strict=True))
    assert "methylation: 1 features dropped, they have no value" in kept.notes
    assert "expression: 2 summary rows of the counting program dropped" in kept.notes
    excluded, account = (cohort.to_table(cohort.node(tree, name)).fillna("") for name in ("excluded", "account"))
    pd.testing.assert_frame_equal(excluded, kept.excluded, check_like=True, check_names=False)
    pd.testing.assert_frame_equal(account, kept.table, check_like=True, check_names=False)
    assert tree["account"].attrs["notes"] == list(kept.notes)
    parameters = artefact.read_manifest(output)["parameters"]
    assert parameters["files"]["methylation"] == "methylation.tsv"
    assert parameters["detected"] == {"methylation": "features-by-samples", "expression": "features-by-samples"}
    assert not any(part.name.startswith(".") for part in output.parent.iterdir())


def test_nothing_excluded_is_stored_as_text(files, output):
    ingest(output, Sources(clinical=files["clinical"], expression=_changed(files["expression"], "PAB-10A", "PAA-09A")))
    excluded = cohort.node(cohort.open(output), "excluded")
    assert excluded["reason"].dtype.kind in "OT"
    assert excluded.sizes["row"] == 0


def test_wide_matrices_give_the_same_store(files, output, tmp_path):
    ingest(output, Sources(**files))
    for name in ("methylation", "expression"):
        table = pd.read_csv(files[name], sep="\t", index_col=0, dtype=object, keep_default_na=False)
        table.T.rename_axis("sample").to_csv(files[name], sep="\t")
    wide = tmp_path / "wide.zarr"
    ingest(wide, Sources(**files))
    for name in ("methylation", "expression"):
        first, second = (cohort.open(path)[f"views/{name}"].to_dataset().load() for path in (output, wide))
        assert first.identical(second)
    assert not list(wide.rglob("*.spool"))


def test_relapse_samples(files, output):
    ingest(output, Sources(methylation=files["methylation"], clinical=files["clinical"]), timepoint="relapse")
    betas = cohort.open(output)["views/methylation"]
    assert betas["sample"].to_numpy().tolist() == ["TARGET-10-PAA"]
    np.testing.assert_array_equal(betas["value"], [[1, 1, 1]])


def test_log2_expression_with_negatives(files, output):
    _changed(files["expression"], "\t7", "\t-1.5")
    _changed(files["expression"], "N_unmapped", "N_ambiguity").write_text(
        files["expression"].read_text().replace("__no_feature", "KRAS")
    )
    ingest(output, Sources(expression=files["expression"]))
    assert cohort.open(output)["views/expression"].attrs["units"] == "log2"


def _changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if "\t" in old else text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("name", "old", "new", "what", "where"),
    [
        ("methylation", "\t0.5", "\t1.7", "beta 1.7", "line 3, feature cg00000002, sample TARGET-10-PAA"),
        ("methylation", "\t0.5", "\t-3.2", "look like M-values", "line 3, feature cg00000002"),
        ("methylation", "\t0.5", "\tinf", "beta inf", "line 3"),
        (
            "methylation",
            "\t0.5",
            "\tabc",
            "'abc' is not a number",
            "line 3, row 'cg00000002', column 'TARGET-10-PAA-09A'",
        ),
        ("methylation", "PAB-09A", "PAA-09A", "duplicate sample id: TARGET-10-PAA-09A", "methylation.tsv"),
        ("methylation", "PAB-09A", "PAA-03A", "several diagnosis samples", "methylation.tsv"),
        ("methylation", "cg00000002", "cg00000001", "duplicate feature id: 'cg00000001'", "line 3"),
        ("methylation", "cg00000002", "", "a feature has no id", "line 3"),
        ("methylation", "TARGET-10-", "OTHER-", "share no patient", "OTHER-PAA-09A"),
        ("expression", "\t10", "\t-10", "negative count: -10", "expression.tsv"),
        ("expression", "\t10", "\t1000.5", "neither counts nor log2", "expression.tsv"),
        ("expression", "\t10", "\t-inf", "expression value -inf", "line 2, feature TP53, sample TARGET-10-PAB"),
        ("expression", "TARGET", "XARGET", "share no patient", "XARGET-10-PAB-09A"),
        ("clinical", "TARGET-10-PA", "P", "share no patient", "PA, PB, PC"),
    ],
)
def test_refusals_say_where_and_leave_nothing(files, output, name, old, new, what, where):
    _changed(files[name], old, new)
    with pytest.raises(DataError, match=what) as caught:
        ingest(output, Sources(**files))
    assert where in str(caught.value)
    assert caught.value.fix
    assert caught.value.exit_code == 3
    assert not list(output.parent.glob("*"))
    assert not list(output.parent.glob(".*"))


def test_betas_in_percent(files, output):
    table = pd.read_csv(files["methylation"], sep="\t", index_col=0)
    (table * 100).to_csv(files["methylation"], sep="\t")
    with pytest.raises(DataError, match="look like percent"):
        ingest(output, Sources(methylation=files["methylation"]))


def test_truncated_gzip_leaves_nothing(files, output, tmp_path):
    path = tmp_path / "m.tsv.gz"
    path.write_bytes(gzip.compress(files["methylation"].read_bytes())[:-9])
    with pytest.raises(DataError, match="truncated"):
        ingest(output, Sources(methylation=path))
    assert not output.parent.exists()


def test_usage(files, output):
    with pytest.raises(UsageError, match="no layer"):
        ingest(output, Sources(clinical=files["clinical"]))
    with pytest.raises(UsageError, match="probes is given without methylation"):
        ingest(output, Sources(expression=files["expression"], probes=files["clinical"]))
    for option, value in {"timepoint": "birth", "orientation": "upside", "on_duplicate": "last"}.items():
        with pytest.raises(UsageError, match=f"{option} is '{value}'"):
            ingest(output, Sources(**files), **{option: value})
    with pytest.raises(DataError, match="no such file"):
        ingest(output, Sources(methylation="absent.tsv"))
    assert not output.parent.exists()


def test_existing_output_stays_unless_overwritten(files, output):
    ingest(output, Sources(methylation=files["methylation"]))
    before = artefact.digest(output)
    with pytest.raises(UsageError, match="exists"):
        ingest(output, Sources(**files))
    _changed(files["expression"], "\t10", "\t-10")
    with pytest.raises(OmicsError):
        ingest(output, Sources(**files), overwrite=True)
    assert artefact.digest(output) == before
    _changed(files["expression"], "\t-10", "\t10")
    ingest(output, Sources(**files), overwrite=True)
    assert artefact.digest(output) != before


def test_same_input_same_digest(files, tmp_path):
    digests = set()
    for number in range(2):
        ingest(tmp_path / f"{number}.zarr", Sources(**files))
        digests.add(artefact.digest(tmp_path / f"{number}.zarr"))
    assert len(digests) == 1


def test_annotation_of_probes(files, output, tmp_path):
    probes = tmp_path / "probes.tsv"
    probes.write_text("probe\tgene\tchr\tposition\ncg00000002\tTP53\tchr17\t7\ncg99999999\tX\tchr1\t1\n")
    kept = ingest(output, Sources(methylation=files["methylation"], probes=probes))
    view = cohort.open(output)["views/methylation"]
    assert view["gene"].to_numpy().tolist() == ["", "TP53"]
    assert view["chromosome"].to_numpy().tolist() == ["", "chr17"]
    assert view["position"].to_numpy().tolist() == [-1, 7]
    assert "methylation: 1 of 2 probes are annotated" in kept.notes


KILLED = """
import sys, os, signal
from omics.read import Sources, ingest
def stop(layer, count):
    print("writing", flush=True)
    signal.pause()
ingest(sys.argv[1], Sources(methylation=sys.argv[2]), progress=stop, overwrite=True)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_kill_in_the_middle_leaves_no_store_that_opens(files, output, existing):
    source = Sources(methylation=files["methylation"])
    if existing:
        ingest(output, source)
        before = artefact.digest(output)
    command = [sys.executable, "-c", KILLED, str(output), str(files["methylation"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    staging = list(output.parent.glob(".*staging*"))
    assert len(staging) == 1
    with pytest.raises(IntegrityError):
        cohort.open(staging[0])
    if existing:
        assert artefact.verify(output, hashes=True)["digest"] == before
    else:
        with pytest.raises(UsageError, match="no such artefact"):
            cohort.open(output)
    ingest(output, source, overwrite=True)
    assert [part.name for part in output.parent.iterdir() if part.is_dir()] == [output.name]


# --- memory -------------------------------------------------------------------------------------------------------

PEAKS = """
import sys
from pathlib import Path
from omics.read import Sources, ingest
for path in sys.argv[1:]:
    ingest(path + ".zarr", Sources(methylation=path))
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def big_matrix(path: Path, n_features: int, n_samples: int, wide: bool) -> Path:
    features, samples = [f"cg{one:08d}" for one in range(n_features)], [f"P{one:04d}" for one in range(n_samples)]
    rows, columns = (samples, features) if wide else (features, samples)
    cells = np.array([f"0.{number:03d}" for number in range(1000)])
    drawn = cells[np.random.default_rng(0).integers(0, 1000, (20, len(columns)))]
    tails = ["\t".join(row) for row in drawn]
    with gzip.open(path, "wt", compresslevel=1) as handle:
        handle.write("\t".join(["id", *columns]) + "\n")
        handle.writelines(f"{name}\t{tails[number % 20]}\n" for number, name in enumerate(rows))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("wide", [False, True])
def test_memory_does_not_grow_with_the_features(tmp_path, wide):
    """Four times the features, 120 MB more of float32 and more as text, raise the peak by less than half of that."""
    paths = [big_matrix(tmp_path / f"{count}.tsv.gz", count, 500, wide) for count in (20_000, 80_000)]
    command = [sys.executable, "-c", PEAKS, *map(str, paths)]
    small, large = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert (large - small) / 1024 < 60


# --- real patients ------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_laml(shared_data, output):
    folder = shared_data / "laml"
    sources = Sources(
        methylation=folder / "methylation_beta.tsv.gz",
        expression=folder / "expression_log2.tsv.gz",
        mutations=folder / "mutations.maf.gz",
        clinical=folder / "clinical.tsv",
        probes=folder / "methylation_probe_annotation.tsv",
    )
    kept = ingest(output, sources, clinical_columns=LAML_COLUMNS)
    counted = kept.table.set_index(["layer", "what"])["samples"]
    assert counted["methylation", "kept"] == 194
    assert counted["expression", "kept"] == 173
    assert counted["mutation", "kept"] == 193
    assert counted["all", "in all layers"] == 164
    assert counted["all", "in any layer"] == 200
    tree = cohort.open(output)
    assert tree["views/expression"].attrs["units"] == "log2"
    assert tree["views/methylation"].sizes["feature"] == 1200 - 115
    raw = pd.read_csv(folder / "methylation_beta.tsv.gz", sep="\t", index_col=0)
    view = tree["views/methylation"]["value"]
    expected = raw.T.reindex(index=view["sample"].to_numpy(), columns=view["feature"].to_numpy())
    np.testing.assert_array_equal(view.to_numpy(), expected.to_numpy(dtype=np.float32))
    variants = pd.read_csv(folder / "mutations.maf.gz", sep="\t")
    mutated = variants[~variants["Variant_Classification"].isin(["Silent", "Intron", "RNA", "5'UTR", "3'UTR"])]
    carriers = mutated[mutated["Hugo_Symbol"] == "DNMT3A"]["Tumor_Sample_Barcode"].nunique()
    assert float(tree["views/mutation"]["value"].sel(feature="DNMT3A").sum()) == carriers
    clinical = cohort.clinical_table(tree)
    table = pd.read_csv(folder / "clinical.tsv", sep="\t", index_col=0)
    assert len(clinical) == 200
    assert clinical["event"].value_counts().to_dict() == {
        1.0: 93,
        2.0: int(((table["relapse"] == 0) & (table["os_event"] == 1)).sum()),
        0.0: int(((table["relapse"] == 0) & (table["os_event"] == 0)).sum()),
    }
    relapsed = table["relapse"] == 1
    np.testing.assert_allclose(
        clinical["event_time"][relapsed], table["days_to_first_relapse"][relapsed] / 365.25, rtol=1e-12
    )


@pytest.mark.shared
def test_paediatric_cohorts(shared_data, tmp_path):
    folder = shared_data / "ball_methylation"
    ingest(tmp_path / "m", Sources(methylation=folder / "methylation_beta.tsv.gz", clinical=folder / "clinical.tsv"))
    tree = cohort.open(tmp_path / "m")
    assert dict(tree["views/methylation"].sizes) == {"sample": 227, "feature": 727}
    folder = shared_data / "ball_counts"
    ingest(tmp_path / "c", Sources(expression=folder / "counts.tsv.gz", clinical=folder / "clinical.tsv"))
    view = cohort.open(tmp_path / "c")["views/expression"]
    assert dict(view.sizes) == {"sample": 20, "feature": 19_514}
    assert view.attrs["units"] == "counts"
    raw = pd.read_csv(folder / "counts.tsv.gz", sep="\t", index_col=0, keep_default_na=False)
    assert float(view["value"].sum(dtype="float64")) == float(raw.to_numpy().sum())
