#!/usr/bin/env python3
"""--config: every field of drover.v1.Config is a flag of its program, and a bad file is refused by name before anything starts.

usage: config_test.py   (DROVER_BIN_DIR: where the programs are)
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import chart
import policy

BIN = pathlib.Path(os.environ["DROVER_BIN_DIR"])
PROGRAMS = {"coordinator": [BIN / "drover-coordinator"], "group": [BIN / "drover", "launch"]}
REFUSED = [  # part, text of the file, what the error must say
    ("coordinator", '{"coordinator": {"modell": "x"}}', ["modell"]),
    ("coordinator", '{"coordinator": {"queue": "many"}}', ["many"]),
    ("coordinator", '{"coordinator": {"model": "x", "drainLimit": 99999}}', ["drain_limit", "99999"]),
    ("coordinator", '{"coordinator": {"model": "x", "template": "odd"}}', ["template", "odd"]),
    ("coordinator", "model: x", ["drover.v1.Config"]),
    ("coordinator", "{}", ["--model", "found nothing"]),
    ("group", '{"group": {"coordinator": "127.0.0.1:1", "ranks": 0}}', ["ranks", "0"]),
    ("group", '{"group": {"ranks": 2}}', ["--coordinator", "found nothing"]),
]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def flags(report):
    for part, fields in policy.config_fields().items():
        _, text = run(*PROGRAMS[part], "--help")
        offered = set(re.findall(r"--[a-z-]+", text))
        wanted = {"--" + re.sub(r"([A-Z])", r"-\1", field).lower() for field in fields}
        report.check(f"{part}: every field is a flag", fields and wanted <= offered, f"no flag: {wanted - offered}")
        report.check(f"{part}: every flag is a field", offered - wanted <= {"--help", "--config", "--version"}, f"no field: {offered - wanted}")


def refusals(report, folder):
    for part, text, says in REFUSED:
        file = pathlib.Path(folder) / "drover.json"
        file.write_text(text)
        code, said = run(*PROGRAMS[part], "--config", file)
        report.check(f"refused: {text}", code != 0 and all(word in said for word in says), f"exit code {code}: {said}")
    code, said = run(*PROGRAMS["coordinator"], "--config", f"{folder}/nowhere.json")
    report.check("refused: a file that is not there", code != 0 and "nowhere.json: no such file" in said, said)


def precedence(report, folder):
    """The model of the file is tried, unless a flag names another; both fail here, and say which."""
    file = pathlib.Path(folder) / "drover.json"
    file.write_text(json.dumps({"coordinator": {"model": "/from-file", "http": "127.0.0.1:0", "allowLogits": True, "maxModelLen": "64"}}))
    _, said = run(*PROGRAMS["coordinator"], "--config", file)
    report.check("the file's value is used", "/from-file" in said, said)
    _, said = run(*PROGRAMS["coordinator"], "--config", file, "--model", "/from-flag")
    report.check("a flag wins over the file", "/from-flag" in said and "/from-file" not in said, said)


def main():
    report = chart.Report()
    flags(report)
    with tempfile.TemporaryDirectory() as folder:
        refusals(report, folder)
        precedence(report, folder)
    sys.exit(report.done())


if __name__ == "__main__":
    main()
