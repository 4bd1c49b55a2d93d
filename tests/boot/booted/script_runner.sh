#!/bin/sh
# The tests' hand in a machine: reads scripts from $1, a line of base64 each, runs them as root and answers on $2 with the status and
# all that was said, on a line as well. $1 and $2 are pipes or one serial line.
exec 3<"$1" 4>"$2"
[ ! -t 3 ] || stty raw -echo <&3
echo "ready $(cat /proc/sys/kernel/random/boot_id)" >&4
while read -r line <&3; do
    # Where no test looks for values.
    printf %s "$line" | base64 -d >/run/hand.script
    sh /run/hand.script >/run/hand.said 2>&1 3<&- 4>&- </dev/null
    echo "$? $(base64 -w0 /run/hand.said)" >&4
done
