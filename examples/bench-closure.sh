#!/bin/sh
# How fast the closure is, beside lddtree (of Debian's pax-utils, fetched when it is not installed): both list
# what FILES need (by default some programs of this machine), in one run each. Prints the ratio.
# usage: examples/bench-closure.sh [FILE...]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
vmatic=$here/bin/vmatic
[ -x "$vmatic" ] || { echo "bench-closure: $vmatic is missing: run make build" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
lddtree=$(command -v lddtree || true)
if [ -z "$lddtree" ]; then
  (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download pax-utils python3-pyelftools >/dev/null &&
    for deb in *.deb; do dpkg-deb -x "$deb" .; done)
  lddtree=$folder/usr/bin/lddtree
  export PYTHONPATH="$folder/usr/lib/python3/dist-packages"
fi
if [ $# = 0 ]; then
  for name in bash python3 perl git gcc gdb java openssl curl ip tc ssh sshd sudo tar awk grep find qemu-system-x86_64 \
    qemu-img patchelf cpio psql nginx iptables tshark vim make ld as; do
    path=$(command -v "$name" || true)
    # lddtree reads programs only, not scripts.
    if [ -n "$path" ] && [ "$(head -c 4 "$path" | tail -c 3)" = ELF ]; then set -- "$@" "$path"; fi
  done
fi
[ $# -gt 0 ] || { echo "bench-closure: none of the programs is installed: name some" >&2; exit 1; }
now() { date +%s%N; }
# The best of five: the machine may do other work meanwhile.
best() {
  least=
  for _ in 1 2 3 4 5; do
    start=$(now)
    "$@" >"$folder/out" 2>"$folder/err" || true
    took=$(( $(now) - start ))
    if [ -z "$least" ] || [ "$took" -lt "$least" ]; then least=$took; fi
  done
  echo "$least"
}
ours=$(best "$vmatic" deps --libraries --list "$@"); our_files=$(wc -l <"$folder/out")
all=$(best "$vmatic" deps --list "$@"); all_files=$(wc -l <"$folder/out")
theirs=$(best "$lddtree" -l "$@"); their_files=$(wc -l <"$folder/out")
awk -v n=$# -v a="$ours" -v b="$theirs" -v c="$all" -v f="$our_files" -v g="$their_files" -v h="$all_files" 'BEGIN {
  printf "%d programs\n", n
  printf "%-25s %8.1f ms  %5d paths\n", "vmatic deps --libraries", a / 1e6, f
  printf "%-25s %8.1f ms  %5d paths, with plug-ins and what programs start\n", "vmatic deps", c / 1e6, h
  printf "%-25s %8.1f ms  %5d paths\n", "lddtree", b / 1e6, g
  printf "libraries: %.1f times faster than lddtree; all: %.1f times\n", b / a, b / c
}'
