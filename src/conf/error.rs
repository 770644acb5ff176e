//! Errors of a config: collected, put in the order of the text, printed with the
//! line they are about.

use super::tree::{Node, Pos, Tree, Word};
use crate::mem::sort::sort_by;
use crate::text::escape::Shown;
use std::fmt::Write;

/// One complaint. `text` is nginx's sentence without ` in FILE:LINE`.
#[derive(Debug)]
pub struct Error {
    pub pos: Option<Pos>,
    pub text: String,
    /// What to do about it, on a line of its own.
    pub hint: Option<String>,
}

impl Error {
    pub fn new(pos: Pos, text: impl Into<String>) -> Error {
        Error { pos: Some(pos), text: text.into(), hint: None }
    }

    pub fn at(word: Word, text: impl Into<String>) -> Error {
        Error::new(word.pos(), text)
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

    /// nginx's line: the sentence and its place.
    pub fn line(&self, tree: &Tree) -> String {
        match self.pos {
            Some(pos) => format!("{} in {}", self.text, tree.place(pos)),
            None => self.text.clone(),
        }
    }

    /// The line of the config that it is about, marked, and the hint.
    pub fn excerpt(&self, tree: &Tree) -> String {
        let mut out = String::new();
        let pos = self.pos.filter(|pos| !tree.line(*pos).is_empty());
        let label = pos.map_or(String::new(), |pos| format!("{}:{}", pos.line, pos.column));
        if let Some(pos) = pos {
            let (line, blanks, mark) = marked(tree.line(pos), usize::from(pos.column) - 1);
            _ = write!(out, "  {label} | {line}\n  {:1$} | {blanks}{mark}\n", "", label.len());
        }
        let unset = || {
            let name = Shown(tree.unset_at(pos?)?);
            Some(format!("the environment has no {name}; ${{{name}:-x}} is x then"))
        };
        if let Some(hint) = self.hint.clone().or_else(unset) {
            _ = writeln!(out, "  {:1$} = {hint}", "", label.len());
        }
        out
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

    /// Whether there is one about this directive, at its name or behind it.
    pub fn has_one_in(&self, node: Node) -> bool {
        let name = node.name().pos();
        let of_node = |pos: Pos| (pos.order, pos.file) == (name.order, name.file) && pos >= name;
        self.errors.iter().filter_map(|error| error.pos).any(of_node)
    }

    /// Puts them in the order of the text; those without a place come last.
    pub fn sort(&mut self) {
        let key = |error: &Error| error.pos.map_or((true, None), |pos| (false, Some(pos)));
        for all in [&mut self.errors, &mut self.warnings] {
            sort_by(all, |a, b| key(a).cmp(&key(b)));
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

    /// All of it for a terminal: warnings, errors, how many more there are; each as
    /// `limpet: [LEVEL] LINE` with its excerpt.
    pub fn report(&self, tree: &Tree) -> String {
        let mut out = String::new();
        for (level, list) in [("warn", &self.warnings), ("emerg", &self.errors)] {
            for error in list {
                _ = writeln!(out, "limpet: [{level}] {}", error.line(tree));
                out.push_str(&error.excerpt(tree));
            }
        }
        if self.more > 0 {
            _ = writeln!(out, "limpet: [emerg] and {} errors more", self.more);
        }
        out
    }
}

/// A piece of the line around `column`, what stands under it before the mark, and
/// the mark.
fn marked(line: &[u8], column: usize) -> (String, String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 100;
    let column = column.min(line.len());
    let start = column.saturating_sub(BEFORE);
    let end = line.len().min(start + SHOWN);
    let shown = |bytes: &[u8]| Shown(bytes).to_string().replace("\\x09", " ");
    let blanks = shown(&line[start..column]).chars().map(|_| ' ').collect();
    let word = line[column..end].split(|b| b.is_ascii_whitespace() || b";{}".contains(b));
    let width = shown(word.into_iter().next().unwrap_or_default()).chars().count().max(1);
    (shown(&line[start..end]), blanks, "^".repeat(width))
}
