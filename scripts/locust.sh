#!/bin/sh
# A small run of the locust baseline: every old dialect, headless. A request is complete when the message's echo is back.
#
# Fails if a request fails or none is made. PLAZA_URL names a running server; without it the script starts PLAZA_BIN (default
# target/debug/plaza). LOCUST_USERS (10), LOCUST_SECONDS (10). Reports go to target/locust/.
# --prepare only creates the virtual environment (target/locust-venv), if it is missing.
set -eu
cd "$(dirname "$0")/.."
venv=target/locust-venv out=target/locust
mkdir -p "$out"
if ! cmp -s loadtest/locust/requirements.txt "$venv/installed"; then
    echo "installing locust into $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r loadtest/locust/requirements.txt
    cp loadtest/locust/requirements.txt "$venv/installed"
fi
[ "${1:-}" != --prepare ] || exit 0
server=
if [ -z "${PLAZA_URL:-}" ]; then
    bin=${PLAZA_BIN:-target/debug/plaza}
    [ -x "$bin" ] || { echo "$bin is not there: cargo build first, or set PLAZA_BIN or PLAZA_URL" >&2; exit 2; }
    # The server refuses PLAZA_ variables that are not its settings, and the script's own are not.
    env -u PLAZA_BIN -u PLAZA_URL -u PLAZA_PATH -u PLAZA_PACE_MS \
        "$bin" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --memory >"$out/server.log" 2>&1 &
    server=$!
    trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
    tries=0
    until PLAZA_URL=$(sed -n 's/.*listening on http:\/\/\([^ ]*\).*/ws:\/\/\1/p' "$out/server.log" | head -n 1) &&
        [ -n "$PLAZA_URL" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
            echo "$bin did not print its address:" >&2
            cat "$out/server.log" >&2
            exit 2
        fi
        sleep 0.1
    done
fi
failed=0
for dialect in communication chat_request chatroom; do
    rm -f "$out/$dialect.json"
    # PLAZA_PATH=/ws for a server that speaks one dialect only.
    PLAZA_PATH=${PLAZA_PATH:-/ws/$(echo "$dialect" | tr _ -)} "$venv/bin/locust" \
        -f "loadtest/locust/$dialect.py" --headless --host "$PLAZA_URL" \
        --users "${LOCUST_USERS:-10}" --spawn-rate "${LOCUST_USERS:-10}" --run-time "${LOCUST_SECONDS:-10}s" \
        --html "$out/$dialect.html" --csv "$out/$dialect" --json-file "$out/$dialect" \
        --only-summary --loglevel WARNING >"$out/$dialect.log" 2>&1 || failed=1
    "$venv/bin/python" - "$out/$dialect.json" "$dialect" <<'PY' || failed=1
import json, sys
rows = json.load(open(sys.argv[1]))
talks = sum(row["num_requests"] for row in rows if row["name"] == "talk")
bad = sum(row["num_failures"] for row in rows)
print(f"{sys.argv[2]}: {talks} talks, {bad} failures")
sys.exit(bad != 0 or talks == 0)
PY
done
[ "$failed" = 0 ] || { echo "see $out/*.log" >&2; exit 1; }
