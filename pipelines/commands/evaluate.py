"""``omics evaluate``: how well an endpoint is predicted."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics evaluate prepared.zarr evaluation.zarr",
    "omics evaluate prepared.zarr evaluation.zarr --horizon 3 --n-repeats 5 --models logistic --cluster local",
    "omics evaluate prepared.zarr evaluation.zarr --audit --permutations 20",
    "omics evaluate prepared.zarr classes.zarr --classes subtype --models logistic,forest",
    "omics evaluate prepared.zarr evaluation.zarr --endpoint overall --models coxnet,survival_forest --leave-out site",
)
@options.artefact("prepared")
@options.output("evaluation")
@options.settings(config.Evaluate)
@options.seed
@options.overwrite
@options.computing("local")
def command(
    prepared: Path, output: Path, settings: config.Evaluate, seed: int, overwrite: bool, computing: dict[str, Any]
) -> None:
    """Cross-validate the prediction of an endpoint from PREPARED.zarr: clinical only, omics only, both.

    Everything that learns, MOFA included, is fitted anew inside each fold. Folds run in parallel.
    """
    with cluster.on(**computing):
        steps.evaluate(prepared, output, settings, seed=seed, overwrite=overwrite)
    summary.show(output)
