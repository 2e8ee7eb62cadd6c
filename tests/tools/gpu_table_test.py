#!/usr/bin/env python3
"""The tables of docs/gpu.md from made-up runs: nothing is called run that was not, and a failure stays a failure."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import gpu_table  # noqa: E402
from gpu_stages import STAGES, Stage  # noqa: E402

PARITY = next(stage for stage in STAGES if stage.name == "parity")
OTHERS = [Stage("golden", "logits", "tests/golden"), Stage("bench", "speed", "bin/bench", kind="numbers"), Stage("late", "more", "bin/unwritten")]
BUILT = {**gpu_table.targets(gpu_table.ROOT), "golden": [], "bench": []}


def run(date, **stages):
    return {"date": date, "commit": "c0ffee", "gpu": "H100", "driver": "580", "stages": stages}


class GpuTable(unittest.TestCase):
    def lines(self, *runs):
        return gpu_table.table([PARITY, *OTHERS], list(runs), BUILT).splitlines()

    def row(self, name, *runs):
        found = [line for line in self.lines(*runs) if line.startswith(f"| {name} |")]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_what_never_ran_was_only_compiled(self):
        self.assertTrue(self.row("golden").endswith("| never | only compiled |"))
        self.assertTrue(self.row("late").endswith("| never | no program yet |"))
        self.assertTrue(self.row("OpsParity.RmsNorm").endswith("| never | only compiled |"))
        self.assertFalse(any("ReferenceOps" in line for line in self.lines()))  # they are the reference's own

    def test_absent_and_skipped_stages_did_not_run(self):
        for outcome in ("absent", "skipped", "not reached"):
            self.assertTrue(self.row("golden", run("2026-01-01", golden={"outcome": outcome, "detail": ""})).endswith("| never | only compiled |"))
        skipped = run("2026-01-01", parity={"outcome": "skipped", "detail": "", "tests": {"All/OpsParity.RmsNorm/cuda": "skipped"}})
        self.assertTrue(self.row("OpsParity.RmsNorm", skipped).endswith("| never | only compiled |"))

    def test_the_newest_run_counts(self):
        runs = [run("2026-01-01", golden={"outcome": "passed", "detail": "7 passed"}),
                run("2026-01-02", golden={"outcome": "failed", "detail": "1 failed; status 1"}),
                run("2026-01-03", golden={"outcome": "absent", "detail": ""})]
        self.assertEqual(self.row("golden", *runs), "| golden | logits | 2026-01-02, c0ffee, H100, driver 580 | failed: 1 failed; status 1 |")

    def test_records_are_read_in_the_order_of_their_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, date, time in (("b", "2026-01-02", "10:00"), ("a", "2026-01-02", "11:00"), ("c", "2026-01-01", "12:00")):
                (pathlib.Path(folder) / f"{name}.json").write_text(json.dumps({"date": date, "time": time, "name": name}))
            self.assertEqual([run["name"] for run in gpu_table.load_runs(pathlib.Path(folder))], ["c", "b", "a"])

    def test_one_failed_case_fails_its_row(self):
        tests = {"All/LinearParity.EveryFormAndShapeEqualsTheReference/cuda": "passed",
                 "All/LinearParity.EveryFormAndShapeEqualsTheReference/cuda_bf16": "failed",
                 "Many/OpsParity.RmsNorm/cuda": "failed", "All/OpsParity.RmsNorm/cuda": "passed"}
        ran = run("2026-01-01", parity={"outcome": "failed", "detail": "", "tests": tests})
        self.assertTrue(self.row("LinearParity.EveryFormAndShapeEqualsTheReference", ran).endswith("| passed |"))
        self.assertTrue(self.row("LinearParity.EveryFormAndShapeEqualsTheReference in bf16", ran).endswith("| failed |"))
        self.assertTrue(self.row("OpsParity.RmsNorm", ran).endswith("| failed (1 failed, 1 passed) |"))

    def test_numbers_of_either_form_are_shown(self):
        rows = {"copy_bytes_per_second": 3.0123e12, "results": [{"kernel": "copy", "GB/s": 3012.345}, {"kernel": "gemv", "limited by": "launches"}]}
        shown = self.lines(run("2026-01-01", bench={"outcome": "passed", "detail": "", "numbers": rows}))
        self.assertIn("| kernel | GB/s | limited by |", shown)
        self.assertIn("| copy | 3012 |  |", shown)
        self.assertTrue(any(line.endswith("(copy_bytes_per_second 3.012e+12):") for line in shown))
        shown = self.lines(run("2026-01-01", bench={"outcome": "passed", "detail": "", "numbers": {"tokens_per_second": 12.5}}))
        self.assertIn("| tokens_per_second | 12.5 |", shown)


if __name__ == "__main__":
    unittest.main()
