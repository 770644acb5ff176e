//! `proxy_cache_path`: where a cache is. There is no cache yet: the directive starts
//! the processes that will manage it, which is what they can be tested by.

use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Word, parse_number, parse_off, parse_size,
    parse_time, settings,
};
use crate::text::escape::Shown;
use std::path::PathBuf;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub paths: Rc<Vec<CachePath>> = Rc::default(),
    }
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePath {
    pub path: PathBuf,
    /// How many hex digits the folders of each level are named by.
    pub levels: Vec<usize>,
    pub zone: Box<[u8]>,
    pub zone_size: u64,
    /// Seconds after which what nobody asked for goes.
    pub inactive: u64,
    pub max_size: Option<u64>,
    pub min_free: u64,
}

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::call("proxy_cache_path", Context::HTTP, Args::TWO_MORE, proxy_cache_path)];

fn proxy_cache_path(raw: &mut MainRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let mut cache = CachePath {
        path: cx.path(&node.arg(0)),
        levels: Vec::new(),
        zone: Box::default(),
        zone_size: 0,
        inactive: 600,
        max_size: None,
        min_free: 0,
    };
    for word in node.args().skip(1) {
        parameter(&mut cache, word)?;
    }
    if cache.zone.is_empty() {
        let text = "\"proxy_cache_path\" must have \"keys_zone\" parameter";
        return Err(Error::at(node.name(), text));
    }
    let paths = Rc::make_mut(raw.paths.get_or_insert_default());
    if paths.iter().any(|other| other.path == cache.path) {
        let text = format!("the same path name \"{}\" used twice", node.arg(0));
        return Err(Error::at(node.arg(0), text));
    }
    if paths.iter().any(|other| other.zone == cache.zone) {
        let text = format!("duplicate zone \"{}\"", Shown(&cache.zone));
        return Err(Error::at(node.name(), text));
    }
    paths.push(cache);
    Ok(())
}

fn parameter(cache: &mut CachePath, word: Word) -> Result<(), Error> {
    let equals = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    let (name, value) = (word.until(equals), word.part(equals + 1));
    let invalid = || Error::at(word, format!("invalid {name} value \"{word}\""));
    match name.bytes() {
        b"levels" => {
            let levels = levels(&value);
            let invalid = || Error::at(word, format!("invalid \"levels\" \"{word}\""));
            cache.levels = levels.ok_or_else(invalid)?;
        }
        b"keys_zone" => (cache.zone, cache.zone_size) = keys_zone(word, &value)?,
        b"inactive" => cache.inactive = parse_time(&value, false).ok_or_else(invalid)?,
        b"max_size" => cache.max_size = Some(parse_off(&value).ok_or_else(invalid)?),
        b"min_free" => cache.min_free = parse_off(&value).ok_or_else(invalid)?,
        b"loader_files" | b"manager_files" => _ = parse_number(&value).ok_or_else(invalid)?,
        b"loader_sleep" | b"loader_threshold" | b"manager_sleep" | b"manager_threshold" => {
            parse_time(&value, true).ok_or_else(invalid)?;
        }
        b"use_temp_path" if matches!(value.bytes(), b"on" | b"off") => (),
        b"use_temp_path" => {
            let text = "it must be \"on\" or \"off\"";
            return Err(Error::at(word, format!("{}, {text}", invalid().text)));
        }
        _ => return Err(Error::invalid_parameter(word)),
    }
    Ok(())
}

/// `1:2:2`: up to three levels, each of one or two digits.
fn levels(value: &[u8]) -> Option<Vec<usize>> {
    let digits = value.split(|byte| *byte == b':').map(|digit| match digit {
        b"1" => Some(1),
        b"2" => Some(2),
        _ => None,
    });
    match value {
        b"" => Some(Vec::new()),
        _ => digits.collect::<Option<Vec<_>>>().filter(|levels| levels.len() <= 3),
    }
}

/// `NAME:SIZE`
fn keys_zone(word: Word, value: &[u8]) -> Result<(Box<[u8]>, u64), Error> {
    // nginx: eight pages.
    const LEAST: u64 = 8 * 4096;
    let colon = value.iter().position(|byte| *byte == b':');
    let parts = colon.map(|at| (&value[..at], parse_size(&value[at + 1..])));
    match parts {
        Some((name, Some(size))) if size >= LEAST => Ok((name.into(), size)),
        Some((_, Some(_))) => Err(Error::at(word, format!("keys zone \"{word}\" is too small"))),
        _ => Err(Error::at(word, format!("invalid keys zone size \"{word}\""))),
    }
}
