// See served_model.h.
#include "coordinator/served_model.h"

#include <utility>

#include "common/json.h"
#include "coordinator/generation_config.h"
#include "coordinator/model_codec.h"
#include "models/weights.h"

namespace drover {
namespace {

constexpr JsonLimits kGenerationConfigLimits = {.bytes = 1 << 20, .depth = 16, .elements = 10'000};

absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(const Checkpoint& checkpoint) {
  if (checkpoint.form == CheckpointForm::kGguf) return GenerationDefaults{};
  const std::string path = Cat(checkpoint.Folder(), "/generation_config.json");
  const absl::StatusOr<Json> config = ReadJsonFile(path, kGenerationConfigLimits);
  if (absl::IsNotFound(config.status())) return GenerationDefaults{};
  if (!config.ok()) return config.status();
  absl::StatusOr<GenerationDefaults> defaults = ReadGenerationDefaults(*config);
  if (!defaults.ok()) return Annotate(defaults.status(), path);
  return defaults;
}

}  // namespace

absl::StatusOr<ServedModel> LoadServedModel(const ModelConfig& config, int64_t created) {
  ServedModel model;
  DROVER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(config.path));
  model.checkpoint = std::make_shared<const Checkpoint>(std::move(checkpoint));
  PlanOptions options = config.plan;
  options.ranks = 1;
  options.stages = 1;
  options.expert_parts = 0;
  if (options.kv_tokens > 0) options.kv_tokens = PartTokens(options.kv_tokens, options.attention_parts);  // what one sequence finds
  options.attention_parts = 1;
  options.memory_limit = 0;
  DROVER_ASSIGN_OR_RETURN(const GroupPlan plan, MakePlan(*model.checkpoint, options, {}));
  const ModelSpec& spec = model.checkpoint->spec;
  ModelInfo& info = model.info;
  info.name = plan.model;
  info.family = spec.family;
  info.vocab = spec.vocab;
  info.max_model_len = plan.max_model_len;
  info.parameters = CountParameters(spec).total;
  info.created = created;
  info.allow_logits = config.allow_logits;
  if (config.generation_config) {
    DROVER_ASSIGN_OR_RETURN(GenerationDefaults defaults, LoadGenerationDefaults(*model.checkpoint));
    info.defaults = std::move(defaults.sampling);
    info.default_max_tokens = defaults.max_tokens;
    model.not_applied = std::move(defaults.not_applied);
  }
  DROVER_ASSIGN_OR_RETURN(text::ModelText text, text::LoadModelText(model.checkpoint->Folder(), model.checkpoint->vocabulary));
  info.end_ids = text.EndIdsAfter(spec.end_ids);
  const text::TemplateMode mode = config.reference_template ? text::TemplateMode::kReference : text::TemplateMode::kSafe;
  model.text = MakeModelCodec(std::move(text), mode, info);
  info.has_tokenizer = model.text->has_tokenizer();
  info.has_chat_template = model.text->has_chat_template();
  return model;
}

GroupPlanner MakeGroupPlanner(std::shared_ptr<const Checkpoint> checkpoint, PlanOptions options) {
  return [checkpoint = std::move(checkpoint), options = std::move(options)](const std::vector<Hello>& hellos) {
    PlanOptions wanted = options;
    Inventory inventory;
    wanted.ranks = static_cast<int64_t>(hellos.size());
    for (const Hello& hello : hellos) {
      inventory.ranks.push_back({hello.host, hello.memory_bytes, hello.cores});
      if (wanted.threads == 0) wanted.threads = hello.threads;
    }
    return MakePlan(*checkpoint, wanted, inventory);
  };
}

}  // namespace drover
