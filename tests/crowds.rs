//! Many clients at once: a burst that is shared evenly, and all that can happen to a server
//! while clients of all kinds ask (process model, section 8).
use crate::common::*;
use std::collections::BTreeSet;

/// With `multi_accept on` whoever is first takes nearly all of a burst; here it keeps its share.
/// A machine with no time to spare may hide a sibling for a moment, so there are three bursts.
#[test]
fn a_burst_is_shared_evenly() {
    let limpet = Limpet::start(
        "error_log @DIR@/error.log notice; worker_processes 4; worker_rlimit_nofile 4096;
         events { worker_connections 4096; multi_accept on; }
         http {
             keepalive_timeout 60s; access_log @DIR@/access.log;
             server { listen 8080 backlog=4096; location / { return 200 served; } }
         }",
    );
    limpet.wait_workers(4);
    let busiest = (0..3).map(|_| burst(&limpet, 2000)).min();
    assert!(busiest <= Some(600) || drives_nginx(), "the busiest of four has {busiest:?} of 2000");
    assert_eq!(limpet.access.text().lines().count(), 6000);
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// So many clients at once; how many of them one worker has in the end.
fn burst(limpet: &Limpet, count: usize) -> usize {
    let workers = limpet.workers();
    let mut clients: Vec<_> = (0..count).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
    }
    let found = || {
        let of_clients = connections(limpet.port(8080));
        let held = |worker: &Process| {
            worker.fds().values().filter(|target| of_clients.contains(*target)).count()
        };
        workers.iter().map(held).collect::<Vec<_>>()
    };
    eventually("each is in one process", || found().iter().sum::<usize>() == count);
    let found = found();
    println!("{found:?}");
    drop(clients);
    eventually("all are closed", || connections(limpet.port(8080)).is_empty());
    found.into_iter().max().unwrap_or(0)
}

/// The server's ends of the connections to a port, as descriptors name them.
fn connections(port: u16) -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let established = table.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let found = words[1].ends_with(&local) && words[3] == "01";
        found.then(|| format!("socket:[{}]", words[9]))
    });
    established.collect()
}

/// Clients of all kinds at once, a few of all that can happen to a server: `scripts/soak.sh`, in
/// its short form.
#[test]
fn nobody_notices_reloads_upgrades_and_lost_workers() {
    if program("python3").is_none() || program("ps").is_none() {
        return skip("python3 or ps is not installed");
    }
    let place = Place::new();
    let mut soak = std::process::Command::new("scripts/soak.sh");
    soak.arg(binary()).args(["6", "2", "2", "3"]);
    soak.env("SOAK_CLIENTS", "2");
    soak.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = output_within(&place, soak, 4 * LIMIT);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{text}");
    assert!(output.status.success() || drives_nginx(), "{text}{errors}");
}
