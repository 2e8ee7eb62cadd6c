// Arithmetic of floats. Where the device approximates, this is as exact as the host: within the device's bounds.
#include <cfenv>
#include <cmath>
#include <limits>
#include <map>

#include "tests/kernels/ptx/forms.h"
#include "tests/kernels/ptx/map.h"

namespace ptx {
namespace {

// What .ftz does to numbers below the normal ones.
float Flushed(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value; }
double Flushed(double value) { return value; }

struct Add {
  template <class T>
  T operator()(T a, T b) const { return a + b; }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const { return a - b; }
};
struct Multiply {
  template <class T>
  T operator()(T a, T b) const { return a * b; }
};
struct Divide {
  template <class T>
  T operator()(T a, T b) const { return a / b; }
};
struct MultiplyAdd {
  float operator()(float a, float b, float c) const { return __builtin_fmaf(a, b, c); }
  double operator()(double a, double b, double c) const { return __builtin_fma(a, b, c); }
};
struct MultiplyAddDown {  // rounds towards minus infinity
  float operator()(float a, float b, float c) const {
    volatile float x = a, y = b, z = c;
    const int before = std::fegetround();
    std::fesetround(FE_DOWNWARD);
    volatile float sum = std::fma(x, y, z);
    std::fesetround(before);
    return sum;
  }
};
// One that is no number gives the other.
struct Least {
  template <class T>
  T operator()(T a, T b) const { return a == b && std::signbit(a) ? a : std::fmin(a, b); }
};
struct Most {
  template <class T>
  T operator()(T a, T b) const { return a == b && std::signbit(a) ? b : std::fmax(a, b); }
};
struct Negate {
  template <class T>
  T operator()(T a) const { return -a; }
};
struct Absolute {
  template <class T>
  T operator()(T a) const { return std::fabs(a); }
};
struct CopySign {  // of a to b
  template <class T>
  T operator()(T a, T b) const { return std::copysign(b, a); }
};
struct Root {
  template <class T>
  T operator()(T a) const { return std::sqrt(a); }
};
struct Reciprocal {
  template <class T>
  T operator()(T a) const { return 1 / a; }
};
struct ReciprocalFlushed {
  template <class T>
  T operator()(T a) const { return Flushed(1 / Flushed(a)); }
};
struct Power2 {
  float operator()(float a) const { return Flushed(std::exp2(Flushed(a))); }
};
struct Log2 {
  float operator()(float a) const { return std::log2(Flushed(a)); }
};

template <class Opposite>
struct Not {  // true, too, if one is no number
  template <class T>
  bool operator()(T a, T b) const { return !Opposite{}(a, b); }
};

using Table = std::map<std::string, Form, std::less<>>;

template <class T>
void AddFloat(Table& table, const std::string& type) {
  const std::string n(1, Letter<T>());
  for (const char* rounding : {".", ".rn."}) {
    table["add" + (rounding + type)] = {Map<Add, T, T, T>, n + n + n};
    table["sub" + (rounding + type)] = {Map<Subtract, T, T, T>, n + n + n};
    table["mul" + (rounding + type)] = {Map<Multiply, T, T, T>, n + n + n};
  }
  table["div.rn." + type] = {Map<Divide, T, T, T>, n + n + n};
  table["fma.rn." + type] = {Map<MultiplyAdd, T, T, T, T>, n + n + n + n};
  table["sqrt.rn." + type] = {Map<Root, T, T>, n + n};
  table["rcp.rn." + type] = {Map<Reciprocal, T, T>, n + n};
  table["rcp.approx.ftz." + type] = {Map<ReciprocalFlushed, T, T>, n + n};
  table["min." + type] = {Map<Least, T, T, T>, n + n + n};
  table["max." + type] = {Map<Most, T, T, T>, n + n + n};
  table["neg." + type] = {Map<Negate, T, T>, n + n};
  table["abs." + type] = {Map<Absolute, T, T>, n + n};
  table["copysign." + type] = {Map<CopySign, T, T, T>, n + n + n};
  const auto test = [&](const char* name, Step step) { table["setp." + (name + ("." + type))] = {step, "p" + n + n}; };
  test("eq", Test<Equal, T>), test("ne", Test<Unequal, T>);
  test("lt", Test<Less, T>), test("le", Test<LessEqual, T>), test("gt", Test<Greater, T>), test("ge", Test<GreaterEqual, T>);
  test("equ", Test<Not<Unequal>, T>), test("neu", Test<Not<Equal>, T>);
  test("ltu", Test<Not<GreaterEqual>, T>), test("leu", Test<Not<Greater>, T>);
  test("gtu", Test<Not<LessEqual>, T>), test("geu", Test<Not<Less>, T>);
}

Table MakeTable() {
  Table table;
  AddFloat<float>(table, "f32");
  AddFloat<double>(table, "f64");
  table["fma.rm.f32"] = {Map<MultiplyAddDown, float, float, float, float>, "4444"};
  table["div.approx.f32"] = {Map<Divide, float, float, float>, "444"};
  table["ex2.approx.ftz.f32"] = {Map<Power2, float, float>, "44"};
  table["lg2.approx.ftz.f32"] = {Map<Log2, float, float>, "44"};
  return table;
}

}  // namespace

std::optional<Form> FloatForm(std::string_view name) {
  static const Table table = MakeTable();
  const auto at = table.find(name);
  return at == table.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace ptx
