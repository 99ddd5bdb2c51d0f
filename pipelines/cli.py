"""The ``omics`` command: finds its sub-commands lazily, and turns every error into one readable block."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import click

from pipelines import BLAS_THREADS

#: Name -> one line of help. A command's module is imported only when it is called: ``omics --help`` is immediate.
COMMANDS = {
    "demo": "Simulate a cohort, run everything, print where the report is.",
    "run": "Run the whole graph of a configuration file.",
    "simulate": "Write the raw files of a cohort with known truth.",
    "ingest": "Read raw files into a cohort.",
    "prepare": "Transform the values of a cohort; record the steps that learn.",
    "factors": "Learn MOFA factors from a prepared cohort.",
    "import": "Read factors that mofapy2 or MOFA2 learned.",
    "export": "Write a whole analysis as .h5mu or tables, or factors for MOFA2 and mofax.",
    "subtypes": "Cluster patients on factors and compare their relapse.",
    "interpret": "Say what factors and subtypes mean: genes, gene sets, mutations, resistance, targets.",
    "evaluate": "Cross-validate the prediction of relapse, refitting everything inside each fold.",
    "train": "Freeze a model that predicts relapse.",
    "predict": "Apply a frozen model to new patients.",
    "report": "Write the report of a run as one HTML page.",
    "info": "Say what an artefact is, and its key figures.",
    "check": "Compare an artefact with its manifest.",
}
_EXAMPLES = [
    ("omics demo", "everything, on a simulated cohort"),
    ("omics run config.toml -o results", "everything, on your files"),
    ("omics info results/subtypes.zarr --json", "the key figures of an artefact"),
]
_INTERNAL, _ENVIRONMENT, _INTERRUPT, _TERMINATE = 1, 4, 130, 143


class LazyGroup(click.Group):
    """A group whose commands are modules of :mod:`pipelines.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which data flows."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of the command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"pipelines.commands.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show examples."""
        with formatter.section("Examples"):
            formatter.write_dl(_EXAMPLES)
        formatter.write_paragraph()
        formatter.write_text(
            "Every option can also be set in the environment: OMICS_FACTORS_SEED=2 is --seed 2 of omics factors."
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error becomes one block on stderr and its exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt as interrupt:
            click.echo(f"\n{_with_notes('interrupted', interrupt)}", err=True)
            ctx.exit(_INTERRUPT)
        except SystemExit as end:
            click.echo(_with_notes("terminated", end), err=True)
            raise
        except BrokenPipeError:  # who read our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:  # the one place where every fault ends, so that users see no traceback
            ctx.exit(_explain(error, debug=bool(ctx.meta.get("debug"))))


def _with_notes(what: str, error: BaseException) -> str:
    return ": ".join([what, *getattr(error, "__notes__", [])])


def _explain(error: Exception, *, debug: bool) -> int:
    """Print `error` to stderr and return the exit code."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
    if hasattr(error, "exit_code"):  # omics.schema.OmicsError, which would cost half a second to import here
        click.secho(f"error: {error}", fg="red", err=True)
        return int(error.exit_code)
    if isinstance(error, OSError) and error.strerror:
        click.secho(f"error: {error.strerror}\n  where: {error.filename or 'unknown'}", fg="red", err=True)
        return _ENVIRONMENT
    click.secho(f"error: {type(error).__name__}: {error}", fg="red", err=True)
    if not debug:
        click.echo("  fix: this should not happen; run again with --debug for the traceback", err=True)
    return _INTERNAL


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "OMICS", "max_content_width": 110},
)
@click.version_option(package_name="omics-all", prog_name="omics")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """From raw methylation, expression, mutation and clinical files to leukaemia subtypes that relapse."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """Entry point of the console script."""
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))  # before NumPy is loaded
    # So that locks, staging folders and workers are cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATE))
    logging.captureWarnings(True)
    cli()
    raise AssertionError("click exits by itself")


if __name__ == "__main__":
    main()
