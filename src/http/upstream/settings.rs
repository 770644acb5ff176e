//! What every protocol towards upstreams lets be set: `proxy_read_timeout` and
//! `fastcgi_read_timeout` are one setting of two modules.

use crate::conf::{Context, Cx, Error, Node, Template, put, settings};
use crate::http::core::{Amount, buffers, temp_path};
use crate::http::request_body::TempPath;
use crate::http::upstream::hidden::Names;
use crate::http::upstream::next::{Next, next_upstream};
use crate::http::upstream::stored::Store;
use crate::proto::response::Rules;
use crate::sys::addr::{Addr, BadAddr};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub connect_timeout: u64 = 60_000,
        pub send_timeout: u64 = 60_000,
        pub read_timeout: u64 = 60_000,
        /// The answer is taken as fast as it comes, and kept until the client has it.
        pub buffering: bool = true,
        /// The whole of a request is there before any of it is sent on.
        pub request_buffering: bool = true,
        /// Room for the head of an answer, and what came with it.
        pub buffer_size: u64 = BUFFER,
        /// How much of an answer's body is kept in memory: so many of so many bytes.
        pub buffers: (u64, u64) = (8, BUFFER),
        pub max_temp_file_size: u64 = 1 << 30,
        pub temp_path: Option<Rc<TempPath>> = None,
        /// Bytes a second that are read of an answer; 0: as fast as it goes.
        pub limit_rate: Amount = Amount::Is(0),
        pub next: Next = Next::default(),
        pub next_tries: u64 = 0,
        /// Milliseconds; 0: any.
        pub next_timeout: u64 = 0,
        pub intercept_errors: bool = false,
        pub ignore_client_abort: bool = false,
        pub bind: Bind = Bind::Any,
        pub socket_keepalive: bool = false,
        pub force_ranges: bool = false,
        pub pass_request_headers: bool = true,
        pub pass_request_body: bool = true,
        /// Lines of an answer that are not handed on, and those that are nevertheless.
        pub hide: Rc<Names> = Rc::default(),
        pub pass: Rc<Names> = Rc::default(),
        pub ignore: Ignored = Ignored::default(),
        /// Answers stay as files, which so many may read.
        pub store: Store = Store::Nowhere,
        pub store_access: u32 = 0o600,
        /// What nginx takes of an answer's head, and limpet only if it is told to.
        pub allow_colonless_headers: bool = false,
        pub allow_control_bytes: bool = false,
        pub allow_any_status: bool = false,
    }
}

pub use super::stored::{store, store_access};

impl Loc {
    /// What an answer's head may be.
    pub fn rules(&self, size: usize) -> Rules {
        Rules {
            size: u32::try_from(size).unwrap_or(u32::MAX),
            any_status: self.allow_any_status,
            colonless: self.allow_colonless_headers,
            controls: self.allow_control_bytes,
            ..Rules::default()
        }
    }
}

/// A page, as in nginx.
const BUFFER: u64 = 4096;

/// `proxy_bind`: which of this machine's addresses connections come from.
#[derive(Clone)]
pub enum Bind {
    Any,
    /// What it says when it is asked, and whether it may be another machine's.
    From(Rc<Template>, bool),
}

/// `proxy_ignore_headers`: what an answer says to its proxy, and is not listened to.
#[derive(Clone, Copy, Default)]
pub struct Ignored {
    pub redirect: bool,
    pub expires: bool,
    pub limit_rate: bool,
    pub buffering: bool,
    pub charset: bool,
    /// Those that only a cache would listen to, by their place in [`OF_CACHES`].
    pub of_caches: u8,
}

const OF_CACHES: [&[u8]; 4] = [b"Expires", b"Cache-Control", b"Set-Cookie", b"Vary"];

/// `proxy_ignore_headers NAME...`: several add up.
pub fn ignore_headers(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let ignored = raw.ignore.get_or_insert_default();
    for word in node.args() {
        let is = |name: &[u8]| word.bytes().eq_ignore_ascii_case(name);
        let flag = match word.bytes() {
            _ if is(b"X-Accel-Redirect") => &mut ignored.redirect,
            _ if is(b"X-Accel-Expires") => &mut ignored.expires,
            _ if is(b"X-Accel-Limit-Rate") => &mut ignored.limit_rate,
            _ if is(b"X-Accel-Buffering") => &mut ignored.buffering,
            _ if is(b"X-Accel-Charset") => &mut ignored.charset,
            _ => match OF_CACHES.iter().position(|name| is(name)) {
                Some(at) => {
                    ignored.of_caches |= 1 << at;
                    continue;
                }
                None => return Err(Error::invalid_value(word)),
            },
        };
        if std::mem::replace(flag, true) {
            cx.warn(word, format!("duplicate value \"{word}\""));
        }
    }
    Ok(())
}

/// `proxy_bind off | ADDRESS [transparent]`
pub fn bind(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    if node.args_len() == 1 && node.arg(0).bytes() == b"off" {
        return put(&mut raw.bind, node, Ok(Bind::Any));
    }
    let transparent = match node.args_len() {
        1 => false,
        _ if node.arg(1).bytes() == b"transparent" => true,
        _ => return Err(Error::invalid_parameter(node.arg(1))),
    };
    let text = cx.template(node.arg(0))?;
    if let Some(literal) = text.literal()
        && local(literal).is_none()
    {
        let word = node.arg(0);
        return Err(Error::at(word, format!("invalid address \"{word}\"")));
    }
    cx.transparent |= transparent;
    put(&mut raw.bind, node, Ok(Bind::From(Rc::new(text), transparent)))
}

/// A local address; without a port the kernel chooses one.
pub fn local(text: &[u8]) -> Option<Addr> {
    let text = std::str::from_utf8(text).ok()?;
    match Addr::parse(text, 0) {
        // What has more than one colon and no bracket is an IPv6 address without a port.
        Err(BadAddr::Port | BadAddr::Name | BadAddr::Host) => {
            Addr::parse(&format!("[{text}]"), 0).ok()
        }
        Ok(Addr::Unix(_)) | Err(_) => None,
        Ok(addr) => Some(addr),
    }
}

/// `proxy_buffers NUMBER SIZE`
pub fn set_buffers(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (number, size) = buffers(node)?;
    if number < 2 {
        return Err(Error::directive(node, "there must be at least 2 buffers"));
    }
    cx.upstream_room.kept(number.saturating_mul(size));
    put(&mut raw.buffers, node, Ok((number, size)))
}

/// `proxy_buffer_size SIZE`
pub fn buffer_size(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    put(&mut raw.buffer_size, node, crate::conf::size(node, 0))?;
    cx.upstream_room.head(raw.buffer_size.unwrap_or_default());
    Ok(())
}

/// `proxy_temp_path PATH [LEVEL...]`
pub fn set_temp_path(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    temp_path(node)?;
    let folder = cx.path(&node.arg(0));
    let path = folder.as_os_str().as_bytes().into();
    cx.folders.push(folder);
    // Its files have no names, so that no folders inside are needed.
    put(&mut raw.temp_path, node, Ok(Some(Rc::new(TempPath { path, levels: Vec::new() }))))
}

/// `proxy_next_upstream CONDITION...`
pub fn set_next(raw: &mut LocRaw, cx: &mut Cx, node: Node, known: Next) -> Result<(), Error> {
    raw.next = Some(next_upstream(cx, node, known, raw.next)?);
    Ok(())
}

/// `proxy_hide_header NAME`: several add up.
pub fn add_name(names: &mut Option<Rc<Names>>, node: Node) -> Result<(), Error> {
    Rc::make_mut(names.get_or_insert_default()).add(node.arg(0).bytes());
    Ok(())
}

/// `proxy_cache off`: what it is, as long as there is no cache.
pub fn is_no_cache(node: Node) -> Result<(), Error> {
    match node.arg(0).bytes() {
        b"off" => Ok(()),
        _ => Err(Error::directive(
            node,
            "is not supported by limpet but for \"off\": answers are not cached yet",
        )),
    }
}

/// `proxy_cache_bypass VALUE...`, `proxy_no_cache`: when a cache is to be left alone, which it
/// is. Configurations for websockets say so all the time.
pub fn leave_cache(_: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    node.args().try_for_each(|word| cx.template(word).map(drop))
}

pub const ALL: Context = Context::ALL;

/// The table of these settings for one protocol: `$prefix` begins the names, `$next` is
/// what its `next_upstream` knows beside what all know.
macro_rules! upstream_settings {
    ($prefix:literal, $next:expr) => {{
        use $crate::conf::{Args, Directive, put};
        use $crate::http::core::{Amount, is_size};
        use $crate::http::upstream::settings::{self, ALL};
        const WHY: &str = "what is kept is bounded by the buffers and the file";
        &[
            Directive::msec(concat!($prefix, "connect_timeout"), ALL, |raw| {
                &mut raw.connect_timeout
            }),
            Directive::msec(concat!($prefix, "send_timeout"), ALL, |raw| &mut raw.send_timeout),
            Directive::msec(concat!($prefix, "read_timeout"), ALL, |raw| &mut raw.read_timeout),
            Directive::flag(concat!($prefix, "buffering"), ALL, |raw| &mut raw.buffering),
            Directive::flag(concat!($prefix, "request_buffering"), ALL, |raw| {
                &mut raw.request_buffering
            }),
            Directive::call(concat!($prefix, "buffer_size"), ALL, Args::ONE, settings::buffer_size),
            Directive::call(concat!($prefix, "buffers"), ALL, Args::TWO, settings::set_buffers),
            Directive::ignored(concat!($prefix, "busy_buffers_size"), ALL, Args::ONE, is_size, WHY),
            Directive::ignored(
                concat!($prefix, "temp_file_write_size"),
                ALL,
                Args::ONE,
                is_size,
                WHY,
            ),
            Directive::ignored(
                concat!($prefix, "send_lowat"),
                ALL,
                Args::ONE,
                is_size,
                "only FreeBSD has it",
            ),
            Directive::size(concat!($prefix, "max_temp_file_size"), ALL, |raw| {
                &mut raw.max_temp_file_size
            }),
            Directive::call(
                concat!($prefix, "temp_path"),
                ALL,
                Args::ONE_TO_FOUR,
                settings::set_temp_path,
            ),
            Directive::call(concat!($prefix, "limit_rate"), ALL, Args::ONE, |raw, cx, node| {
                let rate = Amount::read(cx, node);
                put(&mut raw.limit_rate, node, rate)
            }),
            Directive::call(
                concat!($prefix, "next_upstream"),
                ALL,
                Args::ONE_MORE,
                |raw, cx, node| settings::set_next(raw, cx, node, $next),
            ),
            Directive::number(concat!($prefix, "next_upstream_tries"), ALL, |raw| {
                &mut raw.next_tries
            }),
            Directive::msec(concat!($prefix, "next_upstream_timeout"), ALL, |raw| {
                &mut raw.next_timeout
            }),
            Directive::flag(concat!($prefix, "intercept_errors"), ALL, |raw| {
                &mut raw.intercept_errors
            }),
            Directive::flag(concat!($prefix, "ignore_client_abort"), ALL, |raw| {
                &mut raw.ignore_client_abort
            }),
            Directive::call(concat!($prefix, "bind"), ALL, Args::ONE_TWO, settings::bind),
            Directive::flag(concat!($prefix, "socket_keepalive"), ALL, |raw| {
                &mut raw.socket_keepalive
            }),
            Directive::flag(concat!($prefix, "force_ranges"), ALL, |raw| &mut raw.force_ranges),
            Directive::flag(concat!($prefix, "pass_request_headers"), ALL, |raw| {
                &mut raw.pass_request_headers
            }),
            Directive::flag(concat!($prefix, "pass_request_body"), ALL, |raw| {
                &mut raw.pass_request_body
            }),
            Directive::call(concat!($prefix, "hide_header"), ALL, Args::ONE, |raw, _, node| {
                settings::add_name(&mut raw.hide, node)
            }),
            Directive::call(concat!($prefix, "pass_header"), ALL, Args::ONE, |raw, _, node| {
                settings::add_name(&mut raw.pass, node)
            }),
            Directive::call(
                concat!($prefix, "ignore_headers"),
                ALL,
                Args::ONE_MORE,
                settings::ignore_headers,
            ),
            Directive::ignored(
                concat!($prefix, "cache"),
                ALL,
                Args::ONE,
                settings::is_no_cache,
                "answers are not cached yet",
            ),
            Directive::call(
                concat!($prefix, "cache_bypass"),
                ALL,
                Args::ONE_MORE,
                settings::leave_cache,
            ),
            Directive::call(
                concat!($prefix, "no_cache"),
                ALL,
                Args::ONE_MORE,
                settings::leave_cache,
            ),
            Directive::call(concat!($prefix, "store"), ALL, Args::ONE, settings::store),
            Directive::call(
                concat!($prefix, "store_access"),
                ALL,
                Args::ONE_TO_THREE,
                settings::store_access,
            ),
            Directive::flag(concat!($prefix, "allow_colonless_headers"), ALL, |raw| {
                &mut raw.allow_colonless_headers
            }),
            Directive::flag(concat!($prefix, "allow_control_bytes_in_headers"), ALL, |raw| {
                &mut raw.allow_control_bytes
            }),
            Directive::flag(concat!($prefix, "allow_any_status"), ALL, |raw| {
                &mut raw.allow_any_status
            }),
        ]
    }};
}

pub(crate) use upstream_settings;
