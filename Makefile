# Atelier: train, publish, serve and evaluate. `make up` does it all; `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help up down study evaluate predict drift release rollback history restart logs ps clean lint test site soak bench lock venv sbom audit image

# Settings, given as `make up NAME=value`.
export ENGINE JOB GPU RETRAIN WORKERS REPLICAS GRPC_PORT REST_PORT ROWS FORCE
export CONSOLE OBSERVE CONSOLE_PORT PROMETHEUS_PORT GRAFANA_PORT
export RELEASE FOLLOW_NEWEST VERSION GATE RAMP HOLD KEEP REASON AT
export PYTHON TENSORFLOW
# These names are common: what an environment has under them (NAME is a host's name in places) is no setting.
IMPORT := MODEL EXAMPLES LABELS NAME LABEL_COLUMN OUTPUT TASK
$(foreach name,$(IMPORT),$(if $(filter command,$(origin $(name))),$(eval export $(name)),$(eval unexport $(name))))
STACK := python3 -m stack
# Each has an environment of its own, by the names of stack/engines/development.py.
BIN := .venv$(addprefix -py,$(PYTHON))$(addprefix -tf,$(TENSORFLOW))/bin
# What another Python or TensorFlow can change. The other tests make checkouts with environments of their own.
TESTS := $(if $(PYTHON)$(TENSORFLOW),$(addprefix tests/,trainer serving client conformance console examples))

help:  ## list the targets (this text)
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  settings: ENGINE=auto|compose|local JOB=fashion-dense GPU=1 RETRAIN=1 WORKERS=2 REPLICAS=3 GRPC_PORT=8500 REST_PORT=8501 FORCE=1"
	@echo "  a model you have: MODEL=path EXAMPLES=path LABELS=path NAME=name LABEL_COLUMN=name OUTPUT=name TASK=name"
	@echo "  beside it: CONSOLE=0 OBSERVE=1 CONSOLE_PORT=8600 PROMETHEUS_PORT=9090 GRAFANA_PORT=3000"
	@echo "  for venv, test, soak: PYTHON=3.11|3.12|3.13 TENSORFLOW=2.21"
	@echo "  releases: RELEASE=0 FOLLOW_NEWEST=1 VERSION=n GATE=gate.yaml RAMP=1,10,50,100 HOLD=30s KEEP=n REASON=text"

up:  ## set up, train (or import MODEL=path), publish, serve, evaluate; serving stays up
	@$(STACK) up

study:  ## train the jobs of a study (JOB=imdb, JOB=fashion) and compare them
	@$(STACK) study

down:  ## stop serving; models, data and reports stay
	@$(STACK) down

evaluate:  ## evaluate the served model again (JOB=..: that job's)
	@$(STACK) evaluate

predict:  ## classify test examples over gRPC (ROWS=0:5, JOB=..)
	@$(STACK) predict

drift:  ## compare the kept requests with what the model was trained on (JOB=..)
	@$(STACK) drift

release:  ## take the newest version (VERSION=n) through the gate to stable (GATE RAMP HOLD KEEP REASON)
	@$(STACK) release

rollback:  ## make the version before stable again (VERSION=n: that one)
	@$(STACK) rollback

history:  ## show which version was stable when (AT=2026-11-24T12:00: then)
	@$(STACK) history

restart:  ## start every server again, one after the other; with REPLICAS=2 or more somebody answers all the time
	@$(STACK) restart

logs:  ## print the server's log, and those of what runs beside it
	@$(STACK) logs

ps:  ## show what runs, its addresses, and every model
	@$(STACK) ps

clean:  ## stop, and delete what these commands wrote (FORCE=1: your files beside it too)
	@$(STACK) clean

venv:  ## make .venv with the components and the development tools
	@$(STACK) venv

lint: venv  ## check style, types and workflows (what pre-commit runs)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy stack deploy docs/tools examples client/atelier_client console/atelier_console serving/atelier_serving trainer/atelier_trainer tests
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet --pedantic .github
	$(BIN)/hadolint client/Dockerfile console/Dockerfile serving/Dockerfile trainer/Dockerfile deploy/observe/debian/Dockerfile
	$(BIN)/shellcheck .ci/run examples/mutual_tls/make_certificates.sh stack/lock.sh

test: lint  ## lint, and run all tests but the long ones (PYTHON=3.12, TENSORFLOW=2.21: the components' tests with it)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(TESTS)

site: venv  ## execute the tutorials, build the documentation site in site/
	$(BIN)/python -m docs.tools.tutorials .atelier/tutorials
	NO_MKDOCS_2_WARNING=1 ATELIER_TUTORIALS=.atelier/tutorials $(BIN)/python -m mkdocs build --strict
	@echo "The site: site/index.html"

soak: venv  ## run the long tests, and all tests of the server with its other gRPC front
	$(BIN)/python -m pytest -m soak -s
	ATELIER_GRPC_FRONT=grpcio $(BIN)/python -m pytest -m "soak or not soak" -s tests/serving tests/soak

bench: venv  ## measure against peers (PART=trainer, serving, client, releases, drift or scale: that part alone); writes docs/benchmarks.md
	$(BIN)/python -m benchmarks $(PART)

lock:  ## resolve the lock files anew (needs uv)
	stack/lock.sh

sbom: venv  ## write bills of materials (CycloneDX) of distributions and images: sbom/
	$(BIN)/python -m deploy.supply.sbom sbom

audit: venv  ## look up known vulnerabilities of the locked packages (exit 3: no service in reach)
	$(BIN)/python -m deploy.supply.audit

image:  ## put a published version into an OCI image (MODEL=name VERSION=n)
	@$(STACK) image
