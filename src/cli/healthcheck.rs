//! `limpet healthcheck [URL]`: one request, and whether it was answered well.
//!
//! For an image with nothing in it but limpet: a HEALTHCHECK or an exec probe needs neither
//! curl nor a shell. Without a URL the first address of the configuration is asked for `/`.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{put, say};
use crate::cycle::{config::Config, source::Source};
use crate::sys::addr::Addr;

/// For all of it: what is slower is not healthy.
const TIME: Duration = Duration::from_secs(5);

/// As much of an answer as tells its status.
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// Asks; 0 if the answer is a success or a redirect, else 1.
pub fn check(source: &Source, url: Option<&OsStr>) -> i32 {
    let url = url.map(|url| url.to_str().ok_or_else(|| "invalid URL".to_string())).transpose();
    let question = url.and_then(|url| Question::of(source, url.unwrap_or("/")));
    let answer = question.and_then(|question| {
        let status = question.ask().map_err(|e| format!("{question}: {e}"))?;
        Ok((format!("{question} answers {status}"), (200..400).contains(&status)))
    });
    match answer {
        Ok((text, true)) => put(&format!("limpet: {text}\n")),
        Ok((text, false)) | Err(text) => {
            say(&text);
            1
        }
    }
}

/// What is asked, and whom.
struct Question {
    server: Server,
    /// For the Host field.
    authority: String,
    path: String,
    /// The listener wants to hear first who asks.
    proxy_protocol: bool,
}

enum Server {
    /// In the order in which they are tried.
    Tcp(Vec<SocketAddr>),
    Unix(String),
}

impl Question {
    fn of(source: &Source, url: &str) -> Result<Question, String> {
        match url.starts_with('/') {
            true => Question::of_config(source, url),
            false => Question::of_url(url),
        }
    }

    /// A path on the first address that the configuration listens on.
    fn of_config(source: &Source, path: &str) -> Result<Question, String> {
        let config = Config::read(&source.conf, &source.prefix);
        if !config.cx.errors.is_empty() {
            return Err("the configuration is refused".into());
        }
        let http = config.http.as_ref().filter(|http| !http.listening.is_empty());
        let listening = http.map(|http| &http.listening[0]).ok_or("nothing is listened on")?;
        Ok(Question {
            server: Server::at(&listening.addr),
            authority: "localhost".into(),
            path: path.into(),
            proxy_protocol: listening.sites.last().is_some_and(|site| site.proxy_protocol),
        })
    }

    /// `[http://]HOST[:PORT][/PATH]` or `unix:SOCKET[:/PATH]`.
    fn of_url(url: &str) -> Result<Question, String> {
        if url.starts_with("https:") {
            return Err("invalid URL: limpet has no TLS, ask the port behind it".into());
        }
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (server, authority, path) = match rest.strip_prefix("unix:") {
            Some(rest) => {
                let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
                (Server::Unix(socket.into()), "localhost", path)
            }
            None => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Server::named(authority)?, authority, path)
            }
        };
        let path = if path.is_empty() { "/" } else { path };
        if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("invalid URL: it has a blank or a control character".into());
        }
        let (authority, path) = (authority.into(), path.into());
        Ok(Question { server, authority, path, proxy_protocol: false })
    }

    /// The status of the answer.
    fn ask(&self) -> io::Result<u16> {
        let until = Instant::now() + TIME;
        match &self.server {
            Server::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIME))?;
                self.converse(stream, until)
            }
            Server::Tcp(addresses) => {
                let stream = connect(addresses)?;
                stream.set_read_timeout(Some(TIME))?;
                self.converse(stream, until)
            }
        }
    }

    fn converse(&self, mut stream: impl Read + Write, until: Instant) -> io::Result<u16> {
        let header = if self.proxy_protocol { "PROXY UNKNOWN\r\n" } else { "" };
        let head = format!(
            "{header}GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: limpet/{} (healthcheck)\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.authority,
            env!("CARGO_PKG_VERSION"),
        );
        stream.write_all(head.as_bytes())?;
        let (mut line, mut len) = ([0; STATUS_LINE], 0);
        while len < line.len() {
            match stream.read(&mut line[len..])? {
                _ if Instant::now() > until => return Err(io::ErrorKind::TimedOut.into()),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => len += more,
            }
        }
        status(&line).ok_or_else(|| io::Error::other("the answer is not HTTP"))
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.server {
            Server::Unix(socket) => write!(f, "unix:{socket}:{}", self.path),
            Server::Tcp(addresses) => match addresses.first() {
                Some(address) => write!(f, "http://{address}{}", self.path),
                None => f.write_str(&self.path),
            },
        }
    }
}

impl Server {
    /// Where a listener of ours is reached from here.
    fn at(addr: &Addr) -> Server {
        let local = |ip: IpAddr| match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        match addr {
            Addr::V4(addr) => Server::Tcp(vec![(local((*addr.ip()).into()), addr.port()).into()]),
            Addr::V6(addr) => Server::Tcp(vec![(local((*addr.ip()).into()), addr.port()).into()]),
            Addr::Unix(name) => Server::Unix(name.to_string().replacen("unix:", "", 1)),
        }
    }

    /// `HOST[:PORT]`. `localhost` needs no /etc/hosts.
    fn named(authority: &str) -> Result<Server, String> {
        let invalid = || format!("invalid URL: no server is called \"{authority}\"");
        let bare = |rest: &str| !rest.contains(':') || rest.ends_with(']');
        let with_port = match bare(authority) {
            true => format!("{authority}:80"),
            false => authority.into(),
        };
        let (host, port) = with_port.rsplit_once(':').ok_or_else(invalid)?;
        let port: u16 = port.parse().map_err(|_| invalid())?;
        if host == "localhost" {
            let both = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
            return Ok(Server::Tcp(both.into()));
        }
        let found: Vec<SocketAddr> = with_port.to_socket_addrs().map_err(|_| invalid())?.collect();
        if found.is_empty() { Err(invalid()) } else { Ok(Server::Tcp(found)) }
    }
}

/// The first of them that answers.
fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect_timeout(address, TIME) {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

/// `HTTP/1.x NNN`
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(1..)?.strip_prefix(b" ")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let asked = |url: &str| {
            Question::of_url(url).map(|question| (question.to_string(), question.authority))
        };
        let good = [
            ("http://127.0.0.1:8080/x?y", "http://127.0.0.1:8080/x?y", "127.0.0.1:8080"),
            ("127.0.0.1", "http://127.0.0.1:80/", "127.0.0.1"),
            ("http://[::1]/", "http://[::1]:80/", "[::1]"),
            ("[::1]:81", "http://[::1]:81/", "[::1]:81"),
            ("localhost:82/a:b", "http://127.0.0.1:82/a:b", "localhost:82"),
            ("unix:/run/x", "unix:/run/x:/", "localhost"),
            ("http://unix:/run/x:/live", "unix:/run/x:/live", "localhost"),
        ];
        for (url, shown, authority) in good {
            assert_eq!(asked(url), Ok((shown.into(), authority.into())), "{url}");
        }
        for url in ["https://x/", "http://", ":x", "127.0.0.1:99999", "127.0.0.1/a b", "::1"] {
            assert!(asked(url).is_err(), "{url}");
        }
    }

    #[test]
    fn statuses() {
        assert_eq!(status(b"HTTP/1.1 200"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        assert_eq!(status(b"HTTP/2.0 200"), None);
        assert_eq!(status(b"SSH-2.0-Open"), None);
    }
}
