//! [`finish`]: what several directives say together, above all the command line.

use super::directories::Directory;
use super::exec::{self, Command, Exec, Variables, argv};
use super::privileges::{self, Privileges};
use super::report::{approximated, dropped, kept_by};
use super::sandbox;
use super::systemd::Import;
use super::unit::Relation;
use super::yaml::Yaml;
use super::{Imported, Made, layers, relations, settle};
use crate::unit_file::is_key;

/// A directive's number, with what it says.
type Said<T> = Option<(usize, T)>;

/// What directives said, until all of them are read.
#[derive(Default)]
pub(super) struct Parts {
    pub kind: Said<String>,
    pub bus_name: Said<String>,
    pub start: Vec<(usize, Exec)>,
    pub pre: Vec<(usize, Exec)>,
    pub post: Vec<(usize, Exec)>,
    pub stop: Vec<(usize, Exec)>,
    pub stop_post: Vec<(usize, Exec)>,
    pub reload: Vec<(usize, Exec)>,
    pub condition: Vec<(usize, Exec)>,
    pub remain: Option<usize>,
    pub restart: Said<String>,
    pub restart_delay: Said<u64>,
    pub limit_interval: Said<u64>,
    pub limit_burst: Said<u32>,
    pub has_stop_timeout: bool,
    pub hooks_as_root: bool,
    pub pid_file: Option<String>,
    pub user: Said<String>,
    pub group: Said<String>,
    pub supplementary: Vec<(usize, Vec<String>)>,
    pub dynamic_user: Option<usize>,
    pub works_at_home: Option<usize>,
    pub variables: Variables,
    pub unset: Vec<(usize, Vec<String>)>,
    pub scheduling: layers::Scheduling,
    pub redirects: Vec<(usize, String)>,
    pub has_own_error: bool,
    pub has_tty: Option<usize>,
    pub tty_path: Said<String>,
    pub directories: Vec<Directory>,
    /// Lines that prepare a start as root, each with its directive.
    pub prepared: Vec<(usize, String)>,
    pub directory_modes: Vec<(String, String)>,
    pub preserves_runtime: bool,
    pub privileges: Privileges,
    pub listed_capabilities: Option<Vec<&'static str>>,
    pub restricts_realtime: Option<usize>,
    pub private_users: Option<usize>,
    pub remove_ipc: Option<usize>,
    pub devices: super::devices::Devices,
    pub unshare: Vec<(usize, &'static str)>,
    /// Lines of the script before the program, each with its step.
    pub steps: Vec<(usize, u8, String)>,
    pub proc_options: Vec<(usize, String)>,
    pub is_strict: bool,
    pub any_of: Vec<(usize, Yaml)>,
    pub relations: Vec<(usize, Relation, String)>,
    pub wanted_by: Vec<relations::Wanted>,
    pub installed: Vec<(String, usize)>,
    pub starts: super::activation::Starts,
    /// The units that this one goes before, as far as their names are known.
    pub befores: Vec<String>,
    /// Drop-ins of other units: the unit, a line, and the directive.
    pub drop_ins: Vec<(String, String, usize)>,
}

impl Parts {
    /// Notes that a boot starts the unit of this kind.
    pub fn install(&mut self, kind: &str, number: usize) {
        self.installed.push((kind.to_owned(), number));
    }
}

/// Puts the unit together.
///
/// # Errors
/// Why no unit can be made.
pub(super) fn finish(mut import: Import) -> Result<Imported, String> {
    kind(&mut import);
    user(&mut import);
    super::devices::settle(&mut import);
    privileges::settle(&mut import);
    if let Some(path) = &import.parts.pid_file {
        let path = super::words::shell_quoted(path);
        import.parts.variables.main_pid = Some(format!("cat {path}"));
    }
    restart(&mut import);
    terminal(&mut import);
    relations::settle(&mut import);
    let mut any_of = std::mem::take(&mut import.parts.any_of);
    match any_of.len() {
        0 => {}
        1 => any_of.drain(..).for_each(|(from, it)| import.draft.add("condition", it, from)),
        _ => {
            let from: Vec<usize> = any_of.iter().map(|(from, _)| *from).collect();
            let any = Yaml::map([("any", Yaml::List(any_of.drain(..).map(|it| it.1).collect()))]);
            from.iter().for_each(|from| import.draft.add("condition", any.clone(), *from));
        }
    }
    super::activation::settle(&mut import);
    stop_and_reload(&mut import);
    layers::command(&mut import)?;
    if !import.parts.has_stop_timeout && import.draft.has("command") {
        // systemd waits for so long when nothing else is said.
        import.draft.set("stop_grace_period", Yaml::bare("90s"), &[]);
    }
    enabled(&mut import);
    made(import)
}

fn kind(import: &mut Import) {
    let parts = &import.parts;
    let said = parts.kind.clone();
    let from: Vec<usize> = said.iter().map(|(number, _)| *number).collect();
    let word = match said.as_ref().map(|(_, kind)| kind.as_str()) {
        Some("forking") => "forking",
        Some("oneshot") => "oneshot",
        Some("notify" | "notify-reload") => "notify",
        Some(_) => "simple",
        None if parts.start.is_empty() => "oneshot",
        None => "simple",
    };
    if said.is_some_and(|(_, kind)| kind == "notify-reload") && !import.draft.has("reload_signal") {
        import.draft.set("reload_signal", Yaml::bare("HUP"), &from);
    }
    if import.parts.start.is_empty()
        && !(import.parts.stop.is_empty() && import.parts.stop_post.is_empty())
    {
        let number = import.parts.stop.first().or(import.parts.stop_post.first()).map(|it| it.0);
        let nothing = exec::read("/bin/true", &import.names).unwrap_or_default();
        import.parts.start.extend(nothing.into_iter().map(|it| (number.unwrap_or_default(), it)));
    }
    if let (Some((number, name)), "simple") = (&import.parts.bus_name, word)
        && import.parts.kind.as_ref().is_none_or(|(_, kind)| kind == "dbus")
    {
        let (number, name) = (*number, name.clone());
        bus_name(import, number, &name);
    }
    let Some(number) = import.parts.remain else {
        return import.draft.set("type", Yaml::bare(word), &from);
    };
    import.draft.set("remain_after_exit", Yaml::bare("true"), &[number]);
    match word {
        "oneshot" => {}
        // What a oneshot that remains leaves behind is the service.
        "forking" => import.report.set(number, approximated("as a oneshot that remains")),
        _ => {
            let why = "as a oneshot, which is done when its first process has ended";
            import.report.set(number, approximated(why));
        }
    }
    import.draft.set("type", Yaml::bare("oneshot"), &from);
}

/// A service of type dbus is up when its name is on the bus.
fn bus_name(import: &mut Import, number: usize, name: &str) {
    if !is_key("ready") {
        return import.report.set(number, dropped("nobody waits for a name on the bus"));
    }
    let name = format!("string:{name}");
    let ask = argv(&[
        "dbus-send",
        "--system",
        "--print-reply",
        "--dest=org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus.GetNameOwner",
        &name,
    ]);
    import.draft.set("ready", Yaml::map([("command", Yaml::command(&ask))]), &[number]);
    import.report.set(number, approximated("dbus-send(1) asks for it until it is there"));
    if let Some((number, _)) = import.parts.kind {
        import.report.set(number, kept_by("simple, and ready when its name is on the bus"));
    }
}

fn user(import: &mut Import) {
    let Some(number) = import.parts.dynamic_user else { return };
    sandbox::of_dynamic_user(import, number);
    if let Some((_, user)) = &import.parts.user {
        let why = format!("the user {user} must be there");
        import.report.set(number, approximated(why));
        return;
    }
    // systemd takes a number from 61184 to 65519, too, and makes it from the name.
    let hash = |sum: u32, b: u8| (sum ^ u32::from(b)).wrapping_mul(16_777_619);
    let id = 61_184 + import.names.prefix.bytes().fold(2_166_136_261, hash) % 4_336;
    let why = format!(
        "always as the user {id}, who is in no user database; what it implies is done by unshare(1), \
         mount(8) and setpriv(1)"
    );
    import.report.set(number, approximated(why));
    import.parts.user = Some((number, id.to_string()));
    import.parts.group.get_or_insert((number, id.to_string()));
}

fn restart(import: &mut Import) {
    let (from, word) =
        import.parts.restart.clone().map_or((None, "no".to_owned()), |it| (Some(it.0), it.1));
    let from: Vec<usize> = from.into_iter().collect();
    import.draft.set("restart", Yaml::bare(&word), &from);
    let Parts { limit_interval, limit_burst, restart_delay, .. } = import.parts;
    let numbers: Vec<usize> =
        limit_interval.iter().map(|it| it.0).chain(limit_burst.iter().map(|it| it.0)).collect();
    if word == "no" {
        let delay = restart_delay.iter().map(|it| it.0);
        for number in numbers.into_iter().chain(delay) {
            import.report.set(number, kept_by("it is not restarted"));
        }
        import.draft.remove("restart_max_delay");
        return;
    }
    if let Some((number, delay)) = restart_delay {
        import.draft.set("restart_delay", super::service::duration(delay), &[number]);
        // systemd's pause stays the same.
        if !import.draft.has("restart_max_delay") {
            import.draft.set("restart_max_delay", super::service::duration(delay), &[number]);
        }
    }
    let (interval, burst) =
        (limit_interval.map_or(10_000, |it| it.1), limit_burst.map_or(5, |it| it.1));
    let pause = restart_delay.map_or(100, |it| it.1);
    let is_reached = interval > 0 && burst > 0 && pause.saturating_mul(burst.into()) < interval;
    if !is_reached {
        let from: Vec<usize> = restart_delay.iter().map(|it| it.0).chain(numbers.clone()).collect();
        import.draft.set("restart_max_attempts", Yaml::bare("0"), &from);
        for number in numbers {
            import.report.set(number, kept_by("with this pause the limit is never reached"));
        }
    } else if !numbers.is_empty() {
        import.draft.set("restart_max_attempts", Yaml::bare(burst.to_string()), &numbers);
        for number in numbers {
            let why = "counted are the restarts without a healthy run, not those of a time";
            import.report.set(number, approximated(why));
        }
    }
}

fn terminal(import: &mut Import) {
    let path = import.parts.tty_path.clone();
    match (import.parts.has_tty, path) {
        (Some(number), path) => {
            let (from, path) = path.unwrap_or((number, "/dev/console".to_owned()));
            import.draft.set("tty", Yaml::text(path), &[number, from]);
        }
        (None, Some((number, _))) => {
            import.report.set(number, kept_by("nothing of it is connected to the terminal"));
        }
        (None, None) => {}
    }
}

/// Several commands as one: the next runs when the one before it went well.
fn chained(commands: &[(bool, Command)]) -> Vec<String> {
    if let [(_, one)] = commands {
        return one.argv.clone();
    }
    let line = |(may_fail, command): &(bool, Command)| {
        let words = command.argv.iter().map(|word| super::words::shell_quoted(word));
        let line = words.collect::<Vec<_>>().join(" ");
        if *may_fail { format!("{{ {line} || :; }}") } else { line }
    };
    argv(&["sh", "-c", &commands.iter().map(line).collect::<Vec<_>>().join(" && ")])
}

fn stop_and_reload(import: &mut Import) {
    let stop = std::mem::take(&mut import.parts.stop);
    if !stop.is_empty() {
        let from: Vec<usize> = stop.iter().map(|it| it.0).collect();
        let signal = match &stop[..] {
            [(_, one)] => exec::signal_to_main(one),
            _ => None,
        };
        if let Some(signal) = signal {
            import.draft.set("stop_signal", Yaml::bare(&signal), &from);
            import.draft.set("kill_mode", Yaml::bare("mixed"), &from);
            let why = format!("the stop signal is {signal}, and no other follows it");
            from.iter().for_each(|it| import.report.set(*it, approximated(why.clone())));
        } else {
            let commands = readable(import, &stop);
            if !commands.is_empty() {
                let words = layers::as_service(import, &chained(&commands));
                import.draft.set("stop_command", Yaml::command(&words), &from);
            }
        }
    }
    let reload = std::mem::take(&mut import.parts.reload);
    if reload.is_empty() {
        return;
    }
    let from: Vec<usize> = reload.iter().map(|it| it.0).collect();
    let signals: Vec<Option<String>> =
        reload.iter().map(|(_, it)| exec::signal_to_main(it)).collect();
    let signal = signals.iter().flatten().next().cloned();
    match signal {
        Some(signal)
            if reload.len() == 1
                || (import.parts.pid_file.is_none() && layers::has_user(import)) =>
        {
            import.draft.set("reload_signal", Yaml::bare(signal), &from);
            for ((number, _), _) in reload.iter().zip(&signals).filter(|(_, it)| it.is_none()) {
                import.report.set(*number, dropped("a reload is a signal or a command, not both"));
            }
        }
        _ => {
            let mut commands = Vec::new();
            for (line, signal) in reload.iter().zip(signals) {
                match signal.filter(|_| import.parts.pid_file.is_none()) {
                    Some(signal) => {
                        let name = import.names.stem();
                        let slc = ["slc", "kill", "--who", "main", "--signal", &signal, &name];
                        let command = Command { argv: argv(&slc), notes: Vec::new() };
                        commands.push((line.1.may_fail, command));
                        import.report.lower(line.0, approximated("slc finds the main process"));
                    }
                    None => commands.extend(readable(import, std::slice::from_ref(line))),
                }
            }
            if !commands.is_empty() {
                let words = layers::as_service(import, &chained(&commands));
                import.draft.remove("reload_signal");
                import.draft.set("reload_command", Yaml::command(&words), &from);
            }
        }
    }
}

/// The commands that can be carried over; of the others the report says why not.
pub(super) fn readable(import: &mut Import, lines: &[(usize, Exec)]) -> Vec<(bool, Command)> {
    let mut commands = Vec::new();
    for (number, line) in lines {
        match exec::command(line, &import.parts.variables) {
            Ok(command) => {
                if !command.notes.is_empty() {
                    import.report.lower(*number, approximated(command.notes.join("; ")));
                }
                commands.push((line.may_fail, command));
            }
            Err(why) => import.report.set(*number, dropped(why)),
        }
    }
    commands
}

/// A unit starts at boot where systemd would start it: by its `[Install]`, or by that of what
/// stands beside it.
fn enabled(import: &mut Import) {
    let by = |kind: &str| import.parts.installed.iter().any(|(known, _)| known == kind);
    let starts = [("socket", "sockets"), ("timer", "timer"), ("path", "paths")];
    if !by("service") && !starts.iter().any(|(kind, key)| by(kind) && import.draft.has(key)) {
        import.draft.set("enabled", Yaml::bare("false"), &[]);
    }
}

fn made(mut import: Import) -> Result<Imported, String> {
    let is_template = import.names.is_template();
    let name = import.names.stem();
    let from = format!("{name}.{}", import.names.kind);
    let text = settle::text(&mut import.draft, &mut import.report, &name, &from, is_template)?;
    let mut units = vec![Made { file: format!("{name}.yml"), text }];
    units.extend(drop_ins(&import, &name));
    Ok(Imported { units, entries: import.report.finish() })
}

/// What other units have to say of this one, each in a file of its own.
fn drop_ins(import: &Import, name: &str) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (unit, line, _) in &import.parts.drop_ins {
        let file = format!("{unit}.yml.d/{name}.yml");
        match made.iter_mut().find(|known| known.file == file) {
            Some(known) if known.text.contains(line.as_str()) => {}
            Some(known) => known.text.push_str(line),
            None => made.push(Made { file, text: format!("# For {name}, by slc import.\n{line}") }),
        }
    }
    made
}
