//! `${NAME}` and `${NAME:-default}` in a config: values of the environment.
//!
//! Only names that exist, or carry a default, and only in braces; what nginx or the
//! config itself calls a variable stays one. A value is part of its word, whatever
//! it contains; only a bare word that is nothing else splits at blanks.

use super::source::Source;
use super::tree::{RawWord, Tree};
use super::variables;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// `${` in a word.
#[derive(Clone, Copy, Debug)]
pub struct Brace {
    /// The number of the word.
    pub word: usize,
    /// Where its `$` is among the bytes of the tree.
    pub at: usize,
    pub file: u16,
    /// Where its `$` is in the text of the file.
    pub offset: usize,
    /// The word stood in quotes.
    pub quoted: bool,
}

/// What a `${...}` was replaced by, for `-T`.
#[derive(Debug)]
pub struct Expansion {
    pub file: u16,
    /// The bytes of the file's text that it replaces.
    pub start: usize,
    pub end: usize,
    pub value: Vec<u8>,
}

/// Replaces all of them.
pub fn expand(tree: &mut Tree, braces: &[Brace], source: &Source) {
    if braces.is_empty() {
        return;
    }
    let own = own_variables(tree);
    let mut replaced = BTreeMap::new();
    for braces in braces.chunk_by(|a, b| a.word == b.word) {
        let word = tree.words[braces[0].word];
        let Some((value, whole)) = replace(tree, braces, source, &own, word) else { continue };
        let splits = whole && !braces[0].quoted;
        replaced.insert(braces[0].word as u32, new_words(tree, &value, word, splits));
    }
    put(tree, &replaced);
}

/// The value of one word whose braces these are: for `include`, which cannot wait.
pub fn value(tree: &mut Tree, braces: &[Brace], source: &Source, word: usize) -> Vec<u8> {
    let raw = tree.words[word];
    match replace(tree, braces, source, &BTreeSet::new(), raw) {
        Some((value, _)) => value,
        None => tree.text(raw).to_vec(),
    }
}

/// The word with its values, and whether it is one value and nothing else; `None` if
/// nothing in it is replaced.
fn replace(
    tree: &mut Tree,
    braces: &[Brace],
    source: &Source,
    own: &BTreeSet<Vec<u8>>,
    word: RawWord,
) -> Option<(Vec<u8>, bool)> {
    let end = (word.start + word.len) as usize;
    let mut value = Vec::new();
    let mut copied = word.start as usize;
    let mut whole = false;
    let mut expansions = Vec::new();
    for brace in braces.iter().filter(|brace| brace.at >= word.start as usize) {
        let Some(inner) = inside(&tree.bytes[..end], brace.at) else { continue };
        let Some(found) = lookup(inner, source, own) else {
            if is_free(inner, own) {
                tree.unset.push((word, inner.to_vec()));
            }
            continue;
        };
        let next = brace.at + inner.len() + "${}".len();
        value.extend_from_slice(&tree.bytes[copied..brace.at]);
        value.extend_from_slice(&found);
        whole = brace.at == word.start as usize && next == end;
        copied = next;
        let text = &tree.files[usize::from(brace.file)].text;
        if let Some(raw) = inside(text, brace.offset) {
            let (start, end) = (brace.offset, brace.offset + raw.len() + "${}".len());
            expansions.push(Expansion { file: brace.file, start, end, value: found });
        }
    }
    if expansions.is_empty() {
        return None;
    }
    value.extend_from_slice(&tree.bytes[copied..end]);
    tree.expansions.append(&mut expansions);
    Some((value, whole))
}

/// What stands between the braces of the `${` at `at`.
fn inside(text: &[u8], at: usize) -> Option<&[u8]> {
    let rest = text.get(at + 2..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    Some(&rest[..close])
}

/// Whether it is a name that means nothing yet, so that the environment may have it.
fn is_free(name: &[u8], own: &BTreeSet<Vec<u8>>) -> bool {
    let is_word = name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let is_name = is_word && name.first().is_some_and(|b| !b.is_ascii_digit());
    is_name && !variables::is_builtin(name) && !own.contains(name)
}

/// The value of `NAME` or `NAME:-default`.
fn lookup(inner: &[u8], source: &Source, own: &BTreeSet<Vec<u8>>) -> Option<Vec<u8>> {
    let name_len = inner.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let (name, rest) = inner.split_at(name_len);
    let default = match rest {
        b"" => None,
        _ => Some(rest.strip_prefix(b":-")?),
    };
    if !is_free(name, own) {
        return None;
    }
    let set = (source.env)(OsStr::from_bytes(name)).map(OsString::into_vec);
    // As in a shell, `:-` takes an empty value for none.
    match default {
        Some(default) => set.filter(|v| !v.is_empty()).or_else(|| Some(default.to_vec())),
        None => set,
    }
}

/// Appends the words of a value: one, or as many as blanks separate.
fn new_words(tree: &mut Tree, value: &[u8], old: RawWord, splits: bool) -> Vec<RawWord> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let parts: Vec<&[u8]> = match splits {
        true => value.split(is_blank).filter(|part| !part.is_empty()).collect(),
        false => vec![value],
    };
    let mut words = Vec::new();
    for part in parts {
        let start = tree.bytes.len() as u32;
        tree.bytes.extend_from_slice(part);
        words.push(RawWord { start, len: part.len() as u32, ..old });
    }
    words
}

/// Gives every directive its new words.
fn put(tree: &mut Tree, replaced: &BTreeMap<u32, Vec<RawWord>>) {
    for node in &mut tree.nodes {
        let range = node.first..node.first + node.count;
        if replaced.range(range.clone()).next().is_none() {
            continue;
        }
        let first = tree.words.len();
        for word in range {
            match replaced.get(&word) {
                // A directive has a name, even if it is an empty one.
                Some(new) if word == node.first && new.is_empty() => {
                    tree.words.push(RawWord { len: 0, ..tree.words[word as usize] });
                }
                Some(new) => tree.words.extend_from_slice(new),
                None => tree.words.push(tree.words[word as usize]),
            }
        }
        node.first = first as u32;
        node.count = (tree.words.len() - first) as u32;
    }
}

/// Names that the config itself makes variables of: `set $x`, `map ... $x`, and
/// captures `(?<x>...)`. Any directive that is given `$x` as a whole word counts: it
/// costs nothing to be careful here.
fn own_variables(tree: &Tree) -> BTreeSet<Vec<u8>> {
    const MAKERS: [&[u8]; 6] =
        [b"set", b"map", b"geo", b"split_clients", b"auth_request_set", b"perl_set"];
    let mut names = BTreeSet::new();
    for node in &tree.nodes {
        let words = &tree.words[node.first as usize..(node.first + node.count) as usize];
        let makes = MAKERS.contains(&tree.text(words[0]));
        for word in &words[1..] {
            let text = tree.text(*word);
            match text.strip_prefix(b"$") {
                Some(name) if makes => _ = names.insert(name.to_vec()),
                _ => captures(text, &mut names),
            }
        }
    }
    names
}

fn captures(text: &[u8], names: &mut BTreeSet<Vec<u8>>) {
    for (at, pair) in text.windows(2).enumerate() {
        if pair != b"(?" {
            continue;
        }
        let rest = &text[at + 2..];
        let rest = rest.strip_prefix(b"P").unwrap_or(rest);
        if let [b'<' | b'\'', rest @ ..] = rest {
            let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
            names.insert(rest[..len].to_vec());
        }
    }
}
