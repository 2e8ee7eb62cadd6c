//! A SentencePiece .model (protocol buffer) as a tokenizer.json in memory.

use serde_json::{json, Map, Value};
use std::collections::HashMap;

use crate::byte_bpe::bos_eos_template;
use crate::decode::{Plan, SentencePieceRules};
use crate::error::{exhausted, invalid, reading, unsupported, Error, Result};
use crate::tokenizer::{Extras, Settings, Tokenizer};
use crate::tokenizer_json;

const MAX_BYTES: usize = 64 << 20;
const MAX_PIECES: usize = 1_000_000;

/// Kinds of pieces in the file.
const UNKNOWN: u8 = 2;
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;
const UNUSED: u8 = 5;
const BYTE: u8 = 6;

pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: u8,
}

/// What of a model file decides about text.
pub struct Spec {
    pub pieces: Vec<Piece>,
    pub unigram: bool,
    pub byte_fallback: bool,
    pub charsmap: Vec<u8>,
    pub dummy_prefix: bool,
    pub remove_extra_spaces: bool,
    pub unknown_surface: String,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub add_bos: bool,
    pub add_eos: bool,
}

pub fn from_model(bytes: &[u8], settings: &Settings) -> Result<Tokenizer> {
    if bytes.len() > MAX_BYTES {
        return exhausted(format!("tokenizer.model: found {} bytes, expected at most {MAX_BYTES}", bytes.len()));
    }
    let mut spec = read(bytes).map_err(|problem| problem.within("tokenizer.model"))?;
    spec.add_bos = settings.add_bos_token.unwrap_or(spec.add_bos);
    spec.add_eos = settings.add_eos_token.unwrap_or(spec.add_eos);
    build(spec, None, settings).map_err(|problem| problem.within("tokenizer.model"))
}

/// `merges` of a file that lists them; otherwise they follow from the scores.
pub fn build(spec: Spec, merges: Option<Vec<Value>>, settings: &Settings) -> Result<Tokenizer> {
    if spec.pieces.is_empty() || spec.pieces.len() > MAX_PIECES {
        return exhausted(format!("found {} pieces, expected 1 to {MAX_PIECES}", spec.pieces.len()));
    }
    let mut extras = Extras::default();
    let mut unknown = None;
    for (id, piece) in spec.pieces.iter().enumerate() {
        match piece.kind {
            CONTROL => extras.add(&piece.text, id as u32, true)?,
            UNKNOWN => {
                unknown = Some(id);
                if spec.unigram {
                    extras.add(&piece.text, id as u32, true)?;
                }
            }
            USER_DEFINED => drop(extras.atoms.insert(piece.text.clone(), id as u32)),
            _ => {}
        }
    }
    let model = if spec.unigram { unigram(&spec, unknown) } else { bpe(&spec, unknown, merges)? };
    extras.plan = Some(Plan::sentencepiece(SentencePieceRules {
        kinds: spec.pieces.iter().map(|piece| piece.kind).collect(),
        unknown_surface: spec.unknown_surface.clone(),
        drop_first_space: spec.dummy_prefix,
        drop_all_spaces: spec.remove_extra_spaces,
    }));
    let named = |id: Option<u32>, wanted: bool| {
        let id = id.filter(|_| wanted)? as usize;
        spec.pieces.get(id).map(|piece| (piece.text.as_str(), id))
    };
    let file = json!({
        "version": "1.0",
        "normalizer": normalizer(&spec),
        "pre_tokenizer": isolate(&extras.atoms),
        "post_processor": bos_eos_template(named(spec.bos, spec.add_bos), named(spec.eos, spec.add_eos)),
        "decoder": {"type": "Fuse"},
        "model": model,
    });
    let bytes = serde_json::to_vec(&file).map_err(reading("vocabulary"))?;
    extras.include(settings)?;
    tokenizer_json::load(&bytes, extras)
}

/// Character map, extra spaces, dummy prefix, then U+2581 for spaces: the order of SentencePiece's normalizer.
fn normalizer(spec: &Spec) -> Value {
    let mut parts = Vec::new();
    if !spec.charsmap.is_empty() {
        parts.push(json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(&spec.charsmap)}));
    }
    if spec.remove_extra_spaces {
        parts.push(json!({"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""}));
        parts.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    if spec.dummy_prefix {
        parts.push(json!({"type": "Prepend", "prepend": "\u{2581}"}));
    }
    parts.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}));
    json!({"type": "Sequence", "normalizers": parts})
}

/// Cuts user-defined symbols out of the text, the longest first.
fn isolate(atoms: &HashMap<String, u32>) -> Value {
    if atoms.is_empty() {
        return Value::Null;
    }
    let mut symbols: Vec<&String> = atoms.keys().collect();
    symbols.sort_by_key(|symbol| (std::cmp::Reverse(symbol.len()), symbol.as_str()));
    let escape = |c: char| if c.is_ascii() && !c.is_ascii_alphanumeric() { format!("\\x{:02x}", c as u32) } else { c.to_string() };
    let pattern: Vec<String> = symbols.iter().map(|symbol| symbol.chars().map(escape).collect()).collect();
    json!({"type": "Split", "pattern": {"Regex": pattern.join("|")}, "behavior": "Isolated", "invert": false})
}

fn bpe(spec: &Spec, unknown: Option<usize>, merges: Option<Vec<Value>>) -> Result<Value> {
    let mut vocab = Map::new();
    for (id, piece) in spec.pieces.iter().enumerate().filter(|(_, piece)| piece.kind != CONTROL) {
        if vocab.insert(piece.text.clone(), json!(id)).is_some() {
            return invalid(format!("piece {:?} occurs twice, expected once", piece.text));
        }
    }
    let merges = merges.unwrap_or_else(|| merges_by_score(&spec.pieces));
    Ok(json!({
        "type": "BPE", "unk_token": unknown.map(|id| spec.pieces[id].text.as_str()), "fuse_unk": true,
        "byte_fallback": spec.byte_fallback, "vocab": vocab, "merges": merges,
    }))
}

/// Every way to put a piece together from two others, best score first.
fn merges_by_score(pieces: &[Piece]) -> Vec<Value> {
    let mergeable = |piece: &Piece| !matches!(piece.kind, UNKNOWN | CONTROL | USER_DEFINED | UNUSED | BYTE);
    let ids: HashMap<&str, usize> = pieces.iter().enumerate().filter(|(_, p)| mergeable(p)).map(|(id, p)| (p.text.as_str(), id)).collect();
    let mut order: Vec<usize> = (0..pieces.len()).filter(|id| mergeable(&pieces[*id])).collect();
    order.sort_by(|a, b| pieces[*b].score.total_cmp(&pieces[*a].score).then(a.cmp(b)));
    let mut merges = Vec::new();
    for id in order {
        let text = pieces[id].text.as_str();
        let mut splits: Vec<(usize, usize)> = text.char_indices().skip(1)
            .filter_map(|(cut, _)| Some((*ids.get(&text[..cut])?, *ids.get(&text[cut..])?))).collect();
        splits.sort_unstable();
        merges.extend(splits.iter().map(|(left, right)| json!([pieces[*left].text, pieces[*right].text])));
    }
    merges
}

/// Ids are places in the list, so pieces that plain text must not match get text that cannot occur.
fn unigram(spec: &Spec, unknown: Option<usize>) -> Value {
    let vocab: Vec<Value> = spec.pieces.iter().enumerate()
        .map(|(id, piece)| match piece.kind {
            CONTROL | UNUSED | UNKNOWN => json!([format!("\u{10fffe}{id}"), piece.score]),
            _ => json!([piece.text, piece.score]),
        }).collect();
    json!({"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": spec.byte_fallback})
}

// ---------------------------------------------------------------- the protocol buffer

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
}

/// The fields of one message, in order; unknown wire types are errors.
fn fields(mut data: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let mut out = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut data)?),
            1 => {
                take(&mut data, 8)?;
                continue;
            }
            2 => {
                let size = varint(&mut data)?;
                Field::Bytes(take(&mut data, usize::try_from(size).unwrap_or(usize::MAX))?)
            }
            5 => {
                let raw = take(&mut data, 4)?;
                Field::Float(f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))
            }
            other => return invalid(format!("found wire type {other}, expected 0, 1, 2 or 5")),
        };
        out.push((key >> 3, field));
    }
    Ok(out)
}

fn take<'a>(data: &mut &'a [u8], size: usize) -> Result<&'a [u8]> {
    if size > data.len() {
        return invalid(format!("found {} bytes left, expected {size}", data.len()));
    }
    let (head, tail) = data.split_at(size);
    *data = tail;
    Ok(head)
}

fn varint(data: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(data, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    invalid("found a number of more than 10 bytes")
}

fn read(bytes: &[u8]) -> Result<Spec> {
    let mut spec = Spec {
        pieces: Vec::new(), unigram: true, byte_fallback: false, charsmap: Vec::new(), dummy_prefix: true,
        remove_extra_spaces: true, unknown_surface: " \u{2047} ".into(), bos: Some(1), eos: Some(2), add_bos: true, add_eos: false,
    };
    for (number, field) in fields(bytes)? {
        match (number, field) {
            (1, Field::Bytes(piece)) => spec.pieces.push(read_piece(piece)?),
            (2, Field::Bytes(trainer)) => read_trainer(trainer, &mut spec)?,
            (3, Field::Bytes(rules)) => read_normalizer(rules, &mut spec)?,
            (5, Field::Bytes(rules)) if !rules.is_empty() => {
                // A denormalizer would change decoded text.
                if fields(rules)?.iter().any(|(n, f)| *n == 2 && matches!(f, Field::Bytes(map) if !map.is_empty())) {
                    return unsupported("denormalizer_spec: found a character map, expected none");
                }
            }
            _ => {}
        }
    }
    Ok(spec)
}

fn read_piece(data: &[u8]) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: 1 };
    for (number, field) in fields(data)? {
        match (number, field) {
            (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).map_err(reading("piece"))?,
            (2, Field::Float(score)) => piece.score = score,
            (3, Field::Number(kind @ 1..=6)) => piece.kind = kind as u8,
            (3, Field::Number(kind)) => return unsupported(format!("piece {:?}: found type {kind}, expected 1 to 6", piece.text)),
            _ => {}
        }
    }
    if piece.text.is_empty() || piece.text.len() > 4096 || !piece.score.is_finite() {
        return invalid(format!("piece: found {} bytes and score {}, expected 1 to 4096 bytes and a finite score", piece.text.len(), piece.score));
    }
    Ok(piece)
}

fn read_trainer(data: &[u8], spec: &mut Spec) -> Result<()> {
    // Negative ids (absent tokens) are ten-byte numbers.
    let id = |value: u64| u32::try_from(value).ok();
    for (number, field) in fields(data)? {
        match (number, field) {
            (3, Field::Number(kind @ (1 | 2))) => spec.unigram = kind == 1,
            (3, Field::Number(kind)) => return unsupported(format!("model_type: found {kind}, expected 1 (unigram) or 2 (bpe)")),
            (24, Field::Number(1)) => return unsupported("treat_whitespace_as_suffix: found true, expected false"),
            (35, Field::Number(flag)) => spec.byte_fallback = flag != 0,
            (41, Field::Number(value)) => spec.bos = id(value),
            (42, Field::Number(value)) => spec.eos = id(value),
            (44, Field::Bytes(text)) => spec.unknown_surface = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer(data: &[u8], spec: &mut Spec) -> std::result::Result<(), Error> {
    for (number, field) in fields(data)? {
        match (number, field) {
            (2, Field::Bytes(map)) => spec.charsmap = map.to_vec(),
            (3, Field::Number(flag)) => spec.dummy_prefix = flag != 0,
            (4, Field::Number(flag)) => spec.remove_extra_spaces = flag != 0,
            (5, Field::Number(0)) => return unsupported("escape_whitespaces: found false, expected true"),
            _ => {}
        }
    }
    Ok(())
}
