#!/bin/sh
# What one does with a cluster that is up. `vmatic boot SPEC -- examples/tour.sh` runs it and ends the cluster.
set -eu
show() { printf '\n$ %s\n' "$*" >&2; "$@"; }
show vmatic nodes
show vmatic run ./. -- uname -n
show vmatic run . -- uptime
show vmatic run ./. -- sh -c 'ip -4 -o addr show eth0 | cut -d" " -f7'
show vmatic run ./. -- uname -r
