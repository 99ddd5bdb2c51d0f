"""``omics train``: a frozen model of relapse."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics train prepared.zarr model/ --horizon 5",
)
@options.artefact("prepared")
@options.output("model", metavar="MODEL/")
@options.settings(config.Train)
@options.seed
@options.overwrite
@options.computing("threads")
def command(
    prepared: Path, output: Path, settings: config.Train, seed: int, overwrite: bool, computing: dict[str, Any]
) -> None:
    """Train a model of relapse on all patients of PREPARED.zarr, for `omics predict`."""
    with cluster.on(**computing):
        steps.train(prepared, output, settings, seed=seed, overwrite=overwrite)
    summary.show(output)
