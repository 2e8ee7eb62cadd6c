// A stand-in for the header of this name.
#pragma once

namespace drover::cuda {

inline unsigned SignBytes(unsigned codes) {
  unsigned bytes = 0;
  for (int i = 0; i < 4; ++i) bytes |= ((codes >> (4 * i + 3) & 1) != 0 ? 0xffu : 0x80u) << 8 * i;
  return bytes;
}

}  // namespace drover::cuda
