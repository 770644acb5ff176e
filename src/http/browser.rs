//! Browsers that need care, told by `User-Agent` as nginx tells them.

/// Internet Explorer 4 to 6, but not 6 with service pack 2 (`keepalive_disable msie6`).
pub fn is_msie6(agent: &[u8]) -> bool {
    let Some(version) = after_msie(agent).filter(|_| !has(agent, b"Opera")) else { return false };
    match version {
        [b'4' | b'5', b'.', ..] => true,
        [b'6', b'.', _, rest @ ..] => !has(rest, b"SV1"),
        _ => false,
    }
}

/// Internet Explorer (`msie_refresh`).
pub fn is_msie(agent: &[u8]) -> bool {
    after_msie(agent).is_some() && !has(agent, b"Opera")
}

/// Safari on a Mac (`keepalive_disable safari`).
pub fn is_safari(agent: &[u8]) -> bool {
    let other = after_msie(agent).is_some()
        || [&b"Opera"[..], b"Gecko/", b"Chrome/"].iter().any(|name| has(agent, name));
    !other && has(agent, b"Safari/") && has(agent, b"Mac OS X")
}

/// What follows `MSIE `, if it is long enough to be a version.
fn after_msie(agent: &[u8]) -> Option<&[u8]> {
    let at = agent.windows(5).position(|window| window == b"MSIE ")?;
    agent.get(at + 5..).filter(|version| version.len() > 2)
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_browsers_are_known() {
        for (agent, msie6, safari) in [
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true, false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false, false),
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", true, false),
            ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)", false, false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) Opera 8", false, false),
            ("MSIE 6.", false, false),
            ("MSIE 6.0", true, false),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X) AppleWebKit Safari/604", false, true),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Chrome/120 Safari/604", false, false),
            ("Mozilla/5.0 (X11) Safari/604", false, false),
            ("", false, false),
        ] {
            let found = (is_msie6(agent.as_bytes()), is_safari(agent.as_bytes()));
            assert_eq!(found, (msie6, safari), "{agent}");
        }
    }
}
