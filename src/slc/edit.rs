//! `slc edit`: a unit is changed in an editor by a drop-in, or as a whole, and nothing counts
//! before it is complete and has been checked.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::args::{Place, Wished};
use super::end::{End, Failed, complain, put};
use super::style::Style;
use super::unit_dirs::{absent, directories, own, tell};
use super::{Supervisor, plan};
use crate::supervision::name::UnitName;
use crate::unit_file::{Diagnostic, Directories, Lookup, Parts};

/// What stands below this line in an editor is for comparison only.
const MARK: &str = "### The lines below this one are not kept: the unit as it is now.";
const HEAD: &str = "# What is written here changes the unit: a value or a list takes the place of what is\n\
                    # there, a mapping is merged into it, \"key:\" alone takes it away, \"key+: [...]\" adds.\n";

/// What people answer when the result is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    EditAgain,
    Discard,
    Keep,
}

pub(super) fn run(
    supervisor: &Supervisor,
    name: &str,
    full: bool,
    place: &Place,
    style: &Style,
) -> Result<End, Failed> {
    let directories = directories(supervisor, place)?;
    if UnitName::new(name).is_err() {
        return Ok(absent(&directories, name));
    }
    let parts = match directories.find(name)? {
        Lookup::Parts(parts) => parts,
        Lookup::Absent => return Ok(absent(&directories, name)),
        Lookup::Masked(link) => {
            let message = format!("{name}: masked by {}; slc enable {name} first", link.display());
            return Err(Failed::InTheWay(message));
        }
        Lookup::Bad(wrong) => {
            tell(&wrong);
            return Ok(End::Failed);
        }
    };
    let own = own(&directories)?;
    let target = if full { whole(&own, &parts) } else { drop_in(&own, name) };
    let draft = Draft::new(&own, name)?;
    let before = read_if_there(&target)?;
    draft.write(&beginning(&parts, before.as_deref(), full))?;
    let text = loop {
        if !draft.edit()? {
            complain(&format!("the editor has failed; {} stays as it is", target.display()));
            return Ok(End::Failed);
        }
        let text = draft.read()?;
        if before.as_ref() == Some(&text) || (before.is_none() && text == kept(HEAD)) {
            return put(&format!("{}: nothing was changed\n", target.display()));
        }
        if !full && is_empty(&text) {
            return leave_out(&target, before.is_some(), supervisor, (name, style));
        }
        let wrong = check(&directories, name, &target, &text)?;
        tell(&wrong);
        if wrong.is_empty() {
            break text;
        }
        match ask_about_mistakes()? {
            Answer::EditAgain => {}
            Answer::Keep => break text,
            Answer::Discard => {
                put(&format!("{}: discarded\n", target.display()))?;
                return Ok(End::Failed);
            }
        }
    };
    draft.become_file(&target, &text, mode(&parts, &target))?;
    put(&format!("{}: written\n", target.display()))?;
    offer_reload(supervisor, name, style)
}

fn drop_in(own: &Path, name: &str) -> PathBuf {
    own.join(format!("{name}.yml.d")).join("override.yml")
}

/// The operator's own file of the unit: the one that there is, else one of its name.
fn whole(own: &Path, parts: &Parts) -> PathBuf {
    let is_own = |ending: &str| {
        let path = own.join(format!("{}.{ending}", parts.name()));
        // Through a link something else would be changed: it is replaced.
        path.symlink_metadata().is_ok_and(|found| found.is_file()).then_some(path)
    };
    is_own("yml")
        .or_else(|| is_own("yaml"))
        .unwrap_or_else(|| own.join(format!("{}.yml", parts.name())))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failed {
    move |source| Failed::File { path: path.to_owned(), source }
}

fn read_if_there(path: &Path) -> Result<Option<String>, Failed> {
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Ok(None);
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// What the editor shows at first.
fn beginning(parts: &Parts, before: Option<&str>, full: bool) -> String {
    match (before, full) {
        (Some(text), true) => text.to_owned(),
        (None, true) => parts.to_whole(),
        (before, false) => {
            let (unit, _) = parts.to_yaml();
            let shown = unit.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n");
            format!("{}\n{MARK}\n{}", before.unwrap_or(HEAD), shown.collect::<String>())
        }
    }
}

/// What is kept of what the editor left.
fn kept(text: &str) -> String {
    let above = text.lines().take_while(|line| line.trim_end() != MARK);
    let above: String = above.map(|line| format!("{line}\n")).collect();
    match above.trim_end() {
        "" => String::new(),
        text => format!("{text}\n"),
    }
}

/// Whether there is nothing but comments.
fn is_empty(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    lines.clone().all(|line| line.is_empty() || line.starts_with('#'))
}

/// An empty drop-in says nothing, so there is none.
fn leave_out(
    target: &Path,
    was_there: bool,
    supervisor: &Supervisor,
    (name, style): (&str, &Style),
) -> Result<End, Failed> {
    if !was_there {
        return put(&format!("{}: nothing was written into it\n", target.display()));
    }
    fs::remove_file(target).map_err(failed(target))?;
    // Others may have drop-ins there.
    let _ = target.parent().map(fs::remove_dir);
    put(&format!("{}: removed, because nothing is left in it\n", target.display()))?;
    offer_reload(supervisor, name, style)
}

/// What would be wrong with the unit, or with the template and its instances.
fn check(
    directories: &Directories,
    name: &str,
    target: &Path,
    text: &str,
) -> Result<Vec<Diagnostic>, Failed> {
    let tried = directories.with(target.to_owned(), text.as_bytes().to_vec());
    if name.ends_with('@') {
        let bad = tried.read(&[])?.bad.into_iter().filter(|bad| bad.name.starts_with(name));
        let mut wrong: Vec<Diagnostic> = bad.flat_map(|bad| bad.diagnostics).collect();
        wrong.dedup();
        return Ok(wrong);
    }
    Ok(match tried.find(name)? {
        Lookup::Parts(parts) => parts.wrong(),
        Lookup::Bad(wrong) => wrong,
        Lookup::Masked(_) | Lookup::Absent => Vec::new(),
    })
}

/// Who may read the unit may read the file: its own access where it is there, else what all files
/// of the unit allow.
fn mode(parts: &Parts, target: &Path) -> u32 {
    let access = |path: &Path| path.metadata().ok().map(|found| found.permissions().mode() & 0o777);
    let all = || parts.files().filter_map(access).fold(0o644, |mode, file| mode & file);
    let is_file = target.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file.then(|| access(target)).flatten().unwrap_or_else(all)
}

/// A line that somebody writes; `None` at the end of the input.
fn ask(question: &str) -> Result<Option<String>, Failed> {
    // Who cannot be asked answers nothing.
    let _ = io::stderr().lock().write_all(question.as_bytes());
    let mut line = String::new();
    let input = Path::new("standard input");
    match io::stdin().read_line(&mut line).map_err(failed(input))? {
        0 => Ok(None),
        _ => Ok(Some(line.trim().to_ascii_lowercase())),
    }
}

fn ask_about_mistakes() -> Result<Answer, Failed> {
    loop {
        let answer = ask("This cannot be used. [e]dit again, [d]iscard or [k]eep it as it is? ")?;
        match answer.as_deref() {
            None | Some("d" | "discard") => return Ok(Answer::Discard),
            Some("e" | "edit" | "") => return Ok(Answer::EditAgain),
            Some("k" | "keep") => return Ok(Answer::Keep),
            Some(_) => {}
        }
    }
}

/// Shows what a reload would do, of this unit alone unless it is a template, and asks.
fn offer_reload(supervisor: &Supervisor, name: &str, style: &Style) -> Result<End, Failed> {
    if supervisor.connect().is_err() {
        return put("no supervisor runs; the next one takes it in\n");
    }
    let only = if name.ends_with('@') { Vec::new() } else { vec![name.to_owned()] };
    let wished = Wished { only, restart: false };
    if plan::show(supervisor, &wished, false, style)? != End::Done {
        return Ok(End::Failed);
    }
    match ask("Do this now? [y/N] ")?.as_deref() {
        Some("y" | "yes") => plan::reload(supervisor, &wished, false, style),
        _ => put("the supervisor that runs takes it in with slc reload\n"),
    }
}

/// A file that is no unit's yet, next to those that are: its name begins with a dot. Gone when this
/// is dropped.
struct Draft(PathBuf);

impl Draft {
    fn new(own: &Path, name: &str) -> Result<Self, Failed> {
        let path = own.join(format!(".{name}.{}.yml", std::process::id()));
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        Ok(Self(path))
    }

    fn write(&self, text: &str) -> Result<(), Failed> {
        fs::write(&self.0, text).map_err(failed(&self.0))
    }

    fn read(&self) -> Result<String, Failed> {
        let bytes = fs::read(&self.0).map_err(failed(&self.0))?;
        // What is no text is shown as such by the check.
        Ok(kept(&String::from_utf8_lossy(&bytes)))
    }

    /// Runs the editor; `false` when it says that it has failed.
    fn edit(&self) -> Result<bool, Failed> {
        let named = |variable| std::env::var_os(variable).filter(|editor| !editor.is_empty());
        let editors = match named("VISUAL").or_else(|| named("EDITOR")) {
            Some(editor) => vec![editor],
            None => vec!["editor".into(), "vi".into()],
        };
        for editor in editors {
            // As everywhere, an editor may have arguments: a shell takes them apart.
            let script = "exec $TREEWARD_EDITOR \"$1\"";
            let mut shell = Command::new("sh");
            shell.args(["-c", script, "sh"]).arg(&self.0).env("TREEWARD_EDITOR", editor);
            let status = shell.status().map_err(failed(Path::new("sh")))?;
            // 127 is the shell's word for a program that there is not.
            if status.code() != Some(127) {
                return Ok(status.success());
            }
        }
        complain("there is no editor; set VISUAL or EDITOR");
        Ok(false)
    }

    /// Puts the text in the target's place, which is never seen without all of it.
    fn become_file(self, target: &Path, text: &str, mode: u32) -> Result<(), Failed> {
        let dir = target.parent().unwrap_or(target);
        if !dir.is_dir() {
            fs::create_dir(dir).map_err(failed(dir))?;
            fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(failed(dir))?;
        }
        // An editor may have put another file in the place of the first.
        fs::remove_file(&self.0).map_err(failed(&self.0))?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.0)
            .map_err(failed(&self.0))?;
        file.write_all(text.as_bytes()).map_err(failed(&self.0))?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed(&self.0))?;
        file.sync_all().map_err(failed(&self.0))?;
        fs::rename(&self.0, target).map_err(failed(target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD, MARK, is_empty, kept};

    #[test]
    fn what_stands_below_the_mark_is_not_kept() {
        assert_eq!(kept(&format!("nice: 1\n\n{MARK}  \n# command: a\n")), "nice: 1\n");
        assert_eq!(kept("nice: 1"), "nice: 1\n");
        assert_eq!(kept(&format!("{MARK}\nnice: 1\n")), "");
        assert_eq!(kept(&format!("{HEAD}\n{MARK}\n")), HEAD);
        assert!(is_empty(HEAD) && is_empty("") && !is_empty("# a\nnice: 1\n"));
    }
}
