"""What is odd in whole tables: columns without a value, segments that say who left, values in several spellings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_company import Small, stops

from cxlib.intake.company import Company
from cxlib.intake.oddities import id_forms

SETTINGS = {
    "name": "Frames",
    "as_of": "2026-06-30",
    "relationship": "contractual",
    "metrics": {"nps": {"scale": [0, 10]}},
    "segments": ["plan"],
}


@pytest.fixture
def small(tmp_path) -> Small:
    return Small(tmp_path)


def notes(company: Company) -> dict[str, str]:
    return company.notes.set_index("check")["detail"].to_dict()


def customers(plan: list, left: list | None = None) -> pd.DataFrame:
    """Return customers with a plan each; ``left``: whether they have left."""
    rows = pd.DataFrame({"customer_id": [f"C{i}" for i in range(len(plan))], "joined_on": "2025-01-05", "plan": plan})
    return rows if left is None else rows.assign(left_on=["2026-01-10" if gone else None for gone in left])


def asked(scores: list, **columns: object) -> Company:
    """Return a company of two customers whose answers have these scores."""
    rows = pd.DataFrame({"customer_id": "C0", "metric": "nps", "asked_at": "2026-06-01", "score": scores, **columns})
    return Company.from_frames(SETTINGS, {"customers": customers(["Basic", "Pro"]), "responses": rows})


def test_a_mapped_column_without_any_value_is_told(small):
    for table, column in {"contacts": "cost", "initiatives": "assignment", "exposures": "arm"}.items():
        file = f"{table}.csv"
        small.files[file] = "".join(f"{row},\n" for row in small.files[file].splitlines()).replace(",\n", ",new\n", 1)
        small.columns(table)[column] = "new"
    assert not {c for c in notes(Small(small.folder).open()) if c.endswith("is empty")}
    told = notes(small.open())
    assert {c for c in told if c.endswith("is empty")} == {"cost is empty", "assignment is empty", "arm is empty"}
    assert told["cost is empty"] == "No row of contacts has a cost, although company.yaml maps it."
    assert told["arm is empty"] == "No row of exposures has an arm, although company.yaml maps it."


def test_a_column_that_is_only_known_later_is_not_empty(small):
    small.only("contacts")
    assert not {c for c in notes(small.open("2024-12-31")) if c.endswith("is empty")}
    small.files["contacts.csv"] = small.files["contacts.csv"].replace("2024-02-02 12:00:00", "")
    assert "resolved_at is empty" in notes(small.open())


@pytest.mark.parametrize("column", ["cost_upfront", "cost_per_month"])
@pytest.mark.parametrize("amount", ["1e15", "1e308"])
def test_a_cost_beyond_any_amount_stops(small, column, amount):
    small.only("initiatives")
    small.change("initiatives.csv", ",5000", f",{amount}")
    small.columns("initiatives")[column] = small.columns("initiatives").pop("cost_upfront")
    error = stops(small.open)
    assert f"{column} is beyond any amount" in error.problem
    assert (error.row, error.column, error.value) == (2, "cost", amount)


def test_a_segment_filled_only_for_those_who_left_says_who_left():
    left = np.arange(200) % 4 == 0
    reasons = ["price" if gone and i % 8 else "service" if gone else None for i, gone in enumerate(left)]
    error = stops(lambda: Company.from_frames(SETTINGS, {"customers": customers(reasons, left)}))
    assert "plan says who left: all but 0 of 200 customers" in error.problem
    blanks = [None if i % 3 else "Basic" for i in range(200)]
    assert not notes(Company.from_frames(SETTINGS, {"customers": customers(blanks, left)}))


@pytest.mark.parametrize(("levels", "told"), [(21, True), (20, False)])
def test_a_label_of_which_half_the_values_differ_is_no_label(levels, told):
    agents = [f"agent {i % levels}" for i in range(40)]
    assert ("agent has many values" in notes(asked(range(0, 1), agent="Ann"))) is False
    assert ("agent has many values" in notes(asked([i % 11 for i in range(40)], agent=agents))) is told
    few = [f"agent {i}" for i in range(39)]
    assert "agent has many values" not in notes(asked([i % 11 for i in range(39)], agent=few))


@pytest.mark.parametrize(
    ("odd", "n", "told"),
    [
        ("Standrd", 3, True),
        ("standard.", 1, True),
        ("Standrd", 4, False),  # too many for a slip
        ("Premium", 1, False),  # another word
        ("Standard 2", 1, False),  # another number
    ],
)
def test_a_rare_level_close_to_a_frequent_one_is_named_as_its_spelling(odd, n, told):
    company = Company.from_frames(SETTINGS, {"customers": customers(["Standard"] * 80 + [odd] * n)})
    said = notes(company).get("one value in several spellings", "")
    assert said == (f"The segment plan writes one value in several ways: Standard, {odd}." if told else "")


def test_the_end_of_a_long_scale_is_its_outer_fifth():
    middle = [2, 3, 4, 5, 6, 7, 8] * 20
    assert "nps: an end of the scale is not used" in notes(asked(middle))
    assert "nps: an end of the scale is not used" not in notes(asked([*middle, *[1, 9] * 5]))


def test_the_example_of_two_ids_does_not_depend_on_the_order_of_rows(small):
    small.only("orders")
    small.settings["sources"]["orders"]["columns"]["ordered_at"] = "day"
    small.files["customers.csv"] = "id,signup,cancelled,reason,plan,mrr\n" + "".join(
        f"C{i},2024-01-05,,,Basic,10\n" for i in (3, 1, 2)
    )
    for order in ((2, 3, 1), (3, 1, 2)):
        rows = "".join(f"O{i},X{i},2024-02-01,100\n" for i in order)
        small.files["orders.csv"] = f"oid,cid,day,amount\n{rows}"
        assert "The ids differ in a prefix: X1 here, C1 in customers" in stops(small.open).remedy


def test_of_many_ids_the_smallest_are_looked_at():
    import ibis

    def table(ids):
        return ibis.memtable({"customer_id": [*ids]})

    many = [f"x{i:05}" for i in range(3000)]
    known = table([f"X{i:05}" for i in range(3000)])
    assert id_forms(table(many), known) == id_forms(table(many[::-1]), known)
    assert "x00000 here, X00000 in customers" in id_forms(table(many[::-1]), known)
