//! `root` and `alias`: from a URI to a path.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, Template};
use crate::http::conf::{Kind, location_head};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// Where files of a location are.
#[derive(Clone, Debug)]
pub struct Root {
    pub path: RootPath,
    pub alias: Alias,
}

/// A directory; without its last slash if it is a `root`.
#[derive(Clone, Debug)]
pub enum RootPath {
    /// Absolute.
    Is(Rc<[u8]>),
    /// One with variables.
    Made(Rc<Made>),
}

#[derive(Debug)]
pub struct Made {
    pub text: Template,
    /// What a path is below that does not begin with `/`.
    pub prefix: Box<[u8]>,
}

/// What `alias` does to a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// It is a `root`, which precedes the URI.
    None,
    /// This many bytes of the URI, the name of the location that has the directive, are
    /// replaced by the path.
    Name(usize),
    /// All of the URI is: the location is a regular expression.
    Whole,
}

impl Default for Root {
    fn default() -> Root {
        Root { path: RootPath::Is(Rc::from(b"html".as_slice())), alias: Alias::None }
    }
}

impl Root {
    /// What is served where nothing is said, as in nginx.
    pub fn html(cx: &Cx) -> Root {
        let path = cx.path(b"html").as_os_str().as_bytes().into();
        Root { path: RootPath::Is(path), alias: Alias::None }
    }
}

pub fn root(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let path = path(raw, cx, node)?;
    raw.root = Some(Root { path, alias: Alias::None });
    Ok(())
}

pub fn alias(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let alias = match node.parent().and_then(|location| location_head(location).ok()) {
        Some((Kind::Named, _)) => {
            let text = "the \"alias\" directive cannot be used inside the named location";
            return Err(Error::at(node.name(), text));
        }
        Some((Kind::Regex, _)) => Alias::Whole,
        head => Alias::Name(head.map_or(0, |(_, name)| name.len())),
    };
    let path = path(raw, cx, node)?;
    raw.root = Some(Root { path, alias });
    Ok(())
}

/// The path, if it is the first of its level.
fn path(raw: &LocRaw, cx: &mut Cx, node: Node) -> Result<RootPath, Error> {
    let (name, mut word) = (node.name(), node.arg(0));
    let is_alias = name.bytes() == b"alias";
    if let Some(earlier) = &raw.root {
        let was_alias = earlier.alias != Alias::None;
        let other = if was_alias { "alias" } else { "root" };
        return Err(Error::directive(
            node,
            &match is_alias == was_alias {
                true => "is duplicate".to_string(),
                false => format!("is duplicate, \"{other}\" directive was specified earlier"),
            },
        ));
    }
    if let Some(variable) = itself(&word) {
        let text = format!("the {variable} variable cannot be used in the \"{name}\" directive");
        return Err(Error::at(word, text));
    }
    if !is_alias && word.ends_with(b"/") {
        word = word.until(word.len() - 1);
    }
    let text = cx.template(word)?;
    Ok(match text.literal() {
        // Of `root /` nothing is left.
        Some(path) if node.arg(0).starts_with(b"/") => RootPath::Is(path.into()),
        Some(path) => RootPath::Is(cx.path_bytes(path).as_ref().into()),
        None => {
            let prefix = cx.path(b"").as_os_str().as_bytes().into();
            RootPath::Made(Rc::new(Made { text, prefix }))
        }
    })
}

/// A variable that is made of what is being set.
fn itself(path: &[u8]) -> Option<&'static str> {
    let rest = &path[path.iter().position(|byte| *byte == b'$')? + 1..];
    let rest = rest.strip_prefix(b"{").unwrap_or(rest);
    let variables = ["$document_root", "$realpath_root"];
    variables.into_iter().find(|variable| rest.starts_with(&variable.as_bytes()[1..]))
}
