#!/usr/bin/env python3
"""Runs gpu_check with a made-up GPU and made-up programs: what each stage's end is called, and what the whole run says."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import gpu_check  # noqa: E402
import gpu_stages  # noqa: E402
from gpu_stages import Stage  # noqa: E402

OK = "echo '[ RUN      ] All/A.B/cuda'; echo '[       OK ] All/A.B/cuda (3 ms)'; echo 'random seed: 12345'"
SKIP = "echo '[ RUN      ] All/A.C/cuda'; echo '[  SKIPPED ] All/A.C/cuda (0 ms)'"
FAILED = "echo '[ RUN      ] All/A.D/cuda'; echo '[  FAILED  ] All/A.D/cuda, where GetParam() = \"cuda\" (1 ms)'"
SMI = "echo 'NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB'"
SANITIZER = 'while [ "$1" != "--" ] && [ ! -x "$1" ]; do shift; done; "$@" || exit 9; echo "========= ${SUMMARY:-ERROR SUMMARY: 0 errors}"'


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "programs").mkdir()
        self.out = self.folder / "run.json"

    def program(self, name, script):
        path = self.folder / "programs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
        return path

    def run_stages(self, *stages, total_s=60, **given):
        record = {"stages": {}}
        gpu_check.run_all(stages, gpu_check.Programs(self.folder / "programs"), given, record, self.out, total_s)
        self.assertEqual(json.loads(self.out.read_text()), record)
        return record, gpu_check.verdict(stages, record)

    def outcome(self, script, kind="tests", limit_s=20, **given):
        """The outcome and the detail of one stage whose program is `script`, and the verdict of a run of it alone."""
        self.program("tests/t", script)
        arguments = ("{program}",) if kind == "memory" else ()
        record, status = self.run_stages(Stage("s", "", "tests/t", kind=kind, arguments=arguments, limit_s=limit_s), **given)
        return record["stages"]["s"]["outcome"], record["stages"]["s"]["detail"], status

    def test_what_the_end_of_a_test_program_is_called(self):
        for script, outcome, status in (
                (OK, "passed", 0), (f"{OK}; {SKIP}", "passed", 0), (SKIP, "skipped", 1), (f"{OK}; {FAILED}; exit 1", "failed", 1),
                (f"{OK}; {FAILED}", "failed", 1),  # whatever its status says
                (f"{OK}; exit 3", "failed", 1), (f"{OK}; kill -SEGV $$", "failed", 1), ("true", "failed", 1),
                (f"{OK}; echo '[ RUN      ] All/A.E/cuda'", "failed", 1)):
            self.assertEqual(self.outcome(script)[::2], (outcome, status), script)
        self.assertIn("no test ran", self.outcome("true")[1])

    def test_each_test_and_the_seed_are_recorded(self):
        self.program("tests/t", f"{OK}; {SKIP}; {FAILED}; exit 1")
        record, _ = self.run_stages(Stage("s", "", "tests/t"))
        self.assertEqual(record["stages"]["s"]["tests"], {"All/A.B/cuda": "passed", "All/A.C/cuda": "skipped", "All/A.D/cuda": "failed"})
        self.assertEqual(record["stages"]["s"]["seed"], 12345)
        self.assertIn("All/A.D/cuda", gpu_check.table(record))
        self.assertIn("[  FAILED  ]", self.out.with_suffix(".log").read_text())

    def test_a_stage_that_hangs_is_cut_off_with_all_it_started(self):
        mark = self.folder / "late"
        started = time.monotonic()
        outcome, detail, status = self.outcome(f"{OK}; (sleep 3; touch {mark}) & sleep 60", limit_s=1)
        self.assertEqual((outcome, status), ("not finished", 1))
        self.assertIn("cut off after 1 s; 1 passed", detail)
        self.assertLess(time.monotonic() - started, 10)
        time.sleep(3)
        self.assertFalse(mark.exists(), "a process of the stage lived on")

    def test_no_stage_begins_when_the_time_is_over(self):
        self.program("tests/slow", f"sleep 1.2; {OK}")
        slow = [Stage(name, "", "tests/slow") for name in ("first", "second")]
        record, status = self.run_stages(*slow, total_s=2)
        self.assertEqual([record["stages"][name]["outcome"] for name in ("first", "second")], ["passed", "not reached"])
        self.assertEqual(status, 0)

    def test_an_absent_program_is_never_a_pass(self):
        record, status = self.run_stages(Stage("s", "", "tests/nowhere"))
        self.assertEqual((record["stages"]["s"]["outcome"], status), ("absent", 1))

    def test_one_bad_stage_fails_the_run(self):
        self.program("tests/good", OK)
        self.program("tests/bad", f"{FAILED}; exit 1")
        self.program("tests/slow", "sleep 30")
        good, bad, slow = Stage("good", "", "tests/good"), Stage("bad", "", "tests/bad"), Stage("slow", "", "tests/slow", limit_s=1)
        self.assertEqual([self.run_stages(*stages)[1] for stages in ((good,), (good, bad), (bad, good), (good, slow))], [0, 1, 1, 1])

    def test_what_is_needed_and_not_given_is_skipped(self):
        self.program("tests/t", OK)
        record, status = self.run_stages(Stage("s", "", "tests/t", kind="memory", needs=("sanitizer",)), Stage("t", "", "tests/t"))
        self.assertEqual((record["stages"]["s"]["outcome"], status), ("skipped", 0))

    def test_the_sanitizer_must_say_that_all_is_clean(self):
        sanitizer = self.program("compute-sanitizer", SANITIZER)
        self.assertEqual(self.outcome(OK, "memory", sanitizer=sanitizer)[::2], ("passed", 0))
        self.assertEqual(self.outcome(f"{OK}; exit 1", "memory", sanitizer=sanitizer)[0], "failed")
        silent = self.program("silent-sanitizer", SANITIZER.replace("echo", ": "))
        self.assertEqual(self.outcome(OK, "memory", sanitizer=silent)[0], "failed")
        racy = self.program("racy-sanitizer", SANITIZER.replace("0 errors", "2 errors"))
        self.assertEqual(self.outcome(OK, "memory", sanitizer=racy)[0], "failed")
        self.assertEqual(self.outcome("true", "memory", sanitizer=sanitizer)[0], "failed")

    def test_an_exit_status_counts(self):
        self.assertEqual(self.outcome("echo fine", "status"), ("passed", "fine", 0))
        self.assertEqual(self.outcome("echo no device; exit 77", "status"), ("skipped", "no device", 1))
        self.assertEqual(self.outcome("echo broken; exit 1", "status"), ("failed", "status 1: broken", 1))
        self.assertEqual(self.outcome("sleep 30", "status", limit_s=1)[::2], ("not finished", 1))

    def test_a_script_runs_with_its_own_libraries(self):
        self.program("bin/b", "true")
        words, _ = gpu_check.command_of(Stage("s", "", "bin/b", "some.py", "status", ("{bin}/b", "{root}/x")), gpu_check.Programs(self.folder / "programs"), {})
        self.assertEqual(words[2:], [str(ROOT / "tools" / "some.py"), str(self.folder / "programs" / "bin" / "b"), str(ROOT / "x")])
        for stage in gpu_stages.STAGES:
            self.assertTrue(not stage.script or (ROOT / "tools" / stage.script).exists(), stage.script)

    def test_numbers_are_kept_and_must_be_numbers(self):
        self.program("bin/b", """echo 'warming up'; echo '{"results": [{"name": "copy", "value": 3.0}]}'""")
        record, status = self.run_stages(Stage("s", "", "bin/b", kind="numbers"))
        self.assertEqual((record["stages"]["s"]["numbers"], status), ({"results": [{"name": "copy", "value": 3.0}]}, 0))
        self.assertEqual(self.outcome("echo fast", "numbers")[0], "failed")
        self.program("bin/b", """echo '{"model": "a progress line"}'; echo '{"results": [{"error": "cut off"}]}'; exit 1""")
        record, status = self.run_stages(Stage("s", "", "bin/b", kind="numbers"))
        self.assertEqual((record["stages"]["s"]["numbers"], record["stages"]["s"]["outcome"], status), ({"results": [{"error": "cut off"}]}, "failed", 1))

    def command(self, *arguments, gpu=True):
        if gpu:
            self.program("path/nvidia-smi", SMI)
        path = f"{self.folder / 'programs' / 'path'}:/usr/bin:/bin"  # there may be no git in it
        return subprocess.run([ROOT / "scripts" / "gpu-check", "--programs", self.folder / "programs", "--out", self.out, *arguments],
                              capture_output=True, text=True, check=False, env={"PATH": path, "HOME": os.environ.get("HOME", "/")})

    def test_without_a_gpu_nothing_is_run(self):
        self.program("tests/cuda_ops_test", OK)
        for script in (None, "exit 9", "true"):
            if script:
                self.program("path/nvidia-smi", script)
            result = self.command(gpu=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("nothing was run", result.stderr)
            self.assertFalse(self.out.exists())

    def test_stages_are_run_one_by_one_into_one_record(self):
        self.program("tests/cuda_ops_test", OK)
        result = self.command("--only", "parity")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.program("tests/cuda_golden_test", f"{FAILED}; exit 1")
        self.assertEqual(self.command("--only", "golden").returncode, 1)
        record = json.loads(self.out.read_text())
        self.assertEqual({name: stage["outcome"] for name, stage in record["stages"].items()}, {"parity": "passed", "golden": "failed"})
        self.assertEqual((record["gpu"], record["driver"]), ("NVIDIA H100 80GB HBM3", "580.159.04"))
        self.assertIn("expected some of", self.command("--only", "parrots").stderr)

    def test_the_whole_run_tells_each_stage(self):
        self.program("tests/cuda_ops_test", OK)
        result = self.command()
        record = json.loads(self.out.read_text())
        self.assertEqual(list(record["stages"]), [stage.name for stage in gpu_stages.STAGES])
        self.assertEqual(record["stages"]["golden"]["outcome"], "absent")
        self.assertIn("ABSENT, so not shown:", result.stdout)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_what_was_packed_runs_with_the_libraries_beside_it(self):
        bundle = self.folder / "bundle"
        looks = f'case ":$LD_LIBRARY_PATH:" in *"/bundle/lib:"*) [ "$DROVER_SOURCE_DIR" = "{ROOT}" ] && {{ {OK}; }} ;; esac'
        for name, text in (("drover", "true"), ("cuda_ops_test", looks)):
            self.program(f"../bundle/libexec/{name}", text)
        shutil.copy(ROOT / "deploy" / "bundle" / "env.sh", bundle)
        (bundle / "MANIFEST.json").write_text('{"commit": "abc1234"}')
        with tarfile.open(self.folder / "bundle.tar.xz", "w:xz") as archive:
            archive.add(bundle, "bundle")
        result = self.command("--only", "parity", "--packed", self.folder)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(json.loads(self.out.read_text())["commit"], "abc1234")
        self.assertIn("scripts/gpu-check --pack", self.command("--packed", self.folder / "programs").stderr)

    def test_the_stages_are_well_formed(self):
        self.assertLessEqual(gpu_stages.TOTAL_S, 480)
        names = [stage.name for stage in gpu_stages.STAGES]
        self.assertEqual(len(names), len(set(names)))
        for stage in gpu_stages.STAGES:
            self.assertIn(stage.kind, gpu_stages.KINDS)
            self.assertLessEqual(stage.limit_s, 150, stage.name)


if __name__ == "__main__":
    unittest.main()
