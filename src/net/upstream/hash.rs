//! `hash` and `ip_hash`: the same key, the same peer, as long as it serves.

use super::list::Walk;
use super::peer::Peer;
use super::round_robin::Field;
use crate::sys::addr::Ip;
use crate::text::hash::crc32_more;
use crate::text::number;

/// Beyond this many peers that cannot serve, round robin goes on.
pub const MISSES: u8 = 20;

impl Field<'_> {
    /// `hash KEY`, as Cache::Memcached has it: CRC-32 of the key, behind how often it was in
    /// vain if it was, added up.
    pub fn hash(self, walk: &mut Walk, key: &[u8]) -> Option<usize> {
        if key.is_empty() {
            return self.round_robin();
        }
        self.walk(walk, |walk| {
            let mut crc = !0;
            if walk.turns > 0 {
                let mut room = [0; number::DECIMAL];
                crc = crc32_more(crc, number::format_u64(walk.turns.into(), &mut room));
            }
            walk.turns = walk.turns.saturating_add(1);
            walk.at = walk.at.wrapping_add(!crc32_more(crc, key) >> 16 & 0x7fff);
        })
    }

    /// `ip_hash`: by the network of an address of IPv4, the whole of one of IPv6.
    pub fn ip_hash(self, walk: &mut Walk, client: Ip) -> Option<usize> {
        const BEGIN: u32 = 89;
        let (v4, v6);
        let bytes: &[u8] = match client {
            Ip::V4(ip) => {
                v4 = ip.octets();
                &v4[..3]
            }
            Ip::V6(ip) => {
                v6 = ip.octets();
                &v6
            }
            Ip::Unix => &[0; 3],
        };
        self.walk(walk, |walk| {
            if walk.turns == 0 {
                (walk.turns, walk.at) = (1, BEGIN);
            }
            let more = |hash: u32, byte: &u8| (hash * 113 + u32::from(*byte)) % 6271;
            walk.at = bytes.iter().fold(walk.at % 6271, more);
        })
    }

    /// From one peer to the next until one can serve.
    fn walk(self, walk: &mut Walk, step: impl Fn(&mut Walk)) -> Option<usize> {
        let total = self.total_weight();
        if self.is_single() || total == 0 {
            return self.round_robin();
        }
        while walk.misses <= MISSES {
            step(walk);
            let index = self.by_weight(u64::from(walk.at) % total)?;
            if self.is_open(index) {
                return Some(index);
            }
            walk.misses += 1;
        }
        self.round_robin()
    }

    pub fn total_weight(self) -> u64 {
        self.peers.iter().map(weight).sum()
    }

    /// The peer whose share of all weights the point is in.
    pub fn by_weight(self, mut point: u64) -> Option<usize> {
        self.peers.iter().position(|peer| match point.checked_sub(weight(peer)) {
            None => true,
            Some(rest) => {
                point = rest;
                false
            }
        })
    }
}

fn weight(peer: &std::rc::Rc<Peer>) -> u64 {
    peer.weight.get().into()
}
