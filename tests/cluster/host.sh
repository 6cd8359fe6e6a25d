# The first process of a machine that a test makes (hosts.py): a disk, a memory and a network of its own, then sshd.
# Reads NAME, IP, PYTHON (an installation of Python), ENVIRONMENT (an environment of it) and STATE: a folder that all
# machines see, with the keys, and with the machine's disk, which it finds again when it is started again.
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
disk=/run/state/disks/$NAME
mkdir -p /run/sshd /run/state /run/python /run/lower
mount --rbind "$STATE" /run/state
mount --rbind "$PYTHON" /run/python
mount --rbind "$ENVIRONMENT" /run/lower
mkdir -p "$disk/tmp" "$disk/root" "$disk/upper" "$disk/work"
mount --bind "$disk/tmp" /tmp
mount --bind "$disk/root" /root
mount -t tmpfs -o size=8g none /dev/shm
chmod 1777 /tmp /dev/shm
chmod 700 /root
mkdir -p "$STATE" "$PYTHON" "$ENVIRONMENT"
mount --rbind /run/state "$STATE"
mount --rbind /run/python "$PYTHON"
# What is installed here is installed on this machine alone.
mount -t overlay -o "lowerdir=/run/lower,upperdir=$disk/upper,workdir=$disk/work" overlay "$ENVIRONMENT"
ln -sfn "$ENVIRONMENT" /root/robustune-env

hostname "$NAME"
ip link set lo up
printf '127.0.0.1 localhost\n%s %s\n' "$IP" "$NAME" >/run/hosts
mount --bind /run/hosts /etc/hosts
cp "$STATE/profile.sh" /root/.bashrc
echo '. ~/.bashrc' >/root/.profile
install -m 700 -d /root/.ssh
cp "$STATE/key" /root/.ssh/id_ed25519

touch "$STATE/$NAME.made"
until [ -e "$STATE/$NAME.connected" ]; do sleep 0.05; done
exec /usr/sbin/sshd -D -e -f /dev/null -h "$STATE/host_key" -o AuthorizedKeysFile="$STATE/key.pub" -o StrictModes=no \
  -o PidFile=none -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o UsePAM=no -o UseDNS=no \
  -o MaxStartups=100 -o ListenAddress="$IP" -o Subsystem="sftp internal-sftp"
