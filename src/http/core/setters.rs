//! Values of the http core module that no plain kind of directive covers.

use super::{LocRaw, OpenFileCache};
use crate::conf::{self, Cx, Error, Node, parse_number, parse_off, parse_size, parse_time};

/// `NUMBER SIZE`, neither of them 0.
pub fn buffers(node: Node) -> Result<(u64, u64), Error> {
    let number = parse_number(&node.arg(0)).filter(|n| *n > 0);
    let size = parse_size(&node.arg(1)).filter(|n| *n > 0);
    number.zip(size).ok_or_else(|| Error::directive(node, "invalid value"))
}

/// `large_client_header_buffers`, which are no smaller than nginx's default pool.
pub fn large_buffers(node: Node) -> Result<(u64, u64), Error> {
    const LEAST: u64 = 512;
    match buffers(node)? {
        (_, size) if size < LEAST => {
            let text = "the \"large_client_header_buffers\" size must be equal to or greater than \
                        \"connection_pool_size\"";
            Err(Error::at(node.arg(1), text))
        }
        both => Ok(both),
    }
}

/// `keepalive_timeout TIMEOUT [HEADER];`
pub fn keepalive_timeout(raw: &mut LocRaw, _: &mut Cx, node: Node) -> Result<(), Error> {
    conf::put(&mut raw.keepalive_timeout, node, conf::time_msec(node, 0))?;
    if node.args_len() == 2 {
        let header = parse_time(&node.arg(1), false);
        raw.keepalive_header = Some(header.ok_or_else(|| Error::directive(node, "invalid value"))?);
    }
    Ok(())
}

/// `keepalive_disable none | BROWSER...;`: several add up.
pub fn keepalive_disable(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let disable = raw.keepalive_disable.get_or_insert_default();
    for word in node.args() {
        let flag = match word.bytes() {
            b"none" => continue,
            b"msie6" => &mut disable.msie6,
            b"safari" => &mut disable.safari,
            _ => return Err(Error::invalid_value(word)),
        };
        if std::mem::replace(flag, true) {
            cx.warn(word, format!("duplicate value \"{word}\""));
        }
    }
    Ok(())
}

/// `open_file_cache off | max=N [inactive=TIME];`
pub fn open_file_cache(node: Node) -> Result<Option<OpenFileCache>, Error> {
    let (mut max, mut inactive, mut off) = (None, 60, false);
    for word in node.args() {
        let value = word.iter().position(|byte| *byte == b'=').map(|at| word.part(at + 1));
        let valid = match (word.bytes(), value) {
            (b"off", _) => {
                off = true;
                Some(())
            }
            ([b'm', b'a', b'x', b'=', ..], Some(value)) => {
                max = parse_number(&value).filter(|max| *max > 0);
                max.map(drop)
            }
            (name, Some(value)) if name.starts_with(b"inactive=") => {
                parse_time(&value, false).map(|time| inactive = time)
            }
            _ => None,
        };
        if valid.is_none() {
            let text = format!("invalid \"open_file_cache\" parameter \"{word}\"");
            return Err(Error::at(word, text));
        }
    }
    match max {
        _ if off => Ok(None),
        Some(max) => Ok(Some(OpenFileCache { max, inactive })),
        None => Err(Error::at(node.name(), "\"open_file_cache\" must have the \"max\" parameter")),
    }
}

// Checks of directives that limpet has no use for.

pub fn is_flag(node: Node) -> Result<(), Error> {
    conf::flag(node, 0).map(drop)
}

pub fn is_number(node: Node) -> Result<(), Error> {
    conf::number(node, 0).map(drop)
}

pub fn is_size(node: Node) -> Result<(), Error> {
    conf::size(node, 0).map(drop)
}

pub fn is_off(node: Node) -> Result<(), Error> {
    conf::off(node, 0).map(drop)
}

pub fn is_buffers(node: Node) -> Result<(), Error> {
    buffers(node).map(drop)
}

pub fn pool_size(node: Node) -> Result<(), Error> {
    // Below that nginx's own pool header does not fit.
    const LEAST: u64 = 112;
    match conf::size(node, 0)? {
        size if size < LEAST => {
            Err(Error::at(node.arg(0), format!("the pool size must be no less than {LEAST}")))
        }
        size if size % 16 != 0 => {
            Err(Error::at(node.arg(0), "the pool size must be a multiple of 16"))
        }
        _ => Ok(()),
    }
}

pub fn directio(node: Node) -> Result<(), Error> {
    match node.arg(0).bytes() {
        b"off" => Ok(()),
        word => parse_off(word).map(drop).ok_or_else(|| Error::directive(node, "invalid value")),
    }
}

/// A path, and the levels of folders in it.
pub fn temp_path(node: Node) -> Result<(), Error> {
    let level = |word: &conf::Word| matches!(word.bytes(), b"1" | b"2" | b"3");
    match node.args().skip(1).find(|word| !level(word)) {
        Some(word) => Err(Error::invalid_value(word)),
        None => Ok(()),
    }
}

pub fn aio(node: Node) -> Result<(), Error> {
    match node.arg(0).bytes() {
        b"on" | b"off" | b"threads" => Ok(()),
        word if word.starts_with(b"threads=") => Ok(()),
        _ => Err(Error::directive(node, "invalid value")),
    }
}
