#!/usr/bin/env bash
# Tests deploy/nginx.conf with a real nginx between clients and two servers: every dialect, the pages, whose address is
# believed, quiet connections, and what happens when the first server is killed.
#
#   scripts/nginx-tests.sh
#
# PLAZA_BIN  the server to test (default target/debug/plaza, which is built)
# Installs Debian's nginx if there is none (as root or through sudo). It runs as a private instance with its own directory and a
# free port; one that runs on this machine already is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
nginx=$(PATH=$PATH:/usr/sbin command -v nginx || true)
if [ -z "$nginx" ]; then
    as_root apt-get update -q
    # Its service would take port 80: it is not started.
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
    as_root chmod +x /usr/sbin/policy-rc.d
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx
    nginx=$(PATH=$PATH:/usr/sbin command -v nginx)
fi
if [ -z "${PLAZA_BIN:-}" ]; then
    cargo build --bin plaza
    PLAZA_BIN=${CARGO_TARGET_DIR:-target}/debug/plaza
fi
NGINX=$nginx PLAZA_BIN=$PLAZA_BIN python3 scripts/nginx_tests.py
