//! `RuntimeDirectory=` and its kin: made by `install` before the start.

use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::report::{Verdict, dropped, kept, kept_by};
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::yaml::Yaml;

const fn once(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::Once, read }
}

pub(super) const KEYS: &[Known] = &[
    Known {
        section: "Service",
        keys: &[
            "RuntimeDirectory",
            "StateDirectory",
            "CacheDirectory",
            "LogsDirectory",
            "ConfigurationDirectory",
        ],
        counts: Counts::All,
        read: directory,
    },
    once(
        &[
            "RuntimeDirectoryMode",
            "StateDirectoryMode",
            "CacheDirectoryMode",
            "LogsDirectoryMode",
            "ConfigurationDirectoryMode",
        ],
        |import, it| {
            let is_mode =
                it.value.len() <= 5 && it.value.bytes().all(|b| (b'0'..=b'7').contains(&b));
            if !is_mode || it.value.is_empty() {
                return Ok(dropped("this is no mode"));
            }
            let kind = it.key.trim_end_matches("Mode").to_owned();
            import.parts.directory_modes.push((kind, it.value.clone()));
            Ok(kept())
        },
    ),
    once(&["RuntimeDirectoryPreserve"], |import, it| {
        let preserve = it.value != "no" && it.boolean().unwrap_or(true);
        import.parts.preserves_runtime = preserve;
        Ok(kept())
    }),
];

/// A directory that is made before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    /// The directive.
    pub number: usize,
    /// Which of them, such as `RuntimeDirectory`.
    pub kind: String,
    pub path: String,
}

fn directory(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let (parent, variable) = match it.key.as_str() {
        "RuntimeDirectory" => ("/run", "RUNTIME_DIRECTORY"),
        "StateDirectory" => ("/var/lib", "STATE_DIRECTORY"),
        "CacheDirectory" => ("/var/cache", "CACHE_DIRECTORY"),
        "LogsDirectory" => ("/var/log", "LOGS_DIRECTORY"),
        _ => ("/etc", "CONFIGURATION_DIRECTORY"),
    };
    let mut paths: Vec<String> = Vec::new();
    for word in it.words()? {
        // What stands behind a colon is a link, or a flag.
        let name = word.split(':').next().unwrap_or_default().trim_end_matches('/');
        let plain = name.replace([INSTANCE, UNESCAPED_INSTANCE], "i");
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !plain.split('/').all(is_plain) || plain.contains(char::is_control) {
            return Ok(dropped(format!("{name:?} is no name of a directory below {parent}")));
        }
        paths.push(format!("{parent}/{name}"));
    }
    for path in &paths {
        let (kind, path) = (it.key.clone(), path.clone());
        import.parts.directories.push(Directory { number: it.number, kind, path });
    }
    let all: Vec<&str> = import
        .parts
        .directories
        .iter()
        .filter(|directory| directory.kind == it.key)
        .map(|directory| directory.path.as_str())
        .collect();
    let all = all.join(":");
    import.draft.put("environment", variable, Yaml::text(&all), it.number);
    import.parts.variables.known.push((variable.to_owned(), all));
    Ok(kept_by("by install(1) before the start"))
}
