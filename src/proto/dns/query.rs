//! A message that asks one question.

use super::{HEADER, INTERNET, Question};

/// The length before a message of TCP.
const PREFIX: usize = 2;
const MOST: usize = PREFIX + HEADER + 255 + 4;
/// Ask others for it, too.
const RECURSION_DESIRED: u16 = 0x0100;

/// A query, ready for both transports.
pub struct Query {
    len: usize,
    bytes: [u8; MOST],
}

impl Query {
    pub fn new(id: u16, question: &Question) -> Query {
        let mut query = Query { len: PREFIX, bytes: [0; MOST] };
        for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            query.put(&word.to_be_bytes());
        }
        query.put(question.name.bytes());
        query.put(&[0]);
        query.put(&question.kind.number().to_be_bytes());
        query.put(&INTERNET.to_be_bytes());
        let len = (query.len - PREFIX) as u16;
        query.bytes[..PREFIX].copy_from_slice(&len.to_be_bytes());
        query
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// For UDP.
    pub fn datagram(&self) -> &[u8] {
        &self.bytes[PREFIX..self.len]
    }

    /// For TCP: with its length before it.
    pub fn segment(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
