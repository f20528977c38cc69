#!/bin/sh
# Starts uWebSockets (uws.c) on a port, 14480 unless another one is given. The first start fetches the Python package
# `socketify`, which carries uWebSockets as a library, and compiles uws.c against it into target/rivals/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../target/rivals version=0.0.31
mkdir -p "$out"
if [ ! -e "$out/libsocketify.so" ]; then
    python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$out" "socketify==$version" >&2
    tar -xzf "$out/socketify-$version.tar.gz" -C "$out"
    cp "$out/socketify-$version/src/socketify/libsocketify_linux_amd64.so" "$out/libsocketify.so"
fi
if [ ! -x "$out/uws" ] || [ "$here/uws.c" -nt "$out/uws" ]; then
    cc -O2 -Wall -o "$out/uws" "$here/uws.c" "$out/libsocketify.so" -Wl,-rpath,"$(cd "$out" && pwd)" \
        -Wl,--unresolved-symbols=ignore-in-shared-libs
fi
[ "${1:-}" = --build ] || exec "$out/uws" "$@"
