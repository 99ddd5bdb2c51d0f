"""``omics simulate``: raw files of a cohort with known truth."""

from pathlib import Path

import click

from omics.simulate import simulate
from pipelines import console, options


@options.command(
    "omics simulate cohort/ --patients 500 --cpgs 450000 --seed 3",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--patients", type=click.IntRange(min=20), default=360, help="Patients.")
@click.option("--cpgs", type=click.IntRange(min=100), default=4000, help="CpGs, up to 850,000.")
@click.option("--genes", type=click.IntRange(min=100), default=2500, help="Genes.")
@click.option("--null", is_flag=True, show_default=False, help="Plant no subtype and no effect on relapse.")
@options.seed
@options.progress
def command(folder: Path, patients: int, cpgs: int, genes: int, null: bool, seed: int, progress: bool) -> None:
    """Write the raw files of a paediatric ALL cohort to DIR, and beside them the truth that was planted."""
    with console.Bar("simulating", shown=progress) as bar:
        files = simulate(
            folder, n_patients=patients, n_cpgs=cpgs, n_genes=genes, null=null, seed=seed, progress=bar.show
        )
    for path in files.values():
        click.echo(path)
