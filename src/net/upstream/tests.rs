//! Who is chosen, one request after the other.

use super::*;

fn server(number: u8) -> Server {
    let addr = Addr::parse(&format!("127.0.0.{number}:80"), 80).unwrap();
    Server::new(addr.to_string().as_bytes(), Target::Address(addr))
}

fn group(servers: Vec<Server>) -> Group {
    Group::new(Parts { servers, ..Parts::default() })
}

fn ask(now_s: u64) -> Ask<'static> {
    Ask { key: b"", client: Ip::Unix, sticky: b"", now_ms: now_s * 1000 }
}

/// The peer chosen, by the last part of its address.
fn number(lease: &Lease) -> char {
    let Addr::V4(addr) = lease.addr() else { panic!("{:?}", lease.addr()) };
    char::from(b'a' + addr.ip().octets()[3] - 1)
}

/// Who serves `count` requests, each of which is answered.
fn sequence(group: &Group, count: usize, now_s: u64) -> String {
    let one = |_| {
        group.pick(&mut Tries::default(), &ask(now_s)).map_or('-', |lease| {
            lease.succeeded_at(now_s * 1000);
            number(&lease)
        })
    };
    (0..count).map(one).collect()
}

fn weighted(weights: &[u32]) -> Vec<Server> {
    let line = |(weight, number): (&u32, u8)| Server { weight: *weight, ..server(number) };
    weights.iter().zip(1..).map(line).collect()
}

#[test]
fn round_robin_is_smooth() {
    let check = |weights: &[u32], expected: &str| {
        assert_eq!(sequence(&group(weighted(weights)), expected.len(), 0), expected);
    };
    check(&[1], "aaa");
    check(&[1, 1, 1], "abcabc");
    check(&[5, 1, 1], "aabacaaaabacaa");
    check(&[3, 2, 1], "abacbaabacba");
}

#[test]
fn shares_are_exact_over_a_round() {
    for weights in [&[7, 3, 11, 1][..], &[100, 1], &[2, 2, 2, 2, 2]] {
        let group = group(weighted(weights));
        let total: u32 = weights.iter().sum();
        for _ in 0..3 {
            let round = sequence(&group, total as usize, 0);
            for (weight, letter) in weights.iter().zip('a'..) {
                assert_eq!(round.matches(letter).count() as u32, *weight, "{round}");
            }
        }
    }
}

#[test]
fn every_peer_is_tried_once() {
    let group = group(weighted(&[1; 70]));
    let (mut tries, mut seen) = (Tries::default(), Vec::new());
    while let Ok(lease) = group.pick(&mut tries, &ask(0)) {
        seen.push(lease.addr().to_string());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 70);
    assert_eq!(group.next_tries(), 70);
}

/// Lets a request fail at the peer that is picked, or not.
fn served(group: &Group, now_s: u64, failing: char) -> char {
    let Ok(lease) = group.pick(&mut Tries::default(), &ask(now_s)) else { return '-' };
    match number(&lease) == failing {
        true => drop(lease.failed_at(now_s * 1000)),
        false => lease.succeeded_at(now_s * 1000),
    }
    number(&lease)
}

#[test]
fn failures_count_for_a_while() {
    let group = group(weighted(&[1, 1]));
    let run = |from: u64, failing: char| -> String {
        (0..4).map(|turn| served(&group, from + turn / 2, failing)).collect()
    };
    assert_eq!(run(100, 'a'), "abbb");
    assert_eq!(run(109, ' '), "bbbb", "until more than fail_timeout has gone by");
    assert_eq!(run(111, 'a'), "bbab", "then one request looks, once its weight is back");
    assert!(run(130, ' ').contains('a'));
    assert_eq!(run(140, ' ').matches('a').count(), 2, "it passed");
}

#[test]
fn the_only_peer_is_never_out() {
    let alone = group(weighted(&[1]));
    (0..3).for_each(|_| assert_eq!(served(&alone, 0, 'a'), 'a'));
    assert_eq!(alone.next_tries(), 1);
    let down = group(vec![Server { down: true, ..server(1) }]);
    assert_eq!(served(&down, 0, ' '), '-');
}

#[test]
fn backups_serve_when_nobody_else_does() {
    let group = group(vec![
        server(1),
        Server { backup: true, ..server(2) },
        Server { backup: true, ..server(3) },
    ]);
    let all: String = (0..4).map(|_| served(&group, 0, 'a')).collect();
    assert_eq!(all, "abcb");
    let mut tries = Tries::default();
    let one = |_| group.pick(&mut tries, &ask(60)).map_or('-', |lease| number(&lease));
    assert_eq!([(); 4].map(|()| 0).map(one), ['a', 'c', 'b', '-']);
}

#[test]
fn a_peer_takes_so_many_at_a_time() {
    let group = group(vec![Server { max_conns: 2, ..server(1) }, server(2)]);
    let pick = || group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    let held = [(); 6].map(|()| pick());
    assert_eq!(held.each_ref().map(number), ['a', 'b', 'a', 'b', 'b', 'b']);
    drop(held);
    assert_eq!(sequence(&group, 2, 0).matches('a').count(), 1);
}

#[test]
fn addresses_come_and_go() {
    let name = Target::Name { host: b"app"[..].into(), port: 80, service: None };
    let group = Group::of(b"app", name, Memory::Hidden);
    assert!(matches!(group.pick(&mut Tries::default(), &ask(0)), Err(Refusal::Unresolved)));
    let addr = |number: u8| *group_addr(&server(number));
    group.set_addresses(0, &[addr(1), addr(2)]);
    let (mut tries, held) = (Tries::default(), group.pick(&mut Tries::default(), &ask(0)));
    let held = held.ok().unwrap();
    let _ = group.pick(&mut tries, &ask(0));
    group.set_addresses(0, &[addr(3), addr(2)]);
    assert_eq!(held.name(), b"127.0.0.1:80", "who talks to it may finish");
    drop(held);
    let mut count = 0;
    while group.pick(&mut tries, &ask(0)).is_ok() {
        count += 1;
    }
    assert_eq!(count, 2, "other peers are others to try");
    let seen = sequence(&group, 4, 0);
    assert!(seen == "bcbc" || seen == "cbcb", "{seen}");
    group.set_addresses(0, &[]);
    assert!(matches!(group.pick(&mut tries, &ask(0)), Err(Refusal::Unresolved)));
    group.set_addresses(9, &[addr(1)]);
}

fn group_addr(server: &Server) -> &Addr {
    match &server.target {
        Target::Address(addr) => addr,
        Target::Name { .. } => panic!("a name"),
    }
}

#[test]
fn a_refused_connection_casts_doubt_on_names() {
    let group = Group::of(
        b"app",
        Target::Name { host: b"app"[..].into(), port: 80, service: None },
        Memory::Hidden,
    );
    group.set_addresses(0, &[*group_addr(&server(1))]);
    let lease = group.pick(&mut Tries::default(), &ask(0)).ok().unwrap();
    assert!(!group.servers()[0].take_doubt());
    group.connect_refused(&lease);
    assert!(group.servers()[0].take_doubt() && !group.servers()[0].take_doubt());
}

mod methods;
mod names;
mod zones;
