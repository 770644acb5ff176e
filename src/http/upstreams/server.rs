//! `server ADDRESS [PARAMETERS];`

use super::block::Block;
use super::methods;
use crate::conf::{Cx, Error, Node, Word, parse_number, parse_time};
use crate::net::upstream::{Place, Server, Target};
use crate::sys::addr::BadAddr;

pub fn server(block: &mut Block, _: &mut Cx, node: Node) -> Result<(), Error> {
    let mut server = Server::new(
        node.arg(0).bytes(),
        Target::Name { host: Box::default(), port: 0, service: None },
    );
    let mut service = None;
    let limited = block.method.is_some_and(|method| !methods::has_backups(method));
    for word in node.args().skip(1) {
        parameter(&mut server, &mut service, word)?;
        if limited && (word.bytes() == b"backup" || word.starts_with(b"slow_start=")) {
            let text = format!("balancing method does not support parameter \"{word}\"");
            return Err(Error::at(word, text));
        }
    }
    server.target = target(node, service)?;
    block.servers.push(server);
    Ok(())
}

fn parameter<'t>(
    server: &mut Server,
    service: &mut Option<Word<'t>>,
    word: Word<'t>,
) -> Result<(), Error> {
    let (name, value) = match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (word.until(at + 1), word.part(at + 1)),
        None => (word, word.part(word.len())),
    };
    let invalid = || Error::invalid_parameter(word);
    let number = || parse_number(&value).and_then(|it| u32::try_from(it).ok()).ok_or_else(invalid);
    match name.bytes() {
        // So that sums of weights, and what is multiplied by them, stay numbers.
        b"weight=" => match number()? {
            weight @ 1..=1_000_000 => server.weight = weight,
            _ => return Err(invalid()),
        },
        b"max_conns=" => server.max_conns = number()?,
        b"max_fails=" => server.max_fails = number()?,
        b"fail_timeout=" => {
            server.fail_timeout_s = parse_time(&value, false).ok_or_else(invalid)?;
        }
        b"slow_start=" => server.slow_start_ms = parse_time(&value, true).ok_or_else(invalid)?,
        b"route=" if !value.is_empty() => server.route = value.bytes().into(),
        b"service=" if !value.is_empty() => *service = Some(value),
        b"backup" => server.backup = true,
        b"down" => server.down = true,
        b"drain" => server.drain = true,
        b"resolve" => server.resolve = true,
        _ => return Err(invalid()),
    }
    Ok(())
}

fn target(node: Node, service: Option<Word>) -> Result<Target, Error> {
    let word = node.arg(0);
    let bad = |bad: BadAddr| Error::at(word, format!("{bad} in upstream \"{word}\""));
    let place = Place::parse(word.bytes()).map_err(bad)?;
    if service.is_some() {
        let refused = |text| Err(Error::at(word, format!("service upstream \"{word}\" {text}")));
        if node.args().all(|word| word.bytes() != b"resolve") {
            return refused("requires \"resolve\" parameter");
        }
        if place.port.is_some() {
            return refused("may not have port");
        }
    }
    match place.address(80) {
        Ok(addr) => Ok(Target::Address(addr)),
        Err(BadAddr::Name) => Ok(Target::Name {
            host: place.host.into(),
            port: place.port.unwrap_or(80),
            service: service.map(|service| service.bytes().into()),
        }),
        Err(other) => Err(bad(other)),
    }
}
