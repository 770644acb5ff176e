//! The PROXY protocol in front of requests: `listen ... proxy_protocol`.
//!
//! What a balancer says is read before the first request and kept as long as the
//! connection lives, in a record of its socket's slot: connections of other listeners know
//! nothing of it. A record is whose number it bears, so nobody has to clear it. TLVs are
//! kept only if the configuration asks for one.

use super::conf::{Http, Site};
use super::connection::Conn;
use super::handover;
use super::input::Input;
use super::log::Doing;
use super::request::Request;
use super::variables::{BuiltIn, built_in, connection};
use super::worker::Worker;
use crate::event;
use crate::log::Level;
use crate::mem::arena::reserve;
use crate::proto::proxy_protocol::{self, Header, Outcome, V1_MAX, V2_MAX};
use crate::sys::addr::Peer;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use crate::text::number;
use crate::vars::{Subject, Value};
use std::cell::RefCell;
use std::net::SocketAddr;

/// Room for the addresses of either version.
const SHORT: usize = V1_MAX.next_multiple_of(64);

/// What a connection does until its header is there, for the log.
pub const READING: &str = " while reading PROXY protocol";

/// The headers of a worker's connections.
#[derive(Default)]
pub struct Headers {
    table: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    /// For each slot the connection whose header it is, by number.
    owners: &'static mut [u64],
    /// For each slot so many bytes; 0: no listener wants any.
    size: usize,
    bytes: &'static mut [u8],
}

impl Headers {
    /// Makes room for what the configuration needs, once and for good; what connections of
    /// an older configuration have said is forgotten. `None`: there is none.
    pub fn fit(&self, http: &Http, slots: usize) -> Option<()> {
        let size = size_for(http);
        if size > self.table.borrow().size {
            let bytes = reserve(slots.checked_mul(size)?)?;
            self.table.replace(Table { owners: reserve(slots)?, size, bytes });
        }
        Some(())
    }

    pub fn has(&self, conn: &Conn) -> bool {
        self.table.borrow().owners.get(conn.io.place()) == Some(&conn.number)
    }

    /// The connection's header as it came, for another worker; empty without.
    pub fn bytes<T>(&self, conn: &Conn, look: impl FnOnce(&[u8]) -> T) -> T {
        let table = self.table.borrow();
        let owned = table.size > 0 && table.owners.get(conn.io.place()) == Some(&conn.number);
        let kept = owned.then(|| table.bytes.chunks_exact(table.size).nth(conn.io.place()));
        let kept = kept.flatten().unwrap_or_default();
        look(match proxy_protocol::parse(kept) {
            Outcome::Done(header) => kept.get(..header.len).unwrap_or_default(),
            _ => b"",
        })
    }

    pub fn keep(&self, conn: &Conn, header: &[u8]) -> Option<()> {
        let table = &mut *self.table.borrow_mut();
        let place = conn.io.place();
        let room = table.bytes.chunks_exact_mut(table.size.max(1)).nth(place)?;
        proxy_protocol::copy(header, room);
        *table.owners.get_mut(place)? = conn.number;
        Some(())
    }

    /// What `look` makes of the connection's header, if there are addresses in it.
    fn look<T>(
        &self,
        conn: &Conn,
        look: impl FnOnce(&[u8], (SocketAddr, SocketAddr)) -> Option<T>,
    ) -> Option<T> {
        let table = self.table.borrow();
        if table.size == 0 || table.owners.get(conn.io.place()) != Some(&conn.number) {
            return None;
        }
        let header = table.bytes.chunks_exact(table.size).nth(conn.io.place())?;
        match proxy_protocol::parse(header) {
            Outcome::Done(Header { len, addresses: Some(addresses) }) => {
                look(header.get(..len)?, addresses)
            }
            _ => None,
        }
    }
}

/// Bytes that are kept of each header.
pub fn size_for(http: &Http) -> usize {
    let wanted = http.listening.iter().flat_map(|it| &it.sites).any(|site| site.proxy_protocol);
    match wanted {
        false => 0,
        true if http.variables.has_prefix(TLV_PREFIX) => V2_MAX,
        true => SHORT,
    }
}

/// Reads the header of a connection; what comes behind it stays in `input`. `None`: there
/// is none, and the connection is to be closed.
///
/// Cancellation: closes the connection.
pub async fn read(
    worker: &'static Worker,
    conn: &Conn,
    site: &Site,
    input: &mut Input,
) -> Option<()> {
    let timeout = site.default_server.conf.core.client_header_timeout;
    let deadline = event::after(timeout.saturating_sub(conn.age()));
    loop {
        match proxy_protocol::parse(input.bytes()) {
            Outcome::Done(Header { len, .. }) => {
                worker.headers.keep(conn, input.bytes().get(..len)?)?;
                input.consume(len);
                return Some(());
            }
            Outcome::Bad => {
                tell_broken(conn, site, input.bytes());
                return None;
            }
            Outcome::Partial => {}
        }
        let dismissable = handover::may_leave(conn, input);
        match conn.io.read_until_drain(input.room(), deadline, dismissable).await {
            Ok(0) => return tell_end(conn, site, None),
            Ok(count) => input.filled(count),
            Err(Errno::ECANCELED) => {
                if handover::pass(worker, conn, input.bytes(), deadline).await != Some(false) {
                    return None;
                }
            }
            Err(errno) => return tell_end(conn, site, Some(errno)),
        }
    }
}

fn tell_end(conn: &Conn, site: &Site, errno: Option<Errno>) -> Option<()> {
    conn.ended_unasked(site, READING, errno);
    None
}

fn tell_broken(conn: &Conn, site: &Site, bytes: &[u8]) {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    // Of version 2 there is no line.
    let line = if line.is_empty() { bytes } else { line };
    let line = Shown(line.get(..V1_MAX).unwrap_or(line));
    let text = format_args!("broken header: \"{line}\"");
    let doing = Doing { action: READING, client: conn.peer.ip, server: &site.addr };
    conn.log(&site.default_server, Level::Error, None, text, Some(&doing));
}

/// Whom the balancer speaks for.
pub fn client(request: &Request<'_>) -> Option<Peer> {
    request.worker.headers.look(request.conn, |_, (source, _)| {
        Some(Peer { ip: source.ip().into(), port: source.port() })
    })
}

pub static VARIABLES: &[BuiltIn] = &[
    built_in("proxy_protocol_addr", |request| ip(request, |(source, _)| source)),
    built_in("proxy_protocol_port", |request| port(request, |(source, _)| source)),
    built_in("proxy_protocol_server_addr", |request| ip(request, |(_, server)| server)),
    built_in("proxy_protocol_server_port", |request| port(request, |(_, server)| server)),
];

type Which = fn((SocketAddr, SocketAddr)) -> SocketAddr;

fn ip<'r>(request: &Request<'r>, which: Which) -> Value<'r> {
    let found = request.worker.headers.look(request.conn, |_, both| Some(which(both).ip()))?;
    connection::shown(request, found)
}

fn port<'r>(request: &Request<'r>, which: Which) -> Value<'r> {
    let found = request.worker.headers.look(request.conn, |_, both| Some(which(both).port()))?;
    connection::port(request, found)
}

pub const TLV_PREFIX: &str = "proxy_protocol_tlv_";

/// `$proxy_protocol_tlv_NAME`, also `..._0xTYPE`; `ssl_...` are inside the one called `ssl`.
pub fn tlv<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    let inner = name.strip_prefix(b"ssl_");
    request.worker.headers.look(request.conn, |header, _| {
        let tlvs = proxy_protocol::tlvs(header);
        let value = match inner {
            None => proxy_protocol::tlv(tlvs, kind(name)?)?,
            Some(inner) => {
                // What the client has done, and how its certificate was found.
                let ssl = proxy_protocol::tlv(tlvs, 0x20)?;
                let (&[_, verify @ ..], tlvs) = ssl.split_first_chunk::<5>()?;
                if inner == b"verify" {
                    return connection::number(request, u32::from_be_bytes(verify).into());
                }
                proxy_protocol::tlv(tlvs, ssl_kind(inner)?)?
            }
        };
        request.made(value.len(), |out| out.put(value))
    })
}

fn kind(name: &[u8]) -> Option<u8> {
    match name {
        b"alpn" => Some(0x01),
        b"authority" => Some(0x02),
        b"unique_id" => Some(0x05),
        b"ssl" => Some(0x20),
        b"netns" => Some(0x30),
        _ => u8::try_from(number::parse_hex(name.strip_prefix(b"0x")?)?).ok(),
    }
}

fn ssl_kind(name: &[u8]) -> Option<u8> {
    match name {
        b"version" => Some(0x21),
        b"cn" => Some(0x22),
        b"cipher" => Some(0x23),
        b"sig_alg" => Some(0x24),
        b"key_alg" => Some(0x25),
        _ => u8::try_from(number::parse_hex(name.strip_prefix(b"0x")?)?).ok(),
    }
}
