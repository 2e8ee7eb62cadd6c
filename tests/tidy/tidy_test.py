#!/usr/bin/env python3
"""Shows that tidy finds what it is for: each case plants one fault in a small tree and expects its message."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TIDY = pathlib.Path(__file__).resolve().parents[2] / "tools" / "tidy.py"
CLEAN = {
    "README.md": "`common/` plumbing, `kernels/` how, `tools/` aids\n",
    "common/a.h": "// A value.\n#pragma once\nint A(int x);\n",
    "common/a.cc": '// The value.\n#include "common/a.h"\n\nint A(int x) { return x; }\n',
}
LONG_BODY = "".join(f"  x += {i};\n" for i in range(60))
FAULTS = {  # name: (file, text, what tidy says)
    "long function": ("common/b.cc", "// B.\nint B(int x) {\n" + LONG_BODY + "  return x;\n}\n", "common/b.cc:2: a function of 63 lines"),
    "long method": ("common/b.h", "// B.\nclass B {\n public:\n  explicit B(int a) : a_{a} {}\n  int C(int x) const {\n" + LONG_BODY +
                    "    return x;\n  }\n  int a_{0};\n};\n", "common/b.h:5: a function of 63 lines"),
    "long lambda is part of its function": ("common/b.cc", "// B.\nint B() {\n  auto f = [](int x) {\n" + LONG_BODY + "  };\n}\n",
                                            "common/b.cc:2: a function of 64 lines"),
    "long python function": ("tools/b.py", '"""B."""\ndef b(x):\n' + LONG_BODY, "tools/b.py:2: a function of 61 lines"),
    "long rust function": ("common/b.rs", "// B.\nfn b<'a>(mut x: &'a i32) {\n    let c = '{';\n" + LONG_BODY + "}\n",
                           "common/b.rs:2: a function of 63 lines"),
    "long file": ("common/b.cc", "// B.\n" + "int b;\n" * 400, "common/b.cc: 401 lines, at most 400"),
    "long header": ("common/b.h", "// B.\n" + "int b;\n" * 200, "common/b.h: 201 lines, at most 200"),
    "upward include": ("common/b.h", '// B.\n#include "kernels/ops.h"\n', "common/ may not include kernels/ops.h"),
    "impure decision": ("worker/scheduler.cc", '// B.\n#include "worker/comm/communicator.h"\n', "a decision of worker/ may not include"),
    "generated header below the edge": ("models/b.cc", '// B.\n#include "drover/v1/plan.pb.h"\n', "models/ may not include drover/v1/plan.pb.h"),
    "conditional compilation": ("common/b.cc", "// B.\n#ifdef HAVE_B\n#endif\n", "common/b.cc:2: #ifdef HAVE_B outside the factories"),
    "own header not first": ("common/a.cc", '// A.\n#include <string>\n#include "common/a.h"\n', "its first include must be common/a.h"),
    "a family outside models": ("worker/b.cc", '// B.\nbool B() { return family == "qwen3"; }\n', "worker/b.cc:2: names the family qwen"),
    "no purpose": ("common/b.h", "#pragma once\n", "must start with a comment"),
    "a place of one machine": ("common/b.h", "// See /hom" + "e/someone/b.\n", "names a place of one machine"),
    "undocumented folder": ("helm/b.txt", "b\n", "does not mention helm/"),
}


def tidy(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([sys.executable, TIDY, folder], capture_output=True, text=True, check=False)


class TidyTest(unittest.TestCase):
    def test_clean_tree_passes(self):
        result = tidy(CLEAN)
        self.assertEqual((result.returncode, result.stdout.splitlines()[-1]), (0, "tidy: clean"), result.stderr)

    def test_each_fault_is_found_alone(self):
        for case, (name, text, message) in FAULTS.items():
            with self.subTest(case):
                result = tidy({**CLEAN, "docs/ARCHITECTURE.md": "docs/ models/ worker/\n", name: text})
                found = [line for line in result.stdout.splitlines() if line.startswith("tidy: ")]
                self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
                self.assertIn(message, found[0])
                self.assertEqual(found[1:], ["tidy: 1 to mend"])


if __name__ == "__main__":
    unittest.main()
