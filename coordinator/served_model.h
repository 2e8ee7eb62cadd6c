// The model that a coordinator serves: its checkpoint's facts, its text side, and how groups are planned for it.
#pragma once

#include <memory>
#include <string>

#include "coordinator/client_request.h"
#include "coordinator/membership.h"
#include "coordinator/planner.h"
#include "coordinator/text_codec.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

struct ModelConfig {
  std::string path;
  PlanOptions plan;                 // ranks and what is 0 come from the ranks that join
  bool reference_template = false;  // special tokens in contents count, as in the reference library
  bool allow_logits = false;
  bool generation_config = true;    // requests take their defaults from generation_config.json
};

struct ServedModel {
  // Shared with the planner that it makes.
  std::shared_ptr<const Checkpoint> checkpoint;
  ModelInfo info;
  std::unique_ptr<TextCodec> text;
  std::vector<std::string> not_applied;  // fields of generation_config.json
};

// Reads headers, spec, generation_config.json and the tokenizer; errors name file and field. `created` is seconds since 1970.
absl::StatusOr<ServedModel> LoadServedModel(const ModelConfig& config, int64_t created);

GroupPlanner MakeGroupPlanner(std::shared_ptr<const Checkpoint> checkpoint, PlanOptions options);

}  // namespace drover
