//! Rust source as the house rules read it: without comments and literals, by function,
//! by path. A lexer of the few things that can hide a brace or a word, not a parser.
use std::fs;
use std::path::{Path, PathBuf};

/// Replaces comments and the content of literals by blanks; lines and columns stay.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip_hidden(bytes, at);
        let keep_quotes = usize::from(bytes[at] == b'"' || bytes[at] == b'\'');
        for byte in &mut code[at + keep_quotes.min(end - at)..end.max(at)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The end of the comment or literal that begins at `at`, or `at` when none does.
fn skip_hidden(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => at + find(rest, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + 1 + string(&rest[1..]),
        [b'r', ..] if !at.checked_sub(1).is_some_and(|before| is_word(bytes[before])) => {
            at + raw_string(rest)
        }
        [b'b' | b'c', b'r', ..]
            if !at.checked_sub(1).is_some_and(|before| is_word(bytes[before])) =>
        {
            match raw_string(&rest[1..]) {
                0 => at,
                length => at + 1 + length,
            }
        }
        [b'\'', b'\\', _, tail @ ..] => at + 3 + find(tail, b"'").map_or(0, |end| end + 1),
        [b'\'', ..] => at + char_literal(rest),
        _ => at,
    }
}

fn find(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes.windows(end.len()).position(|window| window == end)
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string's content and its closing quote.
fn string(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'"' {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    (at + 1).min(bytes.len())
}

/// The length of `r"…"` or `r#"…"#`; 0 when it is something else.
fn raw_string(bytes: &[u8]) -> usize {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let content = &bytes[2 + hashes..];
    2 + hashes + find(content, &end).map_or(content.len(), |at| at + end.len())
}

/// The length of `'x'`; 0 for a lifetime.
fn char_literal(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(&bytes[1..bytes.len().min(6)]).into_owned();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), Some('\'')) => 2 + one.len_utf8(),
        _ => 0,
    }
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at == 0 || !is_word(bytes[at - 1]);
        before && !bytes.get(at + word.len()).is_some_and(|byte| is_word(*byte))
    })
}

/// Line number, counted from 1, of an offset.
pub fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Every function with a body.
pub fn functions(code: &str) -> Vec<Function> {
    words(code, "fn").filter_map(|at| function(code, at)).collect()
}

fn function(code: &str, at: usize) -> Option<Function> {
    let rest = &code[at + 2..];
    let name: String =
        rest.trim_start().bytes().take_while(|byte| is_word(*byte)).map(char::from).collect();
    if name.is_empty() {
        return None; // a function type: fn(…)
    }
    let (mut round, mut curly) = (0, 0);
    for (offset, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b';' if round == 0 && curly == 0 => return None,
            b'{' => curly += 1,
            b'}' => {
                curly -= 1;
                if curly == 0 {
                    let line = line_at(code, at);
                    let lines = line_at(code, at + 2 + offset) - line + 1;
                    return Some(Function { name, line, lines });
                }
            }
            _ => {}
        }
    }
    None
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `dir`, as paths relative to the root, sorted.
pub fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    files.sort();
    files
}
