//! A GGUF vocabulary (as JSON from the C++ side) as a tokenizer.json in memory. Its `pre` names a pre-tokenizer whose rules
//! live in this table; a name that is not here is refused, since other rules would give other tokens.

use serde::Deserialize;
use serde_json::{json, Map, Value};

use crate::byte_bpe::{bos_eos_template, byte_level, split_then_bytes};
use crate::error::{exhausted, invalid, reading, unsupported, Result};
use crate::sentencepiece::{self, Piece, Spec};
use crate::tokenizer::{Extras, Settings, Tokenizer};
use crate::tokenizer_json;

const MAX_TOKENS: usize = 2_000_000;

#[derive(Deserialize)]
struct Vocabulary {
    model: String,
    pre: String,
    tokens: Vec<String>,
    scores: Vec<f32>,
    types: Vec<u8>,
    merges: Vec<String>,
    bos: Option<usize>,
    eos: Option<usize>,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    add_space_prefix: Option<bool>,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &[&str] = &[
    r"\p{N}{1,3}",
    "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_CODER: &[&str] =
    &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u{4e00}-\u{9fa5}\u{0800}-\u{4e00}\u{ac00}-\u{d7ff}]+", r"\p{N}", GPT2];
const DEFAULT: &[&str] = &[
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+", "[0-9][0-9][0-9]",
];
const FALCON: &[&str] = &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"];

struct Rules {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    /// A whole pre-token that is in the vocabulary is taken as it is.
    whole_first: bool,
    nfc: bool,
}

const fn rules(names: &'static [&'static str], patterns: &'static [&'static str], whole_first: bool, nfc: bool) -> Rules {
    Rules { names, patterns, whole_first, nfc }
}

const PRE_TOKENIZERS: &[Rules] = &[
    rules(&["", "default"], DEFAULT, false, false),
    rules(&["gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "jina-en"], &[GPT2], false, false),
    rules(&["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], &[r"\p{N}", GPT2], false, false),
    rules(&["llama-bpe", "llama3", "llama-v3", "falcon3"], &[LLAMA3], true, false),
    rules(&["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], &[LLAMA3], false, false),
    rules(&["qwen2", "deepseek-r1-qwen"], &[QWEN2], false, true),
    rules(&["stablelm2"], &[QWEN2], false, false),
    rules(&["qwen35"], &[QWEN35], false, true),
    rules(&["gpt-4o", "llama4"], &[GPT4O], true, false),
    rules(&["tekken", "pixtral"], &[TEKKEN], true, false),
    rules(&["kimi-k2"], &[KIMI], true, false),
    rules(&["deepseek-v3"], DEEPSEEK3, false, false),
    rules(&["deepseek-coder"], DEEPSEEK_CODER, false, false),
    rules(&["falcon"], FALCON, false, false),
];

pub fn from_vocabulary(bytes: &[u8]) -> Result<Tokenizer> {
    let vocabulary: Vocabulary = serde_json::from_slice(bytes).map_err(reading("vocabulary"))?;
    let count = vocabulary.tokens.len();
    if count == 0 || count > MAX_TOKENS {
        return exhausted(format!("tokenizer.ggml.tokens: found {count}, expected 1 to {MAX_TOKENS}"));
    }
    for (field, found) in [("token_type", vocabulary.types.len()), ("scores", vocabulary.scores.len())] {
        if found != 0 && found != count {
            return invalid(format!("tokenizer.ggml.{field}: found {found}, expected none or {count}"));
        }
    }
    for (field, id) in [("bos", vocabulary.bos), ("eos", vocabulary.eos)] {
        if id.is_some_and(|id| id >= count) {
            return invalid(format!("tokenizer.ggml.{field}_token_id: found {id:?}, expected below {count}"));
        }
    }
    match vocabulary.model.as_str() {
        "gpt2" => byte_bpe(&vocabulary),
        "llama" => sentencepiece_bpe(vocabulary),
        other => unsupported(format!("tokenizer.ggml.model: found {other:?}, expected \"gpt2\" or \"llama\"")),
    }
}

fn byte_bpe(vocabulary: &Vocabulary) -> Result<Tokenizer> {
    let Some(rules) = PRE_TOKENIZERS.iter().find(|rules| rules.names.contains(&vocabulary.pre.as_str())) else {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|rules| rules.names).copied().collect();
        return unsupported(format!("tokenizer.ggml.pre: found {:?}, expected one of {}", vocabulary.pre, known.join(" ")));
    };
    let mut extras = Extras::default();
    let mut vocab = Map::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        match vocabulary.types.get(id).copied().unwrap_or(1) {
            kind @ (3 | 4) => extras.add(token, id as u32, kind == 3)?,
            // Unused tokens are padding of the table; some files repeat one name for all of them.
            5 => drop(vocab.entry(token.as_str()).or_insert(json!(id))),
            _ => {
                if vocab.insert(token.clone(), json!(id)).is_some() {
                    return invalid(format!("tokenizer.ggml.tokens: {token:?} occurs twice, expected once"));
                }
            }
        }
    }
    let named = |id: Option<usize>, wanted: bool| id.filter(|_| wanted).map(|id| (vocabulary.tokens[id].as_str(), id));
    // Files of the Llama 3 family leave the flag out and want the token.
    let bos = named(vocabulary.bos, vocabulary.add_bos.unwrap_or(rules.names.contains(&"llama3")));
    let eos = named(vocabulary.eos, vocabulary.add_eos.unwrap_or(false));
    let file = json!({
        "version": "1.0",
        "normalizer": if rules.nfc { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": split_then_bytes(rules.patterns),
        "post_processor": if bos.or(eos).is_some() { bos_eos_template(bos, eos) } else { Value::Null },
        "decoder": byte_level(),
        "model": {"type": "BPE", "ignore_merges": rules.whole_first, "vocab": vocab, "merges": split_merges(&vocabulary.merges)?},
    });
    tokenizer_json::load(&serde_json::to_vec(&file).map_err(reading("vocabulary"))?, extras)
}

fn split_merges(merges: &[String]) -> Result<Vec<Value>> {
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        // The left part may begin with the space itself in SentencePiece merges.
        let cut = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        match cut {
            Some(at) => pairs.push(json!([merge[..at], merge[at + 1..]])),
            None => return invalid(format!("tokenizer.ggml.merges: found {merge:?}, expected two parts")),
        }
    }
    Ok(pairs)
}

fn sentencepiece_bpe(vocabulary: Vocabulary) -> Result<Tokenizer> {
    if vocabulary.scores.is_empty() && vocabulary.merges.is_empty() {
        return invalid("tokenizer.ggml.scores: found none, expected scores or merges");
    }
    let kind = |id: usize, text: &str| match vocabulary.types.get(id).copied().unwrap_or(1) {
        1 if text == "<unk>" => 2,
        kind @ 1..=6 => kind,
        _ => 1,
    };
    let mut pieces = Vec::with_capacity(vocabulary.tokens.len());
    for (id, text) in vocabulary.tokens.iter().enumerate() {
        let score = vocabulary.scores.get(id).copied().unwrap_or(0.0);
        pieces.push(Piece { text: text.clone(), score, kind: kind(id, text) });
    }
    let dummy_prefix = vocabulary.add_space_prefix.unwrap_or(true);
    let merges = if vocabulary.merges.is_empty() { None } else { Some(split_merges(&vocabulary.merges)?) };
    let byte_fallback = pieces.iter().any(|piece| piece.kind == 6);
    sentencepiece::build(
        Spec {
            pieces, unigram: false, byte_fallback, charsmap: Vec::new(), dummy_prefix, remove_extra_spaces: false,
            unknown_surface: " \u{2047} ".into(),
            bos: vocabulary.bos.map(|id| id as u32), eos: vocabulary.eos.map(|id| id as u32),
            add_bos: vocabulary.add_bos.unwrap_or(true), add_eos: vocabulary.add_eos.unwrap_or(false),
        },
        merges, &Settings::default(),
    )
}
