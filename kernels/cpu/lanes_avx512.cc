// AVX-512: 16 lanes.
#include <immintrin.h>

#include "kernels/cpu/row_kernel.h"

namespace drover {
namespace {

struct Lanes {
  using V = __m512;
  static constexpr int kWidth = 16, kParts = 2, kTileTokens = 6;

  static V Zero() { return _mm512_setzero_ps(); }
  static V Set(float x) { return _mm512_set1_ps(x); }
  static V Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static __mmask16 First(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  static V LoadPart(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(First(n), p); }
  static void StorePart(float* p, V v, int64_t n) { _mm512_mask_storeu_ps(p, First(n), v); }
  static V Add(V a, V b) { return _mm512_add_ps(a, b); }
  static V Sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V Mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V Div(V a, V b) { return _mm512_div_ps(a, b); }
  static V Max(V a, V b) { return _mm512_max_ps(a, b); }
  static V Min(V a, V b) { return _mm512_min_ps(a, b); }
  static V Fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V Round(V x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V TimesPowerOfTwo(V x, V n) { return _mm512_scalef_ps(x, n); }
  static V ZeroBelow(V value, V x, float limit) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, Set(limit), _CMP_NLT_UQ), value);
  }
  static float MaxAcross(V v) { return _mm512_reduce_max_ps(v); }

  // Lanes 16 → 4, then neighbours; the same tree for each of the four.
  static __m128 Fold(V v) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
  static void Sum4(V a, V b, V c, V d, float* sums) {
    _mm_storeu_ps(sums, _mm_hadd_ps(_mm_hadd_ps(Fold(a), Fold(b)), _mm_hadd_ps(Fold(c), Fold(d))));
  }

  static V LoadF16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static V LoadBF16(const uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static V LoadI8(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static V SetF16(const std::byte* p) {
    int16_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
  }
  // Two neighbouring halves at once: a 4-byte broadcast costs no arithmetic port.
  static void SetF16Pair(const std::byte* p, V* first, V* second) {
    int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const V both = _mm512_cvtph_ps(_mm256_set1_epi32(bits));
    *first = _mm512_moveldup_ps(both);
    *second = _mm512_movehdup_ps(both);
  }
  // w = d·q + m from a table of the 16 possible values; a permute looks at the low 4 bits of each index only.
  static void OpenNibbles(const std::byte* quants, V d, V m, V* w) {
    const V values = Fma(d, _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), m);
    const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(quants)));
    w[0] = _mm512_permutexvar_ps(index, values);
    w[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), values);
  }
  // w = values[q].
  static void LookUpNibbles(const std::byte* quants, const float* values, V* w) {
    const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(quants)));
    w[0] = _mm512_permutexvar_ps(index, Load(values));
    w[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), Load(values));
  }
  // (byte >> shift) & mask of kWidth bytes.
  static V LoadBits(const std::byte* p, int shift, int mask) {
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(wide, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(mask)));
  }
  // Sign, exponent and mantissa in their places of a half: 2^-8 of the value, all ones made a NaN.
  static V LoadE4M3(const std::byte* p) {
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
    const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7f)), 7);
    const __m256i nan = _mm256_and_si256(_mm256_cmpeq_epi16(rest, _mm256_set1_epi16(0x3f80)), _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(_mm256_or_si256(sign, rest), nan)), Set(256.0f));
  }
  // 1 in the lanes whose bit is set.
  static V FromMask(uint32_t bits) { return _mm512_maskz_mov_ps(static_cast<__mmask16>(bits), Set(1.0f)); }
};

constexpr KernelTable kTable = cpu::TableOf<Lanes>("avx512");

}  // namespace

const KernelTable& Avx512Kernels() { return kTable; }

}  // namespace drover
