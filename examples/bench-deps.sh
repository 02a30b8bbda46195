#!/usr/bin/env bash
# What `vmatic deps` costs: the processor time for PROGRAMs (by default those of this machine that are installed), each
# in a run of its own, the least of five. With OTHER, beside another vmatic in the same run, and their ratio.
# usage: [OTHER=path/to/vmatic] examples/bench-deps.sh [PROGRAM...]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
vmatic=${VMATIC:-$here/bin/vmatic}
for program in "$vmatic" ${OTHER:+"$OTHER"}; do
  [ -x "$program" ] || { echo "bench-deps: $program is missing: run make build" >&2; exit 1; }
done
if [ $# = 0 ]; then
  for name in bash python3 perl git gcc gdb java openssl curl ip tc ssh sshd sudo tar awk grep find qemu-system-x86_64 \
    qemu-img patchelf cpio psql initdb nginx iptables tshark vim make ld as; do
    path=$(command -v "$name" || true)
    if [ -n "$path" ]; then set -- "$@" "$path"; fi
  done
fi
[ $# -gt 0 ] || { echo "bench-deps: none of the programs is installed: name some" >&2; exit 1; }
cost() {
  local least= took TIMEFORMAT='%U %S'
  for _ in 1 2 3 4 5; do
    took=$({ time "$1" deps --list "$2" >/dev/null 2>&1 || true; } 2>&1 | awk '{ printf "%.0f", ($1 + $2) * 1000 }')
    if [ -z "$least" ] || [ "$took" -lt "$least" ]; then least=$took; fi
  done
  echo "$least"
}
all=0
all_other=0
printf '%-32s %8s%s\n' '# CPU ms, least of 5' vmatic "${OTHER:+    other}"
for program in "$@"; do
  own=$(cost "$vmatic" "$program")
  all=$((all + own))
  other=
  if [ -n "${OTHER:-}" ]; then
    other=$(cost "$OTHER" "$program")
    all_other=$((all_other + other))
  fi
  printf '%-32s %8s %8s\n' "$program" "$own" "$other"
done
printf '%-32s %8s' "$# programs" "$all"
if [ -n "${OTHER:-}" ]; then
  awk -v own=$all -v other=$all_other 'BEGIN { printf " %8d  ratio %.2f", other, own / (other > 0 ? other : 1) }'
fi
echo
