"""Execute the committed notebooks afresh and store them with outputs, free of what differs from run to run.

``python -m cxlib.publish.refresh`` (``make notebooks``). A reviewer then reads them rendered in the repository, and two
runs on unchanged code and data leave no difference.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

from cxlib import paths

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def normal(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without run times, run metadata and versions; outputs, counts and cell ids stay."""
    notebook.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        kept = {k: v for k, v in cell.metadata.items() if k == "tags" and v}
        cell.metadata = nbformat.from_dict(kept)
    return notebook


def refresh(path: Path) -> None:
    """Execute one notebook with its own defaults and write it back in place.

    Errors: papermill's, when a cell fails; the stored notebook is then left as it was.
    """
    import papermill

    with tempfile.TemporaryDirectory() as scratch:
        done = Path(scratch) / path.name
        papermill.execute_notebook(str(path), str(done), kernel_name="python3", progress_bar=False)
        notebook = normal(nbformat.read(done, as_version=4))
    nbformat.write(notebook, path)


def main() -> int:
    """Refresh the notebooks named, or all."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.pop("CXLIB_OUT", None)
    chosen = [Path(a) for a in sys.argv[1:]] or sorted(paths.notebooks().glob("[0-9][0-9]_*.ipynb"))
    for path in chosen:
        refresh(path)
        print(f"{path.name} executed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
