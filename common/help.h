// How the programs print --help: descriptions wrapped so that no line is wider than a terminal of 80 columns.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace drover {

inline constexpr size_t kHelpColumns = 80;

// `text` in lines of at most `width` characters, broken at spaces; a longer word has a line of its own.
std::string Wrap(const std::string& text, size_t width);

// A formatter that writes what options and commands do from column `column` on.
std::shared_ptr<CLI::Formatter> HelpFormat(size_t column);

}  // namespace drover
