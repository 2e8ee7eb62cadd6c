//! A tokenizer ready for use: the shared model behind two added-token vocabularies (special tokens read from text, or not),
//! plus the decoding plan. Immutable after loading, so any thread may use it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokenizers::models::TrainerWrapper;
use tokenizers::{
    AddedToken, DecoderWrapper, EncodeInput, Model, ModelWrapper, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, Token, TokenizerImpl,
};

use crate::chat::Specials;
use crate::decode::{Plan, Stream};
use crate::error::{exhausted, invalid, reading, Code, Error, Result};

/// The model of a tokenizer.json, shared by both views, and the tokens that the model itself must not produce.
#[derive(Clone)]
pub struct SharedModel {
    inner: Arc<ModelWrapper>,
    extras: Arc<Extras>,
    /// The first id for tokens that are in no vocabulary.
    size: usize,
}

impl SharedModel {
    fn new(inner: &ModelWrapper, extras: Extras) -> Self {
        let size = if extras.names.is_empty() {
            inner.get_vocab_size()
        } else {
            inner.get_vocab().into_values().chain(extras.names.values().copied()).max().map_or(0, |id| id as usize + 1)
        };
        Self { inner: Arc::new(inner.clone()), extras: Arc::new(extras), size }
    }
}

impl Model for SharedModel {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, sequence: &str) -> tokenizers::Result<Vec<Token>> {
        match self.extras.atoms.get(sequence) {
            Some(&id) => Ok(vec![Token::new(id, sequence.to_string(), (0, sequence.len()))]),
            None => self.inner.tokenize(sequence),
        }
    }
    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.extras.names.get(token).copied().or_else(|| self.inner.token_to_id(token))
    }
    fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
    fn get_vocab(&self) -> HashMap<String, u32> {
        let hidden: HashSet<u32> = self.extras.names.values().copied().collect();
        self.inner.get_vocab().into_iter().filter(|(_, id)| !hidden.contains(id)).collect()
    }
    fn get_vocab_size(&self) -> usize {
        self.size
    }
    fn save(&self, folder: &Path, prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        self.inner.save(folder, prefix)
    }
    fn get_trainer(&self) -> TrainerWrapper {
        self.inner.get_trainer()
    }
}

pub type View =
    TokenizerImpl<SharedModel, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// What a file of another kind adds to its tokenizer.json form.
#[derive(Default)]
pub struct Extras {
    /// Pieces never split nor merged with neighbours (user-defined SentencePiece symbols, isolated by the pre-tokenizer).
    pub atoms: HashMap<String, u32>,
    /// Ids of added tokens that the model must not produce from plain text.
    pub names: HashMap<String, u32>,
    pub added: Vec<AddedToken>,
    /// Special tokens that count where no added token has their content.
    pub fallback: Vec<AddedToken>,
    /// The unknown token, by name or by id.
    pub unknown_name: Option<String>,
    pub unknown_id: Option<u32>,
    /// Replaces the decoder of the file.
    pub plan: Option<Plan>,
}

/// What the files beside a tokenizer file say, as text/tokenizer_config.cc writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    added: Vec<Addition>,
    special: Vec<Addition>,
    pub add_bos_token: Option<bool>,
    pub add_eos_token: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Addition {
    content: String,
    special: bool,
    lstrip: bool,
    rstrip: bool,
    single_word: bool,
    normalized: Option<bool>,
}

const MAX_ADDED: usize = 100_000;
const MAX_SPECIAL: usize = 10_000;
const MAX_ADDED_BYTES: usize = 4 << 20;

impl Settings {
    pub fn parse(json: &[u8]) -> Result<Self> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let settings: Self = serde_json::from_slice(json).map_err(reading("tokenizer_config.json"))?;
        let count = settings.added.len() + settings.special.len();
        if count > MAX_ADDED {
            return exhausted(format!("tokenizer_config.json: found {count} added tokens, expected at most {MAX_ADDED}"));
        }
        if settings.special.len() > MAX_SPECIAL {
            return exhausted(format!("tokenizer_config.json: found {} special tokens, expected at most {MAX_SPECIAL}", settings.special.len()));
        }
        let bytes: usize = settings.added.iter().chain(&settings.special).map(|token| token.content.len()).sum();
        if bytes > MAX_ADDED_BYTES {
            return exhausted(format!("tokenizer_config.json: found {bytes} bytes of added tokens, expected at most {MAX_ADDED_BYTES}"));
        }
        Ok(settings)
    }
}

impl Addition {
    fn token(&self) -> Result<AddedToken> {
        if self.content.len() > 4096 {
            return exhausted(format!("tokenizer_config.json: found an added token of {} bytes, expected at most 4096", self.content.len()));
        }
        let token = AddedToken::from(self.content.as_str(), self.special).lstrip(self.lstrip).rstrip(self.rstrip).single_word(self.single_word);
        Ok(token.normalized(self.normalized.unwrap_or(!self.special)))
    }
}

impl Extras {
    pub fn from_settings(settings: &Settings) -> Result<Self> {
        let mut extras = Self::default();
        extras.include(settings)?;
        Ok(extras)
    }

    pub fn include(&mut self, settings: &Settings) -> Result<()> {
        for (from, to) in [(&settings.added, &mut self.added), (&settings.special, &mut self.fallback)] {
            for addition in from.iter().filter(|addition| !addition.content.is_empty()) {
                to.push(addition.token()?);
            }
        }
        Ok(())
    }

    /// A token found in text as a whole: always when not special, on request when special.
    pub fn add(&mut self, content: &str, id: u32, special: bool) -> Result<()> {
        if content.is_empty() || content.len() > 4096 {
            return invalid(format!("token {id}: found {} bytes, expected 1 to 4096", content.len()));
        }
        if let Some(other) = self.names.insert(content.to_string(), id) {
            return invalid(format!("token {content:?}: found ids {other} and {id}, expected one"));
        }
        self.added.push(AddedToken::from(content, special).normalized(false));
        Ok(())
    }
}

pub struct Tokenizer {
    plain: View,
    special: View,
    pub plan: Plan,
    pub vocab_size: u32,
    pub kind: &'static str, // for people
    added: Vec<(u32, AddedToken)>,
    special_ids: HashSet<u32>,
    pub unknown: Option<u32>,
    pub specials: Specials,
}

impl Tokenizer {
    /// `json` has passed the checks of tokenizer_json.
    pub fn build(json: &[u8], plan: Plan, mut extras: Extras) -> Result<Self> {
        let file: tokenizers::Tokenizer = serde_json::from_slice(json).map_err(reading("tokenizer.json"))?;
        let kind = match file.get_model() {
            ModelWrapper::BPE(model) if model.byte_fallback => "BPE with byte fallback",
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "unigram",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "word level",
        };
        let plan = extras.plan.take().unwrap_or(plan);
        let (added, fallback) = (std::mem::take(&mut extras.added), std::mem::take(&mut extras.fallback));
        let mut plain = View::new(SharedModel::new(file.get_model(), extras));
        plain.with_normalizer(file.get_normalizer().cloned()).map_err(reading("normalizer"))?;
        plain.with_pre_tokenizer(file.get_pre_tokenizer().cloned());
        plain.with_post_processor(file.get_post_processor().cloned());
        plain.with_added_vocabulary(file.get_added_vocabulary().clone());
        plain.add_tokens(added).map_err(reading("added tokens"))?;
        let mut known: HashSet<String> = plain.get_added_vocabulary().get_vocab().keys().cloned().collect();
        let missing: Vec<AddedToken> = fallback.into_iter().filter(|token| known.insert(token.content.clone())).collect();
        // At once: the search automata are built anew with each call.
        plain.add_tokens(missing).map_err(reading("special tokens"))?;
        let mut special = plain.clone();
        plain.set_encode_special_tokens(true);
        special.set_encode_special_tokens(false);
        let ids = unique_ids(&plain)?;
        let mut added: Vec<(u32, AddedToken)> =
            plain.get_added_tokens_decoder().iter().map(|(id, token)| (*id, token.clone())).collect();
        added.sort_by_key(|(id, _)| *id);
        let special_ids = added.iter().filter(|(_, t)| t.special).map(|(id, _)| *id).collect();
        let names: Vec<(u32, String)> = added.iter().filter(|(_, t)| t.special).map(|(id, t)| (*id, t.content.clone())).collect();
        let named = |view: &View| view.token_to_id(view.get_model().extras.unknown_name.as_deref()?);
        let unknown = plain.get_model().extras.unknown_id.or_else(|| named(&plain));
        Ok(Self { plain, special, plan, vocab_size: ids, kind, added, special_ids, unknown, specials: Specials::new(&names)? })
    }

    /// The token ids of `text`, with the post-processor's special tokens when `add_special`.
    pub fn encode(&self, text: &str, pair: Option<&str>, add_special: bool, parse_special: bool, max_bytes: usize) -> Result<Vec<u32>> {
        let size = text.len() + pair.map_or(0, str::len);
        if size > max_bytes {
            return exhausted(format!("text: found {size} bytes, expected at most {max_bytes}"));
        }
        let view = if parse_special { &self.special } else { &self.plain };
        let input: EncodeInput = match pair {
            Some(second) => (text, second).into(),
            None => text.into(),
        };
        let encoding = view.encode_fast(input, add_special).map_err(reading("encode"))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut stream = Stream::whole();
        let mut text = String::new();
        for &id in ids {
            text.push_str(&self.push(&mut stream, id, skip_special)?);
        }
        text.push_str(&stream.finish(&self.plan));
        Ok(text)
    }

    /// Text that `id` completes.
    pub fn push(&self, stream: &mut Stream, id: u32, skip_special: bool) -> Result<String> {
        let Some(piece) = self.piece(id) else {
            return Err(Error::new(Code::OutOfRange, format!("token id: found {id}, expected an id of the vocabulary (below {})", self.vocab_size)));
        };
        let shown = self.unknown == Some(id) && self.plan.shows_unknown();
        if skip_special && !shown && self.plain.get_added_vocabulary().is_special_token(&piece) {
            return Ok(String::new());
        }
        Ok(stream.push(&self.plan, id, piece))
    }

    pub fn piece(&self, id: u32) -> Option<String> {
        let added = self.plain.get_added_vocabulary().simple_id_to_token(id);
        added.or_else(|| self.plain.get_model().id_to_token(id))
    }

    pub fn token_id(&self, piece: &str) -> Option<u32> {
        self.plain.token_to_id(piece)
    }

    /// Added tokens by id.
    pub fn added(&self) -> &[(u32, AddedToken)] {
        &self.added
    }

    /// A special token other than the unknown token, which plain text may give as well.
    pub fn is_control(&self, id: u32) -> bool {
        self.special_ids.contains(&id) && self.unknown != Some(id)
    }
}

/// One past the largest id; an id that two pieces share is an error.
fn unique_ids(view: &View) -> Result<u32> {
    let mut owner: HashMap<u32, String> = HashMap::new();
    for (piece, id) in view.get_vocab(true) {
        if let Some(other) = owner.get(&id) {
            return invalid(format!("vocabulary: id {id} belongs to both {other:?} and {piece:?}"));
        }
        owner.insert(id, piece);
    }
    match owner.keys().max() {
        Some(&largest) => Ok(largest + 1),
        None => invalid("vocabulary: found no token, expected at least one"),
    }
}
