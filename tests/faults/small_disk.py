"""A disk that is small enough to be filled: a tmpfs, which root may mount, or whoever may call
`sudo` without a password."""

import os
import subprocess

SIZE_MIB = 64


def mount_small_disk(directory):
    """Whether this user may."""
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*as_root(), "mount", "-t", "tmpfs", "-o",
                           f"size={SIZE_MIB}m,mode=0777", "voketag-test", str(directory)],
                          capture_output=True)
    return done.returncode == 0


def unmount_small_disk(directory):
    if os.path.ismount(directory):
        subprocess.run([*as_root(), "umount", "-l", str(directory)], capture_output=True)


def as_root():
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def fill(filler):
    """Until not a byte more goes in."""
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
