// Configs to specs: a row a family with the printed spec, and bad configs, each refused by key and value.
#include "models/registry.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

// A small Llama config with `extra` members in front; later members of a JSON object may not repeat earlier ones.
std::string Config(const std::string& architecture, const std::string& extra) {
  return R"({"architectures":[")" + architecture + R"("],)" + extra +
         R"("hidden_size":48,"intermediate_size":104,"max_position_embeddings":256,"num_attention_heads":4,
            "num_hidden_layers":4,"num_key_value_heads":2,"vocab_size":132,"eos_token_id":2,"bos_token_id":1,
            "torch_dtype":"bfloat16","use_cache":true,"rms_norm_eps":1e-05})";
}

struct Case {
  const char* name;
  std::string config;
  const char* printed;
};

class Printed : public testing::TestWithParam<Case> {};

TEST_P(Printed, IsTheSpec) {
  const auto spec = SpecFromConfigText(GetParam().config);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(ToString(*spec), GetParam().printed);
}

constexpr const char* kScout =
    R"("head_dim":16,"attention_chunk_size":16,"floor_scale":8,"attn_scale":0.1,"num_local_experts":6,"num_experts_per_tok":1,
       "interleave_moe_layer_step":2,"intermediate_size_mlp":72,"no_rope_layers":[],"use_qk_norm":true,"rope_theta":500000.0,
       "attention_dropout":0.0,"for_llm_compressor":false,)";

INSTANTIATE_TEST_SUITE_P(LlamaAndMistral, Printed, testing::Values(
    Case{"Llama", Config("LlamaForCausalLM", R"("rope_scaling":null,"pretraining_tp":1,"hidden_act":"silu",)"),
         "llama: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000; dense 104 silu\n  bos 1, end 2\n"},
    Case{"LlamaBiases", Config("LlamaForCausalLM", R"("attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,"head_dim":20,)"),
         "llama: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, tied\n"
         "  layers 0-3: heads 4/2 of 20, qkv bias, out bias, rope half 20 theta 10000; dense 104 silu, bias\n  bos 1, end 2\n"},
    Case{"LlamaOldLinear", Config("LlamaForCausalLM", R"("rope_scaling":{"type":"linear","factor":4.0},"rope_theta":5e6,)"),
         "llama: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 5e+06 linear/4; dense 104 silu\n  bos 1, end 2\n"},
    Case{"LlamaNewParameters",
         Config("LlamaForCausalLM",
                R"("dtype":"bfloat16","rope_parameters":{"rope_type":"llama3","rope_theta":500000.0,"factor":8.0,"low_freq_factor":1.0,
                   "high_freq_factor":4.0,"original_max_position_embeddings":32},)"),
         "llama: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n  layers 0-3: heads 4/2 of 12, rope half 12 theta 5e+05 "
         "llama3(factor 8, low 1, high 4, original 32); dense 104 silu\n  bos 1, end 2\n"},
    Case{"LlamaYarn", Config("LlamaForCausalLM", R"("rope_scaling":{"rope_type":"yarn","type":"yarn","factor":4.0,"truncate":false},)"),
         "llama: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000 "
         "yarn(factor 4, fast 32, slow 1, original 256, not truncated); dense 104 silu\n  bos 1, end 2\n"},
    Case{"LlamaDynamic", Config("LlamaForCausalLM", R"("rope_scaling":{"type":"dynamic","factor":2.0},)"),
         "llama: 4 layers, hidden 48, vocab 132, context 1024, eps 1e-05\n  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000 "
         "dynamic(factor 2, original 256); dense 104 silu\n  bos 1, end 2\n"},
    Case{"MistralWindow", Config("MistralForCausalLM", R"("sliding_window":16,)"),
         "mistral: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000, window 16; dense 104 silu\n  bos 1, end 2\n"},
    Case{"MistralWindowByDefault", Config("MistralForCausalLM", ""),
         "mistral: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000, window 4096; dense 104 silu\n  bos 1, end 2\n"},
    Case{"MistralWithoutWindow", Config("MistralForCausalLM", R"("sliding_window":null,)"),
         "mistral: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Mixtral", Config("MixtralForCausalLM", R"("sliding_window":null,"num_local_experts":6,"num_experts_per_tok":2,)"),
         "mixtral: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n  layers 0-3: heads 4/2 of 12, rope half 12 theta 1e+06; "
         "6 experts of 104 silu, top 2, softmax renormalised\n  bos 1, end 2\n"}),
    [](const auto& row) { return std::string(row.param.name); });

INSTANTIATE_TEST_SUITE_P(QwenAndLlama4, Printed, testing::Values(
    Case{"Qwen2WindowOff", Config("Qwen2ForCausalLM", R"("sliding_window":14,"use_sliding_window":false,"max_window_layers":1,)"),
         "qwen2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, qkv bias, rope half 12 theta 10000; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Qwen2WindowOn", Config("Qwen2ForCausalLM", R"("sliding_window":14,"use_sliding_window":true,"max_window_layers":1,)"),
         "qwen2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0: heads 4/2 of 12, qkv bias, rope half 12 theta 10000; dense 104 silu\n"
         "  layers 1-3: heads 4/2 of 12, qkv bias, rope half 12 theta 10000, window 14; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Qwen3HeadSizeByDefault", Config("Qwen3ForCausalLM", R"("rope_theta":1000000,)"),
         "qwen3: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 128, q/k norm, rope half 128 theta 1e+06; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Qwen3MoeMixed",
         Config("Qwen3MoeForCausalLM", R"("head_dim":16,"decoder_sparse_step":2,"mlp_only_layers":[3],"num_experts":6,
                                          "num_experts_per_tok":2,"moe_intermediate_size":32,"norm_topk_prob":false,)"),
         "qwen3_moe: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0,2-3: heads 4/2 of 16, q/k norm, rope half 16 theta 10000; dense 104 silu\n"
         "  layers 1: heads 4/2 of 16, q/k norm, rope half 16 theta 10000; 6 experts of 32 silu, top 2, softmax\n  bos 1, end 2\n"},
    Case{"Llama4", Config("Llama4ForCausalLM", kScout),
         "llama4: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0,2: heads 4/2 of 16, q/k L2 norm, rope interleaved 16 theta 5e+05, chunk 16; dense 72 silu\n"
         "  layers 1: heads 4/2 of 16, q/k L2 norm, rope interleaved 16 theta 5e+05, chunk 16; "
         "6 experts of 104 silu, top 1, sigmoid on input, shared 104\n"
         "  layers 3: heads 4/2 of 16, no rope, temperature 0.1 per 8; "
         "6 experts of 104 silu, top 1, sigmoid on input, shared 104\n  bos 1, end 2\n"},
    Case{"Llama4WithVision",
         R"({"architectures":["Llama4ForConditionalGeneration"],"model_type":"llama4","boi_token_index":1,"eoi_token_index":2,
             "image_token_index":3,"vision_config":{"anything":1},"text_config":)" +
             Config("Llama4ForCausalLM", R"("num_local_experts":2,"moe_layers":[],"attn_temperature_tuning":false,"use_qk_norm":false,)") + "}",
         "llama4: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-2: heads 4/2 of 128, rope interleaved 128 theta 5e+05, chunk 8192; dense 16384 silu\n"
         "  layers 3: heads 4/2 of 128, no rope; dense 16384 silu\n  bos 1, end 2\n"
         "  not served: vision tower\n  not served: multi-modal projector\n"}),
    [](const auto& row) { return std::string(row.param.name); });

constexpr const char* kV3 =
    R"("kv_lora_rank":32,"q_lora_rank":24,"qk_nope_head_dim":16,"qk_rope_head_dim":8,"v_head_dim":20,"n_routed_experts":12,
       "num_experts_per_tok":4,"moe_intermediate_size":24,"n_shared_experts":2,"n_group":4,"topk_group":2,"first_k_dense_replace":1,
       "rope_interleave":true,"num_nextn_predict_layers":1,"ep_size":1,"head_dim":8,)";

INSTANTIATE_TEST_SUITE_P(RoutedFamilies, Printed, testing::Values(
    Case{"Qwen2Moe",
         Config("Qwen2MoeForCausalLM", R"("num_experts":9,"moe_intermediate_size":32,"shared_expert_intermediate_size":68,"qkv_bias":true,
                                          "use_sliding_window":true,"sliding_window":9,"max_window_layers":3,"decoder_sparse_step":2,)"),
         "qwen2_moe: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0,2: heads 4/2 of 12, qkv bias, rope half 12 theta 10000, window 9; dense 104 silu\n"
         "  layers 1,3: heads 4/2 of 12, qkv bias, rope half 12 theta 10000; 9 experts of 32 silu, top 4, softmax, shared 68 gated\n"
         "  bos 1, end 2\n"},
    Case{"Glm4MoeRotatesHalf",
         Config("Glm4MoeForCausalLM", R"("attention_bias":true,"use_qk_norm":true,"n_routed_experts":9,"num_experts_per_tok":3,
                                         "moe_intermediate_size":24,"routed_scaling_factor":2.5,"first_k_dense_replace":0,)"),
         "glm4_moe: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, qkv bias, q/k norm, rope half 6 theta 10000; "
         "9 experts of 24 silu, top 3, sigmoid, choice bias renormalised times 2.5, shared 24\n  bos 1, end 2\n"},
    Case{"DeepseekV3",
         Config("DeepseekV3ForCausalLM", std::string(kV3) + R"("rope_scaling":{"type":"yarn","factor":40,"mscale":1.0,"mscale_all_dim":0,
                                                              "original_max_position_embeddings":32},)"),
         "deepseek_v3: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0: heads 4 of 16+8/20, latent 32, q latent 24, rope interleaved 8 theta 10000 yarn(factor 40, fast 32, slow 1, original 32); dense 104 silu\n"
         "  layers 1-3: heads 4 of 16+8/20, latent 32, q latent 24, rope interleaved 8 theta 10000 yarn(factor 40, fast 32, slow 1, original 32); "
         "12 experts of 24 silu, top 4, sigmoid, choice bias, 2 of 4 groups by best two renormalised times 2.5, shared 48\n  bos 1, end 2\n"},
    Case{"DeepseekV2GroupsByTheirBest",
         Config("DeepseekV2ForCausalLM", R"("kv_lora_rank":32,"q_lora_rank":null,"qk_nope_head_dim":16,"qk_rope_head_dim":8,"v_head_dim":20,
                                            "n_routed_experts":12,"num_experts_per_tok":4,"moe_intermediate_size":24,"n_shared_experts":1,
                                            "topk_method":"group_limited_greedy","n_group":4,"topk_group":1,"norm_topk_prob":true,
                                            "attention_bias":true,)"),
         "deepseek_v2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4 of 16+8/20, latent 32, latent bias, out bias, rope interleaved 8 theta 10000; "
         "12 experts of 24 silu, top 3, softmax, 1 of 4 groups by best, shared 24\n  bos 1, end 2\n"},
    Case{"Mistral4ScalesItsSoftmaxAndItsQueries",
         Config("Mistral4ForCausalLM", R"("kv_lora_rank":32,"q_lora_rank":24,"qk_nope_head_dim":16,"qk_rope_head_dim":8,"v_head_dim":20,
             "n_routed_experts":12,"num_experts_per_tok":4,"moe_intermediate_size":24,"rope_interleave":false,
             "rope_parameters":{"rope_type":"yarn","rope_theta":10000.0,"factor":16.0,"original_max_position_embeddings":32,"mscale":1.0,
             "mscale_all_dim":1.0,"llama_4_scaling_beta":0.1},)"),
         "mistral4: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4 of 16+8/20, latent 32, q latent 24, rope half 8 theta 10000 yarn(factor 16, fast 32, slow 1, original 32, attention 1), "
         "temperature 0.1 per 32 from 0, scale 0.3330061355597346; 12 experts of 24 silu, top 4, softmax renormalised, shared 24\n  bos 1, end 2\n"},
    Case{"GptOss",
         Config("GptOssForCausalLM", R"("head_dim":16,"num_local_experts":5,"num_experts_per_tok":2,"swiglu_limit":7.0,"sliding_window":16,
                                        "experts_per_token":2,"initial_context_length":4096,)"),
         "gpt_oss: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0,2: heads 4/2 of 16, qkv bias, out bias, rope half 16 theta 150000 yarn(factor 32, fast 32, slow 1, original 4096, not truncated), "
         "window 16, sinks; 5 experts of 104 clamped pairs 1.702 7, bias, top 2, softmax, biased renormalised\n"
         "  layers 1,3: heads 4/2 of 16, qkv bias, out bias, rope half 16 theta 150000 yarn(factor 32, fast 32, slow 1, original 4096, not truncated), "
         "sinks; 5 experts of 104 clamped pairs 1.702 7, bias, top 2, softmax, biased renormalised\n  bos 1, end 2\n"}),
    [](const auto& row) { return std::string(row.param.name); });

// What the GPT-2 kind of configs has in common.
std::string OldConfig(const std::string& architecture, const std::string& extra) {
  return R"({"architectures":[")" + architecture + R"("],)" + extra + R"("vocab_size":132,"eos_token_id":2,"attn_pdrop":0.1,"use_cache":true})";
}

INSTANTIATE_TEST_SUITE_P(OtherDecoders, Printed, testing::Values(
    Case{"Granite", Config("GraniteForCausalLM", R"("embedding_multiplier":12,"residual_multiplier":0.22,"attention_multiplier":0.35,"logits_scaling":8.0,)"),
         "granite: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, embedding times 12, residual times 0.22, logits over 8\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000, scale 0.35; dense 104 silu\n  bos 1, end 2\n"},
    Case{"StarCoder2", Config("Starcoder2ForCausalLM", R"("sliding_window":20,"activation_function":"gelu","hidden_act":"gelu_pytorch_tanh",)"),
         "starcoder2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, LayerNorm, tied\n"
         "  layers 0-3: heads 4/2 of 12, qkv bias, out bias, rope half 12 theta 10000, window 20; dense 104 gelu_tanh ungated, bias\n  bos 1, end 2\n"},
    Case{"Gemma", Config("GemmaForCausalLM", R"("head_dim":32,"hidden_act":"gelu","hidden_activation":null,)"),
         "gemma: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, RMS norm 1+w, embedding times 6.928203230275509, tied\n"
         "  layers 0-3: heads 4/2 of 32, rope half 32 theta 10000; dense 104 gelu_tanh\n  bos 1, end 2\n"},
    Case{"Gemma2", Config("Gemma2ForCausalLM", R"("head_dim":24,"attn_logit_softcapping":null,)"),
         "gemma2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, RMS norm 1+w, pre and post norms, embedding times 6.928203230275509, "
         "logit softcap 30, tied\n  layers 0,2: heads 4/2 of 24, rope half 24 theta 10000, window 4096, scale 0.0625; dense 104 gelu_tanh\n"
         "  layers 1,3: heads 4/2 of 24, rope half 24 theta 10000, scale 0.0625; dense 104 gelu_tanh\n  bos 1, end 2\n"},
    Case{"Gemma3", Config("Gemma3ForCausalLM", R"("head_dim":24,"sliding_window_pattern":3,"sliding_window":12,"attn_logit_softcapping":5.0,)"),
         "gemma3: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, RMS norm 1+w, pre and post norms, embedding times 6.928203230275509, tied\n"
         "  layers 0-1,3: heads 4/2 of 24, q/k norm, rope half 24 theta 10000, window 12, scale 0.0625; dense 104 gelu_tanh\n"
         "  layers 2: heads 4/2 of 24, q/k norm, rope half 24 theta 1e+06, scale 0.0625; dense 104 gelu_tanh\n  bos 1, end 2\n"},
    Case{"Olmo", Config("OlmoForCausalLM", R"("clip_qkv":2.0,)"),
         "olmo: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, LayerNorm without weights\n"
         "  layers 0-3: heads 4/2 of 12, q/k/v clipped to 2, rope half 12 theta 10000; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Olmo2", Config("Olmo2ForCausalLM", ""),
         "olmo2: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, post norms\n"
         "  layers 0-3: heads 4/2 of 12, q/k norm over all heads, rope half 12 theta 10000; dense 104 silu\n  bos 1, end 2\n"},
    Case{"Phi", Config("PhiForCausalLM", R"("partial_rotary_factor":0.4,"qk_layernorm":true,)"),
         "phi: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, LayerNorm, parallel, output bias\n"
         "  layers 0-3: heads 4/2 of 12, qkv bias, out bias, q/k norm, rope half 4 theta 10000; dense 104 gelu_tanh ungated, bias\n  bos 1, end 2\n"},
    Case{"Phi3Longrope", Config("Phi3ForCausalLM", R"("original_max_position_embeddings":64,"rope_scaling":{"type":"su",
           "short_factor":[1,1,1,1,1,1.5],"long_factor":[1,2,3,4,5,6]},)"),
         "phi3: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000 "
         "longrope(factor 4, original 64); dense 104 silu\n  bos 1, end 2\n"},
    Case{"Phi3", Config("Phi3ForCausalLM", R"("sliding_window":15,"original_max_position_embeddings":256,)"),
         "phi3: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05\n"
         "  layers 0-3: heads 4/2 of 12, rope half 12 theta 10000, window 15; dense 104 silu\n  bos 1, end 2\n"}),
    [](const auto& row) { return std::string(row.param.name); });

INSTANTIATE_TEST_SUITE_P(OlderDecoders, Printed, testing::Values(
    Case{"Gpt2", OldConfig("GPT2LMHeadModel", R"("n_embd":48,"n_head":4,"n_layer":2,"n_positions":64,"n_inner":null,"scale_attn_by_inverse_layer_idx":true,)"),
         "gpt2: 2 layers, hidden 48, vocab 132, context 64, eps 1e-05, LayerNorm, learned positions, tied\n"
         "  layers 0: heads 4/4 of 12, qkv bias, out bias, no rope; dense 192 gelu_tanh ungated, bias\n"
         "  layers 1: heads 4/4 of 12, qkv bias, out bias, no rope, scale 0.14433756729740646; dense 192 gelu_tanh ungated, bias\n  bos none, end 2\n"},
    Case{"CrystalCoder", OldConfig("CrystalCoderLMHeadModel", R"("n_embd":64,"n_head":4,"n_layer":2,"n_positions":64,"n_inner":170,"rotary_dim":8,
           "activation_function":"swiglu","mup_embeddings_scale":14.6,"mup_output_alpha":2,"mup_width_scale":0.0625,"mup_scale_qk_dot_by_d":true,
           "tie_word_embeddings":false,)"),
         "crystalcoder: 2 layers, hidden 64, vocab 132, context 64, eps 1e-05, LayerNorm, embedding times 14.6, logits over 8\n"
         "  layers 0-1: heads 4/4 of 16, qkv bias, out bias, rope interleaved 8 theta 10000, scale 0.0625; dense 170 silu, bias\n  bos none, end 2\n"},
    Case{"GptJ", OldConfig("GPTJForCausalLM", R"("n_embd":48,"n_head":4,"n_layer":2,"n_positions":64,"rotary_dim":8,"rotary":true,)"),
         "gptj: 2 layers, hidden 48, vocab 132, context 64, eps 1e-05, LayerNorm, parallel, output bias\n"
         "  layers 0-1: heads 4/4 of 12, rope interleaved 8 theta 10000; dense 192 gelu_tanh ungated, bias\n  bos none, end 2\n"},
    Case{"GptNeoX", Config("GPTNeoXForCausalLM", R"("rotary_pct":0.25,"rotary_emb_base":25000,"attention_probs_dropout_prob":0,)"),
         "gpt_neox: 4 layers, hidden 48, vocab 132, context 256, eps 1e-05, LayerNorm, parallel with two norms\n"
         "  layers 0-3: heads 4/2 of 12, qkv bias, out bias, rope half 3 theta 25000; dense 104 gelu ungated, bias\n  bos 1, end 2\n"},
    Case{"Bloom", OldConfig("BloomForCausalLM", R"("n_embed":48,"num_attention_heads":6,"n_layer":2,"apply_residual_connection_post_layernorm":true,)"),
         "bloom: 2 layers, hidden 48, vocab 132, context 2048, eps 1e-05, LayerNorm, normed residual, embedding norm, tied\n"
         "  layers 0-1: heads 6/6 of 8, qkv bias, out bias, no rope, alibi interleaved; dense 192 gelu_tanh ungated, bias\n  bos none, end 2\n"},
    Case{"Mpt", OldConfig("MPTForCausalLM", R"("d_model":48,"n_heads":4,"n_layers":2,"max_seq_len":256,"attn_config":{"clip_qkv":6,"alibi":true,"alibi_bias_max":8,"softmax_scale":null},)"),
         "mpt: 2 layers, hidden 48, vocab 132, context 256, eps 1e-05, LayerNorm without bias, tied\n"
         "  layers 0-1: heads 4/4 of 12, q/k/v clipped to 6, no rope, alibi every second; dense 192 gelu ungated\n  bos none, end 2\n"},
    Case{"Falcon7b", OldConfig("FalconForCausalLM", R"("hidden_size":48,"num_attention_heads":4,"num_kv_heads":4,"num_hidden_layers":2,)"),
         "falcon: 2 layers, hidden 48, vocab 132, context 2048, eps 1e-05, LayerNorm, parallel, tied\n"
         "  layers 0-1: heads 4/1 of 12, rope half 12 theta 10000; dense 192 gelu ungated\n  bos none, end 2\n"},
    Case{"Falcon40b", OldConfig("FalconForCausalLM", R"("hidden_size":48,"num_attention_heads":4,"num_kv_heads":2,"num_hidden_layers":2,"new_decoder_architecture":true,)"),
         "falcon: 2 layers, hidden 48, vocab 132, context 2048, eps 1e-05, LayerNorm, parallel with two norms, tied\n"
         "  layers 0-1: heads 4/2 of 12, rope half 12 theta 10000; dense 192 gelu ungated\n  bos none, end 2\n"},
    Case{"FalconRw", OldConfig("FalconForCausalLM", R"("hidden_size":64,"num_attention_heads":4,"num_hidden_layers":2,"multi_query":false,"parallel_attn":false,"alibi":true,"bias":true,)"),
         "falcon: 2 layers, hidden 64, vocab 132, context 2048, eps 1e-05, LayerNorm, tied\n"
         "  layers 0-1: heads 4/4 of 16, qkv bias, out bias, no rope, alibi interleaved in bf16 times 0.5; dense 256 gelu ungated, bias\n"
         "  bos none, end 2\n"}),
    [](const auto& row) { return std::string(row.param.name); });

struct Bad {
  const char* name;
  std::string config;
  const char* message;  // part of the error
};

class BadConfig : public testing::TestWithParam<Bad> {};

TEST_P(BadConfig, IsRefusedByKeyAndValue) {
  const auto spec = SpecFromConfigText(GetParam().config);
  ASSERT_FALSE(spec.ok());
  EXPECT_NE(Message(spec.status()).find(GetParam().message), std::string::npos) << spec.status();
}

// A llama config with one member replaced.
std::string With(const std::string& key, const std::string& value) {
  Json config = *ParseJson(Config("LlamaForCausalLM", ""));
  config[key] = *ParseJson(value);
  return config.dump();
}
std::string Without(const std::string& key) {
  Json config = *ParseJson(Config("LlamaForCausalLM", ""));
  config.erase(key);
  return config.dump();
}

INSTANTIATE_TEST_SUITE_P(All, BadConfig, testing::Values(
    Bad{"NotJson", "{", "not valid JSON"},
    Bad{"NotAnObject", "[]", "expected an object"},
    Bad{"NoArchitecture", "{}", "architectures: found 0 names"},
    Bad{"TwoArchitectures", With("architectures", R"(["A","B"])"), "architectures: found 2 names"},
    Bad{"UnknownArchitecture", With("architectures", R"(["DeepseekV32ForCausalLM"])"), "found \"DeepseekV32ForCausalLM\", which is not served; served are LlamaForCausalLM"},
    Bad{"UnknownKey", With("residual_multiplier", "0.2"), "config key with an unknown meaning: residual_multiplier = 0.2"},
    Bad{"UnknownKeyInside", With("rope_scaling", R"({"type":"linear","factor":2,"bend":1})"), "unknown meaning: rope_scaling.bend = 1"},
    Bad{"MissingWidth", Without("hidden_size"), "hidden_size: found nothing, expected an integer"},
    Bad{"MissingLayers", Without("num_hidden_layers"), "num_hidden_layers: found nothing"},
    Bad{"WidthZero", With("hidden_size", "0"), "hidden_size: found 0, expected an integer from 1"},
    Bad{"WidthNegative", With("hidden_size", "-4"), "hidden_size: found -4"},
    Bad{"WidthHuge", With("hidden_size", "18446744073709551615"), "hidden_size: found 18446744073709551615"},
    Bad{"WidthFraction", With("hidden_size", "48.5"), "hidden_size: found 48.5"},
    Bad{"WidthText", With("hidden_size", "\"48\""), "hidden_size: found \"48\""},
    Bad{"LayersTooMany", With("num_hidden_layers", "100000"), "num_hidden_layers: found 100000"},
    Bad{"VocabularyHuge", With("vocab_size", "99999999999"), "vocab_size: found 99999999999"},
    Bad{"ContextHuge", With("max_position_embeddings", "1e99"), "max_position_embeddings: found"},
    Bad{"HeadsDoNotFit", With("num_attention_heads", "7"), "num_key_value_heads: found 2, expected a divisor of num_attention_heads 7"},
    Bad{"HeadsAgainstWidth", With("hidden_size", "50"), "num_attention_heads: found 4, expected a divisor of hidden_size 50"},
    Bad{"OddHeadSize", With("head_dim", "13"), "rotated dimensions: found 13"},
    Bad{"EpsilonZero", With("rms_norm_eps", "0"), "rms_norm_eps: found 0"},
    Bad{"EpsilonNegative", With("rms_norm_eps", "-1e-5"), "rms_norm_eps: found -1e-05"},
    Bad{"EpsilonHuge", With("rms_norm_eps", "1e308"), "norm epsilon: found 1e+308, expected at most 1"},
    Bad{"StopIdOutside", With("eos_token_id", "132"), "eos_token_id: found 132"},
    Bad{"StopIdsOutside", With("eos_token_id", "[2,132]"), "eos_token_id: found [2,132]"},
    Bad{"BosOutside", With("bos_token_id", "-1"), "bos_token_id: found -1"},
    Bad{"Activation", With("hidden_act", "\"mish\""), "hidden_act: found \"mish\", expected silu"},
    Bad{"FalconNorms", OldConfig("FalconForCausalLM", R"("hidden_size":48,"num_attention_heads":4,"num_hidden_layers":2,"num_ln_in_parallel_attn":2,)"),
        "num_ln_in_parallel_attn: found 2, expected 1"},
    Bad{"MptLearnedPositions", OldConfig("MPTForCausalLM", R"("d_model":48,"n_heads":4,"n_layers":2,"attn_config":{"alibi":false},)"),
        "attn_config.alibi: found false"},
    Bad{"SpelledAsTheConfigDoes", OldConfig("GPT2LMHeadModel", R"("n_embd":0,"n_head":4,"n_layer":2,"n_positions":64,)"), "n_embd: found 0"},
    Bad{"TiedIsText", With("tie_word_embeddings", "\"yes\""), "tie_word_embeddings: found \"yes\", expected true or false"},
    Bad{"RopeUnknown", With("rope_scaling", R"({"type":"proportional","factor":2})"), "rope_type: found \"proportional\""},
    Bad{"RopeLongFactors", With("rope_scaling", R"({"rope_type":"longrope","short_factor":[1],"long_factor":[1]})"), "longrope factors: found 1, expected 6"},
    Bad{"RopeLongFactorZero", With("rope_scaling", R"({"rope_type":"longrope","short_factor":[0],"long_factor":[1]})"), "short_factor: found [0], expected a list"},
    Bad{"RopeFactorMissing", With("rope_scaling", R"({"type":"linear"})"), "rope_scaling.factor: found nothing"},
    Bad{"RopeFactorZero", With("rope_scaling", R"({"type":"linear","factor":0})"), "rope_scaling.factor: found 0"},
    Bad{"RopeIsAList", With("rope_scaling", "[1]"), "rope_scaling: found [1], expected an object"},
    Bad{"RopePartial", With("rope_parameters", R"({"rope_type":"default","partial_rotary_factor":0.5})"), "partial_rotary_factor: found 0.5"},
    Bad{"RopeTwice", With("rope_parameters", R"({"rope_type":"default"})").insert(1, R"("rope_scaling":{"type":"linear","factor":2},)"), "rope_scaling: found an object beside rope_parameters"},
    Bad{"ThetaZero", With("rope_theta", "0"), "rope_theta: found 0"},
    Bad{"ThetaOne", With("rope_theta", "1"), "rope theta: found 1"},
    Bad{"Quantised", With("quantization_config", R"({"quant_method":"hqq","bits":4})"), "quantization_config.quant_method: found \"hqq\", expected one of fp8"},
    Bad{"QuantisedOddly", With("quantization_config", R"({"quant_method":"gptq","bits":3})"), "quantization_config.bits: found 3, expected 4 or 8 or 2"},
    Bad{"QuantisedUnknownKey", With("quantization_config", R"({"quant_method":"awq","bits":4,"rotation":true})"), "quantization_config.rotation = true"},
    Bad{"DuplicateKey", Config("LlamaForCausalLM", R"("hidden_size":48,)"), "duplicate key \"hidden_size\""}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Config, PrivateAndTrainingKeysAreIgnored) {
  EXPECT_TRUE(SpecFromConfigText(Config("LlamaForCausalLM", R"("_name_or_path":"x","auto_map":{"a":"b"},"initializer_range":0.02,)")).ok());
}

TEST(Config, WhatPublishedConfigsCarryIsRead) {
  EXPECT_TRUE(SpecFromConfigText(Config("Qwen2ForCausalLM", R"("use_mrope":false,"max_window_layers":28,)")).ok());
  EXPECT_TRUE(SpecFromConfigText(Config("LlamaForCausalLM", R"("is_llama_config":true,"rope_interleaved":false,"transformers.js_config":{"a":1},)")).ok());
  const auto interleaved = SpecFromConfigText(Config("LlamaForCausalLM", R"("rope_interleaved":true,)"));
  EXPECT_NE(Message(interleaved.status()).find("rope_interleaved: found true, expected false"), std::string::npos) << interleaved.status();
  const auto on = SpecFromConfigText(Config("Llama4ForCausalLM", R"("attn_temperature_tuning":4,"cache_implementation":"hybrid",)"));
  ASSERT_TRUE(on.ok()) << on.status();
  EXPECT_TRUE(on->layer(3).attention.temperature.has_value());
  const auto off = SpecFromConfigText(Config("Llama4ForCausalLM", R"("attn_temperature_tuning":0,)"));
  EXPECT_FALSE(off->layer(3).attention.temperature.has_value());
}

TEST(Config, SizesBeyondReasonAreRefusedBeforeAnythingIsBuilt) {
  const auto experts = SpecFromConfigText(Config("MixtralForCausalLM", R"("num_local_experts":65536,"num_experts_per_tok":1,)"));
  EXPECT_TRUE(experts.ok()) << experts.status();  // 4 layers of 65,536
  Json more = *ParseJson(Config("MixtralForCausalLM", R"("num_local_experts":65536,"num_experts_per_tok":1,)"));
  more["num_hidden_layers"] = 5;
  EXPECT_NE(Message(SpecFromConfig(more).status()).find("experts of all layers: found 327680"), std::string::npos);
  Json wide = *ParseJson(Config("LlamaForCausalLM", R"("head_dim":128,)"));
  wide["hidden_size"] = wide["intermediate_size"] = 1 << 24;
  EXPECT_NE(Message(SpecFromConfig(wide).status()).find("parameters: found about"), std::string::npos);
}

TEST(Config, MistralsOwnParams) {
  const std::string params = R"("dim":48,"n_layers":2,"hidden_dim":92,"n_heads":4,"vocab_size":131,)";
  const auto latent = SpecFromConfigText("{" + params + R"("norm_eps":1e-6,"kv_lora_rank":32,"qk_nope_head_dim":16,"qk_rope_head_dim":8,
      "v_head_dim":20,"max_seq_len":64,"yarn":{"factor":36,"alpha":1,"beta":32,"apply_scale":false,"original_max_position_embeddings":32},
      "llama_4_scaling":{"beta":0.1,"original_max_position_embeddings":32},
      "moe":{"num_experts":6,"num_experts_per_tok":2,"expert_hidden_dim":24,"num_shared_experts":1,"first_k_dense_replace":1}})");
  ASSERT_TRUE(latent.ok()) << latent.status();
  EXPECT_EQ(ToString(*latent),
            "mistral_native: 2 layers, hidden 48, vocab 131, context 64, eps 1e-06\n"
            "  layers 0: heads 4 of 16+8/20, latent 32, rope interleaved 8 theta 10000 yarn(factor 36, fast 32, slow 1, original 32, attention 1), "
            "temperature 0.1 per 32 from 0; dense 92 silu\n"
            "  layers 1: heads 4 of 16+8/20, latent 32, rope interleaved 8 theta 10000 yarn(factor 36, fast 32, slow 1, original 32, attention 1), "
            "temperature 0.1 per 32 from 0; 6 experts of 24 silu, top 2, softmax renormalised, shared 24\n  bos 1, end 2\n");
  const auto plain = SpecFromConfigText("{" + params + R"("n_kv_heads":2,"head_dim":16,"rope_theta":1e6,"sliding_window":9})");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_NE(ToString(*plain).find("heads 4/2 of 16, rope interleaved 16 theta 1e+06, window 9; dense 92 silu"), std::string::npos) << ToString(*plain);
  const auto scaled = SpecFromConfigText("{" + params + R"("yarn":{"factor":36,"original_max_position_embeddings":32}})");
  EXPECT_NE(Message(scaled.status()).find("yarn.apply_scale: found true"), std::string::npos) << scaled.status();
}

TEST(Config, RoutedFamiliesNumbersAreChecked) {
  const auto refused = [](const std::string& architecture, std::string extra, std::string_view message) {
    const auto spec = SpecFromConfigText(Config(architecture, extra));
    EXPECT_NE(Message(spec.status()).find(message), std::string::npos) << spec.status();
  };
  const std::string v3 = kV3;
  refused("DeepseekV3ForCausalLM", v3 + R"("scoring_func":"softmax",)", "scoring_func: found \"softmax\", expected sigmoid");
  refused("DeepseekV3ForCausalLM", v3 + R"("topk_method":"greedy",)", "topk_method: found \"greedy\", expected noaux_tc");
  refused("DeepseekV3ForCausalLM", v3 + R"("moe_layer_freq":2,)", "moe_layer_freq: found 2");
  refused("DeepseekV3ForCausalLM", R"("n_routed_experts":12,"n_group":5,"topk_group":1,)", "expert groups: found 5, expected a divisor of the 12");
  refused("DeepseekV3ForCausalLM", R"("n_routed_experts":12,"n_group":12,"topk_group":8,)", "expert groups: found 12 of one expert");
  refused("DeepseekV3ForCausalLM", R"("n_routed_experts":12,"n_group":4,"topk_group":1,)", "experts of a token: found 8, expected at most 3");
  refused("DeepseekV2ForCausalLM", R"("topk_method":"noaux_tc","num_experts_per_tok":2,)", "topk_method: found \"noaux_tc\"");
  refused("DeepseekV2ForCausalLM", "", "num_experts_per_tok: found nothing");
  refused("Mistral4ForCausalLM", "", "rope_parameters: found nothing");
  refused("GptOssForCausalLM", R"("layer_types":["full_attention"],)", "layer_types: found a list of 1");
  refused("Glm4MoeForCausalLM", R"("partial_rotary_factor":1.5,)", "partial_rotary_factor: found 1.5");
}

TEST(Config, OtherFamiliesNumbersAreChecked) {
  const auto bad = SpecFromConfigText(Config("MixtralForCausalLM", R"("num_local_experts":2,"num_experts_per_tok":3,)"));
  EXPECT_NE(Message(bad.status()).find("num_experts_per_tok: found 3"), std::string::npos) << bad.status();
  const auto layers = SpecFromConfigText(Config("Llama4ForCausalLM", R"("no_rope_layers":[1,0],)"));
  EXPECT_NE(Message(layers.status()).find("no_rope_layers: found a list of 2"), std::string::npos) << layers.status();
  const auto window = SpecFromConfigText(Config("Qwen2ForCausalLM", R"("use_sliding_window":true,)"));
  EXPECT_NE(Message(window.status()).find("sliding_window: found nothing"), std::string::npos) << window.status();
}

std::string PrintedOf(const std::string& config) {
  const auto spec = SpecFromConfigText(config);
  return spec.ok() ? ToString(*spec) : Message(spec.status());
}

// Two configs of one model.
struct Same {
  const char* name;
  std::string old_name, new_name;
};
class SameModel : public testing::TestWithParam<Same> {};

TEST_P(SameModel, OldNamesMeanWhatNewOnesDo) {
  const auto spec = SpecFromConfigText(GetParam().new_name);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(PrintedOf(GetParam().old_name), ToString(*spec));
}

const std::string kFalcon = R"("hidden_size":64,"layer_norm_epsilon":1e-05,"vocab_size":130,"alibi":false,"bias":false,"bos_token_id":11,"eos_token_id":11,
    "hidden_dropout":0.0,"apply_residual_connection_post_layernorm":false})";
INSTANTIATE_TEST_SUITE_P(RefinedWeb, SameModel, testing::Values(
    Same{"Falcon7B", R"({"architectures":["RWForCausalLM"],"model_type":"RefinedWebModel","n_head":4,"n_layer":2,"multi_query":true,"parallel_attn":true,)" + kFalcon,
         R"({"architectures":["FalconForCausalLM"],"num_attention_heads":4,"num_hidden_layers":2,"multi_query":true,"parallel_attn":true,)" + kFalcon},
    Same{"Falcon40B", R"({"architectures":["RWForCausalLM"],"model_type":"RefinedWeb","n_head":8,"n_head_kv":2,"n_layer":2,)" + kFalcon,
         R"({"architectures":["FalconForCausalLM"],"num_attention_heads":8,"num_kv_heads":2,"num_hidden_layers":2,"new_decoder_architecture":true,)" + kFalcon}),
    [](const auto& row) { return std::string(row.param.name); });

// Text parts of models that see images.
std::string BesideVision(const std::string& architecture, const std::string& text) {
  return R"({"architectures":[")" + architecture + R"("],"image_token_index":3,"vision_config":{"anything":1},"text_config":)" + text + "}";
}

TEST(TextParts, MeanTheirTextConfig) {
  constexpr const char* kParts = "  not served: vision tower\n  not served: multi-modal projector\n";
  const std::string gemma = Config("Gemma3ForCausalLM", R"("head_dim":12,"query_pre_attn_scalar":12,"sliding_window":9,)");
  EXPECT_EQ(PrintedOf(BesideVision("Gemma3ForConditionalGeneration", gemma)), PrintedOf(gemma) + kParts);
  const std::string mistral = Config("MistralForCausalLM", R"("sliding_window":null,)");
  EXPECT_EQ(PrintedOf(BesideVision("Mistral3ForConditionalGeneration", mistral)), PrintedOf(mistral) + kParts);
}

// Published configs leave most of it to the class.
TEST(TextParts, GemmaSaysLittle) {
  const std::string printed = PrintedOf(BesideVision("Gemma3ForConditionalGeneration",
      R"({"hidden_size":2560,"intermediate_size":10240,"model_type":"gemma3_text","num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024})"));
  EXPECT_NE(printed.find("vocab 262208, context 131072"), std::string::npos) << printed;
  EXPECT_NE(printed.find("heads 8/4 of 256"), std::string::npos) << printed;
}

}  // namespace
}  // namespace drover
