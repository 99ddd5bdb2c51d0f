"""What a command says on stderr while it works; results go to stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

#: Off a terminal, per cent or items between two lines; seconds before anything is shown, as short steps need no bar.
_PER_CENT, _ITEMS, _PATIENCE = 10, 50_000, 2


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

    Parameters
    ----------
    label : str
        What is under way.
    shown : bool
        Whether to show anything.
    """

    def __init__(self, label: str, *, shown: bool = True) -> None:
        self._label, self._shown = label, shown
        self._terminal = sys.stderr.isatty()
        self._started, self._said, self._width = time.monotonic(), 0, 0

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

    def _due(self, done: int, step: int) -> bool:
        if not self._shown or time.monotonic() < self._started + _PATIENCE or 0 <= done - self._said < step:
            return False
        self._said = done
        return True

    def _print(self, text: str) -> None:
        if self._terminal:
            click.echo(f"\r  {text:{self._width}}", nl=False, err=True)
            self._width = len(text)
        else:
            say(f"  {text}")

    def close(self) -> None:
        """Clear the line of a terminal."""
        if self._width:
            click.echo(f"\r  {'':{self._width}}\r", nl=False, err=True)
            self._width = 0
