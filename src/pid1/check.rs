//! Checks of file systems before they are mounted: fsck(8).

use std::path::Path;
use std::process::ExitStatus;

use super::fstab::Entry;
use super::options::Check;
use super::tools;
use super::watch::Watch;
use crate::words::words_of;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be used: it is clean, or was repaired, or nothing can check it.
    Good,
    /// It was repaired, and the machine must be restarted before it is used.
    Restart,
    /// It must not be written to.
    Damaged,
}

/// Checks a file system with the program for its type, which repairs by itself what is safe to
/// repair (`-a`). Where there is no such program, that is said and the file system is used.
pub(super) fn check(entry: &Entry, device: &Path, how: Check, watch: &mut Watch) -> Verdict {
    let (line, point) = (entry.line, entry.point.display());
    let name = match entry.kind.as_str() {
        "auto" => "fsck".to_owned(),
        kind => format!("fsck.{kind}"),
    };
    let Some(program) = tools::find(&name) else {
        log::info!("fstab line {line}: there is no {name}; {point} is not checked");
        return Verdict::Good;
    };
    let mut command = tools::command(&program);
    command.arg("-a").args((how == Check::Force).then_some("-f")).arg(device);
    let status = match tools::run(&mut command, watch) {
        Ok(status) => status,
        Err(e) => {
            let (program, why) = (program.display(), words_of(&e));
            log::error!("fstab line {line}: cannot run {program}: {why}");
            return Verdict::Good;
        }
    };
    let (verdict, words) = judge(status);
    let said = format!("{name} {}: {words}", device.display());
    match verdict {
        Verdict::Good => log::info!("{said}"),
        Verdict::Restart => log::warn!("fstab line {line}: {said}"),
        Verdict::Damaged => log::error!("fstab line {line}: {said}"),
    }
    verdict
}

/// The exit status is a sum of bits (fsck(8)).
fn judge(status: ExitStatus) -> (Verdict, String) {
    let Some(code) = status.code() else {
        return (Verdict::Damaged, format!("it did not end by itself ({status})"));
    };
    let words: Vec<&str> = [
        (1, "errors were corrected"),
        (2, "the machine must be restarted"),
        (4, "errors are left that it does not repair by itself"),
        (8, "it failed"),
        (16, "it was called in a wrong way"),
        (32, "it was cancelled"),
        (128, "a shared library failed"),
    ]
    .into_iter()
    .filter_map(|(bit, word)| (code & bit != 0).then_some(word))
    .collect();
    let words = if words.is_empty() { "clean".to_owned() } else { words.join(", ") };
    match code {
        code if code & !3 != 0 => (Verdict::Damaged, words),
        code if code & 2 != 0 => (Verdict::Restart, words),
        _ => (Verdict::Good, words),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_bits_of_fsck_mean_what_its_manual_says() {
        for (code, verdict, words) in [
            (0, Verdict::Good, "clean"),
            (1, Verdict::Good, "errors were corrected"),
            (2, Verdict::Restart, "the machine must be restarted"),
            (3, Verdict::Restart, "errors were corrected, the machine must be restarted"),
            (4, Verdict::Damaged, "errors are left that it does not repair by itself"),
            (8, Verdict::Damaged, "it failed"),
            (12, Verdict::Damaged, "errors are left that it does not repair by itself, it failed"),
            (
                6,
                Verdict::Damaged,
                "the machine must be restarted, errors are left that it does \
                                   not repair by itself",
            ),
            (16, Verdict::Damaged, "it was called in a wrong way"),
            (32, Verdict::Damaged, "it was cancelled"),
            (128, Verdict::Damaged, "a shared library failed"),
        ] {
            let judged = judge(ExitStatus::from_raw(code << 8));
            assert_eq!(judged, (verdict, words.to_owned()), "{code}");
        }
        assert_eq!(judge(ExitStatus::from_raw(11)).0, Verdict::Damaged);
        assert_eq!(judge(ExitStatus::from_raw(64 << 8)).0, Verdict::Damaged);
    }
}
