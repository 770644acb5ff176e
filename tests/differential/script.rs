//! Requests as they are written down.
//!
//! ```text
//! # a remark
//! 200 GET /path
//!     Accept-Encoding: gzip
//! 413 POST /path HTTP/1.0
//!     Host: example.com
//!     > a body\r\n
//!
//! [8081 kept]
//! 000 GET /closed/without/a/word
//! ```
//!
//! Each begins with the status that nginx gives (000: none), which is checked too. Where the
//! request line names no version, ` HTTP/1.1` is added, and `Host: localhost` where there is no
//! Host. `>` is a line of the body, whose Content-Length is added unless there is one, or
//! Transfer-Encoding; `<` comes before the request line (PROXY protocol). `\r`, `\n`, `\t`, `\xHH`
//! and `\\` are single bytes, `{a*9000}` is many. With ` &` at the end of the request line the
//! answer is read only at the end of its section: the requests that follow come while it is sent.
//!
//! `[…]` begins a section: where its requests go (a port, address:port, or unix:FILE of `@DIR@`),
//! then `kept` (all over one connection) or `shape` (numbers count for nothing).

#[derive(Clone)]
pub struct Request {
    pub line: usize,
    pub section: Section,
    pub status: u16,
    /// The request line, for messages.
    pub text: String,
    pub bytes: Vec<u8>,
    /// Its answer is read when the section ends.
    pub open: bool,
}

#[derive(Clone, PartialEq)]
pub struct Section {
    number: usize,
    pub address: String,
    pub kept: bool,
    pub shape: bool,
}

impl Request {
    pub fn is_head(&self) -> bool {
        self.text.starts_with("HEAD ")
    }
}

/// All requests of a file, or the line that is wrong.
pub fn read(text: &str) -> Result<Vec<Request>, String> {
    let mut section = Section { number: 0, address: "8080".into(), kept: false, shape: false };
    let mut requests = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(words) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section =
                read_section(words, section.number + 1).map_err(|e| format!("{number}: {e}"))?;
            continue;
        }
        let mut more = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("    ")) {
            more.push(line.trim_start());
        }
        let request = read_request(line, &more, number, &section);
        requests.push(request.ok_or(format!("{number}: not a request: {line}"))?);
    }
    Ok(requests)
}

fn read_section(words: &str, number: usize) -> Result<Section, String> {
    let mut words = words.split(' ');
    let address = words.next().unwrap_or_default().to_string();
    let mut section = Section { number, address, kept: false, shape: false };
    for word in words {
        match word {
            "kept" => section.kept = true,
            "shape" => section.shape = true,
            _ => return Err(format!("no such kind of section: {word}")),
        }
    }
    Ok(section)
}

fn read_request(line: &str, more: &[&str], number: usize, section: &Section) -> Option<Request> {
    let (status, line) = line.split_once(' ')?;
    let (line, open) = line.strip_suffix(" &").map_or((line, false), |line| (line, true));
    let marked = |mark: &str| -> Vec<u8> {
        more.iter().filter_map(|line| line.strip_prefix(mark)).flat_map(bytes_of).collect()
    };
    let (before, body) = (marked("< "), marked("> "));
    let fields: Vec<_> = more.iter().filter(|line| !line.starts_with(['<', '>'])).collect();
    let has = |name: &str| fields.iter().any(|field| field.to_lowercase().starts_with(name));
    let mut bytes = before;
    bytes.extend(bytes_of(line));
    if !line.contains(" HTTP/") {
        bytes.extend(b" HTTP/1.1\r\n");
        if !has("host:") {
            bytes.extend(b"Host: localhost\r\n");
        }
    } else {
        bytes.extend(b"\r\n");
    }
    for field in &fields {
        bytes.extend(bytes_of(field));
        bytes.extend(b"\r\n");
    }
    if !body.is_empty() && !has("content-length:") && !has("transfer-encoding:") {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    let (status, text) = (status.parse().ok()?, line.to_string());
    Some(Request { line: number, section: section.clone(), status, text, bytes, open })
}

/// Resolves what stands for other bytes.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some((byte, length)) = escape(rest) {
            bytes.push(byte);
            length
        } else if let Some((repeated, length)) = repeat(rest) {
            bytes.extend(repeated.into_bytes());
            length
        } else {
            bytes.extend(first.to_string().into_bytes());
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    bytes
}

/// The byte that an escape stands for, and its length.
fn escape(text: &str) -> Option<(u8, usize)> {
    let rest = text.strip_prefix('\\')?;
    match rest.chars().next()? {
        'r' => Some((b'\r', 2)),
        'n' => Some((b'\n', 2)),
        't' => Some((b'\t', 2)),
        '\\' => Some((b'\\', 2)),
        'x' => Some((u8::from_str_radix(rest.get(1..3)?, 16).ok()?, 4)),
        _ => None,
    }
}

/// `{text*count}`, and its length.
fn repeat(text: &str) -> Option<(String, usize)> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let (part, count) = inside.rsplit_once('*')?;
    Some((part.repeat(count.parse().ok()?), inside.len() + 2))
}
