#!/bin/sh
# What a confined unit may do, told as lines `probe NAME yes|no`. Run by the tests inside of our units' confinement.
may() {
    name=$1
    shift
    if ("$@") >/dev/null 2>&1; then echo "probe $name yes"; else echo "probe $name no"; fi
}
may write-usr touch /usr/probe
may write-etc touch /etc/probe
may write-etc-dropsafe touch /etc/dropsafe/probe
may write-run touch /run/probe
may write-var touch /var/probe
may write-run-dropsafe touch /run/dropsafe/probe
may write-cache touch /var/cache/dropsafe/probe
may write-state touch /var/lib/dropsafe/probe
may see-homes test -e /root/.profile
may see-devices test -e /dev/ttyS1
may see-other-processes test -e /proc/1/status
may tune-kernel sh -c 'echo 1 >/proc/sys/kernel/printk'
may set-host-name sh -c 'echo probe >/proc/sys/kernel/hostname'
may make-groups mkdir /sys/fs/cgroup/probe
may mount mount -t tmpfs none /tmp
may new-namespaces unshare --user true
may raise-priority renice -n -5 $$
may be-another setpriv --reuid 65534 true
may override-permissions sh -c 'cat /etc/probe-of-nobody'
rm -f /run/dropsafe/probe /var/cache/dropsafe/probe /var/lib/dropsafe/probe /etc/dropsafe/probe
sed -n 's/^\(NoNewPrivs\|Seccomp\|CapEff\|CapBnd\):[[:space:]]*/probe \1 /p' /proc/self/status
sed -n 's/^Max core file size  *\([^ ]*\)  *\([^ ]*\).*/probe core \1:\2/p' /proc/self/limits
