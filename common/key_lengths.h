// KeyLengths: for which lengths of a sequence its cached keys hold. Rotary frequencies that stretch with the sequence (dynamic NTK,
// longrope) change the keys of all its positions at once; everything must then be computed again.
#pragma once

#include <algorithm>
#include <cstdint>

namespace drover {

struct KeyLengths {
  int64_t limit = 0;     // up to here keys do not depend on the length; 0: they never do
  bool every = false;    // beyond it they change with every token; else once

  // Keys computed at two lengths are the same if these are.
  int64_t SetOf(int64_t length) const {
    if (limit == 0 || length <= limit) return 0;
    return every ? length : 1;
  }
  bool operator==(const KeyLengths&) const = default;
};

}  // namespace drover
