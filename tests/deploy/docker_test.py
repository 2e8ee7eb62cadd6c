#!/usr/bin/env python3
"""The images and the compose file: built without a registry, restricted containers answer, SIGTERM lets a stream finish.

Long: a container daemon (the one at hand, or one of our own), debootstrap, and the built programs are needed.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import chart
import machine

STREAMS = 16
COMPOSE = ["-f", str(chart.ROOT / "deploy" / "compose.yaml"), "-p", "drovertest"]


def check_images(report):
    base = int(machine.run(machine.docker(), "image", "inspect", "-f", "{{.Size}}", "drover/base:bookworm"))
    for target in ("coordinator", "worker-cpu"):
        image = json.loads(machine.run(machine.docker(), "image", "inspect", f"drover/{target}:{machine.TAG}"))[0]
        beyond, config = image["Size"] - base, image["Config"]
        labels = config["Labels"]
        report.check(f"{target}: {beyond / 1e6:.0f} MB beyond its base, at most {machine.SIZE_LIMIT / 1e6:.0f}", beyond <= machine.SIZE_LIMIT)
        report.check(f"{target}: runs as 10001 without a shell", config["User"] == "10001:10001" and config["Entrypoint"][0].startswith("drover"))
        report.check(f"{target}: labels name licence and commit", labels["org.opencontainers.image.licenses"] == "Apache-2.0"
                     and len(labels["org.opencontainers.image.revision"]) == 40, labels)
        report.check(f"{target}: has a health check of its own", config.get("Healthcheck", {}).get("Test", [""])[:2] == ["CMD", "drover"])


def compose(*words, **more):
    program = ["docker-compose"] if shutil.which("docker-compose") else [machine.docker(), "compose"]
    return machine.run(*program, *COMPOSE, *words, **more)


def check_compose(report, port):
    base = f"http://127.0.0.1:{port}"
    took = machine.wait_until(lambda: machine.get(f"{base}/health")[0] == 200, 120, "compose to be ready")
    report.check(f"compose is ready after {took:.1f} s", True)
    answer = machine.ask(base)
    report.check(f"compose answers a question: {answer!r}", answer and "Paris" in answer, answer)
    health = "{{.State.Health.Status}}"
    for service in ("coordinator", "worker"):
        name = compose("ps", "-q", service).strip()
        machine.wait_until(lambda: machine.run(machine.docker(), "inspect", "-f", health, name).strip() == "healthy", 60, f"{service} to be healthy")
        report.check(f"{service}: its container is healthy", True)
    return compose("ps", "-q", "coordinator").strip()


def check_drain(report, container, port):
    """`docker stop` with live streams: they end as asked, the process exits 0."""
    # Little processor for the group, so that the answers are still under way at SIGTERM.
    machine.run(machine.docker(), "update", "--cpus", "0.2", compose("ps", "-q", "worker").strip())
    client = subprocess.Popen([sys.executable, chart.HERE / "stream.py", f"http://127.0.0.1:{port}", "400", str(STREAMS)], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    machine.run(machine.docker(), "stop", "-t", "75", container)
    stream = json.loads(client.communicate(timeout=120)[0])
    report.check(f"{STREAMS} streams that run at SIGTERM end well: {stream}", stream["good"] == STREAMS)
    said = machine.run(machine.docker(), "logs", container, merge=True)
    report.check("they were under way at SIGTERM", f"draining in_flight={STREAMS}" in said, said[-1500:])
    code = machine.run(machine.docker(), "inspect", "-f", "{{.State.ExitCode}}", container).strip()
    report.check(f"the coordinator exits with 0 after SIGTERM (found {code})", code == "0")


def main():
    report = chart.Report()
    machine.programs()
    folder, port = machine.model(), os.environ.get("DROVER_HTTP_PORT", "18000")
    with machine.daemon():
        machine.images()
        check_images(report)
        if not shutil.which("docker-compose") and machine.run(machine.docker(), "compose", "version", check=False).returncode != 0:
            chart.skip("neither docker-compose nor docker compose is installed")
        os.environ.update(DROVER_TAG=machine.TAG, DROVER_MODEL_DIR=str(folder), DROVER_HTTP_PORT=port, DROVER_GRPC_PORT=str(int(port) + 1))
        try:
            compose("up", "-d", "--no-build")
            container = check_compose(report, port)
            check_drain(report, container, port)
        except (RuntimeError, TimeoutError) as error:
            report.check("compose", False, f"{error}\n{compose('logs', '--no-color', '--tail', '40')}")
        finally:
            compose("down", "-v", "-t", "5")
        left = machine.run(machine.docker(), "ps", "-aq", "--filter", "label=com.docker.compose.project=drovertest")
        report.check("compose down leaves no container", not left, left)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
