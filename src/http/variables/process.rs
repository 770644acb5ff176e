//! This process, this host, this server as a whole; and the time.

use super::{BuiltIn, built_in, written};
use crate::http::request::Request;
use crate::random;
use crate::sys::process;
use crate::text::date;
use crate::text::number::{self, DECIMAL, HEX};
use crate::time;
use crate::vars::{Subject, Value};

/// 16 bytes in hexadecimal.
const ID: usize = 2 * HEX;

pub static TABLE: &[BuiltIn] = &[
    built_in("hostname", |request| Some(&request.http.variables.hostname)),
    // limpet's own: there is no nginx here.
    built_in("nginx_version", |_| Some(env!("CARGO_PKG_VERSION").as_bytes())),
    written("pid", DECIMAL, |_, out| out.put_u64(process::getpid().unsigned_abs().into())),
    written("msec", DECIMAL + 4, |_, out| out.put_seconds(time::unix_ms())),
    written("time_local", date::LOG, |_, out| out.put(&time::log_local())),
    written("time_iso8601", date::ISO, |_, out| out.put(&time::iso8601())),
    built_in("request_id", request_id),
];

/// Made when it is asked for, and the same from then on.
fn request_id<'r>(request: &Request<'r>) -> Value<'r> {
    if let Some(id) = request.id.get() {
        return Some(id);
    }
    let id = request.made(ID, |out| {
        for half in [random::number(), random::number()] {
            let mut room = [0; HEX];
            let digits = number::format_hex(half, &mut room);
            out.fill(b'0', HEX - digits.len());
            out.put(digits);
        }
    });
    request.id.set(id);
    id
}
