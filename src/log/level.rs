//! Severities, in nginx's words and order.

/// `Emerg` is the most severe and the least: what is `<=` a log's level goes into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
}

impl Level {
    pub const ALL: [Level; 8] = [
        Level::Emerg,
        Level::Alert,
        Level::Crit,
        Level::Error,
        Level::Warn,
        Level::Notice,
        Level::Info,
        Level::Debug,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Level::Emerg => "emerg",
            Level::Alert => "alert",
            Level::Crit => "crit",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Notice => "notice",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    pub fn parse(name: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name().as_bytes() == name)
    }

    /// The level that an `error_log` line asks for: `error` when it names none,
    /// everything when it names one of nginx's parts of debug.
    pub fn of_directive(words: &[&[u8]]) -> Result<Level, String> {
        const DEBUG_PARTS: [&str; 7] = [
            "debug_core",
            "debug_alloc",
            "debug_mutex",
            "debug_event",
            "debug_http",
            "debug_mail",
            "debug_stream",
        ];
        let mut level = None;
        for word in words {
            let text = String::from_utf8_lossy(word);
            let is_part = DEBUG_PARTS.contains(&text.as_ref());
            level = match (level, Level::parse(word)) {
                (None, Some(named)) => Some(named),
                (None | Some(Level::Debug), None) if is_part => Some(Level::Debug),
                (Some(_), Some(_)) => return Err(format!("duplicate log level \"{text}\"")),
                _ => return Err(format!("invalid log level \"{text}\"")),
            };
        }
        Ok(level.unwrap_or(Level::Error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_error_log() {
        let of = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
            Level::of_directive(&words)
        };
        assert_eq!(of(&[]), Ok(Level::Error));
        assert_eq!(of(&["notice"]), Ok(Level::Notice));
        assert_eq!(of(&["debug_http", "debug_event"]), Ok(Level::Debug));
        assert_eq!(of(&["loud"]), Err("invalid log level \"loud\"".into()));
        assert_eq!(of(&["info", "info"]), Err("duplicate log level \"info\"".into()));
        assert_eq!(of(&["info", "debug_http"]), Err("invalid log level \"debug_http\"".into()));
        assert!(Level::Emerg < Level::Debug);
    }
}
