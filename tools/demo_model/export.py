"""Writes a checkpoint of train.py as a Hugging Face model directory: what Llama4ForCausalLM and Drover load."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import Shape

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
NAMES = {"bos_token": "<|begin|>", "eos_token": "<|eot|>", "pad_token": "<|pad|>"}
SPECIAL = ["<|begin|>", "<|end|>", "<|eot|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
END, EOT, PAD = 1, 2, 3


def config(shape):
    return {
        "architectures": ["Llama4ForCausalLM"], "model_type": "llama4_text", "torch_dtype": "bfloat16",
        "vocab_size": shape.vocab_size, "hidden_size": shape.hidden_size, "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads, "num_key_value_heads": shape.num_key_value_heads, "head_dim": shape.head_dim,
        "attention_bias": False, "attention_dropout": 0.0, "attention_chunk_size": shape.attention_chunk_size,
        "attn_temperature_tuning": True, "attn_scale": shape.attn_scale, "floor_scale": shape.floor_scale,
        "no_rope_layers": shape.no_rope_layers, "rope_theta": shape.rope_theta, "rope_scaling": None, "use_qk_norm": True,
        "hidden_act": "silu", "intermediate_size": shape.intermediate_size, "intermediate_size_mlp": shape.intermediate_size,
        "interleave_moe_layer_step": 1, "num_local_experts": shape.num_local_experts, "num_experts_per_tok": 1,
        "output_router_logits": False, "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0,
        "rms_norm_eps": shape.rms_norm_eps, "initializer_range": 0.02, "max_position_embeddings": shape.max_position_embeddings,
        "tie_word_embeddings": False, "use_cache": True, "for_llm_compressor": False,
        "bos_token_id": 0, "eos_token_id": [END, EOT], "pad_token_id": PAD,
    }


def tokenizer_config(shape):
    added = {str(i): {"content": s, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for i, s in enumerate(SPECIAL)}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **NAMES, "added_tokens_decoder": added, "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"], "model_max_length": shape.max_position_embeddings,
            "chat_template": TEMPLATE.read_text(encoding="utf-8")}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/checkpoint.pt"))
    parser.add_argument("--tokenizer", type=Path, default=Path("data/tokenizer.json"))
    parser.add_argument("--out", type=Path, default=Path("../../demo/model"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    weights = torch.load(args.checkpoint, map_location="cpu", weights_only=True)["weights"]
    shape = Shape(vocab_size=len(weights["lm_head.weight"]))
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in weights.items()}, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)
    shutil.copyfile(args.tokenizer, args.out / "tokenizer.json")
    write_json(args.out / "config.json", config(shape))
    write_json(args.out / "tokenizer_config.json", tokenizer_config(shape))
    write_json(args.out / "special_tokens_map.json", NAMES)
    write_json(args.out / "generation_config.json",
               {"bos_token_id": 0, "eos_token_id": [END, EOT], "pad_token_id": PAD, "do_sample": False, "temperature": 0.0})
    total = sum(v.numel() for v in weights.values())
    print(f"{total} parameters, {(args.out / 'model.safetensors').stat().st_size} bytes in {args.out}")


if __name__ == "__main__":
    main()
