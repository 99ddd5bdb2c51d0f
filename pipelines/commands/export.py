"""``omics export``: a whole analysis, or its factors, for other programs."""

from pathlib import Path

import click
import xarray as xr

from omics import cohort
from omics.factors.hdf5 import export_hdf5
from omics.factors.tidy import TABLES, tidy
from omics.prepare import Recipe
from omics.schema import UsageError
from pipelines import exports, options, steps

_HDF5, _TSV, _H5MU, _FOLDER = "hdf5", "tsv", "h5mu", "folder"
_ENDINGS = {".hdf5": _HDF5, ".h5": _HDF5, ".tsv": _TSV, ".h5mu": _H5MU}
#: Options that one kind of output has and the others have not.
_ONLY = {"--table": _TSV, "--data": _HDF5, "--values": _FOLDER}


@options.command(
    "omics export results/ cohort.h5mu",
    "omics export prepared.zarr factors.zarr subtypes.zarr cohort.h5mu",
    "omics export results/ tables/",
    "omics export subtypes.zarr tables/",
    "omics export factors.zarr model.hdf5 --data prepared.zarr",
    "omics export factors.zarr weights.tsv --table weights",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT")
@click.option("--table", type=click.Choice(list(TABLES)), show_default=False, help="Which table; for a .tsv.")
@click.option(
    "--data",
    metavar="PREPARED.zarr",
    type=click.Path(path_type=Path),
    show_default=False,
    help="What the factors were learned from, to be written into the HDF5 file as well.",
)
@click.option(
    "--values", is_flag=True, show_default=False, help="Values of the layers too, features down; for a folder."
)
@options.overwrite
def command(
    sources: tuple[Path, ...], output: str, table: str | None, data: Path | None, values: bool, overwrite: bool
) -> None:
    """Write artefacts for other programs: the ending of OUT says how. SOURCE is an artefact or the folder of a run.

    .h5mu: everything in one file, for mudata and muon in Python, MuData in R and Muon.jl. Each layer is a modality
    with its values (prepared, if prepared.zarr is there), annotation and weights (varm LFs); patients have clinical
    columns, subtypes, out-of-fold predictions and factors (obsm X_mofa); tables, also of patients without a layer, and
    provenance are in uns. A feature id that several layers share gets the layer appended.

    A folder, with / at its end: every table as TSV, and columns.tsv, which says what each column means. A table that
    several artefacts share, as the clinical one, is there once. A text that a spreadsheet would compute gets ' before.

    .hdf5 or .h5: factors in the file that mofapy2 would write, for MOFA2 in R (load_model) and mofax in Python.
    Patients and features need ASCII names.

    .tsv: one long table, of factors, weights or the variance explained.
    """
    target = Path(output)
    kind = _kind(output, {"--table": table, "--data": data, "--values": values})
    if kind == _FOLDER:
        exports.tables(sources, target, values=values, overwrite=overwrite)
    elif kind == _H5MU:
        exports.h5mu(sources, target, overwrite=overwrite)
    else:
        _write_factors(sources, target, table, data, overwrite=overwrite)
    click.echo(target)


def _kind(output: str, given: dict[str, object]) -> str:
    """What is to be written; options of another kind are refused."""
    ending = Path(output).suffix
    kind = _FOLDER if output.endswith("/") or Path(output).is_dir() else _ENDINGS.get(ending.lower())
    if kind is None:
        raise UsageError(
            f"the ending '{ending}' says no format", where=output, fix=f"{', '.join(_ENDINGS)}, or / for a folder"
        )
    for option, of in _ONLY.items():
        if given[option] and kind != of:
            raise UsageError(f"{option} goes with a {of} only", where=output, fix=f"leave {option} out")
    if kind == _TSV and not given["--table"]:
        raise UsageError("a .tsv is one table", where=output, fix=f"give --table {'|'.join(TABLES)}")
    return kind


def _write_factors(
    sources: tuple[Path, ...], output: Path, table: str | None, data: Path | None, *, overwrite: bool
) -> None:
    steps.refuse_existing(output, overwrite)
    paths = exports.artefacts(sources)
    source = paths.get("factors", sources[0])  # which says what it is instead
    model = cohort.open(source, noun="factors", hashes=True)
    if table:
        _write_table(model, table, output)
    else:
        export_hdf5(model, output, cohort=_prepared(model, data) if data else None, overwrite=overwrite)


def _write_table(model: xr.DataTree, name: str, output: Path) -> None:
    table = tidy(model, name)
    for column in {"sample", "feature"} & set(table):  # a spreadsheet would compute a sample named =cmd()
        table[column] = table[column].str.replace(r"^(?=[=+\-@])", "'", regex=True)
    with steps.whole_file(output) as aside:
        table.to_csv(aside, sep="\t", index=False)


def _prepared(model: xr.DataTree, data: Path) -> xr.DataTree:
    """The cohort as the fit saw it; a model from elsewhere has no recipe."""
    prepared = cohort.open(data, noun=("prepared", "cohort"), hashes=True)
    return Recipe.from_tree(model).transform(prepared) if "recipe" in model.children else prepared
