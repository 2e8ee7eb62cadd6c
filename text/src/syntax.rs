//! Template syntax that is settled before the engine reads a template: expressions are written again (expression.rs,
//! statement.rs), line ends are normalised, and the `generation` block of transformers becomes a plain scope. Text outside of
//! tags, blanks and block structure pass through unchanged.

use crate::expression::{Parser, Written};
use crate::scan::{scan, Kind, Token};
use crate::statement;

pub fn adapt(source: &str) -> Written {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(2 * source.len());
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

fn copy_comment<'a>(source: &'a str, out: &mut String) -> Written<&'a str> {
    let Some(end) = source.find("#}") else { return Err("Missing end of comment tag".into()) };
    out.push_str(&source[..end + 2]);
    Ok(&source[end + 2..])
}

/// One `{{ }}` or `{% %}`; gives back what follows it.
fn adapt_tag<'a>(source: &'a str, close: &str, out: &mut String) -> Written<&'a str> {
    let (tokens, size) = scan(source, close)?;
    let (tag, rest) = source.split_at(size);
    let [open, inner @ .., end] = tokens.as_slice() else { return Err("unexpected end of template".into()) };
    let body: Vec<Token> = inner.iter().filter(|token| token.kind != Kind::Space).cloned().collect();
    let mut parser = Parser::new(&body);
    let written = if close == "}}" {
        Some(statement::Statement { head: parser.tuple(true, &[])?, behind: String::new() })
    } else {
        match parser.name()? {
            "raw" => return Ok(copy_raw(tag, rest, out)),
            "do" => return Err("Encountered unknown tag 'do'.".into()),
            "generation" | "endgeneration" => {
                out.push_str(&tag.replacen("generation", "with", 1));
                return Ok(rest);
            }
            name => statement::rewrite(name, &mut parser, rest)?,
        }
    };
    let Some(written) = written else {
        out.push_str(tag);
        return Ok(rest);
    };
    parser.end()?;
    // The end of the tag comes last, so that blanks behind it are judged as before; lines are counted as before.
    let behind = if written.behind.is_empty() { String::new() } else { format!("%}}{}{{% endif ", written.behind) };
    out.push_str(&format!("{} {} {behind}{}{}", open.text, written.head, "\n".repeat(tag.matches('\n').count()), end.text));
    Ok(rest)
}

/// A newline behind `raw` stays.
fn copy_raw<'a>(tag: &str, rest: &'a str, out: &mut String) -> &'a str {
    let keeps = !tag.ends_with("-%}") && !tag.ends_with("+%}");
    out.push_str(&if keeps { format!("{}+%}}", &tag[..tag.len() - 2]) } else { tag.to_string() });
    let end = rest.find("endraw").unwrap_or(rest.len());
    let end = rest[..end].rfind("{%").unwrap_or(end);
    out.push_str(&rest[..end]);
    &rest[end..]
}
