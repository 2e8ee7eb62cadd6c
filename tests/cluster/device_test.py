#!/usr/bin/env python3
"""Ranks on a device of their own, through real processes: drover-worker-cuda, whose GPU is the stand-in of tests/kernels/cuda_on_host.
Answers must be the references'; a device in trouble must end its rank with one error that says where it was."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import served

WORKER = pathlib.Path(os.environ["DROVER_DEVICE_WORKER"])
CASE = "smollm2-tied"


class DeviceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # drover starts the programs that lie beside it; all of them look for libraries in ../lib.
        folder = pathlib.Path(tempfile.mkdtemp(prefix="drover_device."))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.bin = folder / "bin"
        cls.bin.mkdir()
        (folder / "lib").symlink_to(served.DROVER.parent.parent / "lib")
        for program in (served.DROVER, served.DROVER.with_name("drover-coordinator"), WORKER):
            try:
                os.link(program, cls.bin / program.name)
            except OSError:  # another file system
                shutil.copy2(program, cls.bin / program.name)

    def run_drover(self, *words, faults="", timeout=240):
        mark = served.Marked()
        environment = {**mark.environment(), "CUDA_ON_HOST_FAULTS": faults}
        result = subprocess.run([self.bin / "drover", *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False,
                                env=environment, stdin=subprocess.DEVNULL)
        mark.expect_gone()
        return result

    def verify(self, ranks, *options, faults=""):
        folder = served.golden(CASE)
        return self.run_drover("verify", served.checkpoint(folder), "--against", folder / "reference.safetensors", "--ranks", ranks,
                               "--device", "cuda:0", "--json", *options, faults=faults)

    def test_answers_are_the_references(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                result = self.verify(ranks)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertTrue(json.loads(result.stdout)["passed"])

    def test_attention_that_is_not_built_in_is_refused(self):
        result = self.verify(1, "--attention", "flashinfer", "--log-level", "error")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("attention: found flashinfer, expected own", result.stderr)

    def test_bench_hands_its_options_on(self):
        result = self.run_drover("bench", served.ROOT / "demo" / "model", "--device", "cuda:0", "--compute", "bf16", "--kv", "bf16", "--batch", 2,
                                 "--prefill", 4, "--decode", 2, "--threads", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(result.stdout)
        self.assertEqual([told[name] for name in ("device", "compute", "kv", "batch", "attention")], ["cuda:0", "bf16", "bf16", 2, "own"])

    def broken(self, faults, *says):
        result = self.verify(2, "--log-level", "error", faults=faults)
        self.assertNotEqual(result.returncode, 0)
        errors = [line for line in result.stderr.splitlines() if "CUDA device 0" in line]
        self.assertTrue(errors, result.stderr)
        for word in says:
            self.assertIn(word, errors[0], result.stderr)

    def test_memory_that_cannot_be_had(self):
        self.broken("memory=300000", "out of memory", "allocating", "bytes", "rank")

    def test_a_kernel_that_reads_where_it_may_not(self):
        self.broken("bad_kernel=150", "rank", "step", "illegal memory access", "cudaErrorIllegalAddress")

    def test_steps_that_cannot_be_recorded_run_all_the_same(self):
        result = self.verify(1, "--log-level", "warning", faults="capture=1000")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("a step cannot be recorded", result.stderr)

    def test_gaps_between_steps_are_counted(self):
        server = served.Served(served.checkpoint(served.golden(CASE)), "--device", "cuda:0", ranks=1)
        server.words[0] = str(self.bin / "drover")
        counts = re.compile(r'drover_host_gap_seconds_(?:count|bucket)\{.*?(?:le="(.*?)")?\} (\d+)')
        with server:
            status, text = server.post("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 12, "ignore_eos": True})
            self.assertEqual(status, 200, text)
            # Of 12 steps the first follows no other.
            served.wait_until(lambda: dict(counts.findall(server.get("/metrics")[1])).get("") == "11", 10, "11 gaps between steps")
            self.assertEqual(dict(counts.findall(server.get("/metrics")[1]))["+Inf"], "11")

    def test_a_device_that_is_lost(self):
        self.broken("lost=150", "rank", "step", "cudaErrorDevicesUnavailable")


if __name__ == "__main__":
    unittest.main(verbosity=2)
