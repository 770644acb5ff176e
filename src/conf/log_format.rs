//! `log_format`: what a line of an access log is made of.

use super::template::{self, Part, Piece, Template};
use super::tree::{Node, Word};
use super::{Cx, Error};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A format, by itself: what its variables are is for the block to say.
pub struct LogFormat {
    pub escape: Escape,
    pub text: Template,
}

/// `escape=`: how values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\xXX`, and `-` for what is not there.
    #[default]
    Default,
    /// For the inside of a JSON string.
    Json,
    /// The same, and UTF-8 in any case.
    JsonText,
    /// As they are.
    None,
}

pub type LogFormats = BTreeMap<Box<[u8]>, Rc<LogFormat>>;

impl Cx {
    /// `log_format NAME [escape=default|json|none] TEXT...;`
    pub fn log_format(&mut self, node: Node) -> Result<(), Error> {
        let (name, mut words) = (node.arg(0), node.args().skip(1).peekable());
        if self.log_formats.contains_key(name.bytes()) {
            let text = format!("duplicate \"log_format\" name \"{name}\"");
            return Err(Error::at(name, text));
        }
        let escape = match words.next_if(|word| word.starts_with(b"escape=")) {
            Some(word) => escape(word.part(b"escape=".len()))?,
            None => Escape::Default,
        };
        let mut parts = Vec::new();
        for word in words {
            parts.extend(self.log_parts(word)?);
        }
        let text = Template::new(parts);
        self.log_formats.insert(name.bytes().into(), Rc::new(LogFormat { escape, text }));
        Ok(())
    }

    /// A format that no line of the config has: its text is right.
    pub fn own_log_format(&mut self, name: &str, escape: Escape, text: &str) -> Rc<LogFormat> {
        let pieces = template::cut(text.as_bytes()).unwrap_or_default();
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Name(name) => Part::Variable(self.variables.id(name)),
            Piece::Text(text) => Part::Text(text.into()),
            Piece::Capture(number) => Part::Capture(number),
        });
        let text = Template::new(parts.collect());
        let format = Rc::new(LogFormat { escape, text });
        self.log_formats.insert(name.as_bytes().into(), Rc::clone(&format));
        format
    }

    fn log_parts(&mut self, word: Word) -> Result<Vec<Part>, Error> {
        let pieces = template::cut(word.bytes()).map_err(|bad| match &*bad.text {
            "invalid variable name" => Error::invalid_parameter(word),
            _ => Error::at(word.part(bad.at), bad.text),
        })?;
        let part = |piece| match piece {
            Piece::Text(text) => Ok(Part::Text(text.into())),
            Piece::Name(name) => Ok(Part::Variable(self.variable(name, word))),
            Piece::Capture(number) => {
                Err(Error::at(word, format!("unknown \"{number}\" variable")))
            }
        };
        pieces.into_iter().map(part).collect()
    }
}

fn escape(word: Word) -> Result<Escape, Error> {
    match word.bytes() {
        b"default" => Ok(Escape::Default),
        b"json" => Ok(Escape::Json),
        b"none" => Ok(Escape::None),
        _ => Err(Error::at(word, format!("unknown log format escaping \"{word}\""))),
    }
}
