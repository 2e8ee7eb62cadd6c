// See text_commands.h.
#include "cli/text_commands.h"

#include <iostream>

#include "cli/text_lines.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {
namespace {

absl::StatusOr<Vocabulary> ReadVocabulary(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(path));
  if (!checkpoint.vocabulary) return NotFound(path, ": holds no vocabulary");
  return *std::move(checkpoint.vocabulary);
}

// Lines that were errors said so in place; the exit code counts them once more for scripts.
absl::Status AllAnswered(int errors) {
  return errors == 0 ? absl::OkStatus() : InvalidArgument(errors, " line", errors == 1 ? "" : "s", " could not be answered; see \"error\" there");
}

absl::Status Tokenize(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const text::ModelText text, OpenText(path, ReadVocabulary));
  if (!text.tokenizer) return FailedPrecondition(path, ": has no tokenizer");
  return AllAnswered(RunTokenizeLines(*text.tokenizer, std::cin, std::cout));
}

absl::Status Render(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const text::ModelText text, OpenText(path, ReadVocabulary));
  if (!text.chat_template) return FailedPrecondition(path, ": has no chat template");
  return AllAnswered(RunRenderLines(*text.chat_template, text.special_tokens, std::cin, std::cout));
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("tokenize", "Turn JSON lines of text into token ids, or of ids into text");
  const auto path = std::make_shared<std::string>();
  command->add_option("model", *path, "Directory, .gguf or tokenizer file")->required();
  command->footer("Lines in: {\"text\", \"add_special_tokens\", \"parse_special\"}\n"
                  "       or {\"ids\", \"skip_special_tokens\"}; lines out: {\"ids\"} or {\"text\"}\n"
                  "Example:\n  echo '{\"text\": \"Hello\"}' | drover tokenize demo/model\n");
  command->callback([path, finish] { finish(Report(Tokenize(*path))); });
}

void AddRenderCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("render", "Turn JSON lines of chat messages into prompts");
  const auto path = std::make_shared<std::string>();
  command->add_option("model", *path, "Directory, .gguf or .jinja file")->required();
  command->footer("Lines in: {\"messages\", \"tools\", \"add_generation_prompt\", ...}\nLines out: {\"prompt\"}\nExample:\n"
                  "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' |\n    drover render demo/model\n");
  command->callback([path, finish] { finish(Report(Render(*path))); });
}

}  // namespace drover
