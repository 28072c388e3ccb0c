//! What `init` is told: its own arguments and the kernel command line.
//!
//! The kernel hands process 1 every word of its command line that it does not know itself, so an
//! unknown word is never an error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What is passed on to `service-launcher`, as `--NAME=VALUE`.
const PASSED_ON: [&str; 10] = [
    "units",
    "run-dir",
    "log-dir",
    "log-size",
    "log-count",
    "state-dir",
    "cgroup-root",
    "max-starting",
    "group",
    "syslog",
];

/// The settings that are numbers, from the least to the greatest, and what is expected of them. A
/// supervisor that is passed another one does not begin, and the machine would not come up for it.
const NUMBERS: [(&str, u64, u64, &str); 4] = [
    ("log-size", 0, u64::MAX, "a whole number of bytes"),
    ("log-count", 1, 1000, "a whole number from 1 to 1000"),
    ("max-starting", 0, u64::MAX, "a whole number"),
    ("shutdown-timeout", 0, u64::MAX, "a whole number of seconds"),
];

/// How long the services may take to go down, in seconds.
const SHUTDOWN_TIMEOUT: u64 = 90;

/// What to do about file system checks: `fsck.mode=` of the kernel command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Check {
    /// As fstab(5) asks.
    #[default]
    Auto,
    /// Also those that look clean.
    Force,
    /// None.
    Skip,
}

/// What `init` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// The program to keep running, before all others that could be it.
    pub(super) launcher: Option<PathBuf>,
    /// Arguments of that program, by name.
    pub(super) passed_on: Vec<(&'static str, OsString)>,
    /// Seconds that it is given to stop all services.
    pub(super) shutdown_timeout: u64,
    pub(super) fstab: PathBuf,
    pub(super) hostname_file: PathBuf,
    /// The terminal for messages and the emergency shell, instead of the one that was inherited.
    pub(super) console: Option<PathBuf>,
    /// A shell before anything is started.
    pub(super) emergency: bool,
    pub(super) check: Check,
    pub(super) debug: bool,
    /// Settings that cannot be used; what would count without them does.
    pub(super) wrong: Vec<Wrong>,
    /// Words that mean nothing here.
    pub(super) unknown: Vec<OsString>,
}

/// A setting whose value is no number, or none that there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) name: &'static str,
    pub(super) value: OsString,
    /// What is expected.
    pub(super) expected: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            launcher: None,
            passed_on: Vec::new(),
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            fstab: "/etc/fstab".into(),
            hostname_file: "/etc/hostname".into(),
            console: None,
            emergency: false,
            check: Check::Auto,
            debug: false,
            wrong: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the kernel command line (the text of `/proc/cmdline`), then the arguments, which have
    /// the last word.
    pub(super) fn read(kernel: &[u8], arguments: impl Iterator<Item = OsString>) -> Self {
        let mut options = Self::default();
        for word in kernel_words(kernel) {
            options.take_kernel_word(&word);
        }
        let mut arguments = arguments.peekable();
        while let Some(word) = arguments.next() {
            let is_value = |next: &OsString| !next.as_bytes().starts_with(b"--");
            options.take_argument(word, || arguments.next_if(is_value));
        }
        options
    }

    /// Where `service-launcher` and `init` leave their report of a shutdown.
    pub(super) fn log_dir(&self) -> PathBuf {
        let told = self.passed_on.iter().find(|(name, _)| *name == "log-dir");
        told.map_or_else(|| "/var/log/treeward".into(), |(_, dir)| dir.into())
    }

    fn take_argument(&mut self, word: OsString, next: impl FnOnce() -> Option<OsString>) {
        let bytes = word.as_bytes();
        let Some(option) = bytes.strip_prefix(b"--") else {
            match bytes {
                b"single" | b"s" | b"S" | b"1" | b"-s" | b"emergency" | b"rescue" | b"-b" => {
                    self.emergency = true;
                }
                _ => self.unknown.push(word),
            }
            return;
        };
        let (name, value) = split(option);
        let value = value.map(os_string);
        let known = ["fstab", "hostname-file", "console"].map(str::as_bytes);
        if name == b"debug" {
            self.debug = true;
        } else if !self.is_setting(name) && !known.contains(&name) {
            self.unknown.push(word);
        } else {
            let name = name.to_owned();
            let value = value.or_else(next).unwrap_or_default();
            self.set(&name, value);
        }
    }

    fn take_kernel_word(&mut self, word: &[u8]) {
        match (word.strip_prefix(b"treeward."), word) {
            (Some(b"debug"), _) => self.debug = true,
            (Some(setting), _) => {
                let (name, value) = split(setting);
                match value {
                    _ if !self.is_setting(name) => self.unknown.push(os_string(word)),
                    value => self.set(name, os_string(value.unwrap_or_default())),
                }
            }
            (None, b"fsck.mode=skip" | b"fastboot") => self.check = Check::Skip,
            (None, b"fsck.mode=force" | b"forcefsck") => self.check = Check::Force,
            // All else is for the kernel, or comes as an argument as well.
            _ => {}
        }
    }

    fn is_setting(&self, name: &[u8]) -> bool {
        name == b"launcher"
            || name == b"shutdown-timeout"
            || PASSED_ON.iter().any(|known| known.as_bytes() == name)
    }

    fn set(&mut self, name: &[u8], value: OsString) {
        let number = value.to_str().and_then(|text| text.parse().ok());
        let meant = NUMBERS.into_iter().find(|(known, ..)| known.as_bytes() == name);
        if let Some((name, least, greatest, expected)) = meant
            && !number.is_some_and(|number| (least..=greatest).contains(&number))
        {
            self.wrong.push(Wrong { name, value, expected });
            return;
        }
        if let Some(known) = PASSED_ON.into_iter().find(|known| known.as_bytes() == name) {
            self.passed_on.retain(|(other, _)| *other != known);
            self.passed_on.push((known, value));
            return;
        }
        match name {
            b"launcher" => self.launcher = Some(value.into()),
            b"fstab" => self.fstab = value.into(),
            b"hostname-file" => self.hostname_file = value.into(),
            b"console" => self.console = Some(value.into()),
            _ => self.shutdown_timeout = number.unwrap_or(SHUTDOWN_TIMEOUT),
        }
    }
}

/// `NAME=VALUE` or `NAME`.
fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = word.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or_default(), parts.next())
}

fn os_string(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

/// The words of the kernel command line: separated by blanks, but not inside of double quotes,
/// which are left out; a word `--` is the last that is for the kernel.
fn kernel_words(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), Vec::new(), false);
    for byte in line.iter().chain(b" ") {
        match byte {
            b'"' => quoted = !quoted,
            blank if blank.is_ascii_whitespace() && !quoted => {
                words.push(std::mem::take(&mut word));
            }
            byte => word.push(*byte),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    let end = words.iter().position(|word| word == b"--").unwrap_or(words.len());
    words.truncate(end);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kernel: &str, arguments: &[&str]) -> Options {
        Options::read(kernel.as_bytes(), arguments.iter().map(OsString::from))
    }

    #[test]
    fn nothing_said_gives_the_usual_places() {
        let options = read("", &[]);
        assert_eq!(options, Options::default());
        assert_eq!(options.log_dir(), PathBuf::from("/var/log/treeward"));
    }

    #[test]
    fn the_kernel_command_line_gives_settings_and_an_argument_has_the_last_word() {
        let kernel = "BOOT_IMAGE=/vmlinuz root=/dev/vda rw quiet treeward.launcher=/opt/a \
                      treeward.units=\"/etc/my units\" treeward.shutdown-timeout=5 \
                      treeward.syslog treeward.typo=1 treeward.max-starting=8 fsck.mode=force treeward.debug";
        let options =
            read(kernel, &["--launcher", "/opt/b", "--log-dir=/log", "--state-dir", "/s"]);
        assert_eq!(options.launcher, Some("/opt/b".into()));
        let passed: Vec<_> = options
            .passed_on
            .iter()
            .map(|(name, value)| (*name, value.to_str().unwrap()))
            .collect();
        let wanted = [
            ("units", "/etc/my units"),
            ("syslog", ""),
            ("max-starting", "8"),
            ("log-dir", "/log"),
            ("state-dir", "/s"),
        ];
        assert_eq!(passed, wanted);
        assert_eq!(options.log_dir(), PathBuf::from("/log"));
        assert_eq!((options.shutdown_timeout, options.check), (5, Check::Force));
        assert!(options.debug && !options.emergency);
        assert_eq!(options.unknown, ["treeward.typo=1"]);
        let again = read("treeward.units=/a treeward.units=/b", &[]).passed_on;
        assert_eq!(again, [("units", "/b".into())], "the last word counts, once");
    }

    #[test]
    fn words_that_mean_nothing_are_kept_and_harm_nothing() {
        let options = read("a \"b", &["quiet", "-x", "--what", "--"]);
        let unknown = ["quiet", "-x", "--what", "--"].map(OsString::from).into();
        assert_eq!(options, Options { unknown, ..Options::default() });
    }

    #[test]
    fn a_number_that_is_none_is_told_and_not_passed_on() {
        let kernel =
            "treeward.log-size=10M treeward.log-count=0 treeward.max-starting=8 treeward.units=/u";
        let options = read(kernel, &["--max-starting=-1", "--shutdown-timeout=soon"]);
        let wrong: Vec<_> = options.wrong.iter().map(|it| (it.name, it.value.to_str())).collect();
        let wanted = [
            ("log-size", "10M"),
            ("log-count", "0"),
            ("max-starting", "-1"),
            ("shutdown-timeout", "soon"),
        ];
        assert_eq!(wrong, wanted.map(|(name, value)| (name, Some(value))));
        let passed = [("max-starting", "8".into()), ("units", "/u".into())];
        assert_eq!((&options.passed_on[..], options.shutdown_timeout), (&passed[..], 90));
    }

    #[test]
    fn an_option_without_its_value_takes_no_other_option_for_it() {
        let options = read("", &["--units", "--debug"]);
        assert!(options.debug);
        assert_eq!(options.passed_on, [("units", OsString::new())]);
    }

    #[test]
    fn the_words_of_old_for_a_single_user_open_a_shell() {
        for word in ["single", "s", "S", "1", "-s", "emergency", "rescue", "-b"] {
            assert!(read("", &[word]).emergency, "{word}");
        }
    }

    #[test]
    fn what_follows_two_dashes_in_the_kernel_command_line_comes_as_arguments() {
        assert_eq!(read("a -- treeward.launcher=/x", &[]).launcher, None);
    }

    #[test]
    fn any_bytes_are_survived() {
        for seed in 0_u32..2_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|at| (seed.wrapping_mul(2_654_435_761) >> (at % 25)) as u8 ^ at)
                .collect();
            let words = bytes.split(|byte| *byte == 0).map(os_string);
            let _ = Options::read(&bytes, words);
        }
    }
}
