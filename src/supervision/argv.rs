//! [`Argv`]: a program and its arguments in one piece of memory.

use std::fmt;

/// A program and its arguments. No argument holds a NUL, which ends every text in the kernel, so
/// they stand behind each other with one between them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Argv(Box<str>);

impl Argv {
    /// The program, then its arguments.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0')
    }

    /// The same as texts of their own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

/// From the program and its arguments, at least the program, none with a NUL.
impl From<Vec<String>> for Argv {
    fn from(argv: Vec<String>) -> Self {
        Self(argv.join("\0").into())
    }
}

impl fmt::Debug for Argv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Argv;

    #[test]
    fn what_goes_in_comes_out() {
        for argv in [&["a"][..], &[""], &["a", ""], &["a", "", "b c", "é\n", ""]] {
            let argv: Vec<String> = argv.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(Argv::from(argv.clone()).to_vec(), argv);
        }
    }
}
