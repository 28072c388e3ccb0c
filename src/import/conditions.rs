//! `Condition...=` and `Assert...=`.

use super::report::{Verdict, approximated, dropped, kept};
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::words::shell_quoted;
use super::yaml::Yaml;

const fn all(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Unit", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    all(
        &[
            "ConditionPathExists",
            "AssertPathExists",
            "ConditionPathExistsGlob",
            "AssertPathExistsGlob",
            "ConditionPathIsDirectory",
            "AssertPathIsDirectory",
            "ConditionFileNotEmpty",
            "AssertFileNotEmpty",
            "ConditionFileIsExecutable",
            "AssertFileIsExecutable",
            "ConditionDirectoryNotEmpty",
            "AssertDirectoryNotEmpty",
            "ConditionKernelCommandLine",
            "AssertKernelCommandLine",
            "ConditionFirstBoot",
            "AssertFirstBoot",
            "ConditionUser",
            "AssertUser",
            "ConditionArchitecture",
            "AssertArchitecture",
            "ConditionVirtualization",
            "AssertVirtualization",
            "ConditionPathIsReadWrite",
            "ConditionPathIsSymbolicLink",
            "ConditionPathIsMountPoint",
            "ConditionHost",
            "ConditionGroup",
            "ConditionKernelVersion",
            "ConditionEnvironment",
            "ConditionACPower",
            "AssertACPower",
            "ConditionCapability",
            "AssertCapability",
            "ConditionCPUs",
            "AssertCPUs",
        ],
        condition,
    ),
    all(
        &["ConditionSecurity", "ConditionControlGroupController", "ConditionNeedsUpdate"],
        |_, _| Ok(dropped("no condition asks for it")),
    ),
    all(&["ConditionMemory", "ConditionCPUPressure", "ConditionFirmware"], |_, _| {
        Ok(dropped("no condition asks for it"))
    }),
];

/// What a condition is called by `condition:`, and how sh(1) asks for it where there is none.
struct Test {
    name: &'static str,
    shell: fn(&str) -> Option<String>,
}

fn test(key: &str) -> Option<Test> {
    let it = |name, shell| Some(Test { name, shell });
    match key {
        "PathExists" => it("path_exists", |text| Some(format!("[ -e {} ]", shell_quoted(text)))),
        "PathIsDirectory" => {
            it("path_is_directory", |text| Some(format!("[ -d {} ]", shell_quoted(text))))
        }
        "FileNotEmpty" => {
            it("file_not_empty", |text| Some(format!("[ -s {} ]", shell_quoted(text))))
        }
        "FileIsExecutable" => it("file_is_executable", |text| {
            let path = shell_quoted(text);
            Some(format!("{{ [ -f {path} ] && [ -x {path} ]; }}"))
        }),
        "PathIsSymbolicLink" => {
            it("path_is_symbolic_link", |text| Some(format!("[ -L {} ]", shell_quoted(text))))
        }
        "PathIsReadWrite" => {
            it("path_is_read_write", |text| Some(format!("[ -w {} ]", shell_quoted(text))))
        }
        "PathIsMountPoint" => {
            it("path_is_mount_point", |text| Some(format!("mountpoint -q {}", shell_quoted(text))))
        }
        "DirectoryNotEmpty" => it("directory_not_empty", |text| {
            Some(format!("[ -n \"$(ls -A {} 2>/dev/null)\" ]", shell_quoted(text)))
        }),
        "PathExistsGlob" => it("path_exists_glob", |text| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./*?[]".contains(c);
            let ok = text.chars().all(is_plain);
            ok.then(|| format!("[ -n \"$(ls -d {text} 2>/dev/null)\" ]"))
        }),
        "KernelCommandLine" => it("kernel_command_line", |text| {
            let word = shell_quoted(text);
            Some(match text.contains('=') {
                true => format!("tr ' ' '\\n' </proc/cmdline | grep -qxF -- {word}"),
                false => format!("tr ' ' '\\n' </proc/cmdline | cut -d= -f1 | grep -qxF -- {word}"),
            })
        }),
        "FirstBoot" => it("first_boot", |_| None),
        "User" => it("user", |_| None),
        "Group" => it("group", |_| None),
        "Host" => it("host", |_| None),
        "Environment" => it("environment", |_| None),
        "KernelVersion" => it("kernel_version", |_| None),
        "Architecture" => it("architecture", |_| None),
        "Virtualization" => it("virtualization", |_| None),
        "ACPower" => it("ac_power", |_| None),
        "Capability" => it("capability", |_| None),
        "CPUs" => it("cpus", |_| None),
        _ => None,
    }
}

fn condition(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let own = it.names.kind == "service";
    let as_asked = |verdict: Verdict| match own {
        true => verdict,
        false => approximated("it is asked for when the service is to start"),
    };
    let (is_assert, key) = match it.key.strip_prefix("Assert") {
        Some(key) => (true, key),
        None => (false, it.key.strip_prefix("Condition").unwrap_or(&it.key)),
    };
    let Some(test) = test(key) else { return Ok(dropped("no condition asks for it")) };
    let (is_alternative, text) = match it.value.strip_prefix('|') {
        Some(text) => (true, text.trim_start()),
        None => (false, it.value.as_str()),
    };
    let (is_negated, text) = match text.strip_prefix('!') {
        Some(text) => (true, text.trim_start()),
        None => (false, text),
    };
    let text = it.expand(text)?;
    if is_known(test.name, &text) {
        let value = if is_negated { format!("!{text}") } else { text.clone() };
        let value = match test.name {
            "first_boot" | "virtualization" | "ac_power" => match boolean(&text) {
                Some(wanted) => Yaml::bare((wanted != is_negated).to_string()),
                None => Yaml::text(value),
            },
            _ => Yaml::text(value),
        };
        let mut entry = vec![(test.name.to_owned(), value)];
        if is_assert && !is_alternative {
            entry.push(("required".to_owned(), Yaml::bare("true")));
        }
        if is_alternative {
            import.parts.any_of.push((it.number, Yaml::Map(entry)));
        } else {
            import.draft.add("condition", Yaml::Map(entry), it.number);
        }
        return Ok(as_asked(kept()));
    }
    // Without the key a shell asks, before the program.
    match (test.shell)(&text) {
        Some(line) if !is_alternative => {
            let not = if is_negated { "! " } else { "" };
            let end = if is_assert { "exit 1" } else { "exit 0" };
            import.parts.steps.push((it.number, 0, format!("{not}{line} || {end}")));
            Ok(approximated(if is_assert {
                "sh asks in the command line, and the start fails"
            } else {
                "sh asks in the command line, and the start ends at once with 0"
            }))
        }
        _ => Ok(dropped("no condition asks for it")),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// Whether the unit parser knows the key, and this condition of it.
fn is_known(name: &str, text: &str) -> bool {
    if !crate::unit_file::is_key("condition") {
        return false;
    }
    let mut unit = String::from("command: /bin/true\n");
    let value = match boolean(text) {
        Some(wanted) => Yaml::bare(wanted.to_string()),
        None => Yaml::text(text),
    };
    let list = Yaml::List(vec![Yaml::Map(vec![(name.to_owned(), value)])]);
    super::yaml::entry(&mut unit, "condition", &list, 0);
    crate::unit_file::parse(std::path::Path::new("x.yml"), &unit).is_ok()
}
