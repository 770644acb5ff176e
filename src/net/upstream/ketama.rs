//! `hash KEY consistent`: a circle of points, as Cache::Memcached::Fast has it.
//!
//! Each server has 160 points for each unit of its weight; a key belongs to the next point.
//! So a server that goes leaves its keys to many others, and no other key moves. Points are
//! made of what the configuration says, so they stay when addresses of a name change.

use super::hash::MISSES;
use super::list::Walk;
use super::round_robin::Field;
use super::server::Server;
use crate::mem::sort::sort_by;
use crate::text::ascii;
use crate::text::hash::{crc32, crc32_more};
use std::rc::Rc;

/// By place on the circle: the server.
#[derive(Debug, Default)]
pub struct Ketama {
    points: Box<[(u32, u32)]>,
    /// What the configuration calls each server.
    texts: Box<[Box<[u8]>]>,
}

const POINTS: u32 = 160;
/// So many points of servers without an address are passed over.
const PASSED: u32 = 1000;

impl Ketama {
    pub fn new(servers: &[Rc<Server>]) -> Ketama {
        let mut points = Vec::new();
        let texts = servers.iter().map(|server| server.text.clone()).collect();
        for (server, number) in servers.iter().zip(0..).filter(|(server, _)| !server.backup) {
            let (host, port) = host_and_port(&server.text);
            let base = [host, b"\0", port].into_iter().fold(!0, crc32_more);
            let mut hash = 0_u32;
            for _ in 0..server.weight.saturating_mul(POINTS) {
                hash = !crc32_more(base, &hash.to_le_bytes());
                points.push((hash, number));
            }
        }
        sort_by(&mut points, |a, b| a.0.cmp(&b.0));
        points.dedup_by_key(|(hash, _)| *hash);
        Ketama { points: points.into(), texts }
    }

    /// The first point that is not before `hash`, perhaps one past the last.
    fn find(&self, hash: u32) -> u32 {
        self.points.partition_point(|(at, _)| *at < hash) as u32
    }

    fn text(&self, point: u32) -> &[u8] {
        let at = point as usize % self.points.len().max(1);
        let server = self.points.get(at).and_then(|(_, server)| self.texts.get(*server as usize));
        server.map_or(b"", |text| text)
    }
}

/// What stands before the port, and the port: digits behind the last colon.
fn host_and_port(text: &[u8]) -> (&[u8], &[u8]) {
    if ascii::starts_ignore_case(text, b"unix:") {
        return (&text[5..], b"");
    }
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match text[..text.len() - digits].strip_suffix(b":") {
        Some(host) => (host, &text[text.len() - digits..]),
        None => (text, b""),
    }
}

impl Field<'_> {
    pub fn ketama(self, walk: &mut Walk, ketama: &Ketama, key: &[u8]) -> Option<usize> {
        if key.is_empty() || self.is_single() || ketama.points.is_empty() {
            return self.round_robin();
        }
        if walk.turns == 0 {
            (walk.turns, walk.at) = (1, ketama.find(crc32(key)));
        }
        let mut passed = 0;
        while walk.misses <= MISSES && passed <= PASSED {
            let text = ketama.text(walk.at);
            let is_of = |index: usize| *self.peers[index].server.text == *text;
            let found = self.turn(self.open().filter(|(index, _)| is_of(*index)));
            if found.is_some() {
                return found;
            }
            walk.at = walk.at.wrapping_add(1);
            // A name without an address is no peer that could not serve.
            match (0..self.peers.len()).any(is_of) {
                true => walk.misses += 1,
                false => passed += 1,
            }
        }
        self.round_robin()
    }
}
