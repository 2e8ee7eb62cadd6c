//! Methods of Python's str, dict, list, int and float, as far as the sandbox allows them (nothing here changes a value).

use std::cmp::Ordering;
use std::collections::HashSet;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::arguments::Args;
use crate::budget::{append, checked_items, checked_size, Budget, MAX_ITEMS};
use crate::formatting::braces;
use crate::scalar::{capitalize, title_method};
use crate::printing::{printable, repr, text};
use crate::python::{compare_within, dict, equal_within, hashable, iterate, list, tuple, type_error, type_name, Outcome, View};

/// str.isspace for one character: Unicode white space and the four separators U+001C to U+001F.
pub fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

/// Methods by type; those of a type that would change a value are no attributes at all.
const METHODS: [(&str, &str); 6] = [
    ("str", " capitalize casefold center count encode endswith expandtabs find format index isalnum isalpha isascii isdecimal \
             isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition \
             removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip \
             swapcase title upper zfill "),
    ("dict", " copy get items keys values "),
    ("list", " copy count index "),
    ("tuple", " count index "),
    ("int", " bit_length "),
    ("float", " is_integer "),
];
const CHANGING: [(&str, &str); 2] = [("dict", " clear pop popitem setdefault update "), ("list", " append clear extend insert pop remove reverse sort ")];

fn listed(table: &[(&str, &str)], value: &Value, name: &str) -> bool {
    let kind = type_name(value);
    !name.is_empty() && table.iter().any(|(known, names)| *known == kind && names.contains(&format!(" {name} ")))
}

pub fn known(value: &Value, name: &str) -> bool {
    listed(&METHODS, value, name)
}

pub fn changes(value: &Value, name: &str) -> bool {
    listed(&CHANGING, value, name)
}

/// A method that is known.
pub fn call(value: &Value, method: &str, given: &[Value]) -> Outcome {
    let done = match type_name(value) {
        "str" => on_string(value.as_str().unwrap_or_default(), method, given)?,
        "dict" => on_dict(value, method, given)?,
        "list" | "tuple" => on_list(value, method, given)?,
        _ => on_number(value, method)?,
    };
    match done {
        Some(result) => Ok(result),
        None => Err(Error::new(ErrorKind::UnknownMethod, format!("'{} object' has no attribute '{method}'", type_name(value)))),
    }
}

fn on_dict(value: &Value, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    let keys = iterate(value)?;
    let member = |key: &Value| value.get_item(key).unwrap_or_default();
    let view = |name: &'static str, items: Vec<Value>| Value::from_object(View { name, printed: None, items });
    Ok(Some(match method {
        "items" => view("dict_items", keys.iter().map(|key| tuple(vec![key.clone(), member(key)])).collect()),
        "keys" => view("dict_keys", keys),
        "values" => view("dict_values", keys.iter().map(member).collect()),
        "copy" => dict(keys.iter().map(|key| (key.clone(), member(key)))),
        "get" => {
            let args = Args::parse("get", &["key", "default"], given)?;
            let Some(key) = args.get("key") else { return type_error("get expected at least 1 argument, got 0") };
            if !hashable(key)? {
                return type_error(format!("unhashable type: '{}'", type_name(key)));
            }
            match member(key) {
                found if position(&keys, key)?.is_some() => found,
                _ => args.get("default").cloned().unwrap_or(Value::from(())),
            }
        }
        _ => return Ok(None),
    }))
}

fn on_list(value: &Value, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    let items = iterate(value)?;
    Ok(Some(match (method, given) {
        ("copy", []) => list(items),
        ("count", [wanted]) => {
            let mut budget = Budget::new();
            let mut count = 0;
            for item in &items {
                count += usize::from(equal_within(item, wanted, &mut budget)?);
            }
            Value::from(count)
        }
        ("index", [wanted]) => match position(&items, wanted)? {
            Some(at) => Value::from(at),
            None => return type_error(format!("{} is not in list", repr(wanted)?)),
        },
        _ => return Ok(None),
    }))
}

fn position(items: &[Value], wanted: &Value) -> Outcome<Option<usize>> {
    let mut budget = Budget::new();
    for (at, item) in items.iter().enumerate() {
        if equal_within(item, wanted, &mut budget)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn on_number(value: &Value, method: &str) -> Outcome<Option<Value>> {
    Ok(match method {
        "bit_length" if value.is_integer() => Some(Value::from(128 - i128::try_from(value.clone())?.unsigned_abs().leading_zeros())),
        "is_integer" => Some(Value::from(f64::try_from(value.clone())?.fract() == 0.0)),
        _ => None,
    })
}

fn on_string(s: &str, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    if let Some(result) = question(s, method, given)? {
        return Ok(Some(result));
    }
    if let Some(result) = search(s, method, given)? {
        return Ok(Some(result));
    }
    if let Some(result) = cut(s, method, given)? {
        return Ok(Some(result));
    }
    let args = Args::parse(method, &["a", "b", "c"], given);
    let result = match method {
        "upper" => s.to_uppercase(),
        "lower" => s.to_lowercase(),
        "casefold" => s.to_lowercase().replace('ß', "ss"),
        "title" => title_method(s),
        "capitalize" => capitalize(s),
        "swapcase" => s.chars().flat_map(|c| if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() }).collect(),
        "format" => braces(s, given)?,
        "encode" => return Ok(Some(Value::from_object(View { name: "bytes", printed: Some(format!("b{}", repr(&Value::from(s))?)), items: Vec::new() }))),
        "replace" => {
            let args = Args::parse("replace", &["old", "new", "count"], given)?;
            replace(s, &args.string("old", "")?, &args.string("new", "")?, args.integer("count", -1)?)?
        }
        "join" => {
            let parts = iterate(args?.get("a").unwrap_or(&Value::UNDEFINED))?;
            for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.kind() != ValueKind::String) {
                return type_error(format!("sequence item {at}: expected str instance, {} found", type_name(part)));
            }
            let mut out = String::new();
            for (at, part) in parts.iter().enumerate() {
                append(&mut out, if at > 0 { s } else { "" })?;
                append(&mut out, part.as_str().unwrap_or_default())?;
            }
            out
        }
        "ljust" | "rjust" | "center" | "zfill" => {
            let args = args?;
            let fill = checked_size(args.integer("a", 0)?)?.saturating_sub(s.chars().count());
            let pad = if method == "zfill" { "0".into() } else { args.string("b", " ")? };
            if pad.chars().nth(1).is_some() || pad.is_empty() {
                return type_error("The fill character must be exactly one character long");
            }
            // Python's center puts the odd space on the left when the width is odd.
            let front = match method {
                "ljust" => 0,
                "center" => fill / 2 + (fill & args.integer("a", 0)? as usize & 1),
                _ => fill,
            };
            pad.repeat(front) + s + &pad.repeat(fill - front)
        }
        "expandtabs" => expand_tabs(s, args?.integer("a", 8)?)?,
        "removeprefix" => s.strip_prefix(args?.string("a", "")?.as_str()).unwrap_or(s).to_string(),
        "removesuffix" => s.strip_suffix(args?.string("a", "")?.as_str()).unwrap_or(s).to_string(),
        _ => return Ok(None),
    };
    Ok(Some(Value::from(result)))
}

fn expand_tabs(s: &str, size: i64) -> Outcome<String> {
    let size = checked_size(size)?;
    let mut out = String::new();
    let mut column = 0;
    for letter in s.chars() {
        let wide = if letter != '\t' { 1 } else if size == 0 { 0 } else { size - column % size };
        if letter == '\t' { out.push_str(&" ".repeat(wide)) } else { out.push(letter) }
        column = if matches!(letter, '\n' | '\r') { 0 } else { column + wide };
        checked_size(out.len() as i64)?;
    }
    Ok(out)
}

/// At most `count` replacements, all when negative.
pub fn replace(s: &str, old: &str, new: &str, count: i64) -> Outcome<String> {
    let found = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
    let times = usize::try_from(count).map_or(found, |count| found.min(count));
    checked_size((s.len() + times.saturating_mul(new.len())) as i64)?;
    Ok(if count < 0 { s.replace(old, new) } else { s.replacen(old, new, count as usize) })
}

fn question(s: &str, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    let all = |test: fn(char) -> bool| !s.is_empty() && s.chars().all(test);
    let cased = |wrong: fn(char) -> bool, right: fn(char) -> bool| s.chars().any(right) && !s.chars().any(wrong);
    let digit = |c: char| c.is_ascii_digit() || (c.is_numeric() && !c.is_alphabetic() && !"¼½¾".contains(c));
    Ok(Some(Value::from(match method {
        "isdigit" => !s.is_empty() && s.chars().all(digit),
        "isdecimal" => all(|c| c.is_ascii_digit()),
        "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(is_space),
        "isascii" => s.is_ascii(),
        "isupper" => cased(char::is_lowercase, char::is_uppercase),
        "islower" => cased(char::is_uppercase, char::is_lowercase),
        "isprintable" => s.chars().all(printable),
        "isidentifier" => s.starts_with(|c: char| c.is_alphabetic() || c == '_') && s.chars().all(|c| c.is_alphanumeric() || c == '_'),
        "istitle" => !s.is_empty() && title_method(s) == s && s.chars().any(char::is_alphabetic),
        "startswith" | "endswith" => {
            let args = Args::parse(method, &["prefix", "start", "end"], given)?;
            let part = window(s, args.integer("start", 0)?, args.integer("end", i64::MAX)?);
            let Some(wanted) = args.get("prefix") else { return type_error(format!("{method} expected at least 1 argument")) };
            let options = if wanted.kind() == ValueKind::Seq { iterate(wanted)? } else { vec![wanted.clone()] };
            if options.iter().any(|option| option.kind() != ValueKind::String) {
                return type_error(format!("{method} first arg must be str or a tuple of str, not {}", type_name(wanted)));
            }
            options.iter().filter_map(Value::as_str).any(|o| if method == "endswith" { part.ends_with(o) } else { part.starts_with(o) })
        }
        _ => return Ok(None),
    })))
}

/// The characters from `start` to `end`, negative ones counted from the end.
fn window(s: &str, start: i64, end: i64) -> String {
    let size = s.chars().count() as i64;
    let place = |n: i64| if n < 0 { (size + n).max(0) } else { n.min(size) };
    let (from, to) = (place(start), place(end));
    s.chars().skip(from as usize).take((to - from).max(0) as usize).collect()
}

fn search(s: &str, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    if !matches!(method, "find" | "rfind" | "index" | "rindex" | "count") {
        return Ok(None);
    }
    let args = Args::parse(method, &["sub", "start", "end"], given)?;
    let wanted = args.string("sub", "")?;
    let start = args.integer("start", 0)?;
    let part = window(s, start, args.integer("end", i64::MAX)?);
    if method == "count" {
        return Ok(Some(Value::from(part.matches(wanted.as_str()).count())));
    }
    let found = if method.starts_with('r') { part.rfind(&wanted) } else { part.find(&wanted) };
    let size = s.chars().count() as i64;
    let before = if start < 0 { (size + start).max(0) } else { start };
    match found {
        Some(at) => Ok(Some(Value::from(part[..at].chars().count() as i64 + before))),
        None if method.ends_with("index") => type_error("substring not found"),
        None => Ok(Some(Value::from(-1))),
    }
}

fn cut(s: &str, method: &str, given: &[Value]) -> Outcome<Option<Value>> {
    let strings = |parts: Vec<String>| checked_items(parts.len()).map(|_| list(parts.into_iter().map(Value::from).collect()));
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let args = Args::parse(method, &["chars"], given)?;
            let chars = args.get("chars").filter(|c| !c.is_none()).map(text).transpose()?;
            Value::from(strip(s, chars.as_deref(), method != "rstrip", method != "lstrip"))
        }
        "split" | "rsplit" => {
            let args = Args::parse(method, &["sep", "maxsplit"], given)?;
            let separator = args.get("sep").filter(|sep| !sep.is_none()).map(text).transpose()?;
            let limit = usize::try_from(args.integer("maxsplit", -1)?).unwrap_or(usize::MAX);
            match separator.as_deref() {
                Some("") => return type_error("empty separator"),
                Some(sep) => strings(split_at(s, sep, limit, method == "rsplit"))?,
                None => strings(split_spaces(s, limit, method == "rsplit"))?,
            }
        }
        "splitlines" => strings(split_lines(s, Args::parse(method, &["keepends"], given)?.truth("keepends", false)))?,
        "partition" | "rpartition" => {
            let sep = Args::parse(method, &["sep"], given)?.string("sep", "")?;
            let found = if method == "partition" { s.split_once(sep.as_str()) } else { s.rsplit_once(sep.as_str()) };
            let parts = match found {
                Some((head, tail)) => [head, sep.as_str(), tail],
                None if method == "partition" => [s, "", ""],
                None => ["", "", s],
            };
            tuple(parts.iter().map(|part| Value::from(*part)).collect())
        }
        _ => return Ok(None),
    }))
}

pub fn strip(s: &str, chars: Option<&str>, front: bool, back: bool) -> String {
    let set: Option<HashSet<char>> = chars.map(|set| set.chars().collect());
    let gone = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(&c));
    let s = if front { s.trim_start_matches(gone) } else { s };
    (if back { s.trim_end_matches(gone) } else { s }).to_string()
}

/// One part more than a list may have; nobody looks at the rest.
const MANY: usize = MAX_ITEMS as usize + 1;

fn split_at(s: &str, separator: &str, limit: usize, from_end: bool) -> Vec<String> {
    let pieces = limit.saturating_add(1).min(MANY);
    if !from_end {
        return s.splitn(pieces, separator).map(String::from).collect();
    }
    let mut parts: Vec<String> = s.rsplitn(pieces, separator).map(String::from).collect();
    parts.reverse();
    parts
}

fn split_spaces(s: &str, limit: usize, from_end: bool) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = s.trim_matches(is_space);
    while !rest.is_empty() {
        let cut = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = cut.filter(|_| parts.len() < limit.min(MANY)) else { break };
        let wide = rest[at..].chars().next().map_or(1, char::len_utf8);
        let (head, tail) = (&rest[..at], &rest[at + wide..]);
        parts.push(if from_end { tail.to_string() } else { head.to_string() });
        rest = if from_end { head.trim_end_matches(is_space) } else { tail.trim_start_matches(is_space) };
    }
    if !rest.is_empty() {
        // With a limit the last part keeps its outer spaces.
        let limited = limit != usize::MAX && parts.len() == limit;
        let whole = if limited && !from_end { s.trim_start_matches(is_space) } else { rest };
        let last = if limited && !from_end { &whole[whole.len() - (s.trim_end_matches(is_space).len().abs_diff(s.len()) + rest.len())..] } else { rest };
        parts.push(last.to_string());
    }
    if from_end {
        parts.reverse();
    }
    parts
}

fn split_lines(s: &str, keep: bool) -> Vec<String> {
    let ends = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = s;
    while !rest.is_empty() && lines.len() < MANY {
        let Some(at) = rest.find(ends) else {
            lines.push(rest.to_string());
            break;
        };
        let size = if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        lines.push(rest[..if keep { at + size } else { at }].to_string());
        rest = &rest[at + size..];
    }
    lines
}

/// Sorted by Python's ordering; the first failing comparison is the error.
pub fn sorted(keyed: Vec<(Value, Value)>, reverse: bool) -> Outcome<Vec<Value>> {
    Ok(merge_sorted(keyed, reverse, &mut Budget::new())?.into_iter().map(|(_, item)| item).collect())
}

fn merge_sorted(mut keyed: Vec<(Value, Value)>, reverse: bool, budget: &mut Budget) -> Outcome<Vec<(Value, Value)>> {
    if keyed.len() < 2 {
        return Ok(keyed);
    }
    let second = keyed.split_off(keyed.len() / 2);
    let mut left = merge_sorted(keyed, reverse, budget)?.into_iter().peekable();
    let mut right = merge_sorted(second, reverse, budget)?.into_iter().peekable();
    let earlier = if reverse { Ordering::Greater } else { Ordering::Less };
    let mut out = Vec::with_capacity(left.len() + right.len());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        out.extend(if compare_within(b, a, budget)? == earlier { right.next() } else { left.next() });
    }
    out.extend(left.chain(right));
    Ok(out)
}
