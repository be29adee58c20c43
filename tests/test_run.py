"""One run of a report: what fails it, what it leaves, and that nothing half-made is ever seen under a good name."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from pydantic import Field

import cxlib
from cxlib.errors import InputError
from cxlib.intake import settings as company_yaml
from cxlib.page import parameters
from cxlib.publish import folders, privacy, record, run
from cxlib.publish.execute import DONE, FAILED, Event
from cxlib.publish.parameters import ShellText, declared, resolve

FIXTURES = Path(__file__).parent / "fixtures" / "notebooks"
AS_OF = "2026-06-30"
SOURCES = {"customers": {"file": "accounts.csv", "columns": {"customer_id": "id", "left_on": "left"}}}
SETTINGS = {"name": "Acme", "as_of": AS_OF, "relationship": "contractual", "sources": SOURCES}


def fake_company(name: str = "acme", **settings: object) -> SimpleNamespace:
    """What the publishing side asks of a company, without any data."""
    reason = {"table": "customers", "reason": "left before joined", "rows": 1, "file": "accounts.csv", "row": 7}
    return SimpleNamespace(
        name=name,
        title="Acme & Sons",
        as_of=date.fromisoformat(AS_OF),
        orders=None,
        settings=company_yaml.check(SETTINGS).model_copy(update=settings),
        refuse_stale=lambda: None,
        keep=lambda folder: None,
        record=pd.DataFrame(
            [{"table": "customers", "file": "accounts.csv", "rows_read": 10, "merged": 0, "set_aside": 1, "used": 9}]
        ),
        set_aside=pd.DataFrame([reason | {"column": "left_on", "value": "2020-01-01", "remedy": "Correct it."}]),
        notes=pd.DataFrame([{"check": "two definitions of churn", "rows": 2, "detail": "Two differ."}]),
        inputs=pd.DataFrame([{"file": "accounts.csv", "bytes": 123, "sha256": "ab" * 32}]),
        ends=pd.DataFrame([{"table": "customers", "last": AS_OF, "days_without": 0, "stale": False}]),
    )


def notebooks(*numbers: str) -> list[Path]:
    return [next(FIXTURES.glob(f"{number}_*.ipynb")) for number in numbers]


def statuses(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [c.metadata["papermill"]["status"] for c in cells if "papermill" in c.metadata]


@pytest.fixture(scope="module", autouse=True)
def no_questions():
    """No question, which would take seconds to import, knows these notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "model_of", lambda notebook: None)
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """One whole report of three notebooks, and the events it told."""
    events: list[Event] = []
    result = run.run_report(
        fake_company(),
        {"draws": 7, "share": 1},
        reports=tmp_path_factory.mktemp("good") / "not" / "there" / "yet",
        notebooks=notebooks("01", "06", "07"),
        progress=events.append,
    )
    return result, events


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """One run in which everything fails that can fail in a notebook, and one notebook does not."""
    reports = tmp_path_factory.mktemp("bad")
    earlier = reports / "acme" / AS_OF
    earlier.mkdir(parents=True)
    (earlier / "index.html").write_text("the last good report")
    return run.run_report(
        fake_company(),
        reports=reports,
        notebooks=notebooks("02", "03", "04", "05", "07", "08", "09", "10"),
        timeout=3,
    )


def test_a_whole_report_holds_pages_notebooks_tables_numbers_and_its_record(good):
    result, _ = good
    assert (result.ok, result.error) == (True, None)
    assert result.folder.name == AS_OF
    names = {p.relative_to(result.folder).as_posix() for p in result.folder.rglob("*") if p.is_file()}
    pages = {f"{p.stem}{ending}" for p in notebooks("01", "06", "07") for ending in (".ipynb", ".html")}
    assert names == pages | {"index.html", "run.json", "figures.json", "findings.json", "tables/01_ok--segments.csv"}
    assert [p.name for p in result.folder.parent.iterdir() if p != result.folder] == [".lock"]


def test_the_record_says_what_was_run_with_what(good):
    result, _ = good
    about = json.loads((result.folder / "run.json").read_text())
    assert (about["outcome"], about["company"], about["as_of"]) == (DONE, "acme", AS_OF)
    first = about["notebooks"][0]
    assert first["parameters"] == {"company": "acme", "as_of": AS_OF, "draws": 7, "share": 1.0, "label": None}
    assert (first["outcome"], first["failed_cell"], first["error"]) == (DONE, None, None)
    assert 0 < first["seconds"] <= about["seconds"]
    assert about["given"] == {"draws": 7, "share": 1}
    assert about["inputs"][0]["sha256"] == "ab" * 32
    assert about["set_aside"][0]["reason"] == "left before joined"
    assert about["versions"]["pandas"] == pd.__version__


def test_numbers_and_findings_of_all_notebooks_are_collected_with_their_notebook(good):
    result, _ = good
    figures = json.loads((result.folder / "figures.json").read_text())
    assert [(f["notebook"], f["name"], f["value"]) for f in figures] == [
        ("01_ok", "nps", 12.34),
        ("01_ok", "unknown", None),
    ]
    findings = json.loads((result.folder / "findings.json").read_text())
    assert [f["notebook"] for f in findings] == ["01_ok", "07_board"]


def test_an_executed_notebook_got_its_parameters_and_names_no_folder_of_the_machine(good):
    result, _ = good
    text = (result.folder / "01_ok.ipynb").read_text()
    assert "acme 2026-06-30 7 None" in text
    assert str(result.folder.parent.parent) not in text
    assert set(statuses(result.folder / "01_ok.ipynb")) == {"completed"}


def test_progress_tells_of_each_cell_in_turn(good):
    _, events = good
    mine = [e for e in events if e.name == "01_ok"]
    assert [e.state for e in mine] == ["started", *["cell"] * 6, "done"]
    assert [(e.cell, e.cells) for e in mine[1:-1]] == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("name", "cell", "words"),
    [
        ("02_raises", 2, "ZeroDivisionError: division by zero"),
        ("03_exit", 2, "by calling exit"),
        ("04_killed", 2, "kernel died"),
        ("05_slow", 2, "longer than 3 seconds"),
        ("08_no_alt", None, "alternative text"),
        ("09_unescaped", None, "<script>"),
        ("10_takes_worker", None, "worker process ended unexpectedly"),
    ],
)
def test_each_way_to_fail_is_noticed_named_and_shown(bad, name, cell, words):
    told = {n["name"]: n for n in bad.record["notebooks"]}[name]
    assert (told["outcome"], told["failed_cell"]) == (FAILED, cell)
    assert words in told["error"]
    page = (bad.folder / f"{name}.html").read_text()
    assert 'role="alert"' in page
    assert "FAILED" in page
    notebook = nbformat.read(bad.folder / f"{name}.ipynb", as_version=4)
    assert notebook.cells[0].source.startswith("# FAILED")
    assert words in notebook.cells[0].source


@pytest.mark.parametrize("name", ["02_raises", "03_exit", "04_killed", "05_slow"])
def test_no_cell_after_the_failed_one_looks_completed(bad, name):
    assert statuses(bad.folder / f"{name}.ipynb") == ["completed", "completed", "failed", "pending"]


def test_a_failed_run_is_kept_apart_and_the_last_good_report_stays(bad):
    assert not bad.ok
    assert bad.folder.name == f"{AS_OF}.failed"
    assert (bad.folder.parent / AS_OF / "index.html").read_text() == "the last good report"
    assert json.loads((bad.folder / "run.json").read_text())["outcome"] == FAILED
    assert not [p for p in bad.folder.parent.iterdir() if p.suffix in (".partial", ".old")]


def test_one_failure_does_not_stop_the_others(bad):
    told = {n["name"]: n["outcome"] for n in bad.record["notebooks"]}
    assert len(told) == 8
    assert told["07_board"] == DONE
    assert 'role="alert"' not in (bad.folder / "07_board.html").read_text()


def test_the_first_page_of_a_failed_run_names_notebook_cell_and_error_and_no_number(bad):
    text = (bad.folder / "index.html").read_text()
    assert "FAILED" in text
    assert '<a href="02_raises.html">02_raises</a>, cell 2: <code>ZeroDivisionError: division by zero</code>' in text
    assert "Headline numbers" not in text


# From here on no kernel is started: what the notebooks would leave is written by a stand-in.


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Run a report of 01_ok without kernels; ``leave`` is called with the scratch folder."""

    def go(leave=lambda folder: None, company=None, state=DONE, **options):
        def run_all(work, jobs, tell):
            for job in work:
                for ending in (".ipynb", ".html"):
                    (job.folder / f"{job.name}{ending}").write_text("made")
                leave(job.folder)
            return {job.name: Event(job.name, state, seconds=0.1) for job in work}

        monkeypatch.setattr(run, "_run_all", run_all)
        return run.run_report(
            company or fake_company(), reports=tmp_path / "reports", notebooks=notebooks("01"), **options
        )

    return go


def test_a_new_report_replaces_the_one_of_the_same_date_and_clears_its_failed_run(pretend):
    first = pretend(lambda folder: (folder / "tables" / "old.csv").write_text("a"))
    failed = pretend(state=FAILED)
    assert failed.folder.exists()
    second = pretend()
    assert second.folder == first.folder
    assert not (second.folder / "tables" / "old.csv").exists()
    assert not failed.folder.exists()
    assert sorted(p.name for p in second.folder.parent.iterdir()) == [".lock", AS_OF]


def test_a_crash_between_the_two_renames_loses_no_report(pretend, monkeypatch):
    home = pretend().folder.parent
    real = Path.rename

    def crash(self, target):
        if self.suffix == ".partial":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        pretend()
    monkeypatch.undo()
    assert not (home / AS_OF).exists()
    folders.recover(home)
    assert (home / AS_OF / "01_ok.html").read_text() == "made"


def test_a_rename_that_fails_puts_the_old_report_back(pretend, monkeypatch):
    home = pretend(lambda folder: (folder / "tables" / "old.csv").write_text("a")).folder.parent
    real = Path.rename

    def refuse(self, target):
        if self.suffix == ".partial" and not str(target).endswith(".failed"):
            raise OSError(errno.EIO, "disk trouble")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    result = pretend()
    assert not result.ok
    assert (home / AS_OF / "tables" / "old.csv").exists()


def test_leftovers_of_a_killed_run_are_cleared_and_its_set_aside_report_found_again(tmp_path):
    (tmp_path / f".{AS_OF}.old").mkdir()
    (tmp_path / f".{AS_OF}.old" / "index.html").write_text("old")
    (tmp_path / ".2026-05-31.partial").mkdir()
    folders.recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [AS_OF]


@pytest.mark.parametrize("fails_at", ["figures.json", "run.json"])
def test_a_full_disk_fails_the_run_and_shows_nothing_under_the_good_name(pretend, monkeypatch, fails_at):
    good = pretend()
    (good.folder / "marker").touch()
    real, calls = record.write_json, []

    def full(path, content):
        if path.name == fails_at and not calls:
            calls.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(record, "write_json", full)
    result = pretend()
    assert (result.ok, result.folder.name) == (False, f"{AS_OF}.failed")
    assert "No space left on device" in result.error
    assert "No space left on device" in (result.folder / "index.html").read_text()
    assert (good.folder / "marker").exists()
    assert not list(good.folder.parent.glob(".*.partial"))


def test_a_folder_that_cannot_be_made_is_a_failure_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    result = run.run_report(fake_company(), reports=tmp_path / "file", notebooks=notebooks("01"))
    assert (result.ok, result.folder) == (False, None)
    assert "cannot be written" in result.error


def test_a_second_run_of_the_same_company_ends_at_once(pretend, tmp_path):
    with folders.lock(tmp_path / "reports" / "acme"):
        result = pretend()
    assert (result.ok, result.folder) == (False, None)
    assert "Another run of acme is under way" in result.error
    assert pretend(company=fake_company("other")).ok
    assert pretend().ok


def test_an_unreadable_file_of_a_notebook_fails_the_run(pretend):
    def leave(folder):
        (folder / "figures").mkdir()
        (folder / "figures" / "01_ok.json").write_text('[{"name": "nps"}]')

    assert "label, value" in pretend(leave).error


def test_no_secret_and_no_comment_column_is_published(pretend, monkeypatch):
    monkeypatch.setenv("CX_DATABASE", "postgresql://reader:hunter2hunter2@host/db")

    def leave(folder):
        (folder / "tables" / "01_ok--said.csv").write_text("segment,Comment\nA,I am Jo\n")
        (folder / "01_ok.html").write_text("postgresql://reader:hunter2hunter2@host/db")
        (folder / "01_ok.ipynb").write_text("hunter2hunter2")

    result = pretend(leave)
    assert result.folder.name == f"{AS_OF}.failed"
    assert "tables/01_ok--said.csv has a column comment" in result.error
    assert "01_ok.ipynb contains the value of password in CX_DATABASE" in result.error
    assert not [p for p in result.folder.rglob("*") if p.is_file() and "hunter2" in p.read_text()]


def test_secrets_are_found_however_they_are_escaped(tmp_path):
    hidden = {"KEY": "a<b&\"c'd/e"}
    for text in ("a<b&\"c'd/e", "a&lt;b&amp;&quot;c&#x27;d/e", json.dumps("a<b&\"c'd/e")):
        assert "c" not in privacy.redact(text, hidden).replace(privacy.HIDDEN, "")
        (tmp_path / "x.html").write_text(text)
        assert privacy.leaks(tmp_path, hidden) == ["x.html contains the value of KEY"]
    (tmp_path / "x.html").write_text("<th>comment</th><th>comments</th>")
    assert privacy.leaks(tmp_path, {}) == ["x.html has a column comment"]


def test_settings_in_the_record_hold_no_address(pretend):
    result = pretend(company=fake_company(database="postgresql://reader:pw@host/db"))
    assert result.ok
    assert "reader" not in (result.folder / "run.json").read_text()


def test_the_longest_notebook_of_the_last_report_starts_first(tmp_path):
    home = tmp_path / "acme"
    (home / AS_OF).mkdir(parents=True)
    seconds = {"01_ok": 2.0, "07_board": 9.0}
    record.write_json(home / AS_OF / "run.json", {"notebooks": [{"name": k, "seconds": v} for k, v in seconds.items()]})
    work = [SimpleNamespace(name=n) for n in ("01_ok", "06_hostile", "07_board")]
    assert [job.name for job in run._longest_first(work, home)] == ["06_hostile", "07_board", "01_ok"]


# Parameters


def declare(tmp_path: Path, source: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    path = tmp_path / "01_x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_a_parameters_cell_is_read_without_running_it(tmp_path):
    source = '"""Words."""\na: int | None = None  # first\nb = -1.5\n'
    source += 'c: list[str] = ["x", "#"]  # third # one\nd = "# no comment"'
    found = declared(declare(tmp_path, source))
    assert {k: (p.default, p.types, p.comment) for k, p in found.items()} == {
        "a": (None, ("int", "None"), "first"),
        "b": (-1.5, ("float",), ""),
        "c": (["x", "#"], ("list",), "third # one"),
        "d": ("# no comment", ("str",), ""),
    }


@pytest.mark.parametrize(
    "source", ["a = 2 * 3", "a, b = 1, 2", "a = b = 1", "a: Path = 1", "import os", "a = 1\na = 2", "a: int", "a = ("]
)
def test_a_parameters_cell_with_anything_but_plain_assignments_is_refused(tmp_path, source):
    with pytest.raises(InputError, match="parameters cell"):
        declared(declare(tmp_path, source))


SOURCE = 'n: int = 1\nx: float = 1.0\nflag: bool = False\ntext: str = ""\n'
SOURCE += "many: list = []\nmaybe: int | None = None\nany = None"


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        ("n", 2, 2),
        ("x", 2, 2.0),
        ("n", ShellText("12"), 12),
        ("x", ShellText("12"), 12.0),
        ("x", ShellText("1e3"), 1000.0),
        ("flag", ShellText("yes"), True),
        ("text", ShellText("007"), "007"),
        ("text", ShellText("2026-01-31"), "2026-01-31"),
        ("many", ShellText("[a, 2]"), ["a", 2]),
        ("maybe", ShellText("null"), None),
        ("any", ShellText("2026-01-31"), "2026-01-31"),
    ],
)
def test_values_reach_a_notebook_with_its_declared_type(tmp_path, name, value, got):
    found = resolve({"01_x": declared(declare(tmp_path, SOURCE))}, {name: value})["01_x"][name]
    assert (found, type(found)) == (got, type(got))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", True),
        ("n", 1.0),
        ("n", "12"),
        ("n", ShellText("1.5")),
        ("n", ShellText("yes")),
        ("n", ShellText("")),
        ("x", float("nan")),
        ("x", ShellText("abc")),
        ("x", True),
        ("flag", 1),
        ("flag", ShellText("1")),
        ("text", date(2026, 1, 31)),
        ("many", [date(2026, 1, 31)]),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_default_told(tmp_path, name, value):
    with pytest.raises(InputError, match=f"Parameter {name} takes .* Its default is"):
        resolve({"01_x": declared(declare(tmp_path, SOURCE))}, {name: value})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drws", "Did you mean 'draws'"),
        ("zzz", "The known ones are: draws, label, share"),
        ("a=1;print(1)", "No notebook has a parameter a=1"),
        ("company", "as the argument"),
        ("as_of", "--as-of"),
    ],
)
def test_an_unknown_or_reserved_name_is_refused_before_anything_is_written(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        run.run_report(fake_company(), {name: 1}, reports=tmp_path / "reports", notebooks=notebooks("01"))
    assert not (tmp_path / "reports").exists()


def test_wrong_data_stop_a_run_before_anything_is_written(tmp_path, monkeypatch):
    def refuse(company, as_of=None):
        raise InputError("No such column", remedy="Name it.")

    monkeypatch.setitem(vars(cxlib), "open_company", refuse)
    with pytest.raises(InputError, match="No such column"):
        run.run_report("acme", reports=tmp_path / "reports", notebooks=notebooks("01"))
    assert not (tmp_path / "reports").exists()


def test_the_questions_may_refuse_values_before_anything_is_written(tmp_path, monkeypatch):
    class Model(parameters.Parameters):
        draws: int = Field(100, ge=1)
        share: float = 0.5
        label: str | None = None

    monkeypatch.setattr(parameters, "model_of", lambda notebook: Model)
    with pytest.raises(InputError, match=r"parameter 'draws' of 01_ok .* than or equal to 1 .* default is 100"):
        run.run_report(fake_company(), {"draws": -1}, reports=tmp_path / "reports", notebooks=notebooks("01"))
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("as_of", ["30/06/2026", "2026-06-31"])
def test_an_as_of_date_that_is_none_is_refused(as_of):
    with pytest.raises(InputError, match="as_of is not a date"):
        run.run_report("demo-shop", as_of=as_of, notebooks=notebooks("01"))


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for kernels in /proc")
def test_ctrl_c_ends_the_kernels_and_leaves_nothing(tmp_path):
    script = tmp_path / "stop.py"
    script.write_text(
        "if __name__ == '__main__':\n"  # the workers import this file too
        "    import sys\n    import cxlib\n    from cxlib import cli\n    from test_run import fake_company\n\n"
        "    cxlib.open_company = lambda name, as_of=None: fake_company()\n"
        "    sys.argv[1:] = ['run', 'acme', '--reports', sys.argv[1]]\n"
        "    cli.main()\n"
    )
    (tmp_path / "notebooks").mkdir()
    shutil.copy(notebooks("05")[0], tmp_path / "notebooks")
    roots = [str(Path(run.__file__).parents[2]), str(Path(__file__).parent)]
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "reports")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CXLIB_ROOT": str(tmp_path), "PYTHONPATH": os.pathsep.join(roots)},
        start_new_session=True,
        # a shell that starts the tests in the background may have switched Ctrl-C off, also for what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: kernels(tmp_path))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the run and its workers alike
    output, errors = process.communicate(timeout=60)
    assert "05_slow started" in output
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Stopped" in errors
    assert [p.name for p in (tmp_path / "reports" / "acme").iterdir()] == [".lock"]
    wait_for(lambda: not kernels(tmp_path))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def kernels(root: Path) -> list[str]:
    """Processes whose environment names the scratch folder of this test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CXLIB_OUT={root}".encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found
