"""``omics train``: a frozen model of an endpoint."""

from pathlib import Path
from typing import Any

import click

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics train prepared.zarr model/ --horizon 5",
    "omics train prepared.zarr model/ --model coxnet --landmark 0.1 --evaluation evaluation.zarr",
)
@options.artefact("prepared")
@options.output("model", metavar="MODEL/")
@options.settings(config.Train)
@click.option(
    "--evaluation",
    metavar="EVALUATION.zarr",
    type=click.Path(path_type=Path),
    show_default=False,
    help="Evaluation of the same cohort and question; its figures go into the model card.",
)
@options.seed
@options.overwrite
@options.computing("threads")
def command(
    prepared: Path,
    output: Path,
    settings: config.Train,
    evaluation: Path | None,
    seed: int,
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Train a model of an endpoint on all patients of PREPARED.zarr, for `omics predict`."""
    with cluster.on(**computing):
        steps.train(prepared, output, settings, seed=seed, evaluation=evaluation, overwrite=overwrite)
    summary.show(output)
