// drover inspect: what a model is, how it is stored, what its licence asks and what Drover would not do with it; from headers alone.
#pragma once

#include <iosfwd>
#include <string>

namespace drover {

struct InspectArguments {
  std::string model;  // directory, config.json or .gguf file
  bool json = false;  // --json
};

// 0: described, whether it is served or not. 1 with one line on `err` when there is nothing to describe.
int RunInspect(const InspectArguments& arguments, std::ostream& out, std::ostream& err);

}  // namespace drover
