//! [`Token`]: what the loop waits for, as numbers.

/// The tokens of the descriptors that the loop waits for. Batches of births and adopted processes
/// have a token each, with their number in the low half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    Leaves,
    Notifications,
    Control,
    Chores,
    Lane,
    Looks,
    /// Files that services write to when they are ready.
    Readiness,
    Clock,
    Paths,
    Births(u32),
    Adopted(u32),
    Check(u32),
    Socket(u32),
}

impl Token {
    /// The number that the kernel gives back.
    pub const fn number(self) -> u64 {
        match self {
            Self::Signals => 1,
            Self::Leaves => 2,
            Self::Notifications => 3,
            Self::Control => 4,
            Self::Chores => 5,
            Self::Lane => 6,
            Self::Looks => 7,
            Self::Readiness => 8,
            Self::Clock => 9,
            Self::Paths => 10,
            Self::Births(batch) => 1 << 32 | batch as u64,
            Self::Adopted(pid) => 2 << 32 | pid as u64,
            Self::Check(check) => 3 << 32 | check as u64,
            Self::Socket(number) => 4 << 32 | number as u64,
        }
    }

    /// Whose number it is.
    pub const fn of(number: u64) -> Option<Self> {
        let low = number as u32;
        match (number >> 32, number) {
            (0, 1) => Some(Self::Signals),
            (0, 2) => Some(Self::Leaves),
            (0, 3) => Some(Self::Notifications),
            (0, 4) => Some(Self::Control),
            (0, 5) => Some(Self::Chores),
            (0, 6) => Some(Self::Lane),
            (0, 7) => Some(Self::Looks),
            (0, 8) => Some(Self::Readiness),
            (0, 9) => Some(Self::Clock),
            (0, 10) => Some(Self::Paths),
            (1, _) => Some(Self::Births(low)),
            (2, _) => Some(Self::Adopted(low)),
            (3, _) => Some(Self::Check(low)),
            (4, _) => Some(Self::Socket(low)),
            _ => None,
        }
    }
}
