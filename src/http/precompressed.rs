//! `gzip_static`, `brotli_static`, `zstd_static`: FILE.gz, FILE.br and FILE.zst beside a
//! file, for clients that take them.
//!
//! Of several that a client takes the one it likes best is sent; then brotli before zstd
//! before gzip, which is about their sizes.

use crate::conf::{Args, Context, Directive, choice, put, settings};
use crate::http::file_cache::{File, Found};
use crate::http::request::Request;
use crate::http::{gzip, paths};
use crate::log::Level;
use crate::mem::sort::sort_by;
use crate::proto::accept_encoding;
use crate::proto::request::{Known, Method};
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub brotli: When = When::Off,
        pub zstd: When = When::Off,
        pub gzip: When = When::Off,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Off,
    /// For clients that take it.
    On,
    /// For all of them.
    Always,
}

const WHEN: [(&str, When); 3] = [("off", When::Off), ("on", When::On), ("always", When::Always)];

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("gzip_static", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.gzip, node, choice(node, 0, &WHEN))
    }),
    Directive::call("brotli_static", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.brotli, node, choice(node, 0, &WHEN))
    }),
    Directive::call("zstd_static", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.zstd, node, choice(node, 0, &WHEN))
    }),
];

impl Loc {
    pub fn is_off(&self) -> bool {
        matches!((self.brotli, self.zstd, self.gzip), (When::Off, When::Off, When::Off))
    }
}

/// One way to compress.
struct Coding {
    name: &'static [u8],
    suffix: &'static [u8],
    when: When,
    /// How much the client likes it, in thousandths; 0: not at all.
    weight: u32,
}

/// The compressed file that stands for the request's, if there is one.
pub fn find(request: &mut Request<'_>) -> Option<Rc<File>> {
    request.precompressed = b"";
    let conf = &request.location.conf.precompressed;
    let reads = matches!(request.method, Method::Get | Method::Head);
    // Of a path that cannot be made whoever asks next is told.
    if conf.is_off() || !reads || !paths::can_be(request) {
        return None;
    }
    let accepted = request.header(Known::AcceptEncoding).unwrap_or_default();
    let coding = |name: &'static [u8], suffix: &'static [u8], when| {
        let weight = accept_encoding::weight(accepted, name);
        Coding { name, suffix, when, weight }
    };
    let mut codings = [
        coding(b"br", b".br", conf.brotli),
        coding(b"zstd", b".zst", conf.zstd),
        coding(b"gzip", b".gz", conf.gzip),
    ];
    if !gzip::is_welcome(request) {
        codings[2].weight = 0;
    }
    // Stable: of those liked as much the first is the first of the list.
    sort_by(&mut codings, |a, b| b.weight.cmp(&a.weight));
    let mut chosen = None;
    for coding in codings.iter().filter(|coding| coding.when != When::Off) {
        let welcome = coding.weight > 0 || coding.when == When::Always;
        // Who does not take it is told that others get something else.
        let told = coding.when == When::On && request.location.conf.gzip.vary;
        if !told && (!welcome || chosen.is_some()) {
            continue;
        }
        let found = paths::look_up(request, coding.suffix);
        request.response.vary |= exists(request, coding.suffix, &found) && told;
        if let Found::File(file) = found
            && welcome
            && chosen.is_none()
        {
            request.precompressed = coding.name;
            chosen = Some(file);
        }
    }
    chosen
}

/// Whether parts of a file may be asked for: of what `gzip_static` sends, nginx has none.
pub fn has_ranges(request: &Request<'_>) -> bool {
    request.location.conf.core.max_ranges > 0 && request.precompressed != b"gzip"
}

/// Whether there is such a file; the log is told of one that cannot be had.
fn exists(request: &Request<'_>, suffix: &[u8], found: &Found) -> bool {
    let errno = match *found {
        Found::File(_) | Found::Directory { .. } | Found::Special => return true,
        Found::Failed(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EINVAL) => {
            return false;
        }
        Found::Failed(errno) | Found::Unreadable(errno) => errno,
    };
    let usual = matches!(errno, Errno::EACCES | Errno::ELOOP | Errno::EMLINK);
    let level = if usual { Level::Error } else { Level::Crit };
    paths::with_path(request, suffix, |path| {
        let path = Shown(path.to_bytes());
        let call = paths::call(request, "open()");
        request.log(level, Some(errno), format_args!("{call} \"{path}\" failed"));
    });
    false
}
