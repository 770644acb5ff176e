//! The house style, as a test: what a formatter and clippy do not look at.
use crate::source::{code_of, functions, line_at, root, rust_files, words};
use std::path::Path;

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 800;
const FILE_LINES_WITHOUT_REASON: usize = 500;
const COLUMNS: usize = 100;

/// Besides `src/sys/`, where unsafe code may stand.
const UNSAFE_FILES: [&str; 4] =
    ["src/mem/arena.rs", "src/mem/buffers.rs", "src/mem/zone.rs", "tests/common/kernel.rs"];

/// Written in two halves, so that this file passes its own test.
const MARKERS: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
];

const VAGUE_NAMES: [&str; 7] = ["util", "utils", "misc", "manager", "helpers", "data", "info"];

#[test]
fn the_house_is_tidy() {
    let mut files = rust_files("src");
    files.extend(rust_files("tests"));
    files.push("build.rs".into());
    assert!(files.len() > 20, "the sources are not where they should be");
    let complaints: Vec<_> = files.iter().flat_map(|file| check_file(file)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn documents_are_short_and_name_files_that_exist() {
    for (document, most) in [("README.md", 150), ("ARCHITECTURE.md", 300)] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let lines = text.lines().count();
        assert!(lines <= most, "{document} has {lines} lines, {most} at most");
        let words = text.split(|char: char| !(char.is_alphanumeric() || "/._-".contains(char)));
        for file in words.filter(|word| word.ends_with(".rs") || word.ends_with(".sh")) {
            let there = ["", "src"].iter().any(|dir| root().join(dir).join(file).exists());
            assert!(there, "{document} names {file}, which is not there");
        }
    }
}

fn check_file(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    check(path.to_str().unwrap(), &text)
}

fn check(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut complaints = Vec::new();
    let mut complain =
        |line: usize, what: String| complaints.push(format!("{path}:{line}: {what}"));
    check_name(path, &mut complain);
    check_size(text, &mut complain);
    check_unsafe(path, text, &code, &mut complain);
    check_allows(text, &code, &mut complain);
    for function in functions(&code) {
        if function.lines > FUNCTION_LINES {
            let (name, lines) = (&function.name, function.lines);
            complain(
                function.line,
                format!("`{name}` has {lines} lines, {FUNCTION_LINES} at most"),
            );
        }
    }
    for (number, line) in text.lines().enumerate() {
        if line.chars().count() > COLUMNS {
            complain(number + 1, format!("more than {COLUMNS} columns"));
        }
        if let Some(marker) = MARKERS.iter().find(|marker| has_marker(line, marker)) {
            complain(number + 1, format!("left over: {marker}"));
        }
    }
    complaints
}

fn has_marker(line: &str, marker: &str) -> bool {
    let word = marker.trim_end_matches('!');
    words(line, word).any(|at| line[at..].starts_with(marker))
}

fn check_name(path: &str, complain: &mut impl FnMut(usize, String)) {
    let stem = |part: &str| part.trim_end_matches(".rs").to_string();
    if let Some(vague) = path.split('/').map(stem).find(|part| VAGUE_NAMES.contains(&&**part)) {
        complain(1, format!("`{vague}` says nothing: name the thing"));
    }
}

fn check_size(text: &str, complain: &mut impl FnMut(usize, String)) {
    let header: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    if header.is_empty() {
        complain(1, "no `//!` header".into());
    }
    let lines = text.lines().count();
    if lines > FILE_LINES {
        complain(lines, format!("{lines} lines, {FILE_LINES} at most"));
    } else if lines > FILE_LINES_WITHOUT_REASON && !header.join(" ").contains("500 lines") {
        complain(
            lines,
            format!("{lines} lines, and no word in the header why more than 500 lines"),
        );
    }
}

fn check_unsafe(path: &str, text: &str, code: &str, complain: &mut impl FnMut(usize, String)) {
    let may = path.starts_with("src/sys/") || UNSAFE_FILES.contains(&path);
    let lines: Vec<_> = text.lines().collect();
    for at in words(code, "unsafe") {
        let line = line_at(code, at);
        if !may {
            complain(line, "unsafe code outside its floor".into());
        }
        let after = code[at + 6..].trim_start();
        let argued = if after.starts_with('{') || after.starts_with("impl") {
            "SAFETY:"
        } else if after.starts_with("fn") && !after[2..].trim_start().starts_with('(') {
            "# Safety"
        } else {
            continue;
        };
        let from = line.saturating_sub(16);
        if !lines[from..line].iter().any(|line| line.contains(argued)) {
            complain(line, format!("unsafe without a `{argued}` line"));
        }
    }
}

/// Silenced lints give their reason in the attribute.
fn check_allows(text: &str, code: &str, complain: &mut impl FnMut(usize, String)) {
    for attribute in ["allow", "expect"] {
        for at in words(code, attribute) {
            let opened = code[..at].trim_end();
            if !(opened.ends_with("#[") || opened.ends_with("#![")) {
                continue;
            }
            let end = code[at..].find(']').map_or(code.len(), |end| at + end);
            if !text[at..end].contains("reason") {
                complain(line_at(code, at), format!("`{attribute}` without a reason"));
            }
        }
    }
}

/// The one complaint about a sample of a file, without its place; "" when there is none.
fn complaint(path: &str, text: &str) -> String {
    let complaints = check(path, text);
    assert!(complaints.len() <= 1, "{complaints:?}");
    let text = complaints.into_iter().next().unwrap_or_default();
    text.split_once(": ").map_or(text.clone(), |(_, what)| what.to_string())
}

#[test]
fn tidy_code_passes() {
    let code = "//! A thing.\n\n// SAFETY: it is 1.\nlet x = unsafe { 1 };\nfn a() { '\"'; }\n";
    assert_eq!(complaint("src/sys/x.rs", code), "");
    assert_eq!(complaint("src/http/x.rs", "//! unsafe { } in words\nfn f() { \"unsafe {\" }"), "");
    assert_eq!(
        complaint("src/x.rs", "//! X.\n#[allow(dead_code, reason = \"later\")]\nmod x;"),
        ""
    );
}

#[test]
fn unsafe_code_is_found_where_it_must_not_be() {
    let code = "//! A thing.\n// SAFETY: none.\nlet x = unsafe { 1 };\n";
    assert_eq!(complaint("src/http/x.rs", code), "unsafe code outside its floor");
    let code = "//! A thing.\nunsafe extern \"C\" { }\n";
    assert_eq!(complaint("src/main.rs", code), "unsafe code outside its floor");
}

#[test]
fn unsafe_code_without_an_argument_is_found() {
    let code = "//! A thing.\nlet x = unsafe { 1 };\n";
    assert_eq!(complaint("src/sys/x.rs", code), "unsafe without a `SAFETY:` line");
    let code = "//! A thing.\nunsafe fn f() {}\n";
    assert_eq!(complaint("src/sys/x.rs", code), "unsafe without a `# Safety` line");
}

#[test]
fn long_functions_and_files_are_found() {
    let body = |lines| format!("//! A.\nfn long() {{\n{}}}\n", "a();\n".repeat(lines));
    assert_eq!(complaint("src/x.rs", &body(68)), "");
    assert_eq!(complaint("src/x.rs", &body(69)), "`long` has 71 lines, 70 at most");
    let file = |header: &str, lines| format!("//! {header}\n{}", "mod a;\n".repeat(lines));
    assert_eq!(complaint("src/x.rs", &file("A.", 499)), "");
    assert!(complaint("src/x.rs", &file("A.", 500)).contains("no word in the header"));
    assert_eq!(complaint("src/x.rs", &file("Over 500 lines: a table.", 799)), "");
    assert!(complaint("src/x.rs", &file("Over 500 lines: a table.", 800)).contains("800 at most"));
}

#[test]
fn markers_wide_lines_and_missing_headers_are_found() {
    for marker in MARKERS {
        let code = format!("//! A.\n// {marker} later\n");
        assert_eq!(complaint("src/x.rs", &code), format!("left over: {marker}"));
    }
    assert_eq!(complaint("src/x.rs", &format!("//! {}", "a".repeat(97))), "more than 100 columns");
    assert_eq!(complaint("src/x.rs", "mod a;"), "no `//!` header");
}

#[test]
fn vague_names_and_silent_allows_are_found() {
    assert_eq!(complaint("src/http/util.rs", "//! A."), "`util` says nothing: name the thing");
    let code = "//! A.\n#[allow(dead_code)]\nmod x;";
    assert_eq!(complaint("src/x.rs", code), "`allow` without a reason");
}
