//! `autoindex`: the listing of a folder. Only `off` exists yet.

use crate::conf::{Args, Context, Directive, Error, flag, settings};

settings! {
    pub struct Loc, LocRaw {}
}

pub static LOC: &[Directive<LocRaw>] =
    &[Directive::call("autoindex", Context::ALL, Args::ONE, |_, _, node| match flag(node, 0)? {
        false if node.earlier().next().is_some() => Err(Error::directive(node, "is duplicate")),
        false => Ok(()),
        true => Err(Error::directive(node, "is not supported by limpet but as \"off\"")),
    })];
