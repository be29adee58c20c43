"""No number on any page of five companies changes unless somebody means it to: freeze anew with ``tests/net.py``."""

from __future__ import annotations

import math

import net
import pytest


def same(a: float, b: float, scale: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 1e-5 * max(abs(a), abs(b), 1e-5 * scale)


@pytest.mark.parametrize("notebook", net.NOTEBOOKS)
@pytest.mark.parametrize("company", net.COMPANIES)
def test_every_number_is_as_it_was(company, notebook):
    if not company.startswith("demo") and not net.EXPORTS.exists():
        pytest.skip("the exports of the three companies are not beside the project")
    kept, now = net.frozen(company, notebook), net.lines(notebook, company)
    changed = [f"gone: {k}" for k in kept if k not in now] + [f"new: {k}" for k in now if k not in kept]
    for name in (k for k in kept if k in now):
        scale = max((abs(v) for v in kept[name] if math.isfinite(v)), default=0.0)
        if len(kept[name]) != len(now[name]) or not all(map(same, kept[name], now[name], [scale] * len(now[name]))):
            changed.append(f"{name}: was {net.written(kept[name])}, is {net.written(now[name])}")
    assert not changed, "\n".join(changed)
