//! Templates of sites, as container images of nginx have them: `templates/NAME.template`
//! beside `conf.d` stands for `conf.d/NAME`, with values of the environment in it.
//!
//! There a shell script writes the files when the container starts, with envsubst. Here they
//! are read so: no shell, and no disk that can be written. `$NAME` and `${NAME}` are replaced
//! as text, before there are words, where the environment has the name and nginx has no
//! variable of it; what is left is the configuration's.

use super::glob;
use super::source::{Env, Include};
use super::variables;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FOLDER: &str = "templates";
const END: &[u8] = b".template";
/// What images write them to.
const SITES: &str = "conf.d";

/// What `include PATTERN` means: the files that match, and the templates of such files.
pub fn expand(pattern: &Path, env: Env) -> Vec<Include> {
    let mut found: BTreeMap<PathBuf, Include> = BTreeMap::new();
    for path in glob::expand(pattern) {
        found.insert(path.clone(), Include::Path(path));
    }
    let wanted = pattern.file_name().unwrap_or_default().as_bytes();
    let (Some(templates), Some(sites)) = (folder(pattern), pattern.parent()) else {
        return found.into_values().collect();
    };
    for path in glob::expand(&templates.join("*.template")) {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let Some(name) = name.strip_suffix(END) else { continue };
        // Where an image's script would have written over a file.
        if glob::matches(wanted, name) {
            found.insert(sites.join(OsStr::from_bytes(name)), Include::Template(path, env));
        }
    }
    found.into_values().collect()
}

/// The template of one file, if there is one.
pub fn of_file(path: &Path, env: Env) -> Option<Include> {
    let mut name = path.file_name()?.to_os_string();
    name.push(OsStr::from_bytes(END));
    let template = folder(path)?.join(name);
    template.exists().then_some(Include::Template(template, env))
}

/// The folder of the templates of a path in `conf.d`.
pub fn folder(path: &Path) -> Option<PathBuf> {
    let sites = path.parent().filter(|folder| folder.file_name() == Some(SITES.as_ref()))?;
    Some(sites.with_file_name(FOLDER))
}

/// The text with values of the environment.
pub fn substitute(text: &[u8], env: Env) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar..];
        let (name, len) = name(rest);
        let value = (!name.is_empty() && !variables::is_builtin(name))
            .then(|| env(OsStr::from_bytes(name)))
            .flatten();
        match value {
            Some(value) => out.extend_from_slice(value.as_bytes()),
            None => out.extend_from_slice(&rest[..len]),
        }
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
    out
}

/// The name after a `$`, in braces or not, and the length of it all; an empty name, and the
/// length of the `$`, if there is none.
fn name(text: &[u8]) -> (&[u8], usize) {
    let braced = text.get(1) == Some(&b'{');
    let begin = if braced { 2 } else { 1 };
    let rest = text.get(begin..).unwrap_or_default();
    let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let name = &rest[..len];
    let is_name = name.first().is_some_and(|byte| !byte.is_ascii_digit());
    match (is_name, braced, rest.get(len)) {
        (true, true, Some(b'}')) => (name, begin + len + 1),
        (true, false, _) => (name, begin + len),
        _ => (&[], 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_are_text() {
        let env: Env = |name| match name.to_str()? {
            "PORT" => Some("8080".into()),
            "LINES" => Some("allow all;\n    deny none;".into()),
            "EMPTY" => Some("".into()),
            "host" => Some("never".into()),
            _ => None,
        };
        for (text, expected) in [
            ("listen ${PORT};", "listen 8080;"),
            ("listen $PORT;", "listen 8080;"),
            ("$PORTS ${PORTS} $host ${host}", "$PORTS ${PORTS} $host ${host}"),
            ("{ ${LINES} }", "{ allow all;\n    deny none; }"),
            ("x${EMPTY}y$", "xy$"),
            ("${PORT:-80} ${PORT $1 $$PORT", "${PORT:-80} ${PORT $1 $8080"),
        ] {
            let out = substitute(text.as_bytes(), env);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        }
    }

    #[test]
    fn templates_are_beside_the_sites() {
        let of = |path: &str| folder(Path::new(path));
        assert_eq!(of("/etc/nginx/conf.d/*.conf"), Some("/etc/nginx/templates".into()));
        assert_eq!(of("/etc/nginx/mime.types"), None);
        assert_eq!(of("/"), None);
    }
}
