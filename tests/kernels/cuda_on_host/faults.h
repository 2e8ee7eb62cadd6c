// What goes wrong with the stand-in, and when: so that errors of a GPU are met without one.
#pragma once

#include <chrono>

namespace cuda_on_host {

// From now on. A fault of a kernel and the loss of the device stay: every call answers with them from then on, as a real one's do.
struct Faults {
  long memory = -1;      // bytes that can be had; negative: as many as there are
  long bad_kernel = -1;  // launches until one reads where it may not; negative: none does
  long capture = 0;      // recordings that fail when they end
  long apart = -1;       // the device that reaches no other's memory
  long lost = -1;        // launches until the device does not answer; negative: it does
};
void SetFaults(const Faults& faults);

// The threads of later streams are late for each piece of work, by one to three times this. Below 0: such streams do at once what they
// are asked, and have a thread from their first wait on.
void MakeStreamsLate(std::chrono::microseconds late);

// Kernels, copies and fills so far: what a recorded step has a node for.
long WorkDone();

// Openings of other ranks' memory that were not closed.
long OpenMemory();

}  // namespace cuda_on_host
