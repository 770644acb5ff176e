//! Tells the compiler what only the build knows, for `-V`, and the linker what lies where.

use std::process::Command;

/// What packs texts here is what unpacks them in the binary.
#[allow(dead_code, reason = "the binary uses what a build does not")]
#[path = "src/proto/deflate/mod.rs"]
mod deflate;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    set("LIMPET_TARGET", &env("TARGET"));
    set("LIMPET_RUSTC", &first_line(&env("RUSTC"), &["--version"]));
    set("LIMPET_COMMIT", &commit());
    tell_directives();
    lay_out();
}

/// What `limpet -h directives` tells: the titles of REFERENCE.md and the rows of its tables.
fn tell_directives() {
    let reference = format!("{}/REFERENCE.md", env("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed={reference}");
    let text = std::fs::read_to_string(reference).expect("REFERENCE.md is there");
    let (told, _) = text.split_once("## What is refused").unwrap_or((&text, ""));
    let is_told = |line: &&str| line.starts_with("## ") || line.starts_with("| `");
    let told: Vec<&str> = told.lines().filter(is_told).collect();
    let place = format!("{}/directives.md.gz", env("OUT_DIR"));
    std::fs::write(place, packed(told.join("\n").as_bytes()))
        .expect("the build's folder can be written to");
}

fn packed(text: &[u8]) -> Vec<u8> {
    println!("cargo:rerun-if-changed={}/src/proto/deflate", env("CARGO_MANIFEST_DIR"));
    let mut room = vec![0; 2 * text.len()];
    let mut coder = deflate::Coder::new();
    coder.reset(9, Some(text.len() as u64));
    let step = coder.step(text, &mut room, deflate::Flush::Finish);
    assert_eq!(step.state, deflate::State::Done, "there is room for it as it is");
    room.truncate(step.written);
    room
}

/// Where the linker puts what (layout.ld says why). The kernel maps 64 KiB at a time, at
/// multiples of it: with segments aligned so, what shares them is the same in each process.
fn lay_out() {
    let layout = format!("{}/src/layout.ld", env("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed={layout}");
    let mut args = vec![format!("-T{layout}"), "-z".into(), "max-page-size=65536".into()];
    // Relocations of pointers take a bit each, not 24 bytes.
    args.push("--pack-dyn-relocs=relr".into());
    if env("PROFILE") == "release" {
        // Functions that are the same, whatever they are called, are there once; and nobody
        // reads how to unwind (sys/unwind.rs).
        let bare = format!("{}/src/release.ld", env("CARGO_MANIFEST_DIR"));
        println!("cargo:rerun-if-changed={bare}");
        args.extend(["--icf=all".into(), "--no-eh-frame-hdr".into(), format!("-T{bare}")]);
    }
    for arg in args {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}

/// Of a release, since each new one means to build again.
fn commit() -> String {
    if env("PROFILE") != "release" {
        return "(development)".into();
    }
    let log = first_line("git", &["rev-parse", "--git-path", "logs/HEAD"]);
    if std::path::Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    first_line("git", &["rev-parse", "--short=12", "HEAD"])
}

fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let stdout = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = String::from_utf8(stdout.unwrap_or_default()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").into()
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}
