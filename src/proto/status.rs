//! Statuses: reason phrases and nginx's built-in pages.
//!
//! The texts are nginx 1.22's, which are not those of RFC 9110: clients and
//! scripts have been reading them for twenty years.
use crate::text::scan;
use crate::text::writer::Writer;

/// What follows the number in a status line; empty where nginx has no words.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// The status that leaves for one of nginx's own numbers (494 to 497).
pub fn sent(status: u16) -> u16 {
    if matches!(status, 494..=497) { 400 } else { status }
}

macro_rules! page {
    ($title:literal) => {
        concat!(
            "<html>\r\n<head><title>",
            $title,
            "</title></head>\r\n<body>\r\n<center><h1>",
            $title,
            "</h1></center>\r\n"
        )
    };
    ($title:literal, $note:literal) => {
        concat!(
            "<html>\r\n<head><title>400 ",
            $note,
            "</title></head>\r\n<body>\r\n<center><h1>",
            $title,
            "</h1></center>\r\n<center>",
            $note,
            "</center>\r\n"
        )
    };
}

/// The page for a status, up to its tail; `None` where there is no body.
pub fn page(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => page!("301 Moved Permanently"),
        302 => page!("302 Found"),
        303 => page!("303 See Other"),
        307 => page!("307 Temporary Redirect"),
        308 => page!("308 Permanent Redirect"),
        400 => page!("400 Bad Request"),
        401 => page!("401 Authorization Required"),
        402 => page!("402 Payment Required"),
        403 => page!("403 Forbidden"),
        404 => page!("404 Not Found"),
        405 => page!("405 Not Allowed"),
        406 => page!("406 Not Acceptable"),
        408 => page!("408 Request Time-out"),
        409 => page!("409 Conflict"),
        410 => page!("410 Gone"),
        411 => page!("411 Length Required"),
        412 => page!("412 Precondition Failed"),
        413 => page!("413 Request Entity Too Large"),
        414 => page!("414 Request-URI Too Large"),
        415 => page!("415 Unsupported Media Type"),
        416 => page!("416 Requested Range Not Satisfiable"),
        421 => page!("421 Misdirected Request"),
        429 => page!("429 Too Many Requests"),
        494 => page!("400 Bad Request", "Request Header Or Cookie Too Large"),
        495 => page!("400 Bad Request", "The SSL certificate error"),
        496 => page!("400 Bad Request", "No required SSL certificate was sent"),
        497 => page!("400 Bad Request", "The plain HTTP request was sent to HTTPS port"),
        // Not a status anybody sends, but `return 498` gives nginx's 404 page.
        498 => page!("404 Not Found"),
        500 => page!("500 Internal Server Error"),
        501 => page!("501 Not Implemented"),
        502 => page!("502 Bad Gateway"),
        503 => page!("503 Service Temporarily Unavailable"),
        504 => page!("504 Gateway Time-out"),
        505 => page!("505 HTTP Version Not Supported"),
        507 => page!("507 Insufficient Storage"),
        _ => return None,
    })
}

const TAIL_START: &str = "<hr><center>";
const TAIL_END: &str = "</center>\r\n</body>\r\n</html>\r\n";
/// Old browsers show their own page instead of one below 512 bytes.
const PADDING: &str = "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";
const PADDINGS: usize = 6;

/// Length of what [`put_page`] writes.
pub fn page_len(page: &str, server: &str, padded: bool) -> usize {
    let padding = if padded { PADDING.len() * PADDINGS } else { 0 };
    page.len() + TAIL_START.len() + server.len() + TAIL_END.len() + padding
}

/// Writes a built-in page; `server` is what `server_tokens` makes of the name.
pub fn put_page(page: &str, server: &str, padded: bool, out: &mut Writer<'_>) {
    for text in [page, TAIL_START, server, TAIL_END] {
        out.put(text.as_bytes());
    }
    for _ in 0..if padded { PADDINGS } else { 0 } {
        out.put(PADDING.as_bytes());
    }
}

/// Whether `msie_padding` concerns this `User-Agent`: old MSIE and Chrome.
pub fn wants_padding(user_agent: &[u8]) -> bool {
    let has = |needle| scan::text(user_agent, needle).is_some();
    if has(b"Opera") {
        return false;
    }
    match scan::text(user_agent, b"MSIE ") {
        Some(at) if at + 7 < user_agent.len() => true,
        _ => !has(b"Gecko/") && has(b"Chrome/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole() {
        let page = page(404).unwrap();
        let mut room = [0; 1024];
        for (padded, len) in [(false, 153), (true, 555)] {
            let mut out = Writer::new(&mut room);
            put_page(page, "nginx/1.22.1", padded, &mut out);
            assert_eq!((out.len(), page_len(page, "nginx/1.22.1", padded)), (len, len));
        }
        assert!(room.starts_with(
            b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n\
              <center><h1>404 Not Found</h1></center>\r\n\
              <hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n<!-- a"
        ));
    }

    #[test]
    fn every_page_has_a_status_that_is_sent() {
        for status in 0..1000 {
            let Some(page) = page(status) else { continue };
            if status != 498 {
                assert!(page.contains(&format!("<h1>{}", sent(status))), "{status}");
                assert!(!reason(sent(status)).is_empty(), "{status}");
            }
        }
        assert_eq!((reason(299), reason(303)), ("", "See Other"));
    }

    #[test]
    fn padding_is_for_old_browsers() {
        for (agent, padded) in [
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari", true),
            ("Mozilla/5.0 (X11; rv:109.0) Gecko/20100101 Firefox/115.0", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows) Opera 9", false),
            ("MSIE 6", false),
            ("curl/8", false),
            ("", false),
        ] {
            assert_eq!(wants_padding(agent.as_bytes()), padded, "{agent}");
        }
    }
}
