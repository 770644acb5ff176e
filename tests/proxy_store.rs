//! Answers of an upstream that stay as files (`proxy_store`).
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::{Gate, Peer};
use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Paths of files are the requests' own, below a folder that is not there yet.
const SERVED: &str = "
    user root; worker_processes 1;
    events { }
    http {
        access_log off; proxy_http_version 1.1; proxy_set_header Connection '';
        server {
            listen 8080; root @DIR@/kept;
            proxy_store on;
            location / { proxy_pass http://127.0.0.1:8090; }
            location /access/ {
                proxy_pass http://127.0.0.1:8090; proxy_store_access group:rw all:r;
            }
            location /named/ {
                proxy_pass http://127.0.0.1:8090; proxy_store @DIR@/kept/at/$arg_name;
            }
            location /off/ { proxy_store off; proxy_pass http://127.0.0.1:8090; }
            location /unbuffered/ { proxy_buffering off; proxy_pass http://127.0.0.1:8090; }
            location /nowhere/ { proxy_store /proc/$uri; proxy_pass http://127.0.0.1:8090; }
        }
    }
";

const LARGE: usize = 1_000_000;

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

fn send(peer: &mut Peer, fields: &str, body: &[u8]) {
    peer.send([format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat());
}

/// What is wanted of an answer stands behind the last slash.
fn answer(peer: &mut Peer, gate: &Gate) {
    let Some(request) = peer.request() else { return };
    let target = request.target().split('?').next().unwrap_or("").to_string();
    match target.rsplit('/').next().unwrap_or("") {
        "chunked" => {
            send(peer, "Transfer-Encoding: chunked\r\n", b"4\r\nsome\r\n2\r\nof\r\n0\r\n\r\n")
        }
        "close" => send(peer, "", b"until the end"),
        "empty" => send(peer, "Content-Length: 0\r\n", b""),
        "dated" => {
            let date = "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n";
            send(peer, &format!("{date}Content-Length: 3\r\n"), b"old");
        }
        "large" => send(peer, &format!("Content-Length: {LARGE}\r\n"), &large()),
        "large-chunked" => {
            let body = [format!("{LARGE:x}\r\n").as_bytes(), &large(), b"\r\n0\r\n\r\n"].concat();
            send(peer, "Transfer-Encoding: chunked\r\n", &body);
        }
        "slow" => {
            send(peer, &format!("Content-Length: {LARGE}\r\n"), &large()[..LARGE / 2]);
            gate.pass();
            peer.send(&large()[LARGE / 2..]);
        }
        "short" => send(peer, "Content-Length: 9\r\n", b"short"),
        "short-chunked" => send(peer, "Transfer-Encoding: chunked\r\n", b"5\r\nshort\r\n"),
        "head" => send(peer, "Content-Length: 5\r\n", b""),
        "missing" => {
            peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nnot");
        }
        _ => send(peer, "Content-Length: 5\r\n", b"usual"),
    }
}

fn start() -> (Limpet, Upstream, Gate) {
    let place = Place::new();
    let gate = Gate::default();
    let own = gate.clone();
    let upstream = Upstream::tcp(&place, 8090, move |peer| answer(peer, &own));
    (Limpet::start_in(place, SERVED), upstream, gate)
}

/// All files that are there, wherever.
fn files(limpet: &Limpet) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![limpet.place.path("kept")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().display().to_string()),
            }
        }
    }
    found
}

#[test]
fn whole_answers_stay() {
    let (limpet, _upstream, _) = start();
    for (target, body) in [
        ("/usual", b"usual".to_vec()),
        ("/deep/below/usual", b"usual".to_vec()),
        ("/chunked", b"someof".to_vec()),
        ("/close", b"until the end".to_vec()),
        ("/empty", Vec::new()),
        ("/large", large()),
        ("/large-chunked", large()),
        ("/usual", b"usual".to_vec()),
    ] {
        assert!(limpet.get(target).body == body, "{target}");
        let path = limpet.place.path(&format!("kept{target}"));
        eventually(target, || fs::read(&path).is_ok_and(|kept| kept == body));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "{target}");
    }
    assert_eq!(files(&limpet).len(), 7, "{:?}", files(&limpet));
}

#[test]
fn a_file_is_as_old_as_its_answer_and_for_whom_it_should_be() {
    let (limpet, _upstream, _) = start();
    limpet.get("/access/dated");
    let path = limpet.place.path("kept/access/dated");
    eventually("it is there", || path.exists());
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.mtime(), meta.mode() & 0o7777), (1_577_836_800, 0o664));
    limpet.get("/named/usual?name=some/where");
    eventually("it has its name", || limpet.place.read("kept/at/some/where") == "usual");
}

#[test]
fn what_is_not_whole_or_not_wanted_leaves_nothing() {
    let (limpet, _upstream, _) = start();
    for target in
        ["/short", "/short-chunked", "/missing", "/off/usual", "/unbuffered/usual", "/named/usual"]
    {
        let _ = try_get(limpet.port(8080), target);
    }
    exchange(limpet.port(8080), "HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    limpet.get("/usual");
    let only = [limpet.place.path("kept/usual").display().to_string()];
    eventually("nothing but the last", || files(&limpet) == only);
}

/// A file that cannot be written is the log's matter, not the client's.
#[test]
fn an_answer_that_cannot_be_stored_is_an_answer() {
    let (limpet, _upstream, _) = start();
    assert_eq!(limpet.get("/nowhere/usual").text(), "usual");
    assert!(limpet.get("/nowhere/large").body == large());
    limpet.log.wait("/proc//nowhere/large\"");
}

#[test]
fn nobody_finds_a_part_of_one() {
    let (limpet, _upstream, gate) = start();
    let mut client = limpet.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    client.wait_first_byte();
    assert!(!limpet.place.path("kept/slow").exists());
    gate.open();
    assert!(client.response().body == large());
    eventually("it is whole", || {
        fs::read(limpet.place.path("kept/slow")).is_ok_and(|it| it == large())
    });
}

#[test]
fn a_file_becomes_whole_though_its_client_has_gone() {
    let (limpet, _upstream, gate) = start();
    let mut client = limpet.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    client.wait_first_byte();
    kernel::reset_on_close(client.tcp());
    drop(client);
    gate.open();
    eventually("it is whole", || {
        fs::read(limpet.place.path("kept/slow")).is_ok_and(|it| it == large())
    });
    assert_eq!(files(&limpet).len(), 1);
}

/// A record of a FastCGI responder.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

/// `fastcgi_store`: an answer without the records around it, if it came whole.
#[test]
fn an_answer_of_fastcgi_stays_without_its_records() {
    const PIECE: [u8; 5000] = [b'x'; 5000];
    let place = Place::new();
    let _upstream = Upstream::tcp(&place, 8090, |peer| {
        let mut asked = Vec::new();
        while !asked.ends_with(&record(5, b"")) {
            let Some(more) = peer.some() else { return };
            asked.extend(more);
        }
        let mut answer = record(6, b"Content-Type: a/b\r\n\r\n");
        (0..100).for_each(|_| answer.extend(record(6, &PIECE)));
        if asked.windows(6).any(|bytes| bytes == b"/whole") {
            answer.extend(record(3, &[0; 8]));
        }
        peer.send(answer);
    });
    let config = SERVED.replace(
        "location / { proxy_pass http://127.0.0.1:8090; }",
        "location / {
             fastcgi_store on; fastcgi_store_access all:r; fastcgi_param NAME $uri;
             fastcgi_pass 127.0.0.1:8090;
         }",
    );
    let limpet = Limpet::start_in(place, &config);
    let _ = try_get(limpet.port(8080), "/cut");
    let body = PIECE.repeat(100);
    assert!(limpet.get("/whole").body == body);
    let path = limpet.place.path("kept/whole");
    eventually("it stays", || fs::read(&path).is_ok_and(|kept| kept == body));
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o604);
    // For nginx the end of the connection is the end of such an answer.
    assert!(drives_nginx() || files(&limpet).len() == 1);
}
