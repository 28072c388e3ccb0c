//! [`Diagnostic`]: what is wrong, where, and what was expected; and the report that collects them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// After so many the rest of a file is not read.
const MAX_DIAGNOSTICS: usize = 20;
/// The widest excerpt of a source line, in characters.
const MAX_EXCERPT: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be used like this.
    Error,
    /// It can be used, and may do less than was meant.
    Warning,
}

/// One thing that is wrong with a unit file. Its `Display` is several lines: position, key and
/// message, then the line of the file with the place underlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is; its `Display` names only a warning so.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; absent when the file as a whole is meant.
    pub line: Option<u64>,
    /// The column in characters, counted from 1.
    pub column: Option<u64>,
    /// The key, with a path into its value where it has one: `ulimits.nofile`.
    pub key: Option<String>,
    /// What is wrong, what was expected, and perhaps what was meant. One line.
    pub message: String,
    /// The line of the file, made safe to print, with the columns to underline.
    excerpt: Option<Excerpt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    caret: usize,
    width: usize,
}

impl Diagnostic {
    /// A diagnostic about a file as a whole.
    pub(crate) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: None,
            column: None,
            key: None,
            message: message.into(),
            excerpt: None,
        }
    }
}

impl Diagnostic {
    /// The file, and line and column where it has them: `nginx.yml:1:10`.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = String::new();
        for c in self.file.to_string_lossy().chars() {
            if c.is_control() { place.extend(c.escape_default()) } else { place.push(c) }
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            place.push_str(&format!(":{line}:{column}"));
        }
        place
    }

    /// The same about a value that is sound as far as its text goes.
    pub(super) fn about(self, severity: Severity, key: &str) -> Self {
        let key = self.key.or_else(|| Some(key.to_owned()));
        Self { severity, key, ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        match self.severity {
            Severity::Error => {}
            Severity::Warning => f.write_str(": warning")?,
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some(line), Some(Excerpt { text, caret, width })) = (self.line, &self.excerpt) {
            let underline = "^".repeat(*width);
            write!(f, "\n{line:>5} | {text}\n      | {:caret$}{underline}", "")?;
        }
        Ok(())
    }
}

/// A stretch of one of the files that a unit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Which of the files, by its number among the sources of the report.
    pub file: u32,
    /// How many characters it has.
    pub width: u32,
    /// The line, counted from 1.
    pub line: u64,
    /// The column in characters, counted from 1.
    pub column: u64,
}

impl Place {
    /// The place of one character, by its offset in bytes.
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() as u64 + 1;
        let column = before[line_start..].chars().count() as u64 + 1;
        Self { file: 0, width: 1, line, column }
    }

    /// Whether the other place is within this one. A text of several lines has all of its first one.
    fn holds(self, other: Self) -> bool {
        let end = self.column + u64::from(self.width.max(1));
        (self.file, self.line) == (other.file, other.line)
            && (self.column..end).contains(&other.column)
    }

    /// The part of the place that holds `what`, if there is just one; else the whole place.
    pub fn narrowed(self, text: &str, what: &str) -> Self {
        let line = source_line(text, self.line);
        let before = usize::try_from(self.column).unwrap_or(1).saturating_sub(1);
        let shown: String = line.chars().skip(before).take(self.width as usize).collect();
        match (shown.find(what), shown.rfind(what)) {
            (Some(first), Some(last)) if first == last => Self {
                width: u32::try_from(what.chars().count()).unwrap_or(u32::MAX),
                column: self.column + shown[..first].chars().count() as u64,
                ..self
            },
            _ => self,
        }
    }
}

/// Something about a value that cannot be: what is wrong, and perhaps what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    what: String,
    hint: Option<String>,
}

impl Wrong {
    /// What is wrong, worded to be followed by "; expected ...".
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// What to write instead.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The whole message.
    pub fn message(&self, expected: &str) -> String {
        let hint = self.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
        format!("{}; expected {expected}{hint}", self.what)
    }
}

/// A file and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

/// Collects the diagnostics of one unit, which is made of one file, or of several.
pub(super) struct Report<'a> {
    sources: &'a [Source<'a>],
    /// The key that is being read, with the path into its value.
    pub key: Option<String>,
    /// Where nothing is noted: values that are only known for each instance of a template.
    pub open: Vec<Place>,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    /// `sources` holds at least one file; the first one is the unit's own.
    pub fn new(sources: &'a [Source<'a>]) -> Self {
        Self { sources, key: None, open: Vec::new(), found: Vec::new() }
    }

    /// How many were found so far.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether reading on is in vain, because nothing more will be shown.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    /// Notes what is wrong at a place.
    pub fn at(&mut self, place: Place, message: impl Into<String>) {
        if self.is_full() || self.open.iter().any(|open| open.holds(place)) {
            return;
        }
        let source = self.source(place.file);
        self.found.push(Diagnostic {
            severity: Severity::Error,
            file: source.file.to_owned(),
            line: Some(place.line),
            column: Some(place.column),
            key: self.key.clone(),
            message: message.into(),
            excerpt: excerpt(source.text, place),
        });
    }

    /// Notes what is wrong with one piece of the text at a place.
    pub fn at_part(&mut self, place: Place, part: &str, message: impl Into<String>) {
        self.at(place.narrowed(self.source(place.file).text, part), message);
    }

    /// Notes what is wrong at a place, or with the unit's own file as a whole where there is none.
    pub fn at_or_file(&mut self, place: Option<Place>, message: impl Into<String>) {
        match place {
            Some(place) => self.at(place, message),
            None => self.of_file(0, message),
        }
    }

    /// Notes what is wrong with one of the files as a whole.
    pub fn of_file(&mut self, file: u32, message: impl Into<String>) {
        if !self.is_full() {
            self.found.push(Diagnostic::of_file(self.source(file).file, message));
        }
    }

    /// "FILE:LINE" of a place.
    pub fn shown(&self, place: Place) -> String {
        format!("{}:{}", self.source(place.file).file.display(), place.line)
    }

    fn source(&self, file: u32) -> Source<'a> {
        self.sources[file as usize]
    }

    /// All that was found.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        if self.is_full() {
            let rest = format!("after {MAX_DIAGNOSTICS} mistakes the rest is not shown");
            self.found.push(Diagnostic::of_file(self.source(0).file, rest));
        }
        self.found
    }
}

/// A line of the file, counted from 1, without its ending.
fn source_line(text: &str, number: u64) -> &str {
    let before = usize::try_from(number).unwrap_or(1).saturating_sub(1);
    let line = text.split('\n').nth(before).unwrap_or("");
    line.trim_start_matches('\u{feff}').trim_end_matches('\r')
}

/// The line a place is on, cut to a window round the place, harmless on a terminal.
fn excerpt(text: &str, place: Place) -> Option<Excerpt> {
    let line = source_line(text, place.line);
    let column = usize::try_from(place.column).ok()?.saturating_sub(1);
    let skip = if column < MAX_EXCERPT - 20 { 0 } else { column - MAX_EXCERPT / 2 };
    let shown: String = line
        .chars()
        .skip(skip)
        .take(MAX_EXCERPT)
        .map(|c| if c == '\t' { ' ' } else { c })
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    let length = shown.chars().count();
    let caret = (column - skip).min(length);
    let width = (place.width as usize).clamp(1, (length - caret).max(1));
    Some(Excerpt { text: shown.trim_end().to_owned(), caret, width })
}

/// A text of the file in quotes, cut short and harmless on a terminal.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::from("\"");
    for c in text.chars().take(LONGEST) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.push_str(if text.chars().nth(LONGEST).is_some() { "...\"" } else { "\"" });
    shown
}
