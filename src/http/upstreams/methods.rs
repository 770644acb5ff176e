//! The directives that say how a peer is chosen: `hash`, `ip_hash`, `least_conn`,
//! `least_time`, `random`.

use super::block::Block;
use crate::conf::{Cx, Error, Node, Word};
use crate::net::upstream::{Load, Method, Until};

/// Whether servers may be `backup` or start slowly.
pub fn has_backups(method: Method) -> bool {
    matches!(method, Method::RoundRobin | Method::Least(_))
}

/// The last one counts.
fn put(block: &mut Block, cx: &mut Cx, node: Node, method: Method) {
    if block.method.replace(method).is_some() {
        cx.warn(node.name(), "load balancing method redefined");
    }
}

/// `hash KEY [consistent];`
pub fn hash(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let consistent = node.args_len() == 2;
    if consistent && node.arg(1).bytes() != b"consistent" {
        return Err(Error::invalid_parameter(node.arg(1)));
    }
    block.key = Some(cx.template(node.arg(0))?);
    put(block, cx, node, Method::Hash { consistent });
    Ok(())
}

/// `ip_hash;`
pub fn ip_hash(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    put(block, cx, node, Method::IpHash);
    Ok(())
}

/// `least_conn;`
pub fn least_conn(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    put(block, cx, node, Method::Least(Load::Connections));
    Ok(())
}

/// `least_time header|last_byte [inflight];`
pub fn least_time(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let inflight = node.args_len() == 2;
    if inflight && node.arg(1).bytes() != b"inflight" {
        return Err(Error::invalid_parameter(node.arg(1)));
    }
    let until = until(node.arg(0), node.arg(0))?;
    put(block, cx, node, Method::Least(Load::Time { until, inflight }));
    Ok(())
}

fn until(word: Word, value: Word) -> Result<Until, Error> {
    match value.bytes() {
        b"header" => Ok(Until::Header),
        b"last_byte" => Ok(Until::LastByte),
        _ => Err(Error::invalid_parameter(word)),
    }
}

/// `random [two [least_conn|least_time=header|least_time=last_byte]];`
pub fn random(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    if node.args_len() > 0 && node.arg(0).bytes() != b"two" {
        return Err(Error::invalid_parameter(node.arg(0)));
    }
    let word = node.arg(1);
    let two = match (node.args_len(), word.bytes()) {
        (0, _) => None,
        (1, _) | (_, b"least_conn") => Some(Load::Connections),
        (_, bytes) if bytes.starts_with(b"least_time=") => {
            let value = word.part(b"least_time=".len());
            Some(Load::Time { until: until(word, value)?, inflight: false })
        }
        _ => return Err(Error::invalid_parameter(word)),
    };
    put(block, cx, node, Method::Random { two });
    Ok(())
}
