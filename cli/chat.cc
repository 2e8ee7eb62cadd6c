// See chat.h.
#include "cli/chat.h"

#include <poll.h>
#include <unistd.h>

#include <iostream>
#include <optional>

#include "cli/line_reader.h"
#include "cli/local_cluster.h"
#include "cli/serve.h"

namespace drover {
namespace {

constexpr Duration kAnswerWithin = std::chrono::minutes(30);
constexpr Duration kTurn = std::chrono::milliseconds(500);

struct ChatOptions {
  ServeOptions serve;     // serve.model empty: talk to `url`
  std::string url = "127.0.0.1:8001";
  std::string question;   // one question instead of a conversation
  std::string system;
  std::optional<double> temperature;
  std::optional<int64_t> max_tokens;
  std::optional<uint64_t> seed;
  std::string json_schema, regex;  // what each answer must look like; empty: anything
};

class Conversation {
 public:
  Conversation(ApiClient& client, const ChatOptions& options) : client_(client) {
    if (options.temperature) request_.mutable_sampling()->set_temperature(*options.temperature);
    if (options.seed) request_.mutable_sampling()->set_seed(*options.seed);
    if (options.max_tokens) request_.set_max_tokens(*options.max_tokens);
    if (!options.json_schema.empty()) request_.mutable_grammar()->set_json_schema(options.json_schema);
    if (!options.regex.empty()) request_.mutable_grammar()->set_regex(options.regex);
    if (!options.system.empty()) Add("system", options.system);
  }

  // Prints the answer as it arrives and keeps it; a question that failed is forgotten.
  absl::Status Ask(const std::string& question) {
    Add("user", question);
    std::string answer;
    const absl::Status status = client_.Generate(request_, kAnswerWithin, [&answer](const v1::GenerateResponse& response) {
      std::cout << response.text() << std::flush;
      answer += response.text();
      return absl::OkStatus();
    });
    std::cout << std::endl;
    answered_ = !answer.empty();
    if (status.ok()) Add("assistant", answer);
    else request_.mutable_chat()->mutable_messages()->RemoveLast();
    return status;
  }
  bool answered() const { return answered_; }  // the last question, with at least one character

 private:
  void Add(const std::string& role, const std::string& content) {
    v1::ChatMessage& message = *request_.mutable_chat()->add_messages();
    message.set_role(role);
    message.set_content(content);
  }

  ApiClient& client_;
  v1::GenerateRequest request_;
  bool answered_ = false;
};

// How the conversation runs: `perform` runs a call, `wait` waits for input.
struct Surroundings {
  std::function<absl::Status(const std::function<absl::Status()>&)> perform;
  std::function<bool()> wait;
};

absl::Status Talk(Conversation& conversation, const std::string& only_question, const Surroundings& surroundings) {
  const auto ask = [&](const std::string& question) {
    return surroundings.perform([&] { return conversation.Ask(question); });
  };
  if (!only_question.empty()) {
    DROVER_RETURN_IF_ERROR(ask(only_question));
    return conversation.answered() ? absl::OkStatus() : NotFound("the model answered without a word");
  }
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) std::cerr << "Type a question; /exit or Ctrl-D ends." << std::endl;
  LineReader lines(STDIN_FILENO, surroundings.wait);
  while (true) {
    if (terminal) std::cerr << "> " << std::flush;
    const std::optional<std::string> line = lines.Next();
    if (!line || *line == "/exit") return absl::OkStatus();
    if (line->empty()) continue;
    const absl::Status status = ask(*line);
    if (absl::IsUnavailable(status) || !terminal) DROVER_RETURN_IF_ERROR(status);
    Report(status);
  }
}

absl::Status ChatWithServer(const ChatOptions& options) {
  ApiClient client(options.url);
  Conversation conversation(client, options);
  const absl::Status status = Talk(conversation, options.question,
                                   {.perform = [](const std::function<absl::Status()>& call) { return call(); }, .wait = [] { return true; }});
  return absl::IsUnavailable(status) ? Annotate(status, options.url) : status;
}

absl::Status ChatWithOwnCluster(const ChatOptions& options) {
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<LocalCluster> cluster, LocalCluster::Start(options.serve));
  DROVER_RETURN_IF_ERROR(WaitReadyWithProgress(*cluster));
  cluster->KeepAlive();
  Conversation conversation(cluster->client(), options);
  Supervisor& supervisor = cluster->supervisor();
  const auto wait = [&supervisor] {
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 0) == 0) {
      if (!supervisor.Turn(kTurn, STDIN_FILENO).ok() || supervisor.stop_requests() > 0) return false;
    }
    return true;
  };
  return Talk(conversation, options.question,
              {.perform = [&cluster](const std::function<absl::Status()>& call) { return cluster->While(call); }, .wait = wait});
}

}  // namespace

void AddChatCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("chat", "Talk to a served model, or to MODEL served for the occasion");
  const auto options = std::make_shared<ChatOptions>();
  options->serve.http = options->serve.grpc = options->serve.cluster = "127.0.0.1:0";
  command->add_option("model", options->serve.model, "Serve this checkpoint; else use a server");
  command->add_option("--url", options->url, "gRPC address of the running server")->capture_default_str();
  command->add_option("-p,--prompt", options->question, "Ask this and leave");
  command->add_option("--system", options->system, "System message");
  command->add_option("--temperature", options->temperature, "0 is greedy (the model's)");
  command->add_option("--max-tokens", options->max_tokens, "Of each answer")->check(CLI::PositiveNumber);
  command->add_option("--seed", options->seed, "Of the sampler");
  CLI::Option* schema = command->add_option("--json-schema", options->json_schema, "Answers are JSON that fits this schema");
  command->add_option("--regex", options->regex, "Answers match this regular expression in full")->excludes(schema);
  AddGroupOptions(*command, options->serve);
  command->footer("Examples:\n  drover chat -p 'What is the capital of France?'\n  drover chat demo/model --ranks 2 --temperature 0\n"
                  "  drover chat -p 'Name a city.' --json-schema '{\"type\": \"object\"}'\n");
  command->callback([options, finish] {
    finish(Report(options->serve.model.empty() ? ChatWithServer(*options) : ChatWithOwnCluster(*options)));
  });
}

}  // namespace drover
