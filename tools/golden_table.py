#!/usr/bin/env python3
"""Writes the README's table of golden cases from a run of golden_test: one row a case, with what was really run.

usage: golden_table.py [--test build/release/tests/golden_test] [--readme README.md] [--print]
Every case of the corpus's index that the test does not name is listed as not run.
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
INDEX = ROOT.parent / "shared" / "golden" / "index.json"
BEGIN, END = "<!-- golden cases: written by tools/golden_table.py -->", "<!-- end of golden cases -->"
LINE = re.compile(r"^(\w+?)_on_(\d+)((?:_in_\d+_stages|_attention_in_\d+|_experts_in_\d+)*): largest logit error (\S+)$", re.M)


def runs_of(test):
    """case (with underscores) -> [(ranks, variant, error)] of a passing run."""
    done = subprocess.run([test], capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{test} failed:\n{done.stdout[-2000:]}")
    runs = collections.defaultdict(list)
    for name, ranks, variant, error in LINE.findall(done.stdout):
        runs[name].append((int(ranks), variant, float(error)))
    return runs


def cuts(runs):
    plain = sorted({ranks for ranks, variant, _ in runs if not variant})
    text = ", ".join(map(str, plain))
    if any("experts" in variant for _, variant, _ in runs):
        text += "; other expert cuts"
    parts = sorted({int(p) for _, variant, _ in runs for p in re.findall(r"attention_in_(\d+)", variant)})
    if parts:
        text += "; attention in " + ", ".join(map(str, parts)) + " parts"
    if any("stages" in variant and "attention" not in variant for _, variant, _ in runs):
        text += "; 2 x 2 pipeline"
    return text


def table(runs):
    cases = json.loads(INDEX.read_text())
    cases = {c["name"]: c for c in (cases["cases"] if isinstance(cases, dict) else cases)}
    names = {re.sub(r"[-.]", "_", name): name for name in cases}
    rows = ["| case | family | what is special | ranks | largest logit error |", "| --- | --- | --- | --- | --- |"]
    for key in sorted(set(names) | set(runs)):
        name = names.get(key, key.replace("_", "-") + " *")
        case = cases.get(names.get(key), {})
        special = case.get("special", "our own case").replace("|", "/")
        if key in runs:
            worst = max(error for _, _, error in runs[key])
            rows.append(f"| {name} | {case.get('family', '')} | {special} | {cuts(runs[key])} | {worst:.1e} |")
        else:
            rows.append(f"| {name} | {case.get('family', '')} | {special} | not served | |")
    return "\n".join(rows), sum(key in runs for key in names), len(names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", type=pathlib.Path, default=ROOT / "build/release/tests/golden_test")
    parser.add_argument("--readme", type=pathlib.Path, default=ROOT / "README.md")
    parser.add_argument("--print", action="store_true", help="print the table and change nothing")
    options = parser.parse_args()
    text, served, known = table(runs_of(options.test))
    if options.print:
        print(text)
        return
    readme = options.readme.read_text()
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    options.readme.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    print(f"{options.readme}: {served} of the corpus's {known} cases pass")


if __name__ == "__main__":
    main()
