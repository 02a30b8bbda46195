mark start; about
count_processes() { host 'cat /proc/[0-9]*/comm | grep -cE "^(guest|exe)"'; }
count_descriptors() { host 'ls /proc/$(pidof vmatic-agent init exe | tr " " "\n" | sort -n | sed -n 2p)/fd | wc -l'; }
processes=$(count_processes); descriptors=$(count_descriptors)
mark "processes at first"; echo "$processes"
mark "descriptors at first"; echo "$descriptors"
mark names; vmatic run ./. -- uname -n
mark "boot ids"; vmatic run ./. -- cat /proc/sys/kernel/random/boot_id
mark "random numbers"; vmatic run ./. -- sh -c 'head -c 16 /dev/urandom | md5sum'
mark macs; vmatic run ./. -- cat /sys/class/net/eth0/address
mark addresses; vmatic run ./. -- sh -c "ip -4 -o addr show eth0 | sed 's,.*inet \([0-9.]*\)/.*,\1,'"
mark ipv6; vmatic run ./. -- sh -c "ip -6 -o addr show eth0 scope global | sed 's,.*inet6 \([0-9a-f:]*\)/.*,\1,'"
# What each says lies between what its host said before and after, give or take a second.
now() { host 'date +%s' | sed 's/^1: //'; }
before=$(now)
vmatic run ./. -- date +%s | sed 's/^--- //' | tr '\n' ' ' | sed 's/1\//\n1\//g' >times
after=$(now)
mark "more on clocks"; date +%s; host 'date +%s; cat /sys/devices/system/clocksource/clocksource0/current_clocksource; cat /proc/uptime'; ask ./. -- cut -d. -f1 /proc/uptime; ask ./. -- date +%s; date +%s
mark clocks
awk -v from="$before" -v to="$after" 'NF && ($NF < from - 1 || $NF > to + 1) { print "not between", from, "and", to ":", $0 }' times

mark clocksource; ask ./. -- cat /sys/devices/system/clocksource/clocksource0/current_clocksource
mark "a clone is killed"
lost=$(value guests_lost)
host "kill -9 $(pid_of 3)"
until_is $((lost + 1)) value guests_lost
everyone
mark "after the kill"; about

mark "the template is killed"
host "kill -9 \$(ps | grep 'exe template' | grep -v guest | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/')"
ask ./. -- true
mark "a guest ends while there is no template"
vmatic run 1/4 -- reboot -f
until_is $((lost + 2)) value guests_lost
everyone
mark "after that"; about

mark "links"; vmatic link set 1/2 delay=3ms 2>&1
host "kill -9 \$(ps | grep 'exe switch' | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/')"
until_said 'delay=3000us' vmatic link show 1/2
vmatic link show 1/2 2>&1
vmatic link set 1/2 ideal >/dev/null 2>&1

# flood COMMAND: guest 5 floods until it is told to stop; guest 6 is asked beside it.
flood() {
  vmatic run -t 600 1/5 -- sh -c "rm -f /stop; echo begun >/begun; until [ -e /stop ]; do $1; done" &
  until_said begun vmatic run 1/5 -- cat /begun
  ask 1/6 -- echo still here
  # BusyBox's ping without a pause waits for ever for an answer that was lost.
  vmatic run 1/5 -- sh -c 'rm /begun; touch /stop; for p in $(pidof ping); do kill $p; done'
  wait
}
mark "console flood"; flood 'echo "a line that nobody reads" > /dev/ttyS0'
mark "network flood"; flood 'ping -c 20 -i 0 -s 1400 -W 1 10.0.1.7 >/dev/null 2>&1 || ping -c 1 -s 1400 -W 1 10.0.1.7'
mark "in the end"; everyone
about
# What a killed one leaves is tidied up a little later.
mark "processes"; until_is "$processes" count_processes; count_processes
mark "descriptors"; until_is "$descriptors" count_descriptors; count_descriptors
