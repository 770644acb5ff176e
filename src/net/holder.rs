//! Who listens on an address that we cannot have: for the message.
//!
//! proc(5) lists listening TCP sockets with their inodes, and the descriptors of
//! each process that we may look into. Without /proc, or without the right to
//! look, nobody is named.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::sys::addr::Addr;

#[derive(PartialEq, Eq, Debug)]
pub struct Holder {
    pid: i32,
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

pub fn of(addr: &Addr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    let inode = tables.iter().flatten().find_map(|table| listener(table, addr))?;
    processes().find(|pid| holds(*pid, inode)).map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Holder { pid, name: name.trim_end().to_owned() }
    })
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds(pid: i32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.as_os_str() == &*wanted)
}

/// The inode of the socket in the way: same port, and the same address or a wildcard on
/// either side.
fn listener(table: &str, addr: &Addr) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, LISTEN, .., inode] = fields.get(..10)? else { return None };
        overlaps(local, addr).then(|| inode.parse().ok())?
    })
}

/// `0100007F:1F90`: the address as the kernel's words in our byte order, the port as a number.
fn overlaps(local: &str, addr: &Addr) -> bool {
    let Some((host, port)) = local.split_once(':') else { return false };
    if u16::from_str_radix(port, 16) != Ok(addr.port()) || addr.port() == 0 {
        return false;
    }
    let word = |at: usize| u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok();
    let any = host.bytes().all(|digit| digit == b'0');
    let same = match addr {
        Addr::V4(own) => word(0).is_some_and(|w| Ipv4Addr::from(w.to_ne_bytes()) == *own.ip()),
        Addr::V6(own) => {
            let words: Option<Vec<u32>> = (0..4).map(word).collect();
            let bytes = words.map(|words| words.into_iter().flat_map(u32::to_ne_bytes).collect());
            let bytes: Option<[u8; 16]> = bytes.and_then(|bytes: Vec<u8>| bytes.try_into().ok());
            bytes.is_some_and(|bytes| Ipv6Addr::from(bytes) == *own.ip())
        }
        Addr::Unix(_) => false,
    };
    any || same || addr.is_wildcard()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 43 1 0
";

    fn found(addr: &str) -> Option<u64> {
        listener(TABLE, &Addr::parse(addr, 80).unwrap())
    }

    #[test]
    fn the_socket_in_the_way_is_found() {
        if cfg!(target_endian = "little") {
            assert_eq!(found("127.0.0.1:8080"), Some(42));
            assert_eq!(found("127.0.0.2:8080"), None);
        }
        assert_eq!(found("*:8080"), Some(42), "a wildcard meets every address");
        assert_eq!(found("10.0.0.1:80"), Some(43), "and is met by every address");
        assert_eq!(found("*:81"), None);
        assert_eq!(found("unix:/x"), None);
        assert_eq!(listener("", &Addr::parse("*:80", 80).unwrap()), None);
    }

    #[test]
    fn we_are_found_ourselves() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = Addr::parse(&socket.local_addr().unwrap().to_string(), 0).unwrap();
        assert_eq!(of(&addr).map(|holder| holder.pid), Some(std::process::id().cast_signed()));
        drop(socket);
        assert_eq!(of(&addr), None);
    }
}
