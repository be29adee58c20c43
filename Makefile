# Thin: every recipe is one command that also works by hand, `python3 bootstrap.py ...` being Python in the
# project's own environment (made from requirements.lock at first use).
PYTHON ?= python3
IN = @$(PYTHON) bootstrap.py
COMPANY ?= demo

.DEFAULT_GOAL := help
.PHONY: help report lab test nbval quick lint calibrate bench notebooks demo lock

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

report: ## make the report of COMPANY (default: demo) into reports/
	$(IN) -m cxlib run $(COMPANY)

lab: ## open the notebooks in JupyterLab
	$(IN) -m jupyter lab notebooks

test: lint ## check everything: style, unit and reference tests, the notebooks as committed
	$(IN) -m pytest -p no:nbval -n 2 --dist loadfile --no-loadscope-reorder tests
	@$(MAKE) --no-print-directory nbval

nbval: export CXLIB_OUT = $(CURDIR)/.pytest_cache/findings
nbval: ## the notebooks as committed; the last one reads what the others leave
	$(IN) -m pytest -n 2 --dist loadfile --nbval --nbval-current-env --ignore=notebooks/07_board.ipynb notebooks
	$(IN) -m pytest --nbval --nbval-current-env notebooks/07_board.ipynb

quick: lint ## style, contracts and the tests without an engine: under a minute, for the daily loop
	$(IN) -m pytest -p no:nbval -n 2 --dist loadfile -m "not engine and not browser" tests

lint: ## style, formatting, and who may import whom
	$(IN) -m ruff check .
	$(IN) -m ruff format --check .
	$(IN) -c "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"

calibrate: ## simulate: do the intervals cover the truth? writes docs/validity.md
	$(IN) -m benchmarks.calibrate

bench: ## time the fits of repeat buying beside other packages (their environments are made apart); writes docs/speed.md
	$(IN) -m benchmarks.buying

notebooks: ## execute the committed notebooks afresh and store their outputs
	$(IN) -m cxlib.publish.refresh

demo: ## make the two demo companies again from their seed, and their truth for the tests (several minutes)
	$(IN) -m cxlib.demo
	$(IN) tests/demo_truth.py

lock: ## resolve requirements.lock again from pyproject.toml
	$(IN) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group dev --extra postgres --quiet pyproject.toml --output-file requirements.lock
