//! The operands of expressions: names, texts, displays, and what may follow them (members, subscripts, calls, filters, tests).

use crate::expression::{limited, Parser, Written, ATTRIBUTE, CALL, CALL_FUNCTION, DICT, ITEM, MAX_CHAIN, METHOD, SLICE, TUPLE};
use crate::literal::{quoted, unquoted};
use crate::scan::Kind;

const RESERVED: [&str; 9] = ["in", "if", "elif", "else", "and", "or", "not", "is", "for"];

/// A value with what follows it; where that ended with a call, its callee and arguments.
pub struct Operand {
    pub text: String,
    call: Option<(String, String)>,
}

impl Parser<'_> {
    pub fn primary(&mut self) -> Written {
        let Some(token) = self.peek() else { return Err("unexpected end of the tag, expected an expression".into()) };
        self.advance();
        match token.kind {
            Kind::Name if RESERVED.contains(&token.text.as_str()) => Err(format!("unexpected '{}'", token.text)),
            // The engine knows these calls by their names.
            Kind::Name if ["loop", "super"].contains(&token.text.as_str()) && self.is_ahead(0, "(") => Ok(format!("{}({})", token.text, self.arguments()?)),
            Kind::Name if token.text == "self" && self.is_ahead(0, ".") && self.is_ahead(2, "(") => {
                self.advance();
                Ok(format!("self.{}({})", self.name()?, self.arguments()?))
            }
            Kind::Name => Ok(token.text.clone()),
            Kind::Number => Ok(token.text.replace('_', "")),
            Kind::Text => {
                let mut text = unquoted(&token.text)?;
                while let Some(more) = self.peek().filter(|token| token.kind == Kind::Text) {
                    text.push_str(&unquoted(&more.text)?);
                    self.advance();
                }
                Ok(quoted(&text))
            }
            _ => self.display(&token.text),
        }
    }

    /// What begins with a bracket.
    fn display(&mut self, open: &str) -> Written {
        match open {
            "(" => {
                let inner = self.nested(|parser| Ok(parser.tuple_or_nothing(true, &[])?.unwrap_or_else(|| format!("none|{TUPLE}"))))?;
                self.expect(")")?;
                Ok(inner)
            }
            "[" => Ok(format!("[{}]", self.listed("]", Self::expression)?)),
            "{" => {
                let entries = self.listed("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect(":")?;
                    Ok(format!("{key}, {}", parser.expression()?))
                })?;
                Ok(format!("none|{DICT}({entries})"))
            }
            other => Err(format!("unexpected '{other}'")),
        }
    }

    fn listed(&mut self, close: &str, entry: fn(&mut Self) -> Written) -> Written {
        let mut entries = Vec::new();
        while !self.take(close) {
            if !entries.is_empty() {
                self.expect(",")?;
                if self.take(close) {
                    break;
                }
            }
            entries.push(entry(self)?);
        }
        limited(entries.len())?;
        Ok(entries.join(", "))
    }

    pub fn postfix(&mut self, text: String) -> Written<Operand> {
        let mut operand = Operand { text, call: None };
        for _ in 0..MAX_CHAIN {
            let value = &operand.text;
            operand = match self.peek() {
                Some(token) if token.is(".") => {
                    self.advance();
                    self.member(value)?
                }
                Some(token) if token.is("[") => {
                    self.advance();
                    Operand { text: format!("{value}|{}", self.subscript()?), call: None }
                }
                Some(token) if token.is("(") => {
                    let arguments = self.arguments()?;
                    Operand { text: format!("{value}|{CALL}({arguments})"), call: Some((value.clone(), arguments)) }
                }
                _ => return Ok(operand),
            };
        }
        Err(format!("expression: found a chain above {MAX_CHAIN}"))
    }

    fn member(&mut self, value: &str) -> Written<Operand> {
        let number = self.peek().filter(|token| token.kind == Kind::Number);
        if let Some(index) = number {
            self.advance();
            return Ok(Operand { text: format!("{value}|{ITEM}({})", index.text), call: None });
        }
        let name = self.name()?;
        let text = format!("{value}|{ATTRIBUTE}(\"{name}\")");
        if !self.is_ahead(0, "(") {
            return Ok(Operand { text, call: None });
        }
        let arguments = self.arguments()?;
        let comma = if arguments.is_empty() { "" } else { ", " };
        Ok(Operand { call: Some((text, arguments.clone())), text: format!("{value}|{METHOD}(\"{name}\"{comma}{arguments})") })
    }

    /// What stands in square brackets behind a value, with the closing one.
    fn subscript(&mut self) -> Written {
        let mut parts = vec![None];
        let mut colons = 0;
        while !self.take("]") {
            if self.take(":") {
                colons += 1;
                parts.push(None);
            } else if colons == 0 && parts[0].is_none() {
                parts[0] = Some(self.tuple(true, &["]", ":"])?);
            } else if parts.last().is_some_and(Option::is_none) {
                *parts.last_mut().ok_or("subscript")? = Some(self.expression()?);
            } else {
                return Err(format!("expected token ']', got {}", self.found()));
            }
        }
        match colons {
            0 => Ok(format!("{ITEM}({})", parts[0].take().ok_or("expected subscript expression")?)),
            1 | 2 => {
                let parts: Vec<String> = parts.into_iter().map(|part| part.unwrap_or("none".into())).collect();
                Ok(format!("{SLICE}({})", parts.join(", ")))
            }
            _ => Err("expected token ']', got ':'".into()),
        }
    }

    /// Arguments with their parentheses read and not written.
    fn arguments(&mut self) -> Written {
        self.expect("(")?;
        self.listed(")", |parser| {
            let stars = if parser.take("**") { "**" } else if parser.take("*") { "*" } else { "" };
            if stars.is_empty() && parser.is_ahead(1, "=") {
                let name = parser.name()?;
                parser.expect("=")?;
                return Ok(format!("{name}={}", parser.expression()?));
            }
            Ok(format!("{stars}{}", parser.expression()?))
        })
    }

    /// Filters, tests and calls behind a value.
    pub fn filters(&mut self, mut value: String) -> Written {
        for _ in 0..MAX_CHAIN {
            value = match self.peek() {
                Some(token) if token.is("|") => {
                    self.advance();
                    format!("{value}|{}", self.filter()?)
                }
                Some(token) if token.is("is") => self.test(&value)?,
                Some(token) if token.is("(") => format!("{value}|{CALL}({})", self.arguments()?),
                _ => return Ok(value),
            };
        }
        Err(format!("expression: found a chain above {MAX_CHAIN}"))
    }

    /// `name` or `name(arguments)`.
    pub fn filter(&mut self) -> Written {
        let name = self.public_name("filter")?;
        Ok(if self.is_ahead(0, "(") { format!("{name}({})", self.arguments()?) } else { name })
    }

    fn test(&mut self, value: &str) -> Written {
        self.expect("is")?;
        let no = if self.take("not") { "not " } else { "" };
        let name = self.public_name("test")?;
        let arguments = match self.peek() {
            Some(token) if token.is("(") => format!("({})", self.arguments()?),
            Some(token) if token.is("is") => return Err("You cannot chain multiple tests with is".into()),
            Some(token) if token.begins_operand() && !["else", "or", "and"].iter().any(|word| token.is(word)) => {
                let operand = self.nested(|parser| {
                    let operand = parser.primary()?;
                    Ok(parser.postfix(operand)?.text)
                })?;
                format!("({operand})")
            }
            _ => String::new(),
        };
        Ok(format!("({value} is {no}{name}{arguments})"))
    }

    /// The call of a `call` block.
    pub fn block_call(&mut self) -> Written {
        let operand = self.primary()?;
        let Some((callee, arguments)) = self.postfix(operand)?.call else { return Err("expected call".into()) };
        let comma = if arguments.is_empty() { "" } else { ", " };
        Ok(format!("{CALL_FUNCTION}({callee}{comma}{arguments})"))
    }
}
