//! From text to a tree: blocks, `include`, `${NAME}`.
//!
//! Only the grammar is judged here; what directives mean is for their owners. After
//! an error the reader goes on where the next directive probably begins, so that one
//! run shows all there is to mend. Bounds keep any text from doing harm: bytes in
//! all, files in all, blocks in blocks, files in files.

use super::env::{self, Brace};
use super::error::{Error, Errors};
use super::kept::{Kept, Replay};
use super::lexer::{Fault, Lexer, Place, RawText, Token, unescape};
use super::source::{self, Include, Source, Text};
use super::tree::{File, Node, Pos, RawNode, RawWord, Tree};
use crate::text::escape::Shown;
use std::rc::Rc;

/// Bytes of config text, all files together.
pub const BYTES_MAX: usize = 256 << 20;
/// Files, each counted as often as it is included.
const FILES_MAX: usize = 65_000;
/// Files included by files.
const INCLUDE_DEPTH_MAX: usize = 32;
/// Blocks in blocks.
const BLOCK_DEPTH_MAX: usize = 64;

/// Reads the text of `-g`, then a config with its includes.
pub fn read(source: &Source, main: Result<Text, String>, site: Vec<Include>) -> (Tree, Errors) {
    let mut reader = Reader::new(source, site);
    if !source.globals.is_empty() {
        reader.text(Text { name: COMMAND_LINE.into(), bytes: source.globals.clone() });
    }
    match main {
        Ok(text) => reader.text(text),
        Err(text) => reader.errors.push(Error::nowhere(text)),
    }
    reader.end_of_all()
}

/// Reads what was read once, from no file.
pub fn again(source: &Source, kept: &Kept) -> (Tree, Errors) {
    let mut reader = Reader::new(source, Vec::new());
    reader.again = Some(kept.replay());
    while let Some(text) = reader.again.as_mut().and_then(Replay::text) {
        reader.text(text);
    }
    reader.end_of_all()
}

/// What nginx calls the text of `-g` in messages.
pub const COMMAND_LINE: &str = "command line";

struct Reader<'s> {
    source: &'s Source,
    tree: Tree,
    errors: Errors,
    braces: Vec<Brace>,
    /// Files being read, the innermost last: their numbers.
    open: Vec<u16>,
    /// Blocks being read: their nodes.
    blocks: Vec<u32>,
    /// Where the words of the directive being read begin.
    first: usize,
    /// Something was wrong with them: they are passed over up to their end.
    broken: bool,
    bytes: usize,
    /// What the embedded main config includes.
    site: Vec<Include>,
    /// The first block whose `}` does not stand below its beginning, and that `}`.
    askew: Option<(u32, Place)>,
    /// Where texts come from that are read again.
    again: Option<Replay<'s>>,
}

impl<'s> Reader<'s> {
    fn new(source: &'s Source, site: Vec<Include>) -> Self {
        Self {
            source,
            tree: Tree::default(),
            errors: Errors::default(),
            braces: Vec::new(),
            open: Vec::new(),
            blocks: Vec::new(),
            first: 0,
            broken: false,
            bytes: 0,
            site,
            askew: None,
            again: None,
        }
    }

    fn end_of_all(mut self) -> (Tree, Errors) {
        env::expand(&mut self.tree, &self.braces, self.source);
        (self.tree, self.errors)
    }

    /// Reads one text to its end.
    fn text(&mut self, text: Text) {
        let bytes = Rc::new(text.bytes);
        self.bytes += bytes.len();
        self.open.push(self.tree.files.len() as u16);
        self.tree.files.push(File { name: text.name, text: Rc::clone(&bytes) });
        let floor = self.blocks.len();
        let mut lexer = Lexer::new(&bytes);
        loop {
            let (place, token) = lexer.next();
            match token {
                Ok(Token::Word(raw)) => self.word(place, raw),
                Ok(Token::Semicolon) => self.semicolon(place),
                Ok(Token::Open) => self.open_block(place),
                Ok(Token::Close) => self.close_block(place, floor),
                Ok(Token::End) => break self.end(place, floor),
                Err(Fault::EndInWord(quote)) => {
                    break self.end_in_word(lexer.place(), place, quote);
                }
                Err(fault) => self.fault(place, &fault),
            }
        }
        while self.blocks.len() > floor {
            self.leave_block();
        }
        self.open.pop();
    }

    fn word(&mut self, place: Place, raw: RawText) {
        if self.broken {
            return;
        }
        let start = self.tree.bytes.len();
        let (word, file) = (self.tree.words.len(), self.file());
        let braces = &mut self.braces;
        unescape(raw.text, &mut self.tree.bytes, |raw_at, at| {
            if raw.text.get(raw_at + 1) == Some(&b'{') {
                let offset = raw.offset + raw_at;
                braces.push(Brace { word, at, file, offset, quoted: raw.quoted });
            }
        });
        let len = self.tree.bytes.len() - start;
        let (start, len) = (start as u32, len as u32);
        self.tree.words.push(RawWord { start, len, line: place.line, file, column: place.column });
    }

    fn semicolon(&mut self, place: Place) {
        if std::mem::take(&mut self.broken) {
            return self.drop_words();
        }
        let words = &self.tree.words[self.first..];
        match words {
            [] => self.error(place, "unexpected \";\""),
            [name, _] if self.tree.text(*name) == b"include" => self.include(),
            [name, ..] if self.tree.text(*name) == b"include" => {
                self.error(place, "invalid number of arguments in \"include\" directive");
                self.drop_words();
            }
            _ => self.node(false),
        }
    }

    fn open_block(&mut self, place: Place) {
        // A block is read even so: what is in it may be right.
        self.broken = false;
        if self.first == self.tree.words.len() {
            return self.error(place, "unexpected \"{\"");
        }
        if self.in_parameter() {
            self.error(place, "block directives are not supported in -g option");
        }
        if self.blocks.len() >= BLOCK_DEPTH_MAX {
            self.error(place, "too many blocks inside each other");
            // Not a block then; its `}` closes an outer one, and that is the next error.
            return self.node(false);
        }
        let node = self.tree.nodes.len() as u32;
        self.node(true);
        self.blocks.push(node);
    }

    fn close_block(&mut self, place: Place, floor: usize) {
        let missing_semicolon = self.first < self.tree.words.len();
        if missing_semicolon {
            self.error(place, "unexpected \"}\"");
            self.semicolon(place);
        }
        if self.blocks.len() > floor {
            self.note_askew(place);
            self.leave_block();
        } else if !missing_semicolon {
            self.error(place, "unexpected \"}\"");
        }
    }

    /// A `}` usually stands below the line that its `{` is in.
    fn note_askew(&mut self, close: Place) {
        let Some(block) = self.blocks.last().and_then(|node| self.tree.node(*node)) else { return };
        let name = block.name().pos();
        if self.askew.is_none() && name.line != close.line && name.column != close.column {
            self.askew = Some((self.blocks[self.blocks.len() - 1], close));
        }
    }

    /// The block that a `}` is probably missing for.
    fn unclosed(&self) -> Option<(Node<'_>, &'static str)> {
        let begins_line = |pos: Pos| {
            let line = self.tree.line(pos);
            line.get(..usize::from(pos.column) - 1)
                .is_some_and(|start| start.trim_ascii().is_empty())
        };
        let askew = self.askew.and_then(|(node, close)| {
            let block = self.tree.node(node)?;
            let told = begins_line(block.name().pos()) && begins_line(self.pos(close));
            told.then_some((block, "seems not to be"))
        });
        askew.or_else(|| Some((self.tree.node(*self.blocks.last()?)?, "is not")))
    }

    /// The words read so far are no directive.
    fn drop_words(&mut self) {
        self.tree.words.truncate(self.first);
        let kept = self.braces.partition_point(|brace| brace.word < self.first);
        self.braces.truncate(kept);
    }

    /// The block being read ends here.
    fn leave_block(&mut self) {
        let end = self.tree.nodes.len() as u32;
        if let Some(node) = self.blocks.pop() {
            self.tree.nodes[node as usize].end = end;
        }
    }

    /// The words read so far are a directive.
    fn node(&mut self, block: bool) {
        let index = self.tree.nodes.len() as u32;
        self.tree.nodes.push(RawNode {
            first: self.first as u32,
            count: (self.tree.words.len() - self.first) as u32,
            parent: self.blocks.last().copied().unwrap_or(index),
            end: index + 1,
            block,
        });
        self.first = self.tree.words.len();
    }

    /// The text has ended.
    fn end(&mut self, place: Place, floor: usize) {
        if self.first < self.tree.words.len() {
            self.end_in_word(place, place, None);
        } else if self.blocks.len() > floor && !self.in_parameter() {
            let pos = self.pos(place);
            let mut error = Error::new(pos, "unexpected end of file, expecting \"}\"");
            if let Some((block, closed)) = self.unclosed() {
                let place = self.tree.place(block.name().pos());
                error = error.hint(format!("\"{} {{\" in {place} {closed} closed", block.name()));
            }
            self.errors.push(error);
        }
    }

    /// The text has ended in a directive; `begin` is where its last word begins.
    fn end_in_word(&mut self, place: Place, begin: Place, quote: Option<u8>) {
        self.drop_words();
        self.broken = false;
        let text = match self.in_parameter() {
            true => "unexpected end of parameter, expecting \";\"",
            false => "unexpected end of file, expecting \";\" or \"}\"",
        };
        let mut error = Error::new(self.pos(place), text);
        if let Some(quote) = quote {
            let Place { line, column } = begin;
            let quote = char::from(quote);
            error = error.hint(format!("the {quote} in line {line}, column {column} has no other"));
        }
        self.errors.push(error);
    }

    /// `include NAME;`: the files stand where the directive stood.
    fn include(&mut self) {
        let word = self.first + 1;
        let split = self.braces.partition_point(|brace| brace.word < word);
        let pattern = env::value(&mut self.tree, &self.braces[split..], self.source, word);
        let raw = self.tree.words[word];
        let pos = self.pos(Place { line: raw.line, column: raw.column });
        self.drop_words();
        let is_site = source::is_site(&pattern);
        if !is_site {
            self.tree.looked_for.push(self.source.path(&pattern));
        }
        if self.again.is_some() {
            return self.include_again();
        }
        let texts = match is_site {
            true => std::mem::take(&mut self.site),
            false => self.source.include(&pattern),
        };
        self.tree.included.push(texts.len() as u32);
        for include in texts {
            if let Err(text) = self.included(include) {
                return self.errors.push(Error::new(pos, text));
            }
        }
    }

    fn include_again(&mut self) {
        let count = self.again.as_mut().map_or(0, Replay::count);
        self.tree.included.push(count);
        for _ in 0..count {
            if let Some(text) = self.again.as_mut().and_then(Replay::text) {
                self.text(text);
            }
        }
    }

    fn included(&mut self, include: Include) -> Result<(), String> {
        let text = include.read()?;
        let shown = Shown(text.name.as_os_str().as_encoded_bytes()).to_string();
        if self.open.len() > INCLUDE_DEPTH_MAX
            || self.open.iter().any(|file| self.tree.files[usize::from(*file)].name == text.name)
        {
            return Err(format!("\"{shown}\" includes itself"));
        }
        if self.tree.files.len() >= FILES_MAX || self.bytes + text.bytes.len() > BYTES_MAX {
            return Err(format!("too much is included, \"{shown}\" is not read"));
        }
        self.text(text);
        Ok(())
    }

    fn file(&self) -> u16 {
        self.open.last().copied().unwrap_or(0)
    }

    fn in_parameter(&self) -> bool {
        self.tree.files[usize::from(self.file())].name.as_os_str() == COMMAND_LINE
    }

    fn pos(&self, place: Place) -> Pos {
        let order = self.tree.nodes.len() as u32;
        Pos { order, file: self.file(), line: place.line, column: place.column }
    }

    fn error(&mut self, place: Place, text: &str) {
        let error = Error::new(self.pos(place), text);
        self.errors.push(error);
    }

    fn fault(&mut self, place: Place, fault: &Fault) {
        let text = match fault {
            Fault::Unexpected(byte) => format!("unexpected \"{}\"", Shown(&[*byte])),
            Fault::Unterminated(quote) => format!(
                "too long parameter, probably missing terminating \"{}\" character",
                char::from(*quote)
            ),
            Fault::TooLong(begin) => {
                format!("too long parameter \"{}...\" started", Shown(begin))
            }
            Fault::EndInWord(_) => return,
        };
        self.broken = true;
        self.error(place, &text);
    }
}
