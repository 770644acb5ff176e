//! What a container image brings: sites, templates of sites, or just files.
use crate::common::*;

/// Serves a root of its own from `/`, read-only, until it is dropped.
fn served(files: &[(&str, &str)], arguments: &[&str], env: &[(&str, &str)]) -> Option<Limpet> {
    if drives_nginx() || !kernel::is_root() {
        skip("needs limpet, and root for chroot");
        return None;
    }
    let place = Place::new();
    let root = empty_root(&place, files);
    let mut limpet = Limpet::prepare(place, "");
    let mut command = in_root(root, arguments, Birth::default());
    command.envs(env.iter().copied());
    limpet.launch_as(command);
    Some(limpet)
}

fn wait_for(port: u16) {
    eventually("it listens", || accepts(port));
}

const TEMPLATE: &str = r#"
server {
    listen ${PORT};
    $EXTRA
    location / { return 200 "$GREETING ${host} ${MISSING:-default}"; }
}
"#;

#[test]
fn templates_are_sites_with_the_environment_in_them() {
    let files = [
        ("etc/nginx/templates/default.conf.template", TEMPLATE),
        ("etc/nginx/templates/site.txt.template", "no site"),
        ("etc/nginx/conf.d/default.conf", "the template is put in place of this"),
        ("etc/nginx/conf.d/other.conf", "server { listen 8090; return 200 other; }"),
    ];
    let env = [("PORT", "8099"), ("GREETING", "hello"), ("EXTRA", "server_tokens off;\n")];
    let Some(limpet) = served(&files, &[], &env) else { return };
    wait_for(8099);
    let response = get(8099, "/");
    assert_eq!(response.text(), "hello localhost default");
    assert!(!response.header("server").contains('/'), "{response:?}");
    wait_for(8090);
    drop(limpet);
}

/// nginx's image has a format of that name for the sites in it.
#[test]
fn sites_may_log_as_in_an_nginx_image() {
    let site = "server { listen 8099; access_log /dev/stdout main; return 200 logged; }";
    let Some(limpet) = served(&[("etc/nginx/conf.d/default.conf", site)], &[], &[]) else { return };
    wait_for(8099);
    assert_eq!(get(8099, "/").text(), "logged");
    drop(limpet);
}

/// The folder of a configuration that is named, and its `include`.
#[test]
fn templates_of_a_named_configuration() {
    let main = "daemon off; events { } http { include conf.d/*.conf; }";
    let files = [("app/nginx.conf", main), ("app/templates/x.conf.template", TEMPLATE)];
    let env = [("PORT", "8099"), ("GREETING", "hi"), ("EXTRA", "")];
    let Some(limpet) = served(&files, &["-c", "/app/nginx.conf"], &env) else { return };
    wait_for(8099);
    assert_eq!(get(8099, "/").text(), "hi localhost default");
    drop(limpet);
}

/// An image whose last line copies a site to where nginx's has it.
#[test]
fn the_files_of_an_nginx_image_are_served() {
    let page = format!("<p>{}", "text ".repeat(200));
    let files = [("usr/share/nginx/html/index.html", &*page), ("secret", "not to be served")];
    let Some(limpet) = served(&files, &[], &[]) else { return };
    wait_for(8080);
    assert_eq!(get(8080, "/").text(), page);
    assert_eq!(get(8080, "/secret").status, 404);
    let mut client = Client::connect(8080);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(client.response().header("content-encoding"), "gzip");
    drop(limpet);
}

#[test]
fn an_application_gets_its_page_for_every_path() {
    let files = [
        ("srv/index.html", "the page"),
        ("srv/assets/app.js", "the code"),
        ("srv/docs/index.html", "more"),
    ];
    let Some(limpet) = served(&files, &["--spa"], &[("PORT", "8085")]) else { return };
    wait_for(8085);
    for path in ["/", "/index.html", "/users/7?tab=1", "/john.doe"] {
        let response = get(8085, path);
        assert_eq!((response.status, &*response.text()), (200, "the page"), "{path}");
        assert_eq!(response.header("cache-control"), "no-cache", "{path}");
    }
    assert_eq!(get(8085, "/docs/").text(), "more");
    assert_eq!(get(8085, "/assets/app.js").text(), "the code");
    assert_eq!(get(8085, "/assets/app.js").header("cache-control"), "");
    let missing = get(8085, "/assets/old.js");
    assert_eq!(missing.status, 404, "{missing:?}");
    // Without the scheme, name and port that only those in front know.
    assert_eq!(get(8085, "/docs").header("location"), "/docs/");
    drop(limpet);
}

#[test]
fn security_headers_are_one_include_away() {
    let site = "server {
            listen 8080; include security_headers;
            location / { add_header X-Own yes; return 200 x; }
        }";
    let Some(limpet) = served(&[("etc/nginx/conf.d/a.conf", site)], &[], &[]) else { return };
    wait_for(8080);
    let response = get(8080, "/");
    assert_eq!(response.header("x-content-type-options"), "nosniff", "{response:?}");
    assert_eq!(response.header("x-own"), "yes");
    drop(limpet);
}
