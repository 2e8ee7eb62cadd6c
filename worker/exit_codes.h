// How a worker process ends when it does not end in order.
#pragma once

namespace drover {

// A rank leaves its epoch in trouble: mpirun then ends the group (EX_TEMPFAIL: starting again may help).
inline constexpr int kExitLeftEpoch = 75;

}  // namespace drover
