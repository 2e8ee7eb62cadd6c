//! Texts between quotes: as Python reads them, as the engine does.

use crate::expression::Written;

/// A text as the engine reads it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The letters of a quoted text, escapes read as Python reads them.
pub fn unquoted(text: &str) -> Written {
    let inner = &text[1..text.len() - 1];
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let letter = rest.chars().next().ok_or("a text ends in a backslash")?;
        let size = match letter {
            'x' => escape(rest, 1, 2, 16, &mut out)?,
            'u' => unicode(rest, &mut out)?,
            'U' => escape(rest, 1, 8, 16, &mut out)?,
            '0'..='7' => {
                let digits = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                escape(rest, 0, digits, 8, &mut out)?
            }
            _ => {
                match "nrtabfv\\'\"".find(letter) {
                    Some(known) => out.extend("\n\r\t\u{7}\u{8}\u{c}\u{b}\\'\"".chars().nth(known)),
                    None if letter == '\n' => {}
                    None => out.extend(['\\', letter]),
                }
                letter.len_utf8()
            }
        };
        rest = &rest[size..];
    }
    Ok(out + rest)
}

/// The character whose number follows at `from`; gives the length of the escape.
fn escape(rest: &str, from: usize, digits: usize, base: u32, out: &mut String) -> Written<usize> {
    let number = rest.get(from..from + digits).and_then(|text| u32::from_str_radix(text, base).ok());
    out.push(number.and_then(char::from_u32).ok_or("a text holds an escape that is no character")?);
    Ok(from + digits)
}

/// `u` and four digits; two such escapes may spell one character.
fn unicode(rest: &str, out: &mut String) -> Written<usize> {
    let unit = |at: usize| rest.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if let (Some(high @ 0xd800..=0xdbff), Some("\\u"), Some(low @ 0xdc00..=0xdfff)) = (unit(1), rest.get(5..7), unit(7)) {
        out.extend(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)));
        return Ok(11);
    }
    escape(rest, 1, 4, 16, out)
}
