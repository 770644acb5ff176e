//! `root` and `alias`: from a URI to a path.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, literal};
use crate::http::conf::{Kind, location_head};
use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// Where files of a location are.
#[derive(Clone, Debug)]
pub struct Root {
    /// Absolute; without its last slash if it is a `root`.
    pub path: Rc<[u8]>,
    /// `alias`: this many bytes of the URI, the name of the location that has the
    /// directive, are replaced by the path; `None` for `root`, which precedes it.
    pub alias: Option<usize>,
}

impl Default for Root {
    fn default() -> Root {
        Root { path: Rc::from(b"html".as_slice()), alias: None }
    }
}

impl Root {
    /// What is served where nothing is said, as in nginx.
    pub fn html(cx: &Cx) -> Root {
        Root { path: cx.path(b"html").as_os_str().as_bytes().into(), alias: None }
    }
}

pub fn root(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let path = checked(raw, cx, node)?;
    let path = path.strip_suffix(b"/").unwrap_or(&path);
    raw.root = Some(Root { path: path.into(), alias: None });
    Ok(())
}

pub fn alias(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let head = node.parent().and_then(|location| location_head(location).ok());
    if let Some((Kind::Named, _)) = head {
        let text = "the \"alias\" directive cannot be used inside the named location";
        return Err(Error::at(node.name(), text));
    }
    let path = checked(raw, cx, node)?;
    let replaced = head.map_or(0, |(_, name)| name.len());
    raw.root = Some(Root { path: path.as_ref().into(), alias: Some(replaced) });
    Ok(())
}

/// The path, if it is the first of its level.
fn checked<'t>(raw: &LocRaw, cx: &Cx, node: Node<'t>) -> Result<Cow<'t, [u8]>, Error> {
    let name = node.name();
    if let Some(earlier) = &raw.root {
        let (is_alias, was_alias) = (name.bytes() == b"alias", earlier.alias.is_some());
        let other = if was_alias { "alias" } else { "root" };
        return Err(Error::directive(
            node,
            &match is_alias == was_alias {
                true => "is duplicate".to_string(),
                false => format!("is duplicate, \"{other}\" directive was specified earlier"),
            },
        ));
    }
    let word = node.arg(0);
    if let Some(variable) = itself(&word) {
        let text = format!("the {variable} variable cannot be used in the \"{name}\" directive");
        return Err(Error::at(word, text));
    }
    Ok(cx.path_bytes(literal(word)?))
}

/// A variable that is made of what is being set.
fn itself(path: &[u8]) -> Option<&'static str> {
    let rest = &path[path.iter().position(|byte| *byte == b'$')? + 1..];
    let rest = rest.strip_prefix(b"{").unwrap_or(rest);
    let variables = ["$document_root", "$realpath_root"];
    variables.into_iter().find(|variable| rest.starts_with(&variable.as_bytes()[1..]))
}
