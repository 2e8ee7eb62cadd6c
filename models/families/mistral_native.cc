// Mistral's own params.json: Mistral, whose files keep the rows of q and k in rotated pairs, or Mistral Large 3 with latent attention
// and experts.
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {

constexpr ModuleName kModules[] = {
    {Role::kEmbedding, "tok_embeddings"},
    {Role::kOutput, "output"},
    {Role::kAttnNorm, "attention_norm"},
    {Role::kQ, "attention.wq"},
    {Role::kK, "attention.wk"},
    {Role::kV, "attention.wv"},
    {Role::kO, "attention.wo"},
    {Role::kQDown, "attention.wq_a"},
    {Role::kQDownNorm, "attention.q_a_norm"},
    {Role::kQUp, "attention.wq_b"},
    {Role::kKvDown, "attention.wkv_a_with_mqa"},
    {Role::kKvDownNorm, "attention.kv_a_norm"},
    {Role::kKvUp, "attention.wkv_b"},
    {Role::kFfnNorm, "ffn_norm"},
    {Role::kGate, "feed_forward.w1"},
    {Role::kUp, "feed_forward.w3"},
    {Role::kDown, "feed_forward.w2"},
    {Role::kRouter, "gate"},
    {Role::kExpertGate, "experts.{e}.w1"},
    {Role::kExpertUp, "experts.{e}.w3"},
    {Role::kExpertDown, "experts.{e}.w2"},
    {Role::kSharedGate, "shared_experts.w1"},
    {Role::kSharedUp, "shared_experts.w3"},
    {Role::kSharedDown, "shared_experts.w2"},
};
constexpr Naming kNaming{.base = "", .modules = kModules};

void ReadHeads(ConfigReader& params, ModelSpec& spec) {
  Attention& attention = spec.kinds[0].attention;
  attention.heads = params.Int("n_heads", {1, 1 << 16});
  attention.kv_heads = params.IntOr("n_kv_heads", attention.heads, {1, attention.heads});
  if (params.Has("kv_lora_rank")) return ReadLatent(params, {}, {.kv_rank = 512, .nope_dim = 128, .value_dim = 128}, spec);
  attention.head_dim = params.IntOr("head_dim", std::max<int64_t>(1, spec.hidden / attention.heads), {1, 1 << 16});
  attention.rope = ReadRope(params, attention.head_dim, {});
  attention.rope->pairing = RopePairing::kInterleaved;
  attention.window = params.MaybeInt("sliding_window", kPositions);
  attention.scale = 1 / std::sqrt(static_cast<double>(attention.head_dim));
}

void ReadYarn(ConfigReader& yarn, RopeScaling& scaling) {
  scaling.kind = RopeScalingKind::kYarn;
  scaling.factor = yarn.Number("factor");
  scaling.beta_fast = yarn.NumberOr("beta", 32);
  scaling.beta_slow = yarn.NumberOr("alpha", 1);
  scaling.original_positions = yarn.Number("original_max_position_embeddings");
  scaling.attention_factor = 1;
  if (yarn.BoolOr("apply_scale", true)) yarn.Fail("apply_scale", "true", "false (true is not served)");
}

void ReadMoe(ConfigReader& moe, ModelSpec& spec) {
  Experts experts;
  experts.count = moe.Int("num_experts", {1, 1 << 16});
  experts.active = moe.Int("num_experts_per_tok", {1, experts.count});
  experts.hidden = moe.Int("expert_hidden_dim", kCount);
  experts.shared_hidden = moe.IntOr("num_shared_experts", 0, {0, 1024}) * experts.hidden;
  experts.router = {.groups = moe.IntOr("num_expert_groups", 1, {1, experts.count}),
                    .kept_groups = moe.IntOr("num_expert_groups_per_tok", 1, {1, experts.count}),
                    .group_score = GroupScore::kBestTwo,
                    .scale = moe.NumberOr("routed_scale", 1)};
  if (const int64_t every = moe.IntOr("route_every_n", 1, kCount); every != 1) moe.Fail("route_every_n", Cat(every), "1");
  for (const std::string_view training : {"expert_parallel", "expert_model_parallel"}) moe.Ignore(training);
  PutExperts(experts, moe.IntOr("first_k_dense_replace", 0, {0, 1 << 16}), spec);
}

}  // namespace

absl::StatusOr<ModelSpec> MistralNative(ConfigReader& params) {
  ModelSpec spec;
  spec.family = "mistral_native";
  spec.naming = &kNaming;
  spec.hidden = params.Int("dim", kCount);
  spec.vocab = params.Int("vocab_size", kCount);
  spec.max_positions = params.IntOr("max_position_embeddings", params.IntOr("max_seq_len", 32768, kPositions), kPositions);
  spec.norm_eps = params.NumberOr("norm_eps", 1e-5);
  spec.tied_embeddings = params.BoolOr("tied_embeddings", false);
  if (spec.vocab > 2) {  // <s> and </s> of all of Mistral's vocabularies; params.json does not say
    spec.bos_id = 1;
    spec.end_ids = {2};
  }
  spec.kinds.resize(1);
  spec.kinds[0].ffn.hidden = params.Int("hidden_dim", kCount);
  spec.layer_kind.assign(static_cast<size_t>(params.Int("n_layers", {1, 4096})), 0);
  ReadHeads(params, spec);
  Attention& attention = spec.kinds[0].attention;
  if (ConfigReader* yarn = params.Object("yarn")) ReadYarn(*yarn, attention.rope->scaling);
  if (ConfigReader* growth = params.Object("llama_4_scaling"))
    attention.temperature = QueryTemperature{growth->Number("beta"), growth->Number("original_max_position_embeddings"), 0};
  if (ConfigReader* moe = params.Object("moe")) ReadMoe(*moe, spec);
  if (params.Has("vision_encoder")) spec.not_served = {"vision encoder"};
  params.Ignore("vision_encoder");
  return spec;
}

}  // namespace drover
