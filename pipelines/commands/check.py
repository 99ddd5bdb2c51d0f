"""``omics check``: whether an artefact is whole."""

from pathlib import Path

import click

from omics.artefact import verify
from pipelines import options


@options.command(
    "omics check cohort.zarr --hashes",
)
@options.artefact("artefact", metavar="ARTEFACT")
@click.option("--hashes", is_flag=True, show_default=False, help="Compare the content of every file, not only sizes.")
def command(artefact: Path, hashes: bool) -> None:
    """Compare ARTEFACT with its manifest; exit 6 if a file is missing or damaged."""
    manifest = verify(artefact, hashes=hashes)
    click.echo(f"{artefact}: {manifest['noun']}, {len(manifest['files'])} files, whole, digest {manifest['digest']}")
