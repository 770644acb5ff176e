//! `resolver ADDRESS ... [valid=TIME] [ipv4=on|off] [ipv6=on|off];`
//!
//! As in nginx, but a server that is a name is looked up by the workers, when they need it.

use super::servers::Server;
use super::{Families, Resolver};
use crate::conf::{Error, Node, Word, parse_time};
use crate::sys::addr::{Addr, BadAddr};

const PORT: u16 = 53;

impl Resolver {
    /// What the directive says, wherever it stands.
    pub fn configured(node: Node) -> Result<Resolver, Error> {
        let mut servers = Vec::new();
        let mut wanted = Families { v4: true, v6: true };
        let mut valid_ms = None;
        for word in node.args() {
            let mut parts = word.splitn(2, |byte| *byte == b'=');
            match (parts.next().unwrap_or_default(), parts.next()) {
                (_, None) => servers.push(server(word)?),
                (b"valid", Some(time)) => {
                    let seconds = parse_time(time, false).ok_or_else(|| invalid(word))?;
                    valid_ms = Some(seconds.saturating_mul(1000)).filter(|ms| *ms > 0);
                }
                (b"ipv4", Some(value)) => wanted.v4 = on_or_off(word, value)?,
                (b"ipv6", Some(value)) => wanted.v6 = on_or_off(word, value)?,
                (b"status_zone", Some(_)) => {
                    let error = Error::at(word, "\"status_zone\" is not supported by limpet");
                    return Err(error.hint("it belongs to NGINX Plus's API: remove it"));
                }
                _ => return Err(Error::invalid_parameter(word)),
            }
        }
        if servers.is_empty() {
            return Err(Error::at(node.name(), "no name servers defined"));
        }
        if !wanted.v4 && !wanted.v6 {
            let text = "\"ipv4\" and \"ipv6\" cannot both be \"off\"";
            return Err(Error::at(node.name(), text));
        }
        Ok(Resolver::of_servers(servers, wanted, valid_ms))
    }
}

fn invalid(word: Word) -> Error {
    Error::at(word, format!("invalid parameter: {word}"))
}

fn on_or_off(word: Word, value: &[u8]) -> Result<bool, Error> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(invalid(word)),
    }
}

/// An address, or a name, with a port or without.
fn server(word: Word) -> Result<Server, Error> {
    let refused = |why: BadAddr| Error::at(word, format!("{why} in resolver \"{word}\""));
    let text = std::str::from_utf8(word.bytes()).map_err(|_| refused(BadAddr::Host))?;
    match Addr::parse(text, PORT) {
        Ok(Addr::Unix(_)) => Err(refused(BadAddr::Host)),
        Ok(addr) if addr.is_wildcard() => Err(refused(BadAddr::Name)),
        Ok(addr) => Ok(Server::at(addr)),
        Err(BadAddr::Name) => {
            let mut parts = text.splitn(2, ':');
            let name = parts.next().unwrap_or_default();
            let port = parts.next().map_or(Some(PORT), |port| port.parse().ok());
            match port {
                Some(port) => Ok(Server::named(name.as_bytes(), port)),
                None => Err(refused(BadAddr::Port)),
            }
        }
        Err(_) if text.is_empty() => Err(refused(BadAddr::NoHost)),
        Err(why) => Err(refused(why)),
    }
}
