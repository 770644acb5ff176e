//! A DNS server that says what a test wants, over UDP and TCP on one port of loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A query as the server sees it.
pub struct Asked {
    pub bytes: Vec<u8>,
    pub name: String,
    /// `A`, `AAAA`, `SRV`
    pub kind: &'static str,
    pub tcp: bool,
    /// How many came before it.
    pub number: usize,
}

pub const NO_NAME: u16 = 0x8003;
pub const FAILED: u16 = 0x8002;
pub const CUT: u16 = 0x8200;

impl Asked {
    fn read(bytes: &[u8], tcp: bool, number: usize) -> Asked {
        let (mut at, mut labels) = (12, Vec::new());
        while bytes[at] != 0 {
            let len = usize::from(bytes[at]);
            labels.push(String::from_utf8_lossy(&bytes[at + 1..at + 1 + len]).into_owned());
            at += 1 + len;
        }
        let kind = match bytes[at + 2] {
            1 => "A",
            28 => "AAAA",
            33 => "SRV",
            other => panic!("asked for {other}"),
        };
        Asked { bytes: bytes.to_vec(), name: labels.join("."), kind, tcp, number }
    }

    /// A reply without records.
    pub fn flags(&self, flags: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes
    }

    /// A reply with one record for each: its TTL, and `1.2.3.4`, `::1`, `->name`, or
    /// `priority weight port target`.
    pub fn records(&self, ttl: u32, records: &[&str]) -> Vec<u8> {
        let mut bytes = self.flags(0x8180);
        bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for record in records {
            let (kind, contents) = contents(record);
            bytes.extend([0xc0, 12, 0, kind, 0, 1]);
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((contents.len() as u16).to_be_bytes());
            bytes.extend(contents);
        }
        bytes
    }

    /// There is no such name, for so many seconds.
    pub fn no_name(&self, ttl: u32) -> Vec<u8> {
        let mut bytes = self.flags(NO_NAME);
        bytes[9] = 1;
        bytes.extend([0, 0, 6, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 22]);
        bytes.extend([0; 18]);
        bytes.extend(ttl.to_be_bytes());
        bytes
    }
}

fn contents(record: &str) -> (u8, Vec<u8>) {
    if let Some(alias) = record.strip_prefix("->") {
        return (5, wire(alias));
    }
    if let [priority, weight, port, target] = record.split(' ').collect::<Vec<_>>()[..] {
        let numbers = [priority, weight, port].map(|text| text.parse::<u16>().unwrap());
        let mut bytes = numbers.map(u16::to_be_bytes).concat();
        bytes.extend(wire(target));
        return (33, bytes);
    }
    match record.parse().unwrap() {
        std::net::IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (28, ip.octets().to_vec()),
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// What has been asked: `A app`, `AAAA app tcp`.
type Log = Arc<Mutex<Vec<String>>>;

pub struct Dns {
    pub addr: SocketAddr,
    log: Log,
}

impl Dns {
    /// Answers each query with the messages that `script` makes of it.
    pub fn start(script: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Dns {
        let (udp, tcp) = sockets();
        let (addr, log, script) = (udp.local_addr().unwrap(), Log::default(), Arc::new(script));
        let (to, answer) = (log.clone(), script.clone());
        udp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok((len, from)) = udp.recv_from(&mut room) {
                let asked = note(&to, &room[..len], false);
                for message in answer(&asked) {
                    udp.send_to(&message, from).unwrap();
                }
            }
        });
        let to = log.clone();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let mut len = [0; 2];
                stream.read_exact(&mut len).unwrap();
                let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut bytes).unwrap();
                for message in script(&note(&to, &bytes, true)) {
                    stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
                    // In two pieces: nobody promised one.
                    stream.write_all(&message[..20]).unwrap();
                    thread::sleep(Duration::from_millis(20));
                    stream.write_all(&message[20..]).unwrap();
                }
            }
        });
        Dns { addr, log }
    }

    /// What has been asked since the last time, in order of the alphabet.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.log.lock().unwrap());
        asked.sort();
        asked
    }
}

fn note(log: &Log, bytes: &[u8], tcp: bool) -> Asked {
    let mut log = log.lock().unwrap();
    let asked = Asked::read(bytes, tcp, log.len());
    log.push(format!("{} {}{}", asked.kind, asked.name, if tcp { " tcp" } else { "" }));
    asked
}

/// Both kinds on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}
