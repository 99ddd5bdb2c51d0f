"""``omics prepare``: a cohort to a prepared cohort."""

from pathlib import Path
from typing import Any

from pipelines import cluster, config, options, steps, summary


@options.command(
    "omics prepare cohort.zarr prepared.zarr --n-features 3000 --batch site",
)
@options.artefact("cohort")
@options.output("prepared")
@options.settings(config.Prepare)
@options.overwrite
@options.computing("threads")
def command(cohort: Path, output: Path, settings: config.Prepare, overwrite: bool, computing: dict[str, Any]) -> None:
    """Transform the values of COHORT.zarr into PREPARED.zarr.

    Betas become M-values, counts log-CPM. The steps that learn (filters, centring, scaling, imputation) are only
    recorded: whoever trains fits them on its own patients, so that no test patient leaks into training.
    """
    with cluster.on(**computing):
        steps.prepare(cohort, output, settings, overwrite=overwrite)
    summary.show(output)
