#!/usr/bin/env bash
# Runs the Autobahn test suite (cases 1 to 7, 9, 10) against examples/echo, which uses the server's handshake, frame reader
# and frame writer. Prints a one-line summary; fails unless every case passes.
#
# The suite is Python 2 code, and runs in a virtual environment under target/. Without a Python 2.7 the script says so and
# succeeds: tests/conformance has the same 301 cases and runs with `cargo test`.
#
# --prepare only installs the suite.
# PYTHON2=/path/to/python2.7 names the interpreter, ECHO_BIN=… the built example; CASES="1.*,6.4.*" runs and judges fewer cases.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/autobahn
suite=$work/python2
cases=${CASES:-1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*}

find_python2() {
    local candidate
    for candidate in "${PYTHON2:-}" python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        # A pyenv shim may be in the path and not run.
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_suite() {
    [ -e "$work/installed" ] && "$suite/bin/wstest" --help >/dev/null 2>&1 && return
    rm -rf "$work/virtualenv" "$suite" "$work/installed"
    python3 -m venv "$work/virtualenv"
    # The last virtualenv that supports Python 2.7, and the last versions of the packages that run on it.
    "$work/virtualenv/bin/pip" install --quiet virtualenv==20.21.1
    "$work/virtualenv/bin/virtualenv" --quiet --python "$1" "$suite"
    "$suite/bin/pip" install --quiet \
        Twisted==19.10.0 autobahn==0.10.9 txaio==2.1.0 cryptography==3.3.2 autobahntestsuite==0.8.2
    touch "$work/installed"
}

if ! python2=$(find_python2); then
    echo "autobahn: SKIPPED, no Python 2.7 here; PYTHON2=/path/to/python2.7 names one. The same 301 situations run in tests/conformance" >&2
    exit 0
fi
mkdir -p "$work"
install_suite "$python2" >"$work/install.log" 2>&1 || {
    cat "$work/install.log" >&2
    echo "autobahn: FAILED, the test suite could not be installed (see above)" >&2
    exit 1
}
[ "${1:-}" != --prepare ] || exit 0
if [ -z "${ECHO_BIN:-}" ]; then
    cargo build --quiet --example echo
    ECHO_BIN=${CARGO_TARGET_DIR:-target}/debug/examples/echo
fi

rm -rf "$work/reports"
"$ECHO_BIN" 127.0.0.1:0 >"$work/echo.log" 2>"$work/echo.errors" &
echo_id=$!
trap 'kill "$echo_id" 2>/dev/null || true' EXIT
until address=$(sed -n 's/^listening on //p' "$work/echo.log") && [ -n "$address" ]; do
    kill -0 "$echo_id" || { cat "$work/echo.errors" >&2; exit 1; }
    sleep 0.05
done

python3 scripts/autobahn_judge.py spec "$address" "$cases" "$work/reports" >"$work/spec.json"
"$suite/bin/wstest" -m fuzzingclient -s "$work/spec.json" >"$work/wstest.log" 2>&1 || {
    tail -20 "$work/wstest.log" >&2
    echo "autobahn: FAILED, wstest ended with an error (see above)" >&2
    exit 1
}
python3 scripts/autobahn_judge.py judge "$work/reports/index.json" $([ -n "${CASES:-}" ] || echo 301)
