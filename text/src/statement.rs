//! Statements with their expressions written again; macros get Python's defaults, `varargs` and `kwargs`.

use crate::expression::{Parser, Written, DICT, KEEP, TUPLE, UNSET};
use crate::filters::ITERABLE;

/// A statement as the engine reads it. `behind` are more statements that belong right behind it, less the last `{% endif %}`.
#[derive(Default)]
pub struct Statement {
    pub head: String,
    pub behind: String,
}

/// None for statements without an expression, which pass unchanged. `rest` is the source behind the tag.
pub fn rewrite(name: &str, parser: &mut Parser, rest: &str) -> Written<Option<Statement>> {
    let head = match name {
        "if" | "elif" => format!("{name} {}", parser.tuple(false, &[])?),
        "for" => for_loop(parser)?,
        "set" => set(parser)?,
        "filter" => format!("filter {}", filters(parser)?),
        "autoescape" => format!("autoescape {}", parser.expression()?),
        "with" => with(parser)?,
        "macro" => return macro_head(parser, rest).map(Some),
        "call" => return call_head(parser, rest).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(Statement { head, behind: String::new() }))
}

fn for_loop(parser: &mut Parser) -> Written {
    let target = parser.target(&["in"])?;
    parser.expect("in")?;
    let source = parser.tuple(false, &["if", "recursive"])?;
    let condition = if parser.take("if") { format!(" if {}", parser.expression()?) } else { String::new() };
    let recursive = if parser.take("recursive") { " recursive" } else { "" };
    Ok(format!("for {target} in {source}|{ITERABLE}{condition}{recursive}"))
}

fn set(parser: &mut Parser) -> Written {
    let target = parser.target(&["=", "|"])?;
    let namespace = target.split_once(" . ").map(|(name, _)| format!("{KEEP}({name})"));
    if parser.take("=") {
        let kept = namespace.map_or(String::new(), |keep| format!("|{keep}"));
        return Ok(format!("set {target} = {}{kept}", parser.tuple(true, &[])?));
    }
    let given = if parser.take("|") { Some(filters(parser)?) } else { None };
    let chain: Vec<String> = given.into_iter().chain(namespace).collect();
    let filtered = if chain.is_empty() { String::new() } else { format!(" | {}", chain.join("|")) };
    Ok(format!("set {target}{filtered}"))
}

fn filters(parser: &mut Parser) -> Written {
    let mut chain = parser.filter()?;
    while parser.take("|") {
        chain = format!("{chain}|{}", parser.filter()?);
    }
    Ok(chain)
}

fn with(parser: &mut Parser) -> Written {
    let mut values = Vec::new();
    while parser.peek().is_some() {
        if !values.is_empty() {
            parser.expect(",")?;
        }
        let target = parser.target(&["="])?;
        parser.expect("=")?;
        values.push(format!("{target} = {}", parser.expression()?));
    }
    Ok(format!("with {}", values.join(", ")))
}

fn macro_head(parser: &mut Parser, rest: &str) -> Written<Statement> {
    let name = parser.name()?.to_string();
    let (signature, behind) = signature(parser, body(rest, "endmacro"))?;
    Ok(Statement { head: format!("macro {name}{signature}"), behind })
}

fn call_head(parser: &mut Parser, rest: &str) -> Written<Statement> {
    let (signature, behind) = if parser.peek().is_some_and(|token| token.is("(")) {
        signature(parser, body(rest, "endcall"))?
    } else {
        Default::default()
    };
    Ok(Statement { head: format!("call{signature} {}", parser.block_call()?), behind })
}

fn body<'a>(rest: &'a str, end: &str) -> &'a str {
    &rest[..rest.find(end).unwrap_or(rest.len())]
}

/// Parameters, and the statements that give those left out their defaults: these may name the parameters before them.
fn signature(parser: &mut Parser, body: &str) -> Written<(String, String)> {
    parser.expect("(")?;
    let (mut parameters, mut behind) = (Vec::new(), String::new());
    while !parser.take(")") {
        if !parameters.is_empty() {
            parser.expect(",")?;
        }
        let name = parser.name()?;
        if parser.take("=") {
            let end = if behind.is_empty() { "" } else { "{% endif %}" };
            behind.push_str(&format!("{end}{{% if {name} is {UNSET} %}}{{% set {name} = {} %}}", parser.expression()?));
            parameters.push(format!("{name}=none|{UNSET}"));
        } else if behind.is_empty() {
            parameters.push(name.to_string());
        } else {
            return Err("non-default argument follows default argument".into());
        }
    }
    // What the engine has no word for; calls fill them (access.rs).
    for (name, empty) in [("varargs", TUPLE), ("kwargs", DICT)] {
        if body.contains(name) {
            parameters.push(format!("{name}=none|{empty}"));
        }
    }
    Ok((format!("({})", parameters.join(", ")), behind))
}
