//! Percent formatting and str.format.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::arguments::split_kwargs;
use crate::budget::append;
use crate::printing::{repr, text};
use crate::python::{type_error, type_name, Outcome, Tuple};

/// `format % values`, with positional values or one mapping.
pub fn percent(format: &str, values: &Value) -> Outcome<String> {
    let positional = match values.downcast_object_ref::<Tuple>() {
        Some(tuple) => tuple.0.clone(),
        None => vec![values.clone()],
    };
    let mut next = positional.iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        append(&mut out, &rest[..at])?;
        rest = &rest[at + 1..];
        let mut named = None;
        if let Some((name, tail)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            named = Some(values.get_attr(name)?);
            rest = tail;
        }
        let size = rest.find(|c: char| !"#0- +.123456789".contains(c)).unwrap_or(rest.len());
        let (spec, tail) = rest.split_at(size);
        let Some(kind) = tail.chars().next() else { return type_error("incomplete format") };
        rest = &tail[kind.len_utf8()..];
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named {
            Some(value) => value,
            None => match next.next() {
                Some(value) => value.clone(),
                None => return type_error("not enough arguments for format string"),
            },
        };
        let flags = spec.len() - spec.trim_start_matches(['#', '0', '-', ' ', '+']).len();
        let aligned = Spec {
            left: spec[..flags].contains('-') || false, zero: spec[..flags].contains('0'), plus: spec[..flags].contains('+'),
            ..Spec::sized(&spec[flags..])?
        };
        append(&mut out, &aligned.apply(kind, &value)?)?;
    }
    append(&mut out, rest)?;
    let subscripted = matches!(values.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Undefined) && type_name(values) != "tuple";
    if next.next().is_some() && !subscripted {
        return type_error("not all arguments converted during string formatting");
    }
    Ok(out)
}

#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    /// "width.precision"; neither above 10,000.
    fn sized(spec: &str) -> Outcome<Self> {
        let number = |digits: &str| match digits {
            "" => Ok(0),
            _ => digits.parse().ok().filter(|n| *n <= 10_000).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "bad format width")),
        };
        let (width, precision) = match spec.split_once('.') {
            Some((width, precision)) => (width, Some(number(precision)?)),
            None => (spec, None),
        };
        Ok(Self { width: number(width)?, precision, ..Self::default() })
    }

    fn apply(&self, kind: char, value: &Value) -> Outcome<String> {
        let float = || f64::try_from(value.clone()).or_else(|_| type_error(format!("must be real number, not {}", type_name(value))));
        let integer = || match value.kind() {
            ValueKind::Bool => Ok(i128::from(value.is_true())),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()),
            ValueKind::Number => float().map(|f| f as i128),
            _ => type_error(format!("%{kind} format: a number is required, not {}", type_name(value))),
        };
        let mut printed = match kind {
            's' => text(value)?,
            'r' => repr(value)?,
            'd' | 'i' => integer()?.to_string(),
            'x' => format!("{:x}", integer()?),
            'X' => format!("{:X}", integer()?),
            'o' => format!("{:o}", integer()?),
            'f' | 'F' => format!("{:.*}", self.precision.unwrap_or(6), float()?),
            'e' => exponent(float()?, self.precision.unwrap_or(6)),
            'g' => general(float()?, self.precision.unwrap_or(6).max(1)),
            _ => return type_error(format!("unsupported format character '{kind}'")),
        };
        if let ('s' | 'r', Some(precision)) = (kind, self.precision) {
            printed = printed.chars().take(precision).collect();
        }
        if self.plus && !matches!(kind, 's' | 'r') && !printed.starts_with('-') {
            printed.insert(0, '+');
        }
        let fill = self.width.saturating_sub(printed.chars().count());
        if self.left {
            return Ok(printed + &" ".repeat(fill));
        }
        if self.zero && !matches!(kind, 's' | 'r') {
            let sign = usize::from(printed.starts_with(['-', '+']));
            printed.insert_str(sign, &"0".repeat(fill));
            return Ok(printed);
        }
        Ok(" ".repeat(fill) + &printed)
    }
}

fn exponent(number: f64, precision: usize) -> String {
    let printed = format!("{number:.precision$e}");
    let (digits, power) = printed.split_once('e').unwrap_or((&printed, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn general(number: f64, precision: usize) -> String {
    let scientific = exponent(number, precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, p)| p.parse().ok()).unwrap_or(0);
    let trim = |s: &str| if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_string() } else { s.to_string() };
    if power < -4 || power >= precision as i32 {
        let (digits, tail) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        return format!("{}e{tail}", trim(digits));
    }
    trim(&format!("{:.*}", (precision as i32 - 1 - power).max(0) as usize, number))
}

/// `'{} {0} {name:>5}'.format(...)` for the usual specifications.
pub fn braces(format: &str, given: &[Value]) -> Outcome<String> {
    let (positional, keywords) = split_kwargs(given);
    let mut out = String::new();
    let mut automatic = 0;
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        append(&mut out, &rest[..at])?;
        let doubled = rest[at..].starts_with("{{") || rest[at..].starts_with("}}");
        if doubled {
            out.push_str(&rest[at..at + 1]);
            rest = &rest[at + 2..];
            continue;
        }
        let Some((field, tail)) = rest[at..].strip_prefix('{').and_then(|r| r.split_once('}')) else {
            return type_error("Single '}' encountered in format string");
        };
        rest = tail;
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let value = if name.is_empty() {
            automatic += 1;
            positional.get(automatic - 1)
        } else if let Ok(index) = name.parse::<usize>() {
            positional.get(index)
        } else {
            keywords.iter().find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let Some(value) = value else { return type_error(format!("format: no value for '{name}'")) };
        append(&mut out, &brace_field(value, spec)?)?;
    }
    append(&mut out, rest)?;
    Ok(out)
}

/// [align][0][width][.precision][type]
fn brace_field(value: &Value, spec: &str) -> Outcome<String> {
    let align = spec.chars().next().filter(|c| "<>^".contains(*c));
    let body = spec.trim_start_matches(['<', '>', '^']);
    let kind = body.chars().last().filter(char::is_ascii_alphabetic);
    let sized = body.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let mut parsed = Spec::sized(sized.trim_start_matches('0'))?;
    parsed.zero = sized.starts_with('0');
    let width = std::mem::take(&mut parsed.width);
    let numeric = value.kind() == ValueKind::Number;
    let default = if parsed.precision.is_some() && numeric { 'g' } else { 's' };
    let printed = parsed.apply(kind.unwrap_or(default), value)?;
    let fill = width.saturating_sub(printed.chars().count());
    let front = match align {
        Some('<') => 0,
        Some('^') => fill / 2,
        None if !numeric => 0,
        _ => fill,
    };
    let pad = if parsed.zero && align.is_none() { "0" } else { " " };
    Ok(pad.repeat(front) + &printed + &" ".repeat(fill - front))
}
