"""``omics report``: one HTML page of a run."""

from pathlib import Path

import click

from pipelines import options, run, steps


@options.command(
    'omics report results/ -o report.html --title "ALL 2024"',
)
@click.argument("folder", metavar="RUN/", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), show_default=False, help="Default: report.html in RUN/."
)
@click.option("--title", default="Multi-omics report", help="Title of the page.")
@options.overwrite
def command(folder: Path, output: Path | None, title: str, overwrite: bool) -> None:
    """Write one self-contained HTML page of the artefacts in RUN/ (cohort.zarr, factors.zarr, ...)."""
    page = output or folder / run.REPORT
    steps.write_report(steps.present(folder), page, title=title, overwrite=overwrite)
    click.echo(page)
