"""One run: execute the notebooks of the report in separate processes, two at a time, then publish the folder."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from multiprocessing.connection import wait
from pathlib import Path

import cxlib
from cxlib import paths
from cxlib.errors import faults
from cxlib.page import gaps, numbers, report
from cxlib.page import parameters as models
from cxlib.publish import execute, folders, html, privacy, record
from cxlib.publish.execute import DONE, FAILED, Event, Job
from cxlib.publish.parameters import RESERVED, cells, declared, resolve

PATTERN = "[0-9][0-9]_*.ipynb"
EXPLORE = "09_explore"  # for analysts: no part of the report
READS = "page.report()"  # in a notebook that shows what the others found
fault = faults(__file__)


@dataclass(frozen=True)
class Result:
    """How a run ended. ``folder``: the report, or the failed run that is kept; ``record``: content of run.json."""

    outcome: str
    seconds: float
    folder: Path | None = None
    error: str | None = None
    record: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Tell whether the report is complete."""
        return self.outcome == DONE

    @property
    def index(self) -> Path | None:
        """Return the first page of the report."""
        return self.folder / html.INDEX if self.folder else None


def run_report(
    company: object,
    parameters: Mapping[str, object] | None = None,
    as_of: date | str | None = None,
    reports: Path | str | None = None,
    notebooks: Sequence[Path | str] | None = None,
    jobs: int | None = None,
    progress: Callable[[Event], None] | None = None,
    timeout: float = 1800.0,
) -> Result:
    """Run every notebook for one company and publish ``reports/<company>/<as_of>/``.

    - ``company``: a name under data/, a path, or an opened Company, whose name then goes to the notebooks.
    - ``parameters``: values by name, for each notebook that declares them.
    - ``as_of``: a date or ISO text. ``reports``: the folder for reports, by default ``reports/``.
    - ``notebooks``: by default ``notebooks/NN_*.ipynb``. ``jobs``: notebooks run at once, by default 2 (1 on one core).
    - ``progress``: called with an Event when a notebook starts, reaches a cell or ends. ``timeout``: seconds per cell.

    Wrong data, settings or parameters raise InputError before anything is written. Later failures are reported in the
    Result, and the last good report does not change.

    Example: ``run_report("demo", as_of="2026-06-30").index``.
    """
    began = time.monotonic()
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    opened, plan = _plan(company, parameters or {}, as_of, notebooks)
    home = Path(reports or paths.reports()).resolve() / opened.name
    good = home / opened.as_of.isoformat()
    scratch = home / f".{good.name}.partial"
    hidden = privacy.secrets(opened.settings.database)
    about = {
        "outcome": FAILED,
        "error": None,
        "started": started,
        "seconds": 0.0,
        "given": {n: value for job in plan for n, value in job.parameters.items() if n not in RESERVED},
        "commit": record.commit(),
        "versions": record.versions(),
        "notebooks": [],
    } | record.of_company(opened, hidden)
    aside, much = html.set_aside(about)
    warning, folder = aside if much else "", None
    work = [
        replace(job, folder=scratch, timeout=timeout, hidden=hidden, page=replace(job.page, warning=warning))
        for job in plan
    ]
    try:
        with folders.lock(home):
            folders.recover(home)
            (scratch / "tables").mkdir(parents=True)
            _quiet_kernels(scratch / ".ipython")
            opened.keep(scratch / ".intake")
            try:
                ends = _run_all(_longest_first(work, home), jobs, progress or (lambda event: None))
                about["notebooks"] = [_entry(job, ends[job.name]) for job in work]
                about["seconds"] = round(time.monotonic() - began, 1)
                folder = _publish(about, scratch, good, hidden)
            except OSError as problem:
                folder = _give_up(about, problem, scratch, good)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except folders.Busy:
        about["error"] = f"Another run of {opened.name} is under way; nothing was started"
    except OSError as problem:
        about["error"] = f"The report cannot be written: {problem}"
    return Result(about["outcome"], about["seconds"], folder, about["error"], about)


def _plan(
    company: object, parameters: Mapping[str, object], as_of: date | str | None, notebooks: Sequence[Path | str] | None
) -> tuple[object, list[Job]]:
    """Check all that can be checked before a run; return the opened company and the notebooks to run."""
    found = discover(notebooks)
    known = {path.stem: declared(path) for path in found}
    given = resolve(known, parameters)
    named = isinstance(company, str | Path)
    opened = cxlib.open_company(company, as_of=as_of) if named else company
    if not named and as_of and str(as_of) != opened.as_of.isoformat():
        raise fault("other_day", company=opened.name, opened=opened.as_of, as_of=as_of)
    opened.refuse_stale()
    common = {"company": str(company) if named else opened.name, "as_of": opened.as_of.isoformat()}
    plan = []
    for path in found:
        mine = known[path.stem]
        values = common | given[path.stem]
        injected = {n: values[n] for n in mine if n in values}
        used = {n: p.default for n, p in mine.items()} | injected
        if models.model_of(path.stem):
            models.check(path.stem, used)  # the question refuses impossible values here, as it does in the notebook
        own = cells(path)
        page = html.Page(
            company=opened.title,
            as_of=numbers.day(opened.as_of),
            title=html.title_of((c["source"] for c in own if c["cell_type"] == "markdown"), path.stem),
            here=f"{path.stem}.html",
            links=html.links(known),
            parameters=[{"name": n, "value": v, "comment": mine[n].comment} for n, v in record.plain(used).items()],
        )
        reads = any(READS in c["source"] for c in own if c["cell_type"] == "code")
        plan.append(Job(path, record.plain(injected), page, reads))
    return opened, plan


def discover(notebooks: Iterable[Path | str] | None = None) -> list[Path]:
    """Return the notebooks of the report in order; InputError if there are none."""
    own = sorted(p for p in paths.notebooks().glob(PATTERN) if p.stem != EXPLORE)
    found = own if notebooks is None else [Path(n) for n in notebooks]
    if not found:
        raise fault("no_notebook", file=paths.notebooks(), pattern=PATTERN)
    return found


def _quiet_kernels(profiles: Path) -> None:
    """Give the kernels their own configuration: no start-up files of the user, no log lines about transport."""
    folder = profiles / "profile_default"
    folder.mkdir(parents=True)
    (folder / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 50\n", encoding="utf-8")


def _longest_first(work: list[Job], home: Path) -> list[Job]:
    """Order by run time in the last report, so that no long notebook starts last; unknown ones come first."""
    seconds = {n["name"]: n["seconds"] for n in (record.last(home) or {}).get("notebooks", [])}
    return sorted(work, key=lambda job: -seconds.get(job.name, float("inf")))


def _run_all(work: Sequence[Job], count: int | None, tell: Callable[[Event], None]) -> dict[str, Event]:
    """Run jobs in ``count`` worker processes; if a worker is killed, only its own notebook fails."""
    count = count or min(2, os.cpu_count() or 1)
    waiting, ends = deque(sorted(work, key=lambda job: job.reads)), {}
    workers, idle, busy = [], [], {}  # of a busy connection: its process, the job, when it began
    try:
        while waiting or busy:
            while waiting and len(busy) < count and not (waiting[0].reads and busy):
                if not idle:
                    idle.append(_worker())
                    workers += idle
                process, connection = idle.pop()
                try:
                    connection.send(waiting[0])
                except OSError:  # the idle worker has died; another takes the job
                    continue
                busy[connection] = process, waiting.popleft(), time.monotonic()
            for connection in wait(list(busy)):
                process, job, began = busy[connection]
                try:
                    event = connection.recv()
                except (EOFError, OSError):
                    process.join(5)
                    error = f"The worker process ended unexpectedly (exit code {process.exitcode}); often out of memory"
                    event = Event(job.name, FAILED, seconds=time.monotonic() - began, error=error)
                    execute.write_failure(job, None, error)
                tell(event)
                if event.state in (DONE, FAILED):
                    ends[job.name] = event
                    del busy[connection]
                    idle.append((process, connection))
    finally:
        for process, _ in workers:
            process.terminate()
        for process, _ in workers:
            process.join(10)
    return ends


def _worker() -> tuple[object, object]:
    """Start a worker; return its process and the connection to it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=execute.work, args=(there,), daemon=True)
    process.start()
    there.close()  # so that the end of the process ends the connection
    return process, here


def _entry(job: Job, event: Event) -> dict[str, object]:
    """Return what the run record says about one notebook."""
    return {
        "name": job.name,
        "title": job.page.title,
        "outcome": event.state,
        "seconds": round(event.seconds, 1),
        "cells": event.cells,
        "failed_cell": event.cell or None,
        "error": event.error,
        "parameters": {p["name"]: p["value"] for p in job.page.parameters},
    }


def _publish(about: dict, scratch: Path, good: Path, hidden: Mapping[str, str]) -> Path:
    """Write the first page and the JSON files and give the folder its name; return its path."""
    findings, figures = [], []
    try:
        findings = record.plain(report.collect(scratch, "findings", ["name", "headline"]))
        figures = record.plain(report.collect(scratch, "figures", ["name", "label", "value"]))
    except ValueError as problem:
        about["error"] = f"A notebook wrote a file that cannot be read: {problem}"
    whole = about["error"] is None and all(n["outcome"] == DONE for n in about["notebooks"])
    if whole:
        _leave_out(about["notebooks"], findings, scratch)
    for extra in ("findings", "figures", ".ipython", ".intake"):
        shutil.rmtree(scratch / extra, ignore_errors=True)
    tables = [p.name for p in sorted((scratch / "tables").glob("*.csv"))]
    about["outcome"] = DONE if whole else FAILED

    def write() -> None:
        record.write_json(scratch / "findings.json", findings)
        record.write_json(scratch / "figures.json", figures)
        record.write_json(scratch / "run.json", about)
        (scratch / html.INDEX).write_text(html.index_page(about, findings, figures, tables), encoding="utf-8")

    write()
    if whole and (found := privacy.leaks(scratch, hidden)):
        about["outcome"], about["error"] = FAILED, f"The report would publish private content: {'; '.join(found)}"
        write()
    if about["outcome"] == DONE:
        folders.keep_private(scratch, good)
        folders.install(scratch, good)
        return good
    shutil.rmtree(scratch / folders.PRIVATE, ignore_errors=True)
    privacy.scrub(scratch, hidden)
    return folders.keep_failed(scratch, good)


def _leave_out(notebooks: list[dict], findings: list[Mapping], scratch: Path) -> None:
    """Remove the pages that answer nothing, and the links to them; each notebook's entry then says why."""
    for n in notebooks:
        own = [f for f in findings if f["notebook"] == n["name"]]
        answered = not own or any(f.get("answered", True) for f in own)
        n["nothing_because"] = None if answered else next(iter(gaps.gaps(own)))
    silent = [n["name"] for n in notebooks if n["nothing_because"]]
    for name in silent:
        (scratch / f"{name}.html").unlink()
        (scratch / f"{name}.ipynb").unlink()
    for page in scratch.glob("*.html"):
        page.write_text(html.unlinked(page.read_text(encoding="utf-8"), silent), encoding="utf-8")


def _give_up(about: dict, problem: OSError, scratch: Path, good: Path) -> Path | None:
    """Keep a failed run that could not be written in full: delete its files, then write its record and first page."""
    about["outcome"], about["error"] = FAILED, f"The report cannot be written: {problem}"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        record.write_json(scratch / "run.json", about)
        (scratch / html.INDEX).write_text(html.index_page(about, [], [], complete=False), encoding="utf-8")
        return folders.keep_failed(scratch, good)
    except OSError:
        return None
