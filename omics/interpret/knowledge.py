"""What is known of genes in acute lymphoblastic leukaemia: tables with references, and tables of the user's own.

Every row that ships names a paper (PMID or DOI) in which its statement was seen, and the day on which that was done;
a statement without one is left out, however well known. Nothing comes from a database that restricts its use. Tables
are knowledge to look things up in, never a rule of treatment: an absent gene is a gene that nobody entered.

A table is a file of tab-separated values in UTF-8, with a header and no quoting. :data:`FORMS` declares the columns of
each; a user's table must have the same ones. Its rows come after ours, and never replace one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from omics.schema import DataError, UsageError

#: Folder of the tables that ship, beside this module.
FOLDER = "knowledge_tables"
#: Column that tells where a row comes from: "omics <version>", or the name of the user's file.
ORIGIN = "origin"
#: What stands for "no gene": a subtype that its karyotype, expression or phenotype defines.
NO_GENE = "-"
#: What stands between several genes of one row.
BETWEEN = ";"

#: Levels of evidence, and what a reference of that level shows.
EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        "guideline": "a published guideline gives doses or treatments by it",
        "trial": "patients of a prospective trial",
        "clinical": "seen in samples or records of patients; going together is not causing",
        "preclinical": "cell lines, animals, or patients' cells outside the body",
        "review": "a review, a classification or a curated list, without data of its own",
        "nomenclature": "a paper that uses the name",
    }
)
#: How far an agent is. What is not approved for ALL may still be given in a trial.
STATUS = ("approved in ALL", "approved elsewhere", "trial", "preclinical")
#: Roles of aliases that :func:`symbol_of` follows; "ambiguous" ones name other genes too.
FOLLOWED = ("previous symbol", "alias", "misspelling")

_SYMBOL = r"(?:[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*|C\d{1,2}orf\d+)"
_WHERE = "_where"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, meaning : str
        Its header, and one line on what it holds.
    expected : str
        What a value must be, in words.
    fits : callable
        Whether a value, stripped of blanks, is that.
    """

    name: str
    meaning: str
    expected: str
    fits: Callable[[str], bool]


@dataclass(frozen=True)
class Form:
    """Columns of one table.

    Attributes
    ----------
    columns : tuple of Column
        All of them must be in the header, in any order; no other may be.
    key : tuple of str
        Two rows that agree in these columns, whatever their case, are one row entered twice.
    note : str
        What a reader must know of every row.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    note: str

    @property
    def names(self) -> list[str]:
        """Headers in order."""
        return [column.name for column in self.columns]


# --- columns ------------------------------------------------------------------------------------------------------


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _text(name: str, meaning: str) -> Column:
    return Column(name, meaning, "some text", bool)


def _optional(name: str, meaning: str) -> Column:
    return Column(name, meaning, "text or nothing", lambda value: True)


def _one_of(name: str, meaning: str, choices: Iterable[str]) -> Column:
    allowed = tuple(choices)
    return Column(name, meaning, f"one of: {', '.join(allowed)}", lambda value: value in allowed)


def _matching(name: str, meaning: str, expected: str, pattern: str) -> Column:
    return Column(name, meaning, expected, lambda value: re.fullmatch(pattern, value) is not None)


_GENE = _matching("symbol", "current HGNC symbol", "an HGNC symbol, such as NT5C2", _SYMBOL)
_GENES = _matching(
    "symbol",
    f"current HGNC symbols of the genes that define it, '{BETWEEN}' between them, or '{NO_GENE}'",
    f"HGNC symbols with '{BETWEEN}' between them, or '{NO_GENE}' for no gene",
    f"{NO_GENE}|{_SYMBOL}(?:{BETWEEN}{_SYMBOL})*",
)
_LAST = (
    _text("statement", "what was seen, in our words"),
    _one_of("evidence", "kind of evidence", EVIDENCE),
    _matching(
        "reference",
        "paper in which it was seen",
        "PMID:<number> or DOI:10.<...>",
        r"PMID:[1-9]\d{0,8}|DOI:10\.\d{4,9}/[^\s;]+",
    ),
    Column("checked", "day on which the reference was looked at", "a date such as 2026-11-23", _is_date),
    _optional("caveat", "what speaks against it, or limits it"),
)
_AGENT = (
    _one_of("status", "how far the first named agent is", STATUS),
    _optional("region", "whose regulator approved it"),
    _matching(
        "status_date", "when, as far as known", "a year or a month, 2024 or 2024-11, or nothing", r"(\d{4}(-\d\d)?)?"
    ),
)


def _form(gene: Column, roles: Iterable[str], columns: Sequence[Column], key: Sequence[str], note: str) -> Form:
    """Every table has a gene, its role, columns of its own, and what was seen where."""
    role = _one_of("role", "what the gene does here", roles)
    return Form((gene, role, *columns, *_LAST), ("symbol", *key, "reference"), note)


#: The tables, by name.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "resistance": _form(
            _GENE,
            (
                "drug inactivation",
                "drug activation",
                "pathway feedback",
                "drug receptor",
                "response regulator",
                "damage recognition",
                "damage response",
                "signalling",
                "survival protein",
                "substrate supply",
                "target mutation",
                "antigen loss",
            ),
            (_text("alteration", "what happens to the gene"), _text("drug", "drug or class that it escapes")),
            ("alteration", "drug"),
            "What was found more often at relapse, or made cells survive a drug, need not be why a patient relapsed.",
        ),
        "subtypes": _form(
            _GENES,
            ("fusion", "mutation", "karyotype", "expression", "phenotype"),
            (
                _text("subtype", "name, as in WHO-HAEM5 or ICC where they have one"),
                _text("lesion", "what defines it"),
                _one_of("lineage", "lineage of the blasts", ("B", "T", "B or T")),
                _one_of(
                    "editorial_risk",
                    "coarse label of ours, not of the reference",
                    ("favourable", "intermediate", "unfavourable", "unknown"),
                ),
                _text("classification", "where the classifications put it"),
            ),
            ("subtype",),
            "The label of risk is coarse and editorial: risk depends on treatment, age and residual disease.",
        ),
        "cna_profile": _form(
            _GENE,
            ("profile gene", "definition", "outcome"),
            (
                _text("region", "gene or region, as the profile counts it"),
                _text("definition", "what is counted as altered, or which group is meant"),
            ),
            ("role", "region", "definition"),
            "Deletions of the blasts, by MLPA or arrays; groups depend on cytogenetics and were made for children.",
        ),
        "targets": _form(
            _GENE,
            ("lesion", "downstream", "dependency"),
            (
                _text("lesion", "in whom the target is worth a thought"),
                _text("agents", "agents, the tested one first"),
                *_AGENT,
            ),
            ("lesion", "agents"),
            "An approval is as of the day of checking, for the population of its label; read the label.",
        ),
        "antigens": _form(
            _GENE,
            ("B lineage", "T lineage", "B and T lineage", "subset"),
            (
                _text("antigen", "name of the protein on the surface"),
                _text("modality", "antibody, conjugate, engager or CAR-T"),
                _text("agents", "agents, the tested one first"),
                *_AGENT,
                _text("escape", "how blasts are known to lose it"),
                _text("confirm", "what shows the antigen"),
            ),
            ("modality", "agents"),
            "mRNA is not surface protein: what expression suggests, flow cytometry must confirm.",
        ),
        "pharmacogenes": _form(
            _GENE,
            ("drug metabolism", "drug transport", "drug effect", "immune recognition", "tissue vulnerability"),
            (
                _text("variant", "variant or allele"),
                _text("drug", "drug"),
                _text("toxicity", "end point"),
                _one_of("sample", "in which DNA the variant counts", ("germline only",)),
                _text("cpic", "what CPIC says, as far as it was seen"),
            ),
            ("variant", "drug"),
            "Inherited variants: to be read from remission or other normal cells, never from blasts.",
        ),
        "fusions": _form(
            _GENE,
            ("class-defining", "kinase lesion", "secondary lesion"),
            (
                _matching("gene5", "gene at the 5' side, as written there", "an HGNC symbol", _SYMBOL),
                _matching("gene3", "gene at the 3' side, as written there", "an HGNC symbol", _SYMBOL),
                _text("subtype", "subtype, as in the table of subtypes"),
            ),
            ("gene5", "gene3", "subtype"),
            "The symbol is that of the partner by which the class is known. Kinase lesions need the expression class.",
        ),
        "aliases": _form(
            _GENE,
            (*FOLLOWED, "ambiguous"),
            (_text("alias", "another name of the gene or of its protein"),),
            ("alias",),
            "The reference is a paper on leukaemia that uses the alias, not the authority on the name.",
        ),
    }
)


# --- reading ------------------------------------------------------------------------------------------------------


def tables() -> Mapping[str, pd.DataFrame]:
    """All tables that ship, by name, each as from :func:`table`."""
    return MappingProxyType({name: table(name) for name in FORMS})


def table(name: str, extra: Sequence[str | Path] = ()) -> pd.DataFrame:
    """One table, and after its rows those of the user's own files.

    Parameters
    ----------
    name : str
        Key of :data:`FORMS`.
    extra : sequence of path
        The user's files of the same form.

    Returns
    -------
    pandas.DataFrame
        Text: the columns of the form, and :data:`ORIGIN`. ``attrs["note"]`` is the note of the form.

    Raises
    ------
    UsageError
        There is no such table.
    DataError
        A file cannot be read, or has another header; a value is not what its column declares; a symbol is outdated;
        or a row occurs twice, in the user's files or there and in ours.
    """
    if name not in FORMS:
        raise UsageError(f"there is no table '{name}'", where="knowledge", fix=f"one of: {', '.join(FORMS)}")
    form = FORMS[name]
    rows = [_shipped(name), *(_read(Path(path), form) for path in extra)]
    found = pd.concat(rows, ignore_index=True)
    _refuse_outdated(found)
    _refuse_repeats(found, form)
    found = found.drop(columns=_WHERE)
    found.attrs["note"] = form.note
    return found


def symbol_of(name: str) -> str:
    """Current HGNC symbol of a gene that is named by an alias, WHSC1 or MLL.

    Only whole aliases of the table that ships count, whatever their case, and none that names another gene too (CBP,
    MLL2). Any other name is returned as it is, without the blanks around it; it may or may not be a symbol.
    """
    return _current().get(name.strip().casefold(), name.strip())


@cache
def _current() -> Mapping[str, str]:
    """Symbols by alias in lower case."""
    known = _shipped("aliases")
    known = known[known["role"].isin(FOLLOWED)]
    return MappingProxyType(dict(zip(known["alias"].str.casefold(), known["symbol"], strict=True)))


@cache
def _shipped(name: str) -> pd.DataFrame:
    source = files("omics.interpret").joinpath(FOLDER, f"{name}.tsv")
    return _rows(source.read_text(encoding="utf-8"), FORMS[name], f"{FOLDER}/{name}.tsv", f"omics {_version()}")


def _version() -> str:
    try:
        return version("omics-all")
    except PackageNotFoundError:
        return "(not installed)"


def _read(path: Path, form: Form) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"the table cannot be read: {error.strerror}", where=str(path), fix="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError("the table is not UTF-8 text", where=str(path), fix="save it as UTF-8, tabs between") from error
    return _rows(text, form, str(path), path.name)


def _rows(text: str, form: Form, where: str, origin: str) -> pd.DataFrame:
    """Checked rows of one file, with where each stands."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    header = [field.strip() for field in lines[0][1].split("\t")] if lines else []
    _check_header(header, form, where)
    rows = []
    for number, line in lines[1:]:
        row = _fields(line, header, f"{where}, line {number}")
        _check_values(row, form, f"{where}, line {number}")
        rows.append({**row, ORIGIN: origin, _WHERE: f"{where}, line {number}"})
    return pd.DataFrame(rows, columns=[*form.names, ORIGIN, _WHERE], dtype=object)


def _check_header(header: list[str], form: Form, where: str) -> None:
    missing = [name for name in form.names if name not in header]
    unknown = [name for name in header if name not in form.names]
    if missing or unknown or len(header) != len(form.names):
        what = f"there is no column {', '.join(missing)}" if missing else f"unknown column: {', '.join(unknown)}"
        raise DataError(
            what if missing or unknown else "a column occurs twice",
            where=f"{where}, line 1",
            fix=f"the columns are, with tabs between: {', '.join(form.names)}",
        )


def _fields(line: str, header: list[str], where: str) -> dict[str, str]:
    values = [value.strip() for value in line.split("\t")]
    if len(values) != len(header):
        raise DataError(
            f"{len(values)} fields, the header has {len(header)}", where=where, fix="one field a column, tabs between"
        )
    return dict(zip(header, values, strict=True))


def _check_values(row: Mapping[str, str], form: Form, where: str) -> None:
    for column in form.columns:
        if not column.fits(row[column.name]):
            raise DataError(
                f"'{row[column.name]}' is no {column.name} ({column.meaning})",
                where=f"{where}, column '{column.name}'",
                fix=f"expected {column.expected}",
            )


def _refuse_outdated(rows: pd.DataFrame) -> None:
    """Refuse a symbol that is a former name of another gene: it would match nothing, in silence."""
    for symbols, where in zip(rows["symbol"], rows[_WHERE], strict=True):
        for symbol in symbols.split(BETWEEN):
            if symbol_of(symbol) != symbol:
                raise DataError(
                    f"{symbol} is another name of {symbol_of(symbol)}",
                    where=f"{where}, column 'symbol'",
                    fix=f"write {symbol_of(symbol)}, the current HGNC symbol",
                )


def _refuse_repeats(rows: pd.DataFrame, form: Form) -> None:
    keys = rows[list(form.key)].apply(lambda column: column.str.casefold())
    repeated = keys.duplicated()
    if repeated.any():
        second = int(repeated.to_numpy().argmax())
        first = int((keys == keys.iloc[second]).all(axis=1).to_numpy().argmax())
        raise DataError(
            f"duplicate row: the same is said in {rows[_WHERE].iloc[first]}",
            where=rows[_WHERE].iloc[second],
            fix=f"rows must differ in one of: {', '.join(form.key)}; your own never replaces one that ships",
        )
