//! Conditions of `if`, as nginx has them: one test, no and, no or.

use super::{replace, run};
use crate::conf::{Cx, Error, Node, Pattern, Template, VarId, Word};
use crate::http::request::Request;
use crate::sys::errno::Errno;
use crate::sys::file::{self, Stat};
use crate::vars::Subject;
use std::ffi::CStr;
use std::rc::Rc;

pub enum Condition {
    /// Neither empty nor `0`.
    True(VarId),
    Equals(VarId, Template, bool),
    /// `~` and `~*`, or their opposites.
    Matches(VarId, Rc<Pattern>, bool),
    File(Test, Template, bool),
}

/// What is asked of a path.
#[derive(Clone, Copy)]
pub enum Test {
    File,
    Directory,
    Exists,
    Executable,
}

/// `if (CONDITION) { ... }`: the parentheses are parts of the first and last words.
pub fn read(cx: &mut Cx, node: Node) -> Result<Condition, Error> {
    let invalid = |word: Word| Error::at(word, format!("invalid condition \"{word}\""));
    let words = inside(node).ok_or_else(|| invalid(node.arg(0)))?;
    let first = *words.first().ok_or_else(|| invalid(node.arg(0)))?;
    if first.starts_with(b"$") {
        let id = variable(cx, first)?;
        return match &words[1..] {
            [] => Ok(Condition::True(id)),
            [operator, value] => comparison(cx, id, *operator, *value),
            _ => Err(invalid(first)),
        };
    }
    let (negated, letter) = match first.bytes() {
        [b'!', b'-', letter] => (true, *letter),
        [b'-', letter] => (false, *letter),
        _ => return Err(invalid(first)),
    };
    let test = match letter {
        b'f' => Test::File,
        b'd' => Test::Directory,
        b'e' => Test::Exists,
        b'x' => Test::Executable,
        _ => return Err(invalid(first)),
    };
    match &words[1..] {
        [path] => Ok(Condition::File(test, cx.template(*path)?, !negated)),
        _ => Err(invalid(first)),
    }
}

/// The words between the parentheses, which may stand alone.
fn inside<'t>(node: Node<'t>) -> Option<Vec<Word<'t>>> {
    let mut words: Vec<Word> = node.args().collect();
    let first = words.first_mut()?;
    first.strip_prefix(b"(")?;
    *first = first.part(1);
    let last = words.last_mut()?;
    last.strip_suffix(b")")?;
    *last = last.until(last.len() - 1);
    if last.is_empty() {
        words.pop();
    }
    if words.first()?.is_empty() {
        words.remove(0);
    }
    Some(words)
}

fn variable(cx: &mut Cx, word: Word) -> Result<VarId, Error> {
    match word.part(1).bytes() {
        b"" => Err(Error::at(word, format!("invalid variable name \"{word}\""))),
        name => Ok(cx.variable(name, word)),
    }
}

fn comparison(cx: &mut Cx, id: VarId, operator: Word, value: Word) -> Result<Condition, Error> {
    Ok(match operator.bytes() {
        b"=" => Condition::Equals(id, cx.template(value)?, true),
        b"!=" => Condition::Equals(id, cx.template(value)?, false),
        b"~" => Condition::Matches(id, cx.pattern(value, false)?, true),
        b"~*" => Condition::Matches(id, cx.pattern(value, true)?, true),
        b"!~" => Condition::Matches(id, cx.pattern(value, false)?, false),
        b"!~*" => Condition::Matches(id, cx.pattern(value, true)?, false),
        _ => {
            return Err(Error::at(operator, format!("unexpected \"{operator}\" in condition")));
        }
    })
}

impl Condition {
    /// `None` when there is no room to find out.
    pub fn holds<'r>(&'r self, request: &Request<'r>, quotes: bool) -> Option<bool> {
        let value = |id| request.variable(id).unwrap_or_default();
        Some(match self {
            Condition::True(id) => !matches!(value(*id), b"" | b"0"),
            Condition::Equals(id, text, wanted) => {
                (value(*id) == replace::value(request, text, quotes)?) == *wanted
            }
            Condition::Matches(id, pattern, wanted) => {
                run::matches(request, pattern, value(*id)) == *wanted
            }
            Condition::File(test, path, wanted) => {
                test.holds(request, replace::value(request, path, quotes)?) == *wanted
            }
        })
    }
}

impl Test {
    fn holds(self, request: &Request<'_>, path: &[u8]) -> bool {
        let with_nul = request.scratch().concat(&[path, b"\0"]);
        let path = with_nul.and_then(|path| CStr::from_bytes_with_nul(path).ok());
        let Ok(stat) = path.map_or(Err(Errno::ENOENT), file::stat) else { return false };
        self.fits(&stat)
    }

    fn fits(self, stat: &Stat) -> bool {
        match self {
            Test::File => stat.is_file(),
            Test::Directory => stat.is_dir(),
            Test::Exists => true,
            Test::Executable => stat.mode & 0o100 != 0,
        }
    }
}
