//! The response headers limpet itself looks at.
use crate::proto::names::Names;

/// What a second line of a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Two readers could disagree: the response is a bad one.
    Bad,
    /// The first counts, the others are left out, as in nginx since 1.23.
    LeftOut,
    /// It is one more.
    Kept,
}

macro_rules! known {
    ($($id:ident $name:literal $again:ident,)*) => {
        /// A header that means something to a proxy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Known { $($id,)* }

        const ALL: &[(Known, &[u8], Again)] = &[$((Known::$id, $name, Again::$again),)*];
        const NAME_LIST: &[&[u8]] = &[$($name,)*];
    };
}

known! {
    Connection b"connection" Kept,
    KeepAlive b"keep-alive" Kept,
    ContentLength b"content-length" Bad,
    TransferEncoding b"transfer-encoding" Bad,
    ContentType b"content-type" LeftOut,
    Date b"date" LeftOut,
    Server b"server" LeftOut,
    LastModified b"last-modified" LeftOut,
    ETag b"etag" LeftOut,
    Location b"location" LeftOut,
    Refresh b"refresh" Kept,
    SetCookie b"set-cookie" Kept,
    CacheControl b"cache-control" Kept,
    Expires b"expires" LeftOut,
    Vary b"vary" Kept,
    ContentEncoding b"content-encoding" Kept,
    ContentRange b"content-range" Kept,
    AcceptRanges b"accept-ranges" Kept,
    WwwAuthenticate b"www-authenticate" Kept,
    Upgrade b"upgrade" Kept,
    Trailer b"trailer" Kept,
    XAccelRedirect b"x-accel-redirect" LeftOut,
    XAccelExpires b"x-accel-expires" LeftOut,
    XAccelLimitRate b"x-accel-limit-rate" LeftOut,
    XAccelBuffering b"x-accel-buffering" LeftOut,
    XAccelCharset b"x-accel-charset" LeftOut,
    Status b"status" LeftOut,
    Age b"age" Kept,
    Link b"link" Kept,
    XPoweredBy b"x-powered-by" Kept,
    XPad b"x-pad" Kept,
}

static NAMES: Names<128> = Names::new(NAME_LIST);

impl Known {
    pub const COUNT: usize = ALL.len();

    /// In lower case.
    pub fn name(self) -> &'static [u8] {
        ALL[self as usize].1
    }

    #[inline(always)]
    pub fn again(self) -> Again {
        ALL[self as usize].2
    }

    /// This header's bit in a set of them.
    #[inline(always)]
    pub fn bit(self) -> u64 {
        1 << self as u32
    }

    /// Which header `name` is, in any case.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Option<Known> {
        Some(ALL.get(NAMES.find(name)?)?.0)
    }
}

const _: () = assert!(Known::COUNT <= u64::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_any_case_and_nothing_else() {
        for &(known, name, again) in ALL {
            assert_eq!(Known::of(name), Some(known));
            assert_eq!(Known::of(&name.to_ascii_uppercase()), Some(known));
            assert_eq!((known.name(), known.again()), (name, again));
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] = b'9';
                assert_eq!(Known::of(&other), None);
                assert_eq!(Known::of(&name[..at]), None);
            }
        }
        for name in ["", "a", "dates", "x-accel-redirects", "x-accel-linit-rate", "host"] {
            assert_eq!(Known::of(name.as_bytes()), None, "{name}");
        }
    }
}
