#!/bin/bash
# PID 1 of the guest: what systemd would set up and the lab needs, then the agent. bash reaps the orphans while it waits.
export HOME=/root LANG=C.UTF-8
mount --make-rshared /
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
for controller in $(</sys/fs/cgroup/cgroup.controllers); do echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control; done
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
ip link set lo up
"$LAB_NODE" "$LAB_AGENT" &
wait
echo 'LAB: the agent ended'
echo o > /proc/sysrq-trigger
sleep infinity
