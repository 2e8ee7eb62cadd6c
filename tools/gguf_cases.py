#!/usr/bin/env python3
"""Makes the golden cases of GGUF architectures in tests/testdata/golden from checkpoints in Hugging Face's form.

Names, metadata and the reordering of rows are those of llama.cpp's converter, through its own package (gguf); nothing here is
Drover's. Cases "of" the shared corpus take a checkpoint as it is and keep its reference; the others are built with the corpus's
maker, in sizes whose rows are whole blocks, with the reference computed from what the file's blocks hold.
Needs gguf, numpy, torch, transformers, safetensors and the corpus in ../shared/golden.

usage: tools/gguf_cases.py FOLDER [CASE...]
"""
import json
import pathlib
import re
import shutil
import sys

import gguf
import numpy as np
import torch
from gguf_metadata import METADATA, kv_heads_of
from safetensors.torch import load_file

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
T = gguf.GGMLQuantizationType
ARCH = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}


def quantised(w, kind):
    """What blocks of `kind` along the last axis hold of w."""
    a = np.ascontiguousarray(w.float().numpy())
    return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(a, kind), kind).reshape(a.shape).astype(np.float32).copy())


# --- rows and columns as llama.cpp's converter puts them

def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def by_heads(w, heads):
    """q, k, v of each head in turn -> all q, all k, all v."""
    parts = w.reshape(heads, 3, -1, *w.shape[1:])
    return torch.cat([parts[:, i].reshape(-1, *w.shape[1:]) for i in range(3)])


def by_groups(w, heads, kv_heads):
    head = w.shape[0] // (heads + 2 * kv_heads)
    parts = w.reshape(kv_heads, heads // kv_heads + 2, head, -1)
    return torch.cat([part.reshape(-1, w.shape[1]) for part in (parts[:, :-2], parts[:, -2], parts[:, -1])])


def nibbles(blocks):
    """16 bytes of pairs -> values 0-15 in the low halves, 16-31 in the high ones."""
    values = torch.stack((blocks & 15, blocks >> 4), -1).reshape(*blocks.shape[:-1], 32)
    return values[..., :16] | values[..., 16:] << 4


def mxfp4(blocks, scales):
    raw = torch.cat((scales.unsqueeze(-1), nibbles(blocks)), -1)
    return raw.reshape(*raw.shape[:-2], -1).numpy()


def latent_split(name, t, c):
    parts = t.view(c["num_attention_heads"], c["qk_nope_head_dim"] + c["v_head_dim"], t.shape[-1])
    keys, values = parts.split([c["qk_nope_head_dim"], c["v_head_dim"]], 1)
    return [(name.replace("kv_b_proj", "k_b_proj"), keys.transpose(1, 2)), (name.replace("kv_b_proj", "v_b_proj"), values)]


def change(arch, c, name, t):
    """One tensor -> the tensors that the converter writes for it, still under Hugging Face's names."""
    if arch in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        t = t + 1
    if arch in ("granite", "olmo") and re.search(r"[qk]_proj\.", name):
        t = permute(t, c["num_attention_heads"] if "q_proj" in name else c["num_key_value_heads"])
    if arch in ("bloom", "gptneox") and "query_key_value" in name:
        t = by_heads(t, c.get("n_head") or c.get("num_attention_heads"))
    if arch == "falcon" and "query_key_value" in name:
        t = by_groups(t, c["num_attention_heads"], kv_heads_of(c))
    if arch == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        t = t.t()
    if arch == "deepseek2" and name.endswith("kv_b_proj.weight") and not c.get("unsplit"):
        return latent_split(name, t, c)
    if name.endswith("e_score_correction_bias"):
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    return [(name + ".weight" if name.endswith("sinks") else name, t)]


def is_left_out(arch, c, name):
    if name.endswith((".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")):
        return True
    layer = re.search(r"layers\.(\d+)\.", name)
    return arch == "deepseek2" and layer and int(layer[1]) >= c["num_hidden_layers"]


def stacked(tensors):
    """Experts of a layer, one matrix each -> one tensor."""
    out, experts = {}, {}
    for name, t in tensors.items():
        part = re.match(r"(.*\.experts)\.(\d+)\.(.*)$", name)
        if part:
            experts.setdefault(f"{part[1]}.{part[3]}", {})[int(part[2])] = t
        else:
            out[name] = t
    return out | {name: torch.stack([of[i] for i in sorted(of)]) for name, of in experts.items()}


def gpt_oss_experts(name, t, tensors):
    """Fused experts with gate and up rows in turn -> name and raw or plain tensors, gate and up apart."""
    out = []
    for part, rows in (("gate_up_proj", None), ("down_proj", slice(None))):
        if f".{part}" not in name or name.endswith("_scales"):
            continue
        for new, take in ((("gate_proj", slice(0, None, 2)), ("up_proj", slice(1, None, 2))) if rows is None else ((part, rows),)):
            base = name[:name.index(part)] + new
            if name.endswith("_blocks"):
                out.append((base + ".weight", mxfp4(t[:, take], tensors[name.replace("_blocks", "_scales")][:, take])))
            elif name.endswith("_bias"):
                out.append((base + ".bias", t[:, take]))
            else:
                out.append((base + ".weight", t.transpose(1, 2)[:, take]))
    return out


def converted(arch, c, tensors):
    """{gguf name: f32 tensor or raw MXFP4 rows}."""
    names = gguf.get_tensor_name_map(ARCH[arch], c.get("num_hidden_layers", c.get("n_layer", c.get("n_layers", 0))) + 1)
    out = {}
    for name, t in stacked({n: t for n, t in tensors.items() if not is_left_out(arch, c, n)}).items():
        fused = arch == "gpt-oss" and ".experts." in name
        for new, value in gpt_oss_experts(name, t, tensors) if fused else change(arch, c, name, t.float()):
            known = names.get_name(new, try_suffixes=(".weight", ".bias"))
            assert known, new
            out[known] = value
    return out


# --- files

def stays_f32(name, t):
    return t.ndim <= 1 or name.endswith("_norm.weight") or not name.endswith(".weight") or "ffn_gate_inp" in name or name.startswith("position_embd")


def write(path, arch, c, tensors, kind):
    w = gguf.GGUFWriter(path, arch, split_max_tensors=c.get("tensors_a_file", 0))
    METADATA[arch](w, c)
    for name, t in sorted(converted(arch, c, tensors).items()):
        if isinstance(t, np.ndarray):
            w.add_tensor(name, t, raw_dtype=T.MXFP4)
            continue
        a = np.ascontiguousarray(t.float().numpy())
        of = T.F32 if stays_f32(name, t) else kind
        if a.shape[-1] % gguf.GGML_QUANT_SIZES[of][0]:
            of = T.F16
        raw = gguf.quants.quantize(a, of)
        assert np.array_equal(gguf.quants.dequantize(raw, of).reshape(a.shape), a), f"{name} does not keep its values"
        w.add_tensor(name, raw, raw_dtype=of)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def of_corpus(root, name, case, arch, kind, **more):
    """A checkpoint of the corpus as it is."""
    source, folder = CORPUS / case, root / name
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for file in sorted(source.glob("model*.safetensors")):
        tensors |= load_file(file)
    write(folder / "model.gguf", arch, json.loads((source / "config.json").read_text()) | more, tensors, kind)
    shutil.copy(source / "reference.safetensors", folder)


def rounded(arch, c, kind):
    """The values that the file's blocks hold, by Hugging Face's names: blocks run along the rows as they are written."""
    def one(name, t):
        t = t.to(torch.bfloat16).float()
        if arch == "deepseek2" and name.endswith("kv_b_proj.weight"):
            parts = t.view(c["num_attention_heads"], -1, t.shape[-1])
            keys, values = parts.split([c["qk_nope_head_dim"], c["v_head_dim"]], 1)
            keys = quantised(keys.transpose(1, 2), kind).transpose(1, 2)
            return torch.cat([keys, quantised(values, kind)], 1).reshape(t.shape)
        keeps = t.ndim == 1 or name.endswith(("mlp.gate.weight", "_norm.weight"))
        return t if keeps else quantised(t, kind)
    return one


def built(root, name, case, arch, kind, rules=(), **sizes):
    """A checkpoint like one of the corpus in other sizes, quantised."""
    sys.path.insert(0, str(CORPUS))
    from maker import build
    c = json.loads((CORPUS / case / "config.json").read_text()) | sizes

    def pack(tensors):
        plain = {n: rounded(arch, c, kind)(n, t) for n, t in tensors.items()}
        return plain, plain
    build.build(build.Case(name, c["model_type"], c, "GGUF " + arch, dtype="f32", quant=pack, rules=list(rules),
                           files=lambda stored, folder: write(folder / "model.gguf", arch, c, stored, kind)), root)


GEMMA3 = [(r"(q|k)_norm\.weight$", ("around", 0.6)), (r"norm\.weight$", ("vec", 0.3)), (r"embed_tokens\.weight$", ("raw", 0.18))]
GEMMA2 = [(r"post_(attention|feedforward)_layernorm\.weight$", ("around", 1.2))] + GEMMA3
TIED = [(r"embed_tokens\.weight$", ("raw", 0.3))]
CASES = {
    "gguf-gemma2-q8_0": (built, "gemma2", "gemma2", T.Q8_0, dict(rules=GEMMA2, hidden_size=64, intermediate_size=96, query_pre_attn_scalar=24)),
    "gguf-gemma3-q8_0": (built, "gemma3", "gemma3", T.Q8_0, dict(rules=[(r"embed_tokens\.weight$", ("raw", 0.12))] + GEMMA3, hidden_size=64, intermediate_size=96, head_dim=32,
                                                                query_pre_attn_scalar=32, rope_scaling={"rope_type": "linear", "factor": 8.0})),
    "gguf-phi3-longrope": (of_corpus, "phi3-longrope", "phi3", T.BF16, {}),
    "gguf-phi3-q8_0": (built, "phi3", "phi3", T.Q8_0, dict(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96)),
    "gguf-gpt-oss-mxfp4": (of_corpus, "gpt-oss", "gpt-oss", T.BF16, {}),
    "gguf-gpt-oss-bf16": (of_corpus, "gpt-oss-bf16", "gpt-oss", T.BF16, {}),
    "gguf-deepseek2-v3": (of_corpus, "deepseek-v3", "deepseek2", T.BF16, {}),
    "gguf-deepseek2-v2": (of_corpus, "deepseek-v2", "deepseek2", T.BF16, {}),
    "gguf-deepseek2-lite": (of_corpus, "deepseek-v2-lite", "deepseek2", T.BF16, dict(unsplit=True)),
    "gguf-deepseek2-q8_0": (built, "deepseek-v3", "deepseek2", T.Q8_0, dict(hidden_size=64, intermediate_size=96, moe_intermediate_size=32, q_lora_rank=32,
                                                                          qk_nope_head_dim=32, v_head_dim=24, num_nextn_predict_layers=0)),
    "gguf-glm4-moe-bf16": (of_corpus, "glm4-moe", "glm4moe", T.BF16, {}),
    "gguf-falcon-40b": (of_corpus, "falcon-40b", "falcon", T.BF16, {}),
    "gguf-falcon-7b": (of_corpus, "falcon-7b", "falcon", T.BF16, {}),
    "gguf-gpt2": (of_corpus, "gpt2", "gpt2", T.F32, {}),
    "gguf-gpt-neox": (of_corpus, "pythia", "gptneox", T.F16, {}),
    "gguf-bloom": (of_corpus, "bloom", "bloom", T.BF16, {}),
    "gguf-mpt": (of_corpus, "mpt-clip", "mpt", T.BF16, {}),
    "gguf-phi2": (of_corpus, "phi2", "phi2", T.F16, {}),
    "gguf-olmo": (of_corpus, "olmo", "olmo", T.F32, {}),
    "gguf-granite": (of_corpus, "granite", "granite", T.BF16, dict(tensors_a_file=8)),
    "gguf-starcoder2-q8_0": (built, "starcoder2", "starcoder2", T.Q8_0, dict(rules=TIED, hidden_size=64, intermediate_size=96, sliding_window=None)),
}


def main():
    root, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    for name, (make, case, arch, kind, options) in CASES.items():
        if not wanted or name in wanted:
            make(root, name, case, arch, kind, **options)
            print(name, sum(f.stat().st_size for f in (root / name).iterdir()))


if __name__ == "__main__":
    main()
