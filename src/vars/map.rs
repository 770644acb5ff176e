//! `map`: a text with variables, looked up among strings, wildcards and regular
//! expressions; what is found is again a text with variables.

use super::hostnames::{Hostnames, Refused};
use super::{Subject, Value};
use crate::conf::{Cx, Error, Node, Pattern, Shown, Template, VarId, Word};
use crate::text::hash::Build;
use std::collections::HashMap;
use std::rc::Rc;

/// What one `map` block says.
pub struct Map {
    source: Template,
    /// In lower case.
    names: Hostnames<Rc<Template>>,
    patterns: Vec<(Rc<Pattern>, Rc<Template>)>,
    default: Rc<Template>,
    /// `hostnames`: names may have wildcards, and a final dot does not count.
    hostnames: bool,
    /// Made anew each time it is asked for.
    pub volatile: bool,
}

impl Map {
    /// `map SOURCE $NAME { ... }`: the variable, and what it is made of.
    pub fn read(cx: &mut Cx, node: Node) -> Result<(VarId, Map), Error> {
        let source = cx.template(node.arg(0))?;
        let id = cx.define(node.arg(1))?;
        let map = Map {
            source,
            names: Hostnames::default(),
            patterns: Vec::new(),
            default: Rc::default(),
            hostnames: false,
            volatile: false,
        };
        let mut reader = Reader { map, has_default: false, texts: HashMap::default() };
        for line in node.block().into_iter().flatten() {
            let done = reader.line(cx, line);
            cx.report(line, done);
        }
        Ok((id, reader.map))
    }

    /// The value for what the source is at the moment.
    pub fn value<'r>(&'r self, subject: &impl Subject<'r>) -> Value<'r> {
        let mut text = subject.render(&self.source)?;
        if self.hostnames {
            text = text.strip_suffix(b".").unwrap_or(text);
        }
        subject.render(self.find(subject, text)?)
    }

    /// `None` when there is no room to look for it.
    fn find<'r>(&'r self, subject: &impl Subject<'r>, text: &'r [u8]) -> Option<&'r Template> {
        if !self.names.is_empty() {
            let lower = match text.iter().any(u8::is_ascii_uppercase) {
                false => text,
                true => subject.made(text.len(), |out| {
                    text.iter().for_each(|byte| out.put_byte(byte.to_ascii_lowercase()));
                })?,
            };
            if let Some(found) = self.names.find(lower) {
                return Some(found);
            }
        }
        let mut patterns = self.patterns.iter().filter(|_| !text.is_empty());
        let found = patterns.find(|(pattern, _)| subject.matches(pattern, text));
        Some(found.map_or(&self.default, |(_, value)| value))
    }
}

/// A block that is being read.
struct Reader {
    map: Map,
    has_default: bool,
    /// Large maps often have few values.
    texts: HashMap<Box<[u8]>, Rc<Template>, Build>,
}

impl Reader {
    fn line(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        let key = line.name();
        if line.block().is_some() {
            return Err(Error::at(key, "unexpected \"{\""));
        }
        match (key.bytes(), line.args_len()) {
            (b"hostnames", 0) => self.map.hostnames = true,
            (b"volatile", 0) => self.map.volatile = true,
            (_, 1) => {
                let value = self.text(cx, line.arg(0))?;
                self.entry(cx, key, value)?;
            }
            _ => return Err(Error::at(key, "invalid number of the map parameters")),
        }
        Ok(())
    }

    fn entry(&mut self, cx: &mut Cx, key: Word, value: Rc<Template>) -> Result<(), Error> {
        let name = match key.bytes() {
            b"default" => {
                self.map.default = value;
                return match std::mem::replace(&mut self.has_default, true) {
                    true => Err(Error::at(key, "duplicate default map parameter")),
                    false => Ok(()),
                };
            }
            [b'~', rest @ ..] => {
                let caseless = rest.first() == Some(&b'*');
                let pattern = cx.pattern(key.part(1 + usize::from(caseless)), caseless)?;
                self.map.patterns.push((pattern, value));
                return Ok(());
            }
            [b'\\', name @ ..] | name => name.to_ascii_lowercase(),
        };
        let added = match self.map.hostnames {
            true => self.map.names.add(&name, value),
            false => self.map.names.add_exact(&name, value),
        };
        added.map_err(|refused| {
            let text = match refused {
                Refused::Invalid => "invalid hostname or wildcard",
                Refused::Taken => "conflicting parameter",
            };
            Error::at(key, format!("{text} \"{}\"", Shown(&name)))
        })
    }

    fn text(&mut self, cx: &mut Cx, word: Word) -> Result<Rc<Template>, Error> {
        if let Some(text) = self.texts.get(word.bytes()) {
            return Ok(Rc::clone(text));
        }
        let text = Rc::new(cx.template(word)?);
        self.texts.insert(word.bytes().into(), Rc::clone(&text));
        Ok(text)
    }
}
