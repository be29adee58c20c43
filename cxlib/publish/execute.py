"""Executes one notebook in a kernel of its own, judges it and makes its page. Runs inside a worker process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from cxlib.publish import html, privacy

DONE, FAILED = "done", "failed"
FAILURE_TAG = "failure"
# Set for workers and their kernels. A foreign kernel or a foreign start-up file would change the numbers; one
# thread per kernel is faster when two kernels share the machine; byte code saves seconds at each kernel start.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
UNSET = ("PYTHONDONTWRITEBYTECODE", "JUPYTER_PATH", "MPLBACKEND")


@dataclass(frozen=True)
class Job:
    """One notebook to run: ``parameters`` are injected, ``folder`` takes what it makes."""

    notebook: Path
    folder: Path
    parameters: Mapping[str, object]
    page: html.Page
    timeout: float
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Return the notebook's name without its ending."""
        return self.notebook.stem


@dataclass(frozen=True)
class Event:
    """What a run tells while it goes on: ``state`` is started, cell, done or failed."""

    name: str
    state: str
    cell: int = 0
    cells: int = 0
    seconds: float = 0.0
    error: str | None = None


def work(connection: Connection) -> None:
    """Run jobs from ``connection`` until None comes, sending events back; end when the parent process is gone."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C: the parent process ends the run and its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.dont_write_bytecode = False
    for name in UNSET:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # kernels use this cxlib, installed or not
    # jsonschema would build the parsers of a URI checker, seconds per process, that no field of a notebook needs
    sys.modules.setdefault("rfc3987_syntax", None)
    while (job := connection.recv()) is not None:
        connection.send(execute(job, connection.send))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def execute(job: Job, tell: Callable[[Event], None]) -> Event:
    """Execute a notebook, write it and its page into the job's folder, and return how it ended.

    It failed if a cell raised, called ``exit``, ran longer than the timeout or took its kernel along, if any
    cell was not completed, or if its page is refused. A failed notebook and its page say so at their top.
    """
    start = time.monotonic()
    try:
        notebook, cell, error = _run(job, tell)
        cells = len(_numbers(notebook))
        page = "" if error else html.notebook_page(notebook, job.page)
    except html.PageError as refused:
        cell, error = None, f"The page cannot be made: {refused}"
    except Exception as problem:  # also a full disk or a kernel that does not start: one notebook fails, not the run
        notebook, cell, cells, error = None, None, 0, _sentence(problem)
    if error:
        error = privacy.redact(error, job.hidden)
    try:
        if error:
            write_failure(job, cell, error, notebook)
        else:
            _write(job, notebook, page)
    except OSError as problem:
        error = error or _sentence(problem)
    return Event(job.name, FAILED if error else DONE, cell or 0, cells, time.monotonic() - start, error)


def _run(job: Job, tell: Callable[[Event], None]) -> tuple[object, int | None, str | None]:
    """Run the cells; return the notebook, and the number of the cell that failed and why."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is told by the Event
    notebook = nbformat.read(job.notebook, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    os.environ["CXLIB_OUT"] = str(job.folder)
    os.environ["CXLIB_INTAKE"] = str(job.folder / ".intake")  # the company as the runner has checked it
    os.environ["IPYTHONDIR"] = str(job.folder / ".ipython")
    held = {"notebook": notebook, "index": 0}

    def on_start(notebook: object) -> None:
        held["notebook"] = notebook  # papermill works on a copy

    def on_cell(cell: object, cell_index: int) -> None:
        held["index"] = cell_index
        numbers = _numbers(held["notebook"])
        if cell_index in numbers:
            tell(Event(job.name, "cell", numbers[cell_index], len(numbers)))

    tell(Event(job.name, "started", 0, len(_numbers(notebook)) + bool(job.parameters)))  # one cell is injected
    index, error = None, None
    try:
        papermill.execute_notebook(
            notebook,
            None,
            parameters=dict(job.parameters),
            kernel_name="python3",
            progress_bar=False,
            request_save_on_cell_execute=False,
            autosave_cell_every=0,
            execution_timeout=job.timeout,
            on_notebook_start=on_start,
            on_cell_start=on_cell,
        )
    except PapermillExecutionError as problem:
        index, error = problem.cell_index, f"{problem.ename}: {problem.evalue}"
    except CellTimeoutError:
        index, error = held["index"], f"The cell ran longer than {job.timeout:g} seconds and was stopped"
    except DeadKernelError:
        index, error = held["index"], "The kernel died in this cell; often it ran out of memory"
    notebook = held["notebook"]
    notebook.cells = [c for c in notebook.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    if error is None and (stopped := _unfinished(notebook)) is not None:
        index, error = stopped, "The cell ended the notebook early by calling exit"
    for key in ("input_path", "output_path", "environment_variables"):
        notebook.metadata.papermill.pop(key, None)
    if error is None:
        return notebook, None, None
    _mark(notebook, index)
    return notebook, _numbers(notebook).get(index), error


def _numbers(notebook: object) -> dict[int, int]:
    """Return the position of each cell that runs -> its number, which Jupyter shows as In [number]."""
    running = [i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and c.source.strip()]
    return {index: number for number, index in enumerate(running, start=1)}


def _unfinished(notebook: object) -> int | None:
    """Return the position of the first cell that did not complete, although nothing was raised."""
    for index, cell in enumerate(notebook.cells):
        marks = cell.metadata.get("papermill", {})
        broke = any(o.output_type == "error" for o in cell.get("outputs", []))
        if marks.get("exception") or marks.get("status") != "completed" or broke:
            return index
    return 0 if notebook.metadata.papermill.get("exception") else None


def _mark(notebook: object, index: int) -> None:
    """Make the state of every cell true: papermill calls all of them completed after a timeout or a dead kernel."""
    notebook.metadata.papermill["exception"] = True
    for place, cell in enumerate(notebook.cells):
        state = "completed" if place < index else "failed" if place == index else "pending"
        cell.metadata.setdefault("papermill", {}).update(status=state, exception=place == index)
        if place > index and cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)


def write_failure(job: Job, cell: int | None, error: str, notebook: object = None) -> None:
    """Write a failed notebook and its page, both with a banner; without a notebook (killed worker) banners alone."""
    import nbformat

    notebook = notebook or nbformat.v4.new_notebook()
    where = f" in cell {cell}" if cell else ""
    banner = f"# FAILED{where}\n\n~~~\n{error}\n~~~\n\nWhat follows is incomplete: do not use it."
    page = replace(job.page, failure=f"{job.page.title} failed{where}: {error}")
    try:
        text = html.notebook_page(notebook, page)
    except html.PageError:  # a page that cannot be shown at all
        text = html.notebook_page(nbformat.v4.new_notebook(), page)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(banner, metadata={"tags": [FAILURE_TAG]}))
    _write(job, notebook, text, job.hidden)  # tracebacks quote values


def _write(job: Job, notebook: object, page: str, hidden: Mapping[str, str] | None = None) -> None:
    import nbformat

    for ending, text in {".ipynb": nbformat.writes(notebook) + "\n", ".html": page}.items():
        (job.folder / f"{job.name}{ending}").write_text(privacy.redact(text, hidden or {}), encoding="utf-8")


def _sentence(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"
