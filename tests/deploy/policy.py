"""What must hold for every object the chart renders, whatever the values: Pod Security "restricted", probes, limits, no token."""
import json
import pathlib
import re

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto/drover/v1/config.proto"
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image"}
KINDS = {"ConfigMap", "Deployment", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"}


def config_fields():
    """Field names of each part of drover.v1.Config, as JSON spells them."""
    text = PROTO.read_text()
    camel = lambda name: re.sub(r"_(\w)", lambda m: m[1].upper(), name)
    parts = dict(re.findall(r"^  (\w+Config) (\w+) = ", text, re.M))
    return {part: {camel(f) for f in re.findall(r"optional \w+ (\w+) =", re.search(rf"message {message} {{(.*?)^}}", text, re.S | re.M)[1])}
            for message, part in parts.items()}


def pod_specs(objects):
    """(object, pod metadata, pod spec) of everything that makes pods."""
    for o in objects:
        if o["kind"] == "Pod":
            yield o, o["metadata"], o["spec"]
        elif "template" in o.get("spec", {}):
            yield o, o["spec"]["template"]["metadata"], o["spec"]["template"]["spec"]


def pod_faults(pod):
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") != 10001:
        yield "does not run as user 10001"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile RuntimeDefault"
    if pod.get("automountServiceAccountToken") is not False:
        yield "mounts a service account token"
    if pod.get("enableServiceLinks") is not False:
        yield "takes service links into its environment"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"uses {key}"


def container_faults(container):
    name, security = container["name"], container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield f"{name}: may gain privileges"
    if security.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: has a writable root"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: keeps capabilities"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: takes a port of the host"
    image = container["image"]
    if not re.search(r"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][\w.-]*)$", image) or image.endswith(":latest"):
        yield f"{name}: image {image} names no version"
    resources = container.get("resources", {})
    if "memory" not in resources.get("limits", {}) or not {"cpu", "memory"} <= set(resources.get("requests", {})):
        yield f"{name}: lacks requests or a memory limit"
    for program in container.get("command", [])[:1] + container.get("args", [])[:1]:
        if program in ("sh", "bash", "/bin/sh", "/bin/bash"):
            yield f"{name}: needs a shell"


def serving_faults(pod):
    """Of pods that stay: probes, a termination period beyond preStop."""
    for container in pod["containers"]:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{container['name']}: has no {probe}"
        if container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            yield f"{container['name']}: hides its last words"
    waits = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    serves = any(port["name"] == "http" for port in pod["containers"][0].get("ports", []))
    if pod.get("terminationGracePeriodSeconds", 0) <= waits:
        yield "is killed before its preStop ends"
    if serves and not waits:
        yield "meets SIGTERM before it left its Service"


def mount_faults(pod):
    volumes = {v["name"]: next(k for k in v if k != "name") for v in pod.get("volumes", [])}
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{container['name']}: mounts {mount['name']}, which is no volume"
            elif volumes[mount["name"]] != "emptyDir" and not mount.get("readOnly"):
                yield f"{container['name']}: may write to {mount['name']}"
    for name, kind in volumes.items():
        if kind not in RESTRICTED_VOLUMES | {"hostPath"}:
            yield f"volume {name} is a {kind}"
    for volume in pod.get("volumes", []):
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"volume {volume['name']} may fill the node"


def selector_faults(objects):
    pods = [meta["labels"] for _, meta, _ in pod_specs(objects)]
    for o in objects:
        selector = o.get("spec", {}).get("selector") or o.get("spec", {}).get("podSelector")
        wanted = (selector or {}).get("matchLabels", selector if o["kind"] == "Service" else None)
        if wanted is None:
            continue
        if any("version" in key or "chart" in key for key in wanted):
            yield f"{o['kind']} {o['metadata']['name']}: a version in its selector"
        if not any(wanted.items() <= labels.items() for labels in pods):
            yield f"{o['kind']} {o['metadata']['name']}: selects no pod of the release"


def reference_faults(objects):
    """Names that one object uses must be names that another has."""
    settings = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    for o, _, pod in pod_specs(objects):
        for volume in pod.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in settings:
                yield f"{o['metadata']['name']}: ConfigMap {volume['configMap']['name']} is not rendered"
        for container in pod["containers"]:
            known = {e["name"] for e in container.get("env", [])}
            for used in re.findall(r"\$\((\w+)\)", " ".join(container.get("args", []))):
                if used not in known:
                    yield f"{o['metadata']['name']}: $({used}) is set nowhere"


def settings_faults(objects):
    """The configuration is drover.v1.Config: parts and fields have the names of its messages."""
    known = config_fields()
    for o in objects:
        for text in o.get("data", {}).values() if o["kind"] == "ConfigMap" else []:
            for part, fields in json.loads(text).items():
                for field in fields:
                    if field not in known.get(part, ()):
                        yield f"{o['metadata']['name']}: {part}.{field} is no field of drover.v1.Config"


def network_faults(objects):
    policies = [o["spec"] for o in objects if o["kind"] == "NetworkPolicy"]
    if not policies:
        return
    deny = [p for p in policies if set(p["policyTypes"]) == {"Ingress", "Egress"} and "ingress" not in p and "egress" not in p]
    if len(deny) != 1:
        yield "there is no policy that denies by default"
    for _, meta, _ in pod_specs(objects):
        if deny and not deny[0]["podSelector"]["matchLabels"].items() <= meta["labels"].items():
            yield f"the default denial misses {meta['labels']}"
    for policy in policies:
        for rule in policy.get("ingress", []) + policy.get("egress", []):
            if not rule.get("ports") or not (rule.get("from") or rule.get("to")):
                yield "a rule opens every port or every peer"


def faults(objects):
    """Everything wrong with one rendering, as text."""
    for o in objects:
        if o["kind"] not in KINDS:
            yield f"{o['kind']} {o['metadata']['name']}: a kind that the chart does not need"
    for o, meta, pod in pod_specs(objects):
        found = [*pod_faults(pod), *mount_faults(pod)]
        for container in pod["containers"] + pod.get("initContainers", []):
            found += container_faults(container)
        if o["kind"] != "Pod":
            found += serving_faults(pod)
        yield from (f"{o['kind']} {o['metadata']['name']}: {fault}" for fault in found)
    yield from selector_faults(objects)
    yield from reference_faults(objects)
    yield from settings_faults(objects)
    yield from network_faults(objects)
