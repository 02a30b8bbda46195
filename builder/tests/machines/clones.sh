mark start; about
mark "processes at first"; host 'cat /proc/[0-9]*/comm | grep -cE "^(guest|exe)"'
mark "descriptors at first"; host 'ls /proc/$(pidof vmatic-agent init exe | tr " " "\n" | sort -n | sed -n 2p)/fd | wc -l'
mark names; vmatic run ./. -- uname -n
mark "boot ids"; vmatic run ./. -- cat /proc/sys/kernel/random/boot_id
mark "random numbers"; vmatic run ./. -- sh -c 'head -c 16 /dev/urandom | md5sum'
mark macs; vmatic run ./. -- cat /sys/class/net/eth0/address
mark addresses; vmatic run ./. -- sh -c "ip -4 -o addr show eth0 | sed 's,.*inet \([0-9.]*\)/.*,\1,'"
mark ipv6; vmatic run ./. -- sh -c "ip -6 -o addr show eth0 scope global | sed 's,.*inet6 \([0-9a-f:]*\)/.*,\1,'"
before=$(date +%s%3N)
vmatic run ./. -- true
mark "all answer, ms"; echo $(($(date +%s%3N) - before))
now=$(host 'date +%s' | sed 's/^1: //')
vmatic run ./. -- date +%s | sed 's/^--- //' | tr '\n' ' ' | sed 's/1\//\n1\//g' >times
mark "more on clocks"; date +%s; host 'date +%s; cat /sys/devices/system/clocksource/clocksource0/current_clocksource; cat /proc/uptime'; ask ./. -- cut -d. -f1 /proc/uptime; ask ./. -- date +%s; date +%s
mark clocks
awk -v now="$now" '{ d = $NF - now } NF && (d > 5 || d < -5) { print "off by", d, "s:", $0 }' times

mark clocksource; ask ./. -- cat /sys/devices/system/clocksource/clocksource0/current_clocksource
mark "a clone is killed"
host "kill -9 $(pid_of 3)"
sleep 1
everyone
mark "after the kill"; about

mark "the template is killed"
host "kill -9 \$(ps | grep 'exe template' | grep -v guest | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/')"
ask ./. -- true
mark "a guest ends while there is no template"
vmatic run -t 5 1/4 -- reboot -f
sleep 1
everyone
mark "after that"; about

mark "links"; vmatic link set 1/2 delay=3ms 2>&1
host "kill -9 \$(ps | grep 'exe switch' | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/')"
sleep 2
vmatic link show 1/2 2>&1
vmatic link set 1/2 ideal >/dev/null 2>&1

mark "console flood"
vmatic run -t 4 1/5 -- sh -c 'while :; do echo "a line that nobody reads" > /dev/ttyS0; done' &
sleep 1
ask 1/6 -- echo still here
wait
mark "network flood"
vmatic run -t 4 1/5 -- sh -c 'while :; do ping -c 20 -i 0 -s 1400 -W 1 10.0.1.7 >/dev/null 2>&1 || ping -c 1 -s 1400 -W 1 10.0.1.7; done' &
sleep 1
ask 1/6 -- echo still here
wait
mark "in the end"; everyone
about
sleep 2
mark "processes"; host 'cat /proc/[0-9]*/comm | grep -cE "^(guest|exe)"'
mark "descriptors"; host 'ls /proc/$(pidof vmatic-agent init exe | tr " " "\n" | sort -n | sed -n 2p)/fd | wc -l'
