"""``omics predict``: a frozen model on new patients."""

from pathlib import Path
from typing import Any

import click

from pipelines import cluster, options, steps


@options.command(
    "omics predict model/ new.zarr -o predictions.tsv",
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
@options.overwrite
@options.computing("threads")
def command(model: Path, cohort: Path, output: Path | None, overwrite: bool, computing: dict[str, Any]) -> None:
    """Predict the outcome of the patients of COHORT.zarr with a trained MODEL/.

    One line a patient; a patient alone gets the same numbers as within a cohort. The interval shows what missing data
    leave open; a patient unlike those trained on is flagged in the column outside.
    """
    if output:
        steps.refuse_existing(output, overwrite)
    with cluster.on(**computing):
        table = steps.predictions(model, cohort)
    # a spreadsheet would compute a sample named =cmd()
    table["sample"] = table["sample"].str.replace(r"^(?=[=+\-@])", "'", regex=True)
    text = table.to_csv(sep="\t", index=False)
    if output:
        with steps.whole_file(output) as aside:
            aside.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
