//! What became of each directive, and why.

use std::fmt;

use serde::Serialize;

use super::exec::{INSTANCE, UNESCAPED_INSTANCE};

/// What became of one directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It means the same in the unit.
    Kept,
    /// The unit does something near it; `why` says what is different.
    Approximated,
    /// The unit does nothing of it; `why` says the reason.
    Dropped,
}

impl Fate {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
        }
    }
}

/// One directive of a file that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The file it stands in.
    pub file: String,
    /// The line, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The section of the file, empty where it has none.
    pub section: String,
    /// The directive's name.
    pub key: String,
    /// Its value as it was written.
    pub value: String,
    /// What became of it.
    pub fate: Fate,
    /// How, or why not; empty where there is nothing to say.
    pub why: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: {}", self.fate.word(), shortened(&self.key, 80))?;
        if !self.value.is_empty() {
            write!(f, "={}", shortened(&self.value, 60))?;
        }
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

/// A text in one line of at most so many characters.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == longest {
            line.push_str("...");
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}

/// A fate with its reason: what reading one directive gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub fate: Fate,
    pub why: String,
}

/// It means the same.
pub(super) fn kept() -> Verdict {
    Verdict { fate: Fate::Kept, why: String::new() }
}

/// It means the same, in another way.
pub(super) fn kept_by(why: impl Into<String>) -> Verdict {
    Verdict { fate: Fate::Kept, why: why.into() }
}

/// Something near it is done.
pub(super) fn approximated(why: impl Into<String>) -> Verdict {
    Verdict { fate: Fate::Approximated, why: why.into() }
}

/// Nothing of it is done.
pub(super) fn dropped(why: impl Into<String>) -> Verdict {
    Verdict { fate: Fate::Dropped, why: why.into() }
}

/// What stands for an instance's name is shown as it is written.
fn shown(verdict: Verdict) -> Verdict {
    let why = verdict.why.replace(INSTANCE, "%i").replace(UNESCAPED_INSTANCE, "%I");
    Verdict { why, ..verdict }
}

/// The verdicts of all directives while they are read, each found by its number.
#[derive(Debug, Default)]
pub(super) struct Report {
    entries: Vec<Entry>,
}

impl Report {
    /// Takes a directive whose fate is still open, and gives its number.
    pub fn open(
        &mut self,
        file: &str,
        line: usize,
        section: &str,
        key: &str,
        value: &str,
    ) -> usize {
        self.entries.push(Entry {
            file: file.to_owned(),
            line,
            section: section.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            fate: Fate::Dropped,
            why: String::new(),
        });
        self.entries.len() - 1
    }

    /// Sets what became of a directive.
    pub fn set(&mut self, number: usize, verdict: Verdict) {
        let verdict = shown(verdict);
        if let Some(entry) = self.entries.get_mut(number) {
            (entry.fate, entry.why) = (verdict.fate, verdict.why);
        }
    }

    /// Makes a directive's fate no better than this; what was said of it before stays said.
    pub fn lower(&mut self, number: usize, verdict: Verdict) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        let verdict = shown(verdict);
        entry.fate = entry.fate.max(verdict.fate);
        if entry.why.is_empty() || entry.why.contains(&verdict.why) {
            entry.why = if entry.why.is_empty() { verdict.why } else { entry.why.clone() };
        } else if !verdict.why.is_empty() {
            entry.why = format!("{}; {}", entry.why, verdict.why);
        }
    }

    /// What became of a directive so far.
    pub fn get(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All of them, for good.
    pub fn finish(self) -> Vec<Entry> {
        self.entries
    }
}
