"""A company of five customers in six files, to be changed by a test before it is opened."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cxlib import open_company
from cxlib.errors import InputError
from cxlib.intake.company import Company

FILES = {
    "customers.csv": (
        "id,signup,cancelled,reason,plan,mrr\n"
        "C1,2024-01-05,,,Basic,10\n"
        "C2,2024-02-10,2025-01-15,price,Pro,20.5\n"
        "C3,2024-03-20,,,Basic,10\n"
        "C4,2024-05-01,2025-03-01,payment failed,Pro,30\n"
        "C5,2024-06-30,,,Basic,0\n"
    ),
    "responses.csv": (
        "rid,cid,kind,sent,answered,rating,text\n"
        "R1,C1,nps,2024-03-01,2024-03-02 10:00:00,9,good\n"
        "R2,C2,nps,2024-04-01,2024-04-01,3,slow\n"
        "R3,C3,nps,2024-04-01,,,\n"
        "R4,C4,csat,2024-07-01,2024-07-03,4,\n"
        "R5,C5,csat,2024-08-01,2024-08-01,5,fine\n"
    ),
    "orders.csv": (
        "oid,cid,day,amount\nO1,C1,2024-02-01,100\nO2,C2,2024-03-01,200.50\nO3,C2,2024-05-01,-20\nO4,C5,2024-07-01,50\n"
    ),
    "contacts.csv": (
        "tid,cid,opened,replied,solved\n"
        "T1,C1,2024-02-01 09:00:00,2024-02-01 09:30:00,2024-02-02 12:00:00\n"
        "T2,C3,2024-04-01 09:00:00,2024-04-01 10:00:00,\n"
        "T3,C4,2024-06-01 09:00:00,,\n"
    ),
    "initiatives.csv": "iid,title,start,cost\nI1,Faster replies,2024-06-01,5000\n",
    "exposures.csv": "iid,cid,day\nI1,C1,2024-06-05\nI1,C3,2024-06-06\n",
}
SETTINGS = {
    "name": "Small & Sons",
    "as_of": "2025-06-30",
    "relationship": "contractual",
    "currency": "EUR",
    "metrics": {"nps": {"scale": [0, 10]}, "csat": {"scale": [1, 5], "good": "high"}},
    "segments": ["plan"],
    "sources": {
        "customers": {
            "file": "customers.csv",
            "columns": {
                "customer_id": "id",
                "joined_on": "signup",
                "left_on": "cancelled",
                "left_reason": "reason",
                "plan": "plan",
                "monthly_revenue": "mrr",
            },
        },
        "responses": {
            "file": "responses.csv",
            "columns": {
                "response_id": "rid",
                "customer_id": "cid",
                "metric": "kind",
                "asked_at": "sent",
                "answered_at": "answered",
                "score": "rating",
                "comment": "text",
            },
        },
        "orders": {
            "file": "orders.csv",
            "columns": {"order_id": "oid", "customer_id": "cid", "ordered_at": "day", "revenue": "amount"},
        },
        "contacts": {
            "file": "contacts.csv",
            "columns": {
                "contact_id": "tid",
                "customer_id": "cid",
                "opened_at": "opened",
                "first_response_at": "replied",
                "resolved_at": "solved",
            },
        },
        "initiatives": {
            "file": "initiatives.csv",
            "columns": {"initiative_id": "iid", "name": "title", "started_on": "start", "cost_upfront": "cost"},
        },
        "exposures": {
            "file": "exposures.csv",
            "columns": {"initiative_id": "iid", "customer_id": "cid", "exposed_on": "day"},
        },
    },
}


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice, since company.yaml knows no alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


class Small:
    """Files and settings to change: ``s.files["orders.csv"] = ...``, ``s.source("orders")["dates"] = ...``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files, self.settings = folder, dict(FILES), copy.deepcopy(SETTINGS)
        self.yaml: str | bytes | None = None  # instead of the settings

    def source(self, table: str) -> dict:
        return self.settings["sources"][table]

    def columns(self, table: str) -> dict:
        return self.source(table)["columns"]

    def add(self, file: str, *rows: str) -> None:
        self.files[file] += "".join(f"{r}\n" for r in rows)

    def change(self, file: str, old: str, new: str) -> None:
        assert old in self.files[file]
        self.files[file] = self.files[file].replace(old, new, 1)

    def only(self, *tables: str) -> None:
        """Leave out all other tables, which makes opening faster."""
        needed = {"customers", *tables} | ({"initiatives"} if "exposures" in tables else set())
        self.settings["sources"] = {t: s for t, s in self.settings["sources"].items() if t in needed}

    def write(self) -> Path:
        for name, content in self.files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (self.folder / name).write_bytes(data)
        text = yaml.dump(self.settings, sort_keys=False, Dumper=_Plain) if self.yaml is None else self.yaml
        (self.folder / "company.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.folder

    def open(self, as_of: str | None = None) -> Company:
        return open_company(self.write(), as_of=as_of)


def stops(company: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        company()
    error = caught.value
    assert error.problem
    assert error.remedy
    return error


def adds_up(company: Company) -> None:
    r = company.record
    assert (r["rows_read"] == r["used"] + r["merged"] + r["set_aside"]).all()
    for table, rows in r.groupby("table")["used"].sum().items():
        assert getattr(company, table).count().execute() == rows
    aside = company.set_aside.groupby("table")["rows"].sum()
    assert r.groupby("table")["set_aside"].sum().loc[lambda s: s > 0].to_dict() == aside.to_dict()
