//! The C interface: borrowed bytes in, owned bytes out, a status code as result. The only unsafe code of the crate; panics end here.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Once};

use serde_json::json;

use crate::chat::{self, Request};
use crate::decode::Stream;
use crate::error::{invalid, reading, Code, Error, Result};
use crate::grammar::Grammar;
use crate::grammar_tokens::GrammarTokens;
use crate::template::{Limits, Template};
use crate::tokenizer::{Extras, Settings, Tokenizer};
use crate::{byte_bpe, gguf, sentencepiece, tokenizer_json};

/// Bytes that the caller keeps; `data` may be null when `size` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    size: usize,
}

/// Bytes that the caller frees with drover_text_free.
#[repr(C)]
pub struct Owned {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

/// Inputs of a chat rendering.
#[repr(C)]
pub struct ChatInput {
    context: Bytes,
    trusted: Bytes,
    now: Bytes,
    fuel: u64,
    output_bytes: usize,
    recursion: usize,
    continue_final: bool,
}

pub struct StreamHandle {
    tokenizer: Arc<Tokenizer>,
    stream: Stream,
    skip_special: bool,
}

impl Bytes {
    fn get<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the caller passes `size` readable bytes that live through the call.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }

    fn text<'a>(self, what: &str) -> Result<&'a str> {
        std::str::from_utf8(self.get()).map_err(reading(what))
    }
}

fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Runs `work`; `out` gets its bytes or the error text, and the result is the status code.
fn guard(out: *mut Owned, work: impl FnOnce() -> Result<Vec<u8>>) -> i32 {
    silence_panics();
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        Err(Error::new(Code::Internal, format!("text library: {}", text.unwrap_or_default())))
    });
    let (code, bytes) = match outcome {
        Ok(bytes) => (0, bytes),
        Err(problem) => (problem.code as i32, problem.message.into_bytes()),
    };
    let mut bytes = std::mem::ManuallyDrop::new(bytes);
    // SAFETY: `out` points to one Owned of the caller.
    unsafe { out.write(Owned { data: bytes.as_mut_ptr(), size: bytes.len(), capacity: bytes.capacity() }) };
    code
}

/// Hands a value to the caller.
fn give<T>(slot: *mut *mut T, value: T) {
    // SAFETY: `slot` points to one pointer of the caller.
    unsafe { slot.write(Box::into_raw(Box::new(value))) };
}

fn borrow<'a, T>(handle: *const T) -> &'a T {
    // SAFETY: the handle came from `give` and is not freed before the call returns.
    unsafe { &*handle }
}

fn drop_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the handle came from `give` and is freed once.
        drop(unsafe { Box::from_raw(handle) });
    }
}

fn bytes_to_ids(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn ids_to_bytes(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_ne_bytes()).collect()
}

#[no_mangle]
pub extern "C" fn drover_text_free(owned: Owned) {
    // SAFETY: the three values came from `guard`.
    drop(unsafe { Vec::from_raw_parts(owned.data, owned.size, owned.capacity) });
}

/// `kind`: 0 tokenizer.json, 1 GGUF vocabulary (JSON), 2 SentencePiece, 3 tekken.json, 4 tiktoken. `config`: the configuration of 4;
/// for 0 and 2 what the files beside it say (tokenizer::Settings), or nothing.
#[no_mangle]
pub extern "C" fn drover_text_tokenizer_new(kind: u32, data: Bytes, config: Bytes, slot: *mut *mut Arc<Tokenizer>, out: *mut Owned) -> i32 {
    guard(out, || {
        let tokenizer = match kind {
            0 => tokenizer_json::load(data.get(), Extras::from_settings(&Settings::parse(config.get())?)?),
            1 => gguf::from_vocabulary(data.get()),
            2 => sentencepiece::from_model(data.get(), &Settings::parse(config.get())?),
            3 => byte_bpe::from_tekken(data.get()),
            4 => byte_bpe::from_tiktoken(data.get(), config.get()),
            other => invalid(format!("tokenizer kind: found {other}, expected 0 to 4")),
        }?;
        give(slot, Arc::new(tokenizer));
        Ok(Vec::new())
    })
}

#[no_mangle]
pub extern "C" fn drover_text_tokenizer_free(tokenizer: *mut Arc<Tokenizer>) {
    drop_handle(tokenizer);
}

/// `flags`: 1 add special tokens, 2 read special tokens from the text, 4 `pair` is given.
#[no_mangle]
pub extern "C" fn drover_text_encode(tokenizer: *const Arc<Tokenizer>, text: Bytes, pair: Bytes, flags: u32, max_bytes: usize, out: *mut Owned) -> i32 {
    guard(out, || {
        let pair = if flags & 4 != 0 { Some(pair.text("pair")?) } else { None };
        let ids = borrow(tokenizer).encode(text.text("text")?, pair, flags & 1 != 0, flags & 2 != 0, max_bytes)?;
        Ok(ids_to_bytes(&ids))
    })
}

/// `ids`: 32-bit numbers of this machine.
#[no_mangle]
pub extern "C" fn drover_text_decode(tokenizer: *const Arc<Tokenizer>, ids: Bytes, skip_special: bool, out: *mut Owned) -> i32 {
    guard(out, || {
        Ok(borrow(tokenizer).decode(&bytes_to_ids(ids.get()), skip_special)?.into_bytes())
    })
}

/// The id of a piece, -1 when there is none.
#[no_mangle]
pub extern "C" fn drover_text_token_id(tokenizer: *const Arc<Tokenizer>, piece: Bytes) -> i64 {
    let find = || piece.text("piece").ok().and_then(|piece| borrow(tokenizer).token_id(piece));
    catch_unwind(AssertUnwindSafe(find)).ok().flatten().map_or(-1, i64::from)
}

/// The piece of an id as the vocabulary spells it, or, with `bytes`, what it stands for in text.
#[no_mangle]
pub extern "C" fn drover_text_piece(tokenizer: *const Arc<Tokenizer>, id: u32, bytes: bool, out: *mut Owned) -> i32 {
    guard(out, || {
        let tokenizer = borrow(tokenizer);
        let Some(piece) = tokenizer.piece(id) else {
            return Err(Error::new(Code::OutOfRange, format!("token id: found {id}, expected an id of the vocabulary (below {})", tokenizer.vocab_size)));
        };
        Ok(if bytes { tokenizer.plan.bytes_of(&piece) } else { piece.into_bytes() })
    })
}

/// {"vocab_size", "special": [[id, content], ...]} as JSON.
#[no_mangle]
pub extern "C" fn drover_text_info(tokenizer: *const Arc<Tokenizer>, out: *mut Owned) -> i32 {
    guard(out, || {
        let tokenizer = borrow(tokenizer);
        let special: Vec<_> = tokenizer.added().iter().filter(|(_, t)| t.special).map(|(id, t)| json!([id, t.content])).collect();
        Ok(json!({"vocab_size": tokenizer.vocab_size, "kind": tokenizer.kind, "special": special}).to_string().into_bytes())
    })
}

#[no_mangle]
pub extern "C" fn drover_text_stream_new(tokenizer: *const Arc<Tokenizer>, skip_special: bool, slot: *mut *mut StreamHandle) {
    give(slot, StreamHandle { tokenizer: Arc::clone(borrow(tokenizer)), stream: Stream::new(), skip_special });
}

#[no_mangle]
pub extern "C" fn drover_text_stream_free(stream: *mut StreamHandle) {
    drop_handle(stream);
}

#[no_mangle]
pub extern "C" fn drover_text_stream_push(stream: *mut StreamHandle, id: u32, out: *mut Owned) -> i32 {
    // SAFETY: the handle came from `give`, and the caller uses it from one thread at a time.
    let handle = unsafe { &mut *stream };
    guard(out, || Ok(handle.tokenizer.push(&mut handle.stream, id, handle.skip_special)?.into_bytes()))
}

#[no_mangle]
pub extern "C" fn drover_text_stream_finish(stream: *mut StreamHandle, out: *mut Owned) -> i32 {
    // SAFETY: as in drover_text_stream_push.
    let handle = unsafe { &mut *stream };
    guard(out, || Ok(handle.stream.finish(&handle.tokenizer.plan).into_bytes()))
}

#[no_mangle]
pub extern "C" fn drover_text_template_new(source: Bytes, slot: *mut *mut Template, out: *mut Owned) -> i32 {
    guard(out, || {
        give(slot, Template::parse(source.text("chat template")?)?);
        Ok(Vec::new())
    })
}

#[no_mangle]
pub extern "C" fn drover_text_template_free(template: *mut Template) {
    drop_handle(template);
}

fn request<'a>(template: *const Template, input: *const ChatInput) -> Result<Request<'a>> {
    let input = borrow(input);
    Ok(Request {
        template: borrow(template),
        context: serde_json::from_slice(input.context.get()).map_err(reading("template context"))?,
        trusted: serde_json::from_slice(input.trusted.get()).map_err(reading("template tokens"))?,
        now: input.now.text("now")?,
        limits: Limits { fuel: input.fuel, output_bytes: input.output_bytes, recursion: input.recursion },
        continue_final: input.continue_final,
    })
}

#[no_mangle]
pub extern "C" fn drover_text_render(template: *const Template, input: *const ChatInput, out: *mut Owned) -> i32 {
    guard(out, || Ok(request(template, input)?.render()?.into_bytes()))
}

/// [[text, trusted], ...] as JSON: special tokens count only in trusted stretches.
#[no_mangle]
pub extern "C" fn drover_text_segments(tokenizer: *const Arc<Tokenizer>, template: *const Template, input: *const ChatInput, out: *mut Owned) -> i32 {
    guard(out, || {
        let segments = request(template, input)?.segments(&borrow(tokenizer).specials)?;
        let listed: Vec<_> = segments.iter().map(|segment| json!([segment.text, segment.parse_special])).collect();
        Ok(json!(listed).to_string().into_bytes())
    })
}

/// Ids of the rendered prompt; `safe`: special tokens come from the template alone.
#[no_mangle]
pub extern "C" fn drover_text_encode_chat(
    tokenizer: *const Arc<Tokenizer>, template: *const Template, input: *const ChatInput, safe: bool, max_bytes: usize, out: *mut Owned,
) -> i32 {
    guard(out, || {
        let (tokenizer, request) = (borrow(tokenizer), request(template, input)?);
        let ids = if safe {
            chat::encode(tokenizer, &request.segments(&tokenizer.specials)?, max_bytes)?
        } else {
            tokenizer.encode(&request.render()?, None, false, true, max_bytes)?
        };
        Ok(ids_to_bytes(&ids))
    })
}

/// `end_ids`: 32-bit numbers of this machine.
#[no_mangle]
pub extern "C" fn drover_text_grammar_tokens_new(
    tokenizer: *const Arc<Tokenizer>, vocab: u32, end_ids: Bytes, slot: *mut *mut Arc<GrammarTokens>, out: *mut Owned,
) -> i32 {
    guard(out, || {
        give(slot, Arc::new(GrammarTokens::new(Arc::clone(borrow(tokenizer)), vocab, &bytes_to_ids(end_ids.get()))?));
        Ok(Vec::new())
    })
}

#[no_mangle]
pub extern "C" fn drover_text_grammar_tokens_free(tokens: *mut Arc<GrammarTokens>) {
    drop_handle(tokens);
}

/// `kind`: 0 JSON schema, 1 regular expression, 2 Lark grammar.
#[no_mangle]
pub extern "C" fn drover_text_grammar_new(tokens: *const Arc<GrammarTokens>, kind: u32, text: Bytes, slot: *mut *mut Grammar, out: *mut Owned) -> i32 {
    guard(out, || {
        give(slot, Grammar::new(Arc::clone(borrow(tokens)), kind, text.text("grammar")?)?);
        Ok(Vec::new())
    })
}

#[no_mangle]
pub extern "C" fn drover_text_grammar_free(grammar: *mut Grammar) {
    drop_handle(grammar);
}

/// Writes `count` words: bit id%32 of word id/32 says whether id may come next.
#[no_mangle]
pub extern "C" fn drover_text_grammar_allow(grammar: *mut Grammar, words: *mut u32, count: usize, out: *mut Owned) -> i32 {
    // SAFETY: the handle came from `give`, and the caller uses it from one thread at a time; `words` has `count` words.
    let (grammar, words) = unsafe { (&mut *grammar, std::slice::from_raw_parts_mut(words, count)) };
    guard(out, || grammar.allow(words).map(|()| Vec::new()))
}

#[no_mangle]
pub extern "C" fn drover_text_grammar_accept(grammar: *mut Grammar, id: i32, out: *mut Owned) -> i32 {
    // SAFETY: as in drover_text_grammar_allow.
    let grammar = unsafe { &mut *grammar };
    guard(out, || grammar.accept(id).map(|()| Vec::new()))
}

#[no_mangle]
pub extern "C" fn drover_text_grammar_ended(grammar: *const Grammar) -> bool {
    borrow(grammar).ended()
}
