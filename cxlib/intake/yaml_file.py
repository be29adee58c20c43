"""Read company.yaml: every scalar as written (``TRUE``, ``0123``, ``on``), no key twice, and no alias.

Aliases (``*name``) that stand for each other grow beyond any memory in nine lines; nothing in company.yaml needs one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cxlib.errors import faults

fault = faults(__file__)


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
                twice = f"the key {key.value!r} appears twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return company.yaml as nested dicts, lists and texts. Errors: InputError with the line of the fault."""
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Texts)
    except yaml.MarkedYAMLError as error:
        mark, said = error.problem_mark or error.context_mark, error.problem or error.context
        raise fault("not_valid", file=path.name, row=mark.line + 1 if mark else None, said=said) from None
    except OSError as error:
        raise fault("unreadable", file=path.name, said=error.strerror) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise fault("no_text", file=path.name, said=said) from None
    if not isinstance(given, dict):
        raise fault("empty" if given in (None, "") else "no_mapping", file=path.name)
    return given
