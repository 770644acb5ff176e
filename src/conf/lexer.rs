//! From bytes to words, by the rules of nginx's `ngx_conf_read_token`.
//!
//! A word is bare or quoted. A bare one ends at a blank, `;` or `{`; after a quoted
//! one only these (or `)`) may follow. `}` and `#` mean something only where a word
//! could begin, and `{` after `$` belongs to the word. A backslash keeps the next
//! byte from meaning anything; only `\"`, `\'`, `\\`, `\t`, `\r` and `\n` are
//! replaced, any other backslash stays.
//!
//! The lexer knows no directives and no files: it is given text and gives tokens.

/// More bytes than this in one word are taken for a missing quote (NGX_CONF_BUFFER).
const WORD_MAX: usize = 4096;

pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// Where the current line begins.
    line_start: usize,
    /// The last token was a quoted word: something must separate it from the next.
    after_quote: bool,
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: u32,
    pub column: u16,
}

/// What stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Word(RawText<'a>),
    Semicolon,
    Open,
    Close,
    End,
}

/// A word as it stands in the text, its quotes left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawText<'a> {
    pub text: &'a [u8],
    /// Where `text` begins in the file.
    pub offset: usize,
    pub quoted: bool,
}

/// What is wrong with the text; the lexer has already stepped over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This byte right after a quoted word.
    Unexpected(u8),
    /// The text ended inside a quoted word, or the word is endless.
    Unterminated(u8),
    /// A bare word without end; its first bytes.
    TooLong(Vec<u8>),
    /// The text ended inside a word, perhaps because of this quote.
    EndInWord(Option<u8>),
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a [u8]) -> Lexer<'a> {
        Lexer { text, at: 0, line: 1, line_start: 0, after_quote: false }
    }

    /// Where the next byte is.
    pub fn place(&self) -> Place {
        let column = (self.at - self.line_start + 1).min(usize::from(u16::MAX)) as u16;
        Place { line: self.line, column }
    }

    /// The next token, and where it begins.
    pub fn next(&mut self) -> (Place, Result<Token<'a>, Fault>) {
        if std::mem::take(&mut self.after_quote)
            && let Some(byte) = self.peek()
            && !is_blank(byte)
            && !b";{)".contains(&byte)
        {
            let place = self.place();
            return (place, Err(Fault::Unexpected(byte)));
        }
        self.skip_blanks();
        let place = self.place();
        let token = match self.peek() {
            None => Ok(Token::End),
            Some(b';') => self.one(Token::Semicolon),
            Some(b'{') => self.one(Token::Open),
            Some(b'}') => self.one(Token::Close),
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote),
            Some(_) => self.bare(),
        };
        (place, token)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
            self.line_start = self.at + 1;
        }
        self.at += 1;
    }

    fn one(&mut self, token: Token<'a>) -> Result<Token<'a>, Fault> {
        self.at += 1;
        Ok(token)
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                byte if is_blank(byte) => self.step(),
                _ => return,
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token<'a>, Fault> {
        self.at += 1;
        let offset = self.at;
        while let Some(byte) = self.peek() {
            if byte == quote {
                let text = &self.text[offset..self.at];
                self.at += 1;
                self.after_quote = true;
                return Ok(Token::Word(RawText { text, offset, quoted: true }));
            }
            self.step_escaped();
            if self.at - offset >= WORD_MAX {
                return Err(self.give_up(Fault::Unterminated(quote)));
            }
        }
        Err(self.give_up(Fault::EndInWord(Some(quote))))
    }

    fn bare(&mut self) -> Result<Token<'a>, Fault> {
        let offset = self.at;
        let mut after_dollar = false;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
            after_dollar &= plain == 0;
            self.at += plain;
            if self.at - offset >= WORD_MAX {
                let begin = self.text[offset..offset + 10].to_vec();
                return Err(self.give_up(Fault::TooLong(begin)));
            }
            let Some(byte) = self.peek() else { break };
            let ends = is_blank(byte) || byte == b';' || (byte == b'{' && !after_dollar);
            if ends {
                let text = &self.text[offset..self.at];
                return Ok(Token::Word(RawText { text, offset, quoted: false }));
            }
            // `${{` is one word too: a brace does not end the state that allowed it.
            after_dollar = byte == b'$' || byte == b'{';
            self.step_escaped();
        }
        Err(self.give_up(Fault::EndInWord(None)))
    }

    /// One byte, or a backslash and the byte that it protects.
    fn step_escaped(&mut self) {
        if self.peek() == Some(b'\\') {
            self.step();
        }
        if self.at < self.text.len() {
            self.step();
        }
    }

    /// A word without end: nothing behind it can be trusted.
    fn give_up(&mut self, fault: Fault) -> Fault {
        while self.at < self.text.len() {
            self.step();
        }
        fault
    }
}

/// What may end a bare word, or begin something in it.
fn is_special(byte: u8) -> bool {
    const SPECIAL: [bool; 256] = {
        let mut table = [false; 256];
        let bytes = b" \t\r\n;{$\\";
        let mut i = 0;
        while i < bytes.len() {
            table[bytes[i] as usize] = true;
            i += 1;
        }
        table
    };
    SPECIAL[usize::from(byte)]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Appends what the raw text means. `seen` is told of every `$` that no backslash
/// protects: where it stands in the raw text, and where in `out`.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>, mut seen: impl FnMut(usize, usize)) {
    let mut at = raw.iter().position(|byte| b"\\$".contains(byte)).unwrap_or(raw.len());
    out.extend_from_slice(&raw[..at]);
    while let Some(&byte) = raw.get(at) {
        let escaped = (byte == b'\\').then(|| raw.get(at + 1)).flatten();
        match escaped {
            Some(&next @ (b'"' | b'\'' | b'\\')) => out.push(next),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(&next) => out.extend([b'\\', next]),
            None => {
                if byte == b'$' {
                    seen(at, out.len());
                }
                out.push(byte);
            }
        }
        at += if escaped.is_some() { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut all = Vec::new();
        loop {
            let shown = match lexer.next().1 {
                Ok(Token::End) => return all,
                Ok(Token::Word(raw)) => {
                    let mut out = Vec::new();
                    unescape(raw.text, &mut out, |_, _| ());
                    format!("[{}]", String::from_utf8_lossy(&out))
                }
                Ok(token) => format!("{token:?}"),
                Err(fault) => format!("{fault:?}"),
            };
            all.push(shown);
            assert!(all.len() < 100, "the lexer does not move on");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text), expected, "{text:?}");
    }

    #[test]
    fn words_and_marks() {
        check("a b;", &["[a]", "[b]", "Semicolon"]);
        check("a{b;}", &["[a]", "Open", "[b]", "Semicolon", "Close"]);
        check("a }b;", &["[a]", "Close", "[b]", "Semicolon"]);
        check("a b};", &["[a]", "[b}]", "Semicolon"]);
        check("a#b # c;\n;", &["[a#b]", "Semicolon"]);
        check("# only", &[]);
        check("a\"b;", &["[a\"b]", "Semicolon"]);
    }

    #[test]
    fn variables_take_braces() {
        check("a ${b}c;", &["[a]", "[${b}c]", "Semicolon"]);
        check("a x${b{c};", &["[a]", "[x${b]", "Open", "[c}]", "Semicolon"]);
        check("a ${{b;", &["[a]", "[${{b]", "Semicolon"]);
        check("a $b{", &["[a]", "[$b]", "Open"]);
    }

    #[test]
    fn quotes() {
        check("a 'b c' \"d;{\";", &["[a]", "[b c]", "[d;{]", "Semicolon"]);
        check("a '' ;", &["[a]", "[]", "Semicolon"]);
        check("a \"\";", &["[a]", "[]", "Semicolon"]);
        check("a 'it\\'s' \"\\\"\\\\\";", &["[a]", "[it's]", "[\"\\]", "Semicolon"]);
        check("a \"b\"{", &["[a]", "[b]", "Open"]);
        check("if ($a = \"b\") {", &["[if]", "[($a]", "[=]", "[b]", "[)]", "Open"]);
    }

    #[test]
    fn escapes() {
        check(r"a b\ c;", &["[a]", r"[b\ c]", "Semicolon"]);
        check(r"a b\;c;", &["[a]", r"[b\;c]", "Semicolon"]);
        check(r"a \.php$;", &["[a]", r"[\.php$]", "Semicolon"]);
        check(r"a b\tc\n\r;", &["[a]", "[b\tc\n\r]", "Semicolon"]);
        check(r"a \{b;", &["[a]", r"[\{b]", "Semicolon"]);
    }

    #[test]
    fn faults() {
        check("a \"b\"c;", &["[a]", "[b]", "Unexpected(99)", "[c]", "Semicolon"]);
        check("a b", &["[a]", "EndInWord(None)"]);
        check("a 'b;", &["[a]", "EndInWord(Some(39))"]);
        check("a b\\", &["[a]", "EndInWord(None)"]);
        let long = "x".repeat(5000);
        check(&format!("a \"{long}"), &["[a]", "Unterminated(34)"]);
        check(
            &format!("a {long}"),
            &["[a]", "TooLong([120, 120, 120, 120, 120, 120, 120, 120, 120, 120])"],
        );
    }

    #[test]
    fn places() {
        let mut lexer = Lexer::new(b"a\n  'b\nc' d;");
        let places: Vec<_> = std::iter::from_fn(|| {
            let (place, token) = lexer.next();
            (token != Ok(Token::End)).then_some((place.line, place.column))
        })
        .collect();
        assert_eq!(places, [(1, 1), (2, 3), (3, 4), (3, 5)]);
    }
}
