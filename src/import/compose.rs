//! A Compose file: its services that make sense without containers.

use super::compose_value::{list, text, words, yaml};
use super::draft::Draft;
use super::report::{Report, Verdict, approximated, dropped, kept, kept_by, shortened};
use super::yaml::Yaml;
use super::{File, Imported, Made, settle};
use crate::unit_file::is_key;
use crate::unit_file::tree::{self, Branch, Tree};

/// Why keys of containers mean nothing here.
const REASONS: &[(&[&str], &str)] = &[
    (&["image", "build", "pull_policy", "platform"], "the program must be on this machine"),
    (
        &[
            "ports",
            "expose",
            "networks",
            "links",
            "dns",
            "dns_search",
            "extra_hosts",
            "mac_address",
        ],
        "the service has the machine's network",
    ),
    (
        &["volumes", "tmpfs", "devices", "read_only", "volumes_from", "shm_size"],
        "the service has the machine's files",
    ),
    (&["configs", "secrets"], "files are where they are on this machine"),
    (
        &["hostname", "domainname", "ipc", "pid", "uts", "userns_mode", "isolation"],
        "there is no container",
    ),
    (&["labels", "annotations"], "nobody reads them here"),
    (&["logging"], "output goes to the unit's log"),
    (&["stdin_open", "attach"], "standard input is /dev/null"),
    (
        &["privileged", "cap_add", "security_opt", "sysctls"],
        "nothing is taken from the service at first",
    ),
    (
        &[
            "mem_reservation",
            "memswap_limit",
            "mem_swappiness",
            "cpu_shares",
            "cpuset",
            "blkio_config",
        ],
        "a unit limits memory, processes and CPU",
    ),
    (&["scale", "extends", "develop", "provider", "gpus", "runtime"], "there is nothing like it"),
];

/// One service while it is read.
struct Service<'a> {
    name: &'a str,
    /// The directory that relative paths are in.
    dir: &'a str,
    draft: Draft,
    entrypoint: Option<(usize, Vec<String>)>,
    command: Option<(usize, Vec<String>)>,
    setpriv: Vec<(usize, String)>,
}

/// Turns the services of a Compose file into units. `dir` is the absolute path of the directory
/// that it is in.
///
/// # Errors
/// The YAML is unsound, or there is no service that names a command.
pub fn import(file: &File, dir: &str) -> Result<Imported, String> {
    let root = tree::read(&file.text)?;
    let Branch::Map(entries) = root.value else {
        return Err("this is no Compose file: there are no services".to_owned());
    };
    let mut report = Report::default();
    let mut units = Vec::new();
    for (key, line, value) in &entries {
        match (key.as_str(), &value.value) {
            ("services", Branch::Map(services)) => {
                for (name, line, service) in services {
                    units.extend(one(file, dir, name, *line, service, &mut report));
                }
            }
            ("name" | "version", _) => {
                let number = open(&mut report, file, *line, "", key, value);
                report.set(number, kept_by("it means nothing by itself"));
            }
            (key, _) => {
                let number = open(&mut report, file, *line, "", key, value);
                report.set(number, if key.starts_with("x-") { kept() } else { reason(key) });
            }
        }
    }
    if units.is_empty() {
        return Err("no service of it has a command that could be run here".to_owned());
    }
    Ok(Imported { units, entries: report.finish() })
}

fn open(
    report: &mut Report,
    file: &File,
    line: u64,
    section: &str,
    key: &str,
    value: &Tree,
) -> usize {
    let line = usize::try_from(line).unwrap_or(0);
    report.open(&file.path, line, section, key, &shown(value))
}

fn shown(value: &Tree) -> String {
    match &value.value {
        Branch::Text(text) => shortened(text, 200),
        Branch::List(list) => {
            let list: Vec<String> = list.iter().take(20).map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        Branch::Map(map) => {
            let map = map.iter().take(20).map(|(key, _, value)| format!("{key}: {}", shown(value)));
            format!("{{{}}}", map.collect::<Vec<_>>().join(", "))
        }
        Branch::Nothing => String::new(),
    }
}

fn reason(key: &str) -> Verdict {
    let found = REASONS.iter().find(|(keys, _)| keys.contains(&key));
    dropped(found.map_or("there is nothing like it", |(_, why)| why))
}

fn one(
    file: &File,
    dir: &str,
    name: &str,
    line: u64,
    tree: &Tree,
    report: &mut Report,
) -> Option<Made> {
    let Branch::Map(keys) = &tree.value else {
        let number = open(report, file, line, "services", name, tree);
        report.set(number, dropped("this is no service"));
        return None;
    };
    let mut service = Service {
        name,
        dir,
        draft: Draft::default(),
        entrypoint: None,
        command: None,
        setpriv: Vec::new(),
    };
    let first = report.entries().len();
    for (key, line, value) in keys {
        let number = open(report, file, *line, name, key, value);
        let verdict = service.read(key, value, number).unwrap_or_else(|verdict| verdict);
        report.set(number, verdict);
    }
    if !service.draft.has("restart") {
        service.draft.set("restart", Yaml::bare("no"), &[]);
    }
    let made = service.finish(report).and_then(|()| {
        // A container is over when its first process is.
        service.draft.set("type", Yaml::bare("simple"), &[]);
        // Only this service's own entries are told in its comments.
        let mut own = Report::default();
        for entry in &report.entries()[first..] {
            let number =
                own.open(&entry.file, entry.line, &entry.section, &entry.key, &entry.value);
            own.set(number, Verdict { fate: entry.fate, why: entry.why.clone() });
        }
        let from = format!("the service {name}");
        let mut draft = std::mem::take(&mut service.draft);
        draft.shift(first);
        let text = settle::text(&mut draft, &mut own, name, &from, false);
        for (at, entry) in own.finish().into_iter().enumerate() {
            report.set(first + at, Verdict { fate: entry.fate, why: entry.why });
        }
        text
    });
    match made {
        Ok(text) => Some(Made { file: format!("{name}.yml"), text }),
        Err(why) => {
            let number =
                open(report, file, line, "services", name, &Tree { line, value: Branch::Nothing });
            report.set(number, dropped(why));
            None
        }
    }
}

impl Service<'_> {
    fn read(&mut self, key: &str, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        const SAME: &[&str] = &[
            "stop_signal",
            "stop_grace_period",
            "mem_limit",
            "cpus",
            "pids_limit",
            "oom_score_adj",
            "ulimits",
            "restart",
        ];
        if let Some(key) = SAME.iter().find(|same| **same == key) {
            return self.same(key, value, number);
        }
        match key {
            "command" => {
                self.command = words(value)?.map(|words| (number, words));
                Ok(kept())
            }
            "entrypoint" => {
                self.entrypoint = words(value)?.map(|words| (number, words));
                Ok(kept())
            }
            "environment" => self.environment(value, number),
            "env_file" => self.env_file(value, number),
            "working_dir" => {
                let dir = self.absolute(&text(value)?);
                self.draft.set("working_dir", Yaml::text(dir), &[number]);
                Ok(kept())
            }
            "user" => {
                let user = text(value)?;
                self.draft.set("user", Yaml::text(user), &[number]);
                Ok(kept())
            }
            "depends_on" => self.depends_on(value, number),
            "healthcheck" if is_key("healthcheck") => self.same("healthcheck", value, number),
            "healthcheck" => Ok(dropped("there are no health checks yet")),
            "profiles" => {
                self.draft.set("enabled", Yaml::bare("false"), &[number]);
                Ok(approximated("it starts when it is told to"))
            }
            "container_name" => Ok(approximated("the unit has the service's name")),
            "init" => Ok(kept_by("the supervisor reaps what is left behind")),
            "group_add" => {
                let groups = list(value)?.join(",");
                self.setpriv.push((number, format!("--groups={groups}")));
                Ok(approximated("by setpriv(1), in the place of the groups of the user database"))
            }
            "security_opt" if list(value)?.iter().all(|it| it.starts_with("no-new-privileges")) => {
                self.setpriv.push((number, "--no-new-privs".to_owned()));
                Ok(kept_by("by setpriv(1) in the command line"))
            }
            "cap_drop" => {
                let names = list(value)?;
                let names = names.iter().map(|name| {
                    let name = name.to_ascii_lowercase();
                    format!("-{}", name.strip_prefix("cap_").unwrap_or(&name))
                });
                let set = names.collect::<Vec<_>>().join(",");
                self.setpriv.push((number, format!("--bounding-set={set}")));
                Ok(kept_by("by setpriv(1) in the command line"))
            }
            "network_mode" if text(value)? == "host" => Ok(kept()),
            "privileged" if text(value)? == "true" => Ok(kept_by("nothing is taken from it")),
            "tty" => Ok(dropped("output goes to the unit's log, not to a terminal")),
            "deploy" => self.deploy(value, number),
            key if key.starts_with("x-") => Ok(kept()),
            key => Ok(reason(key)),
        }
    }

    /// A key that Treeward took from Compose, with its value as it is.
    fn same(&mut self, key: &'static str, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        let value = yaml(value)?;
        self.draft.set(key, value, &[number]);
        Ok(kept())
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        format!("{}/{}", self.dir.trim_end_matches('/'), path.trim_start_matches("./"))
    }

    fn environment(&mut self, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        let mut verdict = kept();
        let mut pairs = Vec::new();
        match &value.value {
            Branch::Map(map) => {
                for (name, _, value) in map {
                    match &value.value {
                        Branch::Nothing => pairs.push((name.clone(), None)),
                        _ => pairs.push((name.clone(), Some(text(value)?))),
                    }
                }
            }
            _ => {
                for line in list(value)? {
                    match line.split_once('=') {
                        Some((name, value)) => {
                            pairs.push((name.to_owned(), Some(value.to_owned())))
                        }
                        None => pairs.push((line, None)),
                    }
                }
            }
        }
        for (name, value) in pairs {
            match value {
                Some(value) => self.draft.put("environment", &name, Yaml::text(value), number),
                None => verdict = approximated(format!("{name}: a service inherits no variable")),
            }
        }
        Ok(verdict)
    }

    fn env_file(&mut self, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        let files = match &value.value {
            Branch::List(files) => files.iter().collect(),
            _ => vec![value],
        };
        for file in files {
            let (path, required) = match &file.value {
                Branch::Map(map) => {
                    let get = |key: &str| map.iter().find(|(name, ..)| name == key).map(|it| &it.2);
                    let path = get("path").ok_or_else(|| dropped("there is no path"))?;
                    let required = get("required").map(text).transpose()?;
                    (text(path)?, required.as_deref() != Some("false"))
                }
                _ => (text(file)?, true),
            };
            let path = Yaml::text(self.absolute(&path));
            let entry = match required {
                true => path,
                false => Yaml::map([("path", path), ("required", Yaml::bare("false"))]),
            };
            self.draft.add("env_file", entry, number);
        }
        Ok(kept())
    }

    fn depends_on(&mut self, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        let Branch::Map(map) = &value.value else {
            // Compose's short form means that the other was started.
            for name in list(value)? {
                let condition = Yaml::map([("condition", Yaml::bare("service_started"))]);
                self.draft.put("depends_on", &name, condition, number);
            }
            return Ok(kept());
        };
        let mut verdict = kept();
        for (name, _, value) in map {
            let mut entry = Vec::new();
            if let Branch::Map(keys) = &value.value {
                for (key, _, value) in keys {
                    match key.as_str() {
                        "condition" | "required" => {
                            entry.push((key.clone(), Yaml::bare(text(value)?)));
                        }
                        _ => verdict = approximated(format!("{name}: {key} has no effect")),
                    }
                }
            }
            self.draft.put("depends_on", name, Yaml::Map(entry), number);
        }
        Ok(verdict)
    }

    /// `deploy.resources.limits`, the one part of it that is about a process.
    fn deploy(&mut self, value: &Tree, number: usize) -> Result<Verdict, Verdict> {
        let get = |tree: &Tree, key: &str| match &tree.value {
            Branch::Map(map) => map.iter().find(|(name, ..)| name == key).map(|it| it.2.clone()),
            _ => None,
        };
        let limits = get(value, "resources").and_then(|it| get(&it, "limits"));
        let Some(limits) = limits else { return Ok(dropped("there is one of each service")) };
        for (name, key) in [("memory", "mem_limit"), ("cpus", "cpus"), ("pids", "pids_limit")] {
            if let Some(limit) = get(&limits, name) {
                self.draft.set(key, Yaml::text(text(&limit)?), &[number]);
            }
        }
        Ok(approximated("the limits of its resources alone"))
    }

    fn finish(&mut self, report: &mut Report) -> Result<(), String> {
        // The supervisor has changed to the user before setpriv runs, which then may no longer.
        if self.draft.has("user") {
            let for_root = |option: &String| !option.starts_with("--no-new-privs");
            for (number, _) in self.setpriv.iter().filter(|(_, option)| for_root(option)) {
                report.set(*number, approximated("its user has what the user database gives it"));
            }
            self.setpriv.retain(|(_, option)| !for_root(option));
        }
        let (entrypoint, command) = (self.entrypoint.take(), self.command.take());
        let numbers: Vec<usize> =
            entrypoint.iter().chain(&command).map(|(number, _)| *number).collect();
        let own: Vec<String> =
            entrypoint.into_iter().chain(command).flat_map(|(_, words)| words).collect();
        if own.is_empty() {
            return Err("its command is in the image, and there are no images here".to_owned());
        }
        let mut words = Vec::new();
        if !self.setpriv.is_empty() {
            words.push("setpriv".to_owned());
            words.extend(self.setpriv.iter().map(|(_, option)| option.clone()));
        }
        words.extend(own);
        // What a shell would act on stands in a list, where it is text.
        self.draft.set("command", Yaml::command(&words), &numbers);
        self.draft.set("description", Yaml::text(format!("The service {}", self.name)), &[]);
        Ok(())
    }
}
