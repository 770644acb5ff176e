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

const GEO: &str = r#"
    events { }
    http {
        geo $arg_a $net {
            default        none;
            delete         10.2.0.0/16;
            10.0.0.0/8     ten;
            10.1.0.0/16    ten-one;
            10.1.2.3       host;
            10.2.0.0/16    gone;
            delete         10.2.0.0/16;
            include        @DIR@/more;
            2001:db8::/32  six;
            ::1            "local six";
            255.255.255.255 nobody;
        }
        geo $arg_a $without { 1.0.0.0/8 $literal; }
        geo $arg_a $range {
            ranges;
            1.0.0.0-1.0.255.255 wide;
            1.0.1.0-1.0.1.255   narrow;
            1.1.0.0-1.3.0.255   long;
            1.2.0.0-1.2.255.255 inner;
            2.0.0.0-2.0.0.9     gone;
            delete              2.0.0.0-2.0.0.9;
            default             none;
        }
        geo $client { proxy 127.0.0.0/8; 127.0.0.0/8 local; 8.8.8.8 first; 9.9.9.9 last; }
        geo $recursive {
            proxy 127.0.0.0/8; proxy 9.0.0.0/8; proxy_recursive;
            127.0.0.0/8 local; 8.8.8.8 first; 9.9.9.9 last;
        }
        split_clients $arg_a $half { 50% a; 49.5% b; * c; }
        split_clients "$arg_a." $some { 12.34% a; 0.01% b; }
        server {
            listen 8080;
            location / { return 200 "$net,$without,$range"; }
            location /client { return 200 "$client $recursive"; }
            location /split { return 200 $half[$some]; }
        }
    }
"#;

const GEO_ASKED: &[(&str, &str, &str)] = &[
    ("/?a=10.9.9.9", "Host: a", "ten,,none"),
    ("/?a=10.1.9.9", "Host: a", "ten-one,,none"),
    ("/?a=10.1.2.3", "Host: a", "host,,none"),
    ("/?a=10.1.2.4", "Host: a", "ten-one,,none"),
    ("/?a=10.2.0.1", "Host: a", "ten,,none"),
    ("/?a=172.16.0.9", "Host: a", "included,,none"),
    ("/?a=11.0.0.0", "Host: a", "none,,none"),
    ("/?a=9.255.255.255", "Host: a", "none,,none"),
    ("/?a=2001:db8:ffff::1", "Host: a", "six,,none"),
    ("/?a=2001:db9::1", "Host: a", "none,,none"),
    ("/?a=::1", "Host: a", "local six,,none"),
    ("/?a=::ffff:10.1.2.3", "Host: a", "host,,none"),
    ("/?a=nonsense", "Host: a", "nobody,,none"),
    ("/", "Host: a", "nobody,,none"),
    ("/?a=1.2.3.4", "Host: a", "none,$literal,inner"),
    ("/?a=1.0.0.255", "Host: a", "none,$literal,wide"),
    ("/?a=1.0.1.7", "Host: a", "none,$literal,narrow"),
    ("/?a=1.0.2.0", "Host: a", "none,$literal,wide"),
    ("/?a=1.1.0.0", "Host: a", "none,$literal,long"),
    ("/?a=1.3.0.255", "Host: a", "none,$literal,long"),
    ("/?a=1.3.1.0", "Host: a", "none,$literal,none"),
    ("/?a=2.0.0.5", "Host: a", "none,,none"),
    ("/client", "Host: a", "local local"),
    ("/client", "Host: a\r\nX-Forwarded-For: 8.8.8.8", "first first"),
    ("/client", "Host: a\r\nX-Forwarded-For: 8.8.8.8:99, 9.9.9.9", "last first"),
    ("/client", "Host: a\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 9.9.9.9", "last first"),
    ("/client", "Host: a\r\nX-Forwarded-For: 8.8.8.8, x, 9.9.9.9", "last last"),
    ("/client", "Host: a\r\nX-Forwarded-For: ", "local local"),
    ("/client", "Host: a\r\nX-Forwarded-For: x", "local local"),
];

#[test]
fn addresses_have_values() {
    let place = Place::new();
    place.write("more", "172.16.0.0/12 included;");
    compare(&Limpet::start_in(place, GEO), GEO_ASKED);
}

/// The shares are those that nginx gives the same texts.
#[test]
fn clients_are_split_as_nginx_does() {
    let Some(nginx) = program("nginx") else {
        return skip("there is no nginx here to compare with");
    };
    let answers = |binary| {
        let place = Place::new();
        place.write("more", "");
        let mut limpet = Limpet::prepare_binary(binary, place, GEO);
        limpet.launch();
        eventually("an answer", || accepts(limpet.port(8080)));
        let mut client = limpet.client();
        (0..400).map(|i| client.get(&format!("/split?a={i}")).text()).collect::<Vec<_>>()
    };
    let ours = answers(binary());
    assert_eq!(ours, answers(nginx));
    for (wanted, least, most) in [("a[", 160, 240), ("b[", 160, 240), ("[a]", 25, 75)] {
        let count = ours.iter().filter(|text| text.contains(wanted)).count();
        assert!((least..most).contains(&count), "{count} of 400 {wanted}");
    }
}
