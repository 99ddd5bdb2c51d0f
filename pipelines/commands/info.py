"""``omics info``: what an artefact is."""

from pathlib import Path

from pipelines import options, summary


@options.command(
    "omics info cohort.zarr",
    "omics info evaluation.zarr --json",
)
@options.artefact("artefact", metavar="ARTEFACT")
@options.as_json
def command(artefact: Path, as_json: bool) -> None:
    """Say what ARTEFACT is, what it was made from, and its key figures."""
    summary.show(artefact, as_json=as_json)
