#!/bin/sh
# The same fan-out on what a user would pick instead: nats-server over WebSocket, nginx with Nchan, uWebSockets.
#
#   apt-get install nats-server nginx libnginx-mod-nchan libuv1
#   loadtest/rivals/run.sh nats --in-flight 1          any argument of `plaza-load fanout`
#   loadtest/rivals/run.sh nchan --rate 300 -n 1000
#
# The server is pinned to core 0 and the generator to core 1. SERVER_CORE, LOAD_CORE and LOAD (the plaza-load program)
# change that. None of them keeps one order among several senders, hence --any-order.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
load=${LOAD:-$here/../../target/release/plaza-load}
server_core=${SERVER_CORE:-0} load_core=${LOAD_CORE:-1}
[ -x "$load" ] || { echo "$load is not there: cargo build --release -p plaza-loadtest, or set LOAD" >&2; exit 2; }
rival=${1:-}
[ $# -gt 0 ] && shift
case $rival in
nats)
    command -v nats-server >/dev/null || { echo "nats-server is not installed: apt-get install nats-server" >&2; exit 2; }
    # One scheduler thread, as the others have one core.
    export GOMAXPROCS=1
    server="nats-server -c $here/nats.conf" url=ws://127.0.0.1:14280 dialect=nats
    ;;
nchan)
    [ -e /usr/share/nginx/modules-available/mod-nchan.conf ] ||
        { echo "Nchan is not installed: apt-get install nginx libnginx-mod-nchan" >&2; exit 2; }
    # nginx works in a child process; without a master the process that is started is the one that is measured.
    server="$here/nchan.sh" url=ws://127.0.0.1:14380 dialect=raw
    ;;
uws)
    "$here/uws.sh" --build
    server="$here/uws.sh 14480" url=ws://127.0.0.1:14480 dialect=raw
    ;;
*)
    echo "usage: $0 nats|nchan|uws [arguments of plaza-load fanout]" >&2
    exit 2
    ;;
esac
exec "$load" fanout --server-cmd "$server" --url "$url" --dialect "$dialect" --any-order \
    --server-core "$server_core" --load-core "$load_core" "$@"
