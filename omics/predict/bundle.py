"""A frozen model in one artefact: train it on a prepared cohort, apply it to new patients.

The bundle is one zarr hierarchy: the fitted recipe and factor model as arrays, the classifier as the bytes of a skops
file, and a model card as JSON in the root's attributes. Nothing in it is ever unpickled: skops builds only the types
on a fixed list, and the manifest's hashes are verified before anything is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.pipeline import Pipeline

from omics import cohort
from omics.artefact import Provenance, publish
from omics.factors import MOFA
from omics.outcome import with_timing
from omics.predict import card, frozen
from omics.predict.classifier import OutcomeClassifier
from omics.predict.learning import Question
from omics.predict.models import design_table, probability
from omics.predict.nested import study_of
from omics.predict.reference import Reference
from omics.predict.representations import Chosen, Fitted, Integration, as_table
from omics.prepare import Recipe, prepare
from omics.schema import DataError, UsageError, view_names
from omics.subtypes import Subtypes

CARD = "card"
MODEL = "classifier"
#: Share of the training patients whose layers are reproduced at least as well as the limit of misfit.
_USUAL = 0.99
#: This many times that limit is outside of the domain: factors fit the patients that they were learnt from best.
_MUCH = 2.0


class Bundle(NamedTuple):
    """A trained model.

    Attributes
    ----------
    card : mapping
        Model card: intended use, training cohort, outcome, settings, performance.
    representation : Integration, Chosen or None
        What was learnt from the layers; None if only clinical variables are used.
    pipeline : sklearn.pipeline.Pipeline
        Fitted encoding and model.
    reference : Reference
        Distribution of the predictors in training.
    subtypes : Subtypes or None
        Subtypes of the training patients, on the factors.
    """

    card: Mapping[str, Any]
    representation: Integration | Chosen | None
    pipeline: Pipeline
    reference: Reference
    subtypes: Subtypes | None


def train(
    store: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    features: str = "both",
    model: str = "logistic",
    representation: str = "factors",
    endpoint: str = "relapse",
    horizon: float = 5.0,
    landmark: float | None = None,
    clinical_variables: Sequence[str] | None = None,
    known_at: Mapping[str, float] | None = None,
    mofa: Mapping[str, Any] | None = None,
    n_inner: int = 3,
    subtypes: bool = False,
    evaluation: str | os.PathLike[str] | None = None,
    random_state: int = 0,
    overwrite: bool = False,
) -> None:
    """Fit the chain on all patients of a prepared cohort and publish it as a bundle.

    Parameters
    ----------
    store : path
        Prepared cohort.
    output : path
        The bundle to be.
    features, model, representation, endpoint, horizon, landmark, clinical_variables, known_at
        As in :class:`OutcomeClassifier`.
    mofa, n_inner, random_state
        As in :class:`OutcomeClassifier`.
    subtypes : bool
        Cluster the training patients on the factors, so that new patients get a subtype.
    evaluation : path, optional
        Evaluation of the same cohort; its figures go into the model card.
    overwrite : bool
        Replace a bundle that is there.

    Raises
    ------
    UsageError
        A model or representation of the user's own cannot be frozen, or the evaluation is of another cohort.
    DataError
        There is no outcome, or too few patients with one of its values.
    """
    parameters: dict[str, Any] = {
        "features": features,
        "model": model,
        "representation": representation,
        "endpoint": endpoint,
        "horizon": horizon,
        "landmark": landmark,
        "clinical_variables": None if clinical_variables is None else list(clinical_variables),
        "known_at": dict(known_at or {}),
        "mofa": dict(mofa or {}),
        "n_inner": n_inner,
        "random_state": random_state,
    }
    study = study_of(
        store,
        Question(endpoint, horizon, landmark),
        models=(model,),
        representations=(representation,),
        clinical_variables=clinical_variables,
        known_at=known_at,
    )
    inputs = [store] if evaluation is None else [store, evaluation]
    recorded = {**parameters, "subtypes": subtypes}
    with publish(output, Provenance("model", recorded, inputs), overwrite=overwrite) as staging:
        fitted = OutcomeClassifier(store=store, **parameters).fit(study.samples, study.target.outcome)
        stored = _frozen(fitted.pipeline_, model)
        scores = list(fitted.table_.columns[: _n_scores(fitted)])
        reference = Reference.of(fitted.table_, scores if isinstance(fitted.representation_, Integration) else [])
        tree = _tree(fitted.representation_)
        content = card.of(study, fitted, reference, view_names(tree), parameters, evaluation)
        content["misfit"] = _limits(fitted.representation_, store, fitted.table_.index)
        if subtypes:
            _add_subtypes(tree, fitted, store, random_state)
        tree.attrs[CARD] = json.dumps(content, sort_keys=True)
        tree[MODEL] = xr.DataTree(xr.Dataset({"skops": ("byte", np.frombuffer(stored, dtype=np.uint8))}))
        tree["reference"] = xr.DataTree(reference.to_dataset())
        cohort.write_tree(tree, staging)


def _n_scores(fitted: OutcomeClassifier) -> int:
    return fitted.table_.shape[1] - len(fitted.columns_)


def _frozen(pipeline: Pipeline, model: str) -> bytes:
    stored = frozen.to_bytes(pipeline)
    foreign = frozen.foreign_types(stored)
    if foreign:
        raise UsageError(
            f"model '{model}' holds types that a bundle may not: {', '.join(foreign)}",
            where="--model",
            fix="train one of the registered models; one of your own can be evaluated",
        )
    return stored


def _tree(representation: Fitted | None) -> xr.DataTree:
    """Arrays of the representation, without the training patients' own scores: a bundle is for handing on."""
    if representation is None:
        return xr.DataTree()
    if isinstance(representation, Integration):
        parts = [representation.recipe.to_tree(), representation.mofa.to_tree()]
    elif isinstance(representation, Chosen):
        parts = [representation.recipe.to_tree()]
    else:
        raise UsageError(
            f"the representation is a {type(representation).__name__}, which a bundle cannot hold",
            where="--representation",
            fix="train a registered representation; one of your own can be evaluated",
        )
    nodes = {part.path: part.to_dataset(inherit=False) for tree in parts for part in tree.subtree if part.path != "/"}
    attrs = {key: value for tree in parts for key, value in tree.attrs.items()}
    if "/factors" in nodes:
        nodes["/factors"] = nodes["/factors"].isel(sample=slice(0, 0))
    if isinstance(representation, Chosen):
        attrs["chosen"] = json.dumps({name: list(ids) for name, ids in representation.features.items()})
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _limits(representation: Fitted | None, store: Any, samples: pd.Index) -> dict[str, float]:
    """Misfit of each layer that few training patients exceed."""
    if not isinstance(representation, Integration):
        return {}
    rows = cohort.select(cohort.open(store, noun="prepared"), samples)
    return {str(name): float(limit) for name, limit in representation.misfit(rows).quantile(_USUAL).items()}


def _add_subtypes(tree: xr.DataTree, fitted: OutcomeClassifier, store: Any, random_state: int) -> None:
    if not isinstance(fitted.representation_, Integration):
        raise UsageError("subtypes need factors", where="--subtypes", fix="train on factors, or without subtypes")
    rows = cohort.select(cohort.open(store, noun="prepared"), fitted.table_.index)
    found = Subtypes(random_state=random_state).fit(fitted.representation_.project(rows)).to_tree()
    tree.attrs.update(found.attrs)
    for name in ("subtypes", "subtype_model", "stability"):
        node = cohort.node(found, name)
        tree[name] = xr.DataTree(node.isel(sample=slice(0, 0)) if "sample" in node.dims else node)


def load(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle after verifying the hash of every file.

    Raises
    ------
    UsageError
        It is another kind of artefact.
    IntegrityError
        It was changed since it was published, or holds a type that is not on our list.
    """
    tree = cohort.open(path, noun="model", hashes=True).compute()
    stored = cohort.node(tree, MODEL)["skops"].to_numpy().tobytes()
    pipeline = frozen.from_bytes(stored, where=str(path))
    content = json.loads(tree.attrs[CARD])
    representation: Integration | Chosen | None = None
    if "chosen" in tree.attrs:
        representation = Chosen(Recipe.from_tree(tree), json.loads(tree.attrs["chosen"]))
    elif content["layers"]:
        representation = Integration(Recipe.from_tree(tree), MOFA.from_tree(tree))
    reference = Reference.from_parts(cohort.node(tree, "reference"), content["texts"], content["scores"])
    return Bundle(content, representation, pipeline, reference, _subtypes(tree))


def _subtypes(tree: xr.DataTree) -> Subtypes | None:
    return Subtypes.from_tree(tree) if "subtypes" in tree.attrs else None


def predict(bundle: Bundle, new: xr.DataTree, *, confidence: float = 0.95) -> pd.DataFrame:
    """Probability of the outcome for each patient of a cohort.

    Parameters
    ----------
    bundle : Bundle
        Trained model.
    new : xarray.DataTree
        Cohort (as ingested) or prepared cohort; layers and features may be missing.
    confidence : float
        Level of the interval.

    Returns
    -------
    DataFrame
        One row a patient: ``sample``, ``probability``, ``lower`` and ``upper`` (over what is not known of the
        patient: wider where layers or values are missing), ``layers`` used, ``missing`` (layers and clinical variables
        that the model knows and the patient lacks), ``features`` (share of the model's features that the patient's
        layers have), ``score_sd`` (mean posterior standard deviation of the factors), ``outside`` (why the patient is
        unlike those trained on: the model says nothing about such a patient), and with subtypes ``subtype`` and
        ``subtype_probability``. A patient alone gets the same numbers as within a cohort.

    Raises
    ------
    DataError
        No patient has any of the model's predictors.
    """
    prepared = new if "recipe" in new.attrs else prepare(new, mask=bundle.card["prepare"].get("mask"))
    clinical = _clinical(bundle, prepared)
    scores: pd.DataFrame | None = None
    projected: xr.Dataset | None = None
    if isinstance(bundle.representation, Integration):
        projected = bundle.representation.project(prepared)
        scores = as_table(projected["score"])
    elif bundle.representation is not None:
        scores = bundle.representation.scores(prepared)
    samples = clinical.index if scores is None else scores.index
    if not len(samples):
        raise DataError("there is no patient to predict", fix="give at least one layer that the model knows")
    table = design_table(scores, clinical.reindex(samples), bundle.card["columns"])
    sd = np.zeros((len(samples), 0)) if projected is None else projected["score_sd"].to_numpy()
    # one row at a time: a product over many rows may round otherwise than over one
    strange = _strange(bundle, prepared).reindex(samples).fillna("")
    rows = [_one(bundle, table.iloc[[i]], sd[i], confidence, strange.iloc[i]) for i in range(len(table))]
    found = pd.DataFrame(rows, index=samples).rename_axis("sample").reset_index()
    found = found.assign(**_completeness(bundle, prepared, clinical.reindex(samples)))
    found["score_sd"] = sd.mean(axis=1) if sd.size else 0.0
    if bundle.subtypes is not None and projected is not None:
        chance = bundle.subtypes.predict_proba(projected)
        found["subtype"] = chance.idxmax(axis=1).to_numpy()
        found["subtype_probability"] = chance.max(axis=1).to_numpy()
    return found


def _strange(bundle: Bundle, prepared: xr.DataTree) -> pd.Series:
    """Which layers of each patient the factors do not reproduce, in words."""
    if not isinstance(bundle.representation, Integration):
        return pd.Series(dtype=object)
    misfit = bundle.representation.misfit(prepared)
    if misfit.empty:
        return pd.Series(dtype=object)
    limits = pd.Series(bundle.card["misfit"]).reindex(misfit.columns)
    far = misfit.gt(_MUCH * limits)
    said = [
        "; ".join(
            f"{name} is not reproduced by the factors ({misfit.at[sample, name] / limits[name]:.1f} times the limit)"
            for name in misfit.columns[row]
        )
        for sample, row in zip(misfit.index, far.to_numpy(), strict=True)
    ]
    return pd.Series(said, index=misfit.index, dtype=object)


def _one(bundle: Bundle, row: pd.DataFrame, sd: np.ndarray, confidence: float, strange: str) -> dict[str, Any]:
    lower, upper = bundle.reference.interval(bundle.pipeline, row, sd, confidence)
    chance = float(probability(bundle.pipeline, row)[0])
    return {
        "probability": chance,
        "lower": min(lower, chance),
        "upper": max(upper, chance),
        "outside": "; ".join(filter(None, (bundle.reference.outside(row.iloc[0]), strange))),
    }


def _clinical(bundle: Bundle, tree: xr.DataTree) -> pd.DataFrame:
    """Clinical predictors with the kinds that the model was trained on; absent columns are missing values."""
    table = with_timing(cohort.clinical_table(tree))
    table = table.reindex(columns=bundle.card["columns"])
    numbers = set(bundle.card["numbers"])
    return table.astype({name: float if name in numbers else object for name in table})


def _completeness(bundle: Bundle, tree: xr.DataTree, clinical: pd.DataFrame) -> dict[str, list[Any]]:
    known = bundle.card["layers"]
    present = [name for name in known if name in view_names(tree)]
    has = {name: set(tree[f"views/{name}"].indexes["sample"]) for name in present}
    ids = {name: _features(bundle, name) for name in known}
    there = {name: int(ids[name].isin(tree[f"views/{name}"].indexes["feature"]).sum()) for name in present}
    used, missing, share = [], [], []
    for sample, row in clinical.iterrows():
        layers = [name for name in known if sample in has.get(name, ())]
        used.append(", ".join(layers))
        missing.append(", ".join([n for n in known if n not in layers] + [str(n) for n in row.index[row.isna()]]))
        total = sum(len(ids[name]) for name in known)
        share.append(sum(there[name] for name in layers) / total if total else 1.0)
    return {"layers": used, "missing": missing, "features": share}


def _features(bundle: Bundle, layer: str) -> pd.Index:
    """Features of a layer that the model reads."""
    if isinstance(bundle.representation, Integration):
        return bundle.representation.mofa.weights_[layer].indexes["feature"]
    return pd.Index(bundle.representation.features[layer] if bundle.representation else [])
