//! The peers of a group at the moment, and which of them a request has tried.

use super::peer::Peer;
use super::place::Spot;
use crate::sys::addr::Addr;
use std::rc::Rc;

/// Primaries and backups, and by server where they come from.
#[derive(Default)]
pub struct Lists {
    /// Grows with each change.
    generation: u32,
    primary: Box<[Rc<Peer>]>,
    backup: Box<[Rc<Peer>]>,
    by_server: Vec<Vec<Rc<Peer>>>,
}

impl Lists {
    pub fn new(generation: u32, by_server: Vec<Vec<Rc<Peer>>>) -> Lists {
        let select = |backup: bool| -> Box<[Rc<Peer>]> {
            let all = by_server.iter().flatten();
            all.filter(|peer| peer.is_backup.get() == backup).cloned().collect()
        };
        let (primary, backup) = (select(false), select(true));
        let single = primary.len() + backup.len() == 1;
        primary.iter().chain(&backup).for_each(|peer| peer.single.set(single));
        Lists { generation, primary, backup, by_server }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn is_empty(&self) -> bool {
        self.primary.is_empty() && self.backup.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.primary.iter().chain(&self.backup)
    }

    pub fn of_server(&self, server: usize) -> &[Rc<Peer>] {
        self.by_server.get(server).map_or(&[], Vec::as_slice)
    }

    pub fn has(&self, peer: &Rc<Peer>) -> bool {
        self.all().any(|own| Rc::ptr_eq(own, peer))
    }

    /// Those that are to be tried now.
    pub fn of(&self, tries: &Tries) -> &[Rc<Peer>] {
        if tries.backup { &self.backup } else { &self.primary }
    }

    /// How many peers there are to try.
    pub fn tries(&self) -> u32 {
        self.all().filter(|peer| !peer.server.down).count() as u32
    }

    /// The lists with other addresses of a server. None: they are the same.
    pub fn replaced(
        &self,
        server: usize,
        spots: &[Spot],
        make: impl Fn(Addr) -> Rc<Peer>,
    ) -> Option<Lists> {
        let old = self.by_server.get(server)?;
        let says = |peer: &Peer| (peer.weight.get(), peer.is_backup.get());
        let is_known = |spot: &Spot| {
            let Some(peer) = old.iter().find(|peer| peer.addr == spot.addr) else { return false };
            let before = says(peer);
            peer.follow(spot);
            says(peer) == before
        };
        let known = spots.iter().filter(|spot| is_known(spot)).count();
        if old.len() == known && spots.len() == known {
            return None;
        }
        let mut by_server = self.by_server.clone();
        // In the old order, then what is new: an answer of DNS has them in any order.
        let mut peers: Vec<Rc<Peer>> = old.clone();
        peers.retain(|peer| spots.iter().any(|spot| spot.addr == peer.addr));
        for spot in spots {
            if peers.iter().all(|peer| peer.addr != spot.addr) {
                let peer = make(spot.addr);
                peer.follow(spot);
                peers.push(peer);
            }
        }
        by_server[server] = peers;
        Some(Lists::new(self.generation.wrapping_add(1), by_server))
    }
}

/// What a request has tried so far.
///
/// A bit for each peer. In groups of more than 256 several share one, so a request tries
/// fewer of them than nginx would, and none twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    tried: [u64; 4],
    /// Of the lists that the bits are about.
    generation: u32,
    pub(super) walk: Walk,
    backup: bool,
}

/// Where a method goes on when it is asked again for the same request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// A hash, or a place.
    pub at: u32,
    /// How often it went on; 0: it is yet to begin.
    pub turns: u16,
    /// How many peers could not serve.
    pub misses: u8,
}

const _: () = assert!(size_of::<Tries>() <= 64);

impl Tries {
    /// Other peers are others to try.
    pub(super) fn follow(&mut self, lists: &Lists) {
        if self.generation != lists.generation {
            self.generation = lists.generation;
            self.tried = [0; 4];
            self.backup = false;
        }
    }

    /// Whether the backups are tried.
    pub(super) fn is_at_backups(&self) -> bool {
        self.backup
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.tried[index / 64 % 4] & 1 << (index % 64) != 0
    }

    pub(super) fn note(&mut self, index: usize) {
        self.tried[index / 64 % 4] |= 1 << (index % 64);
    }

    /// False: there are none, or it has been there.
    pub(super) fn go_to_backups(&mut self, lists: &Lists) -> bool {
        if self.backup || lists.backup.is_empty() {
            return false;
        }
        self.tried = [0; 4];
        self.backup = true;
        true
    }
}
