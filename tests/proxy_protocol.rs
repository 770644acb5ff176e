//! `listen ... proxy_protocol`: what a balancer says before the first request.
use crate::common::*;
use std::time::Duration;

const CONFIG: &str = r#"
    events { }
    http {
        access_log @DIR@/access.log;
        log_not_found off;
        client_header_timeout 1s;
        server {
            listen 8080 proxy_protocol; listen unix:@DIR@/http.sock proxy_protocol;
            location / {
                set $server $proxy_protocol_server_addr:$proxy_protocol_server_port;
                return 200 "$proxy_protocol_addr:$proxy_protocol_port $server";
            }
            location /client { return 200 "$remote_addr $realip_remote_addr"; }
            location /real {
                set_real_ip_from 127.0.0.1; set_real_ip_from unix:; real_ip_header proxy_protocol;
                deny 6.0.0.0/8;
                try_files /none @real;
            }
            location @real { return 200 "$remote_addr:$remote_port $realip_remote_addr"; }
        }
        server { listen 8081; location / { return 200 "[$proxy_protocol_addr]"; } }
    }
"#;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// 1.2.3.4:1000 to 5.6.7.8:80.
const TCP4: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 3, 232, 0, 80];

fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, body].concat()
}

/// The body of one answer to a request behind these bytes; "" when there is none.
fn asked(limpet: &Limpet, header: &[u8], target: &str) -> String {
    let request = format!("GET {target} HTTP/1.0\r\n\r\n");
    let answer = exchange(limpet.port(8080), [header, request.as_bytes()].concat());
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_string())
}

#[test]
fn headers_of_both_versions_are_read() {
    let limpet = Limpet::start(CONFIG);
    let mut six = [0; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 9, 8);
    let both = "1.2.3.4:1000 5.6.7.8:80";
    for (header, expected) in [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n".to_vec(), both),
        (b"PROXY TCP6 ::1 ::2 9 8\r\n".to_vec(), "::1:9 ::2:8"),
        (b"PROXY UNKNOWN\r\n".to_vec(), ": :"),
        (b"PROXY UNKNOWN a b c d\r\n".to_vec(), ": :"),
        (version_2(1, 0x11, &TCP4), both),
        (version_2(1, 0x11, &[&TCP4[..], b"\x02\0\x01x"].concat()), both),
        (version_2(1, 0x11, &[&TCP4[..], &[4, 2, 0], &[0; 512]].concat()), both),
        (version_2(1, 0x21, &six), "::1:9 ::2:8"),
        // The balancer speaks for itself, or of what has no such addresses.
        (version_2(0, 0, &[]), ": :"),
        (version_2(1, 0x31, &[0; 216]), ": :"),
        (version_2(1, 0x12, &TCP4), ": :"),
    ] {
        assert_eq!(asked(&limpet, &header, "/"), expected, "{}", header.escape_ascii());
    }
    let header = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n";
    assert_eq!(asked(&limpet, header, "/client"), "127.0.0.1 127.0.0.1");
    assert_eq!(asked(&limpet, header, "/real"), "1.2.3.4:1000 127.0.0.1");
    assert!(asked(&limpet, b"PROXY TCP4 6.2.3.4 5.6.7.8 1000 80\r\n", "/real").contains("403"));
    assert_eq!(
        exchange(limpet.port(8081), "GET / HTTP/1.0\r\n\r\n").split("\r\n\r\n").last(),
        Some("[]")
    );
    let mut client = Client::connect_unix(&limpet.place.path("http.sock"));
    client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\nGET /real HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "1.2.3.4:1000 unix:");
}

#[test]
fn a_header_is_of_its_whole_connection_and_of_no_other() {
    let limpet = Limpet::start(CONFIG);
    for round in 1..5 {
        let mut client = limpet.client();
        // By itself, and then requests one by one and together.
        client.send(format!("PROXY TCP4 1.2.3.{round} 5.6.7.8 1000 80\r\n"));
        let expected = format!("1.2.3.{round}:1000 5.6.7.8:80");
        assert_eq!(client.get("/").text(), expected);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
        for _ in 0..3 {
            assert_eq!(client.response().text(), expected);
        }
        let mut other = limpet.client();
        other.send("PROXY UNKNOWN\r\n");
        assert_eq!(other.get("/").text(), ": :");
        assert_eq!(client.get("/").text(), expected);
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    // nginx 1.22 wants it whole.
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(CONFIG);
    let line = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n".to_vec();
    for header in [line, version_2(1, 0x11, &[&TCP4[..], &[4, 2, 0], &[0; 512]].concat())] {
        let mut client = limpet.client();
        for byte in &header {
            client.send([*byte]);
        }
        assert_eq!(client.get("/").text(), "1.2.3.4:1000 5.6.7.8:80");
    }
}

#[test]
fn who_says_no_or_a_bad_header_is_told_of_and_left() {
    let limpet = Limpet::start(CONFIG);
    let mut silent = limpet.client();
    let mut partly = limpet.client();
    partly.send("PROXY TCP4 1.2");
    for header in [
        &b""[..],
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n",
        b"PROXY TCP4 x 5.6.7.8 1000 80\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1000 80\r\n",
        &version_2(1, 0x11, &TCP4[..4]),
        &version_2(0x11, 0x11, &TCP4),
        &version_2(1, 0x11, &[0; 8000]),
    ] {
        assert_eq!(asked(&limpet, header, "/"), "", "{}", header.escape_ascii());
    }
    limpet.log.wait("broken header: \"PROXY TCP4 1.2.3.4");
    let line = limpet.log.wait("while reading PROXY protocol, client: 127.0.0.1, server: ");
    assert_eq!(line.level, "error", "{}", line.text);
    assert!(silent.is_closed_within(Duration::from_secs(3)));
    assert!(partly.is_closed_within(Duration::from_secs(3)));
    limpet.log.wait("client timed out (110: Connection timed out) while reading PROXY protocol");
    limpet.client().finish();
    limpet.log.wait("client closed connection while reading PROXY protocol");
    assert_eq!(limpet.access.text(), "", "there was no request");
}

#[test]
fn tlvs_are_variables() {
    // Not before nginx 1.23.2.
    if drives_nginx() {
        return;
    }
    let names = ["alpn", "authority", "unique_id", "netns", "ssl", "ssl_version", "ssl_cn"];
    let names = [&names[..], &["ssl_verify", "ssl_0x23", "0xe0", "0xE1", "nonsense"]].concat();
    let text: String = names.iter().map(|name| format!("[$proxy_protocol_tlv_{name}]")).collect();
    let limpet = Limpet::start(&format!(
        "events {{ }} http {{ access_log off; server {{ listen 8080 proxy_protocol;
         location / {{ return 200 \"{text}\"; }} }} }}"
    ));
    let tlv = |kind: u8, value: &[u8]| {
        let length = (value.len() as u16).to_be_bytes();
        [&[kind], &length[..], value].concat()
    };
    let inner = [tlv(0x21, b"TLSv1.3"), tlv(0x22, b"Some One"), tlv(0x23, b"cipher")].concat();
    let ssl = tlv(0x20, &[&b"\x01\0\0\0\x05"[..], &inner].concat());
    let tlvs = [tlv(1, b"h2"), tlv(2, b"a.b"), tlv(5, b"id"), ssl, tlv(0xe0, &[b'x'; 2000])];
    let header = version_2(1, 0x11, &[&TCP4[..], &tlvs.concat()].concat());
    let answer = asked(&limpet, &header, "/");
    let expected = format!("[TLSv1.3][Some One][5][cipher][{}][][]", "x".repeat(2000));
    assert!(answer.starts_with("[h2][a.b][id][][\u{1}\0\0\0\u{5}!\0\u{7}TLSv1.3"), "{answer:?}");
    assert!(answer.ends_with(&expected), "{answer:?}");
    // One that ends in the middle is none.
    let header = version_2(1, 0x11, &[&TCP4[..], &tlv(1, b"h2"), b"\x02\0\x09x"].concat());
    assert!(asked(&limpet, &header, "/").starts_with("[h2][][]"));
    assert_eq!(asked(&limpet, b"PROXY UNKNOWN\r\n", "/"), "[]".repeat(names.len()));
}
