//! Jinja2's expressions, parsed by its own grammar and written again for the engine: operators, members, calls and displays
//! become filters with Python's meaning (operators.rs, access.rs), so only precedence is settled here. What is written can
//! always be followed by `|`. Filters, unlike names, cannot be replaced by a variable of the request.

use crate::scan::{Kind, Token};

pub type Written<T = String> = Result<T, String>;

/// Names of the filters that stand for syntax; a template's own filters cannot begin with two underscores.
pub const ARITHMETIC: &str = "__arithmetic";
pub const ATTRIBUTE: &str = "__attribute";
pub const CALL: &str = "__call";
pub const COMPARE: &str = "__compare";
pub const CONCAT: &str = "__concat";
pub const DICT: &str = "__dict";
pub const ITEM: &str = "__item";
/// Gives its value; its argument is only named, so that the engine's macros see it.
pub const KEEP: &str = "__keep";
pub const METHOD: &str = "__method";
pub const SIGN: &str = "__sign";
pub const SLICE: &str = "__slice";
pub const TUPLE: &str = "__tuple";
pub const UNSET: &str = "__unset";
/// A function, since `call` blocks take nothing else.
pub const CALL_FUNCTION: &str = "__call_function";

/// Nesting and the length of one chain, so that neither this parser nor the engine's recursion is exhausted.
const MAX_DEPTH: usize = 120;
pub const MAX_CHAIN: usize = 1000;

const COMPARISONS: [&str; 7] = ["==", "!=", "<", "<=", ">", ">=", "in"];

pub struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// `tokens` hold no spaces.
    pub fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, at: 0, depth: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn is_ahead(&self, ahead: usize, text: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.is(text))
    }

    pub fn advance(&mut self) {
        self.at += 1;
    }

    pub fn take(&mut self, text: &str) -> bool {
        let found = self.is_ahead(0, text);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, text: &str) -> Written<()> {
        if self.take(text) { Ok(()) } else { Err(format!("expected token '{text}', got {}", self.found())) }
    }

    pub fn found(&self) -> String {
        self.peek().map_or("the end of the tag".into(), |token| format!("'{}'", token.text))
    }

    pub fn end(&self) -> Written<()> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(format!("expected the end of the tag, got {}", self.found())) }
    }

    pub fn name(&mut self) -> Written<&'a str> {
        match self.peek() {
            Some(token) if token.kind == Kind::Name => {
                self.at += 1;
                Ok(&token.text)
            }
            _ => Err(format!("expected a name, got {}", self.found())),
        }
    }

    /// A name of a filter or test; those of this module are not for templates.
    pub fn public_name(&mut self, what: &str) -> Written {
        let mut name = self.name()?.to_string();
        while self.take(".") {
            name = format!("{name}.{}", self.name()?);
        }
        if name.starts_with("__") { Err(format!("No {what} named '{name}'.")) } else { Ok(name) }
    }

    /// The tokens before one of `stops` outside of brackets, or all that are left, as they were.
    pub fn target(&mut self, stops: &[&str]) -> Written {
        let from = self.at;
        let mut depth = 0i32;
        while let Some(token) = self.peek().filter(|token| depth > 0 || !stops.iter().any(|stop| token.is(stop))) {
            depth += token.opens();
            self.at += 1;
        }
        let texts: Vec<&str> = self.tokens[from..self.at].iter().map(|token| token.text.as_str()).collect();
        if texts.is_empty() { Err(format!("expected a name, got {}", self.found())) } else { Ok(texts.join(" ")) }
    }

    pub fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Written) -> Written {
        if self.depth == MAX_DEPTH {
            return Err(format!("expression: found nesting above {MAX_DEPTH}"));
        }
        self.depth += 1;
        let written = parse(self);
        self.depth -= 1;
        written
    }

    /// Expressions with commas between them: a tuple where there is one.
    pub fn tuple(&mut self, conditional: bool, ends: &[&str]) -> Written {
        self.tuple_or_nothing(conditional, ends)?.ok_or_else(|| format!("Expected an expression, got {}", self.found()))
    }

    pub fn tuple_or_nothing(&mut self, conditional: bool, ends: &[&str]) -> Written<Option<String>> {
        let mut items = Vec::new();
        let mut comma = false;
        while self.peek().is_some_and(|token| !token.is(")") && !ends.iter().any(|end| token.is(end))) {
            items.push(if conditional { self.expression()? } else { self.nested(Self::disjunction)? });
            if !self.take(",") {
                break;
            }
            comma = true;
        }
        limited(items.len())?;
        Ok(if comma { Some(format!("none|{TUPLE}({})", items.join(", "))) } else { items.pop() })
    }

    pub fn expression(&mut self) -> Written {
        self.nested(Self::conditional)
    }

    fn conditional(&mut self) -> Written {
        let mut value = self.disjunction()?;
        while self.take("if") {
            let condition = self.disjunction()?;
            let otherwise = if self.take("else") { format!(" else {}", self.expression()?) } else { String::new() };
            value = format!("({value} if {condition}{otherwise})");
        }
        Ok(value)
    }

    fn disjunction(&mut self) -> Written {
        self.joined("or", Self::conjunction)
    }

    fn conjunction(&mut self) -> Written {
        self.joined("and", Self::negation)
    }

    fn joined(&mut self, word: &str, part: fn(&mut Self) -> Written) -> Written {
        let mut parts = vec![part(self)?];
        while self.take(word) {
            parts.push(part(self)?);
        }
        limited(parts.len())?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        // Kept from the engine, which makes a bool of constants.
        parts[0].push_str(&format!("|{KEEP}"));
        Ok(format!("({})", parts.join(&format!(" {word} "))))
    }

    fn negation(&mut self) -> Written {
        if self.take("not") {
            return Ok(format!("(not {})", self.nested(Self::negation)?));
        }
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek() {
                Some(token) if token.kind != Kind::Text && COMPARISONS.contains(&token.text.as_str()) => token.text.clone(),
                Some(token) if token.is("not") && self.is_ahead(1, "in") => {
                    self.at += 1;
                    "not in".into()
                }
                _ => return chain(first, COMPARE, rest),
            };
            self.at += 1;
            rest.push((operator, self.sum()?));
        }
    }

    fn sum(&mut self) -> Written {
        self.operators(&["+", "-"], Self::concatenation)
    }

    fn concatenation(&mut self) -> Written {
        let first = self.product()?;
        let mut rest = Vec::new();
        while self.take("~") {
            rest.push(self.product()?);
        }
        limited(rest.len())?;
        Ok(if rest.is_empty() { first } else { format!("{first}|{CONCAT}({})", rest.join(", ")) })
    }

    fn product(&mut self) -> Written {
        self.operators(&["*", "/", "//", "%"], Self::power)
    }

    fn power(&mut self) -> Written {
        self.operators(&["**"], |parser| parser.unary(true))
    }

    fn operators(&mut self, signs: &[&str], part: fn(&mut Self) -> Written) -> Written {
        let first = part(self)?;
        let mut rest = Vec::new();
        while let Some(sign) = signs.iter().find(|sign| self.is_ahead(0, sign)) {
            self.at += 1;
            rest.push((sign.to_string(), part(self)?));
        }
        chain(first, ARITHMETIC, rest)
    }

    fn unary(&mut self, with_filters: bool) -> Written {
        for sign in ["-", "+"] {
            if self.take(sign) {
                let signed = format!("{}|{SIGN}(\"{sign}\")", self.nested(|parser| parser.unary(false))?);
                let signed = self.postfix(signed)?.text;
                return if with_filters { self.filters(signed) } else { Ok(signed) };
            }
        }
        let operand = self.primary()?;
        let operand = self.postfix(operand)?.text;
        if with_filters { self.filters(operand) } else { Ok(operand) }
    }
}

pub fn limited(length: usize) -> Written<()> {
    if length > MAX_CHAIN { Err(format!("expression: found a chain above {MAX_CHAIN}")) } else { Ok(()) }
}

/// `first|filter("op", operand, …)`, or `first` alone.
fn chain(first: String, filter: &str, rest: Vec<(String, String)>) -> Written {
    limited(rest.len())?;
    let rest: Vec<String> = rest.into_iter().map(|(operator, operand)| format!("\"{operator}\", {operand}")).collect();
    Ok(if rest.is_empty() { first } else { format!("{first}|{filter}({})", rest.join(", ")) })
}
