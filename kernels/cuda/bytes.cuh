// Bytes of a word by the signs of codes.
#pragma once

namespace drover::cuda {

// Byte i is 0xff if bit 4·i + 3 of `codes` is set, else 0x80. (prmt repeats a byte's upper bit where its choice has the fourth bit set,
// which __byte_perm does not let through.)
__device__ inline unsigned SignBytes(unsigned codes) {
  unsigned bytes;
  asm("prmt.b32 %0, %1, %1, %2;" : "=r"(bytes) : "r"(0x80808080u), "r"(codes));
  return bytes;
}

}  // namespace drover::cuda
