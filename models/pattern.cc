// See pattern.h. An expression becomes a small program with relative jumps; all its threads advance together through the text.
#include "models/pattern.h"

#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

namespace drover {
namespace {

constexpr size_t kLongestPattern = 512;
constexpr size_t kLongestProgram = 4096;
constexpr int kDeepest = 32;

enum class Op : uint8_t { kSet, kSplit, kJump, kBegin, kEnd, kBoundary, kMatch };
struct Instruction {
  Op op;
  int32_t first = 1, second = 1;  // jumps
  std::bitset<256> set = {};
};
using Program = std::vector<Instruction>;

class Compiler {
 public:
  explicit Compiler(std::string_view pattern) : left_(pattern) {}

  std::optional<Program> Run() {
    Program program = Alternatives(0);
    if (!ok_ || !left_.empty()) return std::nullopt;
    return program;
  }

 private:
  static int32_t Size(const Program& program) { return static_cast<int32_t>(program.size()); }

  void Append(Program& to, const Program& from) {
    to.insert(to.end(), from.begin(), from.end());
    if (to.size() > kLongestProgram) ok_ = false;
  }
  bool Take(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  char Next() {
    if (left_.empty()) {
      ok_ = false;
      return 0;
    }
    const char c = left_.front();
    left_.remove_prefix(1);
    return c;
  }

  Program Alternatives(int depth) {
    Program program = Sequence(depth);
    while (ok_ && Take('|')) {
      const Program other = Sequence(depth);
      Program both = {{Op::kSplit, 1, Size(program) + 2}};
      Append(both, program);
      both.push_back({Op::kJump, Size(other) + 1});
      Append(both, other);
      program = both;
    }
    return program;
  }

  Program Sequence(int depth) {
    Program program;
    while (ok_ && !left_.empty() && left_.front() != '|' && left_.front() != ')') Append(program, Repeated(depth));
    return program;
  }

  Program Repeated(int depth) {
    Program atom = Atom(depth);
    const int32_t size = Size(atom);
    Program program;
    if (Take('*')) {
      program = {{Op::kSplit, 1, size + 2}};
      Append(program, atom);
      program.push_back({Op::kJump, -size - 1});
    } else if (Take('+')) {
      program = atom;
      program.push_back({Op::kSplit, -size, 1});
    } else if (Take('?')) {
      program = {{Op::kSplit, 1, size + 1}};
      Append(program, atom);
    } else {
      return atom;
    }
    Take('?');  // a lazy repetition matches the same texts
    return program;
  }

  Program Atom(int depth) {
    const char c = Next();
    if (c == '(') {
      if (depth >= kDeepest || (Take('?') && !Take(':'))) ok_ = false;
      Program inner = ok_ ? Alternatives(depth + 1) : Program();
      if (!Take(')')) ok_ = false;
      return inner;
    }
    if (c == '^') return {{Op::kBegin}};
    if (c == '$') return {{Op::kEnd}};
    if (c == '*' || c == '+' || c == '?' || c == '{' || c == ')') ok_ = false;
    Instruction one{Op::kSet};
    if (c == '[') {
      one.set = Class();
    } else if (c == '.') {
      one.set.set();
    } else if (c == '\\') {
      one.set = Escape(Next());
    } else {
      one.set.set(static_cast<uint8_t>(c));
    }
    return {one};
  }

  static void AddRange(std::bitset<256>& set, char from, char to) {
    for (int c = static_cast<uint8_t>(from); c <= static_cast<uint8_t>(to); ++c) set.set(static_cast<size_t>(c));
  }

  std::bitset<256> Escape(char c) {
    std::bitset<256> set;
    if (c == 'd' || c == 'w') AddRange(set, '0', '9');
    if (c == 'w') {
      AddRange(set, 'a', 'z');
      AddRange(set, 'A', 'Z');
      set.set('_');
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter) set.set(static_cast<uint8_t>(c));
    if (set.none()) ok_ = false;
    return set;
  }

  std::bitset<256> Class() {
    std::bitset<256> set;
    const bool negated = Take('^');
    while (ok_ && !Take(']')) {
      const char c = Next();
      if (c == '\\') {
        set |= Escape(Next());
      } else if (left_.size() > 1 && left_.front() == '-' && left_[1] != ']') {
        Next();
        AddRange(set, c, Next());
      } else {
        set.set(static_cast<uint8_t>(c));
      }
    }
    return negated ? ~set : set;
  }

  std::string_view left_;
  bool ok_ = true;
};

class Threads {
 public:
  Threads(const Program& program, std::string_view text) : program_(program), text_(text), seen_(program.size()) {}

  bool Match() {
    std::vector<int32_t> now, next;
    Add(0, 0, now);
    for (size_t at = 0; !matched_ && at < text_.size(); ++at) {
      seen_.assign(program_.size(), false);
      next.clear();
      for (const int32_t pc : now)
        if (program_[static_cast<size_t>(pc)].set.test(static_cast<uint8_t>(text_[at]))) Add(pc + 1, at + 1, next);
      now.swap(next);
    }
    return matched_;
  }

 private:
  // Every instruction that consumes a character and can be reached from `start` without one.
  void Add(int32_t start, size_t at, std::vector<int32_t>& threads) {
    std::vector<int32_t> open = {start};
    while (!open.empty()) {
      const int32_t pc = open.back();
      open.pop_back();
      if (seen_[static_cast<size_t>(pc)]) continue;
      seen_[static_cast<size_t>(pc)] = true;
      const Instruction& i = program_[static_cast<size_t>(pc)];
      const bool here = (i.op == Op::kBegin && at == 0) || (i.op == Op::kEnd && at == text_.size()) ||
                        (i.op == Op::kBoundary && (at == text_.size() || text_[at] == '.' || (at > 0 && text_[at - 1] == '.')));
      if (i.op == Op::kMatch) matched_ = true;
      if (i.op == Op::kSet) threads.push_back(pc);
      if (i.op == Op::kSplit || i.op == Op::kJump || here) open.push_back(pc + i.first);
      if (i.op == Op::kSplit) open.push_back(pc + i.second);
    }
  }

  const Program& program_;
  std::string_view text_;
  std::vector<bool> seen_;
  bool matched_ = false;
};

}  // namespace

bool MatchesModule(std::string_view pattern, std::string_view module) {
  const bool expression = pattern.starts_with("re:");
  if (!expression && module.ends_with(pattern)) return true;
  if (expression) pattern.remove_prefix(3);
  if (pattern.size() > kLongestPattern) return false;
  std::optional<Program> program = Compiler(pattern).Run();
  if (!program) return false;
  if (!expression) program->push_back({Op::kBoundary});
  program->push_back({Op::kMatch});
  return Threads(*program, module).Match();
}

}  // namespace drover
