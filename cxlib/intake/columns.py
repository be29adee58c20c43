"""A column of an unknown export: what its header says, and what its content can be."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from cxlib.intake.models import BLANK
from cxlib.intake.values import NO, YES

TODO = "TODO"
WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
_CODES = WORDS["currencies"].replace(" ", "|")
_MONEY = re.compile(rf"(?<![A-Z])({_CODES})(?![A-Z])|([€£$¥₹])")
_FEW, _FAR = 3, date.today().year + 20  # texts in a column of dates that are none, as "unknown"; a year nobody means
_WAYS = {"d": WORDS["days"] + WORDS["day_first"], "m": WORDS["days"] + WORDS["month_first"]}
_CLOCKS = {name: (re.compile(shape), *units) for name, (shape, *units) in WORDS["clocks"].items()}
_ZONE = r" ?[A-Z]{0,5} ?([+-]\d{1,2}(:?\d{2})?)?( ?\([^)]*\))?"
_STAMP = re.compile(rf"(.{{4,}}?\d{{2}})(?:(,? |T)(\d{{1,2}}:\d\d(?::\d\d(?:[.,]\d+)?)?)( ?[AaPp][Mm])?{_ZONE})?")
_DEFAULT = re.compile(rf"\d{{4}}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?{_ZONE})?")  # needs no pattern
_NUMBERS = {(point, mark): re.compile(shape) for point, mark, shape in WORDS["numbers"]}
_AROUND = re.compile(rf"^\(|\)$|[-−]$|^([-−]?[A-Za-z]{{0,3}}[€£$¥₹]|{_CODES})\s?|\s?({_CODES}|[€£$¥₹])$")
_LABEL = re.compile(r"\D*?(\d{1,2}(?:[.,]\d+)?)\D*|(\d{1,2}(?:[.,]5)?) ?(?:/|out of|of|von|sur|de) ?\d+")
_CODE = re.compile(r"(-\d+|77|88|9[789]|777|888|99[789]|9999)([.,]0+)?")  # "no answer" as a number


def say(what: str, **facts: object) -> str:
    """Return a reason of words.yaml, with its facts."""
    return WORDS["why"][what].format(**facts)


class Words:
    """Words by language, in the notation of words.yaml."""

    def __init__(self, *lists: str) -> None:
        best_first = [word for _, word in sorted((i, word) for text in lists for i, word in enumerate(text.split()))]
        self._known = re.compile("|".join(_shape(w) for w in best_first if w[0] != "!"))
        self._parts = re.compile("|".join(w.strip("=*").replace("_", "") for w in best_first))  # quick where none is
        self._never = re.compile("|".join(_shape(w[1:]) for w in best_first if w[0] == "!") or r"\b\B")

    def rank(self, header: str) -> int:
        """Return how well a plain header fits: 0 not at all, more for earlier words and for whole headers."""
        likely = self._parts.search(header.replace("_", "")) and not self._never.match(header)
        found = self._known.match(header) if likely else None
        return 1000 - 2 * found.lastindex + (found.span(found.lastindex) == (0, len(header))) if found else 0


def _shape(word: str) -> str:
    bare = word.strip("=*").replace("_", "_?")
    return f"({bare})$" if word[0] == "=" else f".*?({bare})" if word[-1] == "*" else f".*?(?<![^_])({bare})(?![^_])"


FIELDS = {  # table: column: (kind, words)
    table: {name: (how["is"], Words(*(how[k] for k in how if k != "is"))) for name, how in fields.items()}
    for table, fields in WORDS["tables"].items()
}
SAID = {key: Words(text) for key, text in WORDS.items() if isinstance(text, str)}
METRICS, FILES, KINDS = ({k: Words(t) for k, t in WORDS[key].items()} for key in ("metrics", "files", "kinds"))
_YES, _NO, _NO_ANSWER, _NOT_ASKED = ({*WORDS[key].split()} for key in ("yes", "no", "no_answer", "not_asked"))
_SCALES = [  # points of words: 1, 2, 3 ...; 0 and 1 if there are two
    {word: point for point, same in enumerate(scale, len(scale) > 2) for word in same.split("|")}
    for scale in (re.split(r",\s*", text) for text in WORDS["scales"])
]


class Dates:
    """Texts as dates, with the day first (d) or the month first (m); and the texts that are none."""

    def __init__(self, count: dict[str, int], way: str) -> None:
        self.days: Counter[date] = Counter()
        self.forms: Counter[str] = Counter()  # rows for each pattern; "" is the default
        self.never, self.unread = [], Counter()  # 2099-12-31 and the like, where no date is meant; and other texts
        for text, n in count.items():
            day, form = _stamp(text, way)
            if day is None:
                self.unread[text] = n
                if len(self.unread) > _FEW:
                    return
            elif day.year > _FAR or day in (date(1900, 1, 1), date(1970, 1, 1)):
                self.never.append(text)
            else:
                self.days[day] += n
                self.forms[form] += n


class Column:
    """A column of an export. ``count``: rows for each text; ``kinds``: what these can be, in the words of words.yaml.

    ``words``: its header, plain; ``asked``: with the question below it. ``dates``: the ways to read its dates, two
    if day and month can be exchanged; ``read``: the right one, once it is known.
    """

    def __init__(self, name: str, cells: pa.ChunkedArray, label: str = "") -> None:
        self.name, self.words, self.asked, self.rows = name, plain(name), plain(f"{name} {label}"), len(cells)
        counted = pc.value_counts(pc.utf8_trim_whitespace(cells))
        every = dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
        self.count = {v: n for v, n in every.items() if v is not None and v not in BLANK}
        self.blanks, first = [v for v in every if v and v in BLANK], next(iter(self.count), "")
        self.filled, self.unique = sum(self.count.values()), len(self.count) / max(self.rows, 1)
        styles = (k for k, s in _NUMBERS.items() if all(s.fullmatch(v) or s.fullmatch(_bare(v)) for v in self.count))
        self.style = next(styles, None) if re.search(r"\d", first) else None
        self.numbers = [_number(v, self.style[0]) for v in self.count] if self.style else []
        tried = {"d": Dates(self.count, "d")}
        if tried["d"].unread or any(f.startswith("%d") for f in tried["d"].forms):
            tried["m"] = Dates(self.count, "m")
        fits = {w: d for w, d in tried.items() if d.forms and len(d.unread) <= _FEW}
        least = min((d.unread.total() for d in fits.values()), default=self.filled)
        self.dates = {w: d for w, d in fits.items() if d.unread.total() == least <= self.filled / 10}
        if "d" in self.dates and ("m" not in tried or self.dates.get("m", Dates({}, "")).days == fits["d"].days):
            self.dates = {"": fits["d"]}
        self.read = next(iter(self.dates.values())) if len(self.dates) == 1 else None
        lasting = first and all(re.fullmatch(r"\d+:\d\d:\d\d", v) for v in self.count)
        unit = (u for u in ("minutes", "hours", "days", "months", "years") if f"_{u[:3]}" in f"_{self.words}")
        self.unit = "hh:mm:ss" if lasting else next(unit, None)
        money = _MONEY.search(f"{self.words.upper()} {name} {first}")
        self.currency = money and (money[1] or WORDS["signs"][money[2]])
        stamps = any(f not in _CLOCKS for d in self.dates.values() for f in d.forms)
        content = {
            "text": True,
            "id": not stamps and all(n % 1 == 0 for n in self.numbers),
            "key": not stamps and self.unique > 0.95,
            "date": self.dates,
            "when": self.dates or lasting or (self.style and self.unit),
            "number": self.style,
            "flag": len(self.count) < 7 and {v.lower() for v in self.count} <= _YES | _NO,
        }
        self.kinds = {kind for kind, holds in content.items() if holds and self.count}

    def written(self, kind: str) -> tuple[dict[str, Any], str]:
        """Return how company.yaml must describe the values (nothing for the default), and the evidence."""
        if kind in ("date", "when") and self.read:
            forms = {f or "%Y-%m-%d": n for f, n in self.read.forms.items()}
            said = say("dates", first=min(self.read.days), last=max(self.read.days))
            said += f" ({', '.join(f'{n:,} {f}' for f, n in forms.items())})" if len(forms) > 1 else ""
            said += say("one_order") if self.dates.keys() in ({"d"}, {"m"}) else ""
            more = sorted(forms, key=lambda f: ("%y" not in f, f))  # DuckDB's %Y would read the year 24
            return ({} if set(self.read.forms) == {""} else {"dates": more if len(more) > 1 else more[0]}), said
        if kind in ("date", "when") and self.dates:
            two = " or ".join(max(d.forms, key=d.forms.get) for d in self.dates.values())
            return {"dates": TODO}, say("two_orders", forms=two)
        if kind in ("number", "when"):
            more = {"after": "opened_at", "unit": self.unit} if kind == "when" else {}
            if not self.style:
                return more, say("durations")
            marked = [v for v in self.count if "," in v or "." in v]
            doubt = marked and all(re.fullmatch(r"-?\d{1,3}([.,]\d{3})+", v) for v in marked)
            said = say("numbers", low=min(self.numbers), high=max(self.numbers)) + (say("thousands") if doubt else "")
            marks = {"decimal": self.style[0].strip("."), "thousands": self.style[1]}
            return {k: v for k, v in marks.items() if v} | more, said
        if kind == "flag":
            codes = {v: "yes" if v.lower() in _YES else "no" for v in self.count if v.lower() not in YES + NO}
            codes |= {"": "no"} if self.filled < self.rows else {}
            return ({"codes": codes} if codes else {}), say("flags_or_blank" if "" in codes else "flags")
        said = "key" if "key" in self.kinds and kind != "text" else "many" if len(self.count) > 1 else "one"
        return {}, say(said, share=100 * self.unique, n=len(self.count))

    def among(self, other: Column) -> float:
        """Return the share of the different values that are in another column."""
        return len(self.count.keys() & other.count.keys()) / max(len(self.count), 1)


class Score:
    """Texts as answers on a scale: their ``points``, and the ``rules`` that company.yaml needs for some of them."""

    def __init__(self, count: dict[str, int]) -> None:
        self.count = count
        texts = {t: plain(t) for t in count if t not in BLANK} if len(count) <= 60 else {}
        none = [t for t, p in texts.items() if p in _NO_ANSWER or _CODE.fullmatch(t)]
        unasked = [t for t, p in texts.items() if p in _NOT_ASKED]
        left = [t for t in texts if t not in none + unasked]
        labels = [t for t in left if not re.search(r"[\d★⭐]", t)]
        scale = next((s for s in _SCALES if all(texts[t] in s for t in labels)), {})
        codes = {t: scale.get(texts[t], TODO) for t in labels}
        read = {t: p for t in left if t not in labels and (p := _points(t)) is not None}
        points = {t: p for t, p in (read | codes).items() if p != TODO}
        self.high = max(points.values(), default=0)
        named = max(scale.values(), default=0) if labels and not read else self.high
        self.top = next((t for t in (1, 5, 7, 10) if named <= t), 0)
        none += [t for t, p in points.items() if p == 0 and self.top in (5, 7)]  # on a scale from 1
        points = {t: p for t, p in points.items() if t not in none}
        self.low, self.n = min(points.values(), default=0), sum(count[t] for t in points)
        self.rules = {"codes": codes, "no_answer": none, "not_asked": unasked}
        whole = all(2 * p % 1 == 0 for p in points.values())  # half stars are answers, averages are none
        doubtful = len(none) > 5 or len(labels) > 7 or len(read | codes) < len(left)
        self.holds = len(points) > 1 and whole and self.low >= 0 and self.top > 0 and not doubtful


def _points(text: str) -> float | None:
    found = _LABEL.fullmatch(text)
    return len(re.findall("[★⭐]", text)) or (float((found[1] or found[2]).replace(",", ".")) if found else None)


def _bare(text: str) -> str:
    return _AROUND.sub("", _AROUND.sub("", text))


def _number(text: str, point: str) -> float:
    if re.fullmatch(r"-?\d+(\.\d+)?", text) and point == ".":
        return float(text)
    number = float(re.sub(rf"[^\dEe{point}+-]", "", _bare(text)).replace(point, "."))
    return -abs(number) if re.search(r"^\(|[-−]$|^[-−]", text) else number


def _stamp(text: str, way: str) -> tuple[date | None, str]:
    """Return the day of a date, and the pattern that reads it; None if it is no date."""
    found = _STAMP.fullmatch(text)
    day, pattern = _day(found[1], way) if found else (None, "")
    for clock, (shape, start, units) in _CLOCKS.items() if day is None else ():
        if shape.fullmatch(text):
            return start + timedelta(int(float(text) / units)), clock
    if day is None or _DEFAULT.fullmatch(text):
        return day, ""
    lead, time, half = found.groups()[1:4]
    form = f"{lead}{'%I' if half else '%H'}:%M{':%S' * (time.count(':') > 1)}{'.%f' * ('.' in time)}" if time else ""
    return day, pattern + form + (f"{half[:-2]}%p" if half else "")


@lru_cache(100_000)
def _day(text: str, way: str) -> tuple[date | None, str]:
    for pattern in _WAYS[way]:
        try:
            day = datetime.strptime(text, pattern).date()
        except ValueError:
            continue
        return (day if 1900 <= day.year <= 2200 else None), pattern
    return None, ""


def plain(text: str) -> str:
    """Return a text in lower case, without accents, its words (also in CamelCase) joined by _."""
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        text = text.replace(umlaut, letters).replace(umlaut.upper(), letters.title())
    text = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text))
    return re.sub(r"[^a-z0-9]+", "_", text.encode("ascii", "ignore").decode().lower()).strip("_")
