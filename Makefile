# Short names for the commands of this project. `make` lists them.

.DEFAULT_GOAL := help
.PHONY: help check test test-all docs bench deb metrics

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

check: ## format check and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

test: ## the quick tests: installs nothing, needs no root
	tests/run --quick

test-all: ## everything that CI runs
	.ci/run

docs: ## the API documentation of the crate, and every command of README.md and docs/
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps
	cargo test --locked --test docs

bench: ## the benchmarks; see docs/performance.md for what each measures
	cargo bench --locked

deb: ## both Debian packages, in target/debian
	systemd/deb/build

metrics: ## the size and shape of the sources
	@cargo test --locked --quiet --test policy metrics -- --nocapture
