//! After *ready*, serving allocates nothing: the counting allocator's figure on the
//! scoreboard stays where it is.
use crate::common::*;

#[test]
fn a_hundred_thousand_requests_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    place.write("html/1k.txt", vec![b'x'; 1024]);
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn; user root;
         events { }
         http {
             access_log @DIR@/access.log; log_not_found off; keepalive_requests 1000000;
             server {
                 listen 8080; root @DIR@/html;
                 location /return { return 200 ok; }
                 location /json { access_log @DIR@/json.log json; return 200 ok; }
                 location /named {
                     access_log @DIR@/$host.log json if=$request_id;
                     open_log_file_cache max=2;
                     return 200 ok;
                 }
                 location /app/ { try_files $uri $uri/ /1k.txt?of=$uri; }
                 location ~ ^/files/(?<name>.*)$ { rewrite \\.txt$ /$name last; }
             }
         }",
    );
    for (target, status) in [
        ("/1k.txt", 200),
        ("/missing", 404),
        ("/return", 200),
        ("/json", 200),
        ("/named", 200),
        ("/app/x/y?z", 200),
        ("/files/1k.txt", 200),
    ] {
        let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
        load(&mut clients, target, status, 500);
        let before = allocations(&limpet);
        load(&mut clients, target, status, 34_000);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
    assert!(figure(&limpet, "requests") >= 102_000);
}

/// Pipelined, so that the test takes seconds.
fn load(clients: &mut [Client], target: &str, status: u16, count: usize) {
    let batch = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(20);
    for _ in 0..count / (20 * clients.len()) {
        for client in clients.iter_mut() {
            client.send(&batch);
        }
        for client in clients.iter_mut() {
            for _ in 0..20 {
                assert_eq!(client.response().status, status);
            }
        }
    }
}

/// Since the one worker was ready.
pub fn allocations(limpet: &Limpet) -> u64 {
    figure(limpet, "allocations")
}

/// A figure of the one worker, from `-s status --json`.
fn figure(limpet: &Limpet, name: &str) -> u64 {
    let output = limpet.run(&["-s", "status", "--json"]);
    let json = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, worker) = json.split_once("\"kind\":\"worker\"").expect(&json);
    let (_, value) = worker.split_once(&format!("\"{name}\":")).expect(&json);
    value.split([',', '}']).next().unwrap().parse().expect(&json)
}
