//! What stands around deflate in a gzip member (RFC 1952 2.3).
use super::crc32::Crc32;

/// As nginx writes it: no name, no time, and Unix for a system. XFL tells the
/// fastest and the strongest level, as zlib does.
pub fn header(level: u8) -> [u8; 10] {
    let xfl = match level {
        1 => 4,
        9 => 2,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 3]
}

/// The sum of all bytes and their number modulo 2^32.
pub fn trailer(crc: Crc32, size: u32) -> [u8; 8] {
    (u64::from(crc.value()) | u64::from(size) << 32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_nginx_s() {
        for (level, xfl) in [(1, 4), (2, 0), (6, 0), (9, 2)] {
            assert_eq!(header(level), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 3]);
        }
    }

    #[test]
    fn trailers_are_sum_and_size() {
        let mut crc = Crc32::default();
        crc.add(b"123456789");
        assert_eq!(trailer(crc, 9), [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0]);
    }
}
