// See inspect.h.
#include "cli/inspect.h"

#include <ostream>

#include "cli/inspect/inspection.h"
#include "cli/inspect/json_report.h"
#include "cli/inspect/text_report.h"

namespace drover {

int RunInspect(const InspectArguments& arguments, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<Inspection> inspection = InspectModel(arguments.model, BuiltInLicenseFacts());
  if (!inspection.ok()) {
    err << "drover: error: " << Message(inspection.status()) << "\n";
    return 1;
  }
  if (arguments.json)
    out << JsonReport(*inspection).dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  else
    out << TextReport(*inspection);
  return 0;
}

}  // namespace drover
