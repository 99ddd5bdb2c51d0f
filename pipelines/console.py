"""What a command says on stderr while it works; results go to stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import click

if TYPE_CHECKING:
    from omics.factors.progress import Report

#: Off a terminal, per cent or items between two lines; seconds before anything is shown, as short steps need no bar.
_PER_CENT, _ITEMS, _PATIENCE = 10, 50_000, 2
#: Seconds between two texts, on a terminal and off it.
_REDRAW, _LINE = 0.1, 10


def say(text: str) -> None:
    """Print a message to stderr."""
    click.echo(text, err=True)


@contextmanager
def timed(label: str) -> Iterator[None]:
    """Say how long the block took."""
    started = time.monotonic()
    yield
    say(f"{label:9} {time.monotonic() - started:6.1f} s")


class Bar:
    """How far a long step is: one line that is rewritten on a terminal, else a line now and then; on stderr.

    While a bar tells a text, all others are silent: what they would show are parts of it.

    Parameters
    ----------
    label : str
        What is under way.
    shown : bool
        Whether to show anything.
    """

    _telling: ClassVar[Bar | None] = None

    def __init__(self, label: str, *, shown: bool = True) -> None:
        self._label, self._shown = label, shown
        self._terminal = sys.stderr.isatty()
        self._started, self._said, self._width = time.monotonic(), 0, 0
        self._told = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        percent = 100 * done // max(total, 1)
        if self._due(percent, 1 if self._terminal else _PER_CENT):
            drawn = f"[{'#' * (percent // 4):<25}] " if self._terminal else ""
            self._print(f"{self._label} {drawn}{percent} %")

    def count(self, what: str, done: int) -> None:
        """Show that `done` items of `what` are done, where nobody knows how many there are."""
        if self._due(done, 1 if self._terminal else _ITEMS):
            self._print(f"{self._label} {what}: {done:,}")

    def tell(self, text: str) -> None:
        """Show a text, where there is no end to count towards."""
        Bar._telling, now = self, time.monotonic()
        if self._patient(now) and now >= self._told + (_REDRAW if self._terminal else _LINE):
            self._told = now
            self._print(f"{self._label} {text}")

    def _due(self, done: int, step: int) -> bool:
        if not self._patient(time.monotonic()) or 0 <= done - self._said < step:
            return False
        self._said = done
        return True

    def _patient(self, now: float) -> bool:
        """Whether it is time to show something, and nobody else does."""
        return self._shown and Bar._telling in (None, self) and now >= self._started + _PATIENCE

    def _print(self, text: str) -> None:
        if self._terminal:
            click.echo(f"\r  {text:{self._width}}", nl=False, err=True)
            self._width = len(text)  # of what the next text must cover
        else:
            say(f"  {text}")

    def close(self) -> None:
        """Clear the line of a terminal."""
        if Bar._telling is self:
            Bar._telling = None
        if self._width:
            click.echo(f"\r  {'':{self._width}}\r", nl=False, err=True)
            self._width = 0


@contextmanager
def fitting(label: str, n_fits: int, *, shown: bool = True) -> Iterator[Callable[[Report], None]]:
    """Give what shows how far fits are: the iteration, the best bound, its change, and how many are under way.

    Parameters
    ----------
    label : str
        What is under way.
    n_fits : int
        Fits that share the iterations.
    shown : bool
        Whether to show anything.
    """
    bounds: dict[int, float] = {}
    said = ""

    def watch(report: Report) -> None:
        nonlocal said
        if report.elbo is not None:
            found = dict(zip(report.fits, map(float, report.elbo), strict=True))
            said = f": bound {max(found.values()):,.1f}"
            changes = [abs((found[fit] - bounds[fit]) / bounds[fit]) for fit in found if fit in bounds]
            said += f", changed by {max(changes):.0e}" if changes else ""
            bounds.update(found)
        fits = f", {len(report.fits)} of {n_fits} fits under way" if n_fits > 1 else ""
        bar.tell(f"iteration {report.iteration}, at most {report.max_iter}{said}{fits}")

    with Bar(label, shown=shown) as bar:
        yield watch
