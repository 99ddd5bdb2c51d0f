"""What ships as knowledge: the form of every row, what it must name, and the user's own tables."""

from __future__ import annotations

import csv
import fnmatch
import re
import tomllib
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from omics.interpret import knowledge
from omics.interpret.knowledge import EVIDENCE, FORMS, ORIGIN, STATUS, symbol_of, table, tables
from omics.schema import DataError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = list(FORMS)
#: Written down here again, so that the loader does not check itself.
REFERENCE = re.compile(r"PMID:[1-9][0-9]{4,7}|DOI:10\.[0-9]{4,9}/[^\s;]+")
SYMBOL = re.compile(r"[A-Z][A-Z0-9]{1,9}(-[A-Z0-9]{1,5})?")
FIRST_CHECK = date(2026, 11, 1)

#: What was asked for, by table.
WANTED = {
    "resistance": {
        *("NT5C2", "NR3C1", "CREBBP", "FPGS", "TP53", "MSH2", "MSH6", "PMS2", "PRPS1", "PRPS2", "NSD2", "KMT2D"),
        *("SETD2", "KRAS", "NRAS", "PTPN11", "FLT3", "NF1", "IKZF1"),
    },
    "targets": {
        *("ABL1", "ABL2", "CSF1R", "PDGFRA", "PDGFRB", "JAK1", "JAK2", "CRLF2", "IL7R", "FLT3", "KMT2A", "MEN1"),
        *("BCL2", "PIK3CD", "MTOR", "MAP2K1", "PSMB5", "CDK4", "CDK6", "LCK", "NTRK3"),
    },
    "antigens": {
        *("CD19", "MS4A1", "CD22", "CD38", "CD7", "CD5", "CD1A", "CRLF2", "TNFRSF13C", "CD72", "CLEC12A", "CSPG4"),
        *("IL3RA", "FLT3", "CD52", "CD79B"),
    },
    "pharmacogenes": {"TPMT", "NUDT15", "CEP72", "ITPA", "SLCO1B1", "HLA-DRB1"},
    "cna_profile": {"CDKN2A", "CDKN2B", "PAX5", "IKZF1", "ETV6", "RB1", "BTG1", "EBF1", "CRLF2"},
}
#: What does not ship, and why.
NOT_SHIPPED = {
    ("resistance", "NF1"): "no paper was found that shows its part in relapse",
    ("targets", "PDGFRA"): "in ALL known from a list of fusions alone, no result of an inhibitor was found",
    ("targets", "PIK3CD"): "no result of an inhibitor was found; the pathway stands under MTOR and AKT1",
    ("antigens", "FLT3"): "the papers on CAR-T against it were found without PMID or DOI",
    ("antigens", "CD79B"): "nothing was found on precursor B cells",
}


def written(name: str, *rows: dict[str, str], **changed: str) -> str:
    """Text of a table: the first row that ships, changed, or the rows that are given."""
    columns = FORMS[name].names
    first = table(name).iloc[0][columns].to_dict()
    lines = [columns, *([row[column] for column in columns] for row in rows or [first | changed])]
    return "".join("\t".join(line) + "\n" for line in lines)


@pytest.fixture
def own(tmp_path):
    """Write a table of the user's own."""

    def write(text: str, name: str = "mine.tsv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


# --- what ships ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_its_form(name):
    found = table(name)
    assert list(found.columns) == [*FORMS[name].names, ORIGIN]
    assert found.attrs["note"] == FORMS[name].note
    assert len(found) > 10
    for row in found.to_dict("records"):
        assert REFERENCE.fullmatch(row["reference"]), row
        assert date.fromisoformat(row["checked"]) >= FIRST_CHECK, row
        assert len(row["checked"]) == len("2026-11-01"), row
        assert row["evidence"] in EVIDENCE
        assert re.fullmatch(r"[A-Z0-9].*\.", row["statement"]), row
        assert row["caveat"] == "" or row["caveat"].endswith((".", ")")), row
        assert row[ORIGIN] == f"omics {version('omics-all')}"
        assert not any("URL:" in value or "http" in value or "PMC" in value for value in row.values()), row
        assert all(value == value.strip() and '"' not in value for value in row.values()), row


def test_symbols_are_current_and_look_like_those_of_hgnc():
    aliases = set(table("aliases")["alias"])
    for name, found in tables().items():
        symbols = {symbol for cell in found["symbol"] for symbol in cell.split(";")}
        symbols -= {"-"} if name == "subtypes" else set()
        assert all(SYMBOL.fullmatch(symbol) for symbol in symbols), name
        assert not symbols & aliases, name
        assert all(symbol_of(symbol) == symbol for symbol in symbols), name


@pytest.mark.parametrize("name", NAMES)
def test_no_row_ships_twice(name):
    found = table(name)
    said_of = [column for column in found if column not in ("statement", "evidence", "checked", "caveat", "role")]
    assert not found[said_of].duplicated().any()


@pytest.mark.parametrize("name", list(WANTED))
def test_what_was_asked_for_ships_or_it_is_said_why_not(name):
    shipped = {symbol for cell in table(name)["symbol"] for symbol in cell.split(";")}
    excused = {symbol for where, symbol in NOT_SHIPPED if where == name}
    assert WANTED[name] - shipped == excused


def test_tables_agree_with_one_another():
    subtypes, fusions, profile = table("subtypes"), table("fusions"), table("cna_profile")
    assert set(fusions["subtype"]) <= set(subtypes["subtype"])
    assert all(row.symbol in (row.gene5, row.gene3) for row in fusions.itertuples())
    classes = subtypes.set_index("subtype")["symbol"].str.split(";")
    defining = fusions[fusions["role"] != "secondary lesion"]
    assert [row for row in defining.itertuples() if not {row.gene5, row.gene3} & set(classes[row.subtype])] == [
        row for row in defining.itertuples() if row.symbol in ("TYK2", "IL2RB")
    ]
    assert profile.loc[profile["role"] == "profile gene", "region"].nunique() == 8
    definition = profile[profile["region"] == "IKZF1plus"].set_index("role")["definition"]["definition"]
    assert set(re.findall(r"[A-Z][A-Z0-9]+", definition)) == {"IKZF1", "CDKN2A", "CDKN2B", "PAX5", "PAR1", "ERG"}


def test_what_must_be_said_of_a_row_is_said():
    antigens, genes, subtypes = table("antigens"), table("pharmacogenes"), table("subtypes")
    assert antigens["confirm"].str.contains("mRNA is not surface protein").all()
    assert (genes["sample"] == "germline only").all()
    assert "coarse and editorial" in subtypes.attrs["note"]
    disputed = subtypes.set_index("subtype")["caveat"]
    assert (
        disputed[["Near haploid", "High hyperdiploid", "Low hypodiploid", "MEF2D-rearranged", "PAX5alt"]] != ""
    ).all()
    for name in ("targets", "antigens"):
        found = table(name)
        assert set(found["status"]) <= set(STATUS)
        assert (found.loc[found["status"] == "approved in ALL", "region"] != "").all()
        assert (found.loc[~found["status"].str.startswith("approved"), "status_date"] == "").all()


def sentences(text: str) -> set[str]:
    return {" ".join(part.casefold().split()).rstrip(".") for part in re.split(r"(?<=[.;])\s", text) if part.strip()}


def test_sentences_are_our_own(shared_data):
    folder = shared_data.parent / "knowledge"
    if not folder.is_dir():
        pytest.skip(f"the fact sheet is absent: no folder {folder}")
    theirs: set[str] = set()
    for path in folder.glob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as source:
            for row in csv.DictReader(source, delimiter="\t", quoting=csv.QUOTE_NONE):
                theirs |= sentences(row.get("statement") or "") | sentences(row.get("note") or "")
    assert len(theirs) > 200
    for name, found in tables().items():
        ours = {part for column in ("statement", "caveat") for cell in found[column] for part in sentences(cell)}
        assert not ours & theirs, name


def test_tables_are_in_the_package():
    folder = files("omics.interpret").joinpath(knowledge.FOLDER)
    assert {entry.name for entry in folder.iterdir()} == {f"{name}.tsv" for name in NAMES}
    with (REPOSITORY / "pyproject.toml").open("rb") as source:
        patterns = tomllib.load(source)["tool"]["setuptools"]["package-data"]["omics"]
    for name in NAMES:
        assert any(fnmatch.fnmatch(f"interpret/{knowledge.FOLDER}/{name}.tsv", pattern) for pattern in patterns)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("WHSC1", "NSD2"),
        ("MLL", "KMT2A"),
        ("mll", "KMT2A"),
        (" tslpr ", "CRLF2"),
        ("CD371", "CLEC12A"),
        ("BAFF-R", "TNFRSF13C"),
        ("CD1a", "CD1A"),
        ("KMT2A", "KMT2A"),
        ("kmt2a", "kmt2a"),
        ("MLLT1", "MLLT1"),
        ("MLL-AF4", "MLL-AF4"),
        ("CBP", "CBP"),
        ("MLL2", "MLL2"),
        ("", ""),
    ],
)
def test_symbol_of_an_alias_is_the_current_one(name, symbol):
    assert symbol_of(name) == symbol


# --- the user's own -----------------------------------------------------------------------------------------------


def test_rows_of_the_user_come_last_and_replace_nothing(own):
    ours = table("resistance")
    mine = own(written("resistance", reference="DOI:10.1000/mine(1)", statement="Ours too.", checked="2026-12-01"))
    other = own("\ufeff" + written("resistance", symbol="ABCB1").replace("\n", "\r\n") + "\n\n", "other.tsv")
    found = table("resistance", [mine, other])
    pd.testing.assert_frame_equal(found.iloc[: len(ours)], ours)
    assert found[ORIGIN].tolist()[-2:] == ["mine.tsv", "other.tsv"]
    assert found["symbol"].tolist()[-2:] == ["NT5C2", "ABCB1"]
    assert (found["symbol"] == "NT5C2").sum() == (ours["symbol"] == "NT5C2").sum() + 1
    pd.testing.assert_frame_equal(table("resistance"), ours)


def test_order_of_columns_is_free_and_a_header_alone_adds_nothing(own):
    header, row = (line.split("\t") for line in written("targets", symbol="ABCB1").splitlines())
    text = "\t".join(header[::-1]) + "\n" + "\t".join(row[::-1]) + "\n"
    pd.testing.assert_series_equal(
        table("targets", [own(text)]).iloc[-1], table("targets", [own(written("targets", symbol="ABCB1"))]).iloc[-1]
    )
    assert len(table("targets", [own("\t".join(header) + "\n")])) == len(table("targets"))


@pytest.mark.parametrize(
    ("changed", "column", "fix"),
    [
        ({"role": "hero"}, "role", "drug inactivation"),
        ({"role": ""}, "role", "drug inactivation"),
        ({"evidence": "strong"}, "evidence", "preclinical"),
        ({"reference": "URL:https://example.org"}, "reference", "PMID:"),
        ({"reference": "PMC3594483"}, "reference", "PMID:"),
        ({"reference": "PMID:0123"}, "reference", "PMID:"),
        ({"reference": "PMID:123; PMID:456"}, "reference", "PMID:"),
        ({"reference": "DOI:10.1000/x;PMID:456"}, "reference", "PMID:"),
        ({"reference": "10.1000/x"}, "reference", "DOI:"),
        ({"reference": ""}, "reference", "PMID:"),
        ({"checked": "yes"}, "checked", "2026-11-23"),
        ({"checked": "2026-02-30"}, "checked", "2026-11-23"),
        ({"checked": "20261123"}, "checked", "2026-11-23"),
        ({"statement": " "}, "statement", "some text"),
        ({"symbol": "nt5c2"}, "symbol", "HGNC"),
        ({"symbol": "NT5C2;TP53"}, "symbol", "HGNC"),
        ({"symbol": "-"}, "symbol", "HGNC"),
        ({"symbol": "WHSC1"}, "symbol", "write NSD2"),
    ],
)
def test_bad_value_is_refused_with_its_place(own, changed, column, fix):
    path = own(written("resistance", **({"symbol": "ABCB1"} | changed)))
    with pytest.raises(DataError) as error:
        table("resistance", [path])
    assert error.value.where == f"{path}, line 2, column '{column}'"
    assert fix in error.value.fix
    assert all(value.strip() in error.value.what for value in changed.values())


def test_bad_header_is_refused_with_what_was_expected(own):
    text = written("antigens")
    header = text.splitlines()[0]
    for wrong, what in (
        (text.replace("reference", "source", 1), "there is no column reference"),
        (text.replace(header, header + "\tcolour"), "unknown column: colour"),
        (text.replace(header, header + "\treference"), "a column occurs twice"),
        (text.replace("\t", ","), "there is no column"),
        ("\n\n", "there is no column symbol"),
    ):
        path = own(wrong)
        with pytest.raises(DataError, match=what) as error:
            table("antigens", [path])
        assert error.value.where == f"{path}, line 1"
        assert "antigen, modality" in error.value.fix


def test_row_with_a_field_too_few_is_refused_with_its_line(own):
    path = own(written("fusions", symbol="ABL1") + "\nABL1\tBCR\n")
    with pytest.raises(DataError, match="2 fields, the header has") as error:
        table("fusions", [path])
    assert error.value.where == f"{path}, line 4"


def test_row_that_is_entered_twice_is_refused_with_both_places(own):
    row = table("pharmacogenes").iloc[0].to_dict()
    again = own(written("pharmacogenes", row | {"drug": row["drug"].upper(), "statement": "Said anew."}))
    with pytest.raises(DataError, match=r"the same is said in knowledge_tables/pharmacogenes\.tsv, line 2") as error:
        table("pharmacogenes", [again])
    assert error.value.where == f"{again}, line 2"
    new = row | {"variant": "my variant"}
    twice = own(written("pharmacogenes", new, row | {"variant": "another"}, new))
    with pytest.raises(DataError, match="line 2") as error:
        table("pharmacogenes", [twice])
    assert error.value.where == f"{twice}, line 4"
    files_ = [own(written("pharmacogenes", new), f"{i}.tsv") for i in range(2)]
    with pytest.raises(DataError, match=r"0\.tsv, line 2"):
        table("pharmacogenes", files_)
    assert "never replaces" in error.value.fix


def test_file_that_cannot_be_read_is_refused(own, tmp_path):
    binary = tmp_path / "binary.tsv"
    binary.write_bytes(b"\xff\xfe\x00symbol")
    for path, what in (
        (tmp_path / "absent.tsv", "cannot be read"),
        (tmp_path, "cannot be read"),
        (binary, "not UTF-8"),
    ):
        with pytest.raises(DataError, match=what) as error:
            table("aliases", [path])
        assert error.value.where == str(path)


def test_unknown_table_is_refused():
    with pytest.raises(UsageError, match="there is no table 'drugs'") as error:
        table("drugs")
    assert "resistance" in error.value.fix
