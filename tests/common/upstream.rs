//! An upstream that does to a proxy what a test says, and keeps every byte it was sent.
//!
//! A script is a function that plays one connection: it reads heads and bodies, sends bytes
//! whole or cut, waits at a `Gate`, resets, closes one direction, or does nothing until the
//! other side has gone. Each connection has a thread; what they receive is read from outside.
//! To be started in the test's own thread, behind `Place::new`: a network is a thread's.
use super::{LIMIT, Place, kernel};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Listens until it is dropped or stopped.
pub struct Upstream {
    shared: Arc<Shared>,
    address: Address,
}

#[derive(Clone)]
enum Address {
    Tcp(u16),
    Unix(PathBuf),
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
    stopped: AtomicBool,
    requests: AtomicUsize,
}

/// What came over one connection.
#[derive(Default)]
pub struct Seen {
    pub bytes: Vec<u8>,
    pub requests: Vec<Received>,
    /// The proxy has closed, or reset, its side.
    pub ended: bool,
    stream: Option<Stream>,
}

/// A request as it came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Received {
    /// Request line and fields, up to the blank line and with it.
    pub head: String,
    /// Without the chunks' framing.
    pub body: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: String,
    /// The body came as its framing says.
    pub whole: bool,
    /// Which of all that its upstream got, counted from 0.
    pub number: usize,
}

impl Received {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or("")
    }

    /// The value of the first field of that name, "" when there is none.
    pub fn field(&self, name: &str) -> &str {
        let is_it = |line: &&str| {
            let found = line.split_once(':');
            found.is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().skip(1).find(is_it);
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }
}

impl Upstream {
    pub fn tcp<Script>(place: &Place, port: u16, script: Script) -> Self
    where
        Script: Fn(&mut Peer) + Send + Sync + 'static,
    {
        let port = place.port(port);
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for an upstream");
        let accept = move || listener.accept().map(|(stream, _)| Stream::Tcp(stream));
        Self::run(Address::Tcp(port), accept, script)
    }

    /// At `@DIR@/name`, for anybody to connect to.
    pub fn unix<Script>(place: &Place, name: &str, script: Script) -> Self
    where
        Script: Fn(&mut Peer) + Send + Sync + 'static,
    {
        use std::os::unix::fs::PermissionsExt;
        let path = place.path(name);
        let listener = UnixListener::bind(&path).expect("a socket for an upstream");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let accept = move || listener.accept().map(|(stream, _)| Stream::Unix(stream));
        Self::run(Address::Unix(path), accept, script)
    }

    /// Answers every request of every connection with these bytes.
    pub fn answering(place: &Place, port: u16, answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::tcp(place, port, move |peer| while peer.request().is_some() && peer.send(&answer) {})
    }

    fn run<Accept, Script>(address: Address, accept: Accept, script: Script) -> Self
    where
        Accept: Fn() -> io::Result<Stream> + Send + 'static,
        Script: Fn(&mut Peer) + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared::default());
        let (own, script) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            while let Ok(stream) = accept() {
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut peer = Peer::new(stream, Arc::clone(&own));
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    script(&mut peer);
                    peer.end();
                });
            }
        });
        Self { shared, address }
    }

    /// Refuses connections from now on, and closes those that are there.
    pub fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // Only a connection ends accept(2).
        match &self.address {
            Address::Tcp(port) => drop(TcpStream::connect(("127.0.0.1", *port))),
            Address::Unix(path) => drop(UnixStream::connect(path)),
        }
        for seen in self.shared.lock().iter() {
            seen.stream.iter().for_each(Stream::close);
        }
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.lock().len()
    }

    /// All that came over a connection, counted from 0.
    pub fn bytes(&self, connection: usize) -> Vec<u8> {
        self.shared.lock()[connection].bytes.clone()
    }

    /// All requests of all connections, as they came one after the other.
    pub fn requests(&self) -> Vec<Received> {
        let seen = self.shared.lock();
        let mut all: Vec<_> = seen.iter().flat_map(|seen| seen.requests.clone()).collect();
        all.sort_by_key(|request| request.number);
        all
    }

    /// The same, and forgets them.
    pub fn take_requests(&self) -> Vec<Received> {
        let mut seen = self.shared.lock();
        let all = seen.iter_mut().flat_map(|seen| std::mem::take(&mut seen.requests));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|request| request.number);
        all
    }

    /// Waits until something is true of what came.
    #[track_caller]
    pub fn wait(&self, what: &str, happened: impl Fn(&[Seen]) -> bool) {
        let mut seen = self.shared.lock();
        let deadline = Instant::now() + LIMIT;
        while !happened(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the upstream has not seen {what}");
            seen = self.shared.changed.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits until the proxy has closed a connection.
    #[track_caller]
    pub fn wait_ended(&self, connection: usize) {
        self.wait("the end of a connection", |seen| {
            seen.get(connection).is_some_and(|seen| seen.ended)
        });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        // A script that panics has failed its test already.
        self.seen.lock().unwrap_or_else(|error| error.into_inner())
    }
}

/// One connection, as its script plays it. What fails because the proxy has gone is told by
/// the result: whether that is right is the test's to say.
pub struct Peer {
    stream: Stream,
    unread: Vec<u8>,
    shared: Arc<Shared>,
    /// Which connection of its upstream this is, counted from 0.
    pub number: usize,
}

impl Peer {
    fn new(stream: Stream, shared: Arc<Shared>) -> Self {
        stream.prepare();
        let mut seen = shared.lock();
        let number = seen.len();
        seen.push(Seen { stream: stream.copy(), ..Seen::default() });
        drop(seen);
        shared.changed.notify_all();
        Self { stream, unread: Vec::new(), shared, number }
    }

    /// The head of the next request, with its blank line.
    pub fn head(&mut self) -> Option<String> {
        let head = self.through(b"\r\n\r\n")?;
        Some(String::from_utf8_lossy(&head).into_owned())
    }

    /// The same, to be read again.
    pub fn peek_head(&mut self) -> Option<String> {
        let head = self.through(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&head).into_owned();
        self.unread.splice(..0, head);
        Some(text)
    }

    /// The next request with its body, as `Content-Length` or `Transfer-Encoding` say.
    pub fn request(&mut self) -> Option<Received> {
        let head = self.head();
        let mut request = Received { whole: head.is_some(), ..Received::default() };
        if !request.whole && self.unread.is_empty() {
            return None;
        }
        request.head = head.unwrap_or_else(|| String::from_utf8_lossy(&self.unread).into_owned());
        if !request.whole {
            self.unread.clear();
        } else if request.field("transfer-encoding") == "chunked" {
            request.whole = self.chunks(&mut request).is_some();
        } else if let Ok(length) = request.field("content-length").parse() {
            match self.exact(length) {
                Some(body) => request.body = body,
                None => (request.body, request.whole) = (std::mem::take(&mut self.unread), false),
            }
        }
        let mut seen = self.shared.lock();
        request.number = self.shared.requests.fetch_add(1, Ordering::SeqCst);
        seen[self.number].requests.push(request.clone());
        drop(seen);
        self.shared.changed.notify_all();
        request.whole.then_some(request)
    }

    fn chunks(&mut self, request: &mut Received) -> Option<()> {
        loop {
            let line = String::from_utf8(self.through(b"\r\n")?).ok()?;
            let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
            if size == 0 {
                break;
            }
            let mut chunk = self.exact(size + 2)?;
            if chunk.split_off(size) != b"\r\n" {
                return None;
            }
            request.body.append(&mut chunk);
        }
        loop {
            let line = String::from_utf8_lossy(&self.through(b"\r\n")?).into_owned();
            if line == "\r\n" {
                return Some(());
            }
            request.trailers.push_str(&line);
        }
    }

    fn through(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            self.read()?;
        }
    }

    pub fn exact(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.unread.len() < length {
            self.read()?;
        }
        Some(self.unread.drain(..length).collect())
    }

    /// What comes next, as it comes: websocket frames, or part of a body.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        if self.unread.is_empty() {
            self.read()?;
        }
        Some(std::mem::take(&mut self.unread))
    }

    /// Reads more; nothing when the proxy has closed or says nothing for long.
    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 65536];
        let count = loop {
            match self.stream.read(&mut bytes) {
                // A read with a timeout is not resumed after the machine has slept (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.unwrap_or(0),
            }
        };
        let mut seen = self.shared.lock();
        match count {
            0 => seen[self.number].ended = true,
            _ => seen[self.number].bytes.extend_from_slice(&bytes[..count]),
        }
        drop(seen);
        self.shared.changed.notify_all();
        self.unread.extend_from_slice(&bytes[..count]);
        (count > 0).then_some(())
    }

    /// Forgets what is counted: for bodies that are larger than the test's memory should be.
    pub fn swallow(&mut self, mut length: u64) -> bool {
        length -= self.unread.len() as u64;
        self.unread.clear();
        let mut bytes = vec![0; 1 << 18];
        while length > 0 {
            let most = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            match self.stream.read(&mut bytes[..most]) {
                Ok(count) if count > 0 => length -= count as u64,
                _ => return false,
            }
        }
        true
    }

    /// For who sends and reads at the same time.
    pub fn sender(&self) -> Sender {
        Sender(self.stream.copy().expect("a copy"))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write(bytes.as_ref()).is_ok()
    }

    /// No more will be sent, but read.
    pub fn finish(&mut self) {
        self.stream.finish();
    }

    /// Ends the connection with a reset instead of a FIN.
    pub fn reset(&mut self) {
        match &self.stream {
            Stream::Tcp(stream) => kernel::reset_on_close(stream),
            Stream::Unix(_) | Stream::Gone => {}
        }
        self.shared.lock()[self.number].stream = None;
        self.stream = Stream::Gone;
    }

    /// Does nothing until the proxy has gone.
    pub fn hang(&mut self) {
        while self.read().is_some() {}
    }

    /// Closes, and tells so.
    fn end(&mut self) {
        self.stream.close();
        let mut seen = self.shared.lock();
        seen[self.number].ended = true;
        seen[self.number].stream = None;
        drop(seen);
        self.shared.changed.notify_all();
    }
}

/// See [`Peer::sender`].
pub struct Sender(Stream);

impl Sender {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write(bytes.as_ref()).is_ok()
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Gone,
}

impl Stream {
    fn prepare(&self) {
        match self {
            Stream::Tcp(stream) => {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                stream.set_write_timeout(Some(LIMIT)).unwrap();
            }
            Stream::Unix(stream) => stream.set_read_timeout(Some(LIMIT)).unwrap(),
            Stream::Gone => {}
        }
    }

    fn copy(&self) -> Option<Self> {
        match self {
            Stream::Tcp(stream) => stream.try_clone().ok().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().ok().map(Stream::Unix),
            Stream::Gone => None,
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Stream::Tcp(stream) => stream.read(bytes),
                Stream::Unix(stream) => stream.read(bytes),
                Stream::Gone => Ok(0),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Gone => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn finish(&self) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Gone => Ok(()),
        };
    }

    fn close(&self) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Gone => Ok(()),
        };
    }
}

/// Holds scripts up until the test opens it; once open it stays so.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    /// Lets one more through.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    /// Waits for its turn; false when none comes in time.
    pub fn pass(&self) -> bool {
        let closed = |passes: &mut usize| *passes == 0;
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), LIMIT, closed);
        let (mut passes, _) = waited.unwrap();
        let passed = *passes > 0;
        *passes = passes.saturating_sub(1);
        passed
    }

    /// Whether one may pass within the time.
    pub fn pass_within(&self, limit: Duration) -> bool {
        let closed = |passes: &mut usize| *passes == 0;
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), limit, closed);
        *waited.unwrap().0 > 0
    }
}
