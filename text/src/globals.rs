//! Jinja2's global functions: range, dict, namespace, cycler, joiner.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueKind};
use minijinja::{functions, Environment, Error, ErrorKind, State};

use crate::arguments::{split_kwargs, Args};
use crate::access;
use crate::expression::CALL_FUNCTION;
use crate::budget::MAX_ITEMS;
use crate::printing::repr;
use crate::python::{self, checked_dict, iterate, type_error, Outcome, View};

pub fn install(environment: &mut Environment) {
    environment.remove_global("debug");
    environment.add_function("range", |rest: Rest<Value>| range(&rest));
    environment.add_global("dict", Value::from_object(DictType));
    environment.add_function("namespace", |rest: Rest<Value>| namespace(&rest));
    environment.add_function("cycler", |rest: Rest<Value>| Value::from_object(Cycler { items: rest.to_vec(), at: AtomicUsize::new(0) }));
    environment.add_function("joiner", |separator: Option<String>| {
        Value::from_object(Joiner { separator: separator.unwrap_or_else(|| ", ".into()), calls: AtomicUsize::new(0) })
    });
    environment.add_function("lipsum", |_: Rest<Value>| -> Outcome { type_error("lipsum is not supported") });
    environment.add_function(CALL_FUNCTION, |state: &State, rest: Rest<Value>| access::call_function(state, &rest));
}

fn range(given: &[Value]) -> Outcome {
    let args = Args::parse("range", &["a", "b", "c"], given)?;
    let (start, stop) = match args.get("b") {
        Some(_) => (args.integer("a", 0)?, args.integer("b", 0)?),
        None => (0, args.integer("a", 0)?),
    };
    let step = args.integer("c", 1)?;
    if step == 0 || given.is_empty() {
        return type_error("range() arg 3 must not be zero");
    }
    let count = ((i128::from(stop) - i128::from(start) + i128::from(step) - i128::from(step.signum())) / i128::from(step)).max(0);
    if count > i128::from(MAX_ITEMS) {
        return type_error(format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_ITEMS})."));
    }
    let items = (0..count as i64).map(|index| Value::from(start + index * step)).collect();
    let third = if step == 1 { String::new() } else { format!(", {step}") };
    Ok(Value::from_object(View { name: "range", printed: Some(format!("range({start}, {stop}{third})")), items }))
}

/// Pairs of a mapping or of a list of pairs, then keyword arguments.
fn pairs(given: &[Value]) -> Outcome<Vec<(Value, Value)>> {
    let (positional, keywords) = split_kwargs(given);
    let mut all = Vec::new();
    for source in positional {
        for entry in iterate(source)? {
            match source.kind() {
                ValueKind::Map => all.push((entry.clone(), source.get_item(&entry)?)),
                _ => match iterate(&entry)?.as_slice() {
                    [key, value] => all.push((key.clone(), value.clone())),
                    other => return type_error(format!("dictionary update sequence element has length {}; 2 is required", other.len())),
                },
            }
        }
    }
    all.extend(keywords.into_iter().map(|(key, value)| (Value::from(key), value)));
    Ok(all)
}

fn namespace(given: &[Value]) -> Outcome {
    let members = pairs(given)?;
    if let Some((key, _)) = members.iter().find(|(key, _)| key.as_str().is_some_and(|key| key.starts_with('_'))) {
        return type_error(format!("Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}", repr(key)?));
    }
    functions::namespace(Some(python::dict(members)))
}

#[derive(Debug)]
struct DictType;

impl Object for DictType {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn call(self: &Arc<Self>, _: &State, given: &[Value]) -> Outcome {
        checked_dict(pairs(given)?)
    }
    fn call_method(self: &Arc<Self>, _: &State, method: &str, given: &[Value]) -> Outcome {
        match (method, given) {
            ("fromkeys", [keys, rest @ ..]) => {
                let value = rest.first().cloned().unwrap_or(Value::from(()));
                checked_dict(iterate(keys)?.into_iter().map(|key| (key, value.clone())).collect())
            }
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("type object 'dict' has no attribute '{method}'"))),
        }
    }
}

#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Object for Cycler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let current = || self.items.get(self.at.load(Ordering::Relaxed) % self.items.len().max(1)).cloned();
        if key.as_str() == Some("current") { current() } else { None }
    }
    fn call_method(self: &Arc<Self>, _: &State, method: &str, _: &[Value]) -> Outcome {
        match method {
            "next" if !self.items.is_empty() => Ok(self.items[self.at.fetch_add(1, Ordering::Relaxed) % self.items.len()].clone()),
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("'Cycler' object has no attribute '{method}'"))),
        }
    }
}

/// Nothing on the first call, the separator on later ones.
#[derive(Debug)]
struct Joiner {
    separator: String,
    calls: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn call(self: &Arc<Self>, _: &State, _: &[Value]) -> Outcome {
        Ok(Value::from(if self.calls.fetch_add(1, Ordering::Relaxed) == 0 { "" } else { self.separator.as_str() }))
    }
}
