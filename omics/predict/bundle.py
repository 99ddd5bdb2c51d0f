"""A frozen model in one artefact: train it on a prepared cohort, apply it to new patients.

The bundle is one zarr hierarchy: the fitted recipe and factor model as arrays, the classifier as the bytes of a skops
file, and a model card as JSON in the root's attributes. Nothing in it is ever unpickled: skops builds only the types
on a fixed list, and the manifest's hashes are verified before anything is read.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skops.io
import xarray as xr
from sklearn.pipeline import Pipeline

from omics import cohort
from omics.artefact import Provenance, publish, read_manifest
from omics.factors import MOFA
from omics.predict.classifier import RelapseClassifier
from omics.predict.integration import Integration, as_table
from omics.predict.learning import target_of
from omics.predict.models import design_table, probability
from omics.prepare import Recipe, prepare
from omics.schema import DataError, IntegrityError, view_names

CARD = "card"
_SCHEMA = "schema.json"
#: How skops writes addresses: as ids of objects, and as names of files.
_ADDRESS = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy)')
CLASSIFIER = "classifier"
INTENDED_USE = (
    "research use only: probability of relapse within the horizon, for patients like those of the training cohort; "
    "not for treatment decisions"
)

#: Types beyond skops' own defaults that a classifier of ours may hold; reviewed here, never taken from the file.
#: A dtype is a description of numbers; a tree is a table of splits that scikit-learn checks when it is rebuilt.
TRUSTED = ("numpy.dtype", "sklearn.tree._tree.Tree")


class Bundle(NamedTuple):
    """A trained model.

    Attributes
    ----------
    card : mapping
        Model card: intended use, training cohort, outcome, settings.
    integration : Integration or None
        Fitted recipe and MOFA; None if only clinical variables are used.
    pipeline : sklearn.pipeline.Pipeline
        Fitted encoding and model.
    """

    card: Mapping[str, Any]
    integration: Integration | None
    pipeline: Pipeline


def train(
    store: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    features: str = "both",
    model: str = "logistic",
    horizon: float = 5.0,
    clinical_variables: Sequence[str] | None = None,
    mofa: Mapping[str, Any] | None = None,
    n_inner: int = 3,
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
    features, model, horizon, clinical_variables, mofa, n_inner, random_state
        As in :class:`RelapseClassifier`.
    overwrite : bool
        Replace a bundle that is there.

    Raises
    ------
    DataError
        There is no outcome, or too few patients with one of its values.
    """
    parameters: dict[str, Any] = {
        "features": features,
        "model": model,
        "horizon": horizon,
        "clinical_variables": None if clinical_variables is None else list(clinical_variables),
        "mofa": dict(mofa or {}),
        "n_inner": n_inner,
        "random_state": random_state,
    }
    prepared = cohort.open(store, noun="prepared")
    clinical = cohort.clinical_table(prepared)
    samples = cohort.samples(prepared)
    samples = samples[np.isin(samples, clinical.index.to_numpy())]
    target = target_of(clinical, samples, horizon)
    with publish(output, Provenance("model", parameters, [store]), overwrite=overwrite) as staging:
        fitted = RelapseClassifier(store=store, **parameters).fit(samples, target.outcome)
        tree = _tree(fitted.integration_)
        known = target.weight > 0
        card = {
            "intended_use": INTENDED_USE,
            "outcome": f"relapse within {horizon:g} years of diagnosis",
            "patients": len(samples),
            "known_outcome": int(known.sum()),
            "relapses": int(target.outcome[known].sum()),
            "layers": view_names(tree),
            "columns": list(fitted.columns_),
            "numbers": [name for name in fitted.columns_ if clinical[name].dtype.kind not in "OTU"],
            "chosen": dict(fitted.settings_),
            "prepare": dict(read_manifest(store)["parameters"]),
            **parameters,
        }
        tree.attrs[CARD] = json.dumps(card, sort_keys=True)
        frozen = np.frombuffer(_canonical(skops.io.dumps(fitted.pipeline_)), dtype=np.uint8)
        tree[CLASSIFIER] = xr.DataTree(xr.Dataset({"skops": ("byte", frozen)}))
        cohort.write_tree(tree, staging)


def _tree(integration: Integration | None) -> xr.DataTree:
    """Arrays of the integration, without the training patients' own scores: a bundle is for handing on."""
    if integration is None:
        return xr.DataTree()
    parts = [integration.recipe.to_tree(), integration.mofa.to_tree()]
    nodes = {part.path: part.to_dataset(inherit=False) for tree in parts for part in tree.subtree if part.path != "/"}
    attrs = {key: value for tree in parts for key, value in tree.attrs.items()}
    nodes["/factors"] = nodes["/factors"].isel(sample=slice(0, 0))
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _canonical(archive: bytes) -> bytes:
    """The same skops archive for the same model: objects numbered as they occur, no addresses and no dates.

    skops names objects and files by their address in memory, so that every run would give another digest.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    schema = files.pop(_SCHEMA).decode()
    number = {address: str(count) for count, address in enumerate(dict.fromkeys(_ADDRESS.findall(schema)))}
    renamed = {_ADDRESS.sub(lambda found: number[found.group()], name): content for name, content in files.items()}
    renamed[_SCHEMA] = _ADDRESS.sub(lambda found: number[found.group()], schema).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in sorted(renamed.items()):
            packed.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


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
    stored = cohort.node(tree, CLASSIFIER)["skops"].to_numpy().tobytes()
    foreign = sorted(set(skops.io.get_untrusted_types(data=stored)) - set(TRUSTED))
    if foreign:
        raise IntegrityError(
            f"the classifier holds types that are not ours: {', '.join(foreign)}",
            where=str(path),
            fix="do not use this bundle; train it again",
        )
    pipeline = skops.io.loads(stored, trusted=list(TRUSTED))
    card = json.loads(tree.attrs[CARD])
    integration = Integration(Recipe.from_tree(tree), MOFA.from_tree(tree)) if card["layers"] else None
    return Bundle(card, integration, pipeline)


def predict(bundle: Bundle, new: xr.DataTree) -> pd.DataFrame:
    """Probability of relapse of each patient of a cohort.

    Parameters
    ----------
    bundle : Bundle
        Trained model.
    new : xarray.DataTree
        Cohort (as ingested) or prepared cohort; layers and features may be missing.

    Returns
    -------
    DataFrame
        One row a patient: ``sample``, ``probability``, ``layers`` used, ``missing`` (layers and clinical variables
        that the model knows and the patient lacks), ``score_sd`` (mean posterior standard deviation of the
        factors: it grows when data are missing). A patient alone gets the same numbers as within a cohort.

    Raises
    ------
    DataError
        No patient has any of the model's predictors.
    """
    prepared = new if "recipe" in new.attrs else prepare(new, mask=bundle.card["prepare"].get("mask"))
    clinical = _clinical(bundle, prepared)
    scores: pd.DataFrame | None = None
    samples, sd = clinical.index, np.zeros(len(clinical))
    if bundle.integration is not None:
        projected = bundle.integration.project(prepared)
        scores, sd = as_table(projected["score"]), projected["score_sd"].mean("factor").to_numpy()
        samples = scores.index
    if not len(samples):
        raise DataError("there is no patient to predict", fix="give at least one layer that the model knows")
    table = design_table(scores, clinical.reindex(samples), bundle.card["columns"])
    # one row at a time: a product over many rows may round otherwise than over one
    chance = [probability(bundle.pipeline, table.iloc[[row]])[0] for row in range(len(table))]
    return pd.DataFrame(
        {
            "sample": samples,
            "probability": chance,
            **_completeness(bundle, prepared, clinical.reindex(samples)),
            "score_sd": sd,
        }
    )


def _clinical(bundle: Bundle, tree: xr.DataTree) -> pd.DataFrame:
    """Clinical predictors with the kinds that the model was trained on; absent columns are missing values."""
    table = cohort.clinical_table(tree)
    table = table.reindex(columns=bundle.card["columns"])
    numbers = set(bundle.card["numbers"])
    return table.astype({name: float if name in numbers else object for name in table})


def _completeness(bundle: Bundle, tree: xr.DataTree, clinical: pd.DataFrame) -> dict[str, list[str]]:
    known = bundle.card["layers"]
    has = {name: set(tree[f"views/{name}"].indexes["sample"]) for name in known if name in view_names(tree)}
    used, missing = [], []
    for sample, row in clinical.iterrows():
        layers = [name for name in known if sample in has.get(name, ())]
        used.append(", ".join(layers))
        missing.append(", ".join([n for n in known if n not in layers] + [str(n) for n in row.index[row.isna()]]))
    return {"layers": used, "missing": missing}
