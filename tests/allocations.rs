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

#[test]
fn paths_of_all_kinds_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    for name in ["html/packed/a.css", "html/packed/a.css.gz", "html/of/a.css", "html/dir/in.txt"] {
        place.write(name, vec![b'x'; 1024]);
    }
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn; user root;
         events { }
         http {
             access_log off; keepalive_requests 1000000;
             server {
                 listen 8080; root @DIR@/html; index none $arg_i;
                 location /packed/ { gzip_static always; }
                 location /of/ { root @DIR@/$arg_in; }
                 location ~ ^/to/(.*)$ { alias @DIR@/html/$1; }
                 location /checked/ { alias @DIR@/html/; disable_symlinks on from=@DIR@; }
                 location /named { error_page 404 =200 /of/a.css?in=$arg_in; return 404; }
                 location /real { return 200 $realpath_root; }
             }
         }",
    );
    for target in [
        "/packed/a.css",
        "/of/a.css?in=html",
        "/to/of/a.css",
        "/checked/of/a.css",
        "/named?in=html",
        "/real",
        "/dir/?i=in.txt",
    ] {
        let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
        load(&mut clients, target, 200, 500);
        let before = allocations(&limpet);
        load(&mut clients, target, 200, 5_000);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
}

#[test]
fn variables_of_clients_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log @DIR@/access.log; keepalive_requests 1000000;
             set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; real_ip_recursive on;
             map $host$uri $mapped { default $net; ~*^a/(?<name>.*)B$ $name-$1; a/x y; }
             map $host $named { hostnames; *.example.com $half; default $mapped; }
             geo $net { default none; 5.0.0.0/8 five; 2001:db8::/32 six; }
             split_clients $remote_addr $half { 50% a; * b; }
             server {
                 listen 8080 proxy_protocol;
                 location / {
                     valid_referers *.example.com ~other;
                     set $proxied $proxy_protocol_addr:$proxy_protocol_port;
                     return 200 $mapped$named$net$half$invalid_referer$remote_addr$proxied;
                 }
                 location /status { stub_status; }
                 location /gif { empty_gif; }
                 location /health { health ready; }
             }
         }",
    );
    for target in ["/", "/X/b", "/status", "/gif", "/health"] {
        let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
        for client in &mut clients {
            client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n");
        }
        let fields = "Host: A.example.com\r\nX-Forwarded-For: 5.6.7.8, 127.0.0.1\r\n\
                      Referer: http://Some.Example.com/\r\n";
        load_with(&mut clients, target, fields, 200, 500);
        let before = allocations(&limpet);
        load_with(&mut clients, target, fields, 200, 20_000);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
}

#[test]
fn compressing_and_asking_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let text = "All work and no play makes Jack a dull boy.\n".repeat(60);
    place.write("html/jack.txt", &text);
    let limpet = Limpet::start_in(
        place,
        &format!(
            "error_log @DIR@/error.log warn;
             events {{ }}
             http {{
                 access_log off; keepalive_requests 1000000;
                 gzip on; gzip_types text/plain;
                 server {{
                     listen 8080; root @DIR@/html;
                     location /stream {{ return 200 '{text}'; }}
                     location /asks {{
                         auth_request /yes; auth_request_set $a $uri;
                         try_files /jack.txt =404;
                     }}
                     location = /yes {{ return 204; }}
                 }}
             }}"
        ),
    );
    for target in ["/jack.txt", "/stream", "/asks"] {
        let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
        let fields = "Host: a\r\nAccept-Encoding: gzip\r\n";
        load_with(&mut clients, target, fields, 200, 500);
        let before = allocations(&limpet);
        load_with(&mut clients, target, fields, 200, 5_000);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
}

#[test]
fn proxying_allocates_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let _upstream = Upstream::tcp(&place, 8090, |peer| {
        while let Some(request) = peer.request() {
            let answer = match request.target() {
                "/chunked" => "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                _ => "Content-Length: 5\r\nSet-Cookie: a=b; Path=/x\r\nLocation: /x/y\r\n\r\nhello",
            };
            peer.send(format!("HTTP/1.1 200 OK\r\nX-App: a\r\n{answer}"));
        }
    });
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             log_format all '$upstream_addr $upstream_status $upstream_response_time $proxy_host
                             $upstream_http_x_app $upstream_cookie_a $upstream_bytes_sent';
             access_log @DIR@/access.log all; keepalive_requests 1000000;
             proxy_http_version 1.1; proxy_set_header Connection '';
             upstream app { server 127.0.0.1:8090; keepalive 16; keepalive_requests 1000000; }
             server {
                 listen 8080;
                 location / { proxy_pass http://app; }
                 location /off/ { proxy_buffering off; proxy_pass http://app; }
                 location /asks/ { auth_request /yes; proxy_pass http://app; }
                 location = /yes { proxy_pass http://app/auth; proxy_pass_request_body off; }
                 location /usual/ {
                     proxy_pass http://app/x/;
                     proxy_set_header Connection '';
                     proxy_set_header Host $host;
                     proxy_set_header X-Real-IP $remote_addr;
                     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                     proxy_set_header X-Forwarded-Proto $scheme;
                     proxy_cookie_path /x /usual; proxy_hide_header X-App;
                     proxy_redirect /x/ /usual/;
                 }
             }
         }",
    );
    for target in ["/", "/off/x", "/chunked", "/usual/a%20b?c", "/asks/"] {
        let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
        let fields = "Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n";
        load_with(&mut clients, target, fields, 200, 500);
        let before = allocations(&limpet);
        load_with(&mut clients, target, fields, 200, 3_000);
        assert_eq!(allocations(&limpet), before, "{target} allocates");
    }
}

#[test]
fn proxied_bodies_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let _upstream =
        Upstream::answering(&place, 8090, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log off; keepalive_requests 1000000;
             proxy_http_version 1.1; proxy_set_header Connection '';
             upstream app { server 127.0.0.1:8090; keepalive 16; keepalive_requests 1000000; }
             server {
                 listen 8080;
                 location / { proxy_pass http://app; }
                 location /unbuffered/ { proxy_request_buffering off; proxy_pass http://app; }
             }
         }",
    );
    for target in ["/", "/unbuffered/"] {
        let mut client = limpet.client();
        for framed in [
            "Content-Length: 5\r\n\r\nhello".to_string(),
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_string(),
            format!("Content-Length: 9000\r\n\r\n{}", "x".repeat(9000)),
        ] {
            let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framed}");
            let mut post = |count: usize| {
                for _ in 0..count {
                    client.send(&request);
                    assert_eq!(client.response().text(), "ok");
                }
            };
            post(50);
            let before = allocations(&limpet);
            post(1000);
            assert_eq!(allocations(&limpet), before, "{request:.80} allocates");
        }
    }
}

#[test]
fn tunnels_allocate_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let _upstream = Upstream::tcp(&place, 8090, |peer| {
        peer.request();
        peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        while peer.some().is_some_and(|bytes| peer.send(bytes)) {}
    });
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log off;
             server {
                 listen 8080;
                 location / {
                     proxy_pass http://127.0.0.1:8090; proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                 }
             }
         }",
    );
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(client.response().status, 101);
    let mut talk = |count: usize| {
        for length in 0..count {
            let message = vec![b'm'; 1 + length % 3000];
            client.send(&message);
            assert_eq!(client.read_exact(message.len()).unwrap(), message);
        }
    };
    talk(100);
    let before = allocations(&limpet);
    talk(10_000);
    assert_eq!(allocations(&limpet), before);
}

fn load(clients: &mut [Client], target: &str, status: u16, count: usize) {
    load_with(clients, target, "Host: a\r\n", status, count);
}

/// Pipelined, so that the test takes seconds.
fn load_with(clients: &mut [Client], target: &str, fields: &str, status: u16, count: usize) {
    let batch = format!("GET {target} HTTP/1.1\r\n{fields}\r\n").repeat(20);
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
