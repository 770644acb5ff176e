//! The list of http modules. To add a module: write `src/http/NAME.rs` with its
//! settings (`Loc` and `LocRaw`, `Srv` and `SrvRaw`) and its tables (`LOC`, `SRV`),
//! and name it in the list at the end (and, since Rust wants it, in `http/mod.rs`).

use crate::conf::{Cx, Directive, Error, Node, Raw, Said, Shape};
use crate::http::variables::Computes;
use std::rc::Rc;

/// Where a directive of a level is: the way into its module, and its entry there.
pub struct Place<R: 'static> {
    set: fn(&mut R, usize, &mut Cx, Node) -> Result<(), Error>,
    entry: usize,
}

impl<R> Clone for Place<R> {
    fn clone(&self) -> Place<R> {
        *self
    }
}

impl<R> Copy for Place<R> {}

impl<R> Place<R> {
    pub fn set(self, raws: &mut R, cx: &mut Cx, node: Node) -> Result<(), Error> {
        (self.set)(raws, self.entry, cx, node)
    }
}

/// Adds the table of a module, whose way in is `set`.
#[inline(never)]
fn list<R, S, T>(
    all: &mut Vec<(&'static Shape, T)>,
    tag: fn(Place<R>) -> T,
    table: &'static [Directive<S>],
    set: fn(&mut R, usize, &mut Cx, Node) -> Result<(), Error>,
) {
    for (entry, directive) in table.iter().enumerate() {
        all.push((&directive.shape, tag(Place { set, entry })));
    }
}

/// For each level: a struct of every module's settings, one of their raw twins,
/// and the tables of its modules as one.
macro_rules! modules {
    ($(
        $(#[$meta:meta])*
        $conf:ident, $raws:ident, $raw:ident, $table:ident: $( $module:ident ),*;
    )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Default)]
        pub struct $conf {
            $( pub $module: Rc<<crate::http::$module::$raw as Raw>::Settings>, )*
        }

        impl $conf {
            /// What is in force where no level has said anything.
            pub fn defaults(cx: &mut Cx) -> $conf {
                $conf { $( $module: Rc::new(crate::http::$module::$raw::defaults(cx)), )* }
            }
        }

        /// What one block said, for each module that it spoke of.
        #[derive(Default)]
        pub struct $raws {
            $( $module: Said<crate::http::$module::$raw>, )*
        }

        impl $raws {
            /// Adds every directive of the level.
            pub fn directives<T>(all: &mut Vec<(&'static Shape, T)>, tag: fn(Place<$raws>) -> T) {
                $( {
                    let set = |raws: &mut $raws, entry: usize, cx: &mut Cx, node: Node| {
                        let directive = &crate::http::$module::$table[entry];
                        directive.set(raws.$module.raw(), cx, node)
                    };
                    list(all, tag, &crate::http::$module::$table, set);
                } )*
            }

            /// The settings of the block that said this; then it is ready for another.
            pub fn resolve(&mut self, parent: &$conf) -> $conf {
                $conf { $( $module: self.$module.resolve(&parent.$module), )* }
            }
        }
    )* };
}

modules! {
    /// What there is once, for all servers.
    MainConf, MainRaws, MainRaw, MAIN:
        geo,
        health_check,
        limit_conn,
        limit_req,
        map,
        proxy_cache,
        split_clients,
        upstreams;
    /// What differs by server: read before a location is known.
    SrvConf, SrvRaws, SrvRaw, SRV: core;
    /// What differs by location.
    LocConf, LocRaws, LocRaw, LOC:
        core,
        auth_request,
        access,
        auth_basic,
        autoindex,
        charset,
        content,
        fastcgi,
        fastcgi_exchange,
        gzip,
        headers,
        health_check,
        index,
        limit_conn,
        limit_req,
        log,
        precompressed,
        proxy_rewrites,
        realip,
        referer,
        mirror,
        proxy,
        proxy_exchange,
        request_body,
        resolver,
        rewrite,
        try_files;
}

impl MainConf {
    /// The variables that directives make of others.
    pub fn computed(&self) -> Computes {
        let all = [&self.geo.variables, &self.map.variables, &self.split_clients.variables];
        all.into_iter().flatten().cloned().collect()
    }
}
