#!/usr/bin/env python3
"""Runs gpu_decode with a made-up worker: its rows, and that what failed or was cut off is a row that says so."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "gpu_decode.py"
REPORT = {"prefill_tokens_per_second": 1000.0, "decode_tokens_per_second": 50.0, "read_bandwidth_share": 0.8, "host_gap_seconds": 2.5e-5,
          "bytes_per_decode_step": 16e9}
WORKER = """#!/bin/bash
case "$*" in
  *large*) echo 'out of memory: rank 0, cuda:0' >&2; exit 1 ;;
  *odd*) echo '{}' ;;
  *slow*) sleep 30 ;;
  *) echo '%s' ;;
esac
""" % json.dumps(REPORT)


class GpuDecode(unittest.TestCase):
    def rows(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            worker = pathlib.Path(folder) / "worker"
            worker.write_text(WORKER)
            worker.chmod(0o755)
            result = subprocess.run([sys.executable, "-B", PROGRAM, worker, *arguments], capture_output=True, text=True, check=False, timeout=60)
        return result.returncode, json.loads(result.stdout)["results"]

    def test_one_row_for_each_model_and_batch(self):
        status, rows = self.rows("--batches", "1,16", "shapes/small", "other")
        self.assertEqual((status, [(row["model"], row["batch"]) for row in rows]), (0, [("small", 1), ("small", 16), ("other", 1), ("other", 16)]))
        self.assertEqual({name: value for name, value in rows[0].items() if name not in ("model", "batch")},
                         {"prefill tokens/s": 1000, "decode tokens/s": 50, "share of the memory floor": 0.8, "host gap, us": 25, "GB a step": 16})

    def test_what_failed_is_a_row(self):
        status, rows = self.rows("--batches", "1", "large", "odd", "small")
        self.assertEqual(status, 1)
        self.assertEqual(rows[0]["error"], "status 1: out of memory: rank 0, cuda:0")
        self.assertIn("prefill_tokens_per_second", rows[1]["error"])
        self.assertNotIn("error", rows[2])

    def test_no_run_goes_on_past_the_time(self):
        status, rows = self.rows("--batches", "1", "--seconds", "2", "slow", "small")
        self.assertEqual((status, rows[0]["error"], rows[1]["error"]), (1, "cut off", "no time was left"))


if __name__ == "__main__":
    unittest.main()
