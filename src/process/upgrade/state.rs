//! What one image of the master leaves to the next: numbers of descriptors, and what they are.
//!
//! It travels in a memfd. Its version stands outside, in the environment, so that an image that
//! does not know it can still give everything back to the one before.

use std::ffi::CString;
use std::os::fd::RawFd;

use crate::process::channel::{CARRIED, MESSAGE, Message};
use crate::process::master::Doomed;
use crate::process::table::Work;
use crate::shm::directory::Left;
use crate::shm::pack::{Packer, Unpacker};
use crate::sys::limits::Limit;

/// Raise it with every change of what is packed here.
pub const VERSION: u32 = 2;

#[derive(Default, Debug, PartialEq, Eq)]
pub struct State {
    /// Of the workers that serve.
    pub generation: u32,
    /// The highest number that was given to one, in force or not.
    pub last_generation: u32,
    /// They were told to stop accepting, and nobody was to take their place.
    pub noaccepting: bool,
    /// The path that is executed.
    pub executable: Vec<u8>,
    /// With its own name first.
    pub args: Vec<CString>,
    /// The limit of descriptors that the first image was started with.
    pub nofile: Option<Limit>,
    pub pid_file: Option<Vec<u8>>,
    pub scoreboard: Option<RawFd>,
    /// What the configuration was read from.
    pub texts: Option<RawFd>,
    /// Each with whether a supervisor has lent it.
    pub listeners: Vec<(RawFd, bool)>,
    pub zones: Vec<Left>,
    pub children: Vec<Child>,
    /// Who is killed, and when.
    pub kills: Vec<(u64, Doomed)>,
}

/// A process of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Child {
    pub slot: usize,
    pub pid: i32,
    pub work: Work,
    pub generation: u32,
    pub born_ms: u64,
    pub respawn: bool,
    pub ready: bool,
    pub deaf: bool,
    pub ignored: bool,
    pub exiting: bool,
    /// Its channel, in the order in which the channel names its ends.
    pub ends: Vec<RawFd>,
    /// Messages that found no room yet.
    pub waiting: Vec<Message>,
}

impl State {
    pub fn pack(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.number(self.generation.into()).number(self.last_generation.into());
        packer.number(self.noaccepting.into());
        packer.bytes(&self.executable).list(self.args.iter(), |packer, arg| {
            packer.bytes(arg.to_bytes());
        });
        packer.list(self.nofile.iter(), |packer, limit| {
            packer.number(limit.soft).number(limit.hard);
        });
        packer.list(self.pid_file.iter(), |packer, path| {
            packer.bytes(path);
        });
        packer.list(self.scoreboard.iter(), put_fd).list(self.texts.iter(), put_fd);
        packer.list(self.listeners.iter(), |packer, (fd, lent)| {
            put_fd(packer, fd);
            packer.number((*lent).into());
        });
        packer.list(self.zones.iter(), put_zone);
        packer.list(self.children.iter(), put_child);
        packer.list(self.kills.iter(), |packer, (at, doomed)| {
            let (kind, number) = match doomed {
                Doomed::Generation(number) => (0, u64::from(*number)),
                Doomed::Process(pid) => (1, u64::from(pid.unsigned_abs())),
            };
            packer.number(*at).number(kind).number(number);
        });
        packer.into_bytes()
    }

    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut from = Unpacker::new(bytes);
        let state = Self {
            generation: from.number()?,
            last_generation: from.number()?,
            noaccepting: from.flag()?,
            executable: from.bytes()?.to_vec(),
            args: from.list(|from| CString::new(from.bytes()?).ok())?,
            nofile: from
                .list(|from| Some(Limit { soft: from.number()?, hard: from.number()? }))?
                .pop(),
            pid_file: from.list(|from| Some(from.bytes()?.to_vec()))?.pop(),
            scoreboard: from.list(Unpacker::number)?.pop(),
            texts: from.list(Unpacker::number)?.pop(),
            listeners: from.list(|from| Some((from.number()?, from.flag()?)))?,
            zones: from.list(zone)?,
            children: from.list(child)?,
            kills: from.list(|from| Some((from.number()?, doomed(from)?)))?,
        };
        from.is_empty().then_some(state)
    }

    /// Every descriptor that is named.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let zones = self.zones.iter().map(|zone| zone.memory);
        let ends = self.children.iter().flat_map(|child| &child.ends).copied();
        let single = self.scoreboard.into_iter().chain(self.texts);
        single.chain(self.listeners.iter().map(|(fd, _)| *fd)).chain(zones).chain(ends)
    }
}

fn put_fd(packer: &mut Packer, fd: &RawFd) {
    // A descriptor's number is never negative.
    packer.number(u64::from(fd.unsigned_abs()));
}

fn put_zone(packer: &mut Packer, zone: &Left) {
    packer.bytes(zone.name.as_bytes()).number(zone.size as u64).bytes(zone.owner.as_bytes());
    packer.bytes(zone.key.as_bytes()).number(zone.layout.into());
    put_fd(packer, &zone.memory);
}

fn zone(from: &mut Unpacker<'_>) -> Option<Left> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some(Left {
        name: text(from.bytes()?)?,
        size: from.number()?,
        owner: text(from.bytes()?)?,
        key: text(from.bytes()?)?,
        layout: from.number()?,
        memory: from.number()?,
    })
}

fn put_child(packer: &mut Packer, child: &Child) {
    let (kind, number) = match child.work {
        Work::Worker { number } => (0, number),
        Work::CacheManager => (1, 0),
        Work::CacheLoader => (2, 0),
        Work::NewBinary => (3, 0),
        Work::HealthChecker => (4, 0),
    };
    packer.number(child.slot as u64).number(u64::from(child.pid.unsigned_abs()));
    packer.number(kind).number(number as u64);
    packer.number(child.generation.into()).number(child.born_ms);
    for flag in [child.respawn, child.ready, child.deaf, child.ignored, child.exiting] {
        packer.number(flag.into());
    }
    packer.list(child.ends.iter(), put_fd);
    packer.list(child.waiting.iter(), |packer, message| {
        packer.bytes(&message.encode(-1));
    });
}

fn child(from: &mut Unpacker<'_>) -> Option<Child> {
    Some(Child {
        slot: from.number()?,
        pid: from.number()?,
        work: match (from.number::<u64>()?, from.number()?) {
            (0, number) => Work::Worker { number },
            (1, _) => Work::CacheManager,
            (2, _) => Work::CacheLoader,
            (3, _) => Work::NewBinary,
            (4, _) => Work::HealthChecker,
            _ => return None,
        },
        generation: from.number()?,
        born_ms: from.number()?,
        respawn: from.flag()?,
        ready: from.flag()?,
        deaf: from.flag()?,
        ignored: from.flag()?,
        exiting: from.flag()?,
        ends: from.list(Unpacker::number)?,
        waiting: from.list(message)?,
    })
}

fn doomed(from: &mut Unpacker<'_>) -> Option<Doomed> {
    match from.number::<u64>()? {
        0 => Some(Doomed::Generation(from.number()?)),
        1 => Some(Doomed::Process(from.number()?)),
        _ => None,
    }
}

fn message(from: &mut Unpacker<'_>) -> Option<Message> {
    let bytes: &[u8; MESSAGE] = from.bytes()?.try_into().ok()?;
    // The end that comes along is looked up when the message goes out.
    [0, CARRIED].into_iter().find_map(|descriptors| Message::decode(bytes, descriptors).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::channel::Command;

    fn full() -> State {
        let child = |slot, work| Child {
            slot,
            pid: 100 + slot as i32,
            work,
            generation: 2,
            born_ms: 77,
            respawn: true,
            ready: true,
            deaf: false,
            ignored: false,
            exiting: slot == 1,
            ends: vec![10 + slot as RawFd, 20],
            waiting: vec![
                Message { command: Command::OpenChannel, pid: 7, slot: 3, generation: 2 },
                Message::order(Command::Quit),
            ],
        };
        State {
            generation: 3,
            last_generation: 4,
            noaccepting: true,
            executable: b"/usr/sbin/limpet".to_vec(),
            args: [c"limpet", c"-c", c""].map(CString::from).to_vec(),
            nofile: Some(Limit { soft: 1024, hard: u64::MAX }),
            pid_file: Some(b"/run/limpet.pid".to_vec()),
            scoreboard: Some(5),
            texts: None,
            listeners: vec![(6, true), (7, false)],
            zones: vec![Left {
                name: "one".into(),
                size: 65536,
                owner: "limit_req".into(),
                key: "$remote_addr".into(),
                layout: 2,
                memory: 8,
            }],
            children: vec![child(0, Work::Worker { number: 4 }), child(1, Work::CacheManager)],
            kills: vec![(12345, Doomed::Generation(1)), (12346, Doomed::Process(101))],
        }
    }

    #[test]
    fn a_state_arrives_whole_or_not_at_all() {
        let state = full();
        let bytes = state.pack();
        assert_eq!(State::unpack(&bytes), Some(full()));
        for len in 0..bytes.len() {
            assert_eq!(State::unpack(&bytes[..len]), None, "{len}");
        }
        assert_eq!(State::unpack(&[&bytes[..], b"more"].concat()), None);
        assert_eq!(State::unpack(&State::default().pack()), Some(State::default()));
        let fds: Vec<RawFd> = state.descriptors().collect();
        assert_eq!(fds, [5, 6, 7, 8, 10, 20, 11, 20]);
    }
}
