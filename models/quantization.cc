// See quantization.h. One function a method; every key is read or stands on the method's list of keys without effect on weights.
#include "models/quantization.h"

#include <array>

#include "models/config_reader.h"
#include "models/pattern.h"

namespace drover {
namespace {

constexpr IntRange kSizes{1, 1 << 20};

void Ignore(ConfigReader& config, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) config.Ignore(key);
}

// `key` with one of the words given; a legal one when absent.
std::string Word(ConfigReader& config, std::string_view key, std::string_view fallback, std::initializer_list<std::string_view> legal) {
  const std::string found = config.StringOr(key, fallback);
  std::string list;
  for (const std::string_view word : legal) {
    if (found == word) return found;
    list += Cat(list.empty() ? "" : ", ", word);
  }
  config.Fail(key, Cat("\"", found, "\""), list);
  return std::string(*legal.begin());
}

int64_t Bits(ConfigReader& config, std::string_view key, std::initializer_list<int64_t> legal) {
  const int64_t bits = config.Int(key, {1, 64});
  std::string list;
  for (const int64_t value : legal) {
    if (bits == value) return bits;
    list += Cat(list.empty() ? "" : " or ", value);
  }
  config.Fail(key, Cat(bits), list);
  return *legal.begin();
}

// Groups of inputs; -1 means a whole row.
void ReadGroup(ConfigReader& config, int64_t fallback, WeightScheme& scheme) {
  const int64_t size = config.IntOr("group_size", fallback, {-1, 1 << 20});
  if (size == 0) config.Fail("group_size", "0", "-1 or a number of inputs");
  scheme.shape = size < 0 ? ScaleShape::kRow : ScaleShape::kGroup;
  scheme.group_cols = size < 0 ? 0 : size;
}

void ReadBlock(ConfigReader& config, std::string_view key, WeightScheme& scheme) {
  const std::vector<int64_t> block = config.IntList(key, kSizes);
  if (block.size() != 2) return config.Fail(key, Cat(block.size(), " sizes"), "a list of two");
  scheme.shape = ScaleShape::kBlock;
  scheme.group_rows = block[0];
  scheme.group_cols = block[1];
}

void ReadFp8(ConfigReader& config, Quantization& out) {
  WeightScheme scheme{.packing = Packing::kFloat8};
  Word(config, "fmt", "e4m3", {"e4m3", "float8_e4m3fn"});
  Word(config, "activation_scheme", "dynamic", {"dynamic", "static"});
  Word(config, "scale_fmt", "float", {"float", "ue8m0"});  // how activations are scaled, or the dtype of the scales: seen from them
  Word(config, "expert_dtype", "fp8", {"fp8"});
  Ignore(config, {"dequantize", "modules_to_convert"});
  out.schemes = {scheme};
  if (config.Has("weight_block_size")) return ReadBlock(config, "weight_block_size", out.schemes[0]);
  out.schemes.push_back({.packing = Packing::kFloat8, .shape = ScaleShape::kRow});  // the scales' shapes say which
  out.schemes.push_back({.packing = Packing::kFloat8, .shape = ScaleShape::kBlock, .group_rows = 128, .group_cols = 128});
}

// The vendors' own form of the same: a scale a row.
void ReadFbgemm(ConfigReader& config, Quantization& out) {
  Ignore(config, {"activation_scale_ub"});
  out.schemes = {{.packing = Packing::kFloat8, .shape = ScaleShape::kRow}};
}

// What the tools of GPTQ and AWQ note about how they worked.
void IgnoreNotes(ConfigReader& config) {
  Ignore(config, {"sym", "damp_percent", "damp_auto_increment", "static_groups", "true_sequential", "model_name_or_path",
                  "model_file_base_name", "meta", "lm_head", "act_group_aware", "mse", "mock_quantization",
                  "hessian", "hyb_act", "tokenizer", "dataset", "backend", "model_seqlen", "block_name_to_quantize",
                  "module_name_preceding_first_block", "batch_size", "pad_token_id", "max_input_length", "cache_block_outputs",
                  "modules_in_block_to_quantize", "use_cuda_fp16", "use_exllama", "disable_exllama", "exllama_config"});
}

void RequireEmpty(ConfigReader& config, std::string_view key) {
  ConfigReader* object = config.Object(key);
  if (object != nullptr && !object->Keys().empty()) config.Fail(key, "an object with entries", "an empty one (others are not served)");
}

void ReadGptq(ConfigReader& config, Quantization& out) {
  WeightScheme scheme{.packing = Packing::kGptq, .zeros = true};
  scheme.bits = Bits(config, "bits", {4, 8, 2});
  ReadGroup(config, 128, scheme);
  scheme.ordered = config.BoolOr("desc_act", false);
  const std::string format = Word(config, "format", "gptq", {"gptq", "gptq_v2"});
  scheme.zero_plus = Word(config, "checkpoint_format", format, {"gptq", "gptq_v2"}) == "gptq_v2" ? 0 : 1;
  Word(config, "pack_dtype", "int32", {"int32"});
  config.RequireFalse("is_marlin_format");
  RequireEmpty(config, "dynamic");  // other settings for some modules
  Ignore(config, {"version"});
  IgnoreNotes(config);
  out.schemes = {scheme};
}

void ReadAwq(ConfigReader& config, Quantization& out) {
  WeightScheme scheme{.packing = Packing::kAwq, .zeros = true};
  scheme.bits = Bits(config, "bits", {4});
  ReadGroup(config, 128, scheme);
  if (!config.BoolOr("zero_point", true)) config.Fail("zero_point", "false", "true (without zero points is not served)");
  Word(config, config.Has("version") ? "version" : "format", "gemm", {"gemm", "GEMM"});
  Ignore(config, {"format", "checkpoint_format", "do_fuse", "modules_to_fuse", "fuse_max_seq_len", "desc_act"});
  IgnoreNotes(config);
  out.schemes = {scheme};
}

void ReadMxfp4(ConfigReader& config, Quantization& out) {
  Ignore(config, {"dequantize"});
  out.schemes = {{.packing = Packing::kMxfp4, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 32}};
}

void ReadBitsAndBytes(ConfigReader& config, Quantization& out) {
  const bool four = config.BoolOr("load_in_4bit", config.BoolOr("_load_in_4bit", false));
  if (!four) config.Fail("load_in_4bit", "false", "true (8-bit forms of bitsandbytes are not served)");
  Word(config, "bnb_4bit_quant_type", "fp4", {"nf4"});
  Word(config, "bnb_4bit_quant_storage", "uint8", {"uint8"});
  Ignore(config, {"_load_in_4bit", "_load_in_8bit", "load_in_8bit", "bnb_4bit_compute_dtype", "bnb_4bit_use_double_quant",
                  "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight", "llm_int8_threshold"});
  out.schemes = {{.packing = Packing::kNf4, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 64}};
}

// The `weights` of one group of compressed-tensors.
void ReadArguments(ConfigReader& weights, std::string_view format, WeightScheme& scheme) {
  const bool real = Word(weights, "type", "int", {"int", "float"}) == "float";
  const bool packed = format == "pack-quantized";
  if (real && packed) weights.Fail("type", "float", "int in a pack-quantized group");
  scheme.bits = real || !packed ? Bits(weights, "num_bits", {8}) : Bits(weights, "num_bits", {4, 8, 2});
  scheme.packing = real ? Packing::kFloat8 : packed ? Packing::kWords : Packing::kInt8;
  const std::string fallback = weights.Has("group_size") ? "group" : "tensor";
  const std::string strategy = Word(weights, "strategy", fallback, {"tensor", "channel", "group", "block"});
  if (strategy == "channel") scheme.shape = ScaleShape::kRow;
  if (strategy == "group") ReadGroup(weights, 0, scheme);
  if (strategy == "block") ReadBlock(weights, "block_structure", scheme);
  scheme.zeros = !weights.BoolOr("symmetric", true);
  if (real && scheme.zeros) weights.Fail("symmetric", "false", "true for floats");
  const std::string order = Word(weights, "actorder", "weight", {"weight", "static", "group", "dynamic"});
  scheme.ordered = order == "group" || order == "dynamic";
  if (weights.BoolOr("dynamic", false)) weights.Fail("dynamic", "true", "false for weights");
  Ignore(weights, {"group_size", "block_structure", "observer", "observer_kwargs", "scale_dtype", "zp_dtype"});
}

void ReadCompressed(ConfigReader& config, Quantization& out) {
  constexpr std::string_view kFormats = "float-quantized, naive-quantized, int-quantized, pack-quantized or mixed-precision";
  const std::string format = config.StringOr("format", "dense");
  ConfigReader* groups = config.Object("config_groups");
  if (groups == nullptr) return config.Fail("config_groups", "nothing", "an object");
  for (const std::string& name : groups->Keys()) {
    ConfigReader* group = groups->Object(name);
    ConfigReader* weights = group == nullptr ? nullptr : group->Object("weights");
    if (weights == nullptr) return groups->Fail(name, "no weights", "an object with weights");
    const std::string own = group->StringOr("format", format);
    if (own != "float-quantized" && own != "naive-quantized" && own != "int-quantized" && own != "pack-quantized")
      return config.Fail("format", Cat("\"", own, "\""), kFormats);
    WeightScheme scheme;
    ReadArguments(*weights, own, scheme);
    out.schemes.push_back(scheme);
    Ignore(*group, {"targets", "input_activations", "output_activations"});  // activations are not quantised here
  }
  if (out.schemes.empty()) config.Fail("config_groups", "no group", "at least one");
  for (std::string& module : config.StringList("ignore")) out.kept.push_back(std::move(module));
  Word(config, "quantization_status", "compressed", {"compressed", "frozen"});
  Ignore(config, {"kv_cache_scheme", "global_compression_ratio", "version", "run_compressed", "dequantize", "use_optimized_inference"});
  if (ConfigReader* sparse = config.Object("sparsity_config")) {
    Word(*sparse, "format", "dense", {"dense"});
    Ignore(*sparse, {"global_sparsity", "ignore", "registry_requires_subclass", "sparsity_structure", "targets"});
  }
  RequireEmpty(config, "transform_config");
}

struct Method {
  std::string_view name;
  void (*read)(ConfigReader& config, Quantization& out);
};
constexpr std::array<Method, 7> kMethods = {{{"fp8", ReadFp8},
                                             {"fbgemm_fp8", ReadFbgemm},
                                             {"gptq", ReadGptq},
                                             {"awq", ReadAwq},
                                             {"mxfp4", ReadMxfp4},
                                             {"bitsandbytes", ReadBitsAndBytes},
                                             {"compressed-tensors", ReadCompressed}}};

const Json* FindObject(const Json& config) {
  if (!config.is_object()) return nullptr;
  const auto found = config.find("quantization_config");
  if (found != config.end() && !found->is_null()) return &*found;
  const auto text = config.find("text_config");
  return text == config.end() ? nullptr : FindObject(*text);
}

}  // namespace

absl::StatusOr<std::optional<Quantization>> ReadQuantization(const Json& json) {
  const Json* object = FindObject(json);
  if (object == nullptr) return std::nullopt;
  ConfigReader config(*object, "quantization_config.");
  Quantization out;
  out.method = config.StringOr("quant_method", "unnamed");
  std::string served;
  for (const Method& method : kMethods) {
    served += Cat(served.empty() ? "" : ", ", method.name);
    if (method.name != out.method) continue;
    for (const std::string_view key : {"modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules"})
      for (std::string& module : config.StringList(key)) out.kept.push_back(std::move(module));
    method.read(config, out);
    DROVER_RETURN_IF_ERROR(config.Finish());
    return out;
  }
  DROVER_RETURN_IF_ERROR(config.FirstError());
  return InvalidArgument("quantization_config.quant_method: found \"", out.method.substr(0, 80), "\", expected one of ", served);
}

bool KeepsModule(const Quantization& quantization, std::string_view module) {
  for (const std::string& pattern : quantization.kept)
    if (MatchesModule(pattern, module)) return true;
  return false;
}

}  // namespace drover
