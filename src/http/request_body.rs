//! Request bodies that somebody wants: read as a whole, into memory or into a file.
//!
//! What came with the head is in the connection's input and stays there until the request
//! has ended; the rest is read here. What is read beyond the end of a chunked body belongs
//! to the next request and is handed back.

mod file;

pub use file::TempFile;

use super::input::Input;
use super::request::Request;
use super::trailers::{Section, decode, decoder};
use super::variables::{BuiltIn, built_in};
use crate::conf::{Args, Context, Directive, choice, put, settings, size};
use crate::event;
use crate::http::core::{is_flag, temp_path};
use crate::log::Level;
use crate::mem::buffers::Buf;
use crate::proto::chunked;
use crate::proto::framing::Framing;
use crate::sys::errno::{Errno, Result};
use crate::vars::Subject;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// Beyond it a body goes into a file.
        pub buffer_size: u64 = BUFFER,
        pub in_file: InFile = InFile::Off,
        pub temp_path: Option<Rc<TempPath>> = None,
    }
}

/// `client_body_in_file_only`: every body goes into a file that has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InFile {
    Off,
    /// It stays when the request has ended.
    On,
    /// It goes with the request.
    Clean,
}

/// `client_body_temp_path PATH [LEVEL...]`
pub struct TempPath {
    pub path: Box<[u8]>,
    /// Digits of the names of folders inside each other.
    pub levels: Vec<usize>,
}

const ALL: Context = Context::ALL;

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("client_body_buffer_size", ALL, Args::ONE, |raw, cx, node| {
        let size = size(node, 0);
        put(&mut raw.buffer_size, node, size)?;
        cx.largest_body = cx.largest_body.max(raw.buffer_size.unwrap_or_default());
        Ok(())
    }),
    Directive::call("client_body_in_file_only", ALL, Args::ONE, |raw, _, node| {
        let kinds = [("off", InFile::Off), ("on", InFile::On), ("clean", InFile::Clean)];
        put(&mut raw.in_file, node, choice(node, 0, &kinds))
    }),
    Directive::call("client_body_temp_path", ALL, Args::ONE_TO_FOUR, |raw, cx, node| {
        temp_path(node)?;
        let digit = |byte: &u8| usize::from(byte.saturating_sub(b'0'));
        let levels = node.args().skip(1).filter_map(|word| word.first().map(digit)).collect();
        let folder = cx.path(&node.arg(0));
        let path = folder.as_os_str().as_bytes().into();
        cx.folders.push(folder);
        put(&mut raw.temp_path, node, Ok(Some(Rc::new(TempPath { path, levels }))))
    }),
    Directive::ignored(
        "client_body_in_single_buffer",
        ALL,
        Args::ONE,
        is_flag,
        "a body in memory always is in one buffer",
    ),
];

pub static VARIABLES: &[BuiltIn] = &[
    built_in("request_body", |request| request.body.get()?.bytes()),
    built_in("request_body_file", |request| {
        let file = request.body.get()?.file.as_ref()?;
        Some(file.name.as_ref()?.to_bytes())
    }),
];

/// A body that was read to its end.
pub struct Received {
    buffer: Buf,
    /// Bytes of it in `buffer`; none if there is a file.
    len: usize,
    pub file: Option<TempFile>,
    pub size: u64,
    /// The same with the framing of chunks.
    pub raw: u64,
    /// Bytes of the connection's input that belong to it.
    taken: u32,
    /// What of `buffer` belongs to the next request.
    beyond: Range<usize>,
    /// The rest of it was not read.
    pub is_cut: bool,
}

/// A body in memory, where nothing is said.
pub const BUFFER: u64 = 16 * 1024;
/// No body buffer is larger, whatever the configuration says: then files begin earlier.
pub const BUFFER_MOST: usize = 1 << 20;
/// A chunk's framing must fit, and what may be handed back into an input buffer.
const BUFFER_LEAST: usize = 4096;
/// So many bytes are moved into the file by the kernel alone.
const PIPED: usize = 64 * 1024;
/// Bytes read at once where the end of the body is not known.
const AT_ONCE: usize = 4096;

/// Whether there is a body that nobody has read.
pub fn is_to_come(request: &Request<'_>) -> bool {
    request.head.framing != Framing::None && request.body.get().is_none() && !request.is_inner
}

/// What the client has sent behind a request and its body, as far as it is here.
pub fn behind<'r>(request: &Request<'r>) -> &'r [u8] {
    let ahead = request.bytes.get(request.head.len as usize..).unwrap_or_default();
    match request.body.get() {
        None => ahead,
        Some(body) if body.beyond.is_empty() => {
            ahead.get(body.taken as usize..).unwrap_or_default()
        }
        Some(body) => body.buffer.get(body.beyond.clone()).unwrap_or_default(),
    }
}

impl Received {
    /// One that nobody has kept: `(size, raw)` are its lengths; the rest as above.
    pub fn passed_on(
        buffer: Buf,
        (size, raw): (u64, u64),
        taken: usize,
        beyond: Range<usize>,
    ) -> Received {
        // No input has room for more.
        let taken = taken as u32;
        Received { buffer, len: 0, file: None, size, raw, taken, beyond, is_cut: false }
    }

    /// The body, if it is in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self.file {
            None => self.buffer.get(..self.len).filter(|bytes| !bytes.is_empty()),
            Some(_) => None,
        }
    }

    /// Takes what belongs to it out of the connection's input, and puts back what does not.
    pub fn settle(&self, input: &mut Input) {
        input.consume(self.taken as usize);
        let beyond = self.buffer.get(self.beyond.clone()).unwrap_or_default();
        if let Some(room) = input.room().get_mut(..beyond.len()) {
            room.copy_from_slice(beyond);
            input.filled(beyond.len());
        }
    }
}

/// Where what stands behind the last chunk is kept, if it is passed on: as much as a line of a
/// head may be long.
pub fn expected<'r>(request: &Request<'r>) -> Option<Section<'r>> {
    let most = request.server.conf.core.large_client_header_buffers.1;
    let is_passed = request.location.conf.proxy.pass_trailers;
    is_passed.then(|| Section::new(request.scratch(), most))
}

/// A body while it is read.
struct Reader<'a, 'r> {
    request: &'a Request<'r>,
    body: Received,
    /// Bytes that `buffer` may hold.
    most: usize,
}

/// Reads the body of a request into `Request::body`. The error is the status to answer with.
///
/// Cancellation: the connection is of no use, its framing is lost.
pub async fn read(request: &mut Request<'_>) -> std::result::Result<(), u16> {
    let buffer = request.worker.body_buffer().ok_or(500_u16)?;
    let wanted = usize::try_from(request.location.conf.request_body.buffer_size);
    let most = wanted.unwrap_or(BUFFER_MOST).clamp(BUFFER_LEAST, buffer.len());
    let body = Received::passed_on(buffer, (0, 0), 0, 0..0);
    let mut reader = Reader { request, body, most };
    match request.head.framing {
        Framing::None => return Ok(()),
        Framing::Length(length) => reader.sized(length).await?,
        Framing::Chunked => reader.chunked().await?,
    }
    let wants_file = request.location.conf.request_body.in_file != InFile::Off;
    if reader.body.file.is_some() || wants_file {
        reader.spill()?;
    }
    // It is read once.
    let _ = request.body.set(reader.body);
    Ok(())
}

impl<'r> Reader<'_, 'r> {
    /// What came behind the head.
    fn ahead(&self) -> &'r [u8] {
        let start = self.request.head.len as usize + self.body.taken as usize;
        self.request.bytes.get(start..).unwrap_or_default()
    }

    async fn sized(&mut self, length: u64) -> std::result::Result<(), u16> {
        while self.body.size < length {
            let left = usize::try_from(length - self.body.size).unwrap_or(usize::MAX);
            let is_full = self.body.len == self.most || self.body.file.is_some();
            if is_full && left >= PIPED && self.ahead().is_empty() {
                self.spill()?;
                self.piped(length).await?;
                continue;
            }
            let count = self.more(left).await?;
            self.body.len += count;
            self.body.size += count as u64;
        }
        Ok(())
    }

    /// Moves the rest into the file, without looking at it.
    async fn piped(&mut self, length: u64) -> std::result::Result<(), u16> {
        let request = self.request;
        let mut pipe = request.worker.pipes.take().ok_or(500_u16)?;
        while self.body.size < length {
            let left = usize::try_from(length - self.body.size).unwrap_or(usize::MAX);
            let count = match pipe.fill(&request.conn.io, left) {
                Ok(0) => {
                    request.log_info(None, format_args!("client prematurely closed connection"));
                    return Err(400);
                }
                Ok(count) => count as u64,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => {
                    let deadline = event::after(request.location.conf.core.client_body_timeout);
                    let readable = request.conn.io.readable(deadline).await;
                    readable.map_err(|errno| failed(request, errno))?;
                    continue;
                }
                Err(errno) => return Err(failed(request, errno)),
            };
            if let Some(file) = &self.body.file
                && let Err(errno) = pipe.empty_into(&file.fd)
            {
                request.log(Level::Crit, Some(errno), format_args!("splice() of a body failed"));
                return Err(500);
            }
            self.body.size += count;
            self.body.raw += count;
        }
        request.worker.pipes.give_back(pipe);
        Ok(())
    }

    async fn chunked(&mut self) -> std::result::Result<(), u16> {
        let section = expected(self.request);
        let mut decoder = decoder(section.as_ref());
        let most = self.request.location.conf.core.client_max_body_size;
        loop {
            let before = self.body.taken;
            let count = self.more(AT_ONCE).await?;
            let start = self.body.len;
            let raw = self.body.buffer.get_mut(start..start + count).ok_or(500_u16)?;
            let decoded = decode(&mut decoder, raw, section.as_ref());
            let (kept, used) = decoded.map_err(|chunked::Bad| 400_u16)?;
            self.body.len += kept;
            self.body.size += kept as u64;
            if most > 0 && self.body.size > most {
                let size = self.body.size;
                let text =
                    format_args!("client intended to send too large chunked body: {size} bytes");
                self.request.log(Level::Error, None, text);
                return Err(413);
            }
            if decoder.is_at_end() {
                self.request.trailers.set(section.map_or(b"", |section| section.bytes()));
                self.body.raw -= (count - used) as u64;
                match self.body.taken - before {
                    0 => self.body.beyond = start + used..start + count,
                    _ => self.body.taken = before + used as u32,
                }
                return Ok(());
            }
        }
    }

    /// Puts up to `most` more bytes behind those that are there.
    async fn more(&mut self, most: usize) -> std::result::Result<usize, u16> {
        if self.body.len == self.most {
            self.spill()?;
        }
        let ahead = self.ahead();
        let begun = self.body.size > 0 || !ahead.is_empty();
        let body = &mut self.body;
        let room = body.buffer.get_mut(body.len..self.most).ok_or(500_u16)?;
        let most = most.min(room.len());
        let room = &mut room[..most];
        if !ahead.is_empty() {
            let count = ahead.len().min(most);
            room[..count].copy_from_slice(&ahead[..count]);
            body.taken += count as u32;
            body.raw += count as u64;
            return Ok(count);
        }
        let request = self.request;
        if request.head.expects_continue && !begun {
            go_on(request).await.map_err(|errno| failed(request, errno))?;
        }
        let deadline = event::after(request.location.conf.core.client_body_timeout);
        match request.conn.io.read(room, deadline).await {
            Ok(0) => {
                request.log_info(None, format_args!("client prematurely closed connection"));
                Err(400)
            }
            Ok(count) => {
                body.raw += count as u64;
                Ok(count)
            }
            Err(errno) => Err(failed(request, errno)),
        }
    }

    /// Moves what is in the buffer into the file.
    fn spill(&mut self) -> std::result::Result<(), u16> {
        let body = &mut self.body;
        if body.file.is_none() {
            body.file = Some(TempFile::create(self.request).ok_or(500_u16)?);
        }
        let bytes = body.buffer.get(..body.len).unwrap_or_default();
        if let Some(file) = &body.file
            && let Err(errno) = file.append(bytes)
        {
            self.request.log(Level::Crit, Some(errno), format_args!("write() of a body failed"));
            return Err(500);
        }
        body.len = 0;
        Ok(())
    }
}

/// RFC 9110 10.1.1: the client waits to be asked for its body.
pub async fn go_on(request: &Request<'_>) -> Result<()> {
    let (io, timeout) = (&request.conn.io, request.location.conf.core.send_timeout);
    let mut rest: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    while !rest.is_empty() {
        match io.try_send(rest, 0) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::EAGAIN) => io.writable(event::after(timeout)).await?,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn failed(request: &Request<'_>, errno: Errno) -> u16 {
    match errno {
        Errno::ETIMEDOUT => {
            request.log_info(Some(errno), format_args!("client timed out"));
            408
        }
        _ => {
            request.log_info(Some(errno), format_args!("recv() failed"));
            400
        }
    }
}
