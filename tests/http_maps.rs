//! `map`, `geo`, `split_clients`: variables that are made of others.
use crate::common::*;

/// Asks for each target with a host, and says what the bodies should have been.
fn compare(limpet: &Limpet, asked: &[(&str, &str, &str)]) {
    let mut wrong = String::new();
    let mut client = limpet.client();
    for (target, fields, body) in asked {
        client.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n"));
        let got = client.response().text();
        if got != *body {
            wrong += &format!("{target} {fields}: {got:?} instead of {body:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const MAPS: &str = r#"
    events { }
    http {
        map_hash_max_size 1024; map_hash_bucket_size 128;
        map $arg_a $plain {
            Upper   up;
            ""      empty;
            *.star  literal;
            include @DIR@/more;
            ~^/(\d+)/(?P<name>\w+) $2-$name-$1;
            ~*^CASE$ "any case of $arg_a";
            \default escaped;
            \~tilde  tilde;
            hostnames value;
            default "none of $arg_a";
        }
        map $plain:$arg_b $chained { default ""; up:1 "$plain and $arg_b"; ~(.*):2 $1; }
        map $host $site {
            hostnames;
            default    other;
            .example.com  example;
            *.example.org leading;
            www.example.* trailing;
            exact.example.org exact;
        }
        map $arg_a $nothing { a b; }
        map $uri $changed { volatile; /now now; /then then; default $uri; }
        map $uri $kept { /now now; /then then; default $uri; }
        map $circle1 $circle2 { default $circle1; }
        map $circle2 $circle1 { default $circle2; }
        server {
            listen 8080;
            location /plain { return 200 $plain; }
            location /chained { return 200 $chained; }
            location /site { return 200 $site; }
            location /nothing { return 200 [$nothing]; }
            location /circle { return 200 [$circle1]; }
            location /now { set $before $changed$kept; rewrite ^ /then; }
            location /then { return 200 $before-$changed-$kept; }
        }
    }
"#;

const MAPPED: &[(&str, &str, &str)] = &[
    ("/plain?a=uPPER", "Host: a", "up"),
    ("/plain?a=up", "Host: a", "none of up"),
    ("/plain", "Host: a", "empty"),
    ("/plain?a=*.star", "Host: a", "literal"),
    ("/plain?a=x.star", "Host: a", "pattern:.star"),
    ("/plain?a=included", "Host: a", "in"),
    ("/plain?a=/12/ab/", "Host: a", "ab-ab-12"),
    ("/plain?a=cAsE", "Host: a", "any case of cAsE"),
    ("/plain?a=default", "Host: a", "escaped"),
    ("/plain?a=~tilde", "Host: a", "tilde"),
    ("/plain?a=hostnames", "Host: a", "value"),
    ("/chained?a=upper&b=1", "Host: a", "up and 1"),
    ("/chained?a=q&b=2", "Host: a", "none of q"),
    ("/chained?a=q&b=3", "Host: a", ""),
    ("/site", "Host: EXAMPLE.com", "example"),
    ("/site", "Host: a.b.example.com", "example"),
    ("/site", "Host: exact.example.org", "exact"),
    ("/site", "Host: example.org", "other"),
    ("/site", "Host: www.example.org", "leading"),
    ("/site", "Host: www.example.co.uk", "trailing"),
    ("/site", "Host: www.example", "other"),
    ("/nothing?a=a", "Host: a", "[b]"),
    ("/nothing?a=c", "Host: a", "[]"),
    ("/circle", "Host: a", "[]"),
    ("/now", "Host: a", "nownow-then-now"),
];

#[test]
fn a_map_finds_strings_wildcards_and_expressions() {
    let place = Place::new();
    place.write("more", "included in; ~^x(?<rest>.*)$ pattern:$rest;");
    let limpet = Limpet::start_in(place, MAPS);
    compare(&limpet, MAPPED);
    limpet.log.wait("cycle while evaluating variable \"circle1\"");
}
