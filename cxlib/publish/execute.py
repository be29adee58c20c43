"""Execute one notebook in its own kernel, decide whether it failed, and make its page. Runs in a worker process."""

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
# Set for workers and their kernels. Another kernel or the user's start-up files could change the numbers. One thread
# per kernel is faster when two kernels share the machine. Byte code saves seconds at each kernel start.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
UNSET = ("PYTHONDONTWRITEBYTECODE", "JUPYTER_PATH", "MPLBACKEND")


@dataclass(frozen=True)
class Job:
    """One notebook to run: ``parameters`` are injected, ``folder`` receives its results, ``hidden`` are secrets.

    One that ``reads`` what the others found runs after all of them.
    """

    notebook: Path
    parameters: Mapping[str, object]
    page: html.Page
    reads: bool = False
    folder: Path = Path()
    timeout: float = 0.0
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Return the notebook's file name without ``.ipynb``."""
        return self.notebook.stem


@dataclass(frozen=True)
class Event:
    """Progress of a run: ``state`` is started, cell, done or failed; ``cell`` of ``cells`` is running."""

    name: str
    state: str
    cell: int = 0
    cells: int = 0
    seconds: float = 0.0
    error: str | None = None


def work(connection: Connection) -> None:
    """Run jobs from ``connection`` and send events back; end if the parent process ends."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C: the parent process ends the run and its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.dont_write_bytecode = False
    for name in UNSET:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # kernels use this cxlib, installed or not
    # jsonschema would spend seconds per process on the parsers of a URI checker that no field of a notebook needs
    sys.modules.setdefault("rfc3987_syntax", None)
    while True:
        connection.send(execute(connection.recv(), connection.send))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def execute(job: Job, tell: Callable[[Event], None]) -> Event:
    """Execute a notebook, write it and its page to the job's folder, and return how it ended.

    It failed if a cell raised an error, called ``exit``, exceeded the time limit, killed its kernel or was not
    completed, or if its page was refused. A failed notebook and its page say so at the top.
    """
    start = time.monotonic()
    try:
        notebook, cell, error = _run(job, tell)
        cells = len(_numbers(notebook))
        page = "" if error else html.notebook_page(notebook, job.page)
    except html.PageError as refused:
        cell, error = None, f"The page cannot be made: {refused}"
    except Exception as problem:  # such as a full disk or a dead kernel: this notebook fails, not the run
        notebook, cell, cells, error = None, None, 0, f"{type(problem).__name__}: {problem}"
    error = error and privacy.redact(error, job.hidden)
    try:
        if error:
            write_failure(job, cell, error, notebook)
        else:
            _write(job, notebook, page)
    except OSError as problem:
        error = error or f"{type(problem).__name__}: {problem}"
    return Event(job.name, FAILED if error else DONE, cell or 0, cells, time.monotonic() - start, error)


def _run(job: Job, tell: Callable[[Event], None]) -> tuple[object, int | None, str | None]:
    """Run the cells; return the notebook, the number of the cell that failed, and why it failed."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the Event says what failed
    notebook = nbformat.read(job.notebook, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    os.environ["CXLIB_OUT"] = str(job.folder)
    os.environ["CXLIB_INTAKE"] = str(job.folder / ".intake")  # the company as checked by the runner
    os.environ["IPYTHONDIR"] = str(job.folder / ".ipython")
    held = {"notebook": notebook, "index": 0}

    def on_start(notebook: object) -> None:
        held["notebook"] = notebook  # papermill works on a copy

    def on_cell(cell: object, cell_index: int) -> None:
        held["index"] = cell_index
        numbers = _numbers(held["notebook"])
        if cell_index in numbers:
            tell(Event(job.name, "cell", numbers[cell_index], len(numbers)))

    tell(Event(job.name, "started", 0, len(_numbers(notebook)) + bool(job.parameters)))  # parameters are one more cell
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
    if error:
        _mark(notebook, index)
    return notebook, _numbers(notebook).get(index), error


def _numbers(notebook: object) -> dict[int, int]:
    """Return the number of each cell that runs, which Jupyter shows as In [number], by its position."""
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
    """Correct the state of every cell: after a timeout or a dead kernel, papermill calls all of them completed."""
    notebook.metadata.papermill["exception"] = True
    for place, cell in enumerate(notebook.cells):
        state = "completed" if place < index else "failed" if place == index else "pending"
        cell.metadata.setdefault("papermill", {}).update(status=state, exception=place == index)
        if place > index and cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)


def write_failure(job: Job, cell: int | None, error: str, notebook: object = None) -> None:
    """Write a failed notebook and its page, each with a banner; without a notebook (killed worker) just the banners."""
    import nbformat

    notebook = notebook or nbformat.v4.new_notebook()
    where = f" in cell {cell}" if cell else ""
    banner = f"# FAILED{where}\n\n~~~\n{error}\n~~~\n\nWhat follows is incomplete: do not use it."
    page = replace(job.page, failure=f"{job.page.title} failed{where}: {error}")
    try:
        text = html.notebook_page(notebook, page)
    except html.PageError:  # a page that cannot be shown at all
        text = html.notebook_page(nbformat.v4.new_notebook(), page)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(banner, metadata={"tags": ["failure"]}))
    _write(job, notebook, text, job.hidden)  # tracebacks quote values


def _write(job: Job, notebook: object, page: str, hidden: Mapping[str, str] | None = None) -> None:
    import nbformat

    for ending, text in {".ipynb": nbformat.writes(notebook) + "\n", ".html": page}.items():
        (job.folder / f"{job.name}{ending}").write_text(privacy.redact(text, hidden or {}), encoding="utf-8")
