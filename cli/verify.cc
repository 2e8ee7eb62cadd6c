// See verify.h. Everything goes over the public gRPC API, as token ids; only the flag for raw logits is special.
#include "cli/verify.h"

#include <cstring>
#include <iostream>

#include "cli/local_cluster.h"
#include "cli/serve.h"
#include "cli/verify_compare.h"
#include "common/json.h"

namespace drover {
namespace {

constexpr Duration kAnswerWithin = std::chrono::minutes(10);

struct VerifyOptions {
  ServeOptions serve;   // serve.model empty: ask the server at `url`
  std::string url = "127.0.0.1:8001";
  std::string against;
  Tolerances tolerances;
  int64_t prompts = 0;  // the first so many; 0: all
  bool json = false;
};

void SetIds(const std::vector<int32_t>& ids, v1::GenerateRequest& request) {
  request.mutable_token_ids()->mutable_ids()->Assign(ids.begin(), ids.end());
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_repetition_penalty(1);
  request.set_ignore_eos(true);
}

absl::Status TakeLogits(const v1::LogitsFrame& frame, int64_t vocab, size_t rows, std::vector<float>& logits) {
  if (frame.vocab() != vocab) return FailedPrecondition("logits: found a vocabulary of ", frame.vocab(), ", the reference has ", vocab);
  const size_t at = static_cast<size_t>(frame.first_row() * vocab), count = frame.values().size() / sizeof(float);
  if (frame.first_row() < 0 || at + count > rows * static_cast<size_t>(vocab) || frame.values().size() % sizeof(float) != 0)
    return Internal("logits: a frame at row ", frame.first_row(), " of ", count, " values, expected ", rows, " rows in all");
  std::memcpy(logits.data() + at, frame.values().data(), frame.values().size());
  return absl::OkStatus();
}

// Teacher-forced: the reference's own ids, no sampling.
absl::Status ObserveLogits(ApiClient& client, const ReferencePrompt& prompt, int64_t vocab, Observation& seen) {
  std::vector<int32_t> ids = prompt.ids;
  if (!prompt.greedy_ids.empty()) ids.insert(ids.end(), prompt.greedy_ids.begin(), prompt.greedy_ids.end() - 1);
  v1::GenerateRequest request;
  SetIds(ids, request);
  request.set_max_tokens(0);
  request.set_logits(v1::LOGITS_WANTED_ALL);
  seen.logits.assign(ids.size() * static_cast<size_t>(vocab), std::numeric_limits<float>::quiet_NaN());
  return client.Generate(request, kAnswerWithin, [&](const v1::GenerateResponse& response) {
    return response.has_logits() ? TakeLogits(response.logits(), vocab, ids.size(), seen.logits) : absl::OkStatus();
  });
}

// Free-running: what a client gets.
absl::Status ObserveGreedy(ApiClient& client, const ReferencePrompt& prompt, Observation& seen) {
  v1::GenerateRequest request;
  SetIds(prompt.ids, request);
  request.set_max_tokens(static_cast<int64_t>(prompt.greedy_ids.size()));
  request.set_prompt_logprobs(prompt.logits.empty());
  return client.Generate(request, kAnswerWithin, [&](const v1::GenerateResponse& response) {
    for (const v1::TokenInfo& token : response.tokens()) seen.greedy_ids.push_back(token.id());
    seen.token_logprobs.insert(seen.token_logprobs.end(), response.prompt_logprobs().begin(), response.prompt_logprobs().end());
    return absl::OkStatus();
  });
}

absl::StatusOr<PromptResult> VerifyPrompt(ApiClient& client, const ReferencePrompt& prompt, int64_t vocab) {
  Observation seen;
  if (!prompt.logits.empty()) DROVER_RETURN_IF_ERROR(ObserveLogits(client, prompt, vocab, seen));
  DROVER_RETURN_IF_ERROR(ObserveGreedy(client, prompt, seen));
  return Compare(prompt, vocab, seen);
}

absl::Status VerifyAll(ApiClient& client, const Reference& reference, bool json, std::vector<PromptResult>& results) {
  if (!json) std::cout << ResultHeader() << std::endl;
  for (const ReferencePrompt& prompt : reference.prompts) {
    absl::StatusOr<PromptResult> result = VerifyPrompt(client, prompt, reference.vocab);
    if (!result.ok()) return Annotate(result.status(), prompt.name);
    if (!json) std::cout << ResultLine(*result) << std::endl;
    results.push_back(*std::move(result));
  }
  return absl::OkStatus();
}

Json ToJson(const PromptResult& result) {
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  return {{"name", result.name}, {"prompt_tokens", result.prompt_tokens}, {"max_logit_error", or_null(result.logit_error)},
          {"max_logprob_error", or_null(result.logprob_error)},
          {"mean_logprob_error", result.logprobs > 0 ? Json(result.logprob_error_sum / static_cast<double>(result.logprobs)) : Json(nullptr)},
          {"greedy_steps", result.greedy_steps}, {"first_difference", or_null(result.first_difference)}};
}

void PrintVerdict(const VerifyOptions& options, const std::vector<PromptResult>& results, const Verdict& verdict) {
  if (!options.json) {
    std::cout << (verdict.passed ? "passed" : Cat("FAILED: ", verdict.reason)) << std::endl;
    return;
  }
  Json prompts = Json::array();
  for (const PromptResult& result : results) prompts.push_back(ToJson(result));
  const Json report = {{"against", options.against}, {"ranks", options.serve.model.empty() ? Json(nullptr) : Json(options.serve.ranks)},
                       {"passed", verdict.passed}, {"reason", verdict.reason}, {"tolerance", options.tolerances.logit},
                       {"mean_logprob_error", verdict.logprob_mean}, {"prompts", prompts}};
  std::cout << report.dump(2) << std::endl;
}

// Whether all is within tolerance.
absl::StatusOr<bool> Verify(const VerifyOptions& options) {
  DROVER_ASSIGN_OR_RETURN(Reference reference, ReadReference(options.against));
  if (options.prompts > 0 && options.prompts < static_cast<int64_t>(reference.prompts.size()))
    reference.prompts.resize(static_cast<size_t>(options.prompts));
  std::vector<PromptResult> results;
  if (options.serve.model.empty()) {
    ApiClient client(options.url);
    DROVER_RETURN_IF_ERROR(VerifyAll(client, reference, options.json, results));
  } else {
    DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<LocalCluster> cluster, LocalCluster::Start(options.serve));
    DROVER_RETURN_IF_ERROR(WaitReadyWithProgress(*cluster));
    DROVER_RETURN_IF_ERROR(cluster->While([&] { return VerifyAll(cluster->client(), reference, options.json, results); }));
  }
  const Verdict verdict = Judge(results, options.tolerances);
  PrintVerdict(options, results, verdict);
  return verdict.passed;
}

void AddTolerances(CLI::App& command, Tolerances& tolerances) {
  command.add_option("--tolerance", tolerances.logit, "Largest absolute error of a logit")->check(CLI::NonNegativeNumber)->capture_default_str();
  command.add_option("--logprob-tolerance", tolerances.logprob, "The same of a log-probability")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  command.add_option("--mean-logprob-tolerance", tolerances.logprob_mean, "The same of their mean")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
}

}  // namespace

void AddVerifyCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("verify", "Compare what is served with a reference; exit code 1 past tolerance");
  const auto options = std::make_shared<VerifyOptions>();
  options->serve.http = options->serve.grpc = options->serve.cluster = "127.0.0.1:0";
  options->serve.allow_logits = true;
  command->add_option("model", options->serve.model, "Serve this checkpoint; else use a server");
  command->add_option("--against", options->against, "Reference: .safetensors or .json")->required();
  command->add_option("--url", options->url, "gRPC address of a server with --allow-logits")->capture_default_str();
  command->add_option("--prompts", options->prompts, "Only the first so many")->check(CLI::PositiveNumber);
  AddTolerances(*command, options->tolerances);
  AddGroupOptions(*command, options->serve);
  command->add_flag("--json", options->json, "JSON instead of a table");
  command->footer("Examples:\n  drover verify qwen3 --against qwen3/reference.safetensors --ranks 4\n"
                  "  drover verify SmolLM2.gguf --against reference.json --prompts 3\n");
  command->callback([options, finish] {
    const absl::StatusOr<bool> passed = Verify(*options);
    finish(passed.ok() ? (*passed ? 0 : 1) : Report(passed.status()));
  });
}

}  // namespace drover
