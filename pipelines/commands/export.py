"""``omics export``: factors for other programs."""

from pathlib import Path

import click
import xarray as xr

from omics import cohort
from omics.factors.hdf5 import export_hdf5
from omics.factors.tidy import TABLES, tidy
from omics.prepare import Recipe
from omics.schema import UsageError
from pipelines import options, steps

_HDF5, _TSV = (".hdf5", ".h5"), ".tsv"


@options.command(
    "omics export factors.zarr model.hdf5",
    "omics export factors.zarr model.hdf5 --data prepared.zarr",
    "omics export factors.zarr weights.tsv --table weights",
)
@options.artefact("factors")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--table", type=click.Choice(list(TABLES)), show_default=False, help="Which table; for a .tsv.")
@click.option(
    "--data",
    metavar="PREPARED.zarr",
    type=click.Path(path_type=Path),
    show_default=False,
    help="What the factors were learned from, to be written into the HDF5 file as well.",
)
@options.overwrite
def command(factors: Path, output: Path, table: str | None, data: Path | None, overwrite: bool) -> None:
    """Write the factors of FACTORS.zarr for other programs: the ending of OUT says how.

    .hdf5 or .h5: the file that mofapy2 would write, for MOFA2 in R (load_model) and mofax in Python. Patients and
    features need ASCII names.

    .tsv: one long table, of factors, weights or the variance explained.
    """
    kind = output.suffix.lower()
    if kind not in (*_HDF5, _TSV):
        raise UsageError(f"the ending '{output.suffix}' says no format", where=str(output), fix=".hdf5, .h5 or .tsv")
    if (kind == _TSV) != (table is not None) or (kind == _TSV and data):
        raise UsageError(
            "a .tsv is one table, without data",
            where=str(output),
            fix=f"give --table {'|'.join(TABLES)} with a .tsv only",
        )
    steps.refuse_existing(output, overwrite)
    model = cohort.open(factors, noun="factors", hashes=True)
    if table:
        _write_table(model, table, output)
    else:
        export_hdf5(model, output, cohort=_prepared(model, data) if data else None, overwrite=overwrite)
    click.echo(output)


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
