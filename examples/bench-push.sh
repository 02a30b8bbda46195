#!/bin/sh
# A file to hosts behind links of a known rate, in network namespaces of this machine: how long until each has it in its
# place, and how much the source sends, beside what the rate alone takes (S/B).
# usage: bench-push.sh [HOSTS [MIB [MBIT [BIN]]]]    needs root, ip(8) and tc(8)
set -eu
cd "$(dirname "$0")/.."
hosts=${1:-7} mib=${2:-64} mbit=${3:-200} bin=${4:-$PWD/bin}
work=$(mktemp -d)
id=vmb$$
stop() {
  [ -z "${agents:-}" ] || kill $agents 2>/dev/null || true
  wait
  for name in w c $(seq "$hosts"); do ip netns del "$id$name" 2>/dev/null || true; done
  rm -rf "$work"
}
agents=
trap stop EXIT
trap 'exit 130' INT TERM
row() { printf '%-58s %s\n' "$1" "$2"; }
ms() { echo $(($(date +%s%N) / 1000000)); }
shape() { ip netns exec "$1" tc qdisc add dev "$2" root tbf rate "${mbit}mbit" burst 64k latency 50ms; }
machine() { # NAME ADDRESS: behind a link of the rate, both ways
  ip netns add "$id$1"
  ip -n "$id$1" link set lo up
  ip -n "${id}w" link add "p$1" type veth peer name eth0 netns "$id$1"
  ip -n "${id}w" link set "p$1" master br0 up
  ip -n "$id$1" link set eth0 up
  ip -n "$id$1" addr add "$2/16" dev eth0
  shape "$id$1" eth0
  shape "${id}w" "p$1"
}
start() { # NUMBER: its files are its own
  ip netns exec "$id$1" sh -ec 'mount -t tmpfs none /mnt; exec "$@"' sh "$bin/vmatic-agent" node --no-guests \
    --host "$1" --plan "$work/root/etc/vmatic/plan" --operator "$work/root/etc/vmatic/operator.pub" --cmdline '' \
    2>>"$work/log" &
  agents="$agents $!"
  eval "agent$1=$!"
}
vmatic() { ip netns exec "${id}c" env XDG_STATE_HOME="$work" VMATIC_CONNECT=172.20.0.1 "$bin/vmatic" "$@"; }
sent() { ip netns exec "${id}c" cat /sys/class/net/eth0/statistics/tx_bytes; }

export VMATIC_KEY="$work/key"
printf 'name = "push"\n[plan]\nhosts = %s\nguests = 0\nfanout = %s\nhost_network = "172.20.0.0/16"\n' \
  "$hosts" "${FANOUT:-16}" >"$work/spec.toml"
"$bin/vmatic" build "$work/spec.toml" --out "$work/out" >"$work/build" 2>&1 || { cat "$work/build"; exit 1; }
"$bin/vmatic" unpack "$work/root" "$work/out" >/dev/null
ip netns add "${id}w"
ip -n "${id}w" link add br0 type bridge
ip -n "${id}w" link set br0 up
machine c 172.20.255.1
for number in $(seq "$hosts"); do machine "$number" "172.20.0.$number"; start "$number"; done
until vmatic run . -- true 2>&1 | grep -q "^$hosts nodes: $hosts ok"; do sleep 1; done

measure() { # WHAT, and in between
  head -c "${mib}M" /dev/urandom >"$work/file"
  before=$(sent) begun=$(ms)
  vmatic push "$work/file" .:/mnt/file >"$work/out.txt" 2>&1 &
  push=$!
  "$2"
  wait "$push" || true
  took=$(($(ms) - begun)) bytes=$(($(sent) - before))
  tail -n 1 "$work/out.txt"
  row "$1: seconds, and times S/B" "$(echo "$took $mib $mbit" |
    awk '{ least = $2 * 8 * 1.048576 / $3; printf "%.2f, %.2f", $1 / 1000, $1 / 1000 / least }')"
  row "$1: the source sends, times the file" "$(echo "$bytes $mib" | awk '{ printf "%.3f", $1 / $2 / 1048576 }')"
  sum=$(sha256sum <"$work/file" | cut -d' ' -f1)
  vmatic run . -- sha256sum /mnt/file 2>/dev/null | grep -q "$sum" || { echo "other bytes came" >&2; exit 1; }
}
half_way() { sleep "$(echo "$mib $mbit" | awk '{ print $1 * 4 * 1.048576 / $2 }')"; kill -9 "$agent4"; }

row "S/B: $mib MiB at $mbit Mbit/s, seconds" "$(echo "$mib $mbit" | awk '{ printf "%.2f", $1 * 8 * 1.048576 / $2 }')"
for run in 1 2 3; do measure "push to $hosts hosts ($run)" true; done
before=$(sent)
vmatic push "$work/file" .:/mnt/again >/dev/null 2>&1
row "the same file again: bytes that the source sends" "$(($(sent) - before))"
[ "$hosts" -lt 5 ] || measure "the same with host 4 killed half way" half_way
