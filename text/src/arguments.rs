//! The arguments of a call, by Python's rules.

use minijinja::value::{Kwargs, Value, ValueKind};

use crate::python::{text, type_error, type_name, Outcome};

/// Positional and keyword arguments by name; unknown and doubled ones are errors.
pub struct Args {
    values: Vec<Option<Value>>,
    names: &'static [&'static str],
}

impl Args {
    pub fn parse(call: &str, names: &'static [&'static str], given: &[Value]) -> Outcome<Self> {
        let (positional, keywords) = split_kwargs(given);
        if positional.len() > names.len() {
            return type_error(format!("{call}() takes {} arguments but {} were given", names.len(), positional.len()));
        }
        let mut values: Vec<Option<Value>> = positional.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        for (key, value) in keywords {
            match names.iter().position(|name| *name == key) {
                Some(at) if values[at].is_none() => values[at] = Some(value),
                _ => return type_error(format!("{call}() got an unexpected keyword argument '{key}'")),
            }
        }
        Ok(Self { values, names })
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.values[at].as_ref()
    }

    pub fn string(&self, name: &str, default: &str) -> String {
        self.get(name).map_or_else(|| default.to_string(), text)
    }

    pub fn truth(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, Value::is_true)
    }

    pub fn integer(&self, name: &str, default: i64) -> Outcome<i64> {
        match self.get(name) {
            None => Ok(default),
            Some(value) if value.kind() == ValueKind::Bool => Ok(i64::from(value.is_true())),
            Some(value) => match value.as_i64().filter(|_| value.is_integer()) {
                Some(number) => Ok(number),
                None => type_error(format!("'{}' object cannot be interpreted as an integer", type_name(value))),
            },
        }
    }
}

pub fn split_kwargs(given: &[Value]) -> (&[Value], Vec<(String, Value)>) {
    match given.split_last().filter(|(last, _)| last.is_kwargs()) {
        None => (given, Vec::new()),
        Some((last, positional)) => {
            let pairs = Kwargs::try_from(last.clone())
                .map(|kwargs| kwargs.args().map(|key| (key.to_string(), kwargs.peek(key).unwrap_or_default())).collect())
                .unwrap_or_default();
            (positional, pairs)
        }
    }
}
