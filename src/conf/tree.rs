//! The words and blocks of a config, flat: three arrays, however many directives.
//!
//! Nodes stand in the order of the text, a block before what is in it, and each
//! knows where its last descendant ends; [`Node`] and [`Word`] are cursors.

use super::env::Expansion;
use super::read::COMMAND_LINE;
use crate::mem::sort::sort_by;
use crate::text::escape::Shown;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// A config with all its includes.
#[derive(Default, Debug)]
pub struct Tree {
    pub(super) files: Vec<File>,
    pub(super) bytes: Vec<u8>,
    pub(super) words: Vec<RawWord>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) expansions: Vec<Expansion>,
    /// Words with the names in them that the environment has no value for.
    pub(super) unset: Vec<(RawWord, Vec<u8>)>,
    /// What `include` has looked for: paths, and patterns of them.
    pub(super) looked_for: Vec<PathBuf>,
    /// How many texts each of them has found.
    pub(super) included: Vec<u32>,
}

/// A file that was read, or a text that stands for one.
#[derive(Debug)]
pub struct File {
    pub name: PathBuf,
    pub text: Rc<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RawWord {
    pub start: u32,
    pub len: u32,
    pub line: u32,
    pub file: u16,
    pub column: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RawNode {
    /// The name and the arguments: `words` from `first`, `count` of them.
    pub first: u32,
    pub count: u32,
    /// The block it stands in; its own index at the top level.
    pub parent: u32,
    /// One past the last node inside this one.
    pub end: u32,
    pub block: bool,
}

/// Where in the config something stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pos {
    /// The number of its directive in the order of the text.
    pub order: u32,
    pub file: u16,
    pub line: u32,
    pub column: u16,
}

impl Tree {
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes { tree: self, next: 0, end: self.nodes.len() as u32 }
    }

    /// The text of `-T`: each file once, as nginx prints it, environment values in
    /// their places.
    pub fn dump(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut shown = BTreeSet::new();
        for (number, file) in self.files.iter().enumerate() {
            if file.name.as_os_str() == COMMAND_LINE || !shown.insert(&file.name) {
                continue;
            }
            out.extend_from_slice(b"# configuration file ");
            out.extend_from_slice(file.name.as_os_str().as_bytes());
            out.extend_from_slice(b":\n");
            let mut copied = 0;
            let of_file = self.expansions.iter().filter(|e| usize::from(e.file) == number);
            let mut in_order: Vec<&Expansion> = of_file.collect();
            sort_by(&mut in_order, |a, b| a.start.cmp(&b.start));
            for expansion in in_order {
                out.extend_from_slice(&file.text[copied..expansion.start]);
                out.extend_from_slice(&expansion.value);
                copied = expansion.end;
            }
            out.extend_from_slice(&file.text[copied..]);
            out.push(b'\n');
        }
        out
    }

    /// What the environment should have had a value for in the word at a place.
    pub(super) fn unset_at(&self, pos: Pos) -> Option<&[u8]> {
        let is_there = |word: &RawWord| {
            let from = u32::from(word.column);
            (word.file, word.line) == (pos.file, pos.line)
                && (from..=from + word.len).contains(&pos.column.into())
        };
        self.unset.iter().find(|(word, _)| is_there(word)).map(|(_, name)| &**name)
    }

    /// `FILE:LINE`, as nginx names a place; `-g` has no lines.
    pub fn place(&self, pos: Pos) -> String {
        let name = self.files[usize::from(pos.file)].name.as_os_str();
        match name == COMMAND_LINE {
            true => COMMAND_LINE.to_string(),
            false => format!("{}:{}", Shown(name.as_bytes()), pos.line),
        }
    }

    /// The line of the text that `pos` is in, without its end.
    pub(super) fn line(&self, pos: Pos) -> &[u8] {
        let text = &self.files[usize::from(pos.file)].text;
        let line = text.split(|byte| *byte == b'\n').nth(pos.line as usize - 1);
        line.unwrap_or_default().trim_ascii_end()
    }

    pub(super) fn in_parameter(&self, word: Word) -> bool {
        self.files[usize::from(word.file)].name.as_os_str() == COMMAND_LINE
    }

    pub(super) fn node(&self, index: u32) -> Option<Node<'_>> {
        self.nodes.get(index as usize).map(|_| Node { tree: self, index })
    }

    pub(super) fn text(&self, word: RawWord) -> &[u8] {
        let start = word.start as usize;
        &self.bytes[start..start + word.len as usize]
    }
}

/// One directive: name, arguments, perhaps a block.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    index: u32,
}

impl<'t> Node<'t> {
    fn raw(self) -> RawNode {
        self.tree.nodes[self.index as usize]
    }

    pub fn name(self) -> Word<'t> {
        self.word(0)
    }

    /// The number of arguments.
    pub fn args_len(self) -> usize {
        self.raw().count as usize - 1
    }

    /// Argument `i` from 0; past the last one an empty word (arity is checked by
    /// the table before a setter runs).
    pub fn arg(self, i: usize) -> Word<'t> {
        self.word(i + 1)
    }

    pub fn args(self) -> impl ExactSizeIterator<Item = Word<'t>> {
        (1..self.raw().count as usize).map(move |i| self.word(i))
    }

    /// What stands between `{` and `}`.
    pub fn block(self) -> Option<Nodes<'t>> {
        let raw = self.raw();
        raw.block.then_some(Nodes { tree: self.tree, next: self.index + 1, end: raw.end })
    }

    /// The directives of this name that stand before it in its block.
    pub fn earlier(self) -> impl Iterator<Item = Node<'t>> {
        self.before().filter(move |node| *node.name() == *self.name())
    }

    /// The directives that stand before it in its block.
    pub fn before(self) -> impl Iterator<Item = Node<'t>> {
        let block = self.parent().and_then(Node::block).unwrap_or_else(|| self.tree.nodes());
        block.take_while(move |node| node.index < self.index)
    }

    /// An empty block.
    pub fn nothing(self) -> Nodes<'t> {
        Nodes { tree: self.tree, next: 0, end: 0 }
    }

    /// The block this directive stands in.
    pub fn parent(self) -> Option<Node<'t>> {
        let index = self.raw().parent;
        (index != self.index).then_some(Node { tree: self.tree, index })
    }

    fn word(self, i: usize) -> Word<'t> {
        let raw = self.raw();
        let known = i < raw.count as usize;
        let w = self.tree.words[raw.first as usize + if known { i } else { 0 }];
        let (start, len) = (w.start as usize, if known { w.len as usize } else { 0 });
        let bytes = &self.tree.bytes[start..start + len];
        Word { bytes, order: self.index, line: w.line, file: w.file, column: w.column }
    }
}

/// The directives of one level.
#[derive(Clone, Copy)]
pub struct Nodes<'t> {
    tree: &'t Tree,
    next: u32,
    end: u32,
}

impl<'t> Iterator for Nodes<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        if self.next >= self.end {
            return None;
        }
        let node = Node { tree: self.tree, index: self.next };
        self.next = node.raw().end;
        Some(node)
    }
}

/// A word of the config, unquoted: bytes, and where they stood.
#[derive(Clone, Copy)]
pub struct Word<'t> {
    bytes: &'t [u8],
    order: u32,
    line: u32,
    file: u16,
    column: u16,
}

impl<'t> Word<'t> {
    pub fn bytes(self) -> &'t [u8] {
        self.bytes
    }

    pub fn pos(self) -> Pos {
        Pos { order: self.order, file: self.file, line: self.line, column: self.column }
    }

    /// The first bytes of the word.
    pub fn until(self, to: usize) -> Word<'t> {
        Word { bytes: self.bytes.get(..to).unwrap_or(self.bytes), ..self }
    }

    /// A part of the word, for messages: `word.part(5)` of `name=x` is `x`.
    pub fn part(self, from: usize) -> Word<'t> {
        let bytes = self.bytes.get(from..).unwrap_or_default();
        Word { bytes, column: self.column.saturating_add(from as u16), ..self }
    }
}

impl Deref for Word<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Shown(self.bytes).fmt(f)
    }
}
