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
ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
# Nodes whose driver is loaded when they are opened (fuse, loop-control, net/tun, …); systemd-tmpfiles would make them.
kmod static-nodes --format=tmpfiles | while read -r type path mode _ _ _ number; do
  if [ "$type" = 'd' ]; then mkdir -p -m "$mode" "$path"; else mknod -m "$mode" "$path" "${type:0:1}" ${number/:/ }; fi
done 2> /dev/null
"$LAB_NODE" "$LAB_AGENT" &
wait
echo 'LAB: the agent ended'
echo o > /proc/sysrq-trigger
sleep infinity
