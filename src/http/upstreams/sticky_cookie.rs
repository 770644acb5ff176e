//! `sticky cookie NAME [expires=TIME|max] [domain=D] [httponly] [samesite=S] [secure]
//! [path=P];`: a cookie that says which peer a client belongs to.

use crate::conf::{Cx, Error, Node, Part, Template, parse_time};
use crate::http::request::Request;
use crate::text::date;
use crate::text::writer::Writer;
use crate::time;
use crate::vars::Subject;

pub struct Cookie {
    name: Box<[u8]>,
    /// `$cookie_NAME`
    sent: Template,
    expires: Option<Expires>,
    domain: Option<Template>,
    path: Option<Template>,
    same_site: Option<Template>,
    http_only: bool,
    secure: bool,
}

enum Expires {
    Max,
    After(i64),
}

impl Cookie {
    pub fn read(cx: &mut Cx, node: Node) -> Result<Cookie, Error> {
        let name = node.arg(1);
        let variable = [b"cookie_", name.bytes()].concat();
        let mut cookie = Cookie {
            name: name.bytes().into(),
            sent: Template::new(vec![Part::Variable(cx.variable(&variable, name))]),
            expires: None,
            domain: None,
            path: None,
            same_site: None,
            http_only: false,
            secure: false,
        };
        for word in node.args().skip(2) {
            let invalid = || Error::invalid_parameter(word);
            let at = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
            let value = word.part(at);
            match &word[..at] {
                b"expires=" if value.bytes() == b"max" => cookie.expires = Some(Expires::Max),
                b"expires=" => {
                    let seconds = parse_time(&value, false).ok_or_else(invalid)?;
                    cookie.expires = Some(Expires::After(seconds.min(1 << 40) as i64));
                }
                b"domain=" => cookie.domain = Some(cx.template(value)?),
                b"path=" => cookie.path = Some(cx.template(value)?),
                b"samesite=" => {
                    let is_made = value.contains(&b'$');
                    let known = [&b"strict"[..], b"lax", b"none"];
                    if !is_made && !known.iter().any(|it| it.eq_ignore_ascii_case(&value)) {
                        return Err(invalid());
                    }
                    cookie.same_site = Some(cx.template(value)?);
                }
                b"httponly" => cookie.http_only = true,
                b"secure" => cookie.secure = true,
                _ => return Err(invalid()),
            }
        }
        Ok(cookie)
    }

    /// What the client says.
    pub fn sent<'r>(&'r self, request: &Request<'r>) -> &'r [u8] {
        request.render(&self.sent).unwrap_or_default()
    }

    /// Adds the line, if the client does not know or would forget.
    pub fn set<'r>(&'r self, request: &mut Request<'r>, id: &[u8]) -> Option<()> {
        if self.expires.is_none() && self.sent(request) == id {
            return Some(());
        }
        const MOST: usize = 2048;
        let value = request.made(MOST, |out| self.put(request, id, out))?;
        request.response.late.add(request.scratch(), b"Set-Cookie", value)
    }

    fn put<'r>(&'r self, request: &Request<'r>, id: &[u8], out: &mut Writer<'_>) {
        out.put(&self.name);
        out.put(b"=");
        out.put(id);
        match self.expires {
            None => {}
            Some(Expires::Max) => out.put(b"; expires=Thu, 31 Dec 2037 23:55:55 GMT"),
            Some(Expires::After(seconds)) => {
                out.put(b"; expires=");
                out.put(&date::http(time::unix_secs().saturating_add(seconds)));
                out.put(b"; max-age=");
                out.put_i64(seconds);
            }
        }
        let parts: [(&[u8], _); 3] = [
            (b"; domain=", &self.domain),
            (b"; path=", &self.path),
            (b"; samesite=", &self.same_site),
        ];
        for (name, text) in parts {
            let value = text.as_ref().and_then(|text| request.render(text)).unwrap_or_default();
            if !value.is_empty() {
                out.put(name);
                out.put(value);
            }
        }
        if self.secure {
            out.put(b"; secure");
        }
        if self.http_only {
            out.put(b"; httponly");
        }
    }
}
