"""Execute the committed notebooks again and store them with their outputs: ``python -m cxlib.publish.refresh``.

``make notebooks`` does the same. Reviewers then read the notebooks in the repository. What changes from run to run is
left out, so that unchanged code and data leave the files unchanged.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

from cxlib import paths
from cxlib.publish import run

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def normal(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without run times, run metadata and versions; outputs, cell numbers and ids stay."""
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags" and v}
    return notebook


def refresh(path: Path) -> None:
    """Execute one notebook with its defaults and write it back.

    If a cell fails, papermill's error is raised and the stored notebook does not change.
    """
    import papermill

    with tempfile.TemporaryDirectory() as scratch:
        done = Path(scratch) / path.name
        papermill.execute_notebook(str(path), str(done), kernel_name="python3", progress_bar=False)
        notebook = normal(nbformat.read(done, as_version=4))
    nbformat.write(notebook, path)


def main() -> None:
    """Refresh the notebooks given as arguments, or all."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.pop("CXLIB_OUT", None)
    with tempfile.TemporaryDirectory() as left:
        if not sys.argv[1:]:  # the last page reads what the others leave; alone it reads the last report
            os.environ["CXLIB_OUT"] = left
        for path in run.discover(sys.argv[1:] or sorted(paths.notebooks().glob("*.ipynb"))):
            refresh(path)
            print(f"{path.name} executed", flush=True)


if __name__ == "__main__":
    main()
