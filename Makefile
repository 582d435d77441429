.DEFAULT_GOAL := help
SHELL := /bin/bash

.PHONY: help setup run test lint soak fuzz lock bench screenshots

help: ## Say what can be made here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

setup: ## Prepare .venv/ (and install or name what the system lacks)
	@scripts/setup.sh

run: setup ## Open the window (without a display: render the demo into build/screenshots/)
	@scripts/run.sh $(ARGS)

test: setup ## Run all checks and all tests (PARTS="lint unit integration ui faults live" chooses)
	@scripts/test.sh $(PARTS)

lint: setup ## Run the checks alone
	@scripts/test.sh lint

soak: setup ## Spoil networks, kill processes and compare for SECONDS=600 each (SEED=n repeats a run)
	@MISSION_CONTROL_FAULT_SECONDS=$(or $(SECONDS),600) MISSION_CONTROL_FAULT_SEED=$(or $(SEED),0) scripts/test.sh faults

lock: ## Make requirements.lock again from pyproject.toml (needs uv; UPGRADE=1 takes the newest)
	@scripts/lock.sh

bench: setup ## Measure the whole way from an agent's word to paint (results as JSON in build/)
	@.venv/bin/python -m benchmarks.end_to_end $(ARGS)

fuzz: setup ## Attack the HTTP contract and the sockets at length (CASES=300 per operation and role)
	@MISSION_CONTROL_FUZZ=$(or $(CASES),100) .venv/bin/python -m pytest -q --timeout=0 \
		tests/integration/test_server_schemathesis.py tests/integration/test_server_fuzz.py

screenshots: setup ## Make pictures of every room (build/screenshots/), and those of docs/ again
	@QT_QPA_PLATFORM=offscreen .venv/bin/python scripts/screenshots.py $(ARGS)
