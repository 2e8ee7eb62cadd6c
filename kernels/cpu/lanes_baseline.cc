// Any machine: 8 lanes in the compiler's own vector type.
#include <cmath>

#include "kernels/cpu/row_kernel.h"

namespace drover {
namespace {

typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8 __attribute__((vector_size(32)));

struct Lanes {
  using V = Float8;
  static constexpr int kWidth = 8, kParts = 4, kTileTokens = 2;

  static V Zero() { return V{}; }
  static V Set(float x) { return V{} + x; }
  static V Load(const float* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void Store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
  static V LoadPart(const float* p, int64_t n) {
    V v{};
    __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
    return v;
  }
  static void StorePart(float* p, V v, int64_t n) { __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(float)); }
  static V Add(V a, V b) { return a + b; }
  static V Sub(V a, V b) { return a - b; }
  static V Mul(V a, V b) { return a * b; }
  static V Div(V a, V b) { return a / b; }
  static V Max(V a, V b) { return a > b ? a : b; }
  static V Min(V a, V b) { return a < b ? a : b; }
  static V Fma(V a, V b, V c) { return a * b + c; }
  static V Round(V x) {
    const V magic = Set(12582912.0f);  // 1.5·2^23: adding it leaves whole numbers only
    return (x + magic) - magic;
  }
  static V TimesPowerOfTwo(V x, V n) {
    const Int8 exponent = (__builtin_convertvector(n, Int8) + 127) << 23;
    return x * reinterpret_cast<V>(exponent);
  }
  static V ZeroBelow(V value, V x, float limit) { return x < Set(limit) ? V{} : value; }
  static float MaxAcross(V v) {
    float max = v[0];
    for (int i = 1; i < kWidth; ++i) max = v[i] > max ? v[i] : max;
    return max;
  }
  static float Sum(V v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }
  static void Sum4(V a, V b, V c, V d, float* sums) {
    sums[0] = Sum(a);
    sums[1] = Sum(b);
    sums[2] = Sum(c);
    sums[3] = Sum(d);
  }

  static V LoadF16(const uint16_t* p) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = HalfToFloat(p[i]);
    return v;
  }
  static V LoadBF16(const uint16_t* p) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = BFloat16ToFloat(p[i]);
    return v;
  }
  static V LoadI8(const int8_t* p) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = p[i];
    return v;
  }
  static V SetF16(const std::byte* p) {
    uint16_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return Set(HalfToFloat(bits));
  }
  static void SetF16Pair(const std::byte* p, V* first, V* second) {
    *first = SetF16(p);
    *second = SetF16(p + 2);
  }
  // w = d·q + m.
  static void OpenNibbles(const std::byte* quants, V d, V m, V* w) {
    for (int i = 0; i < 16; ++i) {
      const int byte = static_cast<int>(quants[i]);
      w[i / kWidth][i % kWidth] = static_cast<float>(byte & 15);
      w[2 + i / kWidth][i % kWidth] = static_cast<float>(byte >> 4);
    }
    for (int p = 0; p < kParts; ++p) w[p] = d * w[p] + m;
  }
  // w = values[q].
  static void LookUpNibbles(const std::byte* quants, const float* values, V* w) {
    for (int i = 0; i < 16; ++i) {
      const int byte = static_cast<int>(quants[i]);
      w[i / kWidth][i % kWidth] = values[byte & 15];
      w[2 + i / kWidth][i % kWidth] = values[byte >> 4];
    }
  }
  // (byte >> shift) & mask of kWidth bytes.
  static V LoadBits(const std::byte* p, int shift, int mask) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = static_cast<float>(static_cast<int>(p[i]) >> shift & mask);
    return v;
  }
  static V LoadE4M3(const std::byte* p) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = E4M3ToFloat(static_cast<uint8_t>(p[i]));
    return v;
  }
  // 1 in the lanes whose bit is set.
  static V FromMask(uint32_t bits) {
    V v;
    for (int i = 0; i < kWidth; ++i) v[i] = static_cast<float>(bits >> i & 1u);
    return v;
  }
};

constexpr KernelTable kTable = cpu::TableOf<Lanes>("baseline");

}  // namespace

const KernelTable& BaselineKernels() { return kTable; }

}  // namespace drover
