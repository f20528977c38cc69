#!/bin/sh
exec nginx -c "$(cd "$(dirname "$0")" && pwd)/nchan.conf" -g 'master_process off;'
