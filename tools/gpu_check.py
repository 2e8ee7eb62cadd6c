#!/usr/bin/env python3
"""Runs the stages of tools/gpu_stages.py on a machine with a GPU and writes one JSON (scripts/gpu-check says what it is for)."""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

import gpu_stages
from bundle import commit_of_sources

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEST_LINE = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+?\.\S+?)(?:, where .*)? \(\d+ ms\)$", re.M)
OUTCOMES = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
SKIPPED = 77  # as ctest has it
BAD = ("failed", "not finished")  # what makes the whole run a failure


def say(message):
    print(f"gpu-check: {message}", flush=True)


def fail(message):
    sys.exit(f"gpu-check: {message}")


class Programs:
    """Where the programs are, and the environment they need: a build's folder, or a bundle."""

    def __init__(self, folder):
        self.folder, self.bundled = folder, (folder / "MANIFEST.json").exists()
        self.plain = {**os.environ, "DROVER_SOURCE_DIR": str(ROOT)}
        self.environment = dict(self.plain)
        if self.bundled:
            asked = subprocess.run(["sh", "-c", '. "$here/env.sh"; env -0'], env={**os.environ, "here": str(folder)}, capture_output=True, check=True)
            found = dict(entry.split("=", 1) for entry in asked.stdout.decode().split("\0") if "=" in entry)
            self.environment.update({name: value for name, value in found.items() if name != "here"})

    def environment_of(self, stage):
        """Python keeps to its own libraries; the programs of a bundle's bin/ find theirs by themselves."""
        return self.plain if stage.script else self.environment

    def path(self, program):
        return self.folder / "libexec" / pathlib.Path(program).name if self.bundled else self.folder / program

    def commit(self):
        if self.bundled:
            return json.loads((self.folder / "MANIFEST.json").read_text())["commit"]
        return commit_of_sources()


def sanitizer():
    for candidate in (shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer", *map(str, pathlib.Path("/opt").glob("nvidia/*/compute-sanitizer"))):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def command_of(stage, programs, given):
    """(words, None), or (None, the outcome and the reason why it cannot run)."""
    program = programs.path(stage.program)
    if not program.exists():
        return None, ("absent", f"{program.name} is not in {programs.folder.name}")
    lacking = [need for need in stage.needs if not given.get(need)]
    if lacking:
        return None, ("skipped", {"sanitizer": "no compute-sanitizer here", "smollm2": "no --smollm2 PATH was given"}[lacking[0]])
    fill = {"program": program, "bin": programs.folder / "bin", "root": ROOT, "smollm2": given.get("smollm2")}
    first = [program]
    if stage.script:
        first = [sys.executable, "-B", ROOT / "tools" / stage.script]
    elif stage.kind == "memory":
        first = [given.get("sanitizer"), "--error-exitcode", "9", "--target-processes", "all"]
    return [str(word) for word in (*first, *(word.format(**fill) for word in stage.arguments))], None


def run(words, environment, limit_s):
    """(exit status or None past the limit, output, seconds). Whatever the command started has ended afterwards."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            return 127, str(error), 0.0
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            for _ in range(2):  # the group's processes, also those that its first one left
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    break
                process.wait()
        log.seek(0)
        return status, log.read().decode(errors="replace"), time.monotonic() - started


def tests_of(output):
    """{test: outcome} as GoogleTest printed them; one that printed RUN and nothing more has crashed or was cut off."""
    tests = {name: OUTCOMES[word] for word, name in TEST_LINE.findall(output)}
    for name in re.findall(r"^\[ RUN +\] (\S+)$", output, re.M):
        tests.setdefault(name, "not finished")
    return tests


def judge_tests(status, output):
    tests = tests_of(output)
    counts = {outcome: list(tests.values()).count(outcome) for outcome in ("passed", "failed", "skipped", "not finished")}
    detail = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    if status is None:
        return "not finished", detail, tests
    if status != 0 or counts["failed"] or counts["not finished"]:
        return "failed", f"{detail or 'no test ran'}; status {status}", tests
    if not tests:
        return "failed", "no test ran", tests
    return ("passed" if counts["passed"] else "skipped"), detail, tests


def judge(stage, status, output):
    """What a stage's command has shown: outcome, detail, tests, numbers."""
    if stage.kind == "tests":
        return *judge_tests(status, output), None
    last = (output.strip().splitlines() or ["it printed nothing"])[-1][:200]
    if status is None:
        return "not finished", last, {}, None
    if stage.kind == "memory":
        summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", output)
        outcome, detail, tests = judge_tests(status, output)
        clean = [line for line in summary if re.search(r"SUMMARY: 0 (errors|hazards)", line)]
        if outcome == "passed" and (not summary or clean != summary):
            outcome = "failed"
        return outcome, f"{detail}; {summary[-1] if summary else 'no summary'}", {}, None
    if stage.kind == "status":
        outcome = {0: "passed", SKIPPED: "skipped"}.get(status, "failed")
        return outcome, last if outcome != "failed" else f"status {status}: {last}", {}, None
    numbers = numbers_in(output)
    if status != 0:
        return "failed", f"status {status}: {'see the numbers' if numbers else last}", {}, numbers
    return ("passed", "", {}, numbers) if numbers is not None else ("failed", f"printed no JSON: {last}", {}, None)


def numbers_in(output):
    """The JSON that begins a line and ends the output; None where there is none."""
    for start in re.finditer(r"^[{\[]", output, re.M):
        try:
            return json.loads(output[start.start():])
        except ValueError:
            continue
    return None


def run_stage(stage, programs, given, limit_s):
    words, why_not = command_of(stage, programs, given)
    if words is None:
        return {"outcome": why_not[0], "detail": why_not[1]}, ""
    if limit_s < 1:
        return {"outcome": "not reached", "detail": "no time was left"}, ""
    status, output, seconds = run(words, programs.environment_of(stage), limit_s)
    outcome, detail, tests, numbers = judge(stage, status, output)
    if outcome == "not finished":
        detail = f"cut off after {limit_s:.0f} s; {detail}"
    result = {"outcome": outcome, "detail": detail, "seconds": round(seconds, 1)}
    seed = re.search(r"random seed: (\d+)", output)
    for name, value in (("seed", int(seed.group(1)) if seed else None), ("tests", tests), ("numbers", numbers)):
        if value:
            result[name] = value
    return result, output


def run_all(stages, programs, given, record, out, total_s):
    """Runs the stages one after the other; what is known is written after each."""
    ends = time.monotonic() + total_s
    out.with_suffix(".log").unlink(missing_ok=True)
    for stage in stages:
        say(f"{stage.name}: {stage.shows}")
        result, output = run_stage(stage, programs, given, min(stage.limit_s, ends - time.monotonic()))
        record["stages"][stage.name] = result
        out.write_text(json.dumps(record, indent=1) + "\n")
        with open(out.with_suffix(".log"), "a") as log:
            log.write(f"==== {stage.name}: {result['outcome']}\n{output}")
        if result["outcome"] in BAD:
            print("\n".join(output.strip().splitlines()[-25:]), flush=True)
    return record


def table(record):
    lines = [f"{'stage':10} {'outcome':13} {'seconds':>7}  what was found"]
    for name, result in record["stages"].items():
        lines.append(f"{name:10} {result['outcome']:13} {result.get('seconds', ''):>7}  {result['detail']}")
        lines += [f"{'':10} {outcome:13} {'':7}  {test}" for test, outcome in result.get("tests", {}).items() if outcome in BAD]
    return "\n".join(lines)


def verdict(stages, record):
    """The exit status: of the stages that were asked for, none is bad and at least one has passed."""
    outcomes = [record["stages"][stage.name]["outcome"] for stage in stages]
    for outcome in ("absent", "skipped", "not reached"):
        names = [stage.name for stage in stages if record["stages"][stage.name]["outcome"] == outcome]
        if names:
            say(f"{outcome.upper()}, so not shown: {', '.join(names)}")
    return 0 if "passed" in outcomes and not set(outcomes) & set(BAD) else 1


def gpu_here():
    try:
        asked = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
                               capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        fail(f"no GPU was found here ({error}); nothing was run")
    if asked.returncode != 0 or not asked.stdout.strip():
        fail(f"nvidia-smi finds no GPU here ({asked.stderr.strip() or f'status {asked.returncode}'}); nothing was run")
    name, driver, memory = [part.strip() for part in (asked.stdout.splitlines()[0] + ",,").split(",")[:3]]
    return {"gpu": name, "driver": driver, "memory": memory}


def new_record(out, commit, gpu):
    """An empty record, or the one in `out` if it is of the same commit and device, so that stages can be run one by one."""
    now = datetime.datetime.now(datetime.timezone.utc)
    record = {"date": now.strftime("%Y-%m-%d"), "time": now.strftime("%H:%M"), "commit": commit, **gpu, "stages": {}}
    try:
        old = json.loads(out.read_text())
    except (OSError, ValueError):
        return record
    if all(old.get(name) == record[name] for name in ("commit", "gpu", "driver")):
        record["stages"] = old.get("stages", {})
    return record


def unpack(packed, work):
    """The folder of programs that --pack made."""
    archive = packed / "bundle.tar.xz"
    if not archive.exists():
        fail(f"{archive} is not there: make it with scripts/gpu-check --pack {packed}")
    with tarfile.open(archive) as file:
        file.extractall(work, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return work / "bundle"


def pack(folder, programs):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        made = subprocess.run([sys.executable, "-B", ROOT / "tools" / "bundle.py", "--gpu-tests", "--build", programs,
                               "--archive", folder / "bundle.tar.xz", f"{work}/bundle"], check=False)
    if made.returncode != 0:
        sys.exit(made.returncode)
    say(f"packed into {folder}; there, in a checkout of this commit: scripts/gpu-check --packed {folder.name}")


def chosen(names):
    known = [stage.name for stage in gpu_stages.STAGES]
    unknown = set(names) - set(known)
    if unknown:
        fail(f"--only: found {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
    return [stage for stage in gpu_stages.STAGES if not names or stage.name in names]


def main():
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the stages and stop")
    parser.add_argument("--only", default="", metavar="STAGE,...", help="run these; results of the same commit in the JSON are kept")
    parser.add_argument("--pack", type=pathlib.Path, metavar="DIR", help="instead: pack the programs into DIR for a machine with only a driver and CUDA's libraries")
    parser.add_argument("--packed", type=pathlib.Path, metavar="DIR", help="run what --pack made")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "release", metavar="DIR", help="a build's folder or a bundle")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the JSON (default: bench/results/DATE-COMMIT.json)")
    parser.add_argument("--smollm2", type=pathlib.Path, metavar="FILE", help="the model as scripts/fetch-smollm2 brings it")
    parser.add_argument("--total", type=float, default=gpu_stages.TOTAL_S, metavar="SECONDS", help="for all stages together")
    arguments = parser.parse_args()
    stages = chosen([name for name in arguments.only.split(",") if name])
    if arguments.list:
        for stage in stages:
            print(f"{stage.name:10} {stage.limit_s:4} s  {stage.shows} ({stage.program}{'; needs ' + ', '.join(stage.needs) if stage.needs else ''})")
        return 0
    if arguments.pack:
        pack(arguments.pack, arguments.programs)
        return 0
    if arguments.smollm2 and not arguments.smollm2.is_file():
        fail(f"--smollm2: {arguments.smollm2} is not there")
    gpu = gpu_here()
    with tempfile.TemporaryDirectory() as work:
        programs = Programs((unpack(arguments.packed, pathlib.Path(work)) if arguments.packed else arguments.programs).resolve())
        commit = programs.commit()
        out = (arguments.out or ROOT / "bench" / "results" / f"{datetime.date.today()}-{commit}.json").resolve()
        out.parent.mkdir(parents=True, exist_ok=True)
        say(f"{gpu['gpu']}, driver {gpu['driver']}, commit {commit}; at most {arguments.total:.0f} s")
        record = run_all(stages, programs, {"sanitizer": sanitizer(), "smollm2": arguments.smollm2 and arguments.smollm2.resolve()},
                         new_record(out, commit, gpu), out, arguments.total)
    print(table(record))
    status = verdict(stages, record)
    say(f"wrote {out}; put it into bench/results, run tools/gpu_table.py page, and commit both")
    return status


if __name__ == "__main__":
    sys.exit(main())
