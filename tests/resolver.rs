//! Names of upstreams, with a server of DNS that says what a test wants.
use crate::common::*;
use server::{Asked, Dns};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[path = "../src/net/resolver/tests/server.rs"]
#[allow(dead_code, reason = "shared with the resolver's own tests, which use all of it")]
mod server;

/// A server that knows `app.test` once the switch is on.
fn switched() -> (Dns, Arc<AtomicBool>) {
    let there = Arc::new(AtomicBool::new(false));
    let switch = there.clone();
    let dns = Dns::start(move |asked: &Asked| match (&asked.name[..], asked.kind) {
        ("app.test", "A") if there.load(Relaxed) => vec![asked.records(1, &["127.0.0.2"])],
        _ => vec![asked.no_name(1)],
    });
    (dns, switch)
}

/// A group of `app.test`, and what stands before it.
fn config(dns: &Dns, before: &str) -> String {
    format!(
        "events {{ }}
        http {{
            {before}
            upstream app {{ server app.test:8081 resolve; resolver {}; }}
            server {{ listen 8080; location / {{ return 200 served; }} }}
        }}",
        dns.addr
    )
}

#[test]
fn a_name_without_an_address_is_a_warning() {
    let place = Place::new();
    let (dns, there) = switched();
    let limpet = Limpet::prepare(place, &config(&dns, ""));
    let output = limpet.run(&["-t"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let missing = "host not found in upstream \"app.test:8081\" (3: Host not found)";
    assert!(stderr.contains(&format!("limpet: [warn] {missing}\n")), "{stderr}");

    let mut limpet = limpet;
    limpet.launch();
    limpet.wait_workers(1);
    eventually("it serves", || try_get(limpet.port(8080), "/").is_ok());
    limpet.log.wait(missing);
    there.store(true, Relaxed);
    limpet.log.wait("host found in upstream \"app.test:8081\": [127.0.0.2:8081]");
    assert_eq!(limpet.log.with(missing).iter().filter(|line| line.level == "warn").count(), 1);
}

#[test]
fn strict_names_keep_it_from_starting() {
    let place = Place::new();
    let (dns, there) = switched();
    let mut limpet = Limpet::prepare(place, &config(&dns, "upstream_resolve strict;"));
    let missing = "[emerg] host not found in upstream \"app.test:8081\" (3: Host not found)";
    let output = limpet.run(&["-t"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && stderr.contains(missing), "{stderr}");
    limpet.launch();
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    limpet.log.wait("host not found in upstream \"app.test:8081\"");

    there.store(true, Relaxed);
    std::thread::sleep(std::time::Duration::from_millis(10));
    limpet.launch();
    limpet.wait_workers(1);
    eventually("it serves", || try_get(limpet.port(8080), "/").is_ok());
    // What serves goes on when a worker dies and nobody knows the name any more.
    there.store(false, Relaxed);
    let worker = limpet.workers()[0];
    worker.signal(libc::SIGKILL);
    eventually("another worker", || limpet.workers().first().is_some_and(|it| *it != worker));
    eventually("it serves", || try_get(limpet.port(8080), "/").is_ok());
}

/// Two servers of one port, and one that passes requests on as `how` says.
fn two_and(how: &str, before: &str) -> String {
    format!(
        "events {{ }}
        http {{
            {before}
            server {{ listen 127.0.0.2:8081; return 200 two; }}
            server {{ listen 127.0.0.3:8081; return 200 three; }}
            server {{ listen 8080; location / {{ {how} }} }}
        }}"
    )
}

#[test]
fn a_name_that_a_request_brings_is_looked_up() {
    let place = Place::new();
    let dns = Dns::start(|asked: &Asked| match (&asked.name[..], asked.kind) {
        ("app.test", "A") if asked.number < 2 => vec![asked.records(0, &["127.0.0.2"])],
        ("app.test", "A") => vec![asked.records(0, &["127.0.0.3"])],
        ("app.test", _) => vec![asked.flags(0x8180)],
        ("ill.test", _) => vec![asked.flags(server::FAILED)],
        ("silent.test", _) => vec![],
        _ => vec![asked.no_name(1)],
    });
    let how = "proxy_pass http://$arg_name:8081;";
    let before = format!("resolver {}; resolver_timeout 300ms;", dns.addr);
    let limpet = Limpet::start_in(place, &two_and(how, &before));
    assert_eq!(limpet.get("/?name=app.test").text(), "two");
    assert_eq!(limpet.get("/?name=APP.test").text(), "two", "it is remembered");
    assert_eq!(dns.asked(), ["A app.test", "AAAA app.test"]);
    eventually("it has another address", || limpet.get("/?name=app.test").text() == "three");
    for (name, why) in [
        ("no.test", "3: Host not found"),
        ("ill.test", "2: Server failure"),
        ("silent.test", "110: Operation timed out"),
    ] {
        assert_eq!(limpet.get(&format!("/?name={name}")).status, 502, "{name}");
        let line = limpet.log.wait(&format!("{name} could not be resolved ({why}), client: 127"));
        assert_eq!(line.level, "error");
    }
}

#[test]
fn where_dns_is_ill_a_name_keeps_its_address() {
    let place = Place::new();
    let ill = Arc::new(AtomicBool::new(false));
    let is_ill = ill.clone();
    let dns = Dns::start(move |asked: &Asked| match is_ill.load(Relaxed) {
        true => vec![asked.flags(server::FAILED)],
        false => vec![asked.records(0, &["127.0.0.2"])],
    });
    let before = format!("resolver {} ipv6=off;", dns.addr);
    let how = "proxy_pass http://$arg_name:8081;";
    let limpet = Limpet::start_in(place, &two_and(how, &before));
    assert_eq!(limpet.get("/?name=app.test").text(), "two");
    ill.store(true, Relaxed);
    eventually("its time is over", || {
        assert_eq!(limpet.get("/?name=app.test").text(), "two");
        limpet.log.count("app.test could not be resolved (2: Server failure), client: 127") > 0
    });
}

/// Answers one request, and then nobody is there any more.
fn answer_once(address: &str) -> std::thread::JoinHandle<()> {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut room = [0; 4096];
        assert!(stream.read(&mut room).unwrap() > 0);
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").unwrap();
    })
}

#[test]
fn a_container_that_comes_back_elsewhere_is_found() {
    let place = Place::new();
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = moved.clone();
    let dns = Dns::start(move |asked: &Asked| match (is_moved.load(Relaxed), asked.kind) {
        (_, "AAAA") => vec![asked.flags(0x8180)],
        (false, _) => vec![asked.records(600, &["127.0.0.4"])],
        (true, _) => vec![asked.records(600, &["127.0.0.3"])],
    });
    let old = answer_once(&format!("127.0.0.4:{}", place.port(8081)));
    let group = format!("upstream app {{ server app.test:8081; resolver {}; }}", dns.addr);
    let limpet = Limpet::start_in(place, &two_and("proxy_pass http://app;", &group));
    assert_eq!(limpet.get("/").text(), "old", "the first request waits for its address");
    old.join().unwrap();
    moved.store(true, Relaxed);
    // A name is looked up once a second at most.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for _ in 0..5 {
        assert_eq!(limpet.get("/").text(), "three");
    }
    assert_eq!(dns.asked(), ["A app.test", "A app.test", "AAAA app.test", "AAAA app.test"]);
}

/// Where `app.test` is: at the first address once, and then at the other.
fn moving(first: &'static str, then: &'static str) -> Dns {
    let moved = AtomicBool::new(false);
    Dns::start(move |asked: &Asked| {
        let address = if moved.swap(true, Relaxed) { then } else { first };
        vec![asked.records(600, &[address])]
    })
}

/// A host that is gone says nothing at all, and the kernel takes its time to say so.
#[test]
fn an_address_that_is_silent_is_left_for_another() {
    for (group, how) in [
        ("upstream app { server app.test:8081 resolve; }", "proxy_pass http://app;"),
        ("", "proxy_pass http://$arg_name:8081;"),
    ] {
        let place = Place::new();
        let address = format!("127.0.0.4:{}", place.port(8081));
        let silent = TcpListener::bind(&address).unwrap();
        kernel::listen_for(&silent, 0);
        // Nobody accepts it, so there is no room for another one.
        let _full = std::net::TcpStream::connect(&address).unwrap();
        let dns = moving("127.0.0.4", "127.0.0.3");
        let before = format!("resolver {} ipv6=off; {group}", dns.addr);
        let limpet = Limpet::start_in(place, &two_and(how, &before));
        for _ in 0..3 {
            assert_eq!(limpet.get("/?name=app.test").text(), "three", "{how}");
        }
        let left = "no answer from upstream, and its name has other addresses now";
        assert_eq!(limpet.log.wait(left).level, "warn");
        assert_eq!(limpet.log.count("upstream timed out"), 0);
    }
}

#[test]
fn a_name_that_a_request_brings_has_moved() {
    let place = Place::new();
    let dns = moving("127.0.0.4", "127.0.0.3");
    let old = answer_once(&format!("127.0.0.4:{}", place.port(8081)));
    let how = "proxy_pass http://$arg_name:8081;";
    let before = format!("resolver {} ipv6=off;", dns.addr);
    let limpet = Limpet::start_in(place, &two_and(how, &before));
    assert_eq!(limpet.get("/?name=app.test").text(), "old");
    old.join().unwrap();
    // What is known counts for a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(limpet.get("/?name=app.test").text(), "three", "its own resolver is asked again");
    assert_eq!(dns.asked(), ["A app.test", "A app.test"]);
}

/// What a resolver is told counts more than what DNS says.
#[test]
fn an_answer_is_good_for_as_long_as_valid_says_and_of_one_family() {
    let place = Place::new();
    let dns = Dns::start(|asked: &Asked| match asked.kind {
        "AAAA" => vec![asked.records(0, &["::1"])],
        _ => vec![asked.records(0, &["127.0.0.2"])],
    });
    let six = format!("server {{ listen [::1]:{}; return 200 six; }}", place.port(8081));
    let before = format!("resolver {} ipv4=off valid=1h; {six}", dns.addr);
    let how = "proxy_pass http://$arg_name:8081;";
    let limpet = Limpet::start_in(place, &two_and(how, &before));
    assert_eq!(limpet.get("/?name=app.test").text(), "six");
    // DNS has said that it is good for no time at all, which is a second at least.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(limpet.get("/?name=app.test").text(), "six");
    assert_eq!(dns.asked(), ["AAAA app.test"]);
}

#[test]
fn a_literal_name_needs_no_resolver() {
    let how = "proxy_pass http://localhost:8082;";
    let config = two_and(how, "server { listen 127.0.0.1:8082; return 200 local; }");
    let limpet = Limpet::start(&config);
    assert_eq!(limpet.get("/").text(), "local");
    assert_eq!(limpet.get("/").text(), "local");
}

#[test]
fn a_literal_name_that_nobody_knows_is_a_502_and_a_line() {
    let config = two_and("proxy_pass http://no..such:3000;", "");
    let limpet = Limpet::start(&config);
    limpet.log.wait("host not found in upstream \"no..such\" (3: Host not found)");
    assert_eq!(limpet.get("/").status, 502);
    let line = limpet.log.wait("no..such could not be resolved (3: Host not found)");
    assert_eq!(line.level, "error");
}

/// One group whose line has `service=NAME` and this besides, and three servers.
fn served(place: &Place, dns: &Dns, groups: &[(&str, &str)]) -> String {
    let mut http = format!("resolver {} ipv6=off; access_log off;", dns.addr);
    let mut locations = String::new();
    for (name, line) in groups {
        http += &format!("upstream {name} {{ zone {name} 64k; {line} }}\n");
        locations += &format!("location /{name} {{ proxy_pass http://{name}; }}\n");
    }
    for (address, text) in [("127.0.0.2", "one"), ("127.0.0.3", "two"), ("127.0.0.4", "three")] {
        http +=
            &format!("server {{ listen {address}:{}; return 200 {text}; }}\n", place.port(8081));
    }
    format!("events {{ }} http {{ {http} server {{ listen 8080; {locations} }} }}")
}

/// A server of DNS that knows services of `app.test`, at three addresses and one where nobody is.
fn services(port: u16) -> Dns {
    Dns::start(move |asked: &Asked| {
        let places = |places: &[&str]| -> Vec<Vec<u8>> {
            let texts: Vec<_> =
                places.iter().map(|place| place.replace("PORT", &port.to_string())).collect();
            vec![asked.records(60, &texts.iter().map(String::as_str).collect::<Vec<_>>())]
        };
        match (&*asked.name, asked.kind) {
            // Not in the order of their priorities.
            ("_http._tcp.app.test", "SRV") => {
                places(&["9 7 PORT three.test", "5 3 PORT one.test", "5 1 PORT two.test"])
            }
            ("_dead._tcp.app.test", "SRV") => {
                places(&["1 1 PORT dead.test", "2 0 PORT three.test", "3 0 PORT two.test"])
            }
            ("one.test", "A") => vec![asked.records(60, &["127.0.0.2"])],
            ("two.test", "A") => vec![asked.records(60, &["127.0.0.3"])],
            ("three.test", "A") => vec![asked.records(60, &["127.0.0.4"])],
            ("dead.test", "A") => vec![asked.records(60, &["127.0.0.5"])],
            _ => vec![asked.no_name(1)],
        }
    })
}

/// As nginx has them: the lowest number serves, by the weights of the records; all others are
/// backups.
#[test]
fn places_of_a_service_have_priorities_and_weights() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let dns = services(place.port(8081));
    let spare = format!("server 127.0.0.5:{};", place.port(8081));
    let spare = format!("{spare} server app.test service=http resolve backup;");
    let config = served(
        &place,
        &dns,
        &[
            ("best", "server app.test service=http resolve;"),
            ("own", "server app.test service=http resolve weight=2;"),
            ("dead", "server app.test service=dead resolve fail_timeout=1h;"),
            ("spare", &spare),
        ],
    );
    let limpet = Limpet::start_in(place, &config);
    let counted = |at: &str| {
        let texts: Vec<_> = (0..20).map(|_| limpet.get(at).text()).collect();
        ["one", "two", "three"].map(|text| texts.iter().filter(|it| *it == text).count())
    };
    assert_eq!(counted("/best"), [15, 5, 0]);
    assert_eq!(counted("/own"), [10, 10, 0], "what the line says counts");
    assert_eq!(counted("/dead"), [0, 10, 10], "who is not the best is a backup, whatever it is");
    assert_eq!(counted("/spare"), [15, 5, 0], "only the best are backups of others");
    let output = limpet.run(&["-s", "status"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rows) = table.split_once("\nupstream dead, zone dead\n").expect(&table);
    let rows: Vec<Vec<&str>> = rows.lines().take(4).map(|row| row.split("  ").collect()).collect();
    let states: Vec<&str> =
        rows.iter().flat_map(|row| row.iter().map(|cell| cell.trim())).collect();
    let count = |state: &str| states.iter().filter(|cell| **cell == state).count();
    assert_eq!((count("unavail"), count("up, backup")), (1, 2), "{table}");
}
