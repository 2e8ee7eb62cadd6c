// PTX text in pieces: what a module declares, and the statements of a kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ptx {

// A variable of a module or, of its own memory, of a kernel: .align 4 .b8 name[64] = {1, 2, ...}
struct Variable {
  std::string name;
  size_t alignment = 1, bytes = 0;  // 0 bytes: as many as a launch gives
  std::vector<std::byte> initial;   // empty: zeros
};

struct KernelText {
  std::string name;
  std::vector<Variable> parameters;
  unsigned threads_max = 1024;
  std::string_view body;  // between its braces
  uint32_t line = 0;      // of the body's begin
};

struct ModuleText {
  std::vector<Variable> globals, shared;
  std::vector<KernelText> kernels;
};

// Declarations alone; bodies stay as they are.
ModuleText ReadModule(std::string_view text);

// A statement of a body: a label, an instruction with its operands, a declaration, or a brace.
struct Statement {
  enum class Kind { kLabel, kInstruction, kDeclaration, kOpen, kClose };
  Kind kind = Kind::kInstruction;
  std::string_view guard;                  // %p1 or !%p1
  std::string_view name;                   // of the label; the instruction's words; a declaration's whole
  std::vector<std::string_view> operands;  // vectors flattened, addresses with their brackets
  uint32_t line = 0;
};
std::vector<Statement> ReadBody(const KernelText& kernel);

// .align 4 .b8 name[64] = {...}: without the words before.
Variable ReadVariable(std::string_view text);

// Ends the process: the text is none that is understood.
[[noreturn]] void BadText(uint32_t line, std::string_view text, std::string_view what);

}  // namespace ptx
