//! nginx.conf and the command line: what is accepted, what is refused, and in which words.
use crate::common::*;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Configurations, divided by lines of two dashes.
const BROKEN: &str = include_str!("conf/broken");
const GOOD: &str = include_str!("conf/good");

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
    for directive in [
        "ssl_certificate a.pem",
        "load_module a.so",
        "perl_modules a",
        "geoip_city a",
        "proxy_cache a",
        "fastcgi_cache_valid 1m",
        "grpc_pass a",
    ] {
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

/// Configurations for websockets bypass a cache that they do not have.
#[test]
fn a_cache_that_is_not_there_can_be_bypassed() {
    let place = Place::new();
    let proxy = "proxy_cache off; proxy_cache_bypass $http_upgrade; proxy_no_cache $arg_a 1;";
    let fastcgi = "fastcgi_cache off; fastcgi_cache_bypass $arg_a; fastcgi_no_cache 0;";
    let (code, stderr) = test(&place, &format!("events {{ }} http {{ {proxy} {fastcgi} }}"));
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stderr) = test(&place, "events { } http { proxy_cache_bypass $nothing; }");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("unknown \"nothing\" variable"), "{stderr}");
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
    if !drives_nginx() {
        let output = run(&place, &["-h", "directives"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let what = "paths to look for, in order, and where to go when there is none";
        let entry = format!(
            "\n  try_files\n      {what}\n      default: none\n      context: server, location\n\n"
        );
        assert!(output.status.success() && text.contains(&entry), "{text}");
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

#[test]
fn values_that_the_environment_does_not_have_are_named() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let site = "server { listen ${A_PORT}; return 200 \"${A_GREETING}, ${A_NAME:-you}\"; }";
    let path = place.write("site.conf", site);
    let output = run(&place, &["-t", "-c", path.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in ["A_PORT", "A_GREETING"] {
        let hint = format!("= the environment has no {name}; ${{{name}:-x}} is x then");
        assert!(stderr.contains(&hint), "{stderr}");
    }
    assert!(!stderr.contains("no A_NAME"), "{stderr}");
}
