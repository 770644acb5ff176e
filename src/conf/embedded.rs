//! The configs that the binary carries: a main config for sites that have none, the
//! default site, and the files that every nginx.conf includes.

/// The main config around a fragment, the sites of `conf.d`, or the default site.
pub const MAIN: &[u8] = include_bytes!("embedded/main.conf");

/// The block of the main config whose settings hold where the text around it, `-g` or
/// the site say nothing else.
pub const DEFAULTS: &str = "limpet:defaults";

/// What `include NAME` means where no such file exists, by the name without folder.
pub fn include(name: &[u8]) -> Option<&'static [u8]> {
    match name {
        b"mime.types" => Some(include_bytes!("embedded/mime.types")),
        b"fastcgi.conf" => Some(include_bytes!("embedded/fastcgi.conf")),
        b"fastcgi-php.conf" => Some(include_bytes!("embedded/fastcgi-php.conf")),
        b"fastcgi_params" => Some(include_bytes!("embedded/fastcgi_params")),
        b"proxy_params" => Some(include_bytes!("embedded/proxy_params")),
        b"security_headers" => Some(include_bytes!("embedded/security_headers")),
        _ => None,
    }
}

/// The default site over a folder; with `spa` that of an application in the browser.
pub fn site(folder: &[u8], spa: bool) -> Vec<u8> {
    const SITE: &[u8] = include_bytes!("embedded/site.conf");
    const SPA: &[u8] = include_bytes!("embedded/spa.conf");
    const MARK: &[u8] = b"FOLDER";
    let site = if spa { SPA } else { SITE };
    let at = site.windows(MARK.len()).position(|text| text == MARK).unwrap_or(site.len());
    let mut text = site[..at].to_vec();
    for byte in folder {
        // In quotes, as the mark is.
        if b"\"\\".contains(byte) {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text.extend_from_slice(site.get(at + MARK.len()..).unwrap_or_default());
    text
}
