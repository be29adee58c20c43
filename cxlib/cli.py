"""The shell: ``python -m cxlib run | check | ask | new | list``.

Exit codes: 0 done, 1 a notebook failed, 2 the data or settings are wrong.
"""

from __future__ import annotations

import re
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cxlib.publish.execute import Event

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks would show local values
    rich_markup_mode=None,
    help="From customer-experience scores to churn, customer value and return on investment.",
)
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DATE", help="Ignore everything dated later, such as 2026-06-30.")
]
Company = Annotated[str, typer.Argument(metavar="COMPANY", help="A folder under data/, or a path to one.")]


def main() -> None:
    """Run the command line."""
    app(joined(sys.argv[1:]), prog_name="python -m cxlib")


def joined(arguments: list[str]) -> list[str]:
    """Join ``-p NAME VALUE`` to ``-p NAME=VALUE``: typer knows no repeated pairs. No name holds an equals sign."""
    found, words = [], deque(arguments)
    while words:
        found.append(words.popleft())
        if found[-1] in ("-p", "--parameter") and len(words) > 1 and "=" not in words[0]:
            found.append(f"{words.popleft()}={words.popleft()}")
    return found


@app.command()
def run(
    company: Company,
    as_of: AsOf = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter of the notebooks; may be repeated."),
    ] = None,
    reports: Annotated[str | None, typer.Option(metavar="DIR", help="Folder for reports, instead of reports/.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Notebooks run at once (default 2).")] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time limit of a cell.")] = 1800,
) -> None:
    """Make the report of a company."""
    with _messages():
        from cxlib.errors import InputError
        from cxlib.publish.parameters import ShellText
        from cxlib.publish.run import run_report

        given = {}
        for text in parameters or []:
            name, separator, value = text.partition("=")
            if not separator or name in given:
                raise InputError(
                    f"Parameter {name} has no value" if not separator else f"Parameter {name} is given twice",
                    remedy="Write -p NAME VALUE, once per name.",
                )
            given[name] = ShellText(value)
        with _progress() as tell:
            result = run_report(company, given, as_of, reports, jobs=jobs, progress=tell, timeout=timeout)
        if result.ok:
            print(f"Report done in {result.seconds:.0f} s: {result.index}")
            return
        for notebook in result.record.get("notebooks", []):
            if notebook["error"]:
                cell = f", cell {notebook['failed_cell']}" if notebook["failed_cell"] else ""
                print(f"FAILED {notebook['name']}{cell}: {notebook['error']}", file=sys.stderr)
        if result.error:
            print(result.error, file=sys.stderr)
        if result.index:
            print(f"No report was published. What went wrong: {result.index}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def check(company: Company, as_of: AsOf = None) -> None:
    """Check the data of a company: what is used, what is excluded and why."""
    with _messages():
        from cxlib import open_company
        from cxlib.intake import verdict
        from cxlib.publish.record import rows

        opened = open_company(company, as_of=as_of)
        print(f"{opened.title}, data up to {opened.as_of}")
        _table("Files", rows(opened.inputs))
        _table("Rows read and used", rows(opened.record))
        _table("Rows excluded, and why", rows(opened.set_aside), "No row was excluded.")
        _table("Oddities in rows that are used", rows(opened.notes), "No notes.")
        reach = opened.ends.assign(stale=opened.ends["stale"].map({True: "yes", False: "no"}))
        _table("How far the data reach", rows(reach), "No table has dates.")
        _table("What the pages can answer", rows(verdict.pages(opened.settings)))


@app.command()
def ask(company: Company) -> None:
    """Write the data request for what is missing: table, columns, period, format, an example row, by owner."""
    with _messages():
        from cxlib.intake import verdict
        from cxlib.intake.company import settings_of

        print(verdict.request(settings_of(company)))


@app.command()
def new(
    company: Annotated[str, typer.Argument(metavar="COMPANY", help="The name of its new folder under data/.")],
    source: Annotated[str, typer.Option("--from", metavar="PATH", help="The folder with the exports, or one file.")],
) -> None:
    """Propose a company.yaml from a folder of exports; in a terminal it asks what they do not tell."""
    with _messages():
        from cxlib import paths
        from cxlib.intake.propose import new_company

        ask = _ask if sys.stdin.isatty() and sys.stdout.isatty() else None
        written = new_company(company, source, paths.data(), ask=ask, tell=_files_read)
        left = written.read_text(encoding="utf-8").count(": TODO")
        print(f"Proposed: {written}\n{left} answers are left TODO in it. Then: python -m cxlib check {company}")


@app.command("list")
def companies() -> None:
    """List the companies under data/ with their last report."""
    with _messages():
        from cxlib import paths
        from cxlib.publish import record

        found = []
        for settings in sorted(paths.data().glob("*/company.yaml")):
            name = settings.parent.name
            last = record.last(paths.reports() / name) or {}
            failed = paths.reports().glob(f"{name}/*.failed")
            found.append(
                {
                    "company": name,
                    "last_report": last.get("as_of", "none"),
                    "made": last.get("started", ""),
                    "failed_since": ", ".join(sorted(folder.stem for folder in failed)),
                    "page": f"{last['folder']}/index.html" if last else "",
                }
            )
        _table("Companies", found, f"No company yet under {paths.data()}.")


def _ask(question: str, shape: str, default: str) -> str:
    """Ask until the answer has its shape; enter keeps the default, and TODO is left for later."""

    def valid(answer: str) -> str:
        if answer != default and not re.fullmatch(shape, answer):
            raise typer.BadParameter(f"{answer} is no such answer.")
        return answer

    return typer.prompt(question[:1].upper() + question[1:], default=default, value_proc=valid)


def _files_read(read: int, files: int, name: str) -> None:
    """Show how far many files are read: on one line of a terminal, in ten lines of a log."""
    if sys.stdout.isatty():
        print(f"\rRead {read} of {files} files {name[:40]:40}", end="\n" if read == files else "", flush=True)
    elif files >= 20 and (read == files or read % (files // 10) == 0):
        print(f"Read {read} of {files} files", flush=True)


@contextmanager
def _messages() -> Iterator[None]:
    """Turn what goes wrong into one message on stderr and the exit code that a scheduler reads."""
    from cxlib.errors import InputError

    sys.dont_write_bytecode = False  # without byte code every kernel takes seconds longer to start
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers are ended and folders cleared up
    try:
        yield
    except (InputError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
    except KeyboardInterrupt:
        print("Stopped; no report was published.", file=sys.stderr)
        raise typer.Exit(130) from None


def _table(title: str, found: list[dict[str, object]], empty: str = "None.") -> None:
    from rich.console import Console
    from rich.table import Table

    from cxlib.publish import record

    width = None if sys.stdout.isatty() else 200  # so wide that nothing is cut in a log
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    console.print(f"\n{title}", style="bold")
    if not found:
        console.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in record.columns(found):
        table.add_column(column["title"], justify="right" if column["numeric"] else "left", overflow="fold")
    for row in map(record.cells, found):
        table.add_row(*(row[column["key"]] for column in record.columns(found)))
    console.print(table)


@contextmanager
def _progress() -> Iterator[object]:
    """Give a function that shows events: moving bars on a terminal, plain lines in a log."""
    if not sys.stdout.isatty():
        yield _say
        return
    from rich.progress import BarColumn, Progress, TimeElapsedColumn

    with Progress("{task.description}", BarColumn(24), "{task.fields[state]}", TimeElapsedColumn()) as bars:
        tasks: dict[str, int] = {}

        def show(event: Event) -> None:
            if event.name not in tasks:
                tasks[event.name] = bars.add_task(event.name, state="")
            state = f"cell {event.cell}/{event.cells}" if event.state == "cell" else event.state
            done = event.cells if event.state == "done" else max(event.cell - 1, 0)
            bars.update(tasks[event.name], total=event.cells, completed=done, state=state)
            if event.state == "failed":
                bars.stop_task(tasks[event.name])

        yield show


def _say(event: Event) -> None:
    took = f"{event.seconds:.1f} s"
    words = {"started": "started", "done": f"finished in {took}", "failed": f"FAILED after {took}"}
    if event.state in words:
        print(event.name, words[event.state], flush=True)
