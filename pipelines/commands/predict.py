"""``omics predict``: a frozen model on new patients."""

from pathlib import Path
from typing import Any

import click

from omics.schema import UsageError
from pipelines import cluster, options, patient, steps


@options.command(
    "omics predict model/ new.zarr -o predictions.tsv",
    "omics predict model/ new.zarr -o predictions.tsv --report patient.html --sample PT-017",
)
@options.artefact("model", metavar="MODEL/")
@options.artefact("cohort")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    show_default=False,
    help="TSV file to write; default: standard output.",
)
@click.option(
    "--report", metavar="HTML", type=click.Path(path_type=Path), help="Also write one page of one patient: this file."
)
@click.option("--sample", metavar="ID", help="Whom the page is of; needed where there are several patients.")
@click.option(
    "--tables",
    cls=options.Listed,
    metavar="TSV,...",
    type=options.Files(),
    help="Knowledge tables of your own for the page, like ours.",
)
@options.overwrite
@options.computing("threads")
def command(
    model: Path,
    cohort: Path,
    output: Path | None,
    report: Path | None,
    sample: str | None,
    tables: tuple[Path, ...] | None,
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Predict the outcome of the patients of COHORT.zarr with a trained MODEL/.

    One line a patient; a patient alone gets the same numbers as within a cohort. The interval shows what missing data
    leave open; a patient unlike those trained on is flagged in the column outside.

    The page has one patient's risk and how far it can be trusted, what the model saw, and what lesions may mean.
    """
    _refuse(report, output, sample, tables, overwrite)
    with cluster.on(**computing):
        page = patient.page(model, cohort, sample, tables) if report else ""
        table = steps.predictions(model, cohort)
    # a spreadsheet would compute a sample named =cmd()
    table["sample"] = table["sample"].str.replace(r"^(?=[=+\-@])", "'", regex=True)
    text = table.to_csv(sep="\t", index=False)
    for file, content in ((report, page), (output, text)):
        if file:
            with steps.whole_file(file) as aside:
                aside.write_text(content, encoding="utf-8", newline="\n")
    if not output:
        click.echo(text, nl=False)


def _refuse(
    report: Path | None, output: Path | None, sample: str | None, tables: tuple[Path, ...] | None, overwrite: bool
) -> None:
    """Refuse what cannot be written, and options without effect, before the work."""
    for name, given in (("--sample", sample), ("--tables", tables)):
        if given is not None and not report:
            raise UsageError(f"{name} is about the page of one patient", where=name, fix="add --report FILE.html")
    if report and output and report.resolve() == output.resolve():
        raise UsageError("the page and the table are one file", where=str(report), fix="name two files")
    if report and report.is_dir():
        raise UsageError("the output is a folder", where=str(report), fix="name a file, such as patient.html")
    for file in filter(None, (report, output)):
        steps.refuse_existing(file, overwrite)
