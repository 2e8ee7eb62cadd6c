#!/usr/bin/env python3
"""The chart without a cluster: lint, golden renderings, Kubernetes' own schemas, refusals, policy.

usage: chart_test.py lint | golden [--update] | schemas | refusals | policy | notes
"""
import copy
import difflib
import shutil
import subprocess
import sys
import tempfile

import chart
import policy


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def lint(report):
    for values in chart.value_sets():
        code, text = run(chart.tool("helm"), "lint", "--strict", "--kube-version", chart.KUBE_VERSION, chart.CHART, "-f", values)
        report.check(f"helm lint --strict with {values.stem}", code == 0, text)


def golden(report):
    update = "--update" in sys.argv
    for values in chart.value_sets():
        text, error = chart.render(values)
        if not report.check(f"{values.stem} renders", error is None, error):
            continue
        file = chart.HERE / "golden" / values.name
        if update:
            file.write_text(text)
        kept = file.read_text() if file.exists() else ""
        diff = "\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), f"golden/{file.name}", "rendered", lineterm=""))
        report.check(f"{values.stem} is as in golden/ (chart_test.py golden --update after a wanted change)", kept == text, diff)
    stray = {f.name for f in (chart.HERE / "golden").glob("*.yaml")} - {v.name for v in chart.value_sets()}
    report.check("every golden file has its values", not stray, stray)


def schemas(report):
    """kubeconform, with schemas from a real API server: unknown fields, wrong types and nulls are refused."""
    if not chart.OPENAPI.is_dir():
        chart.skip(f"{chart.OPENAPI} is not here: no Kubernetes schemas to compare with")
    where = str(chart.OPENAPI / "{{.ResourceKind}}{{.KindSuffix}}.json")
    checker = [chart.tool("kubeconform"), "-strict", "-summary", "-schema-location", where]
    for values in chart.value_sets():
        text, error = chart.render(values)
        count = len(chart.objects(text))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            code, said = run(*checker, file.name)
        report.check(f"{values.stem}: {count} objects fit the schemas of Kubernetes {chart.KUBE_VERSION}",
                     error is None and count and code == 0 and f"Valid: {count}," in said, error or said)
        text = text.replace("terminationGracePeriodSeconds", "terminationGracePeriodSecond", 1)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            code, said = run(*checker, file.name)
        report.check(f"{values.stem}: a misspelt field in it is found", code != 0 and "terminationGracePeriodSecond" in said, said)


def refusals(report):
    cases = chart.yaml().safe_load((chart.HERE / "refused.yaml").read_text())
    for case in cases:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            chart.yaml().safe_dump(case["values"], file)
            file.flush()
            _, error = chart.render(file.name)
        missing = [word for word in case["says"] if word not in (error or "")]
        report.check(f"refused: {case['name']}", error is not None and not missing, error or "it was accepted")


def broken_renderings(objects):
    """(what, objects) with one thing wrong each: the policy must notice."""
    def edit(what, kind, change):
        changed = copy.deepcopy(objects)
        change(next(o for o in changed if o["kind"] == kind))
        return what, changed
    container = lambda o: o["spec"]["template"]["spec"]["containers"][0]
    yield edit("an image without a version", "StatefulSet", lambda o: container(o).update(image="drover:latest"))
    yield edit("a writable root", "Deployment", lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False))
    yield edit("a missing probe", "StatefulSet", lambda o: container(o).pop("readinessProbe"))
    yield edit("no memory limit", "Deployment", lambda o: container(o)["resources"].pop("limits"))
    yield edit("root's user id", "StatefulSet", lambda o: o["spec"]["template"]["spec"]["securityContext"].update(runAsUser=0))
    yield edit("a setting nobody sets", "Deployment", lambda o: container(o)["args"].append("--x=$(DROVER_NOWHERE)"))
    yield edit("a setting that no process knows", "ConfigMap", lambda o: o["data"].update({"drover.json": '{"group": {"rankz": 2}}'}))
    yield edit("a Service without pods", "Service", lambda o: o["spec"]["selector"].update(x="y"))


def check_policy(report):
    for values in chart.value_sets():
        text, error = chart.render(values)
        found = [error] if error else list(policy.faults(chart.objects(text)))
        report.check(f"{values.stem}: restricted, probed, limited, wired", not found, "\n".join(found))
    good = chart.objects(chart.render(chart.HERE / "values" / "default.yaml")[0])
    for what, objects in broken_renderings(good):
        report.check(f"the policy notices {what}", list(policy.faults(objects)))


def rendered_notes(values):
    """(text, error): `helm template` leaves NOTES.txt out, so a copy of the chart renders it as the value of a ConfigMap."""
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copytree(chart.CHART, f"{folder}/drover")
        shutil.move(f"{copied}/templates/NOTES.txt", f"{copied}/NOTES")
        with open(f"{copied}/templates/zz-notes.yaml", "w", encoding="utf-8") as file:
            file.write('kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "NOTES") . | toJson }}\n')
        text, error = chart.render(values, folder=copied)
    return next((o["text"] for o in chart.objects(text) if o["kind"] == "Notes"), ""), error


def notes(report):
    """What a person reads after `helm install`: three commands with this release's names, and warnings where they apply."""
    warnings = {"host-path": "model.source is hostPath", "image-volume": "model.source is image", "open": "networkPolicy.enabled is false"}
    for values in chart.value_sets():
        said, error = rendered_notes(values)
        wanted = ["kubectl -n serving rollout status deployment/", "helm test drover -n serving", "kubectl -n serving port-forward service/",
                  "/v1/chat/completions", warnings.get(values.stem, "")]
        missing = [word for word in wanted if word not in said]
        report.check(f"{values.stem}: notes name the next commands", not missing, error or f"missing: {missing}\n{said}")
        if values.stem not in warnings:
            report.check(f"{values.stem}: notes warn of nothing", "WARNING" not in said, said)


def main():
    parts = {"lint": lint, "golden": golden, "schemas": schemas, "refusals": refusals, "policy": check_policy,
             "notes": notes}
    if len(sys.argv) < 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    report = chart.Report()
    parts[sys.argv[1]](report)
    sys.exit(report.done())


if __name__ == "__main__":
    main()
