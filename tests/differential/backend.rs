//! What stands behind a proxy that is compared: upstreams that answer both servers alike, and
//! tell what each has sent them.
//!
//! They listen on the ports 8090 to 8094 and at `unix:backend.sock`; on 8099 there is nobody.
//! The last segment of a request's path names its answer in `proxy/answers`, but on port 8094,
//! where all is well. Answers are written as requests are:
//!
//! ```text
//! name
//!     HTTP/1.1 200 OK
//!     X-Field: value
//!     > a body
//!     !close
//! ```
//!
//! `Content-Length` is added where there is neither it nor Transfer-Encoding nor `!close`; a
//! field that is only `.` ends a head before the next begins (103 and the like). What begins with
//! `!` is done in its place: `!close`, `!reset`, `!hang` until the proxy gives up, `!early` before
//! the body of the request is read, `!body` sends a body to HEAD too.
//!
//! Each connection ends with its answer, which says so: limpet would keep what nginx 1.22 does not.
use super::script::bytes_of;
use crate::common::upstream::{Peer, Received};
use crate::common::{Place, Upstream};
use std::collections::BTreeMap;
use std::sync::Arc;

const PORTS: std::ops::Range<u16> = 8090..8095;
const GOOD: u16 = 8094;

pub struct Backends(Vec<(String, Upstream)>);

#[derive(Clone)]
enum Step {
    Send(Vec<u8>),
    Close,
    Reset,
    Hang,
}

/// An answer as it is played.
#[derive(Clone, Default)]
struct Answer {
    head: Vec<u8>,
    /// What follows, unless the request was HEAD.
    rest: Vec<Step>,
    early: bool,
    body_to_head: bool,
}

impl Backends {
    pub fn start(place: &Place, answers: &str) -> Self {
        let answers = Arc::new(read(answers));
        let mut all = Vec::new();
        let good = Arc::new(BTreeMap::from([("default".into(), answers["default"].clone())]));
        for port in PORTS {
            let answers = Arc::clone(if port == GOOD { &good } else { &answers });
            let upstream = Upstream::tcp(place, port, move |peer| serve(peer, &answers));
            all.push((port.to_string(), upstream));
        }
        let upstream = Upstream::unix(place, "backend.sock", move |peer| serve(peer, &answers));
        all.push(("unix".into(), upstream));
        Self(all)
    }

    /// What each was sent since the last time.
    pub fn take(&self) -> BTreeMap<String, Vec<String>> {
        let taken = self.0.iter().map(|(name, upstream)| {
            (name.clone(), upstream.take_requests().iter().map(told).collect())
        });
        taken.collect()
    }
}

/// Where a chunk ends is not compared, since it says how bytes arrived.
fn told(request: &Received) -> String {
    let Received { head, body, trailers, whole, .. } = request;
    let body = String::from_utf8_lossy(body);
    let end = if *whole { "" } else { "(ends here)\n" };
    format!("{}{body}\n{trailers}{end}", head.replace('\r', "\\r"))
}

fn serve(peer: &mut Peer, answers: &BTreeMap<String, Answer>) {
    if let Some(head) = peer.peek_head() {
        let path = head.split(' ').nth(1).unwrap_or("").split('?').next().unwrap_or("");
        let name = path.rsplit('/').next().unwrap_or("");
        let answer = answers.get(name).or_else(|| answers.get("default")).unwrap();
        if !answer.early && peer.request().is_none() {
            return;
        }
        play(peer, answer, head.starts_with("HEAD "));
        if answer.early {
            peer.request();
        }
        return;
    }
    // What came was no head.
    peer.request();
}

fn play(peer: &mut Peer, answer: &Answer, is_head: bool) {
    let mut bytes = answer.head.clone();
    for step in &answer.rest {
        if let Step::Send(more) = step {
            bytes.extend_from_slice(if is_head && !answer.body_to_head { &[] } else { more });
            continue;
        }
        peer.send(std::mem::take(&mut bytes));
        match step {
            Step::Send(_) => {}
            Step::Close => return,
            Step::Reset => {
                peer.reset();
                return;
            }
            Step::Hang => {
                peer.hang();
                return;
            }
        }
    }
    peer.send(bytes);
}

fn read(text: &str) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).peekable();
    while let Some(name) = lines.next() {
        let mut own = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            own.push(&line[4..]);
        }
        if !name.is_empty() {
            assert!(answers.insert(name.to_string(), read_answer(&own)).is_none(), "two {name}");
        }
    }
    answers
}

fn read_answer(lines: &[&str]) -> Answer {
    let mut answer = Answer::default();
    let mut length = 0;
    let mut ends = false;
    for line in lines {
        match *line {
            "!close" => answer.rest.push(Step::Close),
            "!reset" => answer.rest.push(Step::Reset),
            "!hang" => answer.rest.push(Step::Hang),
            "!early" => answer.early = true,
            "!body" => answer.body_to_head = true,
            "." => answer.head.extend(b"\r\n"),
            _ => match line.strip_prefix("> ") {
                Some(body) => {
                    let bytes = bytes_of(body);
                    length += bytes.len();
                    answer.rest.push(Step::Send(bytes));
                }
                None => {
                    answer.head.extend(bytes_of(line));
                    answer.head.extend(b"\r\n");
                }
            },
        }
        ends |= matches!(*line, "!close" | "!reset" | "!hang");
    }
    let fields = String::from_utf8_lossy(&answer.head).to_lowercase();
    if !ends && !["content-length:", "transfer-encoding:"].iter().any(|name| fields.contains(name))
    {
        answer.head.extend(format!("Content-Length: {length}\r\n").as_bytes());
    }
    // An answer of bytes alone is no head.
    if !answer.head.is_empty() {
        answer.head.extend(b"Connection: close\r\n\r\n");
    }
    answer
}
