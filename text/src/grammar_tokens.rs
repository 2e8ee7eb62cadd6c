//! What each id of a tokenizer adds to the output, as grammars see it, and how the tokenizer itself would cut a text.

use std::str::from_utf8;
use std::sync::Arc;

use llguidance::api::ParserLimits;
use llguidance::earley::{BiasComputer, ParserRecognizer, SlicedBiasComputer};
use llguidance::toktrie::{InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv, INVALID_TOKEN};
use llguidance::ParserFactory;

use crate::decode::{Plan, Stream};
use crate::error::{invalid, reading, unsupported, Result};
use crate::tokenizer::Tokenizer;

/// Longer tokens are never allowed: a trie is as deep as its longest one.
const MAX_WORD: usize = 512;
/// A character that no tokenizer joins with what follows it.
const LEAD: &str = "\u{2}";

pub struct GrammarTokens {
    pub factory: ParserFactory,
    pub vocab: u32,
    /// Ids that print nothing a grammar could know, and the end ids.
    pub barred: SimpleVob,
    pub ends: SimpleVob,
    /// Set where a decoder prints a token otherwise when it is the first (it drops a leading space).
    pub first: Option<FirstTokens>,
}

/// Finds the ids that may come first.
pub struct FirstTokens {
    trie: TokTrie,
    /// Ids that print nothing as the first token (the space of their own that is dropped); all is as inside of a text after them.
    pub blank: SimpleVob,
}

struct Env {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
    /// Ids of LEAD where the tokenizer puts something before a text, as it may not do inside of one.
    lead: Vec<u32>,
}

impl GrammarTokens {
    pub fn new(tokenizer: Arc<Tokenizer>, vocab: u32, ends: &[u32]) -> Result<Self> {
        if !tokenizer.plan.is_per_token() {
            return unsupported("grammars: this tokenizer's decoder prints a token otherwise for what stands beside it");
        }
        let mut end_set = SimpleVob::alloc(vocab as usize);
        for &end in ends {
            if end >= vocab {
                return invalid(format!("end ids: found {}, expected 0 to {}", end as i32, vocab - 1));
            }
            end_set.allow_token(end);
        }
        let (first, inside) = words(&tokenizer, vocab, &end_set);
        let mut barred = end_set.clone();
        for (id, _) in (0u32..).zip(&inside).filter(|(_, word)| word.is_empty()) {
            barred.allow_token(id);
        }
        // Where the output may end is known here (`ends`), not to the library, which takes one end for a part of the grammar.
        let info = TokRxInfo::new(vocab, INVALID_TOKEN);
        let trie = TokTrie::from(&info, &inside);
        let first = if first == inside { None } else { Some(FirstTokens::new(&tokenizer, first, &trie)) };
        let env: TokEnv = Arc::new(Env::new(tokenizer, trie)?);
        let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &SlicedBiasComputer::json_slices())
            .map_err(reading("grammars"))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, vocab, barred, ends: end_set, first })
    }
}

/// What one request may take: tens of milliseconds a token, and 1 to 2 KB a state of its lexer. A string with a maxLength has
/// some six states for each of its characters.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 100_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// For each id what it prints as the first token and inside of a text; empty for what is no text. Special tokens get the
/// library's mark: only a grammar that names them allows them.
fn words(tokenizer: &Tokenizer, vocab: u32, ends: &SimpleVob) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut both: (Vec<Vec<u8>>, Vec<Vec<u8>>) = (0..vocab).map(|id| word(tokenizer, id, ends)).unzip();
    if both.0 != both.1 {
        // Parts of characters are what they are anywhere, but for a leading space that the first token loses.
        for word in both.0.iter_mut().filter(|word| word.starts_with(b" ") && from_utf8(word).is_err()) {
            word.clear();
        }
    }
    both
}

fn word(tokenizer: &Tokenizer, id: u32, ends: &SimpleVob) -> (Vec<u8>, Vec<u8>) {
    let Some(piece) = tokenizer.piece(id).filter(|_| !ends.is_allowed(id) && tokenizer.unknown != Some(id)) else {
        return Default::default();
    };
    let mark = TokTrie::SPECIAL_TOKEN_MARKER;
    let (first, inside) = if tokenizer.is_control(id) {
        let named = [&[mark], piece.as_bytes()].concat();
        (named.clone(), named)
    } else {
        let raw = tokenizer.plan.bytes_of(&piece);
        if raw.first() == Some(&mark) {
            return Default::default(); // in no UTF-8 text
        }
        match from_utf8(&raw) {
            Ok(_) => (printed(&tokenizer.plan, "", id, &piece), printed(&tokenizer.plan, "a", id, &piece)),
            Err(_) => (raw.clone(), raw),
        }
    };
    let kept = |word: Vec<u8>| if word.len() <= MAX_WORD { word } else { Vec::new() };
    (kept(first), kept(inside))
}

/// What the decoder prints for a token after `before`.
fn printed(plan: &Plan, before: &str, id: u32, piece: &str) -> Vec<u8> {
    let mut stream = Stream::whole();
    if !before.is_empty() {
        stream.push(plan, u32::MAX, before.to_string());
    }
    let text = stream.push(plan, id, piece.to_string());
    (text + &stream.finish(plan)).into_bytes()
}

impl Env {
    fn new(tokenizer: Arc<Tokenizer>, trie: TokTrie) -> Result<Self> {
        let mut env = Self { tokenizer, trie, lead: Vec::new() };
        if env.cut("a") != env.encode("a") {
            env.lead = env.encode(LEAD);
        }
        Ok(env)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text, None, false, false, usize::MAX).unwrap_or_default()
    }

    /// The ids of `text` inside of a longer one. Where the tokenizer changes the text (it normalises, or lacks a character), the
    /// longest tokens from the left.
    fn cut(&self, text: &str) -> Vec<u32> {
        let mut ids = if self.lead.is_empty() { self.encode(text) } else { self.encode(&format!("{LEAD}{text}")) };
        if ids.starts_with(&self.lead) {
            ids.drain(..self.lead.len());
        }
        if self.trie.decode_raw(&ids) == text.as_bytes() { ids } else { self.trie.greedy_tokenize(text.as_bytes()) }
    }
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.cut(text))
    }
}

impl FirstTokens {
    fn new(tokenizer: &Tokenizer, mut first: Vec<Vec<u8>>, inside: &TokTrie) -> Self {
        let mut blank = inside.alloc_token_set();
        for (id, word) in (0u32..).zip(first.iter_mut()) {
            let elsewhere = inside.token(id);
            // A decoder that drops more than one such token could go on with them for ever.
            let once = || tokenizer.decode(&[id, id], false).is_ok_and(|text| text.as_bytes() == elsewhere);
            if word.is_empty() && from_utf8(elsewhere).is_ok_and(|text| !text.is_empty()) && once() {
                blank.allow_token(id);
            } else if spelled(inside, id, word).is_none() {
                word.clear();
            }
        }
        Self { trie: TokTrie::from(inside.info(), &first), blank }
    }

    /// The ids that print inside of a text what `id` prints as the first token; None where it may not be the first.
    pub fn spell(&self, id: u32, inside: &TokTrie) -> Option<Vec<u32>> {
        if self.blank.is_allowed(id) { Some(Vec::new()) } else { spelled(inside, id, self.trie.token(id)) }
    }
}

fn spelled(inside: &TokTrie, id: u32, word: &[u8]) -> Option<Vec<u32>> {
    if word == inside.token(id) {
        return Some(vec![id]);
    }
    let ids = inside.greedy_tokenize(word);
    (!word.is_empty() && inside.decode_raw(&ids) == word).then_some(ids)
}

impl BiasComputer for FirstTokens {
    fn compute_bias(&self, recognizer: &mut ParserRecognizer<'_>, start: &[u8]) -> SimpleVob {
        let mut set = self.trie.alloc_token_set();
        self.trie.add_bias(recognizer, &mut set, start);
        set
    }

    fn trie(&self) -> &TokTrie {
        &self.trie
    }
}
