// See model_commands.h.
#include "cli/model_commands.h"

#include <iostream>

#include "cli/inspect.h"
#include "cli/plan.h"

namespace drover {

void AddPlanCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("plan", "Show how a model would lie on N ranks; needs no weights");
  const auto plan = std::make_shared<PlanArguments>();
  command->add_option("model", plan->model, "Directory, config.json or .gguf file")->required();
  command->add_option("--ranks", plan->ranks, "Worker ranks to cut the model over")->capture_default_str();
  command->add_option("--memory", plan->memory, "Memory that a rank may use, e.g. 80GiB");
  command->add_option("--pipeline", plan->pipeline, "Stages: runs of ranks with a run of layers each")->capture_default_str();
  command->add_option("--expert-parts", plan->expert_parts, "Sets of ranks that experts are spread over");
  command->add_option("--data-parallel-attention", plan->attention_parts, "Runs of ranks that serve and cache sequences of their own")
      ->capture_default_str();
  command->add_option("--max-model-len", plan->max_model_len, "Tokens of prompt and answer (the model's)");
  command->add_option("--kv-tokens", plan->kv_tokens, "Tokens the cache holds for all requests");
  command->add_option("--kv", plan->kv, "Numbers of the cache: f32 or bf16")->capture_default_str();
  command->add_option("--compute", plan->compute, "Numbers of matrix products: f32 or bf16")->capture_default_str();
  command->add_option("--max-step-tokens", plan->max_step_tokens, "Tokens of one step, over all requests");
  command->add_option("--max-sequences", plan->max_sequences, "Requests running at once");
  command->add_option("--threads", plan->threads, "Threads of each rank");
  command->add_flag("--json", plan->json, "JSON instead of a table");
  command->footer("Examples:\n  drover plan demo/model --ranks 2\n  drover plan config.json --ranks 64 --memory 80GiB --json\n");
  command->callback([plan, finish] { finish(RunPlan(*plan, std::cout, std::cerr)); });
}

void AddInspectCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("inspect", "Show what a model is, how it is stored, what its licence asks");
  const auto inspect = std::make_shared<InspectArguments>();
  command->add_option("model", inspect->model, "Directory, config.json or .gguf file")->required();
  command->add_flag("--json", inspect->json, "JSON instead of a table");
  command->footer("Reads headers alone. A model that is not served is described too, with the\n"
                  "reason. Facts about licences are to be checked, they are no legal advice.\n"
                  "docs/inspect.md has the schema of --json.\n\n"
                  "Examples:\n  drover inspect SmolLM2-135M-Instruct.Q4_1.gguf\n  drover inspect demo/model --json\n");
  command->callback([inspect, finish] { finish(RunInspect(*inspect, std::cout, std::cerr)); });
}

}  // namespace drover
