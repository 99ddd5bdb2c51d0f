"""``omics subtypes``: factors to subtypes."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics subtypes factors.zarr subtypes.zarr",
    "omics subtypes factors.zarr subtypes.zarr --n-subtypes 6",
)
@options.artefact("factors")
@options.output("subtypes")
@options.settings(config.Subtypes)
@options.seed
@options.overwrite
@options.computing("threads")
def command(
    factors: Path, output: Path, settings: config.Subtypes, seed: int, overwrite: bool, computing: dict[str, Any]
) -> None:
    """Cluster the patients of FACTORS.zarr, and compare relapse and survival between the clusters."""
    with cluster.on(**computing):
        steps.subtypes(factors, output, settings, seed=seed, overwrite=overwrite)
    summary.show(output)
