//! [`Pattern`]: a regular expression for lines of output. The only file that knows the library,
//! which takes a time in proportion to the text whatever the expression.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// The most bytes that an expression may take when it is compiled.
const MAX_SIZE: usize = 256 * 1024;

/// A regular expression, compiled.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(MAX_SIZE).build();
        built.map(Self).map_err(|error| error.to_string())
    }

    /// Whether a line holds what is looked for. The line may be any bytes; what is no UTF-8 in it
    /// matches nothing but a dot.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(line))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_line_is_searched_and_need_not_be_text() {
        let pattern = Pattern::new(r"ready (on|at) port \d+$").unwrap();
        assert!(pattern.matches(b"\xff server ready on port 80"));
        assert!(!pattern.matches(b"ready on port 80, nearly"));
    }

    #[test]
    fn a_bad_expression_says_why_in_one_line_and_a_huge_one_is_refused() {
        assert_eq!(Pattern::new("(a").unwrap_err(), "found open group without closing ')'");
        assert_eq!(
            Pattern::new("a{1000}{1000}").unwrap_err(),
            "compiled regex exceeded size limit"
        );
    }
}
