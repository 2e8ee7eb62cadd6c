//! Python's operators, as the filters that expression.rs writes for them.

use std::cmp::Ordering;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, State};

use crate::budget::{append, checked_items, checked_size, Budget};
use crate::formatting::percent;
use crate::printing::text;
use crate::python::{compare, equal, equal_within, float, hashable, integer, items, iterate, list, tuple, type_error, type_name, undefined_error, Outcome};
use crate::scalar::escaped;

/// `value|filter("+", b, "-", c)`, from left to right.
pub fn arithmetic(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let mut left = value.clone();
    for pair in given.chunks_exact(2) {
        left = binary(pair[0].as_str().unwrap_or_default(), &left, &pair[1])?;
    }
    Ok(left)
}

pub fn binary(sign: &str, left: &Value, right: &Value) -> Outcome {
    if left.is_undefined() || right.is_undefined() && left.kind() != ValueKind::String {
        return undefined_error("an operand is undefined");
    }
    match (integer(left), integer(right)) {
        (Some(a), Some(b)) => return integers(sign, a, b),
        _ => if let (Some(a), Some(b)) = (float(left), float(right)) {
            return floats(sign, a, b);
        },
    }
    match (sign, left.kind(), right.kind()) {
        ("%", ValueKind::String, _) => Ok(Value::from(percent(&text(left)?, right)?)),
        (_, _, ValueKind::Undefined) => undefined_error("an operand is undefined"),
        ("+", ValueKind::String, ValueKind::String) => joined(&[left, right], left.is_safe() || right.is_safe()),
        ("+", ValueKind::Seq, ValueKind::Seq) if type_name(left) == type_name(right) => match type_name(left) {
            "list" => chained(left, right).map(list),
            "tuple" => chained(left, right).map(tuple),
            _ => unsupported(sign, left, right),
        },
        ("*", ..) => match (integer(left), integer(right)) {
            (None, Some(times)) => repeated(left, times).unwrap_or_else(|| unsupported(sign, left, right)),
            (Some(times), None) => repeated(right, times).unwrap_or_else(|| unsupported(sign, left, right)),
            _ => unsupported(sign, left, right),
        },
        _ => unsupported(sign, left, right),
    }
}

fn unsupported<T>(sign: &str, left: &Value, right: &Value) -> Outcome<T> {
    type_error(format!("unsupported operand type(s) for {sign}: '{}' and '{}'", type_name(left), type_name(right)))
}

fn chained(left: &Value, right: &Value) -> Outcome<Vec<Value>> {
    checked_items(left.len().unwrap_or(0).saturating_add(right.len().unwrap_or(0)))?;
    Ok([iterate(left)?, iterate(right)?].concat())
}

/// None where the value cannot be repeated.
fn repeated(value: &Value, times: i128) -> Option<Outcome> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(s) = value.as_str() {
        let size = i64::try_from(s.len().saturating_mul(times)).unwrap_or(i64::MAX);
        return Some(checked_size(size).map(|_| Value::from(s.repeat(times))));
    }
    let make = match type_name(value) {
        "list" => list,
        "tuple" => tuple,
        _ => return None,
    };
    let parts = items(value);
    // Many times nothing is nothing.
    let times = if parts.is_empty() { 0 } else { times };
    Some(checked_items(parts.len().saturating_mul(times)).map(|_| make(std::iter::repeat_n(parts, times).flatten().collect())))
}

fn integers(sign: &str, a: i128, b: i128) -> Outcome {
    let whole = |result: Option<i128>| result.map(Value::from).map_or_else(|| type_error("an integer needs more than 128 bits"), Ok);
    match sign {
        "/" | "//" | "%" if b == 0 => type_error("division by zero"),
        "+" => whole(a.checked_add(b)),
        "-" => whole(a.checked_sub(b)),
        "*" => whole(a.checked_mul(b)),
        "/" => Ok(Value::from(a as f64 / b as f64)),
        "//" => whole(a.checked_div(b).map(|quotient| quotient - i128::from(a.wrapping_rem(b) != 0 && (a < 0) != (b < 0)))),
        "%" => whole(Some(a.wrapping_rem(b)).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })),
        _ if b < 0 => floats(sign, a as f64, b as f64),
        _ if a.abs() <= 1 => Ok(Value::from(if b == 0 { 1 } else if a == -1 && b % 2 == 0 { 1 } else { a })),
        _ => whole(u32::try_from(b).ok().and_then(|power| a.checked_pow(power))),
    }
}

fn floats(sign: &str, a: f64, b: f64) -> Outcome {
    // As Python: the remainder has the sign of the divisor.
    let rest = || {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else if rest == 0.0 { 0.0f64.copysign(b) } else { rest }
    };
    let result = match sign {
        "/" | "//" | "%" if b == 0.0 => return type_error("float division by zero"),
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => ((a - rest()) / b).round(),
        "%" => rest(),
        _ if a == 0.0 && b < 0.0 => return type_error("0.0 cannot be raised to a negative power"),
        _ if a < 0.0 && b.fract() != 0.0 => return type_error("a root of a negative number"),
        _ => match a.powf(b) {
            power if power.is_infinite() && a.is_finite() => return type_error("Numerical result out of range"),
            power => power,
        },
    };
    Ok(Value::from(result))
}

/// `value|filter("-")`.
pub fn sign(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let minus = given.first().and_then(Value::as_str) == Some("-");
    if value.is_undefined() {
        return undefined_error("the operand is undefined");
    }
    match (integer(value), float(value)) {
        (Some(whole), _) => match if minus { whole.checked_neg() } else { Some(whole) } {
            Some(result) => Ok(Value::from(result)),
            None => type_error("an integer needs more than 128 bits"),
        },
        (None, Some(number)) => Ok(Value::from(if minus { -number } else { number })),
        _ => type_error(format!("bad operand type for unary {}: '{}'", if minus { "-" } else { "+" }, type_name(value))),
    }
}

/// `value|filter(b, c)`: all as one text.
pub fn concat(state: &State, value: &Value, given: &[Value]) -> Outcome {
    let parts: Vec<&Value> = std::iter::once(value).chain(given).collect();
    let safe = !matches!(state.auto_escape(), AutoEscape::None) && parts.iter().any(|part| part.is_safe());
    joined(&parts, safe)
}

/// Where one part is markup, the others are escaped.
fn joined(parts: &[&Value], safe: bool) -> Outcome {
    let mut out = String::new();
    for part in parts {
        append(&mut out, &if safe && !part.is_safe() { escaped(&text(part)?) } else { text(part)? })?;
    }
    Ok(if safe { Value::from_safe_string(out) } else { Value::from(out) })
}

/// `value|filter("<", b, "<=", c)`: every comparison holds.
pub fn comparison(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let mut left = value;
    for pair in given.chunks_exact(2) {
        if !holds(pair[0].as_str().unwrap_or_default(), left, &pair[1])? {
            return Ok(Value::from(false));
        }
        left = &pair[1];
    }
    Ok(Value::from(true))
}

pub fn holds(operator: &str, left: &Value, right: &Value) -> Outcome<bool> {
    let nan = |value: &Value| float(value).is_some_and(f64::is_nan);
    Ok(match operator {
        "==" => equal(left, right)?,
        "!=" => !equal(left, right)?,
        "in" => contains(right, left)?,
        "not in" => !contains(right, left)?,
        _ => {
            let order = compare(left, right)?;
            !nan(left) && !nan(right) && match operator {
                "<" => order == Ordering::Less,
                "<=" => order != Ordering::Greater,
                ">" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
        }
    })
}

fn contains(container: &Value, item: &Value) -> Outcome<bool> {
    match (container.kind(), type_name(container)) {
        (ValueKind::String, _) => match item.as_str() {
            Some(part) => Ok(container.as_str().unwrap_or_default().contains(part)),
            None => type_error(format!("'in <string>' requires string as left operand, not {}", type_name(item))),
        },
        (_, "dict") if !hashable(item)? => type_error(format!("unhashable type: '{}'", type_name(item))),
        (ValueKind::Map, kind) if kind != "dict" => type_error(format!("argument of type '{kind}' is not iterable")),
        _ => {
            let mut budget = Budget::new();
            for member in iterate(container)? {
                if equal_within(&member, item, &mut budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}
