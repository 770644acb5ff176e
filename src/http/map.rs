//! `map`: variables that are looked up by others.

use crate::conf::{Args, Context, Directive, number, settings};
use crate::http::request::Request;
use crate::http::variables::{Computed, Computes};
use crate::vars::Value;
use crate::vars::map::Map;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub variables: Computes = Computes::new(),
    }
}

const OWN_TABLES: &str = "limpet's tables fit what is in them";

pub static MAIN: &[Directive<MainRaw>] = &[
    Directive::block("map", Context::HTTP, Args::TWO, |raw, cx, node| {
        let (id, map) = Map::read(cx, node)?;
        raw.variables.get_or_insert_default().push((id, Rc::new(map)));
        Ok(())
    }),
    Directive::ignored(
        "map_hash_max_size",
        Context::HTTP,
        Args::ONE,
        |node| number(node, 0).map(|_| ()),
        OWN_TABLES,
    ),
    Directive::ignored(
        "map_hash_bucket_size",
        Context::HTTP,
        Args::ONE,
        |node| number(node, 0).map(|_| ()),
        OWN_TABLES,
    ),
];

impl Computed for Map {
    fn value<'r>(&'r self, request: &Request<'r>) -> Value<'r> {
        Map::value(self, request)
    }

    fn is_volatile(&self) -> bool {
        self.volatile
    }
}
