//! Messages as servers send them, as attackers do, and at random.

use super::*;
use crate::sys::addr::Ip;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).expect(text)
}

fn ip(text: &str) -> Ip {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

fn question(text: &str, kind: Kind) -> Question {
    Question { name: name(text), kind }
}

/// A reply under construction.
struct Message(Vec<u8>);

impl Message {
    fn to(question: &Question, id: u16, flags: u16, counts: [u16; 3]) -> Message {
        let mut bytes = Query::new(id, question).datagram().to_vec();
        bytes[2..4].copy_from_slice(&(0x8000 | flags).to_be_bytes());
        for (at, count) in [6, 8, 10].into_iter().zip(counts) {
            bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        Message(bytes)
    }

    fn record(mut self, owner: &[u8], kind: u16, ttl: u32, contents: &[u8]) -> Message {
        self.0.extend(owner);
        self.0.extend(kind.to_be_bytes());
        self.0.extend([0, 1]);
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((contents.len() as u16).to_be_bytes());
        self.0.extend(contents);
        self
    }

    fn read(&self, question: &Question) -> Result<Reply, Bad> {
        Reply::read(&self.0, 7, question)
    }
}

/// The name of the question.
const SAME: &[u8] = &[0xc0, 12];

fn wire(text: &str) -> Vec<u8> {
    let mut bytes = name(text).bytes().to_vec();
    bytes.push(0);
    bytes
}

#[test]
fn names() {
    let long = "a".repeat(63);
    let good = ["a", "a.b", "A.b.", "_http._tcp.x", "x-1.ex_ample", "é.fr", &long];
    for text in good {
        let expected = text.trim_end_matches('.').to_ascii_lowercase();
        assert_eq!(name(text).text(), expected.as_bytes(), "{text}");
    }
    let most = [&long[..61], &long, &long, &long].join(".");
    assert_eq!(name(&most).bytes().len(), 254);
    let (label, whole) = ("a".repeat(64), format!("b{most}"));
    for text in ["", ".", "a..b", ".a", "a b", "a\tb", "a\0b", "\x7f", "a\n", &label, &whole] {
        assert!(Name::parse(text.as_bytes()).is_none(), "{text:?}");
    }
    assert_eq!(name("WWW.Example"), name("www.example."));
    assert_ne!(name("ab.c"), name("a.bc"));
}

#[test]
fn names_in_messages() {
    /// A message, where in it, and the name with its end.
    type Case<'c> = (&'c [u8], usize, Option<(&'c str, usize)>);
    let cases: [Case<'_>; 12] = [
        (b"\x01a\x01b\0", 0, Some(("a.b", 5))),
        (b"\x01a\0\x01b\xc0\0", 3, Some(("b.a", 7))),
        (b"\x01a\0\xc0\0\xc0\x03", 5, Some(("a", 7))),
        (b"\0", 0, Some(("", 1))),
        (b"\xc0\0", 0, None),
        (b"\x01a\xc0\0", 0, None),
        (b"\xc0\x02\xc0\0", 0, None),
        (b"\x01a", 0, None),
        (b"\x05abc", 0, None),
        (b"\x40a\0", 0, None),
        (b"\x80a\0", 0, None),
        (b"\xc0", 0, None),
    ];
    for (message, at, expected) in cases {
        let found = Name::read(message, at);
        let found = found.map(|(name, end)| (String::from_utf8(name.text()).unwrap(), end));
        assert_eq!(found, expected.map(|(text, end)| (text.into(), end)), "{message:?}");
    }
    let mut long = [[&[63][..], &[b'x'; 63]].concat().repeat(4), vec![0]].concat();
    assert!(Name::read(&long, 0).is_none(), "256 bytes");
    long[192] = 61;
    long.truncate(192 + 62);
    long.push(0);
    assert!(Name::read(&long, 0).is_some_and(|(_, end)| end == 255));
}

#[test]
fn queries() {
    let query = Query::new(0x1234, &question("A.bc", Kind::Aaaa));
    let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01";
    assert_eq!(query.datagram(), expected);
    assert_eq!(query.segment(), [&[0, 22], &expected[..]].concat());
    let long = [&"a".repeat(61)[..], &"b".repeat(63), &"c".repeat(63), &"d".repeat(63)].join(".");
    let query = Query::new(1, &question(&long, Kind::A));
    assert_eq!(query.datagram().len(), HEADER + 255 + 4);
}

#[test]
fn addresses_and_aliases() {
    let a = question("www.example.com", Kind::A);
    let plain = Message::to(&a, 7, 0, [2, 0, 0]).record(SAME, 1, 60, &[1, 2, 3, 4]);
    let plain = plain.record(SAME, 1, 30, &[1, 2, 3, 5]);
    let addresses = vec![ip("1.2.3.4"), ip("1.2.3.5")];
    assert_eq!(plain.read(&a), Ok(Reply::Addresses { addresses, ttl: 30 }));

    // In any order, and what belongs to another name is nobody's.
    let chain = Message::to(&a, 7, 0, [4, 0, 0]).record(&wire("c"), 1, 60, &[1, 1, 1, 1]);
    let chain = chain.record(&wire("b"), 5, 20, &wire("c")).record(SAME, 5, 90, &wire("B"));
    let chain = chain.record(&wire("evil"), 1, 1, &[6, 6, 6, 6]);
    assert_eq!(chain.read(&a), Ok(Reply::Addresses { addresses: vec![ip("1.1.1.1")], ttl: 20 }));

    let open = Message::to(&a, 7, 0, [1, 0, 0]).record(SAME, 5, 90, &wire("b.c"));
    assert_eq!(open.read(&a), Ok(Reply::Alias { name: Box::new(name("b.c")), ttl: 90 }));
    let looped = Message::to(&a, 7, 0, [2, 0, 0]).record(SAME, 5, 9, &wire("b"));
    let looped = looped.record(&wire("b"), 5, 9, SAME);
    assert_eq!(looped.read(&a), Err(Bad::Malformed("too many CNAME records")));
    let itself = Message::to(&a, 7, 0, [1, 0, 0]).record(SAME, 5, 9, SAME);
    assert_eq!(itself.read(&a), Err(Bad::Malformed("too many CNAME records")));

    let six = question("x", Kind::Aaaa);
    let one = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let reply = Message::to(&six, 7, 0, [1, 0, 0]).record(SAME, 28, u32::MAX, &one);
    let expected = Reply::Addresses { addresses: vec![ip("2001:db8::1")], ttl: 0 };
    assert_eq!(reply.read(&six), Ok(expected), "a TTL with the sign bit is none");
    let short = Message::to(&a, 7, 0, [1, 0, 0]).record(SAME, 1, 9, &[1, 2, 3]);
    assert_eq!(short.read(&a), Err(Bad::Malformed("invalid A record")));
}

#[test]
fn services() {
    let srv = question("_http._tcp.x", Kind::Srv);
    let contents = [&[0, 1, 0, 2, 0, 80][..], &wire("a.x")].concat();
    let reply = Message::to(&srv, 7, 0, [1, 0, 0]).record(SAME, 33, 5, &contents);
    let service = Service { priority: 1, weight: 2, port: 80, target: name("a.x") };
    assert_eq!(reply.read(&srv), Ok(Reply::Services { services: vec![service], ttl: 5 }));
    let more = [&contents[..], b"x"].concat();
    let reply = Message::to(&srv, 7, 0, [1, 0, 0]).record(SAME, 33, 5, &more);
    assert_eq!(reply.read(&srv), Err(Bad::Malformed("invalid SRV record")));
}

#[test]
fn nothing_and_failures() {
    let a = question("x", Kind::A);
    let soa = [&[0, 0][..], &[0; 16], &30u32.to_be_bytes()].concat();
    let nodata = Message::to(&a, 7, 0, [0, 1, 0]).record(&[0], 6, 900, &soa);
    assert_eq!(nodata.read(&a), Ok(Reply::Nothing { ttl: Some(30) }));
    let no_name = Message::to(&a, 7, 3, [0, 1, 0]).record(&[0], 6, 10, &soa);
    assert_eq!(no_name.read(&a), Ok(Reply::Nothing { ttl: Some(10) }));
    let alias = Message::to(&a, 7, 0, [1, 1, 0]).record(SAME, 5, 9, &wire("b"));
    assert_eq!(alias.record(&[0], 6, 10, &soa).read(&a), Ok(Reply::Nothing { ttl: Some(10) }));
    assert_eq!(Message::to(&a, 7, 3, [0; 3]).read(&a), Ok(Reply::Nothing { ttl: None }));
    for rcode in [1, 2, 4, 5, 9] {
        assert_eq!(Message::to(&a, 7, rcode, [0; 3]).read(&a), Ok(Reply::Failed(rcode as u8)));
    }
    assert_eq!(Message::to(&a, 7, 0x200, [3, 0, 0]).read(&a), Ok(Reply::Truncated));
    let mut bare = Message::to(&a, 7, 1, [0; 3]);
    bare.0.truncate(HEADER);
    bare.0[5] = 0;
    assert_eq!(bare.read(&a), Ok(Reply::Failed(1)), "it could not read the question");
}

#[test]
fn what_is_not_ours() {
    let a = question("x.y", Kind::A);
    let reply = |asked: &Question| Message::to(asked, 7, 0, [1, 0, 0]).record(SAME, 1, 9, &[1; 4]);
    assert!(reply(&a).read(&a).is_ok());
    assert_eq!(Reply::read(&reply(&a).0, 8, &a), Err(Bad::Id(7)));
    for other in [question("x.z", Kind::A), question("x", Kind::A), question("x.y", Kind::Aaaa)] {
        assert_eq!(reply(&other).read(&a), Err(Bad::Question));
    }
    assert!(reply(&question("X.Y", Kind::A)).read(&a).is_ok());
    let changed = |at: usize, byte: u8| {
        let mut message = reply(&a);
        message.0[at] = byte;
        message.read(&a)
    };
    assert_eq!(changed(2, 0x01), Err(Bad::Flags(0x0100)), "a query");
    assert_eq!(changed(2, 0xa8), Err(Bad::Flags(0xa800)), "another opcode");
    assert_eq!(changed(5, 2), Err(Bad::Question), "two questions");
    assert_eq!(changed(5, 0), Err(Bad::Question), "none");
    assert_eq!(changed(20, 3), Err(Bad::Question), "another class");
    assert_eq!(changed(7, 2), Err(Bad::Malformed("invalid record")), "a record less than told");
    assert_eq!(changed(6, 3), Err(Bad::Malformed("too many records")));
    for len in 0..HEADER - 2 {
        assert_eq!(Reply::read(&reply(&a).0[..len], 7, &a), Err(Bad::Short), "{len}");
    }
}

#[test]
fn any_bytes_can_be_read() {
    let asked = [question("a.b", Kind::A), question("a.b", Kind::Srv)];
    let contents = [&[0, 1, 0, 2, 0, 80][..], &wire("a.x")].concat();
    let seeds = [
        Message::to(&asked[0], 7, 0, [3, 1, 0])
            .record(SAME, 5, 9, &wire("b"))
            .record(&wire("b"), 5, 9, &[1, b'c', 0xc0, 14])
            .record(&wire("c.b"), 1, 9, &[1, 2, 3, 4])
            .record(&[0], 6, 10, &[0; 22]),
        Message::to(&asked[1], 7, 0, [1, 0, 0]).record(SAME, 33, 5, &contents),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut understood = 0;
    for round in 0..60_000 {
        let which = round % 2;
        let mut message = seeds[which].0.clone();
        for _ in 0..=random(4) {
            let at = random(message.len());
            match random(5) {
                0 => message.truncate(at.max(1)),
                1 => message.insert(at, random(256) as u8),
                2 => message[at] = 0xc0,
                3 => message[at] ^= 1 << random(8),
                _ => message[at] = random(256) as u8,
            }
        }
        understood += u32::from(Reply::read(&message, 7, &asked[which]).is_ok());
    }
    assert!(understood > 1000, "{understood}");
}
