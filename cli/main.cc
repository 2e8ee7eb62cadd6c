// drover: one binary for people. Each subcommand lives in a file of its name.
#include <CLI/CLI.hpp>

#include <iostream>

#include "cli/bench.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/health.h"
#include "cli/launch.h"
#include "cli/model_commands.h"
#include "cli/serve.h"
#include "cli/text_commands.h"
#include "cli/verify.h"
#include "common/help.h"
#include "common/log.h"

int main(int argc, char** argv) {
  CLI::App app("Serve open-weight language models over several processes that you own");
  app.name("drover");
  app.set_version_flag("--version", "drover " DROVER_VERSION);
  app.require_subcommand(1);
  app.formatter(drover::HelpFormat(30));  // handed on to the commands
  drover::StartLog("drover", "warning");
  int code = 0;
  const drover::Finish finish = [&code](int result) { code = result; };
  drover::AddServeCommand(app, finish);
  drover::AddLaunchCommand(app, finish);
  drover::AddChatCommand(app, finish);
  drover::AddPlanCommand(app, finish);
  drover::AddInspectCommand(app, finish);
  drover::AddVerifyCommand(app, finish);
  drover::AddBenchCommand(app, finish);
  drover::AddTokenizeCommand(app, finish);
  drover::AddRenderCommand(app, finish);
  drover::AddHealthCommand(app, finish);
  app.formatter(drover::HelpFormat(13));  // the commands' own names are short, what they do is not
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's way to end parsing; nothing of ours throws
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << "drover: error: " << drover::OneLine(error.what()) << "; see --help" << std::endl;
    return 2;
  }
  return code;
}
