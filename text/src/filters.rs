//! Jinja2's filters, tests and globals where the engine's own differ from Python's.

use minijinja::value::{Rest, Value, ValueKind};
use crate::globals;
use minijinja::{Environment, Error, ErrorKind, State};

use crate::methods::{is_space, replace, sorted, strip};
use crate::python::{
    iterate, list, percent, repr, split_kwargs, text, tuple, type_error, type_name, undefined_error, Args, Json, Outcome,
};

/// No text or list made by one step of a template is larger.
const MAX_SIZE: usize = 16 << 20;
pub const MAX_ITEMS: i64 = 100_000;

/// Filters and a function that syntax.rs writes into templates.
pub const ITERABLE: &str = "__iterable";
pub const PERCENT: &str = "__percent";
pub const TUPLE: &str = "__tuple";

type Filter = fn(&State, &Value, &[Value]) -> Outcome;

pub fn checked_size(size: i64) -> Outcome<usize> {
    usize::try_from(size.max(0)).ok().filter(|size| *size <= MAX_SIZE).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "result is too large"))
}

const FILTERS: &[(&str, Filter)] = &[
    ("tojson", tojson), ("join", join), ("string", |_, v, _| Ok(Value::from(text(v)))), ("upper", |_, v, a| on_text(v, a, str::to_uppercase)),
    ("lower", |_, v, a| on_text(v, a, str::to_lowercase)), ("capitalize", |_, v, a| on_text(v, a, capitalize)),
    ("title", |_, v, a| on_text(v, a, title)), ("trim", trim), ("replace", replace_filter),
    ("length", length), ("count", length), ("first", first), ("last", last), ("list", |_, v, _| Ok(list(iterate(v)?))),
    ("sort", sort), ("min", |_, v, a| extreme(v, a, false)), ("max", |_, v, a| extreme(v, a, true)), ("sum", sum), ("unique", unique),
    ("map", map), ("select", |s, v, a| select(s, v, a, false, true)), ("reject", |s, v, a| select(s, v, a, false, false)),
    ("selectattr", |s, v, a| select(s, v, a, true, true)), ("rejectattr", |s, v, a| select(s, v, a, true, false)),
    ("batch", batch), ("slice", slice), ("groupby", groupby), ("random", first), ("dictsort", dictsort), ("items", items), ("round", round),
    ("int", int), ("float", float), ("abs", abs), ("default", default), ("d", default), ("attr", attr), ("truncate", truncate), ("indent", indent),
    ("center", center), ("wordcount", wordcount), ("wordwrap", wordwrap), ("format", format), ("escape", escape), ("e", escape),
    ("striptags", striptags), ("urlencode", urlencode), ("filesizeformat", filesizeformat), ("xmlattr", xmlattr), ("reverse", reverse),
    (ITERABLE, |_, v, _| if matches!(v.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number) { iterate(v).map(list) } else { Ok(v.clone()) }),
    (PERCENT, |_, v, a| Ok(Value::from(percent(&text(v), a.first().unwrap_or(&Value::UNDEFINED))?))),
    ("pprint", |_, v, _| Ok(Value::from(repr(v)))), ("forceescape", escape), ("safe", |_, v, _| Ok(Value::from(text(v)))),
];

pub fn install(environment: &mut Environment) {
    for unknown in ["bool", "lines", "split", "chain", "zip"] {
        environment.remove_filter(unknown);
    }
    for (name, filter) in FILTERS {
        environment.add_filter(*name, move |state: &State, value: Value, rest: Rest<Value>| filter(state, &value, &rest));
    }
    environment.remove_global("debug");
    globals::install(environment);
    environment.add_test("integer", |v: Value| v.is_integer() && v.kind() == ValueKind::Number);
    environment.add_test("number", |v: Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool));
    environment.add_test("sequence", |v: Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined));
    environment.add_test("iterable", |v: Value| !matches!(v.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number));
    environment.add_test("lower", |v: Value| { let s = text(&v); s.chars().any(char::is_lowercase) && !s.chars().any(char::is_uppercase) });
    environment.add_test("upper", |v: Value| { let s = text(&v); s.chars().any(char::is_uppercase) && !s.chars().any(char::is_lowercase) });
    environment.add_test("divisibleby", |v: i128, by: i128| if by == 0 { type_error("integer modulo by zero") } else { Ok(v % by == 0) });
    environment.add_test("callable", |v: Value| v.kind() == ValueKind::Plain);
}

/// A filter from text to text without arguments.
fn on_text(value: &Value, given: &[Value], change: fn(&str) -> String) -> Outcome {
    parse("filter", &[], given)?;
    Ok(Value::from(change(&text(value))))
}

fn parse(name: &str, names: &'static [&'static str], given: &[Value]) -> Outcome<Args> {
    Args::parse(name, names, given)
}

fn tojson(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"], given)?;
    let indent = match args.get("indent").filter(|indent| !indent.is_none()) {
        Some(indent) if indent.kind() == ValueKind::String => Some(text(indent)),
        Some(_) => Some(" ".repeat(checked_size(args.integer("indent", 0)?)?.min(64))),
        None => None,
    };
    let mut separators = (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string());
    if let Some(given) = args.get("separators").filter(|s| !s.is_none()) {
        match iterate(given)?.as_slice() {
            [item, key] => separators = (text(item), text(key)),
            _ => return type_error("separators: expected two"),
        }
    }
    let dumper = Json {
        ascii: args.truth("ensure_ascii", false), sort: args.truth("sort_keys", false), indent,
        item_separator: separators.0, key_separator: separators.1,
    };
    let mut out = String::new();
    dumper.dump(value, 0, &mut out)?;
    Ok(Value::from(out))
}

/// `a.b.0`: names and numbers, one after another.
fn attribute(value: &Value, path: &Value) -> Outcome {
    if path.kind() != ValueKind::String {
        return member(value, path);
    }
    let mut current = value.clone();
    for part in path.as_str().unwrap_or_default().split('.') {
        let key = part.parse::<i64>().map_or_else(|_| Value::from(part), Value::from);
        current = member(&current, &key)?;
    }
    Ok(current)
}

fn member(value: &Value, key: &Value) -> Outcome {
    if value.is_undefined() {
        return undefined_error("an undefined value has no members");
    }
    Ok(value.get_item(key).unwrap_or_default())
}

fn join(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("join", &["d", "attribute"], given)?;
    let separator = args.string("d", "");
    let mut parts = Vec::new();
    for item in iterate(value)? {
        parts.push(match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => text(&attribute(&item, path)?),
            None => text(&item),
        });
    }
    Ok(Value::from(parts.join(&separator)))
}

pub fn capitalize(s: &str) -> String {
    let mut letters = s.chars();
    letters.next().map_or_else(String::new, |first| titlecase(first) + &letters.as_str().to_lowercase())
}

fn titlecase(letter: char) -> String {
    match letter {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".into(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".into(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".into(),
        'ß' => "Ss".into(),
        _ => letter.to_uppercase().collect(),
    }
}

/// str.title starts a word after every character that is no letter.
pub fn title_method(s: &str) -> String {
    let mut out = String::new();
    for word in s.split_inclusive(|c: char| !c.is_alphabetic()) {
        out.push_str(&capitalize(word));
    }
    out
}

/// The title filter starts a word after space, an opening bracket or a dash.
fn title(s: &str) -> String {
    let mut out = String::new();
    for word in s.split_inclusive(|c: char| is_space(c) || "-({[<".contains(c)) {
        let mut letters = word.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&letters.as_str().to_lowercase());
    }
    out
}

fn trim(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("trim", &["chars"], given)?;
    let chars = args.get("chars").filter(|c| !c.is_none()).map(text);
    Ok(Value::from(strip(&text(value), chars.as_deref(), true, true)))
}

fn replace_filter(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("replace", &["old", "new", "count"], given)?;
    let count = if args.get("count").is_some_and(|c| !c.is_none()) { args.integer("count", -1)? } else { -1 };
    Ok(Value::from(replace(&text(value), &args.string("old", ""), &args.string("new", ""), count)?))
}

fn length(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number => type_error(format!("object of type '{}' has no len()", type_name(value))),
        _ => Ok(Value::from(iterate(value)?.len())),
    }
}

fn first(_: &State, value: &Value, _: &[Value]) -> Outcome {
    Ok(iterate(value)?.into_iter().next().unwrap_or_default())
}

fn last(_: &State, value: &Value, _: &[Value]) -> Outcome {
    Ok(iterate(value)?.pop().unwrap_or_default())
}

fn reverse(_: &State, value: &Value, _: &[Value]) -> Outcome {
    if let Some(s) = value.as_str() {
        return Ok(Value::from(s.chars().rev().collect::<String>()));
    }
    let mut items = iterate(value)?;
    items.reverse();
    Ok(list(items))
}

/// Letters compare without case unless asked.
fn folded(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(s) if !case_sensitive => Value::from(s.to_lowercase()),
        _ => value,
    }
}

fn sort(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("sort", &["reverse", "case_sensitive", "attribute"], given)?;
    let case = args.truth("case_sensitive", false);
    let mut keyed = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(paths) if paths.kind() == ValueKind::String => {
                let parts: Outcome<Vec<Value>> = text(paths).split(',')
                    .map(|path| Ok(folded(attribute(&item, &Value::from(path))?, case))).collect();
                list(parts?)
            }
            Some(path) => folded(attribute(&item, path)?, case),
            None => folded(item.clone(), case),
        };
        keyed.push((key, item));
    }
    Ok(list(sorted(keyed, args.truth("reverse", false))?))
}

fn extreme(value: &Value, given: &[Value], largest: bool) -> Outcome {
    let args = parse("min", &["case_sensitive", "attribute"], given)?;
    let mut keyed = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        keyed.push((folded(key, args.truth("case_sensitive", false)), item));
    }
    Ok(sorted(keyed, largest)?.into_iter().next().unwrap_or_default())
}

fn sum(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("sum", &["attribute", "start"], given)?;
    let mut total = args.get("start").cloned().unwrap_or(Value::from(0));
    for item in iterate(value)? {
        let part = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item,
        };
        total = add(&total, &part)?;
    }
    Ok(total)
}

fn add(left: &Value, right: &Value) -> Outcome {
    match (left.kind(), right.kind()) {
        (ValueKind::Seq, ValueKind::Seq) => Ok(list([iterate(left)?, iterate(right)?].concat())),
        (ValueKind::Number | ValueKind::Bool, ValueKind::Number | ValueKind::Bool) => {
            match (i128::try_from(left.clone()), i128::try_from(right.clone())) {
                (Ok(a), Ok(b)) if type_name(left) != "float" && type_name(right) != "float" => Ok(Value::from(a.saturating_add(b))),
                _ => Ok(Value::from(f64::try_from(left.clone())? + f64::try_from(right.clone())?)),
            }
        }
        _ => type_error(format!("unsupported operand type(s) for +: '{}' and '{}'", type_name(left), type_name(right))),
    }
}

fn unique(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("unique", &["case_sensitive", "attribute"], given)?;
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        let key = folded(key, args.truth("case_sensitive", false));
        if !seen.contains(&key) {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(list(kept))
}

/// Nothing of a false value, even one that cannot be iterated.
fn iterate_if_true(value: &Value) -> Outcome<Vec<Value>> {
    if value.is_true() { iterate(value) } else { Ok(Vec::new()) }
}

fn map(state: &State, value: &Value, given: &[Value]) -> Outcome {
    let (positional, keywords) = split_kwargs(given);
    let mut out = Vec::new();
    if positional.is_empty() {
        let named = |wanted: &str| keywords.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
        let Some(path) = named("attribute") else { return type_error("map requires a filter argument") };
        for item in iterate_if_true(value)? {
            let found = attribute(&item, path)?;
            out.push(match named("default") {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            });
        }
        return Ok(list(out));
    }
    let name = text(&positional[0]);
    for item in iterate_if_true(value)? {
        let arguments: Vec<Value> = std::iter::once(item).chain(given[1..].iter().cloned()).collect();
        out.push(state.apply_filter(&name, &arguments)?);
    }
    Ok(list(out))
}

fn select(state: &State, value: &Value, given: &[Value], by_attribute: bool, keep: bool) -> Outcome {
    let mut given = given.to_vec();
    if by_attribute && given.is_empty() {
        return type_error("Missing parameter for attribute name");
    }
    let path = if by_attribute { Some(given.remove(0)) } else { None };
    let mut out = Vec::new();
    for item in iterate_if_true(value)? {
        let subject = path.as_ref().map_or_else(|| Ok(item.clone()), |path| attribute(&item, path))?;
        let yes = match given.first() {
            None => subject.is_true(),
            Some(test) => {
                let arguments: Vec<Value> = std::iter::once(subject).chain(given[1..].iter().cloned()).collect();
                state.perform_test(&text(test), &arguments)?
            }
        };
        if yes == keep {
            out.push(item);
        }
    }
    Ok(list(out))
}

fn batch(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("batch", &["linecount", "fill_with"], given)?;
    let size = checked_size(args.integer("linecount", 1)?)?.clamp(1, MAX_ITEMS as usize);
    let rows = iterate(value)?.chunks(size).map(|row| {
        let mut row = row.to_vec();
        if let Some(fill) = args.get("fill_with").filter(|f| !f.is_none()) {
            row.resize(size, fill.clone());
        }
        list(row)
    }).collect::<Vec<Value>>();
    Ok(list(rows))
}

fn slice(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("slice", &["slices", "fill_with"], given)?;
    let items = iterate(value)?;
    let count = checked_size(args.integer("slices", 1)?)?.clamp(1, MAX_ITEMS as usize);
    let (per, extra) = (items.len() / count, items.len() % count);
    let mut rest = items.as_slice();
    let mut out = Vec::new();
    for index in 0..count {
        let (head, tail) = rest.split_at(per + usize::from(index < extra));
        rest = tail;
        let mut part = head.to_vec();
        if let Some(fill) = args.get("fill_with").filter(|f| !f.is_none() && index >= extra && extra > 0) {
            part.push(fill.clone());
        }
        out.push(list(part));
    }
    Ok(list(out))
}

fn groupby(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("groupby", &["attribute", "default", "case_sensitive"], given)?;
    let Some(path) = args.get("attribute") else { return type_error("groupby requires an attribute") };
    let mut keyed: Vec<(Value, Value)> = Vec::new();
    for item in iterate(value)? {
        let mut key = attribute(&item, path)?;
        if key.is_undefined() {
            match args.get("default") {
                Some(default) => key = default.clone(),
                None => return undefined_error(format!("{} object has no element {}", type_name(&item), repr(path))),
            }
        }
        keyed.push((folded(key.clone(), args.truth("case_sensitive", false)), Value::from(vec![key, item])));
    }
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for pair in sorted(keyed, false)? {
        let (key, item) = (pair.get_item_by_index(0)?, pair.get_item_by_index(1)?);
        let case = args.truth("case_sensitive", false);
        match groups.last_mut().filter(|(known, _)| folded(known.clone(), case) == folded(key.clone(), case)) {
            Some((_, members)) => members.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    let entry = |(key, members): (Value, Vec<Value>)| minijinja::context! { grouper => key, list => members };
    Ok(list(groups.into_iter().map(entry).collect()))
}

fn dictsort(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("dictsort", &["case_sensitive", "by", "reverse"], given)?;
    let by_value = args.string("by", "key") == "value";
    let case = args.truth("case_sensitive", false);
    let mut keyed = Vec::new();
    for key in iterate(value)? {
        let member = value.get_item(&key)?;
        let order = folded(if by_value { member.clone() } else { key.clone() }, case);
        keyed.push((order, tuple(vec![key, member])));
    }
    Ok(list(sorted(keyed, args.truth("reverse", false))?))
}

fn items(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match value.kind() {
        ValueKind::Undefined => Ok(list(Vec::new())),
        ValueKind::Map => iterate(value)?.into_iter().map(|key| Ok(tuple(vec![key.clone(), value.get_item(&key)?]))).collect::<Outcome<Vec<Value>>>().map(list),
        _ => type_error("Can only get item pairs from a mapping."),
    }
}

fn round(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("round", &["precision", "method"], given)?;
    let precision = args.integer("precision", 0)?.clamp(-300, 300) as i32;
    let number = f64::try_from(value.clone()).or_else(|_| type_error(format!("type {} doesn't define __round__ method", type_name(value))))?;
    let scale = 10f64.powi(precision);
    let result = match args.string("method", "common").as_str() {
        "ceil" => (number * scale).ceil() / scale,
        "floor" => (number * scale).floor() / scale,
        "common" if precision > 0 => format!("{number:.*}", precision as usize).parse().unwrap_or(number),
        "common" => (number * scale).round_ties_even() / scale,
        other => return type_error(format!("method must be common, ceil or floor, not {other}")),
    };
    Ok(if value.is_integer() && args.get("method").is_none() { Value::from(result as i128) } else { Value::from(result) })
}

fn int(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("int", &["default", "base"], given)?;
    let default = args.get("default").cloned().unwrap_or(Value::from(0));
    let base = u32::try_from(args.integer("base", 10)?).unwrap_or(10).clamp(2, 36);
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.clone(),
        ValueKind::Number => f64::try_from(value.clone()).ok().filter(|f| f.is_finite()).map_or(default, |f| Value::from(f.trunc() as i128)),
        ValueKind::String => {
            let trimmed = strip(&text(value), None, true, true).replace('_', "");
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

fn float(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("float", &["default"], given)?;
    let default = args.get("default").cloned().unwrap_or(Value::from(0.0));
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => Value::from(f64::try_from(value.clone())?),
        ValueKind::String => strip(&text(value), None, true, true).parse::<f64>().map_or(default, Value::from),
        _ => default,
    })
}

fn abs(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match type_name(value) {
        "int" => Ok(Value::from(i128::try_from(value.clone())?.saturating_abs())),
        "float" => Ok(Value::from(f64::try_from(value.clone())?.abs())),
        other => type_error(format!("bad operand type for abs(): '{other}'")),
    }
}

fn default(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("default", &["default_value", "boolean"], given)?;
    let replaced = value.is_undefined() || (args.truth("boolean", false) && !value.is_true());
    Ok(if replaced { args.get("default_value").cloned().unwrap_or(Value::from("")) } else { value.clone() })
}

fn attr(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("attr", &["name"], given)?;
    Ok(value.get_attr(&args.string("name", "")).unwrap_or_default())
}

fn truncate(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("truncate", &["length", "killwords", "end", "leeway"], given)?;
    let letters: Vec<char> = text(value).chars().collect();
    let size = checked_size(args.integer("length", 255)?)?;
    let end = args.string("end", "...");
    let leeway = checked_size(if args.get("leeway").is_some_and(|l| !l.is_none()) { args.integer("leeway", 5)? } else { 5 })?;
    if letters.len() <= size + leeway {
        return Ok(Value::from(letters.iter().collect::<String>()));
    }
    let mut cut: String = letters[..size.saturating_sub(end.chars().count())].iter().collect();
    if !args.truth("killwords", false) {
        cut = cut.rsplit_once(' ').map_or(cut.clone(), |(head, _)| head.to_string());
    }
    Ok(Value::from(cut + &end))
}

fn indent(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("indent", &["width", "first", "blank"], given)?;
    let pad = match args.get("width") {
        Some(width) if width.kind() == ValueKind::String => text(width),
        _ => " ".repeat(checked_size(args.integer("width", 4)?)?.min(10_000)),
    };
    let whole = text(value);
    checked_size((whole.len() + whole.matches('\n').count() * pad.len()) as i64)?;
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

fn center(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("center", &["width"], given)?;
    let s = text(value);
    let width = checked_size(args.integer("width", 80)?)?;
    let fill = width.saturating_sub(s.chars().count());
    let front = fill / 2 + (fill & width & 1);
    Ok(Value::from(" ".repeat(front) + &s + &" ".repeat(fill - front)))
}

fn wordcount(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    Ok(Value::from(text(value).split(|c| !word(c)).filter(|part| !part.is_empty()).count()))
}

fn wordwrap(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("wordwrap", &["width", "break_long_words", "wrapstring"], given)?;
    let width = checked_size(args.integer("width", 79)?)?.max(1);
    let end = args.string("wrapstring", "\n");
    let mut lines: Vec<String> = Vec::new();
    for line in text(value).lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            let joined = current.chars().count() + 1 + word.chars().count();
            if !current.is_empty() && joined > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
            while args.truth("break_long_words", true) && current.chars().count() > width {
                let at = current.char_indices().nth(width).map_or(current.len(), |(at, _)| at);
                let tail = current.split_off(at);
                lines.push(std::mem::replace(&mut current, tail));
            }
        }
        lines.push(current);
    }
    Ok(Value::from(lines.join(&end)))
}

fn format(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let (positional, keywords) = split_kwargs(given);
    let values = if keywords.is_empty() { tuple(positional.to_vec()) } else { keywords.into_iter().collect::<Value>() };
    Ok(Value::from(percent(&text(value), &values)?))
}

fn escaped(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

fn escape(_: &State, value: &Value, _: &[Value]) -> Outcome {
    Ok(Value::from(escaped(&text(value))))
}

fn striptags(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut rest = text(value);
    while let Some((head, tail)) = rest.split_once('<').map(|(h, t)| (h.to_string(), t.to_string())) {
        out.push_str(&head);
        match tail.split_once('>') {
            Some((_, after)) => rest = after.to_string(),
            None => {
                rest = tail;
                break;
            }
        }
    }
    out.push_str(&rest);
    Ok(Value::from(out.split(is_space).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")))
}

fn percent_encoded(s: &str, query: bool) -> String {
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

fn urlencode(_: &State, value: &Value, _: &[Value]) -> Outcome {
    let pair = |key: &Value, member: &Value| format!("{}={}", percent_encoded(&text(key), true), percent_encoded(&text(member), true));
    Ok(Value::from(match value.kind() {
        ValueKind::Map => iterate(value)?.iter().map(|key| Ok(pair(key, &value.get_item(key)?))).collect::<Outcome<Vec<_>>>()?.join("&"),
        ValueKind::Seq => iterate(value)?.iter().map(|item| Ok(pair(&item.get_item_by_index(0)?, &item.get_item_by_index(1)?))).collect::<Outcome<Vec<_>>>()?.join("&"),
        _ => percent_encoded(&text(value), false),
    }))
}

fn filesizeformat(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let binary = parse("filesizeformat", &["binary"], given)?.truth("binary", false);
    let bytes = f64::try_from(value.clone())?;
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

fn xmlattr(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let autospace = parse("xmlattr", &["autospace"], given)?.truth("autospace", true);
    let mut parts = Vec::new();
    for key in iterate(value)? {
        let member = value.get_item(&key)?;
        if !member.is_none() && !member.is_undefined() {
            parts.push(format!("{}=\"{}\"", escaped(&text(&key)), escaped(&text(&member))));
        }
    }
    let space = if autospace && !parts.is_empty() { " " } else { "" };
    Ok(Value::from(format!("{space}{}", parts.join(" "))))
}
