#!/usr/bin/env python3
"""The chart on real nodes: install until the model answers, test, lose a worker, upgrade under a stream, leave nothing.

Long: needs root, containerd, the control plane of ../shared/tools/kube, a container daemon for the images, the built programs.
"""
import json
import subprocess
import sys
import tempfile
import time

import chart
import cluster
import machine

SPACE, RELEASE = "serving", "drover"
WORKER = "drover-worker-0"
STREAMS = 16

SPACE_AND_MODEL = """
apiVersion: v1
kind: Namespace
metadata: {name: %(space)s, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: drover-model}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: %(folder)s}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: drover-model, namespace: %(space)s}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: drover-model
  resources: {requests: {storage: 1Gi}}
"""

# Little of the node's processor, so that an answer lasts long enough for something to happen during it.
VALUES = """
image: {pullPolicy: Never, coordinator: {tag: %(tag)s}, worker: {tag: %(tag)s}}
model: {name: demo}
coordinator:
  preStopSeconds: 1
  drainSeconds: 90
  resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: "1", memory: 512Mi}}
workers:
  resources: {requests: {cpu: 100m, memory: 256Mi}, limits: {cpu: 250m, memory: 1Gi}}
test: {question: "What is the capital of France?"}
"""


class Scenario:
    def __init__(self, kube, report, values):
        self.kube, self.report, self.values = kube, report, values
        self.base = ""

    def helm(self, *words, **more):
        return self.kube.run("helm", *words, "-n", SPACE, **more)

    def ask(self):
        code = f"import sys; sys.path.insert(0, {str(chart.HERE)!r}); import machine; print(machine.ask({self.base!r}, timeout=10) or '')"
        return self.kube.python(code, check=False).stdout.strip()

    def worker(self):
        pod = self.kube.get("pod", WORKER, "-n", SPACE)
        status = pod["status"]["containerStatuses"][0]
        return {"uid": pod["metadata"]["uid"], "restarts": status["restartCount"], "ready": status["ready"]}

    def ranks(self):
        """Process ids of the ranks, as the coordinator lists them: they change when a group is started again."""
        state = self.kube.kubectl("exec", "-n", SPACE, "deployment/drover-coordinator", "--", "drover", "health",
                                  "--coordinator=127.0.0.1:8001", "--json")
        return sorted((group["name"], rank["pid"]) for group in json.loads(state)["groups"] for rank in group["ranks"])

    def install(self):
        start = time.monotonic()
        self.helm("install", RELEASE, chart.CHART, "-f", self.values, "--wait", "--timeout", "240s")
        took = time.monotonic() - start
        address = self.kube.get("service", RELEASE, "-n", SPACE)["spec"]["clusterIP"]
        self.base = f"http://{address}:8000"
        answer = self.ask()
        self.report.check(f"helm install --wait returned after {took:.1f} s, and the Service answers at once: {answer!r}", "Paris" in answer, answer)

    def test_hook(self):
        done = self.helm("test", RELEASE, "--timeout", "120s", check=False)
        self.report.check("helm test asks the model", done.returncode == 0 and "Succeeded" in done.stdout, done.stdout + done.stderr)

    def lose_worker(self):
        before = self.worker()
        start = time.monotonic()
        self.kube.kubectl("delete", "pod", WORKER, "-n", SPACE, "--wait=false")
        machine.wait_until(lambda: self.replaced(before["uid"]) and self.ask(), 60, "an answer after the worker was deleted")
        took = time.monotonic() - start
        self.report.check(f"after kubectl delete pod of the worker the model answers again in {took:.1f} s, at most 30", took <= 30)

    def replaced(self, uid):
        pod = self.kube.kubectl("get", "pod", WORKER, "-n", SPACE, "-o", "jsonpath={.metadata.uid}", check=False).stdout
        return pod not in ("", uid)

    def streams(self):
        """Starts the streams; the call returned waits for their end and tells how it was."""
        client = subprocess.Popen([self.kube.where / "enter", sys.executable, chart.HERE / "stream.py", self.base, "400", str(STREAMS)],
                                  stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        return lambda: json.loads(client.communicate(timeout=120)[0])

    def loads(self):
        """How often a rank of the worker pod has loaded its weights."""
        return self.kube.kubectl("logs", WORKER, "-n", SPACE).count("weights loaded")

    def drain_worker(self):
        machine.wait_until(lambda: self.worker()["ready"], 60, "the worker to be ready")
        before, finish = self.worker(), self.streams()
        self.kube.kubectl("delete", "pod", WORKER, "-n", SPACE, "--wait=false")
        end = finish()
        self.report.check(f"{STREAMS} streams that run when the worker is told to leave end well: {end}", end["good"] == STREAMS)
        machine.wait_until(lambda: self.replaced(before["uid"]) and self.ask(), 60, "an answer after the worker left")

    def upgrade_under_stream(self):
        machine.wait_until(lambda: self.worker()["ready"], 60, "the worker to be ready")
        before, ranks, loads = self.worker(), self.ranks(), self.loads()
        words = subprocess.Popen([self.kube.where / "enter", "kubectl", "logs", "-f", "deployment/drover-coordinator", "-n", SPACE],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        finish, start = self.streams(), time.monotonic()
        self.helm("upgrade", RELEASE, chart.CHART, "-f", self.values, "--set", "coordinator.logLevel=debug", "--wait", "--timeout", "240s")
        took, end = time.monotonic() - start, finish()
        self.report.check(f"{STREAMS} streams that run during the coordinator's upgrade end well: {end}", end["good"] == STREAMS)
        said = words.communicate(timeout=30)[0]
        self.report.check("they were under way at its SIGTERM", f"draining in_flight={STREAMS}" in said, said[-1500:])
        answer = self.ask()
        self.report.check(f"the new coordinator answers ({took:.1f} s for the upgrade): {answer!r}", "Paris" in answer)
        self.report.check("the worker pod was not restarted", self.worker() == before, f"{before} then {self.worker()}")
        self.report.check(f"its ranks are the same processes: {ranks}", self.ranks() == ranks and ranks, self.ranks())
        self.report.check(f"they did not load again: weights loaded {loads} times, once by each rank", loads == len(ranks) == self.loads(), self.loads())

    def uninstall(self):
        self.helm("uninstall", RELEASE, "--wait", "--timeout", "120s")
        kinds = "all,configmap,serviceaccount,networkpolicy,poddisruptionbudget,secret,endpointslice"
        def left():
            found = self.kube.get(kinds, "-n", SPACE, "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
            return [f"{o['kind']}/{o['metadata']['name']}" for o in found]
        try:
            machine.wait_until(lambda: not left(), 60, "what is left")
        except TimeoutError:
            pass
        self.report.check("helm uninstall leaves nothing", not left(), left())
        named = self.kube.kubectl("get", kinds, "-n", SPACE, "-o", "name").split()
        ours = [name for name in named if "drover" in name]
        self.report.check("and nothing with its name", not ours, ours)

    def explain(self):
        for words in (("get", "pods", "-o", "wide"), ("describe", "pods"), ("logs", "deployment/drover-coordinator", "--tail=30"),
                      ("logs", WORKER, "--tail=30"), ("get", "events")):
            done = self.kube.kubectl(*words, "-n", SPACE, check=False)
            print(f"--- kubectl {' '.join(words)}\n{(done.stdout + done.stderr)[-5000:]}")


def main():
    report = chart.Report()
    cluster.require()
    machine.programs()
    model = machine.model()
    with tempfile.TemporaryDirectory(prefix="drover-kube-") as folder:
        archives = [f"{folder}/coordinator.tar", f"{folder}/worker-cpu.tar"]
        with machine.daemon():
            machine.images(folder)
        machine.run("cp", "-r", model, f"{folder}/model")
        machine.run("chmod", "-R", "a+rX", folder)
        values = f"{folder}/values.yaml"
        with open(values, "w", encoding="utf-8") as file:
            file.write(VALUES % {"tag": machine.TAG})
        with cluster.up(2, archives) as kube:
            kube.apply(SPACE_AND_MODEL % {"space": SPACE, "folder": f"{folder}/model"})
            scenario = Scenario(kube, report, values)
            try:
                for step in (scenario.install, scenario.test_hook, scenario.lose_worker, scenario.upgrade_under_stream,
                             scenario.drain_worker, scenario.uninstall):
                    print(f"== {step.__name__}", flush=True)
                    step()
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as error:
                report.check("the scenario ends", False, error)
                scenario.explain()
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
