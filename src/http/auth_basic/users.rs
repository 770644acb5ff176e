//! Files of users, as htpasswd writes them: `NAME:PASSWORD[:COMMENT]` in each line.

use crate::sys::errno::{Errno, Result};
use crate::sys::io;
use std::os::fd::AsFd;

/// How much of a large file is read at once. A longer line is no user's.
pub const PIECE: usize = 4096;

/// What the first line of that user says of the password.
pub fn field<'t>(text: &'t [u8], user: &[u8]) -> Option<&'t [u8]> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let field = line.strip_prefix(user)?.strip_prefix(b":")?;
        // A name never begins so.
        if matches!(line.first(), Some(b'#' | b'\r')) {
            return None;
        }
        field.split(|byte| matches!(byte, b':' | b'\r')).next()
    })
}

/// The same for a file that is read piece by piece, cut at ends of lines.
pub fn read_field<'t>(fd: impl AsFd, room: &'t mut [u8], user: &[u8]) -> Result<Option<&'t [u8]>> {
    let (mut at, mut skipping) = (0, false);
    loop {
        let len = read(&fd, room, at)?;
        let lines = room.get(..len).unwrap_or_default();
        let end = lines.iter().rposition(|byte| *byte == b'\n').map_or(len, |end| end + 1);
        // What is left of a line that was too long is none by itself.
        let begin = match lines.iter().position(|byte| *byte == b'\n') {
            Some(first) if skipping => first + 1,
            None if skipping => end,
            _ => 0,
        };
        let whole = lines.get(begin..end).unwrap_or_default();
        let cut = end == len && len == room.len() && !lines.ends_with(b"\n");
        if !cut && field(whole, user).is_some() {
            break Ok(field(room.get(begin..end).unwrap_or_default(), user));
        }
        if len < room.len() {
            break Ok(None);
        }
        skipping = cut;
        at += end as u64;
    }
}

/// Fills the room as far as the file goes.
fn read(fd: impl AsFd, room: &mut [u8], at: u64) -> Result<usize> {
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match io::pread(&fd, rest, at + len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_of_users() {
        let text = b"# all:x\n\njoe:one:a comment\r\njoey:two\njoe:three\n:empty\n#a:b\nlast:four";
        for (user, field_) in [
            ("joe", Some("one")),
            ("joey", Some("two")),
            ("jo", None),
            ("last", Some("four")),
            ("#a", None),
            ("# all", None),
            ("JOE", None),
            ("joe:one", Some("a comment")),
        ] {
            assert_eq!(field(text, user.as_bytes()), field_.map(str::as_bytes), "{user}");
        }
    }

    #[test]
    fn large_files_are_read_in_pieces() {
        let path = std::env::temp_dir().join(format!("limpet-users-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        for n in 0..500 {
            writeln!(file, "user{n}:{}", n * n).unwrap();
        }
        writeln!(file, "long{}user:x\nend:ü", "g".repeat(300)).unwrap();
        write!(file, "last:1").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let found = |user: &str| {
            let mut room = [0; 64];
            let field = read_field(&file, &mut room, user.as_bytes()).unwrap();
            field.map(|field| String::from_utf8(field.to_vec()).unwrap())
        };
        for n in 0..500 {
            assert_eq!(found(&format!("user{n}")), Some((n * n).to_string()));
        }
        assert_eq!((found("end").as_deref(), found("last").as_deref()), (Some("ü"), Some("1")));
        assert_eq!((found("user"), found("gguser"), found("500")), (None, None, None));
    }
}
