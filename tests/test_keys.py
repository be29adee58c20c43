"""The keys of company.yaml: every key of the models has a meaning and an example that is read as it says."""

from __future__ import annotations

import json

import company_keys as keys
import jsonschema
import pytest
import yaml

from cxlib import paths
from cxlib.intake.settings import check

WHOLE = {"name": "A", "as_of": "2026-06-30", "relationship": "contractual", "currency": "EUR", "segments": ["plan"]}
MONEY = {"value_is": "margin", "gross_margin": 0.5, "discount_rate": 0.1, "discount_convention": "effective"}
MONEY |= {"horizon_months": 24, "first_flow": "now"}
SOURCES = {"customers": {"file": "a.csv", "columns": {"customer_id": "id"}}}
EXAMPLES = [(part, key) for part, found in keys.KEYS.items() for key in found]


def settings_of(part: str, key: str, loader: type) -> dict:
    """Return whole settings that hold the example of a key, read as texts (cxlib) or natively (an editor)."""
    given = yaml.load(keys.KEYS[part][key][1], Loader=loader)
    if key == "database":
        given["sources"] = {"customers": {"table": "a", "columns": {"customer_id": "id"}}}
    if part in ("company", "money", "metric", "privacy"):
        given = {"money": MONEY | given["money"]} if "money" in given else given
    elif not {"sources", "exports"} & set(given):
        given = given if "columns" in given or part != "column" else {"columns": given}
        columns = {"customer_id": "id", "opened_at": "day"} | given.pop("columns", {})
        table = "orders" if "repeats" in given else "responses" if "scores" in given else "customers"
        source = {} if {"file", "table", "sql"} & set(given) else {"file": "a.csv"}
        source |= given | {"columns": columns}
        given = {"sources": SOURCES | {table: source}}
    return {**WHOLE, "sources": SOURCES, **given}


@pytest.mark.parametrize(("part", "key"), EXAMPLES)
def test_the_example_of_every_key_is_accepted(part, key):
    check(settings_of(part, key, yaml.BaseLoader))
    jsonschema.validate(_native(settings_of(part, key, yaml.SafeLoader)), keys.schema())


def _native(given: dict) -> dict:
    return json.loads(json.dumps(given, default=str))


def test_every_key_of_the_models_is_explained_and_no_other():
    inherited = set(keys.Export.model_fields)
    for part, model in keys.MODELS.items():
        own = set(model.model_fields) - (inherited if part in ("source", "column") else set())
        assert own == set(keys.KEYS[part])


def test_the_document_and_the_schema_are_those_of_the_models():
    assert (paths.data() / "keys.md").read_text(encoding="utf-8") == keys.document()
    assert json.loads((paths.data() / "company.schema.json").read_text(encoding="utf-8")) == keys.schema()


def test_the_schema_refuses_a_key_that_does_not_exist():
    jsonschema.validate(_native({**WHOLE, "sources": SOURCES}), keys.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**WHOLE, "sources": SOURCES, "curency": "EUR"}, keys.schema())
