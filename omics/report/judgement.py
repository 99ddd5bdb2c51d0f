"""Figures that judge a predicted risk: calibration, and net benefit over thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from omics.report.svg import INK, MARKERS, SOFT, colours, draw, titled
from omics.report.words import listing, number, percent

_SIZE = (4.9, 3.7)


def calibration(tables: Mapping[str, pd.DataFrame]) -> str:
    """Observed incidence against mean predicted risk.

    Parameters
    ----------
    tables : mapping
        Name of the predictors -> ``predicted, observed, lower, upper``, one row a group of patients.
    """
    colour = colours(list(tables))
    ends = np.concatenate(
        [table[["predicted", "observed", "upper"]].to_numpy(float).ravel() for table in tables.values()]
    )
    top = float(np.clip(np.ceil(np.nanmax(ends, initial=0.2) * 10) / 10, 0.2, 1.0))

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, top], [0, top], color="#8894a0", linewidth=1, linestyle="--", zorder=1)
        for (name, table), marker in zip(tables.items(), MARKERS, strict=False):
            axes.vlines(
                table["predicted"], table["lower"], table["upper"], color=colour[name], linewidth=1.2, alpha=0.6
            )
            axes.plot(
                table["predicted"], table["observed"], color=colour[name], marker=marker, linewidth=1.4, label=name
            )
        axes.set(xlim=(0, top), ylim=(0, top))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(True)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left")
        titled(axes, "Observed incidence", "Predicted risk")

    said = [
        f"{name}: "
        + ", ".join(
            f"{percent(float(risk))} predicted, {percent(float(seen))} observed"
            for risk, seen in zip(table["predicted"], table["observed"], strict=True)
        )
        for name, table in tables.items()
    ]
    return draw("calibration", f"Calibration by groups of risk. {'; '.join(said)}.", _SIZE, plot)


def decision(tables: Mapping[str, pd.DataFrame]) -> str:
    """Net benefit over thresholds, beside treating all and none.

    Parameters
    ----------
    tables : mapping
        Name of the predictors -> ``threshold, net_benefit, all``, one row a threshold.
    """
    colour = colours(list(tables))
    first = next(iter(tables.values()))
    best = max(float(table["net_benefit"].max()) for table in tables.values())
    top = 1.15 * max(best, float(first["all"].max()), 0.02)

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=SOFT, linewidth=1, linestyle=":", label="treat none")
        axes.plot(first["threshold"], first["all"], color=SOFT, linewidth=1, linestyle="--", label="treat all")
        for (name, table), marker in zip(tables.items(), MARKERS, strict=False):
            axes.plot(
                table["threshold"], table["net_benefit"], color=colour[name], marker=marker, markersize=4, label=name
            )
        axes.set(ylim=(-0.35 * top, top))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.grid(True)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper right")
        titled(axes, "Net benefit", "Risk from which one would treat")

    middle = len(first) // 2
    said = listing([f"{name} {number(table['net_benefit'].iloc[middle], 3)}" for name, table in tables.items()])
    at = percent(float(first["threshold"].iloc[middle]))
    return draw("decision", f"Net benefit by threshold; at {at}: {said}.", _SIZE, plot)
