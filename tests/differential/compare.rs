//! What may differ between two answers, and how the rest is told.
//!
//! The server's name and what its length does to sizes; Date, and Expires as far as it follows
//! from Date; of a body that is gzipped the bytes, and how their end is told, but not what they
//! stand for; and in bodies, fields and log lines what stands in `<<` `>>`, of which only the
//! shape is compared.
use super::answer::Answer;
use super::script::Request;
use super::{Outcome, Pair};
use crate::common::Response;
use crate::common::inflate::gunzip;
use std::fmt::Write;

/// All answers that differ, both told.
pub fn answers(pair: &Pair, theirs: &[Answer], ours: &[Answer]) -> Vec<String> {
    let mut found = Vec::new();
    for ((request, theirs), ours) in pair.requests.iter().zip(theirs).zip(ours) {
        let place = format!("{}.requests:{}: {:.120}", pair.name, request.line, request.text);
        if theirs.status() != request.status {
            found.push(format!("{place}: nginx answers {}", theirs.status()));
        }
        let (theirs, ours) = (normal(request, theirs), normal(request, ours));
        if theirs != ours {
            found.push(format!("{place}\n{}", difference(&theirs, &ours)));
        }
    }
    found
}

/// All logs that differ.
pub fn logs(pair: &Pair, theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let longer = name_of(&ours.answers).len() as i64 - name_of(&theirs.answers).len() as i64;
    let mut found = Vec::new();
    let mut names: Vec<_> = theirs.logs.keys().chain(ours.logs.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let [theirs, ours] = [theirs, ours].map(|outcome| outcome.logs.get(name));
        let (Some(theirs), Some(ours)) = (theirs, ours) else {
            let who = if ours.is_none() { "limpet" } else { "nginx" };
            found.push(format!("{}.conf: {who} has written no log {name}", pair.name));
            continue;
        };
        let [theirs, ours] = [theirs, ours].map(|log| shaped(&timeless(log)));
        let sizes = if pair.answers.is_some() { Sizes::OfLengths } else { Sizes::All };
        let difference = unmatched(&theirs, &ours, longer, sizes);
        if !difference.is_empty() {
            found.push(format!("{}: lines of log {name}\n{difference}", pair.name));
        }
    }
    found
}

/// Which sizes of answers in a log are compared: what a proxy sends in chunks has them where the
/// bytes of the upstream had come to.
#[derive(Clone, Copy, PartialEq)]
enum Sizes {
    All,
    OfLengths,
}

/// What upstreams were sent that the other server did not send. Their order is not compared: a
/// mirror is asked when there is time.
pub fn received(pair: &Pair, theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for (name, theirs) in &theirs.received {
        let mut left: Vec<_> = ours.received.get(name).cloned().unwrap_or_default();
        let mut missing = Vec::new();
        for request in theirs {
            match left.iter().position(|own| shaped(own) == shaped(request)) {
                Some(at) => drop(left.remove(at)),
                None => missing.push(request.clone()),
            }
        }
        let nothing = "(nothing)".to_string();
        for at in 0..missing.len().max(left.len()) {
            let [theirs, ours] = [&missing, &left].map(|all| all.get(at).unwrap_or(&nothing));
            let place = format!("{}: upstream {name}", pair.name);
            found.push(format!("{place}\n{}", difference(theirs, ours)));
        }
    }
    found
}

/// The lines of one log that the other does not have. Their order is nobody's promise: a line is
/// written when a connection has been closed for good.
fn unmatched(theirs: &str, ours: &str, longer: i64, compared: Sizes) -> String {
    let mut told = String::new();
    let mut left: Vec<_> = ours.lines().collect();
    for line in theirs.lines() {
        match left.iter().position(|own| is_same_line(line, own, longer, compared)) {
            Some(at) => drop(left.remove(at)),
            None => told = told + "  nginx  ! " + &shortened(line) + "\n",
        }
    }
    told + &left.iter().map(|line| format!("  limpet ! {}\n", shortened(line))).collect::<String>()
}

/// `[22/Nov/2026:01:32:44 +0000]`, as in the format `combined`, without its numbers.
fn timeless(log: &str) -> String {
    let mut parts = log.split(" [");
    let mut timeless = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (time, rest) = part.split_at_checked(26).unwrap_or(("", part));
        let is_time = rest.starts_with("] ") && shape(time).ends_with(":9:9:9 +9");
        timeless = timeless + " [" + if is_time { "TIME" } else { time } + rest;
    }
    timeless
}

/// Sizes (`sent=BODY/ALL`) may differ by the length of the server's name: in the head, and in a
/// page that is built in.
fn is_same_line(theirs: &str, ours: &str, longer: i64, compared: Sizes) -> bool {
    let sizes = |word: &str| -> Option<[i64; 2]> {
        let (body, all) = word.strip_prefix("sent=")?.split_once('/')?;
        Some([body.parse().ok()?, all.parse().ok()?])
    };
    let unsized_line = theirs.contains(" length=- ");
    let mut words = theirs.split(' ').zip(ours.split(' '));
    theirs.split(' ').count() == ours.split(' ').count()
        && words.all(|(theirs, ours)| match (sizes(theirs), sizes(ours)) {
            (Some(_), Some(_)) if compared == Sizes::OfLengths && unsized_line => true,
            (Some([body, all]), Some([our_body, our_all])) => {
                let more = (our_body - body, our_all - all);
                more == (0, longer) || more == (longer, 2 * longer)
            }
            _ => theirs == ours,
        })
}

/// How the server calls itself.
fn name_of(answers: &[Answer]) -> &str {
    let all = answers.iter().flat_map(|answer| &answer.responses);
    all.map(|response| response.header("server")).find(|name| !name.is_empty()).unwrap_or("")
}

/// Both texts, line by line; a line of one server alone is marked.
fn difference(theirs: &str, ours: &str) -> String {
    let told = |name: &str, own: &str, other: &str| -> String {
        let other: Vec<_> = other.lines().collect();
        let mark = |line| if other.contains(&line) { ' ' } else { '!' };
        own.lines().map(|line| format!("  {name} {} {}\n", mark(line), shortened(line))).collect()
    };
    told("nginx ", theirs, ours) + &told("limpet", ours, theirs)
}

/// Both ends of a line that is long.
fn shortened(line: &str) -> String {
    let all: Vec<_> = line.chars().collect();
    match all.len() {
        ..=500 => line.to_string(),
        _ => all[..250].iter().chain(&['…']).chain(&all[all.len() - 250..]).collect(),
    }
}

/// All that one server has said, for the eye.
pub fn told(requests: &[Request], outcome: &Outcome) -> String {
    let mut text = String::new();
    for (request, answer) in requests.iter().zip(&outcome.answers) {
        let _ = writeln!(
            text,
            "--- {}: {:.200}\n{:.2000}",
            request.line,
            request.text,
            normal(request, answer)
        );
    }
    for (name, log) in &outcome.logs {
        let _ = writeln!(text, "--- log {name}\n{log}");
    }
    for (name, received) in &outcome.received {
        for request in received {
            let _ = writeln!(text, "--- to {name}\n{request:.2000}");
        }
    }
    text
}

fn normal(request: &Request, answer: &Answer) -> String {
    let responses = answer.responses.iter();
    let mut text: String = responses.map(|response| normal_response(request, response)).collect();
    text.push_str(&answer.end);
    if request.section.shape { shape(&text) } else { shaped(&text) }
}

/// A response as text, without what has to differ.
fn normal_response(request: &Request, response: &Response) -> String {
    let name = response.header("server");
    let mut body = body_of(response);
    let built_in = body.contains(&format!("<center>{name}</center>"))
        || (request.is_head() && response.status >= 300);
    body = body.replace(&format!("<center>{name}</center>"), "<center>SERVER</center>");
    let value = |key: &str, value: &str| match &*key.to_lowercase() {
        "server" => "SERVER".to_string(),
        "date" => seconds(value).map_or("NO DATE", |_| "DATE").to_string(),
        "expires" => expires(response, value),
        "content-length" if built_in => value
            .parse::<i64>()
            .map_or(value.into(), |length| (length - name.len() as i64).to_string()),
        _ => value.to_string(),
    };
    let gzipped = response.header("content-encoding") == "gzip";
    let frames = |key: &str| matches!(&*key.to_lowercase(), "content-length" | "transfer-encoding");
    let fields = |fields: &[(String, String)]| -> String {
        let fields = fields.iter().filter(|(key, _)| !(gzipped && frames(key)));
        fields.map(|(key, text)| format!("{key}: {}\n", value(key, text))).collect()
    };
    let (status, reason) = (response.status, &response.reason);
    let (head, trailers) = (fields(&response.headers), fields(&response.trailers));
    let text = format!("{status} {reason}\n{head}\n{body}\n{trailers}");
    match response.header("content-type").split_once("boundary=") {
        Some((_, boundary)) => text.replace(boundary, "BOUNDARY"),
        None => text,
    }
}

/// The body as text, unpacked.
fn body_of(response: &Response) -> String {
    if response.header("content-encoding") != "gzip" || response.body.is_empty() {
        return response.text();
    }
    match gunzip(&response.body) {
        Some(body) => String::from_utf8_lossy(&body).into_owned(),
        None => "(this is no gzip)".into(),
    }
}

/// Relative where it is near, or what `Cache-Control: max-age` says.
fn expires(response: &Response, value: &str) -> String {
    let [date, expires] = [response.header("date"), value].map(seconds);
    let (Some(date), Some(expires)) = (date, expires) else { return value.to_string() };
    let age = response.header("cache-control").strip_prefix("max-age=");
    match (age.and_then(|age| age.parse::<i64>().ok()), expires - date) {
        (Some(age), later) if age == later => "Date + max-age".into(),
        (None, later) if later.abs() < 100_000 => format!("Date + {later}"),
        _ => value.to_string(),
    }
}

/// Seconds from an arbitrary day to `Tue, 14 Nov 2023 22:13:20 GMT`.
fn seconds(date: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = date.strip_suffix(" GMT")?.split_once(", ")?;
    let mut words = date.split([' ', ':']);
    let mut number = || words.next()?.parse::<i64>().ok();
    let day = number()?;
    let month = MONTHS.find(date.get(3..6)?)? as i64 / 3;
    let mut words = date.split([' ', ':']).skip(2);
    let mut number = || words.next()?.parse::<i64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    // Years that begin in March end with the day that may be missing.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The text with what stands in `<<` `>>` reduced to its shape.
fn shaped(text: &str) -> String {
    let mut shaped = String::new();
    let mut rest = text;
    while let Some((before, (inside, after))) =
        rest.split_once("<<").and_then(|(before, rest)| Some((before, rest.split_once(">>")?)))
    {
        shaped = shaped + before + "<<" + &shape(inside) + ">>";
        rest = after;
    }
    shaped + rest
}

/// Numbers as `9`, long hexadecimal ones with their length.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex = rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let length = if hex >= 16 {
            let _ = write!(shape, "hex{hex}");
            hex
        } else if digits > 0 {
            shape.push('9');
            digits
        } else {
            shape.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    shape
}
