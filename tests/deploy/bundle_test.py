#!/usr/bin/env python3
"""A bundle, moved into a root file system with glibc and a shell alone: every program starts, and two ranks answer a question."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import chart
import machine

sys.path.insert(0, str(chart.ROOT / "tools"))
import bare_root  # noqa: E402

HOME = "/srv/elsewhere/drover"
LIMIT = 60 * 2**20


def make_bundle(report, bundle, *options):
    machine.run(sys.executable, "-B", chart.ROOT / "tools" / "bundle.py", *options, "--limit", 1000, "--build", machine.programs().parent, bundle)
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    report.check(" ".join([*options, f"{size / 2**20:.1f} MiB, at most {LIMIT / 2**20:.0f}"]), size <= LIMIT)


def make(report, folder):
    bundle = folder / "made here"
    make_bundle(report, bundle)
    if (machine.programs() / "drover-worker-cuda").exists():
        make_bundle(report, folder / "for GPUs", "--gpu")
    manifest = json.loads((bundle / "MANIFEST.json").read_text())
    report.check(f"glibc of at least {manifest['glibc']} is asked for", manifest["glibc"].startswith("2."))
    ours = re.compile(re.escape(str(chart.ROOT).encode()) + rb"/(?:build|common|coordinator|kernels|models|proto|text|worker)/[\w./]*")
    named = {name for path in (bundle / "libexec").iterdir() for name in ours.findall(path.read_bytes())}
    report.check(f"no program names this machine's folders {sorted(named)[:3] or ''}".rstrip(), not named)
    moved = folder / "moved"
    bundle.rename(moved)
    return moved


def check_programs(report, root):
    result = subprocess.run(root.command("/bin/sh", f"{HOME}/check"), env={}, capture_output=True, text=True, timeout=120, check=False)
    started = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("ok ")]
    report.check(f"start: {', '.join(started)}", result.returncode == 0 and started == ["drover", "drover-coordinator", "drover-worker"],
                 result.stdout + result.stderr)
    library = next((root.path / HOME.lstrip("/") / "lib").glob("libprotobuf.so.*"))
    away = library.rename(library.with_name("gone"))
    result = subprocess.run(root.command("/bin/sh", f"{HOME}/check"), env={}, capture_output=True, text=True, timeout=120, check=False)
    report.check("a lacking library is told", result.returncode == 1 and "FAILED  drover:" in result.stdout and "libprotobuf" in result.stdout,
                 result.stdout)
    away.rename(library)


def check_serving(report, root):
    root.copy(machine.model(), "/models/demo")
    words = [f"{HOME}/bin/drover", "serve", "/models/demo", "--ranks", "2", "--threads", "1", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
             "--cluster", "127.0.0.1:0", "--ready-file", "/out/ready"]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(root.command("/bin/sh", *words), env={}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            ready = root.path / "out" / "ready"
            machine.wait_until(lambda: ready.exists() or server.poll() is not None, 60, "the bundle's drover to be ready")
            if not ready.exists():
                log.seek(0)
                report.check("it serves", False, log.read()[-4000:])
                return
            answer = machine.ask("http://" + json.loads(ready.read_text())["http"])
            report.check(f"two ranks answer: {answer!r}", answer and "Paris" in answer, answer)
        finally:
            server.kill()  # unshare; its child processes end with it
            server.wait(30)


def main():
    if reason := bare_root.why_not():
        chart.skip(reason)
    if shutil.which("mpirun") is None:
        chart.skip("mpirun is not installed")
    report = chart.Report()
    with tempfile.TemporaryDirectory(prefix="drover-bundle-") as folder, bare_root.BareRoot() as root:
        root.copy(make(report, pathlib.Path(folder)), HOME)
        check_programs(report, root)
        check_serving(report, root)
    return report.done()


if __name__ == "__main__":
    os.environ.pop("LD_LIBRARY_PATH", None)
    sys.exit(main())
