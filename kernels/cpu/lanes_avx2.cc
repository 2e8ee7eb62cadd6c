// AVX2 with FMA and F16C: 8 lanes.
#include <immintrin.h>

#include "kernels/cpu/row_kernel.h"

namespace drover {
namespace {

alignas(32) constexpr int32_t kMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct Lanes {
  using V = __m256;
  static constexpr int kWidth = 8, kParts = 4, kTileTokens = 2;

  static V Zero() { return _mm256_setzero_ps(); }
  static V Set(float x) { return _mm256_set1_ps(x); }
  static V Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static __m256i First(int64_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks + 8 - n)); }
  static V LoadPart(const float* p, int64_t n) { return _mm256_maskload_ps(p, First(n)); }
  static void StorePart(float* p, V v, int64_t n) { _mm256_maskstore_ps(p, First(n), v); }
  static V Add(V a, V b) { return _mm256_add_ps(a, b); }
  static V Sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V Mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V Div(V a, V b) { return _mm256_div_ps(a, b); }
  static V Max(V a, V b) { return _mm256_max_ps(a, b); }
  static V Min(V a, V b) { return _mm256_min_ps(a, b); }
  static V Fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V Round(V x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V TimesPowerOfTwo(V x, V n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(exponent));
  }
  static V ZeroBelow(V value, V x, float limit) { return _mm256_and_ps(_mm256_cmp_ps(x, Set(limit), _CMP_NLT_UQ), value); }
  static float MaxAcross(V v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }

  // Lanes 8 → 4, then neighbours; the same tree for each of the four.
  static __m128 Fold(V v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
  static void Sum4(V a, V b, V c, V d, float* sums) {
    _mm_storeu_ps(sums, _mm_hadd_ps(_mm_hadd_ps(Fold(a), Fold(b)), _mm_hadd_ps(Fold(c), Fold(d))));
  }

  static V LoadF16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static V LoadBF16(const uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static V LoadI8(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static V SetF16(const std::byte* p) {
    int16_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm256_cvtph_ps(_mm_set1_epi16(bits));
  }
  // Two neighbouring halves at once: a 4-byte broadcast costs no arithmetic port.
  static void SetF16Pair(const std::byte* p, V* first, V* second) {
    int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const V both = _mm256_cvtph_ps(_mm_set1_epi32(bits));
    *first = _mm256_moveldup_ps(both);
    *second = _mm256_movehdup_ps(both);
  }
  // w = d·q + m.
  static void OpenNibbles(const std::byte* quants, V d, V m, V* w) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(quants));
    for (int half = 0; half < 2; ++half) {
      const __m256i wide = _mm256_cvtepu8_epi32(half == 0 ? bytes : _mm_srli_si128(bytes, 8));
      w[half] = Fma(d, _mm256_cvtepi32_ps(_mm256_and_si256(wide, _mm256_set1_epi32(15))), m);
      w[2 + half] = Fma(d, _mm256_cvtepi32_ps(_mm256_srli_epi32(wide, 4)), m);
    }
  }
  // w = values[q]: both halves of the table are permuted, bit 3 of q (moved to the sign) chooses.
  static V LookUp(__m256i index, const float* values) {
    const V low = _mm256_permutevar8x32_ps(Load(values), index), high = _mm256_permutevar8x32_ps(Load(values + 8), index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
  static void LookUpNibbles(const std::byte* quants, const float* values, V* w) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(quants));
    for (int half = 0; half < 2; ++half) {
      const __m256i wide = _mm256_cvtepu8_epi32(half == 0 ? bytes : _mm_srli_si128(bytes, 8));
      w[half] = LookUp(wide, values);
      w[2 + half] = LookUp(_mm256_srli_epi32(wide, 4), values);
    }
  }
  // (byte >> shift) & mask of kWidth bytes.
  static V LoadBits(const std::byte* p, int shift, int mask) {
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(mask)));
  }
  // Sign, exponent and mantissa in their places of a half: 2^-8 of the value, all ones made a NaN.
  static V LoadE4M3(const std::byte* p) {
    const __m128i wide = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m128i sign = _mm_slli_epi16(_mm_and_si128(wide, _mm_set1_epi16(0x80)), 8);
    const __m128i rest = _mm_slli_epi16(_mm_and_si128(wide, _mm_set1_epi16(0x7f)), 7);
    const __m128i nan = _mm_and_si128(_mm_cmpeq_epi16(rest, _mm_set1_epi16(0x3f80)), _mm_set1_epi16(0x7e00));
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(_mm_or_si128(sign, rest), nan)), Set(256.0f));
  }
  // 1 in the lanes whose bit is set.
  static V FromMask(uint32_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
    return _mm256_and_ps(_mm256_castsi256_ps(set), Set(1.0f));
  }
};

constexpr KernelTable kTable = cpu::TableOf<Lanes>("avx2");

}  // namespace

const KernelTable& Avx2Kernels() { return kTable; }

}  // namespace drover
