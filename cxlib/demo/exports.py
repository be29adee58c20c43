"""The demo companies as their systems would export them: other column names and date styles, some impossible rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from cxlib import paths
from cxlib.demo.paths import SEED, stream

SCRIPT = "Nice try <script>alert('x')</script> but the bill is still wrong."
TIME = {"customers": "joined_on", "responses": "asked_at", "orders": "ordered_at", "contacts": "opened_at"}
ID = {"customers": "customer_id", "responses": "response_id", "orders": "order_id", "contacts": "contact_id"}
ISO = "%Y-%m-%d %H:%M:%S"


def settings(company: str = "demo", **changes: object) -> dict:
    """Return company.yaml of ``demo`` or ``demo-shop`` without its sources; ``changes`` replace whole keys."""
    written = yaml.safe_load((paths.data() / company / "company.yaml").read_text(encoding="utf-8"))
    return {k: v for k, v in written.items() if k != "sources"} | {"as_of": str(written["as_of"])} | changes


def dirty(frames: dict[str, pd.DataFrame], seed: int = SEED) -> dict[str, pd.DataFrame]:
    """Return the tables as a careless export would have them: with impossible rows and a script in one comment.

    The intake excludes every added row, so that the rows used are those of ``frames``.
    """
    luck, customers, extra = stream(seed, "dirty"), frames["customers"], {}

    def some(table: str, rows: pd.Series | None, count: int, new_ids: bool = True) -> pd.DataFrame:
        frame = frames[table] if rows is None else frames[table][rows]
        sample = frame.iloc[np.sort(luck.permutation(len(frame))[:count], kind="stable")].copy()
        if new_ids:
            letter = sample[ID[table]].iloc[0].rstrip("0123456789")
            made = sum(len(part) for part in extra.get(table, []))
            digits = len(sample[ID[table]].iloc[0]) - len(letter) - 1
            sample[ID[table]] = [f"{letter}9{made + n:0{digits}d}" for n in range(count)]
        extra.setdefault(table, []).append(sample)
        return sample

    if "joined_on" in customers:
        joined = customers.set_index("customer_id")["joined_on"]
        left_first = some("customers", customers["left_on"].notna(), 8)
        left_first["left_on"] = left_first["joined_on"] - pd.to_timedelta(np.arange(3, 11), unit="D")
        early = some("contacts", None, 15)
        shift = early["customer_id"].map(joined) - pd.Timedelta(days=20) - early["opened_at"]
        for column in ("opened_at", "first_response_at", "resolved_at", "reopened_at"):
            early[column] += shift.dt.floor("D")
    answered = frames["responses"]["score"].notna()
    backwards = some("responses", answered, 12)
    backwards["answered_at"] = backwards["asked_at"] - pd.to_timedelta(np.arange(30, 42), unit="h")
    second = some("responses", answered, 5, new_ids=False)
    second["score"] = np.where(second["score"] > 1, second["score"] - 1, 2)
    nobody = customers["customer_id"].iloc[0][0] + "X"
    some("responses", None, 7)["customer_id"] = [f"{nobody}{n:04d}" for n in range(7)]
    some("orders", None, 10)["customer_id"] = [f"{nobody}{n:04d}" for n in range(10)]
    some("orders", None, 20, new_ids=False)
    some("contacts", None, 6, new_ids=False)
    result = dict(frames)
    for table, parts in extra.items():
        mixed = pd.concat([frames[table], *parts], ignore_index=True)
        by = TIME[table] if TIME[table] in mixed else ID[table]
        result[table] = mixed.sort_values(by, kind="stable", ignore_index=True)
    commented = np.flatnonzero(result["responses"]["comment"].notna())
    if len(commented):
        row = commented[len(commented) // 2]
        result["responses"].loc[row, "comment"] = SCRIPT
    return result


def _text(values: pd.Series, style: str) -> pd.Series:
    """Format dates by a strftime pattern and numbers by a format such as ``.2f``; missing values become blank."""
    if style.startswith("%"):
        return values.dt.strftime(style)
    return values.map(lambda value: "" if pd.isna(value) else format(value, style))


def _renamed(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    return frame[list(columns)].rename(columns=columns)


def demo_files(frames: dict[str, pd.DataFrame], seed: int = SEED) -> dict[str, pd.DataFrame]:
    """Return the exports of the subscription company by file name; columns are text except in the Parquet file."""
    accounts, asked, cases = (frames[table].copy() for table in ("customers", "responses", "contacts"))
    for column in ("joined_on", "left_on"):
        accounts[column] = _text(accounts[column], "%d/%m/%Y")
    accounts["monthly_revenue"] = _text(accounts["monthly_revenue"], ".2f").str.replace(".", ",")
    old_code = (stream(seed, "blanks").random(len(asked)) < 0.02) & asked["score"].isna().to_numpy()
    asked["score"] = np.where(old_code & (asked["metric"] != "csat"), "-99", _text(asked["score"], ".0f"))
    asked["metric"] = asked["metric"].map({"nps": "Relationship NPS", "ces": "Onboarding CES", "csat": "csat"})
    for column in ("asked_at", "answered_at"):
        asked[column] = _text(asked[column], ISO)
    for column in ("opened_at", "first_response_at", "resolved_at", "reopened_at"):
        cases[column] = _text(cases[column], "%Y-%m-%dT%H:%M:%SZ")
    cases["cost"] = _text(cases["cost"], ".2f")
    bills = frames["orders"].assign(kind=frames["orders"]["kind"].map({"new": "NEW", "renewal": "REN", "upsell": "UP"}))
    programmes, members = frames["initiatives"].copy(), frames["exposures"].copy()
    programmes["started_on"], members["exposed_on"] = (
        _text(column, "%Y-%m-%d") for column in (programmes["started_on"], members["exposed_on"])
    )
    for column in ("cost_upfront", "cost_per_month", "effect_months", "planned_customers"):
        programmes[column] = _text(programmes[column], ".0f")
    for column, style in (("attribution_share", ".2f"), ("smallest_effect", "g"), ("expected_effect", "g")):
        programmes[column] = _text(programmes[column], style)
    account = {"customer_id": "Account ID"}
    survey = {"response_id": "Response", **account, "metric": "Survey", "asked_at": "Sent", "answered_at": "Completed"}
    rating = {"response_id": "Rating ID", **account, "asked_at": "Sent", "answered_at": "Completed", "score": "Stars"}
    support = asked["metric"] == "csat"
    return {
        "accounts.csv": _renamed(
            accounts,
            account
            | {"joined_on": "Signup date", "left_on": "Cancel date", "left_reason": "Cancel reason"}
            | {"plan": "Plan tier", "region": "Sales region", "branch": "Service branch"}
            | {"monthly_revenue": "Monthly fee"},
        ),
        "surveys.csv": _renamed(
            asked[~support], survey | {"score": "Rating", "channel": "Sent by", "comment": "Verbatim"}
        ),
        "support_ratings.csv": _renamed(asked[support], rating | {"channel": "Channel", "agent": "Agent"}),
        "invoices.parquet": _renamed(
            bills,
            {"order_id": "invoice_no", "customer_id": "account_id", "ordered_at": "issued_at"}
            | {"revenue": "net_amount", "kind": "type"},
        ),
        "tickets.csv": _renamed(
            cases,
            {"contact_id": "Ticket", **account, "opened_at": "Created", "first_response_at": "First reply"}
            | {"resolved_at": "Solved", "reopened_at": "Reopened", "topic": "Category", "channel": "Channel"}
            | {"agent": "Agent", "cost": "Handling cost"},
        ),
        "programmes.csv": _renamed(
            programmes,
            {"initiative_id": "Programme", "name": "Title", "changed": "What we changed", "started_on": "Start"}
            | {"cost_upfront": "Set-up cost", "cost_per_month": "Cost per month", "attribution_share": "Our share"}
            | {"status": "Status", "assignment": "Assignment", "assigned_by": "Assigned by"}
            | {"outcome": "Meant to move", "smallest_effect": "Smallest worthwhile", "effect_is": "Counted as"}
            | {"effect_months": "Months to judge", "planned_customers": "Planned customers"}
            | {"expected_effect": "Expected effect"},
        ),
        "programme_members.csv": _renamed(
            members, {"initiative_id": "Programme", **account, "exposed_on": "From", "arm": "Arm"}
        ),
    }


def shop_files(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the exports of the web shop by file name."""
    asked, cases = frames["responses"].copy(), frames["contacts"].copy()
    asked["score"], cases["cost"] = _text(asked["score"], ".0f"), _text(cases["cost"], ".2f")
    for frame, columns in (
        (asked, ("asked_at", "answered_at")),
        (cases, ("opened_at", "first_response_at", "resolved_at")),
    ):
        for column in columns:
            frame[column] = _text(frame[column], ISO)
    asked["metric"] = asked["metric"].str.upper()
    return {
        "customers.csv": _renamed(
            frames["customers"], {"customer_id": "customer", "country": "country", "found_us": "acquired_by"}
        ),
        "feedback.csv": _renamed(
            asked,
            {"response_id": "id", "customer_id": "customer", "metric": "question", "asked_at": "sent"}
            | {"answered_at": "answered", "score": "answer", "touchpoint": "after"},
        ),
        "orders.parquet": _renamed(
            frames["orders"],
            {"order_id": "order_no", "customer_id": "customer", "ordered_at": "placed_at", "revenue": "total_eur"},
        ),
        "enquiries.csv": _renamed(
            cases,
            {"contact_id": "enquiry", "customer_id": "customer", "opened_at": "received"}
            | {"first_response_at": "replied", "resolved_at": "closed", "topic": "about", "cost": "cost_eur"},
        ),
    }


def csv_text(name: str, frame: pd.DataFrame) -> str:
    """Return a CSV export as text; only the accounts are separated by semicolons."""
    return frame.to_csv(index=False, lineterminator="\n", sep=";" if name == "accounts.csv" else ",")


def write(folder: Path, files: dict[str, pd.DataFrame]) -> None:
    """Write exports into a folder: CSV as text, Parquet with timestamps in microseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in files.items():
        if name.endswith(".parquet"):
            table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
            pq.write_table(table, folder / name, compression="zstd", coerce_timestamps="us")
        else:
            (folder / name).write_text(csv_text(name, frame), encoding="utf-8", newline="")
