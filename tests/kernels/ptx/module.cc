// Modules: their variables have addresses, their kernels are assembled when they are first asked for.
#include "tests/kernels/ptx/module.h"

#include <map>
#include <mutex>

#include "tests/kernels/ptx/assemble.h"

namespace ptx {
namespace {

std::mutex variables_mutex;
std::map<uintptr_t, uintptr_t>& Variables() {  // begin -> end
  static auto* const variables = new std::map<uintptr_t, uintptr_t>;
  return *variables;
}

class LoadedModule : public Module {
 public:
  explicit LoadedModule(std::string_view text) : text_(text), declared_(ReadModule(text_)) {
    for (const Variable& variable : declared_.globals) Place(variable);
    for (const KernelText& kernel : declared_.kernels) kernels_[kernel.name].text = &kernel;
  }
  ~LoadedModule() override {
    const std::lock_guard lock(variables_mutex);
    for (const auto& [name, bytes] : globals_) Variables().erase(reinterpret_cast<uintptr_t>(bytes.get()));
  }

  const Kernel* Find(std::string_view name) const override {
    const auto at = kernels_.find(name);
    if (at == kernels_.end()) return nullptr;
    const std::lock_guard lock(mutex_);
    Entry& entry = at->second;
    if (entry.kernel == nullptr) entry.kernel = std::make_unique<Kernel>(Assembled(*entry.text));
    return entry.kernel.get();
  }

 private:
  struct Entry {
    const KernelText* text = nullptr;
    std::unique_ptr<Kernel> kernel;  // from its first use on
  };
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{256}); }
  };

  void Place(const Variable& variable) {
    const size_t bytes = std::max<size_t>(1, variable.bytes);
    auto* const at = static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{256}));
    std::fill_n(at, bytes, std::byte{});
    std::ranges::copy(variable.initial, at);
    globals_.emplace(variable.name, at);
    const std::lock_guard lock(variables_mutex);
    Variables()[reinterpret_cast<uintptr_t>(at)] = reinterpret_cast<uintptr_t>(at) + bytes;
  }
  Kernel Assembled(const KernelText& text) const {
    const auto address = [this](std::string_view name) {
      const auto at = globals_.find(name);
      return at == globals_.end() ? uint64_t{0} : reinterpret_cast<uint64_t>(at->second.get());
    };
    std::shared_ptr<const Program> program = Assemble(text, declared_.shared, address);
    return {text.name, program->parameter_bytes, program->static_shared_bytes, program->local_bytes, program->threads_max, program};
  }

  const std::string text_;
  const ModuleText declared_;
  std::map<std::string, std::unique_ptr<std::byte[], Free>, std::less<>> globals_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Entry, std::less<>> kernels_;
};

}  // namespace

Piece VariableAt(uintptr_t address) {
  const std::lock_guard lock(variables_mutex);
  const auto after = Variables().upper_bound(address);
  if (after == Variables().begin()) return {};
  const auto& [begin, end] = *std::prev(after);
  return address < end ? Piece{begin, end} : Piece{};
}

std::unique_ptr<Module> Module::Load(std::string_view text) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) BadText(0, "", "this host has no AVX2 and FMA, which the machine needs");
  return std::make_unique<LoadedModule>(text);
}

}  // namespace ptx
