#!/usr/bin/env python3
"""Keeps what was run on GPUs: `record` makes a JSON of one run, `page` makes the table of docs/gpu.md from all of bench/results/.

usage: tools/gpu_table.py record --tests GTEST.json --log LOG --gpu TEXT --commit ID --sanitizer TEXT --out FILE
       tools/gpu_table.py page [--check]
"""
import argparse
import datetime
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "gpu.md", ROOT / "bench" / "results"
PARITY = ["ops", "linear", "groups", "attend", "rows", "bf16_linear"]  # tests/kernels/*_test.cc that cuda_ops_test is made of
IN = {"cuda_bf16": " in bf16"}  # what a back end's name adds to a test's
BEGIN, END = "<!-- what was run: made by tools/gpu_table.py page -->\n", "<!-- end of what was run -->"


def suites(results):
    for suite in results["testsuites"]:
        for test in suite["testsuite"]:
            name, back_end = test["name"].split("/")
            yield f"{suite['name'].split('/')[-1]}.{name}{IN.get(back_end, '')}", test


def outcome(test):
    if test["status"] != "RUN" or test["result"] == "SKIPPED":
        return "skipped"
    return "failed" if test.get("failures") else "passed"


def record(arguments):
    name, driver, memory = [part.strip() for part in (arguments.gpu + ",,").split(",")[:3]]
    seed = re.search(r"random seed: (\d+)", pathlib.Path(arguments.log).read_text())
    tests = {name: outcome(test) for name, test in suites(json.loads(pathlib.Path(arguments.tests).read_text()))}
    if set(tests.values()) <= {"skipped"}:
        sys.exit("gpu_table: every test was skipped; nothing is recorded")
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "commit": arguments.commit,
        "gpu": name, "driver": driver, "memory": memory, "seed": int(seed.group(1)) if seed else None,
        "memcheck": arguments.sanitizer, "tests": tests,
    }
    pathlib.Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    for name, found in tests.items():
        print(f"{found:8} {name}")
    print(f"{sum(found == 'passed' for found in tests.values())} of {len(tests)} passed on {result['gpu']}; memcheck: {arguments.sanitizer}")


def parity_tests():
    for stem in PARITY:
        text = (ROOT / "tests" / "kernels" / f"{stem}_test.cc").read_text()
        own = IN.values() if "LinearBackEndsHere" in text else []
        for suite, name in re.findall(r"^TEST_P\((\w+), (\w+)\)", text, re.M):
            yield from (f"{suite}.{name}{back_end}" for back_end in ["", *own])


def table():
    runs = sorted((json.loads(path.read_text()) for path in RESULTS.glob("*.json")), key=lambda run: run["date"])
    lines = ["| parity test | last run | result |", "|---|---|---|"]
    for name in parity_tests():
        ran = [run for run in runs if run["tests"].get(name, "skipped") != "skipped"]
        if not ran:
            lines.append(f"| {name} | never | only compiled |")
            continue
        run = ran[-1]
        lines.append(f"| {name} | {run['date']}, {run['commit']}, {run['gpu']}, driver {run['driver']} | {run['tests'][name]} |")
    lines.append(f"| all of them under compute-sanitizer | {runs[-1]['date'] if runs else 'never'} | {runs[-1]['memcheck'] if runs else 'not run'} |")
    return "\n".join(lines) + "\n"


def page(arguments):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    made = before + BEGIN + table() + END + rest.split(END)[1]
    if arguments.check and made != text:
        sys.exit("gpu_table: docs/gpu.md does not tell what bench/results/ and the tests say; run tools/gpu_table.py page")
    if made != text:
        PAGE.write_text(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    recorder = actions.add_parser("record")
    for name in ("tests", "log", "gpu", "commit", "sanitizer", "out"):
        recorder.add_argument(f"--{name}", required=True)
    recorder.set_defaults(run=record)
    pager = actions.add_parser("page")
    pager.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    pager.set_defaults(run=page)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
