//! Vocabularies of byte strings with ranks (tekken.json, tiktoken files) as a tokenizer.json in memory: bytes become GPT-2's
//! printable stand-ins, ranks become merges.

use std::collections::HashMap;

use base64::decode as decode_base64;
use serde::Deserialize;
use serde_json::{json, Map, Value};

use crate::decode::byte_to_char;
use crate::error::{exhausted, invalid, reading, Result};
use crate::tokenizer::{Extras, Tokenizer};
use crate::tokenizer_json;

const MAX_RANKS: usize = 2_000_000;

#[derive(Deserialize)]
struct TekkenFile {
    config: TekkenConfig,
    vocab: Vec<TekkenEntry>,
    special_tokens: Option<Vec<TekkenSpecial>>,
}

#[derive(Deserialize)]
struct TekkenConfig {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct TekkenEntry {
    rank: usize,
    token_bytes: String,
}

#[derive(Deserialize)]
struct TekkenSpecial {
    rank: usize,
    token_str: String,
}

/// Names of the control tokens of files that do not list them.
const TEKKEN_NAMES: &[&str] = &[
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
];

/// Only the first default_vocab_size - default_num_special_tokens entries count.
pub fn from_tekken(bytes: &[u8]) -> Result<Tokenizer> {
    let file: TekkenFile = serde_json::from_slice(bytes).map_err(reading("tekken.json"))?;
    let specials = file.config.default_num_special_tokens;
    let Some(keep) = file.config.default_vocab_size.checked_sub(specials).filter(|n| *n <= file.vocab.len() && specials <= MAX_RANKS) else {
        return invalid(format!(
            "tekken.json: found {} tokens, expected default_vocab_size {} less default_num_special_tokens {specials}",
            file.vocab.len(), file.config.default_vocab_size
        ));
    };
    let mut ranks = Vec::with_capacity(keep);
    for entry in &file.vocab[..keep] {
        ranks.push((decode_base64(&entry.token_bytes).map_err(reading("tekken.json: token_bytes"))?, entry.rank));
    }
    let mut names: Vec<String> = (0..specials)
        .map(|i| TEKKEN_NAMES.get(i).map_or_else(|| format!("<SPECIAL_{i}>"), |name| name.to_string()))
        .collect();
    for special in file.special_tokens.into_iter().flatten() {
        match names.get_mut(special.rank) {
            Some(name) => *name = special.token_str,
            None => return invalid(format!("tekken.json: special token rank {} is not below {specials}", special.rank)),
        }
    }
    let special_tokens = names.into_iter().enumerate().map(|(id, name)| (name, id)).collect();
    build("tekken.json", ranks, Settings { pattern: file.config.pattern, special_tokens, bos: Some("<s>".into()), nfc: false }, specials)
}

/// What a tiktoken file leaves to code: the pattern, the special tokens, the token put first, and whether text is NFC first.
#[derive(Deserialize)]
struct Settings {
    pattern: String,
    special_tokens: HashMap<String, usize>,
    bos: Option<String>,
    #[serde(default)]
    nfc: bool,
}

/// Lines of "base64 rank", and a JSON of Settings.
pub fn from_tiktoken(bytes: &[u8], config: &[u8]) -> Result<Tokenizer> {
    let settings: Settings = serde_json::from_slice(config).map_err(reading("tiktoken configuration"))?;
    let text = std::str::from_utf8(bytes).map_err(reading("tiktoken file"))?;
    let mut ranks = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = line.trim().split_once(' ').and_then(|(token, rank)| Some((decode_base64(token).ok()?, rank.parse().ok()?)));
        match parsed {
            Some(entry) => ranks.push(entry),
            None => return invalid(format!("tiktoken file: line {}: expected base64 and a rank", number + 1)),
        }
    }
    build("tiktoken file", ranks, settings, 0)
}

fn build(what: &str, mut ranks: Vec<(Vec<u8>, usize)>, settings: Settings, offset: usize) -> Result<Tokenizer> {
    if ranks.len() > MAX_RANKS || ranks.iter().any(|(bytes, rank)| bytes.is_empty() || bytes.len() > 1024 || *rank > 2 * MAX_RANKS) {
        return exhausted(format!("{what}: found too many tokens, or an empty or too long one, expected at most {MAX_RANKS} of 1..1024 bytes"));
    }
    ranks.sort_by_key(|(_, rank)| *rank);
    let by_bytes: HashMap<&[u8], usize> = ranks.iter().map(|(bytes, rank)| (bytes.as_slice(), *rank)).collect();
    let text = |bytes: &[u8]| bytes.iter().map(|b| byte_to_char(*b)).collect::<String>();
    let mut vocab = Map::new();
    let mut merges: Vec<Value> = Vec::new();
    for (bytes, rank) in &ranks {
        vocab.insert(text(bytes), json!(rank + offset));
        let mut splits: Vec<(usize, usize, usize)> = (1..bytes.len())
            .filter_map(|cut| Some((*by_bytes.get(&bytes[..cut])?, *by_bytes.get(&bytes[cut..])?, cut)))
            .collect();
        splits.sort_unstable();
        merges.extend(splits.iter().map(|(_, _, cut)| json!([text(&bytes[..*cut]), text(&bytes[*cut..])])));
    }
    if vocab.len() != ranks.len() {
        return invalid(format!("{what}: found the same token twice"));
    }
    let mut extras = Extras::default();
    let mut specials: Vec<(&String, &usize)> = settings.special_tokens.iter().collect();
    specials.sort_by_key(|(_, id)| **id);
    for (name, id) in specials {
        extras.add(name, u32::try_from(*id).map_err(reading("special token id"))?, true)?;
    }
    let file = json!({
        "version": "1.0",
        "normalizer": if settings.nfc { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": split_then_bytes(&[&settings.pattern]),
        "post_processor": first_token(settings.bos.as_deref(), &settings.special_tokens)?,
        "decoder": byte_level(),
        "model": {"type": "BPE", "ignore_merges": true, "vocab": vocab, "merges": merges},
    });
    let bytes = serde_json::to_vec(&file).map_err(reading(what))?;
    tokenizer_json::load(&bytes, extras)
}

fn first_token(bos: Option<&str>, ids: &HashMap<String, usize>) -> Result<Value> {
    let Some(bos) = bos else { return Ok(Value::Null) };
    match ids.get(bos) {
        Some(id) => Ok(bos_eos_template(Some((bos, *id)), None)),
        None => invalid(format!("bos: found {bos:?}, expected the name of a special token")),
    }
}

/// A post-processor that puts tokens around the text.
pub fn bos_eos_template(bos: Option<(&str, usize)>, eos: Option<(&str, usize)>) -> Value {
    let special = |token: Option<(&str, usize)>, type_id: usize| {
        token.map(|(name, _)| json!({"SpecialToken": {"id": name, "type_id": type_id}}))
    };
    let part = |sequence: &str, type_id: usize| {
        let text = json!({"Sequence": {"id": sequence, "type_id": type_id}});
        [special(bos, type_id), Some(text), special(eos, type_id)].into_iter().flatten().collect::<Vec<Value>>()
    };
    let pair: Vec<Value> = part("A", 0).into_iter().chain(part("B", 1)).collect();
    let named: Map<String, Value> = [bos, eos].into_iter().flatten()
        .map(|(name, id)| (name.to_string(), json!({"id": name, "ids": [id], "tokens": [name]}))).collect();
    json!({"type": "TemplateProcessing", "single": part("A", 0), "pair": pair, "special_tokens": named})
}

/// Patterns cut one after another, then bytes become letters.
pub fn split_then_bytes(patterns: &[&str]) -> Value {
    let mut parts: Vec<Value> = patterns.iter()
        .map(|p| json!({"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": false})).collect();
    parts.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}));
    json!({"type": "Sequence", "pretokenizers": parts})
}

pub fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false})
}
