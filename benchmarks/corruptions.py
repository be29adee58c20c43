"""Corrupt the shortened exports of the demo in some 370 ways: is each refused, told, or without effect?

    python -m benchmarks.corruptions          names what is taken in silence, and counts the others
    python -m benchmarks.corruptions fee      only the cases whose name holds a word, with what was said

A case is *refused* if the company cannot be opened, *told* if a row is set aside or a note appears that the sound
exports do not have, *harmless* if all six tables are as before. Any other is taken in *silence*.
"""

from __future__ import annotations

import copy
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import yaml

from cxlib import paths
from cxlib.errors import InputError
from cxlib.intake.company import Company, open_company

ID = b"Account ID"
EACH = 8  # one customer in so many is kept
SOME = 40  # rows that a fault of several rows changes
Frames = dict[str, pd.DataFrame]
Case = tuple[str, Callable[[Frames], object], Callable[[bytes], bytes], str, Callable[[dict], object]]

COLUMNS = {
    "date": [
        *("accounts/Signup date", "accounts/Cancel date", "surveys/Sent", "surveys/Completed", "tickets/Created"),
        *("tickets/First reply", "tickets/Solved", "invoices/issued_at", "programme_members/From", "programmes/Start"),
    ],
    "number": ["accounts/Monthly fee", "invoices/net_amount", "tickets/Handling cost", "programmes/Set-up cost"],
    "id": ["accounts/Account ID", "surveys/Account ID", "tickets/Account ID", "invoices/account_id"],
    "score": ["surveys/Rating", "support_ratings/Stars"],
    "word": ["accounts/Plan tier", "surveys/Survey", "invoices/type", "programmes/Assignment", "programme_members/Arm"],
}


def days(cells: pd.Series, pattern: str) -> pd.Series:
    """Return dates written another way; empty cells stay empty."""
    read = pd.to_datetime(cells, format="%d/%m/%Y" if cells.str.contains("/").any() else "ISO8601", utc=True)
    return read.dt.strftime(pattern).fillna("")


def numbers(cells: pd.Series, change: Callable[[pd.Series], pd.Series], comma: bool) -> pd.Series:
    """Return amounts changed by a rule and written as before."""
    made = change(pd.to_numeric(cells.str.replace(",", "."), errors="coerce"))
    text = made.map(lambda v: "" if pd.isna(v) else f"{v:.2f}")
    return text.str.replace(".", ",") if comma else text


def one(cells: pd.Series, text: str, rows: int = 1) -> pd.Series:
    """Return the cells with a text in place of the first filled ones."""
    made = cells.copy()
    made.loc[cells[cells != ""].index[:rows]] = text
    return made


def by_kind(kind: str) -> dict[str, Callable[[pd.Series], pd.Series]]:
    """Return the faults of one kind of column: name, and what becomes of the cells."""
    everywhere = {"is empty": lambda s: s.where(s == "", ""), "is padded with spaces": lambda s: "  " + s + " "}
    if kind == "date":
        return everywhere | {
            "has a 30 February": lambda s: one(s, "2025-02-30" if "-" in s.max() else "30/02/2025"),
            "has a word": lambda s: one(s, "soon"),
            "has a system's first day": lambda s: one(s, days(pd.Series(["1970-01-01"]), _like(s))[0], SOME),
            "has days of 2090": lambda s: one(s, days(pd.Series(["2090-01-01"]), _like(s))[0], SOME),
            "has the month first": lambda s: days(s, "%m/%d/%Y"),
            "has years of two digits": lambda s: days(s, "%d.%m.%y"),
            "has months in words": lambda s: days(s, "%d %b %Y"),
            "has seconds since 1970": lambda s: days(s, "%s"),
            "has mixed zones": lambda s: s.where(s.index % 2 == 0, s.str.rstrip("Z") + "+14:00").where(s != "", ""),
        }
    if kind == "number":
        return everywhere | {
            "is negative in some rows": lambda s: one(s, "-5", SOME),
            "is zero": lambda s: s.where(s == "", "0"),
            "has one of 1e15": lambda s: one(s, "1000000000000000"),
            "has one of 1e308": lambda s: one(s, "1e308"),
            "has one a thousandfold": lambda s: one(s, "99000"),
            "has a percent": lambda s: one(s, "12 %"),
            "has a word": lambda s: one(s, "twelve"),
            "has points for commas": lambda s: (
                s.str.replace(",", ".") if s.str.contains(",").any() else s.str.replace(".", ",")
            ),
            "has two currencies": lambda s: s.where(s.index % 2 == 0, "$" + s).where(s != "", ""),
            "has one infinite": lambda s: one(s, "inf"),
        }
    if kind == "id":
        return everywhere | {
            "is in small letters": lambda s: s.str.lower(),
            "is in small letters in some rows": lambda s: one(s, s.iloc[0].lower()),
            "has a sign nobody sees": lambda s: s + "\u200b",
            "has no-break spaces": lambda s: "\u00a0" + s,
            "has lost its letter": lambda s: s.str[1:],
            "has decimals": lambda s: s + ".0",
            "is of one customer in many rows": lambda s: one(s, s.iloc[-1], SOME),
            "names strangers": lambda s: one(s, "X999", SOME),
        }
    if kind == "score":
        return everywhere | {
            "has one above its scale": lambda s: one(s, "55"),
            "has one below its scale": lambda s: one(s, "-3"),
            "has a word": lambda s: one(s, "great"),
            "has quarter points": lambda s: one(s, "3.25"),
            "never reaches the top": lambda s: s.where(~s.isin(["5", "7", "8", "9", "10"]), "4"),
            "never reaches the bottom": lambda s: s.where(~s.isin(["0", "1", "2"]), "3"),
            "has an undeclared code": lambda s: one(s, "99", SOME),
            "is a percentage": lambda s: (pd.to_numeric(s) * 10).map(lambda v: "" if pd.isna(v) else f"{v:g}"),
        }
    return everywhere | {
        "has a typing mistake": lambda s: one(s, s[s != ""].iloc[0] + "x"),
        "is in several spellings": lambda s: s.where(s.index % 2 == 0, s.str.upper()),
        "has a value in every row": lambda s: s + s.index.astype(str),
    }


def _like(cells: pd.Series) -> str:
    return "%d/%m/%Y" if cells.str.contains("/").any() else "%Y-%m-%d"


TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "ends within a cell": lambda b: b.rstrip()[:-3],
    "ends within a row": lambda b: b[: len(b) // 2],
    "has a quote never closed": lambda b: _line(b, 9, lambda r: b'"' + r),
    "has a row too wide": lambda b: _line(b, 9, lambda r: r + b",1;1"),
    "has a row too narrow": lambda b: _line(b, 9, lambda r: r.replace(b";", b",").rpartition(b",")[0][:9]),
    "has its header twice": lambda b: b.partition(b"\n")[0] + b"\n" + b,
    "has a second header inside": lambda b: b + b,
    "has a title above": lambda b: b"Export of July\n" + b,
    "has a closing line": lambda b: b.rstrip() + b"\nTotal 812 rows\n",
    "has a null byte": lambda b: _line(b, 9, lambda r: r[:3] + b"\0" + r[4:]),
    "is a page of the web": lambda b: b"<html><body>Please sign in</body></html>\n",
    "is a zip": lambda b: b"PK\x03\x04" + b,
    "is only its header": lambda b: b.partition(b"\n")[0] + b"\n",
    "is empty": lambda b: b"",
    "has every row twice": lambda b: b + b.partition(b"\n")[2],
    "has two columns of one name": lambda b: _line(b, 0, lambda r: re.sub(b"Sent|Created|Signup date", ID, r)),
    "has a renamed column": lambda b: _line(b, 0, lambda r: r.replace(b"Account ID", b"Client")),
    "is UTF-16": lambda b: b.decode().encode("utf-16"),
    "has a byte-order mark": lambda b: b"\xef\xbb\xbf" + b,
    "has blank lines": lambda b: b.replace(b"\n", b"\n\n"),
    "has the line ends of an old Mac": lambda b: b.replace(b"\r", b"").replace(b"\n", b"\r"),
    "has a cell of 5 MB": lambda b: _line(b, 9, lambda r: b"x" * 5_000_000 + r),
}  # fmt: skip


def _line(text: bytes, place: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = text.split(b"\n")
    return b"\n".join([*lines[:place], change(lines[place]), *lines[place + 1 :]])


def _set(path: str, value: object) -> Callable[[dict], None]:
    def change(settings: dict) -> None:
        *above, last = path.split("/")
        for key in above:
            settings = settings[int(key) if isinstance(settings, list) else key]
        settings[last] = value

    return change


SETTINGS: dict[str, Callable[[dict], object]] = {
    f"settings: {path} is {value!r}"[:90]: _set(path, value)
    for path, value in [
        *[("draws", 1), ("draws", 10**9), ("draws", "many"), ("name", "   "), ("name", ""), ("seed", -1)],
        *[("as_of", "2035-01-01"), ("as_of", "2026-12-31"), ("as_of", "30/06/2026"), ("as_of", "2026-06-31")],
        *[("relationship", "noncontractual"), ("relationship", "friendly"), ("currency", ""), ("segments", ["plam"])],
        *[("segments", ["plan", "left_on"]), ("involuntary_reasons", ["no such reason"]), ("folder", "elsewhere")],
        *[("money/gross_margin", 75), ("money/gross_margin", 0), ("money/discount_rate", 10)],
        *[("money/horizon_months", 24.5), ("money/support_cashable", 60), ("money/effect_kept_a_year", [0.5, 0])],
        *[("metrics/nps/scale", [-100, 100]), ("metrics/nps/scale", [1, 5]), ("metrics/csat/scale", [1, 10])],
        *[("metrics/csat/scale", [5, 1]), ("metrics/csat/good", "up"), ("metrics/ces/version", "3.0")],
        *[("metrics/csat/satisfied_from", 40), ("metrics/nps/composite_weight", ".inf"), ("metrics/nsp", {})],
        *[("privacy/minimum_base", 0), ("privacy/minimum_base", 1), ("privacy/agents", "maybe")],
        *[("sources/orders/encoding", code) for code in ("idna", "rot13", "klingon")],
        *[("sources/orders/file", name) for name in ("x" * 5000, "../orders.csv", "/etc/passwd", "*.nothing")],
        *[("sources/orders/delimiter", ";;"), ("sources/customers/dates", "%m/%d/%Y"), ("sources/tabel", {})],
        *[("sources/customers/dates", "%d/%m"), ("sources/customers/decimal", ".")],
        *[("sources/orders/columns/kind", {})],
        *[("sources/customers/columns/plan", "Account ID"), ("sources/contacts/columns/cost", "Category")],
        *[("sources/responses/0/columns/touchpoint", "Verbatim"), ("sources/responses/0/columns/agent", "Response")],
        *[("sources/responses/0/columns/answered_at", "Rating"), ("sources/responses/0/columns/score", "Response")],
        *[("sources/responses/0/columns/no_such", "Rating x"), ("sources/customers/columns/plan", "Cancel reason")],
    ]
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield name, change of the frames, change of a file's bytes, that file, and change of the settings."""
    nothing = lambda given: given  # noqa: E731
    for kind, columns in COLUMNS.items():
        for place in columns:
            table, column = place.split("/")
            for fault, change in by_kind(kind).items():
                set_cells = lambda f, t=table, c=column, make=change: f.update({t: f[t].assign(**{c: make(f[t][c])})})  # noqa: E731
                yield f"{place} {fault}", set_cells, nothing, "", nothing
    for table, column in (("invoices", "issued_at"), ("surveys", "Sent"), ("tickets", "Created")):
        for day in ("2025-06-30", "2026-03-31"):
            cut = lambda f, t=table, c=column, d=day: f.update({t: f[t][f[t][c] < d]})  # noqa: E731
            yield f"{table} end on {day}", cut, nothing, "", nothing
    yield "tickets/Created and Solved are swapped", _swap, nothing, "", nothing
    yield "programme_members: customers in both arms", _both_arms, nothing, "", nothing
    for table in ("accounts", "surveys", "tickets"):
        for fault, change in TEXTS.items():
            yield f"{table}.csv {fault}", nothing, change, table, nothing
    for name, change in SETTINGS.items():
        yield name, nothing, nothing, "", change


def _swap(frames: Frames) -> None:
    tickets = frames["tickets"]
    frames["tickets"] = tickets.assign(Created=tickets["Solved"], Solved=tickets["Created"])


def _both_arms(frames: Frames) -> None:
    members = frames["programme_members"]
    again = members.head(60).replace({"Arm": {"treated": "control", "control": "treated"}})
    frames["programme_members"] = pd.concat([members, again])


def sound() -> tuple[Frames, dict]:
    """Return the shortened exports of the demo as frames of text, and its settings."""
    folder = paths.data() / "demo"
    frames = {
        f.stem: pd.read_csv(f, dtype=str, keep_default_na=False, sep=None, engine="python")
        for f in folder.glob("*.csv")
    }
    frames["invoices"] = pd.read_parquet(folder / "invoices.parquet").astype(str)
    kept = set(frames["accounts"]["Account ID"][::EACH])
    for name, frame in frames.items():
        column = next((c for c in frame if c.lower().replace(" ", "_") == "account_id"), None)
        frames[name] = (frame[frame[column].isin(kept)] if column else frame).reset_index(drop=True)
    settings = yaml.safe_load((folder / "company.yaml").read_text())
    settings["sources"]["orders"]["file"] = "invoices.csv"
    return frames, settings


def opened(frames: Frames, settings: dict, table: str = "", change: Callable[[bytes], bytes] = bytes) -> Company:
    """Write the exports to a folder of their own, with one file changed, and open them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in frames.items():
            text = frame.to_csv(index=False, sep=";" if name == "accounts" else ",").encode()
            (Path(folder) / f"{name}.csv").write_bytes(change(text) if name == table else text)
        (Path(folder) / "company.yaml").write_text(yaml.safe_dump(settings))
        return open_company(folder)


def said(company: Company) -> set[str]:
    """Return all that is told of a company beside its figures."""
    notes = {f"{line.check}: {line.detail}" for line in company.notes.itertuples()}
    aside = {f"{line.table}: {line.reason}, {line.rows} rows" for line in company.set_aside.itertuples()}
    return notes | aside | {f"stale: {line.table}" for line in company.ends.itertuples() if line.stale}


def content(company: Company) -> dict[str, object]:
    """Return the rows of all tables in an order of their own, and the settings that change figures."""
    rows = {t: company.frame(t) for t in company.settings.sources.model_fields_set}
    return {t: sorted(map(str, f.to_dict("records"))) for t, f in rows.items()} | {"settings": _meaning(company)}


def _meaning(company: Company) -> dict:
    return company.settings.model_dump(exclude={"sources", "name", "folder"})


def main(words: list[str]) -> None:
    """Run the cases, print what is taken in silence, and count the others."""
    frames, settings = sound()
    before = opened(frames, settings)
    known, same, counts = said(before), content(before), dict.fromkeys(("refused", "told", "harmless", "silent"), 0)
    for name, cells, text, table, keys in cases():
        if not all(word in name for word in words):
            continue
        these, its = {n: f.copy() for n, f in frames.items()}, copy.deepcopy(settings)
        cells(these)
        keys(its)
        try:
            company = opened(these, its, table, text)
            new = sorted(said(company) - known)
            result = "told" if new else "harmless" if content(company) == same else "silent"
        except InputError as error:
            result, new = "refused", [str(error)]
        except Exception as error:  # a fault of ours: named like one taken in silence
            result, new = "silent", [f"{type(error).__name__}: {error}"]
        counts[result] += 1
        if words or result == "silent":
            print(f"{result:9}{name}  {' | '.join(new)[:300]}", flush=True)
    print(", ".join(f"{n} {result}" for result, n in counts.items()), f"of {sum(counts.values())}")


if __name__ == "__main__":
    main(sys.argv[1:])
