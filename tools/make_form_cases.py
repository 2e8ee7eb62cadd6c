#!/usr/bin/env python3
"""Makes the golden cases of release forms that the shared corpus leaves out, with its maker: those that cases() lists, in
tests/testdata/golden.

NF4 codes are packed and unpacked by bitsandbytes itself (CPU), so the reference shares no code with Drover. Needs torch,
transformers, safetensors, gguf, bitsandbytes, and the corpus' maker in ../shared/golden.

usage: tools/make_form_cases.py FOLDER [CASE...]
"""
import json
import pathlib
import re
import shutil
import sys

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
sys.path.insert(0, str(CORPUS))

import gguf  # noqa: E402
import torch  # noqa: E402
from maker import build, gguf_files, quantise  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from maker.build import Case  # noqa: E402


def config(case, quantization, **changes):
    """The config of a case of the corpus with other sizes and another quantization_config."""
    base = json.loads((CORPUS / case / "config.json").read_text())
    return {**base, **changes, "quantization_config": quantization}


def is_linear(name):
    return ".self_attn." in name or (".mlp." in name and not name.endswith("mlp.gate.weight"))


def is_matrix(name):
    """The linears of a layer, also in families that fuse them and name them otherwise."""
    return any(f".{part}." in name for part in ("self_attn", "mlp", "attention")) and "norm" not in name


def linears(pack):
    return quantise.linears(pack, is_linear)


def conv1d(pack):
    """The same for GPT-2, whose matrices are [in, out]: packed they are as all others are."""
    def run(tensors):
        turned = {n: t.t().contiguous() if re.search(r"\.c_(attn|proj|fc)\.weight$", n) else t for n, t in tensors.items()}
        stored, plain = quantise.linears(pack, lambda n: re.search(r"\.c_(attn|proj|fc)\.weight$", n))(turned)
        return stored, {n: plain[n].t().contiguous() if plain[n].shape != t.shape or turned[n] is not t else plain[n] for n, t in tensors.items()}
    return run


def nf4(nested):
    def pack(w, _):
        import bitsandbytes.functional as bnb
        codes, state = bnb.quantize_4bit(w.contiguous(), blocksize=64, compress_statistics=nested, quant_type="nf4")
        beside = {"weight." + key: value.contiguous() for key, value in state.as_dict(packed=True).items()}
        return {"weight": codes, **beside}, bnb.dequantize_4bit(codes, state).float()
    return linears(pack)


def fp8_block(w, _):
    store, plain = quantise.fp8_block(w)
    store["weight_scale"] = store.pop("weight_scale_inv")
    return store, plain


def fbgemm(tensors):
    """Experts [E, in, out] as 8-bit floats, a scale for each output [E, 1, out]; everything else as it is."""
    stored, plain = {}, {}
    for name, t in tensors.items():
        stored[name] = plain[name] = t
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            scale = t.float().abs().amax(1, keepdim=True) / quantise.E4M3_MAX
            codes = (t.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
            stored[name], stored[name + "_scale"] = codes, scale
            plain[name] = codes.float() * scale
    return stored, plain


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


SHARED_EXPERT = [("mlp.shared_expert_gate.", "ffn_gate_inp_shexp."), ("mlp.shared_expert.gate_proj.", "ffn_gate_shexp."),
                 ("mlp.shared_expert.up_proj.", "ffn_up_shexp."), ("mlp.shared_expert.down_proj.", "ffn_down_shexp.")]


def qwen2moe(kind):
    """A GGUF file of architecture qwen2moe, with llama.cpp's names: experts stacked, the shared expert's gate a vector."""
    base = {key: value for key, value in config("qwen2-moe", None).items() if key != "quantization_config"}
    base |= {"hidden_size": 64, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 96, "intermediate_size": 96}
    gguf_files.NAMES[:0] = [pair for pair in SHARED_EXPERT if pair not in gguf_files.NAMES]
    types = gguf.GGMLQuantizationType
    packer = gguf_files.packer(base, lambda name: types.F32 if "inp_shexp" in name else kind, seed=7)
    return Case("gguf-qwen2moe-q5_0", "qwen2_moe", base, "GGUF qwen2moe", dtype="f32", files=gguf_writer("qwen2moe", base), quant=packer)


def gguf_writer(arch, base):
    def write(stored, folder):
        w = gguf.GGUFWriter(folder / "model.gguf", arch)
        numbers = {w.add_context_length: "max_position_embeddings", w.add_embedding_length: "hidden_size", w.add_block_count: "num_hidden_layers",
                   w.add_feed_forward_length: "intermediate_size", w.add_head_count: "num_attention_heads",
                   w.add_head_count_kv: "num_key_value_heads", w.add_layer_norm_rms_eps: "rms_norm_eps", w.add_vocab_size: "vocab_size",
                   w.add_key_length: "head_dim", w.add_value_length: "head_dim",
                   w.add_expert_count: "num_experts", w.add_expert_used_count: "num_experts_per_tok",
                   w.add_expert_feed_forward_length: "moe_intermediate_size",
                   w.add_expert_shared_feed_forward_length: "shared_expert_intermediate_size"}
        for add, key in numbers.items():
            if key in base:
                add(base[key])
        w.add_rope_freq_base(float(base.get("rope_theta", 10000)))
        for name in sorted(stored):
            raw, dtype = stored[name]
            w.add_tensor(name, raw.reshape(-1) if "inp_shexp" in name else raw, raw_dtype=dtype)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
    return write


POST_NORMS = [("post_attention_layernorm.", "post_attention_norm."), ("post_feedforward_layernorm.", "post_ffw_norm.")]
GEMMA_RULES = [(r"norm\.weight$", ("vec", 0.3)), (r"embed_tokens\.weight$", ("raw", 0.18))]


def gguf_dense(name, arch, base, plus=0, names=(), rules=()):
    """A GGUF file in Q8_0 of a dense family; `plus` is what llama.cpp's converter adds to norms, `names` its other names."""
    base = {key: value for key, value in base.items() if key != "quantization_config"}

    def pack(tensors):
        usual = gguf_files.NAMES[:]
        gguf_files.NAMES[:0] = list(names)
        stored, plain = gguf_files.packer(base, lambda _: gguf.GGMLQuantizationType.Q8_0, seed=5)(tensors)
        gguf_files.NAMES[:] = usual
        return {n: (raw + raw.dtype.type(plus) if plus and n.endswith("norm.weight") else raw, t) for n, (raw, t) in stored.items()}, plain
    return Case(name, base["model_type"], base, "GGUF " + arch, dtype="f32", files=gguf_writer(arch, base), quant=pack, rules=list(rules))


TIED = [(r"wte\.weight$", ("raw", 0.3))]


def cases():
    gptq8 = linears(lambda w, n: quantise.gptq(w, 8, 32, symmetric=False, act_order=True, seed=len(n) + w.shape[1]))
    row = linears(lambda w, n: quantise.gptq(w, group=w.shape[1], symmetric=False))
    int8 = linears(lambda w, n: quantise.pack_quantized(w, 8, 0, symmetric=False))
    fused = gptq_config(desc_act=True, sym=False)
    in_order = quantise.linears(lambda w, n: quantise.gptq(w, group=32, symmetric=False, act_order=True, seed=len(n) + w.shape[0]), is_matrix)
    small = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
    large = {"hidden_size": 144, "num_attention_heads": 6, "num_key_value_heads": 3, "intermediate_size": 200}
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
        Case("fbgemm-llama4", "llama4", config("llama4-scout", {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0,
                                                                "modules_to_not_convert": ["self_attn", "router", "shared_expert"]}),
             "fp8 experts with outputs side by side", quant=fbgemm),
        qwen2moe(gguf.GGMLQuantizationType.Q5_0),
        gguf_dense("gguf-gemma-q8_0", "gemma", config("gemma", None, hidden_size=64, intermediate_size=96), 1, rules=GEMMA_RULES),
        gguf_dense("gguf-olmo2-q8_0", "olmo2", config("olmo2", None, hidden_size=64, num_attention_heads=4, intermediate_size=96), names=POST_NORMS),
        Case("gptq-phi3", "phi3", config("phi3", fused, **small), "GPTQ of fused matrices", dtype="f16", quant=in_order),
        Case("fp8-block-phi3", "phi3", config("phi3", {"quant_method": "fp8", "weight_block_size": [128, 128]}, **large),
             "fp8 blocks of fused matrices", quant=quantise.linears(lambda w, n: quantise.fp8_block(w), is_matrix)),
        Case("gptq-gpt2", "gpt2", config("gpt2", fused, n_embd=64, n_head=4), "GPTQ of matrices that are [in, out] unpacked", dtype="f16",
             quant=conv1d(lambda w, n: quantise.gptq(w, group=32, symmetric=False, act_order=True, seed=len(n) + w.shape[0])), rules=TIED),
        Case("gptq-neox", "gpt_neox", config("pythia", fused, hidden_size=64, num_attention_heads=4, intermediate_size=256),
             "GPTQ of rows that alternate by heads", dtype="f16", quant=in_order),
    ]


def beside_vision(root, name, case):
    """A checkpoint of the corpus as the text part of one that sees images: its config nested, its names behind a prefix."""
    source, folder = CORPUS / case, pathlib.Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.loads((source / "config.json").read_text())
    architecture = text.pop("architectures")[0].replace("ForCausalLM", "ForConditionalGeneration")
    outer = {"architectures": [architecture], "model_type": "gemma3", "boi_token_index": 130, "eoi_token_index": 131, "image_token_index": 132,
             "eos_token_id": text["eos_token_id"], "mm_tokens_per_image": 4, "initializer_range": 0.02, "text_config": text,
             "vision_config": {"hidden_size": 8, "model_type": "siglip_vision_model"}}
    (folder / "config.json").write_text(json.dumps(outer, indent=2) + "\n")
    tensors = {"language_model." + n: t for n, t in load_file(source / "model.safetensors").items()}
    tensors["vision_tower.vision_model.post_layernorm.weight"] = torch.ones(8)
    tensors["multi_modal_projector.mm_input_projection_weight"] = torch.ones(8, text["hidden_size"])
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    shutil.copy(source / "reference.safetensors", folder)


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    if not wanted or "gemma3-vision" in wanted:
        beside_vision(folder, "gemma3-vision", "gemma3")
    for case in cases():
        if not wanted or case.name in wanted:
            build.build(case, folder)


if __name__ == "__main__":
    main()
