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
@click.option("--title", show_default=False, help="Title of the page; default: that of the run.")
@click.option("--export-plots", is_flag=True, show_default=False, help="Write every figure as SVG beside the numbers.")
@options.overwrite
def command(folder: Path, output: Path | None, title: str | None, export_plots: bool, overwrite: bool) -> None:
    """Write one self-contained HTML page of the artefacts in RUN/ (cohort.zarr, factors.zarr, ...).

    Beside report.html, report_data/ has every table and result as TSV, and an index, report.json.
    """
    page = output or folder / run.REPORT
    steps.write_report(
        steps.present(folder), page, title=title or run.title_of(folder), overwrite=overwrite, export_plots=export_plots
    )
    click.echo(page)
