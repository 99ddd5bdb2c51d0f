"""``omics run``: the whole graph of a configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pipelines import cluster, config, console, options
from pipelines import run as graph


@options.command(
    "omics run config.toml --output results",
    "omics run config.toml --resume --dry-run",
    "omics run config.toml --resume --force subtypes --cluster local",
)
@click.argument("file", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), show_default=False, help="Folder; default: the file's."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed; default: the file's.")
@click.option("--dry-run", is_flag=True, show_default=False, help="Say what would run, and why; write nothing.")
@click.option("--resume", is_flag=True, show_default=False, help="Keep what is up to date, and what a fit had reached.")
@click.option("--force", multiple=True, metavar="STEP", help="Run this step in any case; implies --resume.")
@options.overwrite
@options.computing("local")
def command(
    file: Path,
    output: Path | None,
    seed: int | None,
    dry_run: bool,
    resume: bool,
    force: tuple[str, ...],
    overwrite: bool,
    computing: dict[str, Any],
) -> None:
    """Run every step of CONFIG.toml, from raw files to the report, and print where the report is."""
    chosen = config.load(file)
    chosen = replace(chosen, output=output or chosen.output, seed=chosen.seed if seed is None else seed)
    shown, resume = computing["progress"], resume or bool(force)
    with console.Bar("reading", shown=shown) as bar:
        planned = graph.plan(chosen, progress=bar.count, resume=resume, shown=shown)
        graph.check_force(planned, force)
        if dry_run:
            for step, reason in graph.dry_run(planned, force=force):
                click.echo(f"{step.name:9} -> {step.output}: {reason or 'up to date'}")
            return
        with cluster.on(**computing):
            click.echo(graph.execute(planned, resume=resume, overwrite=overwrite, force=force))
