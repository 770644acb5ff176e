//! What stands behind the last chunk of a client's body (`proxy_pass_trailers`): what the
//! upstream sees, byte for byte.
use crate::common::upstream::Received;
use crate::common::*;

const SERVED: &str = "
    worker_processes 1; error_log @DIR@/error.log info;
    events { }
    http {
        access_log off; lingering_timeout 1s;
        proxy_pass_trailers on; proxy_set_header Host h;
        large_client_header_buffers 4 1k;
        upstream app { server 127.0.0.1:8091 max_fails=0; server 127.0.0.1:8090; }
        server {
            listen 8080;
            location / { proxy_pass http://127.0.0.1:8090; }
            location /stream/ { proxy_request_buffering off; proxy_pass http://127.0.0.1:8090; }
            location /file/ {
                client_body_in_file_only clean; client_body_temp_path @DIR@/temp;
                proxy_pass http://127.0.0.1:8090;
            }
            location /off/ { proxy_pass_trailers off; proxy_pass http://127.0.0.1:8090; }
            location /off/stream/ {
                proxy_pass_trailers off; proxy_request_buffering off;
                proxy_pass http://127.0.0.1:8090;
            }
            location /old/ { proxy_http_version 1.0; proxy_pass http://127.0.0.1:8090; }
            location /set/ { proxy_set_body own; proxy_pass http://127.0.0.1:8090; }
            location /said/ {
                proxy_set_header Host h; proxy_set_header x-sum own;
                proxy_pass http://127.0.0.1:8090;
            }
            location /bare/ { proxy_pass_request_headers off; proxy_pass http://127.0.0.1:8090; }
            location /again/ { proxy_next_upstream error; proxy_pass http://app; }
            location /mirrored/ { mirror /copy; proxy_pass http://127.0.0.1:8090; }
            location /ping { return 200 pong; }
            location /copy { proxy_pass http://127.0.0.1:8090; }
        }
        server {
            listen 8081; underscores_in_headers on;
            location / { proxy_pass http://127.0.0.1:8090; }
        }
    }
";

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BODY: &str = "4;a=b\r\nsome\r\n3\r\nall\r\n";
/// None of these but the first and the last may follow a body.
const TRAILERS: &str = "0;last\r\nX-Sum:  1234 \r\nContent-Length: 5\r\n\
    Transfer-Encoding: chunked\r\nHOST: evil\r\nAuthorization: Basic x\r\nContent-Type: a/b\r\n\
    Cookie: a=b\r\nProxy: evil\r\nX-Forwarded-For: 1.2.3.4\r\nX_Under: score\r\nX-Hop: 1\r\n\
    Empty:\r\n\r\n";

fn start() -> (Limpet, Upstream) {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    std::fs::create_dir(place.path("temp")).unwrap();
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.path("temp"), all).unwrap();
    let upstream = Upstream::answering(&place, 8090, ANSWER);
    (Limpet::start_in(place, SERVED), upstream)
}

fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: X-Hop\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n{body}"
    )
}

/// The only request that the upstream has got.
fn seen(upstream: &Upstream) -> String {
    let requests = upstream.take_requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    shown(request)
}

fn shown(request: &Received) -> String {
    assert!(request.whole);
    let body = String::from_utf8_lossy(&request.body);
    format!("{}{body}|{}", request.head, request.trailers).replace("\r\n", "|")
}

const CHUNKED: &str = "Host: h|Transfer-Encoding: chunked|Trailer: X-Sum||";
const PASSED: &str = "X-Sum: 1234|Empty: |";

#[test]
fn trailers_go_up_but_those_that_must_not() {
    let (limpet, upstream) = start();
    let all = format!("{BODY}{TRAILERS}");
    for (target, want) in [
        ("/", format!("POST / HTTP/1.1|{CHUNKED}someall|{PASSED}")),
        ("/stream/", format!("POST /stream/ HTTP/1.1|{CHUNKED}someall|{PASSED}")),
        ("/file/", format!("POST /file/ HTTP/1.1|{CHUNKED}someall|{PASSED}")),
        ("/off/", "POST /off/ HTTP/1.1|Host: h|Content-Length: 7|Trailer: X-Sum||someall|".into()),
        ("/off/stream/", format!("POST /off/stream/ HTTP/1.1|{CHUNKED}someall|")),
        (
            "/old/",
            "POST /old/ HTTP/1.0|Host: h|Connection: close|Content-Length: 7|Trailer: X-Sum||\
             someall|"
                .into(),
        ),
        ("/set/", "POST /set/ HTTP/1.1|Host: h|Content-Length: 3|Trailer: X-Sum||own|".into()),
        (
            "/said/",
            "POST /said/ HTTP/1.1|Host: h|x-sum: own|Transfer-Encoding: chunked|Trailer: X-Sum||\
             someall|Empty: |"
                .into(),
        ),
        ("/bare/", "POST /bare/ HTTP/1.1|Host: h|Content-Length: 7||someall|".into()),
        ("/again/", format!("POST /again/ HTTP/1.1|{CHUNKED}someall|{PASSED}")),
    ] {
        // Nothing of them is taken for the next request.
        let mut client = limpet.client();
        for _ in 0..2 {
            client.send(post(target, &all));
            assert_eq!(client.response().text(), "ok", "{target}");
            assert_eq!(seen(&upstream), want);
        }
    }
    let answer = exchange(limpet.port(8081), post("/", &all).replace("X-Hop\r\n", "close\r\n"));
    assert!(answer.ends_with("ok"), "{answer}");
    let want = "POST / HTTP/1.1|Host: h|Transfer-Encoding: chunked|Trailer: X-Sum||someall|\
        X-Sum: 1234|X_Under: score|X-Hop: 1|Empty: |";
    assert_eq!(seen(&upstream), want);
}

#[test]
fn a_mirrored_request_has_them_too() {
    let (limpet, upstream) = start();
    let mut client = limpet.client();
    client.send(post("/mirrored/", &format!("{BODY}{TRAILERS}")));
    assert_eq!(client.response().text(), "ok");
    upstream
        .wait("the copy", |seen| seen.iter().map(|seen| seen.requests.len()).sum::<usize>() == 2);
    for (request, target) in upstream.take_requests().iter().zip(["/mirrored/", "/copy"]) {
        assert_eq!(shown(request), format!("POST {target} HTTP/1.1|{CHUNKED}someall|{PASSED}"));
    }
}

/// The very bytes, of bodies with and without data, of trailers and none that pass.
#[test]
fn bytes_on_the_wire() {
    for target in ["/", "/stream/"] {
        for (body, sized, chunked) in [
            ("0\r\nA: b\r\n\r\n", None, "0\r\nA: b\r\n\r\n"),
            ("2\r\nok\r\n0\r\nA: b\r\n\r\n", None, "2\r\nok\r\n0\r\nA: b\r\n\r\n"),
            ("2\r\nok\r\n0\r\nHost: b\r\n\r\n", Some((2, "ok")), "2\r\nok\r\n0\r\n\r\n"),
            ("2\r\nok\r\n0\r\n\r\n", Some((2, "ok")), "2\r\nok\r\n0\r\n\r\n"),
            ("0\r\n\r\n", Some((0, "")), "0\r\n\r\n"),
        ] {
            let (limpet, upstream) = start();
            assert_eq!(limpet.client().send(post(target, body)).response().text(), "ok");
            let (framing, wire) = match sized.filter(|_| target == "/") {
                Some((length, data)) => (format!("Content-Length: {length}"), data),
                None => ("Transfer-Encoding: chunked".into(), chunked),
            };
            let want = format!(
                "POST {target} HTTP/1.1\r\nHost: h\r\n{framing}\r\nTrailer: X-Sum\r\n\r\n{wire}"
            );
            assert_eq!(String::from_utf8_lossy(&upstream.bytes(0)), want, "{target} {body:?}");
        }
    }
}

#[test]
fn they_may_be_cut_anywhere() {
    let (limpet, upstream) = start();
    for target in ["/", "/stream/"] {
        let text = post(target, &format!("{BODY}{TRAILERS}"));
        let want = format!("POST {target} HTTP/1.1|{CHUNKED}someall|{PASSED}");
        let from = text.find("some").unwrap();
        let mut client = limpet.client();
        for cut in from..text.len() {
            client.send(&text[..cut]);
            // Answered in a later turn of the same worker: it has seen what came before.
            get(limpet.port(8080), "/ping");
            client.send(&text[cut..]);
            assert_eq!(client.response().text(), "ok", "{target} {cut}");
            let mut requests = upstream.take_requests();
            requests.retain(|request| request.target() == target);
            let [request] = &requests[..] else { panic!("{requests:?}") };
            assert_eq!(shown(request), want, "cut at {cut}");
        }
    }
}

/// What is no trailer, or too much of it, is 400 and the end of the connection, and the
/// upstream gets no whole request.
#[test]
fn what_is_no_trailer_is_refused() {
    let (limpet, upstream) = start();
    for target in ["/", "/stream/"] {
        for bad in [
            "A b: c\r\n\r\n".to_owned(),
            ": c\r\n\r\n".into(),
            "A: b\n\r\n".into(),
            "A: \0\r\n\r\n".into(),
            "A: b\r\n c\r\n\r\n".into(),
            format!("A: {}\r\n\r\n", "b".repeat(1100)),
            format!("{}\r\n", "A: b\r\n".repeat(400)),
        ] {
            let mut client = limpet.client();
            client.send(post(target, BODY));
            get(limpet.port(8080), "/ping");
            client.send(format!("0\r\n{bad}"));
            let status = client.try_response(false).map_or(0, |response| response.status);
            assert_eq!(status, 400, "{target} {bad:?}");
            assert!(client.is_closed_within(LIMIT));
            let bodies = upstream.take_requests().into_iter().filter(|it| it.target() == target);
            assert!(bodies.into_iter().all(|it| !it.whole), "{target} {bad:?}");
        }
    }
}
