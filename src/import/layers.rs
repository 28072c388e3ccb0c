//! The command line, from the outside inward: unshare(1), a script that makes directories and
//! mounts, chrt(1) and its kin, setpriv(1), env(1), and at last the program. Each of them executes
//! the next in its own process, so the program is the first process as it would be alone.

use super::assemble::readable;
use super::exec::argv;
use super::report::{approximated, dropped, kept_by};
use super::sandbox::FUNCTIONS;
use super::systemd::Import;
use super::words::shell_quoted;
use super::yaml::Yaml;
use super::{hooks, script};
use crate::unit_file::is_key;

/// How the program is scheduled.
#[derive(Debug, Default)]
pub(super) struct Scheduling {
    pub policy: Option<(usize, &'static str)>,
    pub priority: Option<(usize, String)>,
    pub reset_on_fork: bool,
    pub io_class: Option<(usize, &'static str)>,
    pub io_level: Option<(usize, String)>,
    pub cpus: Option<(usize, String)>,
}

impl Scheduling {
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.policy.is_some() || self.priority.is_some() {
            words.push("chrt".to_owned());
            if self.reset_on_fork {
                words.push("--reset-on-fork".to_owned());
            }
            let policy = self.policy.map_or("--other", |it| it.1);
            let real_time = ["--fifo", "--rr"].contains(&policy);
            let usual = if real_time { "1" } else { "0" };
            let priority = self.priority.as_ref().filter(|_| real_time);
            words.push(policy.to_owned());
            words.push(priority.map_or(usual, |it| it.1.as_str()).to_owned());
        }
        if self.io_class.is_some() || self.io_level.is_some() {
            let class = self.io_class.map_or("2", |it| it.1);
            words.extend(argv(&["ionice", "-c", class]));
            if let (Some((_, level)), "1" | "2") = (&self.io_level, class) {
                words.extend(argv(&["-n", level]));
            }
        }
        if let Some((_, cpus)) = &self.cpus {
            words.extend(argv(&["taskset", "-c", cpus]));
        }
        words
    }
}

/// The user, where it is another than the supervisor's.
pub(super) fn user(import: &Import) -> Option<&str> {
    let user = import.parts.user.as_ref().map(|(_, user)| user.as_str());
    user.filter(|user| !["root", "0"].contains(user))
}

/// Whether the service runs as another user than the supervisor's.
pub(super) fn has_user(import: &Import) -> bool {
    user(import).is_some()
}

/// Whether something has to be done as root before the program runs as its user.
fn needs_root(import: &Import) -> bool {
    let parts = &import.parts;
    let privileged =
        |list: &[(usize, super::exec::Exec)]| list.iter().any(|(_, it)| it.is_privileged);
    let hooks = parts.hooks_as_root && !(parts.pre.is_empty() && parts.post.is_empty());
    let lists = [&parts.pre, &parts.post, &parts.stop_post, &parts.start];
    hooks
        || lists.into_iter().any(|list| privileged(list))
        || !parts.directories.is_empty()
        || !parts.prepared.is_empty()
        || (parts.remove_ipc.is_some() && has_user(import))
        || !parts.unshare.is_empty()
        || !parts.proc_options.is_empty()
        || parts.redirects.iter().any(|(_, line)| !line.ends_with("/dev/null"))
        || parts.privileges.bounding_option().is_some()
        || !parts.privileges.ambient.is_empty()
        || !parts.supplementary.is_empty()
        || parts.scheduling.policy.is_some_and(|(_, it)| ["--fifo", "--rr"].contains(&it))
        || parts.scheduling.io_class.is_some_and(|(_, it)| it == "1")
}

/// A word for a shell script, or for an argument list.
enum Word {
    Plain(String),
    /// `--regid=` with the group of this user, which only the shell can ask for.
    GroupOf(String),
}

/// setpriv(1) with its options: none where it has nothing to do.
fn setpriv(import: &Import) -> Vec<Word> {
    let parts = &import.parts;
    let mut words = Vec::new();
    let mut push = |word: String| words.push(Word::Plain(word));
    if parts.privileges.no_new.is_some() {
        push("--no-new-privs".to_owned());
    }
    if let Some(set) = parts.privileges.bounding_option() {
        push(format!("--bounding-set={set}"));
    }
    if !parts.privileges.ambient.is_empty() {
        let list = parts.privileges.ambient.iter().map(|name| format!("+{name}"));
        let list = list.collect::<Vec<_>>().join(",");
        push(format!("--inh-caps={list}"));
        push(format!("--ambient-caps={list}"));
    }
    let groups: Vec<&str> =
        parts.supplementary.iter().flat_map(|(_, groups)| groups).map(String::as_str).collect();
    let group = parts.group.as_ref().map(|(_, group)| group.clone());
    if needs_root(import) {
        let user = user(import).map(str::to_owned);
        if let Some(user) = &user {
            push(format!("--reuid={user}"));
        }
        match (&group, &user) {
            (Some(group), _) => push(format!("--regid={group}")),
            (None, Some(user)) => words.push(Word::GroupOf(user.clone())),
            (None, None) => {}
        }
        let lists = if !groups.is_empty() {
            let own = group.as_deref().into_iter();
            Some(format!("--groups={}", own.chain(groups).collect::<Vec<_>>().join(",")))
        } else if parts.dynamic_user.is_some() && user.as_ref().is_some_and(|it| is_number(it)) {
            Some("--clear-groups".to_owned())
        } else if user.is_some() {
            Some("--init-groups".to_owned())
        } else {
            group.is_some().then(|| "--clear-groups".to_owned())
        };
        words.extend(lists.map(Word::Plain));
    }
    if !words.is_empty() {
        words.insert(0, Word::Plain("setpriv".to_owned()));
    }
    words
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A command of the unit's user, for hooks; the same where the supervisor changes the user.
pub(super) fn as_service(import: &Import, command: &[String]) -> Vec<String> {
    if !needs_root(import) {
        return command.to_vec();
    }
    behind(setpriv(import), command)
}

/// A command behind these words.
fn behind(words: Vec<Word>, command: &[String]) -> Vec<String> {
    if words.is_empty() {
        return command.to_vec();
    }
    if words.iter().any(|word| matches!(word, Word::GroupOf(_))) {
        let line = format!("exec {} \"$@\"", in_shell(&words));
        let mut all = argv(&["sh", "-c", &line, "sh"]);
        all.extend_from_slice(command);
        return all;
    }
    let plain = words.into_iter().filter_map(|word| match word {
        Word::Plain(word) => Some(word),
        Word::GroupOf(_) => None,
    });
    plain.chain(command.iter().cloned()).collect()
}

fn in_shell(words: &[Word]) -> String {
    let word = |word: &Word| match word {
        Word::Plain(word) => shell_quoted(word),
        Word::GroupOf(user) => format!("--regid=\"$(id -g {})\"", shell_quoted(user)),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Sets `command`, `user`, and the hooks.
///
/// # Errors
/// There is no program to run.
pub(super) fn command(import: &mut Import) -> Result<(), String> {
    let mut start = std::mem::take(&mut import.parts.start);
    let kind_is_oneshot = import.parts.kind.as_ref().is_some_and(|(_, kind)| kind == "oneshot");
    if start.len() > 1 && !kind_is_oneshot {
        return Err("there are several ExecStart=, which only a oneshot may have".to_owned());
    }
    let Some((number, main)) = start.pop() else {
        // One that could not be read has its own reason.
        let unread = import.report.entries().iter().rev().find(|entry| entry.key == "ExecStart");
        let why = unread.filter(|entry| entry.fate == super::report::Fate::Dropped);
        return Err(match why {
            Some(entry) => format!("line {}: ExecStart: {}", entry.line, entry.why),
            None => "there is no ExecStart= that can be used".to_owned(),
        });
    };
    for (number, _) in &start {
        import.report.lower(*number, approximated("it runs before the last one, as a hook"));
    }
    let conditions = std::mem::take(&mut import.parts.condition);
    for (number, _) in &conditions {
        import.report.lower(*number, approximated("the start fails where it should be skipped"));
    }
    // Privileges are looked at while the lists are still there.
    import.parts.start.push((number, main.clone()));
    let main_is_privileged = main.is_privileged;
    let command = match readable(import, &[(number, main)]).pop() {
        Some((_, command)) => command,
        None => {
            let why = import.report.get(number).map(|entry| entry.why.clone());
            return Err(why.unwrap_or_default());
        }
    };
    let entry = import.parts.start.last();
    if entry.is_some_and(|(_, it)| it.may_fail) {
        import.report.lower(number, approximated("a failure counts as one"));
    }
    identity(import);
    let mut words = command.argv;
    let unset: Vec<String> =
        import.parts.unset.iter().flat_map(|(_, names)| names.clone()).collect();
    if !unset.is_empty() {
        let options = unset.iter().flat_map(|name| ["-u".to_owned(), name.clone()]);
        words = std::iter::once("env".to_owned()).chain(options).chain(words).collect();
    }
    let privileges = if main_is_privileged { Vec::new() } else { setpriv(import) };
    let prepared = script::directories(import);
    let pre = std::mem::take(&mut import.parts.pre);
    let pre = conditions.into_iter().chain(pre).chain(start);
    let pre = pre.collect::<Vec<_>>();
    let pre = hooks::all(import, pre);
    let mut script = Vec::new();
    if is_key("start_pre") && !pre.is_empty() {
        if !prepared.is_empty() {
            let line = prepared.join("\n") + "\n";
            let directories = import.parts.directories.iter().map(|it| it.number);
            let prepared = import.parts.prepared.iter().map(|it| it.0);
            let from = directories.chain(prepared).next().unwrap_or(number);
            import.draft.add("start_pre", Yaml::list(["sh", "-ec", &line]), from);
        }
        for (number, it) in &pre {
            let value = hooks::command(import, it);
            import.draft.add("start_pre", value, *number);
        }
    } else {
        script.extend(prepared);
    }
    script.extend(script::mounts(import));
    if !is_key("start_pre") {
        for (number, (may_fail, command, privileged)) in &pre {
            let as_root = *privileged || import.parts.hooks_as_root;
            let words =
                if as_root { command.argv.clone() } else { as_service(import, &command.argv) };
            let words = words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ");
            script.push(if *may_fail { format!("{words} || :") } else { words });
            import.report.lower(*number, approximated("sh runs it in the command line"));
        }
    }
    script.extend(script::redirects(import));
    let words = wrapped(import, script, privileges, words);
    import.draft.set("command", Yaml::command(&words), &[number]);
    hooks::later(import);
    Ok(())
}

fn wrapped(
    import: &Import,
    mut script: Vec<String>,
    privileges: Vec<Word>,
    words: Vec<String>,
) -> Vec<String> {
    let scheduling = import.parts.scheduling.words();
    let mut inner: Vec<Word> = scheduling.into_iter().map(Word::Plain).collect();
    // Root gives up its capabilities inside, where it still can; others are already who they are.
    let users = import.parts.private_users.map(|_| match has_user(import) {
        true => argv(&["unshare", "--user", "--map-current-user"]),
        false => argv(&["unshare", "--user", "--map-root-user"]),
    });
    let users = users.unwrap_or_default().into_iter().map(Word::Plain);
    if has_user(import) {
        inner.extend(privileges.into_iter().chain(users));
    } else {
        inner.extend(users.chain(privileges));
    }
    let mut unshare: Vec<String> = Vec::new();
    for (_, option) in &import.parts.unshare {
        if !unshare.iter().any(|known| known == option) {
            unshare.push((*option).to_owned());
        }
    }
    if !import.parts.proc_options.is_empty() && !unshare.iter().any(|it| it == "--mount") {
        unshare.push("--mount".to_owned());
    }
    let words = if script.is_empty() {
        behind(inner, &words)
    } else {
        let functions = FUNCTIONS.iter().filter(|(call, _)| {
            script.iter().any(|line| line.starts_with(call) || line.contains(&format!(" {call}")))
        });
        let mut lines: Vec<String> = functions.map(|(_, text)| (*text).to_owned()).collect();
        lines.append(&mut script);
        lines.push(match inner.is_empty() {
            true => "exec \"$@\"".to_owned(),
            false => format!("exec {} \"$@\"", in_shell(&inner)),
        });
        let mut all = argv(&["sh", "-ec", &(lines.join("\n") + "\n"), "sh"]);
        all.extend(words);
        all
    };
    if unshare.is_empty() {
        return words;
    }
    // What is mounted outside later is seen inside, not the other way round.
    if unshare.iter().any(|it| it == "--mount") {
        unshare.push("--propagation=slave".to_owned());
    }
    std::iter::once("unshare".to_owned()).chain(unshare).chain(words).collect()
}

/// `user` and `group`, where the supervisor can change to them; else the variables that it would
/// have set.
fn identity(import: &mut Import) {
    let root = needs_root(import);
    if !root {
        if let Some((number, user)) = import.parts.user.clone() {
            import.draft.set("user", Yaml::text(user), &[number]);
        }
        if let Some((number, group)) = import.parts.group.clone() {
            import.draft.set("group", Yaml::text(group), &[number]);
        }
    }
    let name = user(import).map(str::to_owned);
    let home = name.as_deref().and_then(|name| home(&import.passwd, name));
    if let Some(number) = import.parts.works_at_home.take() {
        match (name.as_deref(), &home) {
            (None, _) => import.draft.set("working_dir", Yaml::text("/root"), &[number]),
            (_, Some((home, _))) => import.draft.set("working_dir", Yaml::text(home), &[number]),
            _ => import.report.set(number, dropped("the user's home is not known here")),
        }
    }
    let (true, Some(name)) = (root, name) else { return };
    for (number, _) in import.parts.user.iter().chain(&import.parts.group) {
        import
            .report
            .lower(*number, kept_by("by setpriv(1), because root has to prepare the start"));
    }
    let Some(number) = import.parts.user.as_ref().map(|it| it.0) else { return };
    let mut variables = vec![("USER", name.clone()), ("LOGNAME", name)];
    match home {
        Some((home, shell)) => variables.extend([("HOME", home), ("SHELL", shell)]),
        None => import.report.lower(number, approximated("HOME and SHELL are not set")),
    }
    for (name, value) in variables {
        if !import.parts.variables.known.iter().any(|(known, _)| known == name) {
            import.draft.put("environment", name, Yaml::text(value), number);
        }
    }
}

/// A user's home and shell, out of `/etc/passwd`.
fn home(passwd: &str, user: &str) -> Option<(String, String)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut rest = line.split(':').skip(5);
    Some((rest.next()?.to_owned(), rest.next().unwrap_or("/bin/sh").to_owned()))
}
