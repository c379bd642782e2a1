# flashsale: `make help` lists what can be made.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
SERVICES := scripts/services.sh

.PHONY: help run test events test-tls test-pgbouncer faults rolling soak histories actions mutations mutants bench ci format lint openapi configuration metrics-doc contract client-types api-changes docs packaging observability alerts pages screenshots image-check services services-down

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start everything (servers, migrate, seed, serve, work); one Ctrl-C stops it all
	@scripts/run.sh

test: ## start real servers, then run all tests, three at a time: most of them wait for a server or a browser
	@$(SERVICES) up cluster
	@eval "$$($(SERVICES) env)" && RUST_TEST_THREADS=$${RUST_TEST_THREADS:-3} cargo test --workspace

events: ## 10,000 orders while workers, Kafka and PostgreSQL are killed 20 times: every consumer of events sees each one (some minutes)
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && FLASHSALE_TEST_EVENT_ORDERS=10000 FLASHSALE_TEST_EVENT_KILLS=20 \
		cargo test --test integration -- events::kills

test-tls: ## the integration tests over TLS to PostgreSQL, Redis and Kafka at once
	@scripts/test_mode.sh tls

test-pgbouncer: ## the integration tests with PgBouncer in transaction mode before PostgreSQL
	@scripts/test_mode.sh pgbouncer

faults: ## every fault on real servers, under load; writes the table of docs/RELIABILITY.md (half an hour)
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && cargo test --test faults -- --all

rolling: ## RESTARTS (10) rolling restarts of two nodes behind HAProxy and nginx: no request fails
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && cargo test --test rolling -- --restarts $(or $(RESTARTS),10)

soak: ## faults at random, sale after sale, for MINUTES (10), on TOPOLOGY: single, or clusters (three brokers, a Redis Cluster)
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && cargo test --test faults -- --soak $(or $(MINUTES),10) --topology $(or $(TOPOLOGY),single)

histories: ## HISTORIES (200000) simulated histories from SEED (a random one): many more than `make test` plays (some minutes)
	@cargo run --quiet -p flashsale-simulator -- --histories $(or $(HISTORIES),200000) $(if $(SEED),--seed $(SEED))

actions: ## KILLS (100) actions of an operator, with an API node, a worker or Redis killed during each
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && cargo test --test faults -- --actions $(or $(KILLS),100)

bench: ## measure every path, what growth costs, and the pieces; writes the tables of docs/PERFORMANCE.md (half an hour)
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && cargo bench --bench speed
	@eval "$$($(SERVICES) env)" && cargo bench --bench pieces
	@cargo bench --bench embedded
	@cargo bench --bench login_flood
	@cargo bench --bench listeners
	@cargo bench --bench stress_client

mutations: ## take rules out one by one and see the simulator notice; takes half an hour
	@scripts/mutations.sh

mutants: ## change the functions that differ from BASE (HEAD~1) and see which changes no library test notices
	@scripts/mutants.sh $(or $(BASE),HEAD~1)

ci: format packaging lint docs test contract observability pages ## all that has to be green: format, packaging, lints, documentation, tests, the contract with clients, the pages

format: ## check the format
	cargo fmt --all --check

lint: ## clippy
	cargo clippy --workspace --all-targets -- -D warnings

openapi: ## write the OpenAPI document of the code to docs/openapi.json
	@cargo run --quiet -- openapi >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

configuration: ## write docs/CONFIGURATION.md from config/default.toml
	@awk -f scripts/configuration.awk config/default.toml >docs/CONFIGURATION.md

metrics-doc: ## write docs/METRICS.md from the table of metrics (src/telemetry/metric.rs)
	@WRITE=1 cargo test --quiet --test architecture the_document_is_that_of_the_table

contract: ## the OpenAPI document against its linters, generated clients and a running server; the TypeScript client; presses by other clients
	@scripts/contract.sh

client-types: ## write the types of clients/typescript from docs/openapi.json
	@scripts/contract/client.sh types

api-changes: ## changes of docs/openapi.json since BASE (the last release) that break clients
	@scripts/contract/api_changes.sh $(BASE)

docs: ## build the documentation of the code
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet

packaging: ## Dockerfile, compose file, Kubernetes manifests, scripts, spelling, dependencies; installs its tools into target/tools
	@scripts/packaging.sh

observability: ## rules with promtool, metrics of running processes, every query of the dashboard, a trace span by span, the fields of the logs
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && scripts/observability.sh check

alerts: ## every alert fired by a fault on a running system, before a real Prometheus (4 minutes)
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)" && scripts/observability.sh alerts $(NAME)

pages: ## types, lints and form of the pages of web/, and Lighthouse against a running server
	@scripts/pages.sh

screenshots: ## a picture of every state of the pages, in both themes and at three widths or more, in target/pages/screenshots
	@scripts/pages.sh screenshots $(NAME)

image-check: ## run the Dockerfile's steps without an engine, from what .dockerignore lets through (some minutes; root)
	@nice -n 10 scripts/image.py --full

services: ## start PostgreSQL, Redis, Kafka and a Redis Cluster for development
	@$(SERVICES) up cluster

services-down: ## stop them
	@$(SERVICES) down
