//! `upstream`: which server gets which request, beside nginx; what workers share, and what
//! clients keep.
use crate::common::*;
use std::path::PathBuf;
use std::thread;

/// Servers at 8081 to 8084, of which the third fails where it is asked to, and a slow one at
/// 8085; nobody is at 8090.
const SERVERS: &str = "
    server { listen 8081; listen 8082; listen 8084; location / { return 200 served; }
        location /begin { add_header X-Session $arg_s; return 200; }
        location /slow { alias @DIR@/slow; limit_rate 1k; limit_rate_after 16k; } }
    server { listen 8083; location / { return 200 served; } location /fail { return 503; }
        location /slow { alias @DIR@/slow; limit_rate 1k; limit_rate_after 16k; } }
    server { listen 8085; location / { root @DIR@; try_files /short =404; limit_rate 4k; } }";

/// Group and location of each case: `/0/`, `/1/` and so on.
fn config(main: &str, cases: &[(&str, &str)]) -> String {
    let mut http = SERVERS.to_string();
    let mut locations = String::new();
    for (number, (upstream, location)) in cases.iter().enumerate() {
        http += &format!("upstream u{number} {{ {upstream} }}\n");
        locations += &format!(
            "location /{number}/ {{ proxy_pass http://u{number}/; {location}
             add_header X-Up $upstream_addr always; }}\n"
        );
    }
    format!(
        "{main} error_log @DIR@/error.log info; events {{ worker_connections 4096; }}
         http {{ access_log off; set_real_ip_from 127.0.0.1; real_ip_header X-From;
         keepalive_requests 100000; {http}
         server {{ listen 8080; {locations} }} }}"
    )
}

fn prepared(server: PathBuf, config: &str) -> Limpet {
    let place = Place::new();
    place.write("slow", vec![b'x'; 1 << 20]);
    place.write("short", vec![b'x'; 6000]);
    let mut server = Limpet::prepare_binary(server, place, config);
    server.launch();
    server
}

/// Ports, or `-`, that a request was passed to, and its status if it is not 200.
fn told(response: &Response) -> String {
    let ports = response.header("x-up").split(", ").map(|address| match address.rsplit_once(':') {
        Some((_, port)) => port.strip_prefix("80").unwrap_or(port).to_string(),
        None => format!("-{address}"),
    });
    let ports: Vec<String> = ports.collect();
    match response.status {
        200 => ports.join("+"),
        status => format!("{}={status}", ports.join("+")),
    }
}

fn request(target: &str, from: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-From: {from}\r\n\r\n")
}

/// Where so many requests go, one after the other.
fn asked(server: &Limpet, count: usize, ask: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(|number| told(&server.client().send(ask(number)).response())).collect()
}

/// Begins requests that do not end; where they go.
fn held(server: &Limpet, count: usize, target: &str) -> (Vec<Client>, Vec<String>) {
    let hold = |_| {
        let mut client = server.client();
        let response = client.send(request(target, "10.0.0.1")).try_response(true).unwrap();
        (client, told(&response))
    };
    (0..count).map(hold).unzip()
}

/// Who asks, below this location.
type Run = fn(&Limpet, &str) -> Vec<String>;

fn plain(server: &Limpet, at: &str) -> Vec<String> {
    asked(server, 200, |_| request(at, "10.0.0.1"))
}

fn failing(server: &Limpet, at: &str) -> Vec<String> {
    asked(server, 200, |_| request(&format!("{at}fail"), "10.0.0.1"))
}

fn by_key(server: &Limpet, at: &str) -> Vec<String> {
    asked(server, 200, |number| request(&format!("{at}?k=key{number}"), "10.0.0.1"))
}

fn by_client(server: &Limpet, at: &str) -> Vec<String> {
    let from = |number: usize| match number % 4 {
        0 => format!("2001:db8::{number:x}"),
        _ => format!("10.{}.{number}.9", number * 7 % 256),
    };
    asked(server, 200, |number| request(at, &from(number)))
}

fn holding(server: &Limpet, at: &str) -> Vec<String> {
    let (clients, mut told) = held(server, 12, &format!("{at}slow"));
    told.extend(asked(server, 20, |_| request(at, "10.0.0.1")));
    drop(clients);
    told
}

const ALL: &str = "server 127.0.0.1:8081; server 127.0.0.1:8082; server 127.0.0.1:8083;
                   server 127.0.0.1:8084;";
const WEIGHTS: &str = "server 127.0.0.1:8081 weight=5; server 127.0.0.1:8082;
                       server 127.0.0.1:8083 weight=2; server 127.0.0.1:8084 down;";
/// The second one is not there.
const DEAD: &str = "server 127.0.0.1:8081 weight=2; server 127.0.0.1:8090 fail_timeout=1h;
                    server 127.0.0.1:8083 weight=3; server 127.0.0.1:8084;";
const NEXT: &str = "proxy_next_upstream error timeout http_503;";

/// What the group has, what the location has, who asks.
fn cases() -> Vec<(String, &'static str, Run)> {
    let own = |method: &str, servers: &str| format!("{method} {servers}");
    let dead = |more: &str| format!("server 127.0.0.1:8081; server 127.0.0.1:8090 {more};");
    vec![
        (own("", ALL), "", plain),
        (own("", WEIGHTS), "", plain),
        (own("", DEAD), "", plain),
        (own("", WEIGHTS), "", holding),
        (own("", ALL), NEXT, failing),
        (own("", ALL), "", failing),
        (own("", ALL), "proxy_next_upstream error http_503; proxy_next_upstream_tries 1;", failing),
        (dead("max_fails=0"), "", plain),
        (dead("weight=9 max_fails=3 fail_timeout=1h"), "", plain),
        (dead("weight=20 max_fails=7 fail_timeout=1h"), "", plain),
        (dead("max_fails=2 fail_timeout=1h backup"), "", plain),
        ("server 127.0.0.1:8090;".into(), "", plain),
        ("server 127.0.0.1:8081 down;".into(), "", plain),
        ("server 127.0.0.1:8090; server 127.0.0.1:8091;".into(), "", plain),
        (
            "server 127.0.0.1:8090 fail_timeout=1h; server 127.0.0.1:8083 backup;
              server 127.0.0.1:8084 backup weight=2;"
                .into(),
            NEXT,
            failing,
        ),
        ("server 127.0.0.1:8081 down; server 127.0.0.1:8082 backup;".into(), "", plain),
        (
            "server 127.0.0.1:8081 max_conns=2; server 127.0.0.1:8082 max_conns=3;
              server 127.0.0.1:8084 weight=2 max_conns=1; server 127.0.0.1:8083 backup max_conns=1;"
                .into(),
            "",
            holding,
        ),
        ("server 127.0.0.1:8081 max_conns=3;".into(), "", holding),
        (own("hash $arg_k;", ALL), "", by_key),
        (own("hash $arg_k;", WEIGHTS), "", by_key),
        (own("hash $arg_k;", DEAD), "", by_key),
        (own("hash $arg_none;", WEIGHTS), "", by_key),
        (own("hash $arg_k$uri;", ALL), NEXT, failing),
        (own("hash $arg_k consistent;", ALL), "", by_key),
        (own("hash $arg_k consistent;", WEIGHTS), "", by_key),
        (own("hash $arg_k consistent;", DEAD), "", by_key),
        (own("hash $arg_none consistent;", WEIGHTS), "", by_key),
        (own("hash $arg_k$uri consistent;", ALL), NEXT, failing),
        (own("hash x consistent;", &format!("{ALL} {ALL}")), "", plain),
        (own("ip_hash;", ALL), "", by_client),
        (own("ip_hash;", WEIGHTS), "", by_client),
        (own("ip_hash;", DEAD), "", by_client),
        (own("ip_hash;", ALL), NEXT, failing),
        (own("least_conn;", ALL), "", plain),
        (own("least_conn;", WEIGHTS), "", plain),
        (own("least_conn;", DEAD), "", plain),
        (own("least_conn;", WEIGHTS), "", holding),
        (own("least_conn;", ALL), NEXT, failing),
        (own("zone z 128k; least_conn;", ALL), "", holding),
        (own("zone z 128k;", DEAD), "", plain),
        (own("zone z 128k; hash $arg_k consistent;", DEAD), "", by_key),
    ]
}

/// What each case tells of one server, which runs in a thread of its own: in a network of
/// its own.
fn answers(server: PathBuf) -> thread::JoinHandle<Vec<Vec<String>>> {
    thread::spawn(move || {
        let cases = cases();
        let confs: Vec<(&str, &str)> = cases.iter().map(|(up, at, _)| (&**up, *at)).collect();
        let server = prepared(server, &config("worker_processes 1;", &confs));
        server.wait_workers(1);
        let run = |(number, (_, _, run)): (usize, &(String, &str, Run))| {
            run(&server, &format!("/{number}/"))
        };
        cases.iter().enumerate().map(run).collect()
    })
}

#[test]
fn requests_go_where_they_go_in_nginx() {
    let Some(nginx) = program("nginx") else {
        return skip("there is no nginx here to compare with");
    };
    let (nginx, limpet) = (answers(nginx), answers(binary()));
    let (nginx, limpet) = (nginx.join().unwrap(), limpet.join().unwrap());
    for (((upstream, location, _), nginx), limpet) in cases().iter().zip(nginx).zip(limpet) {
        assert_eq!(nginx.join(" "), limpet.join(" "), "{upstream} {location}");
    }
}

/// Of one group, at `/0/`.
fn start(main: &str, upstream: &str) -> Limpet {
    let server = prepared(binary(), &config(main, &[(upstream, "")]));
    server.log.wait("start worker process");
    eventually("an answer", || server.get("/none").status == 404);
    server
}

fn with_cookie(cookie: &str) -> String {
    format!("GET /0/ HTTP/1.1\r\nHost: a\r\nCookie: a=b; {cookie}\r\n\r\n")
}

#[test]
fn a_cookie_leads_back() {
    let sticky = "sticky cookie at path=/ httponly;";
    let two = "server 127.0.0.1:8081; server 127.0.0.1:8082 route=second;";
    let server = start("", &format!("{two} {sticky}"));
    let first = server.get("/0/");
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_string();
    assert!(cookie.starts_with("at=") && cookie.len() == 3 + 32, "{cookie}");
    assert_eq!(first.header("set-cookie"), format!("{cookie}; path=/; httponly"));
    let second = server.get("/0/");
    assert_eq!(second.header("set-cookie"), "at=second; path=/; httponly");
    for (cookie, port) in [(&*cookie, "81"), ("at=second", "82")] {
        for _ in 0..10 {
            let response = server.client().send(with_cookie(cookie)).response();
            assert_eq!((&*told(&response), response.header("set-cookie")), (port, ""));
        }
    }
    let unknown = server.client().send(with_cookie("at=third")).response();
    assert!(unknown.header("set-cookie").starts_with("at="));
}

#[test]
fn who_has_lost_its_server_gets_another_cookie() {
    let dead =
        "server 127.0.0.1:8090 route=dead fail_timeout=1h; server 127.0.0.1:8081 route=live;";
    let server = start("", &format!("{dead} sticky cookie at expires=1h;"));
    let response = server.client().send(with_cookie("at=dead")).response();
    assert_eq!(told(&response), "90+81");
    assert!(
        response.header("set-cookie").starts_with("at=live; expires="),
        "{:?}",
        response.headers
    );
    assert!(response.header("set-cookie").ends_with("; max-age=3600"), "{:?}", response.headers);
    let response = server.client().send(with_cookie("at=dead")).response();
    assert_eq!(told(&response), "81", "it is known to be dead");
    let again = server.client().send(with_cookie("at=live")).response();
    assert!(again.has("set-cookie"), "what expires is renewed");
}

#[test]
fn sessions_are_learned_for_all_workers() {
    let learn = "sticky learn create=$upstream_http_x_session lookup=$arg_s zone=s:64k;";
    let three = "server 127.0.0.1:8081; server 127.0.0.1:8082; server 127.0.0.1:8084;";
    let server = start("worker_processes 3;", &format!("{three} {learn}"));
    for session in ["a", "b", "c", "d"] {
        let begun = told(&server.get(&format!("/0/begin?s={session}")));
        let own = asked(&server, 12, |_| request(&format!("/0/?s={session}"), "10.0.0.1"));
        assert_eq!(own, [&*begun; 12], "{session}");
    }
    let others = asked(&server, 12, |_| request("/0/?s=e", "10.0.0.1"));
    assert!(others.iter().any(|port| *port != others[0]), "{others:?}");
}

#[test]
fn limits_of_a_zone_are_for_all_workers_and_outlive_them() {
    let one = "zone z 64k; server 127.0.0.1:8081 max_conns=4;";
    let server = start("worker_processes 3;", one);
    let (clients, ports) = held(&server, 4, "/0/slow");
    assert_eq!(ports, ["81"; 4]);
    let refused = asked(&server, 12, |_| request("/0/", "10.0.0.1"));
    assert_eq!(refused, ["-u0=502"; 12]);
    let workers = server.workers();
    workers.iter().for_each(|worker| worker.signal(9));
    eventually("what the dead held is given back", || {
        try_get(server.port(8080), "/0/").is_ok_and(|response| response.status == 200)
    });
    drop(clients);
    let (_clients, ports) = held(&server, 4, "/0/slow");
    assert_eq!(ports, ["81"; 4], "all of it");
}

#[test]
fn a_zone_outlives_its_configuration() {
    let dead = "server 127.0.0.1:8090 fail_timeout=1h; server 127.0.0.1:8081;";
    let shared = format!("zone z 64k; {dead}");
    let text = config("worker_processes 2;", &[(&shared, ""), (dead, "")]);
    let server = prepared(binary(), &text);
    eventually("an answer", || {
        try_get(server.port(8080), "/none").is_ok_and(|response| response.status == 404)
    });
    let touched = |at: &str| {
        let ports = asked(&server, 20, |_| request(at, "10.0.0.1"));
        ports.iter().filter(|ports| ports.contains("90")).count()
    };
    assert_eq!(touched("/0/"), 1, "once for all workers");
    assert!((1..=2).contains(&touched("/1/")), "once for each");
    assert!(server.log.wait("temporarily disabled").text.contains("upstream: \"http://127.0.0.1:"));
    let old = server.workers();
    server.reload(&text);
    wait_all(&old);
    assert_eq!(touched("/0/"), 0);
    assert!((1..=2).contains(&touched("/1/")));
}

/// One server of two takes its time with the body.
#[test]
fn who_takes_longer_gets_less() {
    let two = "server 127.0.0.1:8081; server 127.0.0.1:8085;";
    let server = start("", &format!("least_time last_byte; {two}"));
    let ports = asked(&server, 20, |_| request("/0/", "10.0.0.1"));
    let slow = ports.iter().filter(|port| *port == "85").count();
    assert!((1..3).contains(&slow), "{ports:?}");
}

/// How many of these requests each port has had.
fn counts<const N: usize>(ports: &[String], of: [&str; N]) -> [usize; N] {
    of.map(|wanted| ports.iter().filter(|port| *port == wanted).count())
}

/// Each count is what chance gives it, but for six times its standard deviation.
#[track_caller]
fn assert_shares<const N: usize>(counts: [usize; N], weights: [usize; N]) {
    let (all, sum) = (counts.iter().sum::<usize>() as f64, weights.iter().sum::<usize>() as f64);
    for (count, weight) in counts.iter().zip(weights) {
        let share = weight as f64 / sum;
        let bound = 6.0 * (all * share * (1.0 - share)).sqrt();
        let off = (*count as f64 - all * share).abs();
        assert!(off < bound, "{counts:?} for {weights:?}: {off} is more than {bound}");
    }
}

#[test]
fn random_peers_have_the_share_of_their_weight() {
    let weighted = "random; server 127.0.0.1:8081 weight=5; server 127.0.0.1:8082 weight=3;
                    server 127.0.0.1:8084 weight=2; server 127.0.0.1:8083 down;";
    let server = start("worker_processes 1;", weighted);
    let ports = asked(&server, 1000, |_| request("/0/", "10.0.0.1"));
    let shares = counts(&ports, ["81", "82", "84"]);
    assert_eq!(shares.iter().sum::<usize>(), 1000, "{shares:?}");
    assert_shares(shares, [5, 3, 2]);
    // Chance has no order: some come twice in a row, and some do not.
    let twice = ports.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((200..600).contains(&twice), "{twice} of 999");
}

#[test]
fn the_better_of_two_random_peers_is_chosen() {
    // Of two peers both are looked at each time: none gets ahead of the other.
    let two = "random two least_conn; server 127.0.0.1:8081; server 127.0.0.1:8082;";
    let server = start("worker_processes 1;", two);
    let (clients, ports) = held(&server, 20, "/0/slow");
    assert_eq!(counts(&ports, ["81", "82"]), [10, 10], "{ports:?}");
    drop(clients);

    // Who is busy is never the better one, so the others share the rest.
    let busy = "random two least_conn; server 127.0.0.1:8081; server 127.0.0.1:8082;
                server 127.0.0.1:8083; server 127.0.0.1:8084 max_conns=1;";
    let server = start("worker_processes 1;", busy);
    let (_clients, ports) = held(&server, 31, "/0/slow");
    let [first, second, third, full] = counts(&ports, ["81", "82", "83", "84"]);
    assert_eq!((first + second + third, full), (30, 1), "{ports:?}");
    let widest = first.max(second).max(third) - first.min(second).min(third);
    assert!(widest <= 6, "two choices keep {ports:?} together");
}

/// A dead peer is tried again, and by then it has more to do than it is worth at once.
#[test]
fn a_peer_that_comes_back_starts_slowly() {
    let place = Place::new();
    let line = "zone z 64k; server 127.0.0.1:8081;
                server 127.0.0.1:8091 fail_timeout=1s slow_start=60s;";
    let mut server = Limpet::prepare_binary(binary(), place, &config("", &[(line, "")]));
    server.launch();
    eventually("an answer", || try_get(server.port(8080), "/none").is_ok());
    let batch =
        |server: &Limpet| counts(&asked(server, 60, |_| request("/0/", "10.0.0.1")), ["81", "91"]);
    let dead = asked(&server, 2, |_| request("/0/", "10.0.0.1"));
    assert!(dead.iter().any(|ports| ports == "91+81"), "{dead:?}");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let _back = Upstream::answering(&server.place, 8091, answer);
    eventually("it is tried again", || {
        told(&server.client().send(request("/0/", "10.0.0.1")).response()) == "91"
    });
    let [others, first] = batch(&server);
    assert!(first < 15 && others + first == 60, "{first} of 60 so soon");
    eventually("it gets more and more", || batch(&server)[1] > first + 2);
}

/// Answers at once, or with its head late.
fn late(place: &Place, port: u16) -> Upstream {
    Upstream::tcp(place, port, |peer| {
        while peer.request().is_some() {
            thread::sleep(std::time::Duration::from_millis(50));
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn whose_head_comes_late_gets_less() {
    for method in ["least_time header;", "random two least_time=header;"] {
        let place = Place::new();
        let _late = late(&place, 8091);
        let two = format!("{method} server 127.0.0.1:8081; server 127.0.0.1:8091;");
        let mut server = Limpet::prepare_binary(binary(), place, &config("", &[(&two, "")]));
        server.launch();
        eventually("an answer", || try_get(server.port(8080), "/none").is_ok());
        let ports = asked(&server, 30, |_| request("/0/", "10.0.0.1"));
        let [fast, slow] = counts(&ports, ["81", "91"]);
        assert!((1..8).contains(&slow) && fast + slow == 30, "{method} {ports:?}");
    }
}

/// Of whom nothing is known but that he does not answer: with `inflight` that is enough.
#[test]
fn requests_in_flight_count_if_they_are_to() {
    let place = Place::new();
    let silent = Upstream::tcp(&place, 8091, |peer| {
        peer.request();
        peer.hang();
    });
    let two = "least_time header inflight; server 127.0.0.1:8081; server 127.0.0.1:8091;";
    let mut server = Limpet::prepare_binary(binary(), place, &config("", &[(two, "")]));
    server.launch();
    eventually("an answer", || try_get(server.port(8080), "/none").is_ok());
    let hang = |_| {
        let mut client = server.client();
        client.send(request("/0/", "10.0.0.1"));
        client
    };
    let _waiting: Vec<Client> = (0..4).map(hang).collect();
    silent.wait("a request that hangs", |seen| seen.iter().any(|seen| !seen.requests.is_empty()));
    // It has been in flight for longer than any answer has taken.
    thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(asked(&server, 20, |_| request("/0/", "10.0.0.1")), ["81"; 20]);
}

#[test]
fn who_drains_keeps_those_that_belong_to_it() {
    let two = "sticky route $cookie_r $arg_r; server 127.0.0.1:8081 route=a;
               server 127.0.0.1:8082 route=b; server 127.0.0.1:8084 route=c drain;";
    let server = start("", two);
    for (ask, port) in [("a", "81"), ("b", "82"), ("c", "84")] {
        let by_args = asked(&server, 5, |_| request(&format!("/0/?r={ask}"), "10.0.0.1"));
        assert_eq!(by_args, [port; 5]);
        let cookie = with_cookie(&format!("r={ask}"));
        assert_eq!(asked(&server, 5, |_| cookie.clone()), [port; 5]);
    }
    let others = asked(&server, 20, |_| request("/0/?r=unknown", "10.0.0.1"));
    assert_eq!(counts(&others, ["81", "82", "84"]), [10, 10, 0], "{others:?}");
}
