"""The keys of company.yaml as a document for people and a JSON schema for editors, both made from the models.

python tests/company_keys.py     writes data/keys.md and data/company.schema.json
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from cxlib import paths
from cxlib.intake.models import TEXT
from cxlib.intake.settings import Metric, Money, Privacy, Settings
from cxlib.intake.sources import TABLES, Column, Export, Source

KEYS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
MODELS = {"company": Settings, "money": Money, "metric": Metric, "privacy": Privacy, "export": Export}
MODELS |= {"source": Source, "column": Column}
TITLES = KEYS.pop("titles")


def document() -> str:
    """Return the list of all keys, each with its meaning and an example, as Markdown."""
    lines = ["# The keys of company.yaml", "", "Made from the models by `python tests/company_keys.py`."]
    for part, title in TITLES.items():
        lines += ["", f"## {title}"]
        for key, (meaning, example) in KEYS[part].items():
            lines += ["", f"**{key}**: {meaning}", "", "```yaml", *example.splitlines(), "```"]
    return "\n".join(lines) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON schema of company.yaml, with the meanings and with its short forms."""
    found = Settings.model_json_schema()
    parts = found["$defs"] | {"Settings": found}
    for part, model in MODELS.items():
        for key, (meaning, _) in KEYS[part].items():
            known = parts.setdefault(model.__name__, {"properties": {}})["properties"]
            known.setdefault(key, {})["description"] = meaning
    for name, short in {"Column": TEXT, "Export": TEXT | {"type": ["string", "array"]}}.items():
        parts[name] = {"anyOf": [short, parts[name]]}
    columns = parts["Source"]["properties"]["columns"]
    parts["Source"]["properties"]["columns"] = {"anyOf": [{"type": "array", "items": {"type": "string"}}, columns]}
    one = {"$ref": "#/$defs/Source"}
    parts["Sources"]["properties"] = {t: {"anyOf": [one, {"type": "array", "items": one}]} for t in TABLES}
    whole = parts.pop("Settings")
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | whole | {"$defs": parts}


if __name__ == "__main__":
    (paths.data() / "keys.md").write_text(document(), encoding="utf-8")
    (paths.data() / "company.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
