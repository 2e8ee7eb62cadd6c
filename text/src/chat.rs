//! Chat prompts whose special tokens come from the template alone.
//!
//! Text of a request that spells a special token must not become one, yet everything else must come out as the reference
//! library gives it. So every spot of untrusted text where a special token could arise gets a mark character before rendering,
//! the marks are found again in the output, and only special tokens without a mark inside count. If the marks changed what the
//! template prints, fewer marks are tried; the marked text stands in any case.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use serde_json::Value;

use crate::error::{exhausted, reading, Code, Error, Result};
use crate::template::{Limits, Template};
use crate::tokenizer::Tokenizer;

/// Spellings of the special tokens, ready for searching.
pub struct Specials {
    ids: Vec<u32>,
    longest_first: AhoCorasick,
    overlapping: AhoCorasick,
    sorted: Vec<String>,
    reversed: Vec<String>,
    first_letters: BTreeSet<char>,
    longest: usize,
}

impl Specials {
    pub fn new(tokens: &[(u32, String)]) -> Result<Self> {
        let names: Vec<&str> = tokens.iter().map(|(_, name)| name.as_str()).collect();
        let searcher = |kind| AhoCorasick::builder().match_kind(kind).build(&names).map_err(reading("special tokens"));
        let ordered = |mut list: Vec<String>| {
            list.sort();
            list
        };
        Ok(Self {
            ids: tokens.iter().map(|(id, _)| *id).collect(),
            longest_first: searcher(MatchKind::LeftmostLongest)?,
            overlapping: searcher(MatchKind::Standard)?,
            sorted: ordered(names.iter().map(|name| name.to_string()).collect()),
            reversed: ordered(names.iter().map(|name| name.chars().rev().collect()).collect()),
            first_letters: names.iter().filter_map(|name| name.chars().next()).filter(|c| !c.is_alphanumeric() && !c.is_whitespace()).collect(),
            longest: names.iter().map(|name| name.len()).max().unwrap_or(0),
        })
    }

    /// Byte places of `text` that get a mark: inside each special token, at its ends where it could complete one with a
    /// neighbour, and, when `wary`, after every first letter of a special token that the template does not itself look for.
    fn places(&self, text: &str, wary: Option<&str>) -> BTreeSet<usize> {
        let after = |at: usize| at + text[at..].chars().next().map_or(0, char::len_utf8);
        let mut places: BTreeSet<usize> = self.overlapping.find_overlapping_iter(text).map(|found| after(found.start())).collect();
        let near_end = text.char_indices().rev().map(|(at, _)| at).take_while(|at| text.len() - at < self.longest);
        places.extend(near_end.filter(|at| begins_some(&self.sorted, &text[*at..])).map(after));
        let starts = text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end < self.longest);
        for end in starts {
            let backwards: String = text[..end].chars().rev().collect();
            if begins_some(&self.reversed, &backwards) {
                places.insert(0);
            }
        }
        if let Some(template) = wary {
            for (at, letter) in text.char_indices().filter(|(_, letter)| self.first_letters.contains(letter)) {
                let next = after(at);
                let pair = &text[at..text[next..].chars().next().map_or(next, |c| next + c.len_utf8())];
                if pair.len() == letter.len_utf8() || !template.contains(pair) {
                    places.insert(next);
                }
            }
        }
        places
    }
}

fn begins_some(sorted: &[String], start: &str) -> bool {
    let at = sorted.partition_point(|name| name.as_str() < start);
    sorted.get(at).is_some_and(|name| name.starts_with(start) && name.len() > start.len())
}

/// A stretch of the prompt; special tokens are read from it or not.
pub struct Segment {
    pub text: String,
    pub parse_special: bool,
    /// Special tokens of the template in it.
    tokens: Vec<(usize, usize, u32)>,
    marks: Vec<usize>,
}

pub struct Request<'a> {
    pub template: &'a Template,
    /// From the client: messages, tools and so on.
    pub context: Value,
    /// From the model's files: bos_token and the like; stands over the context.
    pub trusted: Value,
    pub now: &'a str,
    pub limits: Limits,
    /// The prompt ends inside the last message.
    pub continue_final: bool,
}

impl Request<'_> {
    fn render_with(&self, context: Value) -> Result<String> {
        let mut merged = context;
        if let (Value::Object(all), Value::Object(trusted)) = (&mut merged, &self.trusted) {
            all.extend(trusted.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        self.template.render(&merged, self.now, self.limits)
    }

    pub fn render(&self) -> Result<String> {
        let mut text = self.render_with(self.context.clone())?;
        text.truncate(self.end_of(&text)?);
        Ok(text)
    }

    /// Where the prompt ends: behind the last message's text when that is to be continued.
    fn end_of(&self, text: &str) -> Result<usize> {
        if !self.continue_final {
            return Ok(text.len());
        }
        let last = self.context["messages"].as_array().and_then(|messages| messages.last()).map(|message| &message["content"]);
        let block = last.and_then(Value::as_array).and_then(|blocks| blocks.iter().rev().find_map(|block| block["text"].as_str()));
        let content = last.and_then(Value::as_str).or(block).unwrap_or_default();
        match text.rfind(content.trim()).filter(|_| !content.trim().is_empty()) {
            Some(at) if text[at..].starts_with(content.trim_start()) => Ok(at + content.trim_start().len()),
            Some(at) => Ok(at + content.trim().len()),
            None => Err(Error::new(Code::InvalidArgument, "continue_final_message: the last message's text is not in the rendered prompt")),
        }
    }

    /// The rendered prompt and the byte places of its marks.
    fn render_marked(&self, specials: &Specials) -> Result<(String, Vec<usize>)> {
        let mark = self.free_mark()?;
        let reference = self.render();
        let mut safest = None;
        for wary in [Some(self.template.source()), None] {
            let mut marked = self.context.clone();
            if !mark_strings(&mut marked, &mut |text| insert(text, &specials.places(text, wary), mark)) {
                return Ok((reference?, Vec::new()));
            }
            let Ok(text) = self.render_with(marked) else { continue };
            let mut found = remove(&text, mark);
            found.0.truncate(self.end_of(&found.0)?);
            found.1.retain(|at| *at <= found.0.len());
            if reference.as_ref().is_ok_and(|plain| *plain == found.0) {
                return Ok(found);
            }
            safest = safest.or(Some(found));
        }
        let plain = reference?;
        safest.ok_or_else(|| Error::new(Code::InvalidArgument, format!("chat template: cannot keep special tokens out of {} bytes of text", plain.len())))
    }

    /// A private-use character that occurs nowhere in the request.
    fn free_mark(&self) -> Result<char> {
        let request = self.context.to_string();
        let free = |mark: &char| !request.contains(*mark) && !self.template.source().contains(*mark);
        match ('\u{f8a0}'..='\u{f8ff}').find(free) {
            Some(mark) => Ok(mark),
            None => exhausted("messages: found every private-use character from U+F8A0 to U+F8FF, expected one unused"),
        }
    }

    pub fn segments(&self, specials: &Specials) -> Result<Vec<Segment>> {
        let (text, marks) = self.render_marked(specials)?;
        let (trusted, marked) = find_specials(specials, &text, &marks);
        let mut segments: Vec<Segment> = Vec::new();
        let mut from = 0;
        let ends = trusted.iter().map(|token| (token.0, Some(*token))).chain([(text.len(), None)]);
        for (end, token) in ends {
            let open = !between(&marked, from, end).is_empty();
            if from < end || token.is_none() {
                push(&mut segments, &text[from..end], !open, between(&marks, from, end).iter().map(|mark| mark - from));
            }
            if let Some((start, stop, id)) = token {
                let segment = push(&mut segments, &text[start..stop], true, std::iter::empty());
                let size = segment.text.len();
                segment.tokens.push((size - (stop - start), size, id));
                from = stop;
            }
        }
        Ok(segments)
    }
}

/// The places of a sorted list from `from` on and before `end`.
fn between(places: &[usize], from: usize, end: usize) -> &[usize] {
    let first = places.partition_point(|at| *at < from);
    &places[first..first + places[first..].partition_point(|at| *at < end)]
}

/// Adds to the last segment of the same kind, or begins one.
fn push<'a>(segments: &'a mut Vec<Segment>, text: &str, parse: bool, marks: impl Iterator<Item = usize>) -> &'a mut Segment {
    if !segments.last().is_some_and(|last| last.parse_special && parse) {
        segments.push(Segment { text: String::new(), parse_special: parse, tokens: Vec::new(), marks: Vec::new() });
    }
    let at = segments.len() - 1;
    let segment = &mut segments[at];
    let offset = segment.text.len();
    segment.text.push_str(text);
    segment.marks.extend(marks.map(|mark| mark + offset));
    segment
}

/// Special tokens without a mark inside as (start, end, id), and the starts of those with one.
fn find_specials(specials: &Specials, text: &str, marks: &[usize]) -> (Vec<(usize, usize, u32)>, Vec<usize>) {
    let (mut trusted, mut marked) = (Vec::new(), Vec::new());
    let mut from = 0;
    while let Some(found) = specials.longest_first.find(Input::new(text).span(from..text.len())) {
        let next_mark = marks.partition_point(|mark| *mark <= found.start());
        if marks.get(next_mark).is_some_and(|mark| *mark < found.end()) {
            marked.push(found.start());
            from = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
        } else {
            trusted.push((found.start(), found.end(), specials.ids[found.pattern().as_usize()]));
            from = found.end();
        }
    }
    (trusted, marked)
}

/// Every string of the request, member names included; true when something changed.
fn mark_strings(value: &mut Value, mark: &mut impl FnMut(&str) -> Option<String>) -> bool {
    match value {
        Value::String(text) => mark(text).map(|marked| *text = marked).is_some(),
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| mark_strings(item, mark) || changed),
        Value::Object(members) => {
            let mut changed = false;
            let old = std::mem::take(members);
            for (key, mut member) in old {
                changed |= mark_strings(&mut member, mark);
                let marked = mark(&key);
                changed |= marked.is_some();
                members.insert(marked.unwrap_or(key), member);
            }
            changed
        }
        _ => false,
    }
}

fn insert(text: &str, places: &BTreeSet<usize>, mark: char) -> Option<String> {
    if places.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 3 * places.len());
    let mut from = 0;
    for &at in places {
        out.push_str(&text[from..at]);
        out.push(mark);
        from = at;
    }
    out.push_str(&text[from..]);
    Some(out)
}

fn remove(text: &str, mark: char) -> (String, Vec<usize>) {
    let mut out = String::with_capacity(text.len());
    let mut places = Vec::new();
    for part in text.split_inclusive(mark) {
        match part.strip_suffix(mark) {
            Some(kept) => {
                out.push_str(kept);
                places.push(out.len());
            }
            None => out.push_str(part),
        }
    }
    (out, places)
}

/// Token ids of the segments. What the tokenizer reads as special is compared with what the template wrote, since
/// normalization can make a special token out of letters that look different.
pub fn encode(tokenizer: &Tokenizer, segments: &[Segment], max_bytes: usize) -> Result<Vec<u32>> {
    let size: usize = segments.iter().map(|segment| segment.text.len()).sum();
    if size > max_bytes {
        return exhausted(format!("prompt: found {size} bytes, expected at most {max_bytes}"));
    }
    let mut ids = Vec::new();
    for segment in segments {
        let found = tokenizer.encode(&segment.text, None, false, segment.parse_special, max_bytes)?;
        let special: Vec<u32> = found.iter().copied().filter(|id| tokenizer.is_control(*id)).collect();
        if special.iter().eq(segment.tokens.iter().map(|(_, _, id)| id)) {
            ids.extend(found);
        } else {
            encode_apart(tokenizer, segment, max_bytes, &mut ids)?;
        }
    }
    Ok(ids)
}

/// The template's tokens as ids, what lies between as plain text, cut at the marks where even that gives a special token.
fn encode_apart(tokenizer: &Tokenizer, segment: &Segment, max_bytes: usize, ids: &mut Vec<u32>) -> Result<()> {
    let mut from = 0;
    let ends = segment.tokens.iter().map(|(start, end, id)| (*start, *end, Some(*id))).chain([(segment.text.len(), segment.text.len(), None)]);
    for (start, end, id) in ends {
        let stretch = tokenizer.encode(&segment.text[from..start], None, false, false, max_bytes)?;
        if !stretch.iter().any(|id| tokenizer.is_control(*id)) {
            ids.extend(stretch);
        } else {
            for cut in between(&segment.marks, from, start).iter().copied().chain([start]) {
                let part = tokenizer.encode(&segment.text[from..cut], None, false, false, max_bytes)?;
                if part.iter().any(|id| tokenizer.is_control(*id)) {
                    return Err(Error::new(Code::InvalidArgument, "messages: found text that this tokenizer reads as a special token"));
                }
                ids.extend(part);
                from = cut;
            }
        }
        ids.extend(id);
        from = end;
    }
    Ok(())
}
