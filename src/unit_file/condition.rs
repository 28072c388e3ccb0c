//! `condition`: what must hold when the unit is about to start.

use super::diagnostic::{Report, Wrong, quoted};
use super::keys;
use super::node::{Node, Value};
use super::scalar::{absolute_path, boolean, clean};
use crate::supervision::condition::{Compared, Entry, PathIs, Test, Virtual, What};

pub(super) const CONDITIONS: &str =
    "a list of conditions such as [{path_exists: /etc/foo}, {kernel_command_line: debug}]";
const CONDITION: &str = "a condition such as {path_exists: /etc/foo}";
const VIRTUALIZATION: &str = "vm, container, true or false";

/// The words that may stand in an entry.
const WORDS: &[&str] = &[
    "path_exists",
    "path_is_directory",
    "path_is_symbolic_link",
    "path_is_mount_point",
    "path_is_read_write",
    "file_not_empty",
    "file_is_executable",
    "directory_not_empty",
    "kernel_command_line",
    "first_boot",
    "user",
    "architecture",
    "virtualization",
    "path_exists_glob",
    "ac_power",
    "capability",
    "cpus",
    "any",
    "not",
    "required",
];

/// All entries; a mapping alone is a list of one.
pub(super) fn conditions(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Entry> {
    match &node.value {
        Value::List(list) => list.iter().filter_map(|item| entry(item, true, report)).collect(),
        Value::Map(_) => entry(node, true, report).into_iter().collect(),
        Value::Null | Value::Scalar(_) => {
            report.expected(node, form);
            Vec::new()
        }
    }
}

/// What the words of one entry say.
#[derive(Default)]
struct Read {
    tests: Option<Vec<Test>>,
    is_list: bool,
    not: bool,
    required: bool,
    /// How many conditions there are in it, also such as could not be read.
    count: usize,
}

/// One entry. An `any` holds a list of entries, and those no further one.
fn entry(node: &Node, may_nest: bool, report: &mut Report<'_>) -> Option<Entry> {
    let Value::Map(entries) = &node.value else {
        report.expected(node, CONDITION);
        return None;
    };
    let mut read = Read::default();
    let mut second = None;
    keys::inner(entries, WORDS, report, |name, value, report| match name {
        "not" => read.not = report.scalar(value, "true or false", boolean).unwrap_or(false),
        "required" if may_nest => {
            read.required = report.scalar(value, "true or false", boolean).unwrap_or(false);
        }
        "required" => report.at(value.place, "required belongs beside the any, not inside it"),
        _ if read.count > 0 => second = Some(value.place),
        "any" if may_nest => {
            read.count += 1;
            read.is_list = true;
            read.tests = any(value, report);
        }
        "any" => report.at(value.place, "an any inside an any; expected only conditions here"),
        _ => {
            read.count += 1;
            read.tests = test(name, value, report).map(|test| vec![test]);
        }
    });
    if let Some(place) = second {
        report
            .at(place, "a second condition in one mapping; give each an entry of the list: - ...");
        return None;
    }
    if read.count == 0 {
        let place = entries.first().map_or(node.place, |(name, _)| name.place);
        report.at(place, format!("there is no condition here; expected {CONDITION}"));
        return None;
    }
    if read.is_list && read.not {
        report.at(node.place, "not beside an any; negate each condition inside it instead");
        return None;
    }
    let mut tests = read.tests?;
    if read.not {
        tests.iter_mut().for_each(|test| test.negated = !test.negated);
    }
    Some(Entry { any: tests, required: read.required })
}

fn any(node: &Node, report: &mut Report<'_>) -> Option<Vec<Test>> {
    match &node.value {
        Value::List(list) if !list.is_empty() => {
            let entries: Vec<_> = list.iter().map(|item| entry(item, false, report)).collect();
            let entries: Option<Vec<Entry>> = entries.into_iter().collect();
            entries.map(|entries| entries.into_iter().flat_map(|entry| entry.any).collect())
        }
        Value::List(_) => {
            report.at(node.place, format!("an empty list never holds; expected {CONDITIONS}"));
            None
        }
        _ => {
            report.expected(node, CONDITIONS);
            None
        }
    }
}

fn test(name: &str, value: &Node, report: &mut Report<'_>) -> Option<Test> {
    let is = match name {
        "path_exists" => PathIs::There,
        "path_is_directory" => PathIs::Directory,
        "path_is_symbolic_link" => PathIs::SymbolicLink,
        "path_is_mount_point" => PathIs::MountPoint,
        "path_is_read_write" => PathIs::ReadWrite,
        "file_not_empty" => PathIs::NotEmptyFile,
        "file_is_executable" => PathIs::Executable,
        "directory_not_empty" => PathIs::NotEmptyDirectory,
        "first_boot" => {
            let is_first = report.scalar(value, "true or false", boolean)?;
            return Some(Test { what: What::FirstBoot, negated: !is_first });
        }
        "ac_power" => {
            let is_wanted = report.scalar(value, "true or false", boolean)?;
            return Some(Test { what: What::AcPower, negated: !is_wanted });
        }
        "path_exists_glob" => {
            let form = "an absolute path with *, ?, [...] or {...} in it";
            return report.scalar(value, form, |text| negated(text, glob, What::Glob));
        }
        "capability" => {
            let form = "a capability such as CAP_SYS_TIME";
            return report.scalar(value, form, |text| negated(text, capability, |what| what));
        }
        "cpus" => return report.scalar(value, "a number of processors, or >1 or <=4", cpus),
        "virtualization" => return report.scalar(value, VIRTUALIZATION, virtualization),
        "kernel_command_line" => {
            let form = "one word of the kernel's command line, or word=value";
            return report.scalar(value, form, |text| negated(text, word, What::KernelCommandLine));
        }
        "user" => {
            let form = "a user's name or number, or @system";
            return report.scalar(value, form, |text| negated(text, word, What::User));
        }
        _ => {
            let form = "a machine's kind such as x86_64 or arm64";
            return report.scalar(value, form, |text| negated(text, word, What::Architecture));
        }
    };
    report.scalar(value, "an absolute path", |text| {
        negated(text, absolute_path, |path| What::Path(is, path))
    })
}

/// A leading `!` negates.
fn negated<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, Wrong>,
    what: impl Fn(T) -> What,
) -> Result<Test, Wrong> {
    let plain = text.strip_prefix('!');
    let value = read(plain.map_or(text, str::trim_start))?;
    Ok(Test { what: what(value), negated: plain.is_some() })
}

fn word(text: &str) -> Result<String, Wrong> {
    let text = clean(text, "")?;
    match text.as_str() {
        "" => Err(Wrong::new("there is no word")),
        text if text.contains(char::is_whitespace) => {
            Err(Wrong::new(format!("{} is more than one word", quoted(text))))
        }
        _ => Ok(text),
    }
}

fn glob(text: &str) -> Result<String, Wrong> {
    let text = clean(text, "")?;
    if !text.starts_with('/') {
        return Err(Wrong::new(format!("{} is no absolute path", quoted(&text))));
    }
    Ok(text)
}

/// The names of capabilities(7), by their numbers.
pub(super) const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn capability(text: &str) -> Result<What, Wrong> {
    let wanted = clean(text, "")?.to_ascii_uppercase();
    let known = (0..).zip(CAPABILITIES).find(|(_, name)| **name == wanted);
    let why = || Wrong::new(format!("there is no capability {}", quoted(text)));
    known.map(|(number, name)| What::Capability(name, number)).ok_or_else(why)
}

/// A number alone is the least that there must be, as ConditionCPUs= has it (systemd.unit(5)).
fn cpus(text: &str) -> Result<Test, Wrong> {
    let text = clean(text, "")?;
    let sign = Compared::ALL.into_iter().find(|it| text.starts_with(it.sign()));
    let number = text[sign.map_or(0, |it| it.sign().len())..].trim_start();
    let why = || Wrong::new(format!("{} is no number of processors", quoted(&text)));
    let count = Some(number).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
    let count = count.and_then(|it| it.parse().ok()).ok_or_else(why)?;
    let compared = sign.unwrap_or(Compared::AtLeast);
    Ok(Test { what: What::Cpus(compared, count), negated: false })
}

fn virtualization(text: &str) -> Result<Test, Wrong> {
    let plain = text.strip_prefix('!');
    let test = |what, negated: bool| {
        Ok(Test { what: What::Virtualization(what), negated: negated != plain.is_some() })
    };
    match plain.map_or(text, str::trim_start) {
        "vm" => test(Virtual::Machine, false),
        "container" => test(Virtual::Container, false),
        "true" | "yes" | "any" => test(Virtual::Any, false),
        "false" | "no" | "none" => test(Virtual::Any, true),
        other => Err(Wrong::new(format!("there is no virtualization {}", quoted(other)))
            .hint("vm and container are told apart, not their makers")),
    }
}
