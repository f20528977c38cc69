#!/usr/bin/env bash
# Runs a fuzz target: scripts/fuzz.sh [--prepare] [TARGET] [SECONDS], by default frame_reader for 60 seconds. --prepare only
# compiles the target.
# Needs a nightly toolchain and cargo-fuzz (`cargo install cargo-fuzz`); without them the script says so and succeeds. `cargo test`
# checks the same properties on random streams.
set -euo pipefail
cd "$(dirname "$0")/.."

run=fuzz
if [ "${1:-}" = --prepare ]; then
    run=build
    shift
fi
target=${1:-frame_reader}
seconds=${2:-60}
export PATH="$PATH:$PWD/target/cargo-fuzz/bin"

# Without RUSTUP_AUTO_INSTALL=0 this check would install one.
if ! RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: SKIPPED, no nightly toolchain here; \`rustup toolchain install nightly\` gets one" >&2
    exit 0
fi
if ! command -v cargo-fuzz >/dev/null; then
    echo "fuzz: SKIPPED, cargo-fuzz is missing; \`cargo install cargo-fuzz\` gets it" >&2
    exit 0
fi

if [ "$run" = build ]; then
    cargo +nightly fuzz build "$target"
    exit 0
fi
mkdir -p "fuzz/corpus/$target"
cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -print_final_stats=1
echo "fuzz: PASSED, $target ran for $seconds s"
