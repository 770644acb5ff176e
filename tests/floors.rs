//! The floors of `src/`, as a test: a file uses only what lies below it, and its own folder.
//! The table here is the one in ARCHITECTURE.md.
use crate::source::{code_of, is_word, line_at, root, rust_files, words};
use std::path::Path;

/// Module, its floor, and the modules of the same floor that it may use.
const FLOORS: [(&str, u8, &[&str]); 19] = [
    ("sys", 0, &[]),
    ("mem", 1, &[]),
    ("text", 1, &[]),
    ("time", 2, &[]),
    ("random", 2, &[]),
    ("log", 2, &["time"]),
    ("shm", 2, &["time", "log"]),
    ("conf", 2, &["time", "log", "shm", "proto"]),
    ("proto", 2, &[]),
    ("event", 3, &[]),
    ("net", 4, &[]),
    ("vars", 4, &[]),
    ("http", 5, &[]),
    ("stream", 5, &[]),
    ("cycle", 6, &[]),
    ("process", 6, &["cycle"]),
    ("cli", 7, &[]),
    ("main", 7, &["cli"]),
    ("build", 7, &[]),
];

/// The one upward call: the C entry starts the program.
const ENTRY: (&str, &str) = ("src/sys/entry.rs", "run");

#[test]
fn floors_hold() {
    let files = rust_files("src");
    assert!(files.len() > 10, "the sources are not where they should be");
    let complaints: Vec<_> = files.iter().flat_map(|file| check_file(file)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn check_file(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    check(path.to_str().unwrap(), &text)
}

fn check(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let module = module_of(path);
    let Some(home) = FLOORS.iter().find(|(name, ..)| *name == module) else {
        return vec![format!("{path}: `{module}` has no floor: give it one in tests/floors.rs")];
    };
    let mut complaints = Vec::new();
    for (at, used) in used_modules(&code) {
        if let Err(why) = may_use(path, home, &used, &code[at..]) {
            complaints.push(format!("{path}:{}: {why}", line_at(&code, at)));
        }
    }
    for at in climbs(path, &code) {
        let line = line_at(&code, at);
        complaints.push(format!("{path}:{line}: `super` leaves the folder: write `crate::`"));
    }
    complaints
}

/// `src/log/file.rs` and `src/log.rs` belong to `log`.
fn module_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

fn may_use(
    path: &str,
    (home, floor, beside): &(&str, u8, &[&str]),
    used: &str,
    code: &str,
) -> Result<(), String> {
    if used == *home || (path, used) == ENTRY || is_crate_macro(code) {
        return Ok(());
    }
    match FLOORS.iter().find(|(name, ..)| *name == used) {
        None if *home == "main" => Ok(()),
        None => Err(format!("`crate::{used}` has no floor")),
        Some((_, below, _)) if below < floor || beside.contains(&used) => Ok(()),
        Some((_, other, _)) => {
            Err(format!("`{home}` (floor {floor}) uses `{used}` (floor {other})"))
        }
    }
}

/// `crate::name!`: a macro exported at the root, whose module cannot be seen from its path.
fn is_crate_macro(code: &str) -> bool {
    let name = code.trim_start_matches(|char: char| char.is_ascii() && is_word(char as u8));
    name.starts_with('!') && !name.starts_with("!=")
}

/// Every name that follows `crate::`, in groups too, with its place.
fn used_modules(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = code[at + 5..].strip_prefix("::") {
            names(code, code.len() - rest.len(), &mut used);
        }
    }
    used
}

/// The name at `at`, or the first names of the members of the `{…}` there.
fn names(code: &str, at: usize, used: &mut Vec<(usize, String)>) {
    let name = |at: usize| -> String {
        code[at..].chars().take_while(|char| char.is_ascii() && is_word(*char as u8)).collect()
    };
    if !code[at..].starts_with('{') {
        used.push((at, name(at)));
        return;
    }
    let (mut depth, mut expects) = (0, false);
    for (offset, char) in code[at..].char_indices() {
        match char {
            '{' => (depth, expects) = (depth + 1, depth == 0),
            '}' if depth == 1 => return,
            '}' => depth -= 1,
            ',' => expects = depth == 1,
            _ if char.is_whitespace() => {}
            _ => {
                if expects {
                    used.push((at + offset, name(at + offset)));
                }
                expects = false;
            }
        }
    }
}

/// Chains of `super::` that reach the crate's root, where other modules stand.
fn climbs(path: &str, code: &str) -> Vec<usize> {
    let inside = path.trim_start_matches("src/").trim_end_matches("/mod.rs");
    let depth = inside.matches('/').count() + 1;
    let inner = code.find("mod tests").unwrap_or(code.len());
    let chain = |at: usize| code[at..].split("::").take_while(|part| *part == "super").count();
    let is_first = |at: usize| !code[..at].ends_with("super::");
    let reaches_root = |at: &usize| chain(*at) >= depth + usize::from(*at > inner);
    let firsts = words(code, "super").filter(|at| inside != "main.rs" && is_first(*at));
    firsts.filter(reaches_root).collect()
}

#[test]
fn uses_of_lower_floors_pass() {
    let passes = |path, code| assert_eq!(check(path, code), Vec::<String>::new(), "{path}");
    passes("src/log/file.rs", "use crate::{sys::{fd, file}, time}; use super::Level;");
    passes("src/http/range.rs", "use crate::proto::range; fn f() { crate::log::flush() }");
    passes("src/process/master.rs", "use crate::cycle::Cycle;");
    passes("src/sys/entry.rs", "fn main() { crate::run() }");
    passes("src/main.rs", "use crate::process::master; mod tests { use super::*; }");
    passes("src/sys/fd.rs", "// crate::http\nconst A: &str = \"crate::http\";");
    passes("src/event/io.rs", "mod tests { use super::*; use super::super::poll; }");
    passes("src/http/x.rs", "pub(crate) fn f() { if crate::sys::A != 1 {} crate::setting!(x) }");
}

#[test]
fn uses_of_higher_floors_are_found() {
    let fails = |path, code, what: &str| {
        let complaints = check(path, code);
        assert!(complaints.len() == 1 && complaints[0].ends_with(what), "{path}: {complaints:?}");
    };
    fails("src/sys/fd.rs", "use crate::log;", "`sys` (floor 0) uses `log` (floor 2)");
    fails(
        "src/mem/arena.rs",
        "use crate::{sys::map,\n text};",
        "`mem` (floor 1) uses `text` (floor 1)",
    );
    fails("src/time.rs", "use crate::log::Level;", "`time` (floor 2) uses `log` (floor 2)");
    fails(
        "src/proto/head.rs",
        "fn f() { crate::time::now() }",
        "`proto` (floor 2) uses `time` (floor 2)",
    );
    fails(
        "src/http/x.rs",
        "use crate::process::master;",
        "`http` (floor 5) uses `process` (floor 6)",
    );
    fails("src/cycle/mod.rs", "use crate::process;", "`cycle` (floor 6) uses `process` (floor 6)");
    fails("src/sys/fd.rs", "fn f() { crate::run() }", "`crate::run` has no floor");
    fails("src/new/x.rs", "", "give it one in tests/floors.rs");
    fails("src/log/file.rs", "use super::super::http;", "write `crate::`");
    fails("src/log/mod.rs", "use super::http;", "write `crate::`");
    fails("src/time.rs", "use super::http;", "write `crate::`");
}
