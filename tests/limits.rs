//! `limit_req` and `limit_conn`: how many, how often, and what stays when workers die.
use crate::allocations::allocations;
use crate::common::*;
use std::time::{Duration, Instant};

/// A server of files; a location is as it is given.
fn start(http: &str, locations: &str) -> Limpet {
    start_with("", http, locations)
}

fn start_with(main: &str, http: &str, locations: &str) -> Limpet {
    let place = Place::new();
    place.write("html/file", "content");
    place.write("html/large", vec![b'x'; 32 << 20]);
    Limpet::start_in(place, &config(main, http, locations))
}

fn config(main: &str, http: &str, locations: &str) -> String {
    format!(
        "{main} events {{ }}
         http {{ access_log off; keepalive_requests 100000; root @DIR@/html; {http}
         server {{ listen 8080; error_page 403 /403; {locations} }} }}"
    )
}

/// The statuses of so many requests at once.
fn statuses(limpet: &Limpet, target: &str, count: usize) -> Vec<u16> {
    let mut client = limpet.client();
    (0..count).map(|_| client.get(target).status).collect()
}

/// A request whose answer nobody reads, so that it does not end.
fn begin(limpet: &Limpet, target: &str) -> Client {
    let mut client = limpet.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

/// A request that holds its place, once it is known to do so.
fn hold(limpet: &Limpet, target: &str, refused: &str) -> Client {
    let client = begin(limpet, target);
    eventually("a held place", || limpet.get(refused).status == 503);
    client
}

#[test]
fn requests_beyond_the_burst_are_refused() {
    let limpet = start(
        "limit_req_zone $arg_key zone=one:1m rate=1r/m;",
        "location /file { limit_req zone=one burst=2 nodelay; }
         location /none { alias @DIR@/html/file; limit_req zone=one burst=2 nodelay;
             limit_req_status 429; limit_req_log_level info; }",
    );
    assert_eq!(statuses(&limpet, "/file?key=a", 5), [200, 200, 200, 503, 503]);
    assert_eq!(statuses(&limpet, "/file?key=b", 4), [200, 200, 200, 503]);
    assert_eq!(statuses(&limpet, "/file", 5), [200; 5], "without a key nothing is counted");
    assert_eq!(statuses(&limpet, "/none?key=a", 2), [429, 429]);
    let line = limpet.log.wait("limiting requests");
    assert_eq!(line.level, "error");
    let text = "limiting requests, excess: 3.000 by zone \"one\", client: 127.0.0.1";
    let excess_moves = text.replace("3.000", "2.99");
    assert!(line.text.contains(text) || line.text.contains(&excess_moves), "{}", line.text);
    eventually("infos", || {
        limpet.log.with("limiting requests").iter().filter(|line| line.level == "info").count() == 2
    });
}

#[test]
fn requests_beyond_the_rate_wait() {
    let limpet = start(
        "limit_req_zone $arg_key zone=one:1m rate=20r/s;",
        "location / { limit_req zone=one burst=10; }
         location /d/ { alias @DIR@/html/; limit_req zone=one burst=10 delay=2; }",
    );
    let began = Instant::now();
    let mut clients: Vec<_> = (0..5).map(|_| begin(&limpet, "/file?key=a")).collect();
    assert!(clients.iter_mut().all(|client| client.response().status == 200));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(150) && took < Duration::from_secs(5), "{took:?}");
    let lines = limpet.log.wait_count("delaying request, excess: ", 4);
    assert!(lines.iter().all(|line| line.level == "warn"));
    assert!(lines[0].text.contains(", by zone \"one\", client: "), "{}", lines[0].text);

    let mut clients: Vec<_> = (0..4).map(|_| begin(&limpet, "/d/file?key=b")).collect();
    assert!(clients.iter_mut().all(|client| client.response().status == 200));
    assert_eq!(limpet.log.count("delaying request, excess: "), 5, "2 need not wait");
}

#[test]
fn who_leaves_while_waiting_is_not_served() {
    let limpet = start(
        "limit_req_zone $arg_key zone=one:1m rate=6r/m;",
        "location / { access_log @DIR@/access.log; limit_req zone=one burst=10; }",
    );
    assert_eq!(limpet.get("/file?key=a").status, 200);
    let client = begin(&limpet, "/file?key=a");
    limpet.log.wait("delaying request");
    drop(client);
    eventually("a line", || limpet.access.text().contains("\" 499 0 "));
    limpet.log.wait("client prematurely closed connection");
}

#[test]
fn several_limits_count_together() {
    let limpet = start(
        "limit_req_zone $arg_a zone=a:1m rate=1r/m; limit_req_zone $arg_b zone=b:1m rate=1r/m;",
        "location / { limit_req zone=a burst=1 nodelay; limit_req zone=b burst=3 nodelay; }",
    );
    assert_eq!(statuses(&limpet, "/file?a=1&b=1", 3), [200, 200, 503]);
    limpet.log.wait("by zone \"a\"");
    // What a has refused b has not been charged for.
    assert_eq!(statuses(&limpet, "/file?a=2&b=1", 3), [200, 200, 503]);
    assert_eq!(statuses(&limpet, "/file?b=1", 1), [503]);
    limpet.log.wait("by zone \"b\"");
    // And a is not charged for what b has refused.
    assert_eq!(statuses(&limpet, "/file?a=3&b=1", 3), [503; 3]);
    assert_eq!(statuses(&limpet, "/file?a=3", 3), [200, 200, 503]);
    // The last limit has no key: the others count all the same.
    assert_eq!(statuses(&limpet, "/file?a=4", 3), [200, 200, 503]);
}

#[test]
fn dry_runs_refuse_nobody_and_tell() {
    let limpet = start(
        "limit_req_zone x zone=r:1m rate=1r/m; limit_conn_zone x zone=c:1m;
         limit_req_dry_run on; limit_conn_dry_run on;",
        "location /r { alias @DIR@/html/file; limit_req zone=r nodelay; }
         location /d { alias @DIR@/html/file; limit_req zone=r burst=5; }
         location /large { limit_conn c 1; }",
    );
    assert_eq!(statuses(&limpet, "/r", 3), [200; 3]);
    limpet.log.wait("limiting requests, dry run, excess: ");
    assert_eq!(statuses(&limpet, "/d", 2), [200; 2]);
    limpet.log.wait("delaying request, dry run, excess: ");
    let _one = begin(&limpet, "/large");
    let _two = begin(&limpet, "/large");
    limpet.log.wait("limiting connections, dry run, by zone \"c\"");
}

#[test]
fn variables_say_what_came_of_the_limits() {
    let limpet = start(
        "limit_req_zone $arg_key zone=r:1m rate=1r/m; limit_conn_zone $arg_conn zone=c:1m;",
        "limit_req zone=r nodelay; limit_conn c 1; error_page 503 = /status; error_page 404 /status;
         location = /status { return 200 \"$limit_req_status $limit_conn_status\"; }",
    );
    let ask = |query: &str| limpet.get(&format!("/missing?{query}")).text();
    assert_eq!(ask(""), " ");
    assert_eq!(ask("key=a"), "PASSED ");
    assert_eq!(ask("key=a"), "REJECTED ");
    assert_eq!(ask("conn=a"), " PASSED");
    assert_eq!(ask("key=b&conn=a"), "PASSED PASSED");
}

#[test]
fn requests_at_the_same_time_are_counted() {
    let limpet = start(
        "limit_conn_zone $arg_key zone=one:1m;",
        "location / { limit_conn one 2; }
         location /none { alias @DIR@/html/file; limit_conn one 1;
             limit_conn_status 444; limit_conn_log_level notice; }",
    );
    let mut first = begin(&limpet, "/large?key=a");
    first.read_exact(1).unwrap();
    assert_eq!(limpet.get("/file?key=a").status, 200);
    let second = hold(&limpet, "/large?key=a", "/file?key=a");
    assert_eq!(limpet.get("/file?key=b").status, 200);
    assert_eq!(limpet.get("/file").status, 200);
    let line = limpet.log.wait("limiting connections by zone \"one\", client: 127.0.0.1");
    assert_eq!(line.level, "error");
    assert!(limpet.client().try_get("/none?key=a").is_err(), "444");
    eventually("a notice", || {
        limpet.log.with("limiting connections").iter().any(|line| line.level == "notice")
    });
    drop(second);
    eventually("a place", || limpet.get("/file?key=a").status == 200);
    drop(first);
    eventually("all places", || limpet.get("/none?key=a").status == 200);
}

#[test]
fn a_full_zone_forgets_the_oldest_key() {
    let limpet = start(
        "limit_req_zone $arg_key zone=one:32k rate=1r/m;",
        "location / { limit_req zone=one burst=1 nodelay; }",
    );
    let mut client = limpet.client();
    for n in 0..2000 {
        assert_eq!(client.get(&format!("/file?key={n}")).status, 200, "{n}");
    }
    assert_eq!(statuses(&limpet, "/file?key=1999", 2), [200, 503]);
    assert_eq!(statuses(&limpet, "/file?key=0", 3), [200, 200, 503]);
    assert_eq!(limpet.log.count("could not allocate node"), 0);
    // Small records that are let go leave no room for a large one.
    let long = "k".repeat(7000);
    assert_eq!(limpet.get(&format!("/file?key={long}")).status, 503);
    let line = limpet.log.wait("could not allocate node in limit_req zone \"one\"");
    assert_eq!(line.level, "alert");
}

#[test]
fn zones_live_on_in_a_reload_and_are_shared_by_workers() {
    let zones =
        "limit_req_zone $arg_key zone=one:1m rate=1r/m; limit_conn_zone $arg_key zone=c:1m;";
    let locations = "location / { limit_req zone=one burst=5 nodelay; }
                     location /c/ { alias @DIR@/html/; limit_conn c 1; }";
    let main = "worker_processes 3;";
    let limpet = start_with(main, zones, locations);
    limpet.wait_workers(3);
    let tries = |count| (0..count).filter(|_| limpet.get("/file?key=a").status == 200).count();
    assert_eq!(tries(8), 6);
    let held = hold(&limpet, "/c/large?key=a", "/c/file?key=a");
    limpet.configure(&config(main, zones, locations));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("gracefully shutting down");
    assert_eq!(tries(3), 0, "the new workers know what the old ones counted");
    assert_eq!(limpet.get("/c/file?key=a").status, 503, "an old worker still sends");
    drop(held);
    eventually("the place", || limpet.get("/c/file?key=a").status == 200);
}

/// Beyond nginx, which refuses the reload.
#[test]
fn a_zone_with_another_key_begins_anew() {
    if drives_nginx() {
        return;
    }
    let zone = |key| format!("limit_req_zone {key} zone=one:1m rate=1r/m;");
    let location = "location / { limit_req zone=one nodelay; }";
    let limpet = start(&zone("$arg_a"), location);
    assert_eq!(statuses(&limpet, "/file?a=1&b=1", 2), [200, 503]);
    limpet.reload(&config("", &zone("$arg_b"), location));
    assert_eq!(statuses(&limpet, "/file?a=1&b=1", 2), [200, 503]);
    limpet.reload(&config("", &zone("$arg_b"), location));
    assert_eq!(statuses(&limpet, "/file?a=2&b=1", 2), [503, 503]);
}

/// Beyond nginx, which begins to count anew.
#[test]
fn a_zone_of_another_size_goes_on_with_what_was_counted() {
    if drives_nginx() {
        return;
    }
    let zone = |size| format!("limit_req_zone $arg_a zone=one:{size} rate=1r/m;");
    let location = "location / { limit_req zone=one nodelay; }";
    let limpet = start(&zone("1m"), location);
    assert_eq!(statuses(&limpet, "/file?a=1", 2), [200, 503]);
    for size in ["2m", "64k", "1m"] {
        limpet.reload(&config("", &zone(size), location));
        assert_eq!(statuses(&limpet, "/file?a=1", 1), [503], "{size}");
        limpet.log.wait("zone \"one\" is made anew with");
    }
    assert_eq!(statuses(&limpet, "/file?a=2", 2), [200, 503]);
}

/// Whoever waits for the lock of a worker that has died gets it as soon as that is known.
#[test]
fn a_death_with_the_lock_costs_nobody_an_answer() {
    if drives_nginx() || cfg!(not(debug_assertions)) {
        return;
    }
    let zone = "limit_req_zone $arg_key zone=one:64k rate=1000r/s;";
    let location = "location / { limit_req zone=one burst=1000 nodelay; }";
    let config = config("worker_processes 3;", zone, location);
    let place = Place::new();
    place.write("html/file", "content");
    let mut limpet = Limpet::prepare(place, &config);
    let mut command = limpet.command();
    command.env("LIMPET_DIE_IN_LOCK", "one:100");
    limpet.launch_as(command);
    limpet.wait_workers(3);
    let (mut served, mut slowest) = (0, Duration::ZERO);
    for n in 0..1000 {
        let began = Instant::now();
        match try_get(limpet.port(8080), &format!("/file?key={}", n % 7)) {
            Ok(answer) => {
                assert_eq!(answer.status, 200);
                served += 1;
            }
            Err(_) => slowest = slowest.max(began.elapsed()),
        }
        slowest = slowest.max(began.elapsed());
    }
    let deaths = limpet.log.count("exited on signal 9");
    assert!(deaths >= 5 && served >= 1000 - deaths - 1, "{deaths} deaths, {served} served");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(limpet.log.count("died with zone \"one\" locked: Intact") >= deaths);
}

/// Neither for a key that is known nor for a new one, with others going in its place.
#[test]
fn limits_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let limpet = start(
        "limit_req_zone $arg_key zone=r:32k rate=1000r/s; limit_conn_zone $arg_key zone=c:32k;",
        "location / { limit_req zone=r burst=100000 nodelay; limit_conn c 100; }",
    );
    let mut client = limpet.client();
    let mut load = |rounds| {
        for round in 0..rounds {
            let request = |n| format!("GET /file?key={n} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send((0..20).map(|n| request(round * n)).collect::<String>());
            (0..20).for_each(|_| assert_eq!(client.response().status, 200));
        }
    };
    load(20);
    let before = allocations(&limpet);
    load(500);
    assert_eq!(allocations(&limpet), before);
}

/// Beyond nginx, whose counts stay for ever.
#[test]
fn a_killed_worker_gives_its_places_back() {
    if drives_nginx() {
        return;
    }
    let limpet = start_with(
        "worker_processes 2;",
        "limit_conn_zone x zone=one:1m;",
        "location / { limit_conn one 3; }",
    );
    for _ in 0..5 {
        let workers = limpet.wait_workers(2);
        let held: Vec<_> = (0..3).map(|_| begin(&limpet, "/large")).collect();
        eventually("three held places", || limpet.get("/file").status == 503);
        workers.iter().for_each(|worker| worker.signal(libc::SIGKILL));
        drop(held);
        wait_all(&workers);
        limpet.wait_workers(2);
        eventually("a place", || limpet.get("/file").status == 200);
    }
}

/// Killed at any moment, in the middle of a change too: no request hangs, no worker dies
/// of what another has left, and the counts are right in the end.
#[test]
fn zones_survive_the_deaths_of_workers_under_load() {
    if drives_nginx() {
        return;
    }
    let limpet = start_with(
        "worker_processes 3;",
        "limit_req_zone $arg_key zone=r:64k rate=1000r/s; limit_conn_zone $arg_key zone=c:64k;
         limit_conn_zone all zone=all:32k;",
        "location / { limit_req zone=r burst=1000 nodelay; limit_conn c 100; limit_conn all 64; }
         location /one { alias @DIR@/html/file; limit_conn all 1; }",
    );
    let deadline = Instant::now() + Duration::from_secs(6);
    let slowest = std::thread::scope(|scope| {
        let port = limpet.port(8080);
        let loads: Vec<_> =
            (0..4).map(|id| scope.spawn(move || load(port, id, deadline))).collect();
        let mut random = 7_u32;
        while Instant::now() < deadline {
            let workers = limpet.workers();
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if let Some(worker) = workers.get(random as usize >> 8 & 3) {
                worker.signal(libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(u64::from(random >> 24) / 2));
        }
        loads.into_iter().map(|load| load.join().unwrap()).max().unwrap()
    });
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    limpet.wait_workers(3);
    eventually("no place is held", || limpet.get("/one").status == 200);
    assert_eq!(limpet.log.count("exited on signal 11"), 0);
    assert_eq!(limpet.log.count("exited on signal 6"), 0);
    assert!(limpet.log.count("exited on signal 9") > 20);
}

/// Asks with many keys, over connections that may break; how long the slowest answer took.
fn load(port: u16, id: usize, deadline: Instant) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut n = id;
    while Instant::now() < deadline {
        let Ok(mut client) = Client::try_connect(("127.0.0.1", port)) else { continue };
        for _ in 0..50 {
            n += 4;
            let began = Instant::now();
            let answer = client.try_get(&format!("/file?key={}", n % 3000));
            slowest = slowest.max(began.elapsed());
            match answer {
                Ok(answer) => assert!(matches!(answer.status, 200 | 503), "{}", answer.status),
                Err(_) => break,
            }
        }
    }
    slowest
}

#[test]
fn wrong_limits_are_refused() {
    for (http, words) in [
        ("limit_req_zone $uri zone=one:10k rate=1r/s;", "zone \"zone=one:10k\" is too small"),
        ("limit_req_zone $uri zone=one rate=1r/s;", "invalid zone size \"zone=one\""),
        (
            "limit_req_zone $uri zone=:1m rate=1r/s;",
            "\"limit_req_zone\" must have \"zone\" parameter",
        ),
        ("limit_req_zone $uri zone=one:1m rate=0r/s;", "invalid rate \"rate=0r/s\""),
        ("limit_req zone=one;", "zero size shared memory zone \"one\""),
        ("limit_req burst=1;", "\"limit_req\" must have \"zone\" parameter"),
        ("limit_req zone=one burst=0;", "invalid burst value \"burst=0\""),
        ("limit_req zone=one delay=x;", "invalid delay value \"delay=x\""),
        ("limit_req zone=one; limit_req zone=one;", "\"limit_req\" directive is duplicate"),
        ("limit_req_status 600;", "value must be between 400 and 599"),
        ("limit_req_log_level crit;", "invalid value \"crit\""),
        ("limit_conn one 0;", "invalid number of connections \"0\""),
        ("limit_conn one 65536;", "connection limit must be less 65536"),
        ("limit_conn one 1; limit_conn one 2;", "\"limit_conn\" directive is duplicate"),
        ("limit_conn_zone $uri one;", "invalid parameter \"one\""),
        (
            "limit_conn_zone $uri zone=one:1m; limit_conn_zone $args zone=one:1m;",
            "limit_conn_zone \"one\" is already bound to key \"$uri\"",
        ),
        (
            "limit_conn_zone $uri zone=one:1m; limit_req_zone $uri zone=one:1m rate=1r/s;",
            "the shared memory zone \"one\" is already declared for a different use",
        ),
    ] {
        let limpet = Limpet::prepare(Place::new(), &config("", http, ""));
        let output = limpet.run(&["-t"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{http}: {text}");
    }
}
