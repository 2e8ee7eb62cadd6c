"""The metadata that llama.cpp's converter writes for each architecture, from a config: see gguf_cases.py."""
import math

import gguf
import numpy as np


def kv_heads_of(c):
    return c.get("num_kv_heads") if c.get("new_decoder_architecture") else 1


def common(w, c, **less):
    """What the converter writes for every text model."""
    rope = c.get("rope_scaling") or {}
    rows = [(w.add_context_length, "max_position_embeddings"), (w.add_embedding_length, "hidden_size"), (w.add_feed_forward_length, "intermediate_size"),
            (w.add_head_count, "num_attention_heads"), (w.add_head_count_kv, "num_key_value_heads"), (w.add_rope_freq_base, "rope_theta"),
            (w.add_layer_norm_rms_eps, "rms_norm_eps"), (w.add_layer_norm_eps, "norm_epsilon"), (w.add_expert_count, "num_local_experts"),
            (w.add_expert_used_count, "num_experts_per_tok"), (w.add_expert_group_count, "n_group"), (w.add_expert_group_used_count, "topk_group"),
            (w.add_key_length, "head_dim"), (w.add_value_length, "head_dim"), (w.add_vocab_size, "vocab_size")]
    w.add_block_count(c["num_hidden_layers"] + less.get("drafts", 0))
    for add, key in rows:
        if c.get(key) is not None and key not in less.get("without", ()):
            add(float(c[key]) if key == "rope_theta" else c[key])
    if c.get("scoring_func"):
        w.add_expert_gating_func({"softmax": gguf.ExpertGatingFuncType.SOFTMAX, "sigmoid": gguf.ExpertGatingFuncType.SIGMOID}[c["scoring_func"]])
    if rope.get("rope_type", rope.get("type")) in ("yarn", "linear"):
        kind = rope.get("rope_type", rope.get("type"))
        w.add_rope_scaling_type(gguf.RopeScalingType(kind))
        w.add_rope_scaling_factor(rope["factor"])
        if kind == "yarn":
            w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])


def experts(w, c):
    w.add_expert_count(c["n_routed_experts"])
    w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_leading_dense_block_count(c["first_k_dense_replace"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    if c["norm_topk_prob"]:
        w.add_expert_weights_norm(True)


def gemma(w, c):
    common(w, c, without=("vocab_size",))
    w.add_sliding_window(c["sliding_window"])
    if c.get("attn_logit_softcapping"):
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
    if c.get("final_logit_softcapping"):
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if c.get("rope_local_base_freq"):
        w.add_rope_freq_base_swa(float(c["rope_local_base_freq"]))


def phi3(w, c):
    common(w, c, without=("vocab_size",))
    w.add_rope_scaling_orig_ctx_len(c["original_max_position_embeddings"])
    w.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    w.add_sliding_window(c.get("sliding_window") or 0)
    if c.get("rope_scaling"):
        scale = c["max_position_embeddings"] / c["original_max_position_embeddings"]
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(c["original_max_position_embeddings"])))
        for kind in ("long", "short"):
            w.add_tensor(f"rope_factors_{kind}.weight", np.array(c["rope_scaling"][kind + "_factor"], np.float32))


def gpt_oss(w, c):
    common(w, c, without=("vocab_size",))
    w.add_sliding_window(c["sliding_window"])
    w.add_expert_feed_forward_length(c["intermediate_size"])


def glm4moe(w, c):
    common(w, c, drafts=c["num_nextn_predict_layers"], without=("vocab_size",))
    w.add_rope_dimension_count(int(c["head_dim"] * c["partial_rotary_factor"]))
    experts(w, c)
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_nextn_predict_layers(c["num_nextn_predict_layers"])


def deepseek2(w, c):
    old = c.get("unsplit")
    common(w, c | {"num_key_value_heads": c["num_attention_heads"] if old else 1}, without=("head_dim",))
    experts(w, c)
    if c.get("q_lora_rank"):
        w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(c["kv_lora_rank"])
    key, value = c["qk_nope_head_dim"] + c["qk_rope_head_dim"], c["v_head_dim"]
    w.add_key_length(key if old else c["kv_lora_rank"] + c["qk_rope_head_dim"])
    w.add_value_length(value if old else c["kv_lora_rank"])
    if not old:
        w.add_key_length_mla(key)
        w.add_value_length_mla(value)
    w.add_rope_dimension_count(c["qk_rope_head_dim"])
    if c.get("rope_scaling"):
        w.add_rope_scaling_yarn_log_mul(0.1 * c["rope_scaling"]["mscale_all_dim"])


def falcon(w, c):
    w.add_context_length(2048)
    w.add_tensor_data_layout("jploski")
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c.get("ffn_hidden_size", 4 * c["hidden_size"]))
    w.add_block_count(c["num_hidden_layers"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(kv_heads_of(c))
    w.add_layer_norm_eps(c["layer_norm_epsilon"])


def gpt2(w, c):
    w.add_block_count(c["n_layer"])
    w.add_context_length(c["n_ctx"])
    w.add_embedding_length(c["n_embd"])
    w.add_feed_forward_length(4 * c["n_embd"])
    w.add_head_count(c["n_head"])
    w.add_layer_norm_eps(c["layer_norm_epsilon"])


def gptneox(w, c):
    common(w, c, without=("rope_theta", "vocab_size"))
    w.add_rope_dimension_count(int(c["rotary_pct"] * (c["hidden_size"] // c["num_attention_heads"])))
    w.add_parallel_residual(c["use_parallel_residual"])
    w.add_layer_norm_eps(c["layer_norm_eps"])


def bloom(w, c):
    w.add_context_length(c.get("seq_length", 256))
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(4 * c["hidden_size"])
    w.add_block_count(c["n_layer"])
    w.add_head_count(c["n_head"])
    w.add_head_count_kv(c["n_head"])
    w.add_layer_norm_eps(c["layer_norm_epsilon"])


def mpt(w, c):
    w.add_context_length(c["max_seq_len"])
    w.add_embedding_length(c["d_model"])
    w.add_block_count(c["n_layers"])
    w.add_feed_forward_length(4 * c["d_model"])
    w.add_head_count(c["n_heads"])
    w.add_layer_norm_eps(1e-5)
    if c["attn_config"]["clip_qkv"] is not None:
        w.add_clamp_kqv(c["attn_config"]["clip_qkv"])
    w.add_max_alibi_bias(float(c["attn_config"]["alibi_bias_max"]))


def phi2(w, c):
    common(w, c, without=("rope_theta", "vocab_size"))
    w.add_layer_norm_eps(c["layer_norm_eps"])
    w.add_rope_dimension_count(int(c["partial_rotary_factor"] * c["hidden_size"]) // c["num_attention_heads"])


def olmo(w, c):
    common(w, c, without=("vocab_size",))
    w.add_layer_norm_eps(1e-5)
    w.add_clamp_kqv(c["clip_qkv"])


def granite(w, c):
    common(w, c)
    w.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    w.add_attention_scale(c["attention_multiplier"])
    w.add_embedding_scale(c["embedding_multiplier"])
    w.add_residual_scale(c["residual_multiplier"])
    w.add_logit_scale(c["logits_scaling"])


METADATA = {"gemma2": gemma, "gemma3": gemma, "phi3": phi3, "gpt-oss": gpt_oss, "glm4moe": glm4moe, "deepseek2": deepseek2, "falcon": falcon,
            "gpt2": gpt2, "gptneox": gptneox, "bloom": bloom, "mpt": mpt, "phi2": phi2, "olmo": olmo, "granite": granite, "starcoder2": common}
