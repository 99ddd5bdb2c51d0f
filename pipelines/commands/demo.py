"""``omics demo``: simulate and run."""

from pathlib import Path
from typing import Any

import click

from omics.schema import UsageError
from omics.simulate import simulate
from pipelines import cluster, config, console, options
from pipelines import run as graph

_CONFIG = Path(__file__).parents[1] / "configs" / "demo.toml"


@options.command(
    "omics demo --cluster local",
    "omics run demo/config.toml --resume --force subtypes",
    "omics info demo/results/subtypes.zarr",
)
@click.argument("folder", metavar="[DIR]", default="demo", type=click.Path(path_type=Path))
@options.computing("local")
def command(folder: Path, computing: dict[str, Any]) -> None:
    """Simulate a paediatric ALL cohort in DIR (default: demo), run everything on it, print where the report is.

    DIR gets the raw files (data/), the configuration (config.toml) and the artefacts (results/). A second call
    keeps what is up to date.
    """
    file = folder / "config.toml"
    if folder.exists() and not file.is_file() and any(folder.iterdir()):
        raise UsageError("the folder is not empty and holds no demo", where=str(folder), fix="name another")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(_CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    chosen = config.load(file)
    shown = computing["progress"]
    if not (folder / "data").exists():  # it is there whole or not at all
        with console.timed("simulate"), console.Bar("simulating", shown=shown) as bar:
            simulate(folder / "data", seed=chosen.seed, progress=bar.show)
    with cluster.on(**computing), console.Bar("reading", shown=shown) as bar:
        planned = graph.plan(chosen, progress=bar.count, resume=True, shown=shown)
        click.echo(graph.execute(planned, resume=True, overwrite=False))
