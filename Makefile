# Everything one does with this tree. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test fmt lint unit doc-test deny docs-links docs-types docs-conflicts evidence soak hunt sabotage mutants drill bench

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

setup: ## Install what is missing (PostgreSQL, NATS, cargo tools); quick when nothing is
	@scripts/setup test

build: ## Compile everything, tests included
	cargo build --workspace --all-targets --locked

demo: ## Sync the sample company into simulated lists; EXIT=1 ends after the summary, else it stays up
	@scripts/setup demo
	cargo build --workspace --bins --locked
	target/debug/syncbridge dev --demo $(if $(EXIT),--exit)

test: ## Run every layer of tests; what CI runs
	@scripts/test

fmt: ## Check the formatting (`cargo fmt --all` repairs it)
	@scripts/test fmt

lint: ## Run clippy, warnings are errors
	@scripts/test clippy

unit: ## Build and run the tests of all crates, end-to-end tests included
	@scripts/test setup build nextest

doc-test: ## Run the examples in doc comments
	@scripts/test doc-tests

deny: ## Check licences, banned crates and sources of dependencies
	@scripts/test setup deny

docs-links: ## Check links, anchors and wording of the documentation
	@scripts/test docs

docs-types: ## Write docs/types.md from the product's table of types
	cargo run --quiet --locked -p syncbridge-domain --example type_matrix > docs/types.md

docs-conflicts: ## Write docs/conflicts.md from what reconciliation answers
	cargo run --quiet --locked -p syncbridge-domain --example conflict_table > docs/conflicts.md

evidence: ## Write docs/status.md and print requirement -> proof -> result
	@scripts/evidence

soak: ## Kill the workers again and again, KILLS=n sets how often (500); compare schedules at every change of every clock
	@scripts/setup test
	cargo build --workspace --all-targets --locked
	SYNCBRIDGE_SOAK_KILLS=$(or $(KILLS),500) cargo nextest run --workspace --locked --profile soak -E 'test(/(^|::)a_08_|^two_way_chaos::c_04_/)'
	SYNCBRIDGE_SOAK_ZONES=all cargo nextest run --workspace --locked --profile soak -E 'test(/::d_03_every_change_of_every_zone/)'

hunt: ## Simulate fresh histories until one breaks an invariant; SEEDS=n says how many (10000), ARGS=… passes options on
	cargo build --release --locked -p syncbridge-simulation --bin hunt
	target/release/hunt --fresh --seeds $(or $(SEEDS),10000) --jobs $(shell getconf _NPROCESSORS_ONLN) $(ARGS)

sabotage: ## Build known mistakes in, each switchable, and tell which seed of the simulation shows each; SEEDS=n (5000), ARGS=… passes options on (ARGS='-o json')
	@SYNCBRIDGE_SABOTAGE_SEEDS=$(SEEDS) scripts/sabotage $(ARGS)

mutants: ## Break the code in small ways and tell what no test notices; ARGS=… passes options on (ARGS='domain', ARGS='apply --shard 0/20')
	scripts/mutants $(ARGS)

drill: ## Lose the ledger of a large list and take it over again; ROWS=n sets how large (1000000)
	@scripts/setup test
	cargo build --workspace --all-targets --locked
	cargo build --workspace --bins --release --locked
	SYNCBRIDGE_PROGRAM=$(CURDIR)/target/release/syncbridge SYNCBRIDGE_DRILL_ROWS=$(or $(ROWS),1000000) cargo nextest run \
		-p syncbridge-end-to-end --locked --profile soak -E 'test(/b_06_a_lost_ledger/)'

bench: ## Measure, and compare with the committed bounds, about half an hour; ARGS=… passes options on (ARGS='-o json')
	cargo build --workspace --release --locked --bin bench --bin graph-sim --bin syncbridge
	target/release/bench --check $(ARGS)
