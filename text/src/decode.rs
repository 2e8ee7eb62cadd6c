//! Decoding as a chain of small streaming steps, so that one-shot decoding and streaming share one meaning and a token costs the
//! same whether it is the first or the millionth. Each step mirrors the decoder of the same name in the tokenizers library.

use serde_json::Value;
use tokenizers::decoders::wordpiece::cleanup;
use tokenizers::{Decoder, DecoderWrapper};

use crate::error::{invalid, reading, unsupported, Result};

/// How SentencePiece itself prints ids (its rules differ from the library's decoders on leading spaces and broken bytes).
pub struct SentencePieceRules {
    /// Kind of each id as in the model file: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub kinds: Vec<u8>,
    pub unknown_surface: String,
    /// The first leading space is dropped (dummy prefix), or all of them (extra spaces removed).
    pub drop_first_space: bool,
    pub drop_all_spaces: bool,
}

enum Step {
    ByteLevel,
    ByteFallback,
    Fuse,
    /// Stateless: one token in, one token out.
    PerToken(DecoderWrapper),
    StripToken { content: char, start: usize, stop: usize },
    StripText { content: char, start: usize, stop: usize },
    Metaspace { replacement: char, drop_first: bool },
    WordPiece { prefix: String, cleanup: bool },
    Suffix(String),
    Ctc { pad: String, delimiter: String, cleanup: bool },
    Spaced,
    SentencePiece(SentencePieceRules),
}

pub struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    pub fn from_json(decoder: &Value) -> Result<Self> {
        let mut steps = Vec::new();
        if decoder.is_null() {
            steps.push(Step::Spaced);
        } else {
            add_steps(decoder, &mut steps, &mut false, 0)?;
        }
        Ok(Self { steps })
    }

    /// The unknown token prints even where special tokens are skipped.
    pub fn shows_unknown(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SentencePiece(_)))
    }

    /// What one piece stands for, without the rules about neighbours.
    pub fn bytes_of(&self, piece: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for step in &self.steps {
            match step {
                Step::ByteLevel => append_byte_level(piece, &mut bytes),
                Step::ByteFallback | Step::SentencePiece(_) => bytes.extend(fallback_byte(piece)),
                _ => continue,
            }
        }
        if bytes.is_empty() { piece.replace('\u{2581}', " ").into_bytes() } else { bytes }
    }

    /// A token's text depends on no other token, but for a leading space that the first one may lose.
    pub fn is_per_token(&self) -> bool {
        let depends = |step: &Step| match step {
            Step::Suffix(_) | Step::Ctc { .. } | Step::Spaced | Step::WordPiece { .. } => true,
            Step::StripText { stop, .. } => *stop > 0,
            _ => false,
        };
        !self.steps.iter().any(depends)
    }

    pub fn sentencepiece(rules: SentencePieceRules) -> Self {
        Self { steps: vec![Step::SentencePiece(rules)] }
    }
}

/// `joined` becomes true once the steps see one running text instead of tokens.
fn add_steps(decoder: &Value, steps: &mut Vec<Step>, joined: &mut bool, depth: usize) -> Result<()> {
    let kind = decoder.get("type").and_then(Value::as_str).unwrap_or("");
    if kind == "Sequence" {
        let Some(parts) = decoder.get("decoders").and_then(Value::as_array).filter(|_| depth < 8) else {
            return invalid("decoder: found a Sequence without decoders or nested above 8");
        };
        return parts.iter().try_for_each(|part| add_steps(part, steps, joined, depth + 1));
    }
    let parsed: DecoderWrapper = serde_json::from_value(decoder.clone())
        .map_err(reading(&format!("decoder: type {kind:?}")))?;
    let single_char = |pattern: &Value| pattern.get("String").and_then(Value::as_str).is_some_and(|s| s.chars().count() == 1);
    let step = match parsed {
        DecoderWrapper::ByteLevel(_) => Step::ByteLevel,
        DecoderWrapper::Fuse(_) => Step::Fuse,
        DecoderWrapper::Strip(s) if *joined => Step::StripText { content: s.content, start: s.start, stop: s.stop },
        DecoderWrapper::Strip(s) => Step::StripToken { content: s.content, start: s.start, stop: s.stop },
        DecoderWrapper::Replace(_) if !*joined || single_char(&decoder["pattern"]) => Step::PerToken(parsed),
        _ if *joined => return unsupported(format!("decoder: found type {kind:?} after tokens are joined, expected it before")),
        DecoderWrapper::ByteFallback(_) => Step::ByteFallback,
        DecoderWrapper::Metaspace(_) => Step::Metaspace {
            replacement: decoder["replacement"].as_str().and_then(|s| s.chars().next()).unwrap_or('\u{2581}'),
            drop_first: decoder["prepend_scheme"] != "never",
        },
        DecoderWrapper::WordPiece(w) => Step::WordPiece { prefix: w.prefix, cleanup: w.cleanup },
        DecoderWrapper::BPE(b) if !b.suffix.is_empty() => Step::Suffix(b.suffix),
        DecoderWrapper::CTC(c) => Step::Ctc { pad: c.pad_token, delimiter: c.word_delimiter_token, cleanup: c.cleanup },
        _ => return unsupported(format!("decoder: type {kind:?} is not supported")),
    };
    *joined |= matches!(step, Step::ByteLevel | Step::Fuse);
    steps.push(step);
    Ok(())
}

#[derive(Default)]
struct State {
    started: bool,
    /// Some byte of this run of byte tokens was not UTF-8.
    spoiled: bool,
    count: usize,
    bytes: Vec<u8>,
    text: String,
}

/// Progress through a plan.
pub struct Stream {
    states: Vec<State>,
    /// Runs of byte tokens are judged as a whole, as one-shot decoding does; otherwise each character leaves when complete.
    whole: bool,
}

impl Stream {
    pub fn new() -> Self {
        Self { states: Vec::new(), whole: false }
    }

    pub fn whole() -> Self {
        Self { states: Vec::new(), whole: true }
    }

    pub fn push(&mut self, plan: &Plan, id: u32, piece: String) -> String {
        let mut out = String::new();
        self.feed(plan, 0, id, piece, &mut out);
        out
    }

    pub fn finish(&mut self, plan: &Plan) -> String {
        let mut out = String::new();
        self.prepare(plan);
        for index in 0..plan.steps.len() {
            let mut held = Vec::new();
            flush(&plan.steps[index], &mut self.states[index], &mut held);
            for piece in held {
                self.feed(plan, index + 1, u32::MAX, piece, &mut out);
            }
        }
        self.states.clear();
        out
    }

    fn prepare(&mut self, plan: &Plan) {
        self.states.resize_with(plan.steps.len(), State::default);
    }

    fn feed(&mut self, plan: &Plan, index: usize, id: u32, piece: String, out: &mut String) {
        self.prepare(plan);
        let Some(step) = plan.steps.get(index) else {
            out.push_str(&piece);
            return;
        };
        let mut next = Vec::new();
        advance(step, &mut self.states[index], (id, piece), self.whole, &mut next);
        for piece in next {
            self.feed(plan, index + 1, id, piece, out);
        }
    }
}

fn advance(step: &Step, state: &mut State, (id, piece): (u32, String), whole: bool, out: &mut Vec<String>) {
    let first = !std::mem::replace(&mut state.started, true);
    match step {
        Step::ByteLevel => {
            append_byte_level(&piece, &mut state.bytes);
            out.push(take_utf8(&mut state.bytes, false));
        }
        Step::ByteFallback => match fallback_byte(&piece) {
            Some(byte) => push_byte(state, byte, whole, out),
            None => {
                end_run(state, out);
                out.push(piece);
            }
        },
        Step::Fuse => out.push(piece),
        Step::PerToken(decoder) => out.extend(decoder.decode_chain(vec![piece]).unwrap_or_default()),
        Step::StripToken { content, start, stop } => out.push(strip(&piece, *content, *start, *stop)),
        Step::StripText { content, start, stop } => strip_text(state, &piece, (*content, *start, *stop), out),
        Step::Metaspace { replacement, drop_first } => {
            let space = if first && *drop_first { "" } else { " " };
            out.push(piece.replace(*replacement, space));
        }
        Step::WordPiece { prefix, cleanup: clean } => {
            let joined = match piece.strip_prefix(prefix.as_str()) {
                _ if first => piece,
                Some(rest) => rest.to_string(),
                None => format!(" {piece}"),
            };
            out.push(if *clean { cleanup(&joined) } else { joined });
        }
        Step::Suffix(suffix) => {
            out.push(std::mem::take(&mut state.text).replace(suffix.as_str(), " "));
            let cut = piece.find(suffix.as_str()).unwrap_or(piece.len());
            out.push(piece[..cut].to_string());
            state.text = piece[cut..].to_string();
        }
        Step::Ctc { pad, delimiter, cleanup: clean } => {
            if first || state.text != piece {
                let kept = if pad.is_empty() { piece.clone() } else { piece.replace(pad.as_str(), "") };
                out.push(if *clean { cleanup(&kept).replace(delimiter.as_str(), " ") } else { kept });
            }
            state.text = piece;
        }
        Step::Spaced => out.push(if first { piece } else { format!(" {piece}") }),
        Step::SentencePiece(rules) => sentencepiece(rules, state, id, &piece, out),
    }
}

fn flush(step: &Step, state: &mut State, out: &mut Vec<String>) {
    match step {
        Step::ByteLevel => out.push(String::from_utf8_lossy(&std::mem::take(&mut state.bytes)).into_owned()),
        Step::ByteFallback => end_run(state, out),
        Step::Suffix(suffix) => out.push(std::mem::take(&mut state.text).replace(suffix.as_str(), "")),
        Step::SentencePiece(_) => out.push("\u{fffd}".repeat(std::mem::take(&mut state.bytes).len())),
        // Trailing characters held back by strip_text are the ones to drop.
        _ => {}
    }
}

/// Complete characters leave `bytes`; each maximal invalid part (or each of its bytes) becomes U+FFFD; a started one stays.
fn take_utf8(bytes: &mut Vec<u8>, per_byte: bool) -> String {
    let mut text = String::new();
    let mut from = 0;
    while from < bytes.len() {
        let problem = match std::str::from_utf8(&bytes[from..]) {
            Ok(rest) => {
                text.push_str(rest);
                from = bytes.len();
                break;
            }
            Err(problem) => problem,
        };
        let valid = from + problem.valid_up_to();
        text.push_str(&String::from_utf8_lossy(&bytes[from..valid]));
        from = valid;
        let Some(broken) = problem.error_len() else { break };
        text.push_str(&"\u{fffd}".repeat(if per_byte { broken } else { 1 }));
        from += broken;
    }
    bytes.drain(..from);
    text
}

/// GPT-2's printable stand-in of a byte.
pub fn byte_to_char(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(256 + rank).unwrap_or('\u{fffd}')
}

fn char_to_byte(letter: char) -> Option<u8> {
    match u32::from(letter) {
        code @ (33..=126 | 161..=172 | 174..=255) => u8::try_from(code).ok(),
        code @ 256..=288 => u8::try_from(code - 256).ok(),      // 0..=32
        code @ 289..=322 => u8::try_from(code - 289 + 127).ok(), // 127..=160
        323 => Some(173),
        _ => None,
    }
}

/// A token whose letters are all stand-ins is its bytes, any other one its own UTF-8.
fn append_byte_level(piece: &str, bytes: &mut Vec<u8>) {
    match piece.chars().map(char_to_byte).collect::<Option<Vec<u8>>>() {
        Some(decoded) => bytes.extend(decoded),
        None => bytes.extend(piece.as_bytes()),
    }
}

fn fallback_byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Bytes of a run that are kept back at most.
const MAX_HELD: usize = 96;

fn push_byte(state: &mut State, byte: u8, whole: bool, out: &mut Vec<String>) {
    state.bytes.push(byte);
    if whole {
        return;
    }
    if let Err(problem) = std::str::from_utf8(&state.bytes) {
        state.spoiled |= problem.error_len().is_some();
        if !state.spoiled {
            return;
        }
    }
    // A replacement character may yet turn out to be the first of a broken run.
    let ends_broken = state.bytes.ends_with("\u{fffd}".as_bytes()) && !state.spoiled;
    if ends_broken && state.bytes.len() < MAX_HELD {
        return;
    }
    let held = std::mem::take(&mut state.bytes);
    out.push(if state.spoiled { "\u{fffd}".repeat(held.len()) } else { String::from_utf8_lossy(&held).into_owned() });
}

/// A run of byte tokens is text, or one U+FFFD per byte.
fn end_run(state: &mut State, out: &mut Vec<String>) {
    state.spoiled = false;
    let held = std::mem::take(&mut state.bytes);
    if !held.is_empty() {
        out.push(String::from_utf8(held).unwrap_or_else(|broken| "\u{fffd}".repeat(broken.as_bytes().len())));
    }
}

fn strip(piece: &str, content: char, start: usize, stop: usize) -> String {
    let letters: Vec<char> = piece.chars().collect();
    let front = letters.iter().take(start).take_while(|c| **c == content).count();
    let back = letters[front..].iter().rev().take(stop).take_while(|c| **c == content).count();
    letters[front..letters.len() - back].iter().collect()
}

/// Strip over the running text: up to `start` leading characters go, up to `stop` trailing ones are held back.
fn strip_text(state: &mut State, piece: &str, (content, start, stop): (char, usize, usize), out: &mut Vec<String>) {
    let mut rest = piece;
    while state.count < start && !rest.is_empty() {
        match rest.strip_prefix(content) {
            Some(tail) => {
                rest = tail;
                state.count += 1;
            }
            None => state.count = start,
        }
    }
    state.text.push_str(rest);
    let tail: usize = state.text.chars().rev().take(stop).take_while(|c| *c == content).map(char::len_utf8).sum();
    let held = state.text.split_off(state.text.len() - tail);
    out.push(std::mem::replace(&mut state.text, held));
}

/// `state.count` is 1 once text was printed, `state.spoiled` once the leading space was dropped.
fn sentencepiece(rules: &SentencePieceRules, state: &mut State, id: u32, piece: &str, out: &mut Vec<String>) {
    let kind = rules.kinds.get(id as usize).copied().unwrap_or(1);
    let mut text = String::new();
    if let Some(byte) = fallback_byte(piece).filter(|_| kind == 6) {
        state.bytes.push(byte);
        text.push_str(&take_utf8(&mut state.bytes, true));
    } else {
        text.push_str(&"\u{fffd}".repeat(std::mem::take(&mut state.bytes).len()));
        let at_start = state.count == 0 && text.is_empty() && !state.spoiled;
        let spaces = rules.drop_first_space || rules.drop_all_spaces;
        match kind {
            2 => text.push_str(&rules.unknown_surface),
            3 => text.push_str(piece),
            _ => {
                let stripped = piece.strip_prefix('\u{2581}').filter(|_| at_start && spaces);
                state.spoiled |= stripped.is_some() && !rules.drop_all_spaces;
                text.push_str(&stripped.unwrap_or(piece).replace('\u{2581}', " "));
            }
        }
    }
    state.count |= usize::from(!text.is_empty());
    out.push(text);
}
