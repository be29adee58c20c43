"""The shell: what it prints where, and the exit code that a scheduler reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_run import fake_company

import cxlib
from cxlib import cli
from cxlib.errors import InputError
from cxlib.publish import run
from cxlib.publish.execute import Event


@pytest.fixture
def shell(monkeypatch, capsys):
    """Call the command line and return its exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cxlib", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        return end.value.code or 0, told.out, told.err

    return call


@pytest.fixture
def company(monkeypatch):
    def use(what):
        monkeypatch.setitem(vars(cxlib), "open_company", what if callable(what) else lambda name, as_of=None: what)

    return use


@pytest.fixture
def report(monkeypatch):
    """Stand in for the run; returns the calls it got."""
    calls = []

    def use(result):
        def run_report(*arguments, progress, **named):
            calls.append((arguments, named))
            if isinstance(result, BaseException):
                raise result
            progress(Event("01_ok", "started", 0, 3))
            progress(Event("01_ok", "cell", 1, 3))
            progress(Event("01_ok", result.outcome, 3, 3, 4.25, result.error))
            return result

        monkeypatch.setattr(run, "run_report", run_report)
        return calls

    return use


def python(*arguments: str) -> subprocess.CompletedProcess:
    root = str(Path(cxlib.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": root}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def test_help_names_the_commands_and_imports_nothing_slow():
    done = python("-X", "importtime", "-m", "cxlib", "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("run", "check", "new", "list"))
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    slow = {"pandas", "numpy", "ibis", "duckdb", "papermill", "nbformat", "nbconvert", "matplotlib", "rich", "jinja2"}
    assert not slow & imported


def test_a_whole_report_ends_with_its_place_and_time(shell, report, tmp_path):
    calls = report(run.Result("done", 49.4, tmp_path))
    code, output, errors = shell(
        "run", "acme", "-p", "draws", "12", "--as-of", "2026-06-30", "-p", "label=a=b", "--jobs", "1"
    )
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "01_ok started",
        "01_ok finished in 4.2 s",
        f"Report done in 49 s: {tmp_path / 'index.html'}",
    ]
    (arguments, named), *_ = calls
    assert arguments[:3] == ("acme", {"draws": "12", "label": "a=b"}, "2026-06-30")
    assert named["jobs"] == 1


def test_a_failed_notebook_is_exit_1_with_notebook_cell_and_error(shell, report, tmp_path):
    told = {"notebooks": [{"name": "01_ok", "failed_cell": 3, "error": "ValueError: no"}]}
    report(run.Result("failed", 9.0, tmp_path / "2026-06-30.failed", None, told))
    code, output, errors = shell("run", "acme")
    assert code == 1
    assert "01_ok FAILED after 4.2 s" in output
    assert "FAILED 01_ok, cell 3: ValueError: no" in errors
    assert "2026-06-30.failed" in errors


def test_a_run_under_way_is_exit_1_with_one_line(shell, report):
    report(run.Result("failed", 0.0, None, "Another run of acme is under way; nothing was started"))
    code, _, errors = shell("run", "acme")
    assert (code, errors) == (1, "Another run of acme is under way; nothing was started\n")


@pytest.mark.parametrize("command", [["run", "acme"], ["check", "acme"]])
def test_wrong_data_are_exit_2_with_one_message_and_no_traceback(shell, company, command):
    def refuse(name, as_of=None):
        raise InputError("No such column", remedy="Name it.", file="a.csv", row=3, column="score", value="x")

    company(refuse)
    code, output, errors = shell(*command)
    assert (code, output) == (2, "")
    assert errors == "Error: No such column (file a.csv, row 3, column score, value 'x'). Name it.\n"


def test_an_unknown_parameter_is_exit_2(shell, monkeypatch, tmp_path):
    fixture = Path(__file__).parent / "fixtures" / "notebooks" / "01_ok.ipynb"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / fixture.name).write_text(fixture.read_text())
    monkeypatch.setenv("CXLIB_ROOT", str(tmp_path))
    code, _, errors = shell("run", "acme", "-p", "drws", "5")
    assert code == 2
    assert "Did you mean 'draws'? The known ones are: draws, label, share." in errors
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "acme", "-p", "draws"],
        ["run", "a", "-p", "n", "1", "-p", "n=2"],
        ["run", "a", "--jobs", "0"],
        ["fly"],
    ],
)
def test_a_command_that_makes_no_sense_is_exit_2(shell, report, arguments):
    report(AssertionError("nothing may run"))
    code, _, errors = shell(*arguments)
    assert code == 2
    assert errors


def test_a_keyboard_interrupt_is_exit_130_with_one_line(shell, report):
    report(KeyboardInterrupt())
    code, _, errors = shell("run", "acme")
    assert (code, len(errors.splitlines())) == (130, 1)


def test_check_prints_files_rows_reasons_and_notes(shell, company):
    company(fake_company())
    code, output, errors = shell("check", "acme")
    assert (code, errors) == (0, "")
    for words in (
        "Acme & Sons, data up to 2026-06-30",
        "accounts.csv",
        "left before joined",
        "Correct it.",
        "Two differ.",
        "What the pages can answer",
        "a survey export (responses)",
    ):
        assert words in output


def test_check_says_so_when_nothing_was_set_aside(shell, company):
    clean = fake_company()
    clean.set_aside = clean.notes = pd.DataFrame()
    company(clean)
    assert "No row was excluded." in shell("check", "acme")[1]


def test_ask_writes_what_is_missing_by_owner(shell):
    code, output, errors = shell("ask", "demo-shop")
    assert (code, errors) == (0, "")
    assert "## Finance" in output
    assert "| order_id (here already) |" in output
    assert "left_on" not in output  # a shop is not asked who has left
    assert "initiative_id *" in output


def test_list_shows_each_company_with_its_last_whole_report(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("CXLIB_ROOT", str(tmp_path))
    assert "No company yet" in shell("list")[1]
    for name in ("acme", "beta"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "company.yaml").touch()
    for folder, as_of in (
        ("2026-05-31", "2026-05-31"),
        ("2026-06-30", "2026-06-30"),
        ("2026-07-31.failed", "2026-07-31"),
    ):
        (tmp_path / "reports" / "acme" / folder).mkdir(parents=True)
        about = {"as_of": as_of, "started": "2026-07-01T06:00:00+01:00"}
        (tmp_path / "reports" / "acme" / folder / "run.json").write_text(json.dumps(about))
    code, output, _ = shell("list")
    lines = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    assert code == 0
    assert "2026-06-30" in lines["acme"]
    assert "2026-07-31" in lines["acme"]
    assert "none" in lines["beta"]


def test_new_proposes_settings_for_a_folder_of_exports(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("CXLIB_ROOT", str(tmp_path))
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "accounts.csv").write_text(
        "customer_id,signup_date,churn_date\nC1,2025-01-01,\nC2,2025-02-01,2025-03-01\n"
    )
    code, output, _ = shell("new", "acme", "--from", str(exports))
    assert code == 0
    assert "python -m cxlib check acme" in output
    assert "accounts.csv" in (tmp_path / "data" / "acme" / "company.yaml").read_text()
    assert "0 answers are left TODO" in output
    assert shell("new", "acme", "--from", str(exports))[0] == 2


def test_new_says_how_far_many_files_are_read(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("CXLIB_ROOT", str(tmp_path))
    (tmp_path / "exports").mkdir()
    for day in range(40):
        (tmp_path / "exports" / f"orders_{day}.csv").write_text(
            f"order_id,customer_id,day,total\n{day},C1,2025-01-01,5\n"
        )
    output = shell("new", "acme", "--from", str(tmp_path / "exports"))[1]
    assert [line for line in output.splitlines() if line.startswith("Read")] == [
        f"Read {n} of 40 files" for n in range(4, 41, 4)
    ]


def test_new_asks_in_a_terminal_until_the_answer_can_be_one(tmp_path):
    pty = pytest.importorskip("pty")
    (tmp_path / "orders.csv").write_text(
        "order_id,customer_id,order_date,total\n1,C1,2025-01-01,5\n2,C2,2025-01-02,5\n"
    )
    command = [sys.executable, "-m", "cxlib", "new", "acme", "--from", str(tmp_path / "orders.csv")]
    keyboard, terminal = pty.openpty()
    where = {"env": os.environ | {"CXLIB_ROOT": str(tmp_path)}, "cwd": Path(cxlib.__file__).parent.parent}
    os.write(keyboard, b"\n" + b"never\n90\n" + b"EUR\n" + b"no\n")  # relationship, days (twice), currency, money
    done = subprocess.run(command, stdin=terminal, stdout=terminal, stderr=terminal, timeout=60, **where)
    told = os.read(keyboard, 10_000).decode()
    assert done.returncode == 0, told
    text = (tmp_path / "data" / "acme" / "company.yaml").read_text()
    assert "inactive_after_days: 90  # your answer" in text
    assert "currency: EUR  # your answer" in text
    assert "relationship: noncontractual  # guess: nothing shows who left" in text
    assert "never is no such answer" in told
