//! Texts with variables in them (nginx: complex values), compiled.

use super::registry::VarId;
use super::tree::Word;
use super::{Cx, Error};

/// A text as the configuration has it, its variables found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Box<[u8]>),
    Variable(VarId),
    /// `$1` to `$9`: what a group of the last regular expression matched.
    Capture(u8),
}

impl Template {
    pub fn new(parts: Vec<Part>) -> Template {
        Template { parts: parts.into() }
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, if it is always the same.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The largest `$N` in it.
    pub fn last_capture(&self) -> Option<u8> {
        let number = |part: &Part| match part {
            Part::Capture(number) => Some(*number),
            _ => None,
        };
        self.parts.iter().filter_map(number).max()
    }
}

impl From<&[u8]> for Template {
    /// A text without variables.
    fn from(text: &[u8]) -> Template {
        Template { parts: [Part::Text(text.into())].into() }
    }
}

/// A piece of a text, before its names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    Text(&'t [u8]),
    Name(&'t [u8]),
    Capture(u8),
}

/// Why a text is none: what is wrong at which byte.
pub struct BadText {
    pub at: usize,
    pub text: String,
}

/// A text cut at its variables (ngx_http_script_compile): `$name`, `${name}`, `$1`.
pub fn pieces<'t>(word: Word<'t>) -> Result<Vec<Piece<'t>>, Error> {
    cut(word.bytes()).map_err(|bad| Error::at(word.part(bad.at), bad.text))
}

pub fn cut(text: &[u8]) -> Result<Vec<Piece<'_>>, BadText> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        if dollar > 0 {
            pieces.push(Piece::Text(&rest[..dollar]));
        }
        let at = text.len() - rest.len() + dollar;
        rest = &rest[dollar + 1..];
        if let [digit @ b'1'..=b'9', behind @ ..] = rest {
            pieces.push(Piece::Capture(digit - b'0'));
            rest = behind;
            continue;
        }
        let braced = rest.first() == Some(&b'{');
        rest = &rest[usize::from(braced)..];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = rest.iter().take_while(|byte| is_name(byte)).count();
        let (name, behind) = rest.split_at(len);
        rest = behind;
        if braced {
            rest = rest.strip_prefix(b"}").ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                let text = format!("the closing bracket in \"{name}\" variable is missing");
                BadText { at, text }
            })?;
        }
        if name.is_empty() {
            return Err(BadText { at, text: "invalid variable name".into() });
        }
        pieces.push(Piece::Name(name));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

impl Cx {
    /// The text of a word, its variables noted as used.
    pub fn template(&mut self, word: Word) -> Result<Template, Error> {
        let pieces = pieces(word)?;
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text.into()),
            Piece::Name(name) => Part::Variable(self.variable(name, word)),
            Piece::Capture(number) => Part::Capture(number),
        };
        Ok(Template { parts: pieces.into_iter().map(part).collect() })
    }
}
