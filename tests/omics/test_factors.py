"""MOFA as an estimator: planted factors, unseen patients, restarts, schedulers, storage, errors, real patients."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from omics import cohort as store
from omics.artefact import Provenance
from omics.factors import ENGINES, MOFA
from omics.factors.layers import layer_of
from omics.factors.state import Options, Start
from omics.schema import DataError, UsageError, check

#: The planted factors: 0 and 1 act on all layers, 2 on expression alone, 3 on methylation alone.
ACTS = {"expression": [0, 1, 2], "methylation": [0, 1, 3], "mutation": [0, 1]}
SIZES = {"expression": 120, "methylation": 150, "mutation": 40}


def make_view(values: np.ndarray, samples, features, likelihood: str, kind: str, units: str = "1") -> xr.Dataset:
    return xr.Dataset(
        {"value": (("sample", "feature"), np.asarray(values, dtype=np.float32))},
        coords={"sample": np.asarray(samples, dtype=object), "feature": np.asarray(features, dtype=object)},
        attrs={"kind": kind, "likelihood": likelihood, "units": units},
    )


def plant(n_samples: int = 140, seed: int = 0) -> tuple[xr.DataTree, pd.DataFrame]:
    """A cohort with four planted factors, scattered NaN, and patients without a layer; and the true scores."""
    rng = np.random.default_rng(seed)
    samples = [f"P{i:03d}" for i in range(n_samples)]
    scores = rng.normal(size=(n_samples, 4))
    views = {}
    for name, n_features in SIZES.items():
        weights = np.zeros((n_features, 4))
        acts = ACTS[name]
        weights[:, acts] = rng.normal(size=(n_features, len(acts))) * (rng.random((n_features, len(acts))) < 0.6)
        eta = scores @ weights.T
        if name == "mutation":
            values = (rng.random(eta.shape) < expit(1.5 * eta - 0.5)).astype(float)
        else:
            values = eta + 0.8 * rng.normal(size=eta.shape) + 5
            values[rng.random(eta.shape) < 0.03] = np.nan
        has = rng.random(n_samples) > 0.1
        has[:5] = True
        features = [f"{name}_{d}" for d in range(n_features)]
        likelihood = "bernoulli" if name == "mutation" else "gaussian"
        views[f"/views/{name}"] = make_view(values[has], np.array(samples)[has], features, likelihood, name)
    tree = xr.DataTree.from_dict(views)
    return tree, pd.DataFrame(scores, index=samples).loc[store.samples(tree)]


@pytest.fixture(scope="module")
def planted() -> tuple[xr.DataTree, pd.DataFrame]:
    return plant()


@pytest.fixture(scope="module")
def fitted(planted) -> MOFA:
    return MOFA(n_factors=6, n_restarts=3, random_state=4).fit(planted[0])


def matched(scores: xr.DataArray, truth: pd.DataFrame, tree: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """For each true factor, the fitted one that matches it and their |r|, over patients who have a layer with it."""
    r = []
    for k in truth:
        layers = [name for name, acts in ACTS.items() if k in acts and name != "mutation"]
        has = np.isin(truth.index, np.concatenate([tree[f"views/{name}"].indexes["sample"] for name in layers]))
        found = scores.sel(sample=truth.index[has].to_numpy(object)).to_numpy()
        with np.errstate(invalid="ignore"):  # a factor that was switched off does not vary
            r.append(np.nan_to_num(np.abs(np.corrcoef(truth.loc[has, k], found.T)[0, 1:])))
    rows, columns = linear_sum_assignment(-np.array(r))
    return columns, np.array(r)[rows, columns]


def without(tree: xr.DataTree, name: str) -> xr.DataTree:
    return xr.DataTree.from_dict({f"/views/{n}": store.node(tree, f"views/{n}") for n in SIZES if n != name})


def replaced(tree: xr.DataTree, name: str, view: xr.Dataset) -> xr.DataTree:
    views = {n: store.node(tree, f"views/{n}") for n in tree["views"].children}
    attrs = views[name].attrs if name in views else {}
    views[name] = view.assign_attrs({**attrs, **view.attrs})
    return xr.DataTree.from_dict({f"/views/{n}": v for n, v in views.items()})


# --- what it finds -------------------------------------------------------------------------------------------------


def test_planted_factors_are_recovered(planted, fitted):
    _, r = matched(fitted.factors_.score, planted[1], planted[0])
    assert r.min() > 0.95


def test_private_factors_explain_their_own_layer_only(planted, fitted):
    columns, _ = matched(fitted.factors_.score, planted[1], planted[0])
    r2 = fitted.variance_.r2.isel(factor=columns).to_pandas()
    for name, acts in ACTS.items():
        assert (r2.loc[name].iloc[acts] > 0.03).all()
        assert (r2.loc[name].drop(r2.columns[acts]).abs() < 0.01).all()


def test_variance_explained_is_that_of_the_residuals(planted, fitted):
    view = store.node(planted[0], "views/expression")
    y = view.value.to_numpy() - fitted.weights_["expression"].intercept.to_numpy()
    z = fitted.factors_.score.sel(sample=view.sample).to_numpy()
    w = fitted.weights_["expression"].weight.to_numpy()
    total = np.nansum(y**2)
    expected = [1 - np.nansum((y - np.outer(z[:, k], w[:, k])) ** 2) / total for k in range(6)]
    np.testing.assert_allclose(fitted.variance_.r2.sel(view="expression"), expected, atol=1e-6)
    np.testing.assert_allclose(
        fitted.variance_.r2_total.sel(view="expression"), 1 - np.nansum((y - z @ w.T) ** 2) / total, atol=1e-6
    )
    np.testing.assert_allclose(fitted.weights_["expression"].intercept[0], view.value.mean("sample"), rtol=1e-5)


def test_factors_are_named_and_sorted_and_their_largest_scaled_weight_is_positive(planted, fitted):
    assert fitted.factors_.factor.to_numpy().tolist() == [f"Factor{k}" for k in range(1, 7)]
    assert (np.diff(fitted.variance_.r2.sum("view")) <= 0).all()
    gaussian = without(planted[0], "mutation")
    louder = replaced(gaussian, "methylation", store.node(gaussian, "views/methylation") * 50)
    model = MOFA(n_factors=4, max_iter=20).fit(louder)
    sds = {name: np.sqrt(np.nanvar(louder[f"views/{name}/value"], axis=0).mean()) for name in model.weights_}
    scaled = np.concatenate([model.weights_[name].weight.to_numpy() / sd for name, sd in sds.items()])
    assert (scaled.max(axis=0) > -scaled.min(axis=0)).all()


def test_inactive_factors_are_kept_and_marked():
    model = MOFA(n_factors=3).fit(one_view(np.random.default_rng(8).normal(size=(80, 40)), "gaussian"))
    assert model.factors_.sizes["factor"] == 3
    assert model.variance_.active.to_numpy().tolist() == [0, 0, 0]


def test_counts_may_be_fitted_as_poisson():
    rng = np.random.default_rng(9)
    scores, weights = rng.normal(size=(100, 2)), rng.normal(size=(50, 2))
    counts = rng.poisson(np.logaddexp(0, scores @ weights.T + 1)).astype(float)
    counts[rng.random(counts.shape) < 0.05] = np.nan
    tree = one_view(counts, "poisson")
    model = MOFA(n_factors=2).fit(tree)
    projected, found = model.transform(tree).score.to_numpy(), model.factors_.score.to_numpy()
    unexplained = [np.linalg.lstsq(found, z, rcond=None)[1][0] / np.sum(z**2) for z in scores.T]
    assert max(unexplained) < 0.2  # the planted space; its axes are not determined
    assert all(np.corrcoef(projected[:, k], found[:, k])[0, 1] > 0.99 for k in range(2))


def one_view(values: np.ndarray, likelihood: str) -> xr.DataTree:
    samples, features = ([f"{prefix}{i:03d}" for i in range(n)] for prefix, n in zip("Pg", values.shape, strict=True))
    return xr.DataTree.from_dict({"/views/expression": make_view(values, samples, features, likelihood, "expression")})


def test_scale_views_gives_weights_in_the_units_of_the_view(planted):
    view = store.node(planted[0], "views/methylation")
    louder = replaced(planted[0], "methylation", view.assign(value=view.value * 100))
    scaled, plain = (MOFA(n_factors=4, scale_views=True).fit(tree) for tree in (louder, planted[0]))
    np.testing.assert_allclose(
        scaled.weights_["methylation"].weight, 100 * plain.weights_["methylation"].weight, rtol=1e-3, atol=0.05
    )
    np.testing.assert_allclose(scaled.factors_.score, plain.factors_.score, atol=1e-3)
    projected = scaled.transform(louder).score
    for k in range(4):
        assert np.corrcoef(projected[:, k], scaled.factors_.score[:, k])[0, 1] > 0.999


# --- patients whom the fit has not seen ----------------------------------------------------------------------------


def test_training_patients_project_onto_their_factors(planted, fitted):
    projected = fitted.transform(planted[0])
    assert projected.sample.to_numpy().tolist() == fitted.factors_.sample.to_numpy().tolist()
    active = np.flatnonzero(fitted.variance_.r2.max("view") > 0.02)
    for k in active:
        assert np.corrcoef(projected.score[:, k], fitted.factors_.score[:, k])[0, 1] > 0.99
    assert (projected.score_sd >= 0.999 * fitted.factors_.score_sd).all()  # joint sds are the larger ones


def test_held_out_patients_get_their_true_factors(planted):
    tree, truth = planted
    train, held_out = truth.index[:90], truth.index[90:]
    model = MOFA(n_factors=6, n_restarts=4).fit(store.select(tree, train))
    projected = model.transform(store.select(tree, held_out))
    _, r = matched(projected.score, truth.loc[held_out], tree)
    assert r.min() > 0.95


def test_one_patient_alone_is_bitwise_the_same_as_in_the_cohort(planted, fitted):
    together = fitted.transform(planted[0])
    for sample in planted[1].index[::7]:
        alone = fitted.transform(store.select(planted[0], [sample]))
        xr.testing.assert_identical(alone, together.sel(sample=[sample]))


def test_sd_grows_when_a_view_is_missing_and_is_the_prior_when_all_are(planted, fitted):
    everything = fitted.transform(planted[0])
    less = fitted.transform(without(planted[0], "methylation")).sel(sample=planted[1].index[:5])
    assert (less.score_sd > everything.score_sd.sel(sample=less.sample)).all()
    view = store.node(planted[0], "views/expression").isel(sample=slice(0, 2))
    nothing = xr.DataTree.from_dict({"/views/expression": view.assign(value=view.value * np.nan)})
    prior = fitted.transform(nothing)
    np.testing.assert_array_equal(prior.score, 0)
    np.testing.assert_array_equal(prior.score_sd, 1)


def test_features_are_matched_by_id(planted, fitted):
    view = store.node(planted[0], "views/expression")
    rng = np.random.default_rng(1)
    shuffled = view.isel(feature=rng.permutation(view.sizes["feature"]))
    strange = view.isel(feature=[0, 1]).assign_coords(feature=np.array(["new_1", "new_2"], dtype=object)) * 1000
    more = xr.concat([shuffled, strange], "feature").assign_attrs(view.attrs)
    expected = fitted.transform(planted[0])
    xr.testing.assert_allclose(fitted.transform(replaced(planted[0], "expression", more)), expected, atol=1e-9)
    fewer, blanked = view.isel(feature=slice(30, None)), view.copy(deep=True)
    blanked.value[:, :30] = np.nan
    without = [fitted.transform(replaced(planted[0], "expression", view)) for view in (fewer, blanked)]
    xr.testing.assert_allclose(*without, atol=1e-9)


# --- restarts, schedulers, storage ---------------------------------------------------------------------------------


def test_a_layer_that_a_patient_lacks_is_imputed_from_the_others(planted, fitted):
    """Values of 20 patients' expression, hidden: better than the mean by what the shared factors explain."""
    tree, _ = planted
    everyone = tree["views/expression"].to_dataset()
    hidden = everyone["sample"].to_numpy()[:20]
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes["/views/expression"] = everyone.drop_sel(sample=hidden)
    without = xr.DataTree.from_dict(nodes)
    model = MOFA(n_factors=6, random_state=4).fit(without)
    scores = model.transform(without)
    imputed = model.inverse_transform(scores)["views/expression"]["value"]
    assert isinstance(imputed.data, dask.array.Array)
    truth = everyone["value"].sel(sample=hidden, feature=imputed["feature"])
    mean = model.weights_["expression"]["intercept"][0]
    error, plain = ((imputed.sel(sample=hidden) - truth) ** 2).mean(), ((truth - mean) ** 2).mean()
    assert float(error) < 0.65 * float(plain)
    alone = model.inverse_transform(scores.sel(sample=[hidden[3]]))["views/expression"]["value"]
    np.testing.assert_allclose(alone[0], imputed.sel(sample=hidden[3]), rtol=1e-6)


def test_imputation_refuses_what_are_no_scores(planted, fitted):
    scores = fitted.transform(planted[0])
    with pytest.raises(UsageError, match="DataArray without 'score' or 'group'"):
        fitted.inverse_transform(scores["score"])
    elsewhere = scores.assign_coords(group=("sample", np.full(scores.sizes["sample"], "elsewhere", dtype=object)))
    with pytest.raises(UsageError, match="no group 'elsewhere'"):
        fitted.inverse_transform(elsewhere)


def test_restarts_are_those_recorded_and_the_best_bound_is_kept(planted, fitted):
    restarts = check(fitted.restarts_, "restarts", where="restarts")
    assert restarts.start.to_numpy().tolist() == ["pca", "random", "random"]
    ids = store.samples(planted[0])
    layers = [layer_of(store.node(planted[0], f"views/{name}"), ids, name) for name in sorted(SIZES)]
    starts = [Start(6)] + [Start(6, int(seed)) for seed in restarts.seed.to_numpy()[1:]]
    fits = [ENGINES["stream"](layers, np.zeros(len(ids), int), [start], Options())[0] for start in starts]
    np.testing.assert_allclose(restarts.elbo, [fit.elbo for fit in fits], rtol=1e-6)
    assert len(set(restarts.elbo.to_numpy())) == 3
    best = fits[int(np.argmax(restarts.elbo.to_numpy()))].score
    r = np.abs(np.corrcoef(best.T, fitted.factors_.score.T)[:6, 6:])
    np.testing.assert_allclose(r.max(axis=0), 1.0)


def test_more_restarts_only_add_to_the_first(planted):
    few, more = (MOFA(n_factors=3, n_restarts=n, max_iter=5).fit(planted[0]).restarts_ for n in (2, 4))
    xr.testing.assert_identical(more.isel(restart=slice(0, 2)), few)


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_same_numbers_on_every_scheduler(planted, scheduler):
    models = []
    for active in ("synchronous", scheduler):
        with dask.config.set(scheduler=active):
            models.append(MOFA(n_factors=4, n_restarts=4, max_iter=40).fit(planted[0]).to_tree())
    xr.testing.assert_identical(*models)


def test_round_trip_through_a_store(planted, fitted, tmp_path: Path):
    store.save(fitted.to_tree(), tmp_path / "factors.zarr", Provenance("factors"))
    loaded = MOFA.from_tree(store.open(tmp_path / "factors.zarr", noun="factors"))
    assert loaded.get_params() == fitted.get_params()
    xr.testing.assert_identical(loaded.transform(planted[0]), fitted.transform(planted[0]))
    xr.testing.assert_equal(loaded.to_tree(), fitted.to_tree())
    plain = xr.open_datatree(tmp_path / "factors.zarr", engine="zarr")
    assert plain["factors"]["score"].dims == ("sample", "factor")
    assert plain["views/expression"]["weight"].dims == ("feature", "factor")


def test_a_lazy_cohort_gives_the_same_and_is_not_changed(planted, tmp_path: Path):
    before = planted[0].copy(deep=True)
    eager = MOFA(n_factors=3, max_iter=10).fit(planted[0])
    xr.testing.assert_identical(planted[0], before)
    store.save(planted[0], tmp_path / "cohort.zarr", Provenance("cohort"))
    lazy = store.open(tmp_path / "cohort.zarr")
    assert lazy["views/expression"]["value"].chunks is not None
    from_store = MOFA(n_factors=3, max_iter=10).fit(lazy)
    xr.testing.assert_equal(from_store.to_tree(), eager.to_tree())
    xr.testing.assert_equal(from_store.transform(lazy), eager.transform(planted[0]))


def test_scikit_learn_conventions(fitted):
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    assert not hasattr(again, "weights_")
    with pytest.raises(NotFittedError):
        again.to_tree()
    assert MOFA().set_params(n_factors=7).n_factors == 7
    grid = MOFA(n_factors=np.int64(2), max_iter=2).fit(
        one_view(np.random.default_rng(1).normal(size=(30, 20)), "gaussian")
    )
    assert MOFA.from_tree(grid.to_tree()).n_factors == 2


# --- what it refuses -----------------------------------------------------------------------------------------------


def spoilt(tree: xr.DataTree, name: str, column: int, value: float) -> xr.DataTree:
    view = store.node(tree, f"views/{name}").copy(deep=True)
    view.value[:, column] = value
    return replaced(tree, name, view)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("expression", 2.0, "expression_3"),
        ("methylation", np.nan, "methylation_3"),
        ("mutation", 0.0, "mutation_3"),
        ("mutation", 0.5, "cannot be bernoulli"),
        ("expression", np.inf, "cannot be gaussian"),
    ],
)
def test_refuses_features_and_values_from_which_nothing_can_be_learnt(planted, name, value, words):
    with pytest.raises(DataError, match=words) as caught:
        MOFA(n_factors=3).fit(spoilt(planted[0], name, 3, value))
    assert name in caught.value.where


def test_refuses_what_cannot_be_fitted(planted):
    with pytest.raises(DataError, match="too many"):
        MOFA(n_factors=150).fit(planted[0])
    for wrong in ({"engine": "mofa"}, {"convergence": "quick"}, {"n_restarts": 0}, {"n_factors": 0}, {"max_iter": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            MOFA(**wrong).fit(planted[0])
    with pytest.raises(DataError, match="no factor model"):
        MOFA.from_tree(planted[0])


def test_refuses_cohorts_that_do_not_fit_the_model(planted, fitted):
    view = store.node(planted[0], "views/expression")
    with pytest.raises(DataError, match="no view is shared"):
        fitted.transform(xr.DataTree.from_dict({"/views/proteome": view}))
    strange = view.assign_coords(feature=np.array([f"x{d}" for d in range(view.sizes["feature"])], dtype=object))
    with pytest.raises(DataError, match="no feature is shared"):
        fitted.transform(xr.DataTree.from_dict({"/views/expression": strange}))
    with pytest.raises(DataError, match="no patient"):
        fitted.transform(store.select(planted[0], ["somebody else"]))
    other_units = view.assign_attrs(units="counts")
    with pytest.raises(DataError, match="units is 'counts'"):
        fitted.transform(xr.DataTree.from_dict({"/views/expression": other_units}))


# --- real patients -------------------------------------------------------------------------------------------------

SILENT = ["Silent", "Intron", "RNA", "3'UTR", "5'UTR", "3'Flank", "5'Flank", "IGR"]


def read_laml(folder: Path) -> tuple[xr.DataTree, pd.DataFrame, pd.DataFrame]:
    """Three layers: M-values, log2 expression, genes mutated in three patients or more; also all mutations."""

    def matrix(name: str) -> pd.DataFrame:
        frame = pd.read_csv(folder / name, sep="\t", index_col=0).T
        return frame.loc[:, frame.isna().mean() <= 0.2]

    beta = matrix("methylation_beta.tsv.gz").clip(0.001, 0.999)
    layers = {"methylation": np.log2(beta / (1 - beta)), "expression": matrix("expression_log2.tsv.gz")}
    layers = {name: frame / frame.std() for name, frame in layers.items()}
    maf = pd.read_csv(folder / "mutations.maf.gz", sep="\t", low_memory=False)
    patient = maf.Tumor_Sample_Barcode.str[:12]
    altering = ~maf.Variant_Classification.isin(SILENT)
    mutated = pd.crosstab(patient[altering], maf.Hugo_Symbol[altering]).clip(upper=1)
    mutated = mutated.reindex(patient.unique(), fill_value=0)
    layers["mutation"] = mutated.loc[:, mutated.sum() >= 3]
    likelihood = {"mutation": "bernoulli"}
    views = {
        f"/views/{name}": make_view(frame, frame.index, frame.columns, likelihood.get(name, "gaussian"), name)
        for name, frame in layers.items()
    }
    clinical = pd.read_csv(folder / "clinical.tsv", sep="\t", index_col=0)
    return xr.DataTree.from_dict(views), clinical, mutated


def best_auc(scores: pd.DataFrame, label: pd.Series) -> float:
    known = label.reindex(scores.index).dropna()
    areas = np.array([roc_auc_score(known, scores.loc[known.index, factor]) for factor in scores])
    return float(np.maximum(areas, 1 - areas).max())


@pytest.mark.shared
@pytest.mark.parametrize("layers", [("expression", "methylation"), ("expression", "methylation", "mutation")])
def test_leukaemia_patients_have_the_factors_of_mofapy2(shared_data: Path, layers):
    """The same numbers in float32; and in its own order of updates a bound at least as high, in fewer passes."""
    tree = read_laml(shared_data / "laml")[0]
    tree = xr.DataTree.from_dict({f"/views/{name}": store.node(tree, f"views/{name}") for name in layers})
    theirs, same, ours = (
        MOFA(n_factors=12, **changes).fit(tree) for changes in ({"engine": "mofapy2"}, {"compat": True}, {})
    )
    r = np.corrcoef(theirs.factors_.score.T, same.factors_.score.T)[:12, 12:]
    assert np.abs(np.diag(r)).min() > 0.99
    np.testing.assert_allclose(same.restarts_.elbo, theirs.restarts_.elbo, rtol=1e-6)
    np.testing.assert_array_equal(same.restarts_.iterations, theirs.restarts_.iterations)
    assert ours.restarts_.elbo[0] > theirs.restarts_.elbo[0]
    assert ours.restarts_.iterations[0] < theirs.restarts_.iterations[0]


@pytest.mark.shared
def test_leukaemia_patients_as_with_mofapy2_itself(shared_data: Path):
    """mofapy2 on these layers: 52 % of expression, 43 % of methylation, M3 with AUC 0.99, IDH1/2 with 0.91."""
    tree, clinical, mutated = read_laml(shared_data / "laml")
    model = MOFA(n_factors=12, random_state=1).fit(tree)
    assert model.variance_.r2_total.sel(view="expression") >= 0.50
    assert model.variance_.r2_total.sel(view="methylation") >= 0.41
    scores = model.factors_.score.to_pandas()
    assert best_auc(scores, (clinical.fab == "M3").where(clinical.fab.notna()).astype(float)) >= 0.97
    assert best_auc(scores, mutated[["IDH1", "IDH2"]].max(axis=1)) >= 0.88
    projected = model.transform(tree).score
    for k in range(12):
        assert np.corrcoef(projected[:, k], model.factors_.score[:, k])[0, 1] > 0.99
