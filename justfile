# What people and CI run. `just` alone lists it.

default:
    @just --list

# Everything but the case sets and the real API server
check: fmt lint doc test deny

fmt:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

test:
    cargo test --workspace

deny:
    cargo deny check licenses bans sources

# The pure layers without Git, for browsers and plugins
wasm:
    cargo build --target wasm32-unknown-unknown -p gitops-core --no-default-features
    cargo build --target wasm32-unknown-unknown -p gitops-render --no-default-features
    cargo build --target wasm32-unknown-unknown -p gitops-diff --no-default-features

# A case set against the library: `just conformance charts DIR`
conformance set dir *flags:
    cargo run --release -p gitops-testkit --bin conformance -- {{set}} {{dir}} {{flags}}

bench *args:
    cargo bench -p gitops-benches {{args}}

quickstart:
    cargo run --release --bin quickstart
