//! Peers are asked how they are, by a process for all workers, and who is ill gets no requests.
use crate::common::upstream::Gate;
use crate::common::*;
use std::sync::{Arc, Mutex};

fn config(upstream: &str, location: &str) -> String {
    format!(
        "worker_processes 2; error_log @DIR@/error.log info;
         events {{ }}
         http {{
             access_log off;
             match ok {{ status 200; header Content-Type = text/plain; body ~ fine; }}
             upstream app {{ zone app 64k; {upstream} }}
             server {{
                 listen 8080;
                 location / {{ proxy_pass http://app; {location} }}
             }}
         }}"
    )
}

const WELL: &str = "200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nfine";
const ILL: &str = "500 Bad\r\nContent-Length: 0\r\n\r\n";

/// An application that answers checks as it is told, and others with its port.
#[derive(Clone)]
struct App {
    state: Arc<Mutex<String>>,
}

impl App {
    fn start(place: &Place, port: u16, state: &str) -> (App, Upstream) {
        let app = App { state: Arc::new(Mutex::new(state.to_string())) };
        let own = app.clone();
        let upstream = Upstream::tcp(place, port, move |peer| {
            while let Some(request) = peer.request() {
                let state = own.state.lock().unwrap().clone();
                match request.target() {
                    "/up" => peer.send(format!("HTTP/1.1 {state}")),
                    _ => peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{port}")),
                };
            }
        });
        (app, upstream)
    }

    fn set(&self, state: &str) {
        *self.state.lock().unwrap() = state.to_string();
    }
}

/// Waits for a check, of those that the test has not taken.
fn wait_check(upstream: &Upstream) {
    upstream.wait("a check", |seen| {
        seen.iter().flat_map(|seen| &seen.requests).any(|request| request.target() == "/up")
    });
}

fn checker(limpet: &Limpet) -> Process {
    let checkers = || limpet.master().children_titled(": health checker process");
    eventually("one health checker", || checkers().len() == 1);
    checkers()[0]
}

/// The ports that answered so many requests.
fn who(limpet: &Limpet, count: usize) -> Vec<String> {
    let mut all: Vec<_> = (0..count).map(|_| limpet.get("/").text()).collect();
    all.sort();
    all.dedup();
    all
}

const TWO: &str = "server 127.0.0.1:8090; server 127.0.0.1:8091;";

#[test]
fn who_fails_its_checks_is_left_alone_until_it_passes() {
    let place = Place::new();
    let (_, _one) = App::start(&place, 8090, WELL);
    let (app, two) = App::start(&place, 8091, WELL);
    let line = "health_check uri=/up interval=50ms fails=2 passes=3;";
    let limpet = Limpet::start_in(place, &config(TWO, line));
    limpet.log.wait("start health checker process");
    wait_check(&two);
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);

    app.set(ILL);
    let peer = format!("of peer 127.0.0.1:{} in upstream \"app\"", limpet.port(8091));
    let words = format!("peer is unhealthy while checking status code, health check \"\" {peer}");
    assert_eq!(limpet.log.wait(&words).level, "warn");
    assert_eq!(who(&limpet, 8), ["8090"]);

    two.take_requests();
    app.set(WELL);
    let line = limpet.log.wait(&format!("peer is healthy, health check \"\" {peer}"));
    assert_eq!(line.level, "notice");
    let passes = two.requests().iter().filter(|request| request.target() == "/up").count();
    assert!(passes >= 3, "healthy after {passes} checks");
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
    assert_eq!(limpet.log.count("peer is unhealthy"), 1);
    let failed = limpet.log.with("peer failed while checking status code");
    assert_eq!(failed.iter().map(|line| &line.level[..]).collect::<Vec<_>>(), ["info"]);
}

/// Status, header and body are looked at, and so is whether there is an answer in time.
#[test]
fn a_peer_has_many_ways_to_be_ill() {
    let place = Place::new();
    let chunked = "200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n";
    let (_, well) = App::start(&place, 8090, chunked);
    let (_, _body) = App::start(&place, 8091, &WELL.replace("fine", "dead"));
    let (_, _header) = App::start(&place, 8092, &WELL.replace("plain", "html"));
    let _silent = Upstream::tcp(&place, 8093, |peer| peer.hang());
    let cut = WELL.replace("Length: 4", "Length: 40");
    let _short = Upstream::tcp(&place, 8094, move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 {cut}"));
    });
    let servers: String =
        (8090..=8095).map(|port| format!("server 127.0.0.1:{port};")).collect::<String>();
    let line = "proxy_read_timeout 300ms; proxy_set_header Host checked;
                health_check uri=/up interval=50ms match=ok;";
    let limpet = Limpet::start_in(place, &config(&servers, line));
    let ill = [
        (8091, "checking body"),
        (8092, "checking header"),
        (8093, "reading response from upstream"),
        (8094, "reading response from upstream"),
        (8095, "connecting to upstream"),
    ];
    for (port, what) in ill {
        let peer = format!("of peer 127.0.0.1:{} in", limpet.port(port));
        limpet.log.wait(&format!("peer is unhealthy while {what}, health check \"ok\" {peer}"));
    }
    assert_eq!(limpet.log.count("(111: Connection refused)"), 1);
    assert_eq!(limpet.log.count("peer is unhealthy"), 5);
    assert_eq!(who(&limpet, 12), ["8090"]);
    let check = &well.requests()[0];
    assert_eq!(check.line(), "GET /up HTTP/1.1");
    assert_eq!((check.field("host"), check.field("connection")), ("checked", "close"));
}

/// Answers checks only when the gate lets it.
fn gated(place: &Place, gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::tcp(place, 8090, move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/up" && !gate.pass() {
                return;
            }
            peer.send(format!("HTTP/1.1 {WELL}"));
        }
    })
}

const MANDATORY: &str = "health_check uri=/up interval=20ms mandatory;";
const PERSISTENT: &str = "health_check uri=/up interval=20ms mandatory persistent;";

#[test]
fn a_mandatory_check_comes_before_the_first_request() {
    let (place, gate) = (Place::new(), Gate::default());
    let app = gated(&place, &gate);
    let limpet = Limpet::start_in(place, &config("server 127.0.0.1:8090;", MANDATORY));
    wait_check(&app);
    assert_eq!(limpet.get("/").status, 502);
    limpet.log.wait("no live upstreams while connecting to upstream");
    gate.open();
    limpet.log.wait("peer is healthy, health check");
    assert_eq!(limpet.get("/").text(), "fine");

    // After a reload it is as at the start.
    limpet.reload(&config("server 127.0.0.1:8090;", MANDATORY));
    assert_eq!(limpet.get("/").status, 502);
    // One is for the check that the last checker did not end.
    gate.open();
    gate.open();
    limpet.log.wait_count("peer is healthy, health check", 2);
    assert_eq!(limpet.get("/").text(), "fine");
}

#[test]
fn what_is_persistent_survives_a_reload() {
    let (place, gate) = (Place::new(), Gate::default());
    let app = gated(&place, &gate);
    let text = config("server 127.0.0.1:8090;", PERSISTENT);
    let limpet = Limpet::start_in(place, &text);
    wait_check(&app);
    assert_eq!(limpet.get("/").status, 502);
    gate.open();
    limpet.log.wait("peer is healthy, health check");
    let first = checker(&limpet);
    limpet.reload(&text);
    first.wait_end();
    assert_ne!(checker(&limpet), first);
    assert_eq!(limpet.get("/").text(), "fine");
    assert_eq!(limpet.log.count("peer is healthy"), 1);
}

#[test]
fn a_killed_checker_is_replaced_and_goes_on() {
    let place = Place::new();
    let (_, _one) = App::start(&place, 8090, WELL);
    let (app, two) = App::start(&place, 8091, ILL);
    let line = "health_check uri=/up interval=50ms;";
    let limpet = Limpet::start_in(place, &config(TWO, line));
    limpet.log.wait("peer is unhealthy");
    let first = checker(&limpet);
    first.signal(libc::SIGKILL);
    limpet.log.wait(&format!("health checker process {} exited on signal 9", first.0));
    limpet.log.wait_count("start health checker process", 2);
    assert_eq!(who(&limpet, 4), ["8090"]);
    two.take_requests();
    wait_check(&two);
    app.set(WELL);
    limpet.log.wait("peer is healthy");
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
    assert_eq!(limpet.log.count("peer is unhealthy"), 1, "it knows what was found");
}

/// A configuration without checks asks nobody, and minds nothing that was found before.
#[test]
fn checks_come_and_go_with_reloads() {
    let place = Place::new();
    let (_, _one) = App::start(&place, 8090, WELL);
    let (_, _two) = App::start(&place, 8091, ILL);
    let line = "health_check uri=/up interval=50ms;";
    let limpet = Limpet::start_in(place, &config(TWO, ""));
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
    limpet.reload(&config(TWO, line));
    limpet.log.wait("peer is unhealthy");
    assert_eq!(who(&limpet, 4), ["8090"]);
    let last = checker(&limpet);
    limpet.reload(&config(TWO, ""));
    last.wait_end();
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
}

/// What a reload that fails has begun anew is not what the old configuration serves by.
#[test]
fn a_failed_reload_forgets_nothing() {
    let (place, gate) = (Place::new(), Gate::default());
    let _app = gated(&place, &gate);
    let text = config("server 127.0.0.1:8090;", MANDATORY);
    let limpet = Limpet::start_in(place, &text);
    gate.open();
    limpet.log.wait("peer is healthy, health check");
    let first = checker(&limpet);
    let strict = "http { upstream_resolve strict; upstream nobody { server nobody.invalid; }";
    limpet.configure(&text.replace("http {", strict));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("host not found in upstream \"nobody.invalid\"");
    limpet.log.wait("generation 1 serves on");
    assert_eq!(limpet.get("/").text(), "fine");
    assert_eq!(checker(&limpet), first);
}

/// The checker looks up names for itself.
#[test]
fn the_peers_of_a_name_are_checked() {
    let place = Place::new();
    let (_, app) = App::start(&place, 8090, WELL);
    let limpet = Limpet::start_in(place, &config("server localhost:8090;", MANDATORY));
    let peer = format!("of peer 127.0.0.1:{} in", limpet.port(8090));
    limpet.log.wait(&format!("peer is healthy, health check \"\" {peer}"));
    eventually("an answer", || limpet.get("/").status == 200);
    assert!(app.requests().iter().any(|request| request.target() == "/up"));
}

/// A master that becomes another binary has another checker, which begins anew.
#[test]
fn an_upgrade_in_place_has_a_checker() {
    let place = Place::new();
    let (_, _one) = App::start(&place, 8090, WELL);
    let (app, _two) = App::start(&place, 8091, ILL);
    let text = config(TWO, "health_check uri=/up interval=50ms;");
    let limpet = Limpet::start_in(place, &text);
    limpet.log.wait("peer is unhealthy");
    let first = checker(&limpet);
    limpet.signal(libc::SIGUSR2);
    first.wait_end();
    assert_ne!(checker(&limpet), first);
    limpet.log.wait_count("peer is unhealthy", 2);
    assert_eq!(who(&limpet, 4), ["8090"]);
    app.set(WELL);
    limpet.log.wait("peer is healthy");
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
}

#[test]
fn a_single_process_checks_by_itself() {
    let place = Place::new();
    let (_, _one) = App::start(&place, 8090, WELL);
    let (app, _two) = App::start(&place, 8091, ILL);
    let text = config(TWO, "health_check uri=/up interval=50ms;");
    let limpet = Limpet::start_in(place, &format!("master_process off; {text}"));
    limpet.log.wait("peer is unhealthy");
    assert_eq!(who(&limpet, 4), ["8090"]);
    app.set(WELL);
    limpet.log.wait("peer is healthy");
    assert_eq!(who(&limpet, 4), ["8090", "8091"]);
}
