//! The directives of nginx's http core module, and what they set.

mod amount;
mod error_page;
mod root;
mod setters;
mod symlinks;
mod tables;
mod type_set;
mod types;

pub use amount::Amount;
pub use error_page::ErrorPage;
pub use root::{Alias, Root, RootPath};
pub use setters::{buffers, is_buffers, is_flag, is_size, temp_path};
pub use symlinks::{Rule, open as open_checked};
pub use tables::{LOC, SRV};
pub use type_set::TypeSet;
pub use types::Types;

use crate::conf::{ErrorLogs, Msec, Template, settings};
use crate::http::file_cache::Trust;
use std::rc::Rc;
use symlinks::Symlinks;

settings! {
    /// Settings of a server: in force before a location is known.
    pub struct Srv, SrvRaw {
        pub client_header_timeout: Msec = 60_000,
        pub client_header_buffer_size: u64 = 1024,
        /// Number and size.
        pub large_client_header_buffers: (u64, u64) = (4, 8192),
        pub ignore_invalid_headers: bool = true,
        pub underscores_in_headers: bool = false,
        pub merge_slashes: bool = true,
        /// 0: no bound.
        pub max_headers: u64 = 1000,
        pub strict_line_endings: bool = false,
        /// What nginx takes, and limpet only if it is told to.
        pub allow_colonless_headers: bool = false,
        pub allow_control_bytes: bool = false,
    }
}

settings! {
    /// Settings of a location.
    pub struct Loc, LocRaw {
        pub root: Root = Root::default(),
        pub types: Rc<Types> = Rc::new(Types::default()),
        pub default_type: Rc<[u8]> = Rc::from(b"text/plain".as_slice()),
        pub error_pages: Rc<Vec<ErrorPage>> = Rc::default(),
        pub error_log: Rc<ErrorLogs> = Rc::default(),
        pub internal: bool = false,
        pub satisfy: Satisfy = Satisfy::All,
        pub auth_delay: Msec = 0,
        pub recursive_error_pages: bool = false,
        pub log_not_found: bool = true,
        pub log_subrequest: bool = false,

        /// nginx's default is off, for the sake of file systems that hardly exist now.
        pub sendfile: bool = true,
        /// 0: no bound.
        pub sendfile_max_chunk: u64 = 2 << 20,
        pub tcp_nopush: bool = false,
        pub tcp_nodelay: bool = true,
        pub send_timeout: Msec = 60_000,
        pub postpone_output: u64 = 1460,

        /// 0: no keep-alive.
        pub keepalive_timeout: Msec = 75_000,
        /// Seconds for the `Keep-Alive` header; 0: no header.
        pub keepalive_header: u64 = 0,
        pub keepalive_requests: u64 = 1000,
        pub keepalive_time: Msec = 3_600_000,
        pub keepalive_disable: KeepaliveDisable = KeepaliveDisable { msie6: true, safari: false },

        /// 0: no bound.
        pub client_max_body_size: u64 = 1 << 20,
        pub client_body_timeout: Msec = 60_000,
        pub lingering_close: Lingering = Lingering::On,
        pub lingering_time: Msec = 30_000,
        pub lingering_timeout: Msec = 5_000,
        pub reset_timedout_connection: bool = false,

        /// Bytes a second; 0: as fast as it goes.
        /// `103 Early Hints` of upstreams are handed on if each of these is true; none: never.
        pub early_hints: Rc<Vec<Template>> = Rc::default(),
        pub limit_rate: Amount = Amount::Is(0),
        pub limit_rate_after: Amount = Amount::Is(0),

        pub server_tokens: ServerTokens = ServerTokens::On,
        pub etag: bool = true,
        pub if_modified_since: IfModifiedSince = IfModifiedSince::Exact,
        /// No more ranges than this are honoured; 0: none at all.
        pub max_ranges: u64 = i64::MAX as u64,
        pub chunked_transfer_encoding: bool = true,
        pub msie_padding: bool = true,
        pub msie_refresh: bool = false,
        pub absolute_redirect: bool = true,
        pub server_name_in_redirect: bool = false,
        pub port_in_redirect: bool = true,

        /// `None`: any link may be followed.
        pub disable_symlinks: Option<Rc<Symlinks>> = None,

        pub open_file_cache: Option<OpenFileCache> = None,
        /// Seconds.
        pub open_file_cache_valid: u64 = 60,
        pub open_file_cache_min_uses: u64 = 1,
        pub open_file_cache_errors: bool = false,
    }
    defaults(cx) {
        root: Root::html(cx),
        types: Rc::new(Types::few()),
        error_log: Rc::clone(&cx.main_error_log),
    }
}

/// `keepalive_disable`: browsers that mistake kept connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepaliveDisable {
    pub msie6: bool,
    pub safari: bool,
}

/// Whether all modules must let a request pass, or one is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Satisfy {
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lingering {
    Off,
    On,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTokens {
    Off,
    On,
    Build,
}

pub use crate::proto::conditional::ModifiedSince as IfModifiedSince;

impl Loc {
    /// What `open_file_cache` and its like say.
    pub fn trust(&self) -> Trust {
        let Some(cache) = self.open_file_cache else { return Trust::default() };
        let ms = self.open_file_cache_valid.saturating_mul(1000);
        Trust {
            ms,
            errors_ms: if self.open_file_cache_errors { ms } else { 0 },
            inactive_ms: cache.inactive.saturating_mul(1000),
            min_uses: u32::try_from(self.open_file_cache_min_uses).unwrap_or(u32::MAX),
        }
    }
}

/// `open_file_cache max=N inactive=T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFileCache {
    pub max: u64,
    pub inactive: u64,
}
