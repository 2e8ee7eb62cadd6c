#!/usr/bin/env python3
"""Makes the tables of docs/gpu.md from what scripts/gpu-check left in bench/results/: what was run on a GPU, what was only compiled.

usage: tools/gpu_table.py page [--check]
"""
import argparse
import collections
import fnmatch
import json
import pathlib
import re
import sys

import gpu_stages

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "gpu.md", ROOT / "bench" / "results"
# Back ends beside `cuda` by the function that lists them in a test's source, and what their names add to a test's.
OTHERS = {"LinearBackEndsHere": {"cuda_bf16": " in bf16"}, "AttendBackEndsHere": {"cuda_flashinfer": " by FlashInfer"}}
BEGIN, END = "<!-- what was run: made by tools/gpu_table.py page -->\n", "<!-- end of what was run -->"
RAN = ("passed", "failed", "not finished")
WORST_FIRST = ("failed", "not finished", "passed")


def load_runs(folder):
    """Every record, the oldest first."""
    return sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda run: (run["date"], run["time"]))


def where(run):
    return f"{run['date']}, {run['commit']}, {run['gpu']}, driver {run['driver']}"


def row(*cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def targets(root):
    """{name: paths of the sources} of all programs that the build makes, as its CMakeLists.txt say."""
    found = {}
    for folder in sorted(root.iterdir()):
        if folder.name == "build" or folder.name.startswith(".") or not folder.is_dir():
            continue
        for file in folder.rglob("CMakeLists.txt"):
            text = file.read_text()
            lists = dict(re.findall(r"\bset\((\w+)\s+([^()$]*)\)", text))
            for name, sources in re.findall(r"drover_(?:test|binary)\(([\w-]+)\s+SOURCES\s+(.*?)\s+DEPS", text, re.S):
                names = re.sub(r"\$\{(\w+)\}", lambda match: lists.get(match.group(1), ""), sources).split()
                found[name] = [file.parent / source for source in names]
    return found


def short_name(test):
    """Suite.Name of All/Suite.Name/parameter, with what the back end's name adds."""
    suite, _, name = test.partition(".")
    name, _, parameter = name.partition("/")
    added = [adds[parameter] for adds in OTHERS.values() if parameter in adds]
    return f"{suite.split('/')[-1]}.{name}{''.join(added)}"


def tests_in(stage, built):
    """The same names as the sources of a stage's tests have them; of sources for several back ends, those with the back end as parameter."""
    pattern = next((argument.partition("=")[2] for argument in stage.arguments if argument.startswith("--gtest_filter=")), "*")
    kinds, pattern = ("_P", "*") if pattern == "*/cuda*" else ("(?:_P|_F)?", pattern)
    for source in built.get(pathlib.Path(stage.program).name, []) if stage.kind == "tests" else []:
        text = source.read_text() if source.exists() else ""
        own = [added for listed, adds in OTHERS.items() if listed in text for added in adds.values()]
        for suite, name in re.findall(rf"^TEST{kinds}\((\w+), (\w+)\)", text, re.M):
            if fnmatch.fnmatch(f"{suite}.{name}", pattern):
                yield from (f"{suite}.{name}{kind}" for kind in ["", *own])


def last_result(runs, stage):
    """The newest run in which a stage was really run, and what it found; None when there is none."""
    ran = [run for run in runs if run["stages"].get(stage.name, {}).get("outcome") in RAN]
    return (ran[-1], ran[-1]["stages"][stage.name]) if ran else None


def stage_rows(stages, runs, built):
    for stage in stages:
        found = last_result(runs, stage)
        if found is None:
            compiled = pathlib.Path(stage.program).name in built
            yield row(stage.name, stage.shows, "never", "only compiled" if compiled else "no program yet")
        else:
            run, result = found
            yield row(stage.name, stage.shows, where(run), f"{result['outcome']}: {result['detail']}".rstrip(": "))


def test_rows(stage, runs, built):
    """One row per test as it is written, its parameters summed up. The newest run that has the test counts."""
    names = list(dict.fromkeys(tests_in(stage, built)))
    latest = {}
    for run in runs:
        sums = collections.defaultdict(collections.Counter)
        for test, outcome in run["stages"].get(stage.name, {}).get("tests", {}).items():
            sums[short_name(test)][outcome] += 1
        latest.update({name: (run, counts) for name, counts in sums.items() if set(counts) & set(RAN)})
    for name in names:
        if name not in latest:
            yield row(name, "never", "only compiled")
            continue
        run, counts = latest[name]
        worst = next(outcome for outcome in WORST_FIRST if counts[outcome])
        several = f" ({', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))})" if sum(counts.values()) > 1 else ""
        yield row(name, where(run), worst + several)


def number(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def number_rows(numbers):
    """A table of what a program printed as JSON: a list of rows, alone or under `results`, or one row of names and values."""
    rows = numbers.get("results", numbers) if isinstance(numbers, dict) else numbers
    if isinstance(rows, dict):
        rows = [{"what": name, "value": value} for name, value in rows.items()]
    columns = list(dict.fromkeys(column for entry in rows for column in entry))
    yield from (row(*columns), "|" + "---|" * len(columns))
    for entry in rows:
        yield row(*(number(entry.get(column, "")) for column in columns))


def limits(numbers):
    """What stands beside a table of results, in brackets."""
    single = [f"{name} {number(value)}" for name, value in numbers.items() if name != "results"] if isinstance(numbers, dict) and "results" in numbers else []
    return f" ({', '.join(single)})" if single else ""


def table(stages, runs, built):
    lines = [row("stage", "shows", "last run", "result"), "|---|---|---|---|", *stage_rows(stages, runs, built)]
    for stage in stages:
        rows = list(test_rows(stage, runs, built))
        if rows:
            lines += ["", row(f"{stage.name}: test", "last run", "result"), "|---|---|---|", *rows]
    for stage in stages:
        found = last_result(runs, stage)
        if found and found[1].get("numbers"):
            lines += ["", f"{stage.name}, {where(found[0])}{limits(found[1]['numbers'])}:", "", *number_rows(found[1]["numbers"])]
    return "\n".join(lines) + "\n"


def page(check):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    made = before + BEGIN + table(gpu_stages.STAGES, load_runs(RESULTS), targets(ROOT)) + END + rest.split(END)[1]
    if check and made != text:
        sys.exit("gpu_table: docs/gpu.md does not tell what bench/results/ and the tests say; run tools/gpu_table.py page")
    if made != text:
        PAGE.write_text(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    pager = actions.add_parser("page", help="make the tables anew")
    pager.add_argument("--check", action="store_true", help="only say whether they are up to date")
    page(parser.parse_args().check)


if __name__ == "__main__":
    main()
