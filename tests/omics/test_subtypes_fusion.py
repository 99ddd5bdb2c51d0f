"""Similarity networks against loops written from the papers' formulas, planted clusters, and what must not matter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from omics.schema import DataError, UsageError
from omics.subtypes import distance, fusion

Views = dict[str, pd.DataFrame]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def _views(rng: np.random.Generator, n: int, widths: list[int], separation: float = 0.0) -> tuple[Views, pd.Series]:
    samples = pd.Index([f"P{i:03d}" for i in rng.permutation(n)])
    group = rng.integers(4, size=n)
    made = {}
    for number, p in enumerate(widths):
        values = separation * rng.normal(size=(4, p))[group] + rng.normal(size=(n, p))
        made[f"layer{number}"] = pd.DataFrame(values * 5 + 2, samples, [f"f{j}" for j in range(p)])
    return made, pd.Series(group, samples)


def _some(views: Views, rng: np.random.Generator, shares: list[float]) -> Views:
    """The views with these shares of the patients; everybody has at least one view."""
    samples = next(iter(views.values())).index
    has = rng.random((len(views), len(samples))) < np.array(shares)[:, None]
    has[rng.integers(len(views), size=len(samples)), np.arange(len(samples))] |= ~has.any(axis=0)
    return {name: view[keep] for (name, view), keep in zip(views.items(), has, strict=True)}


@pytest.fixture
def complete(rng) -> Views:
    return _views(rng, 14, [5, 3, 8])[0]


@pytest.fixture
def partial(complete) -> Views:
    """Four and two patients are absent; P000 and P001 share no layer."""
    views = {name: view.sort_index() for name, view in complete.items()}
    return {
        "layer0": views["layer0"].drop(index=["P000", "P005", "P006", "P007"]),
        "layer1": views["layer1"].drop(index=["P001", "P005"]),
        "layer2": views["layer2"].drop(index=["P001", "P002"]).drop(index="P000"),
    }


# --- brute force --------------------------------------------------------------------------------------------------


def _distances(view: pd.DataFrame) -> dict[tuple[str, str], float]:
    z = {}
    for name, column in view.items():
        seen = [x for x in column if not math.isnan(x)]
        mean = sum(seen) / len(seen)
        spread = math.sqrt(sum((x - mean) ** 2 for x in seen) / len(seen))
        if spread > 1e-9:
            z[name] = (column - mean) / spread
    found = {}
    for i in view.index:
        for j in view.index:
            terms = [(column[i] - column[j]) ** 2 for column in z.values()]
            seen = [term for term in terms if not math.isnan(term)]
            share = len(seen) / len(terms)  # the sum is rescaled by the share observed, then divided by the features
            found[i, j] = math.sqrt(sum(seen) / share / len(terms))
    return found


def _nearest(d: dict, view: pd.DataFrame, i: str, k: int) -> list[str]:
    return sorted((j for j in view.index if j != i), key=lambda j: d[i, j])[:k]


def _mean_near(d: dict, view: pd.DataFrame, k: int, power: int) -> dict[str, float]:
    return {i: sum(d[i, j] ** power for j in _nearest(d, view, i, k)) / k for i in view.index}


def _snf_kernel(view: pd.DataFrame, k: int, mu: float = 0.5) -> dict[tuple[str, str], float]:
    d = _distances(view)
    near = _mean_near(d, view, k, 1)
    return {(i, j): math.exp(-(d[i, j] ** 2) / (mu * (near[i] + near[j] + d[i, j]) / 3)) for i, j in d}


def _normalise(w: dict, samples: list[str]) -> dict[tuple[str, str], float]:
    p = {}
    for i in samples:
        total = sum(w[i, k] for k in samples if k != i)
        for j in samples:
            p[i, j] = 0.5 if i == j else w[i, j] / (2 * total)
    return {(i, j): (p[i, j] + p[j, i]) / 2 for i, j in p}


def _snf(views: Views, k: int, iterations: int, *, fill: bool = False) -> pd.DataFrame:
    """The paper's formulas; with `fill`, pairs that a layer lacks are filled in as the docstring of snf says."""
    samples = sorted({i for view in views.values() for i in view.index})
    p, s = {}, {}
    for name, view in views.items():
        w, d = _snf_kernel(view, k), _distances(view)
        p[name] = _normalise(w, list(view.index))
        s[name] = {}
        for i in view.index:
            around = [i, *_nearest(d, view, i, k)]
            total = sum(w[i, j] for j in around)
            s[name].update({(i, j): w[i, j] / total if j in around else 0.0 for j in view.index})
    if fill:
        p, s = _fill(p, views, samples), _fill(s, views, samples)
        for one in s.values():
            total = {i: sum(one[i, j] for j in samples) for i in samples}
            one.update({(i, j): one[i, j] / total[i] for i, j in one})
    for _ in range(iterations):
        after = {}
        for v in views:
            others = [u for u in views if u != v]
            mean = {ij: sum(p[u][ij] for u in others) / len(others) for ij in p[v]}
            left = {(i, b): sum(s[v][i, a] * mean[a, b] for a in samples) for i in samples for b in samples}
            both = {(i, j): sum(left[i, b] * s[v][j, b] for b in samples) for i in samples for j in samples}
            after[v] = _normalise(both, samples)
        p = after
    fused = {ij: sum(one[ij] for one in p.values()) / len(p) for ij in p[next(iter(p))]}
    return pd.DataFrame([[fused[i, j] for j in samples] for i in samples], samples, samples)


def _fill(parts: dict[str, dict], views: Views, samples: list[str]) -> dict[str, dict]:
    def scaled(name: str, i: str, j: str) -> float:
        return parts[name][i, j] * (1 if i == j else (len(views[name]) - 1) / (len(samples) - 1))

    mean = {}
    for i in samples:
        for j in samples:
            values = [scaled(name, i, j) for name in views if (i, j) in parts[name]]
            if values:
                mean[i, j] = sum(values) / len(values)
    off = [value for (i, j), value in mean.items() if i != j]
    pairs = [(i, j) for i in samples for j in samples]
    return {
        name: {ij: scaled(name, *ij) if ij in parts[name] else mean.get(ij, sum(off) / len(off)) for ij in pairs}
        for name in views
    }


def _nemo(views: Views, k: int | None = None, *, balanced: bool = False) -> pd.DataFrame:
    samples = sorted({i for view in views.values() for i in view.index})
    found: dict[tuple[str, str], list[float]] = {(i, j): [] for i in samples for j in samples}
    for view in views.values():
        count = k or round(len(view) / 6)
        d = _distances(view)
        near = _mean_near(d, view, count, 2)
        around = {i: _nearest(d, view, i, count) for i in view.index}
        s = {}
        for i, j in d:
            sigma = math.sqrt((near[i] + near[j] + d[i, j] ** 2) / 3)
            s[i, j] = math.exp(-(d[i, j] ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        for i, j in d:
            own = s[i, j] / sum(s[i, r] for r in around[i]) if j in around[i] else 0
            other = s[i, j] / sum(s[r, j] for r in around[j]) if i in around[j] else 0
            found[i, j].append((own + other) * ((len(view) - 1) / (len(samples) - 1) if balanced else 1))
    mean = {ij: sum(values) / len(values) for ij, values in found.items() if values}
    off = [value for (i, j), value in mean.items() if i != j]
    empty = sum(off) / len(off) if balanced else 0.0
    return pd.DataFrame([[mean.get((i, j), empty) for j in samples] for i in samples], samples, samples)


def _same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-10, atol=1e-13, check_names=False)


def test_affinity_is_the_scaled_exponential_kernel(complete):
    view = complete["layer0"]
    w = _snf_kernel(view, 4, mu=0.3)
    samples = sorted(view.index)
    expected = pd.DataFrame([[w[i, j] for j in samples] for i in samples], samples, samples)
    _same(fusion.affinity(view, 4, mu=0.3), expected)


def test_affinity_leaves_missing_values_out(complete, rng):
    view = complete["layer2"].mask(rng.random((14, 8)) < 0.15)
    w = _snf_kernel(view, 4)
    samples = sorted(view.index)
    assert view.isna().any(axis=None)
    _same(fusion.affinity(view, 4), pd.DataFrame([[w[i, j] for j in samples] for i in samples], samples, samples))


def test_blocks_of_features_do_not_change_distances(complete, rng, monkeypatch):
    view = complete["layer2"].mask(rng.random((14, 8)) < 0.1)
    whole = fusion.affinity(view, 4)
    monkeypatch.setattr(distance, "FEATURES", 3)
    _same(fusion.affinity(view, 4), whole)


def test_snf_of_complete_layers_is_the_papers(complete):
    _same(fusion.snf(complete, 4, 5), _snf(complete, 4, 5))


def test_snf_fills_what_a_layer_lacks_from_the_others(partial):
    assert not any({"P000", "P001"} <= set(view.index) for view in partial.values())
    _same(fusion.snf(partial, 4, 3), _snf(partial, 4, 3, fill=True))


def test_one_layer_diffuses_what_it_knows_itself(complete):
    view = complete["layer0"]
    _same(fusion.snf({"a": view}, 4, 6), fusion.snf({"a": view, "b": view}, 4, 6))


@pytest.mark.parametrize("k", [None, 4])
def test_nemo_is_the_papers_where_patients_lack_layers(partial, k):
    network = fusion.nemo(partial, k)
    _same(network, _nemo(partial, k))
    assert network.loc["P000", "P001"] == 0


def test_balanced_nemo_corrects_for_who_lacks_what(partial, complete):
    _same(fusion.nemo(partial, balanced=True), _nemo(partial, balanced=True))
    pd.testing.assert_frame_equal(fusion.nemo(complete, balanced=True), fusion.nemo(complete), check_exact=True)


# --- planted clusters ---------------------------------------------------------------------------------------------

METHODS: dict[str, Callable[[Views], pd.DataFrame]] = {
    "snf": fusion.snf,
    "nemo": fusion.nemo,
    "balanced nemo": lambda views: fusion.nemo(views, balanced=True),
}


@pytest.mark.parametrize("method", METHODS)
def test_planted_clusters_are_found_where_three_in_ten_lack_each_layer(method, rng):
    views, group = _views(rng, 160, [80, 120, 40], separation=0.8)
    network = METHODS[method](_some(views, rng, [0.7, 0.7, 0.7]))
    label = fusion.clusters(network, 4, random_state=0)
    assert adjusted_rand_score(group[label.index], label) >= 0.95


@pytest.mark.parametrize(("method", "leaks"), [("snf", False), ("nemo", True), ("balanced nemo", False)])
@pytest.mark.parametrize("shares", [[1.0, 0.2], [0.7, 0.7, 0.7]], ids=["one small layer", "pairs without a layer"])
def test_lacking_a_layer_does_not_make_a_cluster_of_noise(method, leaks, shares):
    rng = np.random.default_rng(4)
    views = _some(_views(rng, 160, [100, 100, 40][: len(shares)])[0], rng, shares)
    label = fusion.clusters(METHODS[method](views), 4, random_state=0)
    lacking = sum(2**v * label.index.isin(view.index).astype(int) for v, view in enumerate(views.values()))
    assert (adjusted_mutual_info_score(lacking, label) > 0.1) == leaks


def test_networks_are_symmetric_and_not_negative(partial):
    for network in [make(partial) for make in METHODS.values()]:
        assert (network.to_numpy() == network.to_numpy().T).all()
        assert (network.to_numpy() >= 0).all()
        assert (
            network.index.tolist()
            == network.columns.tolist()
            == sorted(set().union(*(partial[v].index for v in partial)))
        )


# --- what must not matter -----------------------------------------------------------------------------------------


def _shuffled(views: Views, rng: np.random.Generator) -> Views:
    names = list(views)[::-1]
    return {
        name: views[name].sample(frac=1, random_state=rng).sample(frac=1, axis=1, random_state=rng) for name in names
    }


@pytest.mark.parametrize("method", METHODS)
def test_order_of_patients_features_and_layers_does_not_matter(method, rng):
    views = _some(_views(rng, 60, [30, 20, 10], separation=0.5)[0], rng, [0.8, 0.8, 0.8])
    views["layer0"] = views["layer0"].mask(rng.random(views["layer0"].shape) < 0.05)
    network = METHODS[method](views)
    for other in (_shuffled(views, rng), {name: view.T.copy().T for name, view in views.items()}):
        pd.testing.assert_frame_equal(METHODS[method](other), network, check_exact=True)
    reordered = network.sample(frac=1, random_state=rng)
    reordered = reordered[reordered.index]
    pd.testing.assert_series_equal(fusion.clusters(reordered, 4, 0), fusion.clusters(network, 4, 0))


def test_scale_and_constant_features_do_not_matter(complete):
    scaled = {name: view * 1000 - 7 for name, view in complete.items()}
    scaled["layer0"] = scaled["layer0"].assign(constant=0.1, once=[0.3, *[np.nan] * 13])
    _same(fusion.snf(scaled, 4), fusion.snf(complete, 4))


def test_weights_of_features_count_only_where_they_are_not_standardised(complete):
    view = complete["layer2"]
    z = (view - view.mean()) / view.std()
    weighted = z.assign(f0=z["f0"] * 1e6)
    methods: list[Callable[..., pd.DataFrame]] = [
        lambda view, **how: fusion.affinity(view, 4, **how),
        lambda view, **how: fusion.snf({"a": view}, 4, **how),
        lambda view, **how: fusion.nemo({"a": view}, 4, **how),
    ]
    for method in methods:
        _same(method(z, standardise=False), method(view))
        _same(method(weighted), method(view))
        pd.testing.assert_frame_equal(method(weighted, standardise=False), method(view[["f0"]]), rtol=1e-4)


def test_numbers_of_any_kind_are_taken(complete):
    whole = {name: view.round() for name, view in complete.items()}
    kinds = {
        "layer0": whole["layer0"].astype("float32"),
        "layer1": whole["layer1"].astype(int),
        "layer2": (whole["layer2"] > 0).assign(f1=whole["layer2"]["f1"]),
    }
    whole["layer2"] = kinds["layer2"].astype(float)
    pd.testing.assert_frame_equal(fusion.nemo(kinds), fusion.nemo(whole), check_exact=True)


def test_tied_neighbours_are_all_counted():
    x = np.array([0.0, 1.0, 1.0, 1.0, 5.0])
    near = fusion.neighbours((x[:, None] - x) ** 2, 2)
    assert near[0].tolist() == [False, True, True, True, False]
    assert near[1].tolist() == [False, False, True, True, False]
    rounded = np.array([[0.0, 0.1 + 0.2, 0.3, 4.0], [0.3, 0.0, 1.0, 1.0], [0.3, 1.0, 0.0, 1.0], [4.0, 1.0, 1.0, 0.0]])
    assert fusion.neighbours(rounded, 1)[0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("method", METHODS)
def test_patients_with_equal_values_are_most_alike(method, rng):
    values = rng.lognormal(size=(15, 40))
    values[:, ::7][rng.random((15, 6)) < 0.3] = np.nan
    values[:12] = values[0]
    views = {"a": pd.DataFrame(values)}
    network = METHODS[method](views).to_numpy()
    others = network[0, 1:12]
    assert np.isfinite(network).all()
    np.testing.assert_allclose(others, others[0], rtol=1e-9)
    assert (others[0] > network[0, 12:]).all()


def test_too_many_neighbours_are_all_patients(complete):
    _same(fusion.affinity(complete["layer0"], 500), fusion.affinity(complete["layer0"], 13))
    _same(fusion.snf(complete, 500, 3), fusion.snf(complete, 13, 3))
    _same(fusion.nemo(complete, 500), fusion.nemo(complete, 13))


# --- clusters -----------------------------------------------------------------------------------------------------


def _pieces(sizes: list[int], between: float = 0.0) -> tuple[pd.DataFrame, np.ndarray]:
    group = np.repeat(np.arange(len(sizes)), sizes)
    return pd.DataFrame(np.where(group[:, None] == group, 1.0, between)), group


def test_clusters_are_numbered_by_size():
    network, group = _pieces([5, 20, 9], between=0.02)
    label = fusion.clusters(network, 3, random_state=0)
    assert label.tolist() == np.array([2, 0, 1])[group].tolist()
    assert fusion.clusters(network, 1, random_state=0).tolist() == [0] * 34


def test_clusters_of_equal_size_are_numbered_by_their_first_patient():
    network, group = _pieces([6, 6, 6], between=0.02)
    assert fusion.clusters(network, 3, random_state=0).tolist() == group.tolist()


@pytest.mark.parametrize("n_subtypes", [2, 3, 4])
def test_a_network_in_pieces_does_not_leave_clusters_to_chance(n_subtypes, rng):
    network, group = _pieces([60, 53, 56, 71])
    noise = rng.uniform(0, 1, network.shape)
    network *= noise + noise.T
    labels = [fusion.clusters(network, n_subtypes, random_state=seed) for seed in range(6)]
    assert all(label.equals(labels[0]) for label in labels)
    assert labels[0].groupby(group).nunique().eq(1).all(), "a piece was cut"
    assert labels[0].nunique() == n_subtypes


# --- refusals -----------------------------------------------------------------------------------------------------


def _changed(complete: Views, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Views:
    return {**complete, "layer1": change(complete["layer1"].sort_index())}


BAD_VIEWS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no feature": (lambda v: v[[]], "there is no feature"),
    "constant": (lambda v: v * 0, "no feature varies"),
    "too few": (lambda v: v.iloc[:2], "only 2 patients: P000, P001"),
    "patient twice": (lambda v: pd.concat([v, v.loc[["P003"]]]), "duplicate sample id: P003"),
    "feature twice": (lambda v: pd.concat([v, v[["f1"]]], axis=1), "duplicate feature id: f1"),
    "text": (lambda v: v.assign(f1="high"), "object values"),
    "infinite": (lambda v: v.assign(f1=np.inf), "infinite"),
    "no value": (lambda v: v.where((v.index != "P004")[:, None] & v.notna()), "patient without a value: P004"),
    "no pair": (
        lambda v: pd.concat([v.iloc[:6].add_prefix("a"), v.iloc[6:].add_prefix("b")]),
        "patients P000 and P006 have no feature in common",
    ),
    "apart": (lambda v: v.add_prefix("other", axis=0), "no patient of layer1 is in layer0, layer2"),
}


@pytest.mark.parametrize("fault", BAD_VIEWS)
@pytest.mark.parametrize("method", METHODS)
def test_bad_views_are_refused(method, fault, complete):
    change, message = BAD_VIEWS[fault]
    with pytest.raises(DataError, match=message) as caught:
        METHODS[method](_changed(complete, change))
    assert "layer1" in str(caught.value)
    assert caught.value.fix


def test_views_in_a_chain_are_together(rng):
    view = _views(rng, 12, [4])[0]["layer0"].sort_index()
    chain = {"c": view.iloc[:5], "a": view.iloc[4:9], "d": view.iloc[8:], "b": view.iloc[:3]}
    assert fusion.nemo(chain).shape == (12, 12)


BAD_PARAMETERS: dict[str, Callable[[Views], object]] = {
    "n_neighbours is 0": lambda views: fusion.snf(views, 0),
    "n_neighbours is -1": lambda views: fusion.affinity(views["layer0"], -1),
    "n_neighbours is -2": lambda views: fusion.nemo(views, -2),
    "n_iterations is 0": lambda views: fusion.snf(views, 4, 0),
    "mu is 0": lambda views: fusion.snf(views, 4, mu=0),
    "there is no view": lambda views: fusion.snf({}),
    "n_subtypes is 0": lambda views: fusion.clusters(fusion.nemo(views), 0, 0),
    "n_subtypes is 14": lambda views: fusion.clusters(fusion.nemo(views), 14, 0),
}


@pytest.mark.parametrize("message", BAD_PARAMETERS)
def test_bad_parameters_are_refused(message, complete):
    with pytest.raises(UsageError, match=message):
        BAD_PARAMETERS[message](complete)


BAD_NETWORKS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "alone": (lambda w: w.where((w.index != "P003")[:, None] & (w.columns != "P003"), 0), "no similarity .*: P003"),
    "negative": (lambda w: -w, "negative"),
    "not finite": (lambda w: w.mask(w > 0), "not finite"),
    "not symmetric": (lambda w: w.mul(np.arange(1, 15), axis=0), "not symmetric"),
    "not square": (lambda w: w.iloc[:5], "not the same patients"),
    "twice": (lambda w: w.rename(index={"P001": "P002"}, columns={"P001": "P002"}), "not the same patients"),
}


@pytest.mark.parametrize("fault", BAD_NETWORKS)
def test_bad_networks_are_refused(fault, complete):
    change, message = BAD_NETWORKS[fault]
    network = change(fusion.nemo(complete))
    with pytest.raises(DataError, match=message):
        fusion.clusters(network, 3, 0)
