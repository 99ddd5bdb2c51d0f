"""``omics ingest``: raw files to a cohort."""

from pathlib import Path

import click

from pipelines import config, console, options, steps


@options.command(
    "omics ingest all.zarr --methylation beta.tsv.gz --expression counts.tsv.gz --mutations m.maf --clinical clin.tsv",
    "omics ingest all.zarr --expression counts.tsv --clinical clin.tsv --map patient=PID --map event_time=fu_days:days",
)
@options.output("cohort")
@options.settings(config.Ingest)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="NAME=COLUMN[:UNIT]",
    help="Column of the clinical file that holds NAME (patient, age, relapse, event_time, ...), and its unit.",
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file whose [clinical] maps columns.")
@options.overwrite
@options.progress
def command(
    output: Path, settings: config.Ingest, columns: tuple[str, ...], file: Path | None, overwrite: bool, progress: bool
) -> None:
    """Read raw files into COHORT.zarr and print an account of the samples.

    Any subset of the layers will do. Samples are matched by id; what was dropped, and why, is in the account.
    """
    clinical = {**(config.load_clinical(file) if file else {}), **config.mapped(columns)}
    with console.Bar("reading", shown=progress) as bar:
        account = steps.ingest(output, settings, clinical, overwrite=overwrite, progress=bar.count)
    click.echo(account.text())
