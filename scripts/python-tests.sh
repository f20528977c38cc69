#!/bin/sh
# Runs the tests with other authors' Python clients (tests/python), which it installs from requirements.txt into target/.
# PLAZA_BIN names the server (default target/debug/plaza, from `cargo build`). --prepare only installs the clients.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/python-venv
wanted=$root/tests/python/requirements.txt
PLAZA_BIN=${PLAZA_BIN:-$root/target/debug/plaza}
export PLAZA_BIN

# Copied only after a complete installation, so that the next run repairs an interrupted one.
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv" || {
        echo "python-tests: no virtual environment could be made; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
[ "${1:-}" != --prepare ] || exit 0
if [ ! -x "$PLAZA_BIN" ]; then
    echo "python-tests: there is no server at $PLAZA_BIN; run cargo build, or set PLAZA_BIN" >&2
    exit 1
fi
PLAZA_BIN=$(realpath "$PLAZA_BIN")
cd "$root/tests/python"
exec "$venv/bin/python" -B -m unittest discover --start-directory . "$@"
