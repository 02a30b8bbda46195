#!/bin/sh
# The main job, end to end: build the images, boot a cluster from them, command all of it.
set -eu
cd "$(dirname "$0")/.."
spec=${1:-examples/laptop.toml}
PATH="$PWD/bin:$PATH"
start=$(date +%s)
vmatic build "$spec"
vmatic boot "$spec" -- examples/tour.sh
echo "demo: $(($(date +%s) - start)) s from spec to summary" >&2
