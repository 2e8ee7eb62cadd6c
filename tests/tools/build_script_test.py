#!/usr/bin/env python3
"""Runs scripts/build with a stand-in for CMake: when it configures anew, with what, and what it builds."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "build"
CMAKE = """#!/bin/bash
echo "$*" >> "$CALLS"
[ "$1" = -S ] || exit "${BUILD_STATUS:-0}"
dir=$4; touch "$dir/build.ninja"
for word in "$@"; do case $word in -D*:*=*) echo "${word#-D}" ;; -D*=*) word=${word#-D}; echo "${word%%=*}:STRING=${word#*=}" ;; esac; done \\
  | sed 's/^DROVER_TESTS:STRING/DROVER_TESTS:BOOL/' > "$dir/CMakeCache.txt"
[ ! -f "$TOOLKIT" ] || echo CMAKE_CUDA_COMPILER:FILEPATH=/some/nvcc >> "$dir/CMakeCache.txt"
"""


class BuildScript(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("scripts", "bin"):
            (self.root / name).mkdir()
        shutil.copy(SCRIPT, self.root / "scripts" / "build")
        (self.root / "bin" / "cmake").write_text(CMAKE)
        (self.root / "bin" / "cmake").chmod(0o755)
        self.toolkit = self.root / "build" / "cuda" / "installed"

    def build(self, *arguments, **environment):
        """(exit status, what CMake was asked to configure, what to build), the last two as lists of lines."""
        calls = self.root / "calls"
        calls.write_text("")
        result = subprocess.run([self.root / "scripts" / "build", *arguments], capture_output=True, text=True, check=False,
                                env={**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls),
                                     "TOOLKIT": str(self.toolkit), "JOBS": "1", **environment})
        lines = calls.read_text().splitlines()
        return result.returncode, [line for line in lines if line.startswith("-S")], [line for line in lines if line.startswith("--build")]

    def test_it_configures_once(self):
        status, configured, built = self.build()
        self.assertEqual((status, len(configured), len(built)), (0, 1, 1))
        self.assertIn("-DDROVER_CUDA=AUTO", configured[0])
        self.assertTrue(built[0].endswith("--target all"))
        self.assertEqual(self.build()[1], [])
        self.assertEqual(self.build("--programs")[1], [])

    def test_it_configures_anew_for_what_changed(self):
        self.build()
        self.assertIn("-DDROVER_CUDA=OFF", self.build("--no-cuda")[1][0])
        self.assertEqual(self.build("--no-cuda")[1], [])
        self.assertIn("-DDROVER_CUDA=AUTO", self.build()[1][0])
        self.assertIn("-DDROVER_TESTS=OFF", self.build("--no-tests")[1][0])

    def test_a_new_toolkit_joins_the_build(self):
        self.build()
        self.toolkit.parent.mkdir(parents=True)
        self.toolkit.touch()
        self.assertEqual(self.build("--no-cuda")[1][0].count("DROVER_CUDA=OFF"), 1)
        self.assertEqual(len(self.build()[1]), 1)
        self.assertEqual(self.build()[1], [])

    def test_other_architectures_have_a_folder_of_their_own(self):
        _, configured, built = self.build("--cuda-architectures", "80-real;100-real")
        self.assertIn("-DCMAKE_CUDA_ARCHITECTURES:STRING=80-real;100-real", configured[0])
        self.assertIn("build/cuda-others", built[0])
        self.assertTrue(built[0].endswith("--target cuda_libraries"))
        self.assertEqual(self.build("--cuda-architectures", "80-real;100-real")[1], [])
        self.assertEqual(len(self.build("--cuda-architectures", "86-real")[1]), 1)

    def test_what_is_wrong_is_an_error(self):
        self.assertEqual(self.build("--dir")[0], 2)
        self.assertEqual(self.build("--programms")[0], 2)
        self.assertEqual(self.build(BUILD_STATUS="1")[0], 1)


if __name__ == "__main__":
    unittest.main()
