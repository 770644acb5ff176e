//! What travels beside a tunnel: in a file in memory, since the bytes on their way may be more
//! than a message holds.
//!
//! It is written once and sealed. The receiver copies it before it looks, so that nobody can
//! change what has been checked.

use std::os::fd::OwnedFd;

use super::fields::{Reader, put_flag};
use crate::sys::errno::{Errno, Result};
use crate::sys::{file, io};
use crate::text::writer::Writer;

/// No parcel is larger: two buffers, and what is known of a request.
const LONGEST: u64 = 4 << 20;

/// What stands before the texts.
const FIXED: usize = 2 + 8 + 2 * (2 + 8 + 8) + 3 * 4;

/// Whose tunnel it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// An upgraded request's.
    Http = 1,
}

/// A tunnel, but for its descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tunnel<'a> {
    pub owner: Owner,
    /// It ends when nothing has passed for so long.
    pub timeout_ms: u64,
    /// From the client to the upstream.
    pub up: Way<'a>,
    pub down: Way<'a>,
    /// What only its owner understands.
    pub context: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way<'a> {
    /// Its source has ended.
    pub ended: bool,
    /// Bytes that came, and those that have passed.
    pub came: u64,
    pub passed: u64,
    /// They have come and not passed.
    pub pending: &'a [u8],
}

impl Tunnel<'_> {
    /// Writes it into a file. EFBIG: it is too large to travel.
    pub fn pack(&self) -> Result<OwnedFd> {
        let mut room = [0; FIXED];
        let mut out = Writer::new(&mut room);
        out.put(&(self.owner as u16).to_ne_bytes());
        out.put(&self.timeout_ms.to_ne_bytes());
        for way in [&self.up, &self.down] {
            put_flag(way.ended, &mut out);
            out.put(&way.came.to_ne_bytes());
            out.put(&way.passed.to_ne_bytes());
        }
        let texts = [self.up.pending, self.down.pending, self.context];
        for text in texts {
            out.put(&u32::try_from(text.len()).map_err(|_| Errno::EFBIG)?.to_ne_bytes());
        }
        let size: usize = FIXED + texts.iter().map(|text| text.len()).sum::<usize>();
        if size as u64 > LONGEST {
            return Err(Errno::EFBIG);
        }
        let memory = file::memfd(c"limpet:tunnel")?;
        io::write_all(&memory, out.written())?;
        texts.iter().try_for_each(|text| io::write_all(&memory, text))?;
        file::seal_size(&memory)?;
        Ok(memory)
    }
}

impl<'a> Tunnel<'a> {
    /// `None`: nobody of ours has written this.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let owner = match rest.u16()? {
            1 => Owner::Http,
            _ => return None,
        };
        let timeout_ms = rest.u64()?;
        let mut way = || {
            Some(Way { ended: rest.flag()?, came: rest.u64()?, passed: rest.u64()?, pending: b"" })
        };
        let (up, down) = (way()?, way()?);
        let lens = [rest.u32()?, rest.u32()?, rest.u32()?];
        let mut text = |at: usize| rest.bytes(usize::try_from(lens[at]).ok()?);
        let (up, down) = (Way { pending: text(0)?, ..up }, Way { pending: text(1)?, ..down });
        let context = text(2)?;
        rest.0.is_empty().then_some(Self { owner, timeout_ms, up, down, context })
    }
}

/// The bytes of a file that a sibling has sent: EINVAL if it is none that [`Tunnel::pack`] makes,
/// which cannot keep its reader waiting.
pub fn unpack(memory: &OwnedFd) -> Result<Vec<u8>> {
    let size = file::fstat(memory)?.size;
    if size > LONGEST || !file::is_sealed(memory, size as usize) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size as usize];
    match io::pread(memory, &mut bytes, 0)? {
        count if count == bytes.len() => Ok(bytes),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(context: &[u8]) -> Tunnel<'_> {
        let up = Way { ended: true, came: 1 << 40, passed: 7, pending: b"on its way" };
        let down = Way { ended: false, came: 0, passed: u64::MAX, pending: b"" };
        Tunnel { owner: Owner::Http, timeout_ms: 60_000, up, down, context }
    }

    #[test]
    fn tunnels_there_and_back() {
        for context in [&b""[..], b"what http knows", &vec![b'x'; 100_000]] {
            let tunnel = tunnel(context);
            let bytes = unpack(&tunnel.pack().unwrap()).unwrap();
            assert_eq!(bytes.len(), FIXED + 10 + context.len());
            assert_eq!(Tunnel::parse(&bytes), Some(tunnel));
            for len in 0..bytes.len().min(200) {
                assert_eq!(Tunnel::parse(&bytes[..len]), None, "cut at {len}");
            }
            assert_eq!(Tunnel::parse(&[&*bytes, b"x"].concat()), None);
        }
        let large = vec![0; LONGEST as usize];
        assert_eq!(tunnel(&large).pack().unwrap_err(), Errno::EFBIG);
    }

    #[test]
    fn what_is_no_parcel_is_refused() {
        let good = unpack(&tunnel(b"context").pack().unwrap()).unwrap();
        let (owner, ended, len) = (0, 10, FIXED - 12);
        for (at, byte) in [(owner, 2), (owner + 1, 1), (ended, 2), (len, 9), (len + 3, 0xff)] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(Tunnel::parse(&bytes), None, "{at}: {byte}");
        }
        let memory = file::memfd(c"limpet:test").unwrap();
        io::write_all(&memory, &good).unwrap();
        assert_eq!(unpack(&memory), Err(Errno::EINVAL), "its size may change");
        file::seal_size(&memory).unwrap();
        assert_eq!(unpack(&memory), Ok(good));
        let (pipe, _) = io::pipe().unwrap();
        assert_eq!(unpack(&pipe), Err(Errno::EINVAL));
    }
}
