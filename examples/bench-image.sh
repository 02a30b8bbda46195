#!/usr/bin/env bash
# How fast an image is built: vmatic beside Debian's mkinitramfs and dracut, with the same kernel and the same modules,
# in the same run. Needs root: the other two want the modules under /lib/modules, which they get in a mount namespace.
# usage: bench-image.sh [RUNS]
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/bin:$PATH:/usr/sbin"
runs=${1:-3}
missing=
for program in mkinitramfs:initramfs-tools-core dracut:dracut-core depmod:kmod busybox:busybox-static; do
  command -v "${program%%:*}" >/dev/null || missing+=" ${program##*:}"
done
[ -z "$missing" ] || { echo "bench: apt-get install --no-install-recommends$missing" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
kernel=$(vmatic kernel fetch 2>/dev/null)
release=$(basename "$kernel"/lib/modules/*)

# least OUTPUT BEFORE COMMAND...: the least seconds of CPU and of wall time of some runs of the command.
least() {
  local output=$1 before=$2 cpu= wall=
  shift 2
  for _ in $(seq "$runs"); do
    rm -rf "$output"
    eval "$before"
    local TIMEFORMAT='%U %S %R'
    { time "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }; } 2>>"$work/times"
  done
  awk -v n="$runs" '{ c = $1 + $2; if (!a || c < a) a = c; if (!b || $3 < b) b = $3 } END { printf "%.2f %.2f\n", a, b }' \
    "$work/times"
  rm "$work/times"
}

# boots IMAGE WORDS MARK: whether the image's own process 1 says the mark.
boots() {
  rm -f "$work/serial"
  timeout 90 qemu-system-x86_64 -machine pc -accel tcg -cpu max -smp 2 -m 1024 -display none -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$release" -initrd "$1" -serial "file:$work/serial" \
    -append "console=ttyS0 panic=-1 $2" </dev/null >/dev/null 2>&1 &
  local qemu=$! answer="does not boot"
  while kill -0 $qemu 2>/dev/null && [ "$answer" != boots ]; do
    if grep -aqF "$3" "$work/serial" 2>/dev/null; then answer=boots; fi
    sleep 0.3
  done
  kill $qemu 2>/dev/null || true
  wait $qemu 2>/dev/null || true
  echo "$answer"
}

unpacked() { vmatic size --json "$1" | sed -n 's/.*"unpacked_bytes": *\([0-9]*\).*/\1/p' | head -1; }
row() { printf '%-36s %7s %7s %6s  %s\n' "$@"; }
mega() { awk "BEGIN { printf \"%.1f\", $1 / 1e6 }"; }

cat >"$work/bench.toml" <<'SPEC'
name = "bench"
[plan]
hosts = 1
guests = 0
[host]
kernel = "debian:linux-image-cloud-amd64"
modules = ["virtio_net", "kvm_amd", "kvm_intel", "tun", "class:ethernet"]
binaries = ["bash", "ip"]
SPEC
# A cache of its own, with the packages and our own kernels: what is measured is the build, not the network.
kernels=${VMATIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmatic}/kernels
export VMATIC_CACHE=$work/cache
mkdir -p "$VMATIC_CACHE"
if [ -d "$kernels" ]; then cp -r "$kernels" "$VMATIC_CACHE/"; fi
vmatic build "$work/bench.toml" -o "$work/out" >/dev/null 2>&1

row "# least of $runs" "CPU s" "wall s" "MB" ""
read -r cold_cpu cold <<<"$(least "$work/out" 'rm -rf $VMATIC_CACHE/members' vmatic build "$work/bench.toml" -o "$work/out")"
row "vmatic, nothing packed before" "$cold_cpu" "$cold" "$(mega "$(unpacked "$work/out/initramfs")")" \
  "$(boots "$work/out/initramfs" vmatic.host=1 'agent: host 1')"
read -r again_cpu again <<<"$(least "$work/none" : vmatic build "$work/bench.toml" -o "$work/out")"
row "vmatic, again" "$again_cpu" "$again" "" ""

# The others find modules and the kernel's configuration where a system has them.
cp -r /etc/initramfs-tools "$work/tools"
vmatic cat /etc/vmatic/modules "$work/out" | sed 's,.*/,,; s,\.ko$,,' >"$work/tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' "$work/tools/initramfs.conf"
mkdir -p /usr/lib/modules
export -f least
export work runs kernel release
other() {
  local name=$1 image=$2 words=$3 mark=$4 cpu wall
  shift 4
  read -r cpu wall <<<"$(unshare -m bash -euc '
    mount -t tmpfs none /usr/lib/modules && cp -r "$kernel/lib/modules/$release" /usr/lib/modules/ && depmod "$release"
    mount -t tmpfs none /boot && cp "$kernel"/boot/* /boot/
    least "$@"' - "$image" : "$@")"
  row "$name" "$cpu" "$wall" "$(mega "$(unpacked "$image")")" "$(boots "$image" "$words" "$mark")"
  awk "BEGIN { printf \"  vmatic: %.1f times as fast cold, %.0f times the second time (wall)\n\", $wall / $cold, $wall / $again }"
}
other "mkinitramfs, the same modules, zstd" "$work/mki" break=top '(initramfs)' \
  mkinitramfs -d "$work/tools" -o "$work/mki" "$release"
other "dracut, the same modules, zstd" "$work/dracut" 'rd.shell rd.break=cmdline' 'Break before cmdline' \
  dracut --force --no-hostonly --no-early-microcode --zstd --modules 'bash base' --drivers "$(tr '\n' ' ' <"$work/tools/modules")" \
  "$work/dracut" "$release"
