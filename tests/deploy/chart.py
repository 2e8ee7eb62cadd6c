"""What the chart's tests share: where the tools are, rendering, the objects of a rendering."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "drover"
HERE = ROOT / "tests" / "deploy"
OPENAPI = ROOT.parent / "shared" / "tools" / "kube" / "openapi"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE: "not run", never "passed"
KUBE_VERSION = "1.32.3"


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def tool(name):
    """The program that deploy/tools/install-helm built, else the machine's own; skips the test where there is none."""
    folder = pathlib.Path(os.environ.get("DROVER_TOOLS", ROOT / "build" / "tools"))
    found = folder / name if (folder / name).exists() else shutil.which(name)
    return str(found) if found else skip(f"{name} is not installed; deploy/tools/install-helm builds it")


def yaml():
    try:
        import yaml as module
    except ImportError:
        skip("python3-yaml is not installed")
    return module


def render(values_file, release="drover", namespace="serving", folder=CHART):
    """(text, error) of `helm template`; error is None when it succeeded."""
    command = [tool("helm"), "template", release, str(folder), "-n", namespace, "--kube-version", KUBE_VERSION,
               "-f", str(values_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout, None) if done.returncode == 0 else ("", done.stderr)


def objects(text):
    return [o for o in yaml().safe_load_all(text) if o]


def value_sets():
    return sorted((HERE / "values").glob("*.yaml"))


class Report:
    """Prints one line per check; the exit code says whether all held."""

    def __init__(self):
        self.failed = self.passed = 0

    def check(self, what, held, detail=""):
        self.passed, self.failed = self.passed + bool(held), self.failed + (not held)
        print(f"{'ok  ' if held else 'FAIL'}  {what}")
        if not held and detail:
            print("      " + "\n      ".join(str(detail).strip().splitlines()[:30]))
        return bool(held)

    def done(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
