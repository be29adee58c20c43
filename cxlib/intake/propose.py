"""Propose a first company.yaml for a folder of exports: guesses with evidence, and TODO where a person must decide.

A column is guessed from its header (words.yaml, or the recipe of its vendor), and only if its content agrees: dates are
dates, ids are unique or found elsewhere. What is not used is named, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import yaml

from cxlib.errors import InputError, faults
from cxlib.intake import engines, oddities, reading
from cxlib.intake.columns import FIELDS, FILES, KINDS, METRICS, SAID, TODO, WORDS, Column, Score, Words, plain, say
from cxlib.intake.models import FILE
from cxlib.intake.sources import Export as How
from cxlib.intake.tables import CONTRACT, MONEY

CELLS, FILES_READ, TITLES = 8_000_000, 40, 12  # looked at of one export; rows in which its header is looked for
MOST = 20  # columns of customers that are mapped
_FILES = sorted(Path(__file__).parent.glob("recipes/*.yaml"))
RECIPES = [recipe | {"vendor": p.stem} for p in _FILES for recipe in yaml.safe_load(p.read_text("utf-8"))]
Ask = Callable[[str, str, str], str]  # a question, the shape of its answer, and the default: the answer
Tell = Callable[[int, int, str], None]  # files read, files in all, name of the file
fault, _quoted, _TEXT = faults(__file__), reading.identifier, ("text", None)


class Export:
    """Files with the same columns, or a sheet of a workbook. ``how``: as in company.yaml; ``where``: rows to keep.

    ``found``: for each table the origin of its columns; ``table``: the events it looks like; ``question``: the column
    that says what was asked; ``scores``: columns of answers, with a score for each question ("" if there is one).
    """

    def __init__(self, how: dict[str, Any], cells: pa.Table, recipe: dict, labels: dict, where: list[str]) -> None:
        self.how, self.cells, self.recipe, self.where = how, cells, recipe, where
        self.label = ", ".join(str(how[k]) for k in ("file", "sheet") if k in how)
        self.words = plain(re.sub(r"\.\w+(?=,|$)", "", self.label))
        self.alias = re.sub(r"^(?=\d|$|(order|group|case|table|user|end|all)$)", "t_", self.words)
        self.columns = [Column(n, cells[n], labels.get(n, "")) for n in cells.column_names]
        self.found = {table: self._find(table) for table in FIELDS}
        few = [c for c in self.columns if 1 < len(c.count) <= min(40, c.rows / 3) and not c.kinds & {"date", "number"}]
        rank = {c: (SAID["question"].rank(c.words), any(_metric(plain(v)) for v in c.count)) for c in few}
        self.question = max((c for c in few if any(rank[c]) and not _metric(c.asked)), key=rank.get, default=None)
        self.scores = self._scores()
        self.table = self._table()

    def texts(self, column: Column) -> pd.Series:
        """Return the cells of a column, "" where they mean nothing."""
        cells = self.cells[column.name].to_pandas().fillna("").str.strip()
        return cells.where(cells.isin(column.count.keys() - {*(column.read.never if column.read else ())}), "")

    def _find(self, table: str) -> dict[str, Column]:
        found, given = {}, {n: g for n, g in self.recipe.get(table, {}).items() if self._when(g)}
        fields = [(n, (FIELDS[table].get(n, _TEXT)[0], _headers(g))) for n, g in given.items()]
        fields += [f for f in FIELDS[table].items() if not self.recipe or (given and f[0] == "customer_id")]
        for name, (kind, words) in fields:
            free = [c for c in self.columns if kind in c.kinds and c not in found.values()]
            fits = {c: (kind == "when" and bool(c.dates), rank) for c in free if (rank := words.rank(c.words))}
            found |= {name: max(fits, key=fits.get)} if fits and name not in found else {}
        return found

    def _when(self, given: Any) -> bool:
        only = {plain(h): v for h, v in given.get("when", {}).items()} if isinstance(given, dict) else {}
        return all(c.count.keys() <= {only[c.words]} for c in self.columns if c.words in only)

    def _scores(self) -> dict[Column, dict[str, Score]]:
        found, scores = self.found["responses"], {}
        others = [self.question, *(c for c in found.values() if self.recipe)]
        likely = [c for c in self.columns if _metric(c.asked) or SAID["any_score"].rank(c.words)]
        likely = [c for c in likely if c not in others and ("responses" in self.recipe or not self.recipe)]
        for column in [found["score"]] if "score" in found else likely:
            counts = {"": column.count}
            if self.question:
                frame = pd.DataFrame({"q": self.texts(self.question), "a": self.texts(column)})
                counts = {q: g.value_counts().to_dict() for q, g in frame[frame["q"] != ""].groupby("q")["a"]}
            each = {q: s for q, count in counts.items() if (s := Score(count)).holds}
            if not any(_metric(plain(q)) for q in each) and len({s.top for s in each.values()}) == 1:
                each = {"": Score(column.count)}  # one scale: whatever the values say, it is one question
            scores |= {column: each} if each else {}
        return scores

    def _table(self) -> str:
        if self.recipe:
            events = [t for t in FIELDS if t in self.recipe]
            return "" if "customers" in events else events[0]
        named = {t: words.rank(self.words) > 0 for t, words in FILES.items()}
        customers = named["customers"] or {"joined_on", "left_on"} <= self.found["customers"].keys()
        for table, needed in WORDS["needed"].items():
            found = {"revenue" if n == "unit_price" else n for n in self.found[table]}
            telling = len(found & {*needed}) + named[table] >= len(needed)
            if needed[0] in found and telling and (named[table] or not customers):
                return table
        asked = {"asked_at", "answered_at"} & self.found["responses"].keys()
        return "responses" if asked and self.scores and (named["responses"] or not customers) else ""


class Draft:
    """One source of company.yaml in progress. ``columns``: what to write, and why; ``top``: lines above them."""

    def __init__(self, table: str, export: Export) -> None:
        self.table, self.export, self.where, self.joined, self.top = table, export, [*export.where], None, []
        self.select, self.columns, self.used = "", {}, {}

    def put(self, name: str, column: Column, why: str = "", **keys: Any) -> None:
        """Map a column: its origin, the format of its values, and the evidence."""
        more, said = column.written(FIELDS[self.table].get(name, _TEXT)[0])
        given = self.export.recipe.get(self.table, {}).get(name)
        more |= (given if isinstance(given, dict) else {}) | keys | {"column": "", "when": ""}
        parts = {k: c for c in self.export.columns for k in ("times", "minus") if c.name == more.get(k)}
        more |= {"times": "", "minus": ""} | {k: c.name for k, c in parts.items()}
        if more.get("unit") == "cents" and any(n % 1 for n in column.numbers):
            more["unit"] = ""  # cents are whole numbers
        more = {k: v for k, v in more.items() if v}
        said = why if name == "score" else f"{said}; {why}" if why else said
        self.columns[name] = ({"column": column.name, **more} if more else column.name, said)
        self.used |= parts | {name: column}

    def lines(self) -> list[str]:
        """Return the lines of the source in company.yaml."""
        lines = [f"{key}: {_flow(value)}" for key, value in self.export.how.items()]
        if self.where or self.select:
            select = self.select or f"select * from {self.export.alias}"
            rules = [f"{'and' if i else 'where'} {rule}" for i, rule in enumerate(self.where)]
            lines = ["sql: |", *(f"  {line}" for line in (*select.splitlines(), *rules))]
        dated = [c for n, c in self.used.items() if c.read and FIELDS[self.table].get(n, _TEXT)[0] in ("date", "when")]
        if never := sorted({t for c in dated for t in (*c.read.never, *c.read.unread)}):
            kept = sorted({b for c in self.used.values() for b in c.blanks})
            lines.append(f"blank: {_guess(['', *kept, *never], say('never', text=never[-1]))}")
        lines = [f"# recipe: {self.export.recipe['vendor']}", *lines] if self.table in self.export.recipe else lines
        return [*lines, *self.top, "columns:", *(f"  {_flow(n)}: {_guess(v, w)}" for n, (v, w) in self.columns.items())]


class Proposal:
    """The drafts of all tables, from the customers on, and the reasons (``why``) for what is left unused."""

    def __init__(self, exports: list[Export], ask: Ask | None) -> None:
        self.exports, self.ask, self.why, self.drafts, self.metrics = exports, ask, {}, [], {}
        for export in exports:
            self.settle(export)
        self.home = self.customers()
        self.drafts.append(self.home)
        for table in WORDS["needed"]:
            self.events(table)
        for export in exports:
            self.answers(export)

    def todo(self, key: str, default: str = TODO, why: str = "", where: str = "") -> tuple[str, str]:
        """Return the answer of a person to a question of words.yaml, or the default; and the reason for it."""
        question, shape = WORDS["ask"][key]
        answer = self.ask(f"{question} {where}".strip(), shape, default) if self.ask else default
        said = f"{TODO}: {question}" if answer == TODO else why if answer == default else say("answer")
        return int(answer) if answer.isdigit() else answer, said

    def settle(self, export: Export) -> None:
        """Read dates that leave it open with the day or the month first: as all other columns do, or as is answered."""
        sure = {way for c in export.columns for way in c.dates if c.read and way}
        if unsure := [c for c in export.columns if len(c.dates) == 2]:
            way = sure.pop() if len(sure) == 1 else self.todo("day_first", where=export.label)[0][:1]
            for column in unsure:
                column.read = column.dates.get(way)

    def customers(self) -> Draft:
        """Return a row per customer or contract; else the customers whom orders, cases or answers name; else TODO."""
        if fits := {e: fit for e in self.exports if (fit := _customers(e))}:
            draft = Draft("customers", max(fits, key=fits.get))
            self.why |= dict.fromkeys(fits, say("again_customers"))
            found = draft.export.found["customers"]
            for name, column in found.items():
                if name in CONTRACT["customers"] and (name != "tenure" or {"left", "left_on"} & found.keys()):
                    draft.put(name, column)
            if "customer_id" not in found:
                draft.select = f"select *, row_number() over () as customer from {draft.export.alias}"
                draft.columns["customer_id"] = ("customer", say("row"))
            elif "key" not in found["customer_id"].kinds:
                draft.top.append(f"repeats: {_guess('span', say('span'))}")
            if "tenure" in draft.used:
                unit = self.todo("tenure_unit", found["tenure"].unit or TODO, say("header"))
                draft.top.append(f"tenure_unit: {_guess(*unit)}")
            self.attributes(draft)
            return draft
        for table, export in (
            (t, e) for t in ("orders", "contacts", "responses") for e in self.exports if e.table == t
        ):
            found = export.found[table]
            if "customer_id" not in found and "order_id" in found and "key" not in found["order_id"].kinds:
                found["customer_id"] = found.pop("order_id")  # a number that returns is the customer's
            if ids := found.get("customer_id"):
                draft = Draft("customers", export)
                draft.put("customer_id", ids, say("named", table=table))
                draft.select = f"select distinct {_quoted(ids.name)} from {export.alias}"
                draft.where.append(f"{_quoted(ids.name)} <> ''")
                return draft
        draft = Draft("customers", Export({"file": TODO}, pa.table({}), {}, {}, []))
        draft.columns["customer_id"] = (TODO, say("no_customers"))
        return draft

    def attributes(self, draft: Draft) -> None:
        """Map columns to break results down by, but none that tells who left."""
        named = {c: n for n, c in draft.export.found["customers"].items()}
        left = draft.used.get("left_on", draft.used.get("left"))
        gone = draft.export.texts(left).map(lambda t: bool(t) if left.dates else t) if left else None
        for column in draft.export.columns:
            few = 1 < len(column.count) <= min(30, column.rows / 10) and not column.kinds & {"date", "number"}
            name = named.get(column, column.words)
            if name in (*CONTRACT["customers"], "") or column in draft.export.scores or not (few or column in named):
                continue
            each = pd.crosstab(draft.export.texts(column), gone) if left else None
            if SAID["outcome"].rank(column.words) or (left and each.min(axis=1).sum() < each.sum().min() / 4):
                self.why[column] = say("outcome")
            elif column in named or len(draft.columns) < MOST:
                draft.put(name, column, say("segment") if few else "")

    def events(self, table: str) -> None:
        """Add the source of orders, cases, initiatives or exposures: the export that fits best."""
        fits = [e for e in self.exports if e.table and (e.table == table or table in e.recipe)]
        if not fits or (table == "exposures" and not any(d.table == "initiatives" for d in self.drafts)):
            return
        self.why |= dict.fromkeys(fits, say("again", table=table))
        draft = Draft(table, max(fits, key=lambda e: len(e.found[table])))
        self.drafts.append(draft)
        found = {**draft.export.found[table]}
        called = found.pop("customer_id", None)
        if table == "orders":
            self.order(draft, found)
        for name, column in found.items():
            one_of = CONTRACT[table][name].one_of if name in CONTRACT[table] else ()
            codes = {v: _meant(v, one_of) for v in column.count if one_of}
            if "" in codes.values():
                self.why[column] = say("one_of", name=name, known=", ".join(sorted(one_of)))
            else:
                draft.put(name, column, codes=codes if any(v.lower() != code for v, code in codes.items()) else {})
        if table != "initiatives":
            self.customer(draft, called)
        missing = [n for n, rule in CONTRACT[table].items() if rule.required and n not in draft.columns]
        draft.columns |= {n: (TODO, say("missing")) for n in missing}

    def order(self, draft: Draft, found: dict[str, Column]) -> None:
        """Settle the money of an order: its lines, price times quantity, refunds, or a sum in another export."""
        revenue, price, times, back = (found.pop(n, None) for n in ("revenue", "unit_price", "quantity", "refunded"))
        if money := revenue or (price if times else None):
            times = None if revenue else times
            draft.put("revenue", money, **{k: c.name for k, c in (("times", times), ("minus", back)) if c})
            if "order_id" in found and "key" not in found["order_id"].kinds:
                each = draft.export.texts(money).groupby(draft.export.texts(found["order_id"])).nunique()
                if times or each.max() > 1 or money.filled < money.rows:
                    draft.top.append(f"repeats: {_guess('sum', say('lines'))}")
                else:
                    draft.select = f"select distinct on ({_quoted(found['order_id'].name)}) * from {draft.export.alias}"
        else:
            self.join(draft, "revenue", lambda e: [c for n, c in e.found["orders"].items() if n == "revenue"])
        for column in (c for c in draft.export.columns if SAID["currency"].rank(c.words) and len(c.count) > 1):
            draft.put("currency", column, say("currencies", codes=" and ".join(column.count)))

    def customer(self, draft: Draft, called: Column | None) -> bool:
        """Map whose row it is, or TODO, and tell if that is possible: by known ids, never under half a match."""
        ids, home = self.home.used.get("customer_id"), self.home.export

        def known(export: Export) -> list[Column]:
            fits = [c for c in export.columns if "id" in c.kinds and c.among(ids) >= 0.5]
            long = (c for c in fits if len(c.count) >= 20 and min(map(len, c.count)) > 3)  # no flag, no small number
            return [c for c in (ids, called) if c in fits] + sorted(long, key=lambda c: -c.among(ids))

        if home is draft.export and self.home.columns["customer_id"][0] == "customer":  # by number of row
            draft.select, draft.columns["customer_id"] = self.home.select, self.home.columns["customer_id"]
        elif not ids and called:
            draft.put("customer_id", called, f"by {say('header')}")
        elif ids and (fits := known(draft.export)):
            share = say("among", share=100 * fits[0].among(ids), name="its values", where=home.label)
            draft.put("customer_id", fits[0], "" if home is draft.export else share)
            if fits[0].filled < fits[0].rows:
                draft.where.append(f"{_quoted(fits[0].name)} <> ''")
        elif not ids or not self.join(draft, "customer_id", known):
            said = say("no_ids", where=home.label)
            if called:
                form = oddities.id_forms(*(ibis.memtable({"customer_id": [*c.count]}) for c in (called, ids)))
                said = say("among", share=100 * called.among(ids), name=called.name, where=f"{home.label}.{form}")
            draft.columns["customer_id"] = (TODO, f"{TODO}: {said}")
        return bool(draft.columns["customer_id"][0] != TODO or called or not ids)

    def join(self, draft: Draft, name: str, wanted: Callable[[Export], list[Column]]) -> bool:
        """Take a column from another export, over a column that both have: of its one row, or (revenue) as a sum."""
        rank = FIELDS[draft.table][name][1].rank
        fits = [(other, column) for other in self.exports if other is not draft.export for column in wanted(other)]
        for other, column in sorted(fits, key=lambda fit: -rank(fit[1].words)):
            twins = {t.words: t for t in other.columns if t is not column and ("key" in t.kinds or name == "revenue")}
            shares = {k: k.among(twins[k.words]) for k in draft.export.columns if "id" in k.kinds and k.words in twins}
            for key, share in ((k, share) for k, share in shares.items() if share >= 0.5):
                on, cell = _quoted(twins[key.words].name), _quoted(column.name)
                summed = f"(select {on}, sum({cell}::double) as {cell} from {other.alias} group by all)"
                right = summed if name == "revenue" else other.alias
                draft.select = f"select a.*, b.{cell} from {draft.export.alias} a\nleft join {right} b "
                draft.select += f"on b.{on} = a.{_quoted(key.name)}"
                draft.columns[name] = (column.name, say("among", share=100 * share, name=key.name, where=other.label))
                draft.joined = other
                return True
        return False

    def answers(self, export: Export) -> None:
        """Add a source for each column of answers, split by the question; unlike scales are refused."""
        case = next((d.used for d in self.drafts if d.table == "contacts" and d.export is export), {})
        found = {n: c for n, c in export.found["responses"].items() if c not in export.scores}
        found = {n: c for n, c in found.items() if not (c.dates and c in case.values())}
        called = found.pop("customer_id", None)
        found |= {n: c for n, c in case.items() if n == "contact_id"}
        if len(export.scores) > 1 or "contact_id" in found:
            found.pop("response_id", None)
        if "resolved_at" in case and case["resolved_at"].dates:
            found = {"asked_at": case["resolved_at"]} | found
        for column, each in export.scores.items():
            draft = Draft("responses", export)
            for name, other in found.items():
                draft.put(name, other, say("closed") if other is case.get("resolved_at") else "")
            if not self.customer(draft, called):
                self.why[export] = say("nobody", where=self.home.export.label)
                return
            names = {asked: n for asked, score in each.items() if (n := self.named(export, column, asked, score))}
            if not names:
                continue
            self.drafts.append(draft)
            kept = [each[asked] for asked in names]
            if "" in names:
                told = "header" if _metric(column.asked) else "file_name" if _metric(export.words) else "scale"
                draft.columns["metric"] = ({"value": names[""]}, say(told))
                if "touchpoint" not in found and FILES["contacts"].rank(export.words):
                    draft.columns["touchpoint"] = ({"value": "support"}, say("file_name"))
            else:
                draft.put("metric", export.question, codes=names)
                rest = {q: "_".join(w for w in plain(q).split("_") if not _metric(w)) for q in names}
                if all(rest.values()) and "touchpoint" not in found:
                    draft.put("touchpoint", export.question, codes=rest)
                if left := export.question.count.keys() - names.keys():
                    draft.where.append(f"{_quoted(export.question.name)} in ({', '.join(map(reading.literal, names))})")
                    self.why.setdefault(column, say("no_scale", questions=", ".join(sorted(left))))
            rules = Score({t: n for score in kept for t, n in score.count.items()}).rules
            low, high = min(s.low for s in kept), max(s.high for s in kept)
            draft.put("score", column, say("answers", low=low, high=high), **rules)

    def named(self, export: Export, column: Column, asked: str, score: Score) -> str:
        """Return the metric of a question and note its scale; "" if it has none, or another scale than before."""
        name = _metric(plain(asked)) or _metric(column.asked) or ("" if asked else _metric(export.words))
        name = name or ("" if asked else "nps" if score.high > 7 else "csat")
        before = self.metrics.get(name, [score])[0]
        if name and before.top == score.top and (name != "nps" or score.top == 10):
            self.metrics.setdefault(name, []).append(score)
            return name
        scales = {"low": score.low, "high": score.high, "low_before": before.low, "high_before": before.high}
        self.why[column] = say("other_scale" if name else "no_metric", asked=asked, **scales).strip()
        return ""

    def settings(self, name: str, entry: str) -> list[str]:
        """Return everything above the tables of ``sources``."""
        used, ends = {n: c for d in self.drafts for n, c in d.used.items()}, {}
        for draft in self.drafts:
            dated = [draft.used[n] for n in oddities.DATED.get(draft.table, ()) if n in draft.used]
            days = [d for c in dated if c.read for d in c.read.days if d <= date.today()]
            ends |= {draft.export: max(days)} if days else {}
        near = [day for day in ends.values() if 2 * sum(d >= day - timedelta(31) for d in ends.values()) >= len(ends)]
        found = next((n for n in WORDS["contract"] if n in self.home.columns), "")
        shop = not found and any(d.table == "orders" for d in self.drafts)
        said = say("leaves", name=found) if found else say("shop" if shop else "no_orders")
        terms = self.todo("relationship", "noncontractual" if shop else "contractual", said)
        money = Counter(c.currency for n, c in used.items() if n in MONEY and c.currency)
        for column in (c for e in self.exports for c in e.columns if SAID["currency"].rank(c.words)):
            money.update({v.upper(): n for v, n in column.count.items()})
        code, *others = [code for code, _ in money.most_common()] or [TODO]
        paid = any(n in MONEY for d in self.drafts for n in d.columns)
        reasons = used["left_reason"].count if "left_reason" in used else ()
        gone = self.todo("inactive_after_days") if terms[0] == "noncontractual" else ("", "")
        currency = self.todo("currency", code, say("currency")) if paid else ("", "")
        margin = self.todo("gross_margin", "no")[0] if paid else "no"
        block = WORDS["money_block"] | ({} if margin == "no" else {"gross_margin": float(margin)})
        groups = {n: c for n, c in self.home.used.items() if n in self.home.columns and n not in CONTRACT["customers"]}
        selected = [e for d in self.drafts if d.where or d.select for e in (d.export, d.joined) if e]
        lines = {
            "name": (name, ""),
            "as_of": (max(near), say("as_of")) if near else self.todo("as_of"),
            "relationship": terms,
            "inactive_after_days": gone,
            "involuntary_reasons": ([v for v in reasons if SAID["involuntary"].rank(plain(v))], say("involuntary")),
            "currency": currency,
            "exchange_rates": ({c: TODO for c in others}, f"{TODO}: {WORDS['ask']['exchange_rates'][0]}"),
            "# money" if margin == "no" else "money": (block, say("money")),
            **({"metrics": (None, "")} if self.metrics else {}),
            **{f"  {m}": self.scale(m, scores) for m, scores in self.metrics.items()},
            "segments": ([n for n, c in groups.items() if len(c.count) < 13], ""),
            "folder": (entry, ""),
            "exports": ({e.alias: e.how["file"] if len(e.how) == 1 else e.how for e in selected}, ""),
        }
        return [*(f"{k}: {_guess(v, w)}".rstrip() for k, (v, w) in lines.items() if v or v is None), "sources:"]

    def scale(self, name: str, scores: list[Score]) -> tuple[dict[str, Any], str]:
        """Return what to declare of a metric, and why."""
        n, low, high = sum(s.n for s in scores), min(s.low for s in scores), max(s.high for s in scores)
        said, top = f"{n:,} {say('answers', low=low, high=high)}", scores[0].top
        if name == "nps":  # the odd scale from 1 only if there are many answers and none is 0
            return {"scale": [int(low == 1 and n >= 200), 10]}, said
        scale = {"scale": [0 if top == 1 else int(min(low, 1)), top]}
        if name == "ces":
            version, why = self.todo("version")
            return scale | {"version": version}, f"{why}; {said}"
        scale |= {"good": "high", "satisfied_from": WORDS["satisfied_from"][top]}
        return scale, said + (say("boxes") if top > 1 else "")

    def unused(self) -> list[str]:
        """Return a comment for every file and column that is not used, with the reason where it looks needed."""
        lines, joined = [], [d.joined for d in self.drafts]
        for export in (e for e in self.exports if e not in joined):
            drafts = [d for d in self.drafts if d.export is export]
            left = [c for c in export.columns if c.count and not any(c in d.used.values() for d in drafts)]
            told = {c: why for c in left if (why := self.why.get(c) or _looks(c, drafts))}
            names = [c.name for c in left if c not in told or not drafts]
            names = ", ".join(names[:30]) + f" and {len(names) - 30:,} more" * (len(names) > 30)
            why = self.why.get(export, say("no_table"))
            lines += [f"# Not used: {export.label}{f' ({names})' if drafts else f': {why} ({names})'}"] if left else []
            lines += [f"#   {c.name}: {why}" for c, why in [*told.items()][:20] if drafts or c in self.why]
        return lines


def propose(path: str | Path, name: str, *, entry: str = "", ask: Ask | None = None, tell: Tell | None = None) -> str:
    """Return the text of a company.yaml for an export or a folder of them; ``entry`` is the value of its ``folder:``.

    What cannot be guessed is asked with ``ask``, or TODO without it. ``tell`` hears of every file that is read. Errors:
    InputError if there is no readable export.
    """
    path = Path(path).expanduser()
    exports, remarks = _exports(path, tell or (lambda *_: None))
    made = Proposal(exports, ask)
    lines = [say("head"), *made.settings(name, entry or (path.parent if path.is_file() else path).as_posix())]
    for table in FIELDS:
        sources = [d.lines() for d in made.drafts if d.table == table]
        first, other = ("- ", "  ") if len(sources) > 1 else ("", "")
        lines += [f"  {table}:"] if sources else []
        lines += [f"    {other if i else first}{line}" for source in sources for i, line in enumerate(source)]
    lines += [*made.unused(), *(f"# Not read: {remark}" for remark in remarks)]
    return "".join("".join(c if c.isprintable() else " " for c in line) + "\n" for line in lines)


def new_company(name: str, path: str | Path, data_root: str | Path, **how: Any) -> Path:
    """Write data_root/<name>/company.yaml for an export or a folder of them, and return its path; ``how``: see propose.

    An existing file is not overwritten. Errors: InputError for an invalid or existing name, or no readable export.

    Example: ``new_company("acme-uk", "~/exports", "data")``.
    """
    target, path = Path(data_root) / name / FILE, Path(path).expanduser()
    if not re.fullmatch(r"[a-z0-9]+([_-][a-z0-9]+)*", name):
        raise fault("no_name", value=name)
    if target.exists():
        raise fault("exists", file=target)
    entry = path.parent if path.is_file() else path
    with contextlib.suppress(ValueError):  # on another drive
        entry = Path(os.path.relpath(entry, target.parent))
    text = propose(path, name, entry=entry.as_posix(), **how)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def _exports(path: Path, tell: Tell) -> tuple[list[Export], list[str]]:
    """Return the exports in a folder, and what is not read of it."""
    if not path.exists():
        raise fault("no_folder", file=path)
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in reading.READABLE) if path.is_dir() else [path]
    engine, exports, remarks, groups = engines.own(), [], [], {}
    for i, file in enumerate(files, 1):
        tell(i, len(files), file.name)
        kind = file.suffix.lower()
        try:
            sheets = reading.sheets(file) if kind == ".xlsx" else []
            alike = reading.detect(file).columns if kind in reading.TEXT else re.sub(r"\d+", "", file.name)
        except InputError as error:
            remarks.append(str(error))
            continue
        told = [n for n, w in (*FILES.items(), *METRICS.items()) if w.rank(plain(file.stem))]
        for sheet in sheets if len(sheets) > 1 else [""]:
            groups.setdefault((sheet, alike, kind, *told), []).append(file)
    for (sheet, *_), same in groups.items():
        how = {"file": _pattern(same, files)} | ({"sheet": sheet} if sheet else {})
        some = sorted({*same[:: 1 + (len(same) - 1) // FILES_READ], same[-1]})
        try:
            export = _export(engine, some, how)
            ids = export.found["customers"].get("customer_id")
            if len(same) > 1 and not export.table and ids and "key" not in ids.kinds:
                export = _export(engine, same[-1:], how | {"file": same[-1].name})
                remarks.append(say("snapshots", last=same[-1].name))
            elif len(some) < len(same):
                remarks.append(say("sample", left=len(same) - len(some), n=len(same), where=export.label))
            exports.append(export)
        except InputError as error:
            remarks.append(str(error))
    if not exports:
        raise fault("no_export", file=path, endings=", ".join(reading.READABLE), remarks=" ".join(["", *remarks]))
    return exports, remarks


def _pattern(same: list[Path], files: list[Path]) -> str | list[str]:
    """Return how to name files: with a star, if no other file has such a name."""
    names, pattern = [p.name for p in same], re.sub(r"[\d.-]*\d", "*", same[0].stem) + same[0].suffix
    whole = [f.name for f in files if fnmatchcase(f.name, pattern)] == names
    return names[0] if len(names) == 1 else pattern if whole else names


def _load(engine: ibis.BaseBackend, paths: list[Path], how: dict[str, Any]) -> dict[str, Any]:
    """Read files into the table ``export``, from the first row that looks like a header, and return how."""
    for row in range(1, TITLES):
        tried = how | ({"header_row": row} if row > 1 else {})
        try:
            names = reading.load(engine, paths, name="export", how=How(**tried)).columns[:-1]  # without _row
        except InputError as error:
            if "fields" not in error.problem:
                break
            names = ()  # a title is narrower than the rows
        if len(names) > 1 + (row > 1) and 2 * sum(bool(re.fullmatch(r"column_\d+", n)) for n in names) <= len(names):
            return tried
    reading.load(engine, paths, name="export", how=How(**how))
    return how


def _export(engine: ibis.BaseBackend, paths: list[Path], how: dict[str, Any]) -> Export:
    """Read an export, without the rows that its recipe leaves out."""
    how = _load(engine, paths, how)
    first = engine.raw_sql(f"select * exclude {reading.ROW} from export limit 1").to_arrow_table()
    headers, asks = {plain(n): n for n in first.column_names}, any("?" in n for n in first.column_names)
    recipes = [r for r in RECIPES if all(plain(h) in headers or (h == "?" and asks) for h in r["headers"])]
    recipe = max(recipes, key=lambda r: len(r["headers"]), default={})
    rules = {headers.get(plain(h)): rule for h, rule in recipe.get("where", {}).items()}
    where = [f"{_quoted(name)} {rule}" for name, rule in rules.items() if name]
    kept, n = engine.raw_sql(f"select count(*) filter ({' and '.join(where) or True}), count(*) from export").fetchone()
    labels = first.to_pylist()[0] if recipe.get("question_row") else {}
    some = " and ".join([*where, f"{reading.ROW} % {n * first.num_columns // CELLS + 1} = 0"])
    sql = f"select cast(columns(* exclude {reading.ROW}) as varchar) from export where {some}"
    return Export(how, engine.raw_sql(sql).to_arrow_table(), recipe, labels, where if kept < n else [])


def _metric(words: str) -> str:
    return next((m for m, known in METRICS.items() if known.rank(words)), "")


def _headers(given: Any) -> Words:
    given = given["column"] if isinstance(given, dict) else given
    return Words(" ".join(f"={plain(h)}" for h in ([given] if isinstance(given, str) else given)))


def _customers(export: Export) -> tuple:
    """Return how well an export tells who the customers are: () if it does not, else more is better."""
    found = export.found["customers"]
    leaves, span = bool({"left_on", "left"} & found.keys()), {"joined_on", "left_on"} <= found.keys()
    if export.table or "customer_id" not in found:
        return (0,) if leaves and not export.table else ()
    called = FILES["customers"].rank(export.words) > 0
    return (1 + leaves, not span, called, len(found)) if "key" in found["customer_id"].kinds or span else ()


def _meant(text: str, known: tuple[str, ...]) -> str:
    """Return which of the known words a text means, "" if none."""
    meant = (kind for kind, words in KINDS.items() if kind in known and words.rank(plain(text)))
    return text.lower() if text.lower() in known else next(meant, "")


def _looks(column: Column, drafts: list[Draft]) -> str:
    """Return why a column that looks like one we need is not used, "" for any other."""
    score, days = Score(column.count), column.read.days if column.read and not column.style else ()
    amounts = column.style and (SAID["money"].rank(column.words) or any(n % 1 for n in column.numbers))
    answers = (
        say("answers", low=score.low, high=score.high) + "?" if score.holds and score.high == score.top > 4 else ""
    )
    what = f"dates, {min(days)} to {max(days)}" if days else "amounts" if amounts else answers
    rivals = ((d.used[n].name, words) for d in drafts for n, (_, words) in FIELDS[d.table].items() if n in d.used)
    same = next((name for name, words in rivals if words.rank(column.words)), "")
    return what and f"{what}; {say('rival', name=same) if same else say('no_column')}"


def _guess(value: Any, why: str) -> str:
    said = why if not why or why.startswith((TODO, "your")) else f"guess: {why}"
    return ("" if value is None else _flow(value)) + f"  # {said}" * bool(said)


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    whole = str(value).isprintable()
    style = {"default_flow_style": True, "sort_keys": False, "width": 1 << 30, "allow_unicode": whole}
    return yaml.safe_dump([value], **style, default_style=None if whole else '"').strip()[1:-1]
