#!/usr/bin/env bash
# Run the tests on the Python of another Debian: release/test_on_debian.sh SUITE [ARGUMENTS]
#
# SUITE is the name of a Debian, such as trixie or forky. The arguments go to pytest.
# PYTHON=python3.15 takes that Python of the suite instead of its python3.
# TREES names the folder that keeps the trees; /var/tmp/imp_parallel-trees by default.
#
# The suite is unpacked into a tree of its own. The tests run there as an ordinary user, in namespaces
# for mounts and processes: they see nothing of this machine but its network, and what they mount
# and start ends with them. Only root can do that; use a machine that can be thrown away. Tests that
# need a control group are skipped.
set -euo pipefail
this=$(readlink -f "${BASH_SOURCE[0]}")
checkout=${this%/release/*}
home=/srv/imp-parallel
certificates=/etc/ssl/certs/ca-certificates.crt

# Make the tree, whole or not at all. An archive's copy may be older than it promises to be.
make_tree() {
    local suite=$1 tree=$2 packages=python3,python3-venv,git,ca-certificates,iproute2,procps
    command -v mmdebstrap > /dev/null || apt-get install -y --no-install-recommends mmdebstrap
    rm -rf "$tree.new"
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$tree.new"
    mv "$tree.new" "$tree"
}

# Put what git knows of the checkout into the tree; the environment of an earlier run stays there.
copy_checkout() {
    local copy=$1$home
    mkdir -p "$copy"
    find "$copy" -mindepth 1 -maxdepth 1 ! -name '.venv*' -exec rm -rf {} +
    git -C "$checkout" ls-files -z --cached --others --exclude-standard \
        | tar -C "$checkout" --null --no-recursion -T - -c | tar -C "$copy" --no-same-owner -x
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    # a proxy between this machine and the package index may have a certificate of its own
    cp -L "${SSL_CERT_FILE:-$certificates}" "$1$certificates"
}

# Run a command in the tree, with devices and processes of its own. This runs in namespaces.
enter() {
    local tree=$1 device
    mount --bind "$tree" "$tree"
    cd "$tree"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    for device in null zero full random urandom tty; do
        : > "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    ln -s fd/0 dev/stdin
    ln -s fd/1 dev/stdout
    ln -s fd/2 dev/stderr
    pivot_root . .
    umount -l .
    cd "$home"
    exec env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin HOME=/root \
        LANG=C.UTF-8 PIP_CERT=$certificates SSL_CERT_FILE=$certificates PYTHON="$PYTHON" "${@:2}"
}

[[ ${1:-} != --inside ]] || enter "${@:2}"
if ((EUID)) || [[ ! ${1:-} =~ ^[a-z]+$ ]]; then
    echo "usage, as root: release/test_on_debian.sh SUITE [PYTEST'S ARGUMENTS]" >&2
    exit 2
fi
trees=${TREES:-/var/tmp/imp_parallel-trees}
tree=$trees/$1
export PYTHON=${PYTHON:-python3}
mkdir -p "$trees"
exec 9> "$tree.lock"
flock --nonblock 9 || { echo "waiting for another run in $tree" && flock 9; }
[[ -d $tree ]] || make_tree "$1" "$tree"
copy_checkout "$tree"
inside=(unshare --mount --pid --fork --kill-child --propagation private "$this" --inside "$tree")
"${inside[@]}" bash -euc '
    missing=()
    command -v "$PYTHON" > /dev/null || missing+=("$PYTHON" "$PYTHON-venv")
    command -v git > /dev/null || missing+=(git)  # in a tree that an earlier version made
    ((${#missing[@]} == 0)) || {
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends "${missing[@]}"
    }
    for user in $(grep -o "^imptests[0-9]*" /etc/passwd); do userdel "$user"; done # of a killed run
    echo "$("$PYTHON" -VV), $(openssl version)"
'
"${inside[@]}" ./test --tests --no-cov "${@:2}"
