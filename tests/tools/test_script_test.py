#!/usr/bin/env python3
"""Runs scripts/test with stand-ins for what it calls, and looks at what it asks of them: is CUDA compiled, and said not to be?"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "test"
STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case $(basename "$0") in
  cuda-toolkit) exit "${TOOLKIT_STATUS:-0}" ;;
  ctest) echo "${CTEST_SAYS:-100% tests passed, 0 tests failed out of 1}"; exit "${CTEST_STATUS:-0}" ;;
esac
"""


class TestScript(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "scripts").mkdir()
        (self.root / "build" / "release").mkdir(parents=True)
        shutil.copy(SCRIPT, self.root / "scripts" / "test")
        for name in ("scripts/install-deps", "scripts/build", "scripts/cuda-toolkit", "scripts/fetch-smollm2", "bin/ctest"):
            path = self.root / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(STAND_IN)
            path.chmod(0o755)

    def run_script(self, *arguments, **environment):
        """Its result, and what it called in order."""
        calls = self.root / "calls"
        calls.write_text("")
        result = subprocess.run(
            [self.root / "scripts" / "test", *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls), **environment})
        return result, calls.read_text().splitlines()

    def test_cuda_is_compiled_for_one_architecture(self):
        result, calls = self.run_script()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("cuda-toolkit ", calls)
        self.assertEqual([call for call in calls if call.startswith("build")], ["build "])
        self.assertNotIn("SKIPPED", result.stdout)

    def test_all_compiles_for_the_others_too(self):
        _, calls = self.run_script("--all")
        self.assertEqual([call for call in calls if call.startswith("build")], ["build ", "build --cuda-architectures 80-real;100-real"])
        self.assertFalse(any("-LE" in call for call in calls))

    def test_without_a_toolkit_it_passes_and_says_what_was_skipped(self):
        for arguments in ([], ["--all"]):
            result, calls = self.run_script(*arguments, TOOLKIT_STATUS="1")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual([call for call in calls if call.startswith("build")], ["build --no-cuda"])
            self.assertIn("NOT COMPILED", result.stdout)
            self.assertIn("test: SKIPPED: the CUDA back end", result.stdout.splitlines()[-3:])

    def test_no_cuda_fetches_nothing(self):
        result, calls = self.run_script("--no-cuda", "-R", "x")
        self.assertFalse(any(call.startswith("cuda-toolkit") for call in calls))
        self.assertIn("build --no-cuda", calls)
        self.assertTrue(any(call.startswith("ctest") and call.endswith("-LE long -R x") for call in calls), calls)
        self.assertIn("SKIPPED: the CUDA back end", result.stdout)

    def test_a_failed_test_fails_the_script(self):
        result, _ = self.run_script(CTEST_STATUS="8", CTEST_SAYS="50% tests passed, 1 tests failed out of 2")
        self.assertEqual(result.returncode, 8)
        self.assertEqual(result.stdout.splitlines()[-1], "50% tests passed, 1 tests failed out of 2")


if __name__ == "__main__":
    unittest.main()
