"""``omics factors``: a prepared cohort to factors."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary
from pipelines.checkpoints import Resume


@options.command(
    "omics factors prepared.zarr factors.zarr --n-factors 12 --seed 1",
    "omics factors prepared.zarr factors.zarr --n-factors 5,10,15,20 --restarts 10",
    "omics factors prepared.zarr factors.zarr --n-factors auto --resume",
)
@options.artefact("prepared")
@options.output("factors")
@options.settings(config.Factors)
@options.seed
@options.resume
@options.overwrite
@options.computing("threads")
def command(
    prepared: Path,
    output: Path,
    settings: config.Factors,
    seed: int,
    resume: bool,
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Learn the MOFA factors of PREPARED.zarr on all its patients, also those who lack layers.

    All fits share their passes over the data. Every minute, and when it is interrupted, the state is kept beside the
    output; --resume goes on from there, to the same result.
    """
    going = Resume.ALWAYS if resume else Resume.NEVER
    with cluster.on(**computing):
        steps.factors(
            prepared, output, settings, seed=seed, overwrite=overwrite, resume=going, progress=computing["progress"]
        )
    summary.show(output)
