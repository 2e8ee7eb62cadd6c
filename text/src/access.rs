//! Members, slices and calls as Python and Jinja2's sandbox give them: a name is an attribute before it is an item, a
//! subscript the other way round.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use crate::arguments::split_kwargs;
use crate::{methods, printing};
use crate::python::{checked_dict, hashable, integer, items, list, tuple, type_error, type_name, undefined_error, Outcome};

/// A method of a built-in type with the value it belongs to.
#[derive(Debug)]
struct Bound {
    value: Value,
    method: String,
}

impl Object for Bound {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn call(self: &Arc<Self>, _: &State, given: &[Value]) -> Outcome {
        methods::call(&self.value, &self.method, given)
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<built-in method {} of {} object>", self.method, type_name(&self.value))
    }
}

fn name_of(given: &[Value]) -> &str {
    given.first().and_then(Value::as_str).unwrap_or_default()
}

/// A method, or None where the type has none of that name. Those that would change the value are undefined.
fn method(value: &Value, name: &str) -> Option<Value> {
    if methods::changes(value, name) {
        return Some(Value::UNDEFINED);
    }
    methods::known(value, name).then(|| Value::from_object(Bound { value: value.clone(), method: name.to_string() }))
}

fn defined(value: &Value, name: &str) -> Outcome<()> {
    if value.is_undefined() { undefined_error(format!("an undefined value has no member '{name}'")) } else { Ok(()) }
}

/// `value.name`.
pub fn attribute(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let name = name_of(given);
    defined(value, name)?;
    if let Some(names) = parameters(value).filter(|_| name == "arguments") {
        return Ok(tuple(names.into_iter().filter(|name| name != "varargs" && name != "kwargs").map(Value::from).collect()));
    }
    Ok(method(value, name).unwrap_or_else(|| value.get_attr(name).unwrap_or_default()))
}

/// The filter `attr`: never an item.
pub fn only_attribute(value: &Value, name: &str) -> Outcome {
    defined(value, name)?;
    let items_only = matches!(type_name(value), "dict" | "list" | "tuple" | "str");
    Ok(method(value, name).unwrap_or_else(|| if items_only { Value::UNDEFINED } else { value.get_attr(name).unwrap_or_default() }))
}

/// `value[key]`.
pub fn subscript(_: &State, value: &Value, given: &[Value]) -> Outcome {
    item(value, given.first().unwrap_or(&Value::UNDEFINED))
}

pub fn item(value: &Value, key: &Value) -> Outcome {
    defined(value, key.as_str().unwrap_or("[]"))?;
    if value.kind() == ValueKind::Map && hashable(key)? {
        let found = value.get_item(key).unwrap_or_default();
        if !found.is_undefined() {
            return Ok(found);
        }
    }
    if let (Some(at), true) = (integer(key), indexed(value)) {
        let size = length(value) as i128;
        let at = if at < 0 { at + size } else { at };
        return Ok(if (0..size).contains(&at) { nth(value, at as usize) } else { Value::UNDEFINED });
    }
    let named = key.as_str().and_then(|name| method(value, name));
    let grouped = || key.as_str().map(|name| value.get_attr(name).unwrap_or_default()).unwrap_or_default();
    Ok(named.unwrap_or_else(grouped))
}

fn indexed(value: &Value) -> bool {
    matches!(type_name(value), "list" | "tuple" | "str" | "range")
}

fn length(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.len().unwrap_or(0), |s| s.chars().count())
}

fn nth(value: &Value, at: usize) -> Value {
    match value.as_str() {
        Some(s) => s.chars().nth(at).map(|letter| Value::from(letter.to_string())).unwrap_or_default(),
        None => value.get_item_by_index(at).unwrap_or_default(),
    }
}

/// `value[start:stop:step]`, none for a part that is left out.
pub fn slice(_: &State, value: &Value, given: &[Value]) -> Outcome {
    defined(value, "[:]")?;
    let part = |at: usize| given.get(at).filter(|part| !part.is_none());
    if !indexed(value) {
        return type_error(format!("'{}' object has no slices", type_name(value)));
    }
    if (0..3).filter_map(part).any(|part| integer(part).is_none()) {
        return type_error("slice indices must be integers or None or have an __index__ method");
    }
    let step = part(2).and_then(integer).unwrap_or(1);
    if step == 0 {
        return type_error("slice step cannot be zero");
    }
    let size = length(value) as i128;
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let place = |at: usize, default: i128| part(at).and_then(integer).map_or(default, |n| (if n < 0 { n.saturating_add(size) } else { n }).clamp(low, high));
    let (mut at, stop) = if step > 0 { (place(0, low), place(1, high)) } else { (place(0, high), place(1, low)) };
    let mut places = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    if let Some(s) = value.as_str() {
        let letters: Vec<char> = s.chars().collect();
        return Ok(Value::from(places.into_iter().map(|at| letters[at]).collect::<String>()));
    }
    let all = items(value);
    let taken = places.into_iter().map(|at| all[at].clone()).collect();
    Ok(if type_name(value) == "tuple" { tuple(taken) } else { list(taken) })
}

/// `value(arguments)`.
pub fn call(state: &State, value: &Value, given: &[Value]) -> Outcome {
    if value.is_undefined() {
        return undefined_error("a function is undefined");
    }
    match parameters(value) {
        Some(names) if names.iter().any(|name| name == "varargs" || name == "kwargs") => value.call(state, &packed(&names, given)?),
        _ => value.call(state, given),
    }
}

/// The same as a function, whose first argument is called.
pub fn call_function(state: &State, given: &[Value]) -> Outcome {
    match given {
        [value, rest @ ..] => call(state, value, rest),
        [] => type_error("nothing to call"),
    }
}

/// The parameters of a macro.
fn parameters(value: &Value) -> Option<Vec<String>> {
    let object = value.as_object().filter(|object| object.type_name().ends_with("::Macro"))?;
    let names = object.get_value(&Value::from("arguments"))?;
    Some(items(&names).iter().filter_map(|name| name.as_str().map(String::from)).collect())
}

/// Arguments beyond a macro's parameters as its `varargs` and `kwargs`.
fn packed(names: &[String], given: &[Value]) -> Outcome<Vec<Value>> {
    let takes = |wanted: &str| names.iter().any(|name| name == wanted);
    let own = names.iter().filter(|name| *name != "varargs" && *name != "kwargs").count();
    let (positional, keywords) = split_kwargs(given);
    let (first, surplus) = positional.split_at(own.min(positional.len()));
    if !surplus.is_empty() && !takes("varargs") {
        return type_error(format!("macro takes not more than {own} argument(s)"));
    }
    let is_own = |name: &String| name == "caller" || names[..own].contains(name);
    let (mut passed, more): (Vec<_>, Vec<_>) = keywords.into_iter().partition(|(name, _)| is_own(name) || !takes("kwargs"));
    if takes("varargs") {
        passed.push(("varargs".into(), tuple(surplus.to_vec())));
    }
    if takes("kwargs") {
        passed.push(("kwargs".into(), checked_dict(more.into_iter().map(|(name, value)| (Value::from(name), value)).collect())?));
    }
    Ok(first.iter().cloned().chain([Value::from(Kwargs::from_iter(passed))]).collect())
}

/// `value.name(arguments)`.
pub fn call_method(state: &State, value: &Value, given: &[Value]) -> Outcome {
    let (name, given) = (name_of(given), given.get(1..).unwrap_or_default());
    defined(value, name)?;
    if methods::known(value, name) {
        return methods::call(value, name, given);
    }
    let member = if methods::changes(value, name) { Value::UNDEFINED } else { value.get_attr(name).unwrap_or_default() };
    if !member.is_undefined() {
        return call(state, &member, given);
    }
    if name == "changed" {
        // The engine compares what its loop.changed is given: what is short enough to print is short enough for that.
        printing::repr(&tuple(given.to_vec()))?;
    }
    match value.kind() {
        ValueKind::Plain | ValueKind::Map => value.call_method(state, name, given),
        _ => Err(Error::new(ErrorKind::UnknownMethod, format!("'{} object' has no attribute '{name}'", type_name(value)))),
    }
}
