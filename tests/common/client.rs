//! An HTTP client that sends what it is told, byte by byte, and hides nothing.
use super::LIMIT;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub struct Client {
    stream: Stream,
    unread: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// A header's value, "" when it is missing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(port: u16) -> Self {
        Self::try_connect(("127.0.0.1", port)).unwrap_or_else(|error| {
            panic!("connect to port {port}: {error}");
        })
    }

    pub fn try_connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let address = address.to_socket_addrs()?.next().unwrap();
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { stream: Stream::Tcp(stream), unread: Vec::new() })
    }

    pub fn connect_unix(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { stream: Stream::Unix(stream), unread: Vec::new() }
    }

    pub fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Unix(_) => panic!("not a TCP client"),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap_or_else(|error| panic!("send: {error}"));
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
        }
    }

    /// GET over this connection, which stays open.
    pub fn get(&mut self, target: &str) -> Response {
        self.try_get(target).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    pub fn try_get(&mut self, target: &str) -> io::Result<Response> {
        self.try_send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        self.try_response(false)
    }

    pub fn response(&mut self) -> Response {
        self.try_response(false).unwrap_or_else(|error| panic!("response: {error}"))
    }

    /// The next answer; to HEAD no body follows, whatever the head says.
    pub fn try_response(&mut self, no_body: bool) -> io::Result<Response> {
        let head = self.read_through(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut response = parse_head(&head).ok_or_else(|| bad(&head))?;
        if no_body || matches!(response.status, 100..200 | 204 | 304) {
            return Ok(response);
        }
        response.body = if response.header("transfer-encoding") == "chunked" {
            let body = self.read_chunks()?;
            response.trailers = self.read_trailers()?;
            body
        } else if response.has("content-length") {
            let length = response.header("content-length").parse().map_err(|_| bad(&head))?;
            self.read_exact(length)?
        } else {
            self.try_rest()?
        };
        Ok(response)
    }

    /// All chunks, up to the trailers.
    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_through(b"\r\n")?;
            let line = String::from_utf8_lossy(&line).trim().to_string();
            let size = usize::from_str_radix(&line, 16).map_err(|_| bad(&line))?;
            if size == 0 {
                return Ok(body);
            }
            let mut chunk = self.read_exact(size + 2)?;
            if chunk.split_off(size) != b"\r\n" {
                return Err(bad("chunk without CRLF"));
            }
            body.append(&mut chunk);
        }
    }

    fn read_trailers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.read_through(b"\r\n")?).into_owned();
            if line == "\r\n" {
                return Ok(trailers);
            }
            trailers.push(field(line.trim_end()).ok_or_else(|| bad(&line))?);
        }
    }

    /// Waits until an answer begins, or the connection ends.
    pub fn wait_first_byte(&mut self) {
        if self.unread.is_empty() {
            let _ = self.fill();
        }
    }

    fn read_through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            if self.fill()? == 0 {
                let left = format!("closed, after {:?}", String::from_utf8_lossy(&self.unread));
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, left));
            }
        }
    }

    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// What has come and was not read, or what comes next; nothing when the server has closed.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.unread.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    /// All that comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        self.try_rest().unwrap_or_else(|error| panic!("reading to the end: {error}"))
    }

    pub fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 65536];
        let count = loop {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut bytes),
                Stream::Unix(stream) => stream.read(&mut bytes),
            };
            match read {
                // A read with a timeout is not resumed after the machine has slept (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// The server has closed, or closes within the limit; true also for a reset.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.limit_reads(left.max(Duration::from_millis(1)));
            match self.fill() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub fn limit_reads(&self, limit: Duration) {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
            Stream::Unix(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
        }
    }

    /// No more will be sent; it does not matter when the server has closed already.
    pub fn finish(&mut self) -> &mut Self {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        self
    }
}

/// Sends raw bytes on a new connection and returns all that comes back.
pub fn exchange(port: u16, bytes: impl AsRef<[u8]>) -> String {
    let mut client = Client::connect(port);
    let _ = client.try_send(bytes);
    let answer = client.try_rest().unwrap_or_else(|error| format!("({error})").into_bytes());
    String::from_utf8_lossy(&answer).into_owned()
}

/// One GET on a connection of its own.
pub fn get(port: u16, target: &str) -> Response {
    try_get(port, target).unwrap_or_else(|error| panic!("GET {target} from {port}: {error}"))
}

pub fn try_get(port: u16, target: &str) -> io::Result<Response> {
    let mut client = Client::try_connect(("127.0.0.1", port))?;
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.try_send(head)?;
    client.try_response(false)
}

/// Whether the port takes connections.
pub fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT).is_ok()
}

fn parse_head(head: &str) -> Option<Response> {
    let (line, fields) = head.split_once("\r\n")?;
    let mut words = line.splitn(3, ' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let reason = words.next().unwrap_or("").to_string();
    let headers = fields.split("\r\n").filter(|line| !line.is_empty()).map(field);
    let headers = headers.collect::<Option<_>>()?;
    Some(Response { status, reason, headers, body: Vec::new(), trailers: Vec::new() })
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_string(), value.trim().to_string()))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP response: {what:?}"))
}
