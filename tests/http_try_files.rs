//! `try_files`: what is there, directories, and where the last argument leads.
use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn start(server: &str) -> Limpet {
    let place = Place::new();
    let names = "html/index.html html/f.txt html/dir/index.html html/ext/a.html html/ext/b.txt \
                 html/secret.txt alias/f.txt alias/g.txt alias/a/index.html";
    for name in names.split_whitespace() {
        place.write(name, format!("{name}\n"));
    }
    let secret = place.path("html/secret.txt");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink("loop", place.path("html/loop")).unwrap();
    let server = format!("server {{ listen 8080; root @DIR@/html; {server} }}");
    Limpet::start_in(place, &format!("events {{ }} http {{ access_log off; {server} }}"))
}

/// Status and body, or where it leads.
fn answer(limpet: &Limpet, target: &str) -> String {
    let response = limpet.get(target);
    match response.status {
        301 => format!("301 {}", response.header("location")),
        200 => response.text().trim_end().to_string(),
        status => status.to_string(),
    }
}

fn check(limpet: &Limpet, rows: &[(&str, &str)]) {
    for (target, expected) in rows {
        assert_eq!(answer(limpet, target), *expected, "{target}");
    }
}

#[test]
fn the_first_that_there_is_answers() {
    let limpet = start(
        "location / { try_files $uri $uri/ /index.html; }
         location /ext/ { try_files $uri $uri.html $uri.txt =404; }
         location /dirs/ { try_files /f.txt/ /dir/ =404; }
         location /loop/ { try_files /loop /f.txt =404; }
         location = /exact { try_files /dir/index.html =404; }",
    );
    let rows = [
        ("/", "html/index.html"),
        ("/f.txt", "html/f.txt"),
        ("/dir", "301 http://localhost:8080/dir/"),
        ("/dir/", "html/dir/index.html"),
        ("/deep/link?a=b", "html/index.html"),
        ("/ext/a", "html/ext/a.html"),
        ("/ext/b", "html/ext/b.txt"),
        ("/ext/c", "404"),
        ("/dirs/x", "301 http://localhost:8080/dir/"),
        ("/loop/x", "html/f.txt"),
        ("/exact", "html/dir/index.html"),
    ];
    check(&limpet, &rows);
    if kernel::is_root() {
        // It is there, so it is taken, though it cannot be opened.
        check(&limpet, &[("/secret.txt", "403")]);
    }
    limpet.log.wait("stat() \"");
}

#[test]
fn the_last_argument_is_a_uri_a_name_or_a_status() {
    let limpet = start(
        "location / { try_files $uri /told?q=$uri&$args; }
         location /plain/ { try_files $uri /told; }
         location /args/ { try_files $uri /told$is_args$args; }
         location /named/ { try_files $uri @named; }
         location /none/ { try_files $uri @none; }
         location /code/ { try_files $uri =410; }
         location /closed/ { try_files $uri =204; }
         location /round { try_files /none /round/$uri; }
         location /secret/ { internal; try_files /f.txt =404; }
         location /let-in/ { try_files $uri /secret/x; }
         location @named { return 200 \"named $uri $args\"; }
         location /told { return 200 \"$uri $args\"; }",
    );
    let rows = [
        ("/x?a=1", "/told q=/x&a=1"),
        ("/plain/x?a=1", "/told"),
        ("/args/x?a=1", "/told a=1"),
        ("/args/x", "/told"),
        ("/named/x?a=1", "named /named/x a=1"),
        ("/none/x", "500"),
        ("/code/x", "410"),
        ("/closed/x", "204"),
        ("/round", "500"),
        ("/secret/x", "404"),
        ("/let-in/x", "html/f.txt"),
    ];
    check(&limpet, &rows);
    limpet.log.wait("could not find named location \"@none\"");
}

/// What nginx makes of both at once; the strange ones are nginx's, too.
#[test]
fn an_alias_takes_part() {
    let limpet = start(
        "location /al/ { alias @DIR@/alias/; try_files $uri $uri.txt f.txt =404; }
         location /literal/ { alias @DIR@/alias/; try_files $uri /literal/f.txt; }
         location /made/ { set $none \"\"; alias @DIR@/alias/; try_files $uri /made/f.txt$none; }
         location ~ ^/rx/(.*)$ { alias @DIR@/alias/; try_files $1 $1.txt =404; }",
    );
    let rows = [
        ("/al/g.txt", "alias/g.txt"),
        ("/al/g", "alias/g.txt"),
        ("/al/none", "alias/f.txt"),
        ("/literal/none", "alias/f.txt"),
        ("/made/none", "404"),
        ("/rx/g.txt", "alias/g.txt"),
        ("/rx/g", "alias/g.txt"),
        ("/rx/none", "404"),
    ];
    check(&limpet, &rows);
}

/// It is not inherited: at the server level it is for URIs that no location matches.
#[test]
fn a_server_has_its_own() {
    let limpet = start("try_files $uri /f.txt =404; location /dir { }");
    let rows = [("/x", "html/f.txt"), ("/dir/none", "404"), ("/ext/a.html", "html/ext/a.html")];
    check(&limpet, &rows);
}
