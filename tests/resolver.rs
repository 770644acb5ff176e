//! Names of upstreams, with a server of DNS that says what a test wants.
use crate::common::*;
use server::{Asked, Dns};
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
