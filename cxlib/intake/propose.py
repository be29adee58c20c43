"""Propose a first company.yaml for a folder of exports: guesses with evidence, and TODO where a person must decide.

A column is guessed from its header, and only if its content agrees: dates are dates, ids are unique or found elsewhere.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import yaml

from cxlib.errors import InputError
from cxlib.intake import reading
from cxlib.intake.models import BLANK, FILE
from cxlib.intake.values import NO, YES

_read = partial(pd.to_datetime, errors="coerce")
SAMPLE = 50_000  # rows read per export
TODO = "TODO"

# table.field, kind of value, header words, best first. "=word": only the whole header; "word*": any part of it.
WORDS = """
customers.customer_id id customer_id customer_number account_id account_number client_id user_id member_id company_id
    kundennummer kundennr kunden_id id_client numero_client code_client id_cliente cliente_id numero_cliente record_id
    requester_id contact_id organization_id external_data_reference external_reference =customer =client =kunde
    =cliente =account =id
customers.joined_on date joined signup* sign_up regist* customer_since member_since became_a_customer contract_start
    start_date kunde_seit eintritt* vertragsbeginn anmelde* client_depuis inscription adhesion cliente_desde alta
    cadastro created create_date
customers.left_on date left_on churn* cancel* terminat* kuendig* gekuendigt* austritt* resiliation baja saida
    =end_date
customers.left_reason text left_reason churn_reason cancel_reason cancellation_reason reason_code kuendigungsgrund
    motif motivo
customers.left flag left churn churned attrition exited gekuendigt resilie =cancelled
customers.monthly_revenue number monthly_revenue mrr monthly_charges monthly_fee monthly_amount monatsumsatz
    monatsbeitrag
customers.contract_ends_on date contract_ends contract_end renewal_date vertragsende fin_contrat fin_contrato
responses.response_id key response_id review_id answer_id feedback_id antwort_id ticket_id =id
responses.asked_at date asked sent_at sent invit* review_creation_date start_date versendet gesendet* befragt* envoi
    envio
responses.answered_at date answered respon* complet* recorded_date review_answer_timestamp submitted_at survey_date
    end_date beantwortet* antwort* date_reponse respuesta resposta horodateur =timestamp =date =datum =fecha =data
responses.comment text comment_message comment* feedback_text verbatim explication kommentar* comentario* =feedback
orders.order_id key order_id order_number order_no invoice_id invoice_number payment_id transaction_id purchase_id
    bestellnummer rechnungsnummer auftragsnummer numero_commande id_commande numero_facture numero_pedido id_pedido
    =order =pedido =id
orders.ordered_at date ordered* order_date order_purchase* purchase* invoice_date payment_date paid_at
    transaction_date bestelldatum rechnungsdatum date_commande date_facture achat pedido compra created_at =date
    =datum =fecha =data
orders.revenue number revenue order_total total_amount total_price order_value payment_value net_amount amount umsatz*
    betrag* rechnungsbetrag summe montant chiffre_affaires importe monto valor receita =total =price =sales
contacts.contact_id key ticket_id case_number case_id ticket_number contact_id vorgangsnummer ticketnummer =ticket =id
contacts.opened_at date opened submitted_at created_at created_date create_date created erstellt* ouverture apertura
    abertura
contacts.first_response_at when first_response first_reply erste_antwort premiere_reponse primera_respuesta
contacts.resolved_at when resolved solved closed close_date geloest* geschlossen* resolu_le fermeture cierre
    resolution_time
contacts.topic text topic subject category case_reason =reason =thema =betreff =sujet =asunto =assunto =type
initiatives.initiative_id key initiative_id
initiatives.name text name
initiatives.started_on date started_on
exposures.initiative_id id initiative_id
exposures.exposed_on date exposed_on
"""
OWN = {"number": "weight tenure margin cost cost_upfront cost_per_month", "text": "touchpoint channel agent kind arm"}
FIELDS: dict[str, dict[str, tuple[str, str]]] = {}
for _row in re.sub(r"\n +", " ", WORDS).strip().splitlines():
    _table, _name, _kind, _words = re.fullmatch(r"(\w+)\.(\w+) (\w+) (.*)", _row).groups()
    FIELDS.setdefault(_table, {k: (kind, f"={k}") for kind, names in OWN.items() for k in names.split()})[_name] = (
        _kind,
        _words,
    )
NEEDED = {  # columns that identify a table; a word of FILES in the file name replaces one of them
    "contacts": ("contact_id", "opened_at", "resolved_at"),
    "orders": ("order_id", "ordered_at", "revenue"),
    "initiatives": ("initiative_id", "name", "started_on"),
    "exposures": ("initiative_id", "exposed_on"),
}
FILES = {
    "customers": "customer* account* client* kunde* compte* contact* compan* subscriber* member* crm",
    "orders": "order* invoice* payment* purchase* transaction* sales "
    "bestell* rechnung* commande* facture* pedido* vend*",
    "contacts": "ticket* case* support* helpdesk* zendesk* anfrage*",
}
METRICS = {
    "nps": "nps net_promoter recommend* recommand* weiterempf* recomend* ltr",
    "psat": "psat product_satisfaction",
    "csat": "csat satisf* zufrieden* review_score rating stars bewertung valoracion avaliacao",
    "ces": "ces effort* aufwand* esfuerzo* esforco*",
}
ANY_SCORE = "=score =answer =value =note =punkte =points"
NO_ANSWER = r"-\d+|77|88|9[789]|777|888|99[789]|9999"
GOOD_BAD = {"good": 1, "bad": 0}  # ratings of a helpdesk
YES_WORDS, NO_WORDS = {*YES, "ja", "oui", "si", "sí", "sim"}, {*NO, "nein", "non", "não"}
CONTRACT = ("left_on", "left", "contract_ends_on", "monthly_revenue", "tenure")
ISO = "%Y-%m-%d"
DATES = [ISO, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y%m%d", "%d.%m.%y"]
DATES += ["%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"]
TIMES = ["", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p"]
NUMBERS = {  # (decimal, thousands): pattern of a number
    (".", None): r"-?\d+(\.\d+)?",
    (".", ","): r"-?\d{1,3}(,\d{3})*(\.\d+)?",
    (",", None): r"-?\d+(,\d+)?",
    (",", "."): r"-?\d{1,3}(\.\d{3})*(,\d+)?",
    (",", " "): r"-?\d{1,3}( \d{3})*(,\d+)?",
}


class Column:
    """A column of an export and what its content can be; ``days``: the patterns that read every day in it."""

    def __init__(self, name: str, texts: pd.Series) -> None:
        self.name, self.words, self.rows = name, _plain(name), len(texts)
        self.texts = texts[~texts.isin(BLANK)]
        different = self.texts.drop_duplicates()
        self.values, self.unique = set(different), len(different) / max(self.rows, 1)
        self.unit = next((u for u in ("minutes", "hours", "days") if u[:-1] in self.words), None)
        days = different.str.extract(r"^(.*?\d)(?:[T ]\d{1,2}:\d\d.*)?$")[0].fillna("").drop_duplicates()
        digits = days.str.fullmatch(r"\d+").any()  # 20260131 is a date, 2026 and 101 are not
        tried = [
            p for p in DATES if self.values and digits == (p == "%Y%m%d") and _read(days[:20], format=p).notna().all()
        ]
        self.days = [p for p in tried if _read(days, format=p).dt.year.between(1900, 2200).all()]
        read = _read(days, format=self.days[0]) if self.days else None
        self.span = (f"{read.min():{ISO}}", f"{read.max():{ISO}}") if self.days else ("", "")
        self.style = next((k for k, v in NUMBERS.items() if self.values and different.str.fullmatch(v).all()), None)
        if self.style:
            bare = different.str.replace(self.style[1] or "\0", "", regex=False)
            self.numbers = bare.str.replace(self.style[0], ".", regex=False).astype(float)
        content = {
            "text": True,
            "id": not self.days and not (self.style and (self.numbers % 1).any()),
            "key": not self.days and self.unique > 0.99,
            "date": self.days,
            "when": self.days or (self.style and self.unit),
            "number": self.style,
            "flag": len(self.values) <= 6 and {v.lower() for v in self.values} <= YES_WORDS | NO_WORDS,
        }
        self.kinds = {kind for kind, holds in content.items() if holds and self.values}

    def written(self, kind: str) -> tuple[dict[str, Any], str]:
        """Return how company.yaml must describe the values (nothing for the default), and the evidence."""
        if kind in ("date", "when") and self.days:
            if len(self.days) > 1:  # day and month can be exchanged
                return {"dates": TODO}, f"{TODO}: {' and '.join(self.days)} both read every value"
            left, patterns = pd.Series(list(self.values), dtype=object), []
            for time in TIMES:
                read = _read(left, format=self.days[0] + time).notna()
                patterns, left = patterns + [self.days[0] + time] * bool(read.any()), left[~read]
            said = f"all values are dates, {' to '.join(self.span)}"
            more = {} if self.days[0] == ISO else {"dates": patterns if len(patterns) > 1 else patterns[0]}
            return more, said + "; no other order reads them all" * bool(more)
        if kind in ("number", "when"):
            more = {"decimal": self.style[0].strip("."), "thousands": self.style[1]}
            more |= {"after": "opened_at", "unit": self.unit} if kind == "when" else {}
            said = f"all values are numbers, {self.numbers.min():g} to {self.numbers.max():g}"
            marked = [v for v in self.values if "," in v or "." in v]
            if marked and all(re.fullmatch(r"-?\d{1,3}([.,]\d{3})+", v) for v in marked):
                said += "; three digits after every mark: thousands or decimals?"
            return {k: v for k, v in more.items() if v}, said
        if kind == "flag":
            codes = {v: "yes" if v.lower() in YES_WORDS else "no" for v in self.values if v.lower() not in YES + NO}
            return ({"codes": codes} if codes else {}), "all values are yes or no"
        unique = f"{100 * self.unique:.0f} % of values are unique"
        return {}, f"different values: {len(self.values)}" if kind == "text" else unique

    def among(self, other: Column) -> float:
        """Return the share of the different values that are in another column."""
        return len(self.values & other.values) / max(len(self.values), 1)


@dataclass(eq=False)
class Export:
    """One file, or one sheet of a workbook; ``top``: lines of company.yaml that follow from the file alone."""

    path: Path
    sheet: str | None
    words: str
    columns: list[Column]
    top: list[str]

    def find(self, table: str, taken: list[Column] | tuple = ()) -> dict[str, Column]:
        """Return the best column for each contract column of a table: by header, if the content agrees."""
        found: dict[str, Column] = {}
        for name, (kind, words) in FIELDS[table].items():
            fits = [c for c in self.columns if c not in (*taken, *found.values()) and kind in c.kinds]
            if fits := [(kind == "when" and bool(c.days), m, c) for c in fits if (m := _match(c.words, words))]:
                found[name] = max(fits, key=lambda fit: fit[:2])[2]
        return found


@dataclass(eq=False)
class Draft:
    """One source of company.yaml in progress; its values are lines that end in their evidence."""

    table: str
    export: Export
    columns: dict[str, str] = field(default_factory=dict)
    joins: dict[str, str] = field(default_factory=dict)
    used: list[Column] = field(default_factory=list)
    latest: list[str] = field(default_factory=list)

    def put(self, name: str, column: Column, why: str = "", via: Export | None = None) -> None:
        """Map a contract column: its origin, the format of its values, and the evidence."""
        kind = "id" if name == "customer_id" else FIELDS[self.table].get(name, ("text", ""))[0]
        more, said = column.written(kind)
        if name not in ("contract_ends_on", "started_on") and len(column.days) == 1:
            self.latest.append(column.span[1])
        where = f"{via.words}.{column.name}" if via else column.name
        self.columns[name] = _guess({"column": where, **more} if more else where, f"{said}; {why}" if why else said)
        self.used += [] if via else [column]

    def join(self, other: Export, key: Column, twin: Column, column: Column) -> None:
        """Take a column from another export: from the only row of a key, or as a sum."""
        value = {"file": other.path.name, "sheet": other.sheet, "as": other.words}
        value |= {"on": key.name if key.name == twin.name else {key.name: twin.name}, "pick": "one"}
        if "key" not in twin.kinds:
            value |= {"pick": "sum", **column.written("number")[0]}
        found = f"{100 * key.among(twin):.0f} % of {key.name} are there"
        self.joins[other.words] = _guess({k: v for k, v in value.items() if v}, found)

    def lines(self) -> list[str]:
        """Return the lines of the source in company.yaml."""
        left = ", ".join(c.name for c in self.export.columns if c not in self.used)
        several = self.table == "customers" and self.used and "key" not in self.used[0].kinds
        return [
            f"file: {_flow(self.export.path.name)}",
            *self.export.top,
            *(["join:", *(f"  - {line}" for line in self.joins.values())] if self.joins else []),
            *(["one_row_per: customer_id  # guess: one customer has several rows"] if several else []),
            *([f"tenure_unit: {TODO}  # {TODO}: days, months or years"] if "tenure" in self.columns else []),
            "columns:",
            *(f"  {_flow(name)}: {line}" for name, line in self.columns.items()),
            *([f"# not used: {left}"] if left else []),
        ]


def propose(folder: str | Path, company_name: str, *, entry: str | None = None) -> str:
    """Return the text of a company.yaml for the exports in a folder; ``entry`` is the value of its ``folder:``.

    What cannot be guessed is TODO. Errors: InputError if the folder has no readable export.
    """
    folder = Path(folder).expanduser()
    exports, remarks = _exports(folder)
    drafts = [_customers(exports)]
    for table, needed in NEEDED.items():
        fits = []
        for export in exports:
            found = export.find(table)
            telling = sum(name in found for name in needed) + bool(_match(export.words, FILES.get(table, "=")))
            free = all(d.export is not export or "key" not in d.used[0].kinds for d in drafts if d.used)
            if free and needed[0] in found and telling >= len(needed):
                fits.append((telling, len(found), export, found))
        if fits:
            *_, export, found = max(fits, key=lambda fit: fit[:2])
            drafts.append(_events(Draft(table, export), found, exports, drafts[0]))
    answers = [answer for export in exports for answer in _answers(export, exports, drafts)]
    answers = [answer for answer in answers if TODO not in answer[0].columns["customer_id"]] or answers
    drafts += [draft for draft, *_ in answers]
    lines = _settings(company_name, entry or folder.as_posix(), drafts, answers)
    for table in FIELDS:
        sources = [d.lines() for d in drafts if d.table == table]
        first, other = ("- ", "  ") if len(sources) > 1 else ("", "")
        lines += [f"  {table}:"] if sources else []
        lines += [f"    {other if i else first}{line}" for source in sources for i, line in enumerate(source)]
    unused = [e for e in exports if not any(d.export is e or e.words in d.joins for d in drafts)]
    remarks += [f"not used: {e.path.name} ({', '.join(c.name for c in e.columns)})" for e in unused]
    lines += [f"# {remark}" for remark in remarks]
    return "".join("".join(c if c.isprintable() else " " for c in line) + "\n" for line in lines)


def new_company(name: str, folder: str | Path, data_root: str | Path) -> Path:
    """Write data_root/<name>/company.yaml for a folder of exports and return its path.

    An existing file is not overwritten. Errors: InputError for an invalid or existing name, or a folder without
    exports.

    Example: ``new_company("acme-uk", "~/exports", "data")``.
    """
    target, folder = Path(data_root) / name / FILE, Path(folder).expanduser()
    if not re.fullmatch(r"[a-z0-9]+([_-][a-z0-9]+)*", name):
        remedy = "It is a folder as well: use a-z, 0-9, - and _, such as acme-uk."
        raise InputError("This cannot be the name of a company", remedy=remedy, value=name)
    if target.exists():
        raise InputError(
            "A company of this name already exists", remedy="Choose another name or remove the file.", file=target
        )
    try:
        entry = Path(os.path.relpath(folder, target.parent)).as_posix()
    except ValueError:  # on another drive
        entry = folder.as_posix()
    text = propose(folder, name, entry=entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def _exports(folder: Path) -> tuple[list[Export], list[str]]:
    """Return every readable file and sheet, and a remark for each unreadable one."""
    if not folder.is_dir():
        raise InputError("There is no such folder", remedy="Name the folder that holds the exports.", file=folder)
    engine, exports, remarks = ibis.duckdb.connect(), [], []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in reading.READABLE):
        try:
            for sheet in reading.sheets(path) if path.suffix.lower() == ".xlsx" else [None]:
                table = reading.load(engine, path, name=f"export {len(exports)}", sheet=sheet)
                exports.append(_export(path, sheet, table.drop(reading.ROW).limit(SAMPLE).execute()))
        except InputError as error:
            remarks.append(f"not read: {error}")
    if not exports:
        remedy = " ".join([f"Put {', '.join(reading.READABLE)} files there.", *remarks])
        raise InputError("There is no readable export", remedy=remedy, file=folder)
    return exports, remarks


def _export(path: Path, sheet: str | None, frame: pd.DataFrame) -> Export:
    frame = frame.astype(object).where(frame.notna(), "").astype(str).apply(lambda texts: texts.str.strip())
    top = [f"sheet: {_flow(sheet)}"] if sheet else []
    if path.suffix.lower() in reading.TEXT and (delimiter := reading.detect(path).delimiter) != ",":
        top.append(f"delimiter: {_guess(delimiter, f'cuts every row into {len(frame.columns)} fields')}")
    extra = 1 + max((i for i in range(min(3, len(frame))) if '{"ImportId"' in " ".join(frame.iloc[i])), default=-1)
    if extra:
        skipped = {"column": frame.columns[0], "is_not": frame.iloc[:extra, 0].tolist()}
        top.append(f"filter: {_guess(skipped, 'further header rows, as Qualtrics writes them')}")
    columns = [Column(name, frame[name].iloc[extra:]) for name in frame.columns]
    return Export(path, sheet, _plain(f"{path.stem} {sheet or ''}"), columns, top)


def _customers(exports: list[Export]) -> Draft:
    """Return the file with one row per customer, else the one that names most customers."""
    fits = []
    for export in exports:
        found = export.find("customers")
        if ids := found.pop("customer_id", None):
            rank = ("key" in ids.kinds, _match(export.words, FILES["customers"]) > 0)
            fits.append(((*rank, len(found) if rank[0] else len(ids.values)), export, ids, found))
    if not fits:
        return Draft(
            "customers", exports[0], {"customer_id": _guess(TODO, f"{TODO}: the column that identifies a customer")}
        )
    _, export, ids, found = max(fits, key=lambda fit: fit[0])
    draft = Draft("customers", export)
    draft.put("customer_id", ids)
    if "key" not in ids.kinds:
        return draft
    for name, column in found.items():
        draft.put(name, column)
    for column in export.columns:
        spare = column not in draft.used and column.words not in (*FIELDS["customers"], "")
        few = 2 <= len(column.values) <= min(30, column.rows / 10) and not column.kinds & {"date", "number"}
        if spare and few:
            draft.put(column.words, column, "few enough values for a segment")
    return draft


def _customer_column(export: Export, customers: Draft) -> tuple[Column, str] | None:
    """Return the column that names the customer: by its values, or at least by its header."""
    if not customers.used or export is customers.export:
        return (customers.used[0], "") if customers.used else None
    ids, header = customers.used[0], export.find("customers").get("customer_id")
    long = [c for c in export.columns if "id" in c.kinds and (c is header or len(c.values) >= 20)]
    known = [c for c in long if c.among(ids) >= 0.5]
    column = header if header in known or not known else max(known, key=lambda c: c.among(ids))
    if column is None or (column not in known and column.words == "id"):
        return None
    return column, f"{100 * column.among(ids):.0f} % of its values are in {customers.export.path.name}"


def _events(draft: Draft, found: dict[str, Column], exports: list[Export], customers: Draft) -> Draft:
    """Map what was found and the customer, if necessary through another file; else leave a TODO."""
    direct = _customer_column(draft.export, customers)
    for name, column in found.items():
        if not direct or column is not direct[0]:
            draft.put(name, column)
    if direct and draft.table != "initiatives":
        draft.put("customer_id", *direct)
    wanted = {"customer_id": lambda e: (_customer_column(e, customers) or [None])[0]}
    if draft.table == "orders":
        wanted["revenue"] = lambda e: e.find("orders").get("revenue")
    for name in [n for n in wanted if n not in draft.columns and draft.table != "initiatives"]:
        through = [
            (_match(column.words, FIELDS["orders"]["revenue"][1]), other, key, twin, column)
            for other in exports
            if other is not draft.export and (column := wanted[name](other))
            for key in draft.export.columns
            for twin in other.columns
            if key.words == twin.words and "id" in key.kinds and twin is not column and key.among(twin) >= 0.5
            if name == "revenue" or "key" in twin.kinds
        ]
        if through:
            *_, other, key, twin, column = max(through, key=lambda t: t[0])
            draft.join(other, key, twin, column)
            draft.put(name, column, via=other)
        else:
            draft.columns[name] = _guess(TODO, f"{TODO}: seems to be in another file: take it from there with join:")
    return draft


def _answers(export: Export, exports: list[Export], drafts: list[Draft]) -> list[tuple[Draft, str, pd.Series]]:
    """Return one source for each column of scores, with its metric and the answers as numbers."""
    closed = [c for d in drafts if d.table == "contacts" and d.export is export for c in d.used if c.days]
    found, scores = export.find("responses", closed), {}
    for column in export.columns:
        metric = next((m for m, words in METRICS.items() if _match(column.words, words)), None)
        if (metric or _match(column.words, ANY_SCORE)) and (score := _score(column)):
            metric = metric or next((m for m, words in METRICS.items() if _match(export.words, words)), None)
            scores[column] = (metric or ("nps" if score[0].max() > 7 else "csat"), *score)
    answers = []
    for column, (metric, numbers, codes, none) in scores.items():
        if metric != "nps" and 0 in numbers.values and 1 < numbers.max() <= 7:
            none, numbers = [*none, "0"], numbers[numbers > 0]
        draft = Draft("responses", export, used=[column])
        others = {n: c for n, c in found.items() if c not in scores and (n != "response_id" or len(scores) == 1)}
        _events(draft, others, exports, drafts[0])
        if "response_id" not in draft.columns:
            draft.columns["response_id"] = _guess({"row_number": f"{metric}-"}, "no column of its own")
        asked = [c for c in closed if _match(c.words, FIELDS["contacts"]["resolved_at"][1])]
        if asked and "asked_at" not in draft.columns:
            draft.put("asked_at", asked[0], "taken as asked when the case was closed")
        draft.columns["metric"] = _guess({"value": metric}, "header, file name and scale")
        more = {key: value for key, value in (("codes", codes), ("no_answer", none)) if value}
        said = f"all values are from {numbers.min():g} to {numbers.max():g}"
        said += f", apart from {', '.join(none)}, taken as no answer" if none else ""
        draft.columns["score"] = _guess({"column": column.name, **more} if more else column.name, said)
        answers.append((draft, metric, numbers))
    return answers


def _score(column: Column) -> tuple[pd.Series, dict[str, int], list[str]] | None:
    """Return the answers as numbers, the codes of numbers, and the codes that seem to mean "no answer"."""
    numbers, codes, none = {}, {}, []
    for text in sorted(column.values) if len(column.values) <= 40 else []:
        read = re.fullmatch(r"(-?\d+)(?:[.,]0+)?( ?[-–:(].*)?", text)  # "10 - very likely" is 10
        if text.lower() in GOOD_BAD or (read and read[2]):
            codes[text] = GOOD_BAD[text.lower()] if text.lower() in GOOD_BAD else int(read[1])
        elif read and not re.fullmatch(NO_ANSWER, read[1]):
            numbers[text] = int(read[1])
        else:
            none.append(text)
    values = set((numbers | codes).values())
    if len(values) < 2 or max(values) > 10 or len(none) > 5:
        return None
    return column.texts.map(numbers | codes).dropna(), codes, none


def _settings(name: str, entry: str, drafts: list[Draft], answers: list[tuple[Draft, str, pd.Series]]) -> list[str]:
    """Return everything above the tables of ``sources``."""
    latest = max((day for draft in drafts for day in draft.latest), default=None)
    rows = f" in the first {SAMPLE:,} rows" if any(c.rows == SAMPLE for d in drafts for c in d.used) else ""
    contract = [name for name in CONTRACT if name in drafts[0].columns]
    found = f"guess: the latest date found{rows}" if latest else f"{TODO}: the day of the export"
    terms = (
        f"contractual  # guess: {contract[0]} was found"
        if contract
        else "noncontractual  # guess: no column shows who left"
    )
    gone = f"inactive_after_days: {TODO}  # {TODO}: days without an order after which a customer counts as gone"
    lines = [
        "# Proposed from the exports: check every guess, replace every TODO.",
        f"name: {_flow(name)}",
        f"as_of: {latest or TODO}  # {found}",
        f"relationship: {terms}",
        *([] if contract else [gone]),
        f"currency: {TODO}  # {TODO}: three letters, such as GBP",
        "# money: {value_is: margin, gross_margin: 0.75, discount_rate: 0.10, discount_convention: effective,",
        "#   horizon_months: 24, first_flow: now}   # your own figures; only value and return need them",
    ]
    for place, metric in enumerate(sorted({metric for _, metric, _ in answers}, key=list(METRICS).index)):
        numbers = pd.concat([numbers for _, m, numbers in answers if m == metric])
        low, high = numbers.min(), next(top for top in (1, 5, 7, 10) if numbers.max() <= top)
        value = {"scale": [int(min(low, 1)) if high > 1 else 0, high]}
        said = f"{len(numbers)} answers from {low:g} to {numbers.max():g}"
        if metric == "nps":  # the odd scale from 1 only if there are many answers and none is 0
            value = {"scale": [0 if low == 0 or len(numbers) < 200 else 1, 10]}
        elif metric == "ces":
            value["version"] = TODO
            said = f'{TODO}: "1.0" asks how much effort (low is good), "2.0" how easy it was (high is good); {said}'
        else:
            value |= {"good": "high", "satisfied_from": {1: 1, 5: 4, 7: 6, 10: 9}[high]}
            said += "; satisfied: the two top boxes"
        lines += ["metrics:"] * (place == 0) + [f"  {metric}: {_guess(value, said)}"]
    groups = [name for name in drafts[0].columns if name not in FIELDS["customers"]]
    return [*lines, *([f"segments: {_flow(groups)}"] if groups else []), f"folder: {_flow(entry)}", "sources:"]


def _plain(text: str) -> str:
    """Return a text in lower case, without accents, its words (also in CamelCase) joined by _."""
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        text = text.replace(umlaut, letters).replace(umlaut.upper(), letters.title())
    text = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text))
    return re.sub(r"[^a-z0-9]+", "_", text.encode("ascii", "ignore").decode().lower()).strip("_")


def _match(header: str, words: str) -> int:
    """Return how well a plain header fits a list of words: 0 not at all, more for earlier words and whole headers."""
    for place, word in enumerate(words.split()):
        bare = word.strip("=*")
        whole = header.replace("_", "") == bare.replace("_", "")
        if whole or (bare in header if word[-1] == "*" else word[0] != "=" and f"_{bare}_" in f"_{header}_"):
            return 1000 - 2 * place + whole
    return 0


def _guess(value: Any, why: str) -> str:
    return f"{_flow(value)}  # {why if why.startswith(TODO) else f'guess: {why}'}"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    whole = str(value).isprintable()
    style = {"default_flow_style": True, "sort_keys": False, "width": 1 << 30, "allow_unicode": whole}
    return yaml.safe_dump([value], **style, default_style=None if whole else '"').strip()[1:-1]
