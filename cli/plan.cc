// See plan.h.
#include "cli/plan.h"

#include <array>
#include <charconv>
#include <cmath>
#include <ostream>

#include "coordinator/planner.h"
#include "coordinator/planner_report.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/unconfirmed.h"

namespace drover {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array<Unit, 16> kUnits = {{
    {"", 1}, {"B", 1}, {"K", 0x1p10}, {"KiB", 0x1p10}, {"KB", 1e3}, {"M", 0x1p20}, {"MiB", 0x1p20}, {"MB", 1e6},
    {"G", 0x1p30}, {"GiB", 0x1p30}, {"GB", 1e9}, {"T", 0x1p40}, {"TiB", 0x1p40}, {"TB", 1e12}, {"Gi", 0x1p30}, {"Mi", 0x1p20},
}};

int Fail(std::ostream& err, const absl::Status& status, int code) {
  err << "drover: error: " << Message(status) << "\n";
  return code;
}

PlanOptions Options(const PlanArguments& arguments) {
  PlanOptions options;
  options.ranks = arguments.ranks;
  options.stages = arguments.pipeline;
  options.expert_parts = arguments.expert_parts;
  options.attention_parts = arguments.attention_parts;
  options.max_model_len = arguments.max_model_len;
  options.kv_tokens = arguments.kv_tokens;
  options.kv = arguments.kv;
  options.compute = arguments.compute;
  options.max_step_tokens = arguments.max_step_tokens;
  options.max_sequences = arguments.max_sequences;
  options.threads = arguments.threads;
  return options;
}

// One line about fields of the config that nobody has checked; empty when there are none.
std::string UnconfirmedLine(const absl::StatusOr<std::vector<Unconfirmed>>& unconfirmed) {
  if (!unconfirmed.ok()) return Cat("unconfirmed: ", Message(unconfirmed.status()), "\n");
  if (unconfirmed->empty()) return "";
  size_t fields = 0;
  for (const Unconfirmed& entry : *unconfirmed) fields += entry.fields.size();
  const std::string what = fields == 0 ? "see its remarks with" : Cat(fields, fields == 1 ? " field" : " fields", " of the config: see");
  return Cat("unconfirmed: ", what, " drover inspect\n");
}

void Print(const Checkpoint& checkpoint, const GroupPlan& plan, const absl::Status& fit, bool json, std::ostream& out) {
  const absl::StatusOr<std::vector<Unconfirmed>> unconfirmed = ReadUnconfirmed(checkpoint.path);
  if (!json) {
    out << PlanTable(checkpoint, plan) << UnconfirmedLine(unconfirmed);
    return;
  }
  Json value = PlanJson(checkpoint, plan);
  value["unconfirmed"] = Json::array();
  if (unconfirmed.ok())
    for (const Unconfirmed& entry : *unconfirmed)
      for (const std::string& field : entry.fields) value["unconfirmed"].push_back(field);
  value["fits"] = fit.ok();
  if (!fit.ok()) value["reason"] = Message(fit);
  out << value.dump(2) << "\n";
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && std::isfinite(value) && value > 0)
    for (const Unit& unit : kUnits)
      if (std::string_view(end, static_cast<size_t>(text.data() + text.size() - end)) == unit.name && value * unit.bytes < 0x1p50)
        return static_cast<int64_t>(value * unit.bytes);
  return InvalidArgument("size: found \"", text.substr(0, 40), "\", expected a number with a unit such as 80GiB");
}

int RunPlan(const PlanArguments& arguments, std::ostream& out, std::ostream& err) {
  PlanOptions options = Options(arguments);
  if (!arguments.memory.empty()) {
    const absl::StatusOr<int64_t> memory = ParseBytes(arguments.memory);
    if (!memory.ok()) return Fail(err, Annotate(memory.status(), "--memory"), 2);
    options.memory_limit = *memory;
  }
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(arguments.model);
  if (!checkpoint.ok()) return Fail(err, checkpoint.status(), 1);
  absl::StatusOr<GroupPlan> plan = MakePlan(*checkpoint, options, {});
  const absl::Status fit = plan.status();
  if (fit.code() == absl::StatusCode::kInvalidArgument) return Fail(err, fit, 2);
  if (!fit.ok()) {  // what it would need, were there memory without end
    options.memory_limit = 0;
    plan = MakePlan(*checkpoint, options, {});
  }
  if (plan.ok()) Print(*checkpoint, *plan, fit, arguments.json, out);
  return fit.ok() ? 0 : Fail(err, Annotate(fit, "does not fit"), 1);
}

}  // namespace drover
