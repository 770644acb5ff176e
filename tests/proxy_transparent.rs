//! `proxy_bind ... transparent`: connections to upstreams that come from addresses of others.
use crate::common::*;
use std::process::Command;

const SERVED: &str = "
    user daemon; worker_processes 1;
    events { }
    http {
        access_log off;
        server { listen 8090; return 200 $remote_addr; }
        server {
            listen 8080;
            location /fixed { proxy_pass http://127.0.0.1:8090; proxy_bind 10.9.8.7 transparent; }
            location /client {
                proxy_pass http://127.0.0.1:8090; proxy_bind $arg_from transparent;
            }
            location /plain { proxy_pass http://127.0.0.1:8090; proxy_bind 10.9.8.9; }
        }
    }
";

const CAP_NET_RAW: u64 = 1 << 13;

/// Answers to the foreign addresses find their way back, though nobody has them.
fn lead_back(ip: &std::path::Path) -> bool {
    let commands =
        ["rule add from all lookup 100 pref 100", "route add local 10.9.8.0/24 dev lo table 100"];
    commands.iter().all(|command| {
        let status = Command::new(ip).args(command.split(' ')).status();
        status.is_ok_and(|status| status.success())
    })
}

#[test]
fn a_worker_that_is_nobody_binds_addresses_of_others() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let Some(ip) = program("ip") else { return skip("needs iproute2") };
    let place = Place::new();
    if place.network().is_none() || !lead_back(&ip) {
        return skip("needs a network of its own, with routes");
    }
    let limpet = Limpet::start_in(place, SERVED);
    let worker = limpet.wait_workers(1)[0];
    eventually("one capability is left", || worker.signals("CapEff") == CAP_NET_RAW);
    assert_ne!(worker.user(), 0);
    assert_eq!(worker.signals("CapPrm"), CAP_NET_RAW);
    assert_eq!(limpet.get("/fixed").text(), "10.9.8.7");
    // A kept connection is only used for the address that it comes from.
    assert_eq!(limpet.get("/client?from=10.9.8.23").text(), "10.9.8.23");
    assert_eq!(limpet.get("/client?from=10.9.8.7").text(), "10.9.8.7");
    assert_eq!(limpet.get("/client").text(), "127.0.0.1");
    assert_eq!(limpet.get("/plain").status, 500, "the kernel wants to be told");
    limpet.log.wait("bind(");
}

/// What is kept follows the configuration in force.
#[test]
fn a_reload_without_transparent_binds_gives_it_up() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let limpet = Limpet::start(SERVED);
    let before = limpet.wait_workers(1)[0];
    eventually("it is kept", || before.signals("CapEff") == CAP_NET_RAW);
    limpet.reload(&SERVED.replace(" transparent", ""));
    eventually("none is left", || {
        let now = limpet.workers();
        matches!(now[..], [it] if it.0 != before.0 && it.user() != 0 && it.signals("CapEff") == 0)
    });
}
