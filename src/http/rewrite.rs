//! `rewrite`, `return`, `break`, `if`, `set`: small programs that run before a location
//! is found, and once more in it.

mod condition;
mod replace;
mod run;

pub use run::{of_location, of_server, settle};

use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Pattern, Template, VarId, Word, parse_number,
    settings,
};
use condition::Condition;
use replace::Replacement;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub rewrite_log: bool = false,
        pub uninitialized_variable_warn: bool = true,
    }
    own {
        /// In the order of the text.
        pub codes: Vec<Code> = Vec::new(),
    }
}

/// One directive of a program.
pub enum Code {
    Set(VarId, Template),
    Return(Return),
    Break,
    /// What stands in the block is the program, and the settings, of `Location::inner` of
    /// this number.
    If(Condition, usize),
    Rewrite(Rewrite),
}

/// `return CODE [TEXT|URL]` or `return URL`.
pub struct Return {
    /// 0 to 999; 444 closes the connection without an answer.
    pub status: u16,
    /// The body, or for 301, 302, 303, 307 and 308 the value of `Location`.
    pub text: Template,
}

/// `rewrite REGEX REPLACEMENT [FLAG]`
pub struct Rewrite {
    pub pattern: Rc<Pattern>,
    pub replacement: Replacement,
    pub then: Then,
}

/// What follows a `rewrite` that matched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next directive.
    Next,
    /// The location of the new path.
    Last,
    /// The content of this location.
    Break,
    /// An answer of this status.
    Redirect(u16),
}

const ANY: Context = Context::SERVER.or(Context::LOCATION).or(Context::SIF).or(Context::LIF);
const LOGGED: Context = ANY.or(Context::HTTP);

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("return", ANY, Args::ONE_TWO, |raw, cx, node| {
        let code = Code::Return(answer(cx, node)?);
        push(raw, code)
    }),
    Directive::call("rewrite", ANY, Args::TWO_THREE, |raw, cx, node| {
        let code = Code::Rewrite(rewrite(cx, node)?);
        push(raw, code)
    }),
    Directive::call("break", ANY, Args::NONE, |raw, _, _| push(raw, Code::Break)),
    Directive::call("set", ANY, Args::TWO, |raw, cx, node| {
        let id = cx.define(node.arg(0))?;
        cx.variables.begins_empty(id);
        let code = Code::Set(id, cx.template(node.arg(1))?);
        push(raw, code)
    }),
    Directive::block(
        "if",
        Context::SERVER.or(Context::LOCATION),
        Args::ONE_MORE,
        |raw, cx, node| {
            let before = node.earlier().count();
            let code = Code::If(condition::read(cx, node)?, before);
            push(raw, code)
        },
    ),
    Directive::flag("rewrite_log", LOGGED, |raw| &mut raw.rewrite_log),
    Directive::flag("uninitialized_variable_warn", LOGGED, |raw| {
        &mut raw.uninitialized_variable_warn
    }),
];

fn push(raw: &mut LocRaw, code: Code) -> Result<(), Error> {
    raw.codes.get_or_insert_default().push(code);
    Ok(())
}

fn answer(cx: &mut Cx, node: Node) -> Result<Return, Error> {
    let word = node.arg(0);
    let urls: [&[u8]; 3] = [b"http://", b"https://", b"$scheme"];
    let is_url = urls.iter().any(|begin| word.starts_with(begin));
    let (status, text) = match parse_number(&word) {
        Some(status @ 0..=999) if node.args_len() == 1 => (status as u16, Template::default()),
        Some(status @ 0..=999) => (status as u16, cx.template(node.arg(1))?),
        None if is_url && node.args_len() == 1 => (302, cx.template(word)?),
        _ => return Err(Error::at(word, format!("invalid return code \"{word}\""))),
    };
    Ok(Return { status, text })
}

fn rewrite(cx: &mut Cx, node: Node) -> Result<Rewrite, Error> {
    let to = node.arg(1);
    if to.is_empty() {
        return Err(Error::at(to, "empty replacement"));
    }
    let urls: [&[u8]; 3] = [b"http://", b"https://", b"$scheme"];
    let is_url = urls.iter().any(|begin| to.starts_with(begin));
    let then = match (node.args_len(), node.arg(2).bytes()) {
        (2, _) if is_url => Then::Redirect(302),
        (2, _) => Then::Next,
        (_, b"redirect") => Then::Redirect(302),
        (_, b"permanent") => Then::Redirect(301),
        (_, b"last" | b"break") if is_url => Then::Redirect(302),
        (_, b"last") => Then::Last,
        (_, b"break") => Then::Break,
        _ => return Err(Error::invalid_parameter(node.arg(2))),
    };
    let pattern = cx.pattern(node.arg(0), false)?;
    let replacement = Replacement::read(cx, to, matches!(then, Then::Redirect(_)))?;
    warn_of_captures(cx, to, replacement.last_capture(), &pattern);
    Ok(Rewrite { pattern, replacement, then })
}

/// A group that is not there is always empty: hardly what was meant.
fn warn_of_captures(cx: &mut Cx, word: Word, last: Option<u8>, pattern: &Pattern) {
    if let Some(last) = last.filter(|last| usize::from(*last) > pattern.regex.groups()) {
        let pattern = crate::conf::Shown(&pattern.text);
        cx.warn(word, format!("pattern \"{pattern}\" has no group {last}"));
    }
}
