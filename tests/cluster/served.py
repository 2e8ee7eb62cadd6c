"""A `drover serve` under test: started with free ports, asked over HTTP, watched through /proc, ended for certain."""
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("DROVER_SHARED_DIR", ROOT.parent / "shared"))
DROVER = pathlib.Path(os.environ.get("DROVER_BIN_DIR", ROOT / "build/release/bin")) / "drover"
DEMO = ROOT / "demo" / "model"
SMOLLM2 = ROOT / "build" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
READY_WITHIN_S = 90
GONE_WITHIN_S = 10  # no process of ours may outlive its reason by more


def golden(case):
    """The folder of a golden case, or None when it is not on this machine."""
    for folder in (ROOT / "tests/testdata/golden" / case, SHARED / "golden" / case):
        if (folder / "reference.safetensors").exists():
            return folder
    return None


def checkpoint(folder):
    """What drover is told to open: the .gguf file of a folder, else the folder."""
    return next(iter(sorted(folder.glob("*.gguf"))), folder)


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return value


class Marked:
    """All processes that descend from what was started with our mark in the environment, whatever became of their parents."""

    def __init__(self):
        self.name = "DROVER_TEST_MARK"
        self.value = secrets.token_hex(8)

    def environment(self):
        return {**os.environ, self.name: self.value}

    def processes(self):
        """{pid: words of the command line} of the living, zombies left out."""
        mark = f"{self.name}={self.value}".encode()
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if words[0]:
                        found[int(entry.name)] = words
            except OSError:
                continue
        return found

    def pids(self, program):
        return sorted(pid for pid, words in self.processes().items() if pathlib.PurePath(words[0]).name == program)

    def expect_gone(self):
        wait_until(lambda: not self.processes(), GONE_WITHIN_S, f"all processes gone, left: {self.processes()}")


def run(*words, timeout=120, cwd=None):
    """Runs drover to its end; the processes it started must be gone with it."""
    mark = Marked()
    result = subprocess.run([DROVER, *map(str, words)], capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
                            env=mark.environment(), stdin=subprocess.DEVNULL)
    mark.expect_gone()
    return result


class Served:
    """with Served(model, ranks=2) as server: server.chat("...")"""

    def __init__(self, model, *options, ranks=2):
        self.words = [str(DROVER), "serve", str(model), "--ranks", str(ranks), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
                      "--cluster", "127.0.0.1:0", *map(str, options)]
        self.mark = Marked()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover_test."))

    def __enter__(self):
        ready, self.log = self.folder / "ready", open(self.folder / "log", "w+b")
        self.process = subprocess.Popen([*self.words, "--ready-file", str(ready)], env=self.mark.environment(),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            wait_until(lambda: ready.exists() or self.process.poll() is not None, READY_WITHIN_S, "ready")
            assert self.process.poll() is None, f"drover serve ended: {self.output()}"
        except BaseException:
            self.__exit__()
            raise
        addresses = json.loads(ready.read_text())
        self.http, self.grpc = "http://" + addresses["http"], addresses["grpc"]
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.stop()
            self.mark.expect_gone()
        finally:
            for pid in self.mark.processes():  # only after a failure above
                os.kill(pid, signal.SIGKILL)
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def output(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self, how=signal.SIGTERM):
        """Asks it to leave; its exit code, within the promised time."""
        self.process.send_signal(how)
        return self.process.wait(GONE_WITHIN_S)

    def post(self, path, body, timeout=60):
        """(status, text) of a POST; `body` may be bytes or JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, path, timeout=10):
        try:
            with urllib.request.urlopen(self.http + path, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def chat(self, question, **more):
        status, text = self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": question}], "temperature": 0,
                                                          "max_tokens": 32, **more})
        assert status == 200, f"{status}: {text}"
        return json.loads(text)["choices"][0]["message"]["content"]

    def ready(self):
        return self.get("/health")[0] == 200
