"""Every option of the command line, declared once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any, get_type_hints

import click

from pipelines.config import Numbers, Paths, value_type

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Names(click.ParamType):
    """Comma-separated names, each of a list if there is one."""

    name = "names"

    def __init__(self, choices: tuple[str, ...] | None = None, *, own: bool = False) -> None:
        self.choices, self.own = choices, own

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split the text."""
        names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
        for name in names:
            if not name:
                self.fail(f"'{value}' has an empty name", param, ctx)
            if self.choices and name not in self.choices and not (self.own and ":" in name):
                self.fail(f"'{name}' is not one of {', '.join(self.choices)}", param, ctx)
        return names

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What help shows."""
        return "NAME,..."


class Files(click.ParamType):
    """Comma-separated paths."""

    name = "files"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        """Split the text."""
        return tuple(Path(part.strip()) for part in value.split(",")) if isinstance(value, str) else tuple(value)


class Listed(click.Option):
    """An option of values with commas between, which may be given again: it adds, as the last would hide the others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "multiple": True})

    def value_from_envvar(self, ctx: click.Context) -> tuple[str, ...] | None:
        """The text of the variable as it is: click would split it at spaces, which names may have."""
        text = self.resolve_envvar_value(ctx)
        return None if text is None else (text,)

    def process_value(self, ctx: click.Context, value: Any) -> tuple[Any, ...] | None:
        """All values as one tuple, or None if there is none."""
        return tuple(chain.from_iterable(super().process_value(ctx, value))) or None


class NumbersType(click.ParamType):
    """A number, several with commas between, or ``auto``."""

    name = "numbers"

    def __init__(self, minimum: int | None = None) -> None:
        self.minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split the text."""
        if not isinstance(value, str) or value == "auto":
            return value
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is not a valid integer, list of integers, or auto", param, ctx)
        for number in numbers:
            if self.minimum is not None and number < self.minimum:
                self.fail(f"{number} is not at least {self.minimum}", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What help shows."""
        return "N|N,N,...|auto"


# --- what every command has -----------------------------------------------------------------------------------------


class _Command(click.Command):
    """A command whose help ends with examples."""

    examples: tuple[str, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the examples, unwrapped, so that they can be pasted."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(*examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command that has --verbose, --debug and examples."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made = click.command(cls=_Command, context_settings={"show_default": True})(_verbose(_debug(function)))
        made.examples = examples
        return made

    return decorate


def _set_verbose(ctx: click.Context, param: click.Parameter, count: int) -> None:
    handler = logging.StreamHandler()  # with a level of its own: libraries that lower theirs stay quiet
    handler.setLevel(max(logging.DEBUG, logging.WARNING - 10 * count))
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if not count:  # what goes wrong in a worker is raised here; the rest is how they are stopped
        handler.addFilter(lambda record: not record.name.startswith(("distributed", "asyncio")))
    logging.basicConfig(handlers=[handler], level=handler.level)


def _set_debug(ctx: click.Context, param: click.Parameter, debug: bool) -> None:
    ctx.meta["debug"] = debug


_verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    show_default=False,
    expose_value=False,
    callback=_set_verbose,
    help="Say more; twice for details.",
)
_debug = click.option(
    "--debug",
    is_flag=True,
    show_default=False,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show the traceback of an error.",
)


# --- what several commands have -------------------------------------------------------------------------------------


def artefact(name: str, *, metavar: str | None = None) -> Decorator:
    """Argument: an artefact that is read."""
    return click.argument(name, metavar=metavar or f"{name.upper()}.zarr", type=click.Path(path_type=Path))


def output(noun: str, *, metavar: str | None = None) -> Decorator:
    """Argument: the artefact to be written."""
    return click.argument("output", metavar=metavar or f"{noun.upper()}.zarr", type=click.Path(path_type=Path))


seed = click.option("--seed", type=click.IntRange(min=0), default=1, help="Seed of everything random.")
overwrite = click.option("--overwrite", is_flag=True, show_default=False, help="Replace an output that exists.")
as_json = click.option("--json", "as_json", is_flag=True, show_default=False, help="Print JSON.")
resume = click.option(
    "--resume", is_flag=True, show_default=False, help="Go on from the checkpoint of an interrupted or killed fit."
)
progress = click.option("--progress/--no-progress", default=True, help="Show progress on stderr.")


def computing(default: str) -> Decorator:
    """Where and how wide to compute: passed on as one argument, ``computing``.

    Parameters
    ----------
    default : {"threads", "local"}
        Threads where arrays do the work, as in a fit of the stream engine; processes where Python holds the lock for
        much of it, as where many models are fitted.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options = (
            click.option(
                "--cluster",
                default=default,
                metavar="threads|local|tcp://HOST:PORT",
                help="Compute in threads, in processes of this machine, or on a running dask scheduler.",
            ),
            click.option("--workers", type=click.IntRange(min=1), help="Threads or processes; default: all cores."),
            click.option("--memory", metavar="SIZE", help="Memory of one process, for example 4GiB (--cluster local)."),
            progress,
        )
        return _gathered(function, options, ("cluster", "workers", "memory", "progress"), "computing", dict)

    return decorate


def settings(kind: type) -> Decorator:
    """Options for the fields of a settings class: passed on as one argument, ``settings``."""
    hints = get_type_hints(kind)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options = [
            click.option(*_names(spec.name, hints[spec.name]), **_declaration(spec, hints[spec.name]))
            for spec in fields(kind)
        ]
        return _gathered(function, options, tuple(spec.name for spec in fields(kind)), "settings", kind)

    return decorate


def _gathered(
    function: Callable[..., Any], options: Any, names: tuple[str, ...], target: str, make: Callable[..., Any]
) -> Callable[..., Any]:
    """Give `function` the options, and the values of `names` as one argument `target`."""

    def gathered(**values: Any) -> Any:
        inner = {name: values.pop(name) for name in names}
        return function(**values, **{target: make(**inner)})

    gathered.__doc__, gathered.__name__ = function.__doc__, function.__name__
    gathered.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(options):
        option(gathered)
    return gathered


def _names(name: str, hint: Any) -> tuple[str, str]:
    dashed = name.replace("_", "-")
    return name, f"--{dashed}/--no-{dashed}" if value_type(hint) is bool else f"--{dashed}"


def _declaration(spec: Any, hint: Any) -> dict[str, Any]:
    meaning, metavar = spec.metadata["meaning"], spec.metadata["metavar"]
    declared: dict[str, Any] = {"default": spec.default, "help": meaning, "type": _type(spec, value_type(hint))}
    if isinstance(declared["type"], Names | Files):
        declared["cls"] = Listed
    if metavar or value_type(hint) is Path:
        declared["metavar"] = metavar or "FILE"
    return declared


def _type(spec: Any, kind: Any) -> Any:
    """What Click makes of the text of an option."""
    choices, minimum = spec.metadata["choices"], spec.metadata["minimum"]
    if kind == Paths:
        return Files()
    if kind == Numbers:
        return NumbersType(minimum)
    if kind in (int, float):
        return (click.IntRange if kind is int else click.FloatRange)(min=minimum)
    if kind is Path:
        return click.Path(path_type=Path)
    if kind is str:
        return click.Choice(choices) if choices else str
    return bool if kind is bool else Names(choices, own=spec.metadata["own"])
