# The words a person types. Everything lives in .venv and var; `rm -r .venv var` forgets all of it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

TEMPLATES = amazon_pilot products analysis notifications accounts templates
DJADE = find $(TEMPLATES) -name '*.html' -print0 | xargs -0 $(VENV)/bin/djade --target-version 5.2
SCRIPTS = static amazon_pilot/jobs/static benchmarks/peers/bullmq

# Where it is set each process of the suite would compile the whole project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run quick test check check-long bench simulate kill-schedulers chaos mutants lock format

run: $(VENV)/runtime  ## The whole product on one port: make run PORT=8123
	@exec $(PY) manage.py start $(if $(PORT),--port $(PORT))

help:  ## What these words do
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

quick: $(VENV)/dev  ## Lint, and the fast tests on SQLite, those of pages left out: the loop while one works
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(DJADE) --check
	$(VENV)/bin/oxlint --deny-warnings $(SCRIPTS)
	@exec $(PY) -m pytest -q -n 2 --dist worksteal -m "not slow and not browser and not long and not page and not later" $(ARGS)

test: $(VENV)/dev  ## The suite, on SQLite and on PostgreSQL; half an hour on two cores
	@exec $(PY) -m tests.both $(ARGS)

check-long: $(VENV)/dev  ## All tests on both databases, with random walks, the second language and theme, then storms
	$(PY) -m tests.both --all
	$(MAKE) chaos

check: $(VENV)/dev  ## Lint of Python, templates and JavaScript, types, rooms, system checks, migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports --no-logo
	$(DJADE) --check
	$(VENV)/bin/oxlint --deny-warnings $(SCRIPTS)
	$(PY) manage.py check --fail-level WARNING
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) -m pytest -q tests/test_docs.py tests/test_scripts.py tests/test_rooms.py

format: $(VENV)/dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(DJADE)

simulate: $(VENV)/dev  ## The schedule through 1,000 days in six zones, beside an independent oracle
	$(PY) -m benchmarks.simulate $(ARGS)

kill-schedulers: $(VENV)/dev  ## Two schedulers, one killed a hundred times while 500 fires are due
	$(PY) -m benchmarks.kill_schedulers $(ARGS)

bench: $(VENV)/dev $(VENV)/peers/ready  ## Our worker beside other queues, then the monitor at full size
	$(PY) -m benchmarks.queues $(ARGS)
	$(PY) -m benchmarks.monitor

chaos: $(VENV)/dev  ## Kill, freeze and cut off workers, schedulers, web, Redis and PostgreSQL at random: nothing may be lost
	$(PY) -m benchmarks.chaos $(ARGS)
	$(PY) -m benchmarks.storm
	$(PY) -m benchmarks.told
	$(PY) -m benchmarks.paid

mutants: $(VENV)/dev $(VENV)/mutants/ready  ## 300 small faults put into the code at random: the fast tests must notice 85 % of them
	$(PY) -m benchmarks.mutants --survivors var/mutants.txt $(ARGS)

lock: $(VENV)/dev  ## Pin the newest versions that pyproject.toml allows
	$(LOCK) pyproject.toml --upgrade -o requirements.lock
	$(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) pyproject.toml --upgrade --group bench -o requirements-bench.lock
	$(LOCK) --upgrade --group mutants -o requirements-mutants.lock
	cd benchmarks/peers/bullmq && npm update --package-lock-only --omit-lockfile-registry-resolved

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Amazon Pilot needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.lock | $(PY)
	$(PIP) -r requirements.lock
	@touch $@

# The other queues need other versions of what rq-scheduler needs, so they live in an environment of their own.
$(VENV)/peers/ready: requirements-bench.lock benchmarks/peers/bullmq/package-lock.json | $(PY)
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.lock
	@mkdir -p $(VENV)/peers/bullmq && cp benchmarks/peers/bullmq/package*.json $(VENV)/peers/bullmq/
	@if command -v npm >/dev/null; then npm ci --prefix $(VENV)/peers/bullmq --ignore-scripts --no-audit --no-fund --silent; fi
	@touch $@

# What makes mutants needs other versions than we do, and nothing of ours.
$(VENV)/mutants/ready: requirements-mutants.lock | $(PY)
	$(PYTHON) -m venv $(VENV)/mutants
	$(VENV)/mutants/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-mutants.lock
	@touch $@

$(VENV)/dev: requirements-dev.lock | $(PY)
	$(PIP) -r requirements-dev.lock
	@touch $@ $(VENV)/runtime
