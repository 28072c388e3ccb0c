//! The command lines of `ExecStart=` and its kin (systemd.service(5), "Command lines"), and what
//! they become. systemd runs no shell and neither does Treeward; but Treeward expands no variable
//! either, so what is not known before the start is left to `sh`.

use super::specifier::{Names, Piece, push};
use super::words::{self, shell_quoted};

/// Stands for `%i` in the texts of a unit until they are written down.
pub(super) const INSTANCE: char = '\u{fdd0}';
/// The same for `%I`.
pub(super) const UNESCAPED_INSTANCE: char = '\u{fdd1}';

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Exec {
    /// `-`: a failure counts as success.
    pub may_fail: bool,
    /// `@`: the word after the program is what the program finds as its own name.
    pub has_own_name: bool,
    /// `+`, `!` or `!!`: not as the unit's user.
    pub is_privileged: bool,
    /// `|`: by the user's shell.
    pub is_shell: bool,
    /// The program and its arguments.
    pub words: Vec<Vec<Piece>>,
}

/// The command lines of one directive; several where `;` stands between them.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn read(value: &str, names: &Names) -> Result<Vec<Exec>, String> {
    let mut lines = Vec::new();
    for words in words::split(value)?.split(|word| word.text == ";" && !word.is_quoted) {
        let Some((first, rest)) = words.split_first() else { continue };
        let mut exec = Exec::default();
        let mut expands = true;
        let program = first.text.trim_start_matches(['-', '@', '+', '!', ':', '|']);
        for prefix in first.text[..first.text.len() - program.len()].chars() {
            match prefix {
                '-' => exec.may_fail = true,
                '@' => exec.has_own_name = true,
                ':' => expands = false,
                '|' => exec.is_shell = true,
                _ => exec.is_privileged = true,
            }
        }
        if program.is_empty() {
            return Err("there is no program".to_owned());
        }
        exec.words.push(names.expand(program)?);
        for word in rest {
            let pieces = names.expand(&word.text)?;
            let pieces = if expands { with_variables(pieces) } else { pieces };
            if pieces != [Piece::Words(String::new())] {
                exec.words.push(pieces);
            }
        }
        if exec.has_own_name && exec.words.len() < 2 {
            return Err("@ wants a name after the program".to_owned());
        }
        lines.push(exec);
    }
    if lines.is_empty() { Err("there is no program".to_owned()) } else { Ok(lines) }
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Finds `$NAME` (a whole word) and `${NAME}` (anywhere). A word that begins with a dollar sign and
/// names no possible variable is nothing at all, as for systemd.
fn with_variables(pieces: Vec<Piece>) -> Vec<Piece> {
    if let [Piece::Text(text)] = &pieces[..]
        && let Some(name) = text.strip_prefix('$')
        && !name.is_empty()
        && !name.starts_with(['{', '$'])
    {
        let name = if is_name(name) { name } else { "" };
        return vec![Piece::Words(name.to_owned())];
    }
    let mut found = Vec::new();
    for piece in pieces {
        let Piece::Text(text) = piece else {
            found.push(piece);
            continue;
        };
        let mut rest = text.as_str();
        while let Some(at) = rest.find('$') {
            if at > 0 {
                push(&mut found, &rest[..at]);
            }
            rest = &rest[at + 1..];
            let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            match braced {
                Some((name, after)) if is_name(name) => {
                    found.push(Piece::Variable(name.to_owned()));
                    rest = after;
                }
                _ => {
                    rest = rest.strip_prefix('$').unwrap_or(rest);
                    push(&mut found, "$");
                }
            }
        }
        if !rest.is_empty() || found.is_empty() {
            push(&mut found, rest);
        }
    }
    found
}

/// What is known of environment variables before the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    /// Those of `Environment=`.
    pub known: Vec<(String, String)>,
    /// Those that the command line itself sets when it starts.
    pub at_start: Vec<String>,
    /// Whether files may set others, or these.
    pub has_files: bool,
    /// What prints the main process's number, where that can be known.
    pub main_pid: Option<String>,
}

enum Value<'a> {
    Known(&'a str),
    AtStart,
    MainPid,
}

impl Variables {
    fn find(&self, name: &str) -> Value<'_> {
        // systemd itself sets these; so does Treeward where it has them.
        const OWN: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "NOTIFY_SOCKET"];
        if name == "MAINPID" {
            return Value::MainPid;
        }
        let known = self.known.iter().rev().find(|(key, _)| key == name);
        match known {
            _ if self.has_files || self.at_start.iter().any(|it| it == name) => Value::AtStart,
            Some((_, value)) => Value::Known(value),
            None if OWN.contains(&name) => Value::AtStart,
            None => Value::Known(""),
        }
    }
}

/// A command of a unit, and what is not quite as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub argv: Vec<String>,
    pub notes: Vec<String>,
}

/// One word while it is put together: its text, and the same for a shell where that differs.
#[derive(Default)]
struct Built {
    text: String,
    shell: String,
    needs_shell: bool,
}

impl Built {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        if !text.is_empty() {
            self.shell.push_str(&shell_quoted(text));
        }
    }
}

/// What a command line becomes.
///
/// # Errors
/// Why it cannot be carried over.
pub(super) fn command(exec: &Exec, variables: &Variables) -> Result<Command, String> {
    let mut notes = Vec::new();
    let mut built = Vec::new();
    for word in &exec.words {
        if let [Piece::Words(name)] = &word[..] {
            match variables.find(name) {
                Value::Known(value) => {
                    let words = words::texts(value).unwrap_or_else(|_| vec![value.to_owned()]);
                    built.extend(words.iter().map(|word| single(word)));
                }
                Value::AtStart => {
                    note(&mut notes, format!("sh splits ${name} at blanks when it starts"));
                    built.push(Built {
                        shell: format!("${name}"),
                        needs_shell: true,
                        ..Built::default()
                    });
                }
                Value::MainPid => built.push(main_pid(variables, &mut notes)?),
            }
            continue;
        }
        let mut whole = Built::default();
        for piece in word {
            match piece {
                Piece::Text(text) => whole.add(text),
                Piece::Instance('i') => whole.add(INSTANCE.encode_utf8(&mut [0; 4])),
                Piece::Instance(_) => whole.add(UNESCAPED_INSTANCE.encode_utf8(&mut [0; 4])),
                Piece::Variable(name) | Piece::Words(name) => match variables.find(name) {
                    Value::Known(value) => whole.add(value),
                    Value::AtStart => {
                        note(&mut notes, format!("sh puts in ${{{name}}} when it starts"));
                        whole.shell.push_str(&format!("\"${{{name}-}}\""));
                        whole.needs_shell = true;
                    }
                    Value::MainPid => {
                        let pid = main_pid(variables, &mut notes)?;
                        whole.shell.push_str(&pid.shell);
                        whole.needs_shell = true;
                    }
                },
                Piece::Output(command) => {
                    note(&mut notes, format!("sh puts in what {command} prints"));
                    whole.shell.push_str(&format!("\"$({command})\""));
                    whole.needs_shell = true;
                }
            }
        }
        if whole.shell.is_empty() {
            whole.shell.push_str("''");
        }
        built.push(whole);
    }
    if exec.is_shell {
        note(&mut notes, "it is run by sh, not by the user's login shell".to_owned());
        let line = built.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        return Ok(Command { argv: argv(&["sh", "-c", &line]), notes });
    }
    Ok(Command { argv: assembled(built, exec.has_own_name, &mut notes), notes })
}

fn assembled(built: Vec<Built>, has_own_name: bool, notes: &mut Vec<String>) -> Vec<String> {
    let needs_shell = built.iter().any(|word| word.needs_shell);
    if !needs_shell && !has_own_name {
        return built.into_iter().map(|word| word.text).collect();
    }
    if !needs_shell {
        // Only bash can give a program another name than its own.
        note(notes, "bash gives the program its name".to_owned());
        let mut words: Vec<String> = built.into_iter().map(|word| word.text).collect();
        let name = words.remove(1);
        let mut all = argv(&["bash", "-c", "exec -a \"$0\" \"$@\"", &name]);
        all.append(&mut words);
        return all;
    }
    // What stands for an instance's name is handed over as data, whatever it is.
    let mut parameters = Vec::new();
    let mut line = String::from("exec");
    for (at, word) in built.iter().enumerate() {
        if has_own_name && at == 1 {
            continue;
        }
        line.push(' ');
        if word.text.contains([INSTANCE, UNESCAPED_INSTANCE]) && !word.needs_shell {
            parameters.push(word.text.clone());
            line.push_str(&format!("\"${{{}}}\"", parameters.len()));
        } else {
            line.push_str(&word.shell);
        }
    }
    if has_own_name {
        note(notes, "the program finds its own name, not the one that stood there".to_owned());
    }
    let mut all = argv(&["sh", "-fc", &line]);
    if !parameters.is_empty() {
        all.push("sh".to_owned());
        all.append(&mut parameters);
    }
    all
}

fn single(text: &str) -> Built {
    let mut built = Built::default();
    built.add(text);
    if built.shell.is_empty() {
        built.shell.push_str("''");
    }
    built
}

fn main_pid(variables: &Variables, notes: &mut Vec<String>) -> Result<Built, String> {
    let Some(command) = &variables.main_pid else {
        return Err("there is no $MAINPID, and no PID file to read it from".to_owned());
    };
    note(notes, "$MAINPID is read from the PID file".to_owned());
    Ok(Built { shell: format!("\"$({command})\""), needs_shell: true, ..Built::default() })
}

/// The signal that a command line sends to the main process, if that is all it does.
pub(super) fn signal_to_main(exec: &Exec) -> Option<String> {
    let mut words = Vec::new();
    for word in &exec.words {
        match &word[..] {
            [Piece::Text(text)] => words.push(text.as_str()),
            [Piece::Words(name) | Piece::Variable(name)] if name == "MAINPID" => words.push("$"),
            _ => return None,
        }
    }
    if words.first()?.rsplit('/').next()? != "kill" {
        return None;
    }
    let signal = match words[1..] {
        ["$"] => "TERM",
        ["-s" | "-n" | "--signal", signal, "$"] | ["-s" | "--signal", signal, "--", "$"] => signal,
        [signal, "$"] | [signal, "--", "$"] => signal
            .strip_prefix("--signal=")
            .or(signal.strip_prefix("-s"))
            .or(signal.strip_prefix('-'))?,
        _ => return None,
    };
    let known = |signal: &str| crate::unit_file::signal(signal).is_ok();
    // `-SIGHUP` must not be read as `-s IGHUP`, nor `-stop` as anything but itself.
    let whole = words.get(1).and_then(|word| word.strip_prefix('-')).filter(|whole| known(whole));
    let signal = whole.unwrap_or(signal);
    known(signal).then(|| signal.trim_start_matches("SIG").to_owned())
}

/// Owned words.
pub(super) fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::{Variables, command, read, signal_to_main};
    use crate::import::specifier::Names;

    fn commands(value: &str, variables: &Variables) -> Result<Vec<Vec<String>>, String> {
        let names = Names::of_file("web.service");
        let lines = read(value, &names)?;
        lines.iter().map(|exec| Ok(command(exec, variables)?.argv)).collect()
    }

    #[test]
    fn what_is_known_is_put_in_and_what_is_not_is_left_to_a_shell() {
        let known = Variables {
            known: vec![("A".to_owned(), "x 'y z'".to_owned()), ("E".to_owned(), String::new())],
            ..Variables::default()
        };
        for (value, argv) in [
            ("/bin/a $A ${A} b${A}c", &["/bin/a", "x", "y z", "x 'y z'", "bx 'y z'c"] as &[&str]),
            ("/bin/a $E ${E} $NONE ${NONE} $$x $", &["/bin/a", "", "", "$x", "$"]),
            ("/bin/a x$A '$A' $a/b", &["/bin/a", "x$A", "x", "y z"]),
            (":/bin/a $A ${A} $$", &["/bin/a", "$A", "${A}", "$$"]),
            ("@/bin/a b c", &["bash", "-c", "exec -a \"$0\" \"$@\"", "b", "/bin/a", "c"]),
            ("/bin/a $HOME", &["sh", "-fc", "exec /bin/a $HOME"]),
            ("/bin/a 'it''s' \"-x ${HOME}\"", &["sh", "-fc", "exec /bin/a its '-x '\"${HOME-}\""]),
            ("/bin/a %H", &["sh", "-fc", "exec /bin/a \"$(uname -n)\""]),
        ] {
            assert_eq!(commands(value, &known), Ok(vec![super::argv(argv)]), "{value}");
        }
        let files = Variables { has_files: true, ..known };
        let expected = super::argv(&["sh", "-fc", "exec /bin/a $A 'b c'\"${B-}\""]);
        assert_eq!(commands("/bin/a $A 'b c${B}'", &files), Ok(vec![expected]));
        assert!(commands("/bin/kill $MAINPID", &files).is_err());
    }

    #[test]
    fn several_command_lines_in_one() {
        let found = commands("-/bin/a b ; +/bin/c \\; \";\"", &Variables::default()).unwrap();
        assert_eq!(found, [vec!["/bin/a", "b"], vec!["/bin/c", ";", ";"]]);
        for value in ["", ";", "-", "@/bin/a", "'"] {
            assert!(commands(value, &Variables::default()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_kill_of_the_main_process_is_known() {
        for (value, signal) in [
            ("/bin/kill -HUP $MAINPID", Some("HUP")),
            ("/bin/kill -s SIGHUP ${MAINPID}", Some("HUP")),
            ("/usr/bin/kill -SIGUSR1 $MAINPID", Some("USR1")),
            ("kill -1 $MAINPID", Some("1")),
            ("/bin/kill --signal=HUP -- $MAINPID", Some("HUP")),
            ("/bin/kill $MAINPID", Some("TERM")),
            ("/bin/kill -HUP 1", None),
            ("/bin/kill -FOO $MAINPID", None),
            ("/bin/pkill -HUP $MAINPID", None),
        ] {
            let names = Names::of_file("web.service");
            let found = signal_to_main(&read(value, &names).unwrap()[0]);
            assert_eq!(found.as_deref(), signal, "{value}");
        }
    }
}
