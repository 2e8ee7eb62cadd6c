//! str() and repr() of Python, within the bounds of one step.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Object, Value, ValueKind};

use crate::budget::{append, checked_size, Budget};
use crate::python::{check_depth, members, type_name, Outcome, View};

/// Python's str().
pub fn text(value: &Value) -> Outcome<String> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_string()),
        ValueKind::Undefined => Ok(String::new()),
        _ => repr(value),
    }
}

/// Python's repr().
pub fn repr(value: &Value) -> Outcome<String> {
    let mut out = String::new();
    print(value, 0, &mut out, &mut Budget::new())?;
    Ok(out)
}

/// How an object of ours prints where the engine asks, which takes no error.
pub fn show<T: Object + 'static>(object: &Arc<T>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&repr(&Value::from_dyn_object(object.clone())).unwrap_or_else(|_| "...".into()))
}

fn print(value: &Value, depth: usize, out: &mut String, budget: &mut Budget) -> Outcome<()> {
    checked_size(out.len() as i64)?;
    check_depth(depth)?;
    let view = value.downcast_object_ref::<View>();
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String => print_text(value.as_str().unwrap_or_default(), out)?,
        ValueKind::Number if !value.is_integer() => out.push_str(&repr_float(f64::try_from(value.clone()).unwrap_or(f64::NAN))),
        _ if view.is_some_and(|view| view.printed.is_some()) => append(out, view.and_then(|view| view.printed.as_deref()).unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = match (view, type_name(value)) {
                (Some(view), _) => (format!("{}([", view.name), "])"),
                (None, "tuple") => ("(".into(), if value.len() == Some(1) { ",)" } else { ")" }),
                _ => ("[".into(), "]"),
            };
            out.push_str(&open);
            for (index, item) in members(value, budget)?.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                print(item, depth + 1, out, budget)?;
            }
            out.push_str(close);
        }
        ValueKind::Map => {
            let (open, close) = if type_name(value) == "Namespace" { ("<Namespace {", "}>") } else { ("{", "}") };
            let keys: Vec<Value> = value.try_iter().map(Iterator::collect).unwrap_or_default();
            budget.spend(1 + 2 * keys.len())?;
            out.push_str(open);
            for (index, key) in keys.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                print(key, depth + 1, out, budget)?;
                out.push_str(": ");
                print(&value.get_item(key).unwrap_or_default(), depth + 1, out, budget)?;
            }
            out.push_str(close);
        }
        _ => append(out, &value.to_string())?,
    }
    Ok(())
}

fn repr_float(number: f64) -> String {
    if number.is_nan() || number.is_infinite() {
        return if number.is_nan() { "nan".into() } else if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let shortest = format!("{number:?}");
    let Some((digits, exponent)) = shortest.split_once('e') else { return shortest };
    let power: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn print_text(text: &str, out: &mut String) -> Outcome<()> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if letter == quote => out.extend(['\\', letter]),
            _ if printable(letter) => out.push(letter),
            _ => {
                let written = match u32::from(letter) {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
                debug_assert!(written.is_ok());
            }
        }
        checked_size(out.len() as i64)?;
    }
    out.push(quote);
    Ok(())
}

/// str.isprintable for one character, by the escape rules of Rust's Debug (which escapes marks as well) and the separators.
pub fn printable(letter: char) -> bool {
    if letter == ' ' {
        return true;
    }
    let format_or_private = matches!(u32::from(letter), 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
        | 0x2028..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff | 0xfff9..=0xfffb | 0xfffe | 0xffff | 0xe0000..=0x10ffff);
    !letter.is_control() && !letter.is_whitespace() && !format_or_private
}
