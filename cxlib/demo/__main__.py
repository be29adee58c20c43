"""``python -m cxlib.demo``: write the exports of both demo companies."""

from __future__ import annotations

import argparse
from pathlib import Path

from cxlib.demo import dirty, shop, subscription
from cxlib.demo.exports import demo_files, shop_files, write


def main() -> None:
    """Write the exports in data/demo and data/demo-shop; each company.yaml is written by hand and is not touched."""
    parser = argparse.ArgumentParser(prog="python -m cxlib.demo", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="folder with data/")
    data = parser.parse_args().root / "data"
    write(data / "demo", demo_files(dirty(subscription())))
    write(data / "demo-shop", shop_files(dirty(shop())))


if __name__ == "__main__":
    main()
