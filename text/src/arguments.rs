//! The arguments of a call, by Python's rules.

use minijinja::value::{Kwargs, Value, ValueKind};

use crate::budget::checked_size;
use crate::printing::text;
use crate::python::{type_error, type_name, Outcome};

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

    pub fn string(&self, name: &str, default: &str) -> Outcome<String> {
        self.get(name).map_or_else(|| Ok(default.to_string()), text)
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

/// Letters compare without case unless `case_sensitive`; the copies of a step stay within its bound.
pub struct Folding {
    keep_case: bool,
    made: usize,
}

impl Folding {
    pub fn new(args: &Args) -> Self {
        Self { keep_case: args.truth("case_sensitive", false), made: 0 }
    }

    pub fn key(&mut self, value: Value) -> Outcome {
        match value.as_str() {
            Some(s) if !self.keep_case => {
                self.made = checked_size((self.made + s.len()) as i64)?;
                Ok(Value::from(s.to_lowercase()))
            }
            _ => Ok(value),
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
