"""What does not match its declaration is refused at the door, with the name, the value and the way out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import xarray as xr

from omics import schema
from omics.schema import NODES, DataError, OmicsError, check, check_cohort, check_view, describe

ERRORS = [OmicsError, *OmicsError.__subclasses__()]


def text(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def a_view(**attrs: str) -> xr.Dataset:
    return xr.Dataset(
        {"value": (("sample", "feature"), np.zeros((2, 3), dtype=np.float32))},
        coords={"sample": text("P1", "P2"), "feature": text("A", "B", "C")},
        attrs={"kind": "expression", "likelihood": "gaussian"} | attrs,
    )


def test_view_as_declared_passes_unchanged() -> None:
    view = a_view()
    assert check_view(view, where="here") is view


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (a_view().drop_vars("value"), "'value' .* is missing"),
        (a_view().transpose("feature", "sample"), r"dims \('feature', 'sample'\)"),
        (a_view().assign(value=(("sample", "feature"), np.zeros((2, 3), dtype=int))), "holds int64"),
        (a_view().assign_coords(position=("feature", text("1", "2", "3"))), "'position' holds object"),
        (a_view().assign_coords(feature=text("A", "B", "A")), "duplicate feature id: A"),
        (a_view().assign_coords(sample=text("P1", "P1")), "duplicate sample id: P1"),
        (a_view().drop_vars("sample"), "dimension 'sample' has no ids"),
        (a_view(likelihood="gauss"), "likelihood is 'gauss'"),
        (a_view().drop_attrs(), "likelihood is None"),
    ],
)
def test_view_that_is_not_as_declared_is_refused(broken: xr.Dataset, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        check_view(broken, where="/views/x")
    assert error.value.where == "/views/x"
    assert error.value.fix


def test_view_without_kind_is_refused() -> None:
    view = a_view()
    del view.attrs["kind"]
    with pytest.raises(DataError, match="'kind' is missing"):
        check_view(view, where="here")


def test_cohort_names_the_node_that_is_wrong() -> None:
    clinical = xr.Dataset({"age": ("sample", text("four", "nine"))}, coords={"sample": text("P1", "P2")})
    tree = xr.DataTree.from_dict({"/views/expression": a_view(), "/clinical": clinical})
    with pytest.raises(DataError, match="'age' holds object") as error:
        check_cohort(tree, where="c.zarr")
    assert error.value.where == "c.zarr, /clinical"
    with pytest.raises(DataError, match="no omics layer"):
        check_cohort(xr.DataTree.from_dict({"/clinical": clinical}))


def test_view_names_are_sorted_and_empty_without_views() -> None:
    tree = xr.DataTree.from_dict({"/views/b": a_view(), "/views/a": a_view()})
    assert schema.view_names(tree) == ["a", "b"]
    assert schema.view_names(xr.DataTree()) == []


@pytest.mark.parametrize("node", NODES)
def test_every_declaration_can_be_met_and_explains_itself(node: str) -> None:
    kinds = {"float": np.float64, "integer": np.int64, "text": object}
    data = {v.name: (v.dims, np.zeros((1,) * len(v.dims), dtype=kinds[v.kind])) for v in NODES[node]}
    dims = {dim for variable in NODES[node] for dim in variable.dims}
    coords = {dim: text("x") for dim in dims & {"sample", "feature"} - set(data)}
    described = describe(check(xr.Dataset(data, coords=coords), node, where=node), node)
    for variable in NODES[node]:
        assert described[variable.name].attrs == {"long_name": variable.meaning, "units": variable.units}


def test_declarations_are_unambiguous() -> None:
    for variables in NODES.values():
        names = [variable.name for variable in variables]
        assert len(set(names)) == len(names)


def test_describe_leaves_its_input_alone() -> None:
    view = a_view()
    describe(view, "view")
    assert view["value"].attrs == {}


@pytest.mark.parametrize("kind", ERRORS)
def test_error_says_what_where_and_how_to_fix_even_from_a_worker(kind: type[OmicsError]) -> None:
    error = copy.copy(kind("beta is 1.7", where="m.tsv, line 3", fix="give shares"))  # reduced as on its way by dask
    assert type(error) is kind
    assert str(error) == "beta is 1.7\n  where: m.tsv, line 3\n  fix: give shares"
    assert str(kind("alone")) == "alone"


def test_exit_codes_are_those_of_the_command_line() -> None:
    assert [kind.exit_code for kind in ERRORS] == [1, 2, 3, 4, 6, 75]
