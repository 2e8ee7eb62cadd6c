//! Grammar texts of clients, checked for what the library would swallow or take too long over, as the library's input.

use llguidance::api::TopLevelGrammar;
use serde_json::{json, Deserializer, Value};

use crate::error::{exhausted, invalid, reading, Result};

/// Between the tokens of a JSON text: a space or line breaks with an indentation.
const WHITESPACE: &str = r" |(\r?\n){1,2}[ \t]{0,64}";
/// Terminals of a Lark grammar nest without end, and the cost of a token grows with the square of their depth.
const MAX_LARK_BYTES: usize = 16 << 10;
/// The library tries each two patterns of an object for texts that both match, again for each way in which applicators join objects.
const MAX_PATTERN_WORK: usize = 2_000;

/// `kind` as in abi.
pub fn read(kind: u32, text: &str) -> Result<TopLevelGrammar> {
    match kind {
        0 => json_schema(text),
        1 => regex(text),
        2 => lark(text),
        other => invalid(format!("grammar kind: found {other}, expected 0 to 2")),
    }
}

fn json_schema(text: &str) -> Result<TopLevelGrammar> {
    let mut schema: Value = serde_json::from_str(text).map_err(reading("grammar: JSON schema"))?;
    check_patterns(&schema)?;
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    let Some(fields) = schema.as_object_mut() else {
        return invalid("grammar: JSON schema: found no object, expected one");
    };
    // The library's own options: they could turn what it does not support into silence.
    if fields.insert("x-guidance".to_string(), json!({"whitespace_pattern": WHITESPACE})).is_some() {
        return invalid("grammar: JSON schema: x-guidance is not supported");
    }
    Ok(TopLevelGrammar::from_json_schema(schema))
}

fn regex(text: &str) -> Result<TopLevelGrammar> {
    let slashes = text.len() - text.trim_end_matches('\\').len();
    if slashes % 2 == 1 {
        return invalid("grammar: regular expression: found a \\ at its end, expected something after it");
    }
    Ok(TopLevelGrammar::from_regex(text))
}

fn lark(text: &str) -> Result<TopLevelGrammar> {
    if text.len() > MAX_LARK_BYTES {
        return exhausted(format!("grammar: found {} bytes of Lark, expected at most {MAX_LARK_BYTES}", text.len()));
    }
    for (at, word) in text.match_indices("%json") {
        let after = &text[at + word.len()..];
        if let Some(Ok(schema)) = Deserializer::from_str(after).into_iter::<Value>().next() {
            check_patterns(&schema)?;
        }
    }
    Ok(TopLevelGrammar::from_lark(text.to_string()))
}

fn check_patterns(schema: &Value) -> Result<()> {
    let (mut patterns, mut joins) = (0, 0);
    count(schema, &mut patterns, &mut joins);
    if patterns > 1 && (patterns * (1 + joins)).pow(2) > MAX_PATTERN_WORK {
        return exhausted(format!(
            "grammar: JSON schema: found {patterns} patternProperties beside {joins} parts of allOf, anyOf, oneOf and $ref, expected fewer"));
    }
    Ok(())
}

fn count(schema: &Value, patterns: &mut usize, joins: &mut usize) {
    if let Value::Array(items) = schema {
        items.iter().for_each(|item| count(item, patterns, joins));
    }
    for (key, value) in schema.as_object().into_iter().flatten() {
        match key.as_str() {
            "patternProperties" => *patterns += value.as_object().map_or(0, |all| all.len()),
            "allOf" | "anyOf" | "oneOf" => *joins += value.as_array().map_or(0, Vec::len),
            "$ref" => *joins += 1,
            _ => {}
        }
        count(value, patterns, joins);
    }
}
