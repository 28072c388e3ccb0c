//! `start_pre`, `start_post` and `stop_post`.

use super::assemble::readable;
use super::exec::{Command, Exec, argv};
use super::layers::as_service;
use super::report::{approximated, dropped};
use super::systemd::Import;
use super::yaml::Yaml;
use crate::unit_file::is_key;

/// A hook as a command of the unit: its words, and whether it may fail.
pub(super) fn command(
    import: &Import,
    (may_fail, command, privileged): &(bool, Command, bool),
) -> Yaml {
    let words = if *privileged || import.parts.hooks_as_root {
        command.argv.clone()
    } else {
        as_service(import, &command.argv)
    };
    let words = if words.iter().any(|word| word.contains('\n')) || words.len() > 1 {
        Yaml::list(&words)
    } else {
        Yaml::List(vec![Yaml::text(words.concat())])
    };
    if *may_fail {
        Yaml::map([("command", words), ("ignore_failure", Yaml::bare("true"))])
    } else {
        words
    }
}

/// The commands of these lines, each with its directive, as far as they can be carried over.
pub(super) fn all(
    import: &mut Import,
    lines: Vec<(usize, Exec)>,
) -> Vec<(usize, (bool, Command, bool))> {
    let mut all = Vec::new();
    for (number, line) in lines {
        let privileged = line.is_privileged;
        for (may_fail, command) in readable(import, &[(number, line)]) {
            all.push((number, (may_fail, command, privileged)));
        }
    }
    all
}

/// Removes what a user left behind for other processes, once none of them lives: files of
/// shm_open(3) and mq_open(3), and the objects that sysvipc(7) lists with their owners.
const REMOVE_IPC: &str = "\
[ -z \"$(find /proc -maxdepth 1 -name '[0-9]*' -user \"$0\")\" ] || exit 0
for d in /dev/shm /dev/mqueue; do
  [ ! -d $d ] || find $d -mindepth 1 -user \"$0\" -delete
done
u=$(id -u \"$0\" 2>/dev/null || echo \"$0\")
{
  awk -v u=$u '$8 == u { print \"-m\", $2 }' /proc/sysvipc/shm
  awk -v u=$u '$5 == u { print \"-s\", $2 }' /proc/sysvipc/sem
  awk -v u=$u '$8 == u { print \"-q\", $2 }' /proc/sysvipc/msg
} | xargs -r ipcrm
";

fn remove_ipc(import: &mut Import) {
    let user = import.parts.user.as_ref().map(|(_, user)| user.clone());
    let user = user.filter(|_| super::layers::has_user(import));
    let (Some(number), Some(user)) = (import.parts.remove_ipc, user) else { return };
    let words = Yaml::list(["sh", "-c", REMOVE_IPC, &user]);
    let hook = Yaml::map([("command", words), ("ignore_failure", Yaml::bare("true"))]);
    import.draft.add("stop_post", hook, number);
    if import.parts.dynamic_user != Some(number) {
        let why = "a hook does it when no process of the user is left";
        import.report.set(number, approximated(why));
    }
}

/// `start_post` and `stop_post`.
pub(super) fn later(import: &mut Import) {
    for (key, lines) in [
        ("start_post", std::mem::take(&mut import.parts.post)),
        ("stop_post", std::mem::take(&mut import.parts.stop_post)),
    ] {
        for (number, it) in all(import, lines) {
            if is_key(key) {
                let value = command(import, &it);
                import.draft.add(key, value, number);
            } else {
                import.report.set(number, dropped(format!("there is no {key} yet")));
            }
        }
    }
    remove_ipc(import);
    let runtime: Vec<(usize, String)> = import
        .parts
        .directories
        .iter()
        .filter(|it| it.kind == "RuntimeDirectory" && !import.parts.preserves_runtime)
        .map(|it| (it.number, it.path.clone()))
        .collect();
    if let (true, Some((number, _))) = (is_key("stop_post"), runtime.first()) {
        let paths = runtime.iter().map(|(_, path)| path.clone());
        let words: Vec<String> = argv(&["rm", "-rf", "--"]).into_iter().chain(paths).collect();
        import.draft.add("stop_post", Yaml::list(words), *number);
    } else {
        for (number, _) in runtime {
            import.report.lower(number, approximated("it stays until the machine ends"));
        }
    }
}
