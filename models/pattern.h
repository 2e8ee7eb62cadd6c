// Which modules a quantisation config means: names, endings of names, and regular expressions.
#pragma once

#include <string_view>

namespace drover {

// "re:X": X matches from the module's first character on. Otherwise the pattern (with '.' and '*' as in an expression) matches
// from the first character to a '.' or the end, or the module ends with it. Expressions know literals, . [] () | * + ? ^ $ and
// escapes, and take time proportional to their length and the module's; one with anything else matches nothing.
bool MatchesModule(std::string_view pattern, std::string_view module);

}  // namespace drover
