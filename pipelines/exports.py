"""Compose what one file or folder of an export holds, from any artefacts of one analysis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort, export
from omics.artefact import MANIFEST, Provenance, publish, read_manifest, read_run
from omics.schema import DataError, UsageError, view_names
from pipelines import steps

_TABLES = "tables"
#: What tells one model's predictions from another's.
_PREDICTOR = ("features", "representation", "model")


def artefacts(sources: Iterable[Path]) -> dict[str, Path]:
    """Artefacts by noun, of artefacts and of folders of runs.

    Raises
    ------
    UsageError
        A noun occurs twice, or a folder is neither.
    DataError
        One was made from another version of one that is here as well.
    """
    found: dict[str, Path] = {}
    for source in sources:
        run = source.is_dir() and not (source / MANIFEST).exists()
        for noun, path in (steps.present(source) if run else {read_manifest(source)["noun"]: source}).items():
            if noun in found:
                raise UsageError(
                    f"two {noun} artefacts", where=f"{found[noun]} and {path}", fix="give one of each kind"
                )
            found[noun] = path
    _refuse_strangers(found)
    return found


def _refuse_strangers(found: Mapping[str, Path]) -> None:
    manifests = {path: read_manifest(path) for path in found.values()}
    for made, source in permutations(manifests, 2):
        for record in manifests[made]["inputs"]:
            if record["path"] == source.name and record["sha256"] != manifests[source]["digest"]:
                raise DataError(
                    f"{made.name} was made from another {source.name}",
                    where=f"{made} and {source}",
                    fix="make it again, or give those that belong together",
                )


# --- one .h5mu ------------------------------------------------------------------------------------------------------


def h5mu(sources: Sequence[Path], output: Path, *, overwrite: bool = False) -> None:
    """Write artefacts as one .h5mu file; the values are those of the prepared cohort, or else of the cohort.

    Raises
    ------
    UsageError
        The output exists, or neither the cohort nor the prepared cohort is given.
    """
    steps.refuse_existing(output, overwrite and not output.is_dir())
    paths = artefacts(sources)
    values = next((noun for noun in ("prepared", "cohort") if noun in paths), None)
    if values is None:
        raise UsageError(
            "no values of layers",
            where=", ".join(map(str, paths.values())),
            fix="give prepared.zarr or cohort.zarr too",
        )
    trees = _opened(paths)
    views = {name: cohort.node(trees[values], f"views/{name}") for name in view_names(trees[values])}
    obs = _patients(trees, values)
    factors = trees.get("factors")
    with steps.whole_file(output) as aside:
        export.write_h5mu(
            aside,
            views,
            obs=obs,
            obsm={} if factors is None else _scores(factors, obs.index),
            weights={} if factors is None else {n: cohort.node(factors, f"views/{n}") for n in view_names(factors)},
            uns=_remainder(trees, paths, values),
        )


def _opened(paths: Mapping[str, Path]) -> dict[str, xr.DataTree]:
    return {noun: cohort.open(path, noun=noun, hashes=True) for noun, path in paths.items()}


def _patients(trees: Mapping[str, xr.DataTree], values: str) -> pd.DataFrame:
    """Clinical table, subtypes and predictions of all who have a layer, as the clinical table orders them."""
    tables = [cohort.clinical_table(trees[noun]) for noun in (values, *trees)]
    clinical = next((table for table in tables if len(table)), tables[0])
    parts = [clinical, *(read(trees[noun]) for noun, read in _READERS.items() if noun in trees)]
    having = cohort.samples(trees[values])
    known = clinical.index[clinical.index.isin(having)]
    everyone = known.append(pd.Index(having, dtype=object).difference(known))
    return pd.concat([part.reindex(everyone) for part in parts], axis=1)


def _groups(tree: xr.DataTree) -> pd.DataFrame:
    factors = cohort.node(tree, "factors")
    group = cohort.to_table(factors[["group"]]) if "group" in factors else pd.DataFrame(index=factors.indexes["sample"])
    return group.add_prefix("factors_")


def _subtypes(tree: xr.DataTree) -> pd.DataFrame:
    found = cohort.node(tree, "subtypes")
    alone = cohort.to_table(
        found[sorted(str(name) for name, array in found.data_vars.items() if array.dims == ("sample",))]
    )
    each = found["probability"].transpose("sample", "subtype").to_pandas().add_prefix("probability_")
    return pd.concat([alone, each], axis=1).add_prefix("subtypes_")


def _predictions(tree: xr.DataTree) -> pd.DataFrame:
    """Out-of-fold probabilities, one column a model, their mean over repeats; none of classes, which are tables."""
    if "predictions" not in tree.children:
        return pd.DataFrame(index=pd.Index([], dtype=object))
    table = cohort.to_table(cohort.node(tree, "predictions"))
    parts = table[list(_PREDICTOR)].fillna("").itertuples(index=False)
    columns = np.array(["_".join(filter(None, part)) for part in parts], dtype=object)
    probability = table["probability"].groupby([table["sample"], columns]).mean().unstack()
    return probability.rename_axis(columns=None).add_prefix("evaluation_probability_")


_READERS = {"factors": _groups, "subtypes": _subtypes, "evaluation": _predictions}


def _scores(factors: xr.DataTree, everyone: pd.Index) -> dict[str, np.ndarray]:
    scores = cohort.node(factors, "factors").reindex(sample=everyone)
    names = {"X_mofa": "score", "X_mofa_sd": "score_sd"}
    return {key: scores[name].transpose("sample", "factor").to_numpy() for key, name in names.items()}


def _remainder(trees: Mapping[str, xr.DataTree], paths: Mapping[str, Path], values: str) -> dict[str, Any]:
    """Tables, also of patients without a layer, the dictionary of their columns, names of factors, provenance."""
    small = [table for table in _tables(trees) if "feature" not in table.dims]
    rest: dict[str, Any] = {
        "values": values,
        "provenance": {noun: _provenance(path) for noun, path in paths.items()},
        _TABLES: {table.name: pd.concat(export.frames(table), ignore_index=True) for table in small},
        "columns": pd.concat([export.dictionary(table) for table in small], ignore_index=True) if small else {},
    }
    if "factors" in trees:
        rest["mofa"] = {"factors": cohort.node(trees["factors"], "factors")["factor"].to_numpy()}
    return rest


def _provenance(path: Path) -> dict[str, Any]:
    """What an artefact was made from, and by which versions; no paths, hosts or times."""
    manifest = read_manifest(path)
    texts = {key: json.dumps(manifest[key], sort_keys=True) for key in ("parameters", "inputs")}
    return {**texts, "sha256": manifest["digest"], "versions": read_run(path)["versions"]}


# --- tables ---------------------------------------------------------------------------------------------------------


def tables(sources: Sequence[Path], output: Path, *, values: bool = False, overwrite: bool = False) -> None:
    """Write every table of artefacts as TSV into a folder, and ``columns.tsv``, which explains them.

    Raises
    ------
    UsageError
        The output exists, or is no folder of tables.
    """
    paths = artefacts(sources)
    if (output / MANIFEST).is_file() and read_manifest(output)["noun"] != _TABLES:
        raise UsageError("the output is an artefact, not tables", where=str(output), fix="name another output")
    with publish(output, Provenance(_TABLES, {"values": values}, list(paths.values())), overwrite=overwrite) as staging:
        trees = _opened(paths)
        explained = []
        for table in _tables(trees):
            export.write_table(table, staging / f"{table.name}.tsv")
            explained.append(export.dictionary(table))
        for noun in ("cohort", "prepared"):
            for name in view_names(trees[noun]) if values and noun in trees else []:
                export.write_values(
                    cohort.node(trees[noun], f"views/{name}"), staging / f"{noun}.views.{name}.values.tsv"
                )
        pd.concat(explained).to_csv(staging / "columns.tsv", sep="\t", index=False, lineterminator="\n")


def _tables(trees: Mapping[str, xr.DataTree]) -> Iterator[export.Table]:
    """Tables of all artefacts; what travels along from one to the next is given once."""
    seen: dict[str, list[xr.Dataset]] = {}
    for noun, tree in trees.items():
        for table in export.tables(tree, noun):
            earlier = seen.setdefault(table.name.removeprefix(noun), [])
            if not any(table.data.equals(other) for other in earlier):
                earlier.append(table.data)
                yield table
