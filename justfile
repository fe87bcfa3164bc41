# Lists the recipes.
default:
    @just --list

# Everything that must pass before a merge, but for the real servers.
ci:
    .ci/run --quick

# Formatting, lints and documentation, warnings as errors.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked

# Every test that needs no other service.
test *args:
    cargo test --locked {{args}}

# The tests against real servers (Kafka, PostgreSQL, Postfix), which it starts and stops.
test-slow:
    dev/test-real

# Shows changed golden files one by one.
golden:
    cargo insta test --review

# Licences, advisories and sources of the dependencies.
deny:
    cargo deny check

# Writes what is made from code: the sample, README's output, pages of docs/reference.
docs:
    KEYWATCH_WRITE=1 cargo test --locked --test docs

# Fuzzes one target (auth_event, fact, redact) for some seconds.
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} fuzz/corpus/{{target}} fuzz/seeds/{{target}} -- -max_total_time={{seconds}}

# The program as it is shipped.
release:
    cargo build --profile dist --locked
