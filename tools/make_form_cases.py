#!/usr/bin/env python3
"""Makes the golden cases of release forms that the shared corpus leaves out, with its maker: tests/testdata/golden/{nf4,gptq,ct}-*.

NF4 codes are packed and unpacked by bitsandbytes itself (CPU), so the reference shares no code with Drover. Needs torch,
transformers, safetensors, bitsandbytes, and the corpus' maker in ../shared/golden.

usage: tools/make_form_cases.py FOLDER [CASE...]
"""
import json
import pathlib
import sys

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
sys.path.insert(0, str(CORPUS))

import torch  # noqa: E402
from maker import build, quantise  # noqa: E402
from maker.build import Case  # noqa: E402


def config(case, quantization, **changes):
    """The config of a case of the corpus with other sizes and another quantization_config."""
    base = json.loads((CORPUS / case / "config.json").read_text())
    return {**base, **changes, "quantization_config": quantization}


def is_linear(name):
    return ".self_attn." in name or (".mlp." in name and not name.endswith("mlp.gate.weight"))


def linears(pack):
    return quantise.linears(pack, is_linear)


def nf4(nested):
    import bitsandbytes.functional as bnb

    def pack(w, _):
        codes, state = bnb.quantize_4bit(w.contiguous(), blocksize=64, compress_statistics=nested, quant_type="nf4")
        beside = {"weight." + key: value.contiguous() for key, value in state.as_dict(packed=True).items()}
        return {"weight": codes, **beside}, bnb.dequantize_4bit(codes, state).float()
    return linears(pack)


def fp8_block(w, _):
    store, plain = quantise.fp8_block(w)
    store["weight_scale"] = store.pop("weight_scale_inv")
    return store, plain


def int8_channel(w, _):
    scale = (w.abs().amax(1, keepdim=True) / 127).to(torch.bfloat16)
    codes = (w / scale.float()).round().clamp(-127, 127)
    return {"weight": codes.to(torch.int8), "weight_scale": scale}, codes * scale.float()


def int4_ordered(w, name, group=32):
    """compressed-tensors with actorder "group": codes in the matrix's own column order, each column's group beside them."""
    order = torch.randperm(w.shape[1], generator=torch.Generator().manual_seed(len(name) * 31 + w.shape[0]))
    index = torch.empty(w.shape[1], dtype=torch.int32)
    index[order] = (torch.arange(w.shape[1]) // group).int()
    g = w[:, order].reshape(w.shape[0], -1, group)
    scale = (g.abs().amax(-1) * 2 / 15).to(torch.bfloat16)
    full = scale.float()[:, index.long()]
    codes = (w / full + 8).round().clamp(0, 15)
    store = {"weight_packed": quantise.pack_words(codes, 4), "weight_scale": scale, "weight_g_idx": index,
             "weight_shape": torch.tensor(w.shape, dtype=torch.int64)}
    return store, (codes - 8) * full


def bnb_config(nested):
    return {"_load_in_4bit": True, "_load_in_8bit": False, "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
            "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": nested, "llm_int8_enable_fp32_cpu_offload": False,
            "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": None, "llm_int8_threshold": 6.0, "load_in_4bit": True,
            "load_in_8bit": False, "quant_method": "bitsandbytes"}


def gptq_config(**changes):
    return {"bits": 4, "checkpoint_format": "gptq", "damp_percent": 0.1, "desc_act": False, "group_size": 32, "quant_method": "gptq",
            "static_groups": False, "sym": True, "true_sequential": True, **changes}


def compressed_config(form, **weights):
    arguments = {"actorder": None, "block_structure": None, "dynamic": False, "group_size": None, "num_bits": 4, "observer": "minmax",
                 "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int", **weights}
    group = {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": arguments}
    return {"config_groups": {"group_0": group}, "format": form, "global_compression_ratio": None, "ignore": ["lm_head"],
            "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed"}


def cases():
    gptq8 = linears(lambda w, n: quantise.gptq(w, 8, 32, symmetric=False, act_order=True, seed=len(n) + w.shape[1]))
    row = linears(lambda w, n: quantise.gptq(w, group=w.shape[1], symmetric=False))
    int8 = linears(lambda w, n: quantise.pack_quantized(w, 8, 0, symmetric=False))
    wide = {"hidden_size": 144, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 200, "head_dim": 24}
    return [
        Case("nf4-llama", "llama", config("gptq-llama-g32", bnb_config(False), intermediate_size=128), "bitsandbytes NF4", quant=nf4(False)),
        Case("nf4-nested-qwen3", "qwen3_moe", config("gptq-qwen3-moe", bnb_config(True), moe_intermediate_size=64),
             "bitsandbytes NF4 with nested scales", quant=nf4(True)),
        Case("gptq-8bit-order", "llama", config("gptq-llama-g32", gptq_config(bits=8, desc_act=True, sym=False)),
             "GPTQ of 8 bits, act order", dtype="f16", quant=gptq8),
        Case("gptq-row", "qwen2", config("gptq-v2-qwen2", gptq_config(group_size=-1, sym=False)), "GPTQ, a group a row", dtype="f16", quant=row),
        Case("ct-int8-channel", "llama",
             config("ct-int4-llama", compressed_config("pack-quantized", num_bits=8, strategy="channel", symmetric=False),
                    intermediate_size=100), "packed int8, a scale and zero a row", quant=int8),
        Case("ct-int8-plain", "llama", config("ct-fp8-dynamic-llama", compressed_config("int-quantized", num_bits=8, strategy="channel")),
             "int8 as it is", quant=linears(int8_channel)),
        Case("ct-int4-order", "llama", config("ct-int4-llama", compressed_config("pack-quantized", group_size=32, actorder="group")),
             "packed int4, columns in any order", quant=linears(int4_ordered)),
        Case("ct-fp8-block", "mistral",
             config("fp8-tensor-mistral", compressed_config("float-quantized", num_bits=8, type="float", strategy="block",
                                                            block_structure=[128, 128]), **wide),
             "fp8 blocks of compressed-tensors", quant=linears(fp8_block)),
    ]


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    for case in cases():
        if not wanted or case.name in wanted:
            build.build(case, folder)


if __name__ == "__main__":
    main()
