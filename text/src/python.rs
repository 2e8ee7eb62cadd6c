//! Python's values as the engine holds them: tuples, lists and dicts, how they print and compare.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind};

pub type Outcome<T = Value> = std::result::Result<T, Error>;

pub fn type_error<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Error::new(ErrorKind::InvalidOperation, message.into()))
}

pub fn undefined_error<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Error::new(ErrorKind::UndefinedError, message.into()))
}

/// A Python tuple: a sequence that prints in parentheses and equals no list. Its items may have names too.
#[derive(Debug)]
pub struct Tuple(pub Vec<Value>, pub &'static [&'static str]);

impl Object for Tuple {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let named = || self.1.iter().position(|name| key.as_str() == Some(name));
        self.0.get(key.as_usize().or_else(named)?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(repr).collect();
        let comma = if parts.len() == 1 { "," } else { "" };
        write!(f, "({}{comma})", parts.join(", "))
    }
}

/// A list that prints as Python prints it, also where the engine joins it to text.
#[derive(Debug)]
struct List(Vec<Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]", self.0.iter().map(repr).collect::<Vec<_>>().join(", "))
    }
}

pub fn list(items: Vec<Value>) -> Value {
    Value::from_object(List(items))
}

/// A dict in the order of its keys, printing as Python's; members by keys as `hashed` gives them.
#[derive(Debug)]
struct Dict {
    keys: Vec<Value>,
    members: HashMap<Value, Value>,
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.members.get(&hashed(key)).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.clone())
    }
    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.keys.len())
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pair = |key: &Value| format!("{}: {}", repr(key), self.members.get(&hashed(key)).map_or(String::new(), repr));
        write!(f, "{{{}}}", self.keys.iter().map(pair).collect::<Vec<_>>().join(", "))
    }
}

/// The last of equal keys counts, at the place of the first.
pub fn dict(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    let mut made = Dict { keys: Vec::new(), members: HashMap::new() };
    for (key, value) in pairs {
        if made.members.insert(hashed(&key), value).is_none() {
            made.keys.push(key);
        }
    }
    Value::from_object(made)
}

/// The same for keys that a template gives.
pub fn checked_dict(pairs: Vec<(Value, Value)>) -> Outcome {
    match pairs.iter().find(|(key, _)| !hashable(key)) {
        Some((key, _)) => type_error(format!("unhashable type: '{}'", type_name(key))),
        None => Ok(dict(pairs)),
    }
}

/// One value for keys that are equal in Python: 1, 1.0 and true.
fn hashed(key: &Value) -> Value {
    match (integer(key), float(key)) {
        (Some(whole), _) => Value::from(whole),
        (None, Some(number)) if number.fract() == 0.0 && number.abs() < 1e18 => Value::from(number as i128),
        _ => key.clone(),
    }
}

pub fn hashable(value: &Value) -> bool {
    match type_name(value) {
        "list" | "dict" | "dict_items" | "dict_keys" | "dict_values" => false,
        "tuple" => items(value).iter().all(hashable),
        _ => true,
    }
}

pub fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Array(items) => list(items.iter().map(from_json).collect()),
        serde_json::Value::Object(members) => dict(members.iter().map(|(key, value)| (Value::from(key.as_str()), from_json(value)))),
        other => Value::from_serialize(other),
    }
}

pub fn tuple(parts: Vec<Value>) -> Value {
    Value::from_object(Tuple(parts, &[]))
}

/// A view that is not a list: dict.items(), keys(), values(), range. It iterates, but JSON refuses it.
#[derive(Debug)]
pub struct View {
    pub name: &'static str,
    pub printed: String,
    pub items: Vec<Value>,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.printed)
    }
}

pub fn type_name(value: &Value) -> &'static str {
    if let Some(view) = value.downcast_object_ref::<View>() {
        return view.name;
    }
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Seq if value.downcast_object_ref::<Tuple>().is_some() => "tuple",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => match value.as_object().map_or("", |object| object.type_name()).rsplit("::").next() {
            Some("Namespace") => "Namespace",
            Some("Loop") => "LoopContext",
            Some("Cycler") => "Cycler",
            _ => "dict",
        },
        _ => "object",
    }
}

/// The number of an int or a bool.
pub fn integer(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// The number of an int, a bool or a float.
pub fn float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// Python's `==`.
pub fn equal(left: &Value, right: &Value) -> bool {
    equal_nested(left, right, 0)
}

fn equal_nested(left: &Value, right: &Value, depth: usize) -> bool {
    if let (Some(a), Some(b)) = (float(left), float(right)) {
        return match (integer(left), integer(right)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        };
    }
    let sequence = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if depth > MAX_NESTING || type_name(left) != type_name(right) {
        return false;
    }
    match left.kind() {
        ValueKind::Undefined | ValueKind::None => true,
        ValueKind::String => left.as_str() == right.as_str(),
        _ if sequence(left) && sequence(right) => {
            let (a, b) = (items(left), items(right));
            a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| equal_nested(x, y, depth + 1))
        }
        ValueKind::Map if type_name(left) == "dict" => {
            let keys = items(left);
            let same = |key: &Value| match (left.get_item(key), right.get_item(key)) {
                (Ok(a), Ok(b)) => !b.is_undefined() && equal_nested(&a, &b, depth + 1),
                _ => false,
            };
            keys.len() == items(right).len() && keys.iter().all(same)
        }
        _ => left == right,
    }
}

pub fn is_list(value: &Value) -> bool {
    matches!(type_name(value), "list")
}

/// Python's str().
pub fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_string(),
        ValueKind::Undefined => String::new(),
        _ => repr(value),
    }
}

/// Nesting that repr follows; Python's own recursion limit is near it.
const MAX_NESTING: usize = 500;

/// Python's repr().
pub fn repr(value: &Value) -> String {
    repr_nested(value, 0)
}

fn repr_nested(value: &Value, depth: usize) -> String {
    let inner = |value: &Value| repr_nested(value, depth + 1);
    match value.kind() {
        ValueKind::Undefined => "Undefined".into(),
        ValueKind::String => repr_str(value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => repr_float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth > MAX_NESTING => "...".into(),
        ValueKind::Seq | ValueKind::Iterable if is_list(value) => {
            format!("[{}]", items(value).iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        ValueKind::Map => {
            let pair = |key: Value| format!("{}: {}", inner(&key), inner(&value.get_item(&key).unwrap_or_default()));
            let pairs = value.try_iter().map(|keys| keys.map(pair).collect::<Vec<_>>().join(", ")).unwrap_or_default();
            if type_name(value) == "Namespace" { format!("<Namespace {{{pairs}}}>") } else { format!("{{{pairs}}}") }
        }
        _ => value.to_string(),
    }
}

pub fn repr_float(number: f64) -> String {
    if number.is_nan() || number.is_infinite() {
        return if number.is_nan() { "nan".into() } else if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let shortest = format!("{number:?}");
    let Some((digits, exponent)) = shortest.split_once('e') else { return shortest };
    let power: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if letter == quote => out.extend(['\\', letter]),
            _ if printable(letter) => out.push(letter),
            _ => match u32::from(letter) {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
    out
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

/// The elements of a sequence, the letters of a string, the keys of a mapping; nothing of an undefined.
pub fn iterate(value: &Value) -> Outcome<Vec<Value>> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().chars().map(|c| Value::from(c.to_string())).collect()),
        ValueKind::None | ValueKind::Bool | ValueKind::Number => type_error(format!("'{}' object is not iterable", type_name(value))),
        ValueKind::Map if type_name(value) == "Namespace" => type_error("'Namespace' object is not iterable"),
        _ => Ok(value.try_iter()?.collect()),
    }
}

pub fn items(value: &Value) -> Vec<Value> {
    iterate(value).unwrap_or_default()
}

/// Python's `<` ordering: numbers with numbers, text with text, sequences element by element.
pub fn compare(left: &Value, right: &Value) -> Outcome<Ordering> {
    if let (Some(a), Some(b)) = (float(left), float(right)) {
        return Ok(match (integer(left), integer(right)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        });
    }
    match (left.kind(), right.kind()) {
        (ValueKind::String, ValueKind::String) => Ok(left.as_str().cmp(&right.as_str())),
        (ValueKind::Seq, ValueKind::Seq) if type_name(left) == type_name(right) => {
            let (a, b) = (items(left), items(right));
            for (x, y) in a.iter().zip(&b) {
                if !equal(x, y) {
                    return compare(x, y);
                }
            }
            Ok(a.len().cmp(&b.len()))
        }
        (ValueKind::Undefined, _) | (_, ValueKind::Undefined) => undefined_error("comparison with an undefined value"),
        _ => type_error(format!("'<' not supported between instances of '{}' and '{}'", type_name(left), type_name(right))),
    }
}
