#!/usr/bin/env bash
# Tests deploy/nginx.conf with a real nginx between clients and two servers: every dialect, the pages, client addresses, quiet
# connections, and the failover when the first server is killed.
#
#   scripts/nginx-tests.sh [--prepare]
#
# --prepare  only fetches nginx and the Python packages of scripts/python-tests.sh
# PLAZA_BIN  the server to test (default: builds target/debug/plaza)
#
# Without an installed nginx, the script unpacks Debian's package under target/ instead of installing it, so that no service
# starts, now or at the next boot. nginx runs as a private instance with its own directory and a free port, and does not affect
# another one on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

unpacked=target/nginx
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

fetch() {
    rm -rf "$unpacked"
    mkdir -p "$unpacked/package"
    (cd "$unpacked/package" && apt-get download -q nginx) && dpkg-deb -x "$unpacked"/package/nginx_*.deb "$unpacked"
}

nginx=$(PATH=$PATH:/usr/sbin command -v nginx || true)
if [ -z "$nginx" ]; then
    nginx=$PWD/$unpacked/usr/sbin/nginx
    # apt-get needs the lists of packages to download one.
    [ -x "$nginx" ] || fetch || { as_root apt-get update -q && fetch; }
fi
"$nginx" -v || {
    echo "nginx-tests: $nginx does not run here; install Debian's: apt-get install nginx" >&2
    exit 1
}
scripts/python-tests.sh --prepare
[ "${1:-}" != --prepare ] || exit 0

if [ -z "${PLAZA_BIN:-}" ]; then
    cargo build --bin plaza
    PLAZA_BIN=${CARGO_TARGET_DIR:-target}/debug/plaza
fi
NGINX=$nginx PLAZA_BIN=$PLAZA_BIN target/python-venv/bin/python scripts/nginx_tests.py
