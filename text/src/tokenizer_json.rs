//! Checks of a tokenizer.json before the library reads it: sizes, ids, and every element by name, so that nothing is
//! silently misread. Truncation and padding of the file are dropped: they belong to training scripts.

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::Deserialize;
use serde_json::Value;

use crate::decode::Plan;
use crate::error::{exhausted, invalid, reading, unsupported, Result};
use crate::tokenizer::{Extras, Tokenizer};

const MAX_BYTES: usize = 64 << 20;
const MAX_DEPTH: usize = 32;
const MAX_TOKENS: usize = 2_000_000;
const MAX_ADDED: usize = 100_000;
const MAX_PIECE_BYTES: usize = 4096;
const MAX_ID: u64 = 4_000_000;

const NORMALIZERS: &[&str] = &[
    "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Replace",
    "Sequence", "Strip", "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Delimiter", "Digits", "FixedLength", "Metaspace", "Punctuation",
    "Sequence", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
];
const POST_PROCESSORS: &[&str] =
    &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];
const MODELS: &[&str] = &["BPE", "Unigram", "WordLevel", "WordPiece"];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: ModelHead,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct ModelHead {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    unk_token: Option<String>,
    unk_id: Option<u32>,
    vocab: Pieces,
}


pub fn load(json: &[u8], mut extras: Extras) -> Result<Tokenizer> {
    check_shape(json)?;
    let file: File = serde_json::from_slice(json).map_err(reading("tokenizer.json"))?;
    check_elements("normalizer", &file.normalizer, NORMALIZERS, 0)?;
    check_elements("pre_tokenizer", &file.pre_tokenizer, PRE_TOKENIZERS, 0)?;
    check_elements("post_processor", &file.post_processor, POST_PROCESSORS, 0)?;
    if let Some(kind) = file.model.kind.as_deref().filter(|kind| !MODELS.contains(kind)) {
        return unsupported(format!("model: found type {kind:?}, expected one of {MODELS:?}"));
    }
    if file.model.dropout.is_some_and(|p| p != 0.0) {
        return unsupported("model: found dropout, expected none: encoding would be random");
    }
    check_pieces(&file.model.vocab)?;
    extras.unknown_name = file.model.unk_token;
    extras.unknown_id = file.model.unk_id;
    let plan = Plan::from_json(&file.decoder)?;
    let tokenizer = Tokenizer::build(json, plan, extras)?;
    check_added(&file.added_tokens, &tokenizer)?;
    Ok(tokenizer)
}

/// Size and nesting, before any recursive reader sees the text.
fn check_shape(json: &[u8]) -> Result<()> {
    if json.len() > MAX_BYTES {
        return exhausted(format!("tokenizer.json: found {} bytes, expected at most {MAX_BYTES}", json.len()));
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return exhausted(format!("tokenizer.json: found nesting above {MAX_DEPTH}"));
        }
    }
    Ok(())
}

/// Every `type` of an element and of the elements inside its sequences.
fn check_elements(field: &str, element: &Value, known: &[&str], depth: usize) -> Result<()> {
    if element.is_null() {
        return Ok(());
    }
    if depth > 8 {
        return exhausted(format!("{field}: found sequences nested above 8"));
    }
    let Some(kind) = element.get("type").and_then(Value::as_str) else {
        return invalid(format!("{field}: found an element without a type"));
    };
    if !known.contains(&kind) {
        return unsupported(format!("{field}: found type {kind:?}, expected one of {known:?}"));
    }
    let inner = ["normalizers", "pretokenizers", "processors"].iter().filter_map(|key| element.get(key));
    for part in inner.filter_map(Value::as_array).flatten() {
        check_elements(field, part, known, depth + 1)?;
    }
    Ok(())
}

fn check_pieces(pieces: &Pieces) -> Result<()> {
    if pieces.count > MAX_TOKENS {
        return exhausted(format!("model.vocab: found {} tokens, expected at most {MAX_TOKENS}", pieces.count));
    }
    if pieces.longest > MAX_PIECE_BYTES {
        return exhausted(format!("model.vocab: found a token of {} bytes, expected at most {MAX_PIECE_BYTES}", pieces.longest));
    }
    if pieces.largest_id > MAX_ID {
        return exhausted(format!("model.vocab: found id {}, expected at most {MAX_ID}", pieces.largest_id));
    }
    Ok(())
}

fn check_added(added: &[Added], tokenizer: &Tokenizer) -> Result<()> {
    if added.len() > MAX_ADDED {
        return exhausted(format!("added_tokens: found {}, expected at most {MAX_ADDED}", added.len()));
    }
    for token in added {
        if token.content.is_empty() {
            return invalid(format!("added_tokens: found an empty content for id {}, expected text", token.id));
        }
        if token.content.len() > MAX_PIECE_BYTES {
            return exhausted(format!("added_tokens: found {} bytes for id {}, expected at most {MAX_PIECE_BYTES}", token.content.len(), token.id));
        }
        let found = tokenizer.token_id(&token.content).map(u64::from);
        if found != Some(token.id) {
            return invalid(format!("added_tokens: {:?} has id {}, but the vocabulary gives {found:?}", token.content, token.id));
        }
    }
    Ok(())
}

/// Figures of a vocabulary, taken without keeping it: an object piece -> id, or a list of [piece, score].
struct Pieces {
    count: usize,
    longest: usize,
    largest_id: u64,
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pieces;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a vocabulary")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pieces, A::Error> {
                let mut pieces = Pieces { count: 0, longest: 0, largest_id: 0 };
                while let Some((piece, id)) = map.next_entry::<String, u64>()? {
                    pieces.count += 1;
                    pieces.longest = pieces.longest.max(piece.len());
                    pieces.largest_id = pieces.largest_id.max(id);
                }
                Ok(pieces)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Pieces, A::Error> {
                let mut pieces = Pieces { count: 0, longest: 0, largest_id: 0 };
                while let Some((piece, _)) = list.next_element::<(String, IgnoredAny)>()? {
                    pieces.count += 1;
                    pieces.longest = pieces.longest.max(piece.len());
                }
                Ok(pieces)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
