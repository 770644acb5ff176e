//! How long a response's body is: decided once, by one function, into one type
//! (RFC 9112 6.3).
use super::Head;
use crate::proto::request::{Method, Version};

/// Where the body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    /// At the end of the connection, or of a CGI response.
    UntilClose,
}

/// The body that follows a response head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub framing: Framing,
    /// The connection can be used again when the body has been read, if nothing
    /// comes behind it. (Of a connection to a CGI program its protocol decides.)
    pub keeps: bool,
}

impl Head {
    /// The body of the response to a request of this method. What the headers
    /// say was made sure of when they were read.
    #[inline(always)]
    pub fn body(&self, method: Method) -> Body {
        let framing = self.framing(method);
        Body { framing, keeps: self.keeps(method, framing) }
    }

    fn framing(&self, method: Method) -> Framing {
        let tunnels = method == Method::Connect && self.status / 100 == 2;
        if method == Method::Head || self.is_bodiless() || tunnels {
            return Framing::None;
        }
        match self.length {
            Some(length) => Framing::Length(length),
            // A CGI program's output is not in chunks, whatever it says.
            None if self.chunked && !self.cgi => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }

    /// Whether nothing follows a response of this status.
    fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    fn keeps(&self, method: Method, framing: Framing) -> bool {
        // These must not have them (RFC 9110 8.6, RFC 9112 6.1): who sends them
        // may send a body, too.
        let irregular =
            self.is_bodiless() && self.status != 304 && (self.chunked || self.length > Some(0));
        let told = self.version == Version::V11 && !self.connection.close;
        told && framing != Framing::UntilClose
            && !irregular
            && self.status != 101
            && method != Method::Connect
    }
}
