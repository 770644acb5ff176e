//! What the client already has, and how much of the rest it wants: nginx's header
//! filters `not_modified` and `range`.

use super::file_cache::File;
use super::gzip::{self, Choice};
use super::precompressed;
use super::request::Request;
use super::step::{Answer, Part, Step};
use crate::proto::conditional::{self, Validators, Verdict};
use crate::proto::range::{self, Ranges};
use crate::proto::request::Known;
use std::rc::Rc;

/// A file: conditions, then ranges.
pub fn of_file<'r>(request: &mut Request<'r>, file: Rc<File>) -> Step<'r> {
    let core = &request.location.conf.core;
    if request.status_of(200) != 200 {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    let validators =
        Validators { etag: core.etag.then_some(&*file.etag), last_modified: Some(file.stat.mtime) };
    let conditions = request.conditions();
    if !conditions.is_empty() {
        match conditional::evaluate(&conditions, &validators, core.if_modified_since) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Step::Answer(Answer::NotModified(Some(file))),
            Verdict::PreconditionFailed => return Step::Status(412),
        }
    }
    let ranges = precompressed::has_ranges(request) && !request.is_inner;
    let Some(wanted) = request.header(Known::Range).filter(|_| ranges) else {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    };
    // Which bytes a compressed answer has, nobody knows.
    if gzip::of_file(request, &file) == Choice::Compressed {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    if !conditional::range_applies(request.header(Known::IfRange), &validators) {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    let most = u32::try_from(core.max_ranges).unwrap_or(u32::MAX);
    let part = match range::parse(wanted, file.stat.size, most) {
        Ranges::Whole => Part::Whole,
        Ranges::Parts(parts) => Part::Ranges(parts),
        Ranges::Unsatisfiable => {
            request.unsatisfied = Some(file.stat.size);
            return Step::Status(416);
        }
    };
    Step::Answer(Answer::File { file, part })
}

/// A text has no validators, yet conditions are about it too, as in nginx.
pub fn of_text<'r>(request: &Request<'r>, status: u16, text: &'r [u8]) -> Step<'r> {
    without_validators(request, status, Answer::Text { status, text })
}

/// The same for whatever has none.
pub fn without_validators<'r>(request: &Request<'r>, status: u16, answer: Answer<'r>) -> Step<'r> {
    let conditions = request.conditions();
    if request.status_of(status) == 200 && !conditions.is_empty() {
        let rule = request.location.conf.core.if_modified_since;
        match conditional::evaluate(&conditions, &Validators::default(), rule) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Step::Answer(Answer::NotModified(None)),
            Verdict::PreconditionFailed => return Step::Status(412),
        }
    }
    Step::Answer(answer)
}
