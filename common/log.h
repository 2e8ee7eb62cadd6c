// One line per event as key=value on standard error; text of prompts and answers never goes here.
//   Log(LogLevel::kInfo, "group ready", {{"group", name}, {"epoch", Cat(epoch)}});
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace drover {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

// Any thread.
void Log(LogLevel level, std::string_view event, LogFields fields = {});

// Once, at the start of a main: what process this is ("coordinator", "worker 3") and the lowest level shown
// ("debug", "info", "warning", "error"; unknown means info).
void StartLog(std::string_view process, std::string_view level);

}  // namespace drover
