// Reads PTX: declarations, statements, operands. Text that nvcc does not make ends the process.
#include "tests/kernels/ptx/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace ptx {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// The first word, which is taken away.
std::string_view TakeWord(std::string_view& text) {
  text = Trim(text);
  const size_t end = std::min(static_cast<size_t>(std::ranges::find_if(text, IsSpace) - text.begin()), text.size());
  const std::string_view word = text.substr(0, end);
  text = Trim(text.substr(end));
  return word;
}

size_t Number(std::string_view text) {
  size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Counts lines up to a place, which only moves on.
class Lines {
 public:
  explicit Lines(std::string_view text, uint32_t first = 1) : text_(text), line_(first) {}
  uint32_t At(size_t at) {
    line_ += static_cast<uint32_t>(std::count(text_.begin() + static_cast<long>(at_), text_.begin() + static_cast<long>(at), '\n'));
    at_ = at;
    return line_;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_;
};

// Blanks and comments from `at` on are passed over.
size_t SkipBlank(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (IsSpace(text[at])) ++at;
    else if (text.substr(at, 2) == "//") at = std::min(text.find('\n', at), text.size());
    else break;
  }
  return at;
}

// Bytes of ".b8", ".u64", ".pred" and the like.
size_t BytesOf(std::string_view type) {
  const size_t bits = Number(type.substr(std::min<size_t>(2, type.size())));
  return std::max<size_t>(1, bits / 8);
}

// "a, {b, c}, [d+4]": at the commas; braces are taken away.
std::vector<std::string_view> SplitOperands(std::string_view text) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  const auto take = [&](size_t end) {
    const std::string_view part = Trim(text.substr(begin, end - begin));
    if (const size_t bar = part.find('|'); bar != std::string_view::npos) {
      parts.push_back(Trim(part.substr(0, bar)));
      parts.push_back(Trim(part.substr(bar + 1)));
    } else if (!part.empty()) {
      parts.push_back(part);
    }
    begin = end + 1;
  };
  for (size_t at = 0; at < text.size(); ++at)
    if (text[at] == ',' || text[at] == '{' || text[at] == '}') take(at);
  take(text.size());
  return parts;
}

Statement ReadInstruction(std::string_view text, uint32_t line) {
  Statement statement{.line = line};
  text = Trim(text);
  if (text.starts_with('@')) statement.guard = TakeWord(text).substr(1);
  if (text.starts_with('.')) {
    statement.kind = Statement::Kind::kDeclaration;
    statement.name = text;
    return statement;
  }
  statement.name = TakeWord(text);
  statement.operands = SplitOperands(text);
  return statement;
}

// The `{` ... `}` that begins at `at`; the place behind it.
size_t SkipBraces(std::string_view text, size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    depth += (text[at] == '{') - (text[at] == '}');
    if (text[at] == '}' && depth == 0) return at + 1;
  }
  return at;
}

KernelText ReadKernel(std::string_view text, size_t at, uint32_t line, size_t& end) {
  KernelText kernel;
  const size_t open = text.find('(', at), close = text.find(')', open), body = text.find('{', close);
  if (body == std::string_view::npos) BadText(line, text.substr(at, 80), "a kernel without a body");
  kernel.name = Trim(text.substr(at, open - at));
  for (std::string_view parameter : SplitOperands(text.substr(open + 1, close - open - 1))) {
    TakeWord(parameter);  // .param
    kernel.parameters.push_back(ReadVariable(parameter));
  }
  const std::string_view directives = text.substr(close, body - close);
  if (const size_t most = directives.find(".maxntid"); most != std::string_view::npos) {
    kernel.threads_max = 1;
    for (std::string_view n : SplitOperands(directives.substr(most + 8, directives.find('\n', most) - most - 8))) kernel.threads_max *= static_cast<unsigned>(Number(n));
  }
  end = SkipBraces(text, body);
  kernel.body = text.substr(body + 1, end - body - 2);
  kernel.line = line + static_cast<uint32_t>(std::count(text.begin() + static_cast<long>(at), text.begin() + static_cast<long>(body), '\n'));
  return kernel;
}

}  // namespace

void BadText(uint32_t line, std::string_view text, std::string_view what) {
  std::fprintf(stderr, "ptx: line %u: %.*s: %.*s\n", line, static_cast<int>(what.size()), what.data(), static_cast<int>(text.size()), text.data());
  std::abort();
}

Variable ReadVariable(std::string_view text) {
  Variable variable;
  size_t element = 1;
  const size_t equals = text.find('=');
  std::string_view declared = Trim(text.substr(0, equals));
  while (declared.starts_with('.')) {
    const std::string_view word = TakeWord(declared);
    if (word == ".align") variable.alignment = Number(TakeWord(declared));
    else if (word != ".ptr" && word != ".global") element = BytesOf(word);
  }
  const size_t bracket = declared.find('[');
  variable.name = Trim(declared.substr(0, bracket));
  variable.bytes = element;
  if (bracket != std::string_view::npos) variable.bytes = element * Number(declared.substr(bracket + 1));
  variable.alignment = std::max(variable.alignment, element);
  if (equals == std::string_view::npos) return variable;
  for (std::string_view value : SplitOperands(text.substr(equals + 1))) {
    const size_t bits = Number(value);
    for (size_t i = 0; i < element; ++i) variable.initial.push_back(static_cast<std::byte>(bits >> (8 * i)));
  }
  return variable;
}

ModuleText ReadModule(std::string_view text) {
  ModuleText module;
  Lines lines(text);
  for (size_t at = SkipBlank(text, 0); at < text.size(); at = SkipBlank(text, at)) {
    size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
    std::string_view word = text.substr(at, end - at);
    if (word == ".visible" || word == ".extern" || word == ".weak") {
      at = end;
      continue;
    }
    if (word == ".entry") {
      module.kernels.push_back(ReadKernel(text, end, lines.At(at), at));
      continue;
    }
    if (word == ".global" || word == ".const" || word == ".shared") {
      const size_t close = text.find(';', end);
      (word == ".shared" ? module.shared : module.globals).push_back(ReadVariable(text.substr(end, close - end)));
      at = close + 1;
      continue;
    }
    if (word != ".version" && word != ".target" && word != ".address_size" && word != ".file") BadText(lines.At(at), word, "no declaration that is known");
    at = std::min(text.find('\n', at), text.size());
  }
  return module;
}

std::vector<Statement> ReadBody(const KernelText& kernel) {
  const std::string_view body = kernel.body;
  std::vector<Statement> statements;
  Lines lines(body, kernel.line);
  for (size_t at = SkipBlank(body, 0); at < body.size(); at = SkipBlank(body, at)) {
    const uint32_t line = lines.At(at);
    if (body[at] == '{' || body[at] == '}') {
      statements.push_back({.kind = body[at] == '{' ? Statement::Kind::kOpen : Statement::Kind::kClose, .line = line});
      ++at;
      continue;
    }
    if (body.substr(at, 5) == ".loc " || body.substr(at, 5) == ".loc\t") {
      at = std::min(body.find('\n', at), body.size());
      continue;
    }
    const size_t end = body.find_first_of(";:", at);
    if (end == std::string_view::npos) BadText(line, body.substr(at, 80), "a statement without an end");
    if (body[end] == ':' && body.substr(end, 2) != "::") {
      statements.push_back({.kind = Statement::Kind::kLabel, .name = Trim(body.substr(at, end - at)), .line = line});
      at = end + 1;
      continue;
    }
    const size_t semicolon = body.find(';', at);
    statements.push_back(ReadInstruction(body.substr(at, semicolon - at), line));
    at = semicolon + 1;
  }
  return statements;
}

}  // namespace ptx
