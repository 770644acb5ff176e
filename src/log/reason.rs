//! Why something has failed, for those who asked for it and do not read the log.
//!
//! Whatever fails tells its reason to the log, at level emerg, from where it happens. Who wants
//! to pass it on listens meanwhile: the first line says it, the others are what followed.

use super::STATE;

#[derive(Default)]
pub struct Heard {
    first: String,
    lines: usize,
}

/// What `work` was the first to say at level emerg, and how much more there was.
pub fn reason_of<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    STATE.with(|state| state.heard.replace(Some(Heard::default())));
    let result = work();
    let heard = STATE.with(|state| state.heard.take()).filter(|heard| heard.lines > 0);
    (
        result,
        heard.map(|Heard { first, lines }| match lines {
            1 => first,
            _ => format!("{first} (and {} more in the error log)", lines - 1),
        }),
    )
}

#[cold]
pub fn hear(message: &[u8]) {
    STATE.with(|state| {
        if let Some(heard) = &mut *state.heard.borrow_mut() {
            if heard.lines == 0 {
                heard.first = String::from_utf8_lossy(message).into_owned();
            }
            heard.lines += 1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Level, log};

    #[test]
    fn the_first_line_is_the_reason() {
        let say = |level, times| {
            for nth in 0..times {
                log!(level, "line {nth}");
            }
        };
        assert_eq!(reason_of(|| say(Level::Alert, 2)), ((), None));
        assert_eq!(reason_of(|| say(Level::Emerg, 1)), ((), Some("line 0".into())));
        let (_, reason) = reason_of(|| say(Level::Emerg, 3));
        assert_eq!(reason.as_deref(), Some("line 0 (and 2 more in the error log)"));
        say(Level::Emerg, 1);
    }
}
