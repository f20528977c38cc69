#!/usr/bin/env bash
# Tests deploy/nginx.conf with a real nginx between clients and two servers: every dialect, the pages, whose address is
# believed, quiet connections, and what happens when the first server is killed.
#
#   scripts/nginx-tests.sh [--prepare]
#
# --prepare  only fetches nginx
# PLAZA_BIN  the server to test (default target/debug/plaza, which is built)
#
# Where no nginx is installed, Debian's package is fetched and unpacked under target/: nothing is installed, so that no service
# of it starts, now or at the next boot. It runs as a private instance with its own directory and a free port; one that runs on
# this machine already is not touched.
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
    # Without lists of packages there is nothing to fetch from.
    [ -x "$nginx" ] || fetch || { as_root apt-get update -q && fetch; }
fi
"$nginx" -v || {
    echo "nginx-tests: $nginx does not run here; install Debian's: apt-get install nginx" >&2
    exit 1
}
[ "${1:-}" != --prepare ] || exit 0

if [ -z "${PLAZA_BIN:-}" ]; then
    cargo build --bin plaza
    PLAZA_BIN=${CARGO_TARGET_DIR:-target}/debug/plaza
fi
NGINX=$nginx PLAZA_BIN=$PLAZA_BIN python3 scripts/nginx_tests.py
