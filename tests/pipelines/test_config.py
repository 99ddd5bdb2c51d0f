"""Configuration files: what is accepted, and how every fault is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from omics import simulate
from omics.factors import MOFA
from omics.outcome import ENDPOINTS
from omics.predict import MODELS, REPRESENTATIONS
from omics.schema import UsageError
from pipelines import config

CONFIGS = Path(config.__file__).parent / "configs"


def write(folder: Path, text: str) -> Path:
    file = folder / "c.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_values_become_typed_settings_and_paths_are_relative_to_the_file(tmp_path):
    chosen = config.load(
        write(
            tmp_path,
            """
            title = "T"
            seed = 7
            [ingest]
            expression = "raw/x.tsv"
            clinical = "/elsewhere/c.tsv"
            [clinical]
            event_time = { column = "days", unit = "days" }
            [prepare]
            max_missing = 1
            mask = ["chrX", "chrY"]
            [evaluate]
            models = ["forest"]
            """,
        )
    )
    assert chosen.ingest == config.Ingest(expression=tmp_path / "raw/x.tsv", clinical=Path("/elsewhere/c.tsv"))
    assert chosen.prepare == config.Prepare(max_missing=1.0, mask=("chrX", "chrY"))
    assert chosen.evaluate == config.Evaluate(models=("forest",))
    assert chosen.train is None, "a step without a section does not run"
    assert (chosen.title, chosen.seed, chosen.output) == ("T", 7, tmp_path / "results")
    assert chosen.clinical == {"event_time": {"column": "days", "unit": "days"}}


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("[ingest]\n[factors]\nn_factor = 3", "unknown key 'n_factor'", "did you mean 'n_factors'?"),
        ("[ingest]\n[factor]\n", "unknown key 'factor'", "did you mean 'factors'?"),
        ("[ingest]\nxyz = 3", "unknown key 'xyz'", "known: methylation"),
        ("[ingest]\n[factors]\nn_factors = '3'", "'3' is not an integer", None),
        ("[ingest]\n[factors]\nn_factors = true", "True is not an integer", None),
        ("[ingest]\n[factors]\nn_factors = 0", "0 is too small", "at least 1"),
        ("[ingest]\n[factors]\nn_factors = [5, 0]", "0 is too small", "at least 1"),
        ("[ingest]\n[factors]\nn_factors = [5, true]", "[5, True] is not an integer, a list of integers", None),
        ("[ingest]\n[factors]\nn_factors = []", "[] is not an integer, a list of integers", None),
        ("[ingest]\n[factors]\nn_factors = 'all'", "'all' is not an integer, a list of integers, or \"auto\"", None),
        ("[ingest]\n[factors]\nhold = 'tape'", "unknown value 'tape'", "auto, memory, disk, store"),
        ("[ingest]\n[factors]\nengine = 'mofa3'", "unknown value 'mofa3'", "expected one of stream, mofapy2"),
        ("[ingest]\n[evaluate]\nmodels = ['forrest']", "unknown value 'forrest'", "logistic, forest"),
        ("[ingest]\n[evaluate]\nmodels = 'forest'", "'forest' is not a list", None),
        ("[ingest]\nclinical = 3", "3 is not a path", None),
        ("ingest = 3", "a section is expected", None),
        ("[ingest]\n[clinical]\nevnt = 'first'", "unknown key 'evnt'", "did you mean 'event'?"),
        ("[ingest]\n[clinical]\nage = 3", "a column name is expected, got 3", None),
        ("[ingest]\n[clinical]\nage = { colunm = 'a' }", "unknown key 'colunm'", "did you mean 'column'?"),
        ("title = 'x'", "section [ingest] is missing", None),
        ("[ingest\n", "this is not TOML", None),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path, text, what, fix):
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        config.load(file)
    assert what in caught.value.what
    assert str(file) in caught.value.where
    assert fix is None or fix in caught.value.fix


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such configuration file"):
        config.load(tmp_path / "none.toml")


def test_columns_of_the_command_line():
    assert config.mapped(["age=AGE", "event_time=fu:days", "wbc=WBC: x10^9"]) == {
        "age": "AGE",
        "event_time": {"column": "fu", "unit": "days"},
        "wbc": "WBC: x10^9",
    }
    with pytest.raises(UsageError, match="cannot read 'age'"):
        config.mapped(["age"])


def test_every_setting_has_a_meaning_and_a_type_that_files_and_options_know():
    for kind in config._SECTIONS.values():
        hints = get_type_hints(kind)
        for spec in fields(kind):
            assert spec.metadata["meaning"].endswith("."), spec.name
            assert config.value_type(hints[spec.name]) in (
                int,
                float,
                bool,
                str,
                Path,
                tuple[str, ...],
                config.Paths,
                config.Numbers,
            ), spec.name
            assert type(None) in get_args(hints[spec.name]) or spec.default is not None


@pytest.mark.parametrize("name", ["demo", "laml"])
def test_the_configurations_that_we_ship_are_valid(name):
    chosen = config.load(CONFIGS / f"{name}.toml")
    assert chosen.evaluate
    assert chosen.train


def test_the_demo_names_the_columns_that_are_simulated():
    assert config.load(CONFIGS / "demo.toml").clinical == simulate.CLINICAL_COLUMNS


def test_parameters_are_plain_and_hold_no_path_of_this_machine():
    assert config.parameters(config.Ingest(clinical=Path("/home/me/c.tsv")))["clinical"] == "c.tsv"
    assert config.parameters(config.Evaluate())["models"] == ["logistic", "forest"]


@pytest.mark.parametrize(("text", "value"), [("15", 15), ("[5, 10]", (5, 10)), ('"auto"', "auto")])
def test_the_number_of_factors_is_one_several_or_found(tmp_path, text, value):
    assert config.load(write(tmp_path, f"[ingest]\n[factors]\nn_factors = {text}")).factors.n_factors == value


def test_where_data_lie_is_no_parameter_of_a_result():
    assert "hold" not in config.parameters(config.Factors(hold="disk"))
    assert config.parameters(config.Factors(n_factors=(5, 10)))["n_factors"] == [5, 10]


def test_the_settings_of_the_factors_are_those_of_the_model():
    """Of each parameter of MOFA an option, of the same default; more restarts, as they are cheap in one pass."""
    ours = {spec.name: spec.default for spec in fields(config.Factors)}
    theirs = {name: value for name, value in MOFA().get_params().items() if name != "random_state"}
    assert ours.pop("restarts") == 3
    assert theirs.pop("n_restarts") == 1
    assert ours == theirs


@pytest.mark.parametrize("name", ["engine", "start", "convergence", "dtype", "hold"])
def test_the_choices_of_the_factors_are_those_of_the_model(name):
    spec = next(spec for spec in fields(config.Factors) if spec.name == name)
    for choice in spec.metadata["choices"]:
        MOFA(**{name: choice})._refuse_parameters()
    assert spec.metadata["choices"]


def test_names_are_those_of_the_registries():
    assert set(config.ENDPOINTS) == set(ENDPOINTS)
    assert set(config.MODELS) == set(MODELS)
    assert set(config.REPRESENTATIONS) == set(REPRESENTATIONS)


def test_names_of_ones_own_are_allowed_beside_them(tmp_path):
    chosen = config.load(write(tmp_path, "[ingest]\n[evaluate]\nmodels = ['forest', 'mine:model']"))
    assert chosen.evaluate == config.Evaluate(models=("forest", "mine:model"))
