#!/bin/busybox sh
# The guest's first program: makes the host's root file system the guest's own (9p, read-only, a tmpfs over it) and hands over.
# A switch_root, not a chroot: in a chroot, setns() and `runc exec` would land in the initrd.
# /lab-settings (written by initrd.ts) sets MODULES and CHECKOUT (paths on the host), INIT (shell or systemd), and, for the agent,
# LAB_NODE and LAB_AGENT. LAB_KOFFI is koffi's library for an architecture that the checkout has none for.
fail() { echo "LAB: the guest could not start: $*"; poweroff -f; }
/bin/busybox --install -s /bin
. /lab-settings

mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev || fail 'mounting proc, sys, dev'
while read -r module parameters; do insmod "$module" $parameters || fail "insmod $module"; done < /modules.list

mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=1048576 host /host || fail 'mounting the host over 9p'
mount -t tmpfs -o size=75% tmpfs /overlay && mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=/host,upperdir=/overlay/upper,workdir=/overlay/work overlay /new || fail 'mounting the overlay'

# The checkout may lie below /tmp or /run, which are the guest's own; and in a guest of another architecture the root is not the host's.
mkdir /shared /checkout /overlay/checkout /overlay/checkout/upper /overlay/checkout/work
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=1048576 checkout /shared || fail 'mounting the checkout over 9p'
mount -t overlay -o lowerdir=/shared,upperdir=/overlay/checkout/upper,workdir=/overlay/checkout/work overlay /checkout || fail 'mounting its overlay'
# So may the modules: held before those are covered.
mkdir /modules && mount --bind "/host$MODULES" /modules || fail "no $MODULES on the host"
for directory in tmp run dev/shm; do [ -d "/new/$directory" ] && mount -t tmpfs tmpfs "/new/$directory"; done
chmod 1777 /new/tmp; chmod 755 /new/run
mkdir -p "/new$CHECKOUT" /new/lib/modules
mount --move /checkout "/new$CHECKOUT" && mount --move /modules /new/lib/modules || fail 'moving the binds'
if [ -n "$LAB_KOFFI" ]; then ln -s "$LAB_KOFFI" "/new$CHECKOUT/node_modules/@koromix/" || fail 'no node_modules in the checkout'; fi

# Whose host is a container is not in it: systemd would believe that, and not be quite itself.
rm -f /new/.dockerenv
echo hotmount-lab > /new/etc/hostname; hostname hotmount-lab
for directory in proc sys dev; do mount --move /$directory /new/$directory || fail "moving /$directory"; done
export PATH="${LAB_NODE%/*}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
if [ "$INIT" = systemd ]; then
  cp "/new$CHECKOUT/test/lab/guest/hotmount-lab.service" /new/etc/systemd/system/
  exec switch_root /new /lib/systemd/systemd --unit=hotmount-lab.service
fi
exec switch_root /new /bin/bash "$CHECKOUT/test/lab/guest/init.sh"
