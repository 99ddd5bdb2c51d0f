"""The command line as a whole: exit codes, streams, help."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from omics.schema import DataError, EnvironmentFault, IntegrityError, TryAgain, UsageError
from pipelines import cli as command_line
from pipelines.config import Prepare


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.fixture
def failing(monkeypatch, omics):
    """Call a command that raises the given error."""

    def call(error: BaseException, *arguments: str):
        @command_line.importlib.import_module("pipelines.options").command()
        def command() -> None:
            raise error

        monkeypatch.setattr(command_line.LazyGroup, "get_command", lambda self, ctx, name: command)
        return omics("anything", *arguments)

    return call


@pytest.mark.parametrize(
    ("kind", "code"), [(UsageError, 2), (DataError, 3), (EnvironmentFault, 4), (IntegrityError, 6), (TryAgain, 75)]
)
def test_an_error_is_one_block_on_stderr_and_its_exit_code(failing, kind, code):
    result = failing(kind("beta of 1.7", where="b.tsv, line 3", fix="give betas"))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == "error: beta of 1.7\n  where: b.tsv, line 3\n  fix: give betas\n"


def test_an_unknown_fault_is_one_line_and_debug_shows_where(failing):
    result = failing(RuntimeError("oops"))
    assert result.exit_code == 1
    assert "error: RuntimeError: oops" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in failing(RuntimeError("oops"), "--debug").stderr


def test_debug_keeps_the_exit_code_of_a_known_error(failing):
    result = failing(DataError("bad"), "--debug")
    assert result.exit_code == 3
    assert "Traceback" in result.stderr


def test_a_fault_of_the_system_names_the_file(failing):
    result = failing(PermissionError(13, "Permission denied", "/locked"))
    assert result.exit_code == 4
    assert result.stderr == "error: Permission denied\n  where: /locked\n"


def test_interrupt_exits_130(failing):
    assert failing(KeyboardInterrupt()).exit_code == 130


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    assert run(*arguments).returncode == 0
    return time.perf_counter() - started


def test_help_is_immediate():
    assert min(seconds("--help") for _ in range(3)) < 0.5
    loaded = run_python("import sys, pipelines.cli; print('numpy' in sys.modules, 'click' in sys.modules)")
    assert loaded == "False True"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_command_explains_itself_and_gives_an_example(omics, name):
    result = omics(name, "--help")
    assert result.exit_code == 0, result.stderr
    assert f"omics {name} " in result.stdout.split("Examples:")[1]
    for example in re.findall(rf"omics {name} .*", result.stdout.split("Examples:")[1]):
        assert set(re.findall(r"--[a-z-]+", example)) <= set(
            re.findall(r"--[a-z-]+", result.stdout.split("Examples:")[0])
        )


def test_every_command_declares_an_option_once(omics):
    for name in command_line.COMMANDS:
        command = command_line.cli.get_command(click.Context(command_line.cli), name)
        spelled = [spelling for parameter in command.params for spelling in parameter.opts]
        assert len(spelled) == len(set(spelled)), name


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        ((), None, None),
        (("--mask", "chrX,chrY"), None, ("chrX", "chrY")),
        (("--mask", "chrX", "--mask", "chrY, cg1"), None, ("chrX", "chrY", "cg1")),
        ((), "chr X,chrY", ("chr X", "chrY")),
        (("--mask", "chrX"), "chrY", ("chrX",)),
    ],
)
def test_a_list_may_be_given_in_parts(arguments, variable, expected):
    @command_line.importlib.import_module("pipelines.options").settings(Prepare)
    def show(settings: Prepare) -> None:
        assert settings == Prepare(mask=expected)

    environment = {"X_MASK": variable} if variable else {}
    run_alone = CliRunner(env=environment).invoke(click.command()(show), arguments, auto_envvar_prefix="X")
    assert run_alone.exit_code == 0, run_alone.output


def test_usage_errors_exit_2(omics):
    assert omics("factors").exit_code == 2
    assert omics("nonsense").exit_code == 2
    assert omics("factors", "a.zarr", "b.zarr", "--n-factors", "0").exit_code == 2
    assert omics("evaluate", "a.zarr", "b.zarr", "--models", "logistic,forrest").exit_code == 2


def test_version(omics):
    assert re.fullmatch(r"omics, version \d+\.\d+\.\d+\n", omics("--version").stdout)


def test_an_option_can_come_from_the_environment(omics, monkeypatch, tmp_path):
    monkeypatch.setenv("OMICS_FACTORS_N_FACTORS", "none")
    result = omics("factors", tmp_path / "p.zarr", tmp_path / "m.zarr")
    assert result.exit_code == 2
    assert "'none' is not a valid integer" in result.stderr


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_on_a_terminal_and_not_where_it_is_unwanted(no_color, coloured):
    code = (
        "import sys, click; from pipelines import cli\n"
        "@click.command()\n"
        "def command(): raise ValueError('x')\n"
        "cli.LazyGroup.get_command = lambda *_: command\n"
        "sys.argv = ['omics', 'x']; cli.main()\n"
    )
    call, environment = [sys.executable, "-c", code], {**os.environ, "NO_COLOR": no_color}
    main, terminal = os.openpty()
    subprocess.run(call, stderr=terminal, env=environment, timeout=60, check=False)
    assert (b"\x1b[" in os.read(main, 10_000)) == coloured
    piped = subprocess.run(call, capture_output=True, env=environment, timeout=60, check=False)
    assert b"\x1b[" not in piped.stderr


def test_terminate_exits_143_and_leaves_nothing(tmp_path):
    code = (
        "import time\n"
        "from pipelines import cli, options\n"
        "from omics.artefact import Provenance, publish\n"
        "@options.command()\n"
        "def command():\n"
        f"    with publish({str(tmp_path / 'a.zarr')!r}, Provenance('cohort')):\n"
        "        print('started', flush=True)\n"
        "        time.sleep(60)\n"
        "cli.LazyGroup.get_command = lambda *_: command\n"
        "import sys; sys.argv = ['omics', 'x']\n"
        "cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
