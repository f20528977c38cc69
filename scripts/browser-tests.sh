#!/usr/bin/env bash
# Runs all tests of the pages: the modules in Node, then the pages in Chromium against a real server.
#
#   scripts/browser-tests.sh [--prepare]
#
# --prepare        only installs what is missing
# PLAZA_BIN        the server to test (default: builds target/debug/plaza)
# PLAZA_SEED_PAGE  a file with the page of document 004; without it the script reports one skipped test
# Installs missing parts: Chromium, a font with Chinese characters and Node (from Debian, as root or through sudo), and two npm
# packages under web/.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
has_chinese_font() { fc-list :lang=zh 2>/dev/null | grep -q .; }
missing=()
command -v chromium >/dev/null || missing+=(chromium)
# A separate check: without such a font, Chromium draws boxes.
has_chinese_font || missing+=(fontconfig fonts-wqy-microhei)
command -v npm >/dev/null || missing+=(nodejs npm)
if [ ${#missing[@]} -gt 0 ]; then
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
fi
# Copied only after a complete installation, so that the next run repairs an interrupted one.
if ! cmp -s web/package-lock.json web/node_modules/installed-lock.json; then
    (cd web && npm ci --no-audit --no-fund)
    cp web/package-lock.json web/node_modules/installed-lock.json
fi
[ "${1:-}" != --prepare ] || exit 0

(cd web && npm run --silent test)

if [ -z "${PLAZA_BIN:-}" ]; then
    cargo build --bin plaza
    PLAZA_BIN=target/debug/plaza
fi
PLAZA_BIN=$(realpath "$PLAZA_BIN")
export PLAZA_BIN

out=$(mktemp)
# The server takes PLAZA_… variables for settings and refuses unknown ones, so the script removes its own.
env -u PLAZA_BIN -u PLAZA_SEED_PAGE "$PLAZA_BIN" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --memory >"$out" &
server=$!
cleanup() {
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -f "$out"
}
trap cleanup EXIT

for _ in $(seq 300); do
    PLAZA_URL=$(sed -n 's|.*listening on \(http://[^ ]*\).*|\1|p' "$out" | head -n 1)
    [ -n "$PLAZA_URL" ] && break
    kill -0 "$server" 2>/dev/null || { echo "browser-tests: the server ended before it listened" >&2; exit 1; }
    sleep 0.1
done
[ -n "$PLAZA_URL" ] || { echo "browser-tests: no line 'listening on http://…' on the server's stdout within 30 s" >&2; exit 1; }
export PLAZA_URL
[ -n "${PLAZA_SEED_PAGE:-}" ] || echo "browser: SKIPPED, the page of document 004 itself: PLAZA_SEED_PAGE does not name it; a page like it is tested" >&2

(cd web && npm run --silent test:browser)
