//! Errors of a config: collected, put in the order of the text, printed with the
//! line they are about.

use super::tree::{Node, Pos, Word};
use std::fmt;

/// One complaint. `text` is nginx's sentence without ` in FILE:LINE`.
#[derive(Debug)]
pub struct Error {
    pub pos: Option<Pos>,
    pub text: String,
    /// What to do about it, on a line of its own.
    pub hint: Option<String>,
}

impl Error {
    pub fn at(word: Word, text: impl Into<String>) -> Error {
        Error { pos: Some(word.pos()), text: text.into(), hint: None }
    }

    /// An error that no line of the config is the place of.
    pub fn nowhere(text: impl Into<String>) -> Error {
        Error { pos: None, text: text.into(), hint: None }
    }

    /// `"x" directive TEXT`, nginx's form for what a setter returns as a string.
    pub fn directive(node: Node, text: &str) -> Error {
        Error::at(node.name(), format!("\"{}\" directive {text}", node.name()))
    }

    /// `invalid value "y"`, at that word.
    pub fn invalid_value(word: Word) -> Error {
        Error::at(word, format!("invalid value \"{word}\""))
    }

    /// `invalid parameter "y"`, at that word.
    pub fn invalid_parameter(word: Word) -> Error {
        Error::at(word, format!("invalid parameter \"{word}\""))
    }

    pub fn hint(mut self, text: impl Into<String>) -> Error {
        self.hint = Some(text.into());
        self
    }
}

/// More errors than this are counted, not kept: the first ones are what helps.
const KEPT_MAX: usize = 20;

#[derive(Default, Debug)]
pub struct Errors {
    pub errors: Vec<Error>,
    pub warnings: Vec<Error>,
    /// Errors beyond those kept.
    pub more: usize,
}

impl Errors {
    pub fn push(&mut self, error: Error) {
        match self.errors.len() < KEPT_MAX {
            true => self.errors.push(error),
            false => self.more += 1,
        }
    }

    pub fn warn(&mut self, warning: Error) {
        if self.warnings.len() < KEPT_MAX {
            self.warnings.push(warning);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Bytes of a config in a message: text as it is, anything else as `\xNN`.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c.is_control() {
                    true => write!(f, "\\x{:02X}", u32::from(c))?,
                    false => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02X}")?;
            }
        }
        Ok(())
    }
}
