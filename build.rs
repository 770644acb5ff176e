//! Tells the compiler what only the build knows.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
