#!/bin/sh
# The control tree of many hosts on this machine: agents without guests, each on an address of the loopback. What a
# command to all of them takes is compared with what as many processes take that this machine starts one after another,
# in the same run: look at the ratio, not at the seconds.
# usage: bench-tree.sh [HOSTS [BIN]]
# What links carry while nothing is asked is counted on the loopback, in a network namespace of this script's own.
# With a second BIN, of another version, its agents are measured the same way in turn: OTHER=BIN bench-tree.sh
set -eu
if [ -z "${BENCH_TREE_NET:-}" ]; then
  # Only root may do without a user namespace.
  [ "$(id -u)" = 0 ] && apart="unshare -n" || apart="unshare -rn"
  exec env BENCH_TREE_NET=1 $apart sh -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
cd "$(dirname "$0")/.."
hosts=${1:-1000}
bin=${2:-$PWD/bin}
work=$(mktemp -d)
agents=
stop() {
  for agent in $agents; do kill "$agent" 2>/dev/null || true; done
  agents=
  wait
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
row() { printf '%-58s %s\n' "$1" "$2"; }
ms() { echo $(($(date +%s%N) / 1000000)); }
median() { sort -n "$1" | sed -n "$((($(wc -l <"$1") + 1) / 2))p"; }

ulimit -n "$(ulimit -Hn)"

start() { # BIN
  export VMATIC_KEY="$work/key"
  printf 'name = "tree"\n[plan]\nhosts = %s\nguests = 0\nhost_network = "127.20.0.0/16"\n' "$hosts" >"$work/spec.toml"
  "$1/vmatic" build "$work/spec.toml" --out "$work/out" >"$work/build" 2>&1 || { cat "$work/build"; exit 1; }
  rm -rf "$work/root"
  "$1/vmatic" unpack "$work/root" "$work/out" >/dev/null
  for number in $(seq "$hosts"); do
    address=127.20.$((number / 256)).$((number % 256))
    "$1/vmatic-agent" node --no-guests --host "$number" --listen "$address:7117" \
      --plan "$work/root/etc/vmatic/plan" --operator "$work/root/etc/vmatic/operator.pub" --cmdline '' \
      2>>"$work/log" &
    agents="$agents $!"
  done
  until "$1/vmatic" run --connect 127.20.0.1 . -- true 2>&1 | grep -q "^$hosts nodes: $hosts ok"; do sleep 1; done
}

lo() { awk -v field="$1" '$1 == "lo:" { print $field }' /proc/net/dev; } # 2: bytes received, 3: packets
a_node() { echo "$1" "$2" "$hosts" | awk '{ printf "%.2f", ($2 - $1) / 30 / ($3 - 1) }'; }

measure() { # BIN NAME
  start "$1"
  sleep 10
  bytes=$(lo 2) packets=$(lo 3)
  sleep 30
  row "$2: idle, bytes a second and node" "$(a_node "$bytes" "$(lo 2)")"
  row "$2: idle, packets a second and node" "$(a_node "$packets" "$(lo 3)")"
  : >"$work/times"
  for _ in 1 2 3 4 5 6 7 8 9; do
    begun=$(ms)
    "$1/vmatic" run --connect 127.20.0.1 . -- true >/dev/null 2>&1
    echo $(($(ms) - begun)) >>"$work/times"
  done
  : >"$work/forks"
  for _ in 1 2 3; do
    begun=$(ms)
    seq "$hosts" | xargs -n 1 /bin/true
    echo $(($(ms) - begun)) >>"$work/forks"
  done
  took=$(median "$work/times")
  forks=$(median "$work/forks")
  row "$2: 'run . -- true' on $hosts hosts, ms" "$took"
  row "$2: the same number of processes one by one, ms" "$forks"
  row "$2: ratio" "$(echo "$took $forks" | awk '{ printf "%.2f", $1 / $2 }')"
  row "$2: resident memory of an agent, KiB" \
    "$(for agent in $agents; do sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$agent/smaps_rollup"; done 2>/dev/null |
      awk '{ all += $1 } END { printf "%d", all / NR }')"
  root=$(echo "$agents" | awk '{ print $1 }')
  row "$2: resident memory of the root, KiB" "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$root/status")"
  stop
}

measure "$bin" "this build"
[ -z "${OTHER:-}" ] || measure "$OTHER" "the other build"
