#!/usr/bin/env python3
"""drover verify over real MPI ranks: ten golden cases and three texts of SmolLM2; with `all` every case and text on 1, 2 and 4."""
import json
import shutil
import sys
import tempfile
import unittest

import served

# (case, ranks): forms, families and rank counts that divide nothing. The first eight are in tests/testdata.
TEN = [
    ("llama31-gqa", 4), ("smollm2-tied", 2), ("qwen2-tied", 4), ("mixtral-6", 4), ("qwen3-moe-mixed", 2), ("llama4-scout", 4),
    ("gguf-llama-q4_1", 4), ("nf4-nested-qwen3", 3), ("llama4-maverick", 2), ("mistral-window", 4),
]
FAMILIES = ("llama-", "llama2-mha", "llama31-gqa", "smollm2-tied", "yi", "mistral-", "mixtral", "qwen1.5", "qwen2-tied",
            "qwen2-window", "qwen3", "llama4-")
FORMS = ("gguf-", "fp8-", "ct-", "gptq-", "awq-", "gpt-oss")
OTHERS = ("llama-rope-dynamic", "mistral-large-3-native")  # later work
ALL = "all" in sys.argv[1:]


def every_case():
    """(case, ranks) of all there are; the corpus' index says which exist."""
    index = served.SHARED / "golden" / "index.json"
    cases = json.loads(index.read_text())
    names = [case["name"] for case in (cases["cases"] if isinstance(cases, dict) else cases)]
    mine = [name for name in names if name.startswith(FAMILIES + FORMS) and name not in OTHERS]
    return [(name, ranks) for name in mine for ranks in (1, 2, 4)]


class VerifyTest(unittest.TestCase):
    def skip(self, what, reason):
        print(f"SKIPPED {what}: {reason}", flush=True)
        self.skipTest(reason)

    def verify(self, model, reference, ranks, *options):
        result = served.run("verify", model, "--against", reference, "--ranks", ranks, "--json", *options, timeout=1800)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        self.assertTrue(result.stdout, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(result.returncode, 0 if report["passed"] else 1)
        return report

    def expect_parity(self, report):
        self.assertTrue(report["passed"], report["reason"])
        for prompt in report["prompts"]:
            self.assertIsNone(prompt["first_difference"])
            self.assertGreater(prompt["greedy_steps"], 0)

    def test_golden_cases(self):
        if ALL and not (served.SHARED / "golden" / "index.json").exists():
            self.skip("all golden cases", "../shared/golden is not there")
        for case, ranks in every_case() if ALL else TEN:
            with self.subTest(case=case, ranks=ranks):
                folder = served.golden(case)
                if folder is None:
                    self.skip(case, "../shared/golden is not there")
                report = self.verify(served.checkpoint(folder), folder / "reference.safetensors", ranks)
                print(f"{case} on {ranks}: logit error {max(p['max_logit_error'] for p in report['prompts']):.1e}", flush=True)
                self.expect_parity(report)
                self.assertEqual(len(report["prompts"]), 3)

    @unittest.skipIf(ALL, "ordinary run")
    def test_data_parallel_attention(self):
        cases = [("deepseek-v3", 2, 2, 1), ("deepseek-v2-lite", 4, 2, 1), ("llama31-gqa", 4, 2, 2)]
        for case, ranks, parts, stages in cases:
            with self.subTest(case=case, ranks=ranks, parts=parts, stages=stages):
                folder = served.golden(case)
                if folder is None:
                    self.skip(case, "../shared/golden is not there")
                report = self.verify(served.checkpoint(folder), folder / "reference.safetensors", ranks,
                                     "--data-parallel-attention", parts, "--pipeline", stages)
                self.expect_parity(report)

    def test_smollm2(self):
        reference = served.SHARED / "golden" / "smollm2" / "reference.json"
        if not served.SMOLLM2.exists() or not reference.exists():
            self.skip("SmolLM2", "needs scripts/fetch-smollm2 and ../shared/golden/smollm2")
        for ranks in (1, 2, 4) if ALL else (2,):
            with self.subTest(ranks=ranks):
                report = self.verify(served.SMOLLM2, reference, ranks, *([] if ALL else ["--prompts", 3]))
                print(f"SmolLM2 on {ranks}: mean log-prob error {report['mean_logprob_error']:.1e}", flush=True)
                self.expect_parity(report)

    @unittest.skipIf(ALL, "ordinary run")
    def test_a_wrong_model_fails(self):
        folder = served.golden("qwen2-tied")
        with tempfile.TemporaryDirectory(prefix="drover_verify.") as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            path = f"{copy}/config.json"
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            config["rope_theta"] = 123.0
            if "rope_parameters" in config:
                config["rope_parameters"]["rope_theta"] = 123.0
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)
            report = self.verify(copy, folder / "reference.safetensors", 2)
        self.assertFalse(report["passed"])
        self.assertGreater(report["prompts"][2]["max_logit_error"], 1e-3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
