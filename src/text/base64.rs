//! Base64 (RFC 4648 section 4), as credentials come in it.

/// Decodes `text` into `room` and returns what it means; `None` when it is not
/// base64 or does not fit. Padding may be missing, as nginx allows.
pub fn decode<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    let (mut bits, mut count, mut len) = (0_u32, 0, 0);
    for &digit in digits {
        bits = bits << 6 | u32::from(value(digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            *room.get_mut(len)? = (bits >> count) as u8;
            len += 1;
        }
    }
    room.get(..len)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_base64() {
        for (text, want) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin:open sesame")),
            ("Z", None),
            ("Zm9v!", None),
            ("Zm 9v", None),
        ] {
            let mut room = [0; 32];
            let found = decode(text.as_bytes(), &mut room);
            assert_eq!(found, want.map(str::as_bytes), "{text}");
        }
        assert_eq!(decode(b"Zm9v", &mut [0; 2]), None);
    }
}
