//! `tls_offload on;`: a configuration with TLS, behind somebody who speaks it.
use crate::common::*;

const CONFIG: &str = "
    events { }
    http {
        access_log off;
        ssl_protocols TLSv1.2 TLSv1.3;
        tls_offload on;
        server {
            listen 8080 ssl http2 default_server; listen 8081;
            http2 on;
            ssl_certificate a.pem; ssl_certificate_key a.key;
            root @DIR@/html;
            location = /scheme { return 200 \"$scheme [$https]\"; }
        }
        server {
            listen 8082;
            root @DIR@/html;
            location = /scheme { return 200 \"$scheme [$https]\"; }
        }
    }
";

#[test]
fn what_is_of_tls_is_left_to_the_layer_in_front() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    place.write("html/dir/file", "");
    let limpet = Limpet::start_in(place, CONFIG);
    let line = limpet.log.wait("tls_offload: left to the layer in front: ");
    assert_eq!(line.level, "notice");
    let (_, all) = line.text.split_once("front: ").unwrap();
    let mut all: Vec<_> = all.split(", ").collect();
    all.sort_unstable();
    let expected = [
        "http2",
        "listen ... http2",
        "listen ... ssl",
        "ssl_certificate",
        "ssl_certificate_key",
        "ssl_protocols",
    ];
    assert_eq!(all, expected);
    for (port, scheme, https) in [(8080, "https", "on"), (8081, "http", ""), (8082, "http", "")] {
        let port = limpet.port(port);
        assert_eq!(get(port, "/scheme").text(), format!("{scheme} [{https}]"));
        let location = get(port, "/dir").header("location").to_string();
        assert_eq!(location, format!("{scheme}://localhost:{port}/dir/"));
    }
}

#[test]
fn without_it_tls_is_refused_by_name() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    for (config, word) in [
        ("server { listen 8080 ssl; }", "ssl"),
        ("server { listen 8080; ssl_certificate a; }", "ssl_certificate"),
        ("server { tls_offload off; listen 8080 ssl; }", "ssl"),
        ("tls_offload on; server { tls_offload off; listen 8080 ssl; }", "ssl"),
        ("server { tls_offload on; listen 8081 ssl; } server { listen 8080 ssl; }", "ssl"),
        ("tls_offload on; server { listen 8080 quic; }", "quic"),
        ("tls_offload on; server { listen 8080; ssl_certificat a; }", "ssl_certificat"),
        ("tls_offload on; server { location / { ssl_protocols a; } }", "ssl_protocols"),
    ] {
        let file = place.write("limpet.conf", format!("events {{ }} http {{ {config} }}"));
        let output = run(&place, &["-t", "-c", file.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(&format!("\"{word}\"")), "{stderr}");
    }
    let config = "events { } http { server { tls_offload on; listen 8080 ssl; ssl_ciphers a; } }";
    let file = place.write("limpet.conf", config);
    assert!(run(&place, &["-t", "-c", file.to_str().unwrap()]).status.success());
}
