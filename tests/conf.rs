//! nginx.conf and the command line: what is accepted, what is refused, and in which words.
use crate::common::*;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Exit code and stderr of `-t` on a configuration, as it stands in the file.
fn test_with(binary: &Path, place: &Place, config: &str) -> (Option<i32>, String) {
    let file = place.write("nginx.conf", place.fill(config));
    let mut command = Command::new(binary);
    command.arg("-t").arg("-p").arg(place.dir()).arg("-c").arg(file).args(["-e", "stderr"]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn test(place: &Place, config: &str) -> (Option<i32>, String) {
    test_with(&binary(), place, config)
}

/// The first line of an error, from its level on, without the pid that a log adds. (What only
/// the whole shows comes after "syntax is ok" in nginx.)
fn first_line(stderr: &str) -> String {
    let line = stderr.lines().find(|line| line.contains(" [")).unwrap_or(stderr);
    let Some((_, text)) = line.split_once(" [") else { return line.into() };
    let (level, text) = text.split_once("] ").unwrap_or(("", text));
    let pid = text.find("#").and_then(|_| text.split_once(": "));
    let text = pid.filter(|(pid, _)| !pid.contains(' ')).map_or(text, |(_, text)| text);
    format!("[{level}] {text}")
}

/// The first error in nginx's words, with nginx's file and line.
#[test]
fn errors_are_those_of_nginx() {
    let Some(nginx) = program("nginx") else {
        return skip("there is no nginx here to compare with");
    };
    let place = Place::new();
    let mut differences = String::new();
    for broken in BROKEN.split("\n--\n") {
        let (code, theirs) = test_with(&nginx, &place, broken);
        let theirs = if code == Some(1) { first_line(&theirs) } else { "accepts this".into() };
        let ours = first_line(&test(&place, broken).1);
        if ours != theirs || code != Some(1) {
            let _ = write!(differences, "{broken}\n  nginx   {theirs}\n  limpet  {ours}\n\n");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// What nginx accepts, for what is supported at all.
#[test]
fn good_configurations_are_accepted() {
    let place = Place::new();
    place.write("part/a.conf", "server { listen 8081; }");
    place.write("part/b.conf", "server { listen 8082; }");
    let binaries = program("nginx").into_iter().chain([binary()]);
    let mut refused = String::new();
    for (binary, good) in
        binaries.flat_map(|binary| GOOD.split("\n--\n").map(move |good| (binary.clone(), good)))
    {
        let (code, stderr) = test_with(&binary, &place, good);
        if code != Some(0) {
            let _ = write!(refused, "{} refuses {good}\n{stderr}\n", binary.display());
        }
    }
    assert!(refused.is_empty(), "\n{refused}");
}

const BROKEN: &str = r#"lisen 80; events { }
--
events { } http { server { listen 8080; lisen 80; } }
--
events { } http { root /; } server { }
--
events { } http { events { } }
--
listen 80; events { }
--
events { } events { }
--
events { } http { } http { }
--
pid a; pid b; events { }
--
worker_processes 1; worker_processes 2; events { }
--
worker_processes; events { }
--
worker_processes 1 2; events { }
--
worker_processes many; events { }
--
daemon maybe; events { }
--
events { worker_connections many; }
--
events { worker_connections -1; }
--
events { multi_accept 1; }
--
events
--
events {
--
events { } }
--
events { } http { server { listen 8080 }
}
--
events { } http { server { listen 8080
--
events { };
--
events { } http { ; }
--
events { } { }
--
events; http { }
--
daemon off { } events { }
--
events { } http { server { root "unterminated; } }
--
events { } http { server { root "a"b; } }
--
events { } http { include missing.conf; }
--
events { } http { server { listen 8080 lazily; } }
--
events { } http { server { listen 99999; } }
--
events { } http { server { listen 127.0.0.1:0; } }
--
events { } http { server { listen 127.0.0.1:port; } }
--
events { } http { server { listen [::1; } }
--
events { } http { server { listen 8080 backlog=many; } }
--
events { } http { server { listen unix:; } }
--
events { } http { server { listen 8080 default_server; } server { listen 8080 default_server; } }
--
events { } http { server { listen 8080 backlog=1; } server { listen 8080 backlog=2; } }
--
events { } http { server { listen 8080; listen 8080; } }
--
events { } http { server { location / { } location / { } } }
--
events { } http { server { location = /a { } location = /a { } } }
--
events { } http { server { location /a { location /b { } } } }
--
events { } http { server { location = /a { location /a/b { } } } }
--
events { } http { server { location { } } }
--
events { } http { server { location a b c { } } }
--
events { } http { server { location * /a { } } }
--
events { } http { server { return; } }
--
events { } http { server { return abc; } }
--
events { } http { server { return 1000 a; } }
--
events { } http { server { return 200 a b; } }
--
events { } http { server { error_page 404; } }
--
events { } http { server { error_page 404 =abc /x; } }
--
events { } http { server { error_page abc /x; } }
--
events { } http { server { error_page 299 /x; } }
--
events { } http { server { error_page 600 /x; } }
--
events { } http { server { root a; root b; } }
--
events { } http { server { location / { root a; alias b; } } }
--
events { } http { server { alias b; } }
--
events { } http { keepalive_timeout soon; }
--
events { } http { keepalive_timeout 1 soon; }
--
events { } http { keepalive_timeout 1; keepalive_timeout 2; }
--
events { } http { sendfile maybe; }
--
events { } http { client_max_body_size 1x; }
--
events { } http { client_header_buffer_size 99999999999999999999; }
--
events { } http { large_client_header_buffers 4; }
--
events { } http { send_timeout 1h1x; }
--
events { } http { send_timeout -1; }
--
events { } http { send_timeout 1s1h; }
--
events { } http { etag 1; }
--
events { } http { if_modified_since maybe; }
--
events { } http { default_type; }
--
events { } http { server { server_name; } }
--
events { } http { server { server_name *; } }
--
events { } http { access_log /tmp/a nonsense; }
--
events { } http { access_log off; server { location / { index; } } }
--
error_log stderr loud; events { }
--
error_log; events { }
--
error_log syslog:nonsense; events { }
--
error_log syslog:server=127.0.0.1,facility=nonsense; events { }
--
worker_cpu_affinity 012; events { }
--
worker_cpu_affinity; events { }
--
worker_priority high; events { }
--
worker_rlimit_core 1x; events { }
--
worker_shutdown_timeout soon; events { }
--
debug_points maybe; events { }
--
timer_resolution soon; events { }
--
user; events { }
--
user a b c; events { }
--
user no_such_user_here; events { }
--
user daemon no_such_group_here; events { }
--
env; events { }
--
events { accept_mutex maybe; }
--
events { accept_mutex_delay soon; }
--
events { use nonsense; }
--
events { debug_connection 300.1.1.1; }
--
events { debug_connection 127.0.0.1/33; }
--
events { worker_connections 1; worker_connections 2; }
--
http { server { } }
--
daemon off;
--
events { } http { satisfy maybe; }
--
events { } http { server { listen 8080; tcp_nodelay perhaps; } }
--
events { } http { lingering_close sometimes; }
--
events { } http { server { location / { internal yes; } } }"#;

const GOOD: &str = r#"events { }
--
events{}
--
worker_processes auto; events { worker_connections 10; use epoll; multi_accept on; }
--
# a comment
events { } # another
http { # and
  server { listen 8080; } }
--
events { } http { server { listen 8080; root "quoted path"; index 'a' "b"; } }
--
events { } http { server { listen 8080; location / { return 200 "a;b{c}\"d\""; } } }
--
events { } http { server { listen 8080; location / { return 200 'it\'s # ; {'; } } }
--
events { } http { include part/*.conf; include part/none*.conf; }
--
events { } http { include @DIR@/part/a.conf; }
--
events { } http { server { listen 127.0.0.1:8080 default_server backlog=10 rcvbuf=8k sndbuf=8k
    deferred reuseport so_keepalive=on; } }
--
events { } http { server { listen [::]:8080 ipv6only=on; listen unix:@DIR@/a.sock; listen *:8081;
    listen localhost:8082; } }
--
events { } http { server { listen 8080; server_name a *.b c.* .d "" _; } }
--
events { } http { server { listen 8080; location / { } location = / { } location ^~ /a/ { }
    location /b { location /b/c { location = /b/c/d { } } } } }
--
events { } http { keepalive_timeout 1d 2h; send_timeout 500ms; client_header_timeout 1m30s;
    client_body_timeout 1w; lingering_time 1d1h; lingering_timeout 5; }
--
events { } http { client_max_body_size 1G; client_header_buffer_size 2k;
    large_client_header_buffers 8 16K; client_body_buffer_size 1m; }
--
events { } http { types { } default_type ""; }
--
events { } http { types { text/html html htm; "a/b" c; } types_hash_max_size 512; }
--
events { } http { error_page 500 502 503 504 /50x.html; error_page 404 =200 /x; error_page 403 = /y;
    error_page 404 http://elsewhere/; recursive_error_pages on; }
--
events { } http { access_log off; server { access_log @DIR@/a.log; access_log @DIR@/b.log combined
    buffer=4k flush=1s; } }
--
error_log stderr; error_log @DIR@/e.log debug; events { } http { error_log @DIR@/f.log crit; }
--
user daemon daemon; pid @DIR@/p.pid; lock_file @DIR@/lock; working_directory @DIR@; env A; env B=c;
worker_priority 5; worker_rlimit_nofile 1000; worker_rlimit_core 1m; worker_cpu_affinity auto;
worker_shutdown_timeout 10s; timer_resolution 100ms; debug_points stop; events { }
--
events { accept_mutex on; accept_mutex_delay 100ms; debug_connection 127.0.0.1;
    debug_connection 10.0.0.0/8; worker_aio_requests 32; }
--
events { } http { server { listen 8080; server_tokens off; etag off; max_ranges 3;
    if_modified_since before; satisfy any; log_not_found off; port_in_redirect off;
    absolute_redirect off; server_name_in_redirect on; merge_slashes off; sendfile on;
    sendfile_max_chunk 1m; tcp_nopush on; tcp_nodelay off; reset_timedout_connection on;
    chunked_transfer_encoding off; ignore_invalid_headers off; underscores_in_headers on;
    keepalive_requests 5; keepalive_disable none; msie_padding off; lingering_close always; } }"#;

#[test]
fn an_error_shows_the_line_and_points_into_it() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let (code, stderr) = test(&place, "events { }\nhttp {\n    server { lisen 8080; }\n}\n");
    let file = place.path("nginx.conf");
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(code, Some(1));
    let told = format!("unknown directive \"lisen\" in {}:3", file.display());
    assert!(lines[0].ends_with(&told), "{stderr}");
    let source = lines.iter().position(|line| line.contains("server { lisen 8080; }")).unwrap();
    let (line, pointer) = (lines[source], lines[source + 1]);
    assert_eq!(line.find("lisen"), pointer.find('^'), "{stderr}");
    assert!(stderr.contains("did you mean \"listen\"?"), "{stderr}");
}

#[test]
fn all_errors_of_a_configuration_are_told_in_one_run() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let config = "worker_proceses 1;\nevents { worker_conections 1; }\n
                  http { sendfile maybe;\n server { listen 99999; rot /; } }";
    let (code, stderr) = test(&place, config);
    assert_eq!(code, Some(1));
    for told in ["\"worker_proceses\"", "\"worker_conections\"", "\"maybe\"", "99999", "\"rot\""] {
        assert!(stderr.contains(told), "no {told} in {stderr}");
    }
    for meant in ["worker_processes", "worker_connections", "root"] {
        assert!(stderr.contains(&format!("did you mean \"{meant}\"")), "no {meant} in {stderr}");
    }
}

#[test]
fn a_directive_of_nginx_that_is_missing_here_says_so() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    for directive in ["ssl_certificate a.pem", "load_module a.so", "perl_modules a", "geoip_city a"]
    {
        let name = directive.split(' ').next().unwrap();
        let at = if name == "load_module" { "" } else { "events { } http {" };
        let end = if at.is_empty() { "events { }" } else { "}" };
        let (code, stderr) = test(&place, &format!("{at} {directive}; {end}"));
        assert_eq!(code, Some(1), "{directive}");
        let told = format!("\"{name}\" directive is not supported by limpet");
        assert!(stderr.contains(&told), "{directive}: {stderr}");
        assert!(!stderr.contains("unknown directive"), "{stderr}");
    }
}

/// Core directives about what limpet is built without: they do no harm, or say why they cannot.
#[test]
fn directives_about_what_is_not_built_in_are_taken_or_refused_with_a_reason() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    for directive in ["pcre_jit on", "thread_pool default threads=4", "ssl_engine rsax"] {
        let (code, stderr) = test(&place, &format!("{directive}; events {{ }}"));
        let told = stderr.contains("is not supported by limpet");
        assert!(code == Some(0) || told, "{directive}: {stderr}");
    }
    for method in ["select", "poll", "kqueue", "eventport", "/dev/poll"] {
        let (code, stderr) = test(&place, &format!("events {{ use {method}; }}"));
        assert_eq!(code, Some(1), "{method}");
        assert!(stderr.contains(method) && stderr.contains("epoll"), "{method}: {stderr}");
    }
}

/// Plain bytes must never be served where TLS was asked for.
#[test]
fn tls_is_refused_with_the_remedy() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let (code, stderr) = test(&place, "events { } http { server { listen 8443 ssl; } }");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("ssl"), "{stderr}");
}

#[test]
fn the_environment_is_filled_in_by_braces() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let config = "events { } http { server { listen ${PORT}; location / {
        return 200 \"${WORDS}|${MISSING:-default}|\"; } } }";
    let file = place.write("nginx.conf", config);
    let mut command = Command::new(binary());
    command.arg("-T").arg("-c").arg(file).arg("-p").arg(place.dir());
    let output = command.env("PORT", "8080").env("WORDS", "a;b } c").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout.contains("8080") && stdout.contains("a;b } c|default|"), "{stdout}");
}

#[test]
fn the_command_line_is_that_of_nginx() {
    let place = Place::new();
    let name = name();
    let ask = |arguments: &[&str]| {
        let output = run(&place, arguments);
        let text = [output.stderr, output.stdout].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    for (arguments, code, start) in [
        (&["-v"][..], 0, format!("{name} version: {name}/")),
        (&["-V"], 0, format!("{name} version: {name}/")),
        (&["-h"], 0, format!("{name} version: {name}/")),
        (&["-?"], 0, format!("{name} version: {name}/")),
        (&["-x"], 1, format!("{name}: invalid option: \"x\"\n")),
        (&["-c"], 1, format!("{name}: option \"-c\" requires file name\n")),
        (&["-p"], 1, format!("{name}: option \"-p\" requires directory name\n")),
        (&["-e"], 1, format!("{name}: option \"-e\" requires file name\n")),
        (&["-g"], 1, format!("{name}: option \"-g\" requires parameter\n")),
        (&["-s"], 1, format!("{name}: option \"-s\" requires parameter\n")),
        (&["-s", "dance"], 1, format!("{name}: invalid option: \"-s dance\"\n")),
    ] {
        let (exit, text) = ask(arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {text}");
        assert!(text.starts_with(&start), "{arguments:?}: {text}");
    }
    let (_, help) = ask(&["-h"]);
    for option in
        ["-v", "-V", "-t", "-T", "-q", "-s signal", "-p prefix", "-e filename", "-c filename"]
    {
        assert!(help.contains(&format!("\n  {option} ")), "{option} in {help}");
    }
    assert!(ask(&["-V"]).1.contains("configure arguments: --"));
}

#[test]
fn options_may_be_joined_and_attached() {
    let limpet = Limpet::prepare(Place::new(), "events { }");
    let config = format!("-c{}", limpet.place.path("limpet.conf").display());
    let output = run(&limpet.place, &["-tq", &config]);
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true), "{output:?}");
    let output = run(&limpet.place, &["-t", &config, "-g", "nonsense on;"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("unknown directive \"nonsense\" in command line"), "{text}");
}

/// A directory of sites grows; the time to read them must not grow faster.
#[test]
fn ten_thousand_servers_are_read_in_linear_time() {
    let place = Place::new();
    let took = |servers: usize| {
        let mut config = String::from("events { } http {\n");
        for number in 0..servers {
            let _ = writeln!(config, "server {{ listen 8080; server_name s{number}.example;");
            for location in 0..5 {
                let _ = writeln!(config, "location /{location}/ {{ root /srv/{number}; }}");
            }
            config.push_str("}\n");
        }
        config.push_str("server_names_hash_max_size 100000; server_names_hash_bucket_size 128; }");
        let began = Instant::now();
        let (code, stderr) = test(&place, &config);
        assert_eq!(code, Some(0), "{}", &stderr[..stderr.len().min(2000)]);
        began.elapsed()
    };
    let (some, many) = (took(1_000), took(10_000));
    assert!(many < some * 30 + Duration::from_secs(1), "{some:?} for 1,000, {many:?} for 10,000");
}
