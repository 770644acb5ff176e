//! The records of a request.
use super::{Kind, VERSION};
use crate::text::writer::{Overflow, Writer};

/// Bytes of a record's head.
pub const HEAD: usize = 8;
/// Bytes of the first record of a request.
pub const BEGIN: usize = 2 * HEAD;
/// Longest content of a record.
pub const CONTENT_MAX: usize = u16::MAX as usize;

const RESPONDER: u8 = 1;
const KEEP: u8 = 1;

const fn head(kind: Kind, len: u16) -> [u8; HEAD] {
    let [high, low] = len.to_be_bytes();
    [VERSION, kind as u8, 0, 1, high, low, 0, 0]
}

/// The record that begins a request; `keep` asks that the connection stay open
/// behind the response.
pub const fn begin(keep: bool) -> [u8; BEGIN] {
    let [a, b, c, d, e, f, g, h] = head(Kind::BeginRequest, 8);
    [a, b, c, d, e, f, g, h, 0, RESPONDER, if keep { KEEP } else { 0 }, 0, 0, 0, 0, 0]
}

/// The head of a record with `len` bytes of the request's body, which is not 0.
pub const fn stdin(len: u16) -> [u8; HEAD] {
    head(Kind::Stdin, len)
}

/// What follows the body, or is there instead of one.
pub const END_OF_STDIN: [u8; HEAD] = head(Kind::Stdin, 0);

/// Room that the records of all parameters take, when `pairs` is the sum of
/// their [`Params::pair_len`].
pub fn params_len(pairs: usize) -> usize {
    let records = pairs.div_ceil(CONTENT_MAX) + 1;
    pairs.saturating_add(records.saturating_mul(HEAD))
}

/// Writes name-value pairs as `PARAMS` records: as many as it takes, and the
/// empty one behind them.
pub struct Params<'a> {
    out: Writer<'a>,
    /// Where the head of the open record is.
    record: Option<usize>,
}

impl<'a> Params<'a> {
    pub fn new(room: &'a mut [u8]) -> Params<'a> {
        Params { out: Writer::new(room), record: None }
    }

    /// Bytes that a pair takes.
    pub fn pair_len(name: usize, value: usize) -> usize {
        let len = |len: usize| if len < 128 { 1 } else { 4 };
        name.saturating_add(value).saturating_add(len(name) + len(value))
    }

    /// A whole pair.
    pub fn pair(&mut self, name: &[u8], value: &[u8]) {
        self.lengths(name.len(), value.len());
        self.bytes(name);
        self.bytes(value);
    }

    /// Begins a pair: so many [`Params::bytes`] of name and of value follow.
    pub fn lengths(&mut self, name: usize, value: usize) {
        for len in [name, value] {
            match u8::try_from(len) {
                Ok(len @ ..128) => self.bytes(&[len]),
                // A buffer of 2 GiB does not exist.
                _ => self.bytes(&(len as u32 | 1 << 31).to_be_bytes()),
            }
        }
    }

    /// Puts bytes of a pair, into as many records as it takes.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.out.overflowed() {
            let room = CONTENT_MAX - self.open();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.out.put(now);
            bytes = later;
            if now.len() == room {
                self.close();
            }
        }
    }

    /// How much the open record holds; one is opened if there is none.
    fn open(&mut self) -> usize {
        let at = *self.record.get_or_insert(self.out.len());
        if at == self.out.len() {
            self.out.put(&head(Kind::Params, 0));
        }
        self.out.len().saturating_sub(at + HEAD)
    }

    /// Tells the open record's length in its head.
    fn close(&mut self) {
        if let Some(at) = self.record.take() {
            let len = self.out.len().saturating_sub(at + HEAD) as u16;
            self.out.patch(at, &head(Kind::Params, len));
        }
    }

    /// How many bytes were written, if all of it fitted.
    pub fn finish(mut self) -> Result<usize, Overflow> {
        self.close();
        self.out.put(&head(Kind::Params, 0));
        self.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of consecutive `PARAMS` records, the last of which is empty.
    fn contents(mut bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (head, rest) = bytes.split_first_chunk::<HEAD>().unwrap();
            let [1, 4, 0, 1, high, low, 0, 0] = *head else { panic!("{head:?}") };
            let len = usize::from(u16::from_be_bytes([high, low]));
            if len == 0 {
                assert!(rest.is_empty());
                return all;
            }
            all.extend_from_slice(&rest[..len]);
            bytes = &rest[len..];
        }
    }

    /// Takes pairs apart the slow way.
    fn pairs(mut bytes: &[u8]) -> Vec<(usize, usize)> {
        let length = |bytes: &mut &[u8]| match **bytes {
            [len @ ..128, ref rest @ ..] => {
                *bytes = rest;
                usize::from(len)
            }
            [a, b, c, d, ref rest @ ..] => {
                *bytes = rest;
                (u32::from_be_bytes([a, b, c, d]) & i32::MAX as u32) as usize
            }
            _ => panic!("no length"),
        };
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (name, value) = (length(&mut bytes), length(&mut bytes));
            assert!(bytes[..name].iter().all(|&b| b == b'n'));
            assert!(bytes[name..name + value].iter().all(|&b| b == b'v'));
            bytes = &bytes[name + value..];
            found.push((name, value));
        }
        found
    }

    #[test]
    fn begins_and_ends() {
        assert_eq!(begin(false), [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(begin(true), [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(stdin(0x1234), [1, 5, 0, 1, 0x12, 0x34, 0, 0]);
        assert_eq!(END_OF_STDIN, [1, 5, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn params() {
        let mut room = [0; 64];
        let mut params = Params::new(&mut room);
        params.pair(b"A", b"bc");
        params.pair(b"D", b"");
        let len = params.finish().unwrap();
        assert_eq!(
            room[..len],
            *b"\x01\x04\0\x01\0\x08\0\0\x01\x02Abc\x01\0D\x01\x04\0\x01\0\0\0\0"
        );
        let len = Params::new(&mut room).finish().unwrap();
        assert_eq!(room[..len], *b"\x01\x04\0\x01\0\0\0\0");
    }

    #[test]
    fn params_of_all_lengths() {
        for sizes in [
            &[(0, 0), (127, 127), (128, 127), (127, 128), (128, 128)][..],
            &[(1, 65_535 - 6)],
            &[(1, 65_536 - 6), (3, 4)],
            &[(65_535, 65_535), (1, 70_000), (200, 1)],
            &[(1, 65_535 - 6 - 3), (1, 200)],
        ] {
            let total = sizes.iter().map(|&(name, value)| Params::pair_len(name, value)).sum();
            let mut room = vec![0; params_len(total)];
            let mut params = Params::new(&mut room);
            for &(name, value) in sizes {
                params.pair(&vec![b'n'; name], &vec![b'v'; value]);
            }
            let len = params.finish().unwrap();
            let found = contents(&room[..len]);
            assert_eq!(found.len(), total);
            assert_eq!(pairs(&found), sizes);
            let mut params = Params::new(&mut room[..len - 1]);
            for &(name, value) in sizes {
                params.pair(&vec![b'n'; name], &vec![b'v'; value]);
            }
            assert_eq!(params.finish(), Err(Overflow));
        }
    }
}
