"""``omics subtypes``: factors to subtypes, or subtypes of a reference in another cohort."""

from pathlib import Path
from typing import Any

import click

from omics.schema import UsageError
from pipelines import cluster, clusters, config, options, steps, summary


@options.command(
    "omics subtypes factors.zarr subtypes.zarr --prepared prepared.zarr",
    "omics subtypes factors.zarr subtypes.zarr --n-subtypes 6 --also kmeans,spectral --exclude site,sex",
    "omics subtypes --reference subtypes.zarr other-prepared.zarr replication.zarr",
)
@click.argument("source", metavar="FACTORS.zarr|NEW.zarr", type=click.Path(path_type=Path))
@options.output("subtypes", metavar="SUBTYPES.zarr|REPLICATION.zarr")
@options.settings(config.Subtypes)
@click.option(
    "--prepared",
    metavar="PREPARED.zarr",
    type=click.Path(path_type=Path),
    help="The cohort from which the factors come: for marker features, missing layers, and the fusion of layers.",
)
@click.option(
    "--match",
    metavar="SUBTYPES.zarr",
    type=click.Path(path_type=Path),
    help="An earlier run: subtypes that are the same keep their names.",
)
@click.option(
    "--reference",
    metavar="SUBTYPES.zarr",
    type=click.Path(path_type=Path),
    help="Look for these subtypes in NEW.zarr, a prepared cohort, instead of new ones.",
)
@click.option(
    "--factors",
    metavar="FACTORS.zarr",
    type=click.Path(path_type=Path),
    help="The factor model of the reference; default: the one beside it.",
)
@options.seed
@options.overwrite
@options.computing("threads")
def command(
    source: Path,
    output: Path,
    settings: config.Subtypes,
    prepared: Path | None,
    match: Path | None,
    reference: Path | None,
    factors: Path | None,
    seed: int,
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Cluster the patients of FACTORS.zarr and say what the clusters mean, or look for known ones in NEW.zarr."""
    with cluster.on(**computing):
        if reference is None:
            if factors is not None:
                raise UsageError("--factors goes with --reference", where="omics subtypes", fix="leave it out")
            steps.subtypes(source, output, settings, seed=seed, prepared=prepared, match=match, overwrite=overwrite)
        else:
            clusters.refuse_unused(settings, {"prepared": prepared, "match": match})
            steps.replicate(source, output, settings, reference, factors, seed=seed, overwrite=overwrite)
    summary.show(output)
