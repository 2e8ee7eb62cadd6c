//! Python's values as the engine holds them: tuples, lists and dicts, how they print and compare.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::tests::is_sameas;
use minijinja::{Error, ErrorKind};

use crate::budget::{checked_items, Budget, MAX_ITEMS};
use crate::printing::show;

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
        show(self, f)
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
        show(self, f)
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
        show(self, f)
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
    let mut budget = Budget::new();
    for (key, _) in &pairs {
        if !hashable_within(key, &mut budget)? {
            return type_error(format!("unhashable type: '{}'", type_name(key)));
        }
    }
    Ok(dict(pairs))
}

/// One value for keys that are equal in Python: 1, 1.0 and true.
pub fn hashed(key: &Value) -> Value {
    match (integer(key), float(key)) {
        (Some(whole), _) => Value::from(whole),
        (None, Some(number)) if number.fract() == 0.0 && number.abs() < 1e18 => Value::from(number as i128),
        _ => key.clone(),
    }
}

pub fn hashable(value: &Value) -> Outcome<bool> {
    hashable_within(value, &mut Budget::new())
}

/// Hashing a value that passes costs no more than this walk.
pub fn hashable_within(value: &Value, budget: &mut Budget) -> Outcome<bool> {
    match (value.kind(), type_name(value)) {
        (ValueKind::String, _) => budget.read(value.as_str().map_or(0, str::len)).map(|()| true),
        (_, "tuple") => {
            for item in members(value, budget)? {
                if !hashable_within(&item, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (_, "range") => members(value, budget).map(|_| true),
        (ValueKind::Map | ValueKind::Seq | ValueKind::Iterable, name) => Ok(name == "bytes"),
        _ => Ok(true),
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
    /// None for one that prints its items.
    pub printed: Option<String>,
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
        show(self, f)
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
pub fn equal(left: &Value, right: &Value) -> Outcome<bool> {
    equal_within(left, right, &mut Budget::new())
}

/// `==` as one of the comparisons of a step.
pub fn equal_within(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<bool> {
    equal_nested(left, right, 0, budget)
}

fn equal_nested(left: &Value, right: &Value, depth: usize, budget: &mut Budget) -> Outcome<bool> {
    if let (Some(a), Some(b)) = (float(left), float(right)) {
        return Ok(match (integer(left), integer(right)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        });
    }
    if type_name(left) != type_name(right) {
        return Ok(false);
    }
    check_depth(depth)?;
    match left.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(true),
        ValueKind::String => {
            let (a, b) = (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
            budget.read(if a.len() == b.len() { a.len() } else { 0 })?;
            Ok(a == b)
        }
        _ if same_object(left, right) => Ok(true),
        _ if is_sequence(left) && is_sequence(right) => {
            let (a, b) = (members(left, budget)?, members(right, budget)?);
            for (x, y) in a.iter().zip(&b) {
                if a.len() != b.len() || !equal_nested(x, y, depth + 1, budget)? {
                    return Ok(false);
                }
            }
            Ok(a.len() == b.len())
        }
        ValueKind::Map if type_name(left) == "dict" => {
            let keys = members(left, budget)?;
            if keys.len() != members(right, budget)?.len() {
                return Ok(false);
            }
            for key in &keys {
                let (Ok(a), Ok(b)) = (left.get_item(key), right.get_item(key)) else { return Ok(false) };
                if b.is_undefined() || !equal_nested(&a, &b, depth + 1, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ValueKind::Map => Ok(false),
        _ => Ok(left == right),
    }
}

fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// Python finds an object equal to itself without a look inside.
fn same_object(left: &Value, right: &Value) -> bool {
    left.as_object().is_some() && is_sameas(left, right)
}

/// Nesting that a walk follows; Python's own recursion limit is near it.
const MAX_NESTING: usize = 500;

pub fn check_depth(depth: usize) -> Outcome<()> {
    if depth > MAX_NESTING { type_error(format!("found nesting above {MAX_NESTING}")) } else { Ok(()) }
}

/// The elements of a sequence or the keys of a mapping, paid for; an empty container costs something as well.
pub fn members(value: &Value, budget: &mut Budget) -> Outcome<Vec<Value>> {
    budget.spend(1 + value.len().unwrap_or(0))?;
    Ok(items(value))
}

/// The elements of a sequence, the letters of a string, the keys of a mapping; nothing of an undefined.
pub fn iterate(value: &Value) -> Outcome<Vec<Value>> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::String => {
            checked_items(value.as_str().unwrap_or_default().chars().take(MAX_ITEMS as usize + 1).count())?;
            Ok(value.as_str().unwrap_or_default().chars().map(|c| Value::from(c.to_string())).collect())
        }
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
    compare_within(left, right, &mut Budget::new())
}

/// `<` as one of the comparisons of a step.
pub fn compare_within(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Ordering> {
    compare_nested(left, right, 0, budget)
}

fn compare_nested(left: &Value, right: &Value, depth: usize, budget: &mut Budget) -> Outcome<Ordering> {
    if let (Some(a), Some(b)) = (float(left), float(right)) {
        return Ok(match (integer(left), integer(right)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        });
    }
    check_depth(depth)?;
    match (left.kind(), right.kind()) {
        (ValueKind::String, ValueKind::String) => {
            let (a, b) = (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
            budget.read(a.len().min(b.len()))?;
            Ok(a.cmp(b))
        }
        (ValueKind::Seq, ValueKind::Seq) if type_name(left) == type_name(right) => {
            let (a, b) = (members(left, budget)?, members(right, budget)?);
            for (x, y) in a.iter().zip(&b) {
                if !equal_nested(x, y, depth + 1, budget)? {
                    return compare_nested(x, y, depth + 1, budget);
                }
            }
            Ok(a.len().cmp(&b.len()))
        }
        (ValueKind::Undefined, _) | (_, ValueKind::Undefined) => undefined_error("comparison with an undefined value"),
        _ => type_error(format!("'<' not supported between instances of '{}' and '{}'", type_name(left), type_name(right))),
    }
}
