# What the machine's tests need of a booted system: file systems of its own, cgroup v2 alone, modules, loopback.
# Sourced by the script of a run, which then calls `run` for each test binary and `finish`.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Not on /tmp, where the repository may be. Containers' layers cannot be on the layer of memory.
mkdir /volatile
mount -t tmpfs none /volatile
export TMPDIR=/volatile
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf none /sys/fs/bpf
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
ln -sf /proc/self/fd /dev/fd
ip link set lo up
status=0

# modules DIRECTORY NAME...
modules() {
    directory=$1
    shift
    for module; do
        modprobe --dirname "$directory" "$module" || echo "beeline-vm: modprobe $module failed"
    done
}

# run DIRECTORY BINARY ARGUMENT...
run() {
    cd "$1" || status=1
    shift
    echo "beeline-vm: run $1"
    # Colours would hide the results from who reads the console.
    "$@" --color never --test-threads 1 || status=1
}

finish() {
    echo "beeline-vm: exit $status"
    echo o > /proc/sysrq-trigger
    # The machine goes off meanwhile; its devices, and the programs on them, may be gone first.
    while :; do :; done
}
