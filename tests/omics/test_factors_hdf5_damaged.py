"""HDF5 files that are not what they should be, or want more than to be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from omics.factors.hdf5 import import_hdf5
from omics.schema import DataError, UsageError
from tests.models import (
    GROUPS,
    make_tree,
    make_values,
    trained,
    written,
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> bytes:
    """A file that mofapy2 wrote."""
    path = tmp_path_factory.mktemp("mofapy2") / "plain.hdf5"
    trained(make_values(), iterations=10).save(str(path))
    return path.read_bytes()


def refused(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=rf"(?s){words}") as caught:
        import_hdf5(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.fix


def test_what_is_no_hdf5_file(tmp_path, plain):
    with pytest.raises(UsageError, match="no such file"):
        import_hdf5(tmp_path / "none.hdf5")
    (tmp_path / "p.hdf5").write_bytes(pickle.dumps({"Z": 1}))
    refused(tmp_path / "p.hdf5", "no HDF5 file")
    whole = plain
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "t.hdf5").write_bytes(whole[:size])
        refused(tmp_path / "t.hdf5", "truncated")


PARTS = [
    "views/views", "groups/groups", "samples/girls", "features/reads", "expectations/Z/boys", "expectations/W/mutation",
    "model_options/likelihoods", "training_stats/elbo", "training_stats/time",
]  # fmt: skip
FOREIGN = ["intercepts/expression/girls", "data/mutation/girls", "variance_explained/r2_total/boys", "training_opts",
           "variance_explained/r2_per_factor/boys", "model_options/ard_factors"]  # fmt: skip
OURS = ["omics/mofa", "omics/restarts", "omics/score_sd/boys", "omics/view/reads/attrs", "omics/view/reads/id",
        "omics/view/mutation/precision", "omics/view/reads/intercept", "omics/variance",
        "features_metadata/reads/gene"]  # fmt: skip


@pytest.fixture(params=["ours", "mofapy2"])
def copy(request, tmp_path, plain):
    """A file of each kind to be damaged, and what it needs."""
    if request.param == "ours":
        return written(make_tree(), tmp_path), [*PARTS, *OURS]
    path = tmp_path / "model.hdf5"
    path.write_bytes(plain)
    return path, [*PARTS, *FOREIGN]


def test_every_part_that_is_missing_is_named(copy):
    path, parts = copy
    whole = path.read_bytes()
    for part in parts:
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            del file[part]
        refused(path, f"'{part}' is missing")


def test_arrays_of_wrong_shape_or_kind_are_named(copy):
    path, parts = copy
    whole = path.read_bytes()
    for part in (part for part in parts if part != "omics/variance"):
        for value in (np.zeros((2, 2, 2)), np.array([[b"text"]]), h5py.Empty("f"), np.void(pickle.dumps([1]))):
            path.write_bytes(whole)
            with h5py.File(path, "a") as file:
                if isinstance(file[part], h5py.Dataset) and file[part].shape == np.shape(value):
                    continue
                del file[part]
                file[part] = value
            refused(path, part)


@pytest.mark.parametrize("kind", ["soft", "external", "stored elsewhere", "virtual", "declared only"])
def test_nothing_outside_the_file_is_opened(copy, tmp_path, kind):
    path, _ = copy
    part = "expectations/W/mutation"
    with h5py.File(path, "a") as file:
        shape = file[part].shape
        np.full(shape, 7.0).tofile(tmp_path / "secret.bin")
        with h5py.File(tmp_path / "secret.hdf5", "w") as secret:
            secret["W"] = np.full(shape, 7.0)
        del file[part]
        if kind == "soft":
            file[part] = h5py.SoftLink("/expectations/W/reads")
        elif kind == "external":
            file[part] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "W")
        elif kind == "stored elsewhere":
            file.create_dataset(part, shape, float, external=[(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, float)
            layout[...] = h5py.VirtualSource(str(tmp_path / "secret.hdf5"), "W", shape)
            file.create_virtual_dataset(part, layout)
        else:
            del file["features/mutation"]
            file.create_dataset("features/mutation", (2**40,), h5py.string_dtype(), chunks=(2**10,))
    words = {"declared only": "'features/mutation' declares", "soft": "link", "external": "link"}
    refused(path, words.get(kind, f"'{part}' is kept in another file"))


def test_impossible_names_and_options(copy):
    path, _ = copy
    whole = path.read_bytes()
    for part, value, words in [
        ("views/views", ["expression", "mutation", "../reads"], "impossible name"),
        ("views/views", ["expression", "mutation", "mutation"], "duplicate names, for example 'mutation'"),
        ("groups/groups", ["boys", ""], "impossible name"),
        ("model_options/likelihoods", [b"gaussian", b"bernoulli", b"gamma"], "'gamma' is none of"),
        ("samples/girls", [b"\xff"] * 19, "'samples/girls' is damaged"),
        ("features/reads", ["r"] * 7, "duplicate names, for example 'r'"),
    ]:
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            del file[part]
            file[part] = value
        refused(path, words)


@pytest.mark.parametrize(
    ("part", "text"),
    [("omics/mofa", "[]"), ("omics/mofa", "{"), ("omics/factors", '["Factor1"]'), ("omics/view/reads/attrs", "3"),
     ("omics/restarts", '{"elbo": [1.0], "seed": [1, 2]}'), ("omics/restarts", '{"elbo": 3}')],
)  # fmt: skip
def test_our_own_part_is_not_trusted_either(tmp_path, part, text):
    path = written(make_tree(), tmp_path)
    with h5py.File(path, "a") as file:
        del file[part]
        file[part] = text
    refused(path, part.split("/")[-1])


def test_a_flipped_byte_in_a_packed_array_is_an_error_of_the_data(plain, tmp_path):
    path = tmp_path / "model.hdf5"
    path.write_bytes(plain)
    with h5py.File(path) as file:
        chunk = file["expectations/W/expression"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    refused(path, "'expectations/W/expression' is damaged")


def test_metadata_of_samples_become_the_clinical_table(plain, tmp_path):
    path = tmp_path / "model.hdf5"
    path.write_bytes(plain)
    with h5py.File(path, "a") as file:
        for group, size in GROUPS.items():
            file[f"samples_metadata/{group}/age"] = np.arange(size)
            file[f"samples_metadata/{group}/group"] = np.array([group] * size, dtype="S")
        file["samples_metadata/girls/ward"] = np.array(["4b"] * 19, dtype="S")
    clinical = import_hdf5(path)["clinical"]
    assert set(clinical.data_vars) == {"age", "ward"}
    assert clinical["age"].dtype == float
    assert clinical["ward"].to_numpy().tolist() == [""] * 24 + ["4b"] * 19
