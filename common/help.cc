// See help.h.
#include "common/help.h"

#include <sstream>

namespace drover {
namespace {

class WrappingFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override { return Wrap(CLI::Formatter::make_option_desc(option), width()); }
  std::string make_description(const CLI::App* app) const override { return Wrap(app->get_description(), kHelpColumns) + "\n"; }
  std::string make_subcommand(const CLI::App* command) const override {
    std::stringstream out;
    CLI::detail::format_help(out, command->get_name(), Wrap(command->get_description(), width()), column_width_);
    return out.str();
  }

 private:
  size_t width() const { return kHelpColumns - column_width_; }
};

}  // namespace

std::string Wrap(const std::string& text, size_t width) {
  std::string wrapped, word;
  size_t line = 0;
  std::istringstream words(text);
  while (words >> word) {
    const bool fits = line > 0 && line + 1 + word.size() <= width;
    if (line > 0) wrapped += fits ? ' ' : '\n';
    line = fits ? line + 1 + word.size() : word.size();
    wrapped += word;
  }
  return wrapped;
}

std::shared_ptr<CLI::Formatter> HelpFormat(size_t column) {
  auto format = std::make_shared<WrappingFormatter>();
  format->column_width(column);
  return format;
}

}  // namespace drover
