// See fat_binary.h.
#include "tests/kernels/cuda_on_ptx/fat_binary.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/check.h"

namespace cuda_on_ptx {
namespace {

struct Wrapper {  // of fatbinary_section.h
  static constexpr uint32_t kMagic = 0x466243b1;
  uint32_t magic, version;
  const std::byte* binary;
  const void* others;
};

struct Header {
  static constexpr uint32_t kMagic = 0xba55ed50;
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of all entries
};

struct Entry {
  static constexpr uint16_t kPtx = 1;
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t bytes;  // behind the entry's header; PTX ends with zeros
  uint32_t compressed_bytes;
};

template <class T>
T Read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

std::string_view PtxOf(const void* registered) {
  const auto wrapper = Read<Wrapper>(static_cast<const std::byte*>(registered));
  DROVER_CHECK_EQ(wrapper.magic, Wrapper::kMagic);
  DROVER_CHECK_EQ(wrapper.version, 1u);
  const auto header = Read<Header>(wrapper.binary);
  DROVER_CHECK_EQ(header.magic, Header::kMagic);
  DROVER_CHECK_EQ(header.header_bytes, sizeof(Header));
  DROVER_CHECK_LE(sizeof(Entry), header.bytes);
  const std::byte* at = wrapper.binary + header.header_bytes;
  const auto entry = Read<Entry>(at);
  DROVER_CHECK_EQ(entry.kind, Entry::kPtx);
  DROVER_CHECK_EQ(entry.header_bytes + entry.bytes, header.bytes);  // there is one entry
  DROVER_CHECK_EQ(entry.compressed_bytes, 0u);                      // see --compress-mode
  const std::string_view padded(reinterpret_cast<const char*>(at + entry.header_bytes), entry.bytes);
  const std::string_view text = padded.substr(0, padded.find('\0'));
  DROVER_CHECK(text.find(".version") != std::string_view::npos);
  return text;
}

}  // namespace cuda_on_ptx
