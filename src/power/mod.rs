//! How a machine ends: the word that `slc`, the supervisor and `init` hand to each other.
//!
//! `slc poweroff` asks the supervisor; the supervisor stops its services and ends with the word's
//! exit status; `init` reads that status, ends what is left, and calls reboot(2).

pub mod report;

/// What becomes of the machine once everything is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// The power is switched off.
    PowerOff,
    /// The machine starts anew.
    Reboot,
    /// The machine stops with the power on.
    Halt,
    /// The kernel loaded by kexec(8) is started.
    Kexec,
}

impl Power {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::PowerOff, Self::Reboot, Self::Halt, Self::Kexec];

    /// The word for people: also the command of `slc`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
            Self::Kexec => "kexec",
        }
    }

    /// The exit status by which a supervisor asks its `init` for this.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::PowerOff => 80,
            Self::Reboot => 81,
            Self::Halt => 82,
            Self::Kexec => 83,
        }
    }

    /// What a supervisor asked for that ended with this exit status; `None` when it asked for
    /// nothing.
    #[must_use]
    pub fn from_exit_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|power| i32::from(power.exit_status()) == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exit_status_comes_back_as_its_word() {
        for power in Power::ALL {
            assert_eq!(Power::from_exit_status(i32::from(power.exit_status())), Some(power));
        }
        assert_eq!(Power::from_exit_status(0), None);
        assert_eq!(Power::from_exit_status(1), None);
    }
}
