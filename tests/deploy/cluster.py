"""A real Kubernetes on this machine for the time of a test: ../shared/tools/kube with real nodes, and commands inside it."""
import contextlib
import json
import os
import pathlib
import shutil
import sys

import chart
import machine

KUBE = chart.ROOT.parent / "shared" / "tools" / "kube"
NEEDED = ("containerd", "runc", "ctr", "iptables", "conntrack", "ip", "nsenter", "gcc", "/usr/lib/cni/bridge")


def folder():
    """Where the cluster's programs and state lie; short, because of the sockets in it."""
    return pathlib.Path(os.environ.get("DROVER_KUBE_DIR", pathlib.Path.home() / ".cache" / "drover-kube"))


def require():
    if not KUBE.is_dir():
        chart.skip(f"{KUBE} is not here: no control plane to start")
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        chart.skip(f"real nodes need {', '.join(missing)} (apt-get install containerd runc containernetworking-plugins iptables conntrack)")
    if os.geteuid() != 0:
        chart.skip("real nodes need root")
    if not (folder() / "bin" / "kubebox").exists() and not shutil.which("go"):
        chart.skip("Kubernetes is not built and there is no Go to build it")


class Cluster:
    def __init__(self, where):
        self.where = where

    def run(self, *command, **more):
        return machine.run(self.where / "enter", *command, **more)

    def kubectl(self, *words, **more):
        return self.run("kubectl", *words, **more)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, text):
        self.kubectl("apply", "-f", "-", input=text)

    def python(self, code, *words, **more):
        """Runs Python where the cluster is: its Services are reached from there only."""
        return self.run(sys.executable, "-c", code, *words, **more)


@contextlib.contextmanager
def up(nodes, archives):
    where = folder()
    if not (where / "bin" / "kubebox").exists():
        print("building Kubernetes from source; minutes, once", flush=True)
        machine.run("nice", KUBE / "build", where, timeout=3600)
    command = [KUBE / "up", where, "--real", nodes, "--no-lws"]
    for archive in archives:
        command += ["--image", archive]
    machine.run(KUBE / "down", where, "--wipe", check=False)
    try:
        machine.run(*command, timeout=300, stdin=None)
        yield Cluster(where)
    finally:
        machine.run(KUBE / "down", where, "--wipe", check=False, timeout=120)
