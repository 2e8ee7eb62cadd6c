//! The tokens of one tag.

use crate::expression::Written;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Space,
    Name,
    Number,
    Text,
    Other,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
}

impl Token {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }

    /// 1 for an opening bracket, -1 for a closing one.
    pub fn opens(&self) -> i32 {
        match self.text.as_str() {
            "(" | "[" | "{" if self.kind == Kind::Other => 1,
            ")" | "]" | "}" if self.kind == Kind::Other => -1,
            _ => 0,
        }
    }

    pub fn begins_operand(&self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Number | Kind::Text) || self.opens() == 1
    }
}

const PAIRS: [&str; 6] = ["**", "//", "==", "!=", "<=", ">="];

/// The tokens of a tag, its delimiters first and last, and its length.
pub fn scan(source: &str, close: &str) -> Written<(Vec<Token>, usize)> {
    let mut at = if source[2..].starts_with(['-', '+']) { 3 } else { 2 };
    let mut tokens = vec![Token::new(Kind::Other, &source[..at])];
    let mut open = 0i32;
    while let Some(letter) = source[at..].chars().next() {
        let rest = &source[at..];
        let signed = rest.strip_prefix(['-', '+']).is_some_and(|tail| tail.starts_with(close));
        if open == 0 && (rest.starts_with(close) || signed) {
            let size = close.len() + usize::from(signed);
            tokens.push(Token::new(Kind::Other, &rest[..size]));
            return Ok((tokens, at + size));
        }
        let run = |inside: fn(char) -> bool| rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
        let (kind, size) = match letter {
            _ if letter.is_whitespace() => (Kind::Space, run(char::is_whitespace)),
            _ if letter.is_alphabetic() || letter == '_' => (Kind::Name, run(|c| c.is_alphanumeric() || c == '_')),
            '0'..='9' => (Kind::Number, number(rest, tokens.last())?),
            '\'' | '"' => (Kind::Text, string(rest, letter).ok_or("unexpected end of template in a string")?),
            _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (Kind::Other, 2),
            _ if "+-*/%~<>=.:|,;()[]{}".contains(letter) => (Kind::Other, 1),
            _ => return Err(format!("unexpected char {letter:?}")),
        };
        let token = Token::new(kind, &rest[..size]);
        open = (open + token.opens()).max(0);
        tokens.push(token);
        at += size;
    }
    Err(format!("unexpected end of template, expected '{close}'"))
}

/// Length of a number; Jinja2 has neither leading zeros nor a bare point behind.
fn number(rest: &str, before: Option<&Token>) -> Written<usize> {
    let size = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let digits = rest[..size].replace('_', "");
    let member = before.is_some_and(|token| token.is("."));
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.bytes().all(|b| b == b'0') {
        return Err("expected token 'end of print statement', got 'integer'".into());
    }
    let decimal = rest[..size].bytes().all(|b| b.is_ascii_digit() || b == b'_') && rest[size..].starts_with('.') && !member;
    if decimal && !rest[size + 1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err("expected name or number".into());
    }
    let mut end = size;
    if decimal && rest[size + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end += 1 + rest[size + 1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len() - size - 1);
    }
    let prefixed = rest.starts_with("0x") || rest.starts_with("0X");
    if !prefixed && rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) {
        end += 1 + rest[end + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - end - 1);
    }
    Ok(end)
}

fn string(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
