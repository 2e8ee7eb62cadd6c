// drover inspect: what a model is and how it is stored, from headers alone.
#pragma once

#include <iosfwd>
#include <string>

namespace drover {

struct InspectArguments {
  std::string model;  // directory, config.json or .gguf file
  bool json = false;  // --json
};

// 0, or 1 with one line on `err` when the model cannot be read.
int RunInspect(const InspectArguments& arguments, std::ostream& out, std::ostream& err);

}  // namespace drover
