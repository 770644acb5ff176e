//! `gzip`: answers made smaller on their way.
//!
//! A file is compressed once for each of its versions and the result kept beside it; what
//! is too large for that, and what is made for one request, is compressed as it leaves.

use crate::conf::{Args, Context, Cx, Directive, Error, Node, Pattern, choice, put, settings};
use crate::event;
use crate::http::body_filter::{Filter, piece, room_for_piece};
use crate::http::browser;
use crate::http::core::{TypeSet, is_buffers, is_flag, is_size};
use crate::http::file_cache::{Contents, File, Variant};
use crate::http::request::Request;
use crate::http::send::Source;
use crate::http::variables::{BuiltIn, built_in};
use crate::http::worker::Worker;
use crate::proto::accept_encoding;
use crate::proto::deflate::{Coder, Flush, State};
use crate::proto::request::{Known, Version};
use crate::text::number::DECIMAL;
use crate::text::{ascii, date};
use crate::time;
use crate::vars::Subject;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub gzip: bool = false,
        pub types: Rc<TypeSet> = Rc::new(TypeSet::of(&["text/html"])),
        pub level: u64 = 1,
        pub min_length: u64 = 20,
        pub vary: bool = false,
        pub http_version: Version = Version::V11,
        pub proxied: Proxied = Proxied::default(),
        pub disable: Rc<Disable> = Rc::default(),
    }
    after(all, _parent) {
        if all.proxied.off {
            all.proxied = Proxied::default();
        }
    }
}

/// `gzip_proxied`: which answers are compressed for proxies.
#[derive(Clone, Copy, Default)]
pub struct Proxied {
    /// None, whatever else is named.
    off: bool,
    any: bool,
    auth: bool,
    expired: bool,
    no_cache: bool,
    no_store: bool,
    private: bool,
    no_last_modified: bool,
    no_etag: bool,
}

/// `gzip_disable`: browsers that are better left alone.
#[derive(Clone, Default)]
pub struct Disable {
    msie6: bool,
    patterns: Vec<Rc<Pattern>>,
}

const ALL: Context = Context::ALL;

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::flag("gzip", ALL.or(Context::LIF), |raw| &mut raw.gzip),
    Directive::call("gzip_types", ALL, Args::ONE_MORE, |raw, cx, node| {
        TypeSet::read(&mut raw.types, cx, node);
        Ok(())
    }),
    Directive::call("gzip_comp_level", ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.level, node, level(node))
    }),
    Directive::size("gzip_min_length", ALL, |raw| &mut raw.min_length),
    Directive::flag("gzip_vary", ALL, |raw| &mut raw.vary),
    Directive::call("gzip_http_version", ALL, Args::ONE, |raw, _, node| {
        let versions = [("1.0", Version::V10), ("1.1", Version::V11)];
        put(&mut raw.http_version, node, choice(node, 0, &versions))
    }),
    Directive::call("gzip_proxied", ALL, Args::ONE_MORE, |raw, cx, node| {
        proxied(raw.proxied.get_or_insert_default(), cx, node)
    }),
    Directive::call("gzip_disable", ALL, Args::ONE_MORE, |raw, cx, node| {
        let disable = Rc::make_mut(raw.disable.get_or_insert_default());
        for word in node.args() {
            match word.bytes() {
                b"msie6" => disable.msie6 = true,
                b"degradation" => {}
                _ => disable.patterns.push(cx.pattern(word, true)?),
            }
        }
        Ok(())
    }),
    Directive::ignored("gzip_buffers", ALL, Args::TWO, is_buffers, OWN_MEMORY),
    Directive::ignored("gzip_window", ALL, Args::ONE, is_size, OWN_MEMORY),
    Directive::ignored("gzip_hash", ALL, Args::ONE, is_size, OWN_MEMORY),
    Directive::ignored("postpone_gzipping", ALL, Args::ONE, is_size, OWN_MEMORY),
    Directive::ignored("gzip_no_buffer", ALL, Args::ONE, is_flag, OWN_MEMORY),
];

const OWN_MEMORY: &str = "limpet's coder has its own fixed memory";

fn level(node: Node) -> std::result::Result<u64, Error> {
    match crate::conf::number(node, 0)? {
        0 => Err(Error::at(node.arg(0), "value must be equal to or greater than 1")),
        level @ 1..=9 => Ok(level),
        _ => Err(Error::at(node.arg(0), "value must be equal to or less than 9")),
    }
}

/// Several lines add up.
fn proxied(flags: &mut Proxied, cx: &mut Cx, node: Node) -> std::result::Result<(), Error> {
    for word in node.args() {
        let flag = match word.bytes() {
            b"off" => &mut flags.off,
            b"expired" => &mut flags.expired,
            b"no-cache" => &mut flags.no_cache,
            b"no-store" => &mut flags.no_store,
            b"private" => &mut flags.private,
            b"no_last_modified" => &mut flags.no_last_modified,
            b"no_etag" => &mut flags.no_etag,
            b"auth" => &mut flags.auth,
            b"any" => &mut flags.any,
            _ => return Err(Error::invalid_value(word)),
        };
        if std::mem::replace(flag, true) {
            cx.warn(word, format!("duplicate value \"{word}\""));
        }
    }
    Ok(())
}

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is not for this filter.
    Plain,
    /// It would be compressed for another client.
    Varies,
    Compressed,
}

/// Whether an answer of this type and length is to be compressed. `None`: its length is not
/// known.
fn choose(request: &Request<'_>, content_type: &[u8], length: Option<u64>, status: u16) -> Choice {
    let conf = &request.location.conf.gzip;
    if !conf.gzip
        || !matches!(status, 200 | 403 | 404)
        || length.is_some_and(|length| length < conf.min_length)
        || !conf.types.has(content_type)
    {
        return Choice::Plain;
    }
    if is_welcome(request) { Choice::Compressed } else { Choice::Varies }
}

/// The same for a file, before filters have had their say: what they say decides for
/// proxies.
pub fn of_file(request: &Request<'_>, file: &File) -> Choice {
    let conf = &request.location.conf.gzip;
    match conf.gzip && request.precompressed.is_empty() {
        false => Choice::Plain,
        true if request.header(Known::Via).is_some() && !conf.proxied.any => Choice::Varies,
        true => {
            let status = request.status_of(200);
            choose(request, request.content_type(), Some(file.stat.size), status)
        }
    }
}

/// Whether the client takes it (ngx_http_gzip_ok).
pub fn is_welcome(request: &Request<'_>) -> bool {
    let conf = &request.location.conf.gzip;
    let Some(accepted) = request.header(Known::AcceptEncoding) else { return false };
    let agent = request.header(Known::UserAgent).unwrap_or_default();
    accept_encoding::accepts(accepted, b"gzip")
        && request.head.version >= conf.http_version
        && !(conf.disable.msie6 && browser::is_msie6(agent))
        && (request.header(Known::Via).is_none() || conf.proxied.allows(request))
        && (agent.is_empty()
            || !conf.disable.patterns.iter().any(|pattern| request.is_like(pattern, agent)))
}

impl Proxied {
    /// Whether an answer is compressed for a proxy: what it says of being kept decides.
    fn allows(self, request: &Request<'_>) -> bool {
        if self.any || self.auth && request.header(Known::Authorization).is_some() {
            return true;
        }
        let lines = &request.response;
        if let Some(expires) = lines.find(b"expires") {
            let past = |time| time < time::unix_secs();
            return self.expired && date::parse_http(expires).is_some_and(past);
        }
        if let Some(control) = lines.find(b"cache-control") {
            let says = |what: &[u8]| {
                ascii::list(control).any(|option| ascii::eq_ignore_case(option, what))
            };
            return self.no_cache && says(b"no-cache")
                || self.no_store && says(b"no-store")
                || self.private && says(b"private");
        }
        let others = self.expired || self.no_cache || self.no_store || self.private;
        let has_etag = !request.response.etag.is_empty();
        (others || self.auth || self.no_last_modified || self.no_etag)
            && !(self.no_last_modified && lines.find(b"last-modified").is_some())
            && !(self.no_etag && has_etag)
    }
}

/// The header filter: the answer is compressed as it leaves, if it is not already.
pub fn filter(request: &mut Request<'_>) -> Option<()> {
    let conf = &request.location.conf.gzip;
    let response = &request.response;
    if !conf.gzip || !response.content_encoding.is_empty() || response.is_coded {
        return Some(());
    }
    if response.compressed {
        request.response.vary = conf.vary;
        return mark(request);
    }
    let status = if response.status == 206 { 200 } else { response.status };
    let whole = response.content_range.map(|(_, whole)| *whole).or(response.length);
    let choice = choose(request, response.media_type(), whole, status);
    request.response.vary |= choice != Choice::Plain && conf.vary;
    // Parts are parts of the plain bytes.
    if choice != Choice::Compressed || request.response.status == 206 {
        return Some(());
    }
    if !request.head_only() {
        // Without a coder at hand it goes as it is.
        let Some(mut coder) = Lent::take(request.worker) else { return Some(()) };
        coder.reset(conf.level as u8, request.response.length);
        request.filters.coding = Some(Filter::Gzip(coder));
    }
    request.response.length = None;
    mark(request)
}

/// The head of an answer that is compressed.
fn mark(request: &mut Request<'_>) -> Option<()> {
    request.response.content_encoding = b"gzip";
    request.response.accept_ranges = false;
    request.response.early.remove(b"accept-ranges");
    if let Some(line) = request.response.early.line(b"etag")
        && line.value.get().starts_with(b"\"")
    {
        line.value.set(request.scratch().concat(&[b"W/", line.value.get()])?);
    }
    request.response.etag = match request.response.etag {
        etag @ ([] | [b'W', b'/', ..]) => etag,
        // Byte for byte it is another one.
        strong => request.scratch().concat(&[b"W/", strong])?,
    };
    Some(())
}

pub static VARIABLES: &[BuiltIn] = &[built_in("gzip_ratio", |request| {
    let ratio = request.response.ratio;
    if ratio == 0 || request.head_only() {
        return None;
    }
    request.made(DECIMAL, |out| {
        out.put_u64(u64::from(ratio / 100));
        out.put(b".");
        out.put_padded(u64::from(ratio % 100), 2);
    })
})];

/// Hundredths, rounded.
pub fn ratio(plain: u64, packed: u64) -> u32 {
    let thousandths = (plain * 1000).checked_div(packed).unwrap_or(0);
    u32::try_from((thousandths + 5) / 10).unwrap_or(0)
}

/// Larger files are compressed each time.
const KEPT_MOST: u64 = 1 << 20;

/// The compressed bytes of a file, made now if they have not been; `None` where they are
/// not kept.
///
/// Cancellation: what was done of it is lost.
pub async fn variant(request: &Request<'_>, file: &File) -> Option<Rc<Variant>> {
    let (worker, level) = (request.worker, request.location.conf.gzip.level as u8);
    if let Some(variant) = file.variant.borrow().as_ref().filter(|it| it.level == level) {
        return Some(Rc::clone(variant));
    }
    if file.stat.size > KEPT_MOST {
        return None;
    }
    let mut coder = Lent::take(worker)?;
    coder.reset(level, Some(file.stat.size));
    let mut bytes = Vec::with_capacity(file.stat.size as usize / 3 + 1024);
    let mut room = match file.contents {
        Contents::Bytes(_) => Vec::new(),
        Contents::Descriptor(_) => room_for_piece(),
    };
    let whole = Source::of_file(file);
    let mut at = 0;
    loop {
        let piece = piece(&whole, at, &mut room).ok()?;
        at += piece.len() as u64;
        let last = at == whole.len();
        compress(&mut coder, piece, if last { Flush::Finish } else { Flush::No }, &mut bytes);
        if last {
            break;
        }
        event::yield_now().await;
    }
    let variant = Rc::new(Variant::new(level, bytes.into(), worker.files.charge())?);
    file.variant.replace(Some(Rc::clone(&variant)));
    Some(variant)
}

/// Bytes that are made at once.
const PIECE: usize = 16 * 1024;

fn compress(coder: &mut Coder, input: &[u8], flush: Flush, bytes: &mut Vec<u8>) {
    let mut taken = 0;
    loop {
        let len = bytes.len();
        bytes.resize(len + PIECE, 0);
        let step = coder.step(&input[taken..], &mut bytes[len..], flush);
        taken += step.taken;
        bytes.truncate(len + step.written);
        if step.state != State::Full {
            return;
        }
    }
}

/// A coder of the worker's, given back when it is dropped.
pub struct Lent {
    coder: Option<Box<Coder>>,
    worker: &'static Worker,
}

/// Answers being compressed at once; each takes about 256 KiB, which stays.
const CODERS_MOST: u32 = 64;

impl Lent {
    fn take(worker: &'static Worker) -> Option<Lent> {
        let idle = worker.coders.borrow_mut().pop();
        let coder = match idle {
            Some(coder) => coder,
            None if worker.coders_made.get() < CODERS_MOST => {
                worker.coders_made.set(worker.coders_made.get() + 1);
                Box::new(Coder::new())
            }
            None => return None,
        };
        Some(Lent { coder: Some(coder), worker })
    }
}

impl Deref for Lent {
    type Target = Coder;
    fn deref(&self) -> &Coder {
        self.coder.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Coder {
        self.coder.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.worker.coders.borrow_mut().extend(self.coder.take());
    }
}
