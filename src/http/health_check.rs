//! `health_check` and `match`: peers are asked again and again whether they are well, with
//! requests of our own. One process asks for all (`run`), and writes what it finds into the
//! zone of the group; workers read it there when they choose a peer.

mod checker;
mod condition;
mod probe;
mod request;
#[cfg(test)]
mod tests;

pub use checker::{changed, run};
pub use condition::Match;

use super::conf::LocConf;
use super::content::Handler;
use super::upstreams::{Upstream, Upstreams};
use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Pos, Word, parse_number, parse_time, put, settings,
};
use crate::net::upstream::AtStart;
use crate::proto::response::Rules;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub matches: Vec<Rc<Match>> = Vec::new(),
    }
}

settings! {
    pub struct Loc, LocRaw {}
    own {
        pub wanted: Option<Rc<Wanted>> = None,
    }
}

/// A line `health_check`.
pub struct Wanted {
    pos: Pos,
    interval_ms: u64,
    jitter_ms: u64,
    /// So many in a row make a peer unhealthy, or healthy again.
    fails: u64,
    passes: u64,
    uri: Box<[u8]>,
    port: Option<u16>,
    /// The name of a `match` block, and where it is asked for.
    condition: Option<(Box<[u8]>, Pos)>,
    at_start: AtStart,
}

/// A line, and the location that it stands in.
pub struct Found {
    pub wanted: Rc<Wanted>,
    pub conf: LocConf,
    /// The name of the server around it.
    pub server: Box<[u8]>,
}

/// What a group is asked.
pub struct Check {
    wanted: Rc<Wanted>,
    pub upstream: Rc<Upstream>,
    condition: Option<Rc<Match>>,
    request: Box<[u8]>,
    rules: Rules,
    connect_timeout: u64,
    send_timeout: u64,
    read_timeout: u64,
}

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::block("match", Context::HTTP, Args::ONE, |raw, cx, node| {
        let blocks = raw.matches.get_or_insert_default();
        let word = node.arg(0);
        if blocks.iter().any(|block| *block.name == *word.bytes()) {
            return Err(Error::at(word, format!("duplicate match \"{word}\"")));
        }
        let block = condition::read(cx, node);
        blocks.push(Rc::new(block));
        Ok(())
    })];

pub static LOC: &[Directive<LocRaw>] =
    &[Directive::call("health_check", Context::LOCATION, Args::ANY, |raw, cx, node| {
        let wanted = wanted(cx, node);
        put(&mut raw.wanted, node, wanted.map(|wanted| Some(Rc::new(wanted))))
    })];

fn wanted(cx: &mut Cx, node: Node) -> Result<Wanted, Error> {
    let mut wanted = Wanted {
        pos: node.name().pos(),
        interval_ms: 5000,
        jitter_ms: 0,
        fails: 1,
        passes: 1,
        uri: b"/"[..].into(),
        port: None,
        condition: None,
        at_start: AtStart::Healthy,
    };
    for word in node.args() {
        parameter(cx, &mut wanted, word)?;
    }
    if let Some(word) = node.args().find(|word| word.bytes() == b"persistent") {
        if wanted.at_start != AtStart::Checking {
            return Err(Error::at(word, "\"persistent\" requires \"mandatory\" parameter"));
        }
        wanted.at_start = AtStart::Kept;
    }
    Ok(wanted)
}

fn parameter(cx: &mut Cx, wanted: &mut Wanted, word: Word) -> Result<(), Error> {
    let (name, value) = match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (word.until(at + 1), word.part(at + 1)),
        None => (word, word.part(word.len())),
    };
    let invalid = || Error::invalid_parameter(word);
    let number = || parse_number(&value).filter(|it| *it > 0).ok_or_else(invalid);
    let time = || parse_time(&value, true).ok_or_else(invalid);
    match name.bytes() {
        b"interval=" => match time()? {
            0 => return Err(invalid()),
            ms => wanted.interval_ms = ms,
        },
        b"jitter=" => wanted.jitter_ms = time()?,
        b"fails=" => wanted.fails = number()?,
        b"passes=" => wanted.passes = number()?,
        b"uri=" if request::is_uri(&value) => wanted.uri = value.bytes().into(),
        b"port=" => wanted.port = Some(u16::try_from(number()?).map_err(|_| invalid())?),
        b"match=" if !value.is_empty() => {
            wanted.condition = Some((value.bytes().into(), word.pos()));
        }
        b"mandatory" => wanted.at_start = AtStart::Checking,
        // Read once it is known whether it stands beside "mandatory".
        b"persistent" => {}
        b"keepalive_time=" => {
            time()?;
            cx.warn(word, "\"keepalive_time\" has no effect: each check has a new connection");
        }
        b"type=" => {
            return Err(Error::at(word, format!("\"{word}\" is not supported by limpet"))
                .hint("checks are HTTP requests: leave it out"));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}

/// Once all groups are known: the checks, with the groups told how they begin.
pub fn made(
    cx: &mut Cx,
    found: &[Found],
    matches: &[Rc<Match>],
    upstreams: &Upstreams,
) -> Vec<Rc<Check>> {
    let mut checks = Vec::new();
    for found in found {
        match check(found, matches, upstreams) {
            Ok(check) => {
                check.upstream.group.starts(found.wanted.at_start);
                checks.push(Rc::new(check));
            }
            Err(error) => cx.errors.push(error),
        }
    }
    checks
}

fn check(found: &Found, matches: &[Rc<Match>], upstreams: &Upstreams) -> Result<Check, Error> {
    let (wanted, conf) = (&found.wanted, &found.conf);
    let always = match &conf.content.handler {
        Some(Handler::Upstream(pass)) => pass.always(),
        _ => None,
    };
    let upstream = always.and_then(|(id, host)| Some((upstreams.get(id)?, host)));
    let Some((upstream, host)) = upstream else {
        let text = "\"health_check\" requires \"proxy_pass\" to an \"upstream\" block";
        return Err(Error::new(wanted.pos, text));
    };
    if !upstream.group.is_shared() {
        let name = crate::conf::Shown(&upstream.group.name);
        let text = format!("\"health_check\" requires shared memory zone in upstream \"{name}\"");
        return Err(Error::new(wanted.pos, text).hint("add \"zone NAME 64k;\" to it"));
    }
    let condition = match &wanted.condition {
        None => None,
        Some((name, pos)) => match matches.iter().find(|block| block.name == *name) {
            Some(block) => Some(Rc::clone(block)),
            None => {
                let text = format!("match \"{}\" is not defined", crate::conf::Shown(name));
                return Err(Error::new(*pos, text));
            }
        },
    };
    let exchange = &conf.proxy_exchange;
    Ok(Check {
        wanted: Rc::clone(wanted),
        upstream: Rc::clone(upstream),
        condition,
        request: request::made(&wanted.uri, &conf.proxy, host, &found.server),
        rules: Rules {
            no_status_line: conf.proxy.allow_no_status_line,
            ..exchange.rules(probe::HEAD)
        },
        connect_timeout: exchange.connect_timeout,
        send_timeout: exchange.send_timeout,
        read_timeout: exchange.read_timeout,
    })
}
