//! Errors as values: a status code of the C++ side and one sentence.

use std::fmt::Display;

/// Numbers of `absl::StatusCode`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
}

#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same error with `context: ` in front.
    pub fn within(self, context: impl Display) -> Self {
        Self { code: self.code, message: format!("{context}: {}", self.message) }
    }
}

pub fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::InvalidArgument, message))
}

pub fn unsupported<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::Unimplemented, message))
}

pub fn exhausted<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ResourceExhausted, message))
}

/// A foreign error as INVALID_ARGUMENT, with what was being read in front.
pub fn reading<E: Display>(what: &str) -> impl Fn(E) -> Error + '_ {
    move |problem| Error::new(Code::InvalidArgument, format!("{what}: {problem}"))
}
