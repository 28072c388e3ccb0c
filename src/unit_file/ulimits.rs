//! `ulimits`, in Compose's shape: a number, or soft and hard.

use super::diagnostic::{Report, Wrong, quoted};
use super::keys;
use super::node::{Node, Value};
use crate::supervision::unit::Ulimit;

pub(super) const FORM: &str =
    "a mapping such as nofile: 65536 or nofile: {soft: 1024, hard: 65536}";
const LIMIT: &str = "a whole number or unlimited";

/// Names and numbers (getrlimit(2)); the numbers differ between architectures, and their type
/// between C libraries.
#[allow(clippy::unnecessary_cast)]
#[rustfmt::skip]
const RESOURCES: &[(&str, u32)] = &[
    ("as", libc::RLIMIT_AS as u32),
    ("core", libc::RLIMIT_CORE as u32),
    ("cpu", libc::RLIMIT_CPU as u32),
    ("data", libc::RLIMIT_DATA as u32),
    ("fsize", libc::RLIMIT_FSIZE as u32),
    ("locks", libc::RLIMIT_LOCKS as u32),
    ("memlock", libc::RLIMIT_MEMLOCK as u32),
    ("msgqueue", libc::RLIMIT_MSGQUEUE as u32),
    ("nice", libc::RLIMIT_NICE as u32),
    ("nofile", libc::RLIMIT_NOFILE as u32),
    ("nproc", libc::RLIMIT_NPROC as u32),
    ("rss", libc::RLIMIT_RSS as u32),
    ("rtprio", libc::RLIMIT_RTPRIO as u32),
    ("rttime", libc::RLIMIT_RTTIME as u32),
    ("sigpending", libc::RLIMIT_SIGPENDING as u32),
    ("stack", libc::RLIMIT_STACK as u32),
];

/// All limits, in the order they were written.
pub(super) fn limits(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Ulimit> {
    let Value::Map(entries) = &node.value else {
        report.expected(node, form);
        return Vec::new();
    };
    let mut limits = Vec::with_capacity(entries.len().min(RESOURCES.len()));
    for (key, value) in entries {
        if report.is_full() {
            break;
        }
        limits.extend(limit(key, value, report));
    }
    limits
}

fn limit(key: &Node, value: &Node, report: &mut Report<'_>) -> Option<Ulimit> {
    let (name, resource) = report.scalar(key, "the name of a resource", resource)?;
    report.inside(name, |report| {
        let (soft, hard) = match &value.value {
            Value::Map(entries) => soft_and_hard(key, entries, report)?,
            Value::Null => {
                report.at(key.place, format!("no value; expected {LIMIT}, or {{soft, hard}}"));
                return None;
            }
            _ => {
                let both = report.scalar(value, LIMIT, number)?;
                (both, both)
            }
        };
        if soft > hard {
            report.at(key.place, "the soft limit is above the hard one; expected at most as much");
        }
        Some(Ulimit { resource, soft, hard })
    })
}

fn soft_and_hard(
    key: &Node,
    entries: &[(Node, Node)],
    report: &mut Report<'_>,
) -> Option<(u64, u64)> {
    let (mut soft, mut hard) = (None, None);
    let mut seen = 0;
    keys::inner(entries, &["soft", "hard"], report, |name, value, report| {
        seen += 1;
        let side = if name == "soft" { &mut soft } else { &mut hard };
        *side = report.scalar(value, LIMIT, number);
    });
    if seen < 2 && entries.len() == seen {
        report.at(key.place, "one side is missing; expected {soft: ..., hard: ...}");
    }
    Some((soft?, hard?))
}

fn resource(text: &str) -> Result<(&'static str, u32), Wrong> {
    if let Some(&found) = RESOURCES.iter().find(|(name, _)| *name == text) {
        return Ok(found);
    }
    let wrong = Wrong::new(format!("there is no resource {}", quoted(text)));
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix("rlimit_").or(lower.strip_prefix("limit")).unwrap_or(&lower);
    Err(match keys::nearest_of(bare, RESOURCES.iter().map(|&(name, _)| name)) {
        Some(near) => wrong.hint(format!("did you mean {near}?")),
        None => wrong,
    })
}

fn number(text: &str) -> Result<u64, Wrong> {
    if matches!(text, "unlimited" | "infinity" | "-1") {
        return Ok(u64::MAX);
    }
    match text.parse() {
        Ok(number) if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(number),
        _ => Err(Wrong::new(format!("{} is no limit", quoted(text)))),
    }
}
