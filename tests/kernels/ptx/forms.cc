// Which part of the machine knows an instruction.
#include "tests/kernels/ptx/forms.h"

#include <vector>

namespace ptx {
namespace {

std::vector<std::string_view> Split(std::string_view name) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    words.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

std::optional<Form> FormOf(std::string_view name, std::span<const unsigned> widths) {
  if (name == "bra" || name == "bra.uni") return Form{nullptr, "l", Flow::kBranch};
  if (name == "ret" || name == "exit") return Form{nullptr, "", Flow::kReturn};
  const std::vector<std::string_view> words = Split(name);
  if (std::optional<Form> form = ConversionForm(name, words, widths)) return form;
  if (std::optional<Form> form = IntegerForm(name)) return form;
  if (std::optional<Form> form = FloatForm(name)) return form;
  if (std::optional<Form> form = MemoryForm(name, words, widths)) return form;
  return MeetingForm(name, widths.size());
}

}  // namespace ptx
