//! Bounds on what one step of a template makes and walks. Lists may share their members, so a small value can be a huge tree.

use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

use crate::python::{type_error, Outcome};

/// No text or list made by one step of a template is larger.
pub const MAX_SIZE: usize = 16 << 20;
pub const MAX_ITEMS: i64 = 100_000;

/// Members of lists and dicts that one step looks at.
pub const MAX_NODES: usize = 1_000_000;

/// Bytes of all texts and lists that one rendering makes, also of those it forgets.
const MAX_MADE: usize = 1 << 30;

fn too_large<T>() -> Outcome<T> {
    Err(Error::new(ErrorKind::InvalidOperation, "result is too large"))
}

pub fn checked_size(size: i64) -> Outcome<usize> {
    match usize::try_from(size.max(0)).ok().filter(|size| *size <= MAX_SIZE) {
        Some(size) => Ok(size),
        None => too_large(),
    }
}

pub fn checked_items(count: usize) -> Outcome<usize> {
    if count > MAX_ITEMS as usize { type_error(format!("a sequence of more than {MAX_ITEMS} items")) } else { Ok(count) }
}

/// `text` at the end of `out`, which stays within MAX_SIZE.
pub fn append(out: &mut String, text: &str) -> Outcome<()> {
    checked_size((out.len() + text.len()) as i64)?;
    out.push_str(text);
    Ok(())
}

/// What one step may still look at.
pub struct Budget {
    nodes: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { nodes: MAX_NODES }
    }

    pub fn spend(&mut self, nodes: usize) -> Outcome<()> {
        match self.nodes.checked_sub(nodes) {
            Some(left) => self.nodes = left,
            None => return type_error(format!("a value of more than {MAX_NODES} members")),
        }
        Ok(())
    }

    /// Work on a text: a node per KiB.
    pub fn read(&mut self, bytes: usize) -> Outcome<()> {
        self.spend(bytes >> 10)
    }
}

/// What one rendering has made so far.
#[derive(Default)]
pub struct Made(AtomicUsize);

impl Made {
    /// A result of a step within all bounds.
    pub fn checked(&self, value: Value) -> Outcome {
        let size = match value.as_str() {
            Some(text) => checked_size(text.len() as i64)?,
            None => checked_items(value.as_object().and_then(|object| object.enumerator_len()).unwrap_or(0))? * std::mem::size_of::<Value>(),
        };
        self.add(size)?;
        Ok(value)
    }

    pub fn add(&self, bytes: usize) -> Outcome<()> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_MADE { type_error(format!("the template makes more than {MAX_MADE} bytes")) } else { Ok(()) }
    }
}
