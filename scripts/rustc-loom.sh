#!/bin/sh
# For cargo's RUSTC_WORKSPACE_WRAPPER: compiles the unit tests of plaza with loom's models instead of the real primitives.
# With RUSTFLAGS the switch would also reach every dependency and compile each a second time.
case " $* " in
    *" --crate-name plaza "*" --test "*) set -- "$@" --cfg plaza_loom ;;
esac
exec "$@"
