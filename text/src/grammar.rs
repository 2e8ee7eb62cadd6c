//! One output's progress through a grammar (the llguidance crate): which ids may come next, and what came.

use std::collections::VecDeque;
use std::sync::Arc;

use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::earley::{BiasComputer, ParserRecognizer};
use llguidance::toktrie::{SimpleVob, TokEnv, TokTrie};
use llguidance::TokenParser;

use crate::error::{invalid, Code, Error, Result};
use crate::grammar_text;
use crate::grammar_tokens::GrammarTokens;

/// References and rules may form chains as long as the text, and reading one recurses along them.
const STACK_BYTES: usize = 256 << 20;
const MESSAGE_START: usize = 200;
const MESSAGE_END: usize = 800;

pub struct Grammar {
    tokens: Arc<GrammarTokens>,
    parser: TokenParser,
    /// No token came yet, and this decoder prints the first one in its own way.
    first: bool,
    /// Ids that the grammar and the tokenizer leave no choice about.
    forced: VecDeque<u32>,
    progress: Progress,
    broken: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Open,
    /// Only the end may follow.
    Complete,
    /// The end came.
    Closed,
}

impl Grammar {
    /// `kind` as in abi.
    pub fn new(tokens: Arc<GrammarTokens>, kind: u32, text: &str) -> Result<Self> {
        let grammar = grammar_text::read(kind, text)?;
        let work = move || Self::compile(tokens, grammar);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
        let thread = thread.map_err(|problem| Error::new(Code::Internal, format!("grammar: no thread: {problem}")))?;
        thread.join().unwrap_or_else(|_| Err(Error::new(Code::Internal, "grammar: the library failed")))
    }

    fn compile(tokens: Arc<GrammarTokens>, grammar: TopLevelGrammar) -> Result<Self> {
        let mut parser = tokens.factory.create_parser(grammar).map_err(|problem| refusal(&problem))?;
        let warnings = parser.grammar_warnings();
        if !warnings.is_empty() {
            return invalid(format!("grammar: {}", shortened(&warnings.join("; "))));
        }
        parser.start_without_prompt();
        let first = tokens.first.is_some();
        let mut made = Self { tokens, parser, first, forced: VecDeque::new(), progress: Progress::Open, broken: None };
        made.refuel();
        made.settle()?;
        Ok(made)
    }

    pub fn ended(&self) -> bool {
        self.progress != Progress::Open
    }

    /// Sets bit id%32 of `allowed[id/32]` for each id that may come next, and clears the others.
    pub fn allow(&mut self, allowed: &mut [u32]) -> Result<()> {
        self.carefully(|this| {
            allowed.fill(0);
            if this.progress == Progress::Open {
                let accepting = this.parser.is_accepting();
                let mut set = this.next_ids()?;
                set.sub(&this.tokens.barred);
                if set.is_zero() && !accepting {
                    return stuck();
                }
                copy(&set, allowed);
                if set.is_zero() {
                    this.progress = Progress::Complete;
                } else if !accepting {
                    return Ok(());
                }
            }
            copy(&this.tokens.ends, allowed);
            Ok(())
        })
    }

    /// `id` came. After INVALID_ARGUMENT the grammar is as it was.
    pub fn accept(&mut self, id: i32) -> Result<()> {
        self.carefully(|this| {
            let may_not = || invalid(format!("token id: found {id}, which the grammar does not allow here"));
            let Some(id) = u32::try_from(id).ok().filter(|id| *id < this.tokens.vocab) else {
                return may_not();
            };
            if this.tokens.ends.is_allowed(id) {
                if this.progress == Progress::Closed || !(this.progress == Progress::Complete || this.parser.is_accepting()) {
                    return may_not();
                }
                this.progress = Progress::Closed;
                return Ok(());
            }
            let open = this.progress == Progress::Open && !this.tokens.barred.is_allowed(id);
            let Some(ids) = this.spell(id).filter(|_| open) else {
                return may_not();
            };
            this.refuel();
            if !this.fits(&ids)? {
                return may_not();
            }
            for &id in &ids {
                this.parser.consume_token(id).map_err(|problem| over_limits(&problem))?;
            }
            this.first = false;
            if this.forced.pop_front() != Some(id) {
                this.forced.clear();
            }
            this.settle()
        })
    }

    /// Runs `work` unless an earlier one failed for good.
    fn carefully<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(problem) = &self.broken {
            return Err(Error::new(Code::FailedPrecondition, format!("grammar: unusable since: {problem}")));
        }
        self.broken = Some("a failure of the grammar library".to_string());
        let outcome = work(self);
        self.broken = match &outcome {
            Err(problem) if problem.code != Code::InvalidArgument => Some(problem.message.clone()),
            _ => None,
        };
        outcome
    }

    fn next_ids(&mut self) -> Result<SimpleVob> {
        if let Some(first) = self.tokens.first.as_ref().filter(|_| self.first) {
            let mut set = self.parser.parser.compute_bias(first, &[]);
            set.or(&first.blank);
            self.parser.parser.invalidate_bias_cache();
            return self.within_limits().map(|()| set);
        }
        if let Some(&id) = self.forced.front() {
            let mut set = SimpleVob::alloc(self.tokens.vocab as usize);
            set.set(id as usize, self.fits(&[id])?);
            return Ok(set);
        }
        match self.parser.compute_mask() {
            Err(_) if self.parser.stop_reason() == StopReason::NoExtensionBias => Ok(SimpleVob::alloc(self.tokens.vocab as usize)),
            outcome => outcome.map_err(|problem| over_limits(&problem)),
        }
    }

    /// The ids to tell the library instead of `id`; None where no ids will do.
    fn spell(&self, id: u32) -> Option<Vec<u32>> {
        match self.tokens.first.as_ref().filter(|_| self.first) {
            Some(first) => first.spell(id, self.tokens.factory.tok_env().tok_trie()),
            None => Some(vec![id]),
        }
    }

    fn fits(&mut self, ids: &[u32]) -> Result<bool> {
        let count = self.parser.validate_tokens_raw(ids).map_err(|problem| over_limits(&problem))?;
        self.within_limits().map(|()| count == ids.len())
    }

    /// After each id, so that what is allowed depends on ids alone and not on when it was asked for.
    fn settle(&mut self) -> Result<()> {
        if self.parser.check_stop().map_err(|problem| over_limits(&problem))? {
            self.progress = Progress::Complete;
        } else if self.forced.is_empty() && !self.first {
            self.forced = self.parser.compute_ff_tokens().into();
        }
        self.within_limits()
    }

    /// The library sets its limits for a token only where it computes a set.
    fn refuel(&mut self) {
        let nothing = Nothing(Arc::clone(self.tokens.factory.tok_env()));
        self.parser.parser.compute_bias(&nothing, &[0]);
    }

    fn within_limits(&self) -> Result<()> {
        match self.parser.parser.get_error() {
            Some(problem) => Err(over_limits(&problem.message())),
            None => Ok(()),
        }
    }
}

struct Nothing(TokEnv);

impl BiasComputer for Nothing {
    fn compute_bias(&self, _: &mut ParserRecognizer<'_>, _: &[u8]) -> SimpleVob {
        self.trie().alloc_token_set()
    }

    fn trie(&self) -> &TokTrie {
        self.0.tok_trie()
    }
}

fn copy(set: &SimpleVob, allowed: &mut [u32]) {
    for (to, from) in allowed.iter_mut().zip(set.as_slice()) {
        *to |= from;
    }
}

fn stuck<T>() -> Result<T> {
    Err(Error::new(Code::FailedPrecondition, "grammar: no token of the model's vocabulary can go on from here"))
}

/// Words by which the library says that a limit was met.
const LIMIT_WORDS: &[&str] = &["too big", "too large", "too many", "too deeply", "too complex", "limit", "exceeded"];

fn refusal(problem: &impl std::fmt::Display) -> Error {
    let message = problem.to_string();
    if message.starts_with("panic: ") {
        return Error::new(Code::ResourceExhausted, "grammar: a number in it is too large, or it is too complex");
    }
    let code = if LIMIT_WORDS.iter().any(|words| message.contains(words)) { Code::ResourceExhausted } else { Code::InvalidArgument };
    Error::new(code, format!("grammar: {}", shortened(&message)))
}

fn over_limits(problem: &impl std::fmt::Display) -> Error {
    Error::new(Code::ResourceExhausted, format!("grammar: {}", shortened(&problem.to_string())))
}

/// Start and end of a message, on one line and without the library's traces.
fn shortened(message: &str) -> String {
    let words: Vec<&str> = message.split("\n<backtrace>").next().unwrap_or_default().split_whitespace().collect();
    let letters: Vec<char> = words.join(" ").chars().collect();
    if letters.len() <= MESSAGE_START + MESSAGE_END {
        return letters.iter().collect();
    }
    letters[..MESSAGE_START].iter().chain(&[' ', '\u{2026}', ' ']).chain(&letters[letters.len() - MESSAGE_END..]).collect()
}
