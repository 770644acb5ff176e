//! /etc/resolv.conf: which servers this machine asks, and for which names (resolv.conf(5)).

use super::servers::{Pace, Server, Servers};
use super::watched::{ip, words};
use crate::sys::addr::Addr;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// As libc has them, but for the servers, of which it takes three.
const SERVERS: usize = 8;
const SEARCH: usize = 16;

pub struct ResolvConf {
    pub servers: Servers,
    /// What is put behind names, each without its last dot.
    pub search: Vec<Vec<u8>>,
    /// A name with so many dots is asked for as it is first.
    pub ndots: usize,
    /// Seconds that one server is given.
    timeout: u64,
    /// Times that each is asked.
    attempts: u64,
}

impl ResolvConf {
    pub fn parse(text: &[u8]) -> ResolvConf {
        let pace = Pace { most_ms: 0, total_ms: None };
        let servers = Servers { all: Vec::new(), pace, takes_turns: false, next: Cell::new(0) };
        let mut conf =
            ResolvConf { servers, search: Vec::new(), ndots: 1, timeout: 5, attempts: 2 };
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = words(line, b"#;");
            match words.next().unwrap_or_default() {
                b"nameserver" => conf.servers.all.extend(words.next().and_then(server)),
                b"domain" | b"search" => conf.search = words.map(domain).take(SEARCH).collect(),
                b"options" => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.search.retain(|domain| !domain.is_empty());
        let all = &mut conf.servers.all;
        all.truncate(SERVERS);
        if all.is_empty() {
            all.push(Server::at(Addr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53))));
        }
        let total_ms = Some(1000 * conf.timeout * conf.attempts);
        conf.servers.pace = Pace { most_ms: 1000 * conf.timeout, total_ms };
        conf
    }

    fn option(&mut self, word: &[u8]) {
        let number = |most: u64| {
            let digits = word.split(|byte| *byte == b':').nth(1)?;
            crate::conf::parse_number(digits).map(|number| number.min(most))
        };
        match word.split(|byte| *byte == b':').next().unwrap_or_default() {
            b"ndots" => self.ndots = number(15).map_or(self.ndots, |number| number as usize),
            b"timeout" => self.timeout = number(30).unwrap_or(self.timeout).max(1),
            b"attempts" => self.attempts = number(5).unwrap_or(self.attempts).max(1),
            b"rotate" => self.servers.takes_turns = true,
            _ => {}
        }
    }

    /// The names to ask for in place of `name`, in order.
    pub fn candidates(&self, name: &[u8]) -> Vec<Vec<u8>> {
        if name.ends_with(b".") {
            return vec![name.to_vec()];
        }
        let mut all: Vec<_> =
            self.search.iter().map(|domain| [name, b".", domain].concat()).collect();
        let dots = name.iter().filter(|byte| **byte == b'.').count();
        let at = if dots >= self.ndots { 0 } else { all.len() };
        all.insert(at, name.to_vec());
        all
    }
}

/// A server, perhaps of one link only: `fe80::1%2`; with a port as in other places.
fn server(word: &[u8]) -> Option<Server> {
    if let Some(Ok(addr)) = std::str::from_utf8(word).ok().map(|text| Addr::parse(text, 53))
        && !addr.is_unix()
    {
        return Some(Server::at(addr));
    }
    let mut parts = word.splitn(2, |byte| *byte == b'%');
    let scope = |digits| crate::conf::parse_number(digits).and_then(|n| u32::try_from(n).ok());
    let addr = match (ip(parts.next()?)?, parts.next()) {
        (IpAddr::V6(ip), None) => v6(ip, 0),
        (IpAddr::V6(ip), Some(digits)) => v6(ip, scope(digits)?),
        _ => return None,
    };
    Some(Server::at(addr))
}

fn v6(ip: Ipv6Addr, scope: u32) -> Addr {
    Addr::V6(SocketAddrV6::new(ip, 53, 0, scope))
}

fn domain(word: &[u8]) -> Vec<u8> {
    word.strip_suffix(b".").unwrap_or(word).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(conf: &ResolvConf, name: &str) -> Vec<String> {
        let all = conf.candidates(name.as_bytes()).into_iter();
        all.map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn docker_and_kubernetes() {
        let conf = ResolvConf::parse(b"nameserver 127.0.0.11\noptions edns0 ndots:0\n");
        assert_eq!(format!("{:?}", conf.servers.all), "[127.0.0.11:53]");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (0, 5, 2));
        assert_eq!(names(&conf, "app"), ["app"]);

        let conf = ResolvConf::parse(
            b"# of the cluster\nsearch web.svc.cluster.local svc.cluster.local. .\n\
              nameserver 10.96.0.10 ; one\nnameserver fd00::a\nnameserver fe80::1%3\n\
              nameserver nonsense\nnameserver [::1]:5353\n\
              options ndots:5 timeout:0 attempts:9 rotate\n",
        );
        assert_eq!(
            format!("{:?}", conf.servers.all),
            "[10.96.0.10:53, [fd00::a]:53, [fe80::1]:53, [::1]:5353]"
        );
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (5, 1, 5));
        assert!(conf.servers.takes_turns);
        let expected = ["app.web.svc.cluster.local", "app.svc.cluster.local", "app"];
        assert_eq!(names(&conf, "app"), expected);
        assert_eq!(names(&conf, "app."), ["app."]);
        assert_eq!(names(&conf, "a.b.c.d.e.f")[0], "a.b.c.d.e.f");
    }

    #[test]
    fn without_a_server_it_is_this_machine() {
        for text in [&b""[..], b"nameserver\n", b"options ndots:x\nsearch\n"] {
            let conf = ResolvConf::parse(text);
            assert_eq!(format!("{:?}", conf.servers.all), "[127.0.0.1:53]");
            assert_eq!((conf.ndots, conf.search.len()), (1, 0));
        }
    }
}
