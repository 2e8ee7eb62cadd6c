#!/usr/bin/env python3
"""Runs gpu_serve with a made-up `drover serve`: when devices agree, when one says something else, when one does not start."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "gpu_serve.py"
DROVER = '''#!{python}
import http.server, json, os, sys
words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
if words["--device"] == os.environ.get("BROKEN"):
    sys.exit(3)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = "Paris." if body["temperature"] == 0 else "seed %d" % body["seed"]
        if words["--device"] == os.environ.get("ODD"):
            text = "Paris, too" if body["temperature"] == 0 else text
        answer = json.dumps(dict(choices=[dict(message=dict(content=text))], usage=dict(completion_tokens=3))).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
open(words["--ready-file"], "w").write(json.dumps(dict(http="127.0.0.1:%d" % server.server_port)))
server.serve_forever()
'''


class GpuServe(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "drover").write_text(DROVER.replace("{python}", sys.executable))
        (self.folder / "drover").chmod(0o755)

    def serve(self, *arguments, **environment):
        result = subprocess.run([sys.executable, "-B", PROGRAM, self.folder, "model", *arguments, "cpu:1", "cuda:2"],
                                capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment})
        return result.returncode, (result.stdout.splitlines() or [""])[-1]

    def test_devices_that_agree(self):
        self.assertEqual(self.serve("--expect", "Paris", "--same"), (0, "cpu:1, cuda:2: the same tokens"))

    def test_another_answer_is_told_where_it_counts(self):
        self.assertEqual(self.serve("--same", ODD="cuda"), (1, "cuda:2 says other tokens than cpu:1"))
        self.assertEqual(self.serve("--expect", "Paris", ODD="cuda")[0], 0)

    def test_what_is_expected_must_be_said(self):
        self.assertEqual(self.serve("--expect", "Rome")[0], 1)

    def test_a_device_that_does_not_start_fails(self):
        status, last = self.serve(BROKEN="cuda")
        self.assertEqual(status, 1)
        self.assertIn("cuda:2 did not answer: drover serve ended with status 3", last)


if __name__ == "__main__":
    unittest.main()
