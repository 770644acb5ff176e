//! The client against a server of DNS on loopback, in a loop of its own.

mod machine;
pub(in crate::net) mod server;

use super::*;
use crate::event::{Accepted, Conversations, Reactor};
pub(in crate::net) use machine::Files;
use server::{Asked, CUT, Dns, FAILED, NO_NAME};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const V4: Families = Families { v4: true, v6: false };
const BOTH: Families = Families { v4: true, v6: true };

fn resolver_of(servers: &[SocketAddr], wanted: Families) -> Resolver {
    let at = |addr: &SocketAddr| Server::at(Ip::from(addr.ip()).at(addr.port()).unwrap());
    Resolver::of_servers(servers.iter().map(at).collect(), wanted, None)
}

/// A resolver, and a server that answers one family.
fn simple(script: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> (Resolver, Dns) {
    let dns = Dns::start(script);
    (resolver_of(&[dns.addr], V4), dns)
}

/// What tasks have noted, and when they do nothing any more.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn add<T: std::fmt::Debug>(&self, outcome: Result<T, Failure>) {
        self.0.borrow_mut().push(match outcome {
            Ok(found) => format!("{found:?}"),
            Err(failure) => failure.to_string(),
        });
    }
}

/// Runs the tasks to their end, which must come within ten seconds.
pub(in crate::net) fn run(tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    let reactor = Reactor::install(16).unwrap().unwrap();
    let talk = |accepted: Accepted| async move { drop(accepted) };
    let conversations = Conversations::new(reactor, 16, false, talk).unwrap();
    let left = Rc::new(Cell::new(tasks.len()));
    for task in tasks {
        let left = left.clone();
        conversations.spawn(async move {
            task.await;
            left.set(left.get() - 1);
        });
    }
    let start = Instant::now();
    while left.get() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not end");
        conversations.turn(Some(50));
    }
}

/// What a series of look-ups comes to.
fn look_up(resolver: &Resolver, names: &[&'static str]) -> Vec<String> {
    let (notes, resolver, names) = (Notes::default(), resolver.clone(), names.to_vec());
    let to = notes.clone();
    run(vec![Box::pin(async move {
        for name in names {
            let found = resolver.look_up(name.as_bytes(), 8000).await;
            to.add(found.map(|found| found.addresses.clone()));
        }
    })]);
    notes.0.take()
}

#[test]
fn both_families_are_asked_at_once_and_remembered() {
    let dns = Dns::start(|asked| match asked.kind {
        "A" => vec![asked.records(60, &["10.0.0.1", "10.0.0.2"])],
        _ => vec![asked.records(60, &["2001:db8::1"])],
    });
    let resolver = resolver_of(&[dns.addr], BOTH);
    let all = "[10.0.0.1, 10.0.0.2, 2001:db8::1]";
    assert_eq!(look_up(&resolver, &["app.x", "APP.X", "app.x"]), [all; 3]);
    assert_eq!(dns.asked(), ["A app.x", "AAAA app.x"]);
    let found = resolver.last_known(b"App.x").unwrap();
    assert_eq!(found.addresses.len(), 3);
}

#[test]
fn one_family_may_have_nothing_or_keep_silent() {
    let dns = Dns::start(|asked| match (asked.kind, &asked.name[..]) {
        ("AAAA", "silent") => vec![],
        ("A", _) => vec![asked.records(60, &["10.0.0.1"])],
        _ => vec![asked.flags(0x8180)],
    });
    let resolver = resolver_of(&[dns.addr], BOTH);
    let start = Instant::now();
    assert_eq!(look_up(&resolver, &["four", "silent"]), ["[10.0.0.1]"; 2]);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_answer_to_the_question_is_passed_over() {
    let (resolver, _dns) = simple(|asked| {
        let good = asked.records(60, &["10.0.0.1"]);
        let evil = asked.records(60, &["6.6.6.6"]);
        let changed = |at: usize, byte: u8| {
            let mut message = evil.clone();
            message[at] ^= byte;
            message
        };
        let not_ours = [changed(0, 1), changed(1, 0x80), changed(13, 1), changed(2, 0x80)];
        [&not_ours[..], &[b"x".to_vec(), vec![], good, evil]].concat()
    });
    assert_eq!(look_up(&resolver, &["app"]), ["[10.0.0.1]"]);
}

#[test]
fn what_does_not_fit_comes_over_tcp() {
    let (resolver, dns) = simple(|asked| match asked.tcp {
        false => vec![asked.flags(CUT)],
        true => vec![asked.records(60, &["10.0.0.1"; 40])],
    });
    let found = look_up(&resolver, &["big"]);
    assert_eq!(found[0].matches("10.0.0.1").count(), 40);
    assert_eq!(dns.asked(), ["A big", "A big tcp"]);
}

#[test]
fn another_server_is_asked_at_once_when_one_fails() {
    let bad = Dns::start(|asked| vec![asked.flags(FAILED)]);
    let good = Dns::start(|asked| vec![asked.records(60, &["10.0.0.1"])]);
    let closed = "127.0.0.1:1".parse().unwrap();
    let resolver = resolver_of(&[closed, bad.addr, good.addr], V4);
    let start = Instant::now();
    assert_eq!(look_up(&resolver, &["a", "b", "c"]), ["[10.0.0.1]"; 3]);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());

    let resolver = resolver_of(&[bad.addr, bad.addr], V4);
    assert_eq!(look_up(&resolver, &["a"]), ["2: Server failure"]);
}

#[test]
fn a_silent_server_is_listened_to_while_the_next_is_asked() {
    let late = Dns::start(|asked| {
        std::thread::sleep(Duration::from_millis(1300));
        vec![asked.records(60, &["10.0.0.1"])]
    });
    let silent = Dns::start(|_| vec![]);
    let resolver = resolver_of(&[late.addr, silent.addr], V4);
    let start = Instant::now();
    assert_eq!(look_up(&resolver, &["a"]), ["[10.0.0.1]"]);
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());
    assert_eq!(silent.asked(), ["A a"]);
}

#[test]
fn aliases_are_followed_but_not_for_ever() {
    let (resolver, dns) = simple(|asked| match &asked.name[..] {
        "one" => vec![asked.records(60, &["->two.x"])],
        "two.x" => vec![asked.records(60, &["10.0.0.2"])],
        "loop" => vec![asked.records(60, &["->pool"])],
        _ => vec![asked.records(60, &["->loop"])],
    });
    assert_eq!(look_up(&resolver, &["one", "loop"]), ["[10.0.0.2]", "2: Server failure"]);
    assert_eq!(dns.asked().len(), 2 + 8);
}

#[test]
fn what_is_not_there_is_remembered_too() {
    let (resolver, dns) = simple(|asked| match &asked.name[..] {
        "short" => vec![asked.no_name(1)],
        _ => vec![asked.flags(NO_NAME)],
    });
    assert_eq!(look_up(&resolver, &["a", "a", "a"]), ["3: Host not found"; 3]);
    assert_eq!(dns.asked(), ["A a"]);
    assert_eq!(look_up(&resolver, &["short"]), ["3: Host not found"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(look_up(&resolver, &["short"]), ["3: Host not found"]);
    assert_eq!(dns.asked(), ["A short"; 2]);
    for name in ["", ".", "a..b", "a b", "a\n.b"] {
        assert_eq!(look_up(&resolver, &[name]), ["3: Host not found"], "{name:?}");
    }
    assert_eq!(dns.asked(), [""; 0], "nobody can have such a name");
    assert_eq!(look_up(&resolver, &["10.1.2.3", "::1"]), ["[10.1.2.3]", "[::1]"]);
}

#[test]
fn it_is_asked_again_when_it_is_no_longer_good() {
    let (first, dns) = simple(|asked| match asked.number {
        0 => vec![asked.records(0, &["10.0.0.1"])],
        1 => vec![asked.records(0, &["10.0.0.2"])],
        _ => vec![asked.no_name(1)],
    });
    assert_eq!(look_up(&first, &["a", "a"]), ["[10.0.0.1]"; 2], "a second at least");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(look_up(&first, &["a"]), ["[10.0.0.2]"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(look_up(&first, &["a"]), ["3: Host not found"]);
    let last = first.last_known(b"a").unwrap();
    assert_eq!(format!("{:?}", last.addresses), "[10.0.0.2]");
    assert_eq!(dns.asked(), ["A a"; 3]);

    let at = Server::at(Ip::from(dns.addr.ip()).at(dns.addr.port()).unwrap());
    let valid = Resolver::of_servers(vec![at], V4, Some(100));
    assert_eq!(look_up(&valid, &["b"]), ["[10.0.0.1]"]);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(look_up(&valid, &["b"]), ["[10.0.0.2]"], "valid= overrides it");
}

/// One task for each span: what it has heard when that is over.
fn look_up_together(resolver: &Resolver, spans: &[u64]) -> Vec<String> {
    let notes = Notes::default();
    let tasks = spans.iter().map(|ms| {
        let (to, resolver, ms) = (notes.clone(), resolver.clone(), *ms);
        Box::pin(async move {
            let found = resolver.look_up(b"app", ms).await;
            to.add(found.map(|found| found.addresses.clone()));
        }) as Pin<Box<dyn Future<Output = ()>>>
    });
    run(tasks.collect());
    notes.0.take()
}

#[test]
fn those_who_ask_for_the_same_wait_for_one_answer() {
    let (resolver, dns) = simple(|asked| {
        std::thread::sleep(Duration::from_millis(200));
        vec![asked.records(60, &["10.0.0.1"])]
    });
    assert_eq!(look_up_together(&resolver, &[5000; 10]), ["[10.0.0.1]"; 10]);
    assert_eq!(dns.asked(), ["A app"]);
}

#[test]
fn who_gives_up_leaves_nobody_behind() {
    for spans in [[50, 5000, 5000], [5000, 50, 5000], [5000, 5000, 50]] {
        let (resolver, dns) = simple(|asked| {
            std::thread::sleep(Duration::from_millis(300));
            vec![asked.records(60, &["10.0.0.1"])]
        });
        let start = Instant::now();
        let expected = ["110: Operation timed out", "[10.0.0.1]", "[10.0.0.1]"];
        assert_eq!(look_up_together(&resolver, &spans), expected);
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        assert_eq!(dns.asked(), ["A app"]);
    }
    let (resolver, dns) = simple(|_| vec![]);
    assert_eq!(look_up_together(&resolver, &[50, 60]), ["110: Operation timed out"; 2]);
    assert_eq!(dns.asked(), ["A app"]);
}

#[test]
fn a_service_has_places() {
    let (resolver, dns) = simple(|asked| match (asked.kind, &asked.name[..]) {
        ("SRV", "_http._tcp.x") => {
            vec![asked.records(60, &["20 1 82 c.x", "10 5 80 a.x", "10 6 81 b.x", "5 1 1 no.x"])]
        }
        ("A", "a.x") => vec![asked.records(60, &["10.0.0.1"])],
        ("A", "b.x" | "c.x") => vec![asked.records(60, &["10.0.0.2", "10.0.0.3"])],
        _ => vec![asked.no_name(9)],
    });
    let (notes, name) = (Notes::default(), resolver.clone());
    let to = notes.clone();
    run(vec![Box::pin(async move {
        for service in [&b"http"[..], b"_HTTP._tcp", b"ftp"] {
            let found = name.look_up_service(service, b"x", 5000).await;
            let shown = |place: &ServicePlace| {
                format!("{}:{} {}/{}", place.ip, place.port, place.priority, place.weight)
            };
            to.add(found.map(|found| found.places.iter().map(shown).collect::<Vec<_>>().join(",")));
        }
    })]);
    let all = "10.0.0.1:80 10/5,10.0.0.2:81 10/6,10.0.0.3:81 10/6,10.0.0.2:82 20/1,\
               10.0.0.3:82 20/1";
    let all = format!("{all:?}");
    assert_eq!(notes.0.take(), [&all[..], &all, "3: Host not found"]);
    let asked = dns.asked();
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("SRV")).count(), 2);
}

#[test]
fn names_that_clients_choose_do_not_fill_the_memory() {
    let (resolver, _dns) = simple(|asked| vec![asked.no_name(9)]);
    let inner = Rc::clone(&resolver.0);
    run(vec![Box::pin(async move {
        for number in 0..2000 {
            let name = format!("n{number}.x");
            resolver.look_up(name.as_bytes(), 5000).await.unwrap_err();
        }
    })]);
    assert_eq!(inner.addresses.len(), 1024);
}
