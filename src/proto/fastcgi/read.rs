//! The records of a response.
//!
//! The decoder is a state and nothing else: it is shown bytes and says which of
//! them are output, which are for the error log, and which framing.
use super::{Kind, VERSION};
use std::fmt;

/// Not a response to our request: 502, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Version(u8),
    Kind(u8),
    IdHigh(u8),
    IdLow(u8),
    /// The last record has a length that it never has.
    EndLength(u16),
}

impl fmt::Display for Bad {
    /// nginx's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Version(version) => {
                write!(f, "upstream sent unsupported FastCGI protocol version: {version}")
            }
            Bad::Kind(kind) => write!(f, "upstream sent invalid FastCGI record type: {kind}"),
            Bad::IdHigh(id) => {
                write!(f, "upstream sent unexpected FastCGI request id high byte: {id}")
            }
            Bad::IdLow(id) => {
                write!(f, "upstream sent unexpected FastCGI request id low byte: {id}")
            }
            Bad::EndLength(len) => {
                write!(f, "upstream sent FastCGI end request record of {len} bytes")
            }
        }
    }
}

/// What the responder said at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The program's exit status.
    pub app_status: u32,
    /// 0 is "request complete"; others are refusals.
    pub protocol_status: u8,
}

/// What the bytes shown to [`Decoder::step`] begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of framing, then so many bytes of output (not 0). Both
    /// count as read: the next call begins behind them.
    Stdout { framing: usize, len: usize },
    /// The same for the error log.
    Stderr { framing: usize, len: usize },
    /// All of it is framing, and there is more to come.
    More,
    /// So many bytes of framing, the last of the response.
    End { framing: usize },
}

/// Where in a response the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    /// Bytes that a head or the last record's content was gathered from.
    gathered: u8,
    padding: u8,
    /// Bytes of content still to come.
    left: u16,
    bytes: [u8; 8],
    stdout_closed: bool,
    end: Option<End>,
    /// What is wrong behind all that was read.
    bad: Option<Bad>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Stdout,
    Stderr,
    /// The content of `END_REQUEST`.
    Closing,
    Padding,
    End,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// The whole response has been read: the connection can be used again, if
    /// that was asked for.
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// There will be no more output: the end is there or announced.
    pub fn is_stdout_closed(&self) -> bool {
        self.stdout_closed || self.end.is_some()
    }

    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What was wrong behind the output that [`Decoder::decode`] has found last.
    pub fn bad(&self) -> Option<Bad> {
        self.bad
    }

    /// Reads `bytes` up to the end of the next run of output or error log.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Bad> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.state == State::End {
                return Ok(Step::End { framing: at });
            }
            if rest.is_empty() {
                return Ok(Step::More);
            }
            match self.state {
                State::Stdout | State::Stderr => {
                    let is_stdout = self.state == State::Stdout;
                    let len = self.content(rest.len());
                    return Ok(match is_stdout {
                        true => Step::Stdout { framing: at, len },
                        false => Step::Stderr { framing: at, len },
                    });
                }
                State::Head => at += self.gather(rest, Decoder::head)?,
                State::Closing => at += self.gather(rest, Decoder::closing)?,
                State::Padding => at += self.pad(rest.len()),
                State::End => {}
            }
        }
    }

    /// Reads all of `bytes` and moves the output in it to the front; what is for
    /// the error log is given to `stderr`. Returns how many bytes of output
    /// there are and how many were read: fewer than all only at the end of the
    /// response. What is wrong behind output is an error of the next call.
    pub fn decode(
        &mut self,
        bytes: &mut [u8],
        mut stderr: impl FnMut(&[u8]),
    ) -> Result<(usize, usize), Bad> {
        let (mut kept, mut read) = (0, 0);
        loop {
            let step = self.step(bytes.get(read..).unwrap_or_default());
            if let Err(bad) = step
                && kept > 0
            {
                self.bad = Some(bad);
                return Ok((kept, bytes.len()));
            }
            match step? {
                Step::Stdout { framing, len } => {
                    let start = read + framing;
                    bytes.copy_within(start..start + len, kept);
                    (kept, read) = (kept + len, start + len);
                }
                Step::Stderr { framing, len } => {
                    let start = read + framing;
                    stderr(bytes.get(start..start + len).unwrap_or_default());
                    read = start + len;
                }
                Step::More => return Ok((kept, bytes.len())),
                Step::End { framing } => return Ok((kept, read + framing)),
            }
        }
    }

    /// Collects eight bytes and reads them.
    fn gather(
        &mut self,
        bytes: &[u8],
        read: fn(&mut Decoder) -> Result<(), Bad>,
    ) -> Result<usize, Bad> {
        let missing = self.bytes.get_mut(usize::from(self.gathered)..).unwrap_or_default();
        let len = missing.len().min(bytes.len());
        for (place, byte) in missing.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.gathered += len as u8;
        if usize::from(self.gathered) == self.bytes.len() {
            self.gathered = 0;
            read(self)?;
        }
        Ok(len)
    }

    /// The head of a record is there.
    fn head(&mut self) -> Result<(), Bad> {
        let [version, kind, id_high, id_low, high, low, padding, _] = self.bytes;
        let len = u16::from_be_bytes([high, low]);
        if version != VERSION {
            return Err(Bad::Version(version));
        }
        self.state = match kind {
            _ if kind == Kind::Stdout as u8 => State::Stdout,
            _ if kind == Kind::Stderr as u8 => State::Stderr,
            _ if kind == Kind::EndRequest as u8 => State::Closing,
            _ => return Err(Bad::Kind(kind)),
        };
        if id_high != 0 {
            return Err(Bad::IdHigh(id_high));
        }
        if id_low != 1 {
            return Err(Bad::IdLow(id_low));
        }
        if self.state == State::Closing && len != 8 {
            return Err(Bad::EndLength(len));
        }
        (self.left, self.padding) = (len, padding);
        if len == 0 {
            self.stdout_closed |= self.state == State::Stdout;
            self.content_done();
        }
        Ok(())
    }

    /// The content of the last record is there.
    fn closing(&mut self) -> Result<(), Bad> {
        let [a, b, c, d, protocol_status, ..] = self.bytes;
        let app_status = u32::from_be_bytes([a, b, c, d]);
        self.end = Some(End { app_status, protocol_status });
        self.content_done();
        Ok(())
    }

    /// How many of `there` bytes are content.
    fn content(&mut self, there: usize) -> usize {
        let len = usize::from(self.left).min(there);
        self.left -= len as u16;
        if self.left == 0 {
            self.content_done();
        }
        len
    }

    fn content_done(&mut self) {
        self.state = State::Padding;
        self.pad(0);
    }

    /// How many of `there` bytes are padding.
    fn pad(&mut self, there: usize) -> usize {
        let len = usize::from(self.padding).min(there);
        self.padding -= len as u8;
        if self.padding == 0 {
            self.state = if self.end.is_some() { State::End } else { State::Head };
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let [high, low] = (content.len() as u16).to_be_bytes();
        let head = [1, kind, 0, 1, high, low, padding, 0];
        [&head, content, &vec![0xaa; padding.into()]].concat()
    }

    const CLOSING: &[u8] = &[0, 0, 1, 2, 0, 9, 9, 9];

    #[derive(Debug, PartialEq)]
    struct Found {
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        read: usize,
        decoder: Decoder,
    }

    /// Shown in pieces of `size`.
    fn decode(bytes: &[u8], size: usize) -> Result<Found, Bad> {
        let mut decoder = Decoder::new();
        let (mut stdout, mut stderr, mut read) = (Vec::new(), Vec::new(), 0);
        for piece in bytes.chunks(size.max(1)) {
            let mut piece = piece.to_vec();
            let log = |piece: &[u8]| stderr.extend_from_slice(piece);
            let (kept, used) = decoder.decode(&mut piece, log)?;
            stdout.extend_from_slice(&piece[..kept]);
            read += used;
        }
        decoder.decode(&mut [], |_| {})?;
        Ok(Found { stdout, stderr, read, decoder })
    }

    fn check(bytes: &[u8]) -> Result<Found, Bad> {
        let whole = decode(bytes, bytes.len());
        for size in 1..bytes.len() {
            assert_eq!(decode(bytes, size), whole, "{size} {bytes:?}");
        }
        whole
    }

    #[test]
    fn responses() {
        let bytes = [
            record(7, b"PHP warning", 5),
            record(6, b"Status: 200\r\n", 0),
            record(6, b"\r\nhello", 255),
            record(7, b"", 1),
            record(7, b": x", 0),
            record(6, b"", 0),
            record(3, CLOSING, 3),
        ]
        .concat();
        let found = check(&[&bytes[..], b"more"].concat()).unwrap();
        assert_eq!(found.stdout, b"Status: 200\r\n\r\nhello");
        assert_eq!(found.stderr, b"PHP warning: x");
        assert_eq!(found.read, bytes.len());
        assert_eq!(found.decoder.end(), Some(End { app_status: 258, protocol_status: 0 }));
        assert!(found.decoder.is_at_end() && found.decoder.is_stdout_closed());

        let found = check(&bytes[..bytes.len() - 1]).unwrap();
        assert!(found.decoder.end().is_some() && !found.decoder.is_at_end());
        let found = check(&bytes[..bytes.len() - 4]).unwrap();
        assert!(found.decoder.end().is_none() && found.decoder.is_stdout_closed());
    }

    #[test]
    fn no_responses() {
        let good = record(6, b"x", 0);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            check(&bytes).map(|_| ())
        };
        assert_eq!(with(0, 2), Err(Bad::Version(2)));
        assert_eq!(with(0, b'H'), Err(Bad::Version(b'H')));
        for kind in (0..=255).filter(|kind| ![3, 6, 7].contains(kind)) {
            assert_eq!(with(1, kind), Err(Bad::Kind(kind)));
        }
        assert_eq!(with(2, 1), Err(Bad::IdHigh(1)));
        assert_eq!(with(3, 0), Err(Bad::IdLow(0)));
        assert_eq!(with(3, 2), Err(Bad::IdLow(2)));
        assert_eq!(with(7, 9), Ok(()));
        assert_eq!(check(&record(3, b"", 0)).map(|_| ()), Err(Bad::EndLength(0)));
        assert_eq!(check(&record(3, b"123456789", 0)).map(|_| ()), Err(Bad::EndLength(9)));
        let words = "upstream sent unsupported FastCGI protocol version: 72";
        assert_eq!(Bad::Version(b'H').to_string(), words);
    }

    #[test]
    fn mutations_do_not_depend_on_splits() {
        let corpus = [
            record(7, b"PHP warning", 5),
            record(6, b"Status: 200\r\n\r\nhello", 0),
            record(6, b"", 2),
            record(3, CLOSING, 3),
        ]
        .concat();
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % limit
        };
        for _ in 0..2000 {
            let mut bytes = corpus.clone();
            for _ in 0..1 + random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes.insert(at, random(9) as u8),
                    1 => drop(bytes.remove(at)),
                    _ => bytes[at] = random(256) as u8,
                }
            }
            if let Ok(found) = check(&bytes) {
                assert!(found.stdout.len() + found.stderr.len() + 8 <= bytes.len());
            }
        }
    }
}
