"""``omics interpret``: what factors and subtypes mean."""

from pathlib import Path
from typing import Any

import click

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics interpret factors.zarr interpretation.zarr --prepared prepared.zarr --subtypes subtypes.zarr",
    "omics interpret factors.zarr interpretation.zarr --prepared prepared.zarr --mutations calls.maf --sets my.gmt",
)
@options.artefact("factors")
@options.output("interpretation")
@click.option(
    "--prepared",
    metavar="PREPARED.zarr",
    type=click.Path(path_type=Path),
    required=True,
    help="The cohort from which the factors come.",
)
@click.option(
    "--subtypes",
    metavar="SUBTYPES.zarr",
    type=click.Path(path_type=Path),
    help="Subtypes to interpret as well.",
)
@options.settings(config.Interpret)
@options.seed
@options.overwrite
@options.computing("threads")
def command(
    factors: Path,
    output: Path,
    prepared: Path,
    subtypes: Path | None,
    settings: config.Interpret,
    seed: int,
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Say what the factors of FACTORS.zarr, and subtypes, mean: for research, no advice on treatment.

    Leading genes, CpGs and mutations; what goes with them in the clinic; gene sets; mutations that occur together or
    come with relapse; lesions that may resist treatment or be targeted; antigens; what the germline must be asked.
    """
    with cluster.on(**computing):
        steps.interpret(factors, output, settings, prepared=prepared, subtypes=subtypes, seed=seed, overwrite=overwrite)
    summary.show(output)
