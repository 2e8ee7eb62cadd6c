//! Filters from one text or number to another.

use minijinja::value::{Value, ValueKind};
use minijinja::State;

use crate::arguments::split_kwargs;
use crate::budget::{append, checked_size, Budget};
use crate::filters::parse;
use crate::formatting::percent;
use crate::json::Json;
use crate::methods::{is_space, replace, strip};
use crate::printing::text;
use crate::python::{float as as_float, integer, iterate, tuple, type_error, type_name, undefined_error, Outcome};

/// A filter from text to text without arguments.
pub fn on_text(value: &Value, given: &[Value], change: fn(&str) -> String) -> Outcome {
    parse("filter", &[], given)?;
    Ok(Value::from(change(&text(value)?)))
}

pub fn tojson(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"], given)?;
    let indent = match args.get("indent").filter(|indent| !indent.is_none()) {
        Some(indent) if indent.kind() == ValueKind::String => Some(text(indent)?),
        Some(_) => Some(" ".repeat(checked_size(args.integer("indent", 0)?)?.min(64))),
        None => None,
    };
    let mut separators = (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string());
    if let Some(given) = args.get("separators").filter(|s| !s.is_none()) {
        match iterate(given)?.as_slice() {
            [item, key] => separators = (text(item)?, text(key)?),
            _ => return type_error("separators: expected two"),
        }
    }
    let dumper = Json {
        ascii: args.truth("ensure_ascii", false), sort: args.truth("sort_keys", false), indent,
        item_separator: separators.0, key_separator: separators.1,
    };
    let mut out = String::new();
    dumper.dump(value, 0, &mut out, &mut Budget::new())?;
    Ok(Value::from(out))
}

pub fn capitalize(s: &str) -> String {
    let mut letters = s.chars();
    letters.next().map_or_else(String::new, |first| titlecase(first) + &letters.as_str().to_lowercase())
}

pub fn titlecase(letter: char) -> String {
    match letter {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".into(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".into(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".into(),
        'ß' => "Ss".into(),
        _ => letter.to_uppercase().collect(),
    }
}

pub fn title_method(s: &str) -> String {
    let mut out = String::new();
    for word in s.split_inclusive(|c: char| !c.is_alphabetic()) {
        out.push_str(&capitalize(word));
    }
    out
}

pub fn title(s: &str) -> String {
    let mut out = String::new();
    for word in s.split_inclusive(|c: char| is_space(c) || "-({[<".contains(c)) {
        let mut letters = word.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&letters.as_str().to_lowercase());
    }
    out
}

pub fn trim(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("trim", &["chars"], given)?;
    let chars = args.get("chars").filter(|c| !c.is_none()).map(text).transpose()?;
    Ok(Value::from(strip(&text(value)?, chars.as_deref(), true, true)))
}

pub fn replace_filter(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("replace", &["old", "new", "count"], given)?;
    let count = if args.get("count").is_some_and(|c| !c.is_none()) { args.integer("count", -1)? } else { -1 };
    Ok(Value::from(replace(&text(value)?, &args.string("old", "")?, &args.string("new", "")?, count)?))
}

pub fn round(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("round", &["precision", "method"], given)?;
    let precision = args.integer("precision", 0)?.clamp(-300, 300) as i32;
    let Some(number) = as_float(value) else { return type_error(format!("type {} doesn't define __round__ method", type_name(value))) };
    let scale = 10f64.powi(precision);
    let result = match args.string("method", "common")?.as_str() {
        "ceil" => (number * scale).ceil() / scale,
        "floor" => (number * scale).floor() / scale,
        "common" if precision > 0 => format!("{number:.*}", precision as usize).parse().unwrap_or(number),
        "common" => (number * scale).round_ties_even() / scale,
        other => return type_error(format!("method must be common, ceil or floor, not {other}")),
    };
    Ok(if integer(value).is_some() && args.get("method").is_none() { Value::from(result as i128) } else { Value::from(result) })
}

pub fn int(_: &State, value: &Value, given: &[Value]) -> Outcome {
    if value.is_undefined() {
        return undefined_error("int: an undefined value is no number");
    }
    let args = parse("int", &["default", "base"], given)?;
    let default = args.get("default").cloned().unwrap_or(Value::from(0));
    let base = u32::try_from(args.integer("base", 10)?).unwrap_or(10).clamp(2, 36);
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.clone(),
        ValueKind::Number => f64::try_from(value.clone()).ok().filter(|f| f.is_finite()).map_or(default, |f| Value::from(f.trunc() as i128)),
        ValueKind::String => {
            let trimmed = strip(&text(value)?, None, true, true).replace('_', "");
            let lowered = trimmed.to_lowercase();
            let prefix = match base { 16 => "0x", 8 => "0o", 2 => "0b", _ => "" };
            let digits = lowered.strip_prefix(prefix).unwrap_or(&lowered);
            match i128::from_str_radix(digits, base) {
                Ok(number) => Value::from(number),
                Err(_) => trimmed.parse::<f64>().ok().filter(|f| f.is_finite()).map_or(default, |f| Value::from(f.trunc() as i128)),
            }
        }
        _ => default,
    })
}

pub fn float(_: &State, value: &Value, given: &[Value]) -> Outcome {
    if value.is_undefined() {
        return undefined_error("float: an undefined value is no number");
    }
    let args = parse("float", &["default"], given)?;
    let default = args.get("default").cloned().unwrap_or(Value::from(0.0));
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => Value::from(f64::try_from(value.clone())?),
        ValueKind::String => strip(&text(value)?, None, true, true).parse::<f64>().map_or(default, Value::from),
        _ => default,
    })
}

pub fn abs(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match type_name(value) {
        "int" | "bool" => Ok(Value::from(integer(value).unwrap_or_default().saturating_abs())),
        "float" => Ok(Value::from(f64::try_from(value.clone())?.abs())),
        other => type_error(format!("bad operand type for abs(): '{other}'")),
    }
}

pub fn truncate(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("truncate", &["length", "killwords", "end", "leeway"], given)?;
    let size = checked_size(args.integer("length", 255)?)?;
    let end = args.string("end", "...")?;
    let leeway = checked_size(if args.get("leeway").is_some_and(|l| !l.is_none()) { args.integer("leeway", 5)? } else { 5 })?;
    if !matches!(value.kind(), ValueKind::String | ValueKind::Undefined) {
        let fits = iterate(value)?.len() <= size + leeway;
        return if fits { Ok(value.clone()) } else { type_error(format!("'{}' object cannot be truncated", type_name(value))) };
    }
    let letters: Vec<char> = text(value)?.chars().collect();
    if letters.len() <= size + leeway {
        return Ok(Value::from(letters.iter().collect::<String>()));
    }
    let mut cut: String = letters[..size.saturating_sub(end.chars().count())].iter().collect();
    if !args.truth("killwords", false) {
        cut = cut.rsplit_once(' ').map_or(cut.clone(), |(head, _)| head.to_string());
    }
    Ok(Value::from(cut + &end))
}

pub fn indent(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("indent", &["width", "first", "blank"], given)?;
    let pad = match args.get("width") {
        Some(width) if width.kind() == ValueKind::String => text(width)?,
        _ => " ".repeat(checked_size(args.integer("width", 4)?)?.min(10_000)),
    };
    if value.kind() != ValueKind::String {
        return type_error(format!("'{}' object cannot be indented", type_name(value)));
    }
    let whole = text(value)?;
    checked_size((whole.len() + (whole.matches('\n').count() + 1) * pad.len()) as i64)?;
    let mut lines = whole.split('\n');
    let mut out = if args.truth("first", false) { pad.clone() } else { String::new() };
    out.push_str(lines.next().unwrap_or_default());
    for line in lines {
        out.push('\n');
        if !line.is_empty() || args.truth("blank", false) {
            out.push_str(&pad);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

pub fn center(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("center", &["width"], given)?;
    let s = text(value)?;
    let width = checked_size(args.integer("width", 80)?)?;
    let fill = width.saturating_sub(s.chars().count());
    let front = fill / 2 + (fill & width & 1);
    Ok(Value::from(" ".repeat(front) + &s + &" ".repeat(fill - front)))
}

pub fn wordcount(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    Ok(Value::from(text(value)?.split(|c| !word(c)).filter(|part| !part.is_empty()).count()))
}

pub fn wordwrap(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("wordwrap", &["width", "break_long_words", "wrapstring"], given)?;
    let width = checked_size(args.integer("width", 79)?)?.max(1);
    let end = args.string("wrapstring", "\n")?;
    let breaks = args.truth("break_long_words", true);
    let mut out = String::new();
    for (index, line) in text(value)?.lines().enumerate() {
        append(&mut out, if index > 0 { &end } else { "" })?;
        let mut filled = 0;
        for word in line.split(' ') {
            let letters = word.chars().count();
            if filled > 0 {
                let fits = filled + 1 + letters <= width;
                append(&mut out, if fits { " " } else { &end })?;
                filled = if fits { filled + 1 } else { 0 };
            }
            for letter in word.chars() {
                if breaks && filled == width {
                    append(&mut out, &end)?;
                    filled = 0;
                }
                append(&mut out, letter.encode_utf8(&mut [0; 4]))?;
                filled += 1;
            }
        }
    }
    Ok(Value::from(out))
}

pub fn format(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let (positional, keywords) = split_kwargs(given);
    let values = if keywords.is_empty() { tuple(positional.to_vec()) } else { keywords.into_iter().collect::<Value>() };
    Ok(Value::from(percent(&text(value)?, &values)?))
}

pub fn escaped(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

pub fn escape(_: &State, value: &Value, _: &[Value]) -> Outcome {
    Ok(if value.is_safe() { value.clone() } else { Value::from_safe_string(escaped(&text(value)?)) })
}

pub fn striptags(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let whole = text(value)?;
    let mut out = String::new();
    let mut rest = whole.as_str();
    while let Some((head, tail)) = rest.split_once('<') {
        out.push_str(head);
        match tail.split_once('>') {
            Some((_, after)) => rest = after,
            None => {
                rest = tail;
                break;
            }
        }
    }
    out.push_str(rest);
    Ok(Value::from(out.split(is_space).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")))
}

pub fn percent_encoded(s: &str, query: bool) -> String {
    let mut out = String::new();
    for byte in s.bytes() {
        match byte {
            b' ' if query => out.push('+'),
            b'/' if query => out.push_str("%2F"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub fn urlencode(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let mut pairs = Vec::new();
    match value.kind() {
        ValueKind::Map => for key in iterate(value)? {
            pairs.push((key.clone(), value.get_item(&key)?));
        },
        ValueKind::Seq => for item in iterate(value)? {
            match iterate(&item)?.as_slice() {
                [key, member] => pairs.push((key.clone(), member.clone())),
                parts => return type_error(format!("urlencode: found {} values, expected 2", parts.len())),
            }
        },
        _ => return Ok(Value::from(percent_encoded(&text(value)?, false))),
    }
    let mut out = String::new();
    for (index, (key, member)) in pairs.iter().enumerate() {
        append(&mut out, if index > 0 { "&" } else { "" })?;
        append(&mut out, &percent_encoded(&text(key)?, true))?;
        append(&mut out, "=")?;
        append(&mut out, &percent_encoded(&text(member)?, true))?;
    }
    Ok(Value::from(out))
}

pub fn filesizeformat(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let binary = parse("filesizeformat", &["binary"], given)?.truth("binary", false);
    let parsed = value.as_str().and_then(|s| strip(s, None, true, true).parse::<f64>().ok());
    let Some(bytes) = as_float(value).or(parsed) else { return type_error(format!("could not convert {} to float", type_name(value))) };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 || bytes < base {
        return Ok(Value::from(if bytes == 1.0 { "1 Byte".to_string() } else { format!("{} Bytes", bytes as i64) }));
    }
    let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let mut unit = 0;
    while unit + 1 < letters.len() && bytes >= base.powi(unit as i32 + 2) {
        unit += 1;
    }
    let letter = if binary { format!("{}iB", letters[unit].to_uppercase()) } else { format!("{}B", letters[unit]) };
    Ok(Value::from(format!("{:.1} {letter}", bytes / base.powi(unit as i32 + 1))))
}

pub fn xmlattr(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let autospace = parse("xmlattr", &["autospace"], given)?.truth("autospace", true);
    let mut out = String::new();
    for key in iterate(value)? {
        let member = value.get_item(&key)?;
        if !member.is_none() && !member.is_undefined() {
            let space = if autospace || !out.is_empty() { " " } else { "" };
            append(&mut out, space)?;
            append(&mut out, &format!("{}=\"{}\"", escaped(&text(&key)?), escaped(&text(&member)?)))?;
        }
    }
    Ok(Value::from(out))
}
