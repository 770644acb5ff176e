//! Log files: read by line, waited for by inotify.
use super::kernel::{Pid, Watch};
use super::{LIMIT, Place};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub struct Log {
    path: PathBuf,
}

/// One line of an error log: `2026/11/21 19:38:00 [error] 12#12: *34 text`.
#[derive(Debug, Clone)]
pub struct Line {
    pub level: String,
    pub pid: Pid,
    pub text: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(" [")?;
        let (level, rest) = rest.split_once("] ")?;
        let (pid, rest) = rest.split_once('#')?;
        let (_, text) = rest.split_once(": ")?;
        Some(Self { level: level.into(), pid: pid.parse().ok()?, text: text.into() })
    }
}

impl Log {
    pub fn new(place: &Place, name: &str) -> Self {
        Self { path: place.path(name) }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    pub fn lines(&self) -> Vec<Line> {
        self.text().lines().filter_map(Line::parse).collect()
    }

    /// The lines that contain `words`.
    pub fn with(&self, words: &str) -> Vec<Line> {
        let mut lines = self.lines();
        lines.retain(|line| line.text.contains(words));
        lines
    }

    pub fn count(&self, words: &str) -> usize {
        self.with(words).len()
    }

    /// Waits for a line with `words`.
    pub fn wait(&self, words: &str) -> Line {
        self.wait_count(words, 1).remove(0)
    }

    /// Waits until at least `count` lines contain `words`.
    pub fn wait_count(&self, words: &str, count: usize) -> Vec<Line> {
        self.wait_within(words, count, LIMIT).unwrap_or_else(|| {
            panic!("no {count} lines with {words:?}");
        })
    }

    pub fn wait_within(&self, words: &str, count: usize, limit: Duration) -> Option<Vec<Line>> {
        let watch = Watch::new(self.path.parent().unwrap());
        let deadline = Instant::now() + limit;
        loop {
            let lines = self.with(words);
            if lines.len() >= count {
                return Some(lines);
            }
            if Instant::now() >= deadline {
                return None;
            }
            watch.wait(deadline);
        }
    }

    /// `lines` appear one after the other, others may stand between them.
    pub fn has_in_order(&self, words: &[&str]) {
        let text = self.text();
        let mut rest = text.as_str();
        for word in words {
            let Some(at) = rest.find(word) else {
                panic!("no {word:?} after its predecessors");
            };
            rest = &rest[at + word.len()..];
        }
    }

    /// The lines that are `words`, all of them.
    pub fn exactly(&self, words: &str) -> usize {
        self.lines().iter().filter(|line| line.text == words).count()
    }

    /// Nothing of these levels was logged.
    pub fn has_none_of(&self, levels: &[&str]) {
        let found: Vec<_> =
            self.lines().into_iter().filter(|line| levels.contains(&&*line.level)).collect();
        assert!(found.is_empty(), "unexpected lines: {found:#?}");
    }

    /// The end of the log, for messages.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(40);
        format!("{}:\n{}", self.path.display(), lines[from..].join("\n"))
    }
}
