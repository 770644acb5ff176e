//! Clients behind proxies: who is believed, and who then is the client.
use crate::common::*;

const CONFIG: &str = r#"
    events { }
    http {
        set_real_ip_from 127.0.0.0/8;
        set_real_ip_from 10.0.0.0/8;
        set_real_ip_from unix:;
        geo $net { 5.0.0.0/8 five; default other; }
        server {
            listen 8080; listen unix:@DIR@/http.sock;
            access_log @DIR@/access.log;
            location / { return 200 "$remote_addr:$remote_port"; }
            location /file { root @DIR@; }
            location /net { return 200 $net; }
            location /was { return 200 "$remote_addr $realip_remote_addr $server_name"; }
            location /late {
                real_ip_header X-Late;
                set_real_ip_from 127.0.0.1;
                try_files /none @late;
            }
            location @late { return 200 "$remote_addr"; }
        }
        server {
            listen 8080; server_name list;
            real_ip_header X-Forwarded-For;
            location / { return 200 "$remote_addr:$remote_port"; }
        }
        server {
            listen 8080; server_name recursive;
            real_ip_header X-Forwarded-For; real_ip_recursive on;
            location / { return 200 "$remote_addr:$remote_port"; }
        }
        server {
            listen 8080; server_name field;
            real_ip_header CF-Connecting-IP;
            location / { return 200 "$remote_addr:$remote_port"; }
        }
        server {
            listen 8080; server_name none;
            set_real_ip_from 1.2.3.4;
            location / { return 200 "$remote_addr"; }
        }
    }
"#;

const ASKED: &[(&str, &str, &str)] = &[
    ("/", "Host: a\r\nX-Real-IP: 5.6.7.8", "5.6.7.8:"),
    ("/", "Host: a\r\nX-Real-IP: 5.6.7.8:99", "5.6.7.8:99"),
    ("/", "Host: a\r\nx-real-ip: 2001:db8::1", "2001:db8::1:"),
    ("/", "Host: a\r\nX-Real-IP: [2001:db8::1]:9", "2001:db8::1:9"),
    ("/", "Host: a\r\nX-Real-IP: 5.6.7.8, 10.0.0.1", "10.0.0.1:"),
    ("/", "Host: a\r\nX-Real-IP: 5.6.7.8\r\nX-Real-IP: 9.9.9.9", "5.6.7.8:"),
    ("/net", "Host: a\r\nX-Real-IP: 5.6.7.8", "five"),
    ("/net", "Host: a", "other"),
    ("/was", "Host: a\r\nX-Real-IP: 5.6.7.8", "5.6.7.8 127.0.0.1 "),
    ("/was", "Host: a\r\nX-Real-IP: nonsense", "127.0.0.1 127.0.0.1 "),
    ("/was", "Host: a\r\nX-Forwarded-For: 5.6.7.8", "127.0.0.1 127.0.0.1 "),
    ("/late", "Host: a\r\nX-Late: 5.6.7.8", "5.6.7.8"),
    ("/late", "Host: a\r\nX-Late: 5.6.7.8\r\nX-Real-IP: 6.6.6.6", "6.6.6.6"),
    ("/", "Host: list\r\nX-Forwarded-For: 5.6.7.8, 10.0.0.1", "10.0.0.1:"),
    ("/", "Host: list\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-For: 6.6.6.6", "6.6.6.6:"),
    ("/", "Host: recursive\r\nX-Forwarded-For: 5.6.7.8, 6.6.6.6, 10.0.0.1", "6.6.6.6:"),
    (
        "/",
        "Host: recursive\r\nX-Forwarded-For: 6.6.6.6:7\r\nX-Forwarded-For: 10.0.0.1",
        "6.6.6.6:7",
    ),
    ("/", "Host: recursive\r\nX-Forwarded-For: 6.6.6.6, x, 10.0.0.1", "10.0.0.1:"),
    ("/", "Host: recursive\r\nX-Forwarded-For: 10.0.0.7, 10.0.0.1", "10.0.0.7:"),
    ("/", "Host: field\r\nCf-Connecting-Ip: 6.6.6.6", "6.6.6.6:"),
    ("/", "Host: none\r\nX-Real-IP: 6.6.6.6", "127.0.0.1"),
];

#[test]
fn trusted_proxies_are_believed() {
    let limpet = Limpet::start(CONFIG);
    let mut client = limpet.client();
    for (target, fields, body) in ASKED {
        client.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(client.response().text(), *body, "{target} {fields}");
    }
    // The next request of the connection begins with the proxy again.
    assert_eq!(client.get("/was").text(), "127.0.0.1 127.0.0.1 ");
    let mut client = Client::connect_unix(&limpet.place.path("http.sock"));
    client.send("GET /was HTTP/1.1\r\nHost: a\r\nX-Real-IP: 5.6.7.8\r\n\r\n");
    assert_eq!(client.response().text(), "5.6.7.8 unix: ");
}

#[test]
fn logs_name_the_client_behind_the_proxy() {
    let limpet = Limpet::start(CONFIG);
    let mut client = limpet.client();
    client.send("GET /file HTTP/1.1\r\nHost: a\r\nX-Real-IP: 5.6.7.8\r\n\r\n");
    assert_eq!(client.response().status, 404);
    eventually("a line", || limpet.access.text().starts_with("5.6.7.8 - - ["));
    let line = limpet.log.wait("/file\" failed (2: No such file or directory)");
    assert!(line.text.contains("client: 5.6.7.8, server: , request"), "{}", line.text);
    // Requests without a good head have no phases, and so no proxy.
    client.send("GET / HTTP/1.1\r\nX-Real-IP: 5.6.7.8\r\n\r\n");
    assert_eq!(client.response().status, 400);
    eventually("a line", || limpet.access.text().contains("\n127.0.0.1 - - ["));
}
