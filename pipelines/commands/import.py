"""``omics import``: factors that another program learned."""  # noqa: N999 - it is the name of the command

from pathlib import Path

import click

from omics import cohort
from omics.artefact import Provenance, publish
from omics.factors.hdf5_import import import_hdf5
from omics.schema import UsageError
from pipelines import options, summary


@options.command(
    "omics import model.hdf5 factors.zarr",
    "omics import model.hdf5 factors.zarr --units methylation=M",
)
@click.argument("model", metavar="MODEL.hdf5", type=click.Path(path_type=Path))
@options.output("factors")
@click.option(
    "--units",
    metavar="VIEW=UNITS",
    multiple=True,
    show_default=False,
    help="Units of a view, which mofapy2 does not write down: those of the cohorts to be projected.",
)
@options.overwrite
def command(model: Path, output: Path, units: tuple[str, ...], overwrite: bool) -> None:
    """Read the factor model in MODEL.hdf5, trained by mofapy2 or by MOFA2 in R and saved with its data.

    FACTORS.zarr can then be clustered, projected and reported like factors of our own.
    """
    known = dict(_pair(text) for text in units)
    with publish(output, Provenance("factors", {"units": known}, [model]), overwrite=overwrite) as staging:
        cohort.write_tree(import_hdf5(model, units=known), staging)
    summary.show(output)


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise UsageError(f"--units {text} is no VIEW=UNITS", fix='for example --units "expression=log2 CPM"')
    return name, value
