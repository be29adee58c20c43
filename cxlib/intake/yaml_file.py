"""Read company.yaml: every scalar as written (``TRUE``, ``0123``, ``on``), no key twice, and no alias.

Aliases (``*name``) that stand for each other grow beyond any memory in nine lines; nothing in company.yaml needs one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cxlib.errors import InputError


class _Texts(yaml.BaseLoader):
    """YAML with every scalar as text, no key twice and no alias."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, f"*{event.anchor} is an alias", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} appears twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return company.yaml as nested dicts, lists and texts. Errors: InputError with the line of the fault."""
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Texts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(
            f"The file is not valid YAML: {error.problem or error.context}",
            file=path.name,
            row=mark.line + 1 if mark else None,
            remedy="Check indentation, colons, and quotation marks around signs such as *, % and &.",
        ) from None
    except OSError as error:
        raise InputError(
            f"The file cannot be read: {error.strerror}", file=path.name, remedy="Check that it exists and is readable."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"The file is not YAML text: {line}", file=path.name, remedy="Save it as plain text in UTF-8."
        ) from None
    if not isinstance(given, dict):
        what = "is empty" if given in (None, "") else "should be a mapping of keys to values"
        raise InputError(f"The file {what}", file=path.name, remedy="Start with name:, as_of: and relationship:.")
    return given
