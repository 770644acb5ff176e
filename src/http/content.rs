//! What answers in a location instead of files, and the plainest of it: `stub_status`,
//! `empty_gif`, and `health`.

use super::request::Request;
use super::step::{Answer, Step};
use super::variables::{BuiltIn, built_in, connection};
use super::{filters, health};
use crate::conf::{Args, Context, Directive, Error, choice, put, settings};
use crate::http::upstream::Pass;
use crate::http::{fastcgi, proxy};
use crate::proto::conditional::{self, Validators, Verdict};
use crate::proto::request::Method;
use crate::shm;
use crate::shm::scoreboard::Totals;
use crate::vars::{Subject, Value};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {}
    own {
        /// Locations inside have none of it, `if` in them has.
        pub handler: Option<Handler> = None,
    }
}

pub type Own = for<'r> fn(&mut Request<'r>) -> Step<'r>;

/// What makes the content of a location.
#[derive(Clone)]
pub enum Handler {
    Own(Own),
    /// Another server.
    Upstream(Rc<Pass>),
}

impl Loc {
    /// Whether it may stand in a block of this kind.
    pub fn check(&self, place: &str) -> Result<(), Error> {
        match &self.handler {
            Some(Handler::Upstream(pass)) => pass.check(place),
            _ => Ok(()),
        }
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call(
        "stub_status",
        Context::SERVER.or(Context::LOCATION),
        Args::NONE_ONE,
        |raw, _, _| {
            raw.handler = Some(Some(Handler::Own(stub_status)));
            Ok(())
        },
    ),
    Directive::call("health", Context::SERVER.or(Context::LOCATION), Args::ONE, |raw, _, node| {
        let kinds: [(&str, Own); 2] = [("live", health::live), ("ready", health::ready)];
        let handler = choice(node, 0, &kinds).map(|handler| Some(Handler::Own(handler)));
        put(&mut raw.handler, node, handler)
    }),
    Directive::call("empty_gif", Context::LOCATION, Args::NONE, |raw, _, _| {
        raw.handler = Some(Some(Handler::Own(empty_gif)));
        Ok(())
    }),
    Directive::call(
        "proxy_pass",
        Context::LOCATION.or(Context::LIF).or(Context::LMT),
        Args::ONE,
        proxy::pass,
    ),
    Directive::call("fastcgi_pass", Context::LOCATION.or(Context::LIF), Args::ONE, fastcgi::pass),
];

/// What all processes have counted, this one up to now.
fn totals(request: &Request<'_>) -> Totals {
    request.worker.report();
    shm::board().totals()
}

fn stub_status<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Step::Status(405);
    }
    let totals = totals(request);
    let numbers = |out: &mut crate::text::writer::Writer<'_>, parts: &[(&str, u64)]| {
        for (text, number) in parts {
            out.put(text.as_bytes());
            out.put_u64(*number);
        }
        out.put(b" \n");
    };
    let Totals { accepted, handled, requests, active, reading, writing, waiting } = totals;
    let text = request.made(256, |out| {
        numbers(out, &[("Active connections: ", active)]);
        out.put(b"server accepts handled requests\n");
        numbers(out, &[(" ", accepted), (" ", handled), (" ", requests)]);
        numbers(out, &[("Reading: ", reading), (" Writing: ", writing), (" Waiting: ", waiting)]);
    });
    match text {
        Some(text) => {
            let answer = Answer::Own { content_type: b"text/plain", text };
            filters::without_validators(request, 200, answer)
        }
        None => Step::Status(500),
    }
}

pub static VARIABLES: &[BuiltIn] = &[
    built_in("connections_active", |request| count(request, |totals| totals.active)),
    built_in("connections_reading", |request| count(request, |totals| totals.reading)),
    built_in("connections_writing", |request| count(request, |totals| totals.writing)),
    built_in("connections_waiting", |request| count(request, |totals| totals.waiting)),
];

fn count<'r>(request: &Request<'r>, which: fn(Totals) -> u64) -> Value<'r> {
    connection::number(request, which(totals(request)))
}

/// One pixel, transparent: GIF89a with two colours, of which the first does not show.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\x01\0\0\0\0\xff\xff\xff\
    !\xf9\x04\x01\0\0\x01\0,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";

/// nginx's date of it: 28 September 1970.
const GIF_MODIFIED: i64 = 23_349_600;

fn empty_gif<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Step::Status(405);
    }
    let (conditions, usual) = (request.conditions(), request.status_of(200) == 200);
    let validators = Validators { etag: None, last_modified: Some(GIF_MODIFIED) };
    let rule = request.location.conf.core.if_modified_since;
    let verdict = match usual && !conditions.is_empty() {
        true => conditional::evaluate(&conditions, &validators, rule),
        false => Verdict::Proceed,
    };
    if verdict == Verdict::PreconditionFailed {
        return Step::Status(412);
    }
    request.response.last_modified = usual.then_some(GIF_MODIFIED);
    match verdict {
        Verdict::NotModified => Step::Answer(Answer::NotModified(None)),
        _ => Step::Answer(Answer::Own { content_type: b"image/gif", text: GIF }),
    }
}
