"""Seconds per iteration of the factor model: ours, mofapy2's, and the two bare matrix products; time to the same bound.

Run ``python -m benchmarks.mofa_speed [--quick] [--json F]``. Same data, same start, two cores. Ours and the floor are
timed in turns, so that what else the machine does hits both. mofapy2 may choose one or two threads of BLAS. Medians of
iterations that do not compute the bound, which all of them do every fifth time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._floor import finalists
from benchmarks._mofa import Ours, Planted, alternate, cores, median, print_table, write_json
from benchmarks._mofapy2 import Reference
from omics.factors.holding import Holding
from omics.factors.state import Layer, Options, Start
from omics.factors.stream import Run


class Size(NamedTuple):
    """How large, and how often.

    Attributes
    ----------
    n_samples : int
        Samples.
    widths : tuple of int
        Features of the two Gaussian layers.
    genes : int
        Features of the binary layer, where there is one.
    repeats, reference_repeats : int
        Iterations timed of ours, and of mofapy2 with each number of threads.
    tries : int
        Fits timed on their way to mofapy2's bound.
    """

    n_samples: int
    widths: tuple[int, int]
    genes: int
    repeats: int
    reference_repeats: int
    tries: int = 3


FULL = Size(500, (20_000, 50_000), 300, 40, 4)
QUICK = Size(500, (2_000, 5_000), 100, 30, 2)
SMOKE = Size(60, (200, 300), 20, 3, 1, 1)


#: Relative difference of two bounds that are the same.
_SAME = 1e-9


class Scenario(NamedTuple):
    """One row of the table; what is not said is as in the headline.

    Attributes
    ----------
    name : str
        What the row is called.
    n_factors : int
        Factors.
    missing : float
        Share of entries that are missing, scattered.
    halved : bool
        Whether every second patient lacks the first layer.
    binary : bool
        Whether there is a layer of mutated genes.
    fits : int
        Fits that share a pass.
    compat : bool
        Whether the order of updates is mofapy2's.
    """

    name: str
    n_factors: int = 15
    missing: float = 0.0
    halved: bool = False
    binary: bool = False
    fits: int = 1
    compat: bool = False

    @property
    def own_reference(self) -> bool:
        """Whether mofapy2 has to be timed on it; what only ours can do is compared with the headline."""
        return self.fits == 1 and not self.compat


HEADLINE = Scenario("15 factors")
SCENARIOS = (
    HEADLINE,
    Scenario("10 factors", n_factors=10),
    Scenario("25 factors", n_factors=25),
    Scenario("1 % missing", missing=0.01),
    Scenario("half lack a layer", halved=True),
    Scenario("binary layer", binary=True),
    Scenario("5 fits at once, each", fits=5),
    Scenario("compat", compat=True),
)


def make_layers(scenario: Scenario, size: Size) -> list[Layer]:
    """The data of a scenario; those of the headline with something taken off or added."""
    planted = Planted(size.n_samples)
    everybody = np.arange(size.n_samples)
    layers = [Layer(planted.gaussian(v, width), "gaussian", everybody) for v, width in enumerate(size.widths)]
    if scenario.missing:
        rng = np.random.default_rng(1)
        for layer in layers:
            layer.values[rng.random(layer.values.shape, dtype=np.float32) < scenario.missing] = np.nan
    if scenario.halved:
        layers[0] = Layer(layers[0].values[::2].copy(), "gaussian", everybody[::2])
    if scenario.binary:
        layers.append(Layer(planted.genes(len(layers), size.genes), "bernoulli", everybody))
    return layers


# --- seconds per iteration --------------------------------------------------------------------------------------------


def time_reference(layers: Sequence[Layer], n_factors: int, repeats: int, *, single: bool) -> dict[str, Any]:
    """Seconds of an iteration of mofapy2 with one and two threads of BLAS, and the better of the two."""
    reference = Reference(layers, n_factors, single=single)
    for threads in (1, 2):
        reference.iterate(threads)  # the first few touch memory for the first time
    seconds = alternate({n: lambda n=n: reference.iterate(n) for n in (1, 2)}, repeats)
    by_threads = {n: median(values) for n, values in seconds.items()}
    best = min(by_threads, key=lambda n: by_threads[n])
    return {
        "seconds": by_threads[best],
        "blas_threads": best,
        "all": seconds,
        "setup": reference.setup,
        "start": reference.start,
    }


def time_ours(scenario: Scenario, layers: Sequence[Layer], start: np.ndarray, size: Size) -> dict[str, Any]:
    """Ours, the floor, and ours in the headline scenario, in turns."""
    starts = [Start(scenario.n_factors, score=start), *(Start(scenario.n_factors, f) for f in range(1, scenario.fits))]
    views = [np.nan_to_num(layer.values) for layer in layers]
    with ThreadPoolExecutor(2) as executor, cores():
        floors = finalists(views, scenario.n_factors * scenario.fits, executor)
        ours = Ours(layers, starts, options_of(scenario))
        alone = Ours(make_layers(HEADLINE, size), [Start(HEADLINE.n_factors, 0)], options_of(HEADLINE))
        seconds = alternate({"ours": ours, "headline": alone, **floors}, size.repeats)
    best = min(floors, key=lambda variant: median(seconds[variant]))
    return {
        "ours": median(seconds["ours"]) / scenario.fits,
        "ours_mean": float(np.mean(seconds["ours"])) / scenario.fits,
        "floor": median(seconds[best]) / scenario.fits,
        "floor_layout": str(best),
        "over_headline": median(seconds["ours"]) / scenario.fits / median(seconds["headline"]),
        "setup": ours.setup,
    }


def options_of(scenario: Scenario, convergence: str = "slow") -> Options:
    """The defaults; timed fits should go on for long."""
    return Options(compat=scenario.compat, convergence=convergence)


def measure(scenario: Scenario, size: Size, known: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of one scenario."""
    layers = make_layers(scenario, size)
    if scenario.own_reference:
        double, single = (
            time_reference(layers, scenario.n_factors, size.reference_repeats, single=s) for s in (False, True)
        )
    else:
        double, single = known["mofapy2"], known["mofapy2_float32"]
    figures = time_ours(scenario, layers, double["start"], size)
    ours = figures["ours"]
    return {
        **figures,
        "mofapy2": double,
        "mofapy2_float32": single,
        "vs_mofapy2": double["seconds"] / ours,
        "vs_mofapy2_float32": single["seconds"] / ours,
        "vs_floor": ours / figures["floor"],
    }


HEADER = ("scenario", "ours ms", "mofapy2 ms", "float32 ms", "floor ms", "mofapy2/ours", "float32/ours", "ours/floor")


def row_of(name: str, figures: Mapping[str, Any]) -> list[Any]:
    """One line of the table."""
    references = [figures[key]["seconds"] for key in ("mofapy2", "mofapy2_float32")]
    times = [1000 * seconds for seconds in (figures["ours"], *references, figures["floor"])]
    ratios = [figures[key] for key in ("vs_mofapy2", "vs_mofapy2_float32", "vs_floor")]
    return [name, *times, *ratios, figures["over_headline"]]


# --- time to the same bound -------------------------------------------------------------------------------------------


def reach(layers: Sequence[Layer], start: np.ndarray, scenario: Scenario, target: float) -> dict[str, Any]:
    """Time and passes until our bound first reaches `target`, from the start of the iterations.

    If a fit ends below, by more than float32 rounds, the next stricter rule of convergence is tried.
    """
    groups = np.zeros(len(start), dtype=int)
    bound, best = -np.inf, {}
    target -= _SAME * abs(target)
    for convergence in ("fast", "medium", "slow"):
        with cores():
            run = Run(
                layers, groups, [Start(scenario.n_factors, score=start)], options_of(scenario, convergence), Holding()
            )
            began = time.perf_counter()
            while run.fits and bound < target:
                report = run.iterate()
                bound = -np.inf if report.elbo is None else float(report.elbo[0])
        best = {
            "seconds": time.perf_counter() - began,
            "passes": run.iteration,
            "elbo": bound,
            "reached": bound >= target,
            "convergence": convergence,
        }
        if best["reached"]:
            break
    return best


def stop(layers: Sequence[Layer], start: np.ndarray, scenario: Scenario) -> dict[str, Any]:
    """Where ours stops by its own default rule."""
    groups = np.zeros(len(start), dtype=int)
    with cores():
        run = Run(layers, groups, [Start(scenario.n_factors, score=start)], options_of(scenario, "fast"), Holding())
        began = time.perf_counter()
        while run.fits:
            run.iterate()
    fit = run.results()[0]
    return {"seconds": time.perf_counter() - began, "passes": fit.iterations, "elbo": fit.elbo}


def same_bound(size: Size, threads: int) -> dict[str, Any]:
    """mofapy2 from its principal components to its stop, with its defaults; ours from there to the same bound."""
    layers = make_layers(HEADLINE, size)
    reference = Reference(layers, HEADLINE.n_factors)
    trained = reference.train(threads)
    figures: dict[str, Any] = {"mofapy2": trained._asdict()}
    for name, scenario in (("ours", HEADLINE), ("compat", HEADLINE._replace(compat=True))):
        tries = [reach(layers, reference.start, scenario, trained.elbo) for _ in range(size.tries)]
        typical = sorted(tries, key=lambda figure: figure["seconds"])[len(tries) // 2]
        ratio = trained.seconds / typical["seconds"] if typical["reached"] else float("nan")
        figures[name] = {**typical, "same_elbo": ratio, "stop": stop(layers, reference.start, scenario)}
    return figures


def say(figures: Mapping[str, Any]) -> None:
    """Print what :func:`same_bound` found."""
    theirs = figures["mofapy2"]
    print(
        f"\nmofapy2 stops after {theirs['iterations']} iterations, {theirs['seconds']:.1f} s, at {theirs['elbo']:.6g}"
    )
    for name in ("ours", "compat"):
        own = figures[name]
        done = "reaches it" if own["reached"] else f"does NOT reach it, but {own['elbo']:.6g},"
        rule = "" if own["convergence"] == "fast" else f" (only with convergence={own['convergence']})"
        print(f"{name} {done} after {own['passes']} passes, {own['seconds']:.2f} s{rule}; {own['same_elbo']:.0f}x")
        end = own["stop"]
        gain = end["elbo"] - theirs["elbo"]
        print(f"  by its own rule it stops after {end['passes']} passes, {end['seconds']:.2f} s, {gain:+.4g} nats")


def main() -> None:
    """Measure all scenarios, then the time to the same bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the features")
    parser.add_argument("--smoke", action="store_true", help="only see that it runs")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    size = SMOKE if options.smoke else QUICK if options.quick else FULL
    print(f"{size.n_samples} samples x {' + '.join(f'{w:,}' for w in size.widths)} features, two cores", flush=True)
    found: dict[str, dict[str, Any]] = {}
    for scenario in SCENARIOS:
        found[scenario.name] = measure(scenario, size, found.get(HEADLINE.name, {}))
        named = zip(HEADER[1:], row_of(scenario.name, found[scenario.name])[1:], strict=False)
        print(f"  {scenario.name}: {', '.join(f'{name} {value:.4g}' for name, value in named)}", flush=True)
    headline = found[HEADLINE.name]
    threads = headline["mofapy2"]["blas_threads"]
    print()
    print_table([*HEADER, "ours/headline"], [row_of(name, figures) for name, figures in found.items()])
    print(f"headline: floor by {headline['floor_layout']}; mofapy2 with {threads} thread(s) of BLAS, its faster choice")
    same = same_bound(size, threads)
    say(same)
    for figures in found.values():
        for key in ("mofapy2", "mofapy2_float32"):
            figures[key] = {name: value for name, value in figures[key].items() if name != "start"}
    last = {key: headline[key] for key in ("vs_mofapy2", "vs_floor")} | {"same_elbo": same["ours"]["same_elbo"]}
    write_json(options.json, {"size": size._asdict(), "scenarios": found, "same_elbo": same, "last": last})
    print(" ".join(f"{name}={value:.{2 if name == 'vs_floor' else 1}f}" for name, value in last.items()))


if __name__ == "__main__":
    main()
