#!/usr/bin/env python3
"""Resident memory of real ranks: at its peak, loading included, no rank holds more than it planned, by more than 3 % and 64 MiB."""
import json
import os
import pathlib
import struct
import tempfile
import unittest

import served

SHARE, ROOM = 1.03, 64 << 20
OPTIONS = ("--kv-tokens", 2048, "--max-model-len", 1024)


def packed_model(folder, layers=8, hidden=1024, ffn=4096, vocab=512, group=128):
    """A GPTQ checkpoint of random codes with columns in any order: 64 MiB that no file of ours holds."""
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers,
              "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": vocab, "max_position_embeddings": 2048,
              "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
              "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": True}}
    tensors = {}

    def add(name, dtype, shape, data):
        tensors[name] = (dtype, shape, data)

    def plain(name, *shape):
        count = 1
        for size in shape:
            count *= size
        add(name, "F16", shape, struct.pack("<e", 0.01) * count)

    def linear(name, outputs, inputs):
        groups = inputs // group
        add(name + ".qweight", "I32", (inputs // 8, outputs), os.urandom(inputs // 2 * outputs))
        add(name + ".qzeros", "I32", (groups, outputs // 8), b"\x77" * (groups * outputs // 2))
        add(name + ".scales", "F16", (groups, outputs), struct.pack("<e", 0.002) * (groups * outputs))
        add(name + ".g_idx", "I32", (inputs,), struct.pack(f"<{inputs}i", *((7 * i) % groups for i in range(inputs))))

    for i in range(layers):
        head = f"model.layers.{i}."
        for name, outputs, inputs in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", hidden // 2, hidden),
                                      ("self_attn.v_proj", hidden // 2, hidden), ("self_attn.o_proj", hidden, hidden),
                                      ("mlp.gate_proj", ffn, hidden), ("mlp.up_proj", ffn, hidden), ("mlp.down_proj", hidden, ffn)):
            linear(head + name, outputs, inputs)
        plain(head + "input_layernorm.weight", hidden)
        plain(head + "post_attention_layernorm.weight", hidden)
    plain("model.embed_tokens.weight", vocab, hidden)
    plain("lm_head.weight", vocab, hidden)
    plain("model.norm.weight", hidden)
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)
    (folder / "config.json").write_text(json.dumps(config))


def planned(model, ranks):
    result = served.run("plan", model, "--ranks", ranks, "--json", *OPTIONS)
    assert result.returncode == 0, result.stderr
    return {rank["rank"]: rank["bytes"] for rank in json.loads(result.stdout)["rank_plans"]}


def peak(pid):
    """(rank, most bytes ever resident) of a worker."""
    process = pathlib.Path("/proc") / str(pid)
    environment = dict(word.split(b"=", 1) for word in (process / "environ").read_bytes().split(b"\0") if b"=" in word)
    lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return int(environment.get(b"OMPI_COMM_WORLD_RANK", b"0")), int(lines["VmHWM"].split()[0]) << 10


class MemoryTest(unittest.TestCase):
    def expect_bounds(self, model, ranks, ask):
        plan = planned(model, ranks)
        with served.Served(model, *OPTIONS, ranks=ranks) as server:
            if ask:
                server.chat("Tell me about " + "rivers and mountains and " * 60, max_tokens=48)
            found = dict(peak(pid) for pid in server.mark.pids("drover-worker"))
        self.assertEqual(sorted(found), sorted(plan))
        for rank, most in found.items():
            print(f"{pathlib.Path(model).name} on {ranks}, rank {rank}: peak {most >> 20} MiB, planned {plan[rank] >> 20} MiB")
            self.assertLessEqual(most, SHARE * plan[rank] + ROOM)

    def test_smollm2(self):
        if not served.SMOLLM2.exists():
            print(f"SKIPPED SmolLM2: {served.SMOLLM2} is not there", flush=True)
            self.skipTest("SmolLM2 is not there")
        for ranks in (1, 2, 3):
            with self.subTest(ranks=ranks):
                self.expect_bounds(served.SMOLLM2, ranks, ask=True)

    def test_packed(self):
        with tempfile.TemporaryDirectory(prefix="drover_test.") as folder:
            packed_model(pathlib.Path(folder))
            for ranks in (1, 2):
                with self.subTest(ranks=ranks):
                    self.expect_bounds(folder, ranks, ask=False)


if __name__ == "__main__":
    unittest.main()
