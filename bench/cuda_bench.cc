// cuda_bench: the speed of each kernel against what the device can do at best. Ends with 3 where there is no GPU.
#include <charconv>
#include <iostream>
#include <string_view>

#include "bench/cuda_runner.h"

namespace {

constexpr std::string_view kUsage =
    "usage: cuda_bench [--json] [--tiny] [--device N]\n"
    "  --json    prints one JSON instead of a table\n"
    "  --tiny    shapes that take no time, to see that it runs; their numbers say nothing\n";

struct Arguments {
  bool json = false, tiny = false, help = false;
  int device = 0;
};

// False: something that is not known.
bool Parse(int count, char** values, Arguments& arguments) {
  for (int i = 1; i < count; ++i) {
    const std::string_view value = values[i];
    if (value == "--json") {
      arguments.json = true;
    } else if (value == "--tiny") {
      arguments.tiny = true;
    } else if (value == "--help" || value == "-h") {
      arguments.help = true;
    } else if (value == "--device" && i + 1 < count) {
      const std::string_view number = values[++i];
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), arguments.device);
      if (error != std::errc() || end != number.data() + number.size()) return false;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace drover::bench;
  constexpr int kUsageError = 2, kNoDevice = 3;
  Arguments arguments;
  if (!Parse(argc, argv, arguments) || arguments.help) {
    (arguments.help ? std::cout : std::cerr) << kUsage;
    return arguments.help ? 0 : kUsageError;
  }
  const auto found = RunOnCuda(arguments.tiny ? TinyCases() : FullCases(), arguments.device);
  if (!found.ok()) {
    std::cerr << "cuda_bench: " << found.status().message() << "\n";
    return absl::IsUnavailable(found.status()) ? kNoDevice : 1;
  }
  if (arguments.json)
    std::cout << ToJson(found->entries, found->limits).dump(1) << "\n";
  else
    std::cout << Table(found->entries, found->limits);
}
