"""``omics factors``: a prepared cohort to factors."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics factors prepared.zarr factors.zarr --n-factors 12 --seed 1",
    "omics factors prepared.zarr factors.zarr --restarts 10 --cluster local --workers 4",
)
@options.artefact("prepared")
@options.output("factors")
@options.settings(config.Factors)
@options.seed
@options.overwrite
@options.computing("local")
def command(
    prepared: Path, output: Path, settings: config.Factors, seed: int, overwrite: bool, computing: dict[str, Any]
) -> None:
    """Learn the MOFA factors of PREPARED.zarr on all its patients, also those who lack layers."""
    with cluster.on(**computing):
        steps.factors(prepared, output, settings, seed=seed, overwrite=overwrite)
    summary.show(output)
