# The developer's front door: `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help venv demo up down status test test-fast lint bench install uninstall clean

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))) python3)
BOOTSTRAP := $(PYTHON) deploy/local/bootstrap.py
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python
LOCAL := $(IN_VENV) -m deploy.local
# Much of a test is waiting. Each file has its services to itself.
SIDE_BY_SIDE = -n $(or $(AT_ONCE),2) --dist loadfile

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## one picture, computed in containers by three givers, one of which lies
	@$(BOOTSTRAP) local demo
	@$(IN_VENV) -m deploy.demo $(ARGS)

up: ## start a local stack to play with (GIVERS=3)
	@$(BOOTSTRAP) local
	@$(LOCAL) up $(if $(GIVERS),--givers $(GIVERS))

down: ## stop the local stack; its data stay
	@if [ -d .local ]; then $(BOOTSTRAP) local && $(LOCAL) down; fi

status: ## what of the local stack runs, and where
	@$(BOOTSTRAP) local
	@$(LOCAL) status

test: ## all tests, on real services, which are seen to (ARGS= for pytest, AT_ONCE=2)
	@$(BOOTSTRAP) local demo bench dev
	@$(LOCAL) infra --package debootstrap --package docker-registry --package iproute2=ip --package systemd-container=systemd-nspawn -- .venv/bin/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-fast: ## tests that need no service: seconds
	@$(BOOTSTRAP) local demo bench dev
	@.venv/bin/python -m pytest tests/unit -q $(SIDE_BY_SIDE) --hypothesis-profile=quick $(ARGS)

lint: ## ruff, mypy, the import rules
	@$(BOOTSTRAP) local demo bench dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: ## throughput and latency beside Celery, then placement (ARGS= for the former)
	@$(BOOTSTRAP) local bench
	@$(IN_VENV) -m benchmarks $(ARGS)
	@$(IN_VENV) -m benchmarks.placement

install: ## as root: services under systemd, upgraded if they are there (SERVICES=giver)
	@$(PYTHON) deploy/systemd/install.py install $(or $(SERVICES),giver) $(ARGS)

uninstall: ## as root: take them away; settings and state stay (SERVICES=giver)
	@$(PYTHON) deploy/systemd/install.py uninstall $(or $(SERVICES),giver)

venv: ## only the virtual environment, with everything in it
	@$(BOOTSTRAP) local demo bench dev

clean: down ## remove the local stack's data, the virtual environment and all caches
	@if [ -d .local ]; then $(LOCAL) clean; fi
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
