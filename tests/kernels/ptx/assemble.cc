// Statements become instructions: names become places in the register file, numbers become constants that lie there, too.
#include "tests/kernels/ptx/assemble.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "tests/kernels/ptx/forms.h"

namespace ptx {
namespace {

struct Register {
  Slot slot = 0;
  unsigned bytes = 0;  // of a lane; 0: a predicate
};

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

constexpr std::array<std::string_view, kSpecials> kSpecialNames = {"%tid.x",   "%tid.y",   "%tid.z",   "%ntid.x",   "%ntid.y",   "%ntid.z", "%ctaid.x",
                                                                   "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid"};

// 12, -1, 0xff, 0f3F800000 (the bits of a float), 0d..., 0. (of a float, too). None: not a number.
std::optional<uint64_t> BitsOf(std::string_view text, unsigned bytes) {
  if (text.starts_with("0f") || text.starts_with("0F") || text.starts_with("0d") || text.starts_with("0D"))
    return std::strtoull(std::string(text.substr(2)).c_str(), nullptr, 16);
  if (text.empty() || (text[0] != '-' && !std::isdigit(static_cast<unsigned char>(text[0])))) return std::nullopt;
  if (text.find('.') != std::string_view::npos) {
    const double value = std::strtod(std::string(text).c_str(), nullptr);
    return bytes == 8 ? __builtin_bit_cast(uint64_t, value) : __builtin_bit_cast(uint32_t, static_cast<float>(value));
  }
  const bool negative = text[0] == '-';
  const uint64_t value = std::strtoull(std::string(text.substr(negative)).c_str(), nullptr, 0);
  return negative ? 0 - value : value;
}

class Assembler {
 public:
  Assembler(const KernelText& kernel, std::span<const Variable> shared, const FindGlobal& global)
      : kernel_(kernel), module_shared_(shared), global_(global) {
    program_.name = kernel.name;
    program_.threads_max = kernel.threads_max;
    file_bytes_ = SpecialSlot(kSpecials);
    sink_ = Take(8).slot;
    PlaceParameters();
  }

  std::shared_ptr<const Program> Make() {
    const std::vector<Statement> statements = ReadBody(kernel_);
    PlaceShared(statements);
    for (const Statement& statement : statements) Add(statement);
    for (Instruction& instruction : program_.code)
      if (instruction.flow == Flow::kBranch) instruction.target = labels_.at(targets_[static_cast<size_t>(&instruction - program_.code.data())]);
    program_.file_bytes = file_bytes_;
    program_.first_line = kernel_.line;
    for (size_t at = 0; at <= kernel_.body.size();) {
      const size_t end = std::min(kernel_.body.find('\n', at), kernel_.body.size());
      program_.lines.emplace_back(kernel_.body.substr(at, end - at));
      at = end + 1;
    }
    return std::make_shared<const Program>(std::move(program_));
  }

 private:
  void Add(const Statement& statement) {
    using Kind = Statement::Kind;
    if (statement.kind == Kind::kLabel) labels_[std::string(statement.name)] = static_cast<uint32_t>(program_.code.size());
    if (statement.kind == Kind::kOpen) scopes_.emplace_back();
    if (statement.kind == Kind::kClose) scopes_.pop_back();
    if (statement.kind == Kind::kDeclaration) Declare(statement);
    if (statement.kind == Kind::kInstruction) AddInstruction(statement);
  }

  // .reg .b32 %r<10>, %x;   .local .align 16 .b8 name[64];   .pragma ...
  void Declare(const Statement& statement) {
    std::string_view text = statement.name;
    if (text.starts_with(".pragma") || text.starts_with(".shared")) return;
    if (text.starts_with(".local")) {
      const Variable variable = ReadVariable(text.substr(6));
      program_.local_bytes = RoundUp(program_.local_bytes, variable.alignment);
      places_[variable.name] = program_.local_bytes;
      program_.local_bytes = RoundUp(program_.local_bytes + variable.bytes, 16);
      return;
    }
    if (!text.starts_with(".reg")) return Refuse(statement, "a declaration that is not known");
    const size_t type = text.find('.', 1), names = text.find_first_of(" \t", type);
    const std::string_view bits = text.substr(type + 1, names - type - 1);
    const unsigned bytes = bits == "pred" ? 0 : std::max(16, std::atoi(std::string(bits.substr(1)).c_str())) / 8;
    DeclareNames(text.substr(names), bytes);
  }
  void DeclareNames(std::string_view names, unsigned bytes) {
    while (!names.empty()) {
      const size_t comma = std::min(names.find(','), names.size());
      std::string_view name = names.substr(0, comma);
      names.remove_prefix(std::min(comma + 1, names.size()));
      name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
      const size_t angle = name.find('<');
      std::string base(name.substr(0, std::min(angle, name.find_last_not_of(" \t") + 1)));
      if (angle == std::string_view::npos) {
        scopes_.back()[base] = Take(bytes);
        continue;
      }
      const int count = std::atoi(std::string(name.substr(angle + 1)).c_str());
      for (int i = 0; i < count; ++i) scopes_.back()[base + std::to_string(i)] = Take(bytes);
    }
  }

  void AddInstruction(const Statement& statement) {
    std::vector<unsigned> widths;
    for (std::string_view operand : statement.operands) {
      const Register* found = Find(operand);
      widths.push_back(found == nullptr ? 0 : found->bytes);
    }
    const std::optional<Form> form = FormOf(statement.name, widths);
    if (!form.has_value() || form->operands.size() != statement.operands.size()) return Refuse(statement, "an instruction that is not known");
    Instruction instruction{.step = form->step, .flow = form->flow, .space = form->space, .line = statement.line};
    if (!statement.guard.empty()) {
      instruction.guarded = true;
      instruction.guard_negated = statement.guard.starts_with('!');
      instruction.guard = Need(statement, statement.guard.substr(instruction.guard_negated)).slot;
    }
    for (size_t i = 0; i < statement.operands.size(); ++i) SetOperand(statement, form->operands[i], i, instruction);
    if (form->members >= 0) {
      instruction.has_members = true;
      instruction.members = instruction.operands[static_cast<size_t>(form->members)];
    }
    program_.code.push_back(instruction);
  }

  void SetOperand(const Statement& statement, char letter, size_t i, Instruction& instruction) {
    const std::string_view text = statement.operands[i];
    if (letter == 'l') return void(targets_[program_.code.size()] = text);
    if (letter == 'a') return SetAddress(statement, text, instruction.operands[i], instruction);
    if (letter == 's' || letter == 'd') {
      if (text.size() < 2) return Refuse(statement, "an operand that is no address");
      instruction.operands[i] = ValueSlot(statement, text.substr(1, text.size() - 2), letter == 's' ? 4 : 8);
      return;
    }
    instruction.operands[i] = ValueSlot(statement, text, letter == 'p' ? 0 : static_cast<unsigned>(letter - '0'));
  }

  // [%rd1+8], [%r1], [name], [name+8], [%rd1+-8]
  void SetAddress(const Statement& statement, std::string_view text, Slot& slot, Instruction& instruction) {
    if (!text.starts_with('[') || !text.ends_with(']')) return Refuse(statement, "an operand that is no address");
    text = text.substr(1, text.size() - 2);
    const size_t plus = text.find('+');
    if (plus != std::string_view::npos) instruction.offset = std::atoll(std::string(text.substr(plus + 1)).c_str());
    const std::string_view base = text.substr(0, plus);
    const Register* found = Find(base);
    instruction.wide_address = found == nullptr || found->bytes == 8;
    slot = found != nullptr ? found->slot : ValueSlot(statement, base, 8);
  }

  // A register, or a constant of so many bytes.
  Slot ValueSlot(const Statement& statement, std::string_view text, unsigned bytes) {
    if (text == "_") return sink_;
    if (const auto special = std::ranges::find(kSpecialNames, text); special != kSpecialNames.end())
      return SpecialSlot(static_cast<unsigned>(special - kSpecialNames.begin()));
    if (const Register* found = Find(text)) {
      if (found->bytes != bytes) Refuse(statement, "a register of another size than the instruction takes");
      return found->slot;
    }
    if (const auto parameter = parameters_.find(text); parameter != parameters_.end()) {
      const Slot slot = Take(8).slot;
      program_.parameter_addresses.push_back({slot, parameter->second});
      return slot;
    }
    if (const auto place = places_.find(text); place != places_.end()) return ConstantSlot(place->second, bytes);
    if (const std::optional<uint64_t> bits = BitsOf(text, bytes)) return ConstantSlot(*bits, bytes);
    if (const uint64_t address = global_(text); address != 0) return ConstantSlot(address, bytes);
    Refuse(statement, "an operand that is not known");
    return 0;
  }
  Slot ConstantSlot(uint64_t bits, unsigned bytes) {
    if (bytes == 0) bits = bits != 0 ? kAllLanes : 0;
    const auto [at, added] = constants_.try_emplace({bits, bytes}, 0);
    if (added) {
      at->second = Take(bytes).slot;
      program_.constants.push_back({at->second, bytes, bits});
    }
    return at->second;
  }

  void PlaceParameters() {
    size_t offset = 0;
    for (const Variable& parameter : kernel_.parameters) {
      offset = RoundUp(offset, std::max<size_t>(16, parameter.alignment));
      parameters_[parameter.name] = offset;
      program_.parameter_offsets.push_back(offset);
      program_.parameter_bytes.push_back(parameter.bytes);
      offset += parameter.bytes;
    }
  }
  // Of the shared variables those that the body names; what a launch adds comes after them.
  void PlaceShared(const std::vector<Statement>& statements) {
    std::map<std::string, Variable, std::less<>> named;
    for (const Variable& variable : module_shared_) named[variable.name] = variable;
    for (const Statement& statement : statements) {
      if (!statement.name.starts_with(".shared")) continue;
      Variable variable = ReadVariable(statement.name.substr(7));
      named[variable.name] = std::move(variable);
    }
    size_t bytes = 0;
    std::vector<std::string> open;
    for (const Statement& statement : statements)
      for (std::string_view operand : statement.operands) {
        if (operand.starts_with('[')) operand = operand.substr(1, operand.find_first_of("+]") - 1);
        const auto at = named.find(operand);
        if (at == named.end()) continue;
        const Variable variable = named.extract(at).mapped();
        if (variable.bytes == 0) {
          open.push_back(variable.name);
          continue;
        }
        bytes = RoundUp(bytes, variable.alignment);
        places_[variable.name] = bytes;
        bytes += variable.bytes;
      }
    program_.static_shared_bytes = open.empty() ? bytes : RoundUp(bytes, 16);
    for (const std::string& name : open) places_[name] = program_.static_shared_bytes;
  }

  Register Take(unsigned bytes) {
    const Register taken{static_cast<Slot>(file_bytes_), bytes};
    file_bytes_ += bytes == 0 ? 8 : bytes * kLanes;
    if (bytes != 0) file_bytes_ = RoundUp(file_bytes_, 64);
    return taken;
  }
  const Register* Find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto at = scope->find(name); at != scope->end()) return &at->second;
    return nullptr;
  }
  Register Need(const Statement& statement, std::string_view name) {
    const Register* found = Find(name);
    if (found == nullptr) Refuse(statement, "a register that is not declared");
    return *found;
  }
  void Refuse(const Statement& statement, std::string_view what) const {
    std::string text(statement.name);
    for (std::string_view operand : statement.operands) text.append(" ").append(operand);
    BadText(statement.line, kernel_.name + ": " + text, what);
  }

  const KernelText& kernel_;
  std::span<const Variable> module_shared_;
  const FindGlobal& global_;
  Program program_;
  size_t file_bytes_ = 0;
  Slot sink_ = 0;
  std::vector<std::map<std::string, Register, std::less<>>> scopes_{1};
  std::map<std::string, size_t, std::less<>> parameters_, places_;  // offsets of parameters; of shared and local variables
  std::map<std::string, uint32_t, std::less<>> labels_;
  std::map<size_t, std::string, std::less<>> targets_;  // of branches, by instruction
  std::map<std::pair<uint64_t, unsigned>, Slot> constants_;
};

}  // namespace

std::shared_ptr<const Program> Assemble(const KernelText& kernel, std::span<const Variable> shared, const FindGlobal& global) {
  return Assembler(kernel, shared, global).Make();
}

}  // namespace ptx
