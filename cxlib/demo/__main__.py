"""``python -m cxlib.demo``: write the exports of both made-up companies, and what is true of them for the tests."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cxlib.demo import dirty, shop, subscription
from cxlib.demo.exports import demo_files, shop_files, write
from cxlib.demo.truth import shop_truth, truth


def main() -> None:
    """Write data/demo, data/demo-shop and tests/truth; company.yaml is written by hand and stays."""
    parser = argparse.ArgumentParser(prog="python -m cxlib.demo", description=__doc__)
    parser.add_argument("--exports-only", action="store_true", help="leave the truth (several minutes) as it is")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="folder with data/ and tests/")
    options = parser.parse_args()
    write(options.root / "data" / "demo", demo_files(dirty(subscription())))
    write(options.root / "data" / "demo-shop", shop_files(dirty(shop())))
    if not options.exports_only:
        folder = options.root / "tests" / "truth"
        folder.mkdir(parents=True, exist_ok=True)
        for name, known in (("demo-shop", shop_truth()), ("demo", truth())):
            (folder / f"{name}.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
