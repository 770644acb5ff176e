//! `split_clients`: variables for experiments on some of the clients.

use crate::conf::{Args, Context, Directive, settings};
use crate::http::request::Request;
use crate::http::variables::{Computed, Computes};
use crate::vars::Value;
use crate::vars::split::Split;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub variables: Computes = Computes::new(),
    }
}

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::block("split_clients", Context::HTTP, Args::TWO, |raw, cx, node| {
        let (id, split) = Split::read(cx, node)?;
        raw.variables.get_or_insert_default().push((id, Rc::new(split)));
        Ok(())
    })];

impl Computed for Split {
    fn value<'r>(&'r self, request: &Request<'r>) -> Value<'r> {
        Split::value(self, request)
    }
}
