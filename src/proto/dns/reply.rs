//! Replies: whether one is ours, and what it says.

use super::{HEADER, INTERNET, Kind, Name, Question, u16_at, u32_at};
use crate::sys::addr::Ip;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a server said to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// At least one, for so many seconds.
    Addresses { addresses: Vec<Ip>, ttl: u32 },
    /// At least one, for so many seconds.
    Services { services: Vec<Service>, ttl: u32 },
    /// It is another name's, which has to be asked for.
    Alias { name: Box<Name>, ttl: u32 },
    /// There is no such name, or it has nothing of the kind; for so many seconds, if it says.
    Nothing { ttl: Option<u32> },
    /// The server cannot say, and why (RCODE).
    Failed(u8),
    /// It does not fit a datagram: ask over TCP.
    Truncated,
}

/// One of the places where a service is (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: Name,
}

/// Why a message is not the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    Short,
    /// Not ours: another id.
    Id(u16),
    /// Not ours: it answers nothing, or another question.
    Flags(u16),
    Question,
    /// Ours, but it cannot be read.
    Malformed(&'static str),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Short => f.write_str("short DNS response"),
            Bad::Id(id) => write!(f, "wrong ident {id} in DNS response"),
            Bad::Flags(flags) => write!(f, "invalid DNS response, flags {flags:#06x}"),
            Bad::Question => f.write_str("wrong question in DNS response"),
            Bad::Malformed(what) => write!(f, "{what} in DNS response"),
        }
    }
}

/// Aliases that one reply may lead through.
const CHAIN: usize = 16;
/// Records that are read of one section.
const RECORDS: usize = 512;
/// Addresses or services that are kept of one reply.
const KEPT: usize = 256;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RCODE: u16 = 0x000f;
const NO_SUCH_NAME: u8 = 3;

const CNAME: u16 = 5;
const SOA: u16 = 6;

impl Reply {
    /// Reads a message that came as the reply to `question` under `id`.
    pub fn read(message: &[u8], id: u16, question: &Question) -> Result<Reply, Bad> {
        let word = |index: usize| u16_at(message, 2 * index);
        let (Some(own), Some(flags)) = (word(0), word(1)) else { return Err(Bad::Short) };
        let (Some(questions), Some(answers), Some(authorities)) = (word(2), word(3), word(4))
        else {
            return Err(Bad::Short);
        };
        if own != id {
            return Err(Bad::Id(own));
        }
        if flags & (RESPONSE | OPCODE) != RESPONSE {
            return Err(Bad::Flags(flags));
        }
        let rcode = (flags & RCODE) as u8;
        // A server that could not read the question cannot repeat it.
        if questions == 0 && rcode != 0 && rcode != NO_SUCH_NAME {
            return Ok(Reply::Failed(rcode));
        }
        let at = match questions {
            1 => repeats(message, question).ok_or(Bad::Question)?,
            _ => return Err(Bad::Question),
        };
        match (flags & TRUNCATED, rcode) {
            (TRUNCATED, _) => return Ok(Reply::Truncated),
            (_, 0 | NO_SUCH_NAME) => {}
            (_, rcode) => return Ok(Reply::Failed(rcode)),
        }
        let (answers, at) = section(message, at, answers)?;
        let soa_ttl = match section(message, at, authorities) {
            Ok((records, _)) => records.iter().find_map(|record| record.negative_ttl(message)),
            Err(_) => None,
        };
        Chain { message, records: &answers }.follow(question, rcode, soa_ttl)
    }
}

/// Where the question ends, if it is the one that was asked.
fn repeats(message: &[u8], question: &Question) -> Option<usize> {
    let (name, at) = Name::read(message, HEADER)?;
    let same = name == question.name
        && u16_at(message, at)? == question.kind.number()
        && u16_at(message, at + 2)? == INTERNET;
    same.then_some(at + 4)
}

struct Record {
    /// Where its owner's name is.
    owner: usize,
    kind: u16,
    ttl: u32,
    /// Where its contents are.
    at: usize,
    len: usize,
}

impl Record {
    /// The record at `at`, and where the next one is.
    fn read(message: &[u8], owner: usize) -> Option<(Record, usize)> {
        let (_, at) = Name::read(message, owner)?;
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        // One with the sign bit set counts as none (RFC 2181 section 8).
        let ttl = u32_at(message, at + 4).map(|ttl| if ttl >> 31 == 1 { 0 } else { ttl })?;
        let len = usize::from(u16_at(message, at + 8)?);
        let at = at + 10;
        message.get(at..at + len)?;
        let kind = if class == INTERNET { kind } else { 0 };
        Some((Record { owner, kind, ttl, at, len }, at + len))
    }

    fn contents<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        message.get(self.at..self.at + self.len).unwrap_or_default()
    }

    /// How long nothing stays nothing (RFC 2308 section 5), if this is a SOA.
    fn negative_ttl(&self, message: &[u8]) -> Option<u32> {
        if self.kind != SOA || self.len < 22 {
            return None;
        }
        u32_at(message, self.at + self.len - 4).map(|minimum| minimum.min(self.ttl))
    }
}

/// The records of a section, and where the next one begins.
fn section(message: &[u8], mut at: usize, count: u16) -> Result<(Vec<Record>, usize), Bad> {
    let count = usize::from(count);
    if count > RECORDS {
        return Err(Bad::Malformed("too many records"));
    }
    let mut records = Vec::new();
    for _ in 0..count {
        let Some((record, next)) = Record::read(message, at) else {
            return Err(Bad::Malformed("invalid record"));
        };
        records.push(record);
        at = next;
    }
    Ok((records, at))
}

/// The answers of a reply: aliases, and what the last of them has.
struct Chain<'m> {
    message: &'m [u8],
    records: &'m [Record],
}

impl Chain<'_> {
    fn follow(&self, question: &Question, rcode: u8, soa_ttl: Option<u32>) -> Result<Reply, Bad> {
        let (mut owner, mut ttl) = (question.name, u32::MAX);
        for _ in 0..CHAIN {
            if let Some(reply) = self.has(&owner, question.kind, ttl)? {
                return Ok(reply);
            }
            let Some(alias) = self.of(&owner, CNAME).next() else {
                // The end of a chain that this server has not followed.
                if owner != question.name && rcode == 0 && soa_ttl.is_none() {
                    return Ok(Reply::Alias { name: Box::new(owner), ttl });
                }
                return Ok(Reply::Nothing { ttl: soa_ttl });
            };
            let (target, _) =
                Name::read(self.message, alias.at).ok_or(Bad::Malformed("invalid CNAME record"))?;
            (owner, ttl) = (target, ttl.min(alias.ttl));
        }
        Err(Bad::Malformed("too many CNAME records"))
    }

    /// The records of a name.
    fn of(&self, owner: &Name, kind: u16) -> impl Iterator<Item = &Record> {
        let is_of = |record: &&Record| {
            Name::read(self.message, record.owner).is_some_and(|(name, _)| name == *owner)
        };
        self.records.iter().filter(move |record| record.kind == kind).filter(is_of)
    }

    /// What a name has of that kind, if anything.
    fn has(&self, owner: &Name, kind: Kind, ttl: u32) -> Result<Option<Reply>, Bad> {
        let (mut addresses, mut services, mut ttl) = (Vec::new(), Vec::new(), ttl);
        for record in self.of(owner, kind.number()).take(KEPT) {
            ttl = ttl.min(record.ttl);
            let contents = record.contents(self.message);
            match kind {
                Kind::A => addresses.push(Ip::V4(Ipv4Addr::from(
                    <[u8; 4]>::try_from(contents)
                        .map_err(|_| Bad::Malformed("invalid A record"))?,
                ))),
                Kind::Aaaa => addresses.push(Ip::V6(Ipv6Addr::from(
                    <[u8; 16]>::try_from(contents)
                        .map_err(|_| Bad::Malformed("invalid AAAA record"))?,
                ))),
                Kind::Srv => {
                    services.push(self.service(record).ok_or(Bad::Malformed("invalid SRV record"))?)
                }
            }
        }
        Ok(match (addresses.is_empty(), services.is_empty()) {
            (false, _) => Some(Reply::Addresses { addresses, ttl }),
            (_, false) => Some(Reply::Services { services, ttl }),
            _ => None,
        })
    }

    fn service(&self, record: &Record) -> Option<Service> {
        let word = |index: usize| u16_at(self.message, record.at + 2 * index);
        let (target, end) = Name::read(self.message, record.at + 6)?;
        let fits = end == record.at + record.len;
        let (priority, weight, port) = (word(0)?, word(1)?, word(2)?);
        fits.then_some(Service { priority, weight, port, target })
    }
}
