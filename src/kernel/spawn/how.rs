//! How a child comes into its leaf.

/// How a child gets into its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is born there (CLONE_INTO_CGROUP, Linux 5.7).
    IntoCgroup,
    /// It moves itself there before anything else. Slower by milliseconds when alone; for kernels
    /// where [`super::probe`] finds that the first does not work.
    WriteProcs,
}

impl How {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::IntoCgroup => "clone3 into the cgroup",
            Self::WriteProcs => "cgroup.procs",
        }
    }
}
