//! One `listen` line.

use crate::conf::{Cx, Error, Node, Pos, Word, parse_number, parse_size, parse_time};
use crate::net::listen::ListenOptions;
use crate::sys::addr::{Addr, BadAddr, UnixName};
use crate::sys::user;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};

/// What a line says of one of its addresses.
pub struct ListenLine {
    pub addr: Addr,
    pub pos: Pos,
    pub options: ListenOptions,
    /// It says something of the socket, so no other line of the address may.
    pub set: bool,
    pub default_server: bool,
    /// A header of the PROXY protocol comes first.
    pub proxy_protocol: bool,
    /// `ssl`, which somebody in front does.
    pub ssl: bool,
}

impl ListenLine {
    /// For a server that has none: port 80, or 8000 for those who may not have it.
    pub fn fallback(pos: Pos) -> ListenLine {
        let port = if user::geteuid() == 0 { 80 } else { 8000 };
        let addr = Addr::V4(SocketAddrV4::new([0, 0, 0, 0].into(), port));
        let options = ListenOptions::default();
        ListenLine {
            addr,
            pos,
            options,
            set: false,
            default_server: false,
            proxy_protocol: false,
            ssl: false,
        }
    }
}

/// `listen ADDRESS [PARAMETER]...;`: one entry for each address it means.
pub fn line(cx: &mut Cx, node: Node) -> Result<Vec<ListenLine>, Error> {
    let addrs = addresses(node.arg(0))?;
    let mut parameters = Parameters::default();
    for word in node.args().skip(1) {
        parameters.read(cx, word)?;
    }
    let pos = node.arg(0).pos();
    let Parameters { options, set, default_server, proxy_protocol, ssl } = parameters;
    Ok(addrs
        .into_iter()
        .map(|addr| ListenLine {
            addr,
            pos,
            options: options.clone(),
            set,
            default_server,
            proxy_protocol,
            ssl,
        })
        .collect())
}

#[derive(Default)]
struct Parameters {
    options: ListenOptions,
    set: bool,
    default_server: bool,
    proxy_protocol: bool,
    ssl: bool,
}

impl Parameters {
    fn read(&mut self, cx: &mut Cx, word: Word) -> Result<(), Error> {
        let equals = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
        let (name, value) = word.bytes().split_at(equals);
        let invalid = |what: &str| Error::at(word, format!("invalid {what} \"{word}\""));
        let count = || parse_number(value).and_then(|n| i32::try_from(n).ok());
        let size = || parse_size(value).and_then(|n| i32::try_from(n).ok());
        let options = &mut self.options;
        match name {
            b"default_server" | b"default" => {
                self.default_server = true;
                return Ok(());
            }
            b"ssl" | b"http2" if cx.is_of_terminator_here(name) => {
                self.ssl |= name == b"ssl";
                return Ok(());
            }
            b"proxy_protocol" => {
                self.proxy_protocol = true;
                return Ok(());
            }
            b"bind" => (),
            b"backlog=" => {
                let backlog = count().filter(|n| *n > 0);
                options.backlog = backlog.ok_or_else(|| invalid("backlog"))?;
            }
            b"rcvbuf=" => options.rcvbuf = Some(size().ok_or_else(|| invalid("rcvbuf"))?),
            b"sndbuf=" => options.sndbuf = Some(size().ok_or_else(|| invalid("sndbuf"))?),
            b"fastopen=" => options.fastopen = Some(count().ok_or_else(|| invalid("fastopen"))?),
            b"deferred" => options.deferred = true,
            b"reuseport" => options.reuseport = true,
            b"ipv6only=" => {
                options.ipv6only = on_off(value).ok_or_else(|| Error::invalid_parameter(word))?;
            }
            b"so_keepalive=" => so_keepalive(options, value).ok_or_else(|| {
                Error::at(word, format!("invalid so_keepalive value: \"{}\"", word.part(13)))
            })?,
            b"accept_filter=" => {
                let text = "are not supported on this platform, ignored";
                cx.warn(word, format!("accept filters \"{word}\" {text}"));
                return Ok(());
            }
            _ => return Err(unsupported(word)),
        }
        self.set = true;
        self.options.bind = true;
        Ok(())
    }
}

fn on_off(value: &[u8]) -> Option<bool> {
    match value {
        b"on" => Some(true),
        b"off" => Some(false),
        _ => None,
    }
}

/// `on`, `off`, or `IDLE:INTERVAL:COUNT`, each of which may be missing.
fn so_keepalive(options: &mut ListenOptions, value: &[u8]) -> Option<()> {
    if let Some(on) = on_off(value) {
        options.so_keepalive = Some(on);
        return Some(());
    }
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let mut next = |parse: fn(&[u8]) -> Option<u64>| match parts.next() {
        None | Some(b"") => Some(0),
        Some(text) => parse(text).and_then(|n| i32::try_from(n).ok()),
    };
    options.tcp_keepidle = next(|text| parse_time(text, false))?;
    options.tcp_keepintvl = next(|text| parse_time(text, false))?;
    options.tcp_keepcnt = next(parse_number)?;
    options.so_keepalive = Some(true);
    let any = options.tcp_keepidle != 0 || options.tcp_keepintvl != 0 || options.tcp_keepcnt != 0;
    any.then_some(())
}

fn unsupported(word: Word) -> Error {
    let why = match word.bytes() {
        b"ssl" => "TLS is left to the layer in front (load balancer, ingress, stunnel, hitch)",
        b"http2" | b"quic" => "it speaks HTTP/1.1, a terminator in front can speak the others",
        _ => return Error::invalid_parameter(word),
    };
    Error::at(word, format!("the \"{word}\" parameter is not supported by limpet: {why}"))
}

/// The addresses that the first word means: several for a range of ports, or for a
/// name that has several.
fn addresses(word: Word) -> Result<Vec<Addr>, Error> {
    let refused = |why: &dyn std::fmt::Display| {
        Error::at(word, format!("{why} in \"{word}\" of the \"listen\" directive"))
    };
    if let Some(path) = word.strip_prefix(b"unix:") {
        let name = UnixName::parse(path).map_err(|bad| refused(&bad))?;
        return Ok(vec![Addr::Unix(name)]);
    }
    let text = std::str::from_utf8(word.bytes()).map_err(|_| refused(&BadAddr::Host))?;
    if text.contains('/') {
        return Err(refused(&BadAddr::Host));
    }
    let (text, last) = match port_range(text) {
        None => (text, None),
        Some((first, last)) => (first, Some(last)),
    };
    let addrs = match Addr::parse(text, 80) {
        Ok(addr) => vec![addr],
        Err(BadAddr::Name) => resolve(text).ok_or_else(|| refused(&BadAddr::Name))?,
        Err(bad) => return Err(refused(&bad)),
    };
    let Some(last) = last else { return Ok(addrs) };
    let last = last.parse::<u16>().map_err(|_| refused(&BadAddr::Port))?;
    if addrs.iter().any(|addr| addr.port() > last) {
        return Err(refused(&"invalid port range"));
    }
    Ok(addrs
        .iter()
        .flat_map(|addr| (addr.port()..=last).map(|port| with_port(addr, port)))
        .collect())
}

/// `8080-8090` and `HOST:8080-8090` as what precedes `-` and what follows it.
fn port_range(text: &str) -> Option<(&str, &str)> {
    let (first, last) = text.rsplit_once('-')?;
    let port = first.rsplit_once(':').map_or(first, |(_, port)| port);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(port) && is_number(last)).then_some((first, last))
}

/// The addresses of a name, as the system knows them.
fn resolve(text: &str) -> Option<Vec<Addr>> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, 80),
    };
    let found = (host, port).to_socket_addrs().ok()?;
    let mut addrs = Vec::new();
    for addr in found.map(from_std) {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    Some(addrs)
}

fn from_std(addr: SocketAddr) -> Addr {
    match addr {
        SocketAddr::V4(addr) => Addr::V4(addr),
        SocketAddr::V6(addr) => Addr::V6(addr),
    }
}

fn with_port(addr: &Addr, port: u16) -> Addr {
    match addr {
        Addr::V4(addr) => Addr::V4(SocketAddrV4::new(*addr.ip(), port)),
        Addr::V6(addr) => Addr::V6(SocketAddrV6::new(*addr.ip(), port, 0, 0)),
        Addr::Unix(name) => Addr::Unix(*name),
    }
}
