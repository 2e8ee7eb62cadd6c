"""What the long tests need of the machine: built programs, a model, a container daemon; each is found, started or named as missing."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import chart

TAG = "test"
SIZE_LIMIT = 150_000_000  # bytes of an image beyond its base


def run(*command, check=True, timeout=600, merge=False, **more):
    """The output of a command, with its messages when merged; a failure raises unless check is off, then the result is returned."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, check=False, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(c) for c in command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return (done.stdout + done.stderr if merge else done.stdout) if check else done


def programs():
    folder = pathlib.Path(os.environ.get("DROVER_BIN_DIR", chart.ROOT / "build" / "release" / "bin"))
    for name in ("drover", "drover-coordinator", "drover-worker"):
        if not (folder / name).exists():
            chart.skip(f"{folder / name} is not built")
    return folder


def model():
    folder = pathlib.Path(os.environ.get("DROVER_DEMO_MODEL", chart.ROOT / "demo" / "model"))
    return folder if (folder / "config.json").exists() else chart.skip(f"{folder} holds no model")


def docker():
    """The Docker client that knows BuildKit: Debian's, before any other on the path."""
    for name in ("/usr/bin/docker", shutil.which("docker")):
        if name and os.path.exists(name):
            return name
    return chart.skip("no docker client (apt-get install docker.io)")


@contextlib.contextmanager
def firewall_kept():
    """dockerd rewrites the machine's packet filter; what it was comes back afterwards."""
    before = run("iptables-save") if shutil.which("iptables-save") else None
    try:
        yield
    finally:
        run("ip", "link", "delete", "docker0", check=False)
        if before is not None:
            run("iptables-restore", check=False, input=before)


@contextlib.contextmanager
def own_daemon():
    for name in ("dockerd", "containerd", "iptables"):
        if not shutil.which(name):
            chart.skip(f"no container daemon answers and {name} is not installed (apt-get install docker.io iptables)")
    if os.geteuid() != 0:
        chart.skip("no container daemon answers, and starting one needs root")
    kept = os.environ.get("DROVER_DOCKER_ROOT")  # keeps images between runs
    folder = kept or tempfile.mkdtemp(prefix="drover-docker-")
    os.makedirs(folder, exist_ok=True)
    host = f"unix://{folder}/d.sock"
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/d.pid", "-H", host]
    with firewall_kept(), open(f"{folder}/log", "wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        os.environ["DOCKER_HOST"] = host
        try:
            wait_until(lambda: run(docker(), "info", check=False).returncode == 0, 30, f"dockerd ({folder}/log)")
            print(f"started dockerd, pid {daemon.pid}")
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=60)
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def daemon():
    """A container daemon: the one at hand, else one of our own for the time of the test."""
    if run(docker(), "info", check=False).returncode == 0:
        yield
        return
    with own_daemon():
        yield


def images(folder=None):
    """Builds both images from the built programs, the base by debootstrap."""
    if not shutil.which("debootstrap") and not run(docker(), "image", "inspect", "drover/base:bookworm", check=False).returncode == 0:
        chart.skip("debootstrap is not installed, so there is no base image")
    command = [chart.ROOT / "deploy" / "docker" / "build", "--bin", programs(), "--tag", TAG]
    command += ["--save", folder] if folder else []
    print(run(*command, timeout=1800, env={**os.environ, "DOCKER": docker()}), end="")


def wait_until(true, seconds, what):
    """Seconds it took; fails past the deadline."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.3)
    return time.monotonic() - start


def get(url, timeout=5):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def ask(base, question="What is the capital of France?", timeout=30):
    """The model's answer, or None."""
    body = json.dumps({"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40}).encode()
    request = urllib.request.Request(f"{base}/v1/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]
    except (OSError, ValueError, KeyError):
        return None
