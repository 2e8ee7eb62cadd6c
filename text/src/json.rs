//! json.dumps, as the `tojson` filter of chat templates calls it.

use minijinja::value::{Value, ValueKind};

use crate::budget::{append, Budget};
use crate::printing::repr;
use crate::python::{members, type_error, type_name, Outcome, View};

pub struct Json {
    pub ascii: bool,
    pub sort: bool,
    pub indent: Option<String>,
    pub item_separator: String,
    pub key_separator: String,
}

impl Json {
    pub fn dump(&self, value: &Value, depth: usize, out: &mut String, budget: &mut Budget) -> Outcome<()> {
        if depth > 64 {
            return type_error("tojson: found nesting above 64");
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => append(out, &self.number(value)?)?,
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out)?,
            ValueKind::Seq if value.downcast_object_ref::<View>().is_none() => {
                let parts = members(value, budget)?.into_iter().map(|item| (None, item)).collect();
                self.group(('[', ']'), parts, depth, out, budget)?;
            }
            ValueKind::Map if type_name(value) == "dict" => {
                let mut parts = Vec::new();
                for key in members(value, budget)? {
                    let member = value.get_item(&key)?;
                    parts.push((Some(self.key(&key)?), member));
                }
                if self.sort {
                    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.group(('{', '}'), parts, depth, out, budget)?;
            }
            _ => return type_error(format!("Object of type {} is not JSON serializable", type_name(value))),
        }
        Ok(())
    }

    fn number(&self, value: &Value) -> Outcome<String> {
        let printed = repr(value)?;
        Ok(match printed.as_str() {
            "nan" => "NaN".into(),
            "inf" => "Infinity".into(),
            "-inf" => "-Infinity".into(),
            _ => printed,
        })
    }

    fn key(&self, key: &Value) -> Outcome<String> {
        match key.kind() {
            ValueKind::String => Ok(key.as_str().unwrap_or_default().to_string()),
            ValueKind::None => Ok("null".into()),
            ValueKind::Bool => Ok(if key.is_true() { "true".into() } else { "false".into() }),
            ValueKind::Number => self.number(key),
            _ => type_error(format!("keys must be str, int, float, bool or None, not {}", type_name(key))),
        }
    }

    fn group(&self, (open, close): (char, char), parts: Vec<(Option<String>, Value)>, depth: usize, out: &mut String, budget: &mut Budget) -> Outcome<()> {
        out.push(open);
        let line = |depth: usize, out: &mut String| {
            let Some(indent) = &self.indent else { return Ok(()) };
            append(out, "\n")?;
            (0..depth).try_for_each(|_| append(out, indent))
        };
        let empty = parts.is_empty();
        for (index, (key, value)) in parts.into_iter().enumerate() {
            append(out, if index > 0 { &self.item_separator } else { "" })?;
            line(depth + 1, out)?;
            if let Some(key) = key {
                self.string(&key, out)?;
                append(out, &self.key_separator)?;
            }
            self.dump(&value, depth + 1, out, budget)?;
        }
        if !empty {
            line(depth, out)?;
        }
        out.push(close);
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) -> Outcome<()> {
        out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", letter as u32)),
                _ if letter.is_ascii() && letter != '\u{7f}' || !self.ascii => out.push(letter),
                _ => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            }
        }
        append(out, "\"")
    }
}
