//! `proxy_force_ranges`: parts of answers of upstreams that know no ranges.

use super::Upstream;
use crate::http::request::Request;
use crate::log::Level;
use crate::proto::conditional::{self, Validators};
use crate::proto::range::{self, Part, Ranges};
use crate::proto::request::Known;
use crate::text::date;
use crate::vars::Subject;

/// The part of a body that leaves.
#[derive(Clone, Copy)]
pub struct Window {
    part: Part,
    /// Bytes that have come.
    at: u64,
}

impl Window {
    /// All of it.
    pub const WHOLE: Window = Window { part: Part { start: 0, end: u64::MAX }, at: 0 };

    pub fn is_whole(&self) -> bool {
        self.part.end == u64::MAX
    }

    /// What of the next bytes leaves.
    pub fn cut<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (from, to) = (self.at, self.at + bytes.len() as u64);
        self.at = to;
        let start = self.part.start.clamp(from, to) - from;
        let end = self.part.end.clamp(from, to) - from;
        bytes.get(start as usize..end.max(start) as usize).unwrap_or_default()
    }
}

/// Looks at the ranges that the client wants, once the head has been taken. The error is a
/// status.
pub fn filter<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Result<(), u16> {
    let (Some(whole), 200, false) =
        (request.response.length, request.response.status, request.is_inner)
    else {
        return Ok(());
    };
    if !upstream.conf.force_ranges || request.err_status != 0 {
        return Ok(());
    }
    request.response.accept_ranges = true;
    let Some(wanted) = request.header(Known::Range) else { return Ok(()) };
    let lines = request.response.early;
    let validators = Validators {
        etag: lines.find(b"etag"),
        last_modified: lines.find(b"last-modified").and_then(date::parse_http),
    };
    if !conditional::range_applies(request.header(Known::IfRange), &validators) {
        return Ok(());
    }
    let part = match range::parse(wanted, whole, 1) {
        Ranges::Whole => return Ok(()),
        Ranges::Unsatisfiable => {
            // Now it is another answer: what was said of the one that came is not said.
            let response = &mut request.response;
            (response.status_line, response.accept_ranges) = (b"", false);
            lines.remove(b"etag");
            lines.remove(b"last-modified");
            request.unsatisfied = Some(whole);
            return Err(416);
        }
        Ranges::Parts(mut parts) => match parts.next() {
            Some(part) if parts.count == 1 => part,
            _ => return Ok(()),
        },
    };
    let Some(told) = request.scratch().place((part, whole)) else {
        request.log(Level::Alert, None, format_args!("no room for a range"));
        return Err(500);
    };
    request.response.status = 206;
    request.response.status_line = b"";
    request.response.accept_ranges = false;
    request.response.content_range = Some(told);
    request.response.length = Some(part.len());
    upstream.window = Window { part, at: 0 };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_cut_however_the_bytes_come() {
        let text: Vec<u8> = (0..100).collect();
        for (start, end) in [(0, 100), (0, 1), (10, 20), (99, 100), (50, 50), (0, u64::MAX)] {
            let wanted = &text[start as usize..end.min(100) as usize];
            for size in [1, 3, 7, 50, 100] {
                let mut window = Window { part: Part { start, end }, at: 0 };
                let cut: Vec<u8> =
                    text.chunks(size).flat_map(|piece| window.cut(piece).to_vec()).collect();
                assert_eq!(cut, wanted, "{start}..{end} in {size}");
            }
        }
    }
}
