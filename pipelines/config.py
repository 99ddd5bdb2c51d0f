"""Settings of every step, declared once, and the TOML file that sets them.

A setting is a field of a frozen dataclass: its type, default, limits and help. The command line makes an option of
each (:func:`pipelines.options.settings`), the configuration file a key, a manifest a recorded parameter.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omics.read import INPUTS
from omics.schema import UsageError

T = TypeVar("T")

#: Several files.
Paths = tuple[Path, ...]
#: One number, several to choose from, or a number that is found.
Numbers = int | tuple[int, ...] | Literal["auto"]


def setting(
    default: Any,
    meaning: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: int | float | None = None,
    metavar: str | None = None,
    matters: bool = True,
    own: bool = False,
) -> Any:
    """Field of a settings class.

    Parameters
    ----------
    default : object
        Value where none is given.
    meaning : str
        Help text.
    choices : tuple of str, optional
        The only values allowed.
    minimum : number, optional
        Smallest value allowed.
    metavar : str, optional
        What the value is called in the help of the command line.
    matters : bool
        Whether results depend on it; if not, manifests do not hold it, and a change of it makes nothing run again.
    own : bool
        Whether something of the user's own, ``module:name``, is allowed beside `choices`.
    """
    facts = {
        "meaning": meaning,
        "choices": choices,
        "minimum": minimum,
        "metavar": metavar,
        "matters": matters,
        "own": own,
    }
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class Ingest:
    """Raw files, and how they are read."""

    methylation: Path | None = setting(None, "Methylation betas or M-values: TSV, CSV (gz or not), parquet.")
    expression: Path | None = setting(None, "Expression counts or log values: TSV, CSV (gz or not), parquet.")
    mutations: Path | None = setting(None, "Mutations: MAF (gz or not).")
    clinical: Path | None = setting(None, "Clinical table: TSV or CSV, one row a patient.")
    sequenced: Path | None = setting(None, "Samples that were sequenced, one a line; default: those in the MAF.")
    probes: Path | None = setting(None, "Annotation of the methylation probes: TSV or CSV.")
    timepoint: str = setting("diagnosis", "Timepoint whose samples are kept.", choices=("diagnosis", "relapse"))
    orientation: str = setting(
        "auto", "What the rows of matrices are.", choices=("auto", "features-by-samples", "samples-by-features")
    )
    on_duplicate: str = setting(
        "error", "What to do with a sample that occurs twice in a file.", choices=("error", "first", "mean")
    )


@dataclass(frozen=True)
class Prepare:
    """Transformations, and limits of the filters that learn."""

    max_missing: float = setting(0.2, "Drop features with a larger share of missing values.", minimum=0.0)
    n_features: int = setting(5000, "Keep this many most variable features of a continuous layer.", minimum=1)
    min_carriers: int = setting(3, "Drop genes mutated in fewer patients.", minimum=1)
    batch: str | None = setting(None, "Clinical column whose groups are centred feature by feature.")
    scale: bool = setting(True, "Scale each continuous layer to unit variance.")
    mask: tuple[str, ...] | None = setting(None, "Features or chromosomes (chrX,chrY) to leave out.")


@dataclass(frozen=True)
class Factors:
    """The factor model."""

    n_factors: Numbers = setting(
        15, "Factors to learn; of several numbers the best is kept; auto drops those that explain little.", minimum=1
    )
    restarts: int = setting(3, "Starts of each number; the one of highest evidence bound is kept.", minimum=1)
    engine: str = setting("stream", "What fits the model; mofapy2 is the reference.", choices=("stream", "mofapy2"))
    start: str = setting("pca", "Where the first start begins; the others are random.", choices=("pca", "random"))
    max_iter: int = setting(1000, "Iterations at most.", minimum=1)
    convergence: str = setting("fast", "How strictly convergence is judged.", choices=("fast", "medium", "slow"))
    spikeslab_weights: bool = setting(True, "Sparsity of single weights.")
    ard_weights: bool = setting(True, "Sparsity of factors within a layer.")
    spikeslab_factors: bool = setting(False, "Sparsity of single scores.")
    ard_factors: bool = setting(False, "Sparsity of factors within a group.")
    groups: str | None = setting(None, "Clinical column that names the group of each patient.", metavar="COLUMN")
    scale_views: bool = setting(False, "Scale each layer to unit variance before the fit.")
    scale_groups: bool = setting(False, "Scale each layer to unit variance in each group.")
    weight_views: bool = setting(False, "Let no layer outweigh others by its number of features.")
    drop: float | None = setting(
        None, "Drop factors that explain less than this share of every layer.", minimum=0.0, metavar="SHARE"
    )
    dtype: str = setting("float32", "Precision of data and products.", choices=("float32", "float64"))
    compat: bool = setting(False, "The numbers of mofapy2, iteration by iteration.")
    hold: str = setting(
        "auto",
        "Where the data lie between two passes over them.",
        choices=("auto", "memory", "disk", "store"),
        matters=False,
    )


ALGORITHMS = ("mixture", "kmeans", "hierarchical", "spectral", "consensus", "snf", "nemo")


@dataclass(frozen=True)
class Subtypes:
    """Clusters on factors."""

    algorithm: str = setting("mixture", "What clusters; snf and nemo fuse the layers.", choices=ALGORITHMS)
    also: tuple[str, ...] | None = setting(
        None, "Other algorithms to set beside it; tests of outcome are corrected over all.", choices=ALGORITHMS
    )
    exclude: tuple[str, ...] | None = setting(
        None,
        "Clinical columns, site or sex say; factors of whose ranks one explains a quarter (q <= 0.05) are left out.",
    )
    n_subtypes: int | None = setting(None, "Number of subtypes; default: chosen by stability.", minimum=1)
    covariates: tuple[str, ...] | None = setting(
        None, "Clinical columns beside which outcome is compared; default: those of known weight, or the reference's."
    )
    max_subtypes: int = setting(10, "Largest number of subtypes tried.", minimum=2)
    resamples: int = setting(50, "Resamples by which stability is measured.", minimum=2)
    null_sets: int = setting(99, "Cluster-free data sets; 39 can give p = 0.025, 99 can give p = 0.01.", minimum=39)
    refits: int = setting(
        5, "Times that factors are learnt again without a fifth of the features; needs the prepared cohort.", minimum=0
    )
    relapse_groups: bool = setting(
        False, "Also find, supervised, factors that go with relapse and their patients; tested on held-out ones only."
    )


@dataclass(frozen=True)
class Interpret:
    """What factors and subtypes mean."""

    n_features: int = setting(50, "Leading features listed by factor, subtype and layer.", minimum=1)
    sets: tuple[Path, ...] | None = setting(None, "Gene sets: GMT files.", metavar="GMT,...")
    preranked: bool = setting(False, "Also test gene sets on rankings of genes, by GSEApy.")
    groups: str | None = setting(
        None,
        "Clinical column whose levels are interpreted in place of subtypes: a toxicity, say.",
        metavar="COLUMN",
    )
    adjust: tuple[str, ...] | None = setting(
        None, "Clinical columns, site say, for which differences of subtypes are adjusted."
    )
    mutations: Path | None = setting(None, "Calls of the patients: MAF (gz or not); without it, genes alone are known.")
    relapse_mutations: Path | None = setting(None, "Calls at relapse: MAF; pairs are patients who are in both.")
    relapse_sequenced: Path | None = setting(
        None, "Samples sequenced at relapse, one a line; without it, those with a call."
    )
    megabases: float | None = setting(None, "Size of what was sequenced, for the burden.", minimum=0.0)
    germline: Path | None = setting(None, "Germline variants: TSV with sample, gene, variant, sample_type.")
    tables: tuple[Path, ...] | None = setting(
        None,
        "Knowledge tables of your own, in the form of ours; symbols that no table knows are taken as they are.",
        metavar="TSV,...",
    )
    horizon: float = setting(5.0, "Years within which a relapse counts where mutations are compared.", minimum=0.0)
    timepoint: str = setting("diagnosis", "Timepoint of the mutations.", choices=("diagnosis", "relapse"))
    on_duplicate: str = setting(
        "error", "What to do with several samples of a patient in a MAF.", choices=("error", "first", "mean")
    )


ENDPOINTS = (
    "relapse",
    "event_free",
    "relapse_free",
    "overall",
    "after_relapse",
    "second_remission",
    "second_event",
    "refractory",
)
MODELS = ("logistic", "forest", "boosting", "coxnet", "survival_forest", "fine_gray")
REPRESENTATIONS = ("factors", "loadings", "layers", "screened")
_ENDPOINT = "What is predicted."
_HORIZON = "Years from time zero, or the landmark, within which an event counts."
_LANDMARK = "Years from time zero at which predictions are made; residual disease needs one of 0.1 or more."
_KNOWN_AT = "Years from diagnosis at which clinical variables are known, as NAME=YEARS."


@dataclass(frozen=True)
class Evaluate:
    """Nested cross-validation."""

    endpoint: str = setting("relapse", _ENDPOINT, choices=ENDPOINTS)
    horizon: float = setting(5.0, _HORIZON, minimum=0.0)
    landmark: float | None = setting(None, _LANDMARK, minimum=0.0, metavar="YEARS")
    n_folds: int = setting(5, "Outer folds.", minimum=2)
    n_inner: int = setting(3, "Inner folds, which choose the settings of the models.", minimum=2)
    n_repeats: int = setting(1, "Repeats of the outer cross-validation.", minimum=1)
    group_by: str | None = setting(
        None, "Clinical column, a site say, whose groups no split divides.", metavar="COLUMN"
    )
    leave_out: str | None = setting(
        None, "Clinical column, a cohort say, whose groups are held out one at a time.", metavar="COLUMN"
    )
    splits: Path | None = setting(None, "Table of your own splits: columns sample, fold and perhaps repeat.")
    models: tuple[str, ...] = setting(
        ("logistic", "forest"),
        "Models to compare: registered ones, or your own as module:name.",
        choices=MODELS,
        own=True,
    )
    representations: tuple[str, ...] = setting(
        ("factors",), "What models see of the layers; your own as module:name.", choices=REPRESENTATIONS, own=True
    )
    clinical_variables: tuple[str, ...] | None = setting(
        None, "Clinical predictors; default: the standard ones known in time."
    )
    known_at: tuple[str, ...] | None = setting(None, _KNOWN_AT, metavar="NAME=YEARS,...")
    n_factors: Numbers = setting(
        10, "Factors to learn in each fold; of several numbers, each fold chooses; auto drops weak ones.", minimum=1
    )
    restarts: int = setting(1, "Starts of each factor fit; the one of highest evidence bound is kept.", minimum=1)
    permutations: int = setting(0, "Runs with permuted outcomes, which tell what chance gives.", minimum=0)
    classes: str | None = setting(
        None, "Clinical column of known classes, subtypes say, to predict instead of an endpoint.", metavar="COLUMN"
    )
    audit: bool = setting(False, "Prove that nothing leaked; about doubles the time.")


@dataclass(frozen=True)
class Train:
    """The frozen model."""

    endpoint: str = setting("relapse", _ENDPOINT, choices=ENDPOINTS)
    horizon: float = setting(5.0, _HORIZON, minimum=0.0)
    landmark: float | None = setting(None, _LANDMARK, minimum=0.0, metavar="YEARS")
    features: str = setting("both", "Predictors to use.", choices=("clinical", "omics", "both"))
    model: str = setting("logistic", "Model to train.", choices=MODELS)
    representation: str = setting("factors", "What the model sees of the layers.", choices=REPRESENTATIONS)
    clinical_variables: tuple[str, ...] | None = setting(
        None, "Clinical predictors; default: the standard ones known in time."
    )
    known_at: tuple[str, ...] | None = setting(None, _KNOWN_AT, metavar="NAME=YEARS,...")
    subtypes: bool = setting(False, "Give new patients a subtype, of clusters on the model's own factors.")
    n_factors: Numbers = setting(10, "Factors to learn; of several numbers the best is kept.", minimum=1)
    n_inner: int = setting(3, "Inner folds, which choose the settings of the model.", minimum=2)
    restarts: int = setting(1, "Starts of the factor fit; the one of highest evidence bound is kept.", minimum=1)


@dataclass(frozen=True)
class Config:
    """What ``omics run`` does; the steps ``evaluate`` and ``train`` run if the file has their section.

    Attributes
    ----------
    title : str
        Title of the report.
    output : pathlib.Path
        Folder of the artefacts.
    seed : int
        Seed of every random step.
    clinical : mapping
        Canonical name -> column of the clinical file, or a table with ``column``, ``unit``, ``values``.
    ingest, prepare, factors, subtypes, interpret : settings
        Settings of the steps.
    evaluate, train : settings or None
        None where the step is not asked for.
    """

    output: Path
    ingest: Ingest
    title: str = "Multi-omics report"
    seed: int = 1
    clinical: Mapping[str, Any] = field(default_factory=dict)
    prepare: Prepare = field(default_factory=Prepare)
    factors: Factors = field(default_factory=Factors)
    subtypes: Subtypes = field(default_factory=Subtypes)
    interpret: Interpret = field(default_factory=Interpret)
    evaluate: Evaluate | None = None
    train: Train | None = None


_SECTIONS: Mapping[str, type] = {
    "ingest": Ingest,
    "prepare": Prepare,
    "factors": Factors,
    "subtypes": Subtypes,
    "interpret": Interpret,
    "evaluate": Evaluate,
    "train": Train,
}
_UNITS = ("days", "months", "years")
_TOP = {"title": str, "output": Path, "seed": int}


def load(path: Path) -> Config:
    """Read and validate a configuration file; paths in it are relative to its folder.

    Raises
    ------
    UsageError
        The file cannot be read, or has an unknown key (with the nearest known one) or a value of a wrong type.
    """
    content = _read(path)
    _refuse_unknown(content, [*_TOP, "clinical", *_SECTIONS], f"{path}")
    if "ingest" not in content:
        raise UsageError("section [ingest] is missing", where=str(path), fix="name the raw files in it")
    top = {
        key: _converted(content[key], hint, f"{path}, {key}", path.parent)
        for key, hint in _TOP.items()
        if key in content
    }
    top.setdefault("output", path.parent / "results")
    sections: dict[str, Any] = {
        name: _section(kind, content[name], f"{path}, [{name}]", path.parent)
        for name, kind in _SECTIONS.items()
        if name in content
    }
    return Config(**top, **sections, clinical=clinical_columns(content.get("clinical", {}), f"{path}, [clinical]"))


def load_clinical(path: Path) -> Mapping[str, Any]:
    """Section ``[clinical]`` of a configuration file."""
    return clinical_columns(_read(path).get("clinical", {}), f"{path}, [clinical]")


def clinical_columns(columns: Any, where: str) -> Mapping[str, Any]:
    """Check the names and the shape of a mapping of clinical columns."""
    if not isinstance(columns, dict):
        raise UsageError(f"a table is expected, got {columns!r}", where=where)
    _refuse_unknown(columns, INPUTS, where)
    for name, column in columns.items():
        here = f"{where}, {name}"
        if isinstance(column, dict):
            _refuse_unknown(column, ("column", "unit", "values"), here)
        if not isinstance(column.get("column") if isinstance(column, dict) else column, str):
            raise UsageError(f"a column name is expected, got {column!r}", where=here)
    return columns


def mapped(assignments: Iterable[str]) -> Mapping[str, Any]:
    """Clinical columns of ``NAME=COLUMN[:UNIT]``, the form of the command line.

    Raises
    ------
    UsageError
        A text has another form.
    """
    columns: dict[str, Any] = {}
    for text in assignments:
        name, _, column = text.partition("=")
        column, colon, unit = column.rpartition(":")
        if colon and unit in _UNITS:
            columns[name] = {"column": column, "unit": unit}
        else:
            columns[name] = f"{column}{colon}{unit}"  # a colon may be part of the column's name
        if not name or not column + unit:
            raise UsageError(f"cannot read '{text}'", where="--map", fix="for example --map event_time=followup:days")
    return clinical_columns(columns, "--map")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError("no such configuration file", where=str(path), fix="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"this is not TOML: {error}", where=str(path), fix="correct the line") from error


def _section(kind: type[T], content: Any, where: str, folder: Path) -> T:
    if not isinstance(content, dict):
        raise UsageError(f"a section is expected, got {content!r}", where=where)
    known = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(content, known, where)
    hints = get_type_hints(kind)
    values = {}
    for name, value in content.items():
        values[name] = _converted(value, hints[name], f"{where}, {name}", folder)
        _refuse_outside(values[name], known[name], f"{where}, {name}")
    return kind(**values)


def _refuse_unknown(content: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
            fix = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"unknown key '{key}'", where=where, fix=fix)


def _refuse_outside(value: Any, spec: Field[Any], where: str) -> None:
    choices, minimum = spec.metadata["choices"], spec.metadata["minimum"]
    for item in value if isinstance(value, tuple) else (value,):
        if choices and item not in choices and not (spec.metadata["own"] and ":" in item):
            raise UsageError(f"unknown value '{item}'", where=where, fix=f"expected one of {', '.join(choices)}")
        if minimum is not None and isinstance(item, int | float) and item < minimum:
            raise UsageError(f"{item} is too small", where=where, fix=f"expected at least {minimum}")


def value_type(hint: Any) -> Any:
    """The type of a setting without ``None``."""
    if get_origin(hint) in (Union, UnionType) and hint != Numbers:
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _converted(value: Any, hint: Any, where: str, folder: Path) -> Any:
    kind = value_type(hint)
    if kind is Path and isinstance(value, str):
        return folder / Path(value).expanduser()
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind == Paths and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(folder / Path(item).expanduser() for item in value)
    if get_origin(kind) is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    if kind == Numbers and _are_numbers(value):
        return tuple(value) if isinstance(value, list) else value
    expected = {
        Path: "a path in quotes",
        str: "text in quotes",
        bool: "true or false",
        float: "a number",
        int: "an integer",
        Numbers: 'an integer, a list of integers, or "auto"',
    }
    raise UsageError(f"{value!r} is not {expected.get(kind, 'a list of texts')}", where=where, fix="correct the value")


def _are_numbers(value: Any) -> bool:
    several = value if isinstance(value, list) and value else [value]
    return value == "auto" or all(type(item) is int for item in several)


def parameters(settings: Any) -> dict[str, Any]:
    """Settings on which results depend as JSON values, for manifests; of a path its name, so that files may move."""
    matter = [spec.name for spec in fields(settings) if spec.metadata["matters"]]
    return {name: _plain(getattr(settings, name)) for name in matter}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
