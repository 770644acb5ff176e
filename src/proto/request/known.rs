//! The request headers limpet itself looks at.
use crate::proto::names::Names;

macro_rules! known {
    ($($id:ident $name:literal $once:literal,)*) => {
        /// A header whose value the head keeps a span of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Known { $($id,)* }

        const ALL: &[(Known, &[u8], bool)] = &[$((Known::$id, $name, $once),)*];
        const NAME_LIST: &[&[u8]] = &[$($name,)*];
    };
}

// Name in lower case; whether a second one is an error (as in nginx: of the
// others the first counts).
known! {
    Host b"host" true,
    Connection b"connection" false,
    ContentLength b"content-length" true,
    TransferEncoding b"transfer-encoding" true,
    ContentType b"content-type" false,
    Expect b"expect" true,
    Upgrade b"upgrade" false,
    Range b"range" false,
    IfRange b"if-range" true,
    IfModifiedSince b"if-modified-since" true,
    IfUnmodifiedSince b"if-unmodified-since" true,
    IfMatch b"if-match" true,
    IfNoneMatch b"if-none-match" true,
    AcceptEncoding b"accept-encoding" false,
    UserAgent b"user-agent" false,
    Referer b"referer" false,
    Authorization b"authorization" true,
    Cookie b"cookie" false,
    Via b"via" false,
    XForwardedFor b"x-forwarded-for" false,
}

impl Known {
    pub const COUNT: usize = ALL.len();

    /// In lower case.
    pub fn name(self) -> &'static [u8] {
        ALL[self as usize].1
    }

    /// Whether a second line of this name makes the request a bad one.
    #[inline(always)]
    pub fn is_unique(self) -> bool {
        ONCE >> self as u32 & 1 == 1
    }

    /// Which header `name` is; it consists of `ascii::NAME` bytes.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Option<Known> {
        Some(ALL.get(NAMES.find(name)?)?.0)
    }
}

const ONCE: u32 = {
    let mut bits = 0;
    let mut i = 0;
    while i < ALL.len() {
        bits |= (ALL[i].2 as u32) << i;
        i += 1;
    }
    bits
};

static NAMES: Names<64> = Names::new(NAME_LIST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_any_case_and_nothing_else() {
        for &(known, name, once) in ALL {
            assert_eq!(Known::of(name), Some(known));
            assert_eq!(Known::of(&name.to_ascii_uppercase()), Some(known));
            assert_eq!(known.is_unique(), once);
            assert_eq!(known.name(), name);
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] = b'9';
                assert_eq!(Known::of(&other), None);
                assert_eq!(Known::of(&name[..at]), None);
            }
        }
        for name in ["", "a", "x-y", "accept", "hosts", "content-lengthh", "if-modifled-since"] {
            assert_eq!(Known::of(name.as_bytes()), None, "{name}");
        }
    }
}
