#!/usr/bin/env python3
"""A root file system with glibc and /bin/sh and nothing else, in which a bundle must run; needs root and unshare.

usage: tools/bare_root.py BUNDLE [--nvidia FOLDER]  runs BUNDLE's own check there, from another path than it was made at
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

GLIBC = ["libc", "libm", "libdl", "librt", "libpthread", "libresolv", "libutil"]
DEVICES = ["null", "zero", "random", "urandom"]
# $1 the root, $2 a folder to show at $3 or nothing; then the command. Its processes end with it.
ENTER = """
set -e
root=$1 show=$2 at=$3; shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys" || :
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev/shm"
for device in %s; do mount --bind "/dev/$device" "$root/dev/$device"; done
[ -z "$show" ] || mount --bind "$show" "$root$at"
exec chroot "$root" "$@"
""" % " ".join(DEVICES)


def why_not():
    """What this machine lacks for it; empty when nothing."""
    if os.geteuid() != 0:
        return "it needs root (for chroot)"
    if shutil.which("unshare") is None:
        return "unshare is not installed (Debian: util-linux)"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


class BareRoot:
    """with BareRoot() as root: root.copy(bundle, "/opt/b"); root.command("/opt/b/check") -> what subprocess takes"""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="drover-bare."))
        for folder in ("bin", "lib64", "lib/x86_64-linux-gnu", "tmp", "proc", "sys", "dev/shm", "out"):
            (self.path / folder).mkdir(parents=True)
        for device in DEVICES:
            (self.path / "dev" / device).touch()
        shutil.copy("/bin/sh", self.path / "bin" / "sh")
        loader = "lib64/ld-linux-x86-64.so.2"
        shutil.copy(f"/{loader}", self.path / loader)
        for name in GLIBC:
            for library in pathlib.Path("/lib/x86_64-linux-gnu").glob(f"{name}.so.[0-9]*"):
                shutil.copy(library, self.path / "lib/x86_64-linux-gnu" / library.name)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)  # what was mounted in it was so for the commands alone

    def copy(self, folder, where):
        shutil.copytree(folder, self.path / where.lstrip("/"), symlinks=True)

    def command(self, *words, show=None, at=""):
        """The words of a command that runs `words` inside; the folder `show` is seen there at `at`, which must exist."""
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter", str(self.path),
                str(show or ""), at, *map(str, words)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("--nvidia", type=pathlib.Path, help="where cuBLASLt and NCCL are, for programs that need them")
    arguments = parser.parse_args()
    if not (arguments.bundle / "MANIFEST.json").exists():
        sys.exit(f"bare_root: {arguments.bundle} is no bundle: it has no MANIFEST.json")
    if reason := why_not():
        sys.exit(f"bare_root: the bundle was not checked: {reason}. Run {arguments.bundle}/check on the machine it is for")
    nvidia = arguments.nvidia if arguments.nvidia and arguments.nvidia.is_dir() else None
    with BareRoot() as root:
        root.copy(arguments.bundle, "/opt/moved/drover")
        command = root.command("/bin/sh", "/opt/moved/drover/check", show=nvidia, at="/opt/moved/drover/lib/nvidia" if nvidia else "")
        result = subprocess.run(command, env={}, timeout=300, check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
