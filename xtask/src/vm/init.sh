#!/bin/busybox sh
# The first process of the machine: the modules that reach the shared root, then that root with a layer of memory on
# top, so that nothing of the host is written.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in /modules/*; do
    insmod "$module" || echo "beeline-vm: insmod $module failed"
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower || poweroff -f
mount -t tmpfs none /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work none /root || poweroff -f
for file_system in proc sys dev; do
    mount --move /$file_system /root/$file_system
done
script=$(sed -n 's/.*beeline\.script=\([^ ]*\).*/\1/p' /root/proc/cmdline)
exec switch_root /root /bin/sh "$script"
