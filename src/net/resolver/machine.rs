//! What this machine itself says of names: /etc/hosts, then the servers of /etc/resolv.conf
//! with its search list. As libc does it, but nobody is waited for.

use super::answers::{self, Answer, Answered, Families, Missing};
use super::failure::Failure;
use super::hosts;
use super::resolv_conf::ResolvConf;
use super::watched::{Watched, words};
use crate::proto::dns::{Name, Service};
use crate::sys::addr::Ip;
use std::cell::RefCell;
use std::ffi::CString;
use std::rc::Rc;

/// For how many seconds the hosts file is believed without another look.
const HOSTS_TTL: u32 = 5;

/// Where the files are.
pub struct Paths {
    pub hosts: CString,
    pub resolv_conf: CString,
    /// The addresses of IPv6 that this machine has (proc(5)).
    pub if_inet6: CString,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            hosts: c"/etc/hosts".into(),
            resolv_conf: c"/etc/resolv.conf".into(),
            if_inet6: c"/proc/net/if_inet6".into(),
        }
    }
}

pub struct Machine {
    hosts: Watched,
    resolv_conf: Watched,
    if_inet6: Watched,
    conf: RefCell<Option<Read>>,
}

/// A text, and what it says.
type Read = (Rc<[u8]>, Rc<ResolvConf>);

impl Machine {
    pub fn new(paths: Paths) -> Machine {
        Machine {
            hosts: Watched::new(paths.hosts),
            resolv_conf: Watched::new(paths.resolv_conf),
            if_inet6: Watched::new(paths.if_inet6),
            conf: RefCell::default(),
        }
    }

    fn conf(&self) -> Rc<ResolvConf> {
        let text = self.resolv_conf.text();
        let mut conf = self.conf.borrow_mut();
        match &*conf {
            Some((read, conf)) if Rc::ptr_eq(read, &text) => Rc::clone(conf),
            _ => {
                let new = Rc::new(ResolvConf::parse(&text));
                *conf = Some((text, Rc::clone(&new)));
                new
            }
        }
    }

    /// Whether it has an address of IPv6 that reaches beyond its links: without one it would
    /// be told of peers that it cannot reach.
    fn has_v6(&self) -> bool {
        let text = self.if_inet6.text();
        let mut lines = text.split(|byte| *byte == b'\n');
        // address, index, prefix length, scope, flags, name
        lines.any(|line| words(line, b"").nth(3).is_some_and(|scope| scope == b"00"))
    }

    pub async fn addresses(&self, name: &[u8], wanted: Families) -> Answered<Vec<Ip>> {
        let wanted = Families { v6: wanted.v6 && (!wanted.v4 || self.has_v6()), ..wanted };
        let local = hosts::find(&self.hosts.text(), name.strip_suffix(b".").unwrap_or(name));
        if let Some(is) = chosen(local, wanted) {
            return Ok(Answer { is, ttl: HOSTS_TTL });
        }
        let conf = self.conf();
        let mut search = Search::default();
        for candidate in conf.candidates(name) {
            let Some(name) = Name::parse(&candidate) else { continue };
            match answers::addresses(&conf.servers, &name, wanted).await {
                Err(missing) => search.note(missing)?,
                found => return found,
            }
        }
        Err(search.end())
    }

    pub async fn services(&self, name: &[u8]) -> Answered<Vec<Service>> {
        let conf = self.conf();
        let mut search = Search::default();
        for candidate in conf.candidates(name) {
            let Some(name) = Name::parse(&candidate) else { continue };
            match answers::services(&conf.servers, &name).await {
                Err(missing) => search.note(missing)?,
                found => return found,
            }
        }
        Err(search.end())
    }
}

/// Those of the families that are wanted, or else of any; none if there are none.
fn chosen(local: Vec<Ip>, wanted: Families) -> Option<Vec<Ip>> {
    let is_wanted = |ip: &&Ip| match ip {
        Ip::V4(_) => wanted.v4,
        Ip::V6(_) => wanted.v6,
        Ip::Unix => false,
    };
    let chosen: Vec<Ip> = local.iter().filter(is_wanted).copied().collect();
    let any = if chosen.is_empty() { local } else { chosen };
    Some(any).filter(|any| !any.is_empty())
}

/// What the candidates of a search have come to.
#[derive(Default)]
struct Search(Option<Missing>);

impl Search {
    /// Goes on with the next candidate, unless nobody answers.
    fn note(&mut self, missing: Missing) -> Result<(), Missing> {
        if missing.failure == Failure::TimedOut {
            return Err(missing);
        }
        // One that a server could not tell may be there: that counts for the whole.
        match &mut self.0 {
            Some(before) if missing.failure == Failure::NotFound => {
                before.ttl = before.ttl.into_iter().chain(missing.ttl).min();
            }
            before => *before = Some(missing),
        }
        Ok(())
    }

    fn end(self) -> Missing {
        self.0.unwrap_or(Failure::NotFound.into())
    }
}
