"""Matrix files: every layout gives the same numbers; faults are found where they are."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from omics.read import lines, matrix
from omics.read.matrix import detect, open_matrix
from omics.schema import DataError

N_FEATURES, N_SAMPLES = 700, 11
SAMPLES = [f"TARGET-10-PA{number:04d}-09A-01R" for number in range(N_SAMPLES)]
FEATURES = [f"cg{number:08d}" for number in range(N_FEATURES)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Features x samples, float32 as printed, with missing values at both ends of a row."""
    rng = np.random.default_rng(3)
    values = rng.random((N_FEATURES, N_SAMPLES)).round(4).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[0], values[1, -1], values[2, 0] = np.nan, np.nan, np.nan
    return pd.DataFrame(values, index=pd.Index(FEATURES, name="feature"), columns=SAMPLES)


def opened(path, tmp_path, known=(), orientation="auto"):
    return open_matrix(path, known=set(known), orientation=orientation, spool=tmp_path / "spool")


def read(path, tmp_path, **options) -> pd.DataFrame:
    """Whole matrix, features x samples."""
    file = opened(path, tmp_path, **options)
    blocks = list(file.blocks)
    features = [feature for block in blocks for feature in block.features]
    values = np.concatenate([block.values for block in blocks], axis=1)
    assert values.dtype == np.float32
    return pd.DataFrame(values.T, index=pd.Index(features, name="feature"), columns=file.samples)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz", "csv", "parquet"])
@pytest.mark.parametrize("na", ["", "NA"])
def test_every_layout_reads_alike(table, tmp_path, monkeypatch, wide, suffix, na):
    monkeypatch.setattr(lines, "BLOCK", 5000)
    monkeypatch.setattr(lines, "_RAW", 1000)
    monkeypatch.setattr(matrix, "BLOCK_BYTES", 4000)
    path = tmp_path / f"m.{suffix}"
    written = table.T.rename_axis("sample") if wide else table
    if suffix == "parquet":
        written.reset_index().to_parquet(path, row_group_size=50)
    else:
        written.to_csv(path, sep="," if suffix == "csv" else "\t", na_rep=na)
    assert opened(path, tmp_path).orientation == ("samples-by-features" if wide else "features-by-samples")
    pd.testing.assert_frame_equal(read(path, tmp_path), table, check_exact=True)


def test_parquet_with_its_ids_in_the_index(table, tmp_path):
    table.to_parquet(tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "m.parquet", tmp_path), table, check_exact=True)


def test_parquet_that_is_none_and_with_two_texts(table, tmp_path):
    path = tmp_path / "m.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match="no parquet file"):
        read(path, tmp_path)
    table.reset_index().assign(gene="x").to_parquet(path)
    with pytest.raises(DataError, match="2 columns of text"):
        read(path, tmp_path)


def text(table: pd.DataFrame) -> str:
    return table.to_csv(sep="\t", na_rep="NA")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace("\n", "\t\n"),  # trailing tab everywhere
        lambda s: s.replace("\n", "\t\n").replace("\t\n", "\n", 1),  # in the rows only
        lambda s: s.replace("\n", "\t\n", 1),  # in the header only
        lambda s: s.replace("\n", "\n\n", 5) + "\n\n",  # blank lines
        lambda s: "#version 1\n# made by a tool, twice\n" + s,
        lambda s: s.removeprefix("feature\t"),  # R's write.table
        lambda s: '"' + s.replace("\t", '"\t', 1).replace("\ncg00000000\t", '\n"cg00000000"\t'),  # R's quotes
        lambda s: s.replace("\n", "\r\n"),
        lambda s: s.replace("\tNA", "\tnan"),
    ],
)
def test_harmless_quirks(table, tmp_path, change):
    path = tmp_path / "m.tsv"
    path.write_text(change(text(table)), newline="")
    pd.testing.assert_frame_equal(read(path, tmp_path), table, check_exact=True)


def test_r_header_with_a_missing_last_value(table, tmp_path):
    path = tmp_path / "m.tsv"
    path.write_text(table.to_csv(sep="\t", na_rep="").removeprefix("feature\t"))
    pd.testing.assert_frame_equal(read(path, tmp_path), table, check_exact=True)


def test_one_sample_with_missing_values(tmp_path):
    path = tmp_path / "m.tsv"
    path.write_text("feature\tTARGET-10-PAAAAA\ncg00000001\t\ncg00000002\t0.5\ncg00000003\t\n")
    np.testing.assert_array_equal(read(path, tmp_path).to_numpy().ravel(), np.float32([np.nan, 0.5, np.nan]))


def test_ids_stay_text(tmp_path):
    path = tmp_path / "m.tsv"
    path.write_text('feature\t001\tNA\tnull\t5"\nNA\t1\t2\t3\t4\n007\t1\t2\t3\t4\n')
    file = opened(path, tmp_path)
    assert file.samples == ["001", "NA", "null", '5"']
    assert next(file.blocks).features == ["NA", "007"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("cg1\t0.1\t0.2\t0.3", "4 fields, the header has 3"),
        ("cg1\t0.1", "2 fields, the header has 3"),
        ("cg1\t0.1\t0,2", "'0,2' is not a number"),
        ("cg1\t0.1\tabc", "'abc' is not a number"),
        ("cg1\t0.1\t1_0", "'1_0' is not a number"),
        ('cg1\t0.1\t"0.2', "is not a number"),
    ],
)
@pytest.mark.parametrize("before", [1, 3000])
def test_a_bad_row_is_named_with_its_line(tmp_path, monkeypatch, row, what, before):
    monkeypatch.setattr(lines, "BLOCK", 2000)
    monkeypatch.setattr(lines, "_RAW", 2000)
    rows = [f"cg{number:08d}\t0.1\t0.2" for number in range(before)]
    path = tmp_path / "m.tsv"
    path.write_text("\n".join(["feature\ta\tb", *rows, row, "cg2\t0.1\t0.2"]) + "\n")
    with pytest.raises(DataError, match=what) as caught:
        read(path, tmp_path)
    assert f"m.tsv, line {before + 2}" in str(caught.value)


def test_file_cut_in_the_middle_of_a_line(table, tmp_path):
    path = tmp_path / "m.tsv"
    path.write_text(text(table)[:-40])
    with pytest.raises(DataError, match="fields, the header has") as caught:
        read(path, tmp_path)
    assert f"line {N_FEATURES + 1}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("feature\ta\tb\n", "no rows"),
        ("cg00000001\t0.1\t0.25\ncg00000002\t0.2\t0.3\n", "holds numbers"),
        ("feature\n1\n", "one field"),
        ("feature\ta\tb\n\n\n", "no rows"),
    ],
)
def test_header_only(tmp_path, content, what):
    path = tmp_path / "m.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=what):
        read(path, tmp_path)


def test_detection():
    genes, ensembl = ["TP53", "PAX5"], ["ENSG00000141510.17", "ENSG00000196092"]
    assert detect(SAMPLES, genes, ())[0] == "features-by-samples"
    assert detect(genes, SAMPLES, ())[0] == "samples-by-features"
    assert detect(["a", "b"], ensembl, ()) == ("features-by-samples", "rows hold ids of features", True)
    assert detect(FEATURES, ["a", "b"], ())[0] == "samples-by-features"
    assert detect(["a", "b"], genes, {"a", "b", "c"})[0] == "features-by-samples"
    assert detect(genes, ["a", "b"], {"a", "b", "c"})[0] == "samples-by-features"
    orientation, evidence, certain = detect(["a", "b"], genes, ())
    assert (orientation, certain) == ("features-by-samples", False)
    assert "assumed" in evidence


def test_override(table, tmp_path):
    path = tmp_path / "m.tsv"
    table.T.to_csv(path, sep="\t")
    with pytest.raises(DataError, match="the matrix is transposed: it is samples-by-features") as caught:
        read(path, tmp_path, orientation="features-by-samples")
    assert "samples-by-features" in caught.value.fix
    anonymous = tmp_path / "n.tsv"
    anonymous.write_text("x\tu\tv\np\t1\t2\nq\t3\t4\n")
    assert read(anonymous, tmp_path).columns.tolist() == ["u", "v"]
    assert read(anonymous, tmp_path, orientation="samples-by-features").columns.tolist() == ["p", "q"]


def test_truncated_gzip_is_no_short_matrix(table, tmp_path):
    path = tmp_path / "m.tsv.gz"
    path.write_bytes(gzip.compress(text(table).encode())[:-20])
    with pytest.raises(DataError, match="truncated"):
        read(path, tmp_path)
