#!/usr/bin/env python3
"""What drover serve refuses: each time one clear line, a failing exit code, and nothing half-started."""
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

import served

CASE = "llama31-gqa"  # two shards with an index


def read_header(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_header(path, header, body):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


class RefusalsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="drover_refusals.")
        self.addCleanup(shutil.rmtree, folder)
        self.model = pathlib.Path(folder) / "model"
        shutil.copytree(served.golden(CASE), self.model)

    def refused(self, *options, says, code=1, model=None):
        ports = [] if "--http" in options else ["--http", "127.0.0.1:0"]
        result = served.run("serve", model or self.model, "--grpc", "127.0.0.1:0", "--cluster", "127.0.0.1:0", *ports, *options, timeout=60)
        self.assertEqual(result.returncode, code, result.stderr)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("drover: error: "), lines[0])
        for word in says:
            self.assertIn(word, lines[0])
        self.assertEqual(result.stdout, "")

    def change_config(self, **changes):
        path = self.model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def shard(self):
        return sorted(self.model.glob("model-*.safetensors"))[0]

    def test_missing_shard(self):
        name = self.shard().name
        self.shard().unlink()
        self.refused(says=[name])

    def test_truncated_file(self):
        shard = self.shard()
        shard.write_bytes(shard.read_bytes()[:-100])
        self.refused(says=[shard.name])

    def test_overlapping_tensors(self):
        header, body = read_header(self.shard())
        names = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
        begin, end = header[names[1]]["data_offsets"]
        header[names[1]]["data_offsets"] = [begin - 2, end - 2]
        write_header(self.shard(), header, body)
        self.refused(says=[self.shard().name])

    def test_unknown_config_key(self):
        self.change_config(mystery_scaling=3)
        self.refused(says=["config.json", "mystery_scaling"])

    def test_unknown_architecture(self):
        self.change_config(architectures=["MysteryForCausalLM"])
        self.refused(says=["config.json", "MysteryForCausalLM"])

    def test_missing_weight(self):
        index = self.model / "model.safetensors.index.json"
        shards = json.loads(index.read_text())
        gone = next(name for name in shards["weight_map"] if "q_proj" in name)
        shard = self.model / shards["weight_map"].pop(gone)
        shards["weight_map"]["renamed.weight"] = shard.name
        index.write_text(json.dumps(shards))
        header, body = read_header(shard)
        header["renamed.weight"] = header.pop(gone)
        write_header(shard, header, body)
        self.refused(says=["q_proj"])

    def test_gguf_of_noise(self):
        path = self.model / "noise.gguf"
        path.write_bytes(b"GGUF" + bytes(range(200)))
        self.refused(says=["noise.gguf"], model=path)

    def test_no_such_model(self):
        self.refused(says=["nothing-here"], model=self.model / "nothing-here")

    def test_rank_counts(self):
        self.refused("--ranks", "0", says=["--ranks", "1"], code=2)
        self.refused("--ranks", "100000", says=["--ranks"], code=2)
        self.refused("--ranks", "two", says=["--ranks"], code=2)

    def test_a_plan_that_does_not_fit(self):
        self.refused("--memory", "100KiB", says=["KiB"])

    def test_a_context_longer_than_the_model_knows(self):
        self.refused("--max-model-len", "100000000", says=["max_model_len"])

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.refused("--http", address, says=["--http", address, "in use"])

    def test_nonsense_addresses(self):
        self.refused("--http", "8000", says=["--http", "HOST:PORT"])
        self.refused("--http", "127.0.0.1:99999", says=["--http", "65535"])

    def test_bad_usage(self):
        for words in ([], ["nothing"], ["serve"], ["verify", "m"], ["serve", "m", "--nothing"]):
            result = served.run(*words)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_every_command_explains_itself(self):
        listed = served.run("--help").stdout
        self.assertLessEqual(max(map(len, listed.splitlines())), 80, "drover --help is wider than 80 columns")
        for command in ("serve", "launch", "chat", "plan", "inspect", "verify", "bench", "tokenize", "render", "health"):
            self.assertIn(command, listed)
            result = served.run(command, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn("Usage: drover", result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80, f"drover {command} --help is wider than 80 columns")

    def test_the_daemons_explain_themselves_in_80_columns(self):
        for words in (["drover-coordinator"], ["drover-worker"], ["drover-worker", "bench"]):
            program = pathlib.Path(served.DROVER).parent / words[0]
            result = subprocess.run([program, *words[1:], "--help"], capture_output=True, text=True, timeout=30)
            self.assertEqual(result.returncode, 0)
            self.assertIn("--help", result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80, f"{words} --help is wider than 80 columns")


if __name__ == "__main__":
    unittest.main(verbosity=2)
