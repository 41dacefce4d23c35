# Every command that contributors need. `just` lists them.

_default:
    @just --list --unsorted

# The service and the stand-in for eGain on loopback
dev:
    cargo run --release -- dev

# Format, lints, and what may be built in, without tests
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
    cargo deny --locked check bans licenses sources

# Rust's tests, all or those whose name contains a word
test *WORD:
    cargo test --locked {{ WORD }}

# All tests: Rust, fuzzing, client libraries, proxies, Prometheus, Chromium, manifests, image, memory
all:
    tests/all

# All that a change has to pass
ci:
    .ci/run

# Rewrite docs/faults.md from the faults as they are provoked
faults:
    FAULTS=write cargo test --locked --test e2e fault_table

# Fuzz each target for 60 seconds; `just fuzz 600 form` for one target and longer
fuzz *ARGS:
    fuzz/run {{ ARGS }}

# Time single parts, or those whose name contains a word
bench *WORD:
    cargo bench --locked {{ WORD }}

# Compare cost with nginx and HAProxy; `--write` puts it into docs/performance.md
compare *ARGS:
    benches/compare {{ ARGS }}

# Compare the work of two commits: instructions, allocations, bytes moved
regress BASE="--self-test" HEAD="":
    benches/regress {{ BASE }} {{ HEAD }}

# Callers and failing upstreams for 600 seconds, then compare every count
soak SECONDS="600":
    benches/soak {{ SECONDS }}

# Memory of uploads in flight; `--slow` for slow receivers
memory *ARGS:
    benches/memory {{ ARGS }}

# The bill of materials (CycloneDX) and the licences of what is in the program, in target/sbom
sbom:
    deploy/sbom target/sbom
