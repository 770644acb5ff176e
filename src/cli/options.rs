//! The command line, as nginx reads it: letters may be combined (`-tq`), a value
//! may be attached (`-cFILE`) or follow (`-c FILE`). Beyond nginx: `limpet DIR`,
//! and long names for what nginx has no letter for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::conf;
use crate::cycle::source::Wishes;

#[derive(Default, Debug, PartialEq, Eq)]
pub struct Options {
    /// `-c`, `-p`, `-e`, `-g`, `-t`, and a folder to serve.
    pub wishes: Wishes,
    pub help: bool,
    /// `-h directives`
    pub directives: bool,
    pub version: bool,
    /// `-V`: the version and how it was built.
    pub build: bool,
    /// `-T`: test, then show the config.
    pub dump: bool,
    pub quiet: bool,
    pub signal: Option<Signal>,
    /// Of the status.
    pub json: bool,
    /// A signal is sent, and that is all.
    pub no_wait: bool,
    /// `--pid N`: the master, without a pid file.
    pub pid: Option<i32>,
    pub task: Option<Task>,
}

/// A word instead of a folder: what limpet does for whoever runs it, but serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// `healthcheck [URL]`
    Healthcheck(Option<OsString>),
    /// `sleep TIME`, in milliseconds.
    Sleep(u64),
}

/// What `-s` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Send(&'static str),
    Status,
}

impl Options {
    /// Of the arguments after the program's name; an error is what to say.
    pub fn parse(args: &[OsString]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_bytes() {
                [b'-', b'-', name @ ..] if !name.is_empty() => options.long(arg, &mut args)?,
                [b'-', letters @ ..] => options.letters(letters, &mut args)?,
                b"healthcheck" => options.task = Some(Task::Healthcheck(args.next().cloned())),
                b"sleep" => options.task = Some(Task::Sleep(time(args.next())?)),
                _ => options.folder(arg)?,
            }
        }
        let wishes = &options.wishes;
        if wishes.config.is_some() && wishes.spa {
            return Err("invalid option: \"--spa\": -c says already what is served".into());
        }
        match (&options.wishes.config, &options.wishes.folder) {
            (Some(_), Some(folder)) => {
                let folder = folder.display();
                Err(format!("invalid option: \"{folder}\": -c says already what is served"))
            }
            _ => Ok(options),
        }
    }

    fn letters<'a>(
        &mut self,
        letters: &[u8],
        args: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), String> {
        for (at, &letter) in letters.iter().enumerate() {
            if self.flag(letter) {
                continue;
            }
            let what = match letter {
                b'p' => "directory name",
                b'c' | b'e' => "file name",
                b'g' | b's' => "parameter",
                other => return Err(format!("invalid option: \"{}\"", other as char)),
            };
            let value = match &letters[at + 1..] {
                [] => args.next().cloned(),
                attached => Some(OsString::from_vec(attached.to_vec())),
            };
            let missing = || format!("option \"-{}\" requires {what}", letter as char);
            return self.value(letter, value.ok_or_else(missing)?);
        }
        Ok(())
    }

    fn flag(&mut self, letter: u8) -> bool {
        match letter {
            b'?' | b'h' => (self.version, self.help) = (true, true),
            b'v' => self.version = true,
            b'V' => (self.version, self.build) = (true, true),
            b't' => self.wishes.test = true,
            b'T' => (self.wishes.test, self.dump) = (true, true),
            b'q' => self.quiet = true,
            _ => return false,
        }
        true
    }

    fn value(&mut self, letter: u8, value: OsString) -> Result<(), String> {
        match letter {
            b'p' => self.wishes.prefix = Some(value.into()),
            b'e' => self.wishes.error_log = Some(value),
            b'c' => self.wishes.config = Some(value.into()),
            b'g' => self.wishes.globals = Some(value),
            _ => self.signal(&value)?,
        }
        Ok(())
    }

    fn long<'a>(
        &mut self,
        arg: &OsString,
        args: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), String> {
        match arg.as_bytes() {
            b"--help" => (self.version, self.help) = (true, true),
            b"--version" => self.version = true,
            b"--json" => self.json = true,
            b"--no-wait" => self.no_wait = true,
            b"--spa" => self.wishes.spa = true,
            b"--pid" => {
                let value = args.next().ok_or("option \"--pid\" requires a process number")?;
                let pid = value.to_str().and_then(|text| text.parse().ok()).filter(|pid| *pid > 0);
                let invalid = || format!("invalid process number \"{}\"", value.display());
                self.pid = Some(pid.ok_or_else(invalid)?);
            }
            _ => return Err(format!("invalid option: \"{}\"", arg.display())),
        }
        Ok(())
    }

    fn signal(&mut self, name: &OsStr) -> Result<(), String> {
        const SENT: [&str; 6] = ["stop", "quit", "drain", "reopen", "reload", "upgrade"];
        self.signal = Some(match SENT.into_iter().find(|word| name == *word) {
            Some(word) => Signal::Send(word),
            None if name == "status" => Signal::Status,
            None => return Err(format!("invalid option: \"-s {}\"", name.display())),
        });
        Ok(())
    }

    fn folder(&mut self, arg: &OsStr) -> Result<(), String> {
        if self.help && arg == "directives" {
            self.directives = true;
            return Ok(());
        }
        let why = match Path::new(arg) {
            _ if self.wishes.folder.is_some() => "one directory is served",
            path if path.is_dir() => "",
            path if path.exists() => "it is no directory; -c names a configuration",
            path if path.components().count() > 1 => "there is no such directory",
            _ => "there is no such directory, and commands are healthcheck and sleep",
        };
        if !why.is_empty() {
            return Err(format!("invalid option: \"{}\": {why}", arg.display()));
        }
        self.wishes.folder = Some(arg.into());
        Ok(())
    }
}

/// As the configuration writes times: `5`, `5s`, `500ms`.
fn time(arg: Option<&OsString>) -> Result<u64, String> {
    let arg = arg.ok_or("\"sleep\" requires a time")?;
    let invalid = || format!("invalid time \"{}\": write 5, 500ms or 1m", arg.display());
    conf::parse_time(arg.as_bytes(), true).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Options::parse(&args)
    }

    #[test]
    fn forms_of_nginx() {
        let expected = Options {
            wishes: Wishes {
                test: true,
                config: Some("x.conf".into()),
                prefix: Some("/p".into()),
                ..Wishes::default()
            },
            quiet: true,
            ..Options::default()
        };
        for line in ["-tq -p /p -c x.conf", "-t -q -p/p -cx.conf", "-tqcx.conf -p /p"] {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
        }
        let last = parse("-tc a -qc b").unwrap();
        assert_eq!(last.wishes.config, Some("b".into()));
        assert_eq!(parse("-sreload").unwrap().signal, Some(Signal::Send("reload")));
        assert_eq!(parse("-").unwrap(), Options::default());
        let shown = parse("-?V").unwrap();
        assert!(shown.help && shown.version && shown.build);
        assert!(parse("-h directives").unwrap().directives);
        assert_eq!(parse("/").unwrap().wishes.folder, Some("/".into()));
        assert_eq!(parse("sleep 5").unwrap().task, Some(Task::Sleep(5000)));
        assert_eq!(parse("sleep 50ms").unwrap().task, Some(Task::Sleep(50)));
        assert_eq!(parse("healthcheck").unwrap().task, Some(Task::Healthcheck(None)));
        let asked = Some(Task::Healthcheck(Some("/live".into())));
        assert_eq!(parse("-c x healthcheck /live").unwrap().task, asked);
    }

    #[test]
    fn refusals_in_the_words_of_nginx() {
        let cases = [
            ("-x", "invalid option: \"x\""),
            ("-tx", "invalid option: \"x\""),
            ("/nowhere", "invalid option: \"/nowhere\": there is no such directory"),
            (
                "helthcheck",
                "invalid option: \"helthcheck\": there is no such directory, and commands are \
                 healthcheck and sleep",
            ),
            ("-c x /", "invalid option: \"/\": -c says already what is served"),
            ("/ /", "invalid option: \"/\": one directory is served"),
            ("-c", "option \"-c\" requires file name"),
            ("-te", "option \"-e\" requires file name"),
            ("-p", "option \"-p\" requires directory name"),
            ("-g", "option \"-g\" requires parameter"),
            ("-s", "option \"-s\" requires parameter"),
            ("-s foo", "invalid option: \"-s foo\""),
            ("-sfoo", "invalid option: \"-s foo\""),
            ("--json --foo", "invalid option: \"--foo\""),
            ("--pid 0", "invalid process number \"0\""),
            ("sleep", "\"sleep\" requires a time"),
            ("sleep long", "invalid time \"long\": write 5, 500ms or 1m"),
        ];
        for (line, text) in cases {
            assert_eq!(parse(line), Err(text.into()), "{line}");
        }
    }
}
