#!/bin/sh
# On Lambda the adapter is an extension, a process beside the server: web_adapter.sh ADAPTER SERVER...
adapter=$1
shift
"$adapter" &
exec "$@"
