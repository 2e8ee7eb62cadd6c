//! Differences of template syntax that are settled before the engine reads a template. Jinja2 normalises line ends, knows
//! tuples, `%` on text, unary plus, calls of a method by subscript and eight-digit escapes, and will not iterate over none;
//! transformers adds the `generation` block, which for text is a plain scope. All else passes through unchanged.

use crate::filters::{ITERABLE, PERCENT, TUPLE};

type Result<T> = std::result::Result<T, String>;

pub fn adapt(source: &str) -> Result<String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{').filter(|at| at + 1 < rest.len()) {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        rest = match &tail.as_bytes()[1] {
            b'#' => copy_comment(tail, &mut out)?,
            b'{' => adapt_tag(tail, "}}", &mut out)?,
            b'%' => adapt_tag(tail, "%}", &mut out)?,
            _ => {
                out.push('{');
                &tail[1..]
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn copy_comment<'a>(source: &'a str, out: &mut String) -> Result<&'a str> {
    let Some(end) = source.find("#}") else { return Err("Missing end of comment tag".into()) };
    out.push_str(&source[..end + 2]);
    Ok(&source[end + 2..])
}

/// One `{{ }}` or `{% %}`; gives back what follows it.
fn adapt_tag<'a>(source: &'a str, close: &str, out: &mut String) -> Result<&'a str> {
    let (mut tokens, size) = scan(source, close)?;
    let name = tokens.iter().skip(1).find(|token| token.kind != Kind::Space).map_or("", |token| token.text.as_str()).to_string();
    let statement = close == "%}";
    if statement && name == "raw" {
        let close_at = tokens.len() - 1;
        if tokens[close_at].text == "%}" {
            tokens[close_at].text = "+%}".into();
        }
    }
    if statement && name == "do" {
        return Err("Encountered unknown tag 'do'.".into());
    }
    if statement && matches!(name.as_str(), "generation" | "endgeneration") {
        let replaced = if name == "generation" { "with" } else { "endwith" };
        tokens.iter_mut().filter(|token| token.text == name).for_each(|token| token.text = replaced.into());
    }
    let first = expression_start(&tokens, if statement { &name } else { "" });
    if statement && name == "for" {
        guard_iteration(&mut tokens, first);
    }
    rewrite(&mut tokens, first);
    tokens.iter().for_each(|token| out.push_str(&token.text));
    let rest = &source[size..];
    if statement && name == "raw" {
        let end = rest.find("endraw").unwrap_or(rest.len());
        let end = rest[..end].rfind("{%").unwrap_or(end);
        out.push_str(&rest[..end]);
        return Ok(&rest[end..]);
    }
    Ok(rest)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Space,
    Name,
    Number,
    Text,
    Other,
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    text: String,
}

impl Token {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// The tokens of a tag, its delimiters first and last, and its length.
fn scan(source: &str, close: &str) -> Result<(Vec<Token>, usize)> {
    let mut at = if source[2..].starts_with(['-', '+']) { 3 } else { 2 };
    let mut tokens = vec![Token::new(Kind::Other, &source[..at])];
    let mut open = 0usize;
    while let Some(letter) = source[at..].chars().next() {
        let rest = &source[at..];
        let signed = rest.strip_prefix(['-', '+']).is_some_and(|tail| tail.starts_with(close));
        if open == 0 && (rest.starts_with(close) || signed) {
            let size = close.len() + usize::from(signed);
            tokens.push(Token::new(Kind::Other, &rest[..size]));
            return Ok((tokens, at + size));
        }
        let run = |inside: fn(char) -> bool| rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
        let (kind, size, text) = match letter {
            _ if letter.is_whitespace() => (Kind::Space, run(char::is_whitespace), None),
            _ if letter.is_alphabetic() || letter == '_' => (Kind::Name, run(|c| c.is_alphanumeric() || c == '_'), None),
            '0'..='9' => (Kind::Number, number(rest, tokens.last())?, None),
            '\'' | '"' => {
                let size = string(rest, letter).ok_or("unexpected end of template in a string")?;
                (Kind::Text, size, Some(long_escapes(&rest[..size])))
            }
            _ => (Kind::Other, letter.len_utf8(), None),
        };
        match letter {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        tokens.push(Token { kind, text: text.unwrap_or_else(|| rest[..size].to_string()) });
        at += size;
    }
    Err(format!("unexpected end of template, expected '{close}'"))
}

/// Length of a number; Jinja2 has neither leading zeros nor a bare point behind.
fn number(rest: &str, before: Option<&Token>) -> Result<usize> {
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
    if !decimal || !rest[size + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(size);
    }
    let fraction = rest[size + 1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len() - size - 1);
    let mut end = size + 1 + fraction;
    if rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) {
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

/// `\U0001f600` as the character itself.
fn long_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let letter = rest.get(at + 2..at + 10).and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        match letter.filter(|_| rest[at + 1..].starts_with('U')) {
            Some(letter) => {
                out.push_str(&rest[..at]);
                out.push(letter);
                rest = &rest[at + 10..];
            }
            None => {
                let end = (at + 2..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out + rest
}

/// Where expressions begin: behind the targets of `for` and `set`; signatures are left alone.
fn expression_start(tokens: &[Token], statement: &str) -> usize {
    let mut depth = 0i32;
    let stop = match statement {
        "for" => "in",
        "set" => "=",
        "macro" | "call" | "block" | "filter" => return tokens.len(),
        _ => return 1,
    };
    for (at, token) in tokens.iter().enumerate().skip(1) {
        match token.text.as_str() {
            "(" | "[" if token.kind == Kind::Other => depth += 1,
            ")" | "]" if token.kind == Kind::Other => depth -= 1,
            _ if depth == 0 && token.is(stop) => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// `for x in E` becomes `for x in (E)|__iterable`, which refuses none and numbers.
fn guard_iteration(tokens: &mut Vec<Token>, first: usize) {
    if first >= tokens.len() - 1 {
        return;
    }
    let mut depth = 0i32;
    let end = (first..tokens.len() - 1).find(|at| {
        let token = &tokens[*at];
        match token.text.as_str() {
            "(" | "[" | "{" if token.kind == Kind::Other => depth += 1,
            ")" | "]" | "}" if token.kind == Kind::Other => depth -= 1,
            _ => {}
        }
        depth == 0 && (token.is("if") || token.is("recursive"))
    }).unwrap_or(tokens.len() - 1);
    if tokens[first..end].iter().all(|token| token.kind == Kind::Space) {
        return;
    }
    tokens.insert(end, Token::new(Kind::Other, format!(")|{ITERABLE} ")));
    tokens.insert(first, Token::new(Kind::Other, "("));
    tokens.insert(first, Token::new(Kind::Space, " "));
}

/// The token before `at` that is no space.
fn before(tokens: &[Token], at: usize) -> Option<&Token> {
    tokens[..at].iter().rev().find(|token| token.kind != Kind::Space)
}

const OPERATORS: [&str; 9] = ["in", "if", "elif", "else", "and", "or", "not", "is", "for"];

/// An operand has just ended before `at`.
fn after_operand(tokens: &[Token], at: usize) -> bool {
    before(tokens, at).is_some_and(|token| match token.kind {
        Kind::Name => !OPERATORS.contains(&token.text.as_str()),
        Kind::Number | Kind::Text => true,
        _ => matches!(token.text.as_str(), ")" | "]" | "}"),
    })
}

fn matching(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (at, token) in tokens.iter().enumerate().skip(open).filter(|(_, token)| token.kind == Kind::Other) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn rewrite(tokens: &mut Vec<Token>, first: usize) {
    let mut at = first;
    while at + 1 < tokens.len() {
        let operand = after_operand(tokens, at);
        match tokens[at].text.as_str() {
            "(" if tokens[at].kind == Kind::Other && !operand && is_tuple(tokens, at) => tokens[at].text = format!("{TUPLE}("),
            "+" if tokens[at].kind == Kind::Other && !operand => tokens[at].text = " ".into(),
            "[" if tokens[at].kind == Kind::Other && operand => method_by_subscript(tokens, at),
            "%" if tokens[at].kind == Kind::Other && before(tokens, at).is_some_and(|token| token.kind == Kind::Text) => percent_operand(tokens, at),
            _ => {}
        }
        at += 1;
    }
}

/// Parentheses around nothing or around a list with a comma of its own.
fn is_tuple(tokens: &[Token], open: usize) -> bool {
    let Some(close) = matching(tokens, open) else { return false };
    let mut depth = 0i32;
    let inner = &tokens[open + 1..close];
    let comma = inner.iter().filter(|token| token.kind == Kind::Other).any(|token| {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.text == ","
    });
    comma || inner.iter().all(|token| token.kind == Kind::Space)
}

/// `x['name'](` as `x.name(`.
fn method_by_subscript(tokens: &mut Vec<Token>, open: usize) {
    let [name, close, call] = [open + 1, open + 2, open + 3].map(|at| tokens.get(at));
    let plain = |text: &str| text.len() > 2 && text[1..text.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    let Some(name) = name.filter(|token| token.kind == Kind::Text && plain(&token.text)) else { return };
    if close.is_some_and(|token| token.is("]")) && call.is_some_and(|token| token.is("(")) {
        let method = name.text[1..name.text.len() - 1].to_string();
        tokens.splice(open..open + 3, [Token::new(Kind::Other, "."), Token::new(Kind::Name, method)]);
    }
}

/// `'format' % operand` as `'format'|__percent(operand)`.
fn percent_operand(tokens: &mut Vec<Token>, sign: usize) {
    let Some(start) = (sign + 1..tokens.len() - 1).find(|at| tokens[*at].kind != Kind::Space) else { return };
    let mut end = if tokens[start].is("(") { matching(tokens, start).unwrap_or(start) } else { start } + 1;
    while end + 1 < tokens.len() {
        match tokens[end].text.as_str() {
            "." => end += 2,
            "(" | "[" => end = matching(tokens, end).unwrap_or(end) + 1,
            _ => break,
        }
    }
    tokens.insert(end.min(tokens.len() - 1), Token::new(Kind::Other, ")"));
    tokens[sign].text = format!("|{PERCENT}(");
}
