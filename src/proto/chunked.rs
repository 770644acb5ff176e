//! The chunked coding (RFC 9112 7.1), taken apart and put together.
//!
//! The decoder is a state and nothing else: it is shown bytes and says how many
//! of them are framing and how many data. It is strict, because what two
//! readers take for different chunks is a smuggled request: CRLF only, sizes of
//! at most sixteen digits below 2^62, no blanks, extensions well-formed.
//! Extensions are dropped, and so are trailers unless they are asked for; what both
//! may cost is bounded. It serves requests and responses alike.
use crate::text::{ascii, number};

/// Bytes of extensions and trailers in one body.
const EXTRAS_MAX: u16 = 16 << 10;
/// Sizes are below this, so that sums with offsets cannot overflow.
const SIZE_LIMIT: u64 = 1 << 62;
/// Digits of a size, leading zeros included.
const DIGITS_MAX: u8 = 16;

/// Not a chunked body: 400 or 502, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    /// The size being read, or bytes of data still to come.
    left: u64,
    digits: u8,
    extras: u16,
    /// Stop where the trailers begin.
    keeps_trailers: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    ExtensionStart,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// What the bytes shown to [`Decoder::step`] begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of framing, then so many bytes of data (not 0). Both count
    /// as read: the next call begins behind them.
    Data { framing: usize, len: usize },
    /// All of it is framing, and there is more to come.
    More,
    /// So many bytes of framing, the last of the body.
    End { framing: usize },
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// For who passes trailers on: the body ends where they begin, and
    /// [`Decoder::trailers`] takes it from there.
    pub fn keeping_trailers() -> Decoder {
        Decoder { keeps_trailers: true, ..Decoder::default() }
    }

    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Whether all data has been read.
    pub fn is_at_trailers(&self) -> bool {
        use State::{End, EndLf, TrailerLf, TrailerName, TrailerStart, TrailerValue};
        matches!(self.state, TrailerStart | TrailerName | TrailerValue | TrailerLf | EndLf | End)
    }

    /// Reads trailers, which come behind all data: `fresh` are bytes that it has
    /// not seen. Returns how many of them belong to the body and whether that is
    /// all of it; then everything from the first is a [`trailers`](super::trailers)
    /// section.
    pub fn trailers(&mut self, fresh: &[u8]) -> Result<(usize, bool), Bad> {
        for (at, &b) in fresh.iter().enumerate() {
            if self.state == State::End {
                return Ok((at, true));
            }
            self.state = self.next(b)?;
        }
        Ok((fresh.len(), self.is_at_end()))
    }

    /// Reads `bytes` up to the end of the next run of data.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Bad> {
        let mut at = 0;
        while self.state != State::Data {
            if self.state == State::End || self.keeps_trailers && self.is_at_trailers() {
                return Ok(Step::End { framing: at });
            }
            let Some(&b) = bytes.get(at) else { return Ok(Step::More) };
            self.state = self.next(b)?;
            at += 1;
        }
        let there = (bytes.len() - at) as u64;
        let len = self.left.min(there);
        if len == 0 {
            return Ok(Step::More);
        }
        self.left -= len;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Ok(Step::Data { framing: at, len: len as usize })
    }

    /// Reads all of `bytes` and moves the data in it to the front. Returns how
    /// many bytes of data there are and how many were read: fewer than all only
    /// at the end of the body.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<(usize, usize), Bad> {
        let (mut kept, mut read) = (0, 0);
        loop {
            match self.step(bytes.get(read..).unwrap_or_default())? {
                Step::Data { framing, len } => {
                    let start = read + framing;
                    bytes.copy_within(start..start + len, kept);
                    (kept, read) = (kept + len, start + len);
                }
                Step::More => return Ok((kept, bytes.len())),
                Step::End { framing } => return Ok((kept, read + framing)),
            }
        }
    }

    /// The state after one byte of framing.
    fn next(&mut self, b: u8) -> Result<State, Bad> {
        Ok(match (self.state, b) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => self.extra(State::ExtensionStart)?,
            (State::Size, _) => self.size_digit(b)?,
            (State::ExtensionStart, _) if ascii::is(b, ascii::TOKEN) => {
                self.extra(State::Extension)?
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b';') => self.extra(State::ExtensionStart)?,
            (State::Extension, _) if is_text(b) => self.extra(State::Extension)?,
            (State::SizeLf, b'\n') => self.size_done(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::TrailerName, _) if ascii::is(b, ascii::TOKEN) => {
                self.extra(State::TrailerName)?
            }
            (State::TrailerName, b':') => self.extra(State::TrailerValue)?,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if is_text(b) => self.extra(State::TrailerValue)?,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::End,
            _ => return Err(Bad),
        })
    }

    fn size_digit(&mut self, b: u8) -> Result<State, Bad> {
        let digit = number::hex_digit(b).ok_or(Bad)?;
        let size = self.left << 4 | u64::from(digit);
        if self.digits == DIGITS_MAX || size >= SIZE_LIMIT {
            return Err(Bad);
        }
        (self.left, self.digits) = (size, self.digits + 1);
        Ok(State::Size)
    }

    /// The line of the size has ended.
    fn size_done(&mut self) -> State {
        self.digits = 0;
        if self.left == 0 { State::TrailerStart } else { State::Data }
    }

    /// Counts a byte that carries nothing.
    fn extra(&mut self, next: State) -> Result<State, Bad> {
        if self.extras == EXTRAS_MAX {
            return Err(Bad);
        }
        self.extras += 1;
        Ok(next)
    }
}

/// What a quoted string or a field value may have in it.
fn is_text(b: u8) -> bool {
    b == b'\t' || b >= b' ' && b != 0x7f
}

/// Room for the head of any chunk.
pub const HEAD: usize = number::HEX + 2;
/// What follows the data of a chunk.
pub const TAIL: &[u8] = b"\r\n";
/// The last chunk, without trailers.
pub const LAST: &[u8] = b"0\r\n\r\n";

/// Writes the head of a chunk of `len` bytes, which is not 0: that would be
/// the last one.
pub fn head(len: u64, room: &mut [u8; HEAD]) -> &[u8] {
    debug_assert!(len != 0);
    let mut out = crate::text::writer::Writer::new(room);
    out.put_hex(len);
    out.put(b"\r\n");
    let len = out.len();
    &room[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data and bytes read, or what stopped it.
    fn decode(text: &[u8]) -> Result<(Vec<u8>, usize, bool), Bad> {
        let mut decoder = Decoder::new();
        let mut bytes = text.to_vec();
        let (kept, read) = decoder.decode(&mut bytes)?;
        bytes.truncate(kept);
        Ok((bytes, read, decoder.is_at_end()))
    }

    /// The same in pieces of `size`.
    fn decode_in(text: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), Bad> {
        let mut decoder = Decoder::new();
        let (mut data, mut total) = (Vec::new(), 0);
        for piece in text.chunks(size) {
            let mut piece = piece.to_vec();
            let (kept, read) = decoder.decode(&mut piece)?;
            data.extend_from_slice(&piece[..kept]);
            total += read;
        }
        Ok((data, total, decoder.is_at_end()))
    }

    fn check(text: &[u8]) {
        let whole = decode(text);
        for size in 1..=text.len() {
            let pieces = decode_in(text, size);
            assert_eq!(pieces, whole, "{size} {:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn bodies() {
        for (text, data, rest) in [
            ("0\r\n\r\n", "", 0),
            ("5\r\nhello\r\n0\r\n\r\nGET", "hello", 3),
            ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", 0),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
            ("00000000000000a\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0),
            ("5;a=b;c=\"d e\";f\r\nhello\r\n0;x\r\n\r\n", "hello", 0),
            ("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", 0),
            ("0\r\nA: b\r\nX-Y:\r\n\r\nx", "", 1),
        ] {
            let want = Ok((data.into(), text.len() - rest, true));
            assert_eq!(decode(text.as_bytes()), want, "{text:?}");
            check(text.as_bytes());
        }
    }

    #[test]
    fn no_bodies() {
        for text in [
            "\r\n",
            "x\r\n",
            ";a\r\n",
            " 5\r\nhello",
            "5 \r\nhello",
            "5 ;x\r\nhello",
            "5\t\r\nhello",
            "+5\r\nhello",
            "-5\r\nhello",
            "0x5\r\nhello",
            "5_\r\nhello",
            "5\nhello",
            "5\rhello",
            "5\r\rhello",
            "5;\r\nhello",
            "5;;a\r\nhello",
            "5; a\r\nhello",
            "5;a\nhello",
            "5;a\r\x01hello",
            "5;a=\0\r\nhello",
            "5;a=\x7f\r\nhello",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n0\r\n\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nA : x\r\n\r\n",
            "0\r\n A: x\r\n\r\n",
            "0\r\nA: x\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\n\n",
            "0\r\n\rx",
            "0\n\r\n",
            "4000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "00000000000000005\r\nhello",
        ] {
            assert_eq!(decode(text.as_bytes()), Err(Bad), "{text:?}");
            check(text.as_bytes());
        }
        assert_eq!(decode(b"3fffffffffffffff\r\nx"), Ok((b"x".to_vec(), 19, false)));
    }

    #[test]
    fn trailers_are_kept() {
        let text = b"1\r\nx\r\n0;a\r\nA: b\r\nHost: h\r\nC:\r\n\r\nGET";
        let (start, end) = (b"1\r\nx\r\n0;a\r\n".len(), text.len() - 3);
        for size in 1..=text.len() {
            let mut decoder = Decoder::keeping_trailers();
            let (mut read, mut all) = (0, false);
            for piece in text.chunks(size) {
                let mut piece = piece.to_vec();
                let (_, used) = decoder.decode(&mut piece).unwrap();
                read += used;
                assert_eq!(read >= start, decoder.is_at_trailers());
                if decoder.is_at_trailers() && !all {
                    let (more, is_all) = decoder.trailers(&piece[used..]).unwrap();
                    (read, all) = (read + more, is_all);
                }
            }
            assert_eq!((read, all), (end, true));
        }
        let mut decoder = Decoder::keeping_trailers();
        assert_eq!(decoder.decode(&mut b"0\r\nA: b\n\r\n".to_vec()), Ok((0, 3)));
        assert_eq!(decoder.trailers(b"A: b\n\r\n"), Err(Bad));
    }

    #[test]
    fn extras_are_bounded() {
        let long = format!("1;{}\r\nx\r\n", "a".repeat(EXTRAS_MAX.into()));
        assert_eq!(decode(long.as_bytes()), Err(Bad));
        let many = "1;abc\r\nx\r\n".repeat(usize::from(EXTRAS_MAX) / 4 + 1);
        assert_eq!(decode(many.as_bytes()), Err(Bad));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(5000));
        assert_eq!(decode(trailers.as_bytes()), Err(Bad));
    }

    #[test]
    fn mutations_do_not_depend_on_splits() {
        const BYTES: &[u8] = b"\r\n\0 ;=\"05aF:x\x80";
        let corpus: [&[u8]; 2] = [
            b"5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\nGET /",
            b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        ];
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % limit
        };
        for round in 0..2000 {
            let mut text = corpus[round % 2].to_vec();
            for _ in 0..1 + random(3) {
                let at = random(text.len());
                match random(3) {
                    0 => text.insert(at, BYTES[random(BYTES.len())]),
                    1 => drop(text.remove(at)),
                    _ => text[at] = BYTES[random(BYTES.len())],
                }
            }
            check(&text);
        }
    }

    #[test]
    fn heads() {
        let mut room = [0; HEAD];
        assert_eq!(head(255, &mut room), b"ff\r\n");
        assert_eq!(head(u64::MAX, &mut room), b"ffffffffffffffff\r\n");
    }
}
