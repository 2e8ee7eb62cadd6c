// Which instructions there are: what each does, and what its operands are.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tests/kernels/ptx/program.h"

namespace ptx {

// An instruction's words, such as ld.global.v4.f32: {"ld", "global", "v4", "f32"}.
using Words = std::span<const std::string_view>;

struct Form {
  Step step = nullptr;
  // A letter an operand, in PTX's order: 2, 4, 8 a value of so many bytes; p a predicate; a an address with an offset; s, d an address
  // without one, in a register of 4 or 8 bytes; l a label.
  std::string operands;
  Flow flow = Flow::kOn;
  Space space = Space::kGeneric;
  int members = -1;  // which operand says what lanes meet; -1: all of the warp
};

// widths[i]: bytes of the register that is operand i; 0: it is none. None: not known.
std::optional<Form> FormOf(std::string_view name, std::span<const unsigned> widths);

// Its parts.
std::optional<Form> IntegerForm(std::string_view name);
std::optional<Form> FloatForm(std::string_view name);
std::optional<Form> ConversionForm(std::string_view name, Words words, std::span<const unsigned> widths);
std::optional<Form> MemoryForm(std::string_view name, Words words, std::span<const unsigned> widths);
std::optional<Form> MeetingForm(std::string_view name, size_t operands);

}  // namespace ptx
