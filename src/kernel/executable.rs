//! Whether execve(2) would find something to run, without running it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::program::candidates;
use crate::words::words_of;

/// As much of a file as the kernel reads to tell what it is: BINPRM_BUF_SIZE, since Linux 5.1.
const HEAD: u64 = 256;

/// Why a program cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no file at this path.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// No directory of the PATH has it.
    #[error("there is no program {name:?} in the PATH {path}")]
    NotInPath {
        /// The program.
        name: String,
        /// The PATH.
        path: String,
    },
    /// It is something else than a regular file.
    #[error("{} is {what}, not a program", path.display())]
    NoFile {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Nobody may execute it: a user who may do everything needs one of the bits, too.
    #[error("{} is not executable (mode {mode:04o}); chmod +x would make it so", path.display())]
    NotExecutable {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The interpreter that its first line names cannot be executed.
    #[error("{} names the interpreter {interpreter:?} in its first line: {why}", script.display())]
    Interpreter {
        /// The file with the first line.
        script: PathBuf,
        /// As it is written there.
        interpreter: String,
        /// What is wrong with it.
        why: String,
    },
    /// The kernel knows neither a program nor an interpreter for it, unless binfmt_misc does.
    #[error(
        "{} is neither a binary program nor a script with an interpreter: its first line does not \
         start with #!", .0.display()
    )]
    Format(PathBuf),
    /// It cannot be looked at.
    #[error("{} cannot be examined: {why}", path.display())]
    Unknown {
        /// Where it is.
        path: PathBuf,
        /// What the kernel says.
        why: String,
    },
}

/// Looks for what a start would execute: `name` as it is with a slash in it, else in the
/// directories of `path`, as execvp(3) does.
///
/// # Errors
/// Why there is nothing that could be executed.
pub fn find(name: &str, path: &str) -> Result<PathBuf, Unfit> {
    let mut seen = None;
    for candidate in candidates(name, path) {
        let candidate = PathBuf::from(candidate);
        match file_of(&candidate) {
            Ok(_) => return fit(&candidate, path).map(|()| candidate),
            Err(Unfit::Missing(_)) => {}
            // execvp(3) goes on after a file that must not be executed, and reports it at the end.
            Err(unfit) => seen = seen.or(Some(unfit)),
        }
    }
    Err(seen.unwrap_or_else(|| match name.contains('/') {
        true => Unfit::Missing(name.into()),
        false => Unfit::NotInPath { name: name.into(), path: path.into() },
    }))
}

/// The metadata of a regular file that somebody may execute.
fn file_of(path: &Path) -> Result<Metadata, Unfit> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unfit::Missing(path.into()),
        _ => unknown(path, &error),
    })?;
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    };
    if let Some(what) = what {
        return Err(Unfit::NoFile { path: path.into(), what });
    }
    if metadata.mode() & 0o111 == 0 {
        return Err(Unfit::NotExecutable { path: path.into(), mode: metadata.mode() & 0o7777 });
    }
    Ok(metadata)
}

/// Whether the kernel finds what it needs to run this file.
fn fit(file: &Path, path: &str) -> Result<(), Unfit> {
    let mut head = Vec::new();
    let read = File::open(file).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    match read {
        Ok(_) => {}
        // A program may be executable and not readable; then nothing more can be told.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(unknown(file, &error)),
    }
    match head.strip_prefix(b"#!") {
        Some(line) => interpreter(file, line, path),
        None if head.starts_with(b"\x7fELF") => Ok(()),
        None => Err(Unfit::Format(file.into())),
    }
}

/// Looks at the interpreter of a script, one level deep; `line` is what follows the `#!`.
fn interpreter(script: &Path, line: &[u8], path: &str) -> Result<(), Unfit> {
    let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches([' ', '\t']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let unfit = |interpreter: &str, why: String| {
        let (script, interpreter) = (script.into(), interpreter.into());
        Err(Unfit::Interpreter { script, interpreter, why })
    };
    if interpreter.is_empty() {
        return unfit("", "there is none".into());
    }
    if interpreter.ends_with('\r') || argument.ends_with('\r') {
        return unfit(
            interpreter,
            "the line ends with a carriage return, which is taken for a part of it".into(),
        );
    }
    // A relative one is sought from the working directory, whichever that is then.
    if !interpreter.starts_with('/') {
        return Ok(());
    }
    if let Err(why) = file_of(Path::new(interpreter)) {
        return unfit(interpreter, why.to_string());
    }
    // env(1) looks for the whole rest of the line; with an option or a variable it does more.
    let program = argument.trim_start();
    let by_env = Path::new(interpreter).file_name().is_some_and(|name| name == "env");
    if by_env && !program.is_empty() && !program.starts_with('-') && !program.contains('=') {
        let found = candidates(program, path).iter().any(|file| file_of(Path::new(file)).is_ok());
        if !found {
            return unfit(line, format!("there is no program {program:?} in the PATH {path}"));
        }
    }
    Ok(())
}

fn unknown(path: &Path, error: &io::Error) -> Unfit {
    Unfit::Unknown { path: path.into(), why: words_of(error) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::find;

    /// A directory with files of these names, contents and modes.
    fn directory(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content, mode) in files {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        dir
    }

    /// What is said about `NAME`, with the directory's own name taken out.
    fn said(dir: &tempfile::TempDir, name: &str) -> String {
        let own = dir.path().to_str().unwrap();
        let found = find(&name.replace("DIR", own), &format!("{own}:/nonexistent"));
        let said = found.map_or_else(|unfit| unfit.to_string(), |path| path.display().to_string());
        said.replace(own, "DIR")
    }

    #[test]
    fn what_would_be_executed_is_found_and_what_would_fail_is_told() {
        let dir = directory(&[
            ("good", "#!/bin/sh\n", 0o755),
            ("elf", "\x7fELF", 0o700),
            ("plain", "#!/bin/sh\n", 0o644),
            ("text", "echo hello\n", 0o755),
            ("empty", "", 0o755),
            ("lost", "#! /nonexistent/sh -e\n", 0o755),
            ("dos", "#!/bin/sh\r\necho\r\n", 0o755),
            ("env", "#!/usr/bin/env good\n", 0o755),
            ("env-lost", "#!/usr/bin/env pyhton3\n", 0o755),
            ("env-two", "#!/usr/bin/env good -x\n", 0o755),
            ("env-s", "#!/usr/bin/env -S good -x\n", 0o755),
            ("none", "#!\n", 0o755),
        ]);
        fs::create_dir(dir.path().join("sub")).unwrap();
        let no_format = "is neither a binary program nor a script with an interpreter: \
                         its first line does not start with #!";
        for (name, expected) in [
            ("good", "DIR/good"),
            ("DIR/good", "DIR/good"),
            ("elf", "DIR/elf"),
            ("env", "DIR/env"),
            ("env-s", "DIR/env-s"),
            ("gone", "there is no program \"gone\" in the PATH DIR:/nonexistent"),
            ("DIR/gone", "DIR/gone does not exist"),
            ("DIR/good/x", "DIR/good/x does not exist"),
            ("plain", "DIR/plain is not executable (mode 0644); chmod +x would make it so"),
            ("DIR/sub", "DIR/sub is a directory, not a program"),
            ("/dev/null", "/dev/null is a device, not a program"),
            ("text", &format!("DIR/text {no_format}")),
            ("empty", &format!("DIR/empty {no_format}")),
            (
                "lost",
                "DIR/lost names the interpreter \"/nonexistent/sh\" in its first line: \
                 /nonexistent/sh does not exist",
            ),
            (
                "dos",
                "DIR/dos names the interpreter \"/bin/sh\\r\" in its first line: \
                 the line ends with a carriage return, which is taken for a part of it",
            ),
            (
                "env-lost",
                "DIR/env-lost names the interpreter \"/usr/bin/env pyhton3\" in its first line: \
                 there is no program \"pyhton3\" in the PATH DIR:/nonexistent",
            ),
            (
                "env-two",
                "DIR/env-two names the interpreter \"/usr/bin/env good -x\" in its first line: \
                 there is no program \"good -x\" in the PATH DIR:/nonexistent",
            ),
            ("none", "DIR/none names the interpreter \"\" in its first line: there is none"),
        ] {
            assert_eq!(said(&dir, name), expected, "{name}");
        }
    }

    #[test]
    fn a_later_directory_of_the_path_stands_in_for_a_file_that_nobody_may_execute() {
        let (first, second) =
            (directory(&[("x", "#!/bin/sh\n", 0o644)]), directory(&[("x", "#!/bin/sh\n", 0o755)]));
        let path = format!("{}:{}", first.path().display(), second.path().display());
        assert_eq!(find("x", &path), Ok(second.path().join("x")));
    }
}
