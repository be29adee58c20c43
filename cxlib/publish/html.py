"""Turn executed notebooks into pages, and their findings into the first page of a report.

Pages contain no script and load nothing. Notebooks must escape what they write as text/html. A page that contains a
script all the same, or an image without alternative text, is refused.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from cxlib.page import gaps, numbers
from cxlib.page.known import KNOWN, MEANING
from cxlib.publish import record

TEMPLATES = Path(__file__).parent / "template"
INDEX = "index.html"
LITTLE = 0.05  # of the rows of a table, or of its money, may be set aside without a warning
AT_ONCE = 6  # findings and numbers of each page that the first page shows; the rest are folded
TITLE = "Return on customer experience"
# HTML first (tables), then pictures; scripts, widgets and vector pictures are not shown
MIME_TYPES = ["text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]
_NUMBER = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]\d+)?( ?%)?", re.IGNORECASE)
_NO_NUMBER = {"", "–", "-", "NaN", "nan", "None", "not known", "not reached"}
_LIVE_ELEMENTS = ["script", "iframe", "frame", "object", "embed", "applet", "link", "base", "form", "audio", "video"]


class PageError(Exception):
    """A notebook cannot become a page: an image has no alternative text, or some content would run or load."""


@dataclass(frozen=True)
class Page:
    """What a page shows around its notebook: ``links()``, and ``parameters`` that have name, value and comment."""

    company: str
    as_of: str
    title: str
    here: str
    links: Mapping[str, str] = field(default_factory=dict)
    parameters: Sequence[Mapping[str, object]] = ()
    failure: str | None = None
    warning: str = ""


def title_of(texts: Iterable[str], fallback: str) -> str:
    """Return the first level-one heading in the markdown cells of a notebook."""
    found = re.search(r"^#\s+(.+?)\s*#*$", "\n".join(texts), re.MULTILINE)
    return re.sub(r"[*`_]", "", found.group(1)) if found else fallback


def notebook_page(notebook: Mapping, page: Page) -> str:
    """Return an executed notebook as one self-contained HTML page; PageError if it is refused."""
    from bs4 import BeautifulSoup
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        template_name=TEMPLATES.name,
        extra_template_basedirs=[str(TEMPLATES.parent)],
        exclude_anchor_links=True,
        config=Config({"NbConvertBase": {"display_data_priority": MIME_TYPES}}),
    )
    _refuse_other_images(notebook)
    text, _ = exporter.from_notebook_node(notebook, resources={"page": asdict(page)})
    soup = BeautifulSoup(text, "html.parser")
    _arrange(soup, page)
    _refuse(soup)
    return str(soup)


def index_page(
    run: Mapping,
    findings: Sequence[Mapping],
    figures: Sequence[Mapping],
    tables: Sequence[str] = (),
    complete: bool = True,
) -> str:
    """Return the first page of a report.

    ``run`` is the run record (notebooks with ``nothing_because`` have no page), ``findings`` and ``figures`` are the
    items of findings.json and figures.json, ``tables`` the names of the files in ``tables/``. The page of a failed run
    shows what failed, and no numbers. If it is not ``complete``, there are no other pages to link to.
    """
    from jinja2 import Environment, FileSystemLoader

    whole = run["outcome"] == "done"
    if not whole:
        findings, figures = [], []
    pages = {n["name"]: n for n in run["notebooks"] if not n.get("nothing_because")}
    answered = [f for f in findings if f.get("answered", True)]
    board = next((n for n in pages if n.endswith("_board") and any(f["notebook"] == n for f in answered)), None)
    others = [name for name in pages if name != board]
    said: set[str] = set()  # what stands on the page already
    ordered = [board, *others] if board else others
    grouped = {name: [_new_caveats(f, said) for f in answered if f["notebook"] == name] for name in ordered}
    figures, unanswered = _numbers(pages, figures), gaps.gaps(findings)
    aside, much = set_aside(run)
    made = datetime.fromisoformat(run["started"])
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"columns": record.columns, "cells": record.cells, "KNOWN": KNOWN, "MEANING": MEANING}
    return environment.get_template("summary.html.j2").render(
        title=TITLE,
        run=run,
        pages=pages,
        whole=whole,
        complete=complete,
        as_of=numbers.day(run["as_of"]),
        made=f"{numbers.day(made)} at {made:%H:%M}",
        links=links(pages if complete else []),
        aside=aside,
        much=much,
        board=board,
        others=others,
        grouped=grouped,
        above=[f["headline"] for f in grouped.get(board, [])],
        at_once=AT_ONCE,
        gaps=gaps.markup(unanswered) if unanswered else "",
        left_out=[(short_title(n["name"]), n["nothing_because"]) for n in run["notebooks"] if n["name"] not in pages],
        numbers=figures,
        more=sum(len(own[AT_ONCE:]) for own in figures.values()),
        files=_files(tables),
        changed=[f"{k} = {v}" for k, v in run["given"].items()],
        versions=[f"{k} {v}" for k, v in run["versions"].items()],
        runs=[
            {"notebook": n["title"], "outcome": n["outcome"], "seconds": round(n["seconds"])} for n in run["notebooks"]
        ],
    )


def short_title(name: str) -> str:
    """Return a notebook's name as the navigation shows it: "03_churn" as "Churn", "06_roi" as "ROI"."""
    words = name.lstrip("0123456789_").split("_")
    text = " ".join(w.upper() if len(w) <= 3 else w for w in words)
    return text[:1].upper() + text[1:]


def links(names: Iterable[str]) -> dict[str, str]:
    """Return the navigation of a report with these notebooks, overview first: the title of each page by its file."""
    return {INDEX: "Overview"} | {f"{name}.html": short_title(name) for name in names}


def set_aside(run: Mapping) -> tuple[str, bool]:
    """Return in words which share of the rows was set aside, and whether more than LITTLE of some table, or its money.

    ``run`` is a run record; ``money`` in it is what the rows used of a table add up to.
    """
    shares, rows = {}, [(r["table"], r.get("set_aside") or 0, r.get("rows_read") or 0) for r in run["record"]]
    for table in dict.fromkeys(name for name, __, __ in rows):
        aside, read = (sum(r[i] for r in rows if r[0] == table) for i in (1, 2))
        shares[table] = aside / max(read, 1)
        money = sum(r.get("money") or 0 for r in run["set_aside"] if r["table"] == table)
        if used := run.get("money", {}).get(table):
            shares[f"the money of {table}"] = abs(money) / (abs(money) + abs(used))
    if lost := sorted((k for k, share in shares.items() if share > LITTLE), key=shares.get, reverse=True):
        return "; ".join(f"{numbers.percent(shares[k])} of {k} set aside" for k in lost), True
    share = sum(r[1] for r in rows) / max(sum(r[2] for r in rows), 1)
    return f"{numbers.percent(share)} of rows set aside" if share else "no row set aside", False


def unlinked(text: str, silent: Iterable[str]) -> str:
    """Return a page without links to the pages of some notebooks: entries of the navigation go, others are text."""
    for name in silent:
        link = rf'<a href="{re.escape(name)}\.html[^"]*">(.*?)</a>'
        text = re.sub(link, r"\1", re.sub(rf"\s*<li>{link}</li>", "", text))
    return text


def _refuse_other_images(notebook: Mapping) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if any(m.startswith("image/") for m in data) and not set(data) & set(MIME_TYPES[:4]):
                raise PageError(f"cell {cell.get('execution_count')} shows an image that is neither PNG nor JPEG")


def _arrange(soup: object, page: Page) -> None:
    """Give the page its one title, its list of contents, links to other pages and tables that scroll by themselves."""
    main = soup.find(id="content")
    _link_pages(main, page)
    if not page.failure:
        _prune(main)
    for line in main.find_all("p", string=re.compile("^Analysts: ")):  # on a page nothing can be changed
        line.decompose()
    given, *own = main.find_all("h1")
    if own:
        given.decompose()
    for extra in own[1:]:
        extra.name = "h2"
    for code in main.select("details.code + details.code"):  # code cells without output are folded together
        code.summary.decompose()
        code.find_previous_sibling().extend(list(code.children))
        code.decompose()
    for counts in main.select("details.counts"):  # open in a notebook, and there to be opened on a page
        del counts["open"]
    for heading in main.find_all("h2", string="By hand"):
        _fold(soup, heading, "How the numbers above are made, step by step")
    names = {"content"}
    for heading in main.find_all(re.compile("^h[1-6]$")):
        base = heading.get("id") or re.sub(r"\W+", "-", heading.get_text().strip()).lower()
        choices = itertools.chain([base], (f"{base}-{count}" for count in itertools.count(2)))
        heading["id"] = next(name for name in choices if name not in names)
        names.add(heading["id"])
    rail, sections = main.find(class_="rail").extract(), main.find_all("h2")
    if len(sections) > 1:
        for section in sections:
            item, link = soup.new_tag("li"), soup.new_tag("a", href=f"#{section['id']}")
            link.string = section.get_text()
            item.append(link)
            rail.ul.append(item)
        sections[0].insert_before(rail)
    for style in main.select("style[scoped]"):
        style.decompose()  # styles of pandas: the page has its own
    for count, table in enumerate(main.select("table:not(table table)"), start=1):
        table.attrs.pop("border", None)
        label = (table.caption and table.caption.get_text().strip()) or f"Table {count}"
        region = {"class": "table", "role": "region", "tabindex": "0", "aria-label": label}
        table.wrap(soup.new_tag("div", attrs=region))
        for cell in table.find_all("th"):
            if not cell.get_text().strip() and not cell.find("img"):
                cell.name = "td"  # an empty corner is not a heading
        _align_numbers(table)


def _fold(soup: object, heading: object, says: str) -> None:
    """Fold all of a section but its heading."""
    cells = heading.find_parent(class_="text").find_next_siblings()
    section = itertools.takewhile(lambda c: "text" not in c.get("class", ()) or not c.find("h2"), cells)
    fold, summary = soup.new_tag("details", attrs={"class": "walk"}), soup.new_tag("summary")
    summary.string = says
    fold.extend([summary, *(part.extract() for part in [*heading.find_next_siblings(), *section])])
    heading.insert_after(fold)


def _prune(main: object) -> None:
    """Remove the questions that are not answered, and the headings whose code shows nothing."""
    for box in main.select(".unanswered"):
        output = box.find_parent(class_="output")
        box.decompose()
        if not output.get_text(strip=True) and not output.find("img"):
            output.decompose()
    for heads in (["h2"], ["h2", "h3"]):  # a section with its parts, then each part
        for text in [t for t in main.select(".text") if t.find(heads[-1])]:
            section = list(
                itertools.takewhile(
                    lambda s, h=heads: "text" not in s["class"] or not s.find(h), text.find_next_siblings()
                )
            )
            shown = {c for s in section for c in s["class"]}
            if "code" in shown and "output" not in shown:
                for part in (text, *section):
                    part.decompose()


def _link_pages(main: object, page: Page) -> None:
    """Turn links to other notebooks into links to their pages; one to a notebook not in this report becomes text."""
    for link in main.find_all("a", href=re.compile(r"^[^/:?#]+\.ipynb(#|$)")):
        name, mark, place = link["href"].partition("#")
        target = f"{name.removesuffix('.ipynb')}.html"
        if target in page.links:
            link["href"] = target + mark + place
        else:
            link.unwrap()


def _align_numbers(table: object) -> None:
    """Mark the columns that hold only numbers; tables with joined cells stay as they are."""
    lines = [row.find_all(["td", "th"]) for row in table.find_all("tr")]
    if table.find(attrs={"colspan": True}) or table.find(attrs={"rowspan": True}) or len({*map(len, lines)}) != 1:
        return
    for column in zip(*lines, strict=True):
        texts = [cell.get_text().strip() for cell in column if not cell.find_parent("thead")]
        if any(map(_NUMBER.fullmatch, texts)) and all(_NUMBER.fullmatch(t) or t in _NO_NUMBER for t in texts):
            for cell in column:
                cell["class"] = [*cell.get("class", []), "number"]


def _refuse(soup: object) -> None:
    """Raise PageError if anything on the page would run or load, or is an image without alternative text."""
    if found := [*soup.find_all(_LIVE_ELEMENTS), *soup.select("meta[http-equiv]")[1:]]:
        raise PageError(f"an output contains a <{found[0].name}> element: escape text that comes from the data")
    for element in soup.find_all(True):
        for name, value in element.attrs.items():
            text = "".join(str(value).split()).lower()
            if name.lower().startswith("on") or text.startswith(("javascript:", "vbscript:")):
                raise PageError(f"an output contains a script in a <{element.name}> element: escape text from the data")
            loads = name.lower() in {"src", "srcset", "poster", "background"}
            if (loads and not text.startswith("data:")) or (name.lower() == "style" and "url(" in text):
                raise PageError(f"a <{element.name}> element loads {str(value)[:80]!r}: pages must load nothing")
    for style in soup.find_all("style"):
        if re.search(r"@import|url\(\s*['\"]?(?!data:)", style.get_text(), re.IGNORECASE):
            raise PageError("a style sheet loads something from elsewhere: pages must load nothing")
    if unlabelled := [
        i for i in soup.find_all("img") if not str(i.get("alt", "")).strip() or i["alt"].startswith("No desc")
    ]:
        raise PageError(f"{len(unlabelled)} image(s) without alternative text: describe each figure when it is shown")


def _new_caveats(finding: Mapping, said: set[str]) -> dict[str, object]:
    """Return a finding with those of its caveats that are not ``said``, and add them there."""
    caveats = finding.get("caveats") or []
    new = [c for c in ([caveats] if isinstance(caveats, str) else caveats) if c not in said]
    said.update(new)
    return {**finding, "caveats": new}


def _numbers(pages: Iterable[str], figures: Sequence[Mapping]) -> dict[str, list[dict[str, object]]]:
    """Return the figures of each page as text: shares in percent, their differences in points; each stands once."""
    groups, seen = {name: [] for name in pages}, set()
    for f in (f for f in figures if f["notebook"] in groups):
        unit, n = f.get("unit") or "", f.get("n")
        write = numbers.percent if unit.startswith("share") else numbers.number
        write = numbers.points if unit == "share difference" else write
        ends = {k: math.nan if f.get(k) is None else f[k] for k in ("value", "low", "high")}
        shown = {
            "value": write(SimpleNamespace(**ends)),
            "unit": unit.removeprefix("share").removeprefix(" difference").strip(),
            "base": "–" if n is None else f"{n:,.0f} {f.get('base') or ''}".strip(),
        }
        if (f["label"], shown["value"]) not in seen:
            seen.add((f["label"], shown["value"]))
            groups[f["notebook"]].append({**f, **shown})
    return {name: own for name, own in groups.items() if own}


def _files(tables: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the titles of the tables by their files, by the notebook that wrote them."""
    groups: dict[str, dict[str, str]] = {}
    for name in sorted(tables):
        stem, _, rest = name.removesuffix(".csv").partition("--")
        groups.setdefault(stem, {})[f"tables/{name}"] = re.sub("[_-]", " ", rest or stem)
    return groups
