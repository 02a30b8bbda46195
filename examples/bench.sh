#!/bin/sh
# The figures of the README, measured on this machine. Times are compared with the same kernel's time to a BusyBox
# shell, booted the same way in the same run; look at the ratios, not at the seconds.
# usage: bench.sh [SPEC] [--least-ram]
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/bin:$PATH"
spec=${1:-examples/laptop.toml}
runs=${RUNS:-3}
work=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || kill $qemu 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
row() { printf '%-58s %s\n' "$1" "$2"; }
ms() { echo $(($(date +%s%N) / 1000000)); }
field() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$2" | head -1; }
median() { sort -n "$1" | sed -n "$((($(wc -l <"$1") + 1) / 2))p"; }

row "agent, bytes" "$(stat -c %s bin/vmatic-agent)"
row "leaf, bytes" "$(stat -c %s bin/vmatic-leaf)"
out=$work/out
XDG_CACHE_HOME=$work/cache vmatic build "$spec" --out "$out" 2>"$work/cold" >/dev/null
row "build, cold (packages fetched), s" "$(sed -n 's/.*files; \([0-9.]*\) s.*/\1/p' "$work/cold")"
vmatic build "$spec" --out "$out" 2>"$work/warm" >/dev/null
row "build again, s" "$(sed -n 's/.*files; \([0-9.]*\) s.*/\1/p' "$work/warm")"
row "image" "$(sed -n 's/^host image \(.*files\);.*/\1/p' "$work/warm")"

# The same kernel and image to a shell, over the same card, ROM and TFTP.
mkdir "$work/shell"
cp "$out/vmlinuz" "$out/initramfs" "$work/shell/"
sed 's,kernel vmlinuz,& rdinit=/bin/sh,' "$out/boot.ipxe" >"$work/shell/boot.ipxe"
vmatic boot -n "$spec" --out "$out" >"$work/command"
shell_run() {
  start=$(ms)
  rm -f "$work/serial"
  sed -e "s,tftp=[^']*\,bootfile,tftp=$work/shell\,bootfile," -e "s,file:[^']*,file:$work/serial," "$work/command" >"$work/qemu"
  sh -c "exec $(cat "$work/qemu")" 2>/dev/null &
  qemu=$!
  for _ in $(seq 1200); do
    if grep -aqF '/ #' "$work/serial" 2>/dev/null || ! kill -0 $qemu 2>/dev/null; then break; fi
    sleep 0.05
  done
  grep -aqF '/ #' "$work/serial" || { echo "bench: no shell within 60 s" >&2; exit 1; }
  echo $(($(ms) - start)) >>"$work/shell.ms"
  kill $qemu
  wait $qemu 2>/dev/null || true
  qemu=
}
for _ in $(seq "$runs"); do
  shell_run
  vmatic boot "$spec" --out "$out" --json -- sh -c "vmatic nodes --long . >$work/nodes" >"$work/boot" 2>/dev/null
  field joined_ms "$work/boot" >>"$work/joined.ms"
  field up_ms "$work/boot" >>"$work/up.ms"
done
shell=$(median "$work/shell.ms") joined=$(median "$work/joined.ms") up=$(median "$work/up.ms")
row "power on to a BusyBox shell (medians of $runs), ms" "$shell"
row "power on to joined, ms (ratio to the shell, per cent)" "$joined ($((100 * joined / shell)))"
row "power on to every guest up, ms (ratio, per cent)" "$up ($((100 * up / shell)))"
row "host RAM used before the first guest, MiB" "$(sed -n 's/.*memory_used_at_boot_mib=\([0-9]*\).*/\1/p' "$work/nodes")"

case "${2:-}" in --least-ram) ;; *) exit 0 ;; esac
for mib in 96 80 76 72 68 64; do
  printf 'name = "least"\n[plan]\nhosts = 1\nguests = 1\n[guest]\nmemory_mib = %s\n' $mib >"$work/least.toml"
  vmatic build "$work/least.toml" --out "$work/least" >/dev/null 2>&1
  if vmatic boot "$work/least.toml" --out "$work/least" --timeout 60 -- true >/dev/null 2>&1; then least=$mib; else break; fi
done
row "least RAM with which a guest boots and joins, MiB" "${least:-more than 96}"
