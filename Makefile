.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help setup
help:  ## What can be made here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: ## Prepare .venv/ (and say what the system lacks)
	@scripts/setup.sh
