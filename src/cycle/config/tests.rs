//! Whole configurations: what they mean, and what is said of wrong ones.

use super::*;
use crate::cycle::core_conf::{DebugPoints, Workers};
use crate::http::core::RootPath;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("limpet-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn write(self, name: &str, text: &str) -> Folder {
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn read(&self) -> Config {
        Config::read(&Source::file(self.0.join("nginx.conf")), Path::new("/prefix"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(text: &str) -> Config {
    Folder::new().write("nginx.conf", text).read()
}

/// Each complaint as `LINE: text`.
fn errors(config: &Config) -> Vec<String> {
    let errors = config.cx.errors.errors.iter();
    errors.map(|e| format!("{}: {}", e.pos.map_or(0, |pos| pos.line), e.text)).collect()
}

#[track_caller]
fn good(text: &str) -> Config {
    let config = read(text);
    assert_eq!(errors(&config), Vec::<String>::new(), "{text}");
    config
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    assert_eq!(errors(&read(text)), expected, "{text}");
}

/// The hint of the only error.
fn hint(text: &str) -> String {
    let errors = read(text).cx.errors.errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().find_map(|error| error.hint).unwrap_or_default()
}

#[test]
fn the_main_level() {
    let config = good(
        "daemon off; master_process off; worker_processes auto; worker_priority -5;
         worker_cpu_affinity 0101 '10 10'; worker_rlimit_nofile 1000; worker_rlimit_core 1g;
         worker_shutdown_timeout 5s; timer_resolution 100ms; working_directory dir; env A; env B=c;
         pid run/x.pid; lock_file /l; debug_points abort; user root; pcre_jit on;
         error_log e.log info; error_log stderr; thread_pool a threads=2;
         events { worker_connections 100; use epoll; multi_accept on; accept_mutex on;
                  accept_mutex_delay 1s; debug_connection 10.0.0.0/8; debug_connection unix:; }",
    );
    let core = config.core;
    assert!(!core.daemon && !core.master_process);
    assert_eq!(core.worker_processes, Workers::Auto);
    assert_eq!(core.worker_priority, -5);
    let masks = core.worker_cpu_affinity.masks.iter().map(|mask| mask.iter().collect::<Vec<_>>());
    assert_eq!(masks.collect::<Vec<_>>(), [vec![0, 2], vec![1, 3]]);
    assert_eq!((core.worker_rlimit_nofile, core.worker_rlimit_core), (Some(1000), Some(1 << 30)));
    assert_eq!((core.worker_shutdown_timeout, core.timer_resolution), (5000, 100));
    assert_eq!(core.working_directory, Some(PathBuf::from("/prefix/dir")));
    assert_eq!(core.env, [b"A".to_vec(), b"B=c".to_vec()]);
    assert_eq!(core.pid, Some(PathBuf::from("/prefix/run/x.pid")));
    assert_eq!(core.lock_file, Some(PathBuf::from("/l")));
    assert_eq!(core.debug_points, Some(DebugPoints::Abort));
    let events = config.events;
    assert_eq!((events.worker_connections, events.accept_mutex_delay), (100, 1000));
    assert!(events.multi_accept && events.accept_mutex && events.debug_connection.len() == 2);
    assert!(config.http.is_none());
}

#[test]
fn defaults_are_those_of_nginx() {
    let config = good("events {}");
    let (core, events) = (config.core, config.events);
    assert!(core.daemon && core.master_process && core.user.is_none());
    assert_eq!(core.worker_processes, Workers::Count(1));
    assert_eq!((events.worker_connections, events.accept_mutex_delay), (512, 500));
    assert!(!events.multi_accept && !events.accept_mutex);
}

#[test]
fn every_error_of_a_file_in_the_order_of_the_text() {
    bad(
        "worker_proceses 4;
         events { worker_connections x; }
         http {
             sendfile maybe;
             server { lisen 80; listen 8080; listen 8080; location / { daemon on; } }
             types { a b; }
             server_name y;
         }
         http {}",
        &[
            "1: unknown directive \"worker_proceses\"",
            "2: invalid number \"x\"",
            "4: invalid value \"maybe\" in \"sendfile\" directive, it must be \"on\" or \"off\"",
            "5: unknown directive \"lisen\"",
            "5: a duplicate listen 0.0.0.0:8080",
            "5: \"daemon\" directive is not allowed here",
            "7: \"server_name\" directive is not allowed here",
            "9: \"http\" directive is duplicate",
        ],
    );
}

#[test]
fn errors_are_bounded() {
    let config = read(&"nonsense;\n".repeat(1000));
    assert_eq!(config.cx.errors.errors.len(), 20);
    assert_eq!(config.cx.errors.more, 980);
}

#[test]
fn the_grammar() {
    bad("events {", &["1: unexpected end of file, expecting \"}\""]);
    bad("events {}\nuser", &["2: unexpected end of file, expecting \";\" or \"}\""]);
    bad("events {} }", &["1: unexpected \"}\""]);
    bad("events {};", &["1: unexpected \";\""]);
    bad("events {}\n{}", &["2: unexpected \"{\"", "2: unexpected \"}\""]);
    bad("events {}\nuser \"root\"x;", &["2: unexpected \"x\""]);
    bad("events { use epoll }", &["1: unexpected \"}\""]);
    bad("events;", &["1: directive \"events\" has no opening \"{\""]);
    bad("events {} daemon on {}", &["1: directive \"daemon\" is not terminated by \";\""]);
    bad("events {} daemon;", &["1: invalid number of arguments in \"daemon\" directive"]);
    bad("events {} include;", &["1: invalid number of arguments in \"include\" directive"]);
    bad("http {}", &["0: no \"events\" section in configuration"]);
    good("events {} # the end");
    good("events {}\r\nhttp {\r\n}\r\n");
}

#[test]
fn hints() {
    assert_eq!(hint("events {} deamon off;"), "did you mean \"daemon\"?");
    assert_eq!(hint("events {} http { try_file x; }"), "did you mean \"try_files\"?");
    let text = "events {} http { server {\n listen 8080\n server_name x; } }";
    assert_eq!(hint(text), "is a \";\" missing after \"8080\" in line 2?");
    assert!(hint("events {} http { server { ssl_certificate x; } }").starts_with("TLS is left"));
    assert_eq!(hint("events {} listen 80;"), "its context is server");
    assert_eq!(hint("events { daemon on; }"), "its context is main");
    assert!(hint("events {} http {").ends_with("nginx.conf:1 is not closed"));
}

#[test]
fn excerpts_point_at_the_word() {
    let config = read("events {}\n\thttp { sendfile maybe; }\n");
    let shown = config.cx.errors.errors[0].excerpt(&config.tree);
    assert_eq!(shown, "  2:18 |  http { sendfile maybe; }\n       |                  ^^^^^\n");
}

#[test]
fn fragments_are_wrapped() {
    let config = good("server { listen 8080; }");
    let http = config.http.unwrap();
    assert_eq!(http.servers.len(), 1);
    assert!(http.servers[0].location.conf.core.sendfile);
    // What the embedded main config says is only a default.
    let config = good("# a comment\nsendfile off; types { a/b html; }\nserver {}");
    let core = Rc::clone(&config.http.unwrap().servers[0].location.conf.core);
    assert!(!core.sendfile && core.types.find(b"css").is_none());
    assert_eq!(&*core.default_type, b"application/octet-stream");
    bad("daemon off;\nserver {}", &["2: \"server\" directive is not allowed here"]);
    let missing = Config::read(&Source::file("/nowhere/x".into()), Path::new("/prefix"));
    let text = "0: open() \"/nowhere/x\" failed (2: No such file or directory)";
    assert_eq!(errors(&missing), [text]);
    bad("server {}\nevents {}", &["1: \"server\" directive is not allowed here"]);
}

#[test]
fn includes() {
    let main = "events {}\nhttp { include sites/*.conf; include mime.types; }";
    let folder = Folder::new().write("nginx.conf", main);
    std::fs::create_dir(folder.0.join("sites")).unwrap();
    let folder = folder
        .write("sites/b.conf", "server { listen 8082; }")
        .write("sites/a.conf", "server { listen 8081; }")
        .write("sites/.hidden.conf", "nonsense;")
        .write("sites/c.txt", "nonsense;");
    let config = folder.read();
    assert_eq!(errors(&config), Vec::<String>::new());
    let http = config.http.unwrap();
    let ports: Vec<u16> = http.listening.iter().map(|it| it.addr.port()).collect();
    assert_eq!(ports, [8081, 8082]);
    let types = &http.servers[0].location.conf.core.types;
    assert_eq!(types.find(b"HTML").map(|kind| &**kind), Some(b"text/html".as_slice()));
    let dump = String::from_utf8(config.tree.dump()).unwrap();
    let place = folder.0.display();
    assert!(dump.starts_with(&format!("# configuration file {place}/nginx.conf:\n{main}\n")));
    assert!(dump.contains(&format!("# configuration file {place}/sites/a.conf:\nserver {{")));
}

#[test]
fn bad_includes() {
    bad(
        "events {}\ninclude /nowhere/x;",
        &["2: open() \"/nowhere/x\" failed (2: No such file or directory)"],
    );
    bad("events {}\ninclude /proc;", &["2: read() \"/proc\" failed (21: Is a directory)"]);
    good("events {}\ninclude /nowhere/*.conf;");
    let config = Folder::new()
        .write("nginx.conf", "events {}\ninclude a;")
        .write("a", "include b;")
        .write("b", "\n\ninclude a;")
        .read();
    let [only] = &config.cx.errors.errors[..] else { panic!("{:?}", errors(&config)) };
    assert!(only.text.ends_with("/a\" includes itself"), "{}", only.text);
}

fn with_environment(text: &str) -> Config {
    let folder = Folder::new().write("nginx.conf", text);
    let mut source = Source::file(folder.0.join("nginx.conf"));
    source.env = |name| match name.to_str()? {
        "PORTS" => Some("8081  default_server".into()),
        "DIR" => Some("/srv/a b;{".into()),
        "EMPTY" => Some("".into()),
        "host" => Some("shadowed".into()),
        "mine" => Some("shadowed".into()),
        _ => None,
    };
    Config::read(&source, Path::new("/prefix"))
}

#[test]
fn environment_values() {
    let text = "events {} http { server {
        listen ${PORTS}; server_name ${EMPTY:-fallback} \"${ABSENT:-two words}\";
        root ${DIR}/x; index \"\\${DIR}\" ${ABSENT:-}x; } }";
    let config = with_environment(text);
    assert_eq!(errors(&config), ["3: unknown \"dir\" variable"]);
    let server = Rc::clone(&config.http.unwrap().servers[0]);
    assert_eq!(&*server.name, b"fallback");
    let root = &server.location.conf.core.root.path;
    assert!(matches!(root, RootPath::Is(path) if **path == *b"/srv/a b;{/x"), "{root:?}");
    let dump = String::from_utf8(config.tree.dump()).unwrap();
    assert!(dump.contains("listen 8081  default_server; server_name fallback \"two words\";"));
    assert!(dump.contains("root /srv/a b;{/x; index \"\\${DIR}\" x;"), "{dump}");
}

#[test]
fn variables_of_nginx_and_of_the_config_win_over_the_environment() {
    let config = with_environment(
        "events {} http { server { return 200 \"${host} ${ABSENT} ${mine}\"; set $mine 1; } }",
    );
    let dump = String::from_utf8(config.tree.dump()).unwrap();
    assert!(dump.contains("\"${host} ${ABSENT} ${mine}\""), "{dump}");
}

#[test]
fn text_of_the_command_line_comes_first() {
    let folder = Folder::new().write("nginx.conf", "events {} daemon on;");
    let mut source = Source::file(folder.0.join("nginx.conf"));
    source.globals = b"daemon off; events {".to_vec();
    let config = Config::read(&source, Path::new("/prefix"));
    let file = folder.0.join("nginx.conf").display().to_string();
    let lines = config.cx.errors.errors.iter().map(|error| error.line(&config.tree));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "block directives are not supported in -g option in command line".to_string(),
            format!("\"events\" directive is duplicate in {file}:1"),
            format!("\"daemon\" directive is duplicate in {file}:1"),
        ]
    );
}

#[test]
fn logs_are_opened_only_when_all_is_right() {
    let folder = Folder::new();
    let log = folder.0.join("error.log");
    let text = format!("error_log {} warn;\nevents {{}}", log.display());
    let folder = folder.write("nginx.conf", &text);
    let mut config = folder.read();
    assert!(!log.exists());
    config.cx.open_logs(&crate::log::Files::new("/prefix"));
    assert!(log.exists() && config.cx.errors.is_empty());
    let main = &config.cx.main_error_log;
    let log = main.log();
    assert!(log.enabled(crate::log::Level::Warn) && !log.enabled(crate::log::Level::Notice));

    let mut config = good("error_log /nowhere/x;\nevents {}");
    config.cx.open_logs(&crate::log::Files::new("/prefix"));
    assert_eq!(errors(&config), ["1: open() \"/nowhere/x\" failed (2: No such file or directory)"]);
}

#[test]
fn a_directive_is_known_or_unsupported_but_not_both() {
    let known = directives();
    for name in conf::unsupported_names() {
        assert!(known.iter().all(|shape| shape.name != name), "{name}");
    }
}

/// Whatever the text, the reader ends, and says what is wrong or nothing.
#[test]
fn mutated_configs_harm_nobody() {
    const TEXT: &[u8] = b"user root; # x\nevents { worker_connections 9; }\nhttp {\n\
        types { text/html html; a/b \"c\"; }\nerror_page 404 =200 /x?y;\n\
        server { listen 127.0.0.1:80-82 backlog=5; server_name a.b *.c .d;\n\
        location = /x { return 301 'http://x/'; }\nlocation ^~ /y/ { alias /z/;\n\
        location /y/z { } }\n\
        access_log off; root ${HOME}/\\\"; index a b \\t; keepalive_timeout 1m 30s; } }\n";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let folder = Folder::new();
    for _ in 0..1000 {
        let mut text = TEXT.to_vec();
        for _ in 0..1 + random(6) {
            if text.is_empty() {
                break;
            }
            let at = random(text.len());
            match random(4) {
                0 => text[at] = b";{}\"'\\$#\n \t\0\xff*-=:/"[random(18)],
                1 => _ = text.remove(at),
                2 => text.truncate(at + 1),
                _ => {
                    let piece = text[at..(at + random(40)).min(text.len())].to_vec();
                    let to = random(text.len());
                    text.splice(to..to, piece);
                }
            }
        }
        std::fs::write(folder.0.join("nginx.conf"), &text).unwrap();
        let config = folder.read();
        config.cx.errors.report(&config.tree);
        config.tree.dump();
    }
}

#[test]
fn deep_and_long_texts_harm_nobody() {
    assert!(!errors(&read(&"a {".repeat(100_000))).is_empty());
    let nested = |depth| {
        let open = "location /a {".repeat(depth);
        format!("server {{ {open} {} }}", "}".repeat(depth))
    };
    good(&nested(50));
    assert!(!errors(&read(&nested(1000))).is_empty());
    let words = format!("events {{}} http {{ index {}; }}", "x ".repeat(200_000));
    good(&words);
}

/// REFERENCE.md has a row for each directive of the tables, with its contexts, and no other.
#[test]
fn the_reference_is_complete() {
    let known = directives();
    let mut names: Vec<&str> = known.iter().map(|shape| shape.name).collect();
    // What only the embedded main config says.
    names.retain(|name| !name.starts_with("limpet:"));
    names.sort_unstable();
    names.dedup();
    let contexts = |name: &str| conf::contexts_of(&known, name.as_bytes()).map(Context::names);
    let expected: Vec<String> =
        names.iter().map(|name| format!("{name}: {}", contexts(name).unwrap())).collect();
    let (told, _) = include_str!("../../../REFERENCE.md").split_once("## What is refused").unwrap();
    let rows = told.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let untold: Vec<&str> =
        rows.clone().filter_map(|(name, rest)| rest.ends_with("| |").then_some(name)).collect();
    assert_eq!(untold, [""; 0], "a directive wants a few words");
    let mut rows: Vec<String> = rows
        .map(|(name, rest)| format!("{name}: {}", rest.split(" |").next().unwrap_or_default()))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, expected);
}

/// What the README says is there is in the tables, and what it says comes later is not.
#[test]
fn the_readme_tells_what_is_there() {
    let known: Vec<&str> = directives().iter().map(|shape| shape.name).collect();
    let absent: Vec<String> = conf::unsupported_names().collect();
    let row = |state: &str| {
        let mut lines = include_str!("../../../README.md").lines();
        let line = lines.find(|line| line.starts_with(state)).expect(state);
        line.split('`').skip(1).step_by(2).collect::<Vec<_>>()
    };
    for name in row("| there |") {
        assert!(known.contains(&name), "README has {name}");
    }
    for name in row("| later |") {
        let begin = name.trim_end_matches('*');
        let is_absent =
            |absent: &String| absent == name || begin != name && absent.starts_with(begin);
        assert!(absent.iter().any(is_absent) && !known.contains(&name), "README has {name}");
    }
}

#[test]
fn the_block_that_misses_its_brace_is_named() {
    let hint = |text: &str| {
        let config = read(text);
        let error = config.cx.errors.errors.first().expect("an error");
        let hint = error.hint.clone().unwrap_or_default();
        hint.replace(&config.tree.place(error.pos.unwrap()).to_string(), "")
    };
    let indented = "events { }\nhttp {\n  server {\n    location / {\n      root /;\n  }\n}\n";
    let told = hint(indented);
    assert!(told.starts_with("\"location {\" in ") && told.ends_with(":4 seems not to be closed"));
    let told = hint("events { }\nhttp { server {\n} ");
    assert!(told.starts_with("\"http {\" in ") && told.ends_with(":2 is not closed"), "{told}");
}

#[test]
fn one_directive_has_one_error() {
    for text in [
        "events {} http { server { location \"/a\"b {} } }",
        "events {} http { server { location / } }",
        "events {} http { include x.conf { } }",
        "events {} http { satisfy all; satisfy all; }",
        "thread_pool a threads=1; thread_pool b threads=1; thread_pool a threads=1; events {}",
    ] {
        assert_eq!(errors(&read(text)).len(), 1, "{text}: {:?}", errors(&read(text)));
    }
}

#[test]
fn only_a_config_of_ones_own_leaves_the_terminal() {
    let daemon = |text: &str| read(text).core.daemon;
    assert!(daemon("events {}"));
    assert!(!daemon("server { listen 8080; }"));
    let folder = Source::new(crate::conf::Main::Folder("/".into()), "/".into());
    assert!(!Config::read(&folder, Path::new("/")).core.daemon);
    let globals = b"daemon on; worker_processes 3;".to_vec();
    let asked = Config::read(&Source { globals, ..folder }, Path::new("/"));
    assert!(asked.cx.errors.is_empty() && asked.core.daemon);
    assert_eq!(asked.core.worker_processes, Workers::Count(3));
}

#[test]
fn resolvers_are_addresses_names_and_parameters() {
    for line in [
        "127.0.0.1",
        "127.0.0.11:5353 [::1] [fd00::1]:53 valid=10s ipv6=off",
        "kube-dns.kube-system.svc.cluster.local valid=1m ipv4=on",
    ] {
        good(&format!("events {{}} http {{ resolver {line}; resolver_timeout 5s; }}"));
    }
    for (line, text) in [
        ("valid=3s", "no name servers defined"),
        ("127.0.0.1 valid=x", "invalid parameter: valid=x"),
        ("127.0.0.1 ipv6=x", "invalid parameter: ipv6=x"),
        ("127.0.0.1 foo=3", "invalid parameter \"foo=3\""),
        ("127.0.0.1 ipv4=off ipv6=off", "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
        ("127.0.0.1:99999", "invalid port in resolver \"127.0.0.1:99999\""),
        ("a.example:0", "invalid port in resolver \"a.example:0\""),
        ("[::1", "invalid host in resolver \"[::1\""),
        ("unix:/x", "invalid host in resolver \"unix:/x\""),
        ("*", "host not found in resolver \"*\""),
        ("''", "no host in resolver \"\""),
        ("127.0.0.1 status_zone=x", "\"status_zone\" is not supported by limpet"),
    ] {
        bad(&format!("events {{}} http {{ resolver {line}; }}"), &[&format!("1: {text}")]);
    }
    bad(
        "events {} http { resolver 127.0.0.1; resolver 127.0.0.1; }",
        &["1: \"resolver\" directive is duplicate"],
    );
}
